/* blockdisk.c - a disk with a cache that a power cut empties: one file, FOLDER/disk, by FUSE.
 *
 *   blockdisk IMAGE FOLDER SEED
 *
 * What is written to FOLDER/disk stands in memory until it is synced; a loop device on it gives a
 * file system a disk with a write cache, whose flushes are those syncs. SIGTERM cuts the power: of
 * the sectors that were not synced some, drawn from SEED, are written to IMAGE and the rest is
 * lost; then the process ends, and every request that is under way or comes later fails. So the
 * image is what a real kernel had sent to a real disk by then; only root can mount it.
 *
 * It speaks the protocol of /dev/fuse itself (linux/fuse.h): one thread, one request at a time, no
 * other file, no rename, nothing cached but data. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define WRITE_MAX (128u << 10)
#define FILE_NODE 2u
#define FILE_NAME "disk"

static int image, fuse;
static uint64_t size, random_state;
static uint8_t **unsynced; /* by sector, NULL = as in the image */
static volatile sig_atomic_t cut;

__attribute__((noreturn)) static void broken(const char *what)
{
    fprintf(stderr, "blockdisk: could not %s: %s\n", what, strerror(errno));
    _exit(2);
}

static uint64_t draw(void)
{
    uint64_t x = random_state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* --- the disk --------------------------------------------------------------------------------- */

/* Keep `of_8` eighths of what was not synced; 8 is a sync, less is the cut. */
static void settle(unsigned of_8)
{
    size_t kept = 0, lost = 0;
    for (uint64_t i = 0; i < size / SECTOR; i++) {
        if (unsynced[i] == NULL)
            continue;
        bool keep = of_8 == 8 || draw() % 8 < of_8;
        if (keep && pwrite(image, unsynced[i], SECTOR, (off_t)(i * SECTOR)) != (ssize_t)SECTOR)
            broken("write the image");
        kept += keep;
        lost += !keep;
        free(unsynced[i]);
        unsynced[i] = NULL;
    }
    if (of_8 < 8)
        printf("%zu of %zu unsynced sectors lost\n", lost, lost + kept);
}

static void disk_read(uint8_t *bytes, uint64_t offset, size_t n)
{
    if (pread(image, bytes, n, (off_t)offset) != (ssize_t)n)
        broken("read the image");
    for (size_t i = 0; i < n; i += SECTOR)
        if (unsynced[(offset + i) / SECTOR] != NULL)
            memcpy(bytes + i, unsynced[(offset + i) / SECTOR], SECTOR);
}

static void disk_write(const uint8_t *bytes, uint64_t offset, size_t n)
{
    for (size_t i = 0; i < n; i += SECTOR) {
        uint8_t **place = &unsynced[(offset + i) / SECTOR];
        if (*place == NULL && (*place = malloc(SECTOR)) == NULL)
            broken("remember a sector");
        memcpy(*place, bytes + i, SECTOR);
    }
}

/* --- the protocol ----------------------------------------------------------------------------- */

static void answer(const struct fuse_in_header *head, int error, const void *bytes, size_t n)
{
    static uint8_t out[sizeof(struct fuse_out_header) + WRITE_MAX];
    struct fuse_out_header *result = (struct fuse_out_header *)out;
    n = error != 0 ? 0 : n;
    *result = (struct fuse_out_header){
        .len = (uint32_t)(sizeof *result + n), .error = -error, .unique = head->unique};
    if (n > 0)
        memcpy(out + sizeof *result, bytes, n);
    if (write(fuse, out, result->len) < 0 && errno != ENOENT) /* ENOENT: it was interrupted */
        broken("answer");
}

static struct fuse_attr attributes(uint64_t node)
{
    bool file = node == FILE_NODE;
    return (struct fuse_attr){.ino = node,
                              .size = file ? size : 0,
                              .blocks = file ? size / SECTOR : 0,
                              .mode = file ? S_IFREG | 0600 : S_IFDIR | 0700,
                              .nlink = 1,
                              .blksize = 4096};
}

static void answer_init(const struct fuse_in_header *head)
{
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
                                .minor = 31,
                                .max_readahead = WRITE_MAX,
                                .flags = FUSE_BIG_WRITES,
                                .max_background = 16,
                                .congestion_threshold = 12,
                                .max_write = WRITE_MAX};
    answer(head, 0, &out, sizeof out);
}

