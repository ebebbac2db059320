/* timeline_world_test.c - random histories, and the comparison of every event of every person. */
#include "timeline/timeline_test_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

#define LATELY 400 /* facts */

void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fail_msg("%s", err->message);
}

/* --- the naive list --------------------------------------------------------------------------- */

/* Ids as identity makes them, in no order of appearance. */
uint64_t id_of(uint32_t number)
{
    return number == 0 ? 0 : (uint64_t)(number * 2654435761U % 1000003 + 1) << 10;
}

uint32_t below(struct world *world, uint32_t n)
{
    return (uint32_t)(rng_u64(&world->rng) % n);
}

const char *text_of(char out[32], const char *kind, uint32_t number)
{
    snprintf(out, 32, "%s %u", kind, number);
    return out;
}

void fact_feed(struct world *world, const struct fact *fact, bool is_new)
{
    char name[32], channel[32], campaign[32], message[32];
    uint32_t number = 0;
    while (id_of(number) != fact->visitor)
        number++;
    struct timeline_event event = {
        .position = fact->position,
        .visitor = fact->visitor,
        .person = world->owner[number],
        .time_us = fact->time_us,
        .name = str_of(text_of(name, "name", fact->name)),
        .channel = str_of(text_of(channel, "channel", fact->channel)),
        .campaign = fact->campaign == 0 ? STR("") : str_of(text_of(campaign, "c", fact->campaign)),
        .has_amount = fact->amount >= 0,
        .amount_micros = fact->amount,
    };
    timeline_add_event(world->timeline, &event);
    if (world->warehouse == NULL)
        return;
    if (is_new && number != 0)
        warehouse_add_visitor(world->warehouse, fact->visitor, event.person, STR("user_id"),
                              str_of(text_of(message, "u", number)), fact->position);
    char properties[64];
    snprintf(properties, sizeof properties, "{\"colour\":\"%s\",\"n\":%u,\"list\":[1]}",
             fact->name % 3 == 0 ? "red" : "blue", fact->campaign);
    struct warehouse_event row = {
        .position = fact->position,
        .visitor = fact->visitor,
        .person = event.person,
        .source = STR("shop"),
        .type = STR("track"),
        .name = event.name,
        .channel = event.channel,
        .campaign = event.campaign,
        .message_id = str_of(text_of(message, "m", (uint32_t)fact->position)),
        .time_us = fact->time_us,
        .received_us = NOVEMBER,
        .has_amount = event.has_amount,
        .amount_micros = fact->amount,
        .properties = str_of(properties),
    };
    warehouse_add_event(world->warehouse, &row);
}

/* The second of something else that the same person did lately, whichever visitor it was. */
static int64_t second_of_person(const struct world *world, uint32_t number, int64_t otherwise)
{
    for (size_t back = 1; number != 0 && back <= LATELY && back <= world->count; back++) {
        const struct fact *fact = &world->facts[world->count - back];
        if (fact->number != 0 && world->owner[fact->number] == world->owner[number])
            return (fact->time_us - NOVEMBER - (US_PER_S - 1) * (fact->time_us < NOVEMBER)) /
                   US_PER_S;
    }
    return otherwise;
}

static void event_happens(struct world *world)
{
    uint32_t number = below(world, 20) == 0 ? 0 : 1 + below(world, VISITORS - 1);
    if (world->erased[number])
        return;
    bool is_new = world->owner[number] == 0;
    if (is_new && number != 0)
        world->owner[number] = id_of(number);
    if (world->count == world->capacity) {
        world->capacity = world->capacity == 0 ? 1024 : world->capacity * 2;
        world->facts = mem_grow(world->facts, world->capacity * sizeof *world->facts);
    }
    /* Half of them now, the others late; many at the same second, some at the same microsecond. */
    int64_t second = (int64_t)world->position / 500;
    if (below(world, 2) == 0)
        second -= below(world, 100000);
    if (below(world, 3) == 0)
        second = second_of_person(world, number, second);
    world->position += 1 + below(world, 300);
    world->facts[world->count] = (struct fact){
        .visitor = id_of(number),
        .position = world->position,
        .time_us = NOVEMBER + second * US_PER_S + below(world, 4) * 250000,
        .amount = below(world, 5) == 0 ? (int64_t)below(world, 1000000) : -1,
        .name = below(world, world->names),
        .channel = below(world, 5),
        .campaign = below(world, 3) == 0 ? below(world, 40) : 0,
        .number = number,
    };
    fact_feed(world, &world->facts[world->count++], is_new);
}

