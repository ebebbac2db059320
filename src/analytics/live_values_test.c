/* live_values_test.c - a property with as many different values as there are events: the number of
 * an order. What a report says about it is right, its memory is counted and given back, and where
 * it would be too much the answer is an error that says what to do.
 *
 *   live_values_test [VALUES]     1,000,000 at night */
#include "analytics/live_test_int.h"

#include <ftw.h>
#include <stdio.h>

#include "timeline/timeline_view.h"

#define ORDERS_OF_ONE 10
#define EVERY 7 /* one of so many pays somebody else's order */
#define COMMIT_EVENTS 50000

static uint32_t values = 120000;

struct stored {
    struct world world; /* with a warehouse */
    struct warehouse *warehouse;
    struct disk disk;
    uint64_t position;
    int64_t start_us;
    char folder[64];
};

/* --- the orders ------------------------------------------------------------------------------- */

static void event_store(struct stored *stored, uint32_t person, const char *name, uint32_t order,
                        int64_t second)
{
    struct err err;
    char properties[48], id[24];
    struct warehouse_event event = {.position = ++stored->position,
                                    .visitor = (person + UINT64_C(1)) << 10,
                                    .person = (person + UINT64_C(1)) << 10,
                                    .source = STR("shop"),
                                    .type = STR("track"),
                                    .name = str_of(name),
                                    .time_us = stored->start_us + second * US_PER_S,
                                    .received_us = stored->start_us};
    snprintf(properties, sizeof properties, "{\"order_id\":\"o-%07u\"}", order);
    snprintf(id, sizeof id, "m-%llu", (unsigned long long)stored->position);
    event.properties = str_of(properties);
    event.message_id = str_of(id);
    warehouse_add_event(stored->warehouse, &event);
    if (stored->position % COMMIT_EVENTS == 0) {
        stored->position++;
        must(warehouse_commit(stored->warehouse, stored->position, stored->start_us, &err), &err);
    }
}

/* Each order once; 7, 5 and 3 again, three, two and one times. Everybody pays their first one, but
 * one of seven that of somebody else. */
