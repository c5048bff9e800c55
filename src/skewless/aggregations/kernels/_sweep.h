/* Sweeps: the spans of each group are entered and left in time order, query after query.

   A span counts for query time t while enter <= t < exit. Spans that enter and leave between two
   queries are passed over: one is added only if it has not left by then, and removed only if an
   earlier query saw it. */
#ifndef SKEWLESS_SWEEP_H
#define SKEWLESS_SWEEP_H

#include <stdlib.h>

#include "_exact.h"

typedef struct {
    int64_t groups, spans, queries, rows;      /* rows: length of the value arrays */
    const int64_t *row, *enter, *exit, *start, *enter_order, *exit_order;
    const int64_t *time, *query_start;
    const uint8_t *valid;
} Sweep;

typedef int (*Step)(void *state, int64_t row, int64_t exit);
typedef int (*Emit)(void *state, int64_t query, int64_t time);

static ALWAYS_INLINE int64_t span_at(const Sweep *w, const int64_t *order, int64_t place, int64_t g) {
    if (!order) return place;
    int64_t s = order[place];
    return s >= w->start[g] && s < w->start[g + 1] ? s : -1;
}

/* Hands a span's row to a step, unless its value is not valid. */
static ALWAYS_INLINE int step_row(const Sweep *w, int64_t s, void *state, Step step) {
    int64_t row = w->row ? w->row[s] : s;
    if ((uint64_t)row >= (uint64_t)w->rows) return BAD_ROW;
    if (w->valid && !w->valid[row]) return OK;
    return step(state, row, w->exit[s]);
}

/* One group; remove may be NULL where the state itself forgets what has left. Always inlined with
   constant steps, so that each aggregation gets its own loop. */
static ALWAYS_INLINE int sweep_group(const Sweep *w, int64_t g, void *state, Step add, Step remove,
                                     Emit emit) {
    int64_t entering = w->start[g], leaving = entering, end = w->start[g + 1];
    int64_t previous = INT64_MIN;
    int status, first = 1;
    for (int64_t q = w->query_start[g]; q < w->query_start[g + 1]; q++, first = 0) {
        int64_t t = w->time[q];
        if (t < previous) return BAD_QUERY;
        for (; entering < end; entering++) {
            int64_t s = span_at(w, w->enter_order, entering, g);
            if (s < 0) return BAD_ORDER;
            if (w->enter[s] > t) break;
            if (w->exit[s] > t && (status = step_row(w, s, state, add))) return status;
        }
        for (; remove && leaving < end; leaving++) {
            int64_t s = span_at(w, w->exit_order, leaving, g);
            if (s < 0) return BAD_ORDER;
            if (w->exit[s] > t) break;
            if (!first && w->enter[s] <= previous && (status = step_row(w, s, state, remove)))
                return status;
        }
        if ((status = emit(state, q, t))) return status;
        previous = t;
    }
    return OK;
}

static inline int is_asked(const Sweep *w, int64_t g) {
    return w->query_start[g] < w->query_start[g + 1];
}

/* ---- sums --------------------------------------------------------------------------------- */

typedef struct {
    int64_t *count, *integer;
    double *sum, *mean, *var, *var_sample;
    uint8_t *overflow;
} SumColumns;

typedef struct {
    const void *values;
    int want, changed;
    SumColumns out;
    Summary last;
    Exact exact;
} SumState;

#define SUM_STEPS(name, form, squares)                                                     \
    static ALWAYS_INLINE int name##_add(void *state, int64_t row, int64_t exit) {           \
        SumState *st = state;                                                              \
        (void)exit;                                                                        \
        st->changed = 1;                                                                   \
        return exact_add(&st->exact, form, st->values, row, 1, squares);                    \
    }                                                                                      \
    static ALWAYS_INLINE int name##_remove(void *state, int64_t row, int64_t exit) {        \
        SumState *st = state;                                                              \
        (void)exit;                                                                        \
        st->changed = 1;                                                                   \
        return exact_add(&st->exact, form, st->values, row, -1, squares);                   \
    }

SUM_STEPS(count, COUNTS, 0)
SUM_STEPS(integer, INTEGERS, 0)
SUM_STEPS(integer_square, INTEGERS, 1)
SUM_STEPS(fixed, FIXED, 0)
SUM_STEPS(fixed_square, FIXED, 1)
SUM_STEPS(chunk, CHUNKS, 0)
SUM_STEPS(chunk_square, CHUNKS, 1)

static inline int emit_sums(void *state, int64_t q, int64_t t) {
    SumState *st = state;
    SumColumns *out = &st->out;
    (void)t;
    if (st->changed) exact_finish(&st->exact, st->want, &st->last);
    st->changed = 0;
    if (out->count) out->count[q] = st->last.count;
    if (out->integer) out->integer[q] = st->last.integer;
    if (out->overflow) out->overflow[q] = st->last.overflow;
    if (out->sum) out->sum[q] = st->last.sum;
    if (out->mean) out->mean[q] = st->last.mean;
    if (out->var) out->var[q] = st->last.var;
    if (out->var_sample) out->var_sample[q] = st->last.var_sample;
    return OK;
}