/* A merge, an undo or a move: it is all the same here. */
static void person_changes(struct world *world)
{
    uint32_t number = 1 + below(world, VISITORS - 1), other = 1 + below(world, VISITORS / 4);
    if (world->owner[number] == 0 || world->erased[number])
        return;
    uint64_t person = below(world, 3) == 0 ? id_of(number) : id_of(other);
    world->position += 1 + below(world, 300);
    world->owner[number] = person;
    timeline_set_person(world->timeline, id_of(number), person);
    if (world->warehouse != NULL)
        warehouse_add_override(world->warehouse, id_of(number), person, world->position);
}

void world_commit(struct world *world)
{
    struct err err;
    world->position++;
    if (world->warehouse != NULL)
        must(warehouse_commit(world->warehouse, world->position, NOVEMBER, &err), &err);
    timeline_commit(world->timeline, world->position);
}

void visitor_erased(struct world *world, uint32_t number)
{
    uint64_t id = id_of(number);
    size_t kept = 0;
    world->erased[number] = true;
    for (size_t i = 0; i < world->count; i++)
        if (world->facts[i].visitor != id)
            world->facts[kept++] = world->facts[i];
    world->count = kept;
    timeline_erase(world->timeline, &id, 1);
}

/* --- the comparison --------------------------------------------------------------------------- */

static int seen_compare(const void *left, const void *right)
{
    const struct seen *a = left, *b = right;
    if (a->person != b->person)
        return a->person < b->person ? -1 : 1;
    if (a->time_us != b->time_us)
        return a->time_us < b->time_us ? -1 : 1;
    return (a->position > b->position) - (a->position < b->position);
}

/* All facts as they should be read, nobody's (person 0) first. */
struct seen *expected(const struct world *world)
{
    struct seen *all = mem_alloc((world->count + 1) * sizeof *all);
    struct map numbers;
    map_init(&numbers);
    for (uint32_t i = 1; i < VISITORS; i++)
        *map_put(&numbers, map_key_u64(id_of(i)), NULL) = world->owner[i];
    for (size_t i = 0; i < world->count; i++) {
        const struct fact *fact = &world->facts[i];
        uint64_t person = fact->visitor == 0 ? 0 : *map_find(&numbers, map_key_u64(fact->visitor));
        all[i] = (struct seen){person, fact->time_us, fact->position, fact};
    }
    map_done(&numbers);
    qsort(all, world->count, sizeof *all, seen_compare);
    return all;
}

static void event_check(const struct timeline_view *view, const struct timeline_run *run,
                        uint32_t i, const struct seen *want)
{
    char text[32];
    uint64_t row = timeline_row(run, i);
    uint32_t origin = timeline_origin(run, i), code = timeline_code(run, i);
    const struct fact *fact = want->fact;
    assert_int_equal(timeline_position(view, row), want->position);
    assert_int_equal(timeline_time_us(view, row), want->time_us);
    assert_int_equal(run->time[i], want->time_us / US_PER_S);
    assert_true(str_is(timeline_name(view, code), text_of(text, "name", fact->name)));
    assert_true(str_is(timeline_channel(view, timeline_origin_channel(view, origin)),
                       text_of(text, "channel", fact->channel)));
    assert_true(str_is(timeline_campaign(view, timeline_origin_campaign(view, origin)),
                       fact->campaign == 0 ? "" : text_of(text, "c", fact->campaign)));
    int64_t amount = -1;
    assert_int_equal(timeline_amount(view, row, &amount), fact->amount >= 0);
    assert_int_equal(amount, fact->amount);
}

