/* Seals of many values in one call; see sealing.py, which says what a seal is and has the same in
   Python. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_crc32.h"

#define SEAL 4

static uint32_t seal_of(uint32_t seed, PyObject *key, const char *value, Py_ssize_t size) {
    uint32_t of_key = crc32_of(seed, PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key));
    return of_key ^ crc32_of(0, value, (size_t)size);
}

static int is_whole(uint32_t seed, PyObject *key, PyObject *value) {
    Py_ssize_t size = PyBytes_GET_SIZE(value) - SEAL;
    if (size < 0) return 0;
    const char *bytes = PyBytes_AS_STRING(value);
    const unsigned char *end = (const unsigned char *)bytes + size;
    uint32_t seal = end[0] | (uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 | (uint32_t)end[3] << 24;
    return seal == seal_of(seed, key, bytes, size);
}

static void forget_hash(PyObject *bytes) {
#if defined(__GNUC__) || defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
    ((PyBytesObject *)bytes)->ob_shash = -1;
#if defined(__GNUC__) || defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

static int bytes_only(PyObject *object, const char *name) {
    if (PyBytes_Check(object)) return 1;
    PyErr_Format(PyExc_TypeError, "%s: expected bytes, got %.80s", name, Py_TYPE(object)->tp_name);
    return 0;
}

static int arguments(Py_ssize_t count, PyObject *const *args, Py_ssize_t wanted, uint32_t *seed) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", wanted, count);
        return 0;
    }
    *seed = (uint32_t)PyLong_AsUnsignedLongMask(args[0]);
    return !PyErr_Occurred();
}

PyDoc_STRVAR(crc32_doc, "crc32(value, data)\n--\n\nzlib.crc32(data, value).");

static PyObject *py_crc32(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    uint32_t value;
    (void)module;
    if (!arguments(count, args, 2, &value) || !bytes_only(args[1], "data")) return NULL;
    return PyLong_FromUnsignedLong(
        crc32_of(value, PyBytes_AS_STRING(args[1]), (size_t)PyBytes_GET_SIZE(args[1])));
}

PyDoc_STRVAR(open_doc, "open_all(seed, keys, values)\n--\n\n"
    "Take the seals off the values of a list, in place; return the first damaged one, -1 if none is,\n"
    "-2 if none is and some are None.");

static PyObject *py_open_all(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    uint32_t seed;
    (void)module;
    if (!arguments(count, args, 3, &seed)) return NULL;
    PyObject *values = args[2];
    if (!PyList_Check(values)) return PyErr_Format(PyExc_TypeError, "values: expected a list");
    PyObject *keys = PySequence_Fast(args[1], "keys: expected a sequence");
    if (!keys) return NULL;
    Py_ssize_t found = -1, rows = PyList_GET_SIZE(values);
    if (PySequence_Fast_GET_SIZE(keys) != rows) {
        PyErr_Format(PyExc_ValueError, "keys: expected %zd", rows);
        goto failed;
    }
    for (Py_ssize_t row = 0; row < rows; row++) {
        PyObject *value = PyList_GET_ITEM(values, row), *key = PySequence_Fast_GET_ITEM(keys, row);
        if (value == Py_None) {
            found = -2;
            continue;
        }
        if (!bytes_only(value, "values") || !bytes_only(key, "keys")) goto failed;
        if (!is_whole(seed, key, value)) {
            found = row;
            break;
        }
        Py_ssize_t size = PyBytes_GET_SIZE(value) - SEAL;
        if (Py_REFCNT(value) == 1 && size > 1 && PyBytes_CheckExact(value)) {
            /* Nobody else has it: it ends earlier from now on, where it lies. */
            Py_SET_SIZE(value, size);
            PyBytes_AS_STRING(value)[size] = '\0';
            forget_hash(value);
        } else {
            PyObject *opened = PyBytes_FromStringAndSize(PyBytes_AS_STRING(value), size);
            if (!opened || PyList_SetItem(values, row, opened)) goto failed;
        }
    }
    Py_DECREF(keys);
    return PyLong_FromSsize_t(found);
failed:
    Py_DECREF(keys);
    return NULL;
}

PyDoc_STRVAR(one_doc, "open_one(seed, key, value)\n--\n\n"
    "A value without its seal; None if it is damaged.");

static PyObject *py_open_one(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    uint32_t seed;
    (void)module;
    if (!arguments(count, args, 3, &seed)) return NULL;
    if (!bytes_only(args[1], "key") || !bytes_only(args[2], "value")) return NULL;
    if (!is_whole(seed, args[1], args[2])) Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(args[2]),
                                     PyBytes_GET_SIZE(args[2]) - SEAL);
}

PyDoc_STRVAR(seal_doc, "seal(seed, key, value)\n--\n\nA value with its seal behind it.");

static PyObject *py_seal(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    uint32_t seed;
    (void)module;
    if (!arguments(count, args, 3, &seed)) return NULL;
    if (!bytes_only(args[1], "key") || !bytes_only(args[2], "value")) return NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(args[2]);
    PyObject *sealed = PyBytes_FromStringAndSize(NULL, size + SEAL);
    if (!sealed) return NULL;
    char *bytes = PyBytes_AS_STRING(sealed);
    memcpy(bytes, PyBytes_AS_STRING(args[2]), (size_t)size);
    uint32_t seal = seal_of(seed, args[1], bytes, size);
    for (int at = 0; at < SEAL; at++) bytes[size + at] = (char)(seal >> (8 * at));
    return sealed;
}

static PyMethodDef methods[] = {
    {"crc32", (PyCFunction)(void (*)(void))py_crc32, METH_FASTCALL, crc32_doc},
    {"open_all", (PyCFunction)(void (*)(void))py_open_all, METH_FASTCALL, open_doc},
    {"open_one", (PyCFunction)(void (*)(void))py_open_one, METH_FASTCALL, one_doc},
    {"seal", (PyCFunction)(void (*)(void))py_seal, METH_FASTCALL, seal_doc},
    {NULL, NULL, 0, NULL}};

static int prepare(PyObject *module) {
    (void)module;
    crc32_prepare();
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_sealing", "Seals of values; the same bytes as sealing.py makes.", 0,
    methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sealing(void) { return PyModuleDef_Init(&definition); }