static void orders_store(struct stored *stored)
{
    struct err err;
    for (uint32_t order = 0; order < values; order++) {
        uint32_t person = order / ORDERS_OF_ONE;
        event_store(stored, person, "order", order, order % 86400);
        if (order % ORDERS_OF_ONE != 0)
            continue;
        uint32_t paid = person % EVERY == 0 ? (order + ORDERS_OF_ONE) % values : order;
        event_store(stored, person, "pay", paid, order % 86400 + 60);
    }
    for (uint32_t again = 3; again <= 7; again += 2)
        for (uint32_t i = 1; i < again; i += 2)
            event_store(stored, 0, "order", again, 86400 + i);
    stored->position++;
    must(warehouse_commit(stored->warehouse, stored->position, stored->start_us, &err), &err);
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat, (void)kind, (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    static struct stored stored;
    struct err err;
    char folder[96], exports[96];
    const char *tmp = getenv("TMPDIR");
    stored.start_us = at("2026-11-20T00:00:00Z");
    disk_init(&stored.disk);
    clock_init_virtual(&stored.world.clock, at("2026-11-24T10:00:00Z"));
    snprintf(stored.folder, sizeof stored.folder, "%s/hezou-values-XXXXXX",
             tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    assert_non_null(mkdtemp(stored.folder));
    snprintf(folder, sizeof folder, "%s/warehouse", stored.folder);
    snprintf(exports, sizeof exports, "%s/export", stored.folder);
    struct warehouse_options options = {.folder = folder,
                                        .export_folder = exports,
                                        .disk = &stored.disk,
                                        .clock = &stored.world.clock,
                                        .threads = 2};
    must(warehouse_open(&options, &stored.warehouse, &err), &err);
    orders_store(&stored);
    *state = &stored;
    return 0;
}

static int teardown(void **state)
{
    struct stored *stored = *state;
    warehouse_close(stored->warehouse);
    return nftw(stored->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A timeline of so much memory, rebuilt from the warehouse. */
static void timeline_begin(struct stored *stored, size_t memory_bytes)
{
    struct err err;
    struct timeline_stats stats = {0};
    struct world *world = &stored->world;
    struct timeline_options options = {
        .warehouse = stored->warehouse, .memory_bytes = memory_bytes, .threads = 2};
    world->position = stored->position - 1;
    timeline_open(&options, &world->timeline);
    for (timeline_stats(world->timeline, &stats); !stats.ready;) {
        sched_yield();
        timeline_stats(world->timeline, &stats);
    }
    struct live_options live = {.timeline = world->timeline,
                                .warehouse = stored->warehouse,
                                .clock = &world->clock,
                                .threads = 2};
    must(live_open(&live, &world->live, &err), &err);
}

static uint64_t bytes_of(const struct stored *stored)
{
    struct timeline_stats stats;
    timeline_stats(stored->world.timeline, &stats);
    return stats.bytes;
}

/* The most that was held while a report ran. */
struct watched {
    const struct stored *stored;
    uint64_t bytes_max;
};

static void watch(void *ctx, double share)
{
    struct watched *watched = ctx;
    uint64_t bytes = bytes_of(watched->stored);
    (void)share;
    if (bytes > watched->bytes_max)
        watched->bytes_max = bytes;
}

/* --- what is asked ---------------------------------------------------------------------------- */

static void top_is_right(struct stored *stored)
{
    static const char *const names[] = {"o-0000007", "o-0000005", "o-0000003"};
    yyjson_doc *doc =
        ask(&stored->world, "trend",
            "{\"event\":\"order\",\"from\":\"2026-11-01\",\"unit\":\"month\","
            "\"breakdown\":{\"by\":\"property\",\"property\":\"order_id\",\"top\":3}}");
    for (size_t i = 0; i < 3; i++) {
        text_is(row(doc, "totals", i), "breakdown", names[i]);
        assert_int_equal(number(row(doc, "totals", i), "count"), 4 - i);
    }
    yyjson_val *other = row(doc, "totals", 3);
    assert_true(yyjson_get_bool(yyjson_obj_get(other, "other")));
    assert_int_equal(number(other, "values"), values - 3);
    assert_int_equal(number(other, "count"), values - 3);
    assert_int_equal(number(other, "people"), values / ORDERS_OF_ONE);
    struct err err;
    uint64_t *people = NULL;
    size_t count = 0;
    must(live_cell_people(stored->world.live, json_member_str(other, "cell"), NULL, &people, &count,
                          &err),
         &err);
    assert_int_equal(count, values / ORDERS_OF_ONE);
    free(people);
    yyjson_doc_free(doc);
}

static void filter_is_right(struct stored *stored)
{
    yyjson_doc *doc = ask(&stored->world, "trend",
                          "{\"event\":\"order\",\"from\":\"2026-11-01\",\"unit\":\"month\","
                          "\"where\":[{\"property\":\"order_id\",\"op\":\"in\","
                          "\"value\":[\"o-0000042\",\"o-0000007\"]}]}");
    assert_int_equal(number(row(doc, "totals", 0), "count"), 5);
    assert_int_equal(number(row(doc, "totals", 0), "people"), 2);
    yyjson_doc_free(doc);
}

/* Who paid an order of their own. */
static void hold_is_right(struct stored *stored)
{
    uint32_t people = values / ORDERS_OF_ONE;
    yyjson_doc *doc =
        ask(&stored->world, "funnel",
            "{\"steps\":[\"order\",\"pay\"],\"from\":\"2026-11-01\",\"window\":\"1d\","
            "\"hold\":\"order_id\"}");
    assert_int_equal(number(row(doc, "rows", 0), "people"), people);
    assert_int_equal(number(row(doc, "rows", 1), "people"), people - (people + EVERY - 1) / EVERY);
    yyjson_doc_free(doc);
}

/* A column that is open is counted; its values are within a quarter, and 4 bytes per event. */
static void memory_is_counted(const struct stored *stored, size_t memory, uint64_t before)
{
    struct err err;
    struct buf json;
    yyjson_doc *question;
    struct watched watched = {.stored = stored};
    struct live_run run = {.progress = watch, .ctx = &watched, .limit_us = 600 * US_PER_S};
    buf_init(&json, (size_t)16 << 20);
    must(json_parse(NULL, STR("{\"steps\":[\"order\"],\"hold\":\"order_id\"}"), &question, &err),
         &err);
    must(live_report(stored->world.live, STR("funnel"), yyjson_doc_get_root(question), &run, &json,
                     &err),
         &err);
    assert_true(watched.bytes_max > before + values * UINT64_C(8));
    assert_true(watched.bytes_max < before + memory / 4 + values * UINT64_C(8));
    yyjson_doc_free(question);
    buf_done(&json);
}

static void every_order_is_a_value_and_the_answers_are_right(void **state)
{
    struct stored *stored = *state;
    size_t memory = (size_t)512 << 20; /* the default */
    timeline_begin(stored, memory);
    uint64_t before = bytes_of(stored);
    memory_is_counted(stored, memory, before);
    top_is_right(stored);
    filter_is_right(stored);
    hold_is_right(stored);
    /* What nobody reads any more is within an eighth. */
    assert_true(bytes_of(stored) <= before + memory / 8);
    world_close(&stored->world);
}

static uint32_t code_of(struct stored *stored, const char *event, const char *order,
                        const struct timeline_column **ret_column,
                        const struct timeline_view **ret_view)
{
    struct err err;
    must(timeline_view_open(stored->world.timeline, 0, ret_view, &err), &err);
    must(timeline_column_open(*ret_view, str_of(event), STR("order_id"), ret_column, &err), &err);
    return timeline_column_find(*ret_column, str_of(order));
}

/* The warehouse still has the events: the timeline comes first. What is being read stays whole. */
static void values_of_who_was_erased_are_forgotten(void **state)
{
    struct stored *stored = *state;
    const struct timeline_column *before, *after;
    const struct timeline_view *old, *new;
    uint64_t visitor = 5 << 10; /* the orders 40 to 49 */
    timeline_begin(stored, (size_t)512 << 20);
    assert_int_not_equal(code_of(stored, "pay", "o-0000040", &after, &new), 0);
    timeline_column_close(after); /* unused: goes with the erase */
    timeline_view_close(new);
    assert_int_not_equal(code_of(stored, "order", "o-0000040", &before, &old), 0);
    timeline_erase(stored->world.timeline, &visitor, 1);
    assert_int_not_equal(timeline_column_find(before, STR("o-0000041")), 0);
    assert_int_equal(code_of(stored, "pay", "o-0000040", &after, &new), 0);
    timeline_column_close(after);
    timeline_view_close(new);
    assert_int_equal(code_of(stored, "order", "o-0000040", &after, &new), 0);
    assert_int_not_equal(timeline_column_find(after, STR("o-0000050")), 0);
    assert_int_equal(timeline_column_values(after), values - ORDERS_OF_ONE);
    timeline_column_close(before);
    timeline_view_close(old);
    timeline_column_close(after);
    timeline_view_close(new);
    world_close(&stored->world);
}

static void too_many_values_for_the_memory_are_an_error_that_says_so(void **state)
{
    struct stored *stored = *state;
    timeline_begin(stored, (size_t)values * 40); /* the events, and a tenth of the values */
    uint64_t before = bytes_of(stored);
    const char *question = "{\"event\":\"order\",\"breakdown\":{\"by\":\"property\",\"property\":"
                           "\"order_id\"}}";
    refused(&stored->world, "trend", question, ST_TOO_LARGE, "different values");
    refused(&stored->world, "trend", question, ST_TOO_LARGE, "--timeline-mb");
    refused(&stored->world, "funnel", "{\"steps\":[\"order\"],\"hold\":\"order_id\"}", ST_TOO_LARGE,
            "\"order_id\"");
    assert_int_equal(bytes_of(stored), before);
    yyjson_doc *doc = ask(&stored->world, "trend", "{\"event\":\"order\",\"from\":\"2026-11-01\"}");
    assert_int_equal(number(row(doc, "totals", 0), "count"), values + 6);
    yyjson_doc_free(doc);
    world_close(&stored->world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_is_a_value_and_the_answers_are_right),
        cmocka_unit_test(values_of_who_was_erased_are_forgotten),
        cmocka_unit_test(too_many_values_for_the_memory_are_an_error_that_says_so),
    };
    if (argc > 1)
        values = (uint32_t)strtoul(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, setup, teardown);
}
