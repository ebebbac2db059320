/* warehouse_rewrite.c - erasing: a file is written anew without the erased, then takes the old
 * one's place.
 *
 * Deleting rows leaves their text in a DuckDB file for good, so a touched file is copied instead.
 * The copy has two parts, because the newest file is written to meanwhile: first, beside the
 * running pipeline, all rows below the position of that moment; then, with the pipeline held
 * between two commits, the few that came since, the overrides and the position. After the
 * checkpoint the new file is whole and synced, the manifest names it, the views read it; the old
 * one is detached and deleted when the last reader that may still see it has left.
 *
 * The copy writes the resolved person into `person`. Overrides are all kept, except the erased
 * visitors' own: a later undo writes a new one and must find every file's rows (DESIGN §5). */
#include "warehouse/warehouse_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hook.h"

/* $1 visitors, $2 positions that go too, $3 and $4 the positions that this part copies, from and
 * below. */
#define KEPT                                                                                       \
    "r.visitor NOT IN (SELECT unnest(CAST($1 AS UBIGINT[]))) "                                     \
    "AND r.position NOT IN (SELECT unnest(CAST($2 AS UBIGINT[]))) "                                \
    "AND r.position >= CAST($3 AS UBIGINT) AND r.position < CAST($4 AS UBIGINT)"

static const char *const copies[] = {
    "INSERT INTO @NEW@.event SELECT r.* REPLACE (coalesce(o.person, r.person) AS person) FROM "
    "@OLD@.event AS r "
    "LEFT JOIN raw.override AS o ON o.visitor = r.visitor WHERE " KEPT,
    "INSERT INTO @NEW@.record SELECT r.* FROM @OLD@.record AS r WHERE " KEPT,
    "INSERT INTO @NEW@.visitor SELECT r.* REPLACE (coalesce(o.person, r.person) AS person) FROM "
    "@OLD@.visitor AS r "
    "LEFT JOIN raw.override AS o ON o.visitor = r.visitor WHERE " KEPT,
    "INSERT INTO @NEW@.trait SELECT r.* FROM @OLD@.trait AS r WHERE " KEPT,
};

struct rewrite {
    struct warehouse *warehouse;
    duckdb_connection connection;
    struct str visitors, positions; /* as lists */
};

static enum status rows_copy(struct rewrite *rewrite, const struct file *old,
                             const struct file *new, uint64_t from, uint64_t below, struct err *err)
{
    char from_text[24], below_text[24];
    snprintf(from_text, sizeof from_text, "%llu", (unsigned long long)from);
    snprintf(below_text, sizeof below_text, "%llu", (unsigned long long)below);
    const struct sql_word words[] = {{"OLD", old->alias}, {"NEW", new->alias}};
    const struct str params[] = {rewrite->visitors, rewrite->positions, str_of(from_text),
                                 str_of(below_text)};
    enum status status = ST_OK;
    for (size_t i = 0; i < sizeof copies / sizeof copies[0] && status == ST_OK; i++)
        status = engine_run_words(rewrite->connection, copies[i], words, 2, params, 4, err);
    return status;
}

static enum status is_touched(struct rewrite *rewrite, const struct file *file, bool *ret_touched,
                              struct err *err)
{
    static const char sql[] =
        "WITH gone AS (SELECT unnest(CAST($1 AS UBIGINT[])) AS visitor), "
        "extra AS (SELECT unnest(CAST($2 AS UBIGINT[])) AS position) "
        "SELECT ((SELECT count(*) FROM @F@.event WHERE visitor IN (FROM gone) OR position IN (FROM "
        "extra)) + "
        "(SELECT count(*) FROM @F@.record WHERE visitor IN (FROM gone) OR position IN (FROM "
        "extra)) + "
        "(SELECT count(*) FROM @F@.visitor WHERE visitor IN (FROM gone)) + "
        "(SELECT count(*) FROM @F@.trait WHERE visitor IN (FROM gone)) + "
        "(SELECT count(*) FROM @F@.person_override WHERE visitor IN (FROM gone)))::UBIGINT";
    const struct sql_word words[] = {{"F", file->alias}};
    const struct str params[] = {rewrite->visitors, rewrite->positions};
    uint64_t rows = 0;
    enum status status =
        engine_number_words(rewrite->connection, sql, words, 1, params, 2, &rows, err);
    if (status == ST_OK)
        *ret_touched = rows > 0;
    return status;
}

