/* Python bindings of moments, decay, quantiles, distinct keys and hashes; included by _compiled.c where its helpers stand. */
#ifndef SKEWLESS_MOMENTS_MODULE_H
#define SKEWLESS_MOMENTS_MODULE_H

PyDoc_STRVAR(moments_doc, "sweep_moments(spans, values, events, valid, second, third, fourth, slope, done)\n--\n\n"
    "Central moments and the slope of the spans active at each query, where values are not too far\n"
    "apart; done tells where.");

static PyObject *py_sweep_moments(PyObject *module, PyObject *args) {
    PyObject *spans, *values, *events, *valid, *o[5];
    Buffers held = {.count = 0};
    Sweep w;
    Moments m = {0};
    int status = HELD_FAILED;
    int64_t rows = -1;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOOOOOO", &spans, &values, &events, &valid, o, o + 1, o + 2, o + 3, o + 4)
        || hold_sweep(&held, spans, &w)
        || hold(&held, values, "lqd", 0, &rows, "values", &m.values) || required(m.values, "values"))
        return finished(&held, status);
    m.integers = !format_is(held.view[held.count - 1].format, "d");
    if (hold(&held, events, "lq", 0, &rows, "events", &m.event)
        || hold(&held, valid, "B?", 0, &rows, "valid", &w.valid)
        || hold(&held, o[0], "d", 1, &w.queries, "second", &m.second)
        || hold(&held, o[1], "d", 1, &w.queries, "third", &m.third)
        || hold(&held, o[2], "d", 1, &w.queries, "fourth", &m.fourth)
        || hold(&held, o[3], "d", 1, &w.queries, "slope", &m.slope)
        || hold(&held, o[4], "B?", 1, &w.queries, "done", &m.done) || required(m.done, "done")
        || (m.slope && required(m.event, "events")))
        return finished(&held, status);
    m.want = (m.third ? WANT_THIRD : 0) | (m.fourth ? WANT_FOURTH : 0) | (m.slope ? WANT_SLOPE : 0);
    w.rows = rows;
    WITHOUT_GIL(status = sweep_moments(&w, &m))
    return finished(&held, status);
}

PyDoc_STRVAR(window_moments_doc, "window_moments(values, events)\n--\n\n"
    "(second, third, fourth) central moment of an array, or with events its slope; None where values\n"
    "are too far apart.");

static PyObject *py_window_moments(PyObject *module, PyObject *args) {
    PyObject *values, *events;
    Buffers held = {.count = 0};
    Moments m = {.want = WANT_THIRD | WANT_FOURTH};
    Found found;
    int64_t rows = -1;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &values, &events)
        || hold(&held, values, "lqd", 0, &rows, "values", &m.values) || required(m.values, "values"))
        return finished(&held, HELD_FAILED);
    m.integers = !format_is(held.view[held.count - 1].format, "d");
    if (hold(&held, events, "lq", 0, &rows, "events", &m.event)) return finished(&held, HELD_FAILED);
    if (m.event) m.want = WANT_SLOPE;
    int status = moments_of_rows(&m, rows, &found);
    if (status || m.undone) return finished(&held, status);
    release(&held);
    if (m.event) return PyFloat_FromDouble(found.slope);
    return Py_BuildValue("ddd", found.second, found.third, found.fourth);
}

PyDoc_STRVAR(decay_doc, "decayed_means(events, values, low, high, times, half_life, out)\n--\n\n"
    "Means of values[low[w]:high[w]], each weighted by 2 ** ((event - times[w]) / half_life), by the C\n"
    "library as Python's math.exp2 is; NaN where there is none.");

static PyObject *py_decayed_means(PyObject *module, PyObject *args) {
    PyObject *events, *values, *o[4];
    Buffers held = {.count = 0};
    Decay d = {.rows = -1, .windows = -1};
    int status = HELD_FAILED;
    long long half_life;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOOLO", &events, &values, o, o + 1, o + 2, &half_life, o + 3)
        || hold(&held, events, "lq", 0, &d.rows, "events", &d.event) || required(d.event, "events")
        || hold(&held, values, "d", 0, &d.rows, "values", &d.values) || required(d.values, "values")
        || hold(&held, o[0], "lq", 0, &d.windows, "low", &d.low) || required(d.low, "low")
        || hold(&held, o[1], "lq", 0, &d.windows, "high", &d.high) || required(d.high, "high")
        || hold(&held, o[2], "lq", 0, &d.windows, "times", &d.time) || required(d.time, "times")
        || hold(&held, o[3], "d", 1, &d.windows, "out", &d.out) || required(d.out, "out"))
        return finished(&held, status);
    d.half_life = half_life;
    WITHOUT_GIL(status = decayed_means(&d))
    return finished(&held, status);
}

PyDoc_STRVAR(quantile_doc, "sweep_quantile(spans, keys, valid, q, below, above, counts)\n--\n\n"
    "The active rows around a quantile of each query, by their keys; -1 for none.");

