/* powercut.c - a library that is loaded before libc and cuts the power.
 *
 *   LD_PRELOAD=libpowercut.so POWERCUT_DATA=DIR POWERCUT_SEED=N POWERCUT_FD=FD [POWERCUT_AT=WHAT:N]
 *   [POWERCUT_SYNC_US=US] [POWERCUT_DROP=folder_syncs] [POWERCUT_NAMES=ext4] hezou serve …
 *
 * kill -9 leaves the page cache; a power cut does not. Every libc call that changes a file or a
 * name below DIR, made by the program or by SQLite or DuckDB inside it, passes through here and is
 * told to the model (powercut_model.c), one at a time. A sync does not go to the disk: it takes up
 * to POWERCUT_SYNC_US (2000), so that something can happen meanwhile, and then is a mark in the
 * model.
 *
 * A byte at POWERCUT_FD (a socket) cuts the power; so does the Nth sync of a file or folder whose
 * path holds WHAT (`sync/journal`, `sync/state.db`), just before it, or the Nth change of a name
 * (`name/…`), just after it, or a named point of CRASH_AT. The cut holds the lock for good, makes
 * the folder one of the images that a disk may show, says to POWERCUT_FD what it did, and ends the
 * process: nothing runs after.
 *
 * Not seen are system calls made without libc, and stdio; a call that this file knows to exist and
 * cannot model ends the process with 97. */
#undef _FILE_OFFSET_BITS /* else the compiler calls open open64, */
#undef _FORTIFY_SOURCE   /* and defines some of these itself */
#include "powercut.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CUT_CODE 86
#define EXPORT __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool on;                   /* the model is there */
static _Thread_local bool inside; /* calls of the model's own */
static int control_fd = -1;
static char at_what[64];
static long at_left;
static uint64_t sync_us = 2000;

/* The call that we stand before. */
#define NEXT(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) next;                                                             \
        if (next == NULL)                                                                          \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        next;                                                                                      \
    })

static bool enter(void)
{
    if (!on || inside)
        return false;
    pthread_mutex_lock(&lock);
    inside = true;
    return true;
}

static void leave(void)
{
    int error = errno;
    inside = false;
    pthread_mutex_unlock(&lock);
    errno = error;
}

/* Needs the lock, and never gives it back. */
__attribute__((noreturn)) static void cut(void)
{
    char report[4096];
    model_cut(report, sizeof report);
    (void)!NEXT(write)(control_fd, report, strlen(report));
    _exit(CUT_CODE);
}

static void *wait_for_cut(void *unused)
{
    char byte;
    (void)unused;
    if (read(control_fd, &byte, 1) != 1)
        return NULL; /* who would have cut it is gone */
    pthread_mutex_lock(&lock);
    inside = true;
    cut();
}

/* Is this the moment? `kind` is "sync" or "name". */
static void moment(const char *kind, int fd)
{
    size_t n = strlen(kind);
    if (at_left > 0 && strncmp(at_what, kind, n) == 0 && model_path_has(fd, at_what + n) &&
        --at_left == 0)
        cut();
}

__attribute__((constructor)) static void begin(void)
{
    const char *data = getenv("POWERCUT_DATA"), *seed = getenv("POWERCUT_SEED");
    const char *fd = getenv("POWERCUT_FD"), *at = getenv("POWERCUT_AT");
    const char *us = getenv("POWERCUT_SYNC_US");
    pthread_t thread;
    if (data == NULL || seed == NULL || fd == NULL)
        return;
    struct model_options options = {.data = data,
                                    .seed = strtoull(seed, NULL, 10),
                                    .drop_folder_syncs = getenv("POWERCUT_DROP") != NULL,
                                    .file_sync_names = getenv("POWERCUT_NAMES") != NULL};
    if (at != NULL && strchr(at, ':') != NULL && strlen(at) < sizeof at_what) {
        snprintf(at_what, sizeof at_what, "%.*s", (int)(strchr(at, ':') - at), at);
        at_left = strtol(strchr(at, ':') + 1, NULL, 10);
    }
    if (us != NULL)
        sync_us = strtoull(us, NULL, 10);
    control_fd = (int)strtol(fd, NULL, 10);
    unsetenv("LD_PRELOAD");
    inside = true;
    model_init(&options);
    inside = false;
    on = true;
    if (pthread_create(&thread, NULL, wait_for_cut, NULL) != 0)
        model_broken("no thread");
}

