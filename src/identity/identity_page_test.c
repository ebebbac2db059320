/* identity_page_test.c - a component in pages: written, changed, read, and as one row of before. */
#include "identity/identity_test_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define ID (UINT64_C(64) << 10)
#define MEMBERS 100

static uint16_t draw(struct rng *rng, size_t below)
{
    return (uint16_t)(rng_u64(rng) % below);
}

static struct edge draw_edge(struct rng *rng)
{
    return (struct edge){.time_us = (int64_t)draw(rng, 1000) - 500,
                         .message = {rng_u64(rng), rng_u64(rng)},
                         .position = rng_u64(rng)};
}

static void add_member(struct component *component, int number)
{
    char value[LIMIT_IDENTIFIER_BYTES];
    int n = number % 7 == 0 ? 0 : snprintf(value, sizeof value, "value %d", number * number);
    struct member member = {.visitor = ID + (uint64_t)number,
                            .person = ID,
                            .type = (uint8_t)(1 + number % 5),
                            .unbound_us = UNBOUND_NEVER};
    component_add_member(component, &member, (struct str){value, (size_t)n});
}

/* The one of (a, b), or NULL. */
static struct pair *pair_of(const struct component *component, uint16_t a, uint16_t b)
{
    for (uint32_t p = 0; p < component->pairs_count; p++)
        if (component->pairs[p].a == a && component->pairs[p].b == b)
            return &component->pairs[p];
    return NULL;
}

static struct component *make_component(struct rng *rng, int members, int pairs)
{
    struct component *component = component_new(ID);
    for (int m = 0; m < members; m++)
        add_member(component, m);
    for (int p = 0; p < pairs; p++) {
        uint16_t a = draw(rng, (size_t)members), b = draw(rng, (size_t)members);
        if (a == b)
            continue;
        struct pair *pair = pair_of(component, a, b);
        if (pair == NULL)
            pair = component_add_pair(component, a, b);
        struct edge edge = draw_edge(rng);
        pair_add_edge(pair, &edge);
        pair->outcome = OUTCOME_MERGED;
    }
    component->people = 1;
    return component;
}

static void expect_pair(const struct pair *pair, const struct pair *wanted)
{
    assert_int_equal(pair->kept, wanted->kept);
    assert_int_equal(pair->outcome, wanted->outcome);
    assert_int_equal(pair->refused_type, wanted->refused_type);
    assert_true(pair->unbound_us == wanted->unbound_us);
    for (uint8_t e = 0; e < wanted->kept; e++) {
        assert_true(pair->edges[e].time_us == wanted->edges[e].time_us);
        assert_true(hash128_eq(pair->edges[e].message, wanted->edges[e].message));
        assert_true(pair->edges[e].position == wanted->edges[e].position);
    }
}

/* Read as a whole and pair by pair. */
static void expect_component(struct world *world, const struct component *wanted)
{
    struct component *component = component_open(world->identity, wanted->id);
    assert_int_equal(component->members_count, wanted->members_count);
    assert_int_equal(component->pairs_count, wanted->pairs_count);
    assert_int_equal(component->people, wanted->people);
    assert_int_equal(component->refused, wanted->refused);
    assert_int_equal(component->frozen, wanted->frozen);
    for (uint16_t m = 0; m < wanted->members_count; m++) {
        const struct member *member = &component->members[m], *other = &wanted->members[m];
        assert_true(member->visitor == other->visitor && member->person == other->person);
        assert_true(member->unbound_us == other->unbound_us);
        assert_int_equal(member->type, other->type);
        assert_true(str_eq(member_value(component, member), member_value(wanted, other)));
    }
    for (uint32_t p = 0; p < wanted->pairs_count; p++) {
        const struct pair *pair = &wanted->pairs[p];
        expect_pair(pair_of(component, pair->a, pair->b), pair);
        struct pair_at at;
        assert_true(component_find_pair(world->identity, wanted->id, pair->a, pair->b, &at));
        expect_pair(&at.pair, pair);
    }
    component_free(component);
}

/* What a restart finds. */
static void flush_and_enter(struct world *world)
{
    world_flush(world);
    world_leave(world);
    world_enter(world);
}

static size_t dirty(struct world *world)
{
    struct state_stats stats;
    state_stats(world->state, &stats);
    return stats.dirty;
}

