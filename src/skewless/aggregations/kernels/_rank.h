/* Order statistics: the active rows at a quantile of each query, the distinct key of a rank, and
   the most frequent keys.

   The rows of a group are numbered by key; a Fenwick tree (Fenwick 1994, "A new data structure for
   cumulative frequency tables") counts the active ones, so that a row costs the logarithm of the
   group and a query twice that. */
#ifndef SKEWLESS_RANK_H
#define SKEWLESS_RANK_H

#include "_sort.h"
#include "_sweep.h"

/* The valid rows of a group by key, ties by row, and a place among them for each row. */
typedef struct {
    Keyed *room, *item;             /* room for twice the largest group; the rows are in it */
    int64_t size, *place;
} Ranked;

static int ranked_room(const Sweep *w, Ranked *r) {
    int64_t largest = 1;
    for (int64_t g = 0; g < w->groups; g++)
        if (w->start[g + 1] - w->start[g] > largest) largest = w->start[g + 1] - w->start[g];
    r->room = malloc(2 * (size_t)largest * sizeof(Keyed));
    r->place = malloc((size_t)(w->rows ? w->rows : 1) * sizeof(int64_t));
    r->size = largest;
    return r->room && r->place ? OK : NO_MEMORY;
}

static void ranked_free(Ranked *r) {
    free(r->room);
    free(r->place);
}

static int rank_group(const Sweep *w, int64_t g, const int64_t *keys, Ranked *r) {
    int64_t count = 0;
    int in_order = 1;
    for (int64_t s = w->start[g]; s < w->start[g + 1]; s++) {
        int64_t row = w->row ? w->row[s] : s;
        if ((uint64_t)row >= (uint64_t)w->rows) return BAD_ROW;
        if (w->valid && !w->valid[row]) continue;
        in_order &= !count || r->room[count - 1].row <= row;
        r->room[count++] = (Keyed){keys[row], row};
    }
    Keyed *from = r->room, *spare = r->room + count;
    if (!in_order) {                /* by row first, as sorting by key keeps that order */
        for (int64_t i = 0; i < count; i++) from[i].key = from[i].row;
        from = sort_keyed(from, spare, count);
        spare = from == r->room ? r->room + count : r->room;
        for (int64_t i = 0; i < count; i++) from[i].key = keys[from[i].row];
    }
    r->item = sort_keyed(from, spare, count);
    r->size = 0;                    /* a row may have several spans */
    for (int64_t i = 0; i < count; i++)
        if (!r->size || r->item[r->size - 1].row != r->item[i].row) r->item[r->size++] = r->item[i];
    return OK;
}

/* Active places, counted as sums over ranges of them. */
typedef struct {
    int64_t *sum, size, count, most;    /* most: the greatest power of two within the size */
} Tree;

static void tree_begin(Tree *s, int64_t size) {
    memset(s->sum, 0, sizeof(int64_t) * (size_t)(size + 1));
    s->size = size;
    s->count = 0;
    for (s->most = 1; 2 * s->most <= size;) s->most *= 2;
}

static ALWAYS_INLINE void tree_add(Tree *s, int64_t place, int64_t change) {
    for (int64_t i = place + 1; i <= s->size; i += i & -i) s->sum[i] += change;
    s->count += change;
}

/* The active place before which `left` others are; the size where there is none. */
static ALWAYS_INLINE int64_t tree_find(const Tree *s, int64_t left) {
    int64_t at = 0;
    for (int64_t step = s->most; step; step >>= 1)
        if (at + step <= s->size && s->sum[at + step] <= left) left -= s->sum[at += step];
    return at;
}

static ALWAYS_INLINE int64_t row_at(const Tree *s, const Ranked *r, int64_t left) {
    int64_t at = tree_find(s, left);
    return at < s->size ? r->item[at].row : -1;     /* orders that lie could lead beyond */
}

typedef struct {
    const int64_t *keys;
    double q;
    Ranked rows;
    Tree tree;
    int64_t *below, *above, *counts;
} Quantile;

static ALWAYS_INLINE int quantile_add(void *state, int64_t row, int64_t exit) {
    Quantile *s = state;
    (void)exit;
    tree_add(&s->tree, s->rows.place[row], 1);
    return OK;
}

static ALWAYS_INLINE int quantile_remove(void *state, int64_t row, int64_t exit) {
    Quantile *s = state;
    (void)exit;
    tree_add(&s->tree, s->rows.place[row], -1);
    return OK;
}

static ALWAYS_INLINE int quantile_emit(void *state, int64_t query, int64_t t) {
    Quantile *s = state;
    (void)t;
    s->counts[query] = s->tree.count;
    s->below[query] = s->above[query] = -1;
    if (s->tree.count <= 0) return OK;
    double position = s->q * (double)(s->tree.count - 1);
    s->below[query] = row_at(&s->tree, &s->rows, (int64_t)floor(position));
    s->above[query] = row_at(&s->tree, &s->rows, (int64_t)ceil(position));
    return OK;
}

static int sweep_quantile(const Sweep *w, Quantile *s) {
    int status = ranked_room(w, &s->rows);
    s->tree.sum = malloc((size_t)(s->rows.size + 1) * sizeof(int64_t));
    if (!s->tree.sum) status = NO_MEMORY;
    for (int64_t g = 0; g < w->groups && !status; g++) {
        if (!is_asked(w, g) || (status = rank_group(w, g, s->keys, &s->rows))) continue;
        for (int64_t i = 0; i < s->rows.size; i++) s->rows.place[s->rows.item[i].row] = i;
        tree_begin(&s->tree, s->rows.size);
        status = sweep_group(w, g, s, quantile_add, quantile_remove, quantile_emit);
    }
    ranked_free(&s->rows);
    free(s->tree.sum);
    return status;
}

