/* clean.c - one record in, one verdict out.
 *
 * The order of the checks is a rule: what is wrong with an event is found before its message id is
 * remembered, so that the corrected resend of a quarantined event gets in. The duplicate decision
 * comes last, and its memory accesses are asked for first: they run while the JSON is parsed.
 *
 * Everything here is a function of the record and of the index at its position. No clock, no
 * setting that may change between a run and its replay, no name registry. */
#include "clean/clean_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"

#define AHEAD_MAX_US (24 * 3600 * US_PER_S)

struct clean {
    struct hash_key key;
    struct clean_names *names;
    struct clean_dedup *dedup;
    struct arena scratch;         /* of one event: the same few pages again and again */
    uint64_t identifiers_refused; /* atomic */
};

const char *clean_verdict_name(enum clean_verdict verdict)
{
    switch (verdict) {
    case CLEAN_STORED:
        return "stored";
    case CLEAN_DUPLICATE:
        return "duplicate";
    case CLEAN_QUARANTINED:
        return "quarantined";
    case CLEAN_SKIPPED:
        return "skipped";
    }
    CHECK(!"a verdict");
    return "";
}

enum status clean_open(const struct clean_options *options, struct str lengths,
                       struct clean **ret_clean, struct err *err)
{
    struct clean_dedup *dedup;
    enum status status = clean_dedup_open(options, lengths, &dedup, err);
    if (status != ST_OK)
        return status;
    struct clean *clean = mem_zero(sizeof *clean);
    clean->key = *options->key;
    clean->names = clean_names_new(options->key);
    clean->dedup = dedup;
    *ret_clean = clean;
    return ST_OK;
}

void clean_close(struct clean *clean)
{
    if (clean == NULL)
        return;
    clean_dedup_close(clean->dedup);
    clean_names_free(clean->names);
    arena_done(&clean->scratch);
    free(clean);
}

/* --- message ids ------------------------------------------------------------------------------ */

struct hash128 clean_id(const struct clean *clean, uint32_t source, struct str message_id)
{
    char text[sizeof source + LIMIT_MESSAGE_ID_BYTES] __attribute__((uninitialized));
    size_t n = message_id.n < LIMIT_MESSAGE_ID_BYTES ? message_id.n : LIMIT_MESSAGE_ID_BYTES;
    memcpy(text, &source, sizeof source);
    if (n > 0)
        memcpy(text + sizeof source, message_id.p, n);
    return hash_keyed(&clean->key, (struct str){text, sizeof source + n});
}

bool clean_known(struct clean *clean, uint32_t source, struct str message_id)
{
    return message_id.n <= LIMIT_MESSAGE_ID_BYTES &&
           clean_dedup_known(clean->dedup, clean_id(clean, source, message_id));
}

struct hash128 clean_raw_id(const struct clean *clean, uint32_t source, struct str raw)
{
    struct hash128 hash = hash_public(raw); /* however long: an id is short */
    return clean_id(clean, source, (struct str){(const char *)&hash, sizeof hash});
}

bool clean_buried(struct clean *clean, uint32_t source, struct str message_id)
{
    return clean_dedup_buried_any(clean->dedup) &&
           clean_dedup_buried(clean->dedup, clean_id(clean, source, message_id));
}

bool clean_buried_raw(struct clean *clean, uint32_t source, struct str raw)
{
    return clean_dedup_buried_any(clean->dedup) &&
           clean_dedup_buried(clean->dedup, clean_raw_id(clean, source, raw));
}

enum status clean_sync(struct clean *clean, struct buf *lengths, struct err *err)
{
    return clean_dedup_sync(clean->dedup, lengths, err);
}

enum status clean_bury(struct clean *clean, const struct hash128 *ids, size_t ids_count,
                       struct err *err)
{
    return clean_dedup_bury(clean->dedup, ids, ids_count, err);
}

