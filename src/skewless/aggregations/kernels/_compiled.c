/* Python bindings of the kernels: buffers in, buffers out, the GIL released while they run.

   Every array is a contiguous, aligned buffer of int64, double or uint8; lengths are checked here
   and indices where they are used, so that no input can make a kernel leave its arrays. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_codes.h"
#include "_decay.h"
#include "_exact.h"
#include "_group.h"
#include "_hash.h"
#include "_latest.h"
#include "_moments.h"
#include "_rank.h"
#include "_slice.h"
#include "_spans.h"
#include "_sweep.h"

/* ---- buffers ---------------------------------------------------------------------------------- */

#define MOST_BUFFERS 24

typedef struct {
    Py_buffer view[MOST_BUFFERS];
    int count;
} Buffers;

static void release(Buffers *held) {
    while (held->count) PyBuffer_Release(&held->view[--held->count]);
}

static int format_is(const char *format, const char *allowed) {
    if (!format) format = "B";
    if (*format == '<' || *format == '=' || *format == '@') format++;
    return *format && !format[1] && strchr(allowed, *format) != NULL;
}

/* The memory of an array of 8-byte numbers ("lq", "d", "lqd") or bytes ("B?"); NULL for None.
   Its length is stored where *length is negative, and must equal it otherwise. */
static int hold(Buffers *held, PyObject *object, const char *formats, int writable, int64_t *length,
                const char *name, void *out) {
    void *memory = NULL;
    int64_t size = *formats == 'B' ? 1 : 8;
    if (object != Py_None) {
        Py_buffer *view = &held->view[held->count];
        int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (held->count == MOST_BUFFERS || PyObject_GetBuffer(object, view, flags)) return -1;
        held->count++;
        if (view->itemsize != size || !format_is(view->format, formats)
            || (uintptr_t)view->buf % (uintptr_t)size) {
            PyErr_Format(PyExc_ValueError, "%s: expected an aligned array of %s", name,
                         size == 1 ? "uint8" : *formats == 'd' ? "float64" : "int64");
            return -1;
        }
        int64_t count = view->len / size;
        if (*length >= 0 && *length != count) {
            PyErr_Format(PyExc_ValueError, "%s: expected length %lld, got %lld", name,
                         (long long)*length, (long long)count);
            return -1;
        }
        *length = count;
        memory = view->buf;
    }
    memcpy(out, &memory, sizeof memory);
    return 0;
}

static int required(const void *memory, const char *name) {
    if (!memory) PyErr_Format(PyExc_ValueError, "%s: expected an array, got None", name);
    return memory ? 0 : -1;
}

/* Group boundaries never step back and stay within [0, total]; `whole`: they cover all of it. */
static int check_starts(const int64_t *start, int64_t length, int64_t total, int whole,
                        const char *name) {
    int good = start && length >= 1 && start[0] >= 0 && start[length - 1] <= total;
    for (int64_t g = 1; good && g < length; g++) good = start[g - 1] <= start[g];
    if (good && whole) good = start[0] == 0 && start[length - 1] == total;
    if (!good) PyErr_Format(PyExc_ValueError, "%s: not the boundaries of groups", name);
    return good ? 0 : -1;
}

static int report(int status) {
    static const char *const reason[] = {
        "", "", "a span's row lies outside the value arrays", "query times of a group step back",
        "a valid value is NaN", "a code lies outside [0, n_codes)",
        "an order is not a permutation of its group's spans, or spans of one row overlap"};
    if (status == OK) return 0;
    if (status == NO_MEMORY) PyErr_NoMemory();
    else PyErr_SetString(PyExc_ValueError, reason[-status]);
    return -1;
}

