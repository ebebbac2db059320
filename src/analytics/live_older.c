/* live_older.c - questions about what the memory does not hold any more, or holds nothing of.
 *
 * The timeline keeps the newest events when not all fit. A question that begins before what it has
 * whole is handed over to the warehouse: SQL takes out the events that the question needs
 * (live_reach.h), a timeline of their own is made of them (timeline_extract), the same report runs
 * on it, and it is thrown away. So there is one code for every number, its cells and its people,
 * and an older question costs seconds instead of a fraction of one.
 *
 * One at a time: the others wait, inside their time limits. It has its own limit of memory; what
 * does not fit is an error, never a number of a part of the events. Without a timeline every
 * question is answered so. */
#include "analytics/live_reach.h"

#include <stdlib.h>
#include <time.h>

#include "base/limits.h"

#define LOOK_US (50 * US_PER_MS) /* at the clock and the wish to stop, while waiting */

struct live_older {
    struct timeline *timeline;
    struct timeline_extract extract;
};

/* --- how long --------------------------------------------------------------------------------- */

static bool must_stop(void *ctx)
{
    struct err ignored;
    return live_goes_on(ctx, &ignored) != ST_OK;
}

static struct timespec soon(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + LOOK_US * 1000;
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    return until;
}

void live_turns_init(struct live_turns *turns)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&turns->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&turns->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void live_turns_done(struct live_turns *turns)
{
    pthread_cond_destroy(&turns->left);
    pthread_mutex_destroy(&turns->mutex);
}

/* One question at a time has a timeline of its own. */
static enum status turn_take(struct live_ask *ask, struct err *err)
{
    struct live_turns *turns = &ask->live->turns;
    pthread_mutex_lock(&turns->mutex);
    while (turns->taken && !must_stop(ask)) {
        struct timespec until = soon();
        pthread_cond_timedwait(&turns->left, &turns->mutex, &until);
    }
    bool mine = !turns->taken;
    turns->taken = true;
    pthread_mutex_unlock(&turns->mutex);
    if (mine)
        return ST_OK;
    if (live_goes_on(ask, err) == ST_BUSY)
        return ST_BUSY; /* cancelled */
    err_set(err, ST_BUSY,
            "could not read older events: another question about them took all the time");
    return err_hint(err, ST_BUSY, "try again in some seconds, or with a larger limit");
}

static void turn_give(struct live_ask *ask)
{
    struct live_turns *turns = &ask->live->turns;
    pthread_mutex_lock(&turns->mutex);
    turns->taken = false;
    pthread_cond_signal(&turns->left);
    pthread_mutex_unlock(&turns->mutex);
}

/* Without a timeline: until the warehouse has what was to be waited for. */
static enum status position_wait(struct live_ask *ask, struct err *err)
{
    struct warehouse *warehouse = ask->live->options.warehouse;
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    int64_t until_us = monotonic_us() + LIMIT_WAIT_US;
    while (warehouse_position(warehouse) < ask->run->after) {
        enum status status = live_goes_on(ask, err);
        if (status != ST_OK)
            return status;
        if (monotonic_us() > until_us)
            return err_set(err, ST_TIMEOUT,
                           "could not wait for the warehouse: it is at %llu of %llu",
                           (unsigned long long)warehouse_position(warehouse),
                           (unsigned long long)ask->run->after);
        nanosleep(&pause, NULL);
    }
    return ST_OK;
}

/* --- what is needed --------------------------------------------------------------------------- */

/* Is a property asked for, anywhere in the question? */
static bool asks_property(yyjson_val *value)
{
    yyjson_val *stack[64], *one;
    size_t depth = 0, i, max;
    stack[depth++] = value;
    while (depth > 0) {
        yyjson_val *key, *at = stack[--depth];
        bool full = depth + yyjson_get_len(at) > sizeof stack / sizeof stack[0];
        if (yyjson_is_ctn(at) && full)
            return true; /* a question as nobody asks it: be on the safe side */
        yyjson_obj_foreach(at, i, max, key, one)
        {
            if (str_is(json_str(key), "property") || str_is(json_str(key), "hold"))
                return true;
            stack[depth++] = one;
        }
        yyjson_arr_foreach(at, i, max, one) stack[depth++] = one;
    }
    return false;
}

static void reach_find(struct live_ask *ask, live_reaches *reaches, struct live_reach *reach)
{
    if (reaches != NULL)
        reaches(ask, reach);
    else
        live_reach_all(ask, reach, 0, LIVE_FOREVER_S, NULL);
    reach->columns = ask->question != NULL && asks_property(ask->question);
}

