/* Which rows are active, in row order: gathering them, and turning "the newest N" and "the newest
   session" into spans. A row is active while enter <= t < superseded. */
#ifndef SKEWLESS_SPANS_H
#define SKEWLESS_SPANS_H

#include "_sweep.h"

/* ---- a set of small integers with neighbours in O(log64 size) ----------------------------------- */

#define LEVELS 11

typedef struct {
    uint64_t *word[LEVELS], *memory;   /* a bit of level k + 1 tells that a word of level k is not 0 */
    int levels;
    int64_t capacity;                  /* words */
} Members;

static int members_reset(Members *m, int64_t size) {
    int64_t words = 0, length[LEVELS];
    m->levels = 0;
    do {
        size = (size + 63) / 64;
        length[m->levels++] = size;
        words += size;
    } while (size > 1);
    if (words > m->capacity) {
        free(m->memory);
        m->capacity = 0;
        if (!(m->memory = malloc((size_t)words * 8))) return NO_MEMORY;
        m->capacity = words;
    }
    if (words) memset(m->memory, 0, (size_t)words * 8);
    words = 0;
    for (int k = 0; k < m->levels; k++) {
        m->word[k] = m->memory + words;
        words += length[k];
    }
    return OK;
}

static inline void members_add(Members *m, int64_t i) {
    for (int k = 0; k < m->levels; k++, i >>= 6) {
        uint64_t before = m->word[k][i >> 6];
        m->word[k][i >> 6] = before | (uint64_t)1 << (i & 63);
        if (before) return;
    }
}

static inline void members_remove(Members *m, int64_t i) {
    for (int k = 0; k < m->levels; k++, i >>= 6)
        if (m->word[k][i >> 6] &= ~((uint64_t)1 << (i & 63))) return;
}

static inline int members_have(const Members *m, int64_t i) {
    return (int)(m->word[0][i >> 6] >> (i & 63) & 1);
}

/* The smallest member greater than i, or -1. */
static inline int64_t members_next(const Members *m, int64_t i, int64_t size) {
    for (int k = 0; k < m->levels; k++, i >>= 6, size = (size + 63) / 64) {
        if (++i >= size) return -1;
        uint64_t word = m->word[k][i >> 6] >> (i & 63);
        if (!word) continue;
        i += __builtin_ctzll(word);
        while (k--) i = i << 6 | __builtin_ctzll(m->word[k][i]);
        return i;
    }
    return -1;
}

/* The greatest member smaller than i, or -1. */
static inline int64_t members_previous(const Members *m, int64_t i) {
    for (int k = 0; k < m->levels; k++, i >>= 6) {
        if (!(i & 63)) continue;
        uint64_t word = m->word[k][i >> 6] << (64 - (i & 63));
        if (!word) continue;
        i -= 1 + __builtin_clzll(word);
        while (k--) i = i << 6 | (63 - __builtin_clzll(m->word[k][i]));
        return i;
    }
    return -1;
}

/* ---- rows active at each query --------------------------------------------------------------------- */

typedef struct {
    Members members;
    int64_t base, size, total, capacity;
    const int64_t *offset;
    int64_t *out;
} GatherState;

static ALWAYS_INLINE int gather_add(void *state, int64_t row, int64_t exit) {
    GatherState *st = state;
    (void)exit;
    members_add(&st->members, row - st->base);
    return OK;
}

static ALWAYS_INLINE int gather_remove(void *state, int64_t row, int64_t exit) {
    GatherState *st = state;
    (void)exit;
    members_remove(&st->members, row - st->base);
    return OK;
}

static ALWAYS_INLINE int gather_emit(void *state, int64_t q, int64_t t) {
    GatherState *st = state;
    (void)t;
    int64_t i = -1, end = st->offset[q + 1];
    if (st->total != st->offset[q] || end > st->capacity) return BAD_ORDER;
    while (st->total < end) {
        i = members_next(&st->members, i, st->size);
        if (i < 0) return BAD_ORDER;
        st->out[st->total++] = st->base + i;
    }
    return OK;
}

static int gather_active(const Sweep *w, GatherState *st) {
    int status = OK;
    for (int64_t g = 0; g < w->groups && !status; g++) {
        if (!is_asked(w, g)) continue;
        int64_t least = INT64_MAX, greatest = -1;
        for (int64_t s = w->start[g]; s < w->start[g + 1] && !status; s++) {
            int64_t row = w->row ? w->row[s] : s;
            if ((uint64_t)row >= (uint64_t)w->rows) status = BAD_ROW;
            if (row < least) least = row;
            if (row > greatest) greatest = row;
        }
        st->base = least;
        st->size = greatest < 0 ? 0 : greatest - least + 1;
        if (!status) status = members_reset(&st->members, st->size);
        if (!status) status = sweep_group(w, g, st, gather_add, gather_remove, gather_emit);
    }
    free(st->members.memory);
    return status;
}

/* ---- rows of a rule ("newest N", "newest session") as spans --------------------------------------- */

typedef struct {
    int64_t rows, groups, drops;
    const int64_t *start, *event, *enter, *superseded;
    const int64_t *enter_order;               /* rows by (group, enter); NULL if in place */
    const int64_t *dropped, *dropped_start;   /* rows ever superseded by (group, superseded) */
    int64_t parameter;                        /* N, or the gap */
    int64_t *span_row, *span_enter, *span_exit, *span_start;
    int64_t capacity, total;                  /* spans beyond the capacity are only counted */
    Members active;
    int64_t *slot;                            /* the open span of each row of the group */
    int64_t base, size, now;
    int64_t first, held;                      /* smallest chosen row (-1: none), rows chosen */
} Rule;

