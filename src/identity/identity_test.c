/* identity_test.c - names of people, figures, freezing, rules, reading, erasing, bytes. */
#include "identity/identity_test_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

/* --- names, changes, figures ------------------------------------------------------------------ */

static struct person_id person_of(struct world *world, const char *name)
{
    struct visitor_id visitor;
    struct person_id person;
    world_find(world, name, &visitor, &person);
    return person;
}

static void a_merge_changes_the_person_with_fewer_visitors(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    world_tell(&world, "1 a:9", 0, &result);
    struct person_id old = result.person;
    assert_int_equal(result.fresh_count, 1);
    world_tell(&world, "2 u:1 e:1", 1, &result);
    struct person_id large = result.person;
    assert_int_equal(result.fresh_count, 2);
    assert_int_equal(result.changes_count, 0); /* both are new: no row names them yet */
    assert_int_equal(result.fresh[1].person.v, large.v);
    world_tell(&world, "3 u:1 a:9", 2, &result);
    assert_int_equal(result.fresh_count, 0);
    assert_int_equal(result.changes_count, 1);
    assert_int_equal(result.changes[0].visitor.v, old.v);
    assert_int_equal(result.changes[0].person.v, large.v);
    world_tell(&world, "4 p:1", 3, &result);
    world_tell(&world, "5 u:5", 4, &result);
    world_tell(&world, "6 u:5 p:1", 5, &result); /* one against one: the older id stays */
    assert_int_equal(result.person.v, person_of(&world, "p:1").v);
    assert_int_equal(result.changes_count, 1);
    world_done(&world);
}

static void an_undo_gives_people_their_old_ids_back(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    world_tell(&world, "1 u:1 e:1", 0, &result);
    struct person_id first = result.person;
    world_tell(&world, "2 a:1", 1, &result);
    struct person_id second = result.person;
    world_tell(&world, "3 u:1 a:1", 2, &result);
    assert_int_equal(person_of(&world, "a:1").v, first.v);
    world_tell(&world, "4 ! u:1 a:1", 3, &result);
    assert_int_equal(result.changes_count, 1);
    assert_int_equal(result.changes[0].person.v, second.v);
    assert_int_equal(person_of(&world, "a:1").v, second.v);
    assert_int_equal(person_of(&world, "e:1").v, first.v);
    world_done(&world);
}

static void two_parts_never_get_one_name(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    /* a:1 founded the person; when it is parted from the larger rest, which keeps the name, its own
     * founding id is taken. */
    world_tell(&world, "1 a:1", 0, &result);
    world_tell(&world, "2 u:1 a:1", 1, &result);
    world_tell(&world, "3 u:1 e:1", 2, &result);
    struct person_id person = result.person;
    world_tell(&world, "4 ! u:1 a:1", 3, &result);
    assert_int_equal(person_of(&world, "u:1").v, person.v);
    assert_int_not_equal(person_of(&world, "a:1").v, person.v);
    assert_int_equal(person_of(&world, "a:1").v & 1023, 32);
    world_done(&world);
}

static void figures_follow_every_fold(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    world_tell(&world, "1 u:1 a:1", 0, &result);
    world_tell(&world, "2 u:2 a:1", 1, &result);
    assert_int_equal(result.edges_refused, 1);
    world_tell(&world, "3 u:2 a:1", 2, &result);
    assert_int_equal(result.edges_refused, 1); /* still */
    struct identity_stats stats;
    identity_stats(world.identity, &stats);
    assert_int_equal(stats.visitors, 3);
    assert_int_equal(stats.people, 2);
    assert_int_equal(stats.edges_refused, 1);
    world_tell(&world, "4 ! u:1 a:1", 3, &result);
    identity_stats(world.identity, &stats);
    assert_int_equal(stats.people, 2);
    assert_int_equal(stats.edges_refused, 0);
    world_flush(&world);
    world_leave(&world);
    world_enter(&world);
    struct identity_stats again;
    identity_stats(world.identity, &again);
    assert_memory_equal(&again, &stats, sizeof stats);
    world_done(&world);
}

static void an_event_without_identifiers_has_no_visitor(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    struct identity_claim claim = {.position = 1};
    identity_fold(world.identity, &claim, &world.arena, &result);
    assert_int_equal(result.anchor.v, 0);
    assert_int_equal(result.person.v, 0);
    world_done(&world);
}

