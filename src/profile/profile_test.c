/* profile_test.c - a summary is a function of the set of events, and a person of the set of
 * summaries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/rng.h"
#include "profile/profile_int.h"

/* --- a state for a test ----------------------------------------------------------------------- */

struct world {
    char folder[64];
    char path[96];
    size_t cache_bytes;
    struct state *state;
    struct profile *profile;
    struct arena arena;
    uint64_t visitor;
};

static void world_enter(struct world *world)
{
    struct err err;
    const struct state_options options = {.path = world->path, .cache_bytes = world->cache_bytes};
    assert_int_equal(state_open(&options, &world->state, &err), ST_OK);
    assert_int_equal(profile_open(world->state, &world->profile, &err), ST_OK);
    state_lock(world->state);
}

static void world_leave(struct world *world)
{
    state_unlock(world->state);
    profile_close(world->profile);
    state_close(world->state);
}

static void world_open(struct world *world, size_t cache_bytes)
{
    *world = (struct world){.visitor = 1, .cache_bytes = cache_bytes};
    const char *tmp = getenv("TMPDIR");
    snprintf(world->folder, sizeof world->folder, "%.40s/profile.XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->path, sizeof world->path, "%s/state.db", world->folder);
    arena_init(&world->arena);
    world_enter(world);
}

static void world_done(struct world *world)
{
    world_leave(world);
    arena_done(&world->arena);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", world->path, ends[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(world->folder), 0);
}

static void world_flush(struct world *world)
{
    struct err err;
    state_unlock(world->state);
    assert_int_equal(state_note(world->state, &err), ST_OK);
    state_seal(world->state);
    assert_int_equal(state_merge(world->state, &err), ST_OK);
    assert_int_equal(state_checkpoint(world->state, false, &err), ST_OK);
    state_lock(world->state);
    state_breathe(world->state);
}

/* --- events ----------------------------------------------------------------------------------- */

struct said {
    enum event_type type;
    enum event_operation operation;
    const char *name;
    int64_t time_us;
    const char *properties;
    int64_t amount; /* micros; 0 = none */
};

static struct profile_trait_change *changes;
static size_t changes_count;

static void say_to(struct world *world, uint64_t visitor, const struct said *said, size_t number)
{
    char id[32];
    snprintf(id, sizeof id, "m%zu", number);
    struct clean_event event = {.verdict = CLEAN_STORED,
                                .position = 100 + number,
                                .time_us = said->time_us,
                                .message = hash_public(str_of(id)),
                                .has_amount = said->amount != 0,
                                .amount_micros = said->amount};
    event.event.type = said->type;
    event.event.operation = said->operation;
    event.event.name = str_of(said->name);
    event.event.channel = STR("web");
    yyjson_doc *doc = NULL;
    if (said->properties != NULL) {
        assert_int_equal(json_parse(NULL, str_of(said->properties), &doc, NULL), ST_OK);
        event.properties = yyjson_doc_get_root(doc);
    }
    profile_fold(world->profile, (struct visitor_id){visitor}, &event, &world->arena, &changes,
                 &changes_count);
    yyjson_doc_free(doc);
}

static void say(struct world *world, const struct said *said, size_t number)
{
    say_to(world, world->visitor, said, number);
}

/* name=value;… of a person of these visitors. */
static void traits_text(struct world *world, const struct visitor_id *visitors, size_t count,
                        struct buf *text)
{
    struct profile_view view;
    profile_view(world->profile, visitors, count, &world->arena, &view);
    buf_reset(text);
    for (size_t i = 0; i < view.traits_count; i++) {
        buf_str(text, view.traits[i].name);
        buf_char(text, '=');
        buf_str(text, view.traits[i].value);
        buf_char(text, ';');
    }
}

/* All of a summary as bytes that do not depend on the order of its words. */
static void canonical(const struct summary *summary, struct arena *arena, struct buf *bytes)
{
    struct summary *copy = summary_new(0);
    summary_combine(copy, summary, arena);
    buf_reset(bytes);
    summary_table.encode(&copy->entry, bytes);
    summary_free(copy);
}

static void view_bytes(struct world *world, uint64_t visitor, struct buf *bytes)
{
    struct profile_view view;
    struct visitor_id id = {visitor};
    profile_view(world->profile, &id, 1, &world->arena, &view);
    buf_reset(bytes);
    for (size_t i = 0; i < view.traits_count; i++) {
        buf_blob(bytes, view.traits[i].name);
        buf_blob(bytes, view.traits[i].value);
        buf_u64(bytes, (uint64_t)view.traits[i].time_us);
    }
    for (size_t i = 0; i < view.counters_count; i++) {
        buf_blob(bytes, view.counters[i].name);
        buf_u64(bytes, view.counters[i].count);
        buf_u64(bytes, (uint64_t)view.counters[i].first_us);
        buf_u64(bytes, (uint64_t)view.counters[i].last_us);
    }
    for (size_t i = 0; i < view.events_count; i++) {
        buf_blob(bytes, view.events[i].name);
        buf_u64(bytes, view.events[i].position);
    }
    buf_u64(bytes, view.events_total);
    buf_u64(bytes, view.orders);
    buf_u64(bytes, (uint64_t)view.revenue_micros);
    buf_u64(bytes, (uint64_t)view.first_seen_us);
    buf_u64(bytes, (uint64_t)view.last_seen_us);
}

/* --- operations, in every order --------------------------------------------------------------- */

#define P EVENT_PROFILE
#define SAID_MAX 8

struct operation_story {
    const char *name;
    const char *traits;
    struct said said[SAID_MAX];
};

static const struct operation_story operation_stories[] = {
    {"the latest set wins",
     "city=\"Wuhan\";",
     {{EVENT_IDENTIFY, EVENT_SET, "", 1, "{\"city\":\"Changsha\"}", 0},
      {EVENT_IDENTIFY, EVENT_SET, "", 2, "{\"city\":\"Wuhan\"}", 0}}},
    {"set once fills only what is empty",
     "a=1;b=2;",
     {{P, EVENT_SET_ONCE, "", 1, "{\"a\":1,\"b\":1}", 0},
      {P, EVENT_SET_ONCE, "", 2, "{\"a\":7}", 0},
      {P, EVENT_SET, "", 3, "{\"b\":2}", 0},
      {P, EVENT_SET_ONCE, "", 4, "{\"b\":9}", 0}}},
    {"set once after an unset fills again",
     "a=3;",
     {{P, EVENT_SET_ONCE, "", 1, "{\"a\":1}", 0},
      {P, EVENT_UNSET, "", 2, "{\"a\":true}", 0},
      {P, EVENT_SET_ONCE, "", 3, "{\"a\":3}", 0}}},
    {"increments add to the set before them",
     "n=17.5;",
     {{P, EVENT_INCREMENT, "", 1, "{\"n\":100}", 0},
      {P, EVENT_SET, "", 2, "{\"n\":10}", 0},
      {P, EVENT_INCREMENT, "", 3, "{\"n\":5}", 0},
      {P, EVENT_INCREMENT, "", 4, "{\"n\":2.5}", 0}}},
    {"increments of nothing start at nothing",
     "n=-0.25;",
     {{P, EVENT_INCREMENT, "", 1, "{\"n\":0.5}", 0},
      {P, EVENT_INCREMENT, "", 2, "{\"n\":-0.75}", 0}}},
    {"a text does not become a number",
     "n=\"many\";",
     {{P, EVENT_SET, "", 1, "{\"n\":\"many\"}", 0}, {P, EVENT_INCREMENT, "", 2, "{\"n\":1}", 0}}},
    {"appended values stand once, after the list's own",
     "tags=[\"x\",\"a\",\"b\",3];",
     {{P, EVENT_SET, "", 2, "{\"tags\":[\"x\",\"a\"]}", 0},
      {P, EVENT_APPEND, "", 3, "{\"tags\":[\"a\",\"b\"]}", 0},
      {P, EVENT_APPEND, "", 4, "{\"tags\":3}", 0},
      {P, EVENT_APPEND, "", 1, "{\"tags\":[\"gone\"]}", 0}}},
    {"an unset takes what was before it",
     "b=1;",
     {{P, EVENT_SET, "", 1, "{\"a\":1,\"b\":1}", 0},
      {P, EVENT_INCREMENT, "", 2, "{\"a\":1}", 0},
      {P, EVENT_UNSET, "", 3, "{\"a\":1}", 0}}},
    {"null unsets",
     "",
     {{P, EVENT_SET, "", 1, "{\"a\":1}", 0}, {P, EVENT_SET, "", 2, "{\"a\":null}", 0}}},
    {"a delete takes all that was before it",
     "c=3;",
     {{P, EVENT_SET, "", 1, "{\"a\":1,\"b\":1}", 0},
      {P, EVENT_DELETE, "", 2, NULL, 0},
      {P, EVENT_SET, "", 3, "{\"c\":3}", 0}}},
    {"a group is named, not described",
     "group_id=\"g1\";",
     {{EVENT_GROUP, EVENT_NONE, "", 1, "{\"groupId\":\"g1\",\"name\":\"Acme\"}", 0}}},
    {"a tracked event's properties are no traits",
     "",
     {{EVENT_TRACK, EVENT_NONE, "Viewed", 1, "{\"a\":1}", 0}}},
};

static bool next_order(size_t *order, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && order[i - 1] >= order[i])
        i--;
    if (n < 2 || i == 0)
        return false;
    size_t j = n - 1;
    while (order[j] <= order[i - 1])
        j--;
    size_t swap = order[i - 1];
    order[i - 1] = order[j];
    order[j] = swap;
    for (size_t low = i, high = n - 1; low < high; low++, high--) {
        swap = order[low];
        order[low] = order[high];
        order[high] = swap;
    }
    return true;
}

