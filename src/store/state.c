/* state.c - the cache: get, add, change, remove.
 *
 * Problem: each event touches half a dozen objects of identity and profile, at 100,000 events a
 * second; SQLite alone does 45,000 (peers' measurement). Rule: objects live decoded in memory, the
 * file is written behind, and the journal is what makes that safe. state_int.h draws the life of an
 * entry.
 *
 * Invariants: what is not merged is never evicted; a miss therefore reads an object that is
 * committed, in a transaction begun after that commit (state_reader_refresh). `bytes` is the sum of
 * entry_cost over entries that are not CHANGED. */
#include "store/state_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/rng.h"
#include "state_migrations.h"
#include "state_sql.h"

#define CACHE_BYTES_DEFAULT ((size_t)640 << 20)
#define FILE_KEY_BYTES 16

/* --- keys as the file has them ---------------------------------------------------------------- */

/* Big-endian, so that the file's order of bytes is hash128_compare's. */
void state_bind_key(const struct state_table *table, struct db_stmt *stmt, int n,
                    struct hash128 key)
{
    if (table->def->integer_key) {
        db_bind_int(stmt, n, (int64_t)key.a);
        return;
    }
    uint64_t bytes[2] = {__builtin_bswap64(key.a), __builtin_bswap64(key.b)};
    db_bind_bytes(stmt, n, (struct str){(const char *)bytes, sizeof bytes});
}

struct hash128 state_column_key(const struct state_table *table, struct db_stmt *stmt, int column)
{
    if (table->def->integer_key)
        return (struct hash128){(uint64_t)db_int(stmt, column), 0};
    struct str bytes = db_str(stmt, column);
    if (bytes.n != FILE_KEY_BYTES)
        fatal("could not read %s: a key of %s has %zu bytes", table->state->path, table->def->name,
              bytes.n);
    uint64_t v[2];
    memcpy(v, bytes.p, sizeof v);
    return (struct hash128){__builtin_bswap64(v[0]), __builtin_bswap64(v[1])};
}

struct hash128 state_key_first(const struct state_table *table)
{
    return (struct hash128){table->def->integer_key ? (uint64_t)INT64_MIN : 0, 0};
}

bool state_key_next(const struct state_table *table, struct hash128 *key)
{
    if (table->def->integer_key) {
        if ((int64_t)key->a == INT64_MAX)
            return false;
        key->a++;
        return true;
    }
    key->b++;
    if (key->b == 0)
        key->a++;
    return key->a != 0 || key->b != 0;
}

/* --- objects
 * --------------------------------------------------------------------------------------- */

static void changed_add(struct state_table *table, struct state_entry *entry)
{
    struct entry_list *list = &table->changed;
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 1024 : list->capacity * 2;
        list->entries = mem_grow(list->entries, list->capacity * sizeof *list->entries);
    }
    list->entries[list->count++] = entry;
    entry->flags |= FLAG_CHANGED;
}

void removed_add(struct removed_list *list, struct removed_entry removed)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->entries = mem_grow(list->entries, list->capacity * sizeof *list->entries);
    }
    list->entries[list->count++] = removed;
}

struct state_entry *state_decode(struct state_table *table, struct hash128 key, struct str bytes)
{
    struct state_entry *entry = table->def->decode(key, bytes);
    if (entry == NULL)
        fatal("could not read %s: an object of %s is damaged; delete the file, it is rebuilt from "
              "the journal",
              table->state->path, table->def->name);
    CHECK(entry->bytes >= sizeof *entry);
    entry->key = key;
    entry->flags = 0;
    entry->used = 0; /* it earns its second chance by a second get */
    entry->chunk = 0;
    return entry;
}