static PyObject *py_sweep_quantile(PyObject *module, PyObject *args) {
    PyObject *spans, *keys, *valid, *o[3];
    Buffers held = {.count = 0};
    Sweep w;
    Quantile s = {0};
    int status = HELD_FAILED;
    int64_t rows = -1;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOdOOO", &spans, &keys, &valid, &s.q, o, o + 1, o + 2)
        || hold_sweep(&held, spans, &w)
        || hold(&held, keys, "lq", 0, &rows, "keys", &s.keys) || required(s.keys, "keys")
        || hold(&held, valid, "B?", 0, &rows, "valid", &w.valid)
        || hold(&held, o[0], "lq", 1, &w.queries, "below", &s.below) || required(s.below, "below")
        || hold(&held, o[1], "lq", 1, &w.queries, "above", &s.above) || required(s.above, "above")
        || hold(&held, o[2], "lq", 1, &w.queries, "counts", &s.counts) || required(s.counts, "counts"))
        return finished(&held, status);
    if (!(s.q >= 0.0 && s.q <= 1.0)) {
        PyErr_SetString(PyExc_ValueError, "q: expected 0 to 1");
        return finished(&held, status);
    }
    w.rows = rows;
    WITHOUT_GIL(status = sweep_quantile(&w, &s))
    return finished(&held, status);
}

PyDoc_STRVAR(distinct_doc, "sweep_distinct(spans, keys, valid, nth, row, counts)\n--\n\n"
    "A row of the distinct key active at each query that `nth` others are less than, -1 for none;\n"
    "and how many distinct keys there are.");

static PyObject *py_sweep_distinct(PyObject *module, PyObject *args) {
    PyObject *spans, *keys, *valid, *o[2];
    Buffers held = {.count = 0};
    Sweep w;
    Distinct s = {0};
    int status = HELD_FAILED;
    int64_t rows = -1;
    long long nth;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOLOO", &spans, &keys, &valid, &nth, o, o + 1)
        || hold_sweep(&held, spans, &w)
        || hold(&held, keys, "lq", 0, &rows, "keys", &s.keys) || required(s.keys, "keys")
        || hold(&held, valid, "B?", 0, &rows, "valid", &w.valid)
        || hold(&held, o[0], "lq", 1, &w.queries, "row", &s.row) || required(s.row, "row")
        || hold(&held, o[1], "lq", 1, &w.queries, "counts", &s.counts) || required(s.counts, "counts"))
        return finished(&held, status);
    if (nth < 0) {
        PyErr_SetString(PyExc_ValueError, "nth: expected 0 or more");
        return finished(&held, status);
    }
    s.nth = nth;
    w.rows = rows;
    WITHOUT_GIL(status = sweep_distinct(&w, &s))
    return finished(&held, status);
}

PyDoc_STRVAR(hashes_doc, "hashes(offsets, data, seed, out)\n--\n\n"
    "The hash of the bytes between each offset and the next.");

static PyObject *py_hashes(PyObject *module, PyObject *args) {
    PyObject *offsets, *data, *result;
    Buffers held = {.count = 0};
    const int64_t *offset = NULL;
    const uint8_t *bytes = NULL;
    int64_t *out = NULL, starts = -1, total = -1, count;
    unsigned long long seed;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOKO", &offsets, &data, &seed, &result)
        || hold(&held, data, "B?", 0, &total, "data", &bytes) || required(bytes, "data")
        || hold(&held, offsets, "lq", 0, &starts, "offsets", &offset)
        || check_starts(offset, starts, total, 0, "offsets"))
        return finished(&held, HELD_FAILED);
    count = starts - 1;
    if (hold(&held, result, "lq", 1, &count, "out", &out) || required(out, "out"))
        return finished(&held, HELD_FAILED);
    WITHOUT_GIL(for (int64_t i = 0; i < count; i++)
                    out[i] = hash_of(bytes + offset[i], offset[i + 1] - offset[i], seed))
    return finished(&held, OK);
}

PyDoc_STRVAR(frequent_doc, "sweep_frequent(spans, keys, valid, k, out)\n--\n\n"
    "Rows of the k most frequent keys active at each query, the smaller first among equals; -1 for none.");

static PyObject *py_sweep_frequent(PyObject *module, PyObject *args) {
    PyObject *spans, *keys, *valid, *result;
    Buffers held = {.count = 0};
    Sweep w;
    Frequent s = {0};
    int status = HELD_FAILED;
    int64_t rows = -1, length = -1;
    long long k;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOLO", &spans, &keys, &valid, &k, &result)
        || hold_sweep(&held, spans, &w)
        || hold(&held, keys, "lq", 0, &rows, "keys", &s.keys) || required(s.keys, "keys")
        || hold(&held, valid, "B?", 0, &rows, "valid", &w.valid)
        || hold(&held, result, "lq", 1, &length, "out", &s.out) || required(s.out, "out"))
        return finished(&held, status);
    if (k < 1 || k > 1000 || length != w.queries * k) {
        PyErr_SetString(PyExc_ValueError, "k: expected 1 to 1000, and out of k numbers a query");
        return finished(&held, status);
    }
    s.k = k;
    w.rows = rows;
    WITHOUT_GIL(status = sweep_frequent(&w, &s))
    return finished(&held, status);
}

#endif