/* One visitor, then each event a visitor of its own: the same traits. */
static void operations_give_the_same_traits_in_every_order(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct buf text;
    buf_init(&text, 1 << 16);
    for (size_t s = 0; s < sizeof operation_stories / sizeof operation_stories[0]; s++) {
        const struct operation_story *story = &operation_stories[s];
        size_t n = 0, order[SAID_MAX];
        for (; n < SAID_MAX && story->said[n].type != 0; n++)
            order[n] = n;
        do {
            arena_reset(&world.arena);
            struct visitor_id visitors[SAID_MAX];
            struct visitor_id one = {world.visitor++};
            for (size_t i = 0; i < n; i++) {
                say_to(&world, one.v, &story->said[order[i]], order[i]);
                visitors[i].v = world.visitor++;
                say_to(&world, visitors[i].v, &story->said[order[i]], order[i]);
            }
            traits_text(&world, &one, 1, &text);
            assert_string_equal(text.p, story->traits);
            traits_text(&world, visitors, n, &text);
            assert_string_equal(text.p, story->traits);
        } while (next_order(order, n));
    }
    buf_done(&text);
    world_done(&world);
}

static void on_a_tie_the_smaller_message_hash_wins(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct buf text;
    buf_init(&text, 1 << 16);
    const struct said one = {P, EVENT_SET, "", 5, "{\"a\":\"one\"}", 0};
    const struct said two = {P, EVENT_SET, "", 5, "{\"a\":\"two\"}", 0};
    bool first = hash128_compare(hash_public(STR("m1")), hash_public(STR("m2"))) < 0;
    struct visitor_id id = {7};
    say_to(&world, 7, &one, 1);
    say_to(&world, 7, &two, 2);
    traits_text(&world, &id, 1, &text);
    assert_string_equal(text.p, first ? "a=\"one\";" : "a=\"two\";");
    id.v = 8;
    say_to(&world, 8, &two, 2);
    say_to(&world, 8, &one, 1);
    traits_text(&world, &id, 1, &text);
    assert_string_equal(text.p, first ? "a=\"one\";" : "a=\"two\";");
    buf_done(&text);
    world_done(&world);
}

