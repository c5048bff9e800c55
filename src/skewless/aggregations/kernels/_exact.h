/* Exact sums of doubles and integers, and of their squares, rounded once.

   Fixed-point accumulators after Radford M. Neal, "Fast exact summation using small and large
   superaccumulators" (2015): nothing is lost while adding and removing, so the result depends on
   the multiset of values alone. Two forms:

   fixed   all values of a group lie within a span of about a hundred binary digits: two integers a
           value and a few instructions.
   chunks  32 useful digits in each 64-bit chunk, over the whole range of doubles; 2^30 values may
           be added before carries must be passed on. */
#ifndef SKEWLESS_EXACT_H
#define SKEWLESS_EXACT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef unsigned __int128 u128;
typedef __int128 i128;

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))

enum { WANT_COUNT = 1, WANT_SUM = 2, WANT_MEAN = 4, WANT_VAR = 8, WANT_VAR_SAMPLE = 16,
       WANT_MIN = 32, WANT_MAX = 64 };
enum { OK = 0, NO_MEMORY = -1, BAD_ROW = -2, BAD_QUERY = -3, BAD_NAN = -4, BAD_CODE = -5,
       BAD_ORDER = -6 };

#define SUM_CHUNKS 70
#define SQUARE_CHUNKS 138
#define SUM_LIMBS (SUM_CHUNKS / 2)
#define SQUARE_LIMBS (SQUARE_CHUNKS / 2)
#ifndef CARRY_AFTER
#define CARRY_AFTER ((int64_t)1 << 30)
#endif
#ifndef DIVIDE_TWICE_FROM
#define DIVIDE_TWICE_FROM ((uint64_t)1 << 32)   /* n * n no longer fits 64 bits */
#endif
#define EXPONENT_OF_INF 2047
#define FRACTION (((uint64_t)1 << 52) - 1)
#define MAGNITUDE (~(uint64_t)0 >> 1)

typedef enum { INTEGERS, FIXED, CHUNKS, COUNTS } Form;

typedef struct {
    int64_t count;                 /* finite values */
    int unit, cut;                 /* values are multiples of 2^unit, cut at 2^(unit + cut) */
    double scale, step;            /* 2^-(unit + cut) and 2^cut */
    u128 sum, sum_low;             /* of high and low parts, in two's complement */
    u128 high, cross, low;         /* of the squares of high, high * low and the squares of low */
} Fixed;

typedef struct {
    Fixed fixed;                   /* of chunks, the count alone is used */
    int64_t plus_inf, minus_inf;
    Form form;
    int64_t budget;                /* chunks: values until carries must be passed on */
    int first, last;               /* chunks of the sum in use; 2 * first.. of the squares */
    uint64_t sums[SUM_CHUNKS], squares[SQUARE_CHUNKS];
} Exact;

typedef struct {
    int64_t count, integer;
    uint8_t overflow;
    double sum, mean, var, var_sample;
} Summary;

static ALWAYS_INLINE uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

static ALWAYS_INLINE double double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

/* Doubles as integers of the same total order: -inf < ... < -0.0 < 0.0 < ... < inf. */
static ALWAYS_INLINE int64_t total_order(int64_t bits) {
    return bits ^ (int64_t)((uint64_t)(bits >> 63) >> 1);
}

static ALWAYS_INLINE int bit_length(uint64_t x) { return x ? 64 - __builtin_clzll(x) : 0; }

/* ---- rounding ---------------------------------------------------------------------------- */

/* The double nearest to (q + a fraction if sticky) * 2^exponent, ties to even; q >= 2^61. */
static inline double round_quotient(uint64_t q, int sticky, int64_t exponent) {
    int64_t last = exponent + bit_length(q) - 53;
    if (last > 971) return INFINITY;
    if (last < -1074) last = -1074;
    int64_t drop = last - exponent;
    if (drop > 64) return 0.0;
    uint64_t kept = drop == 64 ? 0 : q >> drop;
    uint64_t rest = drop == 64 ? q : q & (((uint64_t)1 << drop) - 1);
    uint64_t half = (uint64_t)1 << (drop - 1);
    kept += rest > half || (rest == half && (sticky || (kept & 1)));
    uint64_t bits = ((uint64_t)(last + 1074) << 52) + kept;
    return double_of(bits < (uint64_t)EXPONENT_OF_INF << 52 ? bits : (uint64_t)EXPONENT_OF_INF << 52);
}

/* Digits [from, from + 64) of a number, where from may be negative or beyond the end. */
static inline uint64_t digits_at(const uint64_t *limb, int count, int64_t from) {
    int64_t word = from >> 6;
    int shift = (int)(from & 63);
    uint64_t low = word >= 0 && word < count ? limb[word] : 0;
    uint64_t high = word + 1 >= 0 && word + 1 < count ? limb[word + 1] : 0;
    return shift ? low >> shift | high << (64 - shift) : low;
}