void clean_stats(struct clean *clean, struct clean_stats *ret_stats)
{
    *ret_stats = (struct clean_stats){0};
    clean_dedup_stats(clean->dedup, ret_stats);
    clean_names_stats(clean->names, &ret_stats->names, &ret_stats->names_overflow);
    ret_stats->identifiers_refused = __atomic_load_n(&clean->identifiers_refused, __ATOMIC_RELAXED);
}

/* --- the checks, in their order --------------------------------------------------------------- */

static bool utf8(struct str text)
{
    return str_utf8(text) == text.n;
}

static enum event_reason check_texts(const struct event *event)
{
    if (event->message_id.n > LIMIT_MESSAGE_ID_BYTES || event->name.n > LIMIT_NAME_BYTES ||
        event->channel.n > LIMIT_NAME_BYTES)
        return REASON_TOO_LARGE;
    if (!utf8(event->message_id) || !utf8(event->name) || !utf8(event->channel))
        return REASON_BAD_UTF8;
    for (size_t i = 0; i < event->identifiers_count; i++)
        if (!utf8(event->identifiers[i].value))
            return REASON_BAD_UTF8;
    return event->type == EVENT_TRACK && event->name.n == 0 ? REASON_NO_NAME : REASON_NONE;
}

static enum event_reason check_time(struct clean_event *event)
{
    event->time_us = clean_time(event->event.original_us, event->event.sent_us, event->received_us);
    bool possible = event->time_us >= 0 && event->time_us <= event->received_us + AHEAD_MAX_US;
    return possible ? REASON_NONE : REASON_TIME_OUT_OF_RANGE;
}

/* Asked of every event, so no name is measured again. */
static yyjson_val *member(yyjson_val *object, struct str name)
{
    return yyjson_obj_getn(object, name.p, name.n);
}

static struct str campaign_of(yyjson_val *context, yyjson_val *properties)
{
    static const struct str names[] = {STR("utm_campaign"), STR("$utm_campaign"),
                                       STR("$latest_utm_campaign")};
    struct str text = json_member_str(yyjson_obj_get(context, "campaign"), "name");
    for (size_t i = 0; i < sizeof names / sizeof names[0] && text.n == 0; i++)
        text = json_str(member(properties, names[i]));
    return text;
}

/* The first amount that is there decides; a `null` or an empty text is not there. */
static enum event_reason find_amount(struct clean_event *event, yyjson_val *properties)
{
    static const struct str names[] = {STR("revenue"), STR("total"), STR("value"), STR("amount")};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        yyjson_val *value = member(properties, names[i]);
        if (value == NULL || yyjson_is_null(value) ||
            (yyjson_is_str(value) && str_trim(json_str(value)).n == 0))
            continue;
        if (!clean_amount_json(value, &event->amount_micros))
            return REASON_BAD_AMOUNT;
        event->has_amount = true;
        break;
    }
    struct str currency = json_member_str(properties, "currency");
    if (event->has_amount && currency.n > 0 && !clean_currency(currency, event->currency))
        event->currency[0] = '\0';
    return REASON_NONE;
}

static bool may_change_traits(enum event_type type)
{
    return type == EVENT_IDENTIFY || type == EVENT_GROUP || type == EVENT_PROFILE;
}

/* Most documents are looked at here and by nobody else; they do not outlive the event. */
static enum event_reason check_content(struct clean *clean, struct clean_event *event,
                                       struct arena *arena)
{
    bool kept = may_change_traits(event->event.type);
    yyjson_val *context = NULL, *properties = NULL;
    arena_reset(&clean->scratch);
    enum event_reason reason =
        clean_json(event->event.properties, kept ? arena : &clean->scratch, &properties);
    if (reason == REASON_NONE)
        reason = clean_json(event->event.context, &clean->scratch, &context);
    if (reason != REASON_NONE)
        return reason;
    event->properties = kept ? properties : NULL;
    struct str campaign = campaign_of(context, properties);
    event->campaign = campaign.n > 0 ? arena_copy(arena, campaign) : campaign;
    bool order = event->event.name.n > 0 && clean_names_see(clean->names, event->event.name);
    return order && event->event.type == EVENT_TRACK ? find_amount(event, properties) : REASON_NONE;
}

