/* bucket.c - hash, ranges, choice: the arithmetic of an assignment.
 *
 * Every double is added and multiplied in the order in which the SDKs do it: a border that differs
 * in its last bit would give one person two variations. The hash feeds UTF-16 code units, not
 * bytes, into FNV-1a because JavaScript does (charCodeAt); a Chinese id falls into the same place
 * there and here. Texts that are no UTF-8 are taken byte by byte. */
#include "learn/bucket.h"

#include <stdio.h>

#define FNV_START UINT32_C(2166136261)
#define FNV_PRIME UINT32_C(16777619)

/* --- the hash --------------------------------------------------------------------------------- */

/* The character at p and its length; a bad byte stands for itself. */
static uint32_t character(const unsigned char *p, size_t n, size_t *ret_length)
{
    size_t length = p[0] < 0xc0 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t c = p[0];
    *ret_length = 1;
    if (length == 1 || n < length)
        return c;
    c &= length == 2 ? 0x1f : length == 3 ? 0x0f : 0x07;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return p[0];
        c = c << 6 | (p[i] & 0x3f);
    }
    *ret_length = length;
    return c;
}

static uint32_t fnv1a(uint32_t hash, struct str text)
{
    size_t length;
    for (size_t i = 0; i < text.n; i += length) {
        uint32_t c = character((const unsigned char *)text.p + i, text.n - i, &length);
        if (c >= 0x10000) {
            hash = (hash ^ (0xd7c0 + (c >> 10))) * FNV_PRIME;
            c = 0xdc00 | (c & 0x3ff);
        }
        hash = (hash ^ c) * FNV_PRIME;
    }
    return hash;
}

bool bucket_hash(struct str seed, struct str value, int64_t version, double *ret_n)
{
    char decimal[16];
    if (version == 1) {
        *ret_n = (fnv1a(fnv1a(FNV_START, value), seed) % 1000) / 1000.0;
        return true;
    }
    if (version != 2)
        return false;
    uint32_t once = fnv1a(fnv1a(FNV_START, seed), value);
    snprintf(decimal, sizeof decimal, "%u", once);
    *ret_n = (fnv1a(FNV_START, str_of(decimal)) % 10000) / 10000.0;
    return true;
}

/* --- weights and ranges ----------------------------------------------------------------------- */

void bucket_equal_weights(size_t count, double *ret_weights)
{
    for (size_t i = 0; i < count; i++)
        ret_weights[i] = 1.0 / (double)count;
}

static bool weights_usable(const double *weights, size_t weights_count, size_t count)
{
    double total = 0;
    if (weights == NULL || weights_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        total += weights[i];
    return !(total < 0.99 || total > 1.01);
}

void bucket_ranges(size_t count, double coverage, const double *weights, size_t weights_count,
                   struct bucket_range *ret_ranges)
{
    bool given = weights_usable(weights, weights_count, count);
    double cumulative = 0;
    coverage = coverage < 0 ? 0 : coverage > 1 ? 1 : coverage;
    for (size_t i = 0; i < count; i++) {
        double weight = given ? weights[i] : 1.0 / (double)count;
        volatile double width = coverage * weight; /* rounded by itself: no fused multiply-add */
        ret_ranges[i] = (struct bucket_range){cumulative, cumulative + width};
        cumulative += weight;
    }
}

int64_t bucket_choose(double n, const struct bucket_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bucket_in_range(n, ranges[i]))
            return (int64_t)i;
    return -1;
}

bool bucket_in_namespace(struct str value, struct str name, struct bucket_range part)
{
    /* Version 1 hashes the value first, so the seed's two parts can follow one after the other. */
    uint32_t hash = fnv1a(fnv1a(fnv1a(FNV_START, value), STR("__")), name);
    return bucket_in_range((hash % 1000) / 1000.0, part);
}

/* --- a variation asked for in the URL --------------------------------------------------------- */

/* Cut at the first `c`; what stands behind it, or an empty text. */
static struct str cut(struct str text, char c, struct str *ret_rest)
{
    const char *at = text.n == 0 ? NULL : memchr(text.p, c, text.n);
    size_t n = at == NULL ? text.n : (size_t)(at - text.p);
    *ret_rest = at == NULL ? (struct str){"", 0} : (struct str){at + 1, text.n - n - 1};
    return (struct str){text.p, n};
}

/* The whole number that a text begins with, as parseInt reads it; -1 where there is none, or where
 * it is negative or beyond every number of variations. */
static int64_t leading_number(struct str text)
{
    int64_t number = -1;
    size_t i = 0;
    while (i < text.n && (text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r')))
        i++;
    if (i < text.n && text.p[i] == '+')
        i++;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        number = (number < 0 ? 0 : number) * 10 + (text.p[i] - '0');
        if (number > INT32_MAX)
            return -1;
    }
    return number;
}

int64_t bucket_query_override(struct str key, struct str url, size_t count)
{
    struct str rest, query, unused;
    (void)cut(url, '?', &rest);
    query = cut(rest, '?', &unused);
    query = cut(query, '#', &unused);
    while (query.n > 0) {
        struct str value, pair = cut(query, '&', &query);
        struct str name = cut(pair, '=', &value);
        if (!str_eq(name, key))
            continue;
        value = cut(value, '=', &unused);
        int64_t number = leading_number(value); /* the first mention decides */
        return number >= 0 && (uint64_t)number < count ? number : -1;
    }
    return -1;
}
