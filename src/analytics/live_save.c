/* live_save.c - results that become traits: one `identify` event per person, of our own source.
 *
 * They take the road of every event: journal, clean, identity, profile, warehouse. So they are in
 * backups and rebuilds, an erase finds them, and the latest by event time wins: the time is the
 * window's end (now, when that lies ahead), so a report of last month does not overwrite today's. A
 * person is named by the identifier of the highest priority, asked for right before each batch; who
 * has none is left out, and counted. Batches are small beside the journal's limit of bytes in
 * flight; when the journal refuses (full disk), what is written stays, and the same question again
 * writes the rest, for equal message ids are duplicates. */
#include <stdio.h>
#include <stdlib.h>

#include "analytics/live_customer.h"
#include "access/access.h"
#include "event/event.h"
#include "log/log.h"

#define BATCH_PEOPLE 2000
#define BATCH_BYTES ((size_t)16 << 20)
#define OWN_CHANNEL "hezou"

struct saver {
    struct live_ask *ask;
    const struct live_customers *customers;
    live_traits *traits;
    const void *ctx;
    struct arena arena; /* of the batch */
    struct buf frames, payload, properties;
    uint32_t batch;
    uint64_t saved, without;
};

/* "phone:+8613…" as the event names it; false for a text that names nobody. */
static bool identifier_add(struct event *event, struct str name)
{
    const char *colon = name.n == 0 ? NULL : memchr(name.p, ':', name.n);
    if (colon == NULL)
        return false;
    struct str type = {name.p, (size_t)(colon - name.p)};
    struct str value = {colon + 1, name.n - type.n - 1};
    enum identifier_type known = identifier_type_of(type);
    return known != IDENTIFIER_NONE && event_add_identifier(event, known, value);
}

static void event_frame(struct saver *saver, size_t i, struct str name)
{
    const struct live_ask *ask = saver->ask;
    char id[96];
    uint64_t person = timeline_person_id(ask->view, saver->customers->orders.people[i]);
    int64_t end_us = ask->to_us < ask->now_us ? ask->to_us : ask->now_us;
    int n = snprintf(id, sizeof id, "%s-%llu-%lld", saver->customers->report,
                     (unsigned long long)person, (long long)(end_us / US_PER_S));
    struct event event = {.type = EVENT_IDENTIFY,
                          .operation = EVENT_SET,
                          .message_id = {id, (size_t)n},
                          .channel = STR(OWN_CHANNEL),
                          .original_us = end_us};
    if (!identifier_add(&event, name)) {
        saver->without++;
        return;
    }
    buf_reset(&saver->properties);
    buf_reset(&saver->payload);
    buf_char(&saver->properties, '{');
    saver->traits(saver->ctx, i, &saver->properties);
    buf_char(&saver->properties, '}');
    if (saver->properties.n == 2) /* nothing is said of this one */
        return;
    event.properties = buf_view(&saver->properties);
    event_encode(&event, &saver->payload);
    log_frame(&saver->frames, LOG_EVENT, EVENT_VERSION, SOURCE_SELF, buf_view(&saver->payload));
    saver->batch++;
}

static enum status batch_write(struct saver *saver, size_t from, size_t to, struct err *err)
{
    struct str *names;
    uint64_t first;
    const struct live_ask *ask = saver->ask;
    saver->batch = 0;
    buf_reset(&saver->frames);
    arena_reset(&saver->arena);
    enum status status = timeline_people_name(ask->view, saver->customers->orders.people + from,
                                              to - from, &saver->arena, &names, err);
    if (status != ST_OK)
        return status;
    for (size_t i = from; i < to; i++)
        event_frame(saver, i, names[i - from]);
    if (saver->batch > 0)
        status = log_append_wait(ask->live->options.log, &saver->frames, saver->batch, &first, err);
    if (status == ST_OK)
        saver->saved += saver->batch;
    return status;
}

static enum status batches_write(struct saver *saver, struct err *err)
{
    const struct live_run *run = saver->ask->run;
    size_t count = saver->customers->orders.people_count;
    enum status status = ST_OK;
    for (size_t from = 0; from < count && status == ST_OK; from += BATCH_PEOPLE) {
        if (run->cancel != NULL && __atomic_load_n(run->cancel, __ATOMIC_RELAXED))
            status = err_set(err, ST_BUSY, "the report was cancelled");
        else
            status = batch_write(saver, from,
                                 count - from < BATCH_PEOPLE ? count : from + BATCH_PEOPLE, err);
    }
    if (status != ST_OK)
        err_hint(err, status,
                 "%llu people have their traits; the same question again does the rest",
                 (unsigned long long)saver->saved);
    return status;
}

enum status live_customers_save(struct live_ask *ask, const struct live_customers *customers,
                                live_traits *traits, const void *ctx, struct buf *json,
                                struct err *err)
{
    if (!ask->run->save || ask->want != NULL)
        return ST_OK;
    if (ask->live->options.log == NULL)
        return err_set(err, ST_INVALID, "there is no journal to save results in");
    struct saver saver = {.ask = ask, .customers = customers, .traits = traits, .ctx = ctx};
    arena_init(&saver.arena);
    buf_init(&saver.frames, BATCH_BYTES);
    buf_init(&saver.payload, (size_t)1 << 16);
    buf_init(&saver.properties, (size_t)1 << 15);
    enum status status = batches_write(&saver, err);
    if (status == ST_OK) {
        json_put_member_uint(json, "saved_people", saver.saved);
        json_put_member_uint(json, "without_identifier", saver.without);
        json_put_name(json, "saved_position");
        buf_fmt(json, "\"0:%llu\"", (unsigned long long)log_end(ask->live->options.log));
    }
    buf_done(&saver.frames);
    buf_done(&saver.payload);
    buf_done(&saver.properties);
    arena_done(&saver.arena);
    return status;
}
