/* str.c - the operations on borrowed text that are longer than a line. */
#include "base/str.h"

#include <stdint.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

struct str str_trim(struct str a)
{
    while (a.n > 0 && blank(a.p[0]))
        a.p++, a.n--;
    while (a.n > 0 && blank(a.p[a.n - 1]))
        a.n--;
    return a;
}

/* The length of the UTF-8 character at p (RFC 3629), 0 if there is none. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool too_long = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool no_character = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return too_long || no_character ? 0 : length;
}

size_t str_utf8(struct str a)
{
    size_t i = 0;
    while (i < a.n) {
        uint64_t word;
        for (; i + 8 <= a.n; i += 8) {
            memcpy(&word, a.p + i, 8);
            if ((word & UINT64_C(0x8080808080808080)) != 0)
                break;
        }
        if (i == a.n)
            break;
        size_t length = utf8_length((const unsigned char *)a.p + i, a.n - i);
        if (length == 0)
            break;
        i += length;
    }
    return i;
}
