/* live_older_test.c - questions about what the memory does not hold any more are answered as if it
 * held everything: a limited timeline, and none, against one without a limit, text by text. */
#include "analytics/live_int.h"

#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/rng.h"
#include "base/when.h"

#define VISITORS 120
#define DAYS 120
#define EVENTS 2600
#define NEWEST_BYTES ((size_t)24 << 10) /* some weeks of them */

struct world {
    char folder[64];
    struct disk disk;
    struct clock clock;
    struct rng rng;
    struct warehouse *warehouse;
    struct timeline *all, *newest;
    struct live *lives[3]; /* all in memory; the newest; nothing */
    uint64_t position;
    uint64_t owner[VISITORS];
};
enum { ALL, NEWEST, NOTHING };

static void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        print_error("%s (%s)\n", err->message, err->hint);
    assert_int_equal(status, ST_OK);
}

static int64_t at(const char *text)
{
    int64_t us = 0;
    assert_true(when_parse(str_of(text), 0, &us));
    return us;
}

static uint32_t below(struct world *world, uint32_t n)
{
    return (uint32_t)(rng_u64(&world->rng) % n);
}

static uint64_t id_of(uint32_t visitor)
{
    return (uint64_t)(visitor + 1) << 10;
}

/* --- the world -------------------------------------------------------------------------------- */

static void ready_wait(struct timeline *timeline)
{
    struct timeline_stats stats = {0};
    for (timeline_stats(timeline, &stats); !stats.ready; timeline_stats(timeline, &stats))
        sched_yield();
}

/* Told to the warehouse and to the timeline without a limit, as the pipeline does. */
static void event_add(struct world *world, uint32_t visitor, const char *name, int64_t time_us)
{
    static const char *const channels[] = {"web", "app", "store", ""};
    static const char *const campaigns[] = {"", "", "spring", "autumn"};
    static const char *const plans[] = {"free", "pro", "team"};
    char properties[80];
    bool paid = strcmp(name, "Order Completed") == 0;
    uint64_t id = visitor == VISITORS ? 0 : id_of(visitor);
    snprintf(properties, sizeof properties, "{\"plan\":\"%s\",\"price\":%u}",
             plans[below(world, 3)], below(world, 50));
    struct warehouse_event stored = {.position = world->position,
                                     .visitor = id,
                                     .person = id == 0 ? 0 : world->owner[visitor],
                                     .source = STR("web"),
                                     .type = STR("track"),
                                     .name = str_of(name),
                                     .channel = str_of(channels[below(world, 4)]),
                                     .campaign = str_of(campaigns[below(world, 4)]),
                                     .message_id = STR("m"),
                                     .time_us = time_us,
                                     .received_us = at("2026-11-01T00:00:00Z"),
                                     .has_amount = paid && below(world, 10) > 0,
                                     .amount_micros = (below(world, 90) + 10) * INT64_C(1000000)};
    if (below(world, 4) > 0)
        stored.properties = str_of(properties);
    struct timeline_event fed = {.position = stored.position,
                                 .visitor = stored.visitor,
                                 .person = stored.person,
                                 .time_us = stored.time_us,
                                 .name = stored.name,
                                 .channel = stored.channel,
                                 .campaign = stored.campaign,
                                 .has_amount = stored.has_amount,
                                 .amount_micros = stored.has_amount ? stored.amount_micros : 0};
    warehouse_add_event(world->warehouse, &stored);
    timeline_add_event(world->all, &fed);
    world->position += 64;
}

/* Two visitors turn out to be one. */
static void merge(struct world *world)
{
    uint32_t visitor = below(world, VISITORS), other = below(world, VISITORS);
    if (world->owner[visitor] == world->owner[other])
        return;
    world->owner[visitor] = world->owner[other];
    warehouse_add_override(world->warehouse, id_of(visitor), world->owner[other], world->position);
    timeline_set_person(world->all, id_of(visitor), world->owner[other]);
    world->position += 64;
}

