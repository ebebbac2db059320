/* clean_dedup.c - has this message id been decided before? Exactly, for 30 days.
 *
 * Each received day is an append-only file of keys in journal order (clean_day.c). Today, yesterday
 * and whatever is not yet in the sorted file are also sets in memory (clean_set.c); the rest is one
 * sorted file behind a filter (clean_old.c). A stranger, the usual case, costs two or three memory
 * accesses, which clean_dedup_prefetch starts early. A day with very many ids is kept in parts, and
 * a full part need not wait for its day to grow old: so a flood does not fill the memory.
 *
 * The answer depends on the journal alone. Days begin by the received time of a record, never by
 * the clock; a day leaves the window at the first record that makes it too old, whether or not the
 * sorted file still holds its keys; the count bound drops whole days at the insertion that passes
 * it. When a merge ends changes where a key is found and never whether.
 *
 * Threads: one cleans. It alone changes anything, so it reads without locks; it takes `shape` for
 * writing when days or the sorted file change, and a segment's lock when it adds a key. Any thread
 * may ask (clean_dedup_known) under the same locks. A helper makes the sorted file from files that
 * no longer change; the cleaning thread takes the result in at a sync.
 *
 * A file is removed only when the last two syncs both no longer told of it, and after three days of
 * grace, so an older snapshot of the state still opens. */
#include "clean/dedup_int.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"

#define WRITE_BYTES ((size_t)64 << 10) /* so much is handed to the system without a sync */
#define HELPER_NICE 10

static struct clean_day *today_of(const struct clean_dedup *dedup)
{
    return dedup->days_count > 0 ? dedup->days[dedup->days_count - 1] : NULL;
}

static pthread_mutex_t *lock_of(struct clean_dedup *dedup, struct hash128 key)
{
    return &dedup->locks[clean_set_segment_of(key) % DEDUP_LOCKS];
}

/* --- days come and go ------------------------------------------------------------------------- */

void clean_dedup_add_day(struct clean_dedup *dedup, struct clean_day *day)
{
    CHECK(dedup->days_count < CLEAN_DAYS_MAX);
    const struct clean_day *last = today_of(dedup);
    CHECK(last == NULL || last->day < day->day ||
          (last->day == day->day && last->part + 1 == day->part));
    dedup->days[dedup->days_count++] = day;
    dedup->old_alive[day->day & 0xff] =
        day->in_old || (day->part > 0 && dedup->old_alive[day->day & 0xff]);
}

/* The oldest day is no longer remembered, with all its parts; its files wait in `retired`. */
static void oldest_drop(struct clean_dedup *dedup)
{
    struct clean_day *parts[CLEAN_DAYS_MAX];
    uint32_t day = dedup->days[0]->day;
    uint64_t ids = dedup->ids;
    size_t count = 0;
    for (; count < dedup->days_count && dedup->days[count]->day == day; count++) {
        parts[count] = dedup->days[count];
        ids -= parts[count]->count;
    }
    pthread_rwlock_wrlock(&dedup->shape);
    dedup->days_count -= count;
    memmove(dedup->days, dedup->days + count, dedup->days_count * sizeof dedup->days[0]);
    dedup->old_alive[day & 0xff] = false;
    __atomic_store_n(&dedup->ids, ids, __ATOMIC_RELAXED);
    pthread_rwlock_unlock(&dedup->shape);
    if (dedup->retired_count < CLEAN_DAYS_MAX) /* else the next open finds the files */
        dedup->retired[dedup->retired_count++] = day;
    for (size_t i = 0; i < count; i++)
        clean_day_free(parts[i]);
}

/* By the count alone, which the journal decides. */
static bool is_full(const struct clean_dedup *dedup, const struct clean_day *day)
{
    return day->count >= dedup->part_ids;
}

/* Today is the day of this record; what is now too old goes. */
static struct clean_day *day_at(struct clean_dedup *dedup, int64_t received_us)
{
    uint32_t day = received_us < 0 ? 0 : (uint32_t)(received_us / US_PER_DAY);
    struct clean_day *today = today_of(dedup);
    uint32_t part = 0;
    if (today != NULL && day <= today->day) {
        /* The journal's clock does not go back; if it did, nothing is forgotten. */
        if (!is_full(dedup, today))
            return today;
        day = today->day;
        part = today->part + 1;
    }
    while (dedup->days_count > 0 && dedup->days[0]->day + dedup->window_days < day)
        oldest_drop(dedup);
    today = clean_day_new(day, part);
    today->set = clean_set_new();
    pthread_rwlock_wrlock(&dedup->shape);
    clean_dedup_add_day(dedup, today);
    pthread_rwlock_unlock(&dedup->shape);
    return today;
}

