/* disk.c - the file calls, each of which can be told to fail. */
#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"

void disk_init(struct disk *disk)
{
    *disk = (struct disk){0};
}

/* True (and errno set) when this call is the one that was told to fail. */
static bool injected_into(struct disk *disk, bool sync)
{
    if (__atomic_load_n(&disk->fail_syncs, __ATOMIC_RELAXED) && !sync)
        return false;
    __atomic_add_fetch(&disk->calls, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&disk->fail_at, __ATOMIC_RELAXED) == 0)
        return false;
    int64_t left = __atomic_sub_fetch(&disk->fail_at, 1, __ATOMIC_RELAXED);
    if (left > 0)
        return false;
    bool forever = __atomic_load_n(&disk->fail_forever, __ATOMIC_RELAXED);
    __atomic_store_n(&disk->fail_at, forever ? 1 : 0, __ATOMIC_RELAXED);
    errno = __atomic_load_n(&disk->fail_errno, __ATOMIC_RELAXED);
    return true;
}

static bool injected(struct disk *disk)
{
    return injected_into(disk, false);
}

static enum status failed(struct err *err, const char *what)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    return err_set(err, full ? ST_BUSY : ST_IO, "could not %s: %s", what, strerror(errno));
}

enum status disk_open(struct disk *disk, const char *path, int flags, int *ret_fd, struct err *err)
{
    int fd = injected(disk) ? -1 : open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOENT
                   ? err_set(err, ST_NOT_FOUND, "could not open %s: it does not exist", path)
                   : failed(err, "open a file");
    *ret_fd = fd;
    return ST_OK;
}

/* What the kernel is given at once. It does not let go of the processor while it finds pages for
 * what it copies, and a host that has to find them first takes 16 ms for a MB. */
#define CALL_BYTES ((size_t)64 << 10)

