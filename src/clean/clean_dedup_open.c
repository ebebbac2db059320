/* clean_dedup_open.c - the index as it stood at a flush of the state.
 *
 * The flush stored a text: "v2 [cut=DAY] DAY[.PART]:COUNT:SUM …", days since 1970, oldest first
 * ("v1" had no parts). Each part of a day is either whole in the sorted file with that very count
 * and sum, or its day file is cut to the count, loaded, and its sum compared. Everything newer than
 * the text is removed: the journal decides it again. Nothing is taken over that the text does not
 * name, so a crash between a sync and the flush that should have stored its text leaves no trace.
 */
#include "clean/dedup_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"
#include "base/when.h"

#define WINDOW_DAYS 30u
#define IDS_MAX UINT64_C(100000000)
#define BURIED_DAY UINT32_MAX /* what stands in the header of erased.keys instead of a day */

/* --- the text --------------------------------------------------------------------------------- */

struct lengths {
    uint32_t cut_day;
    struct clean_day_count days[CLEAN_DAYS_MAX];
    size_t days_count;
};

static bool take_uint(struct str *s, uint64_t *ret)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; n < s->n && n < 19 && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        v = v * 10 + (uint64_t)(s->p[n] - '0');
    *s = (struct str){s->p + n, s->n - n};
    *ret = v;
    return n > 0;
}

/* Sixteen hexadecimal digits. */
static bool take_hex(struct str *s, uint64_t *ret)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v = 0;
    if (s->n < 16)
        return false;
    for (size_t i = 0; i < 16; i++) {
        const char *digit = memchr(digits, s->p[i], 16);
        if (digit == NULL)
            return false;
        v = v << 4 | (uint64_t)(digit - digits);
    }
    *s = (struct str){s->p + 16, s->n - 16};
    *ret = v;
    return true;
}

static bool take(struct str *s, struct str word)
{
    if (!str_starts(*s, word))
        return false;
    *s = (struct str){s->p + word.n, s->n - word.n};
    return true;
}

static bool lengths_parse(struct str s, struct lengths *lengths)
{
    uint64_t day, part = 0, count, sum;
    if (s.n == 0)
        return true;
    if (!take(&s, STR("v2")) && !take(&s, STR("v1")))
        return false;
    if (take(&s, STR(" cut="))) {
        if (!take_uint(&s, &day) || day > UINT32_MAX)
            return false;
        lengths->cut_day = (uint32_t)day;
    }
    while (s.n > 0) {
        size_t n = lengths->days_count;
        struct clean_day_count *last = n > 0 ? &lengths->days[n - 1] : NULL;
        if (n == CLEAN_DAYS_MAX || !take(&s, STR(" ")) || !take_uint(&s, &day) ||
            (take(&s, STR(".")) ? !take_uint(&s, &part) : (part = 0, false)) ||
            !take(&s, STR(":")) || !take_uint(&s, &count) || !take(&s, STR(":")) ||
            !take_hex(&s, &sum) || day > UINT32_MAX || part >= CLEAN_DAYS_MAX)
            return false;
        bool follows = last != NULL && day == last->day && part == last->part + 1u;
        if (!follows && (part != 0 || (last != NULL && day <= last->day)))
            return false;
        lengths->days[n] = (struct clean_day_count){
            .day = (uint32_t)day, .part = (uint32_t)part, .count = count, .sum = sum};
        lengths->days_count++;
    }
    return true;
}

/* --- the folder ------------------------------------------------------------------------------- */

/* The day and part of "20261124.keys" or "20261124.1.keys". */
static bool day_of_name(const char *name, struct clean_day_count *ret_day)
{
    int64_t us;
    uint64_t part = 0;
    struct str s = str_of(name);
    if (s.n < 13 || !when_parse((struct str){name, 8}, 0, &us) || us < 0)
        return false;
    s = (struct str){name + 8, s.n - 8};
    if (!str_is(s, ".keys") && (!take(&s, STR(".")) || !take_uint(&s, &part) || part == 0 ||
                                part >= CLEAN_DAYS_MAX || !str_is(s, ".keys")))
        return false;
    *ret_day = (struct clean_day_count){.day = (uint32_t)(us / US_PER_DAY), .part = (uint32_t)part};
    return true;
}

static enum status remove_name(struct clean_dedup *dedup, const char *name, struct err *err)
{
    char path[4096];
    CHECK((size_t)snprintf(path, sizeof path, "%s/%s", dedup->folder, name) < sizeof path);
    return disk_remove(dedup->disk, path, err);
}

