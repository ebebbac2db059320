/* intake.c - what comes of each item: denied, quarantined, duplicate or a frame for the journal.
 *
 * The one place through which every protocol's items go, so that gate, limits and counts cannot
 * differ between them. The order is the rule:
 *
 *   1. The gate. Denied is not stored, in no form: so it comes before quarantine, which keeps raw
 * bytes.
 *   2. The translation's verdict, then the size limit: quarantine keeps the item and the others go
 * on.
 *   3. Known ids (own batch only): the answer says duplicate and nothing is stored a second time.
 *   4. The frame.
 *
 * The answer of the own batch is written as the items go by; only positions are missing, which the
 * journal gives. A mark remembers each place where one belongs, so that the committer's thread,
 * which answers, has next to nothing to do.
 *
 * Invariant: items = events + quarantined + denied + duplicates, but for the rest of a batch that
 * is too long, which is one quarantined item. */
#include "collect/collect_int.h"

#include "base/check.h"
#include "log/log.h"

void collect_intake_init(struct intake *intake, struct door *door)
{
    *intake = (struct intake){.door = door, .event_max = LIMIT_EVENT_BYTES};
    buf_init(&intake->frames, COLLECT_FRAMES_MAX);
    buf_init(&intake->results, COLLECT_FRAMES_MAX);
    buf_init(&intake->marks, COLLECT_FRAMES_MAX);
}

void collect_intake_done(struct intake *intake)
{
    buf_done(&intake->frames);
    buf_done(&intake->results);
    buf_done(&intake->marks);
}

bool collect_intake_full(const struct intake *intake)
{
    return intake->items >= LIMIT_BATCH_EVENTS;
}

static void result_put(struct intake *intake, struct str message_id, const char *status,
                       const char *reason, bool has_position)
{
    struct buf *results = &intake->results;
    if (!intake->want_results)
        return;
    if (results->n > 0)
        buf_char(results, ',');
    buf_text(results, "{\"message_id\":");
    json_put_str(results, message_id);
    buf_text(results, ",\"status\":\"");
    buf_text(results, status);
    buf_char(results, '"');
    if (reason != NULL) {
        buf_text(results, ",\"reason\":\"");
        buf_text(results, reason);
        buf_char(results, '"');
    }
    if (has_position) {
        const struct intake_mark mark = {results->n, intake->last_at};
        buf_put(&intake->marks, &mark, sizeof mark);
    }
    buf_char(results, '}');
}

static void frame_put(struct intake *intake, enum log_type type, uint8_t version)
{
    intake->last_at = intake->frames.n;
    intake->records++;
    log_frame(&intake->frames, type, version, intake->source, buf_view(&intake->door->payload));
}

static void duplicate_put(struct intake *intake, struct str message_id)
{
    intake->duplicates++;
    result_put(intake, message_id, "duplicate", NULL, false);
}

static void quarantine_put(struct intake *intake, enum event_reason reason, struct str message_id,
                           struct str raw)
{
    if (raw.n > COLLECT_RAW_MAX)
        raw.n = COLLECT_RAW_MAX;
    if (intake->clean != NULL && clean_buried_raw(intake->clean, intake->source, raw)) {
        duplicate_put(intake, message_id);
        return;
    }
    intake->quarantined++;
    if (intake->first_reason == REASON_NONE)
        intake->first_reason = reason;
    if (intake->dry_run)
        return;
    const struct quarantine quarantine = {reason, intake->path, raw};
    buf_reset(&intake->door->payload);
    quarantine_encode(&quarantine, &intake->door->payload);
    frame_put(intake, LOG_QUARANTINE, EVENT_VERSION);
    result_put(intake, message_id, "quarantined", event_reason_name(reason), true);
}

static bool denied(struct intake *intake, yyjson_val *context)
{
    return intake->privacy != NULL &&
           privacy_may_keep(intake->privacy, context, intake->gpc) != PRIVACY_KEEP;
}

void collect_intake_refuse(struct intake *intake, enum event_reason reason, yyjson_val *context,
                           struct str raw)
{
    intake->items++;
    if (denied(intake, context)) {
        intake->denied++;
        result_put(intake, STR(""), "denied", NULL, false);
    } else {
        quarantine_put(intake, reason, STR(""), raw);
    }
}

static void message_id_make(struct intake *intake, struct event *event)
{
    char *text = arena_alloc(&intake->door->arena, 37);
    rng_uuid(intake->door->rng, text);
    event->message_id = str_of(text);
}

