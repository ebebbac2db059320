/* live_test_int.h - a small world for the tests of live reports: a timeline without a warehouse. */
#ifndef ANALYTICS_LIVE_TEST_INT_H
#define ANALYTICS_LIVE_TEST_INT_H

#include "analytics/live.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sched.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/when.h"

struct world {
    struct timeline *timeline;
    struct live *live;
    struct clock clock;
    uint64_t position;
};

static inline void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        print_error("%s (%s)\n", err->message, err->hint);
    assert_int_equal(status, ST_OK);
}

static inline int64_t at(const char *text)
{
    int64_t us = 0;
    assert_true(when_parse(str_of(text), 0, &us));
    return us;
}

/* merge_events: of timeline_options; with it views see bases that are half merged. */
static inline void world_open_merging(struct world *world, const char *zone, uint32_t merge_events)
{
    struct err err;
    *world = (struct world){.position = 64};
    clock_init_virtual(&world->clock, at("2026-11-24T10:00:00Z"));
    struct timeline_options options = {.memory_bytes = (size_t)64 << 20,
                                       .threads = 1,
                                       .merge_events = merge_events,
                                       .merge_pages = merge_events > 0};
    struct timeline_stats stats = {0};
    timeline_open(&options, &world->timeline);
    for (timeline_stats(world->timeline, &stats); !stats.ready;) {
        sched_yield();
        timeline_stats(world->timeline, &stats);
    }
    struct live_options live = {
        .timeline = world->timeline, .clock = &world->clock, .zone = zone, .threads = 2};
    must(live_open(&live, &world->live, &err), &err);
}

static inline void world_open(struct world *world, const char *zone)
{
    world_open_merging(world, zone, 0);
}

static inline void world_close(struct world *world)
{
    live_close(world->live);
    timeline_close(world->timeline);
}

/* Whole amounts; -1 = none. */
static inline void add(struct world *world, uint64_t visitor, const char *name, const char *time,
                       const char *channel, int amount)
{
    struct timeline_event event = {.position = ++world->position,
                                   .visitor = visitor << 10,
                                   .person = visitor << 10,
                                   .time_us = at(time),
                                   .name = str_of(name),
                                   .channel = str_of(channel),
                                   .has_amount = amount >= 0,
                                   .amount_micros = amount * INT64_C(1000000)};
    timeline_add_event(world->timeline, &event);
}

/* Asks; the answer is parsed, the caller frees it. NULL = the error in *err. */
static inline yyjson_doc *asked(struct world *world, const char *name, const char *question,
                                struct err *err)
{
    yyjson_doc *doc = NULL, *parsed = NULL;
    struct buf json;
    struct live_run run = {.after = world->position + 1};
    timeline_commit(world->timeline, world->position + 1);
    buf_init(&json, (size_t)16 << 20);
    struct err ignored;
    must(json_parse(NULL, str_of(question), &parsed, &ignored), &ignored);
    enum status status =
        live_report(world->live, str_of(name), yyjson_doc_get_root(parsed), &run, &json, err);
    if (status == ST_OK)
        must(json_parse(NULL, buf_view(&json), &doc, &ignored), &ignored);
    else
        assert_int_equal(json.n, 0);
    yyjson_doc_free(parsed);
    buf_done(&json);
    return doc;
}

static inline yyjson_doc *ask(struct world *world, const char *name, const char *question)
{
    struct err err;
    yyjson_doc *doc = asked(world, name, question, &err);
    if (doc == NULL)
        print_error("%s (%s)\n", err.message, err.hint);
    assert_non_null(doc);
    return doc;
}

static inline void refused(struct world *world, const char *name, const char *question,
                           enum status status, const char *words)
{
    struct err err = {0};
    yyjson_doc *doc = asked(world, name, question, &err);
    assert_null(doc);
    assert_int_equal(err.status, status);
    if (strstr(err.message, words) == NULL && strstr(err.hint, words) == NULL)
        fail_msg("\"%s\" not in: %s (%s)", words, err.message, err.hint);
}

static inline yyjson_val *row(yyjson_doc *doc, const char *list, size_t i)
{
    yyjson_val *found = yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(doc), list), i);
    assert_non_null(found);
    return found;
}

static inline double number(yyjson_val *object, const char *member)
{
    yyjson_val *value = yyjson_obj_get(object, member);
    if (!yyjson_is_num(value))
        fail_msg("%s is no number", member == NULL ? "a member" : member);
    return yyjson_get_num(value);
}

static inline void text_is(yyjson_val *object, const char *member, const char *want)
{
    assert_true(str_is(json_str(yyjson_obj_get(object, member)), want));
}

/* How many people a cell opens. */
static inline size_t opens(struct world *world, yyjson_val *object, const char *member)
{
    struct err err;
    struct buf json;
    uint64_t *people = NULL;
    size_t count = 0;
    yyjson_doc *doc = NULL;
    struct str cell = json_member_str(object, member);
    must(live_cell_people(world->live, cell, NULL, &people, &count, &err), &err);
    free(people);
    buf_init(&json, (size_t)1 << 20);
    must(live_people(world->live, cell, STR(""), 1000, NULL, &json, &err), &err);
    must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_int_equal(yyjson_get_uint(yyjson_obj_get(root, "total")), count);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "people")), count);
    yyjson_doc_free(doc);
    buf_done(&json);
    return count;
}
#endif
