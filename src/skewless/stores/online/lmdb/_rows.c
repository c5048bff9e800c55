/* The rows of many keys out of one read transaction of py-lmdb: the loop of tree.get_many in C.

   It calls what Python would call, the environment's `begin` and the transaction's `get` and
   `commit`; between them there is nothing left but these calls. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

static PyObject *commit_name, *abort_name, *get_name;

/* 1: the catalog is still the one that has this header, 0: it is not, -1: an error. */
static int is_current(PyObject *get, PyObject *header_key, PyObject *header) {
    PyObject *found = PyObject_CallOneArg(get, header_key);
    int same = found ? PyObject_RichCompareBool(found, header, Py_EQ) : -1;
    Py_XDECREF(found);
    return same;
}

static PyObject *row_of(PyObject *get, const char *table, Py_ssize_t table_size, PyObject *key) {
    PyObject *whole = PyBytes_FromStringAndSize(NULL, table_size + PyBytes_GET_SIZE(key));
    if (!whole) return NULL;
    memcpy(PyBytes_AS_STRING(whole), table, (size_t)table_size);
    memcpy(PyBytes_AS_STRING(whole) + table_size, PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key));
    PyObject *row = PyObject_CallOneArg(get, whole);
    Py_DECREF(whole);
    return row;
}

/* What `each` makes of a row and its place; the row, which is given up, where there is none. */
static PyObject *taken(PyObject *each, Py_ssize_t at, PyObject *row) {
    if (each == Py_None || row == Py_None || !row) return row;
    PyObject *place = PyLong_FromSsize_t(at), *arguments[2] = {place, row};
    PyObject *found = place ? PyObject_Vectorcall(each, arguments, 2, NULL) : NULL;
    Py_XDECREF(place);
    Py_DECREF(row);
    return found;
}

/* A list of rows; None where a key is too long for one of LMDB, or no bytes; NULL: an error. */
static PyObject *rows_of(PyObject *get, PyObject *table, PyObject *keys, Py_ssize_t longest,
                         PyObject *each) {
    Py_ssize_t count = PySequence_Fast_GET_SIZE(keys);
    PyObject *rows = PyList_New(count);
    for (Py_ssize_t at = 0; rows && at < count; at++) {
        /* Another thread may have the GIL within `get` and change a list. */
        PyObject *key = at < PySequence_Fast_GET_SIZE(keys) ? PySequence_Fast_GET_ITEM(keys, at) : NULL;
        if (!key || !PyBytes_CheckExact(key) || PyBytes_GET_SIZE(key) > longest) {
            Py_DECREF(rows);
            Py_RETURN_NONE;
        }
        Py_INCREF(key);
        PyObject *row = row_of(get, PyBytes_AS_STRING(table), PyBytes_GET_SIZE(table), key);
        row = taken(each, at, row);
        Py_DECREF(key);
        if (row) PyList_SET_ITEM(rows, at, row);
        else Py_CLEAR(rows);
    }
    return rows;
}

static void abort_transaction(PyObject *txn) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *done = PyObject_CallMethodNoArgs(txn, abort_name);
    Py_XDECREF(done);
    PyErr_Restore(type, value, trace);
}

PyDoc_STRVAR(read_doc, "read_rows(begin, header_key, header, table, keys, longest, each)\n--\n\n"
    "The values of keys, None for each that is missing; None where the header of the catalog is not\n"
    "this one, or a key is longer than `longest`. Of values\n"
    "what each(place, value) makes of them, unless it is None.");

static PyObject *py_read_rows(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    PyObject *rows = NULL;
    if (count != 7) return PyErr_Format(PyExc_TypeError, "expected 7 arguments, got %zd", count);
    if (!PyBytes_CheckExact(args[3])) return PyErr_Format(PyExc_TypeError, "table: expected bytes");
    Py_ssize_t longest = PyLong_AsSsize_t(args[5]);
    if (longest == -1 && PyErr_Occurred()) return NULL;
    PyObject *keys = PySequence_Fast(args[4], "keys: expected a sequence");
    PyObject *txn = keys ? PyObject_CallNoArgs(args[0]) : NULL;
    PyObject *get = txn ? PyObject_GetAttr(txn, get_name) : NULL;
    int current = get ? is_current(get, args[1], args[2]) : -1;
    if (current > 0) rows = rows_of(get, args[3], keys, longest, args[6]);
    else if (current == 0) rows = Py_NewRef(Py_None);
    Py_XDECREF(get);
    if (rows) {
        PyObject *done = PyObject_CallMethodNoArgs(txn, commit_name);
        if (!done) Py_CLEAR(rows);
        Py_XDECREF(done);
    } else if (txn) {
        abort_transaction(txn);
    }
    Py_XDECREF(txn);
    Py_XDECREF(keys);
    return rows;
}

static PyMethodDef methods[] = {
    {"read_rows", (PyCFunction)(void (*)(void))py_read_rows, METH_FASTCALL, read_doc},
    {NULL, NULL, 0, NULL}};

static int fill(PyObject *module) {
    (void)module;
    if (!commit_name) commit_name = PyUnicode_InternFromString("commit");
    if (!abort_name) abort_name = PyUnicode_InternFromString("abort");
    if (!get_name) get_name = PyUnicode_InternFromString("get");
    return commit_name && abort_name && get_name ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_rows", "Rows of LMDB; the same as tree.py gives.", 0, methods, slots, NULL,
    NULL, NULL};

PyMODINIT_FUNC PyInit__rows(void) { return PyModuleDef_Init(&definition); }
