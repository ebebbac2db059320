/* pipeline_steps.c - what each station of the road does with a batch.
 *
 * Steps share the batch and never call the next one. Each walks the records in journal order, so
 * that an erase or a rule stands exactly between the events before it and after it. Identity and
 * profile work under the state lock and breathe between events: a reader waits for one event, not
 * for the batch.
 *
 * The warehouse may already have what is folded again after a crash (its position is ahead of the
 * state's): rows before its position are not added twice. */
#include "pipeline/pipeline_int.h"

#include "base/check.h"

#define BREATHE_EVENTS 32 /* some 50 us of folding between two chances for a reader */
#define AHEAD_EVENTS 16   /* so many events' objects are fetched from memory together */

void step_clean(struct pipeline *pipeline, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct item *item = &batch->items[i];
        clean_record(pipeline->clean, &item->record, &batch->arena, &item->event);
        CHECK(item->event.position == item->record.offset);
    }
}

/* The state lock is given up now and then; nothing borrowed from the state may be held across a
 * call. */
static void breathe(struct pipeline *pipeline, size_t i)
{
    if (i % BREATHE_EVENTS == BREATHE_EVENTS - 1)
        state_breathe(pipeline->state);
}

static struct identity_claim claim_of(const struct clean_event *event)
{
    struct identity_claim claim = {
        .position = event->position,
        .time_us = event->time_us,
        .message = event->message,
        .identifiers = event->event.identifiers,
        .identifiers_count = event->event.identifiers_count,
        .unbind = event->event.type == EVENT_UNBIND,
    };
    /* A duplicate says nothing new, but erase must find it: its anchor is named, its edges are not
     * made. */
    if (event->verdict == CLEAN_DUPLICATE && claim.identifiers_count > 1)
        claim.identifiers_count = 1;
    if (event->verdict == CLEAN_DUPLICATE)
        claim.unbind = false;
    return claim;
}

static void rule_fold(struct pipeline *pipeline, struct item *item, struct arena *arena)
{
    struct err err;
    /* The door has checked the rule; one that an older program wrote and this one refuses changes
     * nothing. */
    if (identity_rule(pipeline->identity, item->event.position, item->record.payload, false, arena,
                      &item->who, &err) != ST_OK)
        item->who = (struct identity_result){0};
}

static void identity_ahead(struct pipeline *pipeline, const struct batch *batch, size_t i)
{
    if (i % AHEAD_EVENTS != 0)
        return;
    struct event_identifier next[IDENTITY_PREFETCH_MAX]; /* here, because it is cleared */
    size_t count = 0;
    for (size_t end = i + AHEAD_EVENTS; i < end && i < batch->count; i++) {
        const struct event *event = &batch->items[i].event.event;
        if (batch->items[i].event.verdict != CLEAN_STORED)
            continue;
        for (size_t j = 0; j < event->identifiers_count && count < IDENTITY_PREFETCH_MAX; j++)
            next[count++] = event->identifiers[j];
    }
    identity_prefetch(pipeline->identity, next, count);
}

void step_identity(struct pipeline *pipeline, struct batch *batch)
{
    state_lock(pipeline->state);
    for (size_t i = 0; i < batch->count; i++) {
        struct item *item = &batch->items[i];
        identity_ahead(pipeline, batch, i);
        enum clean_verdict verdict = item->event.verdict;
        if (verdict == CLEAN_STORED || verdict == CLEAN_DUPLICATE) {
            struct identity_claim claim = claim_of(&item->event);
            identity_fold(pipeline->identity, &claim, &batch->arena, &item->who);
        } else if (item->record.type == LOG_ERASE) {
            pipeline_erase_fold(pipeline, item, &batch->arena);
        } else if (item->record.type == LOG_RULE) {
            rule_fold(pipeline, item, &batch->arena);
        }
        breathe(pipeline, i);
    }
    state_unlock(pipeline->state);
}

/* Trait changes become rows; the warehouse copies them at once, so the arena is all the memory they
 * need. */
static void traits_add(struct pipeline *pipeline, const struct item *item,
                       const struct profile_trait_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        warehouse_add_trait(pipeline->warehouse, item->who.anchor.v, changes[i].name,
                            changes[i].value, changes[i].time_us, item->event.position);
}

_Static_assert(AHEAD_EVENTS <= PROFILE_PREFETCH_MAX, "asked for in one call");