static enum status write_piece(struct disk *disk, int fd, const char *from, size_t n,
                               uint64_t offset, struct err *err)
{
    while (n > 0) {
        size_t part = n < CALL_BYTES ? n : CALL_BYTES;
        ssize_t done = injected(disk) ? -1 : pwrite(fd, from, part, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return failed(err, "write to a file");
        from += done;
        n -= (size_t)done;
        offset += (uint64_t)done;
    }
    return ST_OK;
}

/* A wait takes the file's error away from a later sync, so what it says must be heeded. */
static bool push(int fd, uint64_t offset, uint64_t n, bool wait)
{
    unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    return sync_file_range(fd, (off_t)offset, (off_t)n, wait ? all : SYNC_FILE_RANGE_WRITE) == 0 ||
           errno == ESPIPE || errno == EINVAL; /* not a file with pages */
}

bool disk_push(int fd)
{
    return push(fd, 0, 0, true);
}

enum status disk_write_at(struct disk *disk, int fd, const void *bytes, size_t n, uint64_t offset,
                          struct err *err)
{
    for (size_t at = 0; at < n; at += DISK_PIECE_BYTES) {
        size_t piece = n - at < DISK_PIECE_BYTES ? n - at : DISK_PIECE_BYTES;
        enum status status =
            write_piece(disk, fd, (const char *)bytes + at, piece, offset + at, err);
        if (status != ST_OK || n <= DISK_PIECE_BYTES)
            return status;
        bool pushed = push(fd, offset + at, piece, false) &&
                      (at == 0 || push(fd, offset + at - DISK_PIECE_BYTES, DISK_PIECE_BYTES, true));
        if (!pushed)
            return failed(err, "write to a file");
    }
    return ST_OK;
}

/* Drop `done` written bytes from the front of the pieces; gives how many pieces are used up. */
static size_t parts_drop(struct iovec *parts, size_t count, size_t done)
{
    size_t i = 0;
    for (; i < count && done >= parts[i].iov_len; i++)
        done -= parts[i].iov_len;
    if (i < count) {
        parts[i].iov_base = (char *)parts[i].iov_base + done;
        parts[i].iov_len -= done;
    }
    return i;
}

enum status disk_writev_at(struct disk *disk, int fd, struct iovec *parts, size_t count,
                           uint64_t offset, struct err *err)
{
    while (count > 0) {
        int part = count < UIO_MAXIOV ? (int)count : UIO_MAXIOV;
        ssize_t done = injected(disk) ? -1 : pwritev(fd, parts, part, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return failed(err, "write to a file");
        size_t used = parts_drop(parts, count, (size_t)done);
        parts += used;
        count -= used;
        offset += (uint64_t)done;
    }
    return ST_OK;
}

enum status disk_read_at(struct disk *disk, int fd, void *bytes, size_t n, uint64_t offset,
                         size_t *ret_n, struct err *err)
{
    size_t got = 0;
    while (got < n) {
        ssize_t done =
            injected(disk) ? -1 : pread(fd, (char *)bytes + got, n - got, (off_t)(offset + got));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return failed(err, "read from a file");
        if (done == 0)
            break;
        got += (size_t)done;
    }
    *ret_n = got;
    return ST_OK;
}

enum status disk_sync(struct disk *disk, int fd, struct err *err)
{
    if (injected_into(disk, true) || fdatasync(fd) != 0)
        return failed(err, "sync a file to the disk");
    return ST_OK;
}

enum status disk_truncate(struct disk *disk, int fd, uint64_t size, struct err *err)
{
    if (injected(disk) || ftruncate(fd, (off_t)size) != 0)
        return failed(err, "cut a file");
    return ST_OK;
}

enum status disk_size(struct disk *disk, int fd, uint64_t *ret_size, struct err *err)
{
    struct stat st;
    if (injected(disk) || fstat(fd, &st) != 0)
        return failed(err, "ask for a file's size");
    *ret_size = (uint64_t)st.st_size;
    return ST_OK;
}

enum status disk_reserve(struct disk *disk, int fd, uint64_t size, struct err *err)
{
    if (injected(disk))
        return failed(err, "reserve disk space");
    errno = posix_fallocate(fd, 0, (off_t)size);
    if (errno != 0)
        return failed(err, "reserve disk space");
    return ST_OK;
}

enum status disk_rename(struct disk *disk, const char *from, const char *to, struct err *err)
{
    if (injected(disk) || rename(from, to) != 0)
        return failed(err, "rename a file");
    return ST_OK;
}

enum status disk_remove(struct disk *disk, const char *path, struct err *err)
{
    if (injected(disk) || (unlink(path) != 0 && errno != ENOENT))
        return failed(err, "remove a file");
    return ST_OK;
}

enum status disk_sync_folder(struct disk *disk, const char *folder, struct err *err)
{
    int fd = injected_into(disk, true) ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(err, "open a folder");
    enum status status = fsync(fd) == 0 ? ST_OK : failed(err, "sync a folder to the disk");
    close(fd);
    return status;
}

enum status disk_write_file(struct disk *disk, const char *path, struct str bytes, struct err *err)
{
    char beside[4096], folder[4096];
    const char *slash = strrchr(path, '/');
    CHECK(slash != NULL && strlen(path) + 5 < sizeof beside);
    snprintf(beside, sizeof beside, "%s.new", path);
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);

    int fd = -1;
    enum status status = disk_open(disk, beside, O_WRONLY | O_CREAT | O_TRUNC, &fd, err);
    if (status != ST_OK)
        return status;
    status = disk_write_at(disk, fd, bytes.p, bytes.n, 0, err);
    if (status == ST_OK)
        status = disk_sync(disk, fd, err);
    close(fd);
    if (status == ST_OK)
        status = disk_rename(disk, beside, path, err);
    if (status != ST_OK)
        return status;
    status = disk_sync_folder(disk, folder, err);
    if (status == ST_BUSY) { /* the name has changed: no caller may take that for "not done" */
        status = ST_IO;
        if (err != NULL)
            err->status = status;
    }
    return status;
}

/* To read a file from end to end. */
static enum status open_whole(struct disk *disk, const char *path, int *ret_fd, uint64_t *ret_size,
                              struct err *err)
{
    enum status status = disk_open(disk, path, O_RDONLY, ret_fd, err);
    if (status != ST_OK)
        return status;
    status = disk_size(disk, *ret_fd, ret_size, err);
    if (status != ST_OK)
        close(*ret_fd);
    return status;
}

enum status disk_read_file(struct disk *disk, const char *path, size_t max, char **ret_bytes,
                           size_t *ret_n, struct err *err)
{
    int fd = -1;
    uint64_t size = 0;
    enum status status = open_whole(disk, path, &fd, &size, err);
    if (status != ST_OK)
        return status;
    if (size > max)
        status = err_set(err, ST_TOO_LARGE, "%s has %llu bytes, more than %zu", path,
                         (unsigned long long)size, max);
    if (status == ST_OK) {
        char *bytes = mem_alloc((size_t)size + 1);
        size_t n = 0;
        status = disk_read_at(disk, fd, bytes, (size_t)size, 0, &n, err);
        bytes[n] = '\0';
        if (status == ST_OK)
            *ret_bytes = bytes, *ret_n = n;
        else
            free(bytes);
    }
    close(fd);
    return status;
}

enum status disk_map_file(struct disk *disk, const char *path, struct str *ret_bytes,
                          struct err *err)
{
    int fd = -1;
    uint64_t size = 0;
    enum status status = open_whole(disk, path, &fd, &size, err);
    if (status != ST_OK)
        return status;
    void *bytes = NULL;
    if (size > 0)
        bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        status = failed(err, "read");
    if (status == ST_OK)
        *ret_bytes = (struct str){bytes, size};
    close(fd);
    return status;
}

void disk_unmap(struct str bytes)
{
    if (bytes.n > 0)
        CHECK(munmap((char *)(uintptr_t)bytes.p, bytes.n) == 0);
}
