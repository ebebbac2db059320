/* warehouse_append.c - rows wait in the engine's own chunks, and one transaction takes them.
 *
 * A row is written once, straight into the vectors that the appender takes; a text of more than
 * twelve bytes waits beside them in the table's arena. The chunks are kept until the commit has
 * succeeded: after a full disk the same commit is simply tried again.
 *
 * Rows, overrides and the position commit together, in the newest file. Therefore a row whose
 * position lies before the committed one is already there and is dropped on arrival; a pipeline
 * that folds again after a crash may hand over what it likes. Whether a commit that failed has
 * happened after all is read back from the file before the next one (`broken`): never written
 * twice, never lost.
 *
 * A new month gets a new file. It starts with the current overrides, compacted, and the position,
 * so that the newest file alone says who belongs to whom. */
#include "warehouse/warehouse_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/check.h"
#include "base/hook.h"

#define CHUNKS_KEPT 8                          /* enough for a commit of 10,000 rows */
#define ROOM_BYTES (UINT64_C(8) << 20)         /* a commit and the checkpoint behind it */
#define AMOUNT_MAX INT64_C(999999999999999999) /* of DECIMAL(18,6) */

static const struct {
    const char *name, *columns;
} layouts[TABLES_COUNT] = {
    [TABLE_EVENT] = {"event", "uuussssssttttdsss"}, [TABLE_RECORD] = {"record", "uussst"},
    [TABLE_VISITOR] = {"visitor", "uussu"},         [TABLE_TRAIT] = {"trait", "usstu"},
    [TABLE_OVERRIDE] = {"person_override", "uuu"},
};

static struct rows *rows_new(void)
{
    struct rows *rows = mem_zero(sizeof *rows);
    for (size_t i = 0; i < TABLES_COUNT; i++)
        rows->tables[i] = (struct table){.name = layouts[i].name,
                                         .columns = layouts[i].columns,
                                         .columns_count = (unsigned)strlen(layouts[i].columns)};
    return rows;
}

static void rows_free(struct rows *rows)
{
    for (size_t i = 0; i < TABLES_COUNT; i++) {
        struct table *table = &rows->tables[i];
        for (size_t j = 0; j < table->chunks_count; j++)
            duckdb_destroy_data_chunk(&table->chunks[j]);
        free(table->chunks);
        arena_done(&table->texts);
    }
    free(rows->overrides);
    free(rows);
}

void rows_init(struct warehouse *warehouse)
{
    warehouse->filling = rows_new();
    warehouse->spare = rows_new();
}

void rows_done(struct warehouse *warehouse)
{
    rows_free(warehouse->filling);
    rows_free(warehouse->spare);
}

static duckdb_data_chunk chunk_new(const struct table *table)
{
    duckdb_logical_type types[TABLE_COLUMNS_MAX];
    for (unsigned i = 0; i < table->columns_count; i++) {
        char c = table->columns[i];
        types[i] = c == 'd' ? duckdb_create_decimal_type(18, 6)
                            : duckdb_create_logical_type(c == 'u'   ? DUCKDB_TYPE_UBIGINT
                                                         : c == 's' ? DUCKDB_TYPE_VARCHAR
                                                                    : DUCKDB_TYPE_TIMESTAMP);
    }
    duckdb_data_chunk chunk = duckdb_create_data_chunk(types, table->columns_count);
    for (unsigned i = 0; i < table->columns_count; i++)
        duckdb_destroy_logical_type(&types[i]);
    CHECK(chunk != NULL);
    return chunk;
}

