/* random_world.c - people's histories as they come in life: several visitors per person, late
 * events, equal times, merges and their undoing, an erase now and then. */
#include "random.h"

#include <stdio.h>

#include "base/check.h"
#include "base/json.h"

#define USERS 14
#define DEVICES 24
#define LONERS 8 /* with a device of their own, and never one with others */
#define DAYS 40

const char *const names[NAMES] = {"visit", "view", "cart", "order", "help"};
const char *const plans[PLANS] = {"free", "pro", "team"};
const char *const channels[CHANNELS] = {"web", "app", "pos", "mini"};

void must(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fatal("%s (%s)", err->message, err->hint);
}

static uint64_t chance_state;

void chance_seed(uint64_t seed)
{
    chance_state = seed;
}

uint32_t chance(uint32_t below)
{
    chance_state = chance_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((chance_state >> 33) % below);
}

void world_open(struct world *world, const char *data)
{
    char path[5][300];
    struct err err;
    *world = (struct world){.key = {{7}}};
    snprintf(world->data, sizeof world->data, "%s", data);
    static const char *const parts[] = {"facts.db", "owner.key", "journal", "warehouse", "export"};
    for (int i = 0; i < 5; i++)
        snprintf(path[i], sizeof path[i], "%s/%s", data, parts[i]);
    clock_init_virtual(&world->clock, NOW_US);
    disk_init(&world->disk);
    rng_init_seed(&world->rng, 1);
    must(facts_open(path[0], &world->facts, &err), &err);
    must(access_open(world->facts, &world->rng, &world->clock, path[1], &world->access, &err),
         &err);
    struct log_options log_options = {
        .folder = path[2], .disk = &world->disk, .clock = &world->clock, .segment_bytes = 1 << 20};
    must(log_open(&log_options, &world->log, &err), &err);
    struct warehouse_options warehouse_options = {.folder = path[3],
                                                  .export_folder = path[4],
                                                  .disk = &world->disk,
                                                  .clock = &world->clock,
                                                  .memory_bytes = (size_t)128 << 20,
                                                  .threads = 1};
    must(warehouse_open(&warehouse_options, &world->warehouse, &err), &err);
    struct pipeline_options options = {.log = world->log,
                                       .access = world->access,
                                       .clock = &world->clock,
                                       .disk = &world->disk,
                                       .key = &world->key,
                                       .data = world->data};
    options.rows_position = warehouse_position(world->warehouse);
    must(pipeline_open(&options, &world->pipeline, &err), &err);
    struct timeline_options timeline = {.warehouse = world->warehouse,
                                        .memory_bytes = (size_t)64 << 20,
                                        .threads = 1,
                                        .merge_events = 40};
    timeline_open(&timeline, &world->timeline);
    pipeline_timeline_set(world->pipeline, world->timeline);
    must(pipeline_start(world->pipeline, world->warehouse, &err), &err);
    struct live_options live = {.timeline = world->timeline,
                                .warehouse = world->warehouse,
                                .clock = &world->clock,
                                .threads = 2};
    must(live_open(&live, &world->live, &err), &err);
}

void world_close(struct world *world)
{
    live_close(world->live);
    pipeline_close(world->pipeline);
    timeline_close(world->timeline);
    warehouse_close(world->warehouse);
    log_close(world->log);
    access_close(world->access);
    facts_close(world->facts);
}

/* --- events ----------------------------------------------------------------------------------- */

static void append(struct world *world, const struct event *event)
{
    struct err err;
    struct buf payload, frames;
    buf_init(&payload, 4096);
    buf_init(&frames, 8192);
    event_encode(event, &payload);
    log_frame(&frames, LOG_EVENT, EVENT_VERSION, 1, buf_view(&payload));
    uint64_t first;
    must(log_append_wait(world->log, &frames, 1, &first, &err), &err);
    world->position = first + 1;
    buf_done(&payload);
    buf_done(&frames);
}

