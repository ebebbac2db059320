/* live_people_test.c - reports on customers and on what earned their orders: numbers by hand, parts
 * that add up to the whole, and the people of each number. */
#include "analytics/live.h"

#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/rng.h"
#include "base/when.h"

struct world {
    struct timeline *timeline;
    struct live *live;
    struct clock clock;
    uint64_t position;
};

/* --- the world -------------------------------------------------------------------------------- */

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

static void world_open(struct world *world, const char *now)
{
    struct err err;
    *world = (struct world){.position = 64};
    clock_init_virtual(&world->clock, at(now));
    struct timeline_options options = {.memory_bytes = (size_t)256 << 20, .threads = 1};
    struct timeline_stats stats = {0};
    timeline_open(&options, &world->timeline);
    for (timeline_stats(world->timeline, &stats); !stats.ready;) {
        sched_yield();
        timeline_stats(world->timeline, &stats);
    }
    struct live_options live = {
        .timeline = world->timeline, .clock = &world->clock, .zone = "UTC", .threads = 2};
    must(live_open(&live, &world->live, &err), &err);
}

static void world_close(struct world *world)
{
    live_close(world->live);
    timeline_close(world->timeline);
}

static uint64_t id_of(uint64_t person)
{
    return (person + 1) << 10;
}

static void add_at(struct world *world, uint64_t person, const char *name, int64_t time_us,
                   const char *channel, const char *campaign, double amount)
{
    struct timeline_event event = {.position = ++world->position,
                                   .visitor = id_of(person),
                                   .person = id_of(person),
                                   .time_us = time_us,
                                   .name = str_of(name),
                                   .channel = str_of(channel),
                                   .campaign = str_of(campaign),
                                   .has_amount = amount != 0,
                                   .amount_micros = llround(amount * 1e6)};
    timeline_add_event(world->timeline, &event);
}

static void add(struct world *world, uint64_t person, const char *name, const char *time,
                const char *channel, double amount)
{
    add_at(world, person, name, at(time), channel, "", amount);
}

static yyjson_doc *asked(struct world *world, const char *name, const char *question,
                         struct err *err)
{
    yyjson_doc *doc = NULL, *parsed = NULL;
    struct buf json;
    struct err ignored;
    struct live_run run = {.after = world->position + 1};
    timeline_commit(world->timeline, world->position + 1);
    buf_init(&json, (size_t)64 << 20);
    must(json_parse(NULL, str_of(question), &parsed, &ignored), &ignored);
    enum status status =
        live_report(world->live, str_of(name), yyjson_doc_get_root(parsed), &run, &json, err);
    if (status == ST_OK)
        must(json_parse(NULL, buf_view(&json), &doc, &ignored), &ignored);
    yyjson_doc_free(parsed);
    buf_done(&json);
    return doc;
}

static yyjson_doc *ask(struct world *world, const char *name, const char *question)
{
    struct err err;
    yyjson_doc *doc = asked(world, name, question, &err);
    if (doc == NULL)
        print_error("%s (%s)\n", err.message, err.hint);
    assert_non_null(doc);
    return doc;
}

static void refused(struct world *world, const char *name, const char *question, enum status status,
                    const char *words)
{
    struct err err = {0};
    yyjson_doc *doc = asked(world, name, question, &err);
    assert_null(doc);
    if (strstr(err.message, words) == NULL && strstr(err.hint, words) == NULL)
        fail_msg("\"%s\" not in: %s (%s)", words, err.message, err.hint);
    assert_int_equal(err.status, status);
}

static yyjson_val *member(yyjson_doc *doc, const char *name)
{
    return yyjson_obj_get(yyjson_doc_get_root(doc), name);
}

/* The object of a list whose member is this text. */
static yyjson_val *where(yyjson_doc *doc, const char *list, const char *key, const char *text)
{
    size_t i, max;
    yyjson_val *object;
    yyjson_arr_foreach(member(doc, list), i, max, object)
    {
        if (str_is(json_str(yyjson_obj_get(object, key)), text))
            return object;
    }
    fail_msg("no %s = %s in %s", key, text, list);
    return NULL;
}