/* The next chunk becomes the one to fill. */
static void chunk_begin(struct table *table)
{
    if (table->chunks_used == table->chunks_count) {
        if (table->chunks_count == table->chunks_capacity) {
            table->chunks_capacity = table->chunks_capacity == 0 ? 8 : table->chunks_capacity * 2;
            table->chunks =
                mem_grow(table->chunks, table->chunks_capacity * sizeof(duckdb_data_chunk));
        }
        table->chunks[table->chunks_count++] = chunk_new(table);
    }
    duckdb_data_chunk chunk = table->chunks[table->chunks_used++];
    for (unsigned i = 0; i < table->columns_count; i++) {
        table->vectors[i] = duckdb_data_chunk_get_vector(chunk, i);
        table->data[i] = duckdb_vector_get_data(table->vectors[i]);
        table->validity[i] = NULL;
    }
    table->row = 0;
}

static void row_begin(struct table *table)
{
    if (table->chunks_used == 0 || table->row == duckdb_vector_size())
        chunk_begin(table);
    table->column = 0;
}

static void row_end(struct table *table)
{
    CHECK(table->column == table->columns_count);
    table->row++;
}

static void put_number(struct table *table, uint64_t v)
{
    ((uint64_t *)table->data[table->column++])[table->row] = v;
}

/* As the engine keeps a text: short ones inside (the rest zero), long ones as their beginning and a
 * pointer. Its own call would look for bad UTF-8 once more and copy each text to memory of its own;
 * whoever hands us a text has looked, and the engine does when the rows arrive. */
static void put_text(struct table *table, struct str text)
{
    duckdb_string_t cell = {0};
    CHECK(text.n <= UINT32_MAX);
    cell.value.inlined.length = (uint32_t)text.n;
    if (text.n > sizeof cell.value.inlined.inlined) {
        char *copy = arena_alloc(&table->texts, text.n);
        memcpy(copy, text.p, text.n);
        memcpy(cell.value.pointer.prefix, copy, sizeof cell.value.pointer.prefix);
        cell.value.pointer.ptr = copy;
    } else if (text.n > 0) {
        memcpy(cell.value.inlined.inlined, text.p, text.n);
    }
    ((duckdb_string_t *)table->data[table->column++])[table->row] = cell;
}

static void put_null(struct table *table)
{
    unsigned column = table->column++;
    if (table->validity[column] == NULL) {
        duckdb_vector_ensure_validity_writable(table->vectors[column]);
        table->validity[column] = duckdb_vector_get_validity(table->vectors[column]);
    }
    table->validity[column][table->row / 64] &= ~(UINT64_C(1) << table->row % 64);
}

/* Empty means that there was none. */
static void put_text_or_null(struct table *table, struct str text)
{
    if (text.n == 0)
        put_null(table);
    else
        put_text(table, text);
}

static void put_time_or_null(struct table *table, int64_t time_us)
{
    if (time_us == 0)
        put_null(table);
    else
        put_number(table, (uint64_t)time_us);
}

static bool is_new(const struct warehouse *warehouse, uint64_t position)
{
    return position >= warehouse_position(warehouse);
}

void warehouse_add_event(struct warehouse *warehouse, const struct warehouse_event *event)
{
    struct table *table = &warehouse->filling->tables[TABLE_EVENT];
    if (!is_new(warehouse, event->position))
        return;
    row_begin(table);
    put_number(table, event->position);
    put_number(table, event->visitor);
    put_number(table, event->person);
    put_text(table, event->source);
    put_text(table, event->type);
    put_text(table, event->name);
    put_text_or_null(table, event->channel);
    put_text_or_null(table, event->campaign);
    put_text(table, event->message_id);
    put_number(table, (uint64_t)event->time_us);
    put_number(table, (uint64_t)event->received_us);
    put_time_or_null(table, event->original_us);
    put_time_or_null(table, event->sent_us);
    if (event->has_amount && event->amount_micros <= AMOUNT_MAX &&
        event->amount_micros >= -AMOUNT_MAX)
        put_number(table, (uint64_t)event->amount_micros);
    else
        put_null(table);
    put_text_or_null(table, event->currency);
    put_text_or_null(table, event->properties);
    put_text_or_null(table, event->context);
    row_end(table);
}