static void bound_by_count(struct clean_dedup *dedup)
{
    while (dedup->ids > dedup->ids_max && dedup->days[0]->day != today_of(dedup)->day) {
        uint32_t day = dedup->days[0]->day;
        oldest_drop(dedup);
        __atomic_store_n(&dedup->cut_day, day, __ATOMIC_RELAXED);
    }
}

/* --- asking and adding ------------------------------------------------------------------------ */

void clean_dedup_prefetch(const struct clean_dedup *dedup, struct hash128 key)
{
    for (size_t i = dedup->days_count; i-- > 0 && !dedup->days[i]->in_old;)
        clean_set_prefetch(dedup->days[i]->set, key);
    if (dedup->old != NULL)
        clean_old_prefetch(dedup->old, key);
}

bool clean_dedup_buried_any(const struct clean_dedup *dedup)
{
    return __atomic_load_n(&dedup->buried_count, __ATOMIC_RELAXED) > 0;
}

bool clean_dedup_buried(struct clean_dedup *dedup, struct hash128 key)
{
    if (!clean_dedup_buried_any(dedup))
        return false;
    pthread_mutex_lock(&dedup->buried_lock);
    bool has = clean_set_has(dedup->buried, key);
    pthread_mutex_unlock(&dedup->buried_lock);
    return has;
}

static bool sets_have(const struct clean_dedup *dedup, struct hash128 key)
{
    for (size_t i = dedup->days_count; i-- > 0;)
        if (dedup->days[i]->set != NULL && clean_set_has(dedup->days[i]->set, key))
            return true;
    return false;
}

static enum status old_has(const struct clean_dedup *dedup, struct hash128 key, bool *ret_has,
                           struct err *err)
{
    *ret_has = false;
    return dedup->old == NULL ? ST_OK
                              : clean_old_has(dedup->old, key, dedup->old_alive, ret_has, err);
}

/* Hand what gathers to the system, so a sync has little to write. When this fails the keys stay
 * pending, and the next sync writes them or says why not. */
static void write_some(struct clean_dedup *dedup, struct clean_day *today)
{
    struct err err;
    if (clean_day_write(dedup, today, &err) != ST_OK)
        return;
}

bool clean_dedup_add(struct clean_dedup *dedup, struct hash128 key, int64_t received_us)
{
    struct clean_day *today = day_at(dedup, received_us);
    struct err err;
    bool old = false;
    if (sets_have(dedup, key))
        return false;
    if (old_has(dedup, key, &old, &err) != ST_OK)
        fatal("%s", err.message); /* without an answer the event can be neither kept nor dropped */
    if (old || clean_dedup_buried(dedup, key))
        return false;
    pthread_mutex_lock(lock_of(dedup, key));
    clean_set_add(today->set, key);
    pthread_mutex_unlock(lock_of(dedup, key));
    buf_put(&today->pending, &key, sizeof key);
    if (today->pending.overflow)
        fatal("could not write the message ids of a whole day: the disk is full");
    today->count++;
    today->sum += key.a;
    today->last = key.a;
    __atomic_store_n(&dedup->ids, dedup->ids + 1, __ATOMIC_RELAXED);
    if (today->pending.n % WRITE_BYTES == 0)
        write_some(dedup, today);
    bound_by_count(dedup);
    return true;
}

bool clean_dedup_known(struct clean_dedup *dedup, struct hash128 key)
{
    bool known = false;
    struct err err;
    pthread_rwlock_rdlock(&dedup->shape);
    pthread_mutex_lock(lock_of(dedup, key));
    known = sets_have(dedup, key);
    pthread_mutex_unlock(lock_of(dedup, key));
    if (!known && old_has(dedup, key, &known, &err) != ST_OK)
        known = false; /* "not known" promises nothing; the cleaning thread will meet the fault */
    pthread_rwlock_unlock(&dedup->shape);
    return known || clean_dedup_buried(dedup, key);
}

/* --- the sorted file -------------------------------------------------------------------------- */

static bool is_pending(const struct clean_dedup *dedup, const struct clean_day *day)
{
    bool old = day->day + 1 < today_of(dedup)->day;
    return !day->in_old && day->count > 0 &&
           (old || (day != today_of(dedup) && is_full(dedup, day)));
}

uint64_t clean_dedup_pending(const struct clean_dedup *dedup)
{
    uint64_t keys = 0;
    for (size_t i = 0; i < dedup->days_count; i++)
        if (is_pending(dedup, dedup->days[i]))
            keys += dedup->days[i]->count;
    return keys;
}