/* The row of the file, or NULL. */
static struct state_entry *read_file(struct state_table *table, struct hash128 key)
{
    struct state *state = table->state;
    struct err err;
    enum status status = ST_OK;
    if (!state->reading)
        status = db_exec(db_prepare(state->reader, "BEGIN"), &err);
    state->reading = true;
    struct db_stmt *stmt = db_prepare(state->reader, table->sql_get);
    state_bind_key(table, stmt, 1, key);
    bool row = false;
    if (status == ST_OK)
        status = db_step(stmt, &row, &err);
    if (status != ST_OK)
        fatal("could not read %s: %s", state->path, err.message);
    state->loads++;
    if (!row)
        return NULL;
    struct state_entry *entry = state_decode(table, key, db_str(stmt, 0));
    db_reset(stmt);
    return entry;
}

/* What the delta of before the start says comes before what the file says. */
static struct state_entry *load(struct state_table *table, struct hash128 key,
                                struct hash128 mapped)
{
    struct state *state = table->state;
    struct state_entry *entry = NULL;
    struct delta_row row;
    if (state_recovered_find(table, mapped, &row)) {
        if (row.removed)
            return NULL;
        entry = state_decode(table, key, row.bytes);
        entry->chunk = (uint32_t)state->recovered.upto;
    } else if (table->filter_ready && !filter_may_hold(&table->filter, mapped)) {
        state->filtered++;
    } else {
        entry = read_file(table, key);
    }
    if (entry == NULL)
        return NULL;
    *map_put(&table->map, mapped, NULL) = (uintptr_t)entry;
    state->bytes += entry_cost(entry);
    return entry;
}

struct state_entry *state_get(struct state_table *table, struct hash128 key)
{
    struct hash128 mapped = map_key(table, key);
    const uint64_t *slot = map_find(&table->map, mapped);
    if (slot == NULL)
        return load(table, key, mapped);
    struct state_entry *entry = entry_of(*slot);
    if (entry->flags & FLAG_REMOVED)
        return NULL;
    entry->used = 1;
    return entry;
}

void state_prefetch(struct state_table *table, const struct hash128 *keys, size_t count,
                    size_t bytes, struct state_entry **ret_found)
{
    for (size_t i = 0; i < count; i++)
        map_prefetch(&table->map, map_key(table, keys[i]));
    for (size_t i = 0; i < count; i++) {
        const uint64_t *slot = map_find(&table->map, map_key(table, keys[i]));
        ret_found[i] = slot == NULL ? NULL : entry_of(*slot);
        for (size_t at = 0; slot != NULL && at < bytes; at += CACHE_LINE)
            __builtin_prefetch((const char *)ret_found[i] + at);
    }
}

void state_add(struct state_table *table, struct state_entry *entry)
{
    CHECK(entry->bytes >= sizeof *entry);
    struct hash128 mapped = map_key(table, entry->key);
    uint64_t *slot = map_put(&table->map, mapped, NULL);
    CHECK(*slot == 0 || (entry_of(*slot)->flags & FLAG_REMOVED)); /* a tombstone gives its place */
    *slot = (uintptr_t)entry;
    entry->flags = 0;
    entry->used = 1;
    entry->chunk = 0;
    changed_add(table, entry);
    table->rows++;
    state_filter_note(table, mapped);
}

void state_change(struct state_table *table, struct state_entry *entry)
{
    if (entry->flags & FLAG_CHANGED)
        return;
    table->state->bytes -= entry_cost(entry);
    changed_add(table, entry);
}

void state_remove(struct state_table *table, struct state_entry *entry)
{
    CHECK(!(entry->flags & FLAG_REMOVED));
    state_change(table, entry);
    entry->flags |= FLAG_REMOVED;
    table->rows--;
    removed_add(&table->state->removed, (struct removed_entry){table, entry});
}

/* --- values
 * ------------------------------------------------------------------------------------------ */

static struct state_named_value *find_value(const struct state *state, const char *name)
{
    for (size_t i = 0; i < state->values_count; i++)
        if (strcmp(state->values[i].name, name) == 0)
            return &state->values[i];
    return NULL;
}