static double number(yyjson_val *object, const char *name)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    if (!yyjson_is_num(value))
        fail_msg("%s is no number", name);
    return yyjson_get_num(value);
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-6 * fmax(1, fabs(want))))
        fail_msg("%.12g is not %.12g", got, want);
}

/* How many people a cell opens. */
static size_t opens(struct world *world, yyjson_val *object, const char *name)
{
    struct err err;
    struct live_run run = {.after = world->position + 1};
    uint64_t *people;
    size_t count;
    struct str cell = json_str(yyjson_obj_get(object, name));
    assert_true(cell.n > 0);
    must(live_cell_people(world->live, cell, &run, &people, &count, &err), &err);
    free(people);
    return count;
}

/* --- attribution ------------------------------------------------------------------------------ */

/* Person 1: ads, mail, then orders; 2: mail only, orders; 3: ads, no order; 4: orders untouched. */
static void four_people(struct world *world)
{
    world_open(world, "2026-11-24T10:00:00Z");
    add(world, 1, "Ad Clicked", "2026-11-02T10:00:00Z", "ads", 0);
    add(world, 1, "Email Link Clicked", "2026-11-04T10:00:00Z", "mail", 0);
    add(world, 1, "Order Completed", "2026-11-05T10:00:00Z", "web", 100);
    add(world, 2, "Email Link Clicked", "2026-11-06T10:00:00Z", "mail", 0);
    add(world, 2, "Email Link Clicked", "2026-11-06T10:10:00Z", "mail", 0); /* the same visit */
    add(world, 2, "Order Completed", "2026-11-07T10:00:00Z", "web", 50);
    add(world, 3, "Ad Clicked", "2026-11-08T10:00:00Z", "ads", 0);
    add(world, 4, "Order Completed", "2026-11-09T10:00:00Z", "web", 10);
}

