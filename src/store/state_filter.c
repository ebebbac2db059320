/* state_filter.c - filling the filters from the file, beside everything else.
 *
 * Problem: a filter that has not seen every key of the file would call a known person unknown.
 * Rule: from the moment a filter begins to be filled each added key goes into it too; the keys that
 * were added before and are not yet in the file are in memory, and are entered first; the rest is
 * read from the file afterwards. Only then does it answer. Until then a miss reads the file, which
 * is slower and right.
 *
 * A filter that has taken more keys than it was made for is filled again, larger, in the same way,
 * while the old one goes on answering. */
#include "store/state_int.h"

#include "base/check.h"
#include "base/thread.h"

#define KEYS_SLICE 1024                /* keys entered per hold of the lock: some 30 µs */
#define CAPACITY_FIRST UINT64_C(65536) /* 100 KB: no rebuilds for the smallest shops */

/* --- called under the lock
 * -------------------------------------------------------------------------- */

void state_filter_want(struct state_table *table)
{
    struct state *state = table->state;
    if (table->rows == 0 && !table->filter_ready) {
        filter_init(&table->filter, CAPACITY_FIRST);
        table->filter_ready = true;
        return;
    }
    pthread_mutex_lock(&state->build_mutex);
    state->build_wanted[table - state->tables] = true;
    pthread_cond_signal(&state->build_changed);
    pthread_mutex_unlock(&state->build_mutex);
}

void state_filter_note(struct state_table *table, struct hash128 mapped)
{
    if (table->filter_building)
        filter_add(&table->filter_next, mapped);
    if (!table->filter_ready)
        return;
    filter_add(&table->filter, mapped);
    /* Once per overflow: the count passes the capacity one time. */
    if (table->filter.count == table->filter.capacity + 1)
        state_filter_want(table);
}

/* --- the builder's thread
 * --------------------------------------------------------------------------- */

static bool stopping(struct state *state)
{
    return __atomic_load_n(&state->build_stop, __ATOMIC_ACQUIRE);
}

/* From here on state_filter_note adds to it, too. */
static void begin_filter(struct state_table *table)
{
    state_lock(table->state);
    filter_init(&table->filter_next, CAPACITY_FIRST + table->rows / 2 * 3);
    table->filter_building = true;
    for (struct map_slot *slot = NULL; (slot = map_next(&table->map, slot)) != NULL;)
        if (!is_merged(table->state, entry_of(slot->value)))
            filter_add(&table->filter_next, slot->key);
    for (struct map_slot *slot = NULL; (slot = map_next(&table->recovered, slot)) != NULL;)
        filter_add(&table->filter_next, slot->key);
    state_unlock(table->state);
}

static void finish_filter(struct state_table *table)
{
    state_lock(table->state);
    filter_done(&table->filter);
    table->filter = table->filter_next;
    table->filter_next = (struct filter){0};
    table->filter_building = false;
    table->filter_ready = true;
    /* It may have overflowed while it was filled. */
    if (table->filter.count > table->filter.capacity)
        state_filter_want(table);
    state_unlock(table->state);
}

/* The keys from *at on into `keys`; how many. */
static size_t read_keys(struct state_table *table, struct db *db, struct hash128 at,
                        struct hash128 keys[KEYS_SLICE])
{
    struct db_stmt *stmt = db_prepare(db, table->sql_keys);
    state_bind_key(table, stmt, 1, at);
    db_bind_int(stmt, 2, KEYS_SLICE);
    size_t count = 0;
    bool row = false;
    struct err err;
    enum status status;
    while ((status = db_step(stmt, &row, &err)) == ST_OK && row)
        keys[count++] = state_column_key(table, stmt, 0);
    if (status != ST_OK)
        fatal("could not read %s: %s", table->state->path, err.message);
    return count;
}

static void build_filter(struct state_table *table, struct db *db)
{
    struct state *state = table->state;
    struct hash128 keys[KEYS_SLICE], at = state_key_first(table);
    begin_filter(table);
    for (bool more = true; more;) {
        if (stopping(state))
            return;
        size_t count = read_keys(table, db, at, keys);
        polite_lock_take_late(&state->lock);
        for (size_t i = 0; i < count; i++)
            filter_add(&table->filter_next, map_key(table, keys[i]));
        state_unlock(state);
        more = count == KEYS_SLICE;
        if (more) {
            at = keys[count - 1];
            more = state_key_next(table, &at);
        }
    }
    finish_filter(table);
}

static int wanted_index(const struct state *state)
{
    int i = 0;
    while (i < STATE_TABLES_MAX && !state->build_wanted[i])
        i++;
    return i;
}

/* The next table that wants a filter; NULL when the state closes. */
static struct state_table *wait_for_table(struct state *state)
{
    pthread_mutex_lock(&state->build_mutex);
    while (!state->build_stop && wanted_index(state) == STATE_TABLES_MAX)
        pthread_cond_wait(&state->build_changed, &state->build_mutex);
    struct state_table *table = NULL;
    if (!state->build_stop) {
        int i = wanted_index(state);
        state->build_wanted[i] = false;
        table = &state->tables[i];
    }
    pthread_mutex_unlock(&state->build_mutex);
    return table;
}

static void *build_loop(void *arg)
{
    struct state *state = arg;
    struct state_table *table;
    struct db *db = NULL;
    struct err err;
    thread_background(); /* without it all is right, only slower; a start has more urgent work */
    while ((table = wait_for_table(state)) != NULL) {
        if (db_open(state->path, true, &db, &err) != ST_OK)
            fatal("could not read %s: %s", state->path, err.message);
        build_filter(table, db);
        db_close(db);
    }
    return NULL;
}

void state_filter_start(struct state *state)
{
    CHECK(pthread_mutex_init(&state->build_mutex, NULL) == 0);
    CHECK(pthread_cond_init(&state->build_changed, NULL) == 0);
    CHECK(thread_start(&state->builder, "state filter", build_loop, state) == 0);
}

void state_filter_stop(struct state *state)
{
    pthread_mutex_lock(&state->build_mutex);
    __atomic_store_n(&state->build_stop, true, __ATOMIC_RELEASE);
    pthread_cond_signal(&state->build_changed);
    pthread_mutex_unlock(&state->build_mutex);
    pthread_join(state->builder, NULL);
    pthread_cond_destroy(&state->build_changed);
    pthread_mutex_destroy(&state->build_mutex);
}
