/* Sorts (key, row) pairs by key, pairs of one key in the order they come in: a merge sort of short
   arrays, and a radix sort of long ones, byte after byte from the last, over those bytes in which
   keys differ at all. */
#ifndef SKEWLESS_SORT_H
#define SKEWLESS_SORT_H

#include <stdint.h>
#include <string.h>

typedef struct { int64_t key, row; } Keyed;

#define RUN 16
#define RADIX_FROM 400

/* Merges two sorted runs of `from`, [low, middle) and [middle, high), into `to`. */
static void merge_runs(const Keyed *from, Keyed *to, int64_t low, int64_t middle, int64_t high) {
    int64_t left = low, right = middle;
    for (int64_t at = low; at < high; at++) {
        int take_left = right >= high || (left < middle && from[left].key <= from[right].key);
        to[at] = take_left ? from[left++] : from[right++];
    }
}

static Keyed *merge_sorted(Keyed *a, Keyed *b, int64_t count) {
    for (int64_t low = 0; low < count; low += RUN) {
        int64_t high = low + RUN < count ? low + RUN : count;
        for (int64_t at = low + 1; at < high; at++) {
            Keyed moved = a[at];
            int64_t to = at;
            for (; to > low && a[to - 1].key > moved.key; to--) a[to] = a[to - 1];
            a[to] = moved;
        }
    }
    for (int64_t width = RUN; width < count; width *= 2) {
        for (int64_t low = 0; low < count; low += 2 * width) {
            int64_t middle = low + width < count ? low + width : count;
            int64_t high = middle + width < count ? middle + width : count;
            merge_runs(a, b, low, middle, high);
        }
        Keyed *swapped = a;
        a = b;
        b = swapped;
    }
    return a;
}

static Keyed *radix_sorted(Keyed *a, Keyed *b, int64_t count) {
    static const uint64_t sign = (uint64_t)1 << 63;
    int64_t places[8][256] = {{0}};
    for (int64_t i = 0; i < count; i++) {
        uint64_t key = (uint64_t)a[i].key ^ sign;
        for (int byte = 0; byte < 8; byte++) places[byte][key >> 8 * byte & 255]++;
    }
    for (int byte = 0; byte < 8; byte++) {
        int64_t *place = places[byte], before = 0;
        if (place[((uint64_t)a[0].key ^ sign) >> 8 * byte & 255] == count) continue;
        for (int digit = 0; digit < 256; digit++) {
            int64_t here = place[digit];
            place[digit] = before;
            before += here;
        }
        for (int64_t i = 0; i < count; i++)
            b[place[((uint64_t)a[i].key ^ sign) >> 8 * byte & 255]++] = a[i];
        Keyed *swapped = a;
        a = b;
        b = swapped;
    }
    return a;
}

/* Returns where the result is: `a` or `b`, each of which has room for all. */
static Keyed *sort_keyed(Keyed *a, Keyed *b, int64_t count) {
    return count < RADIX_FROM ? merge_sorted(a, b, count) : radix_sorted(a, b, count);
}

#endif
