/* pipeline_erase.c - forget a person everywhere, so that a byte scan of the data directory finds
 * nothing.
 *
 * The order (DESIGN §4): ledger entry in facts.db (the caller's) → an erase record in the journal,
 * which names identifiers by keyed hash only → the fold at its position drops the component → the
 * state is flushed, with the list of visitors → journal payloads are overwritten, warehouse files
 * rewritten → the list gives way to two figures → state file and snapshots are cleaned of it → the
 * ledger entry is closed (the caller's) → the figures go.
 *
 * The list of visitors and identifiers, then the figures, stand in a state value until the ledger
 * is closed: a crash at any point leaves the record to be folded again, the list to go on with, or
 * the cleaning to be repeated (pipeline_erase_finish, called for each open ledger entry at start).
 * Quarantined raw bytes carry no anchor: they are searched for the identifiers. */
#include "pipeline/pipeline_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hook.h"

#define LIST_BYTES_MAX ((size_t)1 << 20)
#define ROUNDS_MAX 4

static void list_name(uint64_t ledger_id, char name[40])
{
    snprintf(name, 40, "erase.%llu", (unsigned long long)ledger_id);
}

/* What must still be found and overwritten; none: all is, and `erased` says how much it was. */
struct targets {
    uint64_t *visitors;
    struct event_identifier *identifiers;
    size_t count;
    struct pipeline_erased erased;
};

static void list_encode(const struct identity_member *members, size_t count, struct buf *buf)
{
    buf_varint(buf, count);
    for (size_t i = 0; i < count; i++) {
        buf_u64(buf, members[i].visitor.v);
        buf_varint(buf, members[i].type);
        buf_blob(buf, members[i].value);
    }
}

static bool list_decode(struct str bytes, struct arena *arena, struct targets *ret_targets)
{
    struct cursor cursor = cursor_of(bytes);
    uint64_t count = cursor_varint(&cursor);
    if (cursor.bad || count > bytes.n)
        return false;
    struct targets targets = {
        .visitors = ARENA_ARRAY(arena, uint64_t, count),
        .identifiers = ARENA_ARRAY(arena, struct event_identifier, count),
        .count = (size_t)count,
    };
    for (size_t i = 0; i < count; i++) {
        targets.visitors[i] = cursor_u64(&cursor);
        targets.identifiers[i].type = (enum identifier_type)cursor_varint(&cursor);
        targets.identifiers[i].value = arena_copy(arena, cursor_blob(&cursor));
    }
    if (count == 0) {
        targets.erased.identifiers = cursor_u64(&cursor);
        targets.erased.records = cursor_u64(&cursor);
    }
    *ret_targets = targets;
    return !cursor.bad && cursor_at_end(&cursor);
}

void pipeline_erase_fold(struct pipeline *pipeline, struct item *item, struct arena *arena)
{
    struct err err;
    struct erasure erasure;
    if (erasure_decode(item->record.payload, arena, &erasure, &err) != ST_OK ||
        identity_erase(pipeline->identity, erasure.hashes, erasure.hashes_count, arena,
                       &item->erased, &item->erased_count, &err) != ST_OK)
        return; /* nobody of that name (any more): a replay after the erase */
    CHECK(item->erased_count > 0);
    char name[40];
    struct buf list;
    list_name(erasure.ledger_id, name);
    buf_init(&list, LIST_BYTES_MAX);
    list_encode(item->erased, item->erased_count, &list);
    CHECK(!list.overflow);
    state_set_value(pipeline->state, name, buf_view(&list));
    buf_done(&list);
}

/* --- the worker's half
 * -------------------------------------------------------------------------------------------- */

struct positions {
    uint64_t *p;
    size_t count, capacity;
};

static void positions_add(struct positions *positions, uint64_t position)
{
    if (positions->count == positions->capacity) {
        positions->capacity = positions->capacity == 0 ? 64 : positions->capacity * 2;
        positions->p = mem_grow(positions->p, positions->capacity * sizeof *positions->p);
    }
    positions->p[positions->count++] = position;
}