static void changes_name_what_is_different_now(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    say(&world, &(struct said){P, EVENT_SET, "", 10, "{\"a\":1,\"b\":2}", 0}, 1);
    assert_int_equal(changes_count, 2);
    say(&world, &(struct said){P, EVENT_SET, "", 20, "{\"a\":1,\"b\":3}", 0}, 2);
    assert_int_equal(changes_count, 1);
    assert_true(str_is(changes[0].name, "b"));
    assert_true(str_is(changes[0].value, "3"));
    assert_int_equal(changes[0].time_us, 20);
    say(&world, &(struct said){P, EVENT_SET, "", 5, "{\"a\":9}", 0}, 3); /* late: says nothing */
    assert_int_equal(changes_count, 0);
    say(&world, &(struct said){P, EVENT_DELETE, "", 30, NULL, 0}, 4);
    assert_int_equal(changes_count, 2);
    assert_int_equal(changes[0].value.n, 0);
    assert_int_equal(changes[0].time_us, 30);
    say(&world, &(struct said){EVENT_TRACK, EVENT_NONE, "x", 31, "{\"a\":1}", 0}, 5);
    assert_int_equal(changes_count, 0);
    world_done(&world);
}

/* --- counters, orders ------------------------------------------------------------------------- */

static void revenue_is_completed_minus_refunded_and_cancelled(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    const struct said orders[] = {
        {EVENT_TRACK, EVENT_NONE, "Order Completed", 10, NULL, 100000000},
        {EVENT_TRACK, EVENT_NONE, "Order Completed", 20, NULL, 50000000},
        {EVENT_TRACK, EVENT_NONE, "Order Refunded", 30, NULL, 20000000},
        {EVENT_TRACK, EVENT_NONE, "Order Cancelled", 40, NULL, -5000000}, /* either sign */
        {EVENT_IDENTIFY, EVENT_NONE, "Order Completed", 50, NULL, 7000000}};
    for (size_t i = 0; i < 5; i++)
        say(&world, &orders[i], i);
    struct profile_view view;
    struct visitor_id id = {world.visitor};
    profile_view(world.profile, &id, 1, &world.arena, &view);
    assert_int_equal(view.orders, 2);
    assert_int_equal(view.revenue_micros, 125000000);
    assert_int_equal(view.events_total, 5);
    assert_int_equal(view.first_seen_us, 10);
    assert_int_equal(view.last_seen_us, 50);
    assert_int_equal(view.events[0].time_us, 50);
    assert_true(str_is(view.events[0].channel, "web"));
    world_done(&world);
}

