/* log_fuzz.c - any bytes as a segment's content: the journal opens and reads, or says that it is
 * damaged.
 *
 * Checksums would keep a fuzzer at the door. So the first byte chooses: even, the bytes are taken
 * as they are; odd, what stands where headers stand is given true checksums first (and a length
 * that fits), so that the walk, the search behind a torn tail and the readers see odd records. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"
#include "log/log_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct {
    char folder[64];
    struct disk disk;
    struct clock clock;
    struct log_options options;
    char head[SEGMENT_HEADER_BYTES];
} fuzz;

static void in_folder(const char *name, char *ret_path, size_t n)
{
    snprintf(ret_path, n, "%s/%s", fuzz.folder, name);
}

static void forget(const char *name)
{
    char path[128];
    in_folder(name, path, sizeof path);
    unlink(path);
}

static void folder_remove(void)
{
    forget("00000000000000000064.log");
    forget("synced");
    forget("spare");
    forget("erase.redo");
    rmdir(fuzz.folder);
}

/* Make the folder once, and keep the header of a fresh first segment. */
static void prepare(void)
{
    char path[128], *bytes = NULL;
    size_t n = 0;
    struct log *log = NULL;
    snprintf(fuzz.folder, sizeof fuzz.folder, "%s/log_fuzz.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(fuzz.folder) != NULL);
    atexit(folder_remove);
    disk_init(&fuzz.disk);
    clock_init_virtual(&fuzz.clock, 1);
    fuzz.options =
        (struct log_options){.folder = fuzz.folder, .disk = &fuzz.disk, .clock = &fuzz.clock};
    CHECK(log_open(&fuzz.options, &log, NULL) == ST_OK);
    log_close(log);
    in_folder("00000000000000000064.log", path, sizeof path);
    CHECK(disk_read_file(&fuzz.disk, path, 1000, &bytes, &n, NULL) == ST_OK);
    CHECK(n == sizeof fuzz.head);
    memcpy(fuzz.head, bytes, n);
    free(bytes);
}

static void checksums_repair(char *bytes, size_t n)
{
    struct record_head head;
    for (size_t at = 0; n - at >= sizeof head; at += sizeof head + head.length) {
        memcpy(&head, bytes + at, sizeof head);
        head.key_id = 0;
        if (head.length > n - at - sizeof head)
            head.length %= (uint32_t)(n - at - sizeof head) + 1;
        head.payload_crc = crc32c(0, bytes + at + sizeof head, head.length);
        record_head_close(&head);
        memcpy(bytes + at, &head, sizeof head);
    }
}

/* Everything that can be read must be readable twice, by the reader and by its offset. */
static void read_everything(struct log *log)
{
    struct log_reader *reader = NULL;
    struct log_record record, again;
    struct buf buf;
    bool any = true;
    buf_init(&buf, LOG_PAYLOAD_MAX + LOG_HEADER_BYTES);
    CHECK(log_reader_open(log, 0, &reader, NULL) == ST_OK);
    while (any) {
        CHECK(log_reader_fill(reader, 300, 0, &any, NULL) == ST_OK); /* the walk has checked it */
        while (log_reader_next(reader, &record)) {
            CHECK(log_read_at(log, record.offset, &buf, &again, NULL) == ST_OK);
            CHECK(again.next == record.next && str_eq(again.payload, record.payload));
        }
    }
    log_reader_close(reader);
    buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[128];
    struct log *log = NULL;
    struct buf file;
    if (fuzz.folder[0] == '\0')
        prepare();
    if (n == 0)
        return 0;
    buf_init(&file, LOG_PAYLOAD_MAX);
    buf_put(&file, fuzz.head, sizeof fuzz.head);
    buf_put(&file, data + 1, n - 1);
    if (data[0] & 1)
        checksums_repair(file.p + sizeof fuzz.head, file.n - sizeof fuzz.head);
    forget("synced");
    in_folder("00000000000000000064.log", path, sizeof path);
    CHECK(disk_write_file(&fuzz.disk, path, buf_view(&file), NULL) == ST_OK);
    enum status status = log_open(&fuzz.options, &log, NULL);
    CHECK(status == ST_OK || status == ST_CORRUPT);
    if (status == ST_OK)
        read_everything(log);
    log_close(log);
    buf_done(&file);
    return 0;
}