static int64_t reach_from_us(const struct live_reach *reach)
{
    int64_t from_us = INT64_MAX;
    for (size_t i = 0; i < reach->count; i++)
        if (reach->parts[i].time_from_us < from_us)
            from_us = reach->parts[i].time_from_us;
    return from_us;
}

/* --- a timeline of its own -------------------------------------------------------------------- */

static enum status too_large(const struct live_ask *ask, size_t memory, struct err *err)
{
    struct err why = *err;
    err_set(err, ST_TOO_LARGE,
            "could not read older events: the question needs too many of them (%s)", why.message);
    if (ask->live->options.timeline == NULL)
        return err_hint(err, ST_TOO_LARGE,
                        "a shorter window, events by name, or --timeline-mb above 0");
    return err_hint(err, ST_TOO_LARGE,
                    "a shorter window, events by name, or a larger --timeline-mb (a question gets "
                    "%zu MB, as many as a quarter of it)",
                    memory >> 20);
}

static enum status extract(struct live_ask *ask, const struct live_reach *reach, struct err *err)
{
    const struct live_options *options = &ask->live->options;
    struct live_older *older = ARENA_NEW(ask->arena, struct live_older);
    size_t memory = options->older_bytes > 0 ? options->older_bytes : LIVE_OLDER_BYTES;
    struct timeline_options with = {
        .warehouse = options->warehouse, .memory_bytes = memory, .threads = live_threads(ask)};
    older->extract = (struct timeline_extract){.parts = reach->parts,
                                               .parts_count = reach->count,
                                               .columns = reach->columns,
                                               .stop = must_stop,
                                               .stop_ctx = ask};
    enum status status = turn_take(ask, err);
    if (status != ST_OK)
        return status;
    status = timeline_extract(&with, &older->extract, &older->timeline, err);
    if (status != ST_OK) {
        turn_give(ask);
        enum status ended = live_goes_on(ask, err); /* else the words are the extract's */
        return ended != ST_OK           ? ended
               : status == ST_TOO_LARGE ? too_large(ask, memory, err)
                                        : status;
    }
    ask->older = older;
    return timeline_view_open(older->timeline, 0, &ask->view, err);
}

enum status live_view_open(struct live_ask *ask, live_reaches *reaches, struct err *err)
{
    const struct live_options *options = &ask->live->options;
    struct live_reach *reach = ARENA_NEW(ask->arena, struct live_reach);
    enum status status =
        options->timeline == NULL
            ? position_wait(ask, err)
            : timeline_view_open(options->timeline, ask->run->after, &ask->view, err);
    if (status != ST_OK)
        return status;
    reach_find(ask, reaches, reach);
    if (ask->view != NULL &&
        (options->warehouse == NULL || ask->view->complete_from_us <= reach_from_us(reach)))
        return ST_OK;
    if (ask->view != NULL)
        timeline_view_close(ask->view);
    ask->view = NULL;
    return extract(ask, reach, err);
}

void live_view_close(struct live_ask *ask)
{
    if (ask->view != NULL)
        timeline_view_close(ask->view);
    ask->view = NULL;
    if (ask->older == NULL)
        return;
    timeline_close(ask->older->timeline);
    ask->older = NULL;
    turn_give(ask);
}

/* --- people ----------------------------------------------------------------------------------- */

struct listing {
    const struct live_ask *ask;
    live_person_each *each;
    void *ctx;
};

static uint32_t second_of(int64_t us)
{
    return us < 0 ? 0 : us / US_PER_S > UINT32_MAX ? UINT32_MAX : (uint32_t)(us / US_PER_S);
}

static void people_take(void *ctx, size_t count, const uint64_t *persons, const int64_t *last_us,
                        const uint64_t *events)
{
    const struct listing *listing = ctx;
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = timeline_person_find(listing->ask->view, persons[i]);
        if (slot != TIMELINE_NONE && timeline_set_has(listing->ask->want, slot))
            listing->each(listing->ctx, slot, second_of(last_us[i]), (uint32_t)events[i]);
    }
}

/* Of a wanted person the timeline has what the report needed; the last event may be a later one. */
enum status live_older_people(struct live_ask *ask, live_person_each *each, void *ctx,
                              struct err *err)
{
    struct listing listing = {ask, each, ctx};
    const struct warehouse_span span = {.position_below = ask->view->position,
                                        .time_from_us = ask->from_us,
                                        .time_below_us = ask->to_us,
                                        .stop = must_stop,
                                        .stop_ctx = ask};
    enum status status =
        warehouse_stream_people(ask->live->options.warehouse, &span, people_take, &listing, err);
    enum status ended = status == ST_OK ? ST_OK : live_goes_on(ask, err);
    return ended != ST_OK ? ended : status;
}