static void an_import_of_traits_is_no_visit(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    say(&world, &(struct said){P, EVENT_SET, "", 10, "{\"a\":1}", 0}, 1);
    struct profile_view view;
    struct visitor_id id = {world.visitor};
    profile_view(world.profile, &id, 1, &world.arena, &view);
    assert_int_equal(view.first_seen_us, 0);
    assert_int_equal(view.last_seen_us, 0);
    assert_int_equal(view.events_total, 1);
    world_done(&world);
}

static void the_first_64_names_keep_their_own_counter_in_any_order(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct buf first, again;
    buf_init(&first, 1 << 20);
    buf_init(&again, 1 << 20);
    struct rng rng;
    rng_init_seed(&rng, 5);
    size_t order[300];
    for (size_t i = 0; i < 300; i++)
        order[i] = i;
    for (int run = 0; run < 20; run++) {
        for (size_t i = 0; i < 300; i++) {
            char name[32];
            snprintf(name, sizeof name, "event %03zu", order[i] % 150);
            say(&world, &(struct said){EVENT_TRACK, EVENT_NONE, name, (int64_t)order[i], NULL, 0},
                order[i]);
        }
        view_bytes(&world, world.visitor, run == 0 ? &first : &again);
        if (run > 0)
            assert_true(str_eq(buf_view(&first), buf_view(&again)));
        struct profile_view view;
        struct visitor_id id = {world.visitor++};
        profile_view(world.profile, &id, 1, &world.arena, &view);
        assert_int_equal(view.counters_count, PROFILE_EVENT_NAMES_MAX + 1);
        assert_int_equal(view.counters[0].name.n, 0);
        assert_int_equal(view.counters[0].count, 2 * (150 - PROFILE_EVENT_NAMES_MAX));
        assert_true(str_is(view.counters[1].name, "event 000"));
        assert_int_equal(view.counters[1].count, 2);
        assert_int_equal(view.events_count, PROFILE_EVENTS_MAX);
        for (size_t i = 300; i > 1; i--) {
            size_t j = (size_t)(rng_u64(&rng) % i), swap = order[i - 1];
            order[i - 1] = order[j];
            order[j] = swap;
        }
        arena_reset(&world.arena);
    }
    buf_done(&first);
    buf_done(&again);
    world_done(&world);
}

