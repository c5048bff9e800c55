/* Rows by key and time: a counting sort by key, and a sort of those keys whose rows did not
   come in the order of time, which are few as a rule. Rows of one key and time stay in order. */
#ifndef SKEWLESS_GROUP_H
#define SKEWLESS_GROUP_H

#include "_sort.h"
#include "_sweep.h"

/* Fills order (one a row) and start (keys + 1). */
static int group_rows(const int64_t *codes, const int64_t *times, int64_t rows, int64_t keys,
                      int64_t *order, int64_t *start) {
    size_t room = (size_t)(keys ? keys : 1) * sizeof(int64_t);
    int64_t *newest = malloc(room), *place = malloc(room), longest = 0;
    uint8_t *stepped_back = calloc((size_t)(keys ? keys : 1), 1);
    Keyed *work = NULL;
    int status = newest && place && stepped_back ? OK : NO_MEMORY;
    if (!status) {
        memset(start, 0, (size_t)(keys + 1) * sizeof(int64_t));
        for (int64_t row = 0; row < rows && !status; row++) {
            if (codes[row] < 0 || codes[row] >= keys) status = BAD_CODE;
            else start[codes[row] + 1]++;
        }
    }
    if (!status) {
        for (int64_t key = 0; key < keys; key++) {
            start[key + 1] += start[key];
            place[key] = start[key];
            newest[key] = INT64_MIN;
        }
        for (int64_t row = 0; row < rows; row++) {
            int64_t key = codes[row], time = times[row];
            stepped_back[key] |= time < newest[key];
            newest[key] = time;
            order[place[key]++] = row;
        }
        for (int64_t key = 0; key < keys; key++)
            if (stepped_back[key] && start[key + 1] - start[key] > longest)
                longest = start[key + 1] - start[key];
        if (longest && !(work = malloc(2 * (size_t)longest * sizeof(Keyed)))) status = NO_MEMORY;
    }
    for (int64_t key = 0; key < keys && longest && !status; key++) {
        if (!stepped_back[key]) continue;
        int64_t *own = order + start[key], count = start[key + 1] - start[key];
        for (int64_t at = 0; at < count; at++) {
            work[at].key = times[own[at]];
            work[at].row = own[at];
        }
        const Keyed *sorted = sort_keyed(work, work + count, count);
        for (int64_t at = 0; at < count; at++) own[at] = sorted[at].row;
    }
    free(newest);
    free(place);
    free(stepped_back);
    free(work);
    return status;
}

#endif