static bool lengths_have(const struct lengths *lengths, const struct clean_day_count *day)
{
    for (size_t i = 0; i < lengths->days_count; i++)
        if (lengths->days[i].day == day->day && lengths->days[i].part == day->part)
            return true;
    return false;
}

static void retire(struct clean_dedup *dedup, uint32_t day)
{
    for (size_t i = 0; i < dedup->retired_count; i++)
        if (dedup->retired[i] == day)
            return;
    if (dedup->retired_count < CLEAN_DAYS_MAX)
        dedup->retired[dedup->retired_count++] = day;
}

/* Leftovers and what is newer than the text go; older days wait for their grace to end. */
static enum status folder_tidy_one(struct clean_dedup *dedup, const struct lengths *lengths,
                                   const char *name, struct err *err)
{
    struct clean_day_count day;
    if (strcmp(name, "old.runs") == 0 || strcmp(name, "old.keys.new") == 0)
        return remove_name(dedup, name, err);
    if (strcmp(name, "old.keys") == 0)
        return lengths->days_count == 0 ? remove_name(dedup, name, err) : ST_OK;
    if (!day_of_name(name, &day) || lengths_have(lengths, &day))
        return ST_OK;
    if (lengths->days_count == 0 || day.day >= lengths->days[0].day)
        return remove_name(dedup, name, err);
    retire(dedup, day.day);
    return ST_OK;
}

static enum status folder_tidy(struct clean_dedup *dedup, const struct lengths *lengths,
                               struct err *err)
{
    if (mkdir(dedup->folder, 0700) != 0 && errno != EEXIST)
        return err_set(err, ST_IO, "could not make the folder %s: %s", dedup->folder,
                       strerror(errno));
    DIR *folder = opendir(dedup->folder);
    if (folder == NULL)
        return err_set(err, ST_IO, "could not read the folder %s: %s", dedup->folder,
                       strerror(errno));
    enum status status = ST_OK;
    for (struct dirent *entry; status == ST_OK && (entry = readdir(folder)) != NULL;)
        status = folder_tidy_one(dedup, lengths, entry->d_name, err);
    closedir(folder);
    return status;
}

/* --- erased ids ------------------------------------------------------------------------------- */

/* Made whole and under its name at once: no later sync is of the folder, and a power cut between
 * would leave a file that is not ours. */
static enum status buried_open(struct clean_dedup *dedup, int *ret_fd, uint64_t *ret_size,
                               struct err *err)
{
    char path[4096];
    CHECK((size_t)snprintf(path, sizeof path, "%s/erased.keys", dedup->folder) < sizeof path);
    enum status status = disk_open(dedup->disk, path, O_RDWR, ret_fd, err);
    if (status == ST_NOT_FOUND) {
        status = clean_day_make(dedup, BURIED_DAY, path, err);
        if (status == ST_OK)
            status = disk_open(dedup->disk, path, O_RDWR, ret_fd, err);
    }
    return status == ST_OK ? disk_size(dedup->disk, *ret_fd, ret_size, err) : status;
}

/* The keys up to the first empty one. An append that a power cut met may have left sectors empty or
 * a key unfinished; what follows was not yet promised. */
static enum status buried_count(struct clean_dedup *dedup, int fd, uint64_t size,
                                uint64_t *ret_count, struct err *err)
{
    struct hash128 keys[256];
    const size_t many = sizeof keys / sizeof keys[0];
    size_t whole = many;
    for (uint64_t at = CLEAN_KEYS_HEADER_BYTES; whole == many && at < size; at += sizeof keys) {
        size_t n = 0;
        enum status status = disk_read_at(dedup->disk, fd, keys, sizeof keys, at, &n, err);
        if (status != ST_OK)
            return status;
        for (whole = 0; whole < n / sizeof keys[0] && !hash128_is_zero(keys[whole]);)
            whole++;
        *ret_count += whole;
    }
    return ST_OK;
}