/* --- random summaries ------------------------------------------------------------------------- */

static int onces; /* each names two traits, perhaps the same one twice */

static void random_said(struct rng *rng, struct said *said, char properties[128], char name[32])
{
    static const enum event_operation operations[] = {EVENT_SET,    EVENT_SET_ONCE, EVENT_INCREMENT,
                                                      EVENT_APPEND, EVENT_UNSET,    EVENT_SET};
    static const char *const names[] = {"Order Completed", "Order Refunded", "Viewed", "Added"};
    *said = (struct said){.time_us = (int64_t)(rng_u64(rng) % 50)};
    uint64_t what = rng_u64(rng) % 40;
    if (what < 15) {
        said->type = EVENT_TRACK;
        snprintf(name, 32, "%s", names[rng_u64(rng) % 4]);
        said->amount = (int64_t)(rng_u64(rng) % 1000) - 300;
    } else {
        said->type = EVENT_PROFILE;
        said->operation = what == 39 ? EVENT_DELETE : operations[rng_u64(rng) % 6];
        if (said->operation == EVENT_SET_ONCE && onces++ >= PROFILE_ONCES_MAX / 2)
            said->operation = EVENT_SET; /* above the bound only the order of arrival decides */
        name[0] = '\0';
        snprintf(properties, 128, "{\"t%d\":%d,\"t%d\":%s}", (int)(rng_u64(rng) % 4),
                 (int)(rng_u64(rng) % 9), (int)(rng_u64(rng) % 4),
                 rng_u64(rng) % 2 == 0 ? "[1,2]" : "\"text\"");
        said->properties = properties;
    }
    said->name = name;
}

/* What one visitor said, as an object outside of any state. */
static struct summary *random_summary(struct rng *rng, size_t *number, struct arena *arena)
{
    struct summary *summary = summary_new(1);
    size_t n = 1 + (size_t)(rng_u64(rng) % 30);
    for (size_t i = 0; i < n; i++) {
        char properties[128], name[32], id[32];
        struct said said;
        random_said(rng, &said, properties, name);
        snprintf(id, sizeof id, "m%zu", *number);
        struct clean_event event = {.time_us = said.time_us, .message = hash_public(str_of(id))};
        event.event.type = said.type;
        event.event.operation = said.operation;
        yyjson_doc *doc = NULL;
        if (said.properties != NULL)
            assert_int_equal(json_parse(NULL, str_of(said.properties), &doc, NULL), ST_OK);
        event.properties = yyjson_doc_get_root(doc);
        struct trait_ops before = {0}, ops, after;
        uint64_t refused = 0;
        event_ops(&event, arena, &ops, &refused);
        assert_true(
            traits_decode((struct str){summary->traits, summary->traits_n}, arena, &before));
        traits_join(&before, &ops, arena, &after);
        summary_set_traits(summary, &after);
        summary_add_counter(summary, said.type == EVENT_TRACK ? str_of(name) : STR("profile"), 1,
                            said.time_us, said.time_us);
        summary_add_event(summary, said.time_us, (*number)++, str_of(name), STR("app"));
        summary_add_seen(summary, said.time_us, said.time_us);
        summary_add_revenue(summary, said.amount);
        summary->events_total++;
        yyjson_doc_free(doc);
    }
    return summary;
}

