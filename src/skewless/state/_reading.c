/* Reads of packed states in C: keys of entities, and features that are columns of the newest row.

   What is here gives what keys.py and newest_row.py give, or nothing, and then these are asked: for
   rows that were corrected, are late, or of another layout, and for whatever is wrong. The layout
   of a state is told in blob.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "_blob.h"

/* ---- keys ---------------------------------------------------------------------------------- */

PyDoc_STRVAR(keys_doc, "encode_keys(entities, name, whole)\n--\n\n"
    "The keys of dicts whose one join key is text, or a whole number; None if Python must look.");

static PyObject *key_of(PyObject *value, int whole) {
    if (!whole) return PyUnicode_CheckExact(value) ? PyUnicode_AsUTF8String(value) : NULL;
    if (!PyLong_CheckExact(value)) return NULL;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow) return NULL;
    uint64_t rest = (uint64_t)number ^ (uint64_t)1 << 63;
    char key[8];
    for (int at = 7; at >= 0; at--, rest >>= 8) key[at] = (char)(rest & 0xFF);
    return PyBytes_FromStringAndSize(key, 8);
}

static PyObject *py_encode_keys(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 3) return PyErr_Format(PyExc_TypeError, "expected 3 arguments, got %zd", count);
    if (!PyList_CheckExact(args[0])) Py_RETURN_NONE;
    int whole = args[2] == Py_True;
    Py_ssize_t rows = PyList_GET_SIZE(args[0]);
    PyObject *keys = PyList_New(rows);
    for (Py_ssize_t row = 0; keys && row < rows; row++) {
        PyObject *entity = PyList_GET_ITEM(args[0], row), *key = NULL;
        PyObject *value = PyDict_CheckExact(entity) ? PyDict_GetItemWithError(entity, args[1]) : NULL;
        if (value) key = key_of(value, whole);
        if (!key) {
            PyErr_Clear();     /* a lone surrogate: Python says of which column */
            Py_DECREF(keys);
            Py_RETURN_NONE;
        }
        PyList_SET_ITEM(keys, row, key);
    }
    return keys;
}

/* ---- columns of the newest row --------------------------------------------------------------- */

/* How a column lies in the row, by its letter; capitals: `unpack` makes the value of what is there. */
enum { FLOAT64 = 'd', FLOAT32 = 'f', INT64 = 'q', INT32 = 'i', BOOL = 'b', FLOATS = 'v', TEXT = 'u',
       BYTES = 'y', UNPACK_INT64 = 'Q', UNPACK_INT32 = 'I', UNPACK_RAW = 'R', UNPACK_TAIL = 'T' };

typedef struct {
    int form;
    Py_ssize_t at, size;       /* where in the row; how many bytes, or floats of a vector */
    Py_ssize_t tail;           /* which of the tails, -1 for none */
    Py_ssize_t null_at;
    char null_bit;
    int64_t expiry;            /* -1: never */
    PyObject *otherwise, *unpack;
} Column;

typedef struct {
    PyObject_HEAD
    char start[START];
    Py_ssize_t tails, record, nulls, width, last_tail;
    int64_t exclusive;
    int expires;
    PyObject *all_present, *present, *null, *expired;
    Column *columns;
} NewestRows;

static int is_tail(int form) { return form == TEXT || form == BYTES || form == UNPACK_TAIL; }

/* What a column needs of the row, or -1 for a letter that there is not. */
static Py_ssize_t bytes_of(const Column *column) {
    switch (column->form) {
    case FLOAT64: case INT64: case UNPACK_INT64: return 8;
    case FLOAT32: case INT32: case UNPACK_INT32: case TEXT: case BYTES: case UNPACK_TAIL: return 4;
    case BOOL: return 1;
    case FLOATS: return column->size > 0 && column->size < 1 << 24 ? 4 * column->size : -1;
    case UNPACK_RAW: return column->size > 0 ? column->size : -1;
    default: return -1;
    }
}