static int group_range(const Sweep *w, int64_t g, const uint64_t *bits, Range *range) {
    *range = NO_RANGE;
    for (int64_t s = w->start[g]; s < w->start[g + 1]; s++) {
        int64_t row = w->row ? w->row[s] : s;
        if ((uint64_t)row >= (uint64_t)w->rows) return BAD_ROW;
        if (!w->valid || w->valid[row]) range_add(range, bits[row]);
    }
    return OK;
}

static int sums_of_group(const Sweep *w, int64_t g, SumState *st, Form form) {
    Range range = NO_RANGE;
    int status = form == FIXED ? group_range(w, g, st->values, &range) : OK;
    if (status) return status;
    exact_begin(&st->exact, form, range, w->start[g + 1] - w->start[g]);
    st->changed = 1;
    int squares = st->want & (WANT_VAR | WANT_VAR_SAMPLE);
#define SWEEP(name) sweep_group(w, g, st, name##_add, name##_remove, emit_sums)
    switch (st->exact.form) {
    case COUNTS: return SWEEP(count);
    case INTEGERS: return squares ? SWEEP(integer_square) : SWEEP(integer);
    case FIXED: return squares ? SWEEP(fixed_square) : SWEEP(fixed);
    default: return squares ? SWEEP(chunk_square) : SWEEP(chunk);
    }
#undef SWEEP
}

static int sweep_sums(const Sweep *w, SumState *st, Form form) {
    for (int64_t g = 0; g < w->groups; g++) {
        int status = is_asked(w, g) ? sums_of_group(w, g, st, form) : OK;
        if (status) return status;
    }
    return OK;
}

/* ---- extremes: the active row with the smallest key, ties to the smallest row ------------------ */

typedef struct { int64_t key, row, exit; } Candidate;

/* A line of candidates: a monotonic queue (ring buffer) if exits never step back in the order of
   entering, else a binary heap whose top is dropped once it has left. */
typedef struct {
    Candidate *item;
    int64_t head, count, capacity;     /* capacity: a power of two */
} Line;

static ALWAYS_INLINE int is_before(const Candidate *a, const Candidate *b) {
    return a->key < b->key || (a->key == b->key && a->row < b->row);
}

static int line_grow(Line *line) {
    int64_t capacity = line->capacity ? 2 * line->capacity : 64;
    Candidate *item = malloc((size_t)capacity * sizeof(Candidate));
    if (!item) return NO_MEMORY;
    for (int64_t i = 0; i < line->count; i++)
        item[i] = line->item[(line->head + i) & (line->capacity - 1)];
    free(line->item);
    *line = (Line){item, 0, line->count, capacity};
    return OK;
}

static ALWAYS_INLINE int queue_add(Line *line, Candidate new) {
    int64_t mask = line->capacity - 1;
    while (line->count && is_before(&new, &line->item[(line->head + line->count - 1) & mask]))
        line->count--;
    if (line->count == line->capacity) {
        if (line_grow(line)) return NO_MEMORY;
        mask = line->capacity - 1;
    }
    line->item[(line->head + line->count++) & mask] = new;
    return OK;
}

static ALWAYS_INLINE const Candidate *queue_first(Line *line, int64_t t) {
    while (line->count && line->item[line->head].exit <= t) {
        line->head = (line->head + 1) & (line->capacity - 1);
        line->count--;
    }
    return line->count ? &line->item[line->head] : NULL;
}

static ALWAYS_INLINE int heap_add(Line *line, Candidate new) {
    if (line->count == line->capacity && line_grow(line)) return NO_MEMORY;
    int64_t i = line->count++;
    for (; i && is_before(&new, &line->item[(i - 1) / 2]); i = (i - 1) / 2)
        line->item[i] = line->item[(i - 1) / 2];
    line->item[i] = new;
    return OK;
}

static void heap_pop(Line *line) {
    Candidate last = line->item[--line->count];
    int64_t i = 0, child;
    while ((child = 2 * i + 1) < line->count) {
        child += child + 1 < line->count && is_before(&line->item[child + 1], &line->item[child]);
        if (is_before(&last, &line->item[child])) break;
        line->item[i] = line->item[child];
        i = child;
    }
    line->item[i] = last;
}

static ALWAYS_INLINE const Candidate *heap_first(Line *line, int64_t t) {
    while (line->count && line->item[0].exit <= t) heap_pop(line);
    return line->count ? &line->item[0] : NULL;
}

typedef enum { KEY_ROW, KEY_RANK, KEY_DOUBLE } Key;

typedef struct {
    const int64_t *values;              /* ranks, or the bits of doubles */
    Key key;
    int queue;
    Line low, high;                     /* high holds the complements of key and row */
    double *least, *greatest;           /* outputs, any may be NULL */
    int64_t *lowest, *highest;
    uint8_t *has;
    int want;
} OrderState;

/* Doubles as integers of the same total order: -inf < ... < -0.0 < 0.0 < ... < inf. */
static ALWAYS_INLINE int64_t total_order(int64_t bits) {
    return bits ^ (int64_t)((uint64_t)(bits >> 63) >> 1);
}

