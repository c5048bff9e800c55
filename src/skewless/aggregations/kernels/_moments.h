/* Exact central moments up to the fourth, and the slope over time, rounded once.

   All values of a group are whole multiples of one power of two; where they span no more than 118
   binary digits, their powers are added and removed as integers of a few 64-bit limbs. The moments
   are ratios of polynomials of these sums, evaluated in whole numbers. Groups that span more are
   left undone: Python's integers do them. */
#ifndef SKEWLESS_MOMENTS_H
#define SKEWLESS_MOMENTS_H

#include "_sweep.h"

#define MOST_WIDTH 118
#define BIG_LIMBS 28
#define MICROSECONDS 1000000

/* ---- whole numbers of any size that is needed ---------------------------------------------------- */

typedef struct { uint64_t limb[BIG_LIMBS]; int count, negative; } Big;

static inline void big_trim(Big *x) { while (x->count && !x->limb[x->count - 1]) x->count--; }

static inline Big big_small(uint64_t x) { return (Big){.limb = {x}, .count = x ? 1 : 0}; }

/* From two's complement. */
static Big big_of(const uint64_t *limb, int count) {
    Big x = {.count = count, .negative = (int)(limb[count - 1] >> 63)};
    uint64_t one = x.negative;
    for (int i = 0; i < count; i++) {
        x.limb[i] = x.negative ? ~limb[i] + one : limb[i];
        one = one && !x.limb[i];
    }
    big_trim(&x);
    return x;
}

static Big big_product(const Big *a, const Big *b) {
    Big x = {.count = a->count + b->count, .negative = a->negative != b->negative};
    for (int i = 0; i < a->count; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < b->count; j++) {
            u128 part = (u128)a->limb[i] * b->limb[j] + x.limb[i + j] + carry;
            x.limb[i + j] = (uint64_t)part;
            carry = (uint64_t)(part >> 64);
        }
        x.limb[i + b->count] = carry;
    }
    big_trim(&x);
    return x;
}

static inline Big big_times(const Big *a, uint64_t b) {
    Big small = big_small(b);
    return big_product(a, &small);
}

static int big_less(const Big *a, const Big *b) {   /* by magnitude */
    if (a->count != b->count) return a->count < b->count;
    for (int i = a->count - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i];
    return 0;
}

/* x += y, or x -= y where flip is 1. */
static void big_add(Big *x, const Big *y, int flip) {
    int negative = y->negative ^ flip;
    if (x->negative == negative) {
        uint64_t carry = 0;
        int count = x->count > y->count ? x->count : y->count;
        for (int i = 0; i < count; i++) {
            u128 part = (u128)x->limb[i] + (i < y->count ? y->limb[i] : 0) + carry;
            x->limb[i] = (uint64_t)part;
            carry = (uint64_t)(part >> 64);
        }
        if (carry) x->limb[count++] = carry;
        x->count = count;
        return;
    }
    int swap = big_less(x, y);
    const Big copy = *x, *large = swap ? y : &copy, *small = swap ? &copy : y;
    uint64_t borrow = 0;
    for (int i = 0; i < large->count; i++) {
        u128 part = (u128)large->limb[i] - (i < small->count ? small->limb[i] : 0) - borrow;
        x->limb[i] = (uint64_t)part;
        borrow = (uint64_t)(part >> 64) & 1;
    }
    x->count = large->count;
    if (swap) x->negative = negative;
    big_trim(x);
}

static inline int64_t big_length(const Big *x) {
    return x->count ? 64 * (int64_t)(x->count - 1) + bit_length(x->limb[x->count - 1]) : 0;
}

static Big big_shifted(const Big *x, int64_t shift) {
    Big out = {.count = x->count + (int)(shift >> 6) + 1};
    for (int i = 0; i < out.count; i++) out.limb[i] = digits_at(x->limb, x->count, 64 * (int64_t)i - shift);
    big_trim(&out);
    return out;
}