static void answer_lookup(const struct fuse_in_header *head, const char *name)
{
    struct fuse_entry_out out = {.nodeid = FILE_NODE,
                                 .entry_valid = 3600,
                                 .attr_valid = 3600,
                                 .attr = attributes(FILE_NODE)};
    bool ours = head->nodeid == FUSE_ROOT_ID && strcmp(name, FILE_NAME) == 0;
    answer(head, ours ? 0 : ENOENT, &out, sizeof out);
}

static void answer_read(const struct fuse_in_header *head, const struct fuse_read_in *in)
{
    static uint8_t bytes[WRITE_MAX];
    size_t n = in->offset >= size ? 0 : in->size;
    n = n > size - in->offset ? (size_t)(size - in->offset) : n;
    if (n > sizeof bytes || in->offset % SECTOR != 0) {
        answer(head, EINVAL, NULL, 0);
        return;
    }
    if (n > 0)
        disk_read(bytes, in->offset, n);
    answer(head, 0, bytes, n);
}

static void answer_write(const struct fuse_in_header *head, const struct fuse_write_in *in)
{
    struct fuse_write_out out = {.size = in->size};
    bool fits = in->offset % SECTOR == 0 && in->size % SECTOR == 0 && in->offset + in->size <= size;
    if (fits)
        disk_write((const uint8_t *)(in + 1), in->offset, in->size);
    answer(head, fits ? 0 : EINVAL, &out, sizeof out);
}

static void serve_one(const struct fuse_in_header *head)
{
    const void *in = head + 1;
    struct fuse_attr_out attr = {.attr_valid = 3600, .attr = attributes(head->nodeid)};
    struct fuse_open_out opened = {.fh = 1};
    struct fuse_statfs_out space = {.st = {.bsize = 4096, .namelen = 255}};
    switch (head->opcode) {
    case FUSE_INIT:
        answer_init(head);
        return;
    case FUSE_LOOKUP:
        answer_lookup(head, in);
        return;
    case FUSE_GETATTR:
    case FUSE_SETATTR: /* times */
        answer(head, 0, &attr, sizeof attr);
        return;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        answer(head, 0, &opened, sizeof opened);
        return;
    case FUSE_READ:
        answer_read(head, in);
        return;
    case FUSE_WRITE:
        answer_write(head, in);
        return;
    case FUSE_FSYNC:
        settle(8);
        answer(head, 0, NULL, 0);
        return;
    case FUSE_STATFS:
        answer(head, 0, &space, sizeof space);
        return;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        answer(head, 0, NULL, 0);
        return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        return; /* they want no answer */
    default:
        answer(head, ENOSYS, NULL, 0);
    }
}

static void on_signal(int signal)
{
    (void)signal;
    cut = 1;
}

static void begin(char **args)
{
    char options[128];
    struct stat st;
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: read() must end */
    sigaction(SIGTERM, &action, NULL);
    image = open(args[1], O_RDWR | O_CLOEXEC);
    if (image < 0 || fstat(image, &st) != 0)
        broken("open the image");
    size = (uint64_t)st.st_size / 4096 * 4096;
    random_state = strtoull(args[3], NULL, 10);
    unsynced = calloc(size / SECTOR, sizeof *unsynced);
    fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (unsynced == NULL || fuse < 0)
        broken("open /dev/fuse");
    snprintf(options, sizeof options, "fd=%d,rootmode=40700,user_id=0,group_id=0", fuse);
    if (mount("blockdisk", args[2], "fuse.blockdisk", MS_NOSUID | MS_NODEV, options) != 0)
        broken("mount");
}

int main(int argc, char **argv)
{
    static uint8_t in[sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in) + WRITE_MAX +
                      FUSE_MIN_READ_BUFFER];
    if (argc != 4)
        return 2;
    begin(argv);
    while (!cut) {
        ssize_t n = read(fuse, in, sizeof in);
        if (n < 0 && errno == ENODEV) /* unmounted: a disk that is switched off in peace */
            break;
        if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
            broken("read a request");
        if (n > 0 && !cut)
            serve_one((const struct fuse_in_header *)in);
    }
    settle(cut ? (unsigned)(draw() % 8) : 8);
    return 0;
}
