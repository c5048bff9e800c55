/* The distinct codes active at each query, ascending. */
#ifndef SKEWLESS_CODES_H
#define SKEWLESS_CODES_H

#include "_spans.h"

typedef struct {
    Members members;
    const int64_t *codes, *offset;          /* query q's codes go to out[offset[q]:offset[q + 1]] */
    int64_t code_count, capacity, *out;
    uint32_t *active;                       /* active spans of each code */
} CodesState;

static ALWAYS_INLINE int codes_add(void *state, int64_t row, int64_t exit) {
    CodesState *st = state;
    int64_t code = st->codes[row];
    (void)exit;
    if ((uint64_t)code >= (uint64_t)st->code_count) return BAD_CODE;
    if (!st->active[code]++) members_add(&st->members, code);
    return OK;
}

static ALWAYS_INLINE int codes_remove(void *state, int64_t row, int64_t exit) {
    CodesState *st = state;
    int64_t code = st->codes[row];
    (void)exit;
    if ((uint64_t)code >= (uint64_t)st->code_count) return BAD_CODE;
    if (!--st->active[code]) members_remove(&st->members, code);
    return OK;
}

static ALWAYS_INLINE int codes_emit(void *state, int64_t q, int64_t t) {
    CodesState *st = state;
    int64_t code = -1, place = st->offset[q], end = st->offset[q + 1];
    (void)t;
    while ((code = members_next(&st->members, code, st->code_count)) >= 0) {
        if (place >= end) return BAD_ORDER;
        st->out[place++] = code;
    }
    return place == end ? OK : BAD_ORDER;
}

/* Forgets what is still there at the last query of a group. */
static void codes_forget(CodesState *st) {
    int64_t code = -1;
    while ((code = members_next(&st->members, code, st->code_count)) >= 0) {
        members_remove(&st->members, code);
        st->active[code] = 0;
    }
}

static int sweep_codes(const Sweep *w, CodesState *st) {
    st->active = calloc((size_t)(st->code_count ? st->code_count : 1), sizeof(uint32_t));
    int status = st->active ? members_reset(&st->members, st->code_count) : NO_MEMORY;
    for (int64_t g = 0; g < w->groups && !status; g++) {
        if (!is_asked(w, g)) continue;
        if (w->start[g + 1] - w->start[g] > UINT32_MAX) status = NO_MEMORY;
        else status = sweep_group(w, g, st, codes_add, codes_remove, codes_emit);
        codes_forget(st);
    }
    free(st->members.memory);
    free(st->active);
    return status;
}

#endif
