/* CRC-32 as zlib, PNG and Ethernet have it (reflected polynomial 0xEDB88320): with carry-less
   multiplication where the processor has it, with the instruction of ARM, else eight bytes a step.

   Folding follows V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
   Instruction", Intel, 2009; the constants are those of its section 4 for this polynomial. */
#ifndef SKEWLESS_CRC32_H
#define SKEWLESS_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t crc_table[8][256];

static void crc_prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (0xEDB88320u & (0u - (value & 1)));
        crc_table[0][byte] = value;
    }
    for (int step = 1; step < 8; step++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = crc_table[step - 1][byte];
            crc_table[step][byte] = (before >> 8) ^ crc_table[0][before & 0xFF];
        }
}

static uint32_t crc_bytes(uint32_t crc, const unsigned char *data, size_t size) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (size >= 8) {
        uint32_t low, high;
        memcpy(&low, data, 4);
        memcpy(&high, data + 4, 4);
        low ^= crc;
        crc = crc_table[7][low & 0xFF] ^ crc_table[6][(low >> 8) & 0xFF]
              ^ crc_table[5][(low >> 16) & 0xFF] ^ crc_table[4][low >> 24]
              ^ crc_table[3][high & 0xFF] ^ crc_table[2][(high >> 8) & 0xFF]
              ^ crc_table[1][(high >> 16) & 0xFF] ^ crc_table[0][high >> 24];
        data += 8;
        size -= 8;
    }
    if (size >= 4) {
        uint32_t word;
        memcpy(&word, data, 4);
        word ^= crc;
        crc = crc_table[3][word & 0xFF] ^ crc_table[2][(word >> 8) & 0xFF]
              ^ crc_table[1][(word >> 16) & 0xFF] ^ crc_table[0][word >> 24];
        data += 4;
        size -= 4;
    }
#endif
    while (size--) crc = (crc >> 8) ^ crc_table[0][(crc ^ *data++) & 0xFF];
    return crc;
}

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define CRC_FOLDS 1

#define FOLD __attribute__((target("pclmul,sse4.1")))
#define FOLD_WIDE __attribute__((target("pclmul,sse4.1,avx2,vpclmulqdq")))

/* Constants that move 128 bits ahead of others by some bits: x^(bits + 32) and x^(bits - 32). */
#define BY_128 _mm_set_epi64x(0x0ccaa009e, 0x1751997d0)
#define BY_256 _mm_set_epi64x(0x15a546366, 0x0f1da05aa)
#define BY_512 _mm_set_epi64x(0x1c6e41596, 0x154442bd4)
#define BY_1024 _mm_set_epi64x(0x14a7fe880, 0x1e88ef372)

/* How many bytes a step of what this processor can: 0, 64 or 128. */
static size_t crc_step(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return 0;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq") ? 128 : 64;
}

FOLD static inline __m128i moved(__m128i part, __m128i by, __m128i onto) {
    __m128i low = _mm_clmulepi64_si128(part, by, 0x00), high = _mm_clmulepi64_si128(part, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), onto);
}

FOLD_WIDE static inline __m256i moved_wide(__m256i part, __m256i by, __m256i onto) {
    __m256i low = _mm256_clmulepi64_epi128(part, by, 0x00);
    __m256i high = _mm256_clmulepi64_epi128(part, by, 0x11);
    return _mm256_xor_si256(_mm256_xor_si256(low, high), onto);
}

/* What is left of a folded 128 bits and the fewer than 64 bytes behind it, a multiple of 16. */
FOLD static inline uint32_t crc_reduce(__m128i all, const unsigned char *data, size_t size) {
    const __m128i low_word = _mm_setr_epi32(~0, 0, ~0, 0);
    for (; size >= 16; data += 16, size -= 16)
        all = moved(all, BY_128, _mm_loadu_si128((const __m128i *)data));
    __m128i next;
    all = _mm_xor_si128(_mm_srli_si128(all, 8), _mm_clmulepi64_si128(all, BY_128, 0x10));
    next = _mm_clmulepi64_si128(_mm_and_si128(all, low_word), _mm_set_epi64x(0, 0x163cd6124), 0);
    all = _mm_xor_si128(_mm_srli_si128(all, 4), next);
    /* Barrett reduction. */
    const __m128i poly = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    next = _mm_clmulepi64_si128(_mm_and_si128(all, low_word), poly, 0x10);
    next = _mm_clmulepi64_si128(_mm_and_si128(next, low_word), poly, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(all, next), 1);
}

/* At least 64 bytes, a multiple of 16. */
FOLD static uint32_t crc_fold(uint32_t crc, const unsigned char *data, size_t size) {
    __m128i part[4];
    for (int i = 0; i < 4; i++) part[i] = _mm_loadu_si128((const __m128i *)data + i);
    part[0] = _mm_xor_si128(part[0], _mm_cvtsi32_si128((int)crc));
    for (data += 64, size -= 64; size >= 64; data += 64, size -= 64)
        for (int i = 0; i < 4; i++)
            part[i] = moved(part[i], BY_512, _mm_loadu_si128((const __m128i *)data + i));
    __m128i first = moved(part[0], BY_128, part[1]), second = moved(part[2], BY_128, part[3]);
    return crc_reduce(moved(first, BY_256, second), data, size);
}

/* At least 128 bytes, a multiple of 16. */
FOLD_WIDE static uint32_t crc_fold_wide(uint32_t crc, const unsigned char *data, size_t size) {
    const __m256i by_1024 = _mm256_broadcastsi128_si256(BY_1024);
    const __m256i by_512 = _mm256_broadcastsi128_si256(BY_512);
    const __m256i by_256 = _mm256_broadcastsi128_si256(BY_256);
    __m256i part[4];
    for (int i = 0; i < 4; i++) part[i] = _mm256_loadu_si256((const __m256i *)data + i);
    part[0] = _mm256_xor_si256(part[0], _mm256_set_epi64x(0, 0, 0, (long long)crc));
    for (data += 128, size -= 128; size >= 128; data += 128, size -= 128)
        for (int i = 0; i < 4; i++)
            part[i] = moved_wide(part[i], by_1024, _mm256_loadu_si256((const __m256i *)data + i));
    __m256i first = moved_wide(part[0], by_512, part[2]);
    __m256i second = moved_wide(part[1], by_512, part[3]);
    first = moved_wide(first, by_256, second);
    __m128i all = moved(_mm256_castsi256_si128(first), BY_128, _mm256_extracti128_si256(first, 1));
    _mm256_zeroupper();
    return crc_reduce(all, data, size);
}
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

static size_t crc_bytes_a_step;

static uint32_t crc32_of(uint32_t value, const void *bytes, size_t size) {
    const unsigned char *data = bytes;
    uint32_t crc = ~value;
#if defined(CRC_FOLDS)
    if (crc_bytes_a_step && size >= 64) {
        size_t most = size & ~(size_t)15;
        int wide = crc_bytes_a_step == 128 && size >= 128;
        crc = wide ? crc_fold_wide(crc, data, most) : crc_fold(crc, data, most);
        data += most;
        size -= most;
    }
#elif defined(__ARM_FEATURE_CRC32)
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        crc = __crc32d(crc, word);
    }
#endif
    return ~crc_bytes(crc, data, size);
}

static void crc32_prepare(void) {
    crc_prepare();
#if defined(CRC_FOLDS)
    crc_bytes_a_step = crc_step();
#endif
}

#endif