/* The double nearest to a / b * 2^exponent. */
static double big_ratio(const Big *a, const Big *b, int64_t exponent) {
    if (!a->count) return 0.0;
    int64_t shift = 63 + big_length(b) - big_length(a);
    Big rest = shift > 0 ? big_shifted(a, shift) : *a, part = shift < 0 ? big_shifted(b, -shift) : *b;
    part = big_shifted(&part, 63);
    rest.negative = part.negative = 0;
    uint64_t quotient = 0;
    for (int bit = 63; bit >= 0; bit--) {
        if (!big_less(&rest, &part)) {
            big_add(&rest, &part, 1);
            quotient |= (uint64_t)1 << bit;
        }
        for (int i = 0; i < part.count; i++)
            part.limb[i] = part.limb[i] >> 1 | (i + 1 < part.count ? part.limb[i + 1] << 63 : 0);
        big_trim(&part);
    }
    double value = round_quotient(quotient, rest.count != 0, exponent - shift);
    return a->negative != b->negative && value != 0.0 ? -value : value;
}

/* ---- the sums ------------------------------------------------------------------------------------- */

enum { WANT_THIRD = 1, WANT_FOURTH = 2, WANT_SLOPE = 4 };

typedef struct {
    const uint64_t *values;         /* bits of doubles, or integers */
    const int64_t *event;           /* of rows; for the slope */
    int integers, want, undone, unit;
    int64_t base, count, infinite;
    uint64_t x1[3], x2[5], x3[7], x4[9], t1[2], t2[3], tx[4];
    double *second, *third, *fourth, *slope;
    uint8_t *done;
} Moments;

/* Without a branch: the sign of the next value is anybody's guess. */
static ALWAYS_INLINE void limbs_add(uint64_t *sum, int length, const uint64_t *limb, int count,
                                    int negative) {
    uint64_t sign = 0 - (uint64_t)negative, carry = (uint64_t)negative;
    for (int i = 0; i < length; i++) {
        u128 part = (u128)sum[i] + ((i < count ? limb[i] : 0) ^ sign) + carry;
        sum[i] = (uint64_t)part;
        carry = (uint64_t)(part >> 64);
    }
}

static ALWAYS_INLINE void limbs_product(const uint64_t *a, int m, const uint64_t *b, int n, uint64_t *out) {
    for (int i = 0; i < m + n; i++) out[i] = 0;
    for (int i = 0; i < m; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < n; j++) {
            u128 part = (u128)a[i] * b[j] + out[i + j] + carry;
            out[i + j] = (uint64_t)part;
            carry = (uint64_t)(part >> 64);
        }
        out[i + n] = carry;
    }
}

static ALWAYS_INLINE void powers_add(Moments *m, const uint64_t *x, int count, int negative, int sign) {
    uint64_t square[4], cube[6], fourth[8];
    int gone = sign < 0;
    limbs_add(m->x1, 3, x, count, negative ^ gone);
    if (!(m->want & (WANT_THIRD | WANT_FOURTH))) return;
    limbs_product(x, count, x, count, square);
    limbs_add(m->x2, 5, square, 2 * count, gone);
    limbs_product(square, 2 * count, x, count, cube);
    limbs_add(m->x3, 7, cube, 3 * count, negative ^ gone);
    if (!(m->want & WANT_FOURTH)) return;
    limbs_product(square, 2 * count, square, 2 * count, fourth);
    limbs_add(m->x4, 9, fourth, 4 * count, gone);
}

static ALWAYS_INLINE void times_add(Moments *m, int64_t row, const uint64_t *x, int negative, int sign) {
    int64_t since = m->event[row] - m->base;
    uint64_t t = since < 0 ? 0 - (uint64_t)since : (uint64_t)since, product[3];
    u128 wide = (u128)t * t;
    uint64_t square[2] = {(uint64_t)wide, (uint64_t)(wide >> 64)};
    int gone = sign < 0, before = since < 0;
    limbs_add(m->t1, 2, &t, 1, before ^ gone);
    limbs_add(m->t2, 3, square, 2, gone);
    limbs_product(x, 2, &t, 1, product);
    limbs_add(m->tx, 4, product, 3, before ^ negative ^ gone);
}