static void history_make(struct world *world)
{
    static const char *const names[] = {"visit", "visit", "visit",           "view",     "view",
                                        "cart",  "cart",  "Order Completed", "$pageview"};
    char text[32];
    struct err err;
    int64_t first_us = at("2026-07-01T00:00:00Z");
    for (uint32_t visitor = 0; visitor < VISITORS; visitor++) {
        world->owner[visitor] = id_of(visitor);
        snprintf(text, sizeof text, "u-%u", visitor);
        warehouse_add_visitor(world->warehouse, id_of(visitor), id_of(visitor), STR("user_id"),
                              str_of(text), world->position);
        world->position += 64;
    }
    for (uint32_t i = 0; i < EVENTS; i++) {
        /* Mostly in the order of time; some are late by weeks, some at equal seconds. */
        uint32_t day = i / (EVENTS / DAYS);
        day = below(world, 12) == 0 && day > 30 ? day - below(world, 30) : day;
        int64_t time_us = first_us + day % DAYS * US_PER_DAY +
                          (int64_t)below(world, 86400 / 600) * 600 * US_PER_S;
        bool rare = i == 40; /* a name that is used once, long ago */
        event_add(world, below(world, VISITORS + 1), rare ? "signup" : names[below(world, 9)],
                  time_us);
        if (below(world, 60) == 0)
            merge(world);
    }
    must(warehouse_commit(world->warehouse, world->position, at("2026-11-01T00:00:00Z"), &err),
         &err);
    timeline_commit(world->all, world->position);
}

static void lives_open(struct world *world, size_t older_bytes)
{
    struct err err;
    struct timeline *const timelines[] = {world->all, world->newest, NULL};
    for (int i = 0; i < 3; i++) {
        struct live_options options = {.timeline = timelines[i],
                                       .warehouse = world->warehouse,
                                       .older_bytes = older_bytes,
                                       .clock = &world->clock,
                                       .zone = "Asia/Shanghai",
                                       .threads = 2};
        must(live_open(&options, &world->lives[i], &err), &err);
    }
}