static void an_identifier_named_twice_is_one(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    world_tell(&world, "1 e:1 e:1 a:1", 0, &result);
    assert_int_equal(result.fresh_count, 2);
    world_tell(&world, "2 u:1 u:1", 0, &result);
    assert_int_equal(result.fresh_count, 1);
    world_done(&world);
}

/* --- freezing --------------------------------------------------------------------------------- */

static void a_component_above_the_limit_is_frozen_and_reported(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    char text[64];
    for (int i = 0; i < LIMIT_COMPONENT_IDENTIFIERS + 10; i++) {
        snprintf(text, sizeof text, "%d d:1 a:%d", i, i);
        world_tell(&world, text, (size_t)i, &result);
        arena_reset(&world.arena);
    }
    struct identity_stats stats;
    identity_stats(world.identity, &stats);
    assert_int_equal(stats.components_frozen, 1);
    assert_int_equal(stats.claims_frozen, 11);
    assert_int_equal(stats.visitors, LIMIT_COMPONENT_IDENTIFIERS + 11);
    world_tell(&world, "5000 u:1 a:3", 1, &result); /* no new edge, the anchor stands alone */
    assert_int_not_equal(result.person.v, person_of(&world, "a:3").v);
    world_tell(&world, "5001 u:1 e:1", 1, &result); /* and is free to meet others */
    assert_int_equal(result.person.v, person_of(&world, "e:1").v);
    uint64_t people = stats.people;
    world_tell(&world, "5002 ! d:1 a:7", 1, &result); /* what is in can still be parted */
    identity_stats(world.identity, &stats);
    assert_int_not_equal(person_of(&world, "a:7").v, person_of(&world, "d:1").v);
    /* a:7 went and the first that the limit of 200 had kept out came in; and there is {u:1 e:1} */
    assert_int_equal(person_of(&world, "a:200").v, person_of(&world, "d:1").v);
    assert_int_equal(stats.people, people + 1);
    world_tell(&world, "5003 ! d:1", 1, &result); /* also from everybody */
    assert_int_not_equal(person_of(&world, "a:8").v, person_of(&world, "d:1").v);
    identity_stats(world.identity, &stats);
    assert_int_equal(stats.people, LIMIT_COMPONENT_IDENTIFIERS + 10 + 1 + 1);
    assert_int_equal(stats.edges_refused, 0);
    world_done(&world);
}

/* --- rules ------------------------------------------------------------------------------------ */

static enum status rule(struct world *world, const char *json, bool dry_run,
                        struct identity_result *result)
{
    struct err err;
    world->position += 100;
    return identity_rule(world->identity, world->position, str_of(json), dry_run, &world->arena,
                         result, &err);
}

static void a_blocked_value_unites_nobody_and_an_unblock_brings_them_back(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    const char *const lines[] = {"1 m:1 e:1", "2 a:1 e:1", "3 a:1 d:1", "4 p:1 e:1"};
    const size_t order[] = {0, 1, 2, 3};
    world_tell_in_order(&world, lines, order, 2);
    char people[TEXT_MAX];
    struct identity_result result;
    const char *block = "{\"block\":[{\"type\":\"email\",\"value\":\"000001.1\"}]}";
    assert_int_equal(rule(&world, block, true, &result), ST_OK);
    assert_int_equal(result.changes_count, 2); /* what would change */
    story_people(&world, lines, 2, people);
    assert_string_equal(people, "a:1 e:1 m:1"); /* and did not */
    assert_int_equal(rule(&world, block, false, &result), ST_OK);
    assert_int_equal(result.changes_count, 2);
    story_people(&world, lines, 2, people);
    assert_string_equal(people, "a:1 | e:1 | m:1");
    world_tell(&world, lines[2], 2, &result);
    world_tell(&world, lines[3], 3, &result); /* makes no edge */
    story_people(&world, lines, 4, people);
    assert_string_equal(people, "a:1 d:1 | e:1 | m:1 | p:1");
    world_flush(&world);
    world_leave(&world);
    world_enter(&world); /* the rule is part of the state */
    world_tell(&world, "5 p:1 e:1", 4, &result);
    story_people(&world, lines, 4, people);
    assert_string_equal(people, "a:1 d:1 | e:1 | m:1 | p:1");
    assert_int_equal(
        rule(&world, "{\"unblock\":[{\"type\":\"email\",\"value\":\"000001.1\"}]}", false, &result),
        ST_OK);
    story_people(&world, lines, 4, people);
    assert_string_equal(people, "a:1 d:1 e:1 m:1 | p:1"); /* p:1 came while it was blocked */
    world_done(&world);
}

