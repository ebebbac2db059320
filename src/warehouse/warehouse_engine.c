/* warehouse_engine.c - DuckDB's calls, with our outcomes.
 *
 * The instance lives in memory and every month's file is attached to it, so that one query reads
 * all of them. Its settings are the fence around people's SQL (DESIGN §9), so they are made before
 * the first file is attached and then locked for good: no way to the file system but our two
 * folders, no extensions, memory and threads as given. `allowed_directories` is a list and cannot
 * be part of the configuration that opens the instance; it is SET just before external access is
 * turned off.
 *
 * A failed fsync ends the process, as everywhere in Hezou: DuckDB would go on with pages of which
 * nobody knows whether they are on the disk. */
#include "warehouse/warehouse_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"

enum status engine_error(struct err *err, enum status status, const char *what, const char *message)
{
    /* All pass by themselves; the last two are seen while a file is opened again after that. */
    static const char *const full[] = {"No space left",        "Disk quota",
                                       "File too large",       "disk is full",
                                       "has been invalidated", "because schema \"m2"};
    if (message == NULL || message[0] == '\0')
        message = "the engine gave no reason";
    if (strstr(message, "fsync") != NULL)
        fatal("could not %s: %s", what, message);
    for (size_t i = 0; i < sizeof full / sizeof full[0]; i++)
        if (strstr(message, full[i]) != NULL)
            status = ST_BUSY;
    return err_set(err, status, "could not %s: %s", what, message);
}

void sql_fill(struct buf *sql, const char *text, const struct sql_word *words, size_t count)
{
    for (const char *at; (at = strchr(text, '@')) != NULL;) {
        const char *end = strchr(at + 1, '@');
        CHECK(end != NULL);
        struct str name = {at + 1, (size_t)(end - at - 1)};
        size_t i = 0;
        while (i < count && !str_is(name, words[i].name))
            i++;
        CHECK(i < count);
        buf_put(sql, text, (size_t)(at - text));
        buf_text(sql, words[i].value);
        text = end + 1;
    }
    buf_text(sql, text);
    CHECK(!sql->overflow);
}

void sql_quote(struct buf *sql, const char *text)
{
    buf_char(sql, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_char(sql, '\'');
        buf_char(sql, *text);
    }
    buf_char(sql, '\'');
}

void sql_list(struct buf *text, const uint64_t *numbers, size_t count)
{
    buf_char(text, '[');
    for (size_t i = 0; i < count; i++)
        buf_fmt(text, i == 0 ? "%llu" : ",%llu", (unsigned long long)numbers[i]);
    buf_char(text, ']');
}

struct str vector_text(duckdb_vector vector, uint64_t row)
{
    uint64_t *validity = duckdb_vector_get_validity(vector);
    if (validity != NULL && !duckdb_validity_row_is_valid(validity, row))
        return (struct str){"", 0};
    duckdb_string_t *text = &((duckdb_string_t *)duckdb_vector_get_data(vector))[row];
    return (struct str){duckdb_string_t_data(text), duckdb_string_t_length(*text)};
}

enum status stream_open(struct stream *stream, duckdb_connection connection, const char *sql,
                        const struct str *params, size_t params_count, struct err *err)
{
    *stream = (struct stream){0};
    if (duckdb_prepare(connection, sql, &stream->prepared) != DuckDBSuccess) {
        enum status status =
            engine_error(err, ST_IO, "prepare a query", duckdb_prepare_error(stream->prepared));
        stream_close(stream);
        return status;
    }
    for (size_t i = 0; i < params_count; i++)
        CHECK(duckdb_bind_varchar_length(stream->prepared, i + 1,
                                         params[i].n > 0 ? params[i].p : "",
                                         params[i].n) == DuckDBSuccess);
    stream->has_result = true;
    if (duckdb_execute_prepared_streaming(stream->prepared, &stream->result) != DuckDBSuccess) {
        enum status status =
            engine_error(err, ST_IO, "run a query", duckdb_result_error(&stream->result));
        stream_close(stream);
        return status;
    }
    return ST_OK;
}