void warehouse_add_record(struct warehouse *warehouse, const struct warehouse_record *record)
{
    struct table *table = &warehouse->filling->tables[TABLE_RECORD];
    if (!is_new(warehouse, record->position))
        return;
    row_begin(table);
    put_number(table, record->position);
    put_number(table, record->visitor);
    put_text(table, record->verdict);
    put_text_or_null(table, record->reason);
    put_text(table, record->source);
    put_number(table, (uint64_t)record->received_us);
    row_end(table);
}

void warehouse_add_visitor(struct warehouse *warehouse, uint64_t visitor, uint64_t person,
                           struct str type, struct str value, uint64_t position)
{
    struct table *table = &warehouse->filling->tables[TABLE_VISITOR];
    if (!is_new(warehouse, position))
        return;
    row_begin(table);
    put_number(table, visitor);
    put_number(table, person);
    put_text(table, type);
    put_text(table, value);
    put_number(table, position);
    row_end(table);
}

void warehouse_add_trait(struct warehouse *warehouse, uint64_t visitor, struct str name,
                         struct str value, int64_t time_us, uint64_t position)
{
    struct table *table = &warehouse->filling->tables[TABLE_TRAIT];
    if (!is_new(warehouse, position))
        return;
    row_begin(table);
    put_number(table, visitor);
    put_text(table, name);
    put_text(table, value);
    put_number(table, (uint64_t)time_us);
    put_number(table, position);
    row_end(table);
}

void warehouse_add_override(struct warehouse *warehouse, uint64_t visitor, uint64_t person,
                            uint64_t position)
{
    struct rows *rows = warehouse->filling;
    if (!is_new(warehouse, position))
        return;
    if (rows->overrides_count == rows->overrides_capacity) {
        rows->overrides_capacity =
            rows->overrides_capacity == 0 ? 256 : rows->overrides_capacity * 2;
        rows->overrides =
            mem_grow(rows->overrides, rows->overrides_capacity * sizeof *rows->overrides);
    }
    size_t order = rows->overrides_count++;
    rows->overrides[order] = (struct override_row){visitor, person, position, order};
}

static void table_reset(struct table *table)
{
    for (size_t i = 0; i < table->chunks_used; i++)
        duckdb_data_chunk_reset(table->chunks[i]);
    while (table->chunks_count > CHUNKS_KEPT)
        duckdb_destroy_data_chunk(&table->chunks[--table->chunks_count]);
    arena_reset(&table->texts);
    table->chunks_used = 0;
    table->row = 0;
}

static int override_order(const void *left, const void *right)
{
    const struct override_row *a = left, *b = right;
    if (a->visitor != b->visitor)
        return a->visitor < b->visitor ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

/* One row per visitor, the last one added: so two changes at one position cannot tie in the file.
 */
static void overrides_fill(struct rows *sealed)
{
    struct table *table = &sealed->tables[TABLE_OVERRIDE];
    struct override_row *rows = sealed->overrides;
    size_t count = sealed->overrides_count;
    table_reset(table);
    if (count > 0)
        qsort(rows, count, sizeof *rows, override_order);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && rows[i + 1].visitor == rows[i].visitor)
            continue;
        row_begin(table);
        put_number(table, rows[i].visitor);
        put_number(table, rows[i].person);
        put_number(table, rows[i].position);
        row_end(table);
    }
}

static uint64_t table_rows(const struct table *table)
{
    return table->chunks_used == 0 ? 0
                                   : (table->chunks_used - 1) * duckdb_vector_size() + table->row;
}

