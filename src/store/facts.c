/* facts.c - facts.db and its one writer.
 *
 * Problem: a decision is true once it is on the disk, one sync costs 0.3-4 ms, and decisions about
 * stock or points must not race. Rule: all changes run in ONE thread, one after the other, so a
 * closure sees a world that stands still; what has queued up while the last commit ran becomes the
 * next group, and one sync serves all of it. Each closure has its own savepoint, so one that
 * refuses leaves no trace in its group.
 *
 * Why not a lock and a transaction per caller? Then every caller pays its own sync.
 *
 * Invariants: a caller is answered after the commit that holds its change, never before; when the
 * commit fails nobody in the group is told ST_OK. Readers use their own connections and never wait
 * for the writer. */
#include "store/store_int.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hook.h"
#include "base/thread.h"
#include "facts_migrations.h"

#define GROUP_MAX 256 /* at 5 ms each the last one waits a second: the worst that a caller sees */
#define READERS_MAX 4 /* the third waits for a core anyway */

/* Lives on its caller's stack until `done`. */
struct job {
    struct job *next;
    facts_work *work;
    void *ctx;
    struct err *err;
    enum status status;
    sem_t done;
};

struct facts {
    struct db *writer;
    char *path;
    pthread_t thread;
    pthread_mutex_t mutex; /* all below */
    pthread_cond_t queued;
    pthread_cond_t reader_free;
    struct job *first, **last;
    bool closing;
    struct db *readers[READERS_MAX]; /* free ones, a stack */
    int readers_free, readers_made;
    struct facts_stats stats;
};

/* --- the writer ------------------------------------------------------------------------------- */

static void run_one(struct facts *facts, struct job *job)
{
    struct db *db = facts->writer;
    int64_t start_us = monotonic_us();
    job->status = db_exec(db_prepare(db, "SAVEPOINT closure"), job->err);
    if (job->status != ST_OK)
        return;
    job->status = job->work(job->ctx, db, job->err);
    /* A full disk may have ended the whole transaction; the caller of the group sees that. */
    if (db_in_transaction(db)) {
        struct err err;
        if (job->status != ST_OK && db_exec(db_prepare(db, "ROLLBACK TO closure"), &err) != ST_OK)
            fatal("could not undo a change in %s: %s", facts->path, err.message);
        if (db_exec(db_prepare(db, "RELEASE closure"), &err) != ST_OK)
            fatal("could not keep a change in %s: %s", facts->path, err.message);
    }
    if (monotonic_us() - start_us > FACTS_CLOSURE_US_MAX)
        __atomic_add_fetch(&facts->stats.slow, 1, __ATOMIC_RELAXED);
}

static enum status run_group(struct facts *facts, struct job *group, struct err *err)
{
    enum status status = db_begin(facts->writer, err);
    for (struct job *job = group; status == ST_OK && job != NULL; job = job->next) {
        run_one(facts, job);
        if (!db_in_transaction(facts->writer))
            status = err_set(err, ST_BUSY, "could not write to facts.db: the disk is full");
    }
    HOOK("facts_before_commit");
    if (status == ST_OK)
        status = db_commit(facts->writer, err);
    HOOK("facts_after_commit");
    if (status != ST_OK)
        db_rollback(facts->writer);
    return status;
}

/* Take what is queued, at most GROUP_MAX. NULL when closing and nothing is left. */
static struct job *take_group(struct facts *facts, uint64_t *ret_count)
{
    pthread_mutex_lock(&facts->mutex);
    while (facts->first == NULL && !facts->closing)
        pthread_cond_wait(&facts->queued, &facts->mutex);
    struct job *group = facts->first, **end = &facts->first;
    uint64_t count = 0;
    for (; *end != NULL && count < GROUP_MAX; count++)
        end = &(*end)->next;
    facts->first = *end;
    *end = NULL;
    if (facts->first == NULL)
        facts->last = &facts->first;
    pthread_mutex_unlock(&facts->mutex);
    *ret_count = count;
    return group;
}

static void *write_loop(void *arg)
{
    struct facts *facts = arg;
    struct job *group;
    uint64_t count;
    while ((group = take_group(facts, &count)) != NULL) {
        struct err err;
        enum status status = run_group(facts, group, &err);
        __atomic_add_fetch(&facts->stats.groups, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&facts->stats.closures, count, __ATOMIC_RELAXED);
        for (struct job *job = group, *next; job != NULL; job = next) {
            next = job->next; /* the job is gone once its caller wakes */
            if (job->status == ST_OK && status != ST_OK)
                job->status = err_set(job->err, status, "%s", err.message);
            sem_post(&job->done);
        }
    }
    return NULL;
}

