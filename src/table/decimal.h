/* decimal.h - for the folder alone: exact sums of products of decimal texts, and numbers for JSON.
 * Money must not pass through a double on its way in. */
#ifndef TABLE_DECIMAL_H
#define TABLE_DECIMAL_H

#include "base/buf.h"

struct decimal {
    __int128 value; /* in units of 10^-scale */
    int scale;
};

#define DECIMAL_SCALE_MAX 18 /* digits after the point that a sum keeps; more is not taken */

/* An optional sign, digits, an optional point and digits; at most 18 digits in all. */
bool table_decimal_parse(struct str text, struct decimal *ret);
/* False when the result would not fit. */
bool table_decimal_multiply(struct decimal a, struct decimal b, struct decimal *ret);
bool table_decimal_add(struct decimal *sum, struct decimal term);
/* Without zeros behind the last digit of a fraction. */
void table_decimal_write(struct decimal decimal, struct buf *out);
/* `text` as a JSON number in its own digits; as a JSON string when it is none. */
void table_number_write(struct str text, struct buf *out);
#endif
