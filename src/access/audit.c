/* audit.c - calls on their way to the audit log: changes at once, the rest each second.
 *
 * Problem: profiles are read thousands of times a second, and a commit each would cost more than
 * the read. Rule: the record of a read is put into memory before its answer leaves and written with
 * all others of that second, in transactions of AUDIT_SLICE records. Equal ones (same key, route,
 * person, outcome) become one that counts, so a client in a loop, or a stranger who guesses keys,
 * costs one record a second. A change waits for the disk twice: before it is made and before it is
 * answered.
 *
 * Invariants: what waits is written in the order in which it came; a batch that failed waits on,
 * and `waiting` grows no further than AUDIT_WAITING_MAX and the requests in hand (audit_room). */
#include "access/audit_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sodium.h>

#include "audit_sql.h"
#include "base/check.h"
#include "base/hook.h"
#include "base/thread.h"

#define WRITE_EVERY_S 1
/* The writer is woken early: then what came in a burst is on its way before there is no room. */
#define WAITING_EARLY (AUDIT_WAITING_MAX / 4)
#define TIDY_SLICES 40 /* of each kind and second: twice as fast as reads come */
#define TIDY_EVERY_S 60

/* --- what waits ------------------------------------------------------------------------------- */

static struct hash128 merge_slot(const struct audit *audit, const struct audit_what *what)
{
    return hash_keyed(&audit->merge_key, (struct str){(const char *)what, sizeof *what});
}

/* Under the mutex. */
static void entry_add(struct audit *audit, const struct audit_entry *entry)
{
    struct audit_batch *waiting = &audit->waiting;
    if (entry->detail == NULL) {
        bool fresh = false;
        uint64_t *slot = map_put(&audit->merged, merge_slot(audit, &entry->what), &fresh);
        if (!fresh) {
            waiting->entries[*slot - 1].times += entry->times;
            return;
        }
        *slot = waiting->count + 1;
    }
    if (waiting->count == waiting->capacity) {
        waiting->capacity = waiting->capacity == 0 ? 64 : waiting->capacity * 2;
        waiting->entries = mem_grow(waiting->entries, waiting->capacity * sizeof *waiting->entries);
    }
    waiting->entries[waiting->count++] = *entry;
    if (waiting->count == WAITING_EARLY)
        pthread_cond_signal(&audit->wake);
}

static void batch_done(struct audit_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->entries[i].detail);
    free(batch->entries);
    *batch = (struct audit_batch){0};
}

/* Under the mutex: what could not be written comes again first. */
static void batch_give_back(struct audit *audit, struct audit_batch *batch, size_t written)
{
    struct audit_batch newer = audit->waiting;
    audit->waiting = (struct audit_batch){0};
    map_done(&audit->merged);
    map_init(&audit->merged);
    for (size_t i = 0; i < batch->count; i++)
        if (i < written)
            free(batch->entries[i].detail);
        else
            entry_add(audit, &batch->entries[i]);
    for (size_t i = 0; i < newer.count; i++)
        entry_add(audit, &newer.entries[i]);
    free(batch->entries);
    free(newer.entries);
}

/* --- the writer ------------------------------------------------------------------------------- */

static enum status batch_write(struct audit *audit, const struct audit_batch *batch,
                               size_t *ret_written, struct err *err)
{
    enum status status = ST_OK;
    int64_t id = 0;
    *ret_written = 0;
    while (status == ST_OK && *ret_written < batch->count) {
        size_t left = batch->count - *ret_written;
        size_t n = left < AUDIT_SLICE ? left : AUDIT_SLICE;
        status = audit_append(audit, batch->entries + *ret_written, n, &id, err);
        if (status == ST_OK)
            *ret_written += n;
    }
    return status;
}

/* Under the mutex, which it gives up meanwhile. False if there was nothing to write. */
static bool waiting_write(struct audit *audit)
{
    struct err err;
    size_t written = 0;
    uint64_t wanted = audit->flush_wanted;
    struct audit_batch batch = audit->waiting;
    audit->waiting = (struct audit_batch){0};
    map_done(&audit->merged);
    map_init(&audit->merged);
    audit->writing = batch.count;
    pthread_mutex_unlock(&audit->mutex);
    enum status status = batch_write(audit, &batch, &written, &err);
    pthread_mutex_lock(&audit->mutex);
    audit->writing = 0;
    audit->stats.written += written;
    audit->flush_tried = wanted;
    audit->failing = status != ST_OK;
    if (status == ST_OK) {
        audit->flush_done = wanted;
        batch_done(&batch);
    } else {
        audit->flush_err = err;
        batch_give_back(audit, &batch, written);
    }
    pthread_cond_broadcast(&audit->done);
    return written > 0;
}