static ALWAYS_INLINE int moments_step(Moments *m, int64_t row, int sign) {
    uint64_t bits = m->values[row], x[2];
    int negative = (int)(bits >> 63);
    if (m->integers) {
        x[0] = negative ? 0 - bits : bits;
        x[1] = 0;
    } else {
        int exponent = (int)(bits >> 52 & EXPONENT_OF_INF);
        uint64_t digits = bits & FRACTION;
        if (exponent == EXPONENT_OF_INF) {
            if (digits) return BAD_NAN;
            m->infinite += sign;
            return OK;
        }
        u128 wide = digits | (exponent ? FRACTION + 1 : 0);
        wide <<= (exponent ? exponent : 1) - 1075 - m->unit;
        x[0] = (uint64_t)wide;
        x[1] = (uint64_t)(wide >> 64);
    }
    m->count += sign;
    if (x[1]) powers_add(m, x, 2, negative, sign);
    else powers_add(m, x, 1, negative, sign);
    if (m->event) times_add(m, row, x, negative, sign);
    return OK;
}

/* Begins a group of rows within a range; undone where it is too wide. */
static void moments_begin(Moments *m, Range range, int64_t rows) {
    int lowest = range.greatest ? clamp_exponent(range.smallest + 1) : 1;
    int highest = range.greatest ? clamp_exponent(range.greatest) : 1;
    m->undone = rows >= (int64_t)DIVIDE_TWICE_FROM
                || (!m->integers && 53 + highest - lowest > MOST_WIDTH);
    m->unit = m->integers ? 0 : lowest - 1075;
    m->count = m->infinite = 0;
    memset(m->x1, 0, sizeof m->x1);
    memset(m->x2, 0, sizeof m->x2);
    memset(m->x3, 0, sizeof m->x3);
    memset(m->x4, 0, sizeof m->x4);
    memset(m->t1, 0, sizeof m->t1);
    memset(m->t2, 0, sizeof m->t2);
    memset(m->tx, 0, sizeof m->tx);
}

/* Whether the event time of a row lies within 2^62 of the group's base. */
static inline int in_reach(const Moments *m, int64_t row) {
    i128 since = (i128)m->event[row] - m->base;
    return since < (i128)1 << 62 && since > -((i128)1 << 62);
}

/* ---- finishing ------------------------------------------------------------------------------------- */

static double moment_of(const Big *numerator, uint64_t a, uint64_t b, int64_t exponent) {
    double value = round_ratio(numerator->limb, numerator->count, a, b, exponent);
    return numerator->negative && value != 0.0 ? -value : value;
}

typedef struct { double second, third, fourth, slope; } Found;

static void finish_powers(const Moments *m, uint64_t n, Found *out) {
    Big s1 = big_of(m->x1, 3), s2 = big_of(m->x2, 5), s3 = big_of(m->x3, 7);
    Big squared = big_product(&s1, &s1), a = big_times(&s2, n), b;
    big_add(&a, &squared, 1);                                   /* n s2 - s1^2 */
    out->second = moment_of(&a, n * n, 1, 2 * (int64_t)m->unit);
    if (m->want & WANT_THIRD) {
        Big third = big_times(&s3, n * n);                      /* n^2 s3 - 3 n s1 s2 + 2 s1^3 */
        b = big_product(&s1, &s2);
        b = big_times(&b, 3 * n);
        big_add(&third, &b, 1);
        b = big_product(&squared, &s1);
        b = big_times(&b, 2);
        big_add(&third, &b, 0);
        out->third = moment_of(&third, n * n, n, 3 * (int64_t)m->unit);
    }
    if (m->want & WANT_FOURTH) {                     /* n^3 s4 - 4 n^2 s1 s3 + 6 n s1^2 s2 - 3 s1^4 */
        Big s4 = big_of(m->x4, 9), fourth = big_times(&s4, n * n);
        fourth = big_times(&fourth, n);
        b = big_product(&s1, &s3);
        b = big_times(&b, n * n);
        b = big_times(&b, 4);
        big_add(&fourth, &b, 1);
        b = big_product(&squared, &s2);
        b = big_times(&b, 6 * n);
        big_add(&fourth, &b, 0);
        b = big_product(&squared, &squared);
        b = big_times(&b, 3);
        big_add(&fourth, &b, 1);
        out->fourth = moment_of(&fourth, n * n, n * n, 4 * (int64_t)m->unit);
    }
}

