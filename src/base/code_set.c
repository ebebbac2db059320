/* code_set.c - where in an array of codes are the few that somebody asks for?
 *
 * Most events are no step of any funnel, so the first pass only reads codes, 32 bytes at a time.
 * Codes of one byte: membership of any set of 256 is two table look-ups by shuffle: the low nibble
 * picks a byte whose bits stand for eight high nibbles, the high nibble picks the bit. Codes of two
 * bytes: up to eight members are compared one by one, larger sets go by a table of bits.
 *
 * Invariant: both ways give the same positions (the test compares them on random sets). */
#include "base/code_set.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

void code_set_init(struct code_set *set)
{
    memset(set, 0, sizeof *set);
}

void code_set_add(struct code_set *set, uint16_t code)
{
    if (code_set_has(set, code))
        return;
    set->words[code / 64] |= UINT64_C(1) << code % 64;
    if (code < 256)
        set->nibbles[code >> 7][code & 15] |= (uint8_t)(1U << (code >> 4 & 7));
    if (set->count < sizeof set->codes / sizeof set->codes[0])
        set->codes[set->count] = code;
    set->count++;
}

/* One of the two arrays is NULL. */
static size_t find_plain(const struct code_set *set, const uint8_t *codes8, const uint16_t *codes16,
                         uint32_t from, uint32_t count, uint32_t *ret_at)
{
    size_t found = 0;
    for (uint32_t i = from; i < count; i++) {
        ret_at[found] = i;
        found += code_set_has(set, codes8 != NULL ? codes8[i] : codes16[i]);
    }
    return found;
}

size_t code_set_find_u8_plain(const struct code_set *set, const uint8_t *codes, uint32_t from,
                              uint32_t count, uint32_t *ret_at)
{
    return find_plain(set, codes, NULL, from, count, ret_at);
}

size_t code_set_find_u16_plain(const struct code_set *set, const uint16_t *codes, uint32_t from,
                               uint32_t count, uint32_t *ret_at)
{
    return find_plain(set, NULL, codes, from, count, ret_at);
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))

/* The tables of a set of bytes, in registers. */
struct tables {
    __m256i low_half, high_half, bit_of;
};

AVX2 static inline struct tables tables_load(const struct code_set *set)
{
    const __m128i *halves = (const __m128i *)(const void *)set->nibbles;
    return (struct tables){
        .low_half = _mm256_broadcastsi128_si256(_mm_loadu_si128(halves)),
        .high_half = _mm256_broadcastsi128_si256(_mm_loadu_si128(halves + 1)),
        .bit_of = _mm256_broadcastsi128_si256(
            _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128)),
    };
}

/* Bit i: the i-th of 32 bytes is a member. */
AVX2 static inline uint32_t members_u8(const struct tables *tables, const uint8_t *codes)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)codes);
    __m256i low = _mm256_and_si256(v, nibble);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
    /* The code's own top bit chooses the table. */
    __m256i row = _mm256_blendv_epi8(_mm256_shuffle_epi8(tables->low_half, low),
                                     _mm256_shuffle_epi8(tables->high_half, low), v);
    __m256i bit = _mm256_shuffle_epi8(tables->bit_of, high);
    __m256i out = _mm256_cmpeq_epi8(_mm256_and_si256(row, bit), _mm256_setzero_si256());
    return ~(uint32_t)_mm256_movemask_epi8(out);
}

AVX2 static inline uint32_t members_u16(const struct code_set *set, const uint16_t *codes)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)codes);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(codes + 16));
    __m256i in_a = _mm256_setzero_si256(), in_b = in_a;
    for (unsigned k = 0; k < set->count; k++) {
        __m256i member = _mm256_set1_epi16((short)set->codes[k]);
        in_a = _mm256_or_si256(in_a, _mm256_cmpeq_epi16(a, member));
        in_b = _mm256_or_si256(in_b, _mm256_cmpeq_epi16(b, member));
    }
    /* Packing interleaves the 128-bit lanes; the permutation puts them in order again. */
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi16(in_a, in_b), 0xd8);
    return (uint32_t)_mm256_movemask_epi8(packed);
}

static size_t put_bits(uint32_t bits, uint32_t base, uint32_t *ret_at)
{
    size_t found = 0;
    for (; bits != 0; bits &= bits - 1)
        ret_at[found++] = base + (uint32_t)__builtin_ctz(bits);
    return found;
}

