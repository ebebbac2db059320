/* clean_amount.c - money: decimal texts, currencies, and the one rounding rule.
 *
 * Amounts are integers of a millionth of the main unit. A text is read digit by digit, never
 * through a double: 0.1 is one hundred thousand millionths and nothing else. Rounding is half up,
 * away from zero, in both directions of the sign, so that a refund is the exact negative of its
 * sale. */
#include "clean/clean_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

/* --- decimals --------------------------------------------------------------------------------- */

#define DIGITS_MAX 40 /* more than int64 holds, with room for leading and trailing zeros */

struct decimal {
    bool negative;
    int digits_count;
    int point; /* digits before the decimal point */
    unsigned char digits[DIGITS_MAX];
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool decimal_add(struct decimal *d, char c)
{
    if (d->digits_count == 0 && c == '0')
        return true; /* a leading zero, which `point` does not count either */
    if (d->digits_count == DIGITS_MAX)
        return false;
    d->digits[d->digits_count++] = (unsigned char)(c - '0');
    return true;
}

/* 1234 and 1,234: commas only before groups of three. */
static bool take_whole(struct str *s, struct decimal *d, bool *ret_any)
{
    bool grouped = false;
    size_t run = 0;
    for (; s->n > 0; s->p++, s->n--) {
        if (is_digit(s->p[0])) {
            if (!decimal_add(d, s->p[0]))
                return false;
            run++;
            *ret_any = true;
        } else if (s->p[0] == ',') {
            if (run == 0 || run > 3 || (grouped && run != 3))
                return false;
            grouped = true;
            run = 0;
        } else {
            break;
        }
    }
    d->point = d->digits_count;
    return !grouped || run == 3;
}

static void take_fraction(struct str *s, struct decimal *d, bool *ret_any)
{
    for (; s->n > 0 && is_digit(s->p[0]); s->p++, s->n--) {
        *ret_any = true;
        if (d->digits_count == 0 && s->p[0] == '0')
            d->point--; /* 0.001: the first digit stands two places behind the point */
        else if (d->digits_count < DIGITS_MAX)
            d->digits[d->digits_count++] = (unsigned char)(s->p[0] - '0');
    }
}

static bool take_exponent(struct str *s, struct decimal *d)
{
    if (s->n == 0 || (s->p[0] != 'e' && s->p[0] != 'E'))
        return true;
    struct str e = {s->p + 1, s->n - 1};
    int sign = e.n > 0 && e.p[0] == '-' ? -1 : 1, v = 0;
    if (e.n > 0 && (e.p[0] == '-' || e.p[0] == '+'))
        e = (struct str){e.p + 1, e.n - 1};
    if (e.n == 0)
        return false;
    for (; e.n > 0 && is_digit(e.p[0]); e.p++, e.n--)
        v = v < 10000 ? v * 10 + (e.p[0] - '0') : v;
    d->point += sign * v;
    *s = e;
    return true;
}

/* The digits shifted six places and rounded; false when they do not fit. */
static bool decimal_micros(const struct decimal *d, int64_t *ret_micros)
{
    int64_t v = 0;
    int places = d->point + 6; /* how many digits are whole millionths */
    if (places > DIGITS_MAX && d->digits_count > 0)
        return false;
    for (int i = 0; i < places; i++) {
        int digit = i < d->digits_count ? d->digits[i] : 0;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    if (places >= 0 && places < d->digits_count && d->digits[places] >= 5 &&
        __builtin_add_overflow(v, 1, &v))
        return false;
    *ret_micros = d->negative ? -v : v;
    return true;
}

bool clean_amount_parse(struct str text, int64_t *ret_micros)
{
    struct str s = str_trim(text);
    struct decimal d = {0};
    bool any = false;
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
        d.negative = s.p[0] == '-';
        s = (struct str){s.p + 1, s.n - 1};
    }
    if (!take_whole(&s, &d, &any))
        return false;
    if (s.n > 0 && s.p[0] == '.') {
        s = (struct str){s.p + 1, s.n - 1};
        take_fraction(&s, &d, &any);
    }
    if (!any || !take_exponent(&s, &d) || s.n > 0)
        return false;
    return decimal_micros(&d, ret_micros);
}

/* A double stands for the shortest decimal that reads back as it, so that is what is rounded. For
 * ordinary prices the product with a million is right to a thousandth of a unit, and only when it
 * falls near a half is the text asked. */
static bool micros_of_double(double v, int64_t *ret_micros)
{
    double scaled = v * 1e6, whole = floor(scaled), rest = scaled - whole;
    if (fabs(scaled) < 1e12 && fabs(rest - 0.5) > 0.01) {
        *ret_micros = (int64_t)(rest > 0.5 ? whole + 1 : whole);
        return true;
    }
    if (!isfinite(v))
        return false;
    char text[40];
    snprintf(text, sizeof text, "%.15g", v);
    if (strtod(text, NULL) != v)
        snprintf(text, sizeof text, "%.17g", v);
    return clean_amount_parse(str_of(text), ret_micros);
}

bool clean_amount_json(yyjson_val *value, int64_t *ret_micros)
{
    if (yyjson_is_str(value))
        return clean_amount_parse(json_str(value), ret_micros);
    if (yyjson_is_real(value))
        return micros_of_double(yyjson_get_real(value), ret_micros);
    int64_t whole;
    if (yyjson_is_uint(value)) {
        if (yyjson_get_uint(value) > INT64_MAX)
            return false;
        whole = (int64_t)yyjson_get_uint(value);
    } else if (yyjson_is_sint(value)) {
        whole = yyjson_get_sint(value);
    } else {
        return false;
    }
    int64_t micros;
    if (__builtin_mul_overflow(whole, 1000000, &micros))
        return false;
    *ret_micros = micros;
    return true;
}

/* --- currencies ------------------------------------------------------------------------------- */

/* ISO 4217, active codes with the digits of their minor unit; only those that are not 2 say so. */
static const char codes[][4] = {
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT",
    "BGN", "BHD", "BIF", "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD",
    "CDF", "CHF", "CLF", "CLP", "CNY", "COP", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP",
    "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF",
    "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IQD", "IRR", "ISK", "JMD",
    "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP",
    "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR",
    "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB",
    "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD",
    "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL",
    "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYI",
    "UYU", "UYW", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XOF", "XPF", "YER",
    "ZAR", "ZMW", "ZWG"};

static const struct {
    char code[4];
    int exponent;
} exponents[] = {{"BIF", 0}, {"CLP", 0}, {"DJF", 0}, {"GNF", 0}, {"ISK", 0}, {"JPY", 0}, {"KMF", 0},
                 {"KRW", 0}, {"PYG", 0}, {"RWF", 0}, {"UGX", 0}, {"UYI", 0}, {"VND", 0}, {"VUV", 0},
                 {"XAF", 0}, {"XOF", 0}, {"XPF", 0}, {"BHD", 3}, {"IQD", 3}, {"JOD", 3}, {"KWD", 3},
                 {"LYD", 3}, {"OMR", 3}, {"TND", 3}, {"CLF", 4}, {"UYW", 4}};

static const struct {
    const char *word;
    char code[4];
} words[] = {
    {"rmb", "CNY"},    {"cnh", "CNY"},  {"¥", "CNY"},        {"￥", "CNY"},   {"元", "CNY"},
    {"人民币", "CNY"}, {"块", "CNY"},   {"yuan", "CNY"},     {"cn¥", "CNY"},  {"$", "USD"},
    {"us$", "USD"},    {"美元", "USD"}, {"美金", "USD"},     {"€", "EUR"},    {"欧元", "EUR"},
    {"£", "GBP"},      {"英镑", "GBP"}, {"jp¥", "JPY"},      {"円", "JPY"},   {"日元", "JPY"},
    {"日圆", "JPY"},   {"hk$", "HKD"},  {"港币", "HKD"},     {"港元", "HKD"}, {"nt$", "TWD"},
    {"ntd", "TWD"},    {"台币", "TWD"}, {"新台币", "TWD"},   {"mop$", "MOP"}, {"澳门币", "MOP"},
    {"₩", "KRW"},      {"韩元", "KRW"}, {"s$", "SGD"},       {"新元", "SGD"}, {"新加坡元", "SGD"},
    {"a$", "AUD"},     {"澳元", "AUD"}, {"c$", "CAD"},       {"加元", "CAD"}, {"nz$", "NZD"},
    {"₹", "INR"},      {"₽", "RUB"},  {"卢布", "RUB"},     {"₺", "TRY"},    {"฿", "THB"},
    {"泰铢", "THB"},   {"₫", "VND"},    {"越南盾", "VND"},   {"₱", "PHP"},    {"rm", "MYR"},
    {"林吉特", "MYR"}, {"r$", "BRL"},   {"瑞士法郎", "CHF"}, {"瑞郎", "CHF"}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool clean_currency(struct str text, char ret_code[4])
{
    struct str s = str_trim(text);
    if (s.n == 3) {
        char upper[4] = {0};
        for (int i = 0; i < 3; i++)
            upper[i] = (char)(s.p[i] >= 'a' && s.p[i] <= 'z' ? s.p[i] - 32 : s.p[i]);
        for (size_t i = 0; i < COUNT(codes); i++) {
            if (memcmp(upper, codes[i], 3) == 0) {
                memcpy(ret_code, codes[i], 4);
                return true;
            }
        }
    }
    for (size_t i = 0; i < COUNT(words); i++) {
        if (str_eq_nocase(s, str_of(words[i].word))) {
            memcpy(ret_code, words[i].code, 4);
            return true;
        }
    }
    return false;
}

int clean_currency_exponent(const char code[4])
{
    for (size_t i = 0; i < COUNT(exponents); i++)
        if (memcmp(code, exponents[i].code, 3) == 0)
            return exponents[i].exponent;
    return 2;
}

int64_t clean_amount_minor(int64_t micros, const char code[4])
{
    int64_t divisor = 1000000;
    for (int e = clean_currency_exponent(code); e > 0; e--)
        divisor /= 10;
    int64_t whole = micros / divisor, rest = micros % divisor;
    if (rest * 2 >= divisor)
        return whole + 1;
    return rest * 2 <= -divisor ? whole - 1 : whole;
}