static void rule_open(Rule *r, int64_t i) {
    r->slot[i] = r->total;
    if (r->total < r->capacity) {
        r->span_row[r->total] = r->base + i;
        r->span_enter[r->total] = r->now;
        r->span_exit[r->total] = INT64_MAX;
    }
    r->total++;
}

static void rule_close(Rule *r, int64_t i) {
    if (r->slot[i] < r->capacity) r->span_exit[r->slot[i]] = r->now;
}

static void newest_add(Rule *r, int64_t i) {
    members_add(&r->active, i);
    if (r->held < r->parameter) {
        rule_open(r, i);
        r->held++;
        if (r->first < 0 || i < r->first) r->first = i;
    } else if (i > r->first) {
        rule_open(r, i);
        rule_close(r, r->first);
        r->first = members_next(&r->active, r->first, r->size);
    }
}

static void newest_remove(Rule *r, int64_t i) {
    if (i >= r->first) {
        int64_t back = members_previous(&r->active, r->first);
        rule_close(r, i);
        if (back >= 0) {
            rule_open(r, back);
            r->first = back;
        } else {
            r->held--;
            if (i == r->first) r->first = members_next(&r->active, i, r->size);
        }
    }
    members_remove(&r->active, i);
}

static int is_near(const Rule *r, int64_t older, int64_t newer) {
    uint64_t apart = (uint64_t)r->event[r->base + newer] - (uint64_t)r->event[r->base + older];
    return apart <= (uint64_t)r->parameter;
}

/* Makes row i the first of the run and takes in the older rows that follow it without a gap. */
static void session_extend(Rule *r, int64_t i) {
    rule_open(r, i);
    r->first = i;
    while ((i = members_previous(&r->active, r->first)) >= 0 && is_near(r, i, r->first)) {
        rule_open(r, i);
        r->first = i;
    }
}

/* Ends the run's part from its first row to row `last`; the run then starts at `first`. */
static void session_cut(Rule *r, int64_t last, int64_t first) {
    for (int64_t i = r->first; i >= 0 && i <= last; i = members_next(&r->active, i, r->size))
        rule_close(r, i);
    r->first = first;
}

static void session_add(Rule *r, int64_t i) {
    int64_t before = members_previous(&r->active, i);
    int newest = members_next(&r->active, i, r->size) < 0;
    members_add(&r->active, i);
    if (r->first < 0 || (newest && !is_near(r, before, i))) {
        if (r->first >= 0) session_cut(r, before, i);
        r->first = i;
        rule_open(r, i);
    } else if (i > r->first) {
        rule_open(r, i);
    } else if (is_near(r, i, r->first)) {
        session_extend(r, i);
    }
}

static void session_remove(Rule *r, int64_t i) {
    int64_t before = members_previous(&r->active, i);
    int64_t after = members_next(&r->active, i, r->size);
    members_remove(&r->active, i);
    if (i < r->first) return;
    rule_close(r, i);
    if (i == r->first) {
        r->first = after;
        if (after < 0 && before >= 0) session_extend(r, before);
    } else if (after >= 0 && !is_near(r, before, after)) {
        session_cut(r, before, after);
    }
}

typedef void (*Change)(Rule *r, int64_t i);

/* One group: what is superseded at a moment goes before what enters then. */
static int rule_group(Rule *r, int64_t g, Change add, Change remove) {
    int64_t d = r->dropped_start[g], drops = r->dropped_start[g + 1];
    r->base = r->start[g];
    r->size = r->start[g + 1] - r->base;
    r->first = -1;
    r->held = 0;
    if (members_reset(&r->active, r->size)) return NO_MEMORY;
    for (int64_t k = r->base; k <= r->base + r->size; k++) {
        int64_t row = -1, until = INT64_MAX;
        if (k < r->base + r->size) {
            row = r->enter_order ? r->enter_order[k] : k;
            if (row < r->base || row >= r->base + r->size) return BAD_ORDER;
            until = r->enter[row];
        }
        for (; d < drops; d++) {
            int64_t gone = r->dropped[d];
            if (gone < r->base || gone >= r->base + r->size) return BAD_ORDER;
            r->now = r->superseded[gone];
            if (r->now > until) break;
            if (members_have(&r->active, gone - r->base)) remove(r, gone - r->base);
        }
        if (row < 0) break;
        r->now = until;
        if (members_have(&r->active, row - r->base)) return BAD_ORDER;
        if (!r->superseded || until < r->superseded[row]) add(r, row - r->base);
    }
    return OK;
}

static int rule_spans(Rule *r, Change add, Change remove) {
    int64_t largest = 1;
    int status = OK;
    for (int64_t g = 0; g < r->groups; g++)
        if (r->start[g + 1] - r->start[g] > largest) largest = r->start[g + 1] - r->start[g];
    if (!(r->slot = malloc((size_t)largest * 8))) return NO_MEMORY;
    r->span_start[0] = 0;
    for (int64_t g = 0; g < r->groups && !status; g++) {
        status = rule_group(r, g, add, remove);
        r->span_start[g + 1] = r->total;
    }
    free(r->active.memory);
    free(r->slot);
    return status;
}

#endif