static struct summary *joined(const struct summary *x, const struct summary *y, struct arena *arena)
{
    struct summary *both = summary_new(0);
    summary_combine(both, x, arena);
    summary_combine(both, y, arena);
    return both;
}

static void combine_is_commutative_and_associative(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct rng rng;
    rng_init_seed(&rng, 11);
    struct buf left, right;
    buf_init(&left, 1 << 20);
    buf_init(&right, 1 << 20);
    for (int run = 0; run < 300; run++) {
        size_t number = 0;
        onces = 0;
        struct summary *a = random_summary(&rng, &number, &arena);
        struct summary *b = random_summary(&rng, &number, &arena);
        struct summary *c = random_summary(&rng, &number, &arena);
        struct summary *ab = joined(a, b, &arena), *ba = joined(b, a, &arena);
        canonical(ab, &arena, &left);
        canonical(ba, &arena, &right);
        assert_true(str_eq(buf_view(&left), buf_view(&right)));
        struct summary *bc = joined(b, c, &arena);
        struct summary *ab_c = joined(ab, c, &arena), *a_bc = joined(a, bc, &arena);
        canonical(ab_c, &arena, &left);
        canonical(a_bc, &arena, &right);
        assert_true(str_eq(buf_view(&left), buf_view(&right)));
        struct summary *all[] = {a, b, c, ab, ba, bc, ab_c, a_bc};
        for (size_t i = 0; i < 8; i++)
            summary_free(all[i]);
        arena_reset(&arena);
    }
    buf_done(&left);
    buf_done(&right);
    arena_done(&arena);
}

/* Most visitors are seen once or twice; a million of them are to fit. */
static void a_summary_takes_little_more_than_what_it_holds(void **state)
{
    (void)state;
    static const char *const names[] = {"Product Viewed", "Product Added", "Cart Viewed",
                                        "Checkout Started", "Order Completed"};
    struct summary *summary = summary_new(1);
    summary_measure(summary);
    uint32_t empty = summary->entry.bytes;
    for (uint64_t i = 0; i < 5; i++) {
        summary_add_counter(summary, str_of(names[i]), 1, 10, 20);
        summary_add_event(summary, 10, i, str_of(names[i]), STR("browser"));
        summary_measure(summary);
        if (i == 0)
            assert_true(summary->entry.bytes <= empty + 100);
    }
    uint32_t grown = summary->entry.bytes;
    assert_true(grown <= 530);
    struct buf bytes;
    buf_init(&bytes, 4096);
    summary_table.encode(&summary->entry, &bytes);
    struct state_entry *entry = summary_table.decode((struct hash128){1, 0}, buf_view(&bytes));
    assert_non_null(entry);
    assert_true(entry->bytes < grown); /* room for nothing more, until something is added */
    summary_add_counter((struct summary *)entry, STR("sixth"), 1, 30, 30);
    assert_int_equal(((struct summary *)entry)->counters_n, 6);
    summary_table.free(entry);
    summary_free(summary);
    buf_done(&bytes);
}