enum status facts_write(struct facts *facts, facts_work *work, void *ctx, struct err *err)
{
    CHECK(!pthread_equal(pthread_self(), facts->thread)); /* it would wait for itself */
    struct job job = {.work = work, .ctx = ctx, .err = err};
    CHECK(sem_init(&job.done, 0, 0) == 0);
    pthread_mutex_lock(&facts->mutex);
    CHECK(!facts->closing);
    *facts->last = &job;
    facts->last = &job.next;
    pthread_cond_signal(&facts->queued);
    pthread_mutex_unlock(&facts->mutex);
    while (sem_wait(&job.done) != 0) {
        /* a signal; the job is still the writer's */
    }
    sem_destroy(&job.done);
    return job.status;
}

static enum status prepare_all(void *ctx, struct db *db, struct err *err)
{
    (void)err;
    for (const struct db_query *query = ctx; query->name != NULL; query++)
        (void)db_prepare(db, query->sql); /* ends the process on a typo */
    return ST_OK;
}

void facts_prepare(struct facts *facts, const struct db_query *queries)
{
    struct err err;
    if (facts_write(facts, prepare_all, (void *)(uintptr_t)queries, &err) != ST_OK)
        fatal("could not prepare queries: %s", err.message);
}

/* --- readers ---------------------------------------------------------------------------------- */

/* A free connection, a new one, or the next that is given back. */
static enum status take_reader(struct facts *facts, struct db **ret_db, struct err *err)
{
    pthread_mutex_lock(&facts->mutex);
    while (facts->readers_free == 0 && facts->readers_made == READERS_MAX)
        pthread_cond_wait(&facts->reader_free, &facts->mutex);
    bool make = facts->readers_free == 0;
    if (make)
        facts->readers_made++;
    else
        *ret_db = facts->readers[--facts->readers_free];
    pthread_mutex_unlock(&facts->mutex);
    if (!make)
        return ST_OK;

    enum status status = db_open(facts->path, true, ret_db, err);
    if (status != ST_OK) {
        pthread_mutex_lock(&facts->mutex);
        facts->readers_made--;
        pthread_cond_signal(&facts->reader_free);
        pthread_mutex_unlock(&facts->mutex);
    }
    return status;
}

static void give_reader(struct facts *facts, struct db *db)
{
    pthread_mutex_lock(&facts->mutex);
    facts->readers[facts->readers_free++] = db;
    pthread_cond_signal(&facts->reader_free);
    pthread_mutex_unlock(&facts->mutex);
}

enum status facts_read(struct facts *facts, facts_work *work, void *ctx, struct err *err)
{
    struct db *db = NULL;
    enum status status = take_reader(facts, &db, err);
    if (status != ST_OK)
        return status;
    status = db_exec(db_prepare(db, "BEGIN"), err);
    if (status == ST_OK)
        status = work(ctx, db, err);
    db_rollback(db);
    give_reader(facts, db);
    return status;
}

/* --- life ------------------------------------------------------------------------------------- */

enum status facts_open(const char *path, struct facts **ret_facts, struct err *err)
{
    struct db *writer = NULL;
    enum status status = db_open(path, false, &writer, err);
    if (status == ST_OK)
        status = migrate(writer, facts_migrations, err);
    if (status != ST_OK) {
        db_close(writer);
        return status;
    }
    struct facts *facts = mem_zero(sizeof *facts);
    facts->writer = writer;
    facts->path = strdup(path);
    facts->last = &facts->first;
    CHECK(pthread_mutex_init(&facts->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&facts->queued, NULL) == 0);
    CHECK(pthread_cond_init(&facts->reader_free, NULL) == 0);
    CHECK(thread_start(&facts->thread, "facts", write_loop, facts) == 0);
    *ret_facts = facts;
    return ST_OK;
}

void facts_close(struct facts *facts)
{
    if (facts == NULL)
        return;
    pthread_mutex_lock(&facts->mutex);
    facts->closing = true;
    pthread_cond_signal(&facts->queued);
    pthread_mutex_unlock(&facts->mutex);
    pthread_join(facts->thread, NULL);
    CHECK(facts->readers_free == facts->readers_made); /* nobody reads any more */
    for (int i = 0; i < facts->readers_free; i++)
        db_close(facts->readers[i]);
    db_close(facts->writer);
    pthread_cond_destroy(&facts->queued);
    pthread_cond_destroy(&facts->reader_free);
    pthread_mutex_destroy(&facts->mutex);
    free(facts->path);
    free(facts);
}

enum status facts_checkpoint(struct facts *facts, struct err *err)
{
    /* Its own connection: the writer goes on, and SQLite's locks order the two. */
    struct db *db = NULL;
    enum status status = db_open(facts->path, false, &db, err);
    if (status == ST_OK)
        status = db_checkpoint(db, true, err);
    db_close(db);
    return status;
}

void facts_stats(struct facts *facts, struct facts_stats *ret_stats)
{
    ret_stats->groups = __atomic_load_n(&facts->stats.groups, __ATOMIC_RELAXED);
    ret_stats->closures = __atomic_load_n(&facts->stats.closures, __ATOMIC_RELAXED);
    ret_stats->slow = __atomic_load_n(&facts->stats.slow, __ATOMIC_RELAXED);
}
