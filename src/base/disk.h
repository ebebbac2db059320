/* disk.h - the file calls of journal, deduplication and small state files, passed in so that tests
 * can make the Nth of them fail.
 *
 * Paths are whole. Every call answers ST_OK or ST_IO, or ST_BUSY when the disk (or quota) is full:
 * the one failure that passes by itself. A failed sync must never be retried by the caller: after
 * it nothing is known about what is on the disk (Rebello et al., USENIX ATC 2020), so callers end
 * the process. */
#ifndef BASE_DISK_H
#define BASE_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/status.h"
#include "base/str.h"

struct disk {
    /* Fault injection, test builds and tests only: fail the `fail_at`th call from now (1 = the next
     * one) with `fail_errno`, and every later one too when `fail_forever`. 0 = never. Counted
     * atomically. */
    int64_t fail_at;
    int fail_errno;
    bool fail_forever;
    bool fail_syncs; /* count and fail syncs alone */
    uint64_t calls;  /* how many were made; a sweep reads it first */
};

void disk_init(struct disk *disk);

/* flags as open(2); O_CLOEXEC is added, mode 0600. */
MUST_USE enum status disk_open(struct disk *disk, const char *path, int flags, int *ret_fd,
                               struct err *err);
/* What goes to the disk at once, so that a sync of another file waits for no more: 20 MB in one
 * piece made the journal's syncs wait for 50 to 170 ms; pieces of 1 MB are half as good as these.
 */
#define DISK_PIECE_BYTES ((size_t)256 << 10)

/* All bytes, at `offset`; many are on their way to the disk, but for the last two pieces, when it
 * returns (not safe there: that takes a sync). */
MUST_USE enum status disk_write_at(struct disk *disk, int fd, const void *bytes, size_t n,
                                   uint64_t offset, struct err *err);
/* The same from many pieces, in order; `parts` is used up. */
MUST_USE enum status disk_writev_at(struct disk *disk, int fd, struct iovec *parts, size_t count,
                                    uint64_t offset, struct err *err);
/* As many as there are up to `n`; *ret_n is smaller only at the end of the file. */
MUST_USE enum status disk_read_at(struct disk *disk, int fd, void *bytes, size_t n, uint64_t offset,
                                  size_t *ret_n, struct err *err);
MUST_USE enum status disk_sync(struct disk *disk, int fd, struct err *err); /* fdatasync */
MUST_USE enum status disk_truncate(struct disk *disk, int fd, uint64_t size, struct err *err);
MUST_USE enum status disk_size(struct disk *disk, int fd, uint64_t *ret_size, struct err *err);
/* Begin to write what the file still holds in memory, and wait for it; not a sync. False: as after
 * a failed sync, and errno says why. */
MUST_USE bool disk_push(int fd);
/* Reserve space so that later writes inside it need no new blocks; ST_BUSY when there is none. */
MUST_USE enum status disk_reserve(struct disk *disk, int fd, uint64_t size, struct err *err);
MUST_USE enum status disk_rename(struct disk *disk, const char *from, const char *to,
                                 struct err *err);
MUST_USE enum status disk_remove(struct disk *disk, const char *path, struct err *err);
/* Make names created, renamed or removed in `folder` durable. */
MUST_USE enum status disk_sync_folder(struct disk *disk, const char *folder, struct err *err);
/* A whole small file: written beside, synced, renamed over `path`, folder synced. ST_BUSY: nothing
 * has changed; ST_IO: `path` may be the old or the new file. */
MUST_USE enum status disk_write_file(struct disk *disk, const char *path, struct str bytes,
                                     struct err *err);
/* A whole file into malloc'd memory that the caller frees; ST_TOO_LARGE above `max`, ST_NOT_FOUND
 * if absent. */
MUST_USE enum status disk_read_file(struct disk *disk, const char *path, size_t max,
                                    char **ret_bytes, size_t *ret_n, struct err *err);
/* The same without a copy: the file's own pages, to be read only, until disk_unmap. For a file that
 * nobody shortens, and that was whole a moment ago: a page that cannot be read ends the process. */
MUST_USE enum status disk_map_file(struct disk *disk, const char *path, struct str *ret_bytes,
                                   struct err *err);
void disk_unmap(struct str bytes); /* {NULL, 0} is fine */
#endif