static void *merge_thread(void *merge)
{
    /* Folding goes first. A thread's own niceness is a Linux habit; without it all still works. */
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), HELPER_NICE);
    clean_merge_run(merge);
    return NULL;
}

/* Which days of the present file go on: those remembered, and those in their days of grace. */
static void merge_keep(const struct clean_dedup *dedup, struct clean_merge *merge)
{
    uint32_t oldest = dedup->days[0]->day;
    memcpy(merge->keep, dedup->old_alive, sizeof merge->keep);
    for (size_t i = 0; i < dedup->retired_count; i++)
        if (dedup->retired[i] + DEDUP_GRACE_DAYS >= oldest && dedup->retired[i] < oldest)
            merge->keep[dedup->retired[i] & 0xff] = true;
}

void clean_dedup_merge_start(struct clean_dedup *dedup)
{
    if (dedup->merge != NULL || dedup->days_count == 0 || clean_dedup_pending(dedup) == 0)
        return;
    struct clean_merge *merge = mem_zero(sizeof *merge);
    *merge = (struct clean_merge){.disk = dedup->disk, .folder = dedup->folder, .old = dedup->old};
    merge_keep(dedup, merge);
    for (size_t i = 0; i < dedup->days_count; i++) {
        const struct clean_day *day = dedup->days[i];
        if (!is_pending(dedup, day))
            continue;
        CHECK(day->written == day->count && !day->dirty);
        /* Of its day the present file holds nothing that lives, or other parts, which go on. */
        merge->adds[merge->adds_count++] = clean_day_is(day);
    }
    dedup->merge = merge;
    if (thread_start(&dedup->merge_thread, "dedup merge", merge_thread, merge) != 0)
        fatal("could not start a thread for the message ids");
}

/* The days of the merge leave memory; those that meanwhile left the window stay dead. */
static void merge_adopt(struct clean_dedup *dedup, struct clean_merge *merge)
{
    struct clean_set *sets[CLEAN_DAYS_MAX];
    size_t sets_count = 0;
    struct clean_old *old = dedup->old;
    pthread_rwlock_wrlock(&dedup->shape);
    dedup->old = merge->ret_old;
    for (size_t i = 0; i < dedup->days_count; i++) {
        struct clean_day *day = dedup->days[i];
        struct clean_day_count now = clean_day_is(day);
        if (day->in_old || !clean_old_holds(merge->ret_old, &now))
            continue;
        day->in_old = true;
        dedup->old_alive[day->day & 0xff] = true;
        sets[sets_count++] = day->set;
        day->set = NULL;
    }
    pthread_rwlock_unlock(&dedup->shape);
    for (size_t i = 0; i < sets_count; i++)
        clean_set_free(sets[i]);
    clean_old_close(old);
}

void clean_dedup_settle(struct clean_dedup *dedup)
{
    if (dedup->merge == NULL)
        return;
    pthread_join(dedup->merge_thread, NULL);
    if (dedup->merge->status == ST_OK)
        merge_adopt(dedup, dedup->merge);
    free(dedup->merge);
    dedup->merge = NULL;
}

static bool merge_is_done(const struct clean_dedup *dedup)
{
    return dedup->merge != NULL && __atomic_load_n(&dedup->merge->done, __ATOMIC_ACQUIRE);
}

/* A merge that failed (a full disk) is tried again at the next sync; its days stay in memory. */
static void merge_care(struct clean_dedup *dedup)
{
    if (merge_is_done(dedup))
        clean_dedup_settle(dedup);
    clean_dedup_merge_start(dedup);
    if (dedup->merge != NULL && clean_dedup_pending(dedup) > DEDUP_PENDING_MAX)
        clean_dedup_settle(dedup); /* a fast replay must not gather a month in memory */
}

/* --- durable ---------------------------------------------------------------------------------- */

static void lengths_put(const struct clean_dedup *dedup, struct buf *lengths)
{
    buf_text(lengths, "v2");
    if (dedup->cut_day != 0)
        buf_fmt(lengths, " cut=%u", dedup->cut_day);
    for (size_t i = 0; i < dedup->days_count; i++) {
        const struct clean_day *day = dedup->days[i];
        uint64_t count = day->count, sum = day->sum;
#ifdef HEZOU_TEST_HOOKS
        /* The seeded bug: the cut file forgets the last id before the flushed position, so its
         * resend is stored twice. */
        if (dedup->bug_off_by_one && i + 1 == dedup->days_count && count > 0) {
            count--;
            sum -= day->last;
        }
#endif
        if (count == 0) /* a day of duplicates only has no file */
            continue;
        buf_fmt(lengths, " %u", day->day);
        if (day->part > 0)
            buf_fmt(lengths, ".%u", day->part);
        buf_fmt(lengths, ":%llu:%016llx", (unsigned long long)count, (unsigned long long)sum);
    }
}

