/* powercut_model.c - what a disk keeps when its power fails.
 *
 * Of each file it holds what is durable: the size and the 512-byte sectors as they were at the last
 * sync, saved before their first change since. Of each folder it holds the changes of names since
 * the folder's last sync. At the cut the folder is made into one of the images that a disk may
 * legally show; every choice is drawn from the seed:
 *
 *   - A sector that was written and not synced is old or new, each by itself; in a range that the
 *     file did not have it is zero or new. A sector never tears inside its 512 bytes.
 *   - Now and then unsynced sectors become durable by themselves, as they do when the kernel writes
 *     back. So of two writes to one place the first may survive.
 *   - A size that grew is old or new. A file that was cut short is cut or not; if not, its end
 *     holds what it held.
 *   - Of the changes of names in a folder (made, removed, renamed) the first so many are there, in
 *     their order, and the rest is not. Folders know nothing of each other; a rename between two is
 *     whole.
 *
 * Assumed of the disk, and nothing else: fsync and fdatasync of a file keep its bytes and its size,
 * fsync of a folder keeps its names, a rename is whole. The sync of a file does not keep its name
 * (ext4 does keep it; POSIX does not promise it): `file_sync_names` models that. */
#include "powercut.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR ((off_t)512)
#define TABLE 4096u /* buckets of nodes; a life makes some hundreds */

/* A sector that may be lost: what it was. */
struct sector {
    uint64_t number;
    bool zero; /* `old` is not there */
    uint8_t old[];
};

struct node {
    dev_t dev;
    ino_t ino;
    int fd;       /* our own, never closed: that would take the process's record locks along */
    off_t size;   /* that is durable */
    off_t cut_to; /* the file was cut to this since, -1 if not */
    bool mapped;  /* written to without a call */
    struct sector **sectors; /* open addressing by number */
    size_t count, capacity;
    struct node *next;
};

struct folder {
    dev_t dev;
    ino_t ino;
    int fd;
    bool stopped; /* at the cut: the rest of its changes did not happen */
    struct folder *next;
};

enum change_kind { MADE, GONE, MOVED, FOLDER_MADE, FOLDER_GONE };

struct change {
    enum change_kind kind;
    bool undone;
    struct folder *folder, *to;
    char name[256], name_to[256];
    uint64_t stash; /* the file that lost its name */
};

static struct model_options options;
static uint64_t random_state;
static struct node *nodes[TABLE];
static struct folder *folders;
static struct change *changes;
static size_t changes_count, changes_capacity;
static int stash_fd = -1;
static uint64_t stashed;

void model_broken(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "powercut: the model is wrong: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, " (%s)\n", strerror(errno));
    va_end(args);
    _exit(97);
}

static uint64_t draw(void)
{
    uint64_t x = random_state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static bool chance(unsigned of_8)
{
    return draw() % 8 < of_8;
}

static void *room(void *old, size_t n)
{
    void *p = realloc(old, n);
    if (p == NULL)
        model_broken("no memory");
    return p;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

void model_init(const struct model_options *given)
{
    char path[PATH_MAX];
    options = *given;
    random_state = given->seed;
    snprintf(path, sizeof path, "%s.stash", options.data);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdir(path, 0700) != 0)
        model_broken("could not make %s", path);
    stash_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (stash_fd < 0)
        model_broken("could not open %s", path);
}

/* --- files ------------------------------------------------------------------------------------ */

static bool path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = '\0';
    size_t length = strlen(options.data);
    return n > 0 && strncmp(path, options.data, length) == 0 &&
           (path[length] == '\0' || path[length] == '/');
}

bool model_path_has(int fd, const char *part)
{
    char path[PATH_MAX];
    return path_of(fd, path) && strstr(path + strlen(options.data), part) != NULL;
}

static struct node **node_place(int fd, struct stat *st)
{
    if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))
        return NULL;
    struct node **place = &nodes[st->st_ino % TABLE];
    while (*place != NULL && ((*place)->ino != st->st_ino || (*place)->dev != st->st_dev))
        place = &(*place)->next;
    return place;
}

struct node *model_node(int fd)
{
    struct stat st;
    struct node **place = node_place(fd, &st);
    return place == NULL ? NULL : *place;
}