static void every_model_shares_out_the_same_conversions(void **state)
{
    (void)state;
    struct world world;
    four_people(&world);
    yyjson_doc *doc = ask(&world, "attribution",
                          "{\"from\":\"2026-11-01\",\"to\":\"2026-11-20\",\"models\":[\"last\","
                          "\"first\",\"linear\",\"decay\",\"position\",\"shapley\",\"markov\"]}");
    yyjson_val *ads = where(doc, "rows", "channel", "ads");
    yyjson_val *mail = where(doc, "rows", "channel", "mail"), *root = yyjson_doc_get_root(doc);
    near(number(ads, "last_conversions"), 0);
    near(number(mail, "last_value"), 150);
    near(number(ads, "first_conversions"), 1);
    near(number(ads, "first_value"), 100);
    near(number(ads, "linear_value"), 50);
    near(number(ads, "shapley_conversions"), 0.5);
    double young = 1 / (1 + exp2(-2.0 / 7)); /* two days apart, half-life 7 days */
    near(number(ads, "decay_conversions"), 1 - young);
    near(number(ads, "decay_value") + number(mail, "decay_value"), 150);
    near(number(ads, "markov_conversions") + number(mail, "markov_conversions"), 2);
    near(number(root, "conversions"), 3);
    near(number(root, "conversions_with_touch"), 2);
    near(number(root, "nulls"), 1);
    near(number(root, "new_customers"), 3);
    near(number(root, "cross_channel_rate"), 0.5);
    near(number(root, "time_to_convert_median_days"), 2);
    near(number(mail, "touches"), 2);
    near(number(where(doc, "left_out", "reason", "no_touch"), "conversions"), 1);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_channel_opens_who_converted_and_who_it_assisted(void **state)
{
    (void)state;
    struct world world;
    four_people(&world);
    yyjson_doc *doc = ask(&world, "attribution", "{\"from\":\"2026-11-01\",\"to\":\"2026-11-20\"}");
    yyjson_val *ads = where(doc, "rows", "channel", "ads");
    yyjson_val *mail = where(doc, "rows", "channel", "mail");
    near(number(ads, "people"), 1);
    near(number(ads, "assisted_people"), 1);
    near(number(mail, "people"), 2);
    near(number(mail, "assisted_people"), 0);
    assert_int_equal(opens(&world, mail, "cell"), 2);
    assert_int_equal(opens(&world, ads, "cell"), 1);
    assert_int_equal(opens(&world, where(doc, "assists", "channel", "ads"), "cell"), 1);
    assert_int_equal(opens(&world, yyjson_doc_get_root(doc), "cell"), 3);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_touch_counts_within_its_look_back_only(void **state)
{
    (void)state;
    struct world world;
    four_people(&world);
    yyjson_doc *doc = ask(&world, "attribution",
                          "{\"from\":\"2026-11-01\",\"to\":\"2026-11-20\","
                          "\"models\":[\"first\"],\"lookback\":{\"click\":\"2d\"}}");
    near(number(where(doc, "rows", "channel", "mail"), "conversions"), 2);
    yyjson_doc_free(doc);
    doc = ask(&world, "attribution",
              "{\"from\":\"2026-11-01\",\"to\":\"2026-11-20\",\"touches\":[{\"type\":\"view\","
              "\"event\":\"Ad Clicked\"}],\"lookback\":\"10d\",\"models\":[\"first\"]}");
    near(number(where(doc, "rows", "channel", "ads"), "conversions"), 1);
    near(number(where(doc, "touch_types", "kind", "view"), "touches"), 1);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void costs_are_per_new_customer_conversion_and_spend(void **state)
{
    (void)state;
    struct world world;
    four_people(&world);
    add(&world, 2, "Email Link Clicked", "2026-11-10T10:00:00Z", "mail", 0);
    add(&world, 2, "Order Completed", "2026-11-11T10:00:00Z", "web", 30); /* not new any more */
    yyjson_doc *doc = ask(&world, "attribution",
                          "{\"from\":\"2026-11-01\",\"to\":\"2026-11-20\",\"costs\":["
                          "{\"channel\":\"mail\",\"spend\":60},{\"channel\":\"tv\",\"spend\":9}]}");
    yyjson_val *mail = where(doc, "costs", "channel", "mail");
    near(number(mail, "cpa"), 20);
    near(number(mail, "cac"), 30);
    near(number(mail, "roas"), 3);
    near(number(mail, "roi"), 2);
    near(number(where(doc, "left_out", "reason", "spend_of_unknown_channel"), "rows"), 1);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void wrong_questions_name_the_member(void **state)
{
    (void)state;
    struct world world;
    four_people(&world);
    refused(&world, "attribution", "{\"models\":[\"best\"]}", ST_INVALID, "models");
    refused(&world, "attribution", "{\"touches\":[{\"type\":\"smell\"}]}", ST_INVALID, "type");
    refused(&world, "attribution", "{\"conversion\":\"Ordr Completed\"}", ST_NOT_FOUND,
            "Order Completed");
    refused(&world, "attribution", "{\"position\":[1,2]}", ST_INVALID, "position");
    refused(&world, "attribution", "{\"costs\":[{\"channel\":\"ads\"}]}", ST_INVALID, "spend");
    refused(&world, "attribution", "{\"lookback\":\"500d\"}", ST_INVALID, "look-back");
    refused(&world, "cohort", "{\"unit\":\"year\"}", ST_INVALID, "unit");
    refused(&world, "rfm", "{\"bins\":1}", ST_INVALID, "bins");
    refused(&world, "rfm", "{\"from\":\"2026-11-20\",\"to\":\"2026-11-21\"}", ST_INVALID, "order");
    refused(&world, "weekly", "{\"lang\":\"fr\"}", ST_INVALID, "lang");
    refused(&world, "weekly", "{\"compare\":\"previous\"}", ST_INVALID, "compare");
    world_close(&world);
}

/* --- attribution against a naive reading ------------------------------------------------------ */

#define PEOPLE 300
#define CHANNELS 6

/* The linear model, straight from the rule: each person's touches since the conversion before. */
static void random_journeys_are_what_a_naive_reading_says(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    double credit[CHANNELS] = {0}, through[CHANNELS] = {0}, nulls = 0;
    world_open(&world, "2026-11-24T10:00:00Z");
    rng_init_seed(&rng, 5);
    int64_t start = at("2026-09-01");
    for (uint64_t person = 0; person < PEOPLE; person++) {
        int64_t times[64];
        uint32_t channels[64];
        size_t count = 0;
        int64_t time = start + (int64_t)(rng_u64(&rng) % 30) * US_PER_DAY;
        int64_t from = at("2026-10-01"), to = at("2026-11-11");
        bool seen[CHANNELS] = {0};
        for (int i = 0; i < 40; i++) {
            /* never within the gap, so no two are one */
            time += 3600 * US_PER_S + (int64_t)(rng_u64(&rng) % 200) * 3600 * US_PER_S;
            uint32_t channel = (uint32_t)(rng_u64(&rng) % CHANNELS);
            char name[16];
            if (time >= to)
                break;
            snprintf(name, sizeof name, "c%u", channel);
            if (rng_u64(&rng) % 5 != 0) {
                add_at(&world, person, "Ad Clicked", time, name, "", 0);
                times[count] = time;
                channels[count++] = channel;
                continue;
            }
            add_at(&world, person, "Order Completed", time, "web", "", 1);
            size_t first = 0;
            while (first < count && time - times[first] > 30 * US_PER_DAY)
                first++;
            for (size_t j = first; j < count && time >= from; j++) {
                credit[channels[j]] += 1 / (double)(count - first);
                through[channels[j]] += !seen[channels[j]];
                seen[channels[j]] = true;
            }
            count = 0;
        }
        nulls += count > 0 && times[count - 1] >= from;
    }
    yyjson_doc *doc = ask(&world, "attribution",
                          "{\"from\":\"2026-10-01\",\"to\":\"2026-11-10\","
                          "\"models\":[\"linear\"]}");
    for (uint32_t c = 0; c < CHANNELS; c++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", c);
        yyjson_val *row = where(doc, "rows", "channel", name);
        near(number(row, "conversions"), credit[c]);
        near(number(row, "people"), through[c]);
        assert_int_equal(opens(&world, row, "cell"), (size_t)through[c]);
    }
    near(number(yyjson_doc_get_root(doc), "nulls"), nulls);
    yyjson_doc_free(doc);
    world_close(&world);
}

/* --- customers -------------------------------------------------------------------------------- */

static void a_cohort_s_revenue_adds_up_period_by_period(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "2026-11-24T10:00:00Z");
    add(&world, 1, "Order Completed", "2026-08-05T10:00:00Z", "web", 100);
    add(&world, 1, "Order Completed", "2026-10-05T10:00:00Z", "web", 20);
    add(&world, 2, "Order Completed", "2026-08-31T23:59:59Z", "web", 50);
    add(&world, 3, "Order Completed", "2026-09-01T00:00:00Z", "web", 7);
    add(&world, 3, "Order Completed", "2026-09-02T00:00:00Z", "web", 8);
    yyjson_doc *doc = ask(&world, "cohort", "{}");
    yyjson_val *august = where(doc, "rows", "cohort", "2026-08-01");
    near(number(august, "people"), 2);
    near(number(august, "revenue"), 170);
    near(number(august, "arpu"), 85);
    yyjson_val *third = yyjson_arr_get(member(doc, "periods"), 2);
    near(number(third, "period"), 2);
    near(number(third, "buyers"), 1);
    near(number(third, "cumulative_arpu"), 85);
    near(number(yyjson_arr_get(member(doc, "periods"), 1), "cumulative_revenue"), 150);
    assert_int_equal(opens(&world, august, "cell"), 2);
    assert_int_equal(opens(&world, third, "cell"), 1);
    yyjson_doc_free(doc);
    /* Whose first order was before the window is nobody's cohort. */
    doc = ask(&world, "cohort", "{\"from\":\"2026-09-01\",\"to\":\"2026-10-31\"}");
    near(number(yyjson_doc_get_root(doc), "customers"), 1);
    near(number(where(doc, "left_out", "reason", "first_order_before_window"), "people"), 2);
    yyjson_doc_free(doc);
    world_close(&world);
}

/* Customers with rates of their own. */
static void shop(struct world *world)
{
    struct rng rng;
    world_open(world, "2026-11-24T10:00:00Z");
    rng_init_seed(&rng, 9);
    for (uint64_t person = 0; person < 400; person++) {
        double gap = 3 + (double)(rng_u64(&rng) % 1000) / 10;
        double time = (double)(rng_u64(&rng) % 200), end = time + (double)(rng_u64(&rng) % 300);
        double money = 5 + (double)(rng_u64(&rng) % 100);
        for (; time <= end && time < 320; time += gap * (0.2 + (double)(rng_u64(&rng) % 16) / 10))
            add_at(world, person, "Order Completed",
                   at("2026-01-01T12:00:00Z") + (int64_t)(time * 86400) * US_PER_S, "web", "",
                   money + (double)(rng_u64(&rng) % 20));
    }
}

/* Every customer stands in exactly one row, and its cell opens as many as it says. */
static void rows_part_the_customers(struct world *world, const char *report, const char *question)
{
    yyjson_doc *doc = ask(world, report, question);
    size_t i, max, sum = 0;
    yyjson_val *row;
    yyjson_arr_foreach(member(doc, "rows"), i, max, row)
    {
        size_t people = opens(world, row, "cell");
        assert_int_equal(people, (size_t)number(row, "customers"));
        sum += people;
    }
    assert_int_equal(sum, (size_t)number(yyjson_doc_get_root(doc), "customers"));
    assert_true(sum > 300);
    yyjson_doc_free(doc);
}

static void segments_clusters_and_tenths_part_the_customers(void **state)
{
    (void)state;
    struct world world;
    shop(&world);
    rows_part_the_customers(&world, "rfm", "{}");
    rows_part_the_customers(&world, "kmeans", "{\"k\":4}");
    rows_part_the_customers(&world, "kmeans", "{}");
    rows_part_the_customers(&world, "clv", "{}");
    yyjson_doc *doc = ask(&world, "rfm", "{}");
    size_t i, max;
    yyjson_val *cell;
    yyjson_arr_foreach(member(doc, "grid"), i, max, cell)
    {
        assert_int_equal(opens(&world, cell, "cell"), (size_t)number(cell, "customers"));
    }
    yyjson_doc_free(doc);
    world_close(&world);
}

/* --- the week --------------------------------------------------------------------------------- */

/* Monday of week w, counted back from the last finished one: 8 is the week told of. */
static int64_t week_start(int w)
{
    return at("2026-11-16T00:00:00Z") + (int64_t)(w - 8) * 7 * US_PER_DAY;
}

static void says(yyjson_doc *doc, const char *words)
{
    const char *text = yyjson_get_str(member(doc, "text"));
    if (strstr(text, words) == NULL)
        fail_msg("\"%s\" is not in:\n%s", words, text);
}

/* In each week `visitors` of a channel, of whom every `nth` orders for 10; `campaign` of the order.
 */
static void week_add(struct world *world, int w, const char *channel, const char *campaign,
                     uint64_t base, int visitors, int nth)
{
    for (int i = 0; i < visitors; i++) {
        int64_t time = week_start(w) + (i % 7) * US_PER_DAY + i * US_PER_S;
        add_at(world, base + (uint64_t)i, "Product Viewed", time, channel, campaign, 0);
        if (i % nth == 0)
            add_at(world, base + (uint64_t)i, "Order Completed", time + US_PER_S, channel, "", 10);
    }
}

/* Contributions of a figure by one kind of parts. */
static double contributions(yyjson_doc *doc, const char *metric, const char *by)
{
    double sum = 0;
    size_t i, max, n = 0;
    yyjson_val *fact;
    yyjson_arr_foreach(member(doc, "facts"), i, max, fact)
    {
        if (!str_is(json_str(yyjson_obj_get(fact, "fact")), "contribution") ||
            !str_is(json_str(yyjson_obj_get(fact, "metric")), metric) ||
            !str_is(json_str(yyjson_obj_get(fact, "by")), by))
            continue;
        sum += number(fact, "contribution");
        n++;
    }
    assert_true(n > 0);
    return sum;
}

static yyjson_val *contribution(yyjson_doc *doc, const char *metric, const char *by,
                                const char *name)
{
    size_t i, max;
    yyjson_val *fact;
    yyjson_arr_foreach(member(doc, "facts"), i, max, fact)
    {
        if (str_is(json_str(yyjson_obj_get(fact, "metric")), metric) &&
            str_is(json_str(yyjson_obj_get(fact, "by")), by) &&
            str_is(json_str(yyjson_obj_get(fact, "name")), name))
            return fact;
    }
    fail_msg("no contribution of %s %s to %s", by, name, metric);
    return NULL;
}

static void everything_adds_up(yyjson_doc *doc)
{
    static const char *const pairs[][2] = {{"people", "channel"},     {"new_people", "channel"},
                                           {"orders", "channel"},     {"revenue", "channel"},
                                           {"conversion", "channel"}, {"orders", "campaign"},
                                           {"revenue", "campaign"},   {"orders", "customer"},
                                           {"revenue", "customer"},   {"revenue", "step"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        near(contributions(doc, pairs[i][0], pairs[i][1]),
             number(where(doc, "rows", "metric", pairs[i][0]), "change"));
}

static bool moved(yyjson_doc *doc, const char *metric)
{
    return yyjson_get_bool(yyjson_obj_get(where(doc, "rows", "metric", metric), "beyond_noise"));
}

static void a_quiet_week_is_called_quiet(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "2026-11-24T10:00:00Z");
    for (int w = 0; w <= 8; w++) {
        week_add(&world, w, "web", "", 0, 400 + w % 3, 5);
        week_add(&world, w, "app", "autumn", 1000, 200 - w % 2, 4);
    }
    yyjson_doc *doc = ask(&world, "weekly", "{\"lang\":\"en\"}");
    says(doc, "Nothing moved");
    says(doc, "Week 2026-11-16 to 2026-11-22");
    says(doc, "nothing in particular");
    assert_false(moved(doc, "revenue"));
    everything_adds_up(doc);
    yyjson_doc_free(doc);
    doc = ask(&world, "weekly", "{}");
    says(doc, "都在前 8 周的正常波动范围内");
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_channel_that_lost_its_visitors_is_named(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "2026-11-24T10:00:00Z");
    for (int w = 0; w <= 8; w++) {
        week_add(&world, w, "web", "", 0, 400, 5);
        week_add(&world, w, "app", "autumn", 1000, w == 8 ? 20 : 400, 4);
    }
    yyjson_doc *doc = ask(&world, "weekly", "{\"lang\":\"en\"}");
    yyjson_val *revenue = where(doc, "rows", "metric", "revenue");
    near(number(revenue, "usual"), 1800);
    near(number(revenue, "change"), -950);
    assert_true(moved(doc, "revenue"));
    assert_true(moved(doc, "people"));
    near(number(contribution(doc, "revenue", "channel", "app"), "contribution"), -950);
    near(number(contribution(doc, "revenue", "campaign", "autumn"), "share_of_change"), 1);
    everything_adds_up(doc);
    says(doc, "channel app");
    says(doc, "campaign autumn");
    says(doc, "number of visitors");
    assert_int_equal(opens(&world, contribution(doc, "revenue", "channel", "app"), "cell"), 5);
    assert_int_equal(opens(&world, where(doc, "rows", "metric", "people"), "cell"), 420);
    assert_int_equal(opens(&world, where(doc, "rows", "metric", "orders"), "cell"), 85);
    assert_int_equal(opens(&world, where(doc, "rows", "metric", "new_people"), "cell"), 0);
    yyjson_doc_free(doc);
    doc = ask(&world, "weekly", "{\"lang\":\"zh\"}");
    says(doc, "渠道 app");
    says(doc, "下降超出正常波动");
    yyjson_doc_free(doc);
    world_close(&world);
}

static void a_step_that_broke_is_named(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "2026-11-24T10:00:00Z");
    for (int w = 0; w <= 8; w++) /* as many visitors as ever, a fifth of the orders */
        week_add(&world, w, "web", "", 0, 600, w == 8 ? 20 : 4);
    yyjson_doc *doc = ask(&world, "weekly", "{\"lang\":\"en\"}");
    everything_adds_up(doc);
    near(number(contribution(doc, "revenue", "step", "Order Completed"), "contribution"), -1200);
    near(number(contribution(doc, "revenue", "step", "people"), "contribution"), 0);
    says(doc, "the step that moved the revenue most: share that reaches \"Order Completed\"");
    yyjson_val *web = contribution(doc, "conversion", "channel", "web");
    near(number(web, "mix_effect"), 0);
    near(number(web, "rate_effect"), -0.2);
    yyjson_doc_free(doc);
    world_close(&world);
}

static void another_mix_is_not_another_rate(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "2026-11-24T10:00:00Z");
    for (int w = 0; w <= 8; w++) { /* each channel converts as ever: 1 in 2 and 1 in 10 */
        week_add(&world, w, "shop", "", 0, w == 8 ? 100 : 500, 2);
        week_add(&world, w, "web", "", 1000, w == 8 ? 900 : 500, 10);
    }
    yyjson_doc *doc = ask(&world, "weekly", "{\"lang\":\"en\"}");
    near(number(where(doc, "rows", "metric", "conversion"), "usual"), 0.3);
    near(number(where(doc, "rows", "metric", "conversion"), "value"), 0.14);
    near(number(contribution(doc, "conversion", "channel", "shop"), "rate_effect"), 0);
    near(number(contribution(doc, "conversion", "channel", "web"), "rate_effect"), 0);
    everything_adds_up(doc);
    says(doc, "Another mix of channels: -16.00 points");
    assert_false(moved(doc, "people"));
    yyjson_doc_free(doc);
    world_close(&world);
}

static void too_little_history_is_said_and_not_judged(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "2026-11-24T10:00:00Z");
    for (int w = 6; w <= 8; w++)
        week_add(&world, w, "web", "", 0, 100, 5);
    yyjson_doc *doc = ask(&world, "weekly", "{\"lang\":\"en\"}");
    says(doc, "Only 2 finished weeks");
    assert_false(yyjson_get_bool(member(doc, "enough_history")));
    near(number(where(doc, "rows", "metric", "orders"), "value"), 20);
    assert_int_equal(yyjson_arr_size(member(doc, "facts")), 5);
    yyjson_doc_free(doc);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_shares_out_the_same_conversions),
        cmocka_unit_test(a_channel_opens_who_converted_and_who_it_assisted),
        cmocka_unit_test(a_touch_counts_within_its_look_back_only),
        cmocka_unit_test(costs_are_per_new_customer_conversion_and_spend),
        cmocka_unit_test(wrong_questions_name_the_member),
        cmocka_unit_test(random_journeys_are_what_a_naive_reading_says),
        cmocka_unit_test(a_cohort_s_revenue_adds_up_period_by_period),
        cmocka_unit_test(segments_clusters_and_tenths_part_the_customers),
        cmocka_unit_test(a_quiet_week_is_called_quiet),
        cmocka_unit_test(a_channel_that_lost_its_visitors_is_named),
        cmocka_unit_test(a_step_that_broke_is_named),
        cmocka_unit_test(another_mix_is_not_another_rate),
        cmocka_unit_test(too_little_history_is_said_and_not_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