/* The payload in the door's buffer, unless it is over a limit. */
static enum event_reason event_put(struct intake *intake, struct translated *translated)
{
    struct event *event = &translated->event;
    struct door *door = intake->door;
    struct str context = event->context;
    bool by_visitor = intake->by_visitor || translated->by_visitor;
    bool add_ip = by_visitor && !translated->has_ip && intake->ip.n > 0;
    if (event->message_id.n == 0)
        message_id_make(intake, event);
    if (event->channel.n == 0 || event->channel.n > LIMIT_NAME_BYTES)
        event->channel = intake->channel;
    if (event->message_id.n > LIMIT_MESSAGE_ID_BYTES)
        return REASON_TOO_LARGE;
    if (add_ip)
        event->context = collect_with_member(&door->context, "ip", intake->ip, context);
    buf_reset(&door->payload);
    event_encode(event, &door->payload);
    if (add_ip && door->payload.n > intake->event_max) { /* what was sent may still fit */
        event->context = context;
        buf_reset(&door->payload);
        event_encode(event, &door->payload);
    }
    return door->payload.n > intake->event_max ? REASON_TOO_LARGE : REASON_NONE;
}

/* Was it stored before, or erased since? What was erased is not even taken into the journal again,
 * whatever protocol brings it. */
static bool is_decided(const struct intake *intake, struct str message_id)
{
    if (intake->clean == NULL)
        return false;
    return intake->ask_known ? clean_known(intake->clean, intake->source, message_id)
                             : clean_buried(intake->clean, intake->source, message_id);
}

static void event_take(struct intake *intake, struct event *event)
{
    if (is_decided(intake, event->message_id)) {
        duplicate_put(intake, event->message_id);
        return;
    }
    intake->events++;
    if (intake->dry_run)
        return;
    frame_put(intake, LOG_EVENT, EVENT_VERSION);
    result_put(intake, event->message_id, "stored", NULL, true);
}

void collect_intake_item(struct intake *intake, collect_translate *translate,
                         const struct batch_head *head, yyjson_val *item, bool strict,
                         struct str raw)
{
    struct door *door = intake->door;
    struct translated translated = {0};
    yyjson_val *judged = strict ? item : NULL;
    enum event_reason reason = strict ? REASON_NONE : collect_door_judge(door, item, &judged);
    if (reason == REASON_NONE)
        reason =
            yyjson_is_obj(judged) ? translate(door, head, judged, &translated) : REASON_NOT_JSON;

    intake->items++;
    yyjson_val *context = judged == NULL ? yyjson_obj_get(item, "context") : translated.context;
    if (denied(intake, context)) {
        intake->denied++;
        result_put(intake, translated.event.message_id, "denied", NULL, false);
        return;
    }
    if (reason == REASON_NONE)
        reason = event_put(intake, &translated);
    if (reason == REASON_NONE) {
        event_take(intake, &translated.event);
        return;
    }
    if (raw.n == 0)
        raw = collect_door_write_raw(door, SLOT_RAW, item);
    quarantine_put(intake, reason, translated.event.message_id, raw);
}

/* What is beyond the limit, as one array. */
static void rest_refuse(struct intake *intake, yyjson_arr_iter *iter)
{
    struct buf *rest = &intake->door->scratch;
    buf_reset(rest);
    buf_char(rest, '[');
    yyjson_val *item;
    while (rest->n < COLLECT_RAW_MAX && (item = yyjson_arr_iter_next(iter)) != NULL) {
        if (denied(intake, yyjson_obj_get(item, "context")))
            continue;
        json_put_comma(rest);
        buf_str(rest, collect_door_write_raw(intake->door, SLOT_RAW, item));
    }
    buf_char(rest, ']');
    intake->items++;
    quarantine_put(intake, REASON_TOO_LARGE, STR(""), buf_view(rest));
}

void collect_intake_items(struct intake *intake, collect_translate *translate,
                          const struct batch_head *head, yyjson_val *items, bool strict)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(items);
    while (yyjson_arr_iter_has_next(&iter)) {
        if (collect_intake_full(intake)) {
            rest_refuse(intake, &iter);
            return;
        }
        collect_intake_item(intake, translate, head, yyjson_arr_iter_next(&iter), strict,
                            (struct str){NULL, 0});
    }
}

static void position_put(struct buf *answer, uint64_t offset)
{
    buf_text(answer, "\"position\":\"0:");
    buf_fmt(answer, "%llu", (unsigned long long)offset);
    buf_char(answer, '"');
}

void collect_intake_answer(const struct intake *intake, uint64_t first, uint64_t end,
                           struct buf *answer)
{
    const struct buf *results = &intake->results;
    size_t marks = intake->marks.n / sizeof(struct intake_mark), from = 0;
    buf_char(answer, '{');
    /* Nothing stored: what was known already stands before the journal's end. */
    position_put(answer, intake->records > 0 ? first + intake->last_at : end - 1);
    buf_text(answer, ",\"results\":[");
    for (size_t i = 0; i < marks; i++) {
        struct intake_mark mark;
        memcpy(&mark, intake->marks.p + i * sizeof mark, sizeof mark);
        buf_put(answer, results->p + from, mark.cut - from);
        buf_char(answer, ',');
        position_put(answer, first + mark.at);
        from = mark.cut;
    }
    if (results->n > from)
        buf_put(answer, results->p + from, results->n - from);
    buf_text(answer, "]}");
}