duckdb_data_chunk stream_next(struct stream *stream, enum status *ret_status, struct err *err)
{
    duckdb_data_chunk chunk = duckdb_fetch_chunk(stream->result);
    *ret_status = ST_OK;
    if (chunk == NULL) {
        const char *message = duckdb_result_error(&stream->result);
        if (message != NULL && message[0] != '\0')
            *ret_status = engine_error(err, ST_IO, "read an answer", message);
    }
    return chunk;
}

void stream_close(struct stream *stream)
{
    if (stream->has_result)
        duckdb_destroy_result(&stream->result);
    duckdb_destroy_prepare(&stream->prepared);
    *stream = (struct stream){0};
}

enum status engine_number(duckdb_connection connection, const char *sql, const struct str *params,
                          size_t params_count, uint64_t *ret_number, struct err *err)
{
    struct stream stream;
    enum status status = stream_open(&stream, connection, sql, params, params_count, err);
    if (status != ST_OK)
        return status;
    uint64_t number = 0;
    bool first = true;
    duckdb_data_chunk chunk;
    while ((chunk = stream_next(&stream, &status, err)) != NULL) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, 0);
        uint64_t *validity = duckdb_vector_get_validity(vector);
        bool number_there = duckdb_column_type(&stream.result, 0) == DUCKDB_TYPE_UBIGINT &&
                            (validity == NULL || duckdb_validity_row_is_valid(validity, 0));
        if (first && number_there && duckdb_data_chunk_get_size(chunk) > 0)
            number = *(uint64_t *)duckdb_vector_get_data(vector);
        first = false;
        duckdb_destroy_data_chunk(&chunk);
    }
    stream_close(&stream);
    if (status == ST_OK)
        *ret_number = number;
    return status;
}

enum status engine_run(duckdb_connection connection, const char *sql, const struct str *params,
                       size_t params_count, struct err *err)
{
    uint64_t ignored;
    return engine_number(connection, sql, params, params_count, &ignored, err);
}

enum status engine_number_words(duckdb_connection connection, const char *text,
                                const struct sql_word *words, size_t count,
                                const struct str *params, size_t params_count, uint64_t *ret_number,
                                struct err *err)
{
    struct buf sql;
    buf_init(&sql, (size_t)1 << 20);
    sql_fill(&sql, text, words, count);
    enum status status = engine_number(connection, sql.p, params, params_count, ret_number, err);
    buf_done(&sql);
    return status;
}

enum status engine_run_words(duckdb_connection connection, const char *text,
                             const struct sql_word *words, size_t count, const struct str *params,
                             size_t params_count, struct err *err)
{
    uint64_t ignored;
    return engine_number_words(connection, text, words, count, params, params_count, &ignored, err);
}

enum status engine_connect(struct warehouse *warehouse, duckdb_connection *ret_connection,
                           struct err *err)
{
    if (duckdb_connect(warehouse->database, ret_connection) != DuckDBSuccess)
        return err_set(err, ST_IO, "could not connect to the warehouse: the engine refused");
    return ST_OK;
}

enum status engine_connect_reader(struct warehouse *warehouse, duckdb_connection *ret_connection,
                                  struct err *err)
{
    enum status status = engine_connect(warehouse, ret_connection, err);
    if (status == ST_OK)
        status = engine_run(*ret_connection, "BEGIN TRANSACTION READ ONLY", NULL, 0, err);
    if (status != ST_OK)
        duckdb_disconnect(ret_connection);
    return status;
}

static size_t memory_default(void)
{
    size_t quarter = (size_t)sysconf(_SC_PHYS_PAGES) / 4 * (size_t)sysconf(_SC_PAGE_SIZE);
    return quarter < WAREHOUSE_MEMORY_MAX ? quarter : WAREHOUSE_MEMORY_MAX;
}