void a_component_of_many_pages_reads_as_it_was_written(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    rng_init_seed(&rng, 5);
    world_open(&world, 4096);
    struct component *component = make_component(&rng, MEMBERS, 300);
    component_save(world.identity, component);
    expect_component(&world, component);
    for (int k = 0; k < 600; k++) {
        struct pair *pair = &component->pairs[draw(&rng, component->pairs_count)];
        struct pair_at at;
        assert_true(component_find_pair(world.identity, ID, pair->a, pair->b, &at));
        struct edge edge = draw_edge(&rng);
        int64_t unbind_us = (int64_t)draw(&rng, 400) - 500;
        bool moved = k % 9 == 0 ? pair_unbind(pair, unbind_us) : pair_add_edge(pair, &edge);
        assert_int_equal(moved, k % 9 == 0 ? pair_unbind(&at.pair, unbind_us)
                                           : pair_add_edge(&at.pair, &edge));
        component_put_pair(world.identity, &at);
        if (k % 50 == 0)
            flush_and_enter(&world);
    }
    expect_component(&world, component);
    struct pair_at at;
    assert_false(component_find_pair(world.identity, ID, 0, MEMBERS, &at));
    component_remove(world.identity, ID);
    assert_false(component_exists(world.identity, ID));
    flush_and_enter(&world);
    assert_false(component_exists(world.identity, ID));
    for (uint16_t k = 0; k < MEMBERS / PAGE_MEMBERS; k++)
        assert_null(state_get(world.identity->pages, (struct hash128){page_key(ID, k), 0}));
    component_free(component);
    world_done(&world);
}

void an_event_changes_the_pages_that_it_must(void **state)
{
    (void)state;
    struct world world;
    struct identity_result result;
    world_open(&world, 0);
    for (int i = 0; i < 60; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d u:1 a:%d", i, i);
        world_tell(&world, text, (size_t)i, &result);
    }
    world_flush(&world);
    assert_int_equal(dirty(&world), 0);
    world_tell(&world, "1000 u:1 a:40", 1000, &result); /* a newer edge: its page */
    assert_int_equal(dirty(&world), 1);
    world_flush(&world);
    world_tell(&world, "1001 u:1 a:99", 1001, &result); /* a new visitor: it, the first, its own */
    assert_int_equal(dirty(&world), 3);
    world_done(&world);
}

/* --- version 1 -------------------------------------------------------------------------------- */

static void put_time(struct buf *buf, int64_t us)
{
    buf_varint(buf, ((uint64_t)us << 1) ^ (uint64_t)(us >> 63));
}

/* As programs before December 2026 wrote it: pairs by (a, b). */
static void encode_version_1(const struct component *component, struct buf *buf)
{
    buf_char(buf, COMPONENT_VERSION_1);
    buf_char(buf, component->frozen ? 1 : 0);
    buf_varint(buf, component->members_count);
    buf_varint(buf, component->pairs_count);
    for (uint16_t m = 0; m < component->members_count; m++) {
        const struct member *member = &component->members[m];
        buf_varint(buf, member->visitor);
        buf_varint(buf, member->person);
        put_time(buf, member->unbound_us);
        buf_char(buf, (char)member->type);
        buf_blob(buf, member_value(component, member));
    }
    uint32_t n = component->members_count;
    for (uint32_t i = 0; i < n * n; i++) {
        const struct pair *pair = pair_of(component, (uint16_t)(i / n), (uint16_t)(i % n));
        if (pair == NULL)
            continue;
        buf_varint(buf, pair->a);
        buf_varint(buf, pair->b);
        buf_char(buf, (char)pair->kept);
        buf_char(buf, (char)pair->outcome);
        buf_char(buf, (char)pair->refused_type);
        put_time(buf, pair->unbound_us);
        for (uint8_t e = 0; e < pair->kept; e++) {
            put_time(buf, pair->edges[e].time_us);
            buf_u64(buf, pair->edges[e].message.a);
            buf_u64(buf, pair->edges[e].message.b);
            buf_varint(buf, pair->edges[e].position);
        }
    }
}

