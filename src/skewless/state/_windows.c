/* Values of windows over the rows of one packed state, in one call: the counts and the kernels'
   numbers of window_eval.py, for states whose rows all count as they lie there. Where rows were
   corrected or are late, or anything is wrong, it gives nothing, and Python looks. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../aggregations/kernels/_slice.h"
#include "_blob.h"

enum { FLOAT64 = 'd', FLOAT32 = 'f', INT64 = 'q', INT32 = 'i' };

typedef struct {
    Py_ssize_t place;                    /* among the values */
    int number;                          /* which of `NUMBERS` */
    PyObject *finish, *otherwise;        /* None: the number itself; what stands for null */
} Output;

typedef struct {
    int form, want;
    Py_ssize_t at, null_at, count;
    char null_bit;
    Output *outputs;
} Column;

typedef struct {
    PyObject *window;                    /* handed to `finish` */
    Py_ssize_t passes_at, null_at;       /* of the filter; -1 for none */
    char null_bit;
    int64_t offset, width, rows;         /* -1: any width, any number of rows */
    Column sizes, *columns;              /* `sizes`: outputs of the count of rows */
    Py_ssize_t count;
} Group;

typedef struct {
    PyObject_HEAD
    char start[START];
    Py_ssize_t tails, record, slots, count;
    int64_t exclusive;
    int filters;
    PyObject *empty, *present, *null, *nothing;
    Group *groups;
} WindowRows;

/* ---- how it is made ---------------------------------------------------------------------------- */

static int misfit(void) {
    PyErr_SetString(PyExc_ValueError, "windows that do not fit their rows");
    return -1;
}

static int take_outputs(const WindowRows *self, PyObject *given, Column *column) {
    if (!PyTuple_Check(given)) return misfit();
    column->outputs = PyMem_Calloc((size_t)PyTuple_GET_SIZE(given) + 1, sizeof(Output));
    if (!column->outputs) return PyErr_NoMemory(), -1;
    for (; column->count < PyTuple_GET_SIZE(given); column->count++) {
        Output *output = &column->outputs[column->count];
        PyObject *finish, *otherwise;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(given, column->count), "niOO", &output->place,
                              &output->number, &finish, &otherwise))
            return -1;
        if (output->place < 0 || output->place >= PyList_GET_SIZE(self->empty) || output->number < 0
            || output->number > 6)
            return misfit();
        output->finish = Py_NewRef(finish);
        output->otherwise = Py_NewRef(otherwise);
    }
    return 0;
}

static int take_null(const WindowRows *self, Py_ssize_t slot, Py_ssize_t *null_at, char *null_bit) {
    if (slot < 0 || slot >= self->slots) return misfit();
    *null_at = TIMES + slot / 8;
    *null_bit = (char)(1 << slot % 8);
    return 0;
}

static int take_column(const WindowRows *self, PyObject *given, Column *column) {
    Py_ssize_t slot;
    PyObject *outputs;
    if (!PyArg_ParseTuple(given, "CnniO", &column->form, &column->at, &slot, &column->want, &outputs)
        || take_null(self, slot, &column->null_at, &column->null_bit))
        return -1;
    Py_ssize_t needed = column->form == FLOAT64 || column->form == INT64 ? 8
                        : column->form == FLOAT32 || column->form == INT32 ? 4 : -1;
    if (needed < 0 || column->at < TIMES || column->at > self->record - needed) return misfit();
    return take_outputs(self, outputs, column);
}

static int take_group(WindowRows *self, PyObject *given, Group *group) {
    PyObject *window, *counts, *columns;
    Py_ssize_t slot;
    long long offset, width, rows;
    if (!PyArg_ParseTuple(given, "OnnLLLOO!", &window, &group->passes_at, &slot, &offset, &width, &rows,
                          &counts, &PyTuple_Type, &columns))
        return -1;
    if (offset < 0 || width < -1 || rows < -1 || group->passes_at < -1
        || group->passes_at >= self->record)
        return misfit();
    group->window = Py_NewRef(window);
    group->offset = offset;
    group->width = width;
    group->rows = rows;
    if (group->passes_at >= 0) {
        self->filters = 1;
        if (take_null(self, slot, &group->null_at, &group->null_bit)) return -1;
    }
    if (take_outputs(self, counts, &group->sizes)) return -1;
    group->columns = PyMem_Calloc((size_t)PyTuple_GET_SIZE(columns) + 1, sizeof(Column));
    if (!group->columns) return PyErr_NoMemory(), -1;
    for (; group->count < PyTuple_GET_SIZE(columns); group->count++)
        if (take_column(self, PyTuple_GET_ITEM(columns, group->count), &group->columns[group->count])) {
            group->count++;              /* what it has taken is released with the others */
            return -1;
        }
    return 0;
}

