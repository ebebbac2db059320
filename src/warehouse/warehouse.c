/* warehouse.c - opening and closing; the parts are in warehouse_*.c.
 *
 * Opening: the manifest says which files are ours, what it does not name is deleted, the engine
 * starts behind its fence, each file is attached (which replays its write-ahead log), the views are
 * made, and the newest file tells the position. A file that the manifest names and that is not
 * there is damage: the engine would silently begin an empty one. */
#include "warehouse/warehouse_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"

static enum status folder_make(const char *folder, struct err *err)
{
    if (strlen(folder) + 64 > WAREHOUSE_PATH_MAX)
        return err_set(err, ST_INVALID,
                       "could not open the warehouse: the name of its folder is too long");
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return err_set(err, ST_IO, "could not make the folder %s: %s", folder, strerror(errno));
    return ST_OK;
}

/* The engine compares whole paths: links and dots resolved. */
static enum status folder_real(const char *folder, char **ret_path, struct err *err)
{
    char *path = realpath(folder, NULL);
    if (path == NULL)
        return err_set(err, ST_IO, "could not find the folder %s: %s", folder, strerror(errno));
    *ret_path = path;
    return ST_OK;
}

static enum status files_attach(struct warehouse *warehouse, struct err *err)
{
    char path[WAREHOUSE_PATH_MAX];
    for (size_t i = 0; i < warehouse->files_count; i++) {
        const struct file *file = &warehouse->files[i];
        file_path(warehouse, file, "", path);
        if (access(path, F_OK) != 0) {
            enum status status =
                err_set(err, ST_CORRUPT, "could not open the warehouse: %s is missing", file->name);
            return err_hint(err, status,
                            "delete the folder warehouse; it is folded again from the journal");
        }
        enum status status = file_attach(warehouse, warehouse->writer, file, err);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

static enum status numbers_read(struct warehouse *warehouse, struct err *err)
{
    duckdb_connection writer = warehouse->writer;
    enum status status = engine_number(writer, "SELECT count(*)::UBIGINT FROM raw.event", NULL, 0,
                                       &warehouse->events, err);
    if (status != ST_OK || warehouse->files_count == 0)
        return status;
    const struct sql_word words[] = {{"F", warehouse->files[warehouse->files_count - 1].alias}};
    status = engine_number_words(writer, "SELECT max(position) FROM @F@.meta", words, 1, NULL, 0,
                                 &warehouse->position, err);
    if (status == ST_OK)
        status = engine_number_words(
            writer, "SELECT (count(*) - count(DISTINCT visitor))::UBIGINT FROM @F@.person_override",
            words, 1, NULL, 0, &warehouse->overrides_tail, err);
    return status;
}

static enum status open_all(struct warehouse *warehouse, const struct warehouse_options *options,
                            struct err *err)
{
    enum status status = folder_make(options->folder, err);
    if (status == ST_OK)
        status = folder_make(options->export_folder, err);
    if (status == ST_OK)
        status = folder_real(options->folder, &warehouse->folder, err);
    if (status == ST_OK)
        status = folder_real(options->export_folder, &warehouse->export_folder, err);
    if (status == ST_OK)
        status = manifest_read(warehouse, err);
    if (status == ST_OK)
        status = leftovers_delete(warehouse, err);
    if (status == ST_OK)
        status = engine_open(warehouse, options, err);
    if (status != ST_OK)
        return status;
    status = files_attach(warehouse, err);
    if (status == ST_OK)
        status = views_make(warehouse, warehouse->writer, err);
    if (status == ST_OK)
        status = numbers_read(warehouse, err);
    if (status == ST_OK)
        figures_publish(warehouse);
    return status;
}

enum status warehouse_open(const struct warehouse_options *options,
                           struct warehouse **ret_warehouse, struct err *err)
{
    struct warehouse *warehouse = mem_zero(sizeof *warehouse);
    warehouse->disk = options->disk;
    warehouse->clock = options->clock;
    pthread_mutex_init(&warehouse->write_lock, NULL);
    pthread_mutex_init(&warehouse->figures_lock, NULL);
    pthread_mutex_init(&warehouse->erase_lock, NULL);
    pthread_mutex_init(&warehouse->erased.mutex, NULL);
    pthread_mutex_init(&warehouse->readers.mutex, NULL);
    pthread_cond_init(&warehouse->readers.left, NULL);
    rows_init(warehouse);
    slots_init(warehouse);
    enum status status = open_all(warehouse, options, err);
    if (status != ST_OK) {
        warehouse_close(warehouse);
        return status;
    }
    *ret_warehouse = warehouse;
    return ST_OK;
}

void warehouse_close(struct warehouse *warehouse)
{
    if (warehouse == NULL)
        return;
    slots_done(warehouse);
    rows_done(warehouse);
    help_stop(&warehouse->help);
    duckdb_disconnect(&warehouse->writer);
    duckdb_close(&warehouse->database);
    pthread_cond_destroy(&warehouse->readers.left);
    pthread_mutex_destroy(&warehouse->readers.mutex);
    pthread_mutex_destroy(&warehouse->erase_lock);
    pthread_mutex_destroy(&warehouse->erased.mutex);
    free(warehouse->erased.visitors);
    pthread_mutex_destroy(&warehouse->figures_lock);
    pthread_mutex_destroy(&warehouse->write_lock);
    free(warehouse->folder);
    free(warehouse->export_folder);
    free(warehouse);
}

uint64_t warehouse_position(const struct warehouse *warehouse)
{
    return __atomic_load_n(&warehouse->position, __ATOMIC_ACQUIRE);
}

void figures_publish(struct warehouse *warehouse)
{
    int64_t now_us = monotonic_us();
    uint64_t memory = warehouse->figures.memory_bytes; /* written under write_lock alone */
    struct err err;
    if (now_us >= warehouse->memory_due_us) {
        warehouse->memory_due_us = now_us + US_PER_S;
        if (engine_number(warehouse->writer,
                          "SELECT sum(memory_usage_bytes)::UBIGINT FROM duckdb_memory()", NULL, 0,
                          &memory, &err) != ST_OK)
            memory = 0; /* a figure for a graph: the next one has it */
    }
    pthread_mutex_lock(&warehouse->figures_lock);
    warehouse->figures = (struct warehouse_stats){.events = warehouse->events,
                                                  .commits = warehouse->commits,
                                                  .files = warehouse->files_count,
                                                  .overrides_tail = warehouse->overrides_tail,
                                                  .memory_bytes = memory,
                                                  .commit_last_us = warehouse->commit_last_us};
    pthread_mutex_unlock(&warehouse->figures_lock);
}

void warehouse_stats(struct warehouse *warehouse, struct warehouse_stats *ret_stats)
{
    pthread_mutex_lock(&warehouse->figures_lock);
    *ret_stats = warehouse->figures;
    pthread_mutex_unlock(&warehouse->figures_lock);
}