static enum status buried_load(struct clean_dedup *dedup, struct err *err)
{
    uint64_t size = 0;
    struct clean_day *file = clean_day_new(BURIED_DAY, 0);
    enum status status = buried_open(dedup, &file->fd, &size, err);
    if (status == ST_OK)
        status = buried_count(dedup, file->fd, size, &file->count, err);
    if (status == ST_OK)
        status = clean_day_cut(dedup, file, err);
    if (status == ST_OK)
        status = clean_day_load(dedup, file, &file->sum, err);
    if (status == ST_OK) {
        dedup->buried = file->set;
        dedup->buried_count = file->count;
        dedup->buried_fd = file->fd;
        file->set = NULL;
        file->fd = -1;
    }
    clean_day_free(file);
    return status;
}

/* --- the days --------------------------------------------------------------------------------- */

static enum status old_load(struct clean_dedup *dedup, struct err *err)
{
    enum status status = clean_old_open(dedup->disk, dedup->folder, &dedup->old, err);
    /* Damaged or of another version: its days are made again from their files. */
    return status == ST_NOT_FOUND || status == ST_CORRUPT ? ST_OK : status;
}

/* Entries of the sorted file carry their day and not their part, so they live and die together: all
 * parts of the day that stand there must be what the text wants. */
static bool day_in_old(const struct clean_old *old, const struct lengths *lengths, uint32_t day)
{
    size_t there = 0, wanted = 0;
    for (size_t i = 0; old != NULL && i < old->days_count; i++)
        there += old->days[i].day == day;
    for (size_t i = 0; old != NULL && i < lengths->days_count; i++)
        wanted += lengths->days[i].day == day && clean_old_holds(old, &lengths->days[i]);
    return there > 0 && there == wanted;
}

/* Is it of the last two days of the text? */
static bool is_recent(const struct lengths *lengths, uint32_t day)
{
    size_t later = 0;
    for (size_t i = 1; i < lengths->days_count; i++)
        later += lengths->days[i].day > day && lengths->days[i].day != lengths->days[i - 1].day;
    return later < 2;
}

/* A day whose file has outlived its grace (a snapshot older than that) is a window cut short; one
 * of the last two days cannot be missing. */
static enum status day_restore(struct clean_dedup *dedup, const struct lengths *lengths, size_t i,
                               struct err *err)
{
    const struct clean_day_count *want = &lengths->days[i];
    struct clean_day *day = clean_day_new(want->day, want->part);
    enum status status = ST_OK;
    day->count = day->written = want->count;
    day->sum = want->sum;
    day->in_old = day_in_old(dedup->old, lengths, want->day) && clean_old_holds(dedup->old, want);
    if (!day->in_old)
        status = clean_day_cut(dedup, day, err);
    if (status == ST_NOT_FOUND && !is_recent(lengths, want->day)) {
        clean_day_free(day);
        if (dedup->cut_day < want->day)
            dedup->cut_day = want->day;
        return ST_OK;
    }
    if (status == ST_NOT_FOUND)
        status = err_set(err, ST_CORRUPT, "could not find the message ids of day %u", want->day);
    if (status != ST_OK) {
        clean_day_free(day);
        return status;
    }
    clean_dedup_add_day(dedup, day);
    dedup->ids += day->count;
    return ST_OK;
}

/* Yesterday and today are most of the time of a start, so a large day is loaded by its own thread.
 */
#define LOAD_ALONE_KEYS 1000000u

struct day_load {
    struct clean_dedup *dedup;
    struct clean_day *day;
    pthread_t thread;
    bool alone;
    enum status status;
    struct err err;
};

static void *day_load(void *ctx)
{
    struct day_load *load = ctx;
    uint64_t sum = 0;
    load->status = clean_day_load(load->dedup, load->day, &sum, &load->err);
    if (load->status == ST_OK && sum != load->day->sum)
        load->status = err_set(&load->err, ST_CORRUPT,
                               "could not use the message ids of day %u: not those of the flush",
                               load->day->day);
    return NULL;
}

static enum status days_load(struct clean_dedup *dedup, struct err *err)
{
    struct day_load *loads = mem_zero(sizeof *loads * CLEAN_DAYS_MAX);
    enum status status = ST_OK;
    for (size_t i = 0; i < dedup->days_count; i++) {
        struct day_load *load = &loads[i];
        *load = (struct day_load){.dedup = dedup, .day = dedup->days[i]};
        if (load->day->in_old)
            continue;
        load->alone = load->day->count >= LOAD_ALONE_KEYS && i + 1 < dedup->days_count &&
                      thread_start(&load->thread, "dedup load", day_load, load) == 0;
        if (!load->alone)
            day_load(load);
    }
    for (size_t i = 0; i < dedup->days_count; i++) {
        struct day_load *load = &loads[i];
        if (load->alone)
            pthread_join(load->thread, NULL);
        if (load->status != ST_OK && status == ST_OK)
            status = err_set(err, load->status, "%s", load->err.message);
        if (load->day->fd >= 0 && i + 1 < dedup->days_count) {
            close(load->day->fd);
            load->day->fd = -1;
        }
    }
    free(loads);
    return status;
}