static void a_new_limit_folds_everything_again(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 4096);
    const char *const lines[] = {"1 u:1 e:1", "2 u:1 e:2", "3 u:1 e:3"};
    const size_t order[] = {2, 0, 1};
    world_tell_in_order(&world, lines, order, 3);
    world_flush(&world); /* one in the file, one that no scan can see */
    int old = world.run;
    world_tell_in_order(&world, lines, order, 3);
    struct identity_result result;
    assert_int_equal(rule(&world, "{\"limits\":{\"email\":2}}", false, &result), ST_OK);
    assert_int_equal(result.edges_refused, 2);
    assert_int_equal(result.changes_count, 2);
    char people[TEXT_MAX];
    story_people(&world, lines, 3, people);
    assert_string_equal(people, "e:1 e:2 u:1 | e:3");
    world.run = old;
    story_people(&world, lines, 3, people);
    assert_string_equal(people, "e:1 e:2 u:1 | e:3");
    assert_int_equal(rule(&world, "{\"limits\":{\"email\":5}}", false, &result), ST_OK);
    story_people(&world, lines, 3, people);
    assert_string_equal(people, "e:1 e:2 e:3 u:1");
    world_done(&world);
}

/* A rule with `count` blocked values, "b0", "b1", …, from number `from` on. */
static void rule_text(struct buf *json, const char *word, size_t from, size_t count)
{
    buf_reset(json);
    buf_fmt(json, "{\"%s\":[", word);
    for (size_t i = from; i < from + count; i++)
        buf_fmt(json, "%s{\"type\":\"email\",\"value\":\"b%zu\"}", i == from ? "" : ",", i);
    buf_text(json, "]}");
}

static void blocked_values_are_bounded_and_survive_a_restart(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    struct buf json, rules;
    buf_init(&json, 1 << 20);
    buf_init(&rules, 1 << 20);
    rule_text(&json, "block", 0, IDENTITY_BLOCKED_MAX);
    assert_int_equal(rule(&world, json.p, false, &result), ST_OK);
    assert_int_equal(rule(&world, json.p, false, &result), ST_OK); /* says nothing new */
    rule_text(&json, "block", IDENTITY_BLOCKED_MAX, 1);
    assert_int_equal(rule(&world, json.p, false, &result), ST_TOO_LARGE);
    rule_text(&json, "unblock", 0, IDENTITY_BLOCKED_MAX - 2);
    assert_int_equal(rule(&world, json.p, false, &result), ST_OK);
    rule_text(&json, "unblock", 0, 1);
    assert_int_equal(rule(&world, json.p, false, &result), ST_OK); /* nor does this */
    world_flush(&world);
    world_leave(&world);
    world_enter(&world);
    identity_rules_write(world.identity, &rules);
    yyjson_doc *doc = NULL;
    assert_int_equal(json_parse(NULL, buf_view(&rules), &doc, NULL), ST_OK);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "block")), 2);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(yyjson_obj_get(root, "limits"), "phone")), 5);
    yyjson_doc_free(doc);
    assert_int_equal(rule(&world, rules.p, false, &result), ST_OK); /* reads what it writes */
    buf_done(&json);
    buf_done(&rules);
    world_done(&world);
}

static void damaged_figures_and_rules_stop_the_start(void **state)
{
    (void)state;
    static const char *const names[] = {"identity", "identity_rules"};
    static const char *const bytes[] = {"\x01\x02", "\x07", "\x01\x63", "\x01\x01\x01",
                                        "\x01\x01\x01\x01\x05\x09\x01x"};
    for (size_t n = 0; n < 2; n++) {
        for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
            struct world world;
            world_open(&world, 0);
            state_set_value(world.state, names[n], str_of(bytes[i]));
            struct identity *identity = NULL;
            struct err err;
            state_unlock(world.state);
            assert_int_equal(identity_open(world.state, &world.identity->key, &identity, &err),
                             ST_CORRUPT);
            state_lock(world.state);
            assert_null(identity);
            world_done(&world);
        }
    }
    identity_close(NULL);
}