static void profile_ahead(struct pipeline *pipeline, const struct batch *batch, size_t i)
{
    struct visitor_id next[AHEAD_EVENTS];
    size_t count = 0;
    if (i % AHEAD_EVENTS != 0)
        return;
    for (size_t end = i + AHEAD_EVENTS; i < end && i < batch->count; i++)
        if (batch->items[i].event.verdict == CLEAN_STORED && batch->items[i].who.anchor.v != 0)
            next[count++] = batch->items[i].who.anchor;
    profile_prefetch(pipeline->profile, next, count);
}

void step_profile(struct pipeline *pipeline, struct batch *batch)
{
    uint64_t known = warehouse_position(pipeline->warehouse);
    state_lock(pipeline->state);
    for (size_t i = 0; i < batch->count; i++) {
        struct item *item = &batch->items[i];
        profile_ahead(pipeline, batch, i);
        for (size_t j = 0; j < item->erased_count; j++)
            profile_erase(pipeline->profile, item->erased[j].visitor);
        if (item->event.verdict == CLEAN_STORED && item->who.anchor.v != 0) {
            struct profile_trait_change *changes = NULL;
            size_t count = 0;
            profile_fold(pipeline->profile, item->who.anchor, &item->event, &batch->arena, &changes,
                         &count);
            if (item->event.position >= known)
                traits_add(pipeline, item, changes, count);
        }
        breathe(pipeline, i);
    }
    state_unlock(pipeline->state);
}

static void event_row(struct pipeline *pipeline, const struct item *item)
{
    const struct clean_event *clean = &item->event;
    const struct event *event = &clean->event;
    struct str channel = event->channel;
    if (channel.n == 0)
        channel = access_source_channel(pipeline->options.access, clean->source);
    struct warehouse_event row = {
        .position = clean->position,
        .visitor = item->who.anchor.v,
        .person = item->who.person.v,
        .source = access_source_name(pipeline->options.access, clean->source),
        .type = str_of(event_type_name(event->type)),
        .name = event->name,
        .channel = channel,
        .campaign = clean->campaign,
        .message_id = event->message_id,
        .time_us = clean->time_us,
        .received_us = clean->received_us,
        .original_us = event->original_us,
        .sent_us = event->sent_us,
        .has_amount = clean->has_amount,
        .amount_micros = clean->amount_micros,
        .currency = str_of(clean->currency),
        .properties = event->properties,
        .context = event->context,
    };
    warehouse_add_event(pipeline->warehouse, &row);
    struct timeline_event same = {
        .position = row.position,
        .visitor = row.visitor,
        .person = row.person,
        .time_us = row.time_us,
        .name = row.name,
        .channel = row.channel,
        .campaign = row.campaign,
        .has_amount = row.has_amount,
        .amount_micros = row.amount_micros,
    };
    timeline_add_event(pipeline->timeline, &same);
}

static void record_row(struct pipeline *pipeline, const struct item *item)
{
    const struct clean_event *clean = &item->event;
    struct warehouse_record row = {
        .position = clean->position,
        .visitor = item->who.anchor.v,
        .verdict = str_of(clean_verdict_name(clean->verdict)),
        .reason = clean->verdict == CLEAN_QUARANTINED ? str_of(event_reason_name(clean->reason))
                                                      : STR(""),
        .source = access_source_name(pipeline->options.access, clean->source),
        .received_us = clean->received_us,
    };
    warehouse_add_record(pipeline->warehouse, &row);
}

void step_warehouse(struct pipeline *pipeline, struct batch *batch)
{
    struct warehouse *warehouse = pipeline->warehouse;
    uint64_t known = warehouse_position(warehouse);
    for (size_t i = 0; i < batch->count; i++) {
        const struct item *item = &batch->items[i];
        if (item->event.position < known)
            continue;
        for (size_t j = 0; j < item->who.fresh_count; j++) {
            const struct identity_member *fresh = &item->who.fresh[j];
            warehouse_add_visitor(warehouse, fresh->visitor.v, fresh->person.v,
                                  str_of(identifier_name(fresh->type)), fresh->value,
                                  item->event.position);
        }
        for (size_t j = 0; j < item->who.changes_count; j++) {
            const struct identity_change *change = &item->who.changes[j];
            warehouse_add_override(warehouse, change->visitor.v, change->person.v,
                                   item->event.position);
            timeline_set_person(pipeline->timeline, change->visitor.v, change->person.v);
        }
        if (item->event.verdict == CLEAN_STORED)
            event_row(pipeline, item);
        else if (item->event.verdict != CLEAN_SKIPPED)
            record_row(pipeline, item);
        pipeline->rows_since_commit++;
    }
}