static void free_columns(NewestRows *self) {
    for (Py_ssize_t at = 0; self->columns && at < self->width; at++) {
        Py_CLEAR(self->columns[at].otherwise);
        Py_CLEAR(self->columns[at].unpack);
    }
    PyMem_Free(self->columns);
    self->columns = NULL;
    self->width = 0;
}

static int take_column(NewestRows *self, PyObject *given, Py_ssize_t slots, Column *column) {
    Py_ssize_t slot;
    long long expiry;
    PyObject *otherwise, *unpack;
    if (!PyArg_ParseTuple(given, "CnnnnLOO", &column->form, &column->at, &column->size, &column->tail,
                          &slot, &expiry, &otherwise, &unpack))
        return -1;
    Py_ssize_t needed = bytes_of(column);
    int tail_is_right = is_tail(column->form) ? column->tail >= 0 && column->tail < self->tails
                                              : column->tail == -1;
    if (needed < 0 || !tail_is_right || slot < 0 || slot >= slots || expiry < -1
        || column->at < TIMES + self->nulls || column->at > self->record - needed
        || (column->form >= 'A' && column->form <= 'Z' && !PyCallable_Check(unpack))) {
        PyErr_SetString(PyExc_ValueError, "a column that does not fit its row");
        return -1;
    }
    column->null_at = slot / 8;
    column->null_bit = (char)(1 << slot % 8);
    column->expiry = expiry;
    column->otherwise = Py_NewRef(otherwise);
    column->unpack = Py_NewRef(unpack);
    if (expiry >= 0) self->expires = 1;
    if (column->tail > self->last_tail) self->last_tail = column->tail;
    return 0;
}

static int newest_init(NewestRows *self, PyObject *args, PyObject *keywords) {
    PyObject *columns;
    const char *start;
    Py_ssize_t start_size, slots;
    long long exclusive;
    static char *names[] = {"start", "tails", "record", "slots", "exclusive", "columns", "statuses", NULL};
    PyObject *present, *null, *expired;
    if (self->columns) {
        PyErr_SetString(PyExc_TypeError, "made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y#nnnLO!(OOO)", names, &start, &start_size,
                                     &self->tails, &self->record, &slots, &exclusive, &PyTuple_Type, &columns,
                                     &present, &null, &expired))
        return -1;
    if (start_size != START || self->tails < 0 || self->tails > UINT16_MAX || slots < 1
        || self->record < TIMES + (slots + 7) / 8 || self->record > INT32_MAX || exclusive < 0 || exclusive > 1) {
        PyErr_SetString(PyExc_ValueError, "not the layout of a row");
        return -1;
    }
    memcpy(self->start, start, START);
    self->nulls = (slots + 7) / 8;
    self->exclusive = exclusive;
    self->last_tail = -1;
    self->present = Py_NewRef(present);
    self->null = Py_NewRef(null);
    self->expired = Py_NewRef(expired);
    Py_ssize_t width = PyTuple_GET_SIZE(columns);
    self->all_present = PyList_New(width);
    self->columns = PyMem_Calloc((size_t)width + 1, sizeof(Column));
    if (!self->all_present || !self->columns) {
        if (!PyErr_Occurred()) PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t at = 0; at < width; at++)
        PyList_SET_ITEM(self->all_present, at, Py_NewRef(present));
    for (; self->width < width; self->width++)
        if (take_column(self, PyTuple_GET_ITEM(columns, self->width), slots, &self->columns[self->width]))
            return -1;
    return 0;
}

static int newest_traverse(NewestRows *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->all_present);
    Py_VISIT(self->present);
    Py_VISIT(self->null);
    Py_VISIT(self->expired);
    for (Py_ssize_t at = 0; self->columns && at < self->width; at++) {
        Py_VISIT(self->columns[at].otherwise);
        Py_VISIT(self->columns[at].unpack);
    }
    return 0;
}

