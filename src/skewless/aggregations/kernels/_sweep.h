/* Sweeps: the spans of each group are entered and left in time order, query after query.

   A span counts for query time t while enter <= t < exit. Spans that enter and leave between two
   queries are skipped: one is added only if it has not left by then, and removed only if an
   earlier query saw it. Removing comes first: a row may leave and come back between two queries. */
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
static ALWAYS_INLINE int sweep_group(const Sweep *given, int64_t g, void *state, Step add,
                                     Step remove, Emit emit) {
    const Sweep copy = *given, *w = &copy;      /* the compiler sees that no step changes it */
    int64_t entering = w->start[g], leaving = entering, end = w->start[g + 1];
    int64_t previous = INT64_MIN;
    int status, first = 1;
    for (int64_t q = w->query_start[g]; q < w->query_start[g + 1]; q++, first = 0) {
        int64_t t = w->time[q];
        if (t < previous) return BAD_QUERY;
        for (; remove && leaving < end; leaving++) {
            int64_t s = span_at(w, w->exit_order, leaving, g);
            if (s < 0) return BAD_ORDER;
            if (w->exit[s] > t) break;
            if (!first && w->enter[s] <= previous && (status = step_row(w, s, state, remove)))
                return status;
        }
        for (; entering < end; entering++) {
            int64_t s = span_at(w, w->enter_order, entering, g);
            if (s < 0) return BAD_ORDER;
            if (w->enter[s] > t) break;
            if (w->exit[s] > t && (status = step_row(w, s, state, add))) return status;
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
    int want;
    SumColumns out;
    Summary last;
    Exact exact;
} SumState;

/* What changes with each row: a local of the sweep, so that it can stay in registers. */
typedef struct {
    Fixed fixed;
    const void *values;
    int changed;
    SumState *state;
} Running;

static NEVER_INLINE void write_sums(SumState *st, int64_t q, int changed);

/* Each form gets a function of its own: inlined into one, they would starve of registers. */
#define SUM_SWEEP(name, form, squares)                                                     \
    static ALWAYS_INLINE int name##_step(Running *r, int64_t row, int sign) {               \
        r->changed = 1;                                                                    \
        if (form == CHUNKS)                                                                \
            return add_chunks(&r->state->exact, ((const uint64_t *)r->values)[row], sign,   \
                              squares);                                                    \
        add_value(&r->fixed, form, r->values, row, sign, squares);                          \
        return OK;                                                                         \
    }                                                                                      \
    static ALWAYS_INLINE int name##_add(void *state, int64_t row, int64_t exit) {           \
        (void)exit;                                                                        \
        return name##_step(state, row, 1);                                                  \
    }                                                                                      \
    static ALWAYS_INLINE int name##_remove(void *state, int64_t row, int64_t exit) {        \
        (void)exit;                                                                        \
        return name##_step(state, row, -1);                                                 \
    }                                                                                      \
    static ALWAYS_INLINE int name##_emit(void *state, int64_t q, int64_t t) {               \
        Running *r = state;                                                                \
        (void)t;                                                                           \
        if (form != CHUNKS && r->changed) r->state->exact.fixed = r->fixed;                 \
        write_sums(r->state, q, r->changed);                                               \
        r->changed = 0;                                                                    \
        return OK;                                                                         \
    }                                                                                      \
    static NEVER_INLINE int name##_sweep(const Sweep *w, int64_t g, SumState *st) {         \
        Running running = {st->exact.fixed, st->values, 1, st};                             \
        return sweep_group(w, g, &running, name##_add, name##_remove, name##_emit);         \
    }

SUM_SWEEP(count, COUNTS, 0)
SUM_SWEEP(integer, INTEGERS, 0)
SUM_SWEEP(integer_square, INTEGERS, 1)
SUM_SWEEP(fixed, FIXED, 0)
SUM_SWEEP(fixed_square, FIXED, 1)
SUM_SWEEP(chunk, CHUNKS, 0)
SUM_SWEEP(chunk_square, CHUNKS, 1)

static NEVER_INLINE void write_sums(SumState *st, int64_t q, int changed) {
    SumColumns *out = &st->out;
    if (changed) exact_finish(&st->exact, st->want, &st->last);
    if (out->count) out->count[q] = st->last.count;
    if (out->integer) out->integer[q] = st->last.integer;
    if (out->overflow) out->overflow[q] = st->last.overflow;
    if (out->sum) out->sum[q] = st->last.sum;
    if (out->mean) out->mean[q] = st->last.mean;
    if (out->var) out->var[q] = st->last.var;
    if (out->var_sample) out->var_sample[q] = st->last.var_sample;
}

static NEVER_INLINE int group_range(const Sweep *w, int64_t g, const uint64_t *bits, Range *range) {
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
    int squares = st->want & (WANT_VAR | WANT_VAR_SAMPLE);
    switch (st->exact.form) {
    case COUNTS: return count_sweep(w, g, st);
    case INTEGERS: return squares ? integer_square_sweep(w, g, st) : integer_sweep(w, g, st);
    case FIXED: return squares ? fixed_square_sweep(w, g, st) : fixed_sweep(w, g, st);
    default: return squares ? chunk_square_sweep(w, g, st) : chunk_sweep(w, g, st);
    }
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
    Line low, high;                     /* high holds the complements of key and row */
    Line low_batch, high_batch;         /* candidates of a batch, the newest at the bottom */
    int64_t *lowest, *highest;          /* outputs: rows, -1 for none */
    int want;
} OrderState;

