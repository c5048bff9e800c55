/* The texts of a column of one packed state, each distinct one once: what cutting them out one by one
   in Python takes longest for. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../aggregations/kernels/_hash.h"

#define SEED 9001
#define MOST_PROBES 16                       /* a row, on average: beyond, Python's own hashes serve */

typedef struct { int64_t row, start; } Entry;    /* the newest row of a text, and where it lies */

typedef struct {
    const char *state;
    const uint32_t *length;
    int64_t rows, at, distinct, probes, mask;
    int64_t *code;                           /* by row, the oldest first */
    Entry *entry;                            /* of each distinct text */
    int64_t *table;                          /* places among the entries, -1: free */
} Texts;

/* The place of a text among the distinct ones; -1: too many share a hash. */
static int64_t place_of(Texts *t, int64_t row, int64_t start) {
    uint32_t length = t->length[row];
    int64_t slot = (int64_t)hash_of((const uint8_t *)t->state + start, length, SEED) & t->mask;
    for (; t->probes > 0; slot = (slot + 1) & t->mask, t->probes--) {
        int64_t found = t->table[slot];
        if (found < 0) {
            t->table[slot] = t->distinct;
            t->entry[t->distinct] = (Entry){row, start};
            return t->distinct++;
        }
        const Entry *other = &t->entry[found];
        if (t->length[other->row] == length && !memcmp(t->state + other->start, t->state + start, length))
            return found;
    }
    return -1;
}

/* Rows lie newest first in a state; codes are in row order. */
static int number(Texts *t) {
    int64_t start = t->at;
    for (int64_t row = 0; row < t->rows; row++) {
        int64_t place = place_of(t, row, start);
        if (place < 0) return 0;
        t->code[t->rows - 1 - row] = place;
        start += t->length[row];
    }
    return 1;
}

static PyObject *listed(const Texts *t) {
    PyObject *texts = PyList_New(t->distinct);
    for (int64_t place = 0; texts && place < t->distinct; place++) {
        const Entry *entry = &t->entry[place];
        PyObject *text = PyBytes_FromStringAndSize(t->state + entry->start, t->length[entry->row]);
        if (!text) Py_CLEAR(texts);
        else PyList_SET_ITEM(texts, place, text);
    }
    return texts;
}

PyDoc_STRVAR(texts_doc, "texts(state, at, lengths, codes) -> list | None\n--\n\n"
    "The distinct texts of lengths (uint32, the newest row first) that lie in a state from ``at`` on;\n"
    "codes (int64) get the place of each row's, the oldest first. None where Python must look.");

static PyObject *py_texts(PyObject *module, PyObject *args) {
    Py_buffer state, lengths, codes;
    long long at;
    PyObject *found = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*Ly*w*", &state, &at, &lengths, &codes)) return NULL;
    Texts t = {.state = state.buf, .length = lengths.buf, .rows = lengths.len / 4, .at = at, .code = codes.buf};
    int64_t size = 16, end = at;
    for (int64_t row = 0; row < t.rows && end <= state.len; row++) end += t.length[row];
    while (size < 2 * t.rows) size *= 2;
    t.mask = size - 1;
    t.probes = MOST_PROBES * (t.rows + 16);
    if (at < 0 || end > state.len || codes.len != 8 * t.rows) {
        PyErr_SetString(PyExc_ValueError, "texts that lie outside of their state");
        goto done;
    }
    t.table = PyMem_Malloc((size_t)size * sizeof *t.table);
    t.entry = PyMem_Malloc((size_t)(t.rows + 1) * sizeof *t.entry);
    if (!t.table || !t.entry) {
        PyErr_NoMemory();
        goto done;
    }
    memset(t.table, 0xff, (size_t)size * sizeof *t.table);
    found = number(&t) ? listed(&t) : Py_NewRef(Py_None);
done:
    PyMem_Free(t.table);
    PyMem_Free(t.entry);
    PyBuffer_Release(&state);
    PyBuffer_Release(&lengths);
    PyBuffer_Release(&codes);
    return found;
}

static PyMethodDef methods[] = {{"texts", py_texts, METH_VARARGS, texts_doc}, {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_texts", "Texts of packed rows.", 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__texts(void) { return PyModuleDef_Init(&definition); }