static int windows_init(WindowRows *self, PyObject *args, PyObject *keywords) {
    PyObject *groups, *empty, *present, *null, *nothing;
    const char *start;
    Py_ssize_t start_size;
    long long exclusive;
    static char *names[] = {"start", "tails", "record", "slots", "exclusive", "groups", "empty", "statuses",
                            NULL};
    if (self->groups) return PyErr_SetString(PyExc_TypeError, "made once"), -1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y#nnnLO!O!(OOO)", names, &start, &start_size,
                                     &self->tails, &self->record, &self->slots, &exclusive, &PyTuple_Type,
                                     &groups, &PyList_Type, &empty, &present, &null, &nothing))
        return -1;
    if (start_size != START || self->tails < 0 || self->tails > UINT16_MAX || self->slots < 0
        || self->record < TIMES + (self->slots + 7) / 8 || self->record > INT32_MAX || exclusive < 0 || exclusive > 1)
        return misfit();
    memcpy(self->start, start, START);
    self->exclusive = exclusive;
    self->present = Py_NewRef(present);
    self->null = Py_NewRef(null);
    self->nothing = Py_NewRef(nothing);
    self->empty = PyList_GetSlice(empty, 0, PyList_GET_SIZE(empty));
    self->groups = PyMem_Calloc((size_t)PyTuple_GET_SIZE(groups) + 1, sizeof(Group));
    if (!self->empty || !self->groups) return PyErr_Occurred() ? -1 : (PyErr_NoMemory(), -1);
    for (; self->count < PyTuple_GET_SIZE(groups); self->count++)
        if (take_group(self, PyTuple_GET_ITEM(groups, self->count), &self->groups[self->count])) {
            self->count++;
            return -1;
        }
    return 0;
}

/* Every object that it holds, one after another, by `visit` of the collector. */
static int visit_column(const Column *column, visitproc visit, void *arg) {
    for (Py_ssize_t at = 0; at < column->count; at++) {
        Py_VISIT(column->outputs[at].finish);
        Py_VISIT(column->outputs[at].otherwise);
    }
    return 0;
}

static int windows_traverse(WindowRows *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->empty);
    Py_VISIT(self->present);
    Py_VISIT(self->null);
    Py_VISIT(self->nothing);
    for (Py_ssize_t at = 0; self->groups && at < self->count; at++) {
        const Group *group = &self->groups[at];
        Py_VISIT(group->window);
        int stopped = visit_column(&group->sizes, visit, arg);
        for (Py_ssize_t column = 0; !stopped && column < group->count; column++)
            stopped = visit_column(&group->columns[column], visit, arg);
        if (stopped) return stopped;
    }
    return 0;
}

static void let_go(Column *column) {
    for (Py_ssize_t at = 0; column->outputs && at < column->count; at++) {
        Py_CLEAR(column->outputs[at].finish);
        Py_CLEAR(column->outputs[at].otherwise);
    }
    PyMem_Free(column->outputs);
    column->outputs = NULL;
    column->count = 0;
}

static int windows_clear(WindowRows *self) {
    for (Py_ssize_t at = 0; self->groups && at < self->count; at++) {
        Group *group = &self->groups[at];
        Py_CLEAR(group->window);
        let_go(&group->sizes);
        for (Py_ssize_t column = 0; group->columns && column < group->count; column++)
            let_go(&group->columns[column]);
        PyMem_Free(group->columns);
        group->columns = NULL;
        group->count = 0;
    }
    PyMem_Free(self->groups);
    self->groups = NULL;
    self->count = 0;
    Py_CLEAR(self->empty);
    Py_CLEAR(self->present);
    Py_CLEAR(self->null);
    Py_CLEAR(self->nothing);
    return 0;
}

