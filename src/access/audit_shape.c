/* audit_shape.c - what a statement asked, without what it asked for.
 *
 * An auditor wants to know which columns of whom were read; the audit log must not keep a phone
 * number that stood in the WHERE. So strings, numbers, comments, quoted names and bytes beyond
 * ASCII become "?", and only bare words and signs stay. In a statement that ran, bare words are the
 * names of columns, functions and aliases; what did not run is not kept at all. */
#include <ctype.h>

#include "access/audit.h"

/* The end of what opens with `quote` at `at`; doubled quotes stand for one. */
static size_t quoted_end(struct str sql, size_t at, char quote)
{
    for (size_t i = at + 1; i < sql.n; i++) {
        if (sql.p[i] != quote)
            continue;
        if (i + 1 < sql.n && sql.p[i + 1] == quote)
            i++;
        else
            return i + 1;
    }
    return sql.n;
}

static size_t line_end(struct str sql, size_t at)
{
    while (at < sql.n && sql.p[at] != '\n')
        at++;
    return at;
}

/* Comments may stand in one another; an open one goes to the end. */
static size_t comment_end(struct str sql, size_t at)
{
    size_t depth = 0;
    for (; at + 1 < sql.n; at++) {
        if (sql.p[at] == '/' && sql.p[at + 1] == '*') {
            depth++;
            at++;
        } else if (sql.p[at] == '*' && sql.p[at + 1] == '/') {
            at++;
            if (--depth == 0)
                return at + 1;
        }
    }
    return sql.n;
}

/* $tag$ … $tag$, or the end. */
static size_t dollar_end(struct str sql, size_t at)
{
    const char *close = memchr(sql.p + at + 1, '$', sql.n - at - 1);
    if (close == NULL)
        return sql.n;
    size_t n = (size_t)(close - (sql.p + at)) + 1;
    for (size_t i = at + n; i + n <= sql.n; i++)
        if (memcmp(sql.p + i, sql.p + at, n) == 0)
            return i + n;
    return sql.n;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Where the piece at `at` ends; *ret_keep says whether it may be kept. */
static size_t piece_end(struct str sql, size_t at, bool *ret_keep)
{
    char c = sql.p[at], next = at + 1 < sql.n ? sql.p[at + 1] : '\0';
    *ret_keep = false;
    if (c == '\'' || c == '"')
        return quoted_end(sql, at, c);
    if (c == '-' && next == '-')
        return line_end(sql, at);
    if (c == '/' && next == '*')
        return comment_end(sql, at);
    if (c == '$')
        return dollar_end(sql, at);
    bool number = isdigit((unsigned char)c) || (c & 0x80) != 0;
    size_t end = at + 1;
    if (number || is_word(c))
        for (; end < sql.n &&
               (is_word(sql.p[end]) || (sql.p[end] & 0x80) != 0 || (number && sql.p[end] == '.'));
             end++)
            number |= (sql.p[end] & 0x80) != 0;
    *ret_keep = !number;
    return end;
}

struct str audit_shape(struct str sql, struct arena *arena)
{
    char *shape = arena_alloc(arena, AUDIT_DETAIL_BYTES);
    size_t n = 0;
    bool blank = true; /* several are one */
    for (size_t at = 0; at < sql.n;) {
        bool keep = false;
        size_t end = at + 1;
        bool is_blank = isspace((unsigned char)sql.p[at]) || iscntrl((unsigned char)sql.p[at]);
        if (!is_blank)
            end = piece_end(sql, at, &keep);
        size_t wanted = is_blank ? !blank : keep ? end - at : 1;
        if (n + wanted > AUDIT_DETAIL_BYTES)
            break;
        if (keep)
            memcpy(shape + n, sql.p + at, wanted);
        else if (wanted > 0)
            shape[n] = is_blank ? ' ' : '?';
        n += wanted;
        blank = is_blank;
        at = end;
    }
    return str_trim((struct str){shape, n});
}