static void tidy(struct audit *audit)
{
    struct err err;
    enum status status = audit_tidy(audit, TIDY_SLICES, &err);
    if (status != ST_OK && status != ST_BUSY) /* a full disk is told elsewhere */
        fprintf(stderr, "hezou: could not shorten the audit log: %s\n", err.message);
}

/* Under the mutex: until somebody needs the writer, or a second is over. */
static void doze(struct audit *audit)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WRITE_EVERY_S;
    while (!audit->closing && (audit->failing || audit->waiting.count < WAITING_EARLY) &&
           audit->flush_wanted == audit->flush_tried)
        if (pthread_cond_timedwait(&audit->wake, &audit->mutex, &until) == ETIMEDOUT)
            break;
}

static void *write_loop(void *ctx)
{
    struct audit *audit = ctx;
    int64_t tidied_us = 0;
    pthread_mutex_lock(&audit->mutex);
    while (!audit->closing) {
        doze(audit);
        bool wrote = waiting_write(audit);
        int64_t now_us = monotonic_us();
        if (wrote || tidied_us == 0 || now_us - tidied_us >= TIDY_EVERY_S * US_PER_S) {
            tidied_us = now_us;
            pthread_mutex_unlock(&audit->mutex);
            tidy(audit);
            pthread_mutex_lock(&audit->mutex);
        }
    }
    (void)waiting_write(audit);
    pthread_mutex_unlock(&audit->mutex);
    return NULL;
}

enum status audit_flush(struct audit *audit, struct err *err)
{
    enum status status = ST_OK;
    pthread_mutex_lock(&audit->mutex);
    uint64_t mine = ++audit->flush_wanted;
    pthread_cond_signal(&audit->wake);
    while (audit->flush_tried < mine)
        pthread_cond_wait(&audit->done, &audit->mutex);
    if (audit->flush_done < mine) {
        *err = audit->flush_err;
        status = err->status;
    }
    pthread_mutex_unlock(&audit->mutex);
    return status;
}

/* --- one call --------------------------------------------------------------------------------- */

void audit_subject(struct audit_call *call, struct str type, struct str value)
{
    crypto_generichash_state state;
    if (call == NULL || call->has_subject)
        return;
    struct audit *audit = call->audit;
    call->has_subject = true;
    CHECK(crypto_generichash_init(&state, audit->subject_key, sizeof audit->subject_key,
                                  AUDIT_SUBJECT_BYTES) == 0);
    CHECK(crypto_generichash_update(&state, (const unsigned char *)type.p, type.n) == 0);
    CHECK(crypto_generichash_update(&state, (const unsigned char *)":", 1) == 0);
    CHECK(crypto_generichash_update(&state, (const unsigned char *)value.p, value.n) == 0);
    CHECK(crypto_generichash_final(&state, call->subject, AUDIT_SUBJECT_BYTES) == 0);
}

void audit_object(struct audit_call *call, const char *format, ...)
{
    va_list args;
    if (call == NULL)
        return;
    memset(call->object, 0, sizeof call->object);
    va_start(args, format);
    vsnprintf(call->object, sizeof call->object, format, args);
    va_end(args);
}

static struct audit_entry entry_of(const struct audit_call *call, int status)
{
    struct audit_entry entry;
    memset(&entry, 0, sizeof entry); /* also between the members: they are compared as bytes */
    entry.what.kind = (int)call->kind;
    entry.what.status = status;
    entry.what.key = call->key.p;
    entry.what.key_n = call->key.n;
    entry.what.method = call->method;
    entry.what.route = call->route;
    if (call->has_subject) {
        memcpy(entry.what.subject, call->subject, sizeof call->subject);
        entry.what.subject_n = sizeof call->subject;
    }
    memcpy(entry.what.object, call->object, sizeof call->object);
    entry.what.position = call->position;
    entry.at_us = clock_now_us(call->audit->options.clock);
    entry.times = 1;
    return entry;
}