static int newest_clear(NewestRows *self) {
    free_columns(self);
    Py_CLEAR(self->all_present);
    Py_CLEAR(self->present);
    Py_CLEAR(self->null);
    Py_CLEAR(self->expired);
    return 0;
}

static void newest_dealloc(NewestRows *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    newest_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *floats_of(const char *bytes, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    for (Py_ssize_t at = 0; list && at < count; at++) {
        float value;
        memcpy(&value, bytes + 4 * at, 4);
        PyObject *item = PyFloat_FromDouble(value);
        if (!item) Py_CLEAR(list);
        else PyList_SET_ITEM(list, at, item);
    }
    return list;
}

/* What `unpack` makes of an object, which is given up. */
static PyObject *unpacked(const Column *column, PyObject *raw) {
    PyObject *value = raw ? PyObject_CallOneArg(column->unpack, raw) : NULL;
    Py_XDECREF(raw);
    return value;
}

/* The value of a column that is not null; of a tail, ``bytes`` is where its value lies. */
static PyObject *value_of(const Column *column, const char *row, const char *bytes) {
    const char *at = row + column->at;
    double wide;
    float narrow;
    switch (column->form) {
    case FLOAT64: memcpy(&wide, at, 8); return PyFloat_FromDouble(wide);
    case FLOAT32: memcpy(&narrow, at, 4); return PyFloat_FromDouble(narrow);
    case INT64: return PyLong_FromLongLong(int64_at(at));
    case INT32: return PyLong_FromLong((int32_t)uint32_at(at));
    case BOOL: return PyBool_FromLong(*at != 0);
    case FLOATS: return floats_of(at, column->size);
    case TEXT: return PyUnicode_DecodeUTF8(bytes, uint32_at(at), NULL);
    case BYTES: return PyBytes_FromStringAndSize(bytes, uint32_at(at));
    case UNPACK_INT64: return unpacked(column, PyLong_FromLongLong(int64_at(at)));
    case UNPACK_INT32: return unpacked(column, PyLong_FromLong((int32_t)uint32_at(at)));
    case UNPACK_RAW: return unpacked(column, PyBytes_FromStringAndSize(at, column->size));
    default: return unpacked(column, PyBytes_FromStringAndSize(bytes, uint32_at(at)));
    }
}

/* The newest row of a state where it alone answers, else NULL. */
static const char *row_that_answers(const NewestRows *self, PyObject *state, const Moment *when) {
    Py_ssize_t head = HEADER + 4 * self->tails;
    if (!PyBytes_CheckExact(state) || PyBytes_GET_SIZE(state) < head + self->record) return NULL;
    const char *bytes = PyBytes_AS_STRING(state), *row = bytes + head;
    if (memcmp(bytes, self->start, START) || uint32_at(bytes + CORRECTIONS_AT)
        || int64_at(bytes + FLOOR_AT) > when->t || int64_at(row) > when->at
        || int64_at(row + KNOWN_AT) > when->k)
        return NULL;
    return row;
}

/* Where the newest value of each tail lies; 0: not within the state. */
static int find_tails(const NewestRows *self, PyObject *state, const char *row, const char **tail) {
    const char *bytes = PyBytes_AS_STRING(state), *sizes = bytes + HEADER;
    uint64_t end = (uint64_t)PyBytes_GET_SIZE(state), place = (uint64_t)(row - bytes);
    place += (uint64_t)uint32_at(bytes + ROWS_AT) * (uint64_t)self->record;
    for (Py_ssize_t at = 0; at <= self->last_tail; at++) {
        uint64_t size = uint32_at(sizes + 4 * at);
        if (place + size > end) return 0;
        tail[at] = bytes + place;
        place += size;
    }
    for (Py_ssize_t at = 0; at < self->width; at++) {
        const Column *column = &self->columns[at];
        if (column->tail >= 0 && uint32_at(row + column->at) > uint32_at(sizes + 4 * column->tail))
            return 0;
    }
    return 1;
}

/* Values and statuses of a row, of which some are null or expire if `looked_at`. */
static int fill_row(const NewestRows *self, const char *row, const char **tail, uint64_t age,
                    int looked_at, PyObject *values, PyObject **statuses) {
    for (Py_ssize_t at = 0; at < self->width; at++) {
        const Column *column = &self->columns[at];
        PyObject *status = self->present, *value;
        if (looked_at) {
            if (row[TIMES + column->null_at] & column->null_bit) status = self->null;
            if (column->expiry >= 0 && age >= (uint64_t)column->expiry) status = self->expired;
        }
        if (status == self->present) {
            value = value_of(column, row, column->tail < 0 ? NULL : tail[column->tail]);
            if (value == Py_None) Py_SETREF(value, Py_NewRef(column->otherwise));
        } else {
            if (!*statuses) *statuses = PyList_GetSlice(self->all_present, 0, self->width);
            if (!*statuses || PyList_SetItem(*statuses, at, Py_NewRef(status))) return -1;
            value = Py_NewRef(column->otherwise);
        }
        if (!value) return -1;
        PyList_SET_ITEM(values, at, value);
    }
    return 0;
}

#define USUAL_TAILS 32

/* Values and statuses of a row. 1: there they are, 0: Python must look, -1: an error. */
static int read_row(const NewestRows *self, PyObject *state, const char *row, const Moment *when,
                    PyObject **values, PyObject **statuses) {
    const char *usual[USUAL_TAILS], **tail = usual;
    int looked_at = self->expires, read = 1;
    for (Py_ssize_t at = 0; at < self->nulls && !looked_at; at++) looked_at = row[TIMES + at] != 0;
    if (self->last_tail >= USUAL_TAILS) {
        tail = PyMem_Malloc(sizeof *tail * (size_t)(self->last_tail + 1));
        if (!tail) read = -1, PyErr_NoMemory();
    }
    if (read > 0 && self->last_tail >= 0) read = find_tails(self, state, row, tail);
    *values = read > 0 ? PyList_New(self->width) : NULL;
    *statuses = NULL;
    if (read > 0) {
        uint64_t age = (uint64_t)when->at - (uint64_t)int64_at(row);
        if (!*values || fill_row(self, row, tail, age, looked_at, *values, statuses)) {
            Py_CLEAR(*values);
            Py_CLEAR(*statuses);
            read = -1;
        } else if (!*statuses) {
            *statuses = Py_NewRef(self->all_present);
        }
    }
    if (tail != usual) PyMem_Free(tail);
    return read;
}

/* The arguments (states, t, k), as `moment_of` says. */
static int take_moment(const NewestRows *self, PyObject *const *args, Py_ssize_t count, Moment *when) {
    if (count == 3 && self->columns) return moment_of(args[1], args[2], self->exclusive, when);
    PyErr_SetString(PyExc_TypeError, "expected states, t and k");
    return -1;
}

PyDoc_STRVAR(answers_doc, "answers(states, t, k)\n--\n\n"
    "For each state (values, statuses, newest event), or None where Python must look.");

static PyObject *newest_answers(NewestRows *self, PyObject *const *args, Py_ssize_t count) {
    Moment when;
    int fits = take_moment(self, args, count, &when);
    if (fits < 0) return NULL;
    PyObject *states = PySequence_Fast(args[0], "states: expected a sequence");
    PyObject *found = states ? PyList_New(PySequence_Fast_GET_SIZE(states)) : NULL;
    for (Py_ssize_t at = 0; found && at < PyList_GET_SIZE(found); at++) {
        PyObject *state = PySequence_Fast_GET_ITEM(states, at), *values, *statuses, *answer = NULL;
        const char *row = fits ? row_that_answers(self, state, &when) : NULL;
        int64_t event = row ? int64_at(row) : 0;
        int read = row ? read_row(self, state, row, &when, &values, &statuses) : 0;
        if (read > 0) answer = Py_BuildValue("NNL", values, statuses, (long long)event);
        else if (read == 0) answer = Py_NewRef(Py_None);
        if (!answer) Py_CLEAR(found);
        else PyList_SET_ITEM(found, at, answer);
    }
    Py_XDECREF(states);
    return found;
}

PyDoc_STRVAR(found_doc, "found(states, t, k)\n--\n\n"
    "Values, statuses and newest events, a list for each state; None if Python must look at one.");

static PyObject *newest_found(NewestRows *self, PyObject *const *args, Py_ssize_t count) {
    Moment when;
    int fits = take_moment(self, args, count, &when);
    if (fits < 0) return NULL;
    if (!fits || !PyList_CheckExact(args[0])) Py_RETURN_NONE;
    Py_ssize_t rows = PyList_GET_SIZE(args[0]);
    for (Py_ssize_t at = 0; at < rows; at++)
        if (!row_that_answers(self, PyList_GET_ITEM(args[0], at), &when)) Py_RETURN_NONE;
    PyObject *found[3] = {PyList_New(rows), PyList_New(rows), PyList_New(rows)};
    int read = found[0] && found[1] && found[2] ? 1 : -1;
    /* What `unpack` calls could change the list of states, so it is asked again how long it is. */
    for (Py_ssize_t at = 0; at < rows && read > 0; at++) {
        PyObject *state = at < PyList_GET_SIZE(args[0]) ? Py_NewRef(PyList_GET_ITEM(args[0], at)) : NULL;
        const char *row = state ? row_that_answers(self, state, &when) : NULL;
        PyObject *values = NULL, *statuses = NULL, *event = NULL, *events = NULL;
        read = row ? read_row(self, state, row, &when, &values, &statuses) : 0;
        if (read > 0) {
            PyList_SET_ITEM(found[0], at, values);
            PyList_SET_ITEM(found[1], at, statuses);
            event = PyLong_FromLongLong(int64_at(row));
            events = event ? PyList_New(self->width) : NULL;
            if (!events) read = -1;
            for (Py_ssize_t place = 0; events && place < self->width; place++)
                PyList_SET_ITEM(events, place, Py_NewRef(event));
            if (events) PyList_SET_ITEM(found[2], at, events);
            Py_XDECREF(event);
        }
        Py_XDECREF(state);
    }
    if (read > 0) return Py_BuildValue("NNN", found[0], found[1], found[2]);
    for (int part = 0; part < 3; part++) Py_XDECREF(found[part]);
    if (read < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef newest_methods[] = {
    {"answers", (PyCFunction)(void (*)(void))newest_answers, METH_FASTCALL, answers_doc},
    {"found", (PyCFunction)(void (*)(void))newest_found, METH_FASTCALL, found_doc},
    {NULL, NULL, 0, NULL}};

PyDoc_STRVAR(newest_doc, "NewestRows(start, tails, record, slots, exclusive, columns, statuses)\n--\n\n"
    "Reads columns (form, at, size, tail, slot, expiry, otherwise, unpack) of the newest row.");

static PyType_Slot newest_slots[] = {
    {Py_tp_doc, (void *)newest_doc}, {Py_tp_init, newest_init}, {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, newest_traverse}, {Py_tp_clear, newest_clear}, {Py_tp_dealloc, newest_dealloc},
    {Py_tp_methods, newest_methods}, {0, NULL}};

static PyType_Spec newest_spec = {
    "skewless.state._reading.NewestRows", sizeof(NewestRows), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, newest_slots};

/* ---- the module ------------------------------------------------------------------------------ */

static PyMethodDef methods[] = {
    {"encode_keys", (PyCFunction)(void (*)(void))py_encode_keys, METH_FASTCALL, keys_doc},
    {NULL, NULL, 0, NULL}};

static int fill(PyObject *module) {
    PyObject *type = PyType_FromSpec(&newest_spec);
    int failed = !type || PyModule_AddObjectRef(module, "NewestRows", type);
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_reading", "Reads of packed states; the same as keys.py and newest_row.py.",
    0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__reading(void) { return PyModuleDef_Init(&definition); }
