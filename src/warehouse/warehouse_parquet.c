/* warehouse_parquet.c - one Parquet file into texts, through an instance that may open nothing
 * else.
 *
 * The file is opened by us and handed over as /proc/self/fd/N: a name may hold quotes, and to the
 * engine a star or a bracket would mean many files. That one path is allowed before external access
 * is turned off. Values become text in the engine, whose casts give the shortest digits that read
 * back the same. */
#include "warehouse/parquet.h"
#include "warehouse/warehouse_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

#define PARQUET_MEMORY "1GB"

struct reading {
    duckdb_database database;
    duckdb_connection connection;
    struct warehouse_parquet *out;
    size_t cells_capacity, cells_max, bytes_max;
};

static enum status file_open(const char *path, int *ret_fd, struct err *err)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, "could not open \"%s\": %s",
                       path, strerror(errno));
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        close(fd);
        return err_set(err, ST_INVALID, "could not read \"%s\": it is no file", path);
    }
    *ret_fd = fd;
    return ST_OK;
}

static enum status fence(struct reading *reading, const char *file, struct err *err)
{
    static const char *const settings[] = {
        "SET TimeZone = 'UTC'",
        "SET temp_directory = ''",
        "SET allow_community_extensions = false",
        "SET allow_persistent_secrets = false",
        "SET allowed_paths = [@FILE@]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    };
    struct buf quoted;
    buf_init(&quoted, WAREHOUSE_PATH_MAX);
    sql_quote(&quoted, file);
    const struct sql_word words[] = {{"FILE", quoted.p}};
    enum status status = ST_OK;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && status == ST_OK; i++)
        status = engine_run_words(reading->connection, settings[i], words, 1, NULL, 0, err);
    buf_done(&quoted);
    return status;
}

static enum status engine_start(struct reading *reading, const char *file, struct err *err)
{
    duckdb_config config = NULL;
    char *message = NULL;
    CHECK(duckdb_create_config(&config) == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "memory_limit", PARQUET_MEMORY) == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "threads", "1") == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "autoinstall_known_extensions", "false") == DuckDBSuccess);
    CHECK(duckdb_set_config(config, "autoload_known_extensions", "false") == DuckDBSuccess);
    enum status status = ST_OK;
    if (duckdb_open_ext(NULL, &reading->database, config, &message) != DuckDBSuccess)
        status = engine_error(err, ST_IO, "start the engine that reads Parquet", message);
    duckdb_free(message);
    duckdb_destroy_config(&config);
    if (status == ST_OK && duckdb_connect(reading->database, &reading->connection) != DuckDBSuccess)
        status = err_set(err, ST_IO, "could not read Parquet: the engine refused to connect");
    return status == ST_OK ? fence(reading, file, err) : status;
}

/* Room for `n` more cells at the end. */
static enum status cells_room(struct reading *reading, size_t n, struct err *err)
{
    struct warehouse_parquet *out = reading->out;
    size_t used = out->columns * (out->rows + 1);
    if (used + n > reading->cells_max || out->texts.total > reading->bytes_max)
        return err_set(err, ST_TOO_LARGE,
                       "could not read a Parquet file: it has more than %zu cells or %zu bytes",
                       reading->cells_max, reading->bytes_max);
    if (used + n > reading->cells_capacity) {
        reading->cells_capacity = (used + n) * 2;
        out->cells = mem_grow(out->cells, reading->cells_capacity * sizeof *out->cells);
    }
    return ST_OK;
}

static struct str text_keep(struct warehouse_parquet *out, struct str text)
{
    return (struct str){arena_cstr(&out->texts, text), text.n};
}

static enum status chunk_keep(struct reading *reading, duckdb_data_chunk chunk, struct err *err)
{
    struct warehouse_parquet *out = reading->out;
    size_t rows = duckdb_data_chunk_get_size(chunk);
    enum status status = cells_room(reading, rows * out->columns, err);
    if (status != ST_OK)
        return status;
    struct str *cells = out->cells + (out->rows + 1) * out->columns;
    for (size_t column = 0; column < out->columns; column++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, column);
        for (size_t row = 0; row < rows; row++)
            cells[row * out->columns + column] = text_keep(out, vector_text(vector, row));
    }
    out->rows += rows;
    return ST_OK;
}

static enum status rows_read(struct reading *reading, const char *file, struct err *err)
{
    struct warehouse_parquet *out = reading->out;
    struct stream stream;
    struct str path = str_of(file);
    enum status status =
        stream_open(&stream, reading->connection,
                    "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM read_parquet(?)", &path, 1, err);
    if (status != ST_OK)
        return status;
    out->columns = duckdb_column_count(&stream.result);
    reading->cells_capacity = out->columns;
    out->cells = mem_alloc(out->columns * sizeof *out->cells);
    for (size_t i = 0; i < out->columns; i++)
        out->cells[i] = text_keep(out, str_of(duckdb_column_name(&stream.result, i)));
    duckdb_data_chunk chunk;
    while (status == ST_OK && (chunk = stream_next(&stream, &status, err)) != NULL) {
        status = chunk_keep(reading, chunk, err);
        duckdb_destroy_data_chunk(&chunk);
    }
    stream_close(&stream);
    return status;
}

enum status warehouse_parquet_read(const char *path, size_t cells_max, size_t bytes_max,
                                   struct warehouse_parquet *ret_parquet, struct err *err)
{
    int fd;
    char file[64];
    struct err reason = {0};
    enum status status = file_open(path, &fd, err);
    if (status != ST_OK)
        return status;
    struct warehouse_parquet out = {0};
    struct reading reading = {.out = &out, .cells_max = cells_max, .bytes_max = bytes_max};
    arena_init(&out.texts);
    snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
    status = engine_start(&reading, file, &reason);
    if (status == ST_OK) {
        status = rows_read(&reading, file, &reason);
        if (status == ST_IO) /* the engine's word for a damaged file */
            status = ST_INVALID;
    }
    duckdb_disconnect(&reading.connection);
    duckdb_close(&reading.database);
    close(fd);
    if (status != ST_OK) {
        warehouse_parquet_done(&out);
        return err_set(err, status, "could not read \"%s\": %s", path, reason.message);
    }
    *ret_parquet = out;
    return ST_OK;
}

void warehouse_parquet_done(struct warehouse_parquet *parquet)
{
    free(parquet->cells);
    arena_done(&parquet->texts);
    *parquet = (struct warehouse_parquet){0};
}