void a_row_of_version_1_is_read_and_divided(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    struct buf row;
    rng_init_seed(&rng, 7);
    world_open(&world, 4096);
    buf_init(&row, 1 << 20);
    struct component *component = make_component(&rng, MEMBERS, 200);
    component->frozen = true;
    component->pairs[3].outcome = OUTCOME_REFUSED;
    component->pairs[3].refused_type = IDENTIFIER_EMAIL;
    component->refused = 1;
    encode_version_1(component, &row);
    struct state_entry *entry = page_table.decode((struct hash128){ID, 0}, buf_view(&row));
    assert_non_null(entry);
    state_add(world.identity->pages, entry);
    expect_component(&world, component);
    struct pair *pair = &component->pairs[component->pairs_count - 1];
    struct pair_at at;
    assert_true(component_find_pair(world.identity, ID, pair->a, pair->b, &at));
    struct edge edge = draw_edge(&rng);
    pair_add_edge(pair, &edge);
    pair_add_edge(&at.pair, &edge);
    component_put_pair(world.identity, &at);
    flush_and_enter(&world); /* still one row */
    expect_component(&world, component);
    assert_null(state_get(world.identity->pages, (struct hash128){page_key(ID, 1), 0}));
    struct component *opened = component_open(world.identity, ID);
    add_member(opened, MEMBERS);
    opened->people = 1;
    component_save(world.identity, opened);
    flush_and_enter(&world);
    assert_int_equal(component_head(world.identity, ID).members, MEMBERS + 1);
    for (uint16_t k = 0; k <= MEMBERS / PAGE_MEMBERS; k++)
        assert_non_null(state_get(world.identity->pages, (struct hash128){page_key(ID, k), 0}));
    add_member(component, MEMBERS);
    component->people = 1;
    expect_component(&world, component);
    component_free(opened);
    component_free(component);
    buf_done(&row);
    world_done(&world);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* Cut short anywhere: refused. Any bit changed: refused, or something valid. */
static void damage(const struct state_table_def *table, struct hash128 key, struct buf *bytes)
{
    for (size_t n = 0; n < bytes->n; n++)
        assert_null(table->decode(key, (struct str){bytes->p, n}));
    for (size_t i = 0; i < bytes->n; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes->p[i] = (char)(bytes->p[i] ^ (1 << bit));
            struct state_entry *entry = table->decode(key, buf_view(bytes));
            if (entry != NULL)
                table->free(entry);
            bytes->p[i] = (char)(bytes->p[i] ^ (1 << bit));
        }
}

void damaged_pages_are_refused_and_never_crash(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    struct buf bytes, again;
    rng_init_seed(&rng, 9);
    world_open(&world, 0);
    buf_init(&bytes, 1 << 20);
    buf_init(&again, 1 << 20);
    struct component *component = make_component(&rng, 20, 30);
    component_save(world.identity, component);
    for (uint16_t k = 0; k < 2; k++) {
        struct hash128 key = {page_key(ID, k), 0};
        buf_reset(&bytes);
        page_table.encode(state_get(world.identity->pages, key), &bytes);
        struct state_entry *entry = page_table.decode(key, buf_view(&bytes));
        assert_non_null(entry);
        buf_reset(&again);
        page_table.encode(entry, &again);
        assert_true(str_eq(buf_view(&bytes), buf_view(&again)));
        page_table.free(entry);
        damage(&page_table, key, &bytes);
        /* A page is of its place. */
        assert_null(page_table.decode((struct hash128){page_key(ID, 1 - k), 0}, buf_view(&bytes)));
    }
    buf_reset(&bytes);
    encode_version_1(component, &bytes);
    damage(&page_table, (struct hash128){ID, 0}, &bytes);
    component_free(component);
    buf_done(&bytes);
    buf_done(&again);
    world_done(&world);
}

void damaged_identifiers_are_refused_and_never_crash(void **state)
{
    (void)state;
    struct buf bytes;
    buf_init(&bytes, 4096);
    struct identifier *identifier =
        identifier_new((struct hash128){1, 2}, IDENTIFIER_PHONE, STR("+8613800138000"), 4711);
    assert_true(identifier->entry.bytes <= 120);
    identifier_table.encode(&identifier->entry, &bytes);
    struct state_entry *entry = identifier_table.decode(identifier->entry.key, buf_view(&bytes));
    assert_non_null(entry);
    const struct identifier *read = (const struct identifier *)entry;
    assert_int_equal(read->visitor, 4711);
    assert_int_equal(read->type, IDENTIFIER_PHONE);
    assert_true(str_eq(identifier_value(read), identifier_value(identifier)));
    assert_int_equal(entry->bytes, identifier->entry.bytes);
    identifier_table.free(entry);
    damage(&identifier_table, identifier->entry.key, &bytes);
    identifier_table.free(&identifier->entry);
    buf_done(&bytes);
}