static void bytes_come_back_and_damaged_ones_are_refused(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct rng rng;
    rng_init_seed(&rng, 12);
    struct buf bytes, again;
    buf_init(&bytes, 1 << 20);
    buf_init(&again, 1 << 20);
    const struct hash128 key = {1, 0};
    for (int run = 0; run < 20; run++) {
        size_t number = 0;
        struct summary *summary = random_summary(&rng, &number, &arena);
        buf_reset(&bytes);
        summary_table.encode(&summary->entry, &bytes);
        struct state_entry *entry = summary_table.decode(key, buf_view(&bytes));
        assert_non_null(entry);
        buf_reset(&again);
        summary_table.encode(entry, &again);
        assert_true(str_eq(buf_view(&bytes), buf_view(&again)));
        summary_table.free(entry);
        for (size_t n = 0; n < bytes.n; n++) { /* cut short: refused, or traits at a group's end */
            entry = summary_table.decode(key, (struct str){bytes.p, n});
            if (entry != NULL)
                summary_table.free(entry);
        }
        for (size_t i = 0; i < bytes.n * 8; i++) {
            bytes.p[i / 8] = (char)(bytes.p[i / 8] ^ (1 << i % 8));
            entry = summary_table.decode(key, buf_view(&bytes));
            if (entry != NULL) {
                struct summary *all = summary_new(0); /* what is taken can be worked with */
                summary_combine(all, (struct summary *)entry, &arena);
                summary_free(all);
                summary_table.free(entry);
            }
            bytes.p[i / 8] = (char)(bytes.p[i / 8] ^ (1 << i % 8));
        }
        summary_free(summary);
        arena_reset(&arena);
    }
    buf_done(&bytes);
    buf_done(&again);
    arena_done(&arena);
}

/* --- limits, life ----------------------------------------------------------------------------- */

static void what_is_too_much_is_counted_and_not_kept(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct buf json;
    buf_init(&json, 1 << 20);
    buf_text(&json, "{\"\":1,\"long\":\"");
    for (int i = 0; i < PROFILE_TRAIT_BYTES_MAX; i++)
        buf_char(&json, 'x');
    buf_text(&json, "\"");
    for (int i = 0; i < PROFILE_TRAITS_MAX + 8; i++)
        buf_fmt(&json, ",\"t%04d\":%d", i, i);
    buf_char(&json, '}');
    say(&world, &(struct said){EVENT_IDENTIFY, EVENT_SET, "", 1, json.p, 0}, 1);
    struct profile_stats stats;
    profile_stats(world.profile, &stats);
    assert_int_equal(stats.traits_refused, 1 + 1 + 8);
    struct profile_view view;
    struct visitor_id id = {world.visitor};
    profile_view(world.profile, &id, 1, &world.arena, &view);
    assert_int_equal(view.traits_count, PROFILE_TRAITS_MAX);
    assert_true(str_is(view.traits[0].name, "t0000"));
    say(&world, &(struct said){P, EVENT_INCREMENT, "", 1, "{\"t0001\":\"one\"}", 0}, 2);
    profile_stats(world.profile, &stats);
    assert_int_equal(stats.traits_refused, 11);
    buf_done(&json);
    world_done(&world);
}

static void many_increments_and_values_stay_bounded_and_exact_in_sum(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct buf text, expected;
    buf_init(&text, 1 << 16);
    buf_init(&expected, 1 << 16);
    int64_t sum = 0;
    for (size_t i = 0; i < 300; i++) {
        char json[64];
        size_t k = i * 101 % 300;
        snprintf(json, sizeof json, "{\"n\":%zu}", k);
        say(&world, &(struct said){P, EVENT_INCREMENT, "", (int64_t)k, json, 0}, i);
        snprintf(json, sizeof json, "{\"l\":[%zu]}", 1000 + k);
        say(&world, &(struct said){P, EVENT_APPEND, "", 1, json, 0}, 1000 + i);
        sum += (int64_t)k;
    }
    struct profile_view view;
    struct visitor_id id = {world.visitor};
    profile_view(world.profile, &id, 1, &world.arena, &view);
    assert_int_equal(view.traits_count, 2);
    buf_fmt(&expected, "%lld", (long long)sum);
    assert_true(str_eq(view.traits[1].value, buf_view(&expected)));
    yyjson_doc *doc = NULL;
    assert_int_equal(json_parse(NULL, view.traits[0].value, &doc, NULL), ST_OK);
    yyjson_val *list = yyjson_doc_get_root(doc);
    assert_int_equal(yyjson_arr_size(list), PROFILE_APPENDED_MAX);
    for (size_t i = 0; i < PROFILE_APPENDED_MAX; i++) {
        bool there = false;
        for (size_t k = 0; k < PROFILE_APPENDED_MAX; k++)
            there = there || yyjson_get_int(yyjson_arr_get(list, k)) == (int)(1000 + i);
        assert_true(there);
    }
    yyjson_doc_free(doc);
    buf_done(&text);
    buf_done(&expected);
    world_done(&world);
}

