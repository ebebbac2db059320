/* decimal.c - exact sums of products of decimal texts.
 *
 * 3 × 2.55 is 7.65 and the sum of 541,909 of them must be right in the last digit, so a number is
 * an integer and the place of its point, in 128 bits. What does not fit is an outcome, never a
 * rounding. */
#include "table/decimal.h"

#include "base/json.h"

bool table_decimal_parse(struct str text, struct decimal *ret)
{
    size_t i = 0, digits = 0;
    bool negative = false, point = false;
    int scale = 0;
    int64_t value = 0;
    if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+'))
        negative = text.p[i++] == '-';
    for (; i < text.n; i++) {
        char c = text.p[i];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9' || ++digits > 18)
            return false;
        value = value * 10 + (c - '0');
        scale += point;
    }
    if (digits == 0)
        return false;
    *ret = (struct decimal){negative ? -value : value, scale};
    return true;
}

static bool rescale(struct decimal *decimal, int scale)
{
    while (decimal->scale < scale) {
        if (__builtin_mul_overflow(decimal->value, 10, &decimal->value))
            return false;
        decimal->scale++;
    }
    return true;
}

bool table_decimal_multiply(struct decimal a, struct decimal b, struct decimal *ret)
{
    struct decimal product = {0, a.scale + b.scale};
    if (product.scale > DECIMAL_SCALE_MAX ||
        __builtin_mul_overflow(a.value, b.value, &product.value))
        return false;
    *ret = product;
    return true;
}

bool table_decimal_add(struct decimal *sum, struct decimal term)
{
    struct decimal left = *sum;
    if (!rescale(&left, term.scale) || !rescale(&term, left.scale) ||
        __builtin_add_overflow(left.value, term.value, &left.value))
        return false;
    *sum = left;
    return true;
}

void table_decimal_write(struct decimal decimal, struct buf *out)
{
    char digits[64];
    size_t n = 0;
    bool negative = decimal.value < 0;
    unsigned __int128 value =
        negative ? -(unsigned __int128)decimal.value : (unsigned __int128)decimal.value;
    while (decimal.scale > 0 && value % 10 == 0) {
        value /= 10;
        decimal.scale--;
    }
    int placed = 0;
    do {
        digits[n++] = (char)('0' + (int)(value % 10));
        value /= 10;
        if (++placed == decimal.scale)
            digits[n++] = '.';
    } while (value > 0 || placed <= decimal.scale);
    if (negative)
        buf_char(out, '-');
    while (n > 0)
        buf_char(out, digits[--n]);
}

static size_t digits_at(struct str text, size_t i)
{
    size_t from = i;
    while (i < text.n && text.p[i] >= '0' && text.p[i] <= '9')
        i++;
    return i - from;
}

/* RFC 8259, section 6. */
static bool number_is_json(struct str text)
{
    size_t i = text.n > 0 && text.p[0] == '-' ? 1 : 0, n = digits_at(text, i);
    if (n == 0 || (n > 1 && text.p[i] == '0'))
        return false;
    i += n;
    if (i < text.n && text.p[i] == '.') {
        n = digits_at(text, ++i);
        if (n == 0)
            return false;
        i += n;
    }
    if (i < text.n && (text.p[i] == 'e' || text.p[i] == 'E')) {
        i++;
        if (i < text.n && (text.p[i] == '+' || text.p[i] == '-'))
            i++;
        n = digits_at(text, i);
        if (n == 0)
            return false;
        i += n;
    }
    return i == text.n;
}

void table_number_write(struct str text, struct buf *out)
{
    struct decimal decimal;
    struct str trimmed = str_trim(text);
    if (number_is_json(trimmed))
        buf_str(out, trimmed);
    else if (table_decimal_parse(trimmed, &decimal))
        table_decimal_write(decimal, out);
    else
        json_put_str(out, text);
}