/* What stands before the lock. The order of the last three is their point. */
static enum status settings_make(struct warehouse *warehouse, struct err *err)
{
    static const char *const settings[] = {
        "SET temp_directory = @SPILL@",
        "SET preserve_insertion_order = false",
        "SET checkpoint_threshold = '" WAREHOUSE_CHECKPOINT "'",
        "SET zstd_min_string_length = 0",
        "SET max_vacuum_tasks = 0", /* see WAREHOUSE_CHECKPOINT */
        "SET TimeZone = 'UTC'",
        "SET allow_community_extensions = false",
        "SET allow_persistent_secrets = false",
        "SET allowed_directories = [@FOLDER@, @EXPORTS@]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    };
    char path[WAREHOUSE_PATH_MAX];
    struct buf folder, exports, spill;
    buf_init(&folder, WAREHOUSE_PATH_MAX * 2);
    buf_init(&exports, WAREHOUSE_PATH_MAX * 2);
    buf_init(&spill, WAREHOUSE_PATH_MAX * 2);
    snprintf(path, sizeof path, "%s/", warehouse->folder);
    sql_quote(&folder, path);
    snprintf(path, sizeof path, "%s/", warehouse->export_folder);
    sql_quote(&exports, path);
    snprintf(path, sizeof path, "%s/spill", warehouse->folder);
    sql_quote(&spill, path);
    const struct sql_word words[] = {
        {"FOLDER", folder.p}, {"EXPORTS", exports.p}, {"SPILL", spill.p}};
    enum status status = ST_OK;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && status == ST_OK; i++)
        status = engine_run_words(warehouse->writer, settings[i], words, 3, NULL, 0, err);
    buf_done(&folder);
    buf_done(&exports);
    buf_done(&spill);
    return status;
}

enum status engine_open(struct warehouse *warehouse, const struct warehouse_options *options,
                        struct err *err)
{
    char memory[32], threads[16];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t bytes = options->memory_bytes > 0 ? options->memory_bytes : memory_default();
    snprintf(memory, sizeof memory, "%zuB", bytes);
    int all = options->threads > 0 ? options->threads : (int)cores;
    snprintf(threads, sizeof threads, "%d", all);

    duckdb_config config = NULL;
    char *message = NULL;
    CHECK(duckdb_create_config(&config) == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "memory_limit", memory) == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "threads", threads) == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "external_threads", threads) == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "autoinstall_known_extensions", "false") == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "autoload_known_extensions", "false") == DuckDBSuccess);
    enum status status = ST_OK;
    if (duckdb_open_ext(NULL, &warehouse->database, config, &message) != DuckDBSuccess)
        status = engine_error(err, ST_IO, "start the warehouse", message);
    duckdb_free(message);
    duckdb_destroy_config(&config);
    if (status == ST_OK) {
        help_start(&warehouse->help, warehouse->database, all - 1);
        status = engine_connect(warehouse, &warehouse->writer, err);
    }
    return status == ST_OK ? settings_make(warehouse, err) : status;
}

unsigned readers_enter(struct warehouse *warehouse)
{
    struct readers *readers = &warehouse->readers;
    pthread_mutex_lock(&readers->mutex);
    unsigned generation = readers->generation & 1;
    readers->active[generation]++;
    pthread_mutex_unlock(&readers->mutex);
    help_begin(&warehouse->help);
    return generation;
}

void readers_leave(struct warehouse *warehouse, unsigned generation)
{
    struct readers *readers = &warehouse->readers;
    help_end(&warehouse->help);
    pthread_mutex_lock(&readers->mutex);
    CHECK(readers->active[generation] > 0);
    if (--readers->active[generation] == 0)
        pthread_cond_broadcast(&readers->left);
    pthread_mutex_unlock(&readers->mutex);
}

void readers_wait(struct warehouse *warehouse)
{
    struct readers *readers = &warehouse->readers;
    pthread_mutex_lock(&readers->mutex);
    unsigned before = readers->generation++ & 1;
    while (readers->active[before] > 0)
        pthread_cond_wait(&readers->left, &readers->mutex);
    pthread_mutex_unlock(&readers->mutex);
}
