/* Where things lie in a packed state; the layout is told in blob.py. */
#ifndef SKEWLESS_BLOB_H
#define SKEWLESS_BLOB_H

#include <stdint.h>
#include <string.h>

#define START 8                /* version, flags, number of tails, layout: the same in all states */
#define ROWS_AT 8
#define CORRECTIONS_AT 12
#define FLOOR_AT 24
#define HEADER 36
#define KNOWN_AT 8             /* of a row: event, known, tiebreak */
#define TIMES 24

static inline int64_t int64_at(const char *bytes) {
    int64_t value;
    memcpy(&value, bytes, 8);
    return value;
}

static inline uint32_t uint32_at(const char *bytes) {
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
}

typedef struct {
    int64_t t, at, k;          /* the moment, the same less one where it does not count; knowledge */
} Moment;

/* The moment that Python integers tell. 1, or 0: no state has such times, or -1: an error. */
static inline int moment_of(PyObject *t, PyObject *k, int64_t exclusive, Moment *when) {
    int beyond_t, beyond_k;
    when->t = PyLong_AsLongLongAndOverflow(t, &beyond_t);
    if (when->t == -1 && PyErr_Occurred()) return -1;
    when->k = PyLong_AsLongLongAndOverflow(k, &beyond_k);
    if (when->k == -1 && PyErr_Occurred()) return -1;
    if (beyond_t || beyond_k || when->t == INT64_MIN) return 0;
    when->at = when->t - exclusive;
    return 1;
}

#endif
