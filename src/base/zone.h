/* zone.h - the calendar of a place: where hours, days, weeks and months begin (ICU).
 *
 * A zone is an IANA name ("Asia/Shanghai"). Times are seconds since 1970. Weeks begin on Monday. A
 * day has 23, 24 or 25 hours, or whatever the place decided; a midnight that a place skipped is the
 * first moment of that day. Not for two threads at once. Depends on: ICU. Called by: analytics. */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

struct zone;

enum zone_unit { ZONE_HOUR, ZONE_DAY, ZONE_WEEK, ZONE_MONTH };

/* ST_INVALID for a name that is none. */
MUST_USE enum status zone_open(struct str name, struct zone **ret_zone, struct err *err);
void zone_close(struct zone *zone);

/* The first second of the unit that holds `time`, and of the one after it. */
int64_t zone_start(struct zone *zone, enum zone_unit unit, int64_t time);
int64_t zone_next(struct zone *zone, enum zone_unit unit, int64_t time);
/* The first second of a date; months and days beyond their range carry over. */
int64_t zone_midnight(struct zone *zone, int year, int month, int day);

struct zone_time {
    int year, month, day, hour, minute, second;
    int offset_s; /* of local time to UTC */
};
void zone_local(struct zone *zone, int64_t time, struct zone_time *ret_time);
#endif