/* A named point (CRASH_AT): what would be the end of the process is that of the power. */
EXPORT int kill(pid_t pid, int signal)
{
    if (pid == getpid() && signal == SIGKILL && enter())
        cut();
    return NEXT(kill)(pid, signal);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int open_below(int at, const char *path, int flags, mode_t mode, struct folder *folder,
                      const char *name)
{
    struct stat st;
    bool there = fstatat(at, path, &st, 0) == 0;
    int fd = NEXT(openat)(at, path, flags & ~O_TRUNC, mode);
    if (fd < 0)
        return fd;
    struct node *node = model_learn(fd, !there);
    if (node != NULL && there && (flags & O_TRUNC) != 0) {
        model_truncate(node, 0);
        if (NEXT(ftruncate)(fd, 0) != 0)
            model_broken("could not cut %s", path);
    }
    if (!there && folder != NULL) {
        model_made(folder, name);
        moment("name", fd);
    }
    return fd;
}

static int open_any(int at, const char *path, int flags, mode_t mode)
{
    bool changes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
    if (!changes || (flags & O_DIRECTORY) != 0 || !enter())
        return NEXT(openat)(at, path, flags, mode);
    char name[256];
    struct folder *folder = model_folder(at, path, name);
    int fd = folder == NULL ? NEXT(openat)(at, path, flags, mode)
                            : open_below(at, path, flags, mode, folder, name);
    leave();
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? (mode_t)va_arg(args, int) : 0;
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_any(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int at, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_any(at, path, flags, mode);
}

EXPORT int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* What _FORTIFY_SOURCE makes of them. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int at, const char *path, int flags);
EXPORT int __openat_2(int at, const char *path, int flags)
{
    return open_any(at, path, flags, 0);
}

/* Its writes go past us. */
EXPORT FILE *fopen(const char *path, const char *mode)
{
    char name[256];
    if (strpbrk(mode, "wa+") != NULL && enter()) {
        if (model_folder(AT_FDCWD, path, name) != NULL)
            model_broken("fopen writes %s", path);
        leave();
    }
    return NEXT(fopen)(path, mode);
}

/* --- writing ---------------------------------------------------------------------------------- */

static size_t parts_size(const struct iovec *parts, int count)
{
    size_t n = 0;
    for (int i = 0; i < count; i++)
        n += parts[i].iov_len;
    return n;
}

/* Tell of `n` bytes at `offset`, or at the descriptor's own place when that is negative. */
static void will_write(int fd, off_t offset, size_t n)
{
    struct node *node = model_node(fd);
    if (node == NULL)
        return;
    struct stat st;
    if (offset < 0 && (fcntl(fd, F_GETFL) & O_APPEND) != 0)
        offset = fstat(fd, &st) == 0 ? st.st_size : -1;
    else if (offset < 0)
        offset = lseek(fd, 0, SEEK_CUR);
    if (offset < 0)
        model_broken("a write to an unknown place");
    model_write(node, offset, n);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t n)
{
    if (!enter())
        return NEXT(write)(fd, bytes, n);
    will_write(fd, -1, n);
    ssize_t done = NEXT(write)(fd, bytes, n);
    leave();
    return done;
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    if (!enter())
        return NEXT(pwrite)(fd, bytes, n, offset);
    will_write(fd, offset, n);
    ssize_t done = NEXT(pwrite)(fd, bytes, n, offset);
    leave();
    return done;
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (!enter())
        return NEXT(writev)(fd, parts, count);
    will_write(fd, -1, parts_size(parts, count));
    ssize_t done = NEXT(writev)(fd, parts, count);
    leave();
    return done;
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (!enter())
        return NEXT(pwritev)(fd, parts, count, offset);
    will_write(fd, offset, parts_size(parts, count));
    ssize_t done = NEXT(pwritev)(fd, parts, count, offset);
    leave();
    return done;
}

EXPORT int ftruncate(int fd, off_t size)
{
    if (!enter())
        return NEXT(ftruncate)(fd, size);
    struct node *node = model_node(fd);
    if (node != NULL)
        model_truncate(node, size);
    int result = NEXT(ftruncate)(fd, size);
    leave();
    return result;
}

/* It writes what was not there, so only the size changes; a hole that it punches is a write. */
EXPORT int fallocate(int fd, int mode, off_t offset, off_t n)
{
    if (!enter())
        return NEXT(fallocate)(fd, mode, offset, n);
    struct node *node = model_node(fd);
    if (node != NULL && mode != 0)
        model_write(node, offset, (size_t)n);
    int result = NEXT(fallocate)(fd, mode, offset, n);
    leave();
    return result;
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t n)
{
    if (!enter())
        return NEXT(posix_fallocate)(fd, offset, n);
    int result = NEXT(posix_fallocate)(fd, offset, n);
    leave();
    return result;
}

EXPORT void *mmap(void *address, size_t n, int protection, int flags, int fd, off_t offset)
{
    bool writes = fd >= 0 && (flags & MAP_TYPE) != MAP_PRIVATE && (protection & PROT_WRITE) != 0;
    if (!writes || !enter())
        return NEXT(mmap)(address, n, protection, flags, fd, offset);
    struct node *node = model_node(fd);
    if (node != NULL)
        model_mapped(node);
    void *result = NEXT(mmap)(address, n, protection, flags, fd, offset);
    leave();
    return result;
}

/* --- syncing ---------------------------------------------------------------------------------- */

static void take_time(void)
{
    static _Thread_local uint64_t x = 88172645463325252u;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    struct timespec time = {.tv_nsec = (long)(sync_us == 0 ? 0 : x % sync_us) * 1000};
    nanosleep(&time, NULL);
}

static int sync_one(int fd)
{
    struct stat st;
    take_time();
    if (!enter())
        return 0;
    moment("sync", fd);
    struct node *node = model_node(fd);
    if (node != NULL)
        model_sync(node);
    else if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        model_sync_folder(fd);
    leave();
    return 0;
}

EXPORT int fsync(int fd)
{
    return on ? sync_one(fd) : NEXT(fsync)(fd);
}

EXPORT int fdatasync(int fd)
{
    return on ? sync_one(fd) : NEXT(fdatasync)(fd);
}

/* It promises nothing after a power cut. */
EXPORT int sync_file_range(int fd, off_t offset, off_t n, unsigned flags)
{
    (void)fd, (void)offset, (void)n, (void)flags;
    return 0;
}

EXPORT void sync(void)
{
    if (!enter())
        return;
    model_sync_all();
    leave();
}

EXPORT int syncfs(int fd)
{
    (void)fd;
    sync();
    return 0;
}

/* --- names ------------------------------------------------------------------------------------ */

static void name_changed(const struct folder *folder)
{
    moment("name", model_folder_fd(folder));
}

static int rename_any(int from_at, const char *from, int to_at, const char *to)
{
    if (!enter())
        return NEXT(renameat)(from_at, from, to_at, to);
    char name[256], name_to[256];
    struct folder *folder = model_folder(from_at, from, name);
    struct folder *folder_to = model_folder(to_at, to, name_to);
    if ((folder == NULL) != (folder_to == NULL))
        model_broken("a rename of %s to %s, in or out", from, to);
    uint64_t stash = folder_to == NULL ? 0 : model_stash(folder_to, name_to);
    int result = NEXT(renameat)(from_at, from, to_at, to);
    if (result == 0 && folder != NULL) {
        model_moved(folder, name, folder_to, name_to, stash);
        name_changed(folder_to);
    }
    leave();
    return result;
}

EXPORT int rename(const char *from, const char *to)
{
    return rename_any(AT_FDCWD, from, AT_FDCWD, to);
}

EXPORT int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return rename_any(from_at, from, to_at, to);
}

