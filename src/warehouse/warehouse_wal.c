/* warehouse_wal.c - the engine's write-ahead log after a power cut.
 *
 * The engine keeps its commits in a file beside each month's, "….duckdb.wal", and takes care of
 * its bytes. Two things it leaves to us:
 *
 *   - It makes the log anew after each checkpoint and never syncs the folder. So a power cut may
 *     take a log away whose bytes were synced, and with it commits that state.db already builds on.
 *     We sync the folder when a commit has gone to a log that was not there before.
 *   - A cut may leave behind the last sync a part of a commit: later sectors and not the earlier
 *     ones. The engine drops an entry that is longer than the file, but refuses the whole log for
 *     one whose checksum is wrong. We cut the log before that entry. What is lost is what the
 *     engine would lose of a shorter file: the commits from there on, whole. Were they ever synced,
 *     then their bytes are damaged; the position in `meta` went with them, so the pipeline either
 *     folds their rows once more or says that it cannot.
 *
 * And after kill -9 the log may hold a commit that was never synced: it is, before it is read. */
#include "warehouse/warehouse_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

#define ENTRY_HEAD_BYTES 16 /* u64 size, u64 checksum */

enum status wal_keep(struct warehouse *warehouse, struct file *file, struct err *err)
{
    char path[WAREHOUSE_PATH_MAX];
    struct stat st;
    file_path(warehouse, file, ".wal", path);
    if (stat(path, &st) != 0) { /* the commit ended with a checkpoint */
        file->wal_size = 0;
        return ST_OK;
    }
    bool same = file->wal_size > 0 && file->wal_inode == (uint64_t)st.st_ino &&
                file->wal_size <= (uint64_t)st.st_size;
    file->wal_inode = (uint64_t)st.st_ino;
    file->wal_size = (uint64_t)st.st_size;
    return same ? ST_OK : disk_sync_folder(warehouse->disk, warehouse->folder, err);
}

enum status wal_sync(struct warehouse *warehouse, const struct file *file, struct err *err)
{
    char path[WAREHOUSE_PATH_MAX];
    int fd = -1;
    file_path(warehouse, file, ".wal", path);
    enum status status = disk_open(warehouse->disk, path, O_RDWR, &fd, err);
    if (status != ST_OK)
        return status == ST_NOT_FOUND ? ST_OK : status;
    status = disk_sync(warehouse->disk, fd, err);
    close(fd);
    return status;
}

/* The entry that the engine complains of: where it begins. */
static bool entry_find(const char *message, uint64_t *ret_start, uint64_t *ret_checksum)
{
    unsigned long long at, computed, stored;
    const char *words = strstr(message, "Corrupt WAL file: entry at byte position ");
    if (words == NULL ||
        sscanf(words,
               "Corrupt WAL file: entry at byte position %llu computed checksum %llu does not "
               "match stored checksum %llu",
               &at, &computed, &stored) != 3 ||
        at < ENTRY_HEAD_BYTES)
        return false;
    *ret_start = at - ENTRY_HEAD_BYTES;
    *ret_checksum = stored;
    return true;
}

bool wal_cut(struct warehouse *warehouse, const struct file *file, const char *message)
{
    char path[WAREHOUSE_PATH_MAX];
    uint64_t start, checksum, head[2] = {0}, size = 0;
    size_t n = 0;
    int fd = -1;
    struct err err;
    file_path(warehouse, file, ".wal", path);
    if (!entry_find(message, &start, &checksum) ||
        disk_open(warehouse->disk, path, O_RDWR, &fd, &err) != ST_OK)
        return false;
    /* Does the number mean what we take it for? The checksum that it names must stand there. */
    bool good = disk_read_at(warehouse->disk, fd, head, sizeof head, start, &n, &err) == ST_OK &&
                n == sizeof head && head[1] == checksum &&
                disk_size(warehouse->disk, fd, &size, &err) == ST_OK &&
                disk_truncate(warehouse->disk, fd, start, &err) == ST_OK;
    if (good && disk_sync(warehouse->disk, fd, &err) != ST_OK)
        fatal("the warehouse cannot go on: %s", err.message);
    close(fd);
    if (good)
        fprintf(stderr, "hezou: Cut %llu bytes of an unfinished commit off %s.wal\n",
                (unsigned long long)(size - start), file->name);
    return good;
}
