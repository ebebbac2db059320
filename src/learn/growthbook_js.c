/* growthbook_js.c - JavaScript's conversions, comparisons and equalities on JSON values.
 *
 * GrowthBook's rules are written against its JavaScript SDK, where a condition of "5" is met by the
 * number 5, null counts as 0 in a comparison, and the hash of the number 3 is that of its text.
 * Reproducing this is what "the same variation as in the browser" means. Recursion follows JSON,
 * which the reader has bounded (JSON_DEPTH_MAX). */
#include "learn/growthbook_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

bool growthbook_spend(struct growthbook_session *session, uint64_t n)
{
    session->steps = session->steps > n ? session->steps - n : 0;
    return session->steps > 0;
}

yyjson_val *js_member(yyjson_val *object, const char *name)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    return js_truthy(value) ? value : NULL;
}

bool js_truthy(yyjson_val *value)
{
    switch (yyjson_get_type(value)) {
    case YYJSON_TYPE_BOOL:
        return yyjson_get_bool(value);
    case YYJSON_TYPE_NUM:
        return yyjson_get_num(value) != 0;
    case YYJSON_TYPE_STR:
        return yyjson_get_len(value) > 0;
    case YYJSON_TYPE_ARR:
    case YYJSON_TYPE_OBJ:
        return true;
    default:
        return false;
    }
}

/* --- to text ---------------------------------------------------------------------------------- */

#define NUMBER_BYTES_MAX 32

/* The fewest digits that read back as `v` (> 0), and the power of ten behind the first. */
static size_t shortest(double v, char digits[20], int *ret_exponent)
{
    char text[NUMBER_BYTES_MAX];
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    size_t n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    *ret_exponent = (int)strtol(p + 1, NULL, 10);
    return n;
}

static void put_zeros(struct buf *out, int count)
{
    for (; count > 0; count--)
        buf_char(out, '0');
}

/* ECMAScript's Number::toString: plain from 1e-6 below 1e21, else with an exponent. */
static void put_number(struct buf *out, double v)
{
    char digits[20];
    int exponent;
    if (v == trunc(v) && fabs(v) < 1e15) { /* nearly all ids */
        buf_fmt(out, "%.0f", v == 0 ? 0 : v);
        return;
    }
    if (v < 0)
        buf_char(out, '-');
    size_t n = shortest(fabs(v), digits, &exponent);
    int whole = exponent + 1; /* digits before the point */
    if (whole > 21 || whole <= -6) {
        buf_char(out, digits[0]);
        if (n > 1)
            buf_char(out, '.');
        buf_put(out, digits + 1, n - 1);
        buf_fmt(out, "e%+d", exponent);
    } else if (whole <= 0) {
        buf_text(out, "0.");
        put_zeros(out, -whole);
        buf_put(out, digits, n);
    } else if ((int)n <= whole) {
        buf_put(out, digits, n);
        put_zeros(out, whole - (int)n);
    } else {
        buf_put(out, digits, (size_t)whole);
        buf_char(out, '.');
        buf_put(out, digits + whole, n - (size_t)whole);
    }
}

static void put_string(struct buf *out, yyjson_val *value)
{
    size_t i, count;
    yyjson_val *item;
    switch (yyjson_get_type(value)) {
    case YYJSON_TYPE_STR:
        buf_str(out, json_str(value));
        return;
    case YYJSON_TYPE_NUM:
        put_number(out, yyjson_get_num(value));
        return;
    case YYJSON_TYPE_BOOL:
        buf_text(out, yyjson_get_bool(value) ? "true" : "false");
        return;
    case YYJSON_TYPE_OBJ:
        buf_text(out, "[object Object]");
        return;
    case YYJSON_TYPE_ARR:
        yyjson_arr_foreach(value, i, count, item)
        {
            if (i > 0)
                buf_char(out, ',');
            if (!yyjson_is_null(item))
                put_string(out, item);
        }
        return;
    default:
        buf_text(out, "null");
    }
}

struct str js_string(struct growthbook_session *session, yyjson_val *value)
{
    struct buf text;
    if (yyjson_is_str(value))
        return json_str(value);
    buf_init(&text, GROWTHBOOK_PAYLOAD_BYTES_MAX);
    put_string(&text, value);
    (void)growthbook_spend(session, text.n / 4); /* who has none left learns it at the next step */
    struct str copy = text.n == 0 ? STR("") : arena_copy(session->arena, buf_view(&text));
    buf_done(&text);
    return copy;
}

/* --- to a number ------------------------------------------------------------------------------ */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t digits_at(struct str text, size_t at)
{
    size_t n = 0;
    while (at + n < text.n && text.p[at + n] >= '0' && text.p[at + n] <= '9')
        n++;
    return n;
}

