/* zone.c - calendars of places by ICU's C interface.
 *
 * Days, weeks and months begin at a local midnight, which ICU finds: where the clocks go back over
 * midnight the first of both, where they skip it the moment after the gap. Hours are the stretches
 * of equal date and hour on the wall: they end at the next full hour or where the clocks change, so
 * zones off by half an hour and changes by half an hour (Lord Howe) need no rule of their own. */
#include "base/zone.h"

#include <unicode/ucal.h>
#include <unicode/ustring.h>

#include "base/arena.h"
#include "base/check.h"

#include <stdlib.h>

#define NAME_BYTES_MAX 64
#define HOUR_S 3600

struct zone {
    UCalendar *calendar;
};

enum status zone_open(struct str name, struct zone **ret_zone, struct err *err)
{
    UChar id[NAME_BYTES_MAX + 1], canonical[NAME_BYTES_MAX + 1];
    UErrorCode code = U_ZERO_ERROR;
    UBool is_known = false;
    bool fits = name.n > 0 && name.n <= NAME_BYTES_MAX && memchr(name.p, '\0', name.n) == NULL &&
                str_utf8(name) == name.n;
    if (fits) {
        int32_t n = 0;
        u_strFromUTF8(id, NAME_BYTES_MAX, &n, name.p, (int32_t)name.n, &code);
        id[n] = 0;
        ucal_getCanonicalTimeZoneID(id, n, canonical, NAME_BYTES_MAX, &is_known, &code);
    }
    if (!fits || U_FAILURE(code) || !is_known) {
        err_set(err, ST_INVALID, "time zone \"" STR_FMT "\" is not known",
                (int)(name.n < NAME_BYTES_MAX ? name.n : NAME_BYTES_MAX), name.p);
        return err_hint(err, ST_INVALID, "a name like Asia/Shanghai, Europe/Berlin or UTC");
    }
    code = U_ZERO_ERROR;
    UCalendar *calendar = ucal_open(id, -1, "en_US_POSIX", UCAL_GREGORIAN, &code);
    if (U_FAILURE(code))
        return err_set(err, ST_IO, "could not open the calendar: %s", u_errorName(code));
    ucal_setAttribute(calendar, UCAL_LENIENT, 1);
    ucal_setAttribute(calendar, UCAL_REPEATED_WALL_TIME, UCAL_WALLTIME_FIRST);
    struct zone *zone = mem_alloc(sizeof *zone);
    zone->calendar = calendar;
    *ret_zone = zone;
    return ST_OK;
}

void zone_close(struct zone *zone)
{
    if (zone == NULL)
        return;
    ucal_close(zone->calendar);
    free(zone);
}

static int field(struct zone *zone, UCalendarDateFields name)
{
    UErrorCode code = U_ZERO_ERROR;
    int32_t value = ucal_get(zone->calendar, name, &code);
    CHECK(U_SUCCESS(code));
    return value;
}

static void move_to(struct zone *zone, int64_t time)
{
    UErrorCode code = U_ZERO_ERROR;
    ucal_setMillis(zone->calendar, (UDate)time * 1000, &code);
    CHECK(U_SUCCESS(code));
}

int64_t zone_midnight(struct zone *zone, int year, int month, int day)
{
    UErrorCode code = U_ZERO_ERROR;
    ucal_clear(zone->calendar);
    ucal_setDateTime(zone->calendar, year, month - 1, day, 0, 0, 0, &code);
    UDate ms = ucal_getMillis(zone->calendar, &code);
    CHECK(U_SUCCESS(code));
    return (int64_t)(ms / 1000);
}

void zone_local(struct zone *zone, int64_t time, struct zone_time *ret_time)
{
    move_to(zone, time);
    *ret_time = (struct zone_time){
        .year = field(zone, UCAL_EXTENDED_YEAR),
        .month = field(zone, UCAL_MONTH) + 1,
        .day = field(zone, UCAL_DATE),
        .hour = field(zone, UCAL_HOUR_OF_DAY),
        .minute = field(zone, UCAL_MINUTE),
        .second = field(zone, UCAL_SECOND),
        .offset_s = (field(zone, UCAL_ZONE_OFFSET) + field(zone, UCAL_DST_OFFSET)) / 1000};
}

/* Days since the last Monday. */
static int weekday(struct zone *zone, int64_t time)
{
    move_to(zone, time);
    return (field(zone, UCAL_DAY_OF_WEEK) + 7 - UCAL_MONDAY) % 7;
}

/* The change of the clocks at or before `time`, or after it; `otherwise` if there is none. */
static int64_t change(struct zone *zone, UTimeZoneTransitionType type, int64_t time,
                      int64_t otherwise)
{
    UErrorCode code = U_ZERO_ERROR;
    UDate ms = 0;
    move_to(zone, time);
    if (!ucal_getTimeZoneTransitionDate(zone->calendar, type, &ms, &code) || U_FAILURE(code))
        return otherwise;
    return (int64_t)(ms / 1000);
}

int64_t zone_start(struct zone *zone, enum zone_unit unit, int64_t time)
{
    struct zone_time at;
    zone_local(zone, time, &at);
    if (unit == ZONE_HOUR) {
        int64_t full = time - at.minute * 60 - at.second;
        int64_t last = change(zone, UCAL_TZ_TRANSITION_PREVIOUS_INCLUSIVE, time, full);
        return last > full ? last : full;
    }
    int back = unit == ZONE_WEEK ? weekday(zone, time) : 0;
    return zone_midnight(zone, at.year, at.month, unit == ZONE_MONTH ? 1 : at.day - back);
}

int64_t zone_next(struct zone *zone, enum zone_unit unit, int64_t time)
{
    struct zone_time at;
    zone_local(zone, time, &at);
    if (unit == ZONE_HOUR) {
        int64_t full = time - at.minute * 60 - at.second + HOUR_S;
        int64_t next = change(zone, UCAL_TZ_TRANSITION_NEXT, time, full);
        return next < full ? next : full;
    }
    int on = unit == ZONE_WEEK ? 7 - weekday(zone, time) : 1;
    return unit == ZONE_MONTH ? zone_midnight(zone, at.year, at.month + 1, 1)
                              : zone_midnight(zone, at.year, at.month, at.day + on);
}
