/* Order statistics: the active rows at a quantile of each query, and the most frequent codes.

   The rows of a group are numbered by key; a Fenwick tree (Fenwick 1994, "A new data structure for
   cumulative frequency tables") counts the active ones, so that a row costs the logarithm of the
   group and a query twice that. */
#ifndef SKEWLESS_RANK_H
#define SKEWLESS_RANK_H

#include "_sweep.h"

typedef struct { int64_t key, row; } Keyed;

typedef struct {
    const int64_t *keys;
    double q;
    Keyed *item;                    /* rows of the group by key, ties by row */
    int64_t *place, *tree;          /* of a row among them; active rows, as sums over ranges */
    int64_t size, count, most;      /* most: the greatest power of two within the size */
    int64_t *below, *above, *counts;
} Quantile;

static int by_key(const void *one, const void *other) {
    const Keyed *a = one, *b = other;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static ALWAYS_INLINE void tree_add(Quantile *s, int64_t row, int64_t change) {
    for (int64_t i = s->place[row] + 1; i <= s->size; i += i & -i) s->tree[i] += change;
    s->count += change;
}

/* The active row before which `left` others are. */
static ALWAYS_INLINE int64_t row_at(const Quantile *s, int64_t left) {
    int64_t at = 0;
    for (int64_t step = s->most; step; step >>= 1)
        if (at + step <= s->size && s->tree[at + step] <= left) left -= s->tree[at += step];
    return at < s->size ? s->item[at].row : -1;     /* orders that lie could lead beyond */
}

static ALWAYS_INLINE int quantile_add(void *state, int64_t row, int64_t exit) {
    (void)exit;
    tree_add(state, row, 1);
    return OK;
}

static ALWAYS_INLINE int quantile_remove(void *state, int64_t row, int64_t exit) {
    (void)exit;
    tree_add(state, row, -1);
    return OK;
}

static ALWAYS_INLINE int quantile_emit(void *state, int64_t query, int64_t t) {
    Quantile *s = state;
    (void)t;
    s->counts[query] = s->count;
    s->below[query] = s->above[query] = -1;
    if (s->count <= 0) return OK;
    double position = s->q * (double)(s->count - 1);
    s->below[query] = row_at(s, (int64_t)floor(position));
    s->above[query] = row_at(s, (int64_t)ceil(position));
    return OK;
}

static int quantiles_of_group(const Sweep *w, int64_t g, Quantile *s) {
    s->size = s->count = 0;
    for (int64_t i = w->start[g]; i < w->start[g + 1]; i++) {
        int64_t row = w->row ? w->row[i] : i;
        if ((uint64_t)row >= (uint64_t)w->rows) return BAD_ROW;
        s->item[s->size++] = (Keyed){s->keys[row], row};
    }
    qsort(s->item, (size_t)s->size, sizeof(Keyed), by_key);
    int64_t distinct = 0;           /* a row may have several spans */
    for (int64_t i = 0; i < s->size; i++)
        if (!distinct || s->item[distinct - 1].row != s->item[i].row) s->item[distinct++] = s->item[i];
    s->size = distinct;
    for (int64_t i = 0; i < s->size; i++) s->place[s->item[i].row] = i;
    memset(s->tree, 0, sizeof(int64_t) * (size_t)(s->size + 1));
    for (s->most = 1; 2 * s->most <= s->size;) s->most *= 2;
    return sweep_group(w, g, s, quantile_add, quantile_remove, quantile_emit);
}

static int sweep_quantile(const Sweep *w, Quantile *s) {
    int64_t largest = 1;
    int status = OK;
    for (int64_t g = 0; g < w->groups; g++)
        if (w->start[g + 1] - w->start[g] > largest) largest = w->start[g + 1] - w->start[g];
    s->item = malloc((size_t)largest * sizeof(Keyed));
    s->tree = malloc((size_t)(largest + 1) * sizeof(int64_t));
    s->place = malloc((size_t)(w->rows ? w->rows : 1) * sizeof(int64_t));
    if (!s->item || !s->tree || !s->place) status = NO_MEMORY;
    for (int64_t g = 0; g < w->groups && !status; g++)
        if (is_asked(w, g)) status = quantiles_of_group(w, g, s);
    free(s->item);
    free(s->tree);
    free(s->place);
    return status;
}

/* ---- the most frequent codes ----------------------------------------------------------------------- */

typedef struct {
    const int64_t *codes;
    int64_t k, size, leaves; /* distinct codes of the group; a power of two of leaves */
    Keyed *item;
    int64_t *place, *code, *count, *best; /* best: of the subtree of each node */
    int changed;
    int64_t *last, *out;            /* k codes a query, -1 for none */
} Frequent;

static ALWAYS_INLINE int64_t more_frequent(const Frequent *s, int64_t a, int64_t b) {
    if (b >= s->size) return a;
    return s->count[b] > s->count[a] || (s->count[b] == s->count[a] && b < a) ? b : a;
}

static ALWAYS_INLINE void count_change(Frequent *s, int64_t at, int64_t change) {
    s->count[at] += change;
    for (int64_t node = (at + s->leaves) / 2; node; node /= 2)
        s->best[node] = more_frequent(s, s->best[2 * node], s->best[2 * node + 1]);
}

static ALWAYS_INLINE int frequent_add(void *state, int64_t row, int64_t exit) {
    Frequent *s = state;
    (void)exit;
    s->changed = 1;
    count_change(s, s->place[row], 1);
    return OK;
}

static ALWAYS_INLINE int frequent_remove(void *state, int64_t row, int64_t exit) {
    Frequent *s = state;
    (void)exit;
    s->changed = 1;
    count_change(s, s->place[row], -1);
    return OK;
}

/* The best is taken out k times, and all are put back. */
static void find_frequent(Frequent *s) {
    int64_t found = 0;
    for (; found < s->k; found++) {
        int64_t at = s->size ? s->best[1] : 0;
        if (!s->size || s->count[at] <= 0) break;
        s->last[2 * found] = at;
        s->last[2 * found + 1] = s->count[at];
        count_change(s, at, -s->count[at]);
    }
    for (int64_t i = 0; i < found; i++) count_change(s, s->last[2 * i], s->last[2 * i + 1]);
    for (int64_t i = found; i < s->k; i++) s->last[2 * i] = -1;
}

static ALWAYS_INLINE int frequent_emit(void *state, int64_t query, int64_t t) {
    Frequent *s = state;
    (void)t;
    if (s->changed) find_frequent(s);
    s->changed = 0;
    for (int64_t i = 0; i < s->k; i++)
        s->out[query * s->k + i] = s->last[2 * i] < 0 ? -1 : s->code[s->last[2 * i]];
    return OK;
}

static int frequent_of_group(const Sweep *w, int64_t g, Frequent *s) {
    int64_t rows = 0;
    for (int64_t i = w->start[g]; i < w->start[g + 1]; i++) {
        int64_t row = w->row ? w->row[i] : i;
        if ((uint64_t)row >= (uint64_t)w->rows) return BAD_ROW;
        s->item[rows++] = (Keyed){s->codes[row], row};
    }
    qsort(s->item, (size_t)rows, sizeof(Keyed), by_key);
    s->size = 0;
    for (int64_t i = 0; i < rows; i++) {
        if (!i || s->item[i].key != s->item[i - 1].key) s->code[s->size++] = s->item[i].key;
        s->place[s->item[i].row] = s->size - 1;
    }
    for (s->leaves = 1; s->leaves < s->size;) s->leaves *= 2;
    memset(s->count, 0, sizeof(int64_t) * (size_t)(s->size + 1));
    for (int64_t i = 0; i < s->leaves; i++) s->best[s->leaves + i] = i;
    for (int64_t node = s->leaves - 1; node; node--) s->best[node] = s->best[2 * node];
    s->changed = 1;
    return sweep_group(w, g, s, frequent_add, frequent_remove, frequent_emit);
}

static int sweep_frequent(const Sweep *w, Frequent *s) {
    int64_t largest = 1, leaves = 1;
    int status = OK;
    for (int64_t g = 0; g < w->groups; g++)
        if (w->start[g + 1] - w->start[g] > largest) largest = w->start[g + 1] - w->start[g];
    while (leaves < largest) leaves *= 2;
    s->item = malloc((size_t)largest * sizeof(Keyed));
    s->code = malloc((size_t)largest * sizeof(int64_t));
    s->count = malloc((size_t)(largest + 1) * sizeof(int64_t));
    s->best = malloc((size_t)(2 * leaves) * sizeof(int64_t));
    s->last = malloc((size_t)(2 * s->k) * sizeof(int64_t));
    s->place = malloc((size_t)(w->rows ? w->rows : 1) * sizeof(int64_t));
    if (!s->item || !s->code || !s->count || !s->best || !s->last || !s->place) status = NO_MEMORY;
    for (int64_t g = 0; g < w->groups && !status; g++)
        if (is_asked(w, g)) status = frequent_of_group(w, g, s);
    free(s->item);
    free(s->code);
    free(s->count);
    free(s->best);
    free(s->last);
    free(s->place);
    return status;
}

#endif