static int unlink_any(int at, const char *path, int flags)
{
    if (!enter())
        return NEXT(unlinkat)(at, path, flags);
    char name[256];
    struct folder *folder = model_folder(at, path, name);
    bool is_folder = (flags & AT_REMOVEDIR) != 0;
    uint64_t stash = folder == NULL || is_folder ? 0 : model_stash(folder, name);
    int result = NEXT(unlinkat)(at, path, flags);
    if (result == 0 && folder != NULL && is_folder)
        model_folder_gone(folder, name);
    else if (result == 0 && folder != NULL)
        model_gone(folder, name, stash);
    if (result == 0 && folder != NULL)
        name_changed(folder);
    leave();
    return result;
}

EXPORT int unlink(const char *path)
{
    return unlink_any(AT_FDCWD, path, 0);
}

EXPORT int unlinkat(int at, const char *path, int flags)
{
    return unlink_any(at, path, flags);
}

EXPORT int rmdir(const char *path)
{
    return unlink_any(AT_FDCWD, path, AT_REMOVEDIR);
}

EXPORT int remove(const char *path)
{
    int result = unlink_any(AT_FDCWD, path, 0);
    return result != 0 && (errno == EISDIR || errno == EPERM) ? rmdir(path) : result;
}

EXPORT int mkdirat(int at, const char *path, mode_t mode)
{
    if (!enter())
        return NEXT(mkdirat)(at, path, mode);
    char name[256];
    int result = NEXT(mkdirat)(at, path, mode);
    struct folder *folder = result == 0 ? model_folder(at, path, name) : NULL;
    if (folder != NULL) {
        model_folder_made(folder, name);
        name_changed(folder);
    }
    leave();
    return result;
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

EXPORT int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    if (!enter())
        return NEXT(linkat)(from_at, from, to_at, to, flags);
    char name[256];
    int result = NEXT(linkat)(from_at, from, to_at, to, flags);
    struct folder *folder = result == 0 ? model_folder(to_at, to, name) : NULL;
    if (folder != NULL) {
        model_made(folder, name);
        name_changed(folder);
    }
    leave();
    return result;
}

EXPORT int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* --- the names with 64 are the same calls here ------------------------------------------------ */

_Static_assert(sizeof(off_t) == 8, "off_t is off64_t");
#define ALSO(name, other)                                                                          \
    extern __typeof__(name) other __attribute__((alias(#name), visibility("default")))
ALSO(open, open64);
ALSO(openat, openat64);
ALSO(creat, creat64);
ALSO(__open_2, __open64_2);
ALSO(__openat_2, __openat64_2);
ALSO(fopen, fopen64);
ALSO(pwrite, pwrite64);
ALSO(pwritev, pwritev64);
ALSO(ftruncate, ftruncate64);
ALSO(fallocate, fallocate64);
ALSO(posix_fallocate, posix_fallocate64);
ALSO(mmap, mmap64);
