/* Means of values weighted by age: half for every half-life before the moment that is asked about.

   Every moment weighs each row anew, and both sums are rounded once from their exact value. Doubles
   and what their additions rounded away (Knuth's two-sum) give that in a few instructions a row;
   where the bound of the error does not tell which double is nearest, exact sums do. */
#ifndef SKEWLESS_DECAY_H
#define SKEWLESS_DECAY_H

#include <stdlib.h>

#include "_slice.h"

typedef struct {
    int64_t rows, windows, half_life;
    const int64_t *event, *low, *high, *time;
    const double *values;
    double *out;
} Decay;

/* ---- sums, rounded once --------------------------------------------------------------------------- */

#define LANES 4     /* sums side by side, which a processor adds at once */

typedef struct { double sum[LANES], rest[LANES], size[LANES]; } Sketch;   /* `size`: of magnitudes */

static ALWAYS_INLINE void sketch_add(Sketch *s, int lane, double x) {
    double before = s->sum[lane], sum = before + x, back = sum - before;
    s->rest[lane] += (before - (sum - back)) + (x - back);
    s->size[lane] += fabs(x);
    s->sum[lane] = sum;
}

/* Adds values; `x` has room for some more, up to a multiple of LANES. */
static ALWAYS_INLINE void sketch_block(Sketch *s, double *x, int count) {
    Sketch copy = *s;
    for (int i = count; i % LANES; i++) x[i] = 0.0;
    for (int i = 0; i < count; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sketch_add(&copy, lane, x[i + lane]);
    *s = copy;
}

/* 1 where `*out` is the double nearest to the exact sum of `count` values. The rounding of `rest` is
   below (count 2^-53)^2 size (Higham, "Accuracy and Stability of Numerical Algorithms", 4.3); twice
   2 covers that of the bound itself. */
static int sketch_sum(Sketch *s, int64_t count, double *out) {
    for (int lane = 1; lane < LANES; lane++) {
        sketch_add(s, 0, s->sum[lane]);
        s->rest[0] += s->rest[lane];
        s->size[0] += s->size[lane];
    }
    double size = s->size[0], unit = (double)(count + 2 * LANES) * 0x1p-53;
    double error = 4 * unit * unit * size + 0x1p-1074;
    double least = s->sum[0] + (s->rest[0] - error), most = s->sum[0] + (s->rest[0] + error);
    *out = size == 0.0 ? 0.0 : least;
    return size == 0.0 || (least == most && isfinite(least));
}

/* ---- weights, and means ---------------------------------------------------------------------------- */

#define BLOCK_ROWS 256

/* The weights of rows as Python's math.exp2 gives them; ages are less than 2^53. */
static void weigh(const Decay *d, int64_t row, int count, int64_t t, double *weight) {
    for (int i = 0; i < count; i++)
        weight[i] = (double)(int64_t)((uint64_t)d->event[row + i] - (uint64_t)t) / (double)d->half_life;
    for (int i = 0; i < count; i++) weight[i] = exp2(weight[i]);
}

/* The exact sum of weights, or of products, rounded once. */
static int exact_decay(const Decay *d, int64_t low, int64_t high, int64_t t, int products, double *out) {
    double *part = malloc((size_t)(high - low) * sizeof *part);
    if (!part) return NO_MEMORY;
    for (int64_t row = low; row < high; row += BLOCK_ROWS)
        weigh(d, row, (int)(high - row < BLOCK_ROWS ? high - row : BLOCK_ROWS), t, part + (row - low));
    for (int64_t row = low; products && row < high; row++) part[row - low] *= d->values[row];
    Slice slice = {.values = (const char *)part, .step = 8, .high = high - low};
    Exact exact;
    Extent extent;
    Summary summary;
    int status = sum_slice(&slice, &exact, FIXED, WANT_SUM, &extent);
    if (!status) exact_finish(&exact, WANT_SUM, &summary);
    *out = status ? NAN : summary.sum;
    free(part);
    return status;
}

static int decayed_mean(const Decay *d, int64_t low, int64_t high, int64_t t, double *out) {
    Sketch total = {0}, weighted = {0};
    double weight[BLOCK_ROWS + LANES], product[BLOCK_ROWS + LANES], weights, products;
    *out = NAN;
    for (int64_t row = low; row < high; row += BLOCK_ROWS) {
        int count = (int)(high - row < BLOCK_ROWS ? high - row : BLOCK_ROWS), finite = 1;
        weigh(d, row, count, t, weight);
        for (int i = 0; i < count; i++) {
            product[i] = weight[i] * d->values[row + i];
            finite &= product[i] - product[i] == 0.0;
        }
        if (!finite) return OK;
        sketch_block(&total, weight, count);
        sketch_block(&weighted, product, count);
    }
    int64_t count = high - low;
    int status = sketch_sum(&total, count, &weights) ? OK : exact_decay(d, low, high, t, 0, &weights);
    if (!status && !sketch_sum(&weighted, count, &products))
        status = exact_decay(d, low, high, t, 1, &products);
    if (!status && weights != 0.0 && isfinite(products)) *out = products / weights;
    return status;
}

static int decayed_means(const Decay *d) {
    int status = OK;
    for (int64_t w = 0; w < d->windows && !status; w++) {
        int64_t low = d->low[w], high = d->high[w];
        if (low < 0 || low > high || high > d->rows) return BAD_ROW;
        status = decayed_mean(d, low, high, d->time[w], &d->out[w]);
    }
    return status;
}

#endif