/* spans = (row, enter, exit, start, enter_order, exit_order, query_time, query_start) */
static int hold_sweep(Buffers *held, PyObject *spans, Sweep *w) {
    PyObject *o[8];
    int64_t starts = -1, boundaries;
    memset(w, 0, sizeof *w);
    w->spans = w->queries = -1;
    w->rows = INT64_MAX;
    if (!PyArg_ParseTuple(spans, "OOOOOOOO", o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6, o + 7))
        return -1;
    if (hold(held, o[1], "lq", 0, &w->spans, "enter", &w->enter) || required(w->enter, "enter")
        || hold(held, o[2], "lq", 0, &w->spans, "exit", &w->exit) || required(w->exit, "exit")
        || hold(held, o[0], "lq", 0, &w->spans, "span_row", &w->row)
        || hold(held, o[4], "lq", 0, &w->spans, "enter_order", &w->enter_order)
        || hold(held, o[5], "lq", 0, &w->spans, "exit_order", &w->exit_order)
        || hold(held, o[3], "lq", 0, &starts, "span_start", &w->start)
        || check_starts(w->start, starts, w->spans, 0, "span_start")
        || hold(held, o[6], "lq", 0, &w->queries, "query_time", &w->time)
        || required(w->time, "query_time"))
        return -1;
    boundaries = starts;
    w->groups = starts - 1;
    return hold(held, o[7], "lq", 0, &boundaries, "query_start", &w->query_start)
           || check_starts(w->query_start, boundaries, w->queries, 1, "query_start") ? -1 : 0;
}

/* A status of a kernel, or of holding its arrays (-100), as a Python result. */
#define HELD_FAILED (-100)

static PyObject *finished(Buffers *held, int status) {
    release(held);
    if (status == HELD_FAILED || report(status)) return NULL;
    Py_RETURN_NONE;
}

#define WITHOUT_GIL(call) Py_BEGIN_ALLOW_THREADS call; Py_END_ALLOW_THREADS

/* ---- sweeps ------------------------------------------------------------------------------------ */

PyDoc_STRVAR(sums_doc, "sweep_sums(spans, values, valid, want, count, sum, overflow, mean, var, var_sample)\n--\n\n"
    "Exact sums of the spans active at each query; values float64, int64 or None (count only).");

static PyObject *py_sweep_sums(PyObject *module, PyObject *args) {
    PyObject *spans, *values, *valid, *o[6];
    Buffers held = {.count = 0};
    Sweep w;
    SumState st = {0};
    SumColumns *out = &st.out;
    int status = HELD_FAILED;
    int64_t rows = -1;
    Form form = COUNTS;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOiOOOOOO", &spans, &values, &valid, &st.want, o, o + 1, o + 2, o + 3,
                          o + 4, o + 5)
        || hold_sweep(&held, spans, &w)
        || hold(&held, values, "lqd", 0, &rows, "values", &st.values))
        return finished(&held, status);
    if (st.values)
        form = format_is(held.view[held.count - 1].format, "d") ? FIXED : INTEGERS;
    else
        st.want &= WANT_COUNT;
    const char *sum_format = form == INTEGERS ? "lq" : "d";
    void *sum = NULL;
    if (hold(&held, valid, "B?", 0, &rows, "valid", &w.valid)
        || hold(&held, o[0], "lq", 1, &w.queries, "count", &out->count)
        || hold(&held, o[1], sum_format, 1, &w.queries, "sum", &sum)
        || hold(&held, o[2], "B?", 1, &w.queries, "overflow", &out->overflow)
        || hold(&held, o[3], "d", 1, &w.queries, "mean", &out->mean)
        || hold(&held, o[4], "d", 1, &w.queries, "var", &out->var)
        || hold(&held, o[5], "d", 1, &w.queries, "var_sample", &out->var_sample))
        return finished(&held, status);
    if (form == INTEGERS) out->integer = sum;
    else out->sum = sum;
    if (rows >= 0) w.rows = rows;
    WITHOUT_GIL(status = sweep_sums(&w, &st, form))
    return finished(&held, status);
}

PyDoc_STRVAR(order_doc, "sweep_order(spans, keys, valid, want, lowest, highest)\n--\n\n"
    "Rows of the least and the greatest key active at each query, -1 for none; keys are float64,\n"
    "int64 ranks or None (the row itself).");