/* [+-]? (digits [. digits?] | . digits) ([eE] [+-]? digits)? */
static bool is_decimal(struct str text)
{
    size_t at = text.n > 0 && (text.p[0] == '+' || text.p[0] == '-');
    size_t whole = digits_at(text, at), part = 0;
    at += whole;
    if (at < text.n && text.p[at] == '.') {
        part = digits_at(text, at + 1);
        at += 1 + part;
    }
    if (whole + part == 0)
        return false;
    if (at < text.n && (text.p[at] == 'e' || text.p[at] == 'E')) {
        at++;
        at += at < text.n && (text.p[at] == '+' || text.p[at] == '-');
        size_t exponent = digits_at(text, at);
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return at == text.n;
}

/* 0x, 0o and 0b, without a sign. */
static double prefixed(struct str text)
{
    char kind = text.n > 2 && text.p[0] == '0' ? (char)(text.p[1] | 0x20) : '\0';
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    double number = 0;
    if (base == 0)
        return NAN;
    for (size_t i = 2; i < text.n; i++) {
        char c = (char)(text.p[i] | 0x20);
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
        if (digit >= base)
            return NAN;
        number = number * base + digit;
    }
    return number;
}

static double number_of_text(struct growthbook_session *session, struct str text)
{
    while (text.n > 0 && is_blank(text.p[0]))
        text.p++, text.n--;
    while (text.n > 0 && is_blank(text.p[text.n - 1]))
        text.n--;
    if (text.n == 0)
        return 0;
    if (is_decimal(text))
        return strtod(arena_cstr(session->arena, text), NULL);
    if (str_is(text, "Infinity") || str_is(text, "+Infinity"))
        return INFINITY;
    return str_is(text, "-Infinity") ? -INFINITY : prefixed(text);
}

double js_number(struct growthbook_session *session, yyjson_val *value)
{
    switch (yyjson_get_type(value)) {
    case YYJSON_TYPE_NUM:
        return yyjson_get_num(value);
    case YYJSON_TYPE_BOOL:
        return yyjson_get_bool(value);
    case YYJSON_TYPE_STR:
    case YYJSON_TYPE_ARR:
    case YYJSON_TYPE_OBJ:
        return number_of_text(session, js_string(session, value));
    default:
        return 0;
    }
}

/* --- equality and order ----------------------------------------------------------------------- */

bool js_equal(yyjson_val *a, yyjson_val *b)
{
    yyjson_type type = yyjson_get_type(a), other = yyjson_get_type(b);
    bool a_null = a == NULL || type == YYJSON_TYPE_NULL;
    bool b_null = b == NULL || other == YYJSON_TYPE_NULL;
    if (a_null || b_null)
        return a_null && b_null;
    if (type != other)
        return false;
    switch (type) {
    case YYJSON_TYPE_STR:
        return str_eq(json_str(a), json_str(b));
    case YYJSON_TYPE_NUM:
        return yyjson_get_num(a) == yyjson_get_num(b);
    case YYJSON_TYPE_BOOL:
        return yyjson_get_bool(a) == yyjson_get_bool(b);
    default:
        return false; /* two objects are never one */
    }
}

bool js_same_json(struct growthbook_session *session, yyjson_val *a, yyjson_val *b)
{
    size_t count = yyjson_get_len(a);
    yyjson_val *key, *other;
    if (!yyjson_is_ctn(a) || yyjson_get_type(a) != yyjson_get_type(b))
        return js_equal(a, b);
    if (count != yyjson_get_len(b) || !growthbook_spend(session, 1 + count))
        return false;
    if (yyjson_is_arr(a)) {
        yyjson_arr_iter left = yyjson_arr_iter_with(a), right = yyjson_arr_iter_with(b);
        for (size_t i = 0; i < count; i++)
            if (!js_same_json(session, yyjson_arr_iter_next(&left), yyjson_arr_iter_next(&right)))
                return false;
        return true;
    }
    yyjson_obj_iter left = yyjson_obj_iter_with(a), right = yyjson_obj_iter_with(b);
    while ((key = yyjson_obj_iter_next(&left)) != NULL) {
        other = yyjson_obj_iter_next(&right);
        if (!js_equal(key, other) ||
            !js_same_json(session, yyjson_obj_iter_get_val(key), yyjson_obj_iter_get_val(other)))
            return false;
    }
    return true;
}

/* UTF-8 sorts as UTF-16 does, but for pairs of surrogates (F0…), which stand before EE and EF. */
int js_compare_text(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n, i = 0;
    while (i < n && a.p[i] == b.p[i])
        i++;
    if (i == n)
        return (a.n > b.n) - (a.n < b.n);
    unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];
    if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0))
        return x >= 0xf0 ? -1 : 1;
    return x < y ? -1 : 1;
}

int js_compare(struct growthbook_session *session, yyjson_val *a, yyjson_val *b)
{
    bool a_text = yyjson_is_str(a) || yyjson_is_ctn(a);
    bool b_text = yyjson_is_str(b) || yyjson_is_ctn(b);
    if (a_text && b_text)
        return js_compare_text(js_string(session, a), js_string(session, b));
    double x = js_number(session, a), y = js_number(session, b);
    return isnan(x) || isnan(y) ? JS_UNORDERED : (x > y) - (x < y);
}

bool js_equal_folded(struct str a, struct str b)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)a.p, *q = (const utf8proc_uint8_t *)b.p;
    utf8proc_ssize_t n = (utf8proc_ssize_t)a.n, m = (utf8proc_ssize_t)b.n;
    utf8proc_int32_t c, d;
    while (n > 0 && m > 0) {
        utf8proc_ssize_t used = utf8proc_iterate(p, n, &c), also = utf8proc_iterate(q, m, &d);
        if (used <= 0 || also <= 0 || utf8proc_tolower(c) != utf8proc_tolower(d))
            return false;
        p += used, n -= used;
        q += also, m -= also;
    }
    return n == m;
}
