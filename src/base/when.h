/* when.h - instants as text, and back; pure arithmetic, no time zone of the machine.
 * Depends on: nothing. Called by: everything that reads or shows a time. */
#ifndef BASE_WHEN_H
#define BASE_WHEN_H

#include <stdint.h>

#include "base/str.h"

/* Microseconds UTC from the forms clients send: RFC 3339 and its common relatives
 * ("2026-11-24T10:00:00.123+08:00", "2026-11-24 10:00:00", "20261124", "2026/11/24 10:00",
 * "24 Nov 2026 10:00:00 GMT"), and seconds, milli-, micro- or nanoseconds since 1970 told apart by
 * their size. A time without a zone is taken in `zone_offset_s`. False when it is no time. */
bool when_parse(struct str text, int zone_offset_s, int64_t *ret_us);
/* ISO form with microseconds and Z into 28 bytes. */
void when_format(int64_t us, char ret_text[28]);
/* The calendar's day of `days` since 1970-01-01. */
void when_civil(int64_t days, int *ret_y, int *ret_m, int *ret_d);
#endif