static inline int any_digit_below(const uint64_t *limb, int64_t end) {
    if (end <= 0) return 0;
    for (int64_t i = 0; i < end >> 6; i++) if (limb[i]) return 1;
    return (end & 63) && (limb[end >> 6] << (64 - (end & 63))) != 0;
}

/* The double nearest to number * 2^exponent / (a * b). Only as many leading digits as give 62 or
   more of the quotient are divided; what is cut off makes the result sticky. */
static double round_ratio(const uint64_t *limb, int count, uint64_t a, uint64_t b, int64_t exponent) {
    while (count && !limb[count - 1]) count--;
    if (!count) return 0.0;
    int64_t length = 64 * (int64_t)(count - 1) + bit_length(limb[count - 1]);
    if (b == 1) {
        int64_t cut = length - 63 - bit_length(a);
        u128 part = (u128)digits_at(limb, count, cut + 64) << 64 | digits_at(limb, count, cut);
        uint64_t q = a == 1 ? (uint64_t)part : (uint64_t)(part / a);
        int sticky = part != (u128)q * a || any_digit_below(limb, cut);
        return round_quotient(q, sticky, exponent + cut);
    }
    int64_t cut = length - 62 - bit_length(a) - bit_length(b);
    uint64_t part[3], divisor[2] = {a, b}, left = 0;
    for (int i = 0; i < 3; i++) part[i] = digits_at(limb, count, cut + 64 * i);
    for (int d = 0; d < 2; d++) {
        u128 rest = 0;
        for (int i = 2; i >= 0; i--) {
            rest = rest << 64 | part[i];
            part[i] = (uint64_t)(rest / divisor[d]);
            rest %= divisor[d];
        }
        left |= (uint64_t)rest;
    }
    return round_quotient(part[0], left != 0 || any_digit_below(limb, cut), exponent + cut);
}

/* out = n * squares - sum * sum, the numerator of the variance; never negative. Returns its length. */
static inline int spread(const uint64_t *sum, int sum_count, const uint64_t *squares,
                         int square_count, uint64_t n, uint64_t *out) {
    u128 carry = 0;
    for (int i = 0; i < square_count; i++) {
        carry += (u128)n * squares[i];
        out[i] = (uint64_t)carry;
        carry >>= 64;
    }
    out[square_count] = (uint64_t)carry;
    int length = square_count + 1;
    while (length < 2 * sum_count) out[length++] = 0;
    for (int i = 0; i < sum_count; i++) {
        uint64_t borrow = 0;
        int k = i;
        for (int j = 0; j < sum_count; j++, k++) {
            u128 product = (u128)sum[i] * sum[j] + borrow;
            borrow = (uint64_t)(product >> 64) + (out[k] < (uint64_t)product);
            out[k] -= (uint64_t)product;
        }
        for (; borrow && k < length; k++) {
            uint64_t before = out[k];
            out[k] -= borrow;
            borrow = before < borrow;
        }
    }
    return length;
}

/* ---- the range of a group's values, which decides the form ------------------------------------ */

typedef struct { uint64_t smallest, greatest; } Range;   /* magnitudes; smallest is less one */

static const Range NO_RANGE = {~(uint64_t)0, 0};

static ALWAYS_INLINE void range_add(Range *range, uint64_t bits) {
    uint64_t magnitude = bits & MAGNITUDE, less_one = magnitude - 1;
    if (less_one < range->smallest) range->smallest = less_one;
    if (magnitude > range->greatest) range->greatest = magnitude;
}

static inline int clamp_exponent(uint64_t magnitude) {
    int exponent = (int)(magnitude >> 52);
    return exponent < 1 ? 1 : exponent > EXPONENT_OF_INF - 1 ? EXPONENT_OF_INF - 1 : exponent;
}

static inline double power_of_two(int exponent) {   /* a normal one */
    return double_of((uint64_t)(exponent + 1023) << 52);
}

