/* Hashes of values, as Apache DataSketches has them: the upper half of MurmurHash3 (Austin Appleby,
   the variant for 128 bits on 64-bit machines), less its last bit. */
#ifndef SKEWLESS_HASH_H
#define SKEWLESS_HASH_H

#include "_exact.h"

static ALWAYS_INLINE uint64_t rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }

static ALWAYS_INLINE uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdULL;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

static ALWAYS_INLINE uint64_t first_part(uint64_t x) {
    return rotated(x * 0x87c37b91114253d5ULL, 31) * 0x4cf5ad432745937fULL;
}

static ALWAYS_INLINE uint64_t second_part(uint64_t x) {
    return rotated(x * 0x4cf5ad432745937fULL, 33) * 0x87c37b91114253d5ULL;
}

/* Up to 8 bytes as a number, the first the least. */
static ALWAYS_INLINE uint64_t word_of(const uint8_t *bytes, int64_t count) {
    uint64_t word = 0;
    for (int64_t i = 0; i < count && i < 8; i++) word |= (uint64_t)bytes[i] << 8 * i;
    return word;
}

static int64_t hash_of(const uint8_t *bytes, int64_t length, uint64_t seed) {
    uint64_t one = seed, two = seed;
    int64_t at = 0;
    for (; length - at >= 16; at += 16) {
        one = (rotated(one ^ first_part(word_of(bytes + at, 8)), 27) + two) * 5 + 0x52dce729;
        two = (rotated(two ^ second_part(word_of(bytes + at + 8, 8)), 31) + one) * 5 + 0x38495ab5;
    }
    if (length - at > 8) two ^= second_part(word_of(bytes + at + 8, length - at - 8));
    if (length - at > 0) one ^= first_part(word_of(bytes + at, length - at));
    one ^= (uint64_t)length;
    two ^= (uint64_t)length;
    one += two;
    two += one;
    return (int64_t)((mixed(one) + mixed(two)) >> 1);
}

#endif