static void windows_dealloc(WindowRows *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    windows_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- one read ------------------------------------------------------------------------------------ */

typedef struct {
    const char *rows;                    /* newest first */
    Py_ssize_t count;
    char *numbers;                       /* room for a number of each row */
    uint32_t *passed;                    /* room for the rows that pass a filter */
    PyObject *values, *statuses;
} Read;

/* The rows of the state, where all of them count as they lie there; else NULL. */
static const char *rows_of(const WindowRows *self, PyObject *state, const Moment *when, Py_ssize_t *count) {
    Py_ssize_t head = HEADER + 4 * self->tails, size;
    if (!PyBytes_CheckExact(state) || (size = PyBytes_GET_SIZE(state)) < head) return NULL;
    const char *bytes = PyBytes_AS_STRING(state), *rows = bytes + head;
    *count = uint32_at(bytes + ROWS_AT);
    if (memcmp(bytes, self->start, START) || uint32_at(bytes + CORRECTIONS_AT)
        || int64_at(bytes + FLOOR_AT) > when->t || *count > (size - head) / self->record)
        return NULL;
    for (Py_ssize_t row = 0; row < *count; row++)
        if (int64_at(rows + row * self->record + KNOWN_AT) > when->k) return NULL;
    return rows;
}

/* How many of the rows are newer than a time. */
static Py_ssize_t newer_than(const WindowRows *self, const Read *read, int64_t time) {
    Py_ssize_t low = 0, high = read->count;
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        if (int64_at(read->rows + middle * self->record) > time) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The rows that a window holds, from `first` on: how many; or those of them that pass its filter. */
static Py_ssize_t held(const WindowRows *self, const Group *group, Read *read, int64_t at, Py_ssize_t *first) {
    int64_t until, after;
    Py_ssize_t end = read->count, found = 0;
    if (__builtin_sub_overflow(at, group->offset, &until)) until = INT64_MIN;
    *first = newer_than(self, read, until);
    if (group->width >= 0 && !__builtin_sub_overflow(until, group->width, &after))
        end = newer_than(self, read, after);
    int64_t most = group->rows < 0 ? INT64_MAX : group->rows;
    if (group->passes_at < 0) return end - *first < most ? end - *first : (Py_ssize_t)most;
    for (Py_ssize_t row = *first; row < end && found < most; row++) {
        const char *bytes = read->rows + row * self->record;
        if (bytes[group->passes_at] && !(bytes[group->null_at] & group->null_bit))
            read->passed[found++] = (uint32_t)row;
    }
    return found;
}

/* Copy the numbers of rows side by side, nulls left out; returns how many there are. */
static Py_ssize_t gather(const WindowRows *self, const Group *group, const Column *column, const Read *read,
                         Py_ssize_t first, Py_ssize_t count) {
    Py_ssize_t found = 0;
    for (Py_ssize_t at = 0; at < count; at++) {
        Py_ssize_t row = group->passes_at < 0 ? first + at : (Py_ssize_t)read->passed[at];
        const char *bytes = read->rows + row * self->record, *value = bytes + column->at;
        if (bytes[column->null_at] & column->null_bit) continue;
        char *out = read->numbers + 8 * found++;
        if (column->form == FLOAT32) {
            float narrow;
            memcpy(&narrow, value, 4);
            double wide = narrow;
            memcpy(out, &wide, 8);
        } else if (column->form == INT32) {
            int64_t wide = (int32_t)uint32_at(value);
            memcpy(out, &wide, 8);
        } else {
            memcpy(out, value, 8);
        }
    }
    return found;
}

static int is_nan(PyObject *value) { return PyFloat_Check(value) && isnan(PyFloat_AS_DOUBLE(value)); }

/* Put a number, which is given up, or what `finish` makes of it, in its place; None and NaN are null. */
static int put(const WindowRows *self, const Group *group, const Output *output, const Read *read,
               PyObject *value) {
    if (value && output->finish != Py_None && !is_nan(value)) {
        PyObject *arguments[2] = {value, group->window};
        PyObject *finished = PyObject_Vectorcall(output->finish, arguments, 2, NULL);
        Py_SETREF(value, finished);
    }
    if (!value) return -1;
    int null = value == Py_None || is_nan(value);
    if (null) Py_SETREF(value, Py_NewRef(output->otherwise));
    if (PyList_SetItem(read->values, output->place, value)) return -1;
    return PyList_SetItem(read->statuses, output->place, Py_NewRef(null ? self->null : self->present));
}

static int put_numbers(const WindowRows *self, const Group *group, const Column *column, const Read *read,
                       Py_ssize_t count) {
    Form form = column->form == FLOAT64 || column->form == FLOAT32 ? FIXED : INTEGERS;
    Slice slice = {.values = read->numbers, .step = 8, .high = count};
    Exact exact;
    Extent extent;
    Summary summary;
    if (sum_slice(&slice, &exact, form, column->want, &extent)) return 0;
    exact_finish(&exact, column->want, &summary);
    for (Py_ssize_t at = 0; at < column->count; at++) {
        const Output *output = &column->outputs[at];
        PyObject *number = summary_number(&exact, &summary, form, &extent, output->number);
        if (put(self, group, output, read, number)) return -1;
    }
    return 1;
}

/* 1: the values of a group are put in their places, 0: Python must look, -1: an error. */
static int read_group(const WindowRows *self, const Group *group, Read *read, int64_t at) {
    Py_ssize_t first, count = held(self, group, read, at, &first);
    for (Py_ssize_t output = 0; count && output < group->sizes.count; output++)
        if (put(self, group, &group->sizes.outputs[output], read, PyLong_FromSsize_t(count))) return -1;
    for (Py_ssize_t column = 0; count && column < group->count; column++) {
        Py_ssize_t valid = gather(self, group, &group->columns[column], read, first, count);
        int done = valid ? put_numbers(self, group, &group->columns[column], read, valid) : 1;
        if (done <= 0) return done;
    }
    return 1;
}

PyDoc_STRVAR(answer_doc, "answer(state, t, k)\n--\n\n"
    "Values, statuses and newest event; None where Python must look.");

static PyObject *windows_answer(WindowRows *self, PyObject *const *args, Py_ssize_t count) {
    Moment when;
    Read read = {0};
    if (count != 3 || !self->groups) return PyErr_Format(PyExc_TypeError, "expected state, t and k");
    int done = moment_of(args[1], args[2], self->exclusive, &when);
    if (done < 0) return NULL;
    if (done) read.rows = rows_of(self, args[0], &when, &read.count);
    if (!read.rows) Py_RETURN_NONE;
    Py_ssize_t newest = newer_than(self, &read, when.at), width = PyList_GET_SIZE(self->empty);
    if (newest == read.count) Py_RETURN_NONE;
    read.numbers = PyMem_RawMalloc((size_t)read.count * 8);
    read.passed = self->filters ? PyMem_RawMalloc((size_t)read.count * sizeof *read.passed) : NULL;
    read.values = PyList_GetSlice(self->empty, 0, width);
    read.statuses = PyList_New(width);
    if (!read.numbers || (self->filters && !read.passed)) PyErr_NoMemory();
    if (!read.values || !read.statuses || PyErr_Occurred()) done = -1;
    for (Py_ssize_t at = 0; done > 0 && at < width; at++)
        PyList_SET_ITEM(read.statuses, at, Py_NewRef(self->nothing));
    for (Py_ssize_t at = 0; done > 0 && at < self->count; at++)
        done = read_group(self, &self->groups[at], &read, when.at);
    PyMem_RawFree(read.numbers);
    PyMem_RawFree(read.passed);
    if (done > 0)
        return Py_BuildValue("NNL", read.values, read.statuses,
                             (long long)int64_at(read.rows + newest * self->record));
    Py_XDECREF(read.values);
    Py_XDECREF(read.statuses);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef windows_methods[] = {
    {"answer", (PyCFunction)(void (*)(void))windows_answer, METH_FASTCALL, answer_doc},
    {NULL, NULL, 0, NULL}};

PyDoc_STRVAR(windows_doc, "WindowRows(start, tails, record, slots, exclusive, groups, empty, statuses)\n--\n\n"
    "Reads groups (window, passes_at, slot, offset, width, rows, counts, columns) of windows, with\n"
    "counts ((place, number, finish, otherwise), ...) and columns ((form, at, slot, want, outputs), ...).");

static PyType_Slot windows_slots[] = {
    {Py_tp_doc, (void *)windows_doc}, {Py_tp_init, windows_init}, {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, windows_traverse}, {Py_tp_clear, windows_clear}, {Py_tp_dealloc, windows_dealloc},
    {Py_tp_methods, windows_methods}, {0, NULL}};

static PyType_Spec windows_spec = {
    "skewless.state._windows.WindowRows", sizeof(WindowRows), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, windows_slots};

static int fill(PyObject *module) {
    PyObject *type = PyType_FromSpec(&windows_spec);
    int failed = !type || PyModule_AddObjectRef(module, "WindowRows", type);
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_windows", "Windows over packed rows; the same as window_eval.py.", 0, NULL,
    slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__windows(void) { return PyModuleDef_Init(&definition); }