static inline void exact_begin(Exact *x, Form form, Range range, int64_t values) {
    int lowest = range.greatest ? clamp_exponent(range.smallest + 1) : 1;
    int highest = range.greatest ? clamp_exponent(range.greatest) : 1;
    int width = 53 + highest - lowest;
    x->fixed = (Fixed){.count = 0};
    x->plus_inf = x->minus_inf = 0;
    x->form = form;
    if (form == INTEGERS || form == COUNTS) return;
    int finite = range.greatest < (uint64_t)EXPONENT_OF_INF << 52;
    if (finite && (lowest >= 64 || !range.greatest) && width + bit_length((uint64_t)values) <= 126) {
        x->form = FIXED;
        x->fixed.unit = range.greatest ? lowest - 1075 : 0;
        x->fixed.cut = width / 2;
        x->fixed.scale = power_of_two(-(x->fixed.unit + x->fixed.cut));
        x->fixed.step = power_of_two(x->fixed.cut);
        return;
    }
    x->form = CHUNKS;
    x->first = (lowest - 1) >> 5;
    x->last = (highest - 1) >> 5;
    x->budget = CARRY_AFTER;
    memset(x->sums + x->first, 0, sizeof(uint64_t) * (size_t)(x->last + 5 - x->first));
    memset(x->squares + 2 * x->first, 0, sizeof(uint64_t) * (size_t)(2 * (x->last - x->first) + 9));
}

/* ---- adding (sign 1) and removing (sign -1) ----------------------------------------------------- */

static ALWAYS_INLINE void add_square(Fixed *x, u128 low, u128 high, int sign) {
    if (sign > 0) {
        x->low += low;
        x->high += high + (x->low < low);
    } else {
        u128 before = x->low;
        x->low -= low;
        x->high -= high + (before < low);
    }
}

static ALWAYS_INLINE void add_integer(Fixed *x, int64_t value, int sign, int squares) {
    x->count += sign;
    x->sum += (u128)(i128)value * (u128)(i128)sign;
    if (!squares) return;
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    add_square(x, (u128)magnitude * magnitude, 0, sign);
}

/* A value is cut into two integers, value = (high * 2^cut + low) * unit; each step is exact. */
static ALWAYS_INLINE void add_fixed(Fixed *x, double value, int sign, int squares) {
    double scaled = value * x->scale;
    int64_t high = (int64_t)scaled;
    int64_t low = (int64_t)((scaled - (double)high) * x->step);
    x->count += sign;
    x->sum += (u128)(i128)high * (u128)(i128)sign;
    x->sum_low += (u128)(i128)low * (u128)(i128)sign;
    if (!squares) return;
    x->high += (u128)((i128)high * high) * (u128)(i128)sign;
    x->cross += (u128)((i128)high * low) * (u128)(i128)sign;
    x->low += (u128)((i128)low * low) * (u128)(i128)sign;
}

static void pass_carries(uint64_t *chunk, int count) {
    for (int i = 0; i + 1 < count; i++) {
        chunk[i + 1] += (uint64_t)((int64_t)chunk[i] >> 32);
        chunk[i] &= 0xffffffff;
    }
}

static inline int add_chunks(Exact *x, uint64_t bits, int sign, int squares) {
    uint64_t exponent = bits >> 52 & EXPONENT_OF_INF, digits = bits & FRACTION;
    if (exponent == EXPONENT_OF_INF) {
        if (digits) return BAD_NAN;
        *(bits >> 63 ? &x->minus_inf : &x->plus_inf) += sign;
        return OK;
    }
    x->fixed.count += sign;
    if (!(exponent | digits)) return OK;
    if (exponent) digits |= FRACTION + 1;
    int place = exponent ? (int)exponent - 1 : 0;
    uint64_t factor = (bits >> 63) == (sign > 0) ? ~(uint64_t)0 : 1;
    uint64_t *chunk = x->sums + (place >> 5);
    u128 shifted = (u128)digits << (place & 31);
    for (int i = 0; i < 3; i++) chunk[i] += factor * (uint32_t)(shifted >> 32 * i);
    if (squares) {
        u128 square = (u128)digits * digits;
        place *= 2;
        factor = sign > 0 ? 1 : ~(uint64_t)0;
        chunk = x->squares + (place >> 5);
        shifted = square << (place & 31);
        for (int i = 0; i < 4; i++) chunk[i] += factor * (uint32_t)(shifted >> 32 * i);
        if (place & 31) chunk[4] += factor * (uint64_t)(square >> (128 - (place & 31)));
    }
    if (--x->budget == 0) {
        pass_carries(x->sums + x->first, x->last + 5 - x->first);
        pass_carries(x->squares + 2 * x->first, 2 * (x->last - x->first) + 9);
        x->budget = CARRY_AFTER;
    }
    return OK;
}

static ALWAYS_INLINE void add_value(Fixed *x, Form form, const void *values, int64_t row, int sign,
                                    int squares) {
    if (form == COUNTS) x->count += sign;
    else if (form == INTEGERS) add_integer(x, ((const int64_t *)values)[row], sign, squares);
    else add_fixed(x, ((const double *)values)[row], sign, squares);
}

/* ---- finishing ------------------------------------------------------------------------------------- */