static ALWAYS_INLINE int order_add(void *state, int64_t row, int64_t exit) {
    OrderState *st = state;
    int64_t key = st->key == KEY_ROW ? row : st->values[row];
    if (st->key == KEY_DOUBLE) {
        if (((uint64_t)key & MAGNITUDE) > (uint64_t)EXPONENT_OF_INF << 52) return BAD_NAN;
        key = total_order(key);
    }
    Candidate low = {key, row, exit}, high = {~key, ~row, exit};
    if (st->want & WANT_MIN && (st->queue ? queue_add(&st->low, low) : heap_add(&st->low, low)))
        return NO_MEMORY;
    if (st->want & WANT_MAX && (st->queue ? queue_add(&st->high, high) : heap_add(&st->high, high)))
        return NO_MEMORY;
    return OK;
}

static ALWAYS_INLINE int order_emit(void *state, int64_t q, int64_t t) {
    OrderState *st = state;
    const Candidate *low = st->queue ? queue_first(&st->low, t) : heap_first(&st->low, t);
    const Candidate *high = st->queue ? queue_first(&st->high, t) : heap_first(&st->high, t);
    if (st->has) st->has[q] = low || high;
    if (st->least) st->least[q] = low ? double_of((uint64_t)total_order(low->key)) : NAN;
    if (st->greatest) st->greatest[q] = high ? double_of((uint64_t)total_order(~high->key)) : NAN;
    if (st->lowest) st->lowest[q] = low ? low->row : -1;
    if (st->highest) st->highest[q] = high ? ~high->row : -1;
    return OK;
}

/* 1 if in the order of entering, exits never step back; 0 if they do; or an error. */
static int exits_in_order(const Sweep *w, int64_t g) {
    if (!w->enter_order && !w->exit_order) return 1;
    int64_t last = INT64_MIN;
    for (int64_t i = w->start[g]; i < w->start[g + 1]; i++) {
        int64_t s = span_at(w, w->enter_order, i, g);
        if (s < 0) return BAD_ORDER;
        if (w->enter[s] >= w->exit[s]) continue;
        if (w->exit[s] < last) return 0;
        last = w->exit[s];
    }
    return 1;
}

static int sweep_order(const Sweep *w, OrderState *st) {
    int status = OK;
    if (line_grow(&st->low) || line_grow(&st->high)) status = NO_MEMORY;
    for (int64_t g = 0; g < w->groups && !status; g++) {
        if (!is_asked(w, g)) continue;
        st->low.head = st->low.count = st->high.head = st->high.count = 0;
        st->queue = exits_in_order(w, g);
        status = st->queue < 0 ? st->queue : sweep_group(w, g, st, order_add, NULL, order_emit);
    }
    free(st->low.item);
    free(st->high.item);
    return status;
}

/* ---- distinct codes ---------------------------------------------------------------------------- */

typedef struct {
    const int64_t *codes;
    int64_t code_count, distinct;
    uint32_t *active;                   /* active spans of each code */
    int64_t *out;
} UniqueState;

static ALWAYS_INLINE int unique_add(void *state, int64_t row, int64_t exit) {
    UniqueState *st = state;
    (void)exit;
    if ((uint64_t)st->codes[row] >= (uint64_t)st->code_count) return BAD_CODE;
    st->distinct += st->active[st->codes[row]]++ == 0;
    return OK;
}

static ALWAYS_INLINE int unique_remove(void *state, int64_t row, int64_t exit) {
    UniqueState *st = state;
    (void)exit;
    if ((uint64_t)st->codes[row] >= (uint64_t)st->code_count) return BAD_CODE;
    st->distinct -= --st->active[st->codes[row]] == 0;
    return OK;
}

static ALWAYS_INLINE int unique_emit(void *state, int64_t q, int64_t t) {
    (void)t;
    ((UniqueState *)state)->out[q] = ((UniqueState *)state)->distinct;
    return OK;
}

static void unique_forget(const Sweep *w, int64_t g, UniqueState *st) {
    if (!st->distinct) return;
    for (int64_t s = w->start[g]; s < w->start[g + 1]; s++) {
        int64_t row = w->row ? w->row[s] : s;
        if ((uint64_t)row < (uint64_t)w->rows && (uint64_t)st->codes[row] < (uint64_t)st->code_count)
            st->active[st->codes[row]] = 0;
    }
    st->distinct = 0;
}

static int sweep_unique(const Sweep *w, UniqueState *st) {
    int status = OK;
    st->active = calloc((size_t)(st->code_count ? st->code_count : 1), sizeof(uint32_t));
    if (!st->active) return NO_MEMORY;
    for (int64_t g = 0; g < w->groups && !status; g++) {
        if (!is_asked(w, g)) continue;
        if (w->start[g + 1] - w->start[g] > UINT32_MAX) status = NO_MEMORY;
        else status = sweep_group(w, g, st, unique_add, unique_remove, unique_emit);
        unique_forget(w, g, st);
    }
    free(st->active);
    return status;
}

#endif