/* --- identifiers ------------------------------------------------------------------------------ */

static int identifier_compare(const struct event_identifier *x, const struct event_identifier *y)
{
    int px = identifier_priority(x->type), py = identifier_priority(y->type);
    return px != py ? (px < py ? -1 : 1) : str_compare(x->value, y->value);
}

/* Normal forms, in priority order, each once. Sixteen at most, so inserting is the whole sort. An
 * unbind of a pair that lost one to a refusal names nobody: alone, the other would leave everybody.
 */
static void identifiers_normalise(struct clean *clean, struct event *event, struct arena *arena)
{
    size_t count = 0;
    for (size_t i = 0; i < event->identifiers_count; i++) {
        struct event_identifier next = event->identifiers[i];
        if (!clean_identifier(next.type, next.value, arena, &next.value)) {
            __atomic_store_n(&clean->identifiers_refused, clean->identifiers_refused + 1,
                             __ATOMIC_RELAXED);
            continue;
        }
        size_t at = count;
        while (at > 0 && identifier_compare(&next, &event->identifiers[at - 1]) < 0)
            at--;
        if (at > 0 && identifier_compare(&next, &event->identifiers[at - 1]) == 0)
            continue;
        memmove(&event->identifiers[at + 1], &event->identifiers[at],
                (count - at) * sizeof event->identifiers[0]);
        event->identifiers[at] = next;
        count++;
    }
    bool lost_its_pair = event->type == EVENT_UNBIND && event->identifiers_count > 1 && count == 1;
    event->identifiers_count = lost_its_pair ? 0 : count;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void clean_one(struct clean *clean, const struct log_record *record, struct arena *arena,
                      struct clean_event *event)
{
    if (record->version != EVENT_VERSION ||
        event_decode(record->payload, &event->event, NULL) != ST_OK) {
        event->reason = REASON_BAD_RECORD;
        return;
    }
    event->reason = check_texts(&event->event);
    if (event->reason != REASON_NONE)
        return;
    struct hash128 id = clean_id(clean, record->source, event->event.message_id);
    clean_dedup_prefetch(clean->dedup, id);
    event->message = hash_public(event->event.message_id);
    event->reason = check_time(event);
    if (event->reason == REASON_NONE)
        event->reason = check_content(clean, event, arena);
    if (event->reason != REASON_NONE)
        return;
    identifiers_normalise(clean, &event->event, arena);
    event->verdict =
        clean_dedup_add(clean->dedup, id, record->received_us) ? CLEAN_STORED : CLEAN_DUPLICATE;
}

void clean_record(struct clean *clean, const struct log_record *record, struct arena *arena,
                  struct clean_event *ret_event)
{
    const size_t behind = offsetof(struct clean_event, event) + sizeof ret_event->event;
    memset(ret_event, 0, offsetof(struct clean_event, event));
    event_clear(&ret_event->event);
    memset((char *)ret_event + behind, 0, sizeof *ret_event - behind);
    ret_event->position = record->offset;
    ret_event->source = record->source;
    ret_event->received_us = record->received_us;
    ret_event->time_us = record->received_us;
    ret_event->verdict = CLEAN_SKIPPED;
    if ((record->flags & LOG_FLAG_ERASED) != 0)
        return;
    struct quarantine quarantine;
    switch (record->type) {
    case LOG_EVENT:
        ret_event->verdict = CLEAN_QUARANTINED;
        clean_one(clean, record, arena, ret_event);
        return;
    case LOG_QUARANTINE:
        ret_event->verdict = CLEAN_QUARANTINED;
        ret_event->reason = quarantine_decode(record->payload, &quarantine, NULL) == ST_OK
                                ? quarantine.reason
                                : REASON_BAD_RECORD;
        return;
    case LOG_ERASE:
    case LOG_TICK:
    case LOG_RULE:
        return;
    }
}