static enum status table_append(struct warehouse *warehouse, const struct file *file,
                                struct table *table, struct err *err)
{
    duckdb_appender appender = NULL;
    if (table_rows(table) == 0)
        return ST_OK;
    bool good = duckdb_appender_create_ext(warehouse->writer, file->alias, "main", table->name,
                                           &appender) == DuckDBSuccess;
    for (size_t i = 0; i < table->chunks_used && good; i++) {
        bool last = i + 1 == table->chunks_used;
        duckdb_data_chunk_set_size(table->chunks[i], last ? table->row : duckdb_vector_size());
        good = duckdb_append_data_chunk(appender, table->chunks[i]) == DuckDBSuccess;
    }
    good = good && duckdb_appender_close(appender) == DuckDBSuccess;
    enum status status =
        good ? ST_OK
             : engine_error(err, ST_IO, "append to the warehouse", duckdb_appender_error(appender));
    duckdb_appender_destroy(&appender);
    return status;
}

static enum status compact(struct warehouse *warehouse, const struct file *file,
                           const struct rows *rows, uint64_t *tail, struct err *err)
{
    *tail += table_rows(&rows->tables[TABLE_OVERRIDE]);
    if (*tail <= WAREHOUSE_OVERRIDES_TAIL)
        return ST_OK;
    *tail = 0;
    const struct sql_word words[] = {{"F", file->alias}};
    return engine_run_words(warehouse->writer,
                            "CREATE OR REPLACE TABLE @F@.person_override AS SELECT visitor, "
                            "arg_max(person, position) AS person, max(position) AS position "
                            "FROM @F@.person_override GROUP BY visitor",
                            words, 1, NULL, 0, err);
}

/* One more row, the largest position counts. Not an UPDATE: the engine cannot checkpoint an updated
 * value while an older reader lives, so readers that follow one another without a gap would let the
 * log grow for ever. */
static enum status meta_append(struct warehouse *warehouse, const struct file *file,
                               uint64_t position, int64_t received_us, struct err *err)
{
    char position_text[24], received_text[24], version_text[16];
    snprintf(position_text, sizeof position_text, "%llu", (unsigned long long)position);
    snprintf(received_text, sizeof received_text, "%lld", (long long)received_us);
    snprintf(version_text, sizeof version_text, "%u", file->version);
    const struct sql_word words[] = {{"F", file->alias}};
    const struct str params[] = {str_of(position_text), str_of(received_text),
                                 str_of(version_text)};
    return engine_run_words(warehouse->writer,
                            "INSERT INTO @F@.meta VALUES (CAST($1 AS UBIGINT), "
                            "make_timestamp(CAST($2 AS BIGINT)), CAST($3 AS UBIGINT))",
                            words, 1, params, 3, err);
}

/* After that the commit is as durable as the engine says. */
static void log_keep(struct warehouse *warehouse, struct file *file)
{
    struct err err;
    if (wal_keep(warehouse, file, &err) != ST_OK)
        fatal("the warehouse cannot go on: %s", err.message);
}

/* One transaction. Whatever fails, it is rolled back and the rows stay for the next attempt. */
static enum status rows_commit(struct warehouse *warehouse, struct rows *rows, struct err *err)
{
    struct file *file = &warehouse->files[warehouse->files_count - 1];
    uint64_t tail = warehouse->overrides_tail;
    overrides_fill(rows);
    enum status status = engine_run(warehouse->writer, "BEGIN", NULL, 0, err);
    for (size_t i = 0; i < TABLES_COUNT && status == ST_OK; i++)
        status = table_append(warehouse, file, &rows->tables[i], err);
    if (status == ST_OK)
        status = compact(warehouse, file, rows, &tail, err);
    if (status == ST_OK)
        status = meta_append(warehouse, file, rows->position, rows->received_us, err);
    HOOK("warehouse_commit_before");
    if (status == ST_OK)
        status = engine_run(warehouse->writer, "COMMIT", NULL, 0, err);
    if (status == ST_OK) {
        log_keep(warehouse, file);
        warehouse->full = false;
        HOOK("warehouse_commit_after");
        warehouse->overrides_tail = tail;
        return ST_OK;
    }
    struct err ignored; /* a failed COMMIT has ended the transaction by itself */
    enum status rolled_back = engine_run(warehouse->writer, "ROLLBACK", NULL, 0, &ignored);
    (void)rolled_back;
    warehouse->broken = true;
    warehouse->full = status == ST_BUSY;
    warehouse->invalidated = strstr(err->message, "invalidated") != NULL;
    return status;
}