void state_set_value(struct state *state, const char *name, struct str value)
{
    struct state_named_value *found = find_value(state, name);
    if (found == NULL) {
        state->values = mem_grow(state->values, (state->values_count + 1) * sizeof *state->values);
        found = &state->values[state->values_count++];
        *found = (struct state_named_value){.name = strdup(name)};
        buf_init(&found->value, STATE_VALUE_BYTES_MAX);
    }
    buf_reset(&found->value);
    buf_str(&found->value, value);
    CHECK(!found->value.overflow);
    found->changed = true;
}

bool state_value(struct state *state, const char *name, struct buf *buf)
{
    const struct state_named_value *found = find_value(state, name);
    if (found == NULL)
        return false;
    buf_str(buf, buf_view(&found->value));
    return true;
}

void state_set_loaded_value(struct state *state, struct str name, struct str bytes)
{
    struct arena scratch;
    arena_init(&scratch);
    const char *own = arena_cstr(&scratch, name);
    state_set_value(state, own, bytes);
    for (size_t i = 0; i < state->values_count; i++)
        if (strcmp(state->values[i].name, own) == 0)
            state->values[i].changed = false;
    arena_done(&scratch);
}

static enum status load_values(struct state *state, struct err *err)
{
    struct db_stmt *list = db_prepare(state->reader, state_value_list);
    bool row = false;
    enum status status;
    while ((status = db_step(list, &row, err)) == ST_OK && row)
        state_set_loaded_value(state, db_str(list, 0), db_str(list, 1));
    return status;
}

/* --- life
 * ---------------------------------------------------------------------------------------------- */

static const char *query_of(const char *table, const char *question)
{
    size_t n = strlen(table);
    for (const struct db_query *query = state_queries; query->name != NULL; query++)
        if (strncmp(query->name, table, n) == 0 && query->name[n] == '_' &&
            strcmp(query->name + n + 1, question) == 0)
            return query->sql;
    fatal("could not find the query %s_%s in sql/state.sql", table, question);
}

void state_rows_name(const char *table, char ret_name[STATE_ROWS_NAME_MAX])
{
    int n = snprintf(ret_name, STATE_ROWS_NAME_MAX, "store.rows.%s", table);
    CHECK(n > 0 && n < STATE_ROWS_NAME_MAX);
}

static uint64_t stored_rows(struct state *state, const char *table)
{
    char name[STATE_ROWS_NAME_MAX];
    state_rows_name(table, name);
    const struct state_named_value *found = find_value(state, name);
    struct cursor cursor = cursor_of(found == NULL ? STR("") : buf_view(&found->value));
    return found == NULL ? 0 : cursor_u64(&cursor);
}

struct state_table *state_table(struct state *state, const struct state_table_def *def)
{
    CHECK(state->tables_count < STATE_TABLES_MAX);
    state_lock(state); /* the builder of another table's filter may be at work */
    struct state_table *table = &state->tables[state->tables_count];
    *table = (struct state_table){.state = state, .def = def};
    map_init(&table->map);
    table->sql_get = query_of(def->name, "get");
    table->sql_put = query_of(def->name, "put");
    table->sql_delete = query_of(def->name, "delete");
    table->sql_scan = query_of(def->name, "scan");
    table->sql_keys = query_of(def->name, "keys");
    table->rows = stored_rows(state, def->name);
    state->tables_count++;
    state_recovered_table(table);
    state_filter_want(table);
    state_unlock(state);
    return table;
}

/* A file of ours alone has a history: made with it, and copied with it into a snapshot. */
static enum status history_make(struct state *state, struct err *err)
{
    struct rng rng;
    rng_init_system(&rng);
    state->delta.history = rng_u64(&rng);
    struct db_stmt *make = db_prepare(state->writer, state_delta_make);
    db_bind_bytes(make, 1, (struct str){(const char *)&state->delta.history, sizeof(uint64_t)});
    return db_exec(make, err);
}