static void world_open(struct world *world, uint64_t seed)
{
    struct err err;
    const struct timeline_view *view;
    char folder[96], exports[96];
    const char *tmp = getenv("TMPDIR");
    *world = (struct world){.position = 64};
    rng_init_seed(&world->rng, seed);
    disk_init(&world->disk);
    clock_init_virtual(&world->clock, at("2026-10-29T10:00:00Z"));
    snprintf(world->folder, sizeof world->folder, "%s/hezou-older-XXXXXX",
             tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    snprintf(folder, sizeof folder, "%s/warehouse", world->folder);
    snprintf(exports, sizeof exports, "%s/export", world->folder);
    struct warehouse_options options = {.folder = folder,
                                        .export_folder = exports,
                                        .disk = &world->disk,
                                        .clock = &world->clock,
                                        .threads = 1};
    must(warehouse_open(&options, &world->warehouse, &err), &err);
    struct timeline_options with = {
        .warehouse = world->warehouse, .memory_bytes = (size_t)1 << 30, .threads = 1};
    timeline_open(&with, &world->all);
    ready_wait(world->all);
    history_make(world);
    with.memory_bytes = NEWEST_BYTES;
    timeline_open(&with, &world->newest);
    ready_wait(world->newest);
    must(timeline_view_open(world->newest, 0, &view, &err), &err);
    assert_true(view->complete_from_us > at("2026-09-15T00:00:00Z"));
    assert_true(view->complete_from_us < at("2026-10-25T00:00:00Z"));
    timeline_view_close(view);
    lives_open(world, 0);
}

static int file_remove(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat, (void)kind, (void)ftw;
    return remove(path);
}

static void world_close(struct world *world)
{
    for (int i = 0; i < 3; i++)
        live_close(world->lives[i]);
    timeline_close(world->all);
    timeline_close(world->newest);
    warehouse_close(world->warehouse);
    assert_int_equal(nftw(world->folder, file_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* --- asking ----------------------------------------------------------------------------------- */

static enum status asked(struct world *world, int who, const char *name, const char *question,
                         const struct live_run *with, struct buf *json, struct err *err)
{
    yyjson_doc *parsed = NULL;
    struct err ignored;
    struct live_run run = with != NULL ? *with : (struct live_run){.limit_us = 600 * US_PER_S};
    run.after = world->position;
    must(json_parse(NULL, str_of(question), &parsed, &ignored), &ignored);
    enum status status =
        live_report(world->lives[who], str_of(name), yyjson_doc_get_root(parsed), &run, json, err);
    yyjson_doc_free(parsed);
    return status;
}

/* Without what says where from and how long. */
static void put_same(struct buf *text, yyjson_val *root)
{
    yyjson_val *key;
    yyjson_obj_iter members = yyjson_obj_iter_with(root);
    while ((key = yyjson_obj_iter_next(&members)) != NULL) {
        struct str name = json_str(key);
        if (str_is(name, "source") || str_is(name, "seconds") || str_is(name, "events_read"))
            continue;
        buf_str(text, name);
        buf_char(text, ' ');
        json_write(text, yyjson_obj_iter_get_val(key));
        buf_char(text, '\n');
    }
}

static void texts_equal(const struct buf *a, const struct buf *b, const char *what)
{
    if (a->n == b->n && memcmp(a->p, b->p, a->n) == 0)
        return;
    size_t i = 0;
    while (i < a->n && i < b->n && a->p[i] == b->p[i])
        i++;
    i = i > 200 ? i - 200 : 0;
    fail_msg("%s:\n%.400s\n--- but\n%.400s", what, a->p + i, b->p + i);
}

/* Who is behind the cell, as text: a sum of all, and the first page. */
static void cell_put(struct world *world, int who, struct str cell, struct buf *text)
{
    struct err err;
    uint64_t *people = NULL, sum = 0;
    size_t count = 0;
    struct buf json;
    yyjson_doc *doc = NULL;
    must(live_cell_people(world->lives[who], cell, NULL, &people, &count, &err), &err);
    for (size_t i = 0; i < count; i++)
        sum += people[i] * 31;
    buf_fmt(text, "%zu people, %llu\n", count, (unsigned long long)sum);
    free(people);
    buf_init(&json, (size_t)1 << 20);
    must(live_people(world->lives[who], cell, STR(""), 30, NULL, &json, &err), &err);
    must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
    put_same(text, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    buf_done(&json);
}

/* Every so many-th cell of the answer. */
struct cells {
    struct world *world;
    uint32_t seen, every, opened;
    const char *what;
};

static void cells_compare(struct cells *cells, yyjson_val *value)
{
    yyjson_val *key, *one;
    size_t i, max;
    yyjson_arr_foreach(value, i, max, one) cells_compare(cells, one);
    yyjson_obj_foreach(value, i, max, key, one)
    {
        struct str name = json_str(key);
        cells_compare(cells, one);
        bool is_cell =
            yyjson_is_str(one) && name.n >= 4 && memcmp(name.p + name.n - 4, "cell", 4) == 0;
        if (!is_cell || cells->seen++ % cells->every != 0 || cells->opened >= 2)
            continue;
        struct buf texts[2];
        cells->opened++;
        for (int who = ALL; who <= NEWEST; who++) {
            buf_init(&texts[who], (size_t)1 << 20);
            cell_put(cells->world, who, json_str(one), &texts[who]);
        }
        texts_equal(&texts[ALL], &texts[NEWEST], cells->what);
        buf_done(&texts[ALL]);
        buf_done(&texts[NEWEST]);
    }
}

static uint32_t cells_count(yyjson_val *value)
{
    yyjson_val *key, *one;
    size_t i, max;
    uint32_t count = 0;
    yyjson_arr_foreach(value, i, max, one) count += cells_count(one);
    yyjson_obj_foreach(value, i, max, key, one)
    {
        struct str name = json_str(key);
        count += cells_count(one) +
                 (yyjson_is_str(one) && name.n >= 4 && memcmp(name.p + name.n - 4, "cell", 4) == 0);
    }
    return count;
}

/* `closely`: also without any memory, and the people behind some cells. */
static void compare(struct world *world, const char *name, const char *question, bool closely)
{
    struct buf json, texts[3];
    char what[600];
    yyjson_doc *docs[3] = {NULL};
    int last = closely ? NOTHING : NEWEST;
    struct err err;
    snprintf(what, sizeof what, "%s %s", name, question);
    buf_init(&json, (size_t)16 << 20);
    for (int who = ALL; who <= last; who++) {
        buf_init(&texts[who], (size_t)16 << 20);
        buf_reset(&json);
        if (asked(world, who, name, question, NULL, &json, &err) == ST_OK) {
            must(json_parse(NULL, buf_view(&json), &docs[who], &err), &err);
            put_same(&texts[who], yyjson_doc_get_root(docs[who]));
            struct str source = json_member_str(yyjson_doc_get_root(docs[who]), "source");
            if (!str_is(source, who == ALL ? "memory" : "warehouse"))
                fail_msg("%s comes from the " STR_FMT, what, STR_ARG(source));
        } else {
            buf_fmt(&texts[who], "%d %s (%s)", err.status, err.message, err.hint);
        }
    }
    for (int who = NEWEST; who <= last; who++)
        texts_equal(&texts[ALL], &texts[who], what);
    if (docs[ALL] != NULL && closely) {
        yyjson_val *root = yyjson_doc_get_root(docs[ALL]);
        struct cells cells = {.world = world, .what = what, .every = cells_count(root) / 2 + 1};
        cells_compare(&cells, root);
    }
    for (int who = ALL; who <= last; who++) {
        yyjson_doc_free(docs[who]);
        buf_done(&texts[who]);
    }
    buf_done(&json);
}

/* --- every report ----------------------------------------------------------------------------- */

static const struct {
    const char *name, *question; /* without the braces and the window */
    enum { ANSWERS, REFUSED, DEPENDS /* on what the numbers are: a model may not fit */ } how;
} questions[] = {
    {"trend", "", ANSWERS},
    {"trend", "\"event\":\"Order Completed\",\"measure\":\"sum\",\"unit\":\"week\"", ANSWERS},
    {"trend", "\"event\":\"cart\",\"measure\":\"p90\",\"property\":\"price\"", ANSWERS},
    {"trend",
     "\"events\":[\"visit\",{\"event\":\"cart\",\"where\":[{\"channel\":\"app\"}]}],"
     "\"breakdown\":{\"by\":\"channel\",\"top\":2}",
     ANSWERS},
    {"trend",
     "\"event\":\"view\",\"breakdown\":{\"by\":\"property\",\"property\":\"plan\",\"top\":2},"
     "\"compare\":\"previous\"",
     ANSWERS},
    {"trend",
     "\"event\":\"view\",\"breakdown\":{\"by\":\"campaign\",\"event\":\"visit\",\"top\":1}",
     ANSWERS},
    {"trend",
     "\"event\":\"signup\",\"where\":[{\"property\":\"plan\",\"op\":\"!=\",\"value\":\"pro\"}]",
     ANSWERS},
    {"trend", "\"event\":\"signpu\"", REFUSED},
    {"trend", "\"where\":[{\"channel\":\"wep\"}]", REFUSED},
    {"trend", "\"where\":[{\"property\":\"plam\",\"value\":\"pro\"}]", REFUSED},
    {"lifecycle", "", ANSWERS},
    {"lifecycle", "\"event\":\"Order Completed\",\"unit\":\"week\"", ANSWERS},
    {"lifecycle", "\"event\":\"view\",\"where\":[{\"channel\":\"app\"}],\"unit\":\"month\"",
     ANSWERS},
    {"lifecycle",
     "\"event\":{\"event\":\"view\",\"where\":[{\"property\":\"plan\",\"value\":\"pro\"}]}",
     ANSWERS},
    {"stickiness", "", ANSWERS},
    {"stickiness", "\"event\":\"cart\"", ANSWERS},
    {"funnel", "\"steps\":[\"visit\",\"cart\",\"Order Completed\"]", ANSWERS},
    {"funnel", "\"steps\":[\"visit\",\"*\",\"cart\"],\"window\":\"3d\"", ANSWERS},
    {"funnel", "\"steps\":[\"view\",\"cart\"],\"order\":\"strict\",\"closed\":true", ANSWERS},
    {"funnel", "\"steps\":[\"view\",\"cart\"],\"order\":\"unordered\",\"compare\":\"previous\"",
     ANSWERS},
    {"funnel",
     "\"steps\":[\"visit\",\"cart\"],\"exclusions\":[{\"event\":\"view\"}],\"window\":\"30d\","
     "\"breakdown\":{\"by\":\"channel\"}",
     ANSWERS},
    {"funnel", "\"steps\":[\"visit\",\"cart\"],\"hold\":\"plan\",\"window\":\"20d\"", ANSWERS},
    {"funnel", "\"steps\":[\"signup\",\"cart\"]", ANSWERS},
    {"sequence", "\"steps\":[\"visit\",\"cart\"],\"pattern\":\"(?1).*(?2)\",\"examples\":3",
     ANSWERS},
    {"sequence", "\"steps\":[\"cart\",\"view\"],\"pattern\":\".*\",\"compare\":\"previous\"",
     ANSWERS},
    {"retention", "", ANSWERS},
    {"retention", "\"start\":\"cart\",\"return\":\"Order Completed\",\"unit\":\"week\"", ANSWERS},
    {"retention", "\"start\":\"cart\",\"where\":[{\"channel\":\"app\"}],\"unbounded\":true",
     ANSWERS},
    {"retention",
     "\"start\":{\"event\":\"view\",\"where\":[{\"property\":\"price\",\"op\":\">\",\"value\":20}]"
     "}",
     ANSWERS},
    {"retention", "\"cohort\":\"any\",\"unit\":\"month\",\"periods\":2,\"closed\":true", ANSWERS},
    {"paths", "", ANSWERS},
    {"paths", "\"start\":\"view\",\"cross_channel\":true,\"gap\":\"9d\",\"top\":3", ANSWERS},
    {"paths", "\"end\":\"Order Completed\",\"gap\":\"9d\"", ANSWERS},
    {"cohort", "", ANSWERS},
    {"cohort", "\"order\":\"cart\",\"unit\":\"week\"", ANSWERS},
    {"attribution", "\"models\":[\"last\",\"first\",\"linear\",\"decay\",\"markov\"]", ANSWERS},
    {"attribution", "\"conversion\":\"cart\",\"lookback\":\"40d\",\"by\":\"campaign\"", ANSWERS},
    {"attribution",
     "\"conversion\":\"cart\",\"touches\":[{\"type\":\"click\",\"event\":\"view\",\"lookback\":"
     "\"60d\"},{\"type\":\"visit\",\"event\":\"visit\"}]",
     ANSWERS},
    {"rfm", "", ANSWERS},
    {"rfm", "\"clean\":true", ANSWERS},
    {"kmeans", "\"k\":3", ANSWERS},
    {"clv", "", DEPENDS},
    {"weekly", "\"lang\":\"en\"", ANSWERS},
    {"weekly", "\"lang\":\"zh\",\"steps\":[\"view\",\"cart\"],\"where\":[{\"channel\":\"web\"}]",
     ANSWERS},
};

static void windows_compare(struct world *world, const char *window, bool closely)
{
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        char question[512];
        struct buf json;
        struct err err;
        snprintf(question, sizeof question, "{%s%s%s}", window,
                 window[0] != '\0' && questions[i].question[0] != '\0' ? "," : "",
                 questions[i].question);
        compare(world, questions[i].name, question, closely);
        buf_init(&json, (size_t)16 << 20);
        enum status status = asked(world, ALL, questions[i].name, question, NULL, &json, &err);
        if (questions[i].how != DEPENDS && (status == ST_OK) != (questions[i].how == ANSWERS))
            fail_msg("%s %s: %s", questions[i].name, question,
                     status == ST_OK ? "answered" : err.message);
        buf_done(&json);
    }
}

static void every_report_says_what_it_would_with_all_in_memory(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 7);
    windows_compare(&world, "\"from\":\"2026-07-01\",\"to\":\"2026-10-29\"", false);
    windows_compare(&world, "\"from\":\"2026-08-03\",\"to\":\"2026-09-14\"", true);
    windows_compare(&world, "\"to\":\"2026-09-14\"", false); /* customers: of all time */
    world_close(&world);
}

/* --- what stays in the memory ----------------------------------------------------------------- */

static void source_is(struct world *world, int who, const char *name, const char *question,
                      const char *source)
{
    struct buf json;
    struct err err;
    yyjson_doc *doc = NULL;
    buf_init(&json, (size_t)16 << 20);
    must(asked(world, who, name, question, NULL, &json, &err), &err);
    must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
    assert_true(str_is(json_member_str(yyjson_doc_get_root(doc), "source"), source));
    assert_null(yyjson_obj_get(yyjson_doc_get_root(doc), "complete_from"));
    yyjson_doc_free(doc);
    buf_done(&json);
}

static void what_the_memory_has_whole_is_not_read_again(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 8);
    source_is(&world, NEWEST, "trend", "{\"from\":\"2026-10-26\"}", "memory");
    source_is(&world, NEWEST, "paths", "{\"from\":\"2026-10-26\"}", "memory");
    source_is(&world, NEWEST, "funnel", "{\"from\":\"2026-10-26\",\"steps\":[\"visit\",\"cart\"]}",
              "memory");
    /* These look back further than their window says. */
    source_is(&world, NEWEST, "stickiness", "{\"from\":\"2026-10-10\"}", "warehouse");
    source_is(&world, NEWEST, "retention", "{\"from\":\"2026-10-10\"}", "warehouse");
    source_is(&world, NEWEST, "trend", "{\"from\":\"2026-07-01\"}", "warehouse");
    source_is(&world, NOTHING, "trend", "{\"from\":\"2026-10-26\"}", "warehouse");
    world_close(&world);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void refused(struct world *world, const char *name, const char *question,
                    const struct live_run *run, enum status status, const char *words)
{
    struct buf json;
    struct err err = {0};
    buf_init(&json, (size_t)16 << 20);
    enum status got = asked(world, NEWEST, name, question, run, &json, &err);
    assert_int_equal(json.n, 0);
    if (got != status || (strstr(err.message, words) == NULL && strstr(err.hint, words) == NULL))
        fail_msg("not %d \"%s\" but %d %s (%s)", status, words, got, err.message, err.hint);
    buf_done(&json);
}

static void what_does_not_fit_is_an_error_and_what_fits_is_whole(void **state)
{
    (void)state;
    struct world world;
    static const char whole[] = "{\"from\":\"2026-07-01\"}";
    static const char few[] = "{\"from\":\"2026-07-01\",\"event\":\"Order Completed\"}";
    world_open(&world, 9);
    for (int i = 0; i < 3; i++)
        live_close(world.lives[i]);
    lives_open(&world, (size_t)40 << 10); /* of 2,600 events some 1,000 */
    refused(&world, "trend", whole, NULL, ST_TOO_LARGE, "too many of them");
    refused(&world, "trend", whole, NULL, ST_TOO_LARGE, "a larger --timeline-mb");
    refused(&world, "lifecycle", "{\"where\":[{\"property\":\"plan\",\"value\":\"pro\"}]}", NULL,
            ST_TOO_LARGE, "a shorter window");
    source_is(&world, NEWEST, "trend", few, "warehouse");
    compare(&world, "trend", few, false);
    /* One event of each visitor says who was there before. */
    source_is(&world, NEWEST, "lifecycle", "{\"from\":\"2026-10-26\"}", "warehouse");
    world_close(&world);
}

static bool stop_now = true;

static void reading_ends_with_the_time_and_at_a_wish(void **state)
{
    (void)state;
    struct world world;
    static const char whole[] = "{\"from\":\"2026-07-01\"}";
    world_open(&world, 10);
    refused(&world, "trend", whole, &(struct live_run){.limit_us = 1}, ST_TIMEOUT, "time limit");
    refused(&world, "trend", whole,
            &(struct live_run){.limit_us = 600 * US_PER_S, .cancel = &stop_now}, ST_BUSY,
            "cancelled");
    source_is(&world, NEWEST, "trend", whole, "warehouse"); /* and the next one has its turn */
    world_close(&world);
}

static void one_question_after_the_other(void **state)
{
    (void)state;
    struct world world;
    static const char whole[] = "{\"from\":\"2026-07-01\"}";
    world_open(&world, 11);
    world.lives[NEWEST]->turns.taken = true; /* somebody else's */
    refused(&world, "trend", whole, &(struct live_run){.limit_us = 1}, ST_BUSY, "another question");
    refused(&world, "trend", whole,
            &(struct live_run){.limit_us = 600 * US_PER_S, .cancel = &stop_now}, ST_BUSY,
            "cancelled");
    source_is(&world, NEWEST, "paths", "{\"from\":\"2026-10-26\"}", "memory"); /* waits not */
    world.lives[NEWEST]->turns.taken = false;
    source_is(&world, NEWEST, "trend", whole, "warehouse");
    world_close(&world);
}

/* --- the erased ------------------------------------------------------------------------------- */

static void an_erased_person_is_in_no_older_number(void **state)
{
    (void)state;
    struct world world;
    struct err err;
    static const char question[] = "{\"from\":\"2026-07-01\",\"unit\":\"month\"}";
    world_open(&world, 12);
    uint64_t visitors[VISITORS];
    size_t count = 0;
    for (uint32_t i = 0; i < VISITORS; i++)
        if (world.owner[i] == world.owner[3] || world.owner[i] == world.owner[4])
            visitors[count++] = id_of(i);
    timeline_erase(world.all, visitors, count);
    timeline_erase(world.newest, visitors, count);
    must(warehouse_erase(world.warehouse, visitors, count, NULL, 0, &err), &err);
    compare(&world, "trend", question, true);
    compare(&world, "rfm", "{}", true);
    /* What still comes for one of them is dropped here as it is in the memory. */
    event_add(&world, 3, "visit", at("2026-07-09T00:00:00Z"));
    must(warehouse_commit(world.warehouse, world.position, at("2026-11-01T00:00:00Z"), &err), &err);
    timeline_commit(world.all, world.position);
    timeline_commit(world.newest, world.position);
    compare(&world, "trend", question, true);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_report_says_what_it_would_with_all_in_memory),
        cmocka_unit_test(what_the_memory_has_whole_is_not_read_again),
        cmocka_unit_test(what_does_not_fit_is_an_error_and_what_fits_is_whole),
        cmocka_unit_test(reading_ends_with_the_time_and_at_a_wish),
        cmocka_unit_test(one_question_after_the_other),
        cmocka_unit_test(an_erased_person_is_in_no_older_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