static void flush_eviction_and_reload_change_nothing(void **state)
{
    (void)state;
    struct world plain, small;
    world_open(&plain, 0);
    world_open(&small, 4096);
    struct rng rng;
    rng_init_seed(&rng, 21);
    struct buf left, right;
    buf_init(&left, 1 << 20);
    buf_init(&right, 1 << 20);
    for (size_t i = 0; i < 2000; i++) {
        char properties[128], name[32];
        struct said said;
        random_said(&rng, &said, properties, name);
        uint64_t visitor = 1 + rng_u64(&rng) % 40;
        say_to(&plain, visitor, &said, i);
        say_to(&small, visitor, &said, i);
        if (i % 50 == 0)
            world_flush(&small);
        if (i == 1000) {
            world_flush(&small);
            world_leave(&small);
            world_enter(&small);
        }
        arena_reset(&plain.arena);
        arena_reset(&small.arena);
    }
    for (uint64_t visitor = 1; visitor <= 40; visitor++) {
        view_bytes(&plain, visitor, &left);
        view_bytes(&small, visitor, &right);
        assert_true(str_eq(buf_view(&left), buf_view(&right)));
    }
    buf_done(&left);
    buf_done(&right);
    world_done(&plain);
    world_done(&small);
}

static void an_erased_visitor_has_no_profile(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    say(&world, &(struct said){P, EVENT_SET, "", 1, "{\"a\":1}", 0}, 1);
    struct visitor_id id = {world.visitor};
    profile_erase(world.profile, id);
    profile_erase(world.profile, id);
    struct profile_view view;
    profile_view(world.profile, &id, 1, &world.arena, &view);
    assert_int_equal(view.traits_count + view.counters_count + view.events_count, 0);
    assert_int_equal(view.events_total, 0);
    say(&world, &(struct said){P, EVENT_SET, "", 2, "{\"b\":1}", 0}, 2);
    profile_view(world.profile, &id, 1, &world.arena, &view);
    assert_int_equal(view.traits_count, 1);
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_give_the_same_traits_in_every_order),
        cmocka_unit_test(on_a_tie_the_smaller_message_hash_wins),
        cmocka_unit_test(changes_name_what_is_different_now),
        cmocka_unit_test(revenue_is_completed_minus_refunded_and_cancelled),
        cmocka_unit_test(an_import_of_traits_is_no_visit),
        cmocka_unit_test(the_first_64_names_keep_their_own_counter_in_any_order),
        cmocka_unit_test(combine_is_commutative_and_associative),
        cmocka_unit_test(a_summary_takes_little_more_than_what_it_holds),
        cmocka_unit_test(bytes_come_back_and_damaged_ones_are_refused),
        cmocka_unit_test(what_is_too_much_is_counted_and_not_kept),
        cmocka_unit_test(many_increments_and_values_stay_bounded_and_exact_in_sum),
        cmocka_unit_test(flush_eviction_and_reload_change_nothing),
        cmocka_unit_test(an_erased_visitor_has_no_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
