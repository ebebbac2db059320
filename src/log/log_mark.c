/* log_mark.c - the mark: how far the journal is known to be on the disk.
 *
 * After each sync the committer writes the new end into the small file `synced`, and does not sync
 * it. So what the mark says is always true, if perhaps old: after kill -9 it is exact, after a
 * power cut it may be some commits behind. It decides what no look at the bytes can: a damaged last
 * record in front of the mark had been acknowledged and is damage; behind it, it is a torn write
 * that nobody was told about. A mark that cannot be read is no mark. */
#include "log/log_int.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"

/* As it lies on the disk, little endian. */
struct mark {
    char magic[8];
    uint32_t version;
    uint32_t zero;
    uint64_t end;
    uint32_t zero_too;
    uint32_t crc; /* of the 28 bytes before */
};
_Static_assert(sizeof(struct mark) == 32, "no padding");

static const char magic[8] = {'H', 'E', 'Z', 'O', 'U', 'E', 'N', 'D'};

enum status mark_open(struct log *log, uint64_t *ret_end, struct err *err)
{
    char path[LOG_PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/synced", log->folder);
    CHECK(length > 0 && (size_t)length < sizeof path);
    enum status status = disk_open(log->disk, path, O_RDWR | O_CREAT, &log->mark_fd, err);
    if (status != ST_OK)
        return status;
    struct mark mark = {0};
    size_t n = 0;
    status = disk_read_at(log->disk, log->mark_fd, &mark, sizeof mark, 0, &n, err);
    if (status != ST_OK)
        return status;
    bool valid = memcmp(mark.magic, magic, sizeof magic) == 0 && mark.version == 1 &&
                 mark.crc == crc32c(0, &mark, offsetof(struct mark, crc));
    *ret_end = valid ? mark.end : 0;
    return ST_OK;
}

void mark_write(struct log *log)
{
    struct mark mark = {.version = 1, .end = log->end};
    memcpy(mark.magic, magic, sizeof magic);
    mark.crc = crc32c(0, &mark, offsetof(struct mark, crc));
    struct err ignored; /* an old mark is still true */
    (void)!disk_write_at(log->disk, log->mark_fd, &mark, sizeof mark, 0, &ignored);
}
