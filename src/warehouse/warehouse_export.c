/* warehouse_export.c - Parquet for others, one folder per day of event time.
 *
 * Each export gets a fresh folder, so a running one never mixes with an older one, and an erase can
 * delete all of them: what was given out cannot be rewritten, it is made again. */
#include "warehouse/warehouse_int.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

static bool day_valid(struct str day)
{
    for (size_t i = 0; i < day.n; i++)
        if ((i == 4 || i == 7) ? day.p[i] != '-' : (day.p[i] < '0' || day.p[i] > '9'))
            return false;
    return day.n == 10 || day.n == 0;
}

static enum status folder_fresh(struct warehouse *warehouse, char ret_path[WAREHOUSE_PATH_MAX],
                                struct err *err)
{
    char stamp[32];
    struct tm tm;
    time_t seconds = (time_t)(clock_now_us(warehouse->clock) / US_PER_S);
    CHECK(gmtime_r(&seconds, &tm) != NULL);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
    for (int tries = 0; tries < 1000; tries++) {
        int n = snprintf(ret_path, WAREHOUSE_PATH_MAX, "%s/%s-%u", warehouse->export_folder, stamp,
                         ++warehouse->exports);
        CHECK(n > 0 && n < WAREHOUSE_PATH_MAX);
        if (mkdir(ret_path, 0700) == 0)
            return ST_OK;
        if (errno != EEXIST)
            break;
    }
    return err_set(err, ST_IO, "could not make a folder for the export: %s", strerror(errno));
}

static enum status copy_out(struct warehouse *warehouse, const char *path, struct str from_day,
                            struct str to_day, struct err *err)
{
    static const char sql[] = "COPY (SELECT *, strftime(time, '%Y-%m-%d') AS day FROM events WHERE "
                              "time >= TIMESTAMP @FROM@ AND "
                              "time < TIMESTAMP @TO@ + INTERVAL 1 DAY) TO @PATH@ (FORMAT parquet, "
                              "PARTITION_BY (day), COMPRESSION zstd)";
    char from[16] = "0001-01-01", to[16] = "9999-12-30";
    struct buf from_quoted, to_quoted, path_quoted;
    duckdb_connection connection = NULL;
    snprintf(from, sizeof from, STR_FMT, STR_ARG(from_day.n > 0 ? from_day : str_of("0001-01-01")));
    snprintf(to, sizeof to, STR_FMT, STR_ARG(to_day.n > 0 ? to_day : str_of("9999-12-30")));
    buf_init(&from_quoted, 64);
    buf_init(&to_quoted, 64);
    buf_init(&path_quoted, WAREHOUSE_PATH_MAX * 2);
    sql_quote(&from_quoted, from);
    sql_quote(&to_quoted, to);
    sql_quote(&path_quoted, path);
    const struct sql_word words[] = {
        {"FROM", from_quoted.p}, {"TO", to_quoted.p}, {"PATH", path_quoted.p}};

    unsigned generation = readers_enter(warehouse);
    enum status status = engine_connect_reader(warehouse, &connection, err);
    if (status == ST_OK)
        status = engine_run_words(connection, sql, words, 3, NULL, 0, err);
    duckdb_disconnect(&connection);
    readers_leave(warehouse, generation);
    buf_done(&from_quoted);
    buf_done(&to_quoted);
    buf_done(&path_quoted);
    return status;
}

enum status warehouse_export(struct warehouse *warehouse, struct str from_day, struct str to_day,
                             struct buf *folder, struct err *err)
{
    char path[WAREHOUSE_PATH_MAX];
    if (!day_valid(from_day) || !day_valid(to_day))
        return err_set(err, ST_INVALID, "could not export: a day is written YYYY-MM-DD");
    pthread_mutex_lock(
        &warehouse->erase_lock); /* so that none is under way while exports are deleted */
    enum status status = folder_fresh(warehouse, path, err);
    if (status == ST_OK)
        status = copy_out(warehouse, path, from_day, to_day, err);
    pthread_mutex_unlock(&warehouse->erase_lock);
    if (status == ST_OK)
        buf_text(folder, path);
    return status;
}

static int entry_delete(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    if (where->level == 0)
        return 0;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

enum status exports_delete(struct warehouse *warehouse, struct err *err)
{
    if (nftw(warehouse->export_folder, entry_delete, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return err_set(err, ST_IO, "could not delete the exports: %s", strerror(errno));
    return disk_sync_folder(warehouse->disk, warehouse->export_folder, err);
}
