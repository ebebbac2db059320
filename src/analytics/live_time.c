/* live_time.c - windows and periods in the calendar of the question's zone.
 *
 * A day that somebody writes is a day of the zone, and "to" includes it. The timeline counts whole
 * seconds, so a window's ends are cut to seconds. The window before another one is as long in the
 * calendar: November's is October, thirty days' are the thirty days before, whatever the clocks
 * did. */
#include "analytics/live_int.h"

#include "base/when.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_DAYS 30
#define SECONDS_MAX (INT64_C(4291747200)) /* 2106-01-01: the timeline's end */

/* "2026-11-01" */
static bool is_day(struct str text)
{
    return text.n == 10 && text.p[4] == '-' && text.p[7] == '-';
}

/* A time without a zone is one of the question's. */
static bool moment_parse(struct live_ask *ask, struct str text, bool is_end, int64_t *ret_s)
{
    int64_t us, moved;
    struct zone_time local;
    if (!when_parse(text, 0, &us) || us < 0 || us / US_PER_S > SECONDS_MAX)
        return false;
    if (is_day(text)) {
        int y, m, d;
        when_civil(us / US_PER_DAY, &y, &m, &d);
        *ret_s = zone_midnight(ask->calendar, y, m, d + (is_end ? 1 : 0));
        return true;
    }
    *ret_s = us / US_PER_S;
    if (when_parse(text, 3600, &moved) && moved != us) {
        zone_local(ask->calendar, *ret_s, &local);
        zone_local(ask->calendar, *ret_s - local.offset_s, &local);
        *ret_s -= local.offset_s;
    }
    return true;
}

static enum status bad_moment(struct err *err, const char *member, struct str text)
{
    err_set(err, ST_INVALID, "\"%s\" is no time from 1970 to 2105: " STR_FMT, member,
            (int)(text.n < 40 ? text.n : 40), text.p);
    return err_hint(err, ST_INVALID, "a day like 2026-11-01, or 2026-11-01T08:00:00+08:00");
}

static void window_set(struct live_ask *ask, int64_t from, int64_t to)
{
    ask->from_s = (uint32_t)(from < 0 ? 0 : from);
    ask->to_s = (uint32_t)(to < 0 ? 0 : to > SECONDS_MAX ? SECONDS_MAX : to);
    ask->from_us = ask->from_s * US_PER_S;
    ask->to_us = ask->to_s * US_PER_S;
}

enum status live_window_parse(struct live_ask *ask, struct str from, struct str to, struct err *err)
{
    int64_t from_s = 0, to_s = zone_next(ask->calendar, ZONE_DAY, ask->now_us / US_PER_S);
    struct zone_time local;
    if (to.n > 0 && !moment_parse(ask, to, true, &to_s))
        return bad_moment(err, "to", to);
    if (from.n > 0 && !moment_parse(ask, from, false, &from_s))
        return bad_moment(err, "from", from);
    if (from.n == 0) {
        zone_local(ask->calendar, to_s - 1, &local);
        from_s =
            zone_midnight(ask->calendar, local.year, local.month, local.day + 1 - DEFAULT_DAYS);
    }
    window_set(ask, from_s, to_s);
    if (ask->from_s >= ask->to_s) {
        err_set(err, ST_INVALID, "the window is empty: \"from\" is not before the end of \"to\"");
        return err_hint(err, ST_INVALID, "a day in \"to\" is included");
    }
    return ST_OK;
}

struct live_ask live_previous(const struct live_ask *ask)
{
    struct live_ask before = *ask;
    struct zone *calendar = ask->calendar;
    int64_t from = ask->from_s, to = ask->to_s, start = from - (to - from);
    struct zone_time a, b;
    zone_local(calendar, from, &a);
    zone_local(calendar, to, &b);
    bool days =
        zone_start(calendar, ZONE_DAY, from) == from && zone_start(calendar, ZONE_DAY, to) == to;
    if (days && a.day == 1 && b.day == 1) {
        int months = (b.year - a.year) * 12 + b.month - a.month;
        start = zone_midnight(calendar, a.year, a.month - months, 1);
    } else if (days) {
        int64_t count = (to - from + 43200) / 86400;
        start = zone_midnight(calendar, a.year, a.month, a.day - (int)count);
    }
    window_set(&before, start, from);
    return before;
}

static enum zone_unit unit_of(enum live_unit unit)
{
    switch (unit) {
    case LIVE_HOUR:
        return ZONE_HOUR;
    case LIVE_DAY:
        return ZONE_DAY;
    case LIVE_WEEK:
        return ZONE_WEEK;
    case LIVE_MONTH:
        return ZONE_MONTH;
    }
    return ZONE_DAY;
}

int64_t live_start_of(const struct live_ask *ask, enum live_unit unit, int64_t time)
{
    return zone_start(ask->calendar, unit_of(unit), time);
}

enum status live_borders(struct live_ask *ask, enum live_unit unit, uint32_t **ret_borders,
                         size_t *ret_count, struct err *err)
{
    uint32_t *borders = ARENA_ARRAY(ask->arena, uint32_t, LIVE_BORDERS_MAX + 1);
    size_t count = 0;
    int64_t at = zone_start(ask->calendar, unit_of(unit), ask->from_s);
    borders[0] = (uint32_t)(at < 0 ? 0 : at);
    while (at < ask->to_s) {
        if (count == LIVE_BORDERS_MAX) {
            err_set(err, ST_INVALID, "the window has more than %d periods", LIVE_BORDERS_MAX);
            return err_hint(err, ST_INVALID, "a larger \"unit\", or a shorter window");
        }
        at = zone_next(ask->calendar, unit_of(unit), at);
        borders[++count] = (uint32_t)at;
    }
    *ret_borders = borders;
    *ret_count = count;
    return ST_OK;
}

size_t live_period_of(const uint32_t *borders, size_t count, uint32_t time, size_t guess)
{
    if (guess < count && time >= borders[guess]) {
        if (time < borders[guess + 1])
            return guess;
        if (guess + 1 < count && time < borders[guess + 2])
            return guess + 1;
    }
    size_t low = 0, high = count - 1;
    while (low < high) {
        size_t middle = (low + high + 1) / 2;
        if (borders[middle] <= time)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void live_put_time(const struct live_ask *ask, struct buf *json, const char *member, uint32_t time,
                   enum live_unit unit)
{
    char text[64];
    struct zone_time at;
    zone_local(ask->calendar, time, &at);
    if (unit == LIVE_HOUR)
        snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d", at.year, at.month, at.day, at.hour,
                 at.minute);
    else
        snprintf(text, sizeof text, "%04d-%02d-%02d", at.year, at.month, at.day);
    json_put_member_str(json, member, str_of(text));
}

void live_moment(const struct live_ask *ask, int64_t us, char ret_text[LIVE_MOMENT_BYTES])
{
    struct zone_time at;
    zone_local(ask->calendar, us / US_PER_S, &at);
    int minutes = abs(at.offset_s) / 60;
    snprintf(ret_text, LIVE_MOMENT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", at.year,
             at.month, at.day, at.hour, at.minute, at.second, at.offset_s < 0 ? '-' : '+',
             minutes / 60, minutes % 60);
}