/* What belongs to the file as a whole; then everything goes to the disk. */
static enum status rest_copy(struct rewrite *rewrite, const struct file *old,
                             const struct file *new, struct err *err)
{
    char version[16];
    snprintf(version, sizeof version, "%u", new->version);
    const struct sql_word words[] = {
        {"OLD", old->alias}, {"NEW", new->alias}, {"VERSION", version}};
    enum status status = engine_run_words(
        rewrite->connection,
        "INSERT INTO @NEW@.person_override SELECT visitor, arg_max(person, position), "
        "max(position) "
        "FROM @OLD@.person_override WHERE visitor NOT IN (SELECT unnest(CAST($1 AS UBIGINT[]))) "
        "GROUP BY visitor",
        words, 3, &rewrite->visitors, 1, err);
    if (status == ST_OK)
        status = engine_run_words(
            rewrite->connection,
            "INSERT INTO @NEW@.meta SELECT max(position), max(received), @VERSION@ FROM @OLD@.meta",
            words, 3, NULL, 0, err);
    if (status == ST_OK)
        status = engine_run_words(rewrite->connection, "CHECKPOINT @NEW@", words, 3, NULL, 0, err);
    return status;
}

/* The second part; nothing commits meanwhile. On failure everything stands as before. */
static enum status swap(struct rewrite *rewrite, size_t index, const struct file *old,
                        const struct file *new, uint64_t copied, struct err *err)
{
    struct warehouse *warehouse = rewrite->warehouse;
    pthread_mutex_lock(&warehouse->write_lock);
    CHECK(strcmp(warehouse->files[index].name, old->name) == 0);
    enum status status = rows_copy(rewrite, old, new, copied, UINT64_MAX, err);
    if (status == ST_OK)
        status = rest_copy(rewrite, old, new, err);
    if (status == ST_OK) {
        warehouse->files[index] = *new;
        HOOK("warehouse_manifest_before");
        status = manifest_write(warehouse, err);
        HOOK("warehouse_manifest_after");
        if (status != ST_OK)
            warehouse->files[index] = *old;
    }
    if (status == ST_OK) {
        status = views_make(warehouse, rewrite->connection, err);
        if (status == ST_OK)
            status = engine_number(rewrite->connection, "SELECT count(*)::UBIGINT FROM raw.event",
                                   NULL, 0, &warehouse->events, err);
        if (index + 1 == warehouse->files_count)
            warehouse->overrides_tail = 0;
        figures_publish(warehouse);
    }
    pthread_mutex_unlock(&warehouse->write_lock);
    return status;
}

static enum status file_rewrite(struct rewrite *rewrite, size_t index, const struct file *old,
                                struct err *err)
{
    struct warehouse *warehouse = rewrite->warehouse;
    struct file new;
    file_name(&new, old->month, old->version + 1);
    uint64_t copied = warehouse_position(warehouse);
    enum status status = file_create(warehouse, rewrite->connection, &new, err);
    if (status != ST_OK)
        return status;
    status = rows_copy(rewrite, old, &new, 0, copied, err);
    HOOK("warehouse_rewrite_half");
    if (status == ST_OK)
        status = swap(rewrite, index, old, &new, copied, err);
    if (status != ST_OK) {
        enum status detached =
            file_detach(rewrite->connection, &new, NULL); /* deleted by the next attempt */
        (void)detached;
        return status;
    }
    readers_wait(warehouse);
    struct err
        ignored; /* letting go of a file may try to checkpoint it; its bytes go in any case */
    enum status detached = file_detach(rewrite->connection, old, &ignored);
    (void)detached;
    return file_delete(warehouse, old, err);
}

static enum status files_rewrite(struct rewrite *rewrite, struct err *err)
{
    struct warehouse *warehouse = rewrite->warehouse;
    for (size_t i = 0;; i++) {
        struct file old;
        pthread_mutex_lock(&warehouse->write_lock);
        size_t count = warehouse->files_count; /* a month may begin meanwhile */
        if (i < count)
            old = warehouse->files[i];
        pthread_mutex_unlock(&warehouse->write_lock);
        if (i >= count)
            return ST_OK;
        bool touched = false;
        enum status status = is_touched(rewrite, &old, &touched, err);
        if (status == ST_OK && touched)
            status = file_rewrite(rewrite, i, &old, err);
        if (status != ST_OK)
            return status;
    }
}