static PyObject *py_sweep_order(PyObject *module, PyObject *args) {
    PyObject *spans, *keys, *valid, *o[2];
    Buffers held = {.count = 0};
    Sweep w;
    OrderState st = {0};
    int status = HELD_FAILED;
    int64_t rows = -1;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOiOO", &spans, &keys, &valid, &st.want, o, o + 1)
        || hold_sweep(&held, spans, &w)
        || hold(&held, keys, "lqd", 0, &rows, "keys", &st.values))
        return finished(&held, status);
    if (st.values)
        st.key = format_is(held.view[held.count - 1].format, "d") ? KEY_DOUBLE : KEY_RANK;
    if (hold(&held, valid, "B?", 0, &rows, "valid", &w.valid)
        || hold(&held, o[0], "lq", 1, &w.queries, "lowest", &st.lowest)
        || required(st.lowest, "lowest")
        || hold(&held, o[1], "lq", 1, &w.queries, "highest", &st.highest)
        || required(st.highest, "highest"))
        return finished(&held, status);
    if (rows >= 0) w.rows = rows;
    WITHOUT_GIL(status = sweep_order(&w, &st))
    return finished(&held, status);
}

PyDoc_STRVAR(unique_doc, "sweep_unique(spans, codes, valid, n_codes, out)\n--\n\n"
    "Number of distinct codes active at each query.");

static PyObject *py_sweep_unique(PyObject *module, PyObject *args) {
    PyObject *spans, *codes, *valid, *result;
    Buffers held = {.count = 0};
    Sweep w;
    UniqueState st = {0};
    int status = HELD_FAILED;
    long long code_count;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOLO", &spans, &codes, &valid, &code_count, &result)
        || hold_sweep(&held, spans, &w))
        return finished(&held, status);
    w.rows = -1;
    st.code_count = code_count < 0 ? 0 : code_count;
    if (hold(&held, codes, "lq", 0, &w.rows, "codes", &st.codes) || required(st.codes, "codes")
        || hold(&held, valid, "B?", 0, &w.rows, "valid", &w.valid)
        || hold(&held, result, "lq", 1, &w.queries, "out", &st.out) || required(st.out, "out"))
        return finished(&held, status);
    WITHOUT_GIL(status = sweep_unique(&w, &st))
    return finished(&held, status);
}

PyDoc_STRVAR(codes_doc, "sweep_codes(spans, codes, valid, n_codes, offsets, out)\n--\n\n"
    "Distinct codes active at each query, ascending, query q's at out[offsets[q]:offsets[q + 1]].");

static PyObject *py_sweep_codes(PyObject *module, PyObject *args) {
    PyObject *spans, *codes, *valid, *offsets, *result;
    Buffers held = {.count = 0};
    Sweep w;
    CodesState st = {.capacity = -1};
    int status = HELD_FAILED;
    long long code_count;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOLOO", &spans, &codes, &valid, &code_count, &offsets, &result)
        || hold_sweep(&held, spans, &w))
        return finished(&held, status);
    int64_t boundaries = w.queries + 1;
    w.rows = -1;
    st.code_count = code_count < 0 ? 0 : code_count;
    if (hold(&held, codes, "lq", 0, &w.rows, "codes", &st.codes) || required(st.codes, "codes")
        || hold(&held, valid, "B?", 0, &w.rows, "valid", &w.valid)
        || hold(&held, offsets, "lq", 0, &boundaries, "offsets", &st.offset)
        || required(st.offset, "offsets")
        || hold(&held, result, "lq", 1, &st.capacity, "out", &st.out) || required(st.out, "out")
        || check_starts(st.offset, boundaries, st.capacity, 1, "offsets"))
        return finished(&held, status);
    WITHOUT_GIL(status = sweep_codes(&w, &st))
    return finished(&held, status);
}

PyDoc_STRVAR(gather_doc, "gather_active(spans, valid, offsets, out)\n--\n\n"
    "Rows active at each query in row order, query q's at out[offsets[q]:offsets[q + 1]].");

static PyObject *py_gather_active(PyObject *module, PyObject *args) {
    PyObject *spans, *valid, *offsets, *result;
    Buffers held = {.count = 0};
    Sweep w;
    GatherState st = {.capacity = -1};
    int status = HELD_FAILED;
    int64_t rows = -1;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOO", &spans, &valid, &offsets, &result) || hold_sweep(&held, spans, &w))
        return finished(&held, status);
    int64_t boundaries = w.queries + 1;
    if (hold(&held, valid, "B?", 0, &rows, "valid", &w.valid)
        || hold(&held, offsets, "lq", 0, &boundaries, "offsets", &st.offset)
        || required(st.offset, "offsets")
        || hold(&held, result, "lq", 1, &st.capacity, "out", &st.out) || required(st.out, "out")
        || check_starts(st.offset, boundaries, st.capacity, 1, "offsets"))
        return finished(&held, status);
    if (rows >= 0) w.rows = rows;
    WITHOUT_GIL(status = gather_active(&w, &st))
    return finished(&held, status);
}

