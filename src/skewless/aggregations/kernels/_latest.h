/* The newest row for each query, from rows in any order ("scatter-max"): each row raises the mark
   of the first query it counts for; a running maximum over a key's queries spreads the marks. */
#ifndef SKEWLESS_LATEST_H
#define SKEWLESS_LATEST_H

#include "_sweep.h"

#define MARK 4      /* event, known, sequence, row (-1: none) */
#define TIE 5       /* slot, event, known, sequence, row */

typedef struct {
    int64_t keys, queries, rows, begin, row_base;
    const int64_t *query_start, *query_time;
    const int64_t *codes, *enter, *event, *known, *sequence;
    int64_t *mark, *tie;
    int64_t ties, tie_capacity;
} Latest;

static ALWAYS_INLINE int compare_marks(const int64_t *a, const int64_t *b) {
    for (int i = 0; i < 3; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

static ALWAYS_INLINE int64_t first_query(const Latest *l, int64_t key, int64_t enter) {
    const int64_t *low = l->query_time + l->query_start[key];
    int64_t count = l->query_start[key + 1] - l->query_start[key];
    while (count > 1) {
        int64_t half = count / 2;
        low += low[half - 1] < enter ? half : 0;
        count -= half;
    }
    if (count && *low < enter) low++;
    return low - l->query_time;
}

/* Rows of equal mark keep the smallest row number in the slot and the others as ties. */
static ALWAYS_INLINE void raise_mark(Latest *l, int64_t slot, const int64_t *new) {
    int64_t *mark = l->mark + MARK * slot;
    int order = mark[3] < 0 ? 1 : compare_marks(new, mark);
    if (order < 0) return;
    if (order == 0) {
        int64_t *tie = l->tie + TIE * l->ties++;
        tie[0] = slot;
        memcpy(tie + 1, mark, 3 * sizeof(int64_t));
        tie[4] = new[3] < mark[3] ? mark[3] : new[3];
        if (new[3] > mark[3]) return;
    }
    memcpy(mark, new, MARK * sizeof(int64_t));
}

#define AHEAD 16
#define BLOCK 64

/* Adds rows until all are in, or the room for ties might not do; the next row is left in begin.
   Slots of a block are found before its marks are touched, so that memory is awaited together. */
static int latest_add(Latest *l) {
    int64_t slots[BLOCK];
    while (l->begin < l->rows && l->ties + BLOCK <= l->tie_capacity) {
        int64_t end = l->begin + BLOCK < l->rows ? l->begin + BLOCK : l->rows;
        for (int64_t i = l->begin; i < end; i++) {
            int64_t key = l->codes[i], *slot = &slots[i - l->begin];
            if (i + AHEAD < l->rows && (uint64_t)l->codes[i + AHEAD] < (uint64_t)l->keys)
                __builtin_prefetch(&l->query_start[l->codes[i + AHEAD]]);
            *slot = -1;
            if (key < 0) continue;
            if (key >= l->keys) return BAD_CODE;
            int64_t found = first_query(l, key, l->enter[i]);
            if (found == l->query_start[key + 1]) continue;
            *slot = found;
            __builtin_prefetch(&l->mark[MARK * found]);
        }
        for (int64_t i = l->begin; i < end; i++) {
            if (slots[i - l->begin] < 0) continue;
            int64_t new[MARK] = {l->event[i], l->known[i], l->sequence ? l->sequence[i] : 0,
                                 l->row_base + i};
            raise_mark(l, slots[i - l->begin], new);
        }
        l->begin = end;
    }
    return OK;
}

/* origin[q]: the first query at which the mark that wins at q was set (-1: none);
   row[q]: the smallest row number among the slots of that mark up to q. */
static void latest_finish(const Latest *l, int64_t *origin, int64_t *row) {
    for (int64_t key = 0; key < l->keys; key++) {
        int64_t best = -1, smallest = -1;
        for (int64_t q = l->query_start[key]; q < l->query_start[key + 1]; q++) {
            const int64_t *mark = l->mark + MARK * q;
            if (mark[3] >= 0) {
                int order = best < 0 ? 1 : compare_marks(mark, l->mark + MARK * best);
                if (order > 0) best = q;
                if (order > 0 || (order == 0 && mark[3] < smallest)) smallest = mark[3];
            }
            origin[q] = best;
            row[q] = smallest;
        }
    }
}

#endif