AVX2 static size_t find_u8_avx2(const struct code_set *set, const uint8_t *codes, uint32_t count,
                                bool beyond, uint32_t *ret_at)
{
    const struct tables tables = tables_load(set);
    size_t found = 0;
    uint32_t i = 0;
    for (; i < count && (beyond || count - i >= 32); i += 32) {
        uint32_t bits = members_u8(&tables, codes + i);
        if (count - i < 32)
            bits &= (UINT32_C(1) << (count - i)) - 1;
        found += put_bits(bits, i, ret_at + found);
    }
    return beyond ? found : found + code_set_find_u8_plain(set, codes, i, count, ret_at + found);
}

AVX2 static size_t find_u16_avx2(const struct code_set *set, const uint16_t *codes, uint32_t count,
                                 uint32_t *ret_at)
{
    size_t found = 0;
    uint32_t i = 0;
    for (; count - i >= 32; i += 32)
        found += put_bits(members_u16(set, codes + i), i, ret_at + found);
    return found + code_set_find_u16_plain(set, codes, i, count, ret_at + found);
}

AVX2 static void mark_u8_avx2(const struct code_set *set, const uint8_t *codes, uint32_t count,
                              uint64_t *ret_words)
{
    const struct tables tables = tables_load(set);
    for (uint32_t i = 0; i < count; i += 64)
        ret_words[i / 64] =
            members_u8(&tables, codes + i) | (uint64_t)members_u8(&tables, codes + i + 32) << 32;
    if (count % 64 != 0)
        ret_words[count / 64] &= (UINT64_C(1) << count % 64) - 1;
}

/* Whole words; returns how many codes these are. */
AVX2 static uint32_t mark_u16_avx2(const struct code_set *set, const uint16_t *codes,
                                   uint32_t count, uint64_t *ret_words)
{
    uint32_t i = 0;
    for (; count - i >= 64; i += 64)
        ret_words[i / 64] = members_u16(set, codes + i) | (uint64_t)members_u16(set, codes + i + 32)
                                                              << 32;
    return i;
}
#endif

/* `beyond`: 32 bytes after the codes may be read. */
static size_t find_u8(const struct code_set *set, const uint8_t *codes, uint32_t count, bool beyond,
                      uint32_t *ret_at)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return find_u8_avx2(set, codes, count, beyond, ret_at);
#endif
    (void)beyond;
    return code_set_find_u8_plain(set, codes, 0, count, ret_at);
}

size_t code_set_find_u8(const struct code_set *set, const uint8_t *codes, uint32_t count,
                        uint32_t *ret_at)
{
    return find_u8(set, codes, count, false, ret_at);
}

size_t code_set_find_u8_beyond(const struct code_set *set, const uint8_t *codes, uint32_t count,
                               uint32_t *ret_at)
{
    return find_u8(set, codes, count, true, ret_at);
}

size_t code_set_find_u16(const struct code_set *set, const uint16_t *codes, uint32_t count,
                         uint32_t *ret_at)
{
#if defined(__x86_64__)
    if (set->count <= 8 && __builtin_cpu_supports("avx2"))
        return find_u16_avx2(set, codes, count, ret_at);
#endif
    return code_set_find_u16_plain(set, codes, 0, count, ret_at);
}

/* From `from` on, a multiple of 64. */
static void mark_plain(const struct code_set *set, const uint8_t *codes8, const uint16_t *codes16,
                       uint32_t from, uint32_t count, uint64_t *ret_words)
{
    for (uint32_t i = from; i < count; i++) {
        uint64_t bit = code_set_has(set, codes8 != NULL ? codes8[i] : codes16[i]);
        ret_words[i / 64] = (i % 64 == 0 ? 0 : ret_words[i / 64]) | bit << i % 64;
    }
}

void code_set_mark_u8(const struct code_set *set, const uint8_t *codes, uint32_t count,
                      uint64_t *ret_words)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        mark_u8_avx2(set, codes, count, ret_words);
        return;
    }
#endif
    mark_plain(set, codes, NULL, 0, count, ret_words);
}

void code_set_mark_u16(const struct code_set *set, const uint16_t *codes, uint32_t count,
                       uint64_t *ret_words)
{
    uint32_t from = 0;
#if defined(__x86_64__)
    if (set->count <= 8 && __builtin_cpu_supports("avx2"))
        from = mark_u16_avx2(set, codes, count, ret_words);
#endif
    mark_plain(set, NULL, codes, from, count, ret_words);
}
