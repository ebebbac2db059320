/* hash.c - checksums and keyed hashes. */
#include "base/hash.h"

#include <sodium.h>

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const unsigned char *p,
                                                               size_t n)
{
    uint64_t c = crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; n > 0; n--, p++)
        c = _mm_crc32_u8((uint32_t)c, *p);
    return (uint32_t)c;
}
#endif

static uint32_t crc32c_bitwise(uint32_t crc, const unsigned char *p, size_t n)
{
    for (; n > 0; n--, p++) {
        crc ^= *p;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (UINT32_C(0x82f63b78) & (0 - (crc & 1)));
    }
    return crc;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_sse42(crc, bytes, n);
#endif
    return ~crc32c_bitwise(crc, bytes, n);
}

struct hash128 hash_keyed(const struct hash_key *key, struct str text)
{
    unsigned char out[crypto_shorthash_siphashx24_BYTES];
    struct hash128 hash;
    _Static_assert(sizeof out == sizeof hash, "a 128-bit hash");
    crypto_shorthash_siphashx24(out, (const unsigned char *)text.p, text.n, key->bytes);
    memcpy(&hash, out, sizeof hash);
    if (hash128_is_zero(hash))
        hash.b = 1;
    return hash;
}

struct hash128 hash_public(struct str text)
{
    static const struct hash_key key = {
        {'h', 'e', 'z', 'o', 'u', ' ', 'o', 'r', 'd', 'e', 'r', ' ', 'v', '1'}};
    return hash_keyed(&key, text);
}