struct node *model_learn(int fd, bool created)
{
    struct stat st;
    char path[PATH_MAX], link[64];
    struct node **place = node_place(fd, &st);
    if (place == NULL || *place != NULL || !path_of(fd, path))
        return place == NULL ? NULL : *place;
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL)
        model_broken("no memory");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    *node = (struct node){.dev = st.st_dev,
                          .ino = st.st_ino,
                          .fd = open(link, O_RDWR | O_CLOEXEC),
                          .size = created ? 0 : st.st_size,
                          .cut_to = -1};
    if (node->fd < 0)
        model_broken("could not open %s", path);
    return *place = node;
}

static off_t size_now(const struct node *node)
{
    struct stat st;
    if (fstat(node->fd, &st) != 0)
        model_broken("could not ask for a size");
    return st.st_size;
}

static struct sector **sector_place(const struct node *node, uint64_t number)
{
    size_t i = (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (node->capacity - 1);
    while (node->sectors[i] != NULL && node->sectors[i]->number != number)
        i = (i + 1) & (node->capacity - 1);
    return &node->sectors[i];
}

static void sectors_grow(struct node *node)
{
    struct node old = *node;
    node->capacity = old.capacity == 0 ? 64 : old.capacity * 2;
    node->sectors = calloc(node->capacity, sizeof *node->sectors);
    if (node->sectors == NULL)
        model_broken("no memory");
    for (size_t i = 0; i < old.capacity; i++)
        if (old.sectors[i] != NULL)
            *sector_place(node, old.sectors[i]->number) = old.sectors[i];
    free(old.sectors);
}

/* Remember what the sector holds, unless that was done since the last sync. */
static void sector_keep(struct node *node, uint64_t number, off_t size)
{
    static const uint8_t zeros[SECTOR];
    if ((node->count + 1) * 2 > node->capacity)
        sectors_grow(node);
    struct sector **place = sector_place(node, number);
    if (*place != NULL)
        return;
    uint8_t bytes[SECTOR] = {0};
    off_t at = (off_t)number * SECTOR;
    if (at < size && pread(node->fd, bytes, sizeof bytes, at) < 0)
        model_broken("could not read a sector");
    bool zero = memcmp(bytes, zeros, sizeof bytes) == 0;
    struct sector *sector = room(NULL, sizeof *sector + (zero ? 0 : sizeof bytes));
    sector->number = number;
    sector->zero = zero;
    if (!zero)
        memcpy(sector->old, bytes, sizeof bytes);
    *place = sector;
    node->count++;
}

static void sectors_keep(struct node *node, off_t from, off_t to)
{
    off_t size = size_now(node);
    for (off_t at = from / SECTOR * SECTOR; at < to; at += SECTOR)
        sector_keep(node, (uint64_t)(at / SECTOR), size);
}

/* Half of them, or all, are durable from now on. */
static void sectors_drop(struct node *node, bool all)
{
    struct node old = *node;
    node->sectors = NULL;
    node->count = node->capacity = 0;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.sectors[i] == NULL)
            continue;
        if (all || chance(4)) {
            free(old.sectors[i]);
            continue;
        }
        if ((node->count + 1) * 2 > node->capacity)
            sectors_grow(node);
        *sector_place(node, old.sectors[i]->number) = old.sectors[i];
        node->count++;
    }
    free(old.sectors);
}

void model_write(struct node *node, off_t offset, size_t n)
{
    if (node->cut_to < 0 && node->count > 0 && draw() % 32 == 0)
        sectors_drop(node, false);
    sectors_keep(node, offset, offset + (off_t)n);
}

void model_truncate(struct node *node, off_t size)
{
    off_t now = size_now(node);
    if (size >= now)
        return;
    sectors_keep(node, size, now);
    if (size < node->size && (node->cut_to < 0 || size < node->cut_to))
        node->cut_to = size;
}

void model_mapped(struct node *node)
{
    node->mapped = true;
    sectors_keep(node, 0, size_now(node));
}

void model_sync(struct node *node)
{
    sectors_drop(node, true);
    node->size = size_now(node);
    node->cut_to = -1;
    if (node->mapped)
        sectors_keep(node, 0, node->size);
    if (options.file_sync_names)
        changes_count = 0;
}

/* --- names ------------------------------------------------------------------------------------ */

