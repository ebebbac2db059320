/* clean_identifier.c - the normal form of each type of identifier, and the values that are none.
 *
 * Two spellings of one phone or address must become the same bytes, or one customer is two people;
 * and a value that thousands share ("null", "0", "guest") must never become an identifier, or
 * thousands are one person. What is refused here can be no anchor, so the list is fixed with the
 * anchors; blocked values that a company adds act later, on edges only (identity/).
 *
 * Most values are normal already; then the result is a part of the input and nothing is copied. */
#include "clean/clean_int.h"

#include <stdlib.h>

#include <utf8proc.h>

/* --- shared ----------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

static struct str without_quotes(struct str s)
{
    bool quoted = s.n >= 2 && s.p[0] == s.p[s.n - 1] && (s.p[0] == '"' || s.p[0] == '\'');
    return quoted ? (struct str){s.p + 1, s.n - 2} : s;
}

static bool only_zeros_and_dashes(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '0' && s.p[i] != '-')
            return false;
    return true;
}

static bool blocked(struct str value)
{
    static const char *const words[] = {
        "-1",  "null",  "none",        "undefined",  "anonymous", "guest",
        "nan", "true",  "false",       "(null)",     "<null>",    "[object object]",
        "nil", "email", "distinct_id", "distinctid", "id",        "not_authenticated"};
    struct str s = str_trim(without_quotes(value));
    if (only_zeros_and_dashes(s))
        return true;
    if (s.n > 20)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_eq_nocase(s, str_of(words[i])))
            return true;
    return false;
}

/* NFC, each code point through `map` first; false when the bytes are no UTF-8. */
static bool compose(struct str value, utf8proc_custom_func map, struct arena *arena,
                    struct str *ret_value)
{
    utf8proc_uint8_t *text = NULL;
    utf8proc_ssize_t n =
        utf8proc_map_custom((const utf8proc_uint8_t *)value.p, (utf8proc_ssize_t)value.n, &text,
                            (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE), map, NULL);
    if (n < 0)
        return false;
    *ret_value = arena_copy(arena, (struct str){(const char *)text, (size_t)n});
    free(text);
    return true;
}

static bool normal_text(struct str value, struct arena *arena, struct str *ret_value)
{
    if (!is_ascii(value))
        return compose(value, NULL, arena, ret_value);
    *ret_value = value;
    return true;
}

/* --- phone ------------------------------------------------------------------------------------ */

#define PHONE_DIGITS_LEAST 8
#define PHONE_DIGITS_MOST 15 /* E.164 */

/* What people put between digits; full-width forms come from Chinese keyboards. */
static bool skip_separator(struct str *s)
{
    static const char *const separators[] = {" ",  "-",  "(",  ")",  ".", "\t", "\xc2\xa0",
                                             "　", "－", "（", "）", "‐", "–"};
    for (size_t i = 0; i < sizeof separators / sizeof separators[0]; i++) {
        struct str separator = str_of(separators[i]);
        if (str_starts(*s, separator)) {
            *s = (struct str){s->p + separator.n, s->n - separator.n};
            return true;
        }
    }
    return false;
}

/* One digit or plus, ASCII or full-width (U+FF10-FF19, U+FF0B); 0 if it is something else. */
static char take_phone_char(struct str *s)
{
    char c = 0;
    size_t n = 1;
    if (is_digit(s->p[0]) || s->p[0] == '+') {
        c = s->p[0];
    } else if (str_starts(*s, STR("\xef\xbc")) && s->n >= 3) {
        unsigned char last = (unsigned char)s->p[2];
        n = 3;
        if (last >= 0x90 && last <= 0x99)
            c = (char)('0' + (last - 0x90));
        else if (last == 0x8b)
            c = '+';
    }
    *s = (struct str){s->p + n, s->n - (n < s->n ? n : s->n)};
    return c;
}

/* The digits alone; false on anything a phone number does not have. */
static bool phone_digits(struct str value, char digits[PHONE_DIGITS_MOST + 3], size_t *ret_n,
                         bool *ret_plus)
{
    struct str s = value;
    size_t n = 0;
    bool plus = false;
    while (s.n > 0) {
        if (skip_separator(&s))
            continue;
        char c = take_phone_char(&s);
        if (c == 0 || (c == '+' && (n > 0 || plus)) || (c != '+' && n == PHONE_DIGITS_MOST + 2))
            return false;
        if (c == '+')
            plus = true;
        else
            digits[n++] = c;
    }
    *ret_n = n;
    *ret_plus = plus;
    return n > 0;
}

static bool is_chinese_mobile(const char *digits, size_t n)
{
    return n == 11 && digits[0] == '1' && digits[1] >= '3';
}