static void a_rule_reaches_all_components(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 4096);
    struct identity_result result;
    for (int i = 0; i < 200; i++) {
        char text[64];
        snprintf(text, sizeof text, "%d u:%d e:%d a:%d", i, i, i, i);
        world_tell(&world, text, (size_t)i, &result);
        if (i == 100)
            world_flush(&world);
    }
    assert_int_equal(rule(&world, "{\"limits\":{\"email\":1}}", false, &result), ST_OK);
    assert_int_equal(result.changes_count, 0);
    char block[64 * 200] = "{\"block\":[";
    size_t at = strlen(block);
    for (int i = 0; i < 200; i++)
        at += (size_t)snprintf(block + at, sizeof block - at,
                               "%s{\"type\":\"email\",\"value\":\"000000.%d\"}", i == 0 ? "" : ",",
                               i);
    snprintf(block + at, sizeof block - at, "]}");
    assert_int_equal(rule(&world, block, false, &result), ST_OK);
    assert_int_equal(result.changes_count, 200);
    struct identity_stats stats;
    identity_stats(world.identity, &stats);
    assert_int_equal(stats.people, 400);
    world_done(&world);
}

static void a_bad_rule_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    static const char *const bad[] = {"",
                                      "[]",
                                      "{\"limits\":{\"email\":0}}",
                                      "{\"limits\":{\"nose\":1}}",
                                      "{\"limits\":{\"email\":1.5}}",
                                      "{\"limits\":[1]}",
                                      "{\"block\":{}}",
                                      "{\"block\":[7]}",
                                      "{\"block\":[{\"type\":\"email\"}]}",
                                      "{\"block\":[{\"type\":\"x\",\"value\":\"y\"}]}",
                                      "{\"limits\":{\"email\":1001}}"};
    struct identity_result result;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(rule(&world, bad[i], false, &result), ST_INVALID);
    struct buf buf;
    buf_init(&buf, 4096);
    assert_false(state_value(world.state, "identity_rules", &buf));
    buf_done(&buf);
    world_done(&world);
}

/* --- reading, erasing ------------------------------------------------------------------------- */

static void erase_takes_the_whole_component_and_a_new_event_starts_a_new_person(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    struct err err;
    world_tell(&world, "1 u:1 a:1", 0, &result);
    struct person_id before = result.person;
    world_tell(&world, "2 u:2 a:1", 1, &result); /* refused, and of the component all the same */
    world_tell(&world, "3 u:3 a:3", 2, &result);
    struct hash128 hash = identity_hash(world.identity, IDENTIFIER_ANONYMOUS_ID, STR("000000.1"));
    struct identity_member *members = NULL;
    size_t count = 0;
    assert_int_equal(identity_erase(world.identity, &hash, 1, &world.arena, &members, &count, &err),
                     ST_OK);
    assert_int_equal(count, 3);
    assert_int_equal(identity_erase(world.identity, &hash, 1, &world.arena, &members, &count, &err),
                     ST_NOT_FOUND);
    struct identity_stats stats;
    identity_stats(world.identity, &stats);
    assert_int_equal(stats.visitors, 2);
    assert_int_equal(stats.people, 1);
    assert_int_equal(stats.edges_refused, 0);
    world_tell(&world, "4 u:1 a:1", 3, &result);
    assert_int_equal(result.fresh_count, 2);
    assert_int_not_equal(result.person.v, before.v);
    world_done(&world);
}

static void erase_of_several_hashes_takes_all_their_components(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    struct err err;
    world_tell(&world, "1 u:1 a:1", 0, &result);
    world_tell(&world, "2 a:2", 1, &result);
    struct visitor_id visitor;
    struct person_id person;
    assert_true(
        identity_find(world.identity, IDENTIFIER_USER_ID, STR("000000.1"), &visitor, &person));
    const struct hash128 hashes[] = {
        identity_hash(world.identity, IDENTIFIER_USER_ID, STR("000000.1")),
        identity_hash(world.identity, IDENTIFIER_ANONYMOUS_ID, STR("000000.1")),
        identity_hash(world.identity, IDENTIFIER_ANONYMOUS_ID, STR("000000.2"))};
    struct identity_member *members = NULL;
    size_t count = 0;
    assert_int_equal(
        identity_erase(world.identity, hashes, 3, &world.arena, &members, &count, &err), ST_OK);
    assert_int_equal(count, 3);
    assert_false(
        identity_find(world.identity, IDENTIFIER_USER_ID, STR("000000.1"), &visitor, &person));
    struct identity_stats stats;
    identity_stats(world.identity, &stats);
    assert_int_equal(stats.visitors + stats.people, 0);
    world_done(&world);
}

static bool scan_stop(void *ctx, const struct identity_member *members, size_t count)
{
    (void)members;
    *(size_t *)ctx += count;
    return false;
}