static void moments_finish(const Moments *m, Found *out) {
    out->second = out->third = out->fourth = out->slope = NAN;
    uint64_t n = (uint64_t)m->count;
    if (m->count <= 0 || m->infinite) return;
    if (m->want & (WANT_THIRD | WANT_FOURTH)) finish_powers(m, n, out);
    if (m->want & WANT_SLOPE) {
        Big t1 = big_of(m->t1, 2), t2 = big_of(m->t2, 3), tx = big_of(m->tx, 4), x1 = big_of(m->x1, 3);
        Big spread = big_times(&t2, n), product = big_times(&tx, n), b = big_product(&t1, &t1);
        big_add(&spread, &b, 1);
        b = big_product(&t1, &x1);
        big_add(&product, &b, 1);
        product = big_times(&product, MICROSECONDS);
        if (spread.count) out->slope = big_ratio(&product, &spread, m->unit);
    }
}

/* ---- one window, and sweeps -------------------------------------------------------------------------- */

/* The moments of `rows` values; m->undone tells that there are none. */
static int moments_of_rows(Moments *m, int64_t rows, Found *out) {
    Range range = NO_RANGE;
    int status = OK;
    for (int64_t i = 0; i < rows && !m->integers; i++) range_add(&range, m->values[i]);
    moments_begin(m, range, rows);
    if (m->event && rows) m->base = m->event[0];
    for (int64_t i = 0; i < rows && m->event; i++) m->undone |= !in_reach(m, i);
    if (m->undone) return OK;
    for (int64_t i = 0; i < rows && !status; i++) status = moments_step(m, i, 1);
    if (!status) moments_finish(m, out);
    return status;
}

typedef struct { Moments *m; int changed; Found found; } MomentSweep;

static ALWAYS_INLINE int moments_add(void *state, int64_t row, int64_t exit) {
    (void)exit;
    ((MomentSweep *)state)->changed = 1;
    return moments_step(((MomentSweep *)state)->m, row, 1);
}

static ALWAYS_INLINE int moments_remove(void *state, int64_t row, int64_t exit) {
    (void)exit;
    ((MomentSweep *)state)->changed = 1;
    return moments_step(((MomentSweep *)state)->m, row, -1);
}

static ALWAYS_INLINE int moments_emit(void *state, int64_t q, int64_t t) {
    MomentSweep *s = state;
    Moments *m = s->m;
    (void)t;
    if (s->changed) moments_finish(m, &s->found);
    s->changed = 0;
    if (m->second) m->second[q] = s->found.second;
    if (m->third) m->third[q] = s->found.third;
    if (m->fourth) m->fourth[q] = s->found.fourth;
    if (m->slope) m->slope[q] = s->found.slope;
    m->done[q] = 1;
    return OK;
}

static int moments_of_group(const Sweep *w, int64_t g, Moments *m) {
    Range range = NO_RANGE;
    int status = OK, first = 1;
    if (!m->integers && (status = group_range(w, g, m->values, &range))) return status;
    moments_begin(m, range, w->start[g + 1] - w->start[g]);
    for (int64_t s = w->start[g]; m->event && s < w->start[g + 1]; s++, first = 0) {
        int64_t row = w->row ? w->row[s] : s;
        if ((uint64_t)row >= (uint64_t)w->rows) return BAD_ROW;
        if (first) m->base = m->event[row];
        m->undone |= !in_reach(m, row);
    }
    if (m->undone) return OK;
    MomentSweep state = {.m = m, .changed = 1};
    return sweep_group(w, g, &state, moments_add, moments_remove, moments_emit);
}

static int sweep_moments(const Sweep *w, Moments *m) {
    for (int64_t g = 0; g < w->groups; g++) {
        int status = is_asked(w, g) ? moments_of_group(w, g, m) : OK;
        if (status) return status;
    }
    return OK;
}

#endif
