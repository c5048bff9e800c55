/* One page of an LMDB tree, looked at before LMDB follows it: `pages._look` in C. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { HEAD = 16, NODE = 8, BRANCH = 1, LEAF = 2, IN_OVERFLOW = 1, LONGEST_KEY = 511 };

static uint16_t half(const char *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t word(const char *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static int append(PyObject *list, uint64_t value) {
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    int failed = !number || PyList_Append(list, number) < 0;
    Py_XDECREF(number);
    return failed ? -1 : 0;
}

static int follows(const char *key, Py_ssize_t size, const char *last, Py_ssize_t last_size,
                   int integers) {
    if (integers) return word(key) > word(last);
    int order = memcmp(key, last, (size_t)(size < last_size ? size : last_size));
    return order ? order > 0 : size > last_size;
}

static int flaw(const char *what, Py_ssize_t place, unsigned long long number) {
    PyErr_Format(PyExc_ValueError, "row %zd of page %llu %s", place, number, what);
    return -1;
}

/* 0: all rows are well, and what they lead to is in `led`; -1: an error. */
static int rows_of(const char *page, Py_ssize_t size, unsigned long long number, int kind,
                   int integers, Py_ssize_t count, PyObject *led) {
    const char *last = NULL;
    Py_ssize_t last_size = 0, upper = half(page + 14);
    for (Py_ssize_t place = 0; place < count; place++) {
        Py_ssize_t offset = half(page + HEAD + 2 * place);
        if (offset < upper || offset % 2 || offset + NODE > size)
            return flaw("lies outside of it", place, number);
        const char *node = page + offset, *key = node + NODE;
        uint64_t low = half(node), high = half(node + 2);
        unsigned flags = half(node + 4);
        Py_ssize_t length = half(node + 6), end = offset + NODE + length;
        int wrong = 0, bare = kind == BRANCH && place == 0;
        if (kind == BRANCH) {
            if (append(led, low | high << 16 | (uint64_t)flags << 32) < 0) return -1;
        } else {
            end += flags == IN_OVERFLOW ? (Py_ssize_t)sizeof(uint64_t) : (Py_ssize_t)(low | high << 16);
            wrong = flags > IN_OVERFLOW || length == 0;
            if (flags == IN_OVERFLOW && end <= size)
                if (append(led, (uint64_t)place) < 0 || append(led, word(key + length)) < 0 ||
                    append(led, low | high << 16) < 0)
                    return -1;
        }
        if (wrong || end > size || length > LONGEST_KEY) return flaw("is not whole", place, number);
        if (bare) continue;
        if (integers && length != (Py_ssize_t)sizeof(uint64_t))
            return flaw("has no number for a key", place, number);
        if (last && !follows(key, length, last, last_size, integers))
            return flaw("is out of order", place, number);
        last = key;
        last_size = length;
    }
    return 0;
}

static PyObject *looked(const Py_buffer *view, unsigned long long number, int kind, int integers) {
    const char *page = view->buf;
    if (view->len < HEAD || word(page) != number || half(page + 10) != kind)
        return PyErr_Format(PyExc_ValueError, "page %llu is another one", number);
    Py_ssize_t lower = half(page + 12), upper = half(page + 14), count = (lower - HEAD) / 2;
    if (lower < HEAD || lower > upper || upper > view->len || lower % 2 ||
        count < (kind == BRANCH && !integers ? 2 : 1))
        return PyErr_Format(PyExc_ValueError, "page %llu has no room for its rows", number);
    PyObject *led = PyList_New(0);
    if (!led || rows_of(page, view->len, number, kind, integers, count, led) < 0) {
        Py_XDECREF(led);
        return NULL;
    }
    return Py_BuildValue("nN", count, led);
}

PyDoc_STRVAR(look_doc, "look(page, number, kind, integers)\n--\n\n"
    "How many rows a page has, and what they lead to; ValueError says what is wrong with it.");

static PyObject *py_look(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer view;
    unsigned long long number;
    int kind, integers;
    if (!PyArg_ParseTuple(args, "y*Kip", &view, &number, &kind, &integers)) return NULL;
    PyObject *found = looked(&view, number, kind, integers);
    PyBuffer_Release(&view);
    return found;
}

static PyMethodDef methods[] = {{"look", py_look, METH_VARARGS, look_doc}, {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_pages", "Pages of LMDB; the same as pages.py finds.", 0, methods, slots,
    NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__pages(void) { return PyModuleDef_Init(&definition); }
