/* str.c - the two operations on borrowed text that are longer than a line. */
#include "base/str.h"

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