/* ---- rules as spans -------------------------------------------------------------------------------- */

PyDoc_STRVAR(rule_doc, "rule_spans(rows, parameter, span_row, enter, exit, span_start) -> int\n--\n\n"
    "Spans of the newest N rows, or, where events are given, of the newest session; rows = (event,\n"
    "enter, superseded, group_start, enter_order, dropped, dropped_start). Returns how many spans\n"
    "there are; those beyond the length of the outputs are not written.");

static PyObject *py_rule_spans(PyObject *module, PyObject *args) {
    PyObject *rows, *o[7], *out[4];
    Buffers held = {.count = 0};
    Rule r = {.rows = -1, .drops = -1, .capacity = -1};
    int status = HELD_FAILED;
    int64_t starts = -1;
    long long parameter;
    (void)module;
    if (!PyArg_ParseTuple(args, "OLOOOO", &rows, &parameter, out, out + 1, out + 2, out + 3)
        || !PyArg_ParseTuple(rows, "OOOOOOO", o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6)
        || hold(&held, o[1], "lq", 0, &r.rows, "enter", &r.enter) || required(r.enter, "enter")
        || hold(&held, o[0], "lq", 0, &r.rows, "event", &r.event)
        || hold(&held, o[2], "lq", 0, &r.rows, "superseded", &r.superseded)
        || hold(&held, o[4], "lq", 0, &r.rows, "enter_order", &r.enter_order)
        || hold(&held, o[3], "lq", 0, &starts, "group_start", &r.start)
        || check_starts(r.start, starts, r.rows, 1, "group_start")
        || hold(&held, o[5], "lq", 0, &r.drops, "dropped", &r.dropped)
        || hold(&held, o[6], "lq", 0, &starts, "dropped_start", &r.dropped_start)
        || check_starts(r.dropped_start, starts, r.drops < 0 ? 0 : r.drops, 1, "dropped_start")
        || (r.drops > 0 && required(r.superseded, "superseded"))
        || hold(&held, out[0], "lq", 1, &r.capacity, "span_row", &r.span_row)
        || required(r.span_row, "span_row")
        || hold(&held, out[1], "lq", 1, &r.capacity, "enter", &r.span_enter)
        || required(r.span_enter, "enter")
        || hold(&held, out[2], "lq", 1, &r.capacity, "exit", &r.span_exit)
        || required(r.span_exit, "exit")
        || hold(&held, out[3], "lq", 1, &starts, "span_start", &r.span_start)
        || required(r.span_start, "span_start"))
        return finished(&held, status);
    r.groups = starts - 1;
    r.parameter = parameter;
    WITHOUT_GIL(status = r.event ? rule_spans(&r, session_add, session_remove)
                                 : rule_spans(&r, newest_add, newest_remove))
    release(&held);
    return report(status) ? NULL : PyLong_FromLongLong(r.total);
}

/* ---- the newest row, from rows in any order -------------------------------------------------------- */

static int hold_queries(Buffers *held, PyObject *spine, Latest *l) {
    PyObject *start, *time, *mark;
    int64_t starts = -1, marks;
    l->queries = -1;
    if (!PyArg_ParseTuple(spine, "OOO", &start, &time, &mark)
        || hold(held, time, "lq", 0, &l->queries, "query_time", &l->query_time)
        || required(l->query_time, "query_time")
        || hold(held, start, "lq", 0, &starts, "query_start", &l->query_start)
        || check_starts(l->query_start, starts, l->queries, 1, "query_start"))
        return -1;
    marks = l->queries * MARK;
    l->keys = starts - 1;
    return hold(held, mark, "lq", 1, &marks, "mark", &l->mark) || required(l->mark, "mark") ? -1 : 0;
}

PyDoc_STRVAR(latest_add_doc, "latest_add(spine, batch, (row_base, begin, ties), tie) -> (begin, ties)\n--\n\n"
    "Raises the marks of a spine = (query_start, query_time, mark) by the rows of a batch = (codes,\n"
    "enter, event, known, sequence) from row `begin` on, until done or `tie` is almost full.");

