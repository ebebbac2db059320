/* identity_world_test.c - the stage of the tests: a state, stories told to it, people read back. */
#include "identity/identity_test_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct hash_key key = {"0123456789abcde"};

/* --- a state for a test ----------------------------------------------------------------------- */

void world_enter(struct world *world)
{
    struct err err;
    const struct state_options options = {.path = world->path, .cache_bytes = world->cache_bytes};
    assert_int_equal(state_open(&options, &world->state, &err), ST_OK);
    assert_int_equal(identity_open(world->state, &key, &world->identity, &err), ST_OK);
    state_lock(world->state);
}

void world_leave(struct world *world)
{
    state_unlock(world->state);
    identity_close(world->identity);
    state_close(world->state);
}

void world_open(struct world *world, size_t cache_bytes)
{
    *world = (struct world){.position = 64, .cache_bytes = cache_bytes};
    const char *tmp = getenv("TMPDIR");
    snprintf(world->folder, sizeof world->folder, "%.40s/identity.XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->path, sizeof world->path, "%s/state.db", world->folder);
    arena_init(&world->arena);
    world_enter(world);
}

void world_done(struct world *world)
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

void world_flush(struct world *world)
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

/* --- telling a story -------------------------------------------------------------------------- */

enum identifier_type story_type(char letter)
{
    static const char letters[] = "?umnpeoda";
    const char *at = strchr(letters, letter);
    assert_non_null(at);
    return (enum identifier_type)(at - letters);
}

static int line_compare(const void *left, const void *right)
{
    const struct event_identifier *x = left, *y = right;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return str_compare(x->value, y->value);
}

/* Identifiers in the order that clean gives them: priority, then bytes. */
void story_line(const char *text, int run, struct line *line)
{
    *line = (struct line){0};
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (word[0] == '!') {
            line->unbind = true;
        } else if (word[1] != ':') {
            line->time_us = strtol(word, NULL, 10);
        } else {
            size_t n = line->count++;
            snprintf(line->name[n], sizeof line->name[n], "%.15s", word);
            snprintf(line->text[n], sizeof line->text[n], "%06d.%.12s", run, word + 2);
            line->identifiers[n].type = story_type(word[0]);
            line->identifiers[n].value = str_of(line->text[n]);
        }
    }
    qsort(line->identifiers, line->count, sizeof line->identifiers[0], line_compare);
}

struct hash128 story_message(size_t number)
{
    char text[32];
    snprintf(text, sizeof text, "m%zu", number);
    return hash_public(str_of(text));
}

void world_tell(struct world *world, const char *text, size_t number,
                struct identity_result *ret_result)
{
    struct line line;
    story_line(text, world->run, &line);
    struct identity_claim claim = {.position = world->position,
                                   .time_us = line.time_us,
                                   .message = story_message(number),
                                   .identifiers = line.identifiers,
                                   .identifiers_count = line.count,
                                   .unbind = line.unbind};
    identity_fold(world->identity, &claim, &world->arena, ret_result);
    world->position += 100;
}

void world_tell_in_order(struct world *world, const char *const *lines, const size_t *order,
                         size_t n)
{
    arena_reset(&world->arena);
    world->run++;
    for (size_t i = 0; i < n; i++) {
        struct identity_result result;
        world_tell(world, lines[order[i]], order[i], &result);
        if (i % 16 == 15)
            arena_reset(&world->arena);
    }
}

/* --- the people of a story, as one text ------------------------------------------------------- */

static int name_compare(const void *left, const void *right)
{
    return strcmp(left, right);
}

/* All names in the story, each once, in byte order. */
size_t story_names(const char *const *lines, size_t n, struct name *names)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        struct line line;
        story_line(lines[i], 0, &line);
        for (size_t k = 0; k < line.count; k++) {
            bool known = false;
            for (size_t j = 0; j < count; j++)
                known = known || strcmp(names[j].text, line.name[k]) == 0;
            if (!known)
                memcpy(names[count++].text, line.name[k], sizeof names[0].text);
            assert_true(count < NAMES_MAX);
        }
    }
    qsort(names, count, sizeof names[0], name_compare);
    return count;
}

/* "a:1 u:1 | a:2": groups in the order of their first name. */
void story_groups(const struct name *names, size_t n, char text[TEXT_MAX])
{
    bool done[NAMES_MAX] = {false};
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (done[i])
            continue;
        at += (size_t)snprintf(text + at, TEXT_MAX - at, "%s", i == 0 ? "" : " | ");
        const char *space = "";
        for (size_t j = i; j < n; j++) {
            if (names[j].group != names[i].group)
                continue;
            done[j] = true;
            at += (size_t)snprintf(text + at, TEXT_MAX - at, "%s%s", space, names[j].text);
            space = " ";
        }
    }
}

void world_find(struct world *world, const char *name, struct visitor_id *ret_visitor,
                struct person_id *ret_person)
{
    char value[32];
    snprintf(value, sizeof value, "%06d.%s", world->run, name + 2);
    assert_true(identity_find(world->identity, story_type(name[0]), str_of(value), ret_visitor,
                              ret_person));
}

void story_people(struct world *world, const char *const *lines, size_t n, char text[TEXT_MAX])
{
    struct name names[NAMES_MAX];
    size_t count = story_names(lines, n, names);
    for (size_t i = 0; i < count; i++) {
        struct visitor_id visitor;
        struct person_id person;
        world_find(world, names[i].text, &visitor, &person);
        names[i].group = person.v;
    }
    story_groups(names, count, text);
}

/* --- what must hold of every component -------------------------------------------------------- */

static void check_component(struct world *world, const struct component *component)
{
    for (uint16_t m = 0; m < component->members_count; m++) {
        const struct member *member = &component->members[m];
        const struct identifier *identifier = identity_get(
            world->identity, (enum identifier_type)member->type, member_value(component, member));
        assert_non_null(identifier);
        assert_int_equal(identifier->visitor, member->visitor);
        assert_int_equal(identifier->person, member->person);
        assert_int_equal(identifier->component, component->id);
        assert_int_equal(identifier->entry.slot, m);
    }
}

void world_check(struct world *world, const char *const *lines, size_t n)
{
    struct name names[NAMES_MAX];
    size_t count = story_names(lines, n, names);
    for (size_t i = 0; i < count; i++) {
        char value[32];
        snprintf(value, sizeof value, "%06d.%s", world->run, names[i].text + 2);
        const struct identifier *identifier =
            identity_get(world->identity, story_type(names[i].text[0]), str_of(value));
        assert_non_null(identifier);
        if (identifier->component == 0)
            continue;
        struct component *component = component_open(world->identity, identifier->component);
        check_component(world, component);
        component_free(component);
    }
}

void story_shuffle(struct rng *rng, size_t *order, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(rng_u64(rng) % i);
        size_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}
