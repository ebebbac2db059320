/* near.c - distances between names.
 *
 * Characters are compared, not bytes, so a Chinese name with one wrong character is as near as an
 * English one. What contains the wanted name, or the other way round, is near however long it is:
 * "order" for "order_paid". */
#include "base/near.h"

#include <stdint.h>

#define LETTERS_MAX 64
#define FAR 4U /* from here on two names have nothing to do with each other */

static size_t letters(struct str text, uint32_t out[LETTERS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < text.n && n < LETTERS_MAX; n++) {
        uint32_t c = (unsigned char)text.p[i++];
        for (; i < text.n && ((unsigned char)text.p[i] & 0xc0) == 0x80; i++)
            c = c << 8 | (unsigned char)text.p[i];
        out[n] = c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    return n;
}

unsigned near_distance(struct str a, struct str b)
{
    uint32_t x[LETTERS_MAX], y[LETTERS_MAX];
    unsigned row[LETTERS_MAX + 1];
    size_t n = letters(a, x), m = letters(b, y);
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned replaced = diagonal + (x[i - 1] != y[j - 1]);
            diagonal = row[j];
            unsigned least = row[j] < row[j - 1] ? row[j] : row[j - 1];
            row[j] = replaced < least + 1 ? replaced : least + 1;
        }
    }
    return row[m];
}

static bool holds(struct str text, struct str part)
{
    return part.n >= 3 && memmem(text.p, text.n, part.p, part.n) != NULL;
}

struct near near_to(struct str wanted)
{
    return (struct near){.wanted = wanted};
}

void near_offer(struct near *near, struct str name)
{
    size_t at = near->count;
    unsigned d = near_distance(near->wanted, name);
    if (d >= FAR && (holds(name, near->wanted) || holds(near->wanted, name)))
        d = FAR - 1;
    if (name.n == 0 || d >= FAR || d >= name.n)
        return;
    while (at > 0 && near->distances[at - 1] > d)
        at--;
    if (at == NEAR_MAX)
        return;
    if (near->count < NEAR_MAX)
        near->count++;
    for (size_t i = near->count - 1; i > at; i--) {
        near->names[i] = near->names[i - 1];
        near->distances[i] = near->distances[i - 1];
    }
    near->names[at] = name;
    near->distances[at] = d;
}

void near_put(const struct near *near, struct buf *out)
{
    for (size_t i = 0; i < near->count; i++) {
        if (i > 0)
            buf_text(out, ", ");
        buf_str(out, near->names[i]);
    }
}