static PyObject *py_latest_add(PyObject *module, PyObject *args) {
    PyObject *spine, *batch, *tie, *o[5];
    Buffers held = {.count = 0};
    Latest l = {.rows = -1};
    int status = HELD_FAILED;
    int64_t tie_length = -1;
    long long row_base, begin, ties;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO(LLL)O", &spine, &batch, &row_base, &begin, &ties, &tie)
        || !PyArg_ParseTuple(batch, "OOOOO", o, o + 1, o + 2, o + 3, o + 4)
        || hold_queries(&held, spine, &l)
        || hold(&held, o[0], "lq", 0, &l.rows, "codes", &l.codes) || required(l.codes, "codes")
        || hold(&held, o[1], "lq", 0, &l.rows, "enter", &l.enter) || required(l.enter, "enter")
        || hold(&held, o[2], "lq", 0, &l.rows, "event", &l.event) || required(l.event, "event")
        || hold(&held, o[3], "lq", 0, &l.rows, "known", &l.known) || required(l.known, "known")
        || hold(&held, o[4], "lq", 0, &l.rows, "sequence", &l.sequence)
        || hold(&held, tie, "lq", 1, &tie_length, "tie", &l.tie) || required(l.tie, "tie"))
        return finished(&held, status);
    l.tie_capacity = tie_length / TIE;
    if (ties < 0 || ties > l.tie_capacity || begin < 0 || row_base < 0
        || row_base > INT64_MAX - l.rows) {
        PyErr_SetString(PyExc_ValueError, "row_base, begin or ties: out of range");
        return finished(&held, status);
    }
    l.row_base = row_base;
    l.begin = begin;
    l.ties = ties;
    WITHOUT_GIL(status = latest_add(&l))
    release(&held);
    return report(status) ? NULL : Py_BuildValue("LL", (long long)l.begin, (long long)l.ties);
}

PyDoc_STRVAR(latest_finish_doc, "latest_finish(spine, origin, row)\n--\n\n"
    "The running greatest mark of each key's queries: where it was set, and its smallest row.");

static PyObject *py_latest_finish(PyObject *module, PyObject *args) {
    PyObject *spine, *first, *second;
    Buffers held = {.count = 0};
    Latest l = {0};
    int64_t *origin, *row;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO", &spine, &first, &second) || hold_queries(&held, spine, &l)
        || hold(&held, first, "lq", 1, &l.queries, "origin", &origin) || required(origin, "origin")
        || hold(&held, second, "lq", 1, &l.queries, "row", &row) || required(row, "row"))
        return finished(&held, HELD_FAILED);
    WITHOUT_GIL(latest_finish(&l, origin, row))
    return finished(&held, OK);
}

PyDoc_STRVAR(group_doc, "group_rows(codes, times, order, start)\n--\n\n"
    "Positions of rows by code and time, stable, and where each code's begin.");

static PyObject *py_group_rows(PyObject *module, PyObject *args) {
    PyObject *o[4];
    Buffers held = {.count = 0};
    const int64_t *codes, *times;
    int64_t *order, *start, rows = -1, starts = -1;
    int status = HELD_FAILED;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOO", o, o + 1, o + 2, o + 3)
        || hold(&held, o[0], "lq", 0, &rows, "codes", &codes) || required(codes, "codes")
        || hold(&held, o[1], "lq", 0, &rows, "times", &times) || required(times, "times")
        || hold(&held, o[2], "lq", 1, &rows, "order", &order) || required(order, "order")
        || hold(&held, o[3], "lq", 1, &starts, "start", &start) || required(start, "start"))
        return finished(&held, HELD_FAILED);
    if (starts < 1) PyErr_SetString(PyExc_ValueError, "start: expected one more than there are codes");
    else WITHOUT_GIL(status = group_rows(codes, times, rows, starts - 1, order, start))
    return finished(&held, status);
}

/* ---- one slice ---------------------------------------------------------------------------------------- */