static ALWAYS_INLINE int order_key(const OrderState *st, int64_t row, int64_t *key) {
    *key = st->key == KEY_ROW ? row : st->values[row];
    if (st->key != KEY_DOUBLE) return OK;
    if (((uint64_t)*key & MAGNITUDE) > (uint64_t)EXPONENT_OF_INF << 52) return BAD_NAN;
    *key = total_order(*key);
    return OK;
}

static ALWAYS_INLINE int order_heap_add(void *state, int64_t row, int64_t exit) {
    OrderState *st = state;
    int64_t key;
    int status = order_key(st, row, &key);
    if (!status && st->want & WANT_MIN) status = heap_add(&st->low, (Candidate){key, row, exit});
    if (!status && st->want & WANT_MAX) status = heap_add(&st->high, (Candidate){~key, ~row, exit});
    return status;
}

static ALWAYS_INLINE int order_heap_emit(void *state, int64_t q, int64_t t) {
    OrderState *st = state;
    const Candidate *low = heap_first(&st->low, t), *high = heap_first(&st->high, t);
    st->lowest[q] = low ? low->row : -1;
    st->highest[q] = high ? ~high->row : -1;
    return OK;
}

/* Pushes a candidate of a batch that is walked backwards, if it beats all that came after it. */
static ALWAYS_INLINE int keep_if_first(Line *batch, Candidate new) {
    if (batch->count && !is_before(&new, &batch->item[batch->count - 1])) return OK;
    if (batch->count == batch->capacity && line_grow(batch)) return NO_MEMORY;
    batch->item[batch->count++] = new;
    return OK;
}

/* Queues the candidates of a batch. Walking it backwards, few beat their successors, which is far
   easier on branch prediction than queueing each; and all before one that has left have left. */
static ALWAYS_INLINE int order_batch(const Sweep *w, OrderState *st, int64_t g, int64_t from,
                                     int64_t until, int64_t t) {
    st->low_batch.count = st->high_batch.count = 0;
    while (until-- > from) {
        int64_t s = span_at(w, w->enter_order, until, g), key;
        if (s < 0) return BAD_ORDER;
        if (w->exit[s] <= t && w->enter[s] >= w->exit[s]) continue;
        if (w->exit[s] <= t) break;
        int64_t row = w->row ? w->row[s] : s;
        if ((uint64_t)row >= (uint64_t)w->rows) return BAD_ROW;
        if (w->valid && !w->valid[row]) continue;
        int status = order_key(st, row, &key);
        if (!status && st->want & WANT_MIN)
            status = keep_if_first(&st->low_batch, (Candidate){key, row, w->exit[s]});
        if (!status && st->want & WANT_MAX)
            status = keep_if_first(&st->high_batch, (Candidate){~key, ~row, w->exit[s]});
        if (status) return status;
    }
    while (st->low_batch.count)
        if (queue_add(&st->low, st->low_batch.item[--st->low_batch.count])) return NO_MEMORY;
    while (st->high_batch.count)
        if (queue_add(&st->high, st->high_batch.item[--st->high_batch.count])) return NO_MEMORY;
    return OK;
}

static NEVER_INLINE int order_by_queue(const Sweep *given, int64_t g, OrderState *st) {
    const Sweep copy = *given, *w = &copy;
    int64_t entering = w->start[g], end = w->start[g + 1], previous = INT64_MIN;
    for (int64_t q = w->query_start[g]; q < w->query_start[g + 1]; q++) {
        int64_t t = w->time[q], from = entering;
        if (t < previous) return BAD_QUERY;
        for (; entering < end; entering++) {
            int64_t s = span_at(w, w->enter_order, entering, g);
            if (s < 0) return BAD_ORDER;
            if (w->enter[s] > t) break;
        }
        int status = order_batch(w, st, g, from, entering, t);
        if (status) return status;
        const Candidate *low = queue_first(&st->low, t), *high = queue_first(&st->high, t);
        st->lowest[q] = low ? low->row : -1;
        st->highest[q] = high ? ~high->row : -1;
        previous = t;
    }
    return OK;
}

static NEVER_INLINE int order_by_heap(const Sweep *w, int64_t g, OrderState *st) {
    return sweep_group(w, g, st, order_heap_add, NULL, order_heap_emit);
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
    Line *const lines[] = {&st->low, &st->high, &st->low_batch, &st->high_batch};
    int status = OK;
    for (int i = 0; i < 4 && !status; i++) status = line_grow(lines[i]);
    for (int64_t g = 0; g < w->groups && !status; g++) {
        if (!is_asked(w, g)) continue;
        st->low.head = st->low.count = st->high.head = st->high.count = 0;
        status = exits_in_order(w, g);
        if (status >= 0) status = status ? order_by_queue(w, g, st) : order_by_heap(w, g, st);
    }
    for (int i = 0; i < 4; i++) free(lines[i]->item);
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