static enum status load_delta(struct state *state, struct err *err)
{
    struct db_stmt *get = db_prepare(state->writer, state_delta_get);
    bool row = false;
    enum status status = db_step(get, &row, err);
    if (status != ST_OK)
        return status;
    if (row) {
        struct cursor history = cursor_of(db_str(get, 0));
        state->delta.history = cursor_u64(&history);
        state->delta.merged = (uint64_t)db_int(get, 1);
    }
    db_reset(get);
    return row ? ST_OK : history_make(state, err);
}

static enum status open_file(struct state *state, struct err *err)
{
    enum status status = db_open(state->path, false, &state->writer, err);
    if (status == ST_OK)
        status = db_run(state->writer,
                        "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
                        "PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 67108864;",
                        err);
    if (status == ST_OK)
        status = migrate(state->writer, state_migrations, err);
    if (status == ST_OK)
        status = db_open(state->path, true, &state->reader, err);
    if (status == ST_OK)
        status = db_run(state->reader, "PRAGMA cache_size = -32768;", err);
    if (status == ST_OK)
        status = load_values(state, err);
    if (status == ST_OK)
        status = load_delta(state, err);
    if (status == ST_OK)
        status = state_recovered_open(state, err);
    for (const struct db_query *query = state_queries; status == ST_OK && query->name; query++)
        (void)db_prepare(state->reader, query->sql); /* a typo stops the start */
    return status;
}

enum status state_open(const struct state_options *options, struct state **ret_state,
                       struct err *err)
{
    struct state *state = mem_zero(sizeof *state);
    state->path = strdup(options->path);
    state->cache_bytes = options->cache_bytes == 0 ? CACHE_BYTES_DEFAULT : options->cache_bytes;
    polite_lock_init(&state->lock);
    state_delta_init(state, options->disk);
    state_filter_start(state);
    enum status status = open_file(state, err);
    if (status != ST_OK) {
        state_close(state);
        return status == ST_CORRUPT || status == ST_CONFLICT
                   ? err_hint(err, status, "delete state.db: it is rebuilt from the journal")
                   : status;
    }
    *ret_state = state;
    return ST_OK;
}

static void close_table(struct state_table *table)
{
    for (struct map_slot *slot = NULL; (slot = map_next(&table->map, slot)) != NULL;)
        if (!(entry_of(slot->value)->flags & FLAG_REMOVED))
            table->def->free(entry_of(slot->value));
    map_done(&table->map);
    filter_done(&table->filter);
    filter_done(&table->filter_next);
    free(table->changed.entries);
}

void state_close(struct state *state)
{
    if (state == NULL)
        return;
    state_filter_stop(state);
    struct recovered_rest rest;
    state_recovered_take(state, &rest);
    state_recovered_free(&rest);
    for (int i = 0; i < state->tables_count; i++)
        close_table(&state->tables[i]);
    for (size_t i = 0; i < state->removed.count; i++) /* some are in no map */
        state->removed.entries[i].table->def->free(state->removed.entries[i].entry);
    free(state->removed.entries);
    for (size_t i = 0; i < state->values_count; i++) {
        free(state->values[i].name);
        buf_done(&state->values[i].value);
    }
    free(state->values);
    if (state->reading)
        db_rollback(state->reader);
    db_close(state->reader);
    db_close(state->writer);
    state_delta_close(state);
    polite_lock_done(&state->lock);
    free(state->path);
    free(state);
}

void state_stats(struct state *state, struct state_stats *ret_stats)
{
    struct state_stats stats = {.loads = state->loads,
                                .evictions = state->evictions,
                                .flushes = state->flushes,
                                .filtered = state->filtered,
                                .cache_bytes = state->bytes,
                                .filters_ready = true,
                                .flush_last_us = state->flush_last_us};
    for (int i = 0; i < state->tables_count; i++) {
        const struct state_table *table = &state->tables[i];
        stats.cached += table->map.count;
        stats.dirty += table->changed.count;
        stats.filter_bytes += filter_bytes(&table->filter) + filter_bytes(&table->filter_next);
        stats.filters_ready = stats.filters_ready && table->filter_ready;
    }
    *ret_stats = stats;
}