enum status audit_room(struct audit *audit, struct err *err)
{
    pthread_mutex_lock(&audit->mutex);
    bool room = audit->waiting.count + audit->writing < AUDIT_WAITING_MAX;
    pthread_mutex_unlock(&audit->mutex);
    if (room)
        return ST_OK;
    err_set(err, ST_BUSY, "nobody's data is shown while the audit log cannot be written");
    return err_hint(err, ST_BUSY, "make room on the disk of the data directory");
}

enum status audit_begin(struct audit_call *call, struct err *err)
{
    CHECK(call->kind == AUDIT_KIND_CHANGE && call->begun == 0);
    struct audit_entry entry = entry_of(call, 0);
    enum status status = audit_append(call->audit, &entry, 1, &call->begun, err);
    HOOK("audit_begun");
    return status;
}

static void answer_write(const struct audit_call *call, int code)
{
    struct audit *audit = call->audit;
    struct err err;
    int64_t id = 0;
    struct audit_entry entry = entry_of(call, code);
    entry.what.answer_to = call->begun;
    bool written = audit_append(audit, &entry, 1, &id, &err) == ST_OK;
    HOOK("audit_answered");
    if (written)
        return;
    /* What was done is done and recorded; its answer is written when there is room again. */
    pthread_mutex_lock(&audit->mutex);
    if (audit->waiting.count + audit->writing < 2 * AUDIT_WAITING_MAX)
        entry_add(audit, &entry);
    else
        audit->stats.lost++;
    pthread_mutex_unlock(&audit->mutex);
}

void audit_end(struct audit_call *call, int code)
{
    struct audit *audit = call->audit;
    bool good = code >= 200 && code < 300;
    if (!good) { /* what does not exist may be a number of somebody's */
        memset(call->object, 0, sizeof call->object);
        call->detail = (struct str){NULL, 0};
    }
    if (call->begun != 0) {
        answer_write(call, code);
        return;
    }
    CHECK(call->kind != AUDIT_KIND_CHANGE || !good);
    struct audit_entry entry = entry_of(call, code);
    if (call->detail.n > 0) {
        CHECK(call->detail.n <= AUDIT_DETAIL_BYTES);
        entry.detail_n = call->detail.n;
        entry.detail = mem_alloc(entry.detail_n);
        memcpy(entry.detail, call->detail.p, entry.detail_n);
    }
    pthread_mutex_lock(&audit->mutex);
    entry_add(audit, &entry);
    pthread_mutex_unlock(&audit->mutex);
}

void audit_stats(struct audit *audit, struct audit_stats *ret_stats)
{
    pthread_mutex_lock(&audit->mutex);
    *ret_stats = audit->stats;
    ret_stats->waiting = audit->waiting.count + audit->writing;
    pthread_mutex_unlock(&audit->mutex);
}

/* --- life ------------------------------------------------------------------------------------- */

enum status audit_open(const struct audit_options *options, struct audit **ret_audit,
                       struct err *err)
{
    pthread_condattr_t monotonic;
    struct audit *audit = mem_zero(sizeof *audit);
    CHECK(sodium_init() >= 0);
    audit->options = *options;
    audit_keys_make(audit);
    map_init(&audit->merged);
    facts_prepare(options->facts, audit_queries);
    CHECK(pthread_mutex_init(&audit->mutex, NULL) == 0);
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&audit->wake, &monotonic) == 0);
    CHECK(pthread_cond_init(&audit->done, NULL) == 0);
    pthread_condattr_destroy(&monotonic);
    int failed = thread_start(&audit->thread, "audit", write_loop, audit);
    if (failed != 0) {
        free(audit);
        return err_set(err, ST_IO, "could not start the audit log's thread: %s", strerror(failed));
    }
    *ret_audit = audit;
    return ST_OK;
}

void audit_close(struct audit *audit)
{
    if (audit == NULL)
        return;
    pthread_mutex_lock(&audit->mutex);
    audit->closing = true;
    pthread_cond_signal(&audit->wake);
    pthread_mutex_unlock(&audit->mutex);
    pthread_join(audit->thread, NULL);
    if (audit->waiting.count > 0)
        fprintf(stderr, "hezou: %zu records of the audit log could not be written: %s\n",
                audit->waiting.count, audit->flush_err.message);
    batch_done(&audit->waiting);
    map_done(&audit->merged);
    pthread_cond_destroy(&audit->wake);
    pthread_cond_destroy(&audit->done);
    pthread_mutex_destroy(&audit->mutex);
    free(audit);
}