static void month_of(int64_t time_us, char ret_month[8])
{
    struct tm tm;
    time_t seconds = (time_t)(time_us / US_PER_S);
    CHECK(time_us > 0 && gmtime_r(&seconds, &tm) != NULL && tm.tm_year + 1900 <= 9999);
    strftime(ret_month, 8, "%Y-%m", &tm);
}

/* The first rows of a file: who belongs to whom so far, and up to where. */
static enum status inherit(struct warehouse *warehouse, const struct file *file, struct err *err)
{
    static const char *const steps[] = {
        "INSERT INTO @F@.person_override SELECT visitor, arg_max(person, position), max(position) "
        "FROM @OLD@.person_override GROUP BY visitor",
        "INSERT INTO @F@.meta SELECT max(position), max(received), 1 FROM @OLD@.meta",
        "CHECKPOINT @F@",
    };
    size_t count = warehouse->files_count;
    const struct sql_word words[] = {
        {"F", file->alias}, {"OLD", count == 0 ? "none" : warehouse->files[count - 1].alias}};
    enum status status = ST_OK;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == ST_OK; i++) {
        if (count == 0 && i == 1)
            status = engine_run_words(warehouse->writer, "INSERT INTO @F@.meta VALUES (0, NULL, 1)",
                                      words, 2, NULL, 0, err);
        else
            status = engine_run_words(warehouse->writer, steps[i], words, 2, NULL, 0, err);
    }
    return status;
}

static enum status roll_over(struct warehouse *warehouse, const char *month, struct err *err)
{
    struct file file;
    if (warehouse->files_count == WAREHOUSE_FILES_MAX)
        return err_set(err, ST_TOO_LARGE, "could not begin month %s: there are %d files", month,
                       WAREHOUSE_FILES_MAX);
    file_name(&file, month, 1);
    enum status status = file_create(warehouse, warehouse->writer, &file, err);
    if (status != ST_OK)
        return status;
    status = inherit(warehouse, &file, err);
    HOOK("warehouse_rollover");
    if (status == ST_OK) {
        warehouse->files[warehouse->files_count++] = file;
        HOOK("warehouse_manifest_before");
        status = manifest_write(warehouse, err);
        if (status != ST_OK)
            warehouse->files_count--;
        HOOK("warehouse_manifest_after");
    }
    if (status != ST_OK) {
        /* the file stays: the next attempt or the next start deletes it, unless a manifest names it
         */
        enum status detached = file_detach(warehouse->writer, &file, NULL);
        (void)detached;
        return status;
    }
    warehouse->overrides_tail = 0;
    return views_make(warehouse, warehouse->writer, err);
}

/* After a failed commit: what does the file say? The engine may have given it up (a checkpoint that
 * failed does that); then it is attached anew. */
static enum status repair(struct warehouse *warehouse, struct err *err)
{
    uint64_t stored = 0;
    if (warehouse->files_count > 0) {
        struct file *file = &warehouse->files[warehouse->files_count - 1];
        const struct sql_word words[] = {{"F", file->alias}};
        static const char read[] = "SELECT max(position) FROM @F@.meta";
        enum status status =
            engine_number_words(warehouse->writer, read, words, 1, NULL, 0, &stored, err);
        if (status != ST_OK || warehouse->invalidated) {
            struct err
                ignored; /* an engine that gave up a file says so again when it lets go of it */
            enum status detached = file_detach(warehouse->writer, file, &ignored);
            (void)detached;
            status = file_attach(warehouse, warehouse->writer, file, err);
            if (status == ST_OK)
                status =
                    engine_number_words(warehouse->writer, read, words, 1, NULL, 0, &stored, err);
        }
        if (status != ST_OK)
            return err_set(err, ST_BUSY, "could not reopen %s after a failed commit", file->name);
        log_keep(warehouse, file);
    }
    CHECK(stored >= warehouse->position);
    __atomic_store_n(&warehouse->position, stored, __ATOMIC_RELEASE);
    warehouse->broken = warehouse->invalidated = false;
    return ST_OK;
}

