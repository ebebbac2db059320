/* sequence_find.c - where in an array of event codes are the few that a question names?
 *
 * Most events are no step of any funnel, so the first pass only reads codes, 32 bytes at a time.
 * Codes of one byte: membership of any set of 256 is two table look-ups by shuffle: the low nibble
 * picks a byte whose bits stand for eight high nibbles, the high nibble picks the bit. Codes of two
 * bytes: up to eight members are compared one by one, larger sets go by a table of bits.
 *
 * Invariant: both ways give the same positions (the test compares them on random sets). */
#include "analytics/sequence_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

void sequence_set_init(struct sequence_set *set)
{
    memset(set, 0, sizeof *set);
}

static bool set_has(const struct sequence_set *set, uint16_t code)
{
    return (set->words[code / 64] >> code % 64 & 1) != 0;
}

void sequence_set_add(struct sequence_set *set, uint16_t code)
{
    if (set_has(set, code))
        return;
    set->words[code / 64] |= UINT64_C(1) << code % 64;
    if (code < 256)
        set->nibbles[code >> 7][code & 15] |= (uint8_t)(1U << (code >> 4 & 7));
    if (set->count < sizeof set->codes / sizeof set->codes[0])
        set->codes[set->count] = code;
    set->count++;
}

size_t sequence_find_u8_plain(const struct sequence_set *set, const uint8_t *codes, uint32_t from,
                              uint32_t count, uint32_t *ret_at)
{
    size_t found = 0;
    for (uint32_t i = from; i < count; i++) {
        ret_at[found] = i;
        found += set_has(set, codes[i]);
    }
    return found;
}

size_t sequence_find_u16_plain(const struct sequence_set *set, const uint16_t *codes, uint32_t from,
                               uint32_t count, uint32_t *ret_at)
{
    size_t found = 0;
    for (uint32_t i = from; i < count; i++) {
        ret_at[found] = i;
        found += set_has(set, codes[i]);
    }
    return found;
}

#if defined(__x86_64__)
static size_t put_bits(uint32_t bits, uint32_t base, uint32_t *ret_at)
{
    size_t found = 0;
    for (; bits != 0; bits &= bits - 1)
        ret_at[found++] = base + (uint32_t)__builtin_ctz(bits);
    return found;
}

__attribute__((target("avx2"))) static size_t find_u8_avx2(const struct sequence_set *set,
                                                           const uint8_t *codes, uint32_t count,
                                                           bool beyond, uint32_t *ret_at)
{
    const __m256i low_half =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)set->nibbles[0]));
    const __m256i high_half =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)set->nibbles[1]));
    const __m256i bit_of = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128));
    const __m256i nibble = _mm256_set1_epi8(15);
    size_t found = 0;
    uint32_t i = 0;
    for (; i < count && (beyond || count - i >= 32); i += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(codes + i));
        __m256i low = _mm256_and_si256(v, nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
        /* The code's own top bit chooses the table. */
        __m256i row = _mm256_blendv_epi8(_mm256_shuffle_epi8(low_half, low),
                                         _mm256_shuffle_epi8(high_half, low), v);
        __m256i bit = _mm256_shuffle_epi8(bit_of, high);
        __m256i out = _mm256_cmpeq_epi8(_mm256_and_si256(row, bit), _mm256_setzero_si256());
        uint32_t bits = ~(uint32_t)_mm256_movemask_epi8(out);
        if (count - i < 32)
            bits &= (UINT32_C(1) << (count - i)) - 1;
        found += put_bits(bits, i, ret_at + found);
    }
    return beyond ? found : found + sequence_find_u8_plain(set, codes, i, count, ret_at + found);
}

__attribute__((target("avx2"))) static size_t find_u16_avx2(const struct sequence_set *set,
                                                            const uint16_t *codes, uint32_t count,
                                                            uint32_t *ret_at)
{
    __m256i members[8];
    size_t found = 0;
    uint32_t i = 0;
    for (unsigned k = 0; k < 8; k++) /* the first stands in for those that are not there */
        members[k] = _mm256_set1_epi16((short)set->codes[k < set->count ? k : 0]);
    for (; count - i >= 32; i += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(codes + i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(codes + i + 16));
        __m256i in_a = _mm256_setzero_si256(), in_b = in_a;
        for (unsigned k = 0; k < set->count; k++) {
            in_a = _mm256_or_si256(in_a, _mm256_cmpeq_epi16(a, members[k]));
            in_b = _mm256_or_si256(in_b, _mm256_cmpeq_epi16(b, members[k]));
        }
        /* Packing interleaves the 128-bit lanes; the permutation puts them in order again. */
        __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi16(in_a, in_b), 0xd8);
        found += put_bits((uint32_t)_mm256_movemask_epi8(packed), i, ret_at + found);
    }
    return found + sequence_find_u16_plain(set, codes, i, count, ret_at + found);
}
#endif

/* `beyond`: 32 bytes after the codes may be read. */
static size_t find_u8(const struct sequence_set *set, const uint8_t *codes, uint32_t count,
                      bool beyond, uint32_t *ret_at)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return find_u8_avx2(set, codes, count, beyond, ret_at);
#endif
    (void)beyond;
    return sequence_find_u8_plain(set, codes, 0, count, ret_at);
}

size_t sequence_find_u8(const struct sequence_set *set, const uint8_t *codes, uint32_t count,
                        uint32_t *ret_at)
{
    return find_u8(set, codes, count, false, ret_at);
}

size_t sequence_find_u8_beyond(const struct sequence_set *set, const uint8_t *codes, uint32_t count,
                               uint32_t *ret_at)
{
    return find_u8(set, codes, count, true, ret_at);
}

size_t sequence_find_u16(const struct sequence_set *set, const uint16_t *codes, uint32_t count,
                         uint32_t *ret_at)
{
#if defined(__x86_64__)
    if (set->count <= 8 && __builtin_cpu_supports("avx2"))
        return find_u16_avx2(set, codes, count, ret_at);
#endif
    return sequence_find_u16_plain(set, codes, 0, count, ret_at);
}
