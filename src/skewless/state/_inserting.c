/* Adding rows to packed states in C: what prepend.py does for one row, for the rows of a batch.

   Rows that need more than that, and all later ones of their entities, are left to Python: see
   `Inserter.add` for which they are. The layout of a state is told in blob.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define START 8                /* version, flags, number of tails, layout */
#define FLAGS_AT 1
#define ROWS_AT 8
#define CORRECTIONS_AT 12
#define SEQUENCE_AT 16
#define LIMIT_AT 32
#define HEADER 36
#define TIMES 24               /* event, known, tiebreak */
#define TILED 1

typedef struct {
    const char *first;         /* the header of a state with one row */
    const char *record;
    Py_ssize_t size;           /* of a record */
    Py_ssize_t tails;
    PyObject **own;            /* the row's tails */
    PyObject *no_tiles;
    int64_t exclusive;
    Py_ssize_t longest;
} Row;

static int64_t int64_at(const char *bytes) {
    int64_t value;
    memcpy(&value, bytes, 8);
    return value;
}

static uint32_t uint32_at(const char *bytes) {
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
}

static char *put(char *to, const void *bytes, Py_ssize_t size) {
    memcpy(to, bytes, (size_t)size);
    return to + size;
}

static char *put_object(char *to, PyObject *bytes) {
    return put(to, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
}

static Py_ssize_t size_of_tails(const Row *row) {
    Py_ssize_t total = 0;
    for (Py_ssize_t at = 0; at < row->tails; at++) total += PyBytes_GET_SIZE(row->own[at]);
    return total;
}

static PyObject *started(const Row *row) {
    Py_ssize_t size = HEADER + 4 * row->tails + row->size + size_of_tails(row);
    PyObject *state = PyBytes_FromStringAndSize(NULL, size + PyBytes_GET_SIZE(row->no_tiles));
    if (!state) return NULL;
    char *to = PyBytes_AS_STRING(state);
    put(to, row->first, HEADER);
    memcpy(to + SEQUENCE_AT, row->record + 16, 8);
    to += HEADER;
    for (Py_ssize_t at = 0; at < row->tails; at++) {
        uint32_t length = (uint32_t)PyBytes_GET_SIZE(row->own[at]);
        to = put(to, &length, 4);
    }
    to = put(to, row->record, row->size);
    for (Py_ssize_t at = 0; at < row->tails; at++) to = put_object(to, row->own[at]);
    put_object(to, row->no_tiles);
    return state;
}

/* Whether a row comes after the newest one of a state, in the order of rows. */
static int is_newest(const char *row, const char *before) {
    for (int at = 0; at < TIMES; at += 8) {
        int64_t own = int64_at(row + at), other = int64_at(before + at);
        if (own != other) return own > other;
    }
    return 0;
}

/* The state with a row more; None: Python has to see to it; the state itself: it has the row. */
static PyObject *added(const Row *row, PyObject *state) {
    if (!PyBytes_CheckExact(state)) Py_RETURN_NONE;
    const char *bytes = PyBytes_AS_STRING(state), *sizes = bytes + HEADER;
    Py_ssize_t length = PyBytes_GET_SIZE(state), rows_at = HEADER + 4 * row->tails;
    if (length < rows_at + row->size || length > row->longest) Py_RETURN_NONE;
    uint32_t rows = uint32_at(bytes + ROWS_AT);
    if (memcmp(bytes, row->first, START) || uint32_at(bytes + CORRECTIONS_AT)
        || rows >= uint32_at(bytes + LIMIT_AT)) Py_RETURN_NONE;
    if (int64_at(row->record + 16) <= int64_at(bytes + SEQUENCE_AT)) return Py_NewRef(state);
    if (!is_newest(row->record, bytes + rows_at)) Py_RETURN_NONE;
    if (bytes[FLAGS_AT] & TILED) {
        int64_t event = int64_at(row->record) + row->exclusive, known = int64_at(row->record + 8);
        if ((event > known ? event : known) <= int64_at(bytes + length - 8)) Py_RETURN_NONE;
    }
    Py_ssize_t end = rows_at + (Py_ssize_t)rows * row->size;
    for (Py_ssize_t at = 0; at < row->tails; at++) {
        uint64_t size = (uint64_t)uint32_at(sizes + 4 * at);
        if (size + (uint64_t)PyBytes_GET_SIZE(row->own[at]) > UINT32_MAX) Py_RETURN_NONE;
        end += (Py_ssize_t)size;
    }
    if (end > length) Py_RETURN_NONE;
    PyObject *grown = PyBytes_FromStringAndSize(NULL, length + row->size + size_of_tails(row));
    if (!grown) return NULL;
    char *to = PyBytes_AS_STRING(grown);
    put(to, bytes, HEADER);
    rows++;
    memcpy(to + ROWS_AT, &rows, 4);
    memcpy(to + SEQUENCE_AT, row->record + 16, 8);
    to += HEADER;
    for (Py_ssize_t at = 0; at < row->tails; at++) {
        uint32_t size = uint32_at(sizes + 4 * at) + (uint32_t)PyBytes_GET_SIZE(row->own[at]);
        to = put(to, &size, 4);
    }
    to = put(to, row->record, row->size);
    const char *from = bytes + rows_at;
    Py_ssize_t held = (Py_ssize_t)(rows - 1) * row->size;
    to = put(to, from, held);
    from += held;
    for (Py_ssize_t at = 0; at < row->tails; at++) {
        Py_ssize_t size = (Py_ssize_t)uint32_at(sizes + 4 * at);
        to = put(put_object(to, row->own[at]), from, size);
        from += size;
    }
    put(to, from, bytes + length - from);
    return grown;
}

/* The tails of a row in `row->own`; whether they are bytes. */
static int tails_of(Row *row, PyObject *tails, Py_ssize_t number) {
    for (Py_ssize_t at = 0; at < row->tails; at++) {
        PyObject *column = PyList_GET_ITEM(tails, at);
        if (!PyList_Check(column) || number >= PyList_GET_SIZE(column)) return 0;
        row->own[at] = PyList_GET_ITEM(column, number);
        if (!PyBytes_CheckExact(row->own[at])) return 0;
    }
    return 1;
}

PyDoc_STRVAR(insert_doc, "insert(states, groups, records, size, tails, first, no_tiles, exclusive, longest, skipped)\n--\n\n"
    "Prepend rows to their states, in the list; return the numbers of those left to do.");

static PyObject *py_insert(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *states, *tails, *no_tiles, *skipped, *left = NULL;
    Py_buffer groups, records, first;
    long long shift;
    Row row;
    if (!PyArg_ParseTuple(args, "O!y*y*nO!y*O!LnO!", &PyList_Type, &states, &groups, &records,
                          &row.size, &PyList_Type, &tails, &first, &PyBytes_Type, &no_tiles, &shift,
                          &row.longest, &PyByteArray_Type, &skipped)) return NULL;
    Py_ssize_t count = groups.len / 8, entities = PyList_GET_SIZE(states);
    row.first = first.buf;
    row.no_tiles = no_tiles;
    row.exclusive = shift;
    row.tails = PyList_GET_SIZE(tails);
    row.own = PyMem_New(PyObject *, row.tails + 1);
    if (!row.own) PyErr_NoMemory();
    else if (row.size < TIMES || records.len != count * row.size || first.len != HEADER
             || PyByteArray_GET_SIZE(skipped) != entities)
        PyErr_SetString(PyExc_ValueError, "rows, states and header do not fit together");
    else left = PyList_New(0);
    for (Py_ssize_t number = 0; left && number < count; number++) {
        int64_t group = int64_at((const char *)groups.buf + 8 * number);
        if (group < 0 || group >= entities) {
            PyErr_SetString(PyExc_IndexError, "a row of no state");
            Py_CLEAR(left);
            break;
        }
        char *skip = PyByteArray_AS_STRING(skipped) + group;
        PyObject *state = PyList_GET_ITEM(states, group), *found = NULL;
        row.record = (const char *)records.buf + number * row.size;
        if (!*skip && tails_of(&row, tails, number)) {
            found = state == Py_None ? started(&row) : added(&row, state);
            if (!found) {
                Py_CLEAR(left);
                break;
            }
        }
        if (found && found != Py_None) {
            PyList_SetItem(states, group, found);
            continue;
        }
        Py_XDECREF(found);
        *skip = 1;
        PyObject *left_over = PyLong_FromSsize_t(number);
        if (!left_over || PyList_Append(left, left_over)) Py_CLEAR(left);
        Py_XDECREF(left_over);
    }
    PyMem_Free(row.own);
    PyBuffer_Release(&groups);
    PyBuffer_Release(&records);
    PyBuffer_Release(&first);
    return left;
}

static PyMethodDef methods[] = {{"insert", py_insert, METH_VARARGS, insert_doc}, {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_inserting", "Rows into packed states; see prepend.py.", 0, methods,
    slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__inserting(void) { return PyModuleDef_Init(&definition); }