static bool normal_phone(struct str value, struct arena *arena, struct str *ret_value)
{
    char text[PHONE_DIGITS_MOST + 3], *digits = text;
    size_t n = 0;
    bool plus = false;
    if (!phone_digits(value, text, &n, &plus))
        return false;
    if (!plus && n > 2 && memcmp(digits, "00", 2) == 0) {
        digits += 2;
        n -= 2;
        plus = true;
    }
    bool has_86 = n > 2 && memcmp(digits, "86", 2) == 0;
    if (!plus && !is_chinese_mobile(digits, n) && !(has_86 && is_chinese_mobile(digits + 2, n - 2)))
        return false;
    if (plus && (n < PHONE_DIGITS_LEAST || n > PHONE_DIGITS_MOST || digits[0] == '0'))
        return false;
    /* Behind +86, what begins like a mobile number must be a whole one. */
    if (plus && has_86 && digits[2] == '1' && digits[3] >= '3' &&
        !is_chinese_mobile(digits + 2, n - 2))
        return false;
    struct str prefix = plus || !is_chinese_mobile(digits, n) ? STR("+") : STR("+86");
    char *to = arena_alloc(arena, prefix.n + n);
    memcpy(to, prefix.p, prefix.n);
    memcpy(to + prefix.n, digits, n);
    *ret_value = (struct str){to, prefix.n + n};
    return true;
}

/* --- e-mail ----------------------------------------------------------------------------------- */

#define EMAIL_LOCAL_MOST 64 /* RFC 5321 4.5.3.1 */
#define EMAIL_LABEL_MOST 63

static bool local_valid(struct str local)
{
    if (local.n == 0 || local.n > EMAIL_LOCAL_MOST)
        return false;
    for (size_t i = 0; i < local.n; i++)
        if ((unsigned char)local.p[i] <= ' ' || strchr("\"(),:;<>[\\]@", local.p[i]) != NULL)
            return false;
    return true;
}

/* Two or more labels of letters, digits and inner hyphens; other scripts pass as they are. */
static bool domain_valid(struct str domain)
{
    size_t label = 0, labels = 0;
    for (size_t i = 0; i <= domain.n; i++) {
        char c = i < domain.n ? domain.p[i] : '.';
        bool hyphen = c == '-';
        if (c == '.') {
            if (label == 0 || label > EMAIL_LABEL_MOST || domain.p[i - 1] == '-')
                return false;
            labels++;
            label = 0;
        } else if ((unsigned char)c >= 0x80 || is_digit(c) || (c >= 'a' && c <= 'z') ||
                   (hyphen && label > 0)) {
            label++;
        } else {
            return false;
        }
    }
    return labels >= 2;
}

static utf8proc_int32_t lower(utf8proc_int32_t codepoint, void *data)
{
    (void)data;
    return utf8proc_tolower(codepoint);
}

static struct str lower_ascii(struct str value, struct arena *arena)
{
    size_t i = 0;
    while (i < value.n && !(value.p[i] >= 'A' && value.p[i] <= 'Z'))
        i++;
    if (i == value.n)
        return value;
    char *to = arena_alloc(arena, value.n);
    for (i = 0; i < value.n; i++)
        to[i] = (char)(value.p[i] >= 'A' && value.p[i] <= 'Z' ? value.p[i] + 32 : value.p[i]);
    return (struct str){to, value.n};
}

static bool normal_email(struct str value, struct arena *arena, struct str *ret_value)
{
    struct str s;
    if (is_ascii(value))
        s = lower_ascii(value, arena);
    else if (!compose(value, lower, arena, &s))
        return false;
    if (s.n > 0 && s.p[s.n - 1] == '.')
        s.n--;
    const char *at = s.n > 0 ? memrchr(s.p, '@', s.n) : NULL;
    if (at == NULL || s.n > LIMIT_IDENTIFIER_BYTES)
        return false;
    struct str local = {s.p, (size_t)(at - s.p)};
    struct str domain = {at + 1, s.n - local.n - 1};
    if (!local_valid(local) || !domain_valid(domain))
        return false;
    *ret_value = s;
    return true;
}

bool clean_identifier(enum identifier_type type, struct str value, struct arena *arena,
                      struct str *ret_value)
{
    struct str s = str_trim(value), normal;
    if (s.n == 0 || s.n > LIMIT_IDENTIFIER_BYTES || has_control(s) || blocked(s))
        return false;
    bool ok = type == IDENTIFIER_PHONE   ? normal_phone(s, arena, &normal)
              : type == IDENTIFIER_EMAIL ? normal_email(s, arena, &normal)
                                         : normal_text(s, arena, &normal);
    /* NFC can lengthen a text (a few Indic and Hebrew signs only decompose). */
    if (!ok || normal.n > LIMIT_IDENTIFIER_BYTES)
        return false;
    *ret_value = normal;
    return true;
}