static enum status days_restore(struct clean_dedup *dedup, const struct lengths *lengths,
                                struct err *err)
{
    dedup->cut_day = lengths->cut_day;
    for (size_t i = 0; i < lengths->days_count; i++) {
        enum status status = day_restore(dedup, lengths, i, err);
        if (status != ST_OK)
            return status;
    }
    /* So many older ids come only from a lost sorted file: make it before they fill the memory. */
    if (dedup->days_count > 0 && clean_dedup_pending(dedup) > DEDUP_PENDING_MAX) {
        clean_dedup_merge_start(dedup);
        clean_dedup_settle(dedup);
    }
    return days_load(dedup, err);
}

/* --- the whole -------------------------------------------------------------------------------- */

static struct clean_dedup *dedup_new(const struct clean_options *options)
{
    struct clean_dedup *dedup = mem_zero(sizeof *dedup);
    size_t n = strlen(options->folder);
    int64_t window_us = options->window_us > 0 ? options->window_us : WINDOW_DAYS * US_PER_DAY;
    int64_t days = (window_us + US_PER_DAY - 1) / US_PER_DAY;
    dedup->disk = options->disk;
    dedup->folder = memcpy(mem_alloc(n + 1), options->folder, n + 1);
    dedup->window_days = days > CLEAN_WINDOW_DAYS_MAX ? CLEAN_WINDOW_DAYS_MAX : (uint32_t)days;
    dedup->ids_max = options->ids_max > 0 ? options->ids_max : IDS_MAX;
    dedup->part_ids = options->part_ids > 0 ? options->part_ids : DEDUP_PART_IDS;
    dedup->bug_off_by_one = options->bug_dedup_off_by_one;
    dedup->buried_fd = -1;
    /* The cleaning thread waits for at most one reader, however many the door sends. */
    pthread_rwlockattr_t kind;
    pthread_rwlockattr_init(&kind);
    pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&dedup->shape, &kind);
    pthread_rwlockattr_destroy(&kind);
    for (size_t i = 0; i < DEDUP_LOCKS; i++)
        pthread_mutex_init(&dedup->locks[i], NULL);
    pthread_mutex_init(&dedup->buried_lock, NULL);
    return dedup;
}

void clean_dedup_close(struct clean_dedup *dedup)
{
    if (dedup == NULL)
        return;
    if (dedup->merge != NULL)
        __atomic_store_n(&dedup->merge->stop, true, __ATOMIC_RELAXED);
    clean_dedup_settle(dedup);
    for (size_t i = 0; i < dedup->days_count; i++)
        clean_day_free(dedup->days[i]);
    clean_old_close(dedup->old);
    clean_set_free(dedup->buried);
    if (dedup->buried_fd >= 0)
        close(dedup->buried_fd);
    pthread_rwlock_destroy(&dedup->shape);
    for (size_t i = 0; i < DEDUP_LOCKS; i++)
        pthread_mutex_destroy(&dedup->locks[i]);
    pthread_mutex_destroy(&dedup->buried_lock);
    free(dedup->folder);
    free(dedup);
}

enum status clean_dedup_open(const struct clean_options *options, struct str lengths,
                             struct clean_dedup **ret_dedup, struct err *err)
{
    struct lengths *wanted = mem_zero(sizeof *wanted);
    struct clean_dedup *dedup = dedup_new(options);
    enum status status = ST_OK;
    if (!lengths_parse(lengths, wanted))
        status = err_set(err, ST_CORRUPT, "could not read the lengths of the message ids");
    if (status == ST_OK)
        status = folder_tidy(dedup, wanted, err);
    if (status == ST_OK)
        status = buried_load(dedup, err);
    if (status == ST_OK)
        status = old_load(dedup, err);
    if (status == ST_OK)
        status = days_restore(dedup, wanted, err);
    free(wanted);
    if (status != ST_OK) {
        clean_dedup_close(dedup);
        return status;
    }
    *ret_dedup = dedup;
    return ST_OK;
}