/* ---- the distinct key that so many are less than ---------------------------------------------------- */

typedef struct {
    const int64_t *keys;
    int64_t nth;
    Ranked rows;                    /* of items, the first of each key is kept */
    Tree tree;
    int64_t *active, *row, *counts; /* active: rows of each place */
} Distinct;

static ALWAYS_INLINE int distinct_add(void *state, int64_t row, int64_t exit) {
    Distinct *s = state;
    int64_t place = s->rows.place[row];
    (void)exit;
    if (s->active[place]++ == 0) tree_add(&s->tree, place, 1);
    return OK;
}

static ALWAYS_INLINE int distinct_remove(void *state, int64_t row, int64_t exit) {
    Distinct *s = state;
    int64_t place = s->rows.place[row];
    (void)exit;
    if (--s->active[place] == 0) tree_add(&s->tree, place, -1);
    return OK;
}

static ALWAYS_INLINE int distinct_emit(void *state, int64_t query, int64_t t) {
    Distinct *s = state;
    (void)t;
    s->counts[query] = s->tree.count;
    s->row[query] = s->tree.count > s->nth ? row_at(&s->tree, &s->rows, s->nth) : -1;
    return OK;
}

static int sweep_distinct(const Sweep *w, Distinct *s) {
    int status = ranked_room(w, &s->rows);
    size_t room = (size_t)(s->rows.size + 1) * sizeof(int64_t);
    s->tree.sum = malloc(room);
    s->active = malloc(room);
    if (!s->tree.sum || !s->active) status = NO_MEMORY;
    for (int64_t g = 0; g < w->groups && !status; g++) {
        if (!is_asked(w, g) || (status = rank_group(w, g, s->keys, &s->rows))) continue;
        Keyed *item = s->rows.item;
        int64_t keys = 0;
        for (int64_t i = 0; i < s->rows.size; i++) {
            if (!keys || item[keys - 1].key != item[i].key) item[keys++] = item[i];
            s->rows.place[item[i].row] = keys - 1;
        }
        memset(s->active, 0, (size_t)(keys + 1) * sizeof(int64_t));
        tree_begin(&s->tree, keys);
        status = sweep_group(w, g, s, distinct_add, distinct_remove, distinct_emit);
    }
    ranked_free(&s->rows);
    free(s->tree.sum);
    free(s->active);
    return status;
}

/* ---- the most frequent keys ----------------------------------------------------------------------- */

typedef struct {
    const int64_t *keys;
    int64_t k, size, leaves;        /* distinct keys of the group; a power of two of leaves */
    Ranked rows;
    int64_t *first, *count, *best;  /* a row of each key; best: of the subtree of each node */
    int changed;
    int64_t *last, *out;            /* rows of k keys a query, -1 for none */
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
    count_change(s, s->rows.place[row], 1);
    return OK;
}

static ALWAYS_INLINE int frequent_remove(void *state, int64_t row, int64_t exit) {
    Frequent *s = state;
    (void)exit;
    s->changed = 1;
    count_change(s, s->rows.place[row], -1);
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
        s->out[query * s->k + i] = s->last[2 * i] < 0 ? -1 : s->first[s->last[2 * i]];
    return OK;
}

static int frequent_of_group(const Sweep *w, int64_t g, Frequent *s) {
    int status = rank_group(w, g, s->keys, &s->rows);
    if (status) return status;
    const Keyed *item = s->rows.item;
    s->size = 0;
    for (int64_t i = 0; i < s->rows.size; i++) {
        if (!i || item[i].key != item[i - 1].key) s->first[s->size++] = item[i].row;
        s->rows.place[item[i].row] = s->size - 1;
    }
    for (s->leaves = 1; s->leaves < s->size;) s->leaves *= 2;
    memset(s->count, 0, sizeof(int64_t) * (size_t)(s->size + 1));
    for (int64_t i = 0; i < s->leaves; i++) s->best[s->leaves + i] = i;
    for (int64_t node = s->leaves - 1; node; node--) s->best[node] = s->best[2 * node];
    s->changed = 1;
    return sweep_group(w, g, s, frequent_add, frequent_remove, frequent_emit);
}

static int sweep_frequent(const Sweep *w, Frequent *s) {
    int status = ranked_room(w, &s->rows);
    int64_t largest = s->rows.size, leaves = 1;
    while (leaves < largest) leaves *= 2;
    s->first = malloc((size_t)largest * sizeof(int64_t));
    s->count = malloc((size_t)(largest + 1) * sizeof(int64_t));
    s->best = malloc((size_t)(2 * leaves) * sizeof(int64_t));
    s->last = malloc((size_t)(2 * s->k) * sizeof(int64_t));
    if (!s->first || !s->count || !s->best || !s->last) status = NO_MEMORY;
    for (int64_t g = 0; g < w->groups && !status; g++)
        if (is_asked(w, g)) status = frequent_of_group(w, g, s);
    ranked_free(&s->rows);
    free(s->first);
    free(s->count);
    free(s->best);
    free(s->last);
    return status;
}

#endif