/* The quarantined records whose raw bytes name one of the identifiers. */
static enum status quarantine_search(struct pipeline *pipeline, const struct targets *targets,
                                     struct positions *positions, struct err *err)
{
    struct buf json, bytes;
    struct arena arena;
    struct log_record record;
    yyjson_doc *doc = NULL;
    arena_init(&arena);
    buf_init(&json, (size_t)1 << 30);
    buf_init(&bytes, LIMIT_INFLATED_BYTES * 2);
    enum status status = warehouse_query(
        pipeline->warehouse,
        "SELECT position FROM records WHERE verdict = 'quarantined' ORDER BY position", NULL, 0,
        &json, err);
    if (status == ST_OK)
        status = json_parse(NULL, buf_view(&json), &doc, err);
    yyjson_val *row;
    yyjson_arr_iter rows;
    yyjson_arr_iter_init(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"), &rows);
    while (status == ST_OK && (row = yyjson_arr_iter_next(&rows)) != NULL) {
        uint64_t position = yyjson_get_uint(yyjson_arr_get_first(row));
        arena_reset(&arena);
        enum status found = log_read_at(pipeline->options.log, position, &bytes, &record, err);
        if (found == ST_OK &&
            pipeline_search(&record, targets->identifiers, targets->count, &arena))
            positions_add(positions, position);
        else if (found != ST_OK && found != ST_GONE)
            status = found;
    }
    yyjson_doc_free(doc);
    arena_done(&arena);
    buf_done(&json);
    buf_done(&bytes);
    return status;
}

/* By what the door will know the record when it is sent again: an event by its message id, what
 * could not be read by its bytes. False when there is nothing to know it by. */
static bool id_of(struct pipeline *pipeline, const struct log_record *record,
                  struct hash128 *ret_id)
{
    struct event event;
    struct quarantine quarantine;
    struct err ignored;
    if ((record->flags & LOG_FLAG_ERASED) != 0)
        return false;
    if (record->type == LOG_EVENT && event_decode(record->payload, &event, &ignored) == ST_OK)
        *ret_id = clean_id(pipeline->clean, record->source, event.message_id);
    else if (record->type == LOG_QUARANTINE &&
             quarantine_decode(record->payload, &quarantine, &ignored) == ST_OK)
        *ret_id = clean_raw_id(pipeline->clean, record->source, quarantine.raw);
    else
        return false;
    return true;
}

/* Remember the ids of what goes: a rebuild will not find them in the journal any more, and a
 * client's retry or a second import of the file must not bring the events back. */
static enum status ids_bury(struct pipeline *pipeline, const uint64_t *positions, size_t count,
                            struct err *err)
{
    struct buf bytes;
    struct log_record record;
    struct hash128 *ids = mem_zero((count + 1) * sizeof *ids);
    size_t ids_count = 0;
    enum status status = ST_OK;
    buf_init(&bytes, LIMIT_INFLATED_BYTES * 2);
    for (size_t i = 0; status == ST_OK && i < count; i++) {
        status = log_read_at(pipeline->options.log, positions[i], &bytes, &record, err);
        if (status == ST_GONE)
            status = ST_OK; /* retention was faster */
        else if (status == ST_OK && id_of(pipeline, &record, &ids[ids_count]))
            ids_count++;
    }
    if (status == ST_OK && ids_count > 0)
        status = clean_bury(pipeline->clean, ids, ids_count, err);
    buf_done(&bytes);
    free(ids);
    return status;
}

/* Journal, then warehouse: the warehouse is what finds the journal's records, so it goes last. */
static enum status bytes_overwrite(struct pipeline *pipeline, const struct targets *targets,
                                   uint64_t *ret_records, struct err *err)
{
    struct warehouse *warehouse = pipeline->warehouse;
    uint64_t *own = NULL;
    size_t own_count = 0;
    struct positions extra = {0};
    enum status status =
        warehouse_positions_of(warehouse, targets->visitors, targets->count, &own, &own_count, err);
    if (status == ST_OK)
        status = quarantine_search(pipeline, targets, &extra, err);
    if (status == ST_OK)
        status = ids_bury(pipeline, own, own_count, err);
    if (status == ST_OK)
        status = ids_bury(pipeline, extra.p, extra.count, err);
    if (status == ST_OK)
        status = log_overwrite(pipeline->options.log, own, own_count, err);
    if (status == ST_OK)
        status = log_overwrite(pipeline->options.log, extra.p, extra.count, err);
    HOOK("erase_journal_done");
    timeline_erase(pipeline->timeline, targets->visitors, status == ST_OK ? targets->count : 0);
    if (status == ST_OK)
        status = warehouse_erase(warehouse, targets->visitors, targets->count, extra.p, extra.count,
                                 err);
    HOOK("erase_warehouse_done");
    if (status == ST_OK && pipeline->forget != NULL)
        status = pipeline->forget(pipeline->forget_ctx, targets->visitors, targets->identifiers,
                                  targets->count, err);
    if (status == ST_OK)
        *ret_records = own_count + extra.count;
    free(own);
    free(extra.p);
    return status;
}

/* The list is not needed any more. */
static enum status list_replace(struct pipeline *pipeline, const char *name,
                                const struct pipeline_erased *erased, struct err *err)
{
    struct buf figures;
    buf_init(&figures, 64);
    buf_varint(&figures, 0);
    buf_u64(&figures, erased->identifiers);
    buf_u64(&figures, erased->records);
    state_lock(pipeline->state);
    state_set_value(pipeline->state, name, buf_view(&figures));
    state_unlock(pipeline->state);
    buf_done(&figures);
    return pipeline_flush(pipeline, err);
}

/* No page of the state file, its log or a snapshot holds what went. */
static enum status state_clean(struct pipeline *pipeline, struct err *err)
{
    enum status status;
    HOOK("erase_state_clean");
    while ((status = state_checkpoint(pipeline->state, true, err)) == ST_BUSY)
        if (pipeline_pause(pipeline, RETRY_US)) /* a snapshot reads the file */
            return status;
    return status == ST_OK ? pipeline_snapshots_remake(pipeline, err) : status;
}

static enum status list_read(struct pipeline *pipeline, const char *name, uint64_t ledger_id,
                             struct arena *arena, struct targets *ret_targets, struct err *err)
{
    struct buf list;
    buf_init(&list, LIST_BYTES_MAX);
    state_lock(pipeline->state);
    bool there = state_value(pipeline->state, name, &list) && list.n > 0;
    state_unlock(pipeline->state);
    enum status status = ST_OK;
    if (!there)
        status = err_set(err, ST_NOT_FOUND, "erase %llu has nothing left to do",
                         (unsigned long long)ledger_id);
    else if (!list_decode(buf_view(&list), arena, ret_targets))
        status = err_set(err, ST_CORRUPT, "the list of erase %llu is damaged",
                         (unsigned long long)ledger_id);
    buf_done(&list);
    return status;
}

enum status pipeline_erase_finish(struct pipeline *pipeline, uint64_t ledger_id,
                                  struct pipeline_erased *ret_erased, struct err *err)
{
    char name[40];
    struct arena arena;
    struct targets targets = {0};
    list_name(ledger_id, name);
    arena_init(&arena);
    pthread_mutex_lock(&pipeline->erase_mutex);
    enum status status = list_read(pipeline, name, ledger_id, &arena, &targets, err);
    struct pipeline_erased erased = targets.erased;
    if (status == ST_OK && targets.count > 0) {
        erased.identifiers = targets.count;
        status = pipeline_flush(pipeline, err); /* from here on the list survives a crash */
        if (status == ST_OK)
            status = bytes_overwrite(pipeline, &targets, &erased.records, err);
        if (status == ST_OK)
            status = list_replace(pipeline, name, &erased, err);
    }
    if (status == ST_OK)
        status = state_clean(pipeline, err);
    if (status == ST_OK)
        *ret_erased = erased;
    pthread_mutex_unlock(&pipeline->erase_mutex);
    arena_done(&arena);
    return status;
}

void pipeline_erase_forget(struct pipeline *pipeline, uint64_t ledger_id)
{
    char name[40];
    list_name(ledger_id, name);
    state_lock(pipeline->state);
    state_set_value(pipeline->state, name, STR(""));
    state_unlock(pipeline->state);
}

/* Whose component is to go: as it was when somebody asked. */
struct asked {
    struct identity_member *members; /* in the arena */
    size_t count;
};

/* Append the erase record. The members as they are now name the hashes, the fold drops their
 * components as they are then. */
static enum status record_append(struct pipeline *pipeline, const struct asked *asked,
                                 uint64_t ledger_id, struct arena *arena, uint64_t *ret_end,
                                 struct err *err)
{
    struct hash128 *hashes = ARENA_ARRAY(arena, struct hash128, asked->count);
    for (size_t i = 0; i < asked->count; i++)
        hashes[i] =
            identity_hash(pipeline->identity, asked->members[i].type, asked->members[i].value);
    struct erasure erasure = {
        .ledger_id = ledger_id, .hashes = hashes, .hashes_count = asked->count};
    struct buf payload, frames;
    uint64_t first = 0;
    buf_init(&payload, LIST_BYTES_MAX);
    buf_init(&frames, LIST_BYTES_MAX);
    erasure_encode(&erasure, &payload);
    log_frame(&frames, LOG_ERASE, EVENT_VERSION, SOURCE_SELF, buf_view(&payload));
    enum status status = log_append_wait(pipeline->options.log, &frames, 1, &first, err);
    if (status == ST_OK)
        *ret_end = first + frames.n;
    buf_done(&payload);
    buf_done(&frames);
    return status;
}

static enum status round_run(struct pipeline *pipeline, const struct asked *asked,
                             uint64_t ledger_id, struct arena *arena,
                             struct pipeline_erased *ret_erased, struct err *err)
{
    uint64_t end = 0;
    enum status status = record_append(pipeline, asked, ledger_id, arena, &end, err);
    HOOK("erase_recorded");
    if (status == ST_OK)
        status = pipeline_wait_blocking(pipeline, end, err);
    return status == ST_OK ? pipeline_erase_finish(pipeline, ledger_id, ret_erased, err) : status;
}

/* Is this identifier known again, and by nothing but repeats? */
static bool is_back(struct pipeline *pipeline, const struct identity_member *member,
                    struct arena *arena)
{
    struct identity_member *members = NULL;
    struct profile_view view;
    struct err ignored;
    size_t count = 0;
    if (identity_members(pipeline->identity, member->type, member->value, arena, &members, &count,
                         &ignored) != ST_OK)
        return false;
    struct visitor_id *visitors = ARENA_ARRAY(arena, struct visitor_id, count);
    for (size_t i = 0; i < count; i++)
        visitors[i] = members[i].visitor;
    profile_view(pipeline->profile, visitors, count, arena, &view);
    return view.events_total == 0;
}

/* A client that repeats the events between the erase record and the moment when their ids are
 * buried makes the person known again, without a single event: a repeat is no event, but its
 * anchor is named. *ret_asked is who is back like that; whoever came with a new event is new. */
static enum status who_is_back(struct pipeline *pipeline, const struct asked *asked,
                               struct arena *arena, struct asked *ret_asked, struct err *err)
{
    uint64_t end = log_end(pipeline->options.log);
    enum status status = pipeline_wait_blocking(pipeline, end, err);
    *ret_asked = (struct asked){
        .members = ARENA_ARRAY(arena, struct identity_member, asked->count),
    };
    state_lock(pipeline->state);
    for (size_t i = 0; status == ST_OK && i < asked->count; i++)
        if (is_back(pipeline, &asked->members[i], arena))
            ret_asked->members[ret_asked->count++] = asked->members[i];
    state_unlock(pipeline->state);
    return status;
}

static enum status members_find(struct pipeline *pipeline, enum identifier_type type,
                                struct str value, struct arena *arena, struct asked *ret_asked,
                                struct err *err)
{
    /* First all that came before: whoever is in the journal and not yet folded is known, too. */
    enum status status = pipeline_wait_blocking(pipeline, log_end(pipeline->options.log), err);
    if (status != ST_OK)
        return status;
    state_lock(pipeline->state);
    status = identity_members(pipeline->identity, type, value, arena, &ret_asked->members,
                              &ret_asked->count, err);
    state_unlock(pipeline->state);
    return status;
}

enum status pipeline_erase(struct pipeline *pipeline, enum identifier_type type, struct str value,
                           uint64_t ledger_id, struct pipeline_erased *ret_erased, struct err *err)
{
    struct arena arena;
    struct asked asked = {0}, back = {0};
    arena_init(&arena);
    enum status status = members_find(pipeline, type, value, &arena, &asked, err);
    if (status == ST_OK)
        status = round_run(pipeline, &asked, ledger_id, &arena, ret_erased, err);
    /* After the first round the door refuses repeats; what was on its way falls to the second. */
    for (int round = 1; status == ST_OK && round < ROUNDS_MAX; round++) {
        struct pipeline_erased more = {0};
        status = who_is_back(pipeline, &asked, &arena, &back, err);
        if (status != ST_OK || back.count == 0)
            break;
        status = round_run(pipeline, &back, ledger_id, &arena, &more, err);
        ret_erased->records += more.records;
    }
    arena_done(&arena);
    return status;
}