static PyObject *summary_tuple(const Exact *x, Form form, int want, const Extent *extent) {
    Summary s;
    exact_finish(x, want, &s);
    PyObject *tuple = PyTuple_New(7);
    for (int i = 0; tuple && i < 7; i++) {
        PyObject *item = want >> i & 1 ? summary_number(x, &s, form, extent, i) : Py_NewRef(Py_None);
        if (!item) Py_CLEAR(tuple);
        else PyTuple_SET_ITEM(tuple, i, item);
    }
    return tuple;
}

PyDoc_STRVAR(window_doc, "window_summary(values, valid, low, high, want)\n--\n\n"
    "(count, sum, mean, var, var_sample, min, max) of values[low:high], float64 or int64 of any stride.");

static int get_line(PyObject *object, Py_buffer *view, const char *formats, const char *name) {
    if (PyObject_GetBuffer(object, view, PyBUF_STRIDES | PyBUF_FORMAT)) return -1;
    if (view->ndim == 1 && view->itemsize == (*formats == 'B' ? 1 : 8)
        && format_is(view->format, formats))
        return 0;
    PyErr_Format(PyExc_ValueError, "%s: expected one dimension of %s", name,
                 *formats == 'B' ? "uint8" : "float64 or int64");
    PyBuffer_Release(view);
    return -1;
}

static PyObject *py_window_summary(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_buffer values, valid;
    Slice slice = {0};
    Exact exact;
    Extent extent;
    int status = OK;
    (void)module;
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "window_summary takes 5 arguments");
        return NULL;
    }
    int want = (int)PyLong_AsLong(args[4]);
    slice.low = PyLong_AsSsize_t(args[2]);
    slice.high = PyLong_AsSsize_t(args[3]);
    if (PyErr_Occurred() || get_line(args[0], &values, "dlq", "values")) return NULL;
    if (args[1] != Py_None && get_line(args[1], &valid, "B?", "valid")) {
        PyBuffer_Release(&values);
        return NULL;
    }
    int masked = args[1] != Py_None;
    Form form = format_is(values.format, "d") ? FIXED : INTEGERS;
    int outside = slice.low < 0 || slice.high > values.shape[0] || slice.low > slice.high
                  || (masked && valid.shape[0] != values.shape[0]);
    slice.values = values.buf;
    slice.step = values.strides[0];
    slice.valid = masked ? valid.buf : NULL;
    slice.valid_step = masked ? valid.strides[0] : 0;
    if (!outside) status = sum_slice(&slice, &exact, form, want, &extent);
    PyBuffer_Release(&values);
    if (masked) PyBuffer_Release(&valid);
    if (outside) PyErr_SetString(PyExc_ValueError, "window_summary: slice or valid outside the values");
    if (outside || report(status)) return NULL;
    return summary_tuple(&exact, form, want, &extent);
}

#include "_moments_module.h"

/* ---- the module ------------------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"sweep_sums", py_sweep_sums, METH_VARARGS, sums_doc},
    {"sweep_order", py_sweep_order, METH_VARARGS, order_doc},
    {"sweep_unique", py_sweep_unique, METH_VARARGS, unique_doc},
    {"sweep_codes", py_sweep_codes, METH_VARARGS, codes_doc},
    {"gather_active", py_gather_active, METH_VARARGS, gather_doc},
    {"sweep_moments", py_sweep_moments, METH_VARARGS, moments_doc},
    {"window_moments", py_window_moments, METH_VARARGS, window_moments_doc},
    {"sweep_quantile", py_sweep_quantile, METH_VARARGS, quantile_doc},
    {"decayed_means", py_decayed_means, METH_VARARGS, decay_doc},
    {"sweep_distinct", py_sweep_distinct, METH_VARARGS, distinct_doc},
    {"hashes", py_hashes, METH_VARARGS, hashes_doc},
    {"sweep_frequent", py_sweep_frequent, METH_VARARGS, frequent_doc},
    {"rule_spans", py_rule_spans, METH_VARARGS, rule_doc},
    {"latest_add", py_latest_add, METH_VARARGS, latest_add_doc},
    {"latest_finish", py_latest_finish, METH_VARARGS, latest_finish_doc},
    {"group_rows", py_group_rows, METH_VARARGS, group_doc},
    {"window_summary", (PyCFunction)(void (*)(void))py_window_summary, METH_FASTCALL, window_doc},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_compiled", "Compiled kernels; the same bits as numpy_kernels.", 0,
    methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&definition); }