/* Magnitude of a run of chunks as 64-bit limbs; returns 1 if the number is negative. */
static int limbs_of_chunks(const uint64_t *chunk, int count, uint64_t *limb) {
    int64_t carry = 0;
    memset(limb, 0, sizeof(uint64_t) * (size_t)((count + 1) / 2));
    for (int i = 0; i < count; i++) {
        carry += (int64_t)chunk[i];
        limb[i / 2] |= (uint64_t)(uint32_t)carry << 32 * (i & 1);
        carry >>= 32;
    }
    if (carry >= 0) return 0;
    if (count & 1) limb[count / 2] |= (uint64_t)0xffffffff << 32;
    uint64_t one = 1;
    for (int i = 0; i < (count + 1) / 2; i++) {
        limb[i] = ~limb[i] + one;
        one = one && !limb[i];
    }
    return 1;
}

static inline void finish_ratios(const uint64_t *sum, int sum_count, const uint64_t *square,
                                 int square_count, uint64_t n, int64_t exponent, int negative,
                                 int want, Summary *out) {
    uint64_t numerator[SQUARE_LIMBS + 2];
    if (want & WANT_SUM) out->sum = round_ratio(sum, sum_count, 1, 1, exponent);
    if (want & WANT_MEAN) out->mean = round_ratio(sum, sum_count, n, 1, exponent);
    if (negative) {
        if (out->sum != 0.0) out->sum = -out->sum;
        if (out->mean != 0.0) out->mean = -out->mean;
    }
    if (!(want & (WANT_VAR | WANT_VAR_SAMPLE))) return;
    int length = spread(sum, sum_count, square, square_count, n, numerator);
    int small = n < DIVIDE_TWICE_FROM;
    if (want & WANT_VAR)
        out->var = round_ratio(numerator, length, small ? n * n : n, small ? 1 : n, 2 * exponent);
    if ((want & WANT_VAR_SAMPLE) && n > 1)
        out->var_sample =
            round_ratio(numerator, length, small ? n * (n - 1) : n, small ? 1 : n - 1, 2 * exponent);
}

/* (low, high) += x << shift, for shift within [1, 127] */
static inline void add_shifted(u128 *low, u128 *high, u128 x, int shift) {
    *low += x << shift;
    *high += (x >> (128 - shift)) + (*low < x << shift);
}

static void exact_finish(const Exact *x, int want, Summary *out) {
    const Fixed *fixed = &x->fixed;
    int64_t n = fixed->count;
    out->count = n + x->plus_inf + x->minus_inf;
    out->sum = 0.0;
    out->integer = 0;
    out->overflow = 0;
    out->mean = out->var = out->var_sample = NAN;
    if (x->plus_inf || x->minus_inf) {
        out->sum = x->plus_inf && x->minus_inf ? NAN : x->plus_inf ? INFINITY : -INFINITY;
        out->mean = out->sum;
        return;
    }
    if (n <= 0) return;
    if (x->form == CHUNKS) {
        uint64_t sum[SUM_LIMBS + 1], square[SQUARE_LIMBS + 1];
        int sum_chunks = x->last + 5 - x->first, square_chunks = 2 * (x->last - x->first) + 9;
        int negative = limbs_of_chunks(x->sums + x->first, sum_chunks, sum);
        if (want & (WANT_VAR | WANT_VAR_SAMPLE))
            limbs_of_chunks(x->squares + 2 * x->first, square_chunks, square);
        finish_ratios(sum, (sum_chunks + 1) / 2, square, (square_chunks + 1) / 2, (uint64_t)n,
                      32 * (int64_t)x->first - 1074, negative, want, out);
        return;
    }
    u128 total = (fixed->sum << fixed->cut) + fixed->sum_low, low = fixed->low, high = 0;
    int negative = (int)(total >> 127);
    u128 magnitude = negative ? 0 - total : total;
    uint64_t sum[2] = {(uint64_t)magnitude, (uint64_t)(magnitude >> 64)};
    if (x->form == FIXED) {
        add_shifted(&low, &high, fixed->cross, fixed->cut + 1);
        add_shifted(&low, &high, fixed->high, 2 * fixed->cut);
    } else {
        high = fixed->high;
    }
    uint64_t square[4] = {(uint64_t)low, (uint64_t)(low >> 64), (uint64_t)high, (uint64_t)(high >> 64)};
    finish_ratios(sum, sum[1] ? 2 : 1, square, square[3] ? 4 : square[2] ? 3 : 2, (uint64_t)n,
                  fixed->unit, negative, want, out);
    if (x->form == INTEGERS) {
        out->overflow = (i128)fixed->sum != (int64_t)fixed->sum;
        out->integer = out->overflow ? 0 : (int64_t)fixed->sum;
    }
}

#endif