/* Each attempt on a full disk costs the readers the file until it is attached anew, so another one
 * waits until there is room. What cannot be asked is tried. */
static bool has_room(const struct warehouse *warehouse)
{
    struct statvfs disk;
    return !warehouse->full || statvfs(warehouse->folder, &disk) != 0 ||
           (uint64_t)disk.f_bavail * disk.f_frsize >= ROOM_BYTES;
}

static enum status commit_locked(struct warehouse *warehouse, struct rows *rows, struct err *err)
{
    char month[8];
    month_of(rows->received_us, month);
    enum status status = warehouse->broken ? repair(warehouse, err) : ST_OK;
    if (status != ST_OK || rows->position <= warehouse->position)
        return status;
    if (!has_room(warehouse))
        return err_set(err, ST_BUSY, "could not write the warehouse: the disk is full");
    size_t count = warehouse->files_count;
    if (count == 0 || strcmp(warehouse->files[count - 1].month, month) < 0)
        status = roll_over(warehouse, month, err);
    if (status == ST_OK)
        status = rows_commit(warehouse, rows, err);
    struct err ignored; /* what failed first says it better */
    /* At once, because until then nobody can read a file that the engine has given up. */
    if (warehouse->broken && repair(warehouse, &ignored) == ST_OK &&
        rows->position <= warehouse->position)
        return ST_OK; /* only the checkpoint behind the commit had failed */
    if (status == ST_OK)
        __atomic_store_n(&warehouse->position, rows->position, __ATOMIC_RELEASE);
    return status;
}

void warehouse_seal(struct warehouse *warehouse, uint64_t position, int64_t received_us)
{
    struct rows *rows = warehouse->filling;
    CHECK(__atomic_load_n(&warehouse->sealed, __ATOMIC_ACQUIRE) == NULL);
    rows->position = position;
    rows->received_us = received_us;
    warehouse->filling = warehouse->spare;
    warehouse->spare = rows;
    __atomic_store_n(&warehouse->sealed, rows, __ATOMIC_RELEASE);
}

enum status warehouse_commit_sealed(struct warehouse *warehouse, struct err *err)
{
    struct err reason = {0};
    struct rows *rows = __atomic_load_n(&warehouse->sealed, __ATOMIC_ACQUIRE);
    if (rows == NULL)
        return ST_OK;
    int64_t start_us = monotonic_us();
    pthread_mutex_lock(&warehouse->write_lock);
    enum status status = commit_locked(warehouse, rows, &reason);
    if (status == ST_OK) {
        warehouse->events += table_rows(&rows->tables[TABLE_EVENT]);
        warehouse->commits++;
        warehouse->commit_last_us = monotonic_us() - start_us;
        for (size_t i = 0; i < TABLES_COUNT; i++)
            table_reset(&rows->tables[i]);
        rows->overrides_count = 0;
        figures_publish(warehouse);
    }
    pthread_mutex_unlock(&warehouse->write_lock);
    if (status == ST_OK)
        __atomic_store_n(&warehouse->sealed, NULL, __ATOMIC_RELEASE);
    else if (err != NULL)
        *err = reason;
    return status;
}

enum status warehouse_commit(struct warehouse *warehouse, uint64_t position, int64_t received_us,
                             struct err *err)
{
    if (__atomic_load_n(&warehouse->sealed, __ATOMIC_ACQUIRE) == NULL)
        warehouse_seal(warehouse, position, received_us);
    return warehouse_commit_sealed(warehouse, err);
}
