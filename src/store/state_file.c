/* state_file.c - state.db as a file: its WAL brought in, a copy of it as of the last merge.
 */
#include "store/state_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/disk.h"
#include "base/hook.h"

/* A miss reads the file under the lock, so a page that is not in memory makes everybody wait for
 * the disk (seen: 20 to 90 ms, where the host takes cold pages away). Costs nothing for what is
 * there; what is not is read ahead, behind nobody's back. A file that the memory cannot hold is
 * left to the system. */
static void keep_in_memory(const char *path)
{
    struct stat file;
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* only an advice */
    if (fstat(fd, &file) == 0 && file.st_size < memory / 4)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
    close(fd);
}

enum status state_checkpoint(struct state *state, bool truncate, struct err *err)
{
    /* A connection of its own, so that it may run beside a merge. */
    struct db *db = NULL;
    uint64_t merged = __atomic_load_n(&state->delta.merged, __ATOMIC_ACQUIRE);
    enum status status = db_open(state->path, false, &db, err);
    db_pace(true);
    if (status == ST_OK)
        status = db_checkpoint(db, truncate, err);
    db_pace(false);
    HOOK("state_checkpoint");
    db_close(db);
    if (status == ST_OK) /* synced: the tables have it, whatever happens now */
        state_delta_forget(state, merged);
    keep_in_memory(state->path);
    return status;
}

/* All pages in one step, which is one read transaction: as of the last commit. */
static enum status copy_pages(struct db *from, struct db *to, struct err *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->sqlite, "main", from->sqlite, "main");
    if (backup == NULL)
        return db_failed(to, "begin a copy of the state", err);
    int code = sqlite3_backup_step(backup, -1);
    int end = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE && end == SQLITE_OK ? ST_OK : db_failed(to, "copy the state", err);
}

static enum status sync_file(struct disk *disk, const char *path, struct err *err)
{
    int fd = -1;
    enum status status = disk_open(disk, path, O_RDWR, &fd, err);
    if (status != ST_OK)
        return status;
    status = disk_sync(disk, fd, err);
    close(fd);
    return status;
}

enum status state_snapshot(struct state *state, const char *path, struct err *err)
{
    char beside[4096], folder[4096];
    const char *slash = strrchr(path, '/');
    CHECK(slash != NULL && strlen(path) + 5 < sizeof beside);
    snprintf(beside, sizeof beside, "%s.new", path);
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    unlink(beside); /* of an earlier try */

    struct db *from = NULL, *to = NULL;
    enum status status = db_open(state->path, true, &from, err);
    if (status == ST_OK)
        status = db_open(beside, false, &to, err);
    if (status == ST_OK) /* half a copy is deleted, never repaired, and we sync the whole one */
        status = db_run(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;", err);
    db_pace(true);
    if (status == ST_OK)
        status = copy_pages(from, to, err);
    db_pace(false);
    db_close(to);
    db_close(from);
    struct disk disk;
    disk_init(&disk);
    if (status == ST_OK)
        status = sync_file(&disk, beside, err);
    HOOK("snapshot_half");
    if (status == ST_OK)
        status = disk_rename(&disk, beside, path, err);
    if (status == ST_OK)
        return disk_sync_folder(&disk, folder, err);
    unlink(beside);
    return status;
}