size_t person_start(const struct seen *all, size_t count, uint64_t person)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (all[middle].person < person)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Everything that the view holds is what the list says, and nothing is missing. */
void view_check(const struct world *world, const struct timeline_view *view)
{
    struct seen *all = expected(world);
    struct timeline_scan *scan;
    struct timeline_run run;
    size_t people = 0, nobody = 0;
    timeline_scan_open(view, &(struct timeline_scan_options){.nobody_too = true}, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    while (timeline_cursor_next(cursor, &run)) {
        assert_true(run.count > 0);
        if (run.person == TIMELINE_NONE) {
            nobody += run.count;
            continue;
        }
        uint64_t person = timeline_person_id(view, run.person);
        size_t at = person_start(all, world->count, person);
        for (uint32_t i = 0; i < run.count; i++) {
            assert_true(at + i < world->count);
            assert_int_equal(all[at + i].person, person);
            event_check(view, &run, i, &all[at + i]);
        }
        assert_true(at + run.count == world->count || all[at + run.count].person != person);
        assert_int_equal(timeline_person_find(view, person), run.person);
        people += run.count;
    }
    assert_int_equal(nobody, person_start(all, world->count, 1));
    assert_int_equal(people + nobody, world->count);
    assert_int_equal(view->events, world->count);
    assert_int_equal(view->position, world->position);
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    free(all);
}

/* Batches of every `step`-th name, of everybody or of those whom posting lists say to have one. */
static void batch_check(const struct world *world, const struct timeline_view *view, uint32_t step,
                        bool some)
{
    char text[32];
    uint8_t wanted[65536] = {0};
    bool names[65536] = {false};
    struct seen *all = expected(world);
    struct timeline_set set;
    struct timeline_scan *scan;
    struct timeline_batch batch;
    struct timeline_run run;
    size_t found = 0, want = 0, people = 0;
    timeline_set_init(&set, view);
    for (uint32_t name = 0; name < world->names; name += step) {
        uint32_t code = timeline_name_find(view, str_of(text_of(text, "name", name)));
        names[name] = code != TIMELINE_NONE;
        if (code == TIMELINE_NONE)
            continue;
        wanted[code] = 1;
        timeline_people_with(view, code, &set);
    }
    timeline_scan_open(
        view, &(struct timeline_scan_options){.only = some ? &set : NULL, .wanted = wanted}, &scan);
    struct timeline_cursor *cursor = timeline_cursor_open(scan);
    while (timeline_cursor_batch(cursor, &batch)) {
        for (uint32_t p = 0; p < batch.people; p++) {
            timeline_batch_run(&batch, p, &run);
            uint64_t person = timeline_person_id(view, run.person);
            size_t at = person_start(all, world->count, person);
            assert_true(run.count > 0);
            for (uint32_t i = 0; i < run.count; i++, at++) {
                while (at < world->count && !names[all[at].fact->name])
                    at++;
                assert_true(at < world->count && all[at].person == person);
                event_check(view, &run, i, &all[at]);
                assert_int_equal(batch.begins[batch.starts[p] + i], i == 0);
            }
            found += run.count;
        }
        people += batch.people;
        assert_int_equal(batch.count, batch.people == 0 ? 0 : batch.starts[batch.people]);
    }
    for (size_t i = 0; i < world->count; i++)
        want += names[world->facts[i].name] && world->facts[i].visitor != 0;
    assert_int_equal(found, want);
    assert_int_equal(people, timeline_set_count(&set));
    timeline_cursor_close(cursor);
    timeline_scan_close(scan);
    timeline_set_done(&set);
    free(all);
}

void world_check(const struct world *world)
{
    const struct timeline_view *view;
    struct err err;
    must(timeline_view_open(world->timeline, world->position, &view, &err), &err);
    view_check(world, view);
    batch_check(world, view, 2, false);
    batch_check(world, view, 2, true);
    batch_check(world, view, world->names, true); /* one name */
    timeline_view_close(view);
}

void wait_ready(struct timeline *timeline)
{
    pthread_mutex_lock(&timeline->mutex);
    while (!timeline->ready)
        pthread_cond_wait(&timeline->published, &timeline->mutex);
    pthread_mutex_unlock(&timeline->mutex);
}

void history_run(struct world *world, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        uint32_t what = below(world, 100);
        if (what < 88)
            event_happens(world);
        else if (what < 97)
            person_changes(world);
        else
            world_commit(world);
    }
    world_commit(world);
}