static struct folder *folder_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        model_broken("could not ask for a folder");
    for (struct folder *folder = folders; folder != NULL; folder = folder->next)
        if (folder->ino == st.st_ino && folder->dev == st.st_dev)
            return folder;
    struct folder *folder = room(NULL, sizeof *folder);
    *folder = (struct folder){.dev = st.st_dev, .ino = st.st_ino, .next = folders};
    folder->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (folder->fd < 0)
        model_broken("could not keep a folder");
    return folders = folder;
}

struct folder *model_folder(int at, const char *path, char ret_name[256])
{
    char parent[PATH_MAX], whole[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    if (strlen(name) > 255 || strlen(path) >= sizeof parent || *name == '\0')
        return NULL;
    snprintf(parent, sizeof parent, "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
             slash == NULL ? "." : path);
    int fd = openat(at, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct folder *folder = path_of(fd, whole) ? folder_of(fd) : NULL;
    close(fd);
    memcpy(ret_name, name, strlen(name) + 1);
    return folder;
}

int model_folder_fd(const struct folder *folder)
{
    return folder->fd;
}

static void change_add(struct change change)
{
    if (changes_count == changes_capacity) {
        changes_capacity = changes_capacity == 0 ? 64 : changes_capacity * 2;
        changes = room(changes, changes_capacity * sizeof *changes);
    }
    changes[changes_count++] = change;
}

static void name_copy(char to[256], const char *from)
{
    snprintf(to, 256, "%s", from);
}

/* Keep a file that loses its name; 0 if there is none of that name. */
uint64_t model_stash(const struct folder *folder, const char *name)
{
    char kept[32];
    struct stat st;
    if (fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return 0;
    snprintf(kept, sizeof kept, "%llu", (unsigned long long)++stashed);
    if (linkat(folder->fd, name, stash_fd, kept, 0) != 0)
        model_broken("could not keep %s", name);
    return stashed;
}

void model_made(struct folder *folder, const char *name)
{
    struct change change = {.kind = MADE, .folder = folder};
    name_copy(change.name, name);
    change_add(change);
}

void model_gone(struct folder *folder, const char *name, uint64_t stash)
{
    struct change change = {.kind = GONE, .folder = folder, .stash = stash};
    name_copy(change.name, name);
    change_add(change);
}

void model_moved(struct folder *from, const char *name, struct folder *to, const char *name_to,
                 uint64_t stash)
{
    struct change change = {.kind = MOVED, .folder = from, .to = to, .stash = stash};
    name_copy(change.name, name);
    name_copy(change.name_to, name_to);
    change_add(change);
}

void model_folder_made(struct folder *folder, const char *name)
{
    struct change change = {.kind = FOLDER_MADE, .folder = folder};
    name_copy(change.name, name);
    change_add(change);
}

void model_folder_gone(struct folder *folder, const char *name)
{
    struct change change = {.kind = FOLDER_GONE, .folder = folder};
    name_copy(change.name, name);
    change_add(change);
}

/* The folder's changes so far happened; where one is shared with another folder, that one's before
 * it did, too. */
void model_sync_folder(int fd)
{
    char path[PATH_MAX];
    if (options.drop_folder_syncs || !path_of(fd, path))
        return;
    for (struct folder *folder = folders; folder != NULL; folder = folder->next)
        folder->stopped = false; /* here: it is synced */
    folder_of(fd)->stopped = true;
    for (size_t i = changes_count; i-- > 0;) {
        struct change *change = &changes[i];
        change->undone = change->folder->stopped || (change->to != NULL && change->to->stopped);
        if (change->undone) {
            change->folder->stopped = true;
            if (change->to != NULL)
                change->to->stopped = true;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < changes_count; i++)
        if (!changes[i].undone)
            changes[kept++] = changes[i];
    changes_count = kept;
    for (struct folder *folder = folders; folder != NULL; folder = folder->next)
        folder->stopped = false;
}

void model_sync_all(void)
{
    for (size_t i = 0; i < TABLE; i++)
        for (struct node *node = nodes[i]; node != NULL; node = node->next)
            model_sync(node);
    changes_count = 0;
}

/* --- the cut ---------------------------------------------------------------------------------- */

struct tally {
    size_t files, sectors, sectors_old, names, names_undone;
};

/* How many of eight sectors are new. Often all or none, for that is what is often seen. */
static unsigned share_draw(void)
{
    static const uint8_t shares[8] = {0, 8, 0, 8, 1, 4, 7, 4};
    return shares[draw() % 8];
}

static void sector_restore(const struct node *node, const struct sector *sector, off_t cut_to)
{
    uint8_t bytes[SECTOR] = {0};
    off_t at = (off_t)sector->number * SECTOR;
    off_t held = cut_to < 0 || cut_to > at + SECTOR ? SECTOR : cut_to > at ? cut_to - at : 0;
    if (!sector->zero)
        memcpy(bytes, sector->old, (size_t)held);
    if (pwrite(node->fd, bytes, sizeof bytes, at) != SECTOR)
        model_broken("could not write a sector");
}

static void node_cut(struct node *node, struct tally *tally)
{
    off_t now = size_now(node), size = now;
    if (node->count == 0 && now == node->size && node->cut_to < 0)
        return;
    unsigned share = share_draw();
    bool is_cut = node->cut_to >= 0 && chance(4);
    if (is_cut)
        size = chance(4) ? now : node->cut_to;
    else if (node->cut_to >= 0 || chance(4))
        size = node->size;
    for (size_t i = 0; i < node->capacity; i++) {
        const struct sector *sector = node->sectors[i];
        if (sector == NULL)
            continue;
        bool behind = node->cut_to >= 0 && ((off_t)sector->number + 1) * SECTOR > node->cut_to;
        bool old = behind && !is_cut ? true : !chance(share);
        tally->sectors++;
        tally->sectors_old += old;
        if (old)
            sector_restore(node, sector, is_cut ? node->cut_to : -1);
    }
    if (ftruncate(node->fd, size) != 0)
        model_broken("could not cut a file");
    tally->files++;
}

static void stash_back(const struct change *change, const struct folder *folder, const char *name)
{
    char kept[32];
    snprintf(kept, sizeof kept, "%llu", (unsigned long long)change->stash);
    if (change->stash != 0 && linkat(stash_fd, kept, folder->fd, name, 0) != 0)
        model_broken("could not give %s back", name);
}

/* All that lies under a name goes out of the way. */
static void sweep(const struct change *change)
{
    char kept[32];
    snprintf(kept, sizeof kept, "%llu", (unsigned long long)++stashed);
    if (renameat(change->folder->fd, change->name, stash_fd, kept) != 0)
        model_broken("could not take %s away", change->name);
}

static void change_undo(const struct change *change)
{
    switch (change->kind) {
    case MADE:
    case FOLDER_MADE:
        sweep(change);
        return;
    case GONE:
        stash_back(change, change->folder, change->name);
        return;
    case MOVED:
        if (renameat(change->to->fd, change->name_to, change->folder->fd, change->name) != 0)
            model_broken("could not rename %s back", change->name_to);
        stash_back(change, change->to, change->name_to);
        return;
    case FOLDER_GONE:
        if (mkdirat(change->folder->fd, change->name, 0700) != 0)
            model_broken("could not make %s again", change->name);
        return;
    }
}

/* Each folder keeps its first so many changes. */
static void names_cut(struct tally *tally)
{
    unsigned share = share_draw();
    for (size_t i = 0; i < changes_count; i++) {
        struct change *change = &changes[i];
        bool stopped = change->folder->stopped || (change->to != NULL && change->to->stopped);
        change->undone = stopped || !chance(share);
        if (!change->undone)
            continue;
        change->folder->stopped = true;
        if (change->to != NULL)
            change->to->stopped = true;
        tally->names_undone++;
    }
    tally->names = changes_count;
    for (size_t i = changes_count; i-- > 0;)
        if (changes[i].undone)
            change_undo(&changes[i]);
}

void model_cut(char *report, size_t size)
{
    struct tally tally = {0};
    for (size_t i = 0; i < TABLE; i++)
        for (struct node *node = nodes[i]; node != NULL; node = node->next)
            node_cut(node, &tally);
    names_cut(&tally);
    int n = snprintf(
        report, size, "%zu files with unsynced bytes, %zu of %zu sectors lost, %zu of %zu names",
        tally.files, tally.sectors_old, tally.sectors, tally.names_undone, tally.names);
    for (size_t i = 0; i < changes_count && n > 0 && (size_t)n < size; i++)
        if (changes[i].undone)
            n += snprintf(report + n, size - (size_t)n, " %c%s%s%s", "+->+-"[changes[i].kind],
                          changes[i].name, changes[i].to != NULL ? ">" : "", changes[i].name_to);
}