static bool scan_count(void *ctx, const struct identity_member *members, size_t count)
{
    for (size_t m = 1; m < count; m++)
        assert_true(members[m].visitor.v > members[m - 1].visitor.v);
    *(size_t *)ctx += count;
    return true;
}

static void a_scan_shows_each_visitor_once(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    world_tell(&world, "1 u:1 a:1", 0, &result);
    world_tell(&world, "2 a:2", 1, &result);
    world_tell(&world, "3 ! a:3", 2, &result);
    world_flush(&world);
    size_t seen = 0;
    struct err err;
    state_unlock(world.state);
    assert_int_equal(identity_scan(world.identity, scan_count, &seen, &err), ST_OK);
    assert_int_equal(seen, 4);
    seen = 0;
    assert_int_equal(identity_scan(world.identity, scan_stop, &seen, &err), ST_OK);
    assert_int_equal(seen, 1);
    state_lock(world.state);
    world_done(&world);
}

static void explain_names_evidence_outcome_and_rule(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    struct err err;
    world_tell(&world, "1000000 u:1 a:1", 0, &result);
    world_tell(&world, "2000000 u:2 a:1", 1, &result);
    world_tell(&world, "3000000 u:1 e:1", 2, &result);
    world_tell(&world, "4000000 ! u:1 e:1", 3, &result);
    struct buf json;
    buf_init(&json, 1 << 20);
    assert_int_equal(
        identity_explain(world.identity, IDENTIFIER_USER_ID, STR("000000.1"), &json, &err), ST_OK);
    yyjson_doc *doc = NULL;
    assert_int_equal(json_parse(NULL, buf_view(&json), &doc, &err), ST_OK);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(root, "connected_people")), 3);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "identifiers")), 2);
    yyjson_val *edges = yyjson_obj_get(root, "edges");
    assert_int_equal(yyjson_arr_size(edges), 3);
    static const char *const outcomes[] = {"merged", "refused", "ended by unbind"};
    for (size_t i = 0; i < 3; i++) {
        yyjson_val *edge = yyjson_arr_get(edges, i);
        assert_true(str_is(json_member_str(edge, "outcome"), outcomes[i]));
        assert_int_equal(yyjson_arr_size(yyjson_obj_get(edge, "identifiers")), 2);
        assert_true(json_member_str(edge, "rule").n > 0);
    }
    assert_true(
        str_is(json_member_str(yyjson_arr_get(edges, 0), "time"), "1970-01-01T00:00:01.000000Z"));
    assert_true(str_is(json_member_str(yyjson_arr_get(edges, 1), "rule"),
                       "one person has at most 1 of user_id"));
    yyjson_doc_free(doc);
    assert_int_equal(
        identity_explain(world.identity, IDENTIFIER_USER_ID, STR("nobody"), &json, &err),
        ST_NOT_FOUND);
    buf_done(&json);
    world_done(&world);
}

/* --- pairs and bytes -------------------------------------------------------------------------- */

static void explain_tells_all_other_outcomes_too(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 0);
    struct identity_result result;
    struct err err;
    world_tell(&world, "1 u:1 e:1", 0, &result);
    world_tell(&world, "2 e:1 a:1", 1, &result);
    world_tell(&world, "3 u:1 a:1", 2, &result);
    world_tell(&world, "4 u:1 a:1", 3, &result);
    world_tell(&world, "5 ! u:1 p:1", 4, &result);
    const char *block = "{\"block\":[{\"type\":\"email\",\"value\":\"000000.1\"}]}";
    struct buf json;
    buf_init(&json, 1 << 20);
    assert_int_equal(
        identity_explain(world.identity, IDENTIFIER_USER_ID, STR("000000.1"), &json, &err), ST_OK);
    assert_non_null(strstr(json.p, "already one"));
    assert_non_null(strstr(json.p, "\"latest\":\"1970-01-01T00:00:00.000004Z\""));
    assert_non_null(strstr(json.p, "\"unbound\":\"1970-01-01T00:00:00.000005Z\""));
    assert_int_equal(rule(&world, block, false, &result), ST_OK);
    buf_reset(&json);
    assert_int_equal(
        identity_explain(world.identity, IDENTIFIER_EMAIL, STR("000000.1"), &json, &err), ST_OK);
    assert_non_null(strstr(json.p, "\"blocked\":true"));
    assert_non_null(strstr(json.p, "one of the two is a blocked value"));
    struct buf small;
    buf_init(&small, 64);
    assert_int_equal(
        identity_explain(world.identity, IDENTIFIER_EMAIL, STR("000000.1"), &small, &err),
        ST_TOO_LARGE);
    buf_done(&small);
    world_tell(&world, "6 d:1", 5, &result);
    buf_reset(&json);
    assert_int_equal(
        identity_explain(world.identity, IDENTIFIER_DEVICE_ID, STR("000000.1"), &json, &err),
        ST_OK);
    assert_non_null(strstr(json.p, "\"edges\":[]"));
    buf_done(&json);
    world_done(&world);
}

