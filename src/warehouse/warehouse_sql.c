/* warehouse_sql.c - running a person's SQL, and our own.
 *
 * A person's query is held by five limits: the guard says what it may name, its transaction is
 * read-only, a slot says how many run at once, the watchdog interrupts it when its time is over,
 * and its rows are streamed, so that an answer of a billion rows ends at the limit without being
 * made first.
 *
 * The engine forgets an interrupt that comes between two of its steps; so the watchdog repeats it
 * until the slot is free. */
#include "warehouse/warehouse_int.h"

#include <errno.h>
#include <time.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/json.h"
#include "base/thread.h"

#include <stdlib.h>

#define TIME_DEFAULT_US (INT64_C(30) * US_PER_S)
#define ROWS_DEFAULT 100000
#define BYTES_DEFAULT ((size_t)64 << 20)
#define REPEAT_US (INT64_C(20) * US_PER_MS) /* between two interrupts of one query */
#define TAIL_BYTES 256                      /* of an answer, after its rows */

/* The next moment at which the watchdog has something to do; INT64_MAX = none. */
static int64_t overdue_interrupt(struct warehouse *warehouse)
{
    int64_t now_us = monotonic_us(), next_us = INT64_MAX;
    for (size_t i = 0; i < WAREHOUSE_QUERIES_MAX; i++) {
        const struct slot *slot = &warehouse->slots[i];
        if (slot->connection == NULL)
            continue;
        int64_t due_us = slot->deadline_us;
        if (due_us <= now_us) {
            duckdb_interrupt(slot->connection);
            due_us = now_us + REPEAT_US;
        }
        next_us = due_us < next_us ? due_us : next_us;
    }
    for (const struct watch *watch = warehouse->watches; watch != NULL; watch = watch->next) {
        if (watch->stop(watch->stop_ctx))
            duckdb_interrupt(watch->connection);
        next_us = now_us + REPEAT_US < next_us ? now_us + REPEAT_US : next_us;
    }
    return next_us;
}

static void *watchdog_main(void *argument)
{
    struct warehouse *warehouse = argument;
    pthread_mutex_lock(&warehouse->slots_mutex);
    while (!warehouse->stopping) {
        int64_t next_us = overdue_interrupt(warehouse);
        struct timespec until = {.tv_sec = next_us / US_PER_S,
                                 .tv_nsec = next_us % US_PER_S * 1000};
        if (next_us == INT64_MAX)
            pthread_cond_wait(&warehouse->slots_changed, &warehouse->slots_mutex);
        else
            pthread_cond_timedwait(&warehouse->slots_changed, &warehouse->slots_mutex, &until);
    }
    pthread_mutex_unlock(&warehouse->slots_mutex);
    return NULL;
}

void slots_init(struct warehouse *warehouse)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&warehouse->slots_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&warehouse->slots_mutex, NULL);
    CHECK(thread_start(&warehouse->watchdog, "sql watchdog", watchdog_main, warehouse) == 0);
}

void slots_done(struct warehouse *warehouse)
{
    pthread_mutex_lock(&warehouse->slots_mutex);
    warehouse->stopping = true;
    pthread_cond_signal(&warehouse->slots_changed);
    pthread_mutex_unlock(&warehouse->slots_mutex);
    pthread_join(warehouse->watchdog, NULL);
    pthread_mutex_destroy(&warehouse->slots_mutex);
    pthread_cond_destroy(&warehouse->slots_changed);
}

void watch_begin(struct warehouse *warehouse, struct watch *watch)
{
    pthread_mutex_lock(&warehouse->slots_mutex);
    watch->next = warehouse->watches;
    warehouse->watches = watch;
    pthread_cond_signal(&warehouse->slots_changed);
    pthread_mutex_unlock(&warehouse->slots_mutex);
}

void watch_end(struct warehouse *warehouse, struct watch *watch)
{
    pthread_mutex_lock(&warehouse->slots_mutex);
    struct watch **at = &warehouse->watches;
    while (*at != watch)
        at = &(*at)->next;
    *at = watch->next;
    pthread_mutex_unlock(&warehouse->slots_mutex);
}

static enum status slot_take(struct warehouse *warehouse, int64_t time_us, struct slot **ret_slot,
                             struct err *err)
{
    enum status status = err_set(err, ST_BUSY, "could not run the query: %d others are running",
                                 WAREHOUSE_QUERIES_MAX);
    pthread_mutex_lock(&warehouse->slots_mutex);
    for (size_t i = 0; i < WAREHOUSE_QUERIES_MAX && status == ST_BUSY; i++) {
        struct slot *slot = &warehouse->slots[i];
        if (slot->connection != NULL)
            continue;
        status = engine_connect_reader(warehouse, &slot->connection, err);
        slot->deadline_us = monotonic_us() + time_us;
        if (status == ST_OK)
            *ret_slot = slot;
    }
    pthread_cond_signal(&warehouse->slots_changed);
    pthread_mutex_unlock(&warehouse->slots_mutex);
    return status;
}

static void slot_give(struct warehouse *warehouse, struct slot *slot)
{
    pthread_mutex_lock(&warehouse->slots_mutex);
    duckdb_disconnect(&slot->connection);
    slot->connection = NULL;
    pthread_mutex_unlock(&warehouse->slots_mutex);
}