static void erased_add(struct erased *erased, const uint64_t *visitors, size_t count)
{
    if (count == 0)
        return;
    pthread_mutex_lock(&erased->mutex);
    if (erased->count + count > erased->capacity) {
        erased->capacity = (erased->count + count) * 2;
        erased->visitors = mem_grow(erased->visitors, erased->capacity * sizeof *erased->visitors);
    }
    memcpy(erased->visitors + erased->count, visitors, count * sizeof *visitors);
    erased->count += count;
    pthread_mutex_unlock(&erased->mutex);
}

void warehouse_erased(struct warehouse *warehouse, warehouse_erased_each *each, void *ctx)
{
    struct erased *erased = &warehouse->erased;
    pthread_mutex_lock(&erased->mutex);
    each(ctx, erased->count, erased->visitors);
    pthread_mutex_unlock(&erased->mutex);
}

enum status warehouse_erase(struct warehouse *warehouse, const uint64_t *visitors, size_t count,
                            const uint64_t *extra_positions, size_t extra_count, struct err *err)
{
    struct buf visitors_list, positions_list;
    struct rewrite rewrite = {.warehouse = warehouse};
    for (size_t i = 0; i < count; i++)
        CHECK(visitors[i] != 0);                     /* nobody's events are not a person's */
    erased_add(&warehouse->erased, visitors, count); /* before the first row goes */
    buf_init(&visitors_list, (size_t)64 << 20);
    buf_init(&positions_list, (size_t)1 << 30);
    sql_list(&visitors_list, visitors, count);
    sql_list(&positions_list, extra_positions, extra_count);
    CHECK(!visitors_list.overflow && !positions_list.overflow);
    rewrite.visitors = buf_view(&visitors_list);
    rewrite.positions = buf_view(&positions_list);

    pthread_mutex_lock(&warehouse->erase_lock);
    enum status status = engine_connect(warehouse, &rewrite.connection, err);
    if (status == ST_OK)
        status = files_rewrite(&rewrite, err);
    if (status == ST_OK)
        status = exports_delete(warehouse, err);
    duckdb_disconnect(&rewrite.connection);
    pthread_mutex_unlock(&warehouse->erase_lock);
    buf_done(&visitors_list);
    buf_done(&positions_list);
    return status;
}

static enum status positions_read(struct stream *stream, uint64_t **ret_positions,
                                  size_t *ret_count, struct err *err)
{
    uint64_t *positions = NULL;
    size_t count = 0;
    enum status status;
    duckdb_data_chunk chunk;
    while ((chunk = stream_next(stream, &status, err)) != NULL) {
        size_t n = duckdb_data_chunk_get_size(chunk);
        positions = mem_grow(positions, (count + n + 1) * sizeof *positions);
        memcpy(positions + count, duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0)),
               n * sizeof *positions);
        count += n;
        duckdb_destroy_data_chunk(&chunk);
    }
    if (status == ST_OK)
        *ret_positions = positions, *ret_count = count;
    else
        free(positions);
    return status;
}

enum status warehouse_positions_of(struct warehouse *warehouse, const uint64_t *visitors,
                                   size_t count, uint64_t **ret_positions, size_t *ret_count,
                                   struct err *err)
{
    struct buf list;
    struct stream stream;
    duckdb_connection connection = NULL;
    buf_init(&list, (size_t)64 << 20);
    sql_list(&list, visitors, count);
    CHECK(!list.overflow);
    struct str params[] = {buf_view(&list)};
    unsigned generation = readers_enter(warehouse);
    enum status status = engine_connect_reader(warehouse, &connection, err);
    if (status == ST_OK)
        status = stream_open(&stream, connection,
                             "WITH wanted AS (SELECT unnest(CAST($1 AS UBIGINT[])) AS visitor) "
                             "SELECT position FROM raw.event WHERE visitor IN (FROM wanted) "
                             "UNION SELECT position FROM raw.record WHERE visitor IN (FROM wanted) "
                             "ORDER BY position",
                             params, 1, err);
    if (status == ST_OK) {
        status = positions_read(&stream, ret_positions, ret_count, err);
        stream_close(&stream);
    }
    duckdb_disconnect(&connection);
    readers_leave(warehouse, generation);
    buf_done(&list);
    return status;
}