/* All files of one day; the first is removed last, so that what a failure leaves is found again. */
static enum status day_remove(struct clean_dedup *dedup, uint32_t day, struct err *err)
{
    char path[4096];
    uint32_t parts = 0;
    enum status status = ST_OK;
    do
        clean_day_path(dedup->folder, day, ++parts, path, sizeof path);
    while (access(path, F_OK) == 0);
    while (status == ST_OK && parts-- > 0) {
        clean_day_path(dedup->folder, day, parts, path, sizeof path);
        status = disk_remove(dedup->disk, path, err);
    }
    return status;
}

/* Remove day files that neither of the last two flushes needs. */
static enum status retired_remove(struct clean_dedup *dedup, struct err *err)
{
    uint32_t before = dedup->oldest_synced[0];
    enum status status = ST_OK;
    size_t left = 0;
    for (size_t i = 0; i < dedup->retired_count; i++) {
        uint32_t day = dedup->retired[i];
        if (status == ST_OK && day + DEDUP_GRACE_DAYS < before)
            status = day_remove(dedup, day, err);
        else
            dedup->retired[left++] = day;
    }
    dedup->retired_count = left;
    dedup->oldest_synced[0] = dedup->oldest_synced[1];
    dedup->oldest_synced[1] = dedup->days_count > 0 ? dedup->days[0]->day : 0;
    return status;
}

enum status clean_dedup_sync(struct clean_dedup *dedup, struct buf *lengths, struct err *err)
{
    enum status status = ST_OK;
    for (size_t i = 0; i < dedup->days_count && status == ST_OK; i++) {
        struct clean_day *day = dedup->days[i];
        if (day->pending.n > 0 || day->dirty)
            status = clean_day_sync(dedup, day, err);
        if (status == ST_OK && day->fd >= 0 && day != today_of(dedup)) {
            close(day->fd);
            day->fd = -1;
        }
    }
    if (status == ST_OK && dedup->folder_dirty)
        status = disk_sync_folder(dedup->disk, dedup->folder, err);
    if (status != ST_OK)
        return status;
    dedup->folder_dirty = false;
    lengths_put(dedup, lengths);
    if (lengths->overflow)
        return err_set(err, ST_TOO_LARGE, "could not describe the message ids: no room");
    merge_care(dedup);
    return retired_remove(dedup, err);
}

/* --- erased ids ------------------------------------------------------------------------------- */

enum status clean_dedup_bury(struct clean_dedup *dedup, const struct hash128 *keys,
                             size_t keys_count, struct err *err)
{
    enum status status = ST_OK;
    pthread_mutex_lock(&dedup->buried_lock);
    uint64_t at = CLEAN_KEYS_HEADER_BYTES + dedup->buried_count * CLEAN_KEY_BYTES;
    status = disk_write_at(dedup->disk, dedup->buried_fd, keys, keys_count * sizeof *keys, at, err);
    if (status == ST_OK)
        status = disk_sync(dedup->disk, dedup->buried_fd, err);
    for (size_t i = 0; i < keys_count && status == ST_OK; i++)
        clean_set_add(dedup->buried, keys[i]);
    if (status == ST_OK)
        __atomic_store_n(&dedup->buried_count, dedup->buried_count + keys_count, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&dedup->buried_lock);
    return status;
}

void clean_dedup_stats(struct clean_dedup *dedup, struct clean_stats *ret_stats)
{
    uint64_t bytes = sizeof *dedup;
    pthread_rwlock_rdlock(&dedup->shape);
    uint32_t cut = __atomic_load_n(&dedup->cut_day, __ATOMIC_RELAXED);
    const struct clean_day *today = today_of(dedup);
    for (size_t i = 0; i < dedup->days_count; i++)
        if (dedup->days[i]->set != NULL)
            bytes += __atomic_load_n(&dedup->days[i]->set->bytes, __ATOMIC_RELAXED);
    if (dedup->old != NULL)
        bytes += clean_old_bytes(dedup->old);
    ret_stats->window_us = (int64_t)dedup->window_days * US_PER_DAY;
    ret_stats->window_cut = cut != 0 && today != NULL && cut + dedup->window_days >= today->day;
    if (ret_stats->window_cut)
        ret_stats->window_us = (int64_t)(today->day - cut - 1) * US_PER_DAY;
    pthread_rwlock_unlock(&dedup->shape);
    ret_stats->ids = __atomic_load_n(&dedup->ids, __ATOMIC_RELAXED);
    ret_stats->memory_bytes = bytes;
}