/* The rows under way, into `json`, up to the limits. */
static enum status answer_put(struct stream *stream, struct json_rows *rows, int64_t deadline_us,
                              struct buf *json, struct err *err)
{
    int64_t start_us = monotonic_us();
    buf_char(json, '{');
    json_put_name(json, "columns");
    enum status status = json_columns(json, &stream->result, err);
    if (status != ST_OK)
        return status;
    json_put_name(json, "rows");
    buf_char(json, '[');
    while (!rows->truncated && monotonic_us() < deadline_us) {
        duckdb_data_chunk chunk = stream_next(stream, &status, err);
        if (chunk == NULL)
            break;
        json_chunk(json, &stream->result, chunk, rows);
        duckdb_destroy_data_chunk(&chunk);
    }
    buf_char(json, ']');
    json_put_member_uint(json, "row_count", rows->rows);
    json_put_member_bool(json, "truncated", rows->truncated);
    json_put_name(json, "seconds");
    buf_fmt(json, "%.3f}", (double)(monotonic_us() - start_us) / 1e6);
    return status;
}

static enum status prepared_run(struct stream *stream, struct err *err)
{
    if (duckdb_prepared_statement_type(stream->prepared) != DUCKDB_STATEMENT_TYPE_SELECT)
        return err_set(err, ST_INVALID, "could not run the query: it must be one SELECT");
    stream->has_result = true;
    if (duckdb_execute_prepared_streaming(stream->prepared, &stream->result) != DuckDBSuccess)
        return engine_error(err, ST_INVALID, "run the query", duckdb_result_error(&stream->result));
    return ST_OK;
}

/* Exactly one statement, prepared as the engine itself took it from the text. */
static enum status text_prepare(duckdb_connection connection, const char *text,
                                struct stream *stream, struct err *err)
{
    duckdb_extracted_statements statements = NULL;
    idx_t count = duckdb_extract_statements(connection, text, &statements);
    enum status status = ST_OK;
    if (count == 0)
        status = engine_error(err, ST_INVALID, "run the query",
                              duckdb_extract_statements_error(statements));
    else if (count != 1)
        status = err_set(err, ST_INVALID, "could not run the query: it must be one SELECT");
    else if (duckdb_prepare_extracted_statement(connection, statements, 0, &stream->prepared) !=
             DuckDBSuccess)
        status =
            engine_error(err, ST_INVALID, "run the query", duckdb_prepare_error(stream->prepared));
    duckdb_destroy_extracted(&statements);
    return status;
}

static enum status person_run(duckdb_connection connection, const char *text,
                              struct json_rows *rows, int64_t deadline_us, struct buf *json,
                              struct err *err)
{
    struct stream stream = {0};
    enum status status = guard_check(connection, str_of(text), err);
    if (status == ST_OK)
        status = text_prepare(connection, text, &stream, err);
    if (status == ST_OK)
        status = prepared_run(&stream, err);
    if (status == ST_OK) {
        status = answer_put(&stream, rows, deadline_us, json, err);
        if (status == ST_IO)
            status = err_set(err, ST_INVALID, "could not run the query: %s",
                             duckdb_result_error(&stream.result));
    }
    stream_close(&stream);
    return status;
}

enum status warehouse_sql(struct warehouse *warehouse, struct str sql,
                          const struct warehouse_limits *limits, struct buf *json, struct err *err)
{
    struct slot *slot = NULL;
    struct arena arena;
    size_t start = json->n, room = json->max - json->n;
    size_t bytes = limits != NULL && limits->bytes_max > 0 ? limits->bytes_max : BYTES_DEFAULT;
    int64_t time_us = limits != NULL && limits->time_us > 0 ? limits->time_us : TIME_DEFAULT_US;
    struct json_rows rows = {.rows_max = limits != NULL && limits->rows_max > 0 ? limits->rows_max
                                                                                : ROWS_DEFAULT};
    if (sql.n > WAREHOUSE_SQL_MAX || room < TAIL_BYTES)
        return err_set(err, ST_TOO_LARGE,
                       "could not run the query: its text is longer than %zu bytes",
                       WAREHOUSE_SQL_MAX);
    if (memchr(sql.p, '\0', sql.n) != NULL)
        return err_set(err, ST_INVALID, "could not run the query: its text has a zero byte");
    rows.bytes_max = start + (bytes < room - TAIL_BYTES ? bytes : room - TAIL_BYTES);

    enum status status = slot_take(warehouse, time_us, &slot, err);
    if (status != ST_OK)
        return status;
    arena_init(&arena);
    unsigned generation = readers_enter(warehouse);
    status =
        person_run(slot->connection, arena_cstr(&arena, sql), &rows, slot->deadline_us, json, err);
    readers_leave(warehouse, generation);
    bool late = monotonic_us() >= slot->deadline_us;
    slot_give(warehouse, slot);
    arena_done(&arena);
    if (late)
        status = err_set(err, ST_TIMEOUT, "could not run the query: it took longer than %.1f s",
                         (double)time_us / 1e6);
    if (status != ST_OK) {
        json->n = start;
        json->overflow = false;
    }
    return status;
}

enum status warehouse_query(struct warehouse *warehouse, const char *sql, const struct str *params,
                            size_t params_count, struct buf *json, struct err *err)
{
    struct stream stream;
    duckdb_connection connection = NULL;
    struct json_rows rows = {.rows_max = UINT64_MAX, .bytes_max = json->max};
    unsigned generation = readers_enter(warehouse);
    enum status status = engine_connect_reader(warehouse, &connection, err);
    if (status == ST_OK)
        status = stream_open(&stream, connection, sql, params, params_count, err);
    if (status == ST_OK) {
        status = answer_put(&stream, &rows, INT64_MAX, json, err);
        stream_close(&stream);
    }
    duckdb_disconnect(&connection);
    readers_leave(warehouse, generation);
    if (status == ST_OK && (json->overflow || rows.truncated))
        status = err_set(err, ST_TOO_LARGE,
                         "could not answer a query: the answer has more than %zu bytes", json->max);
    return status;
}