static struct edge edge_at(int64_t time_us)
{
    return (struct edge){.time_us = time_us, .message = {7, 7}};
}

static void a_pair_keeps_its_earliest_edge_and_the_newest(void **state)
{
    (void)state;
    static const int64_t times[] = {50, 10, 90, 70, 30, 60, 20, 80, 40};
    struct rng rng;
    rng_init_seed(&rng, 3);
    size_t order[9];
    for (size_t i = 0; i < 9; i++)
        order[i] = i;
    for (int k = 0; k < 500; k++) {
        struct pair pair = {.unbound_us = UNBOUND_NEVER};
        int64_t earliest = INT64_MAX;
        for (size_t i = 0; i < 9; i++) {
            struct edge edge = edge_at(times[order[i]]);
            bool moved = pair_add_edge(&pair, &edge);
            assert_int_equal(moved, edge.time_us < earliest);
            earliest = edge.time_us < earliest ? edge.time_us : earliest;
        }
        static const int64_t kept[] = {10, 70, 80, 90};
        assert_int_equal(pair.kept, 4);
        for (size_t e = 0; e < 4; e++)
            assert_int_equal(pair.edges[e].time_us, kept[e]);
        assert_true(pair_unbind(&pair, 75));
        assert_int_equal(pair.edges[0].time_us, 80);
        assert_false(pair_unbind(&pair, 60)); /* an older unbind says nothing new */
        assert_true(pair_unbind(&pair, 95));
        assert_false(pair_live(&pair));
        assert_int_equal(pair.kept, 1);
        assert_int_equal(pair.edges[0].time_us, 90); /* the ledger's evidence */
        story_shuffle(&rng, order, 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stories_agree_with_the_oracle),
        cmocka_unit_test(every_story_gives_the_same_people_in_all_orders),
        cmocka_unit_test(random_histories_agree_with_the_oracle_in_every_order),
        cmocka_unit_test(flush_eviction_and_reload_change_nothing),
        cmocka_unit_test(a_merge_changes_the_person_with_fewer_visitors),
        cmocka_unit_test(an_undo_gives_people_their_old_ids_back),
        cmocka_unit_test(two_parts_never_get_one_name),
        cmocka_unit_test(figures_follow_every_fold),
        cmocka_unit_test(an_event_without_identifiers_has_no_visitor),
        cmocka_unit_test(an_identifier_named_twice_is_one),
        cmocka_unit_test(a_component_above_the_limit_is_frozen_and_reported),
        cmocka_unit_test(a_blocked_value_unites_nobody_and_an_unblock_brings_them_back),
        cmocka_unit_test(a_new_limit_folds_everything_again),
        cmocka_unit_test(blocked_values_are_bounded_and_survive_a_restart),
        cmocka_unit_test(damaged_figures_and_rules_stop_the_start),
        cmocka_unit_test(a_rule_reaches_all_components),
        cmocka_unit_test(a_bad_rule_is_refused_and_changes_nothing),
        cmocka_unit_test(erase_takes_the_whole_component_and_a_new_event_starts_a_new_person),
        cmocka_unit_test(erase_of_several_hashes_takes_all_their_components),
        cmocka_unit_test(a_scan_shows_each_visitor_once),
        cmocka_unit_test(explain_names_evidence_outcome_and_rule),
        cmocka_unit_test(explain_tells_all_other_outcomes_too),
        cmocka_unit_test(a_pair_keeps_its_earliest_edge_and_the_newest),
        cmocka_unit_test(a_component_of_many_pages_reads_as_it_was_written),
        cmocka_unit_test(an_event_changes_the_pages_that_it_must),
        cmocka_unit_test(a_row_of_version_1_is_read_and_divided),
        cmocka_unit_test(damaged_pages_are_refused_and_never_crash),
        cmocka_unit_test(damaged_identifiers_are_refused_and_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
