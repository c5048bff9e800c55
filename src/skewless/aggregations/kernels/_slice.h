/* The numbers of one slice of a column: count, sum, mean, variances, least and greatest, exactly.

   Shared by the kernels and by the reads of packed states; needs Python.h. */
#ifndef SKEWLESS_SLICE_H
#define SKEWLESS_SLICE_H

#include "_exact.h"

typedef struct {
    const char *values, *valid;
    Py_ssize_t step, valid_step, low, high;
} Slice;

typedef struct {
    Range range;
    int64_t least, greatest;      /* integers, or doubles in total order */
} Extent;

#define BLOCK_VALUES 256

/* The next valid values side by side: where they already are, or copied into the block. Returns how
   many there are and moves *at on. */
static Py_ssize_t next_block(const Slice *slice, Py_ssize_t *at, char *block, const char **out) {
    Py_ssize_t count = 0;
    if (slice->step == 8 && !slice->valid) {
        count = slice->high - *at;
        *out = slice->values + 8 * *at;
        *at = slice->high;
        return count;
    }
    for (; *at < slice->high && count < BLOCK_VALUES; ++*at)
        if (!slice->valid || slice->valid[*at * slice->valid_step])
            memcpy(block + 8 * count++, slice->values + *at * slice->step, 8);
    *out = block;
    return count;
}

static ALWAYS_INLINE uint64_t load(const char *values, Py_ssize_t i) {
    uint64_t bits;
    memcpy(&bits, values + 8 * i, 8);
    return bits;
}

static ALWAYS_INLINE void extend(Extent *extent, const char *values, Py_ssize_t count, Form form) {
    Extent e = *extent;
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t bits = load(values, i);
        int64_t key = form == INTEGERS ? (int64_t)bits : total_order((int64_t)bits);
        if (form == FIXED) range_add(&e.range, bits);
        e.least = key < e.least ? key : e.least;
        e.greatest = key > e.greatest ? key : e.greatest;
    }
    *extent = e;
}

static ALWAYS_INLINE int add_block(Exact *x, const char *values, Py_ssize_t count, Form form,
                                   int squares) {
    Fixed fixed = x->fixed;      /* a copy can stay in registers */
    for (Py_ssize_t i = 0; i < count && form != CHUNKS; i++) {
        if (form == FIXED) add_fixed(&fixed, double_of(load(values, i)), 1, squares);
        else add_integer(&fixed, (int64_t)load(values, i), 1, squares);
    }
    x->fixed = fixed;
    for (Py_ssize_t i = 0; i < count && form == CHUNKS; i++) {
        int status = add_chunks(x, load(values, i), 1, squares);
        if (status) return status;
    }
    return OK;
}

static int sum_slice(const Slice *slice, Exact *x, Form form, int want, Extent *extent) {
    char block[8 * BLOCK_VALUES];
    const char *values;
    int squares = want & (WANT_VAR | WANT_VAR_SAMPLE), status = OK;
    *extent = (Extent){NO_RANGE, INT64_MAX, INT64_MIN};
    for (Py_ssize_t at = slice->low; at < slice->high;) {
        Py_ssize_t count = next_block(slice, &at, block, &values);
        if (form == INTEGERS) extend(extent, values, count, INTEGERS);
        else extend(extent, values, count, FIXED);
    }
    exact_begin(x, form, extent->range, slice->high - slice->low);
    for (Py_ssize_t at = slice->low; at < slice->high && !status;) {
        Py_ssize_t count = next_block(slice, &at, block, &values);
        if (x->form == FIXED)
            status = squares ? add_block(x, values, count, FIXED, 1) : add_block(x, values, count, FIXED, 0);
        else if (x->form == INTEGERS)
            status = add_block(x, values, count, INTEGERS, squares);
        else
            status = add_block(x, values, count, CHUNKS, squares);
    }
    return status;
}

static PyObject *exact_integer(u128 sum) {
    if ((i128)sum == (int64_t)sum) return PyLong_FromLongLong((int64_t)sum);
    PyObject *high = PyLong_FromLongLong((int64_t)(sum >> 64)), *shift = PyLong_FromLong(64);
    PyObject *low = PyLong_FromUnsignedLongLong((uint64_t)sum), *shifted = NULL, *whole = NULL;
    if (high && shift && low) shifted = PyNumber_Lshift(high, shift);
    if (shifted) whole = PyNumber_Or(shifted, low);
    Py_XDECREF(high);
    Py_XDECREF(shift);
    Py_XDECREF(low);
    Py_XDECREF(shifted);
    return whole;
}

/* One of the numbers of `want`, by its bit; a new reference. */
static PyObject *summary_number(const Exact *x, const Summary *s, Form form, const Extent *extent, int i) {
    double number = i == 1 ? s->sum : i == 2 ? s->mean : i == 3 ? s->var : s->var_sample;
    int64_t key = i == 5 ? extent->least : extent->greatest;
    if (i >= 5 && !s->count) Py_RETURN_NONE;
    if (i == 0) return PyLong_FromLongLong(s->count);
    if (form == INTEGERS && i == 1) return exact_integer(x->fixed.sum);
    if (i < 5) return PyFloat_FromDouble(number);
    return form == INTEGERS ? PyLong_FromLongLong(key)
                            : PyFloat_FromDouble(double_of((uint64_t)total_order(key)));
}

#endif