/* Somebody who is known by a user id, a device, or both (which makes them one), or nobody. */
static void identify(struct event *event, char user[16], char device[16])
{
    uint32_t kind = chance(10), loner = chance(LONERS);
    if (chance(5) == 0) {
        snprintf(user, 16, "l-%u", loner);
        snprintf(device, 16, "own-%u", loner);
    } else {
        snprintf(user, 16, "u-%u", chance(USERS));
        snprintf(device, 16, "d-%u", chance(DEVICES));
    }
    if (kind < 5 || kind == 9)
        event_add_identifier(event, IDENTIFIER_USER_ID, str_of(user));
    if (kind >= 5 && kind != 8)
        event_add_identifier(event, IDENTIFIER_ANONYMOUS_ID, str_of(device));
}

/* Times on a coarse grid inside bursts, so that many are equal; one of ten is weeks late. */
static int64_t time_draw(void)
{
    int64_t day = DAYS - (chance(10) == 0 ? chance(DAYS) : chance(12));
    int64_t s = NOW_S - (DAYS - day) * 86400 + chance(6) * 600 + chance(4) * 20;
    return s * US_PER_S + (chance(3) == 0 ? chance(1000000) : 0);
}

/* "value" is money when the event is an order; "n" is a number, at times a text. */
static void properties_draw(struct buf *json)
{
    buf_char(json, '{');
    if (chance(6) != 0)
        json_put_member_str(json, "plan", str_of(plans[chance(PLANS)]));
    if (chance(3) != 0) {
        json_put_name(json, "n");
        if (chance(12) == 0)
            json_put_str(json, STR("many"));
        else
            buf_fmt(json, "%d.%02u", (int)chance(30) - 10, chance(4) * 25);
    }
    if (chance(2) == 0) {
        json_put_name(json, "utm_campaign");
        buf_fmt(json, "\"c%u\"", chance(CAMPAIGNS));
    }
    if (chance(4) != 0) {
        json_put_name(json, "value");
        buf_fmt(json, "%u.%02u", chance(200), chance(100));
    }
    buf_char(json, '}');
}

static void event_send(struct world *world)
{
    char id[32], user[16], device[16];
    struct buf properties;
    snprintf(id, sizeof id, "m-%u", world->sent++);
    struct event event = {.type = EVENT_TRACK, .message_id = str_of(id)};
    event.original_us = time_draw();
    identify(&event, user, device);
    uint32_t kind = chance(60);
    buf_init(&properties, 1000);
    if (kind == 0 && event.identifiers_count > 0) { /* what was one becomes two again */
        event.type = EVENT_UNBIND;
        event.original_us = NOW_US;
    } else if (kind == 1 && event.identifiers_count > 1) {
        event.type = EVENT_BIND;
    } else {
        event.name = str_of(names[chance(4) == 0 ? chance(NAMES) : chance(3)]);
        uint32_t channel = chance(CHANNELS * 3); /* some are rarer than others */
        event.channel = str_of(channels[channel < CHANNELS ? channel : channel % 2]);
        properties_draw(&properties);
        event.properties = buf_view(&properties);
    }
    append(world, &event);
    buf_done(&properties);
}

void world_send(struct world *world, unsigned count)
{
    struct err err;
    for (unsigned i = 0; i < count; i++) {
        event_send(world);
        if (chance(40) == 0)
            must(pipeline_catch_up(world->pipeline, &err), &err); /* several deltas */
    }
    must(pipeline_catch_up(world->pipeline, &err), &err);
}

void world_erase(struct world *world, bool anybody)
{
    struct err err;
    struct pipeline_erased erased;
    char user[16];
    snprintf(user, sizeof user, anybody ? "u-%u" : "l-%u", chance(anybody ? USERS : LONERS));
    enum status status = pipeline_erase(world->pipeline, IDENTIFIER_USER_ID, str_of(user),
                                        world->erased + 1, &erased, &err);
    if (status == ST_NOT_FOUND) /* never seen, or gone already */
        return;
    must(status, &err);
    world->erased++;
    world->position = log_end(world->log);
}
