/* http_work.c - slow work leaves the network threads: a few workers and a queue that has an end.
 *
 * Two such pools: one for jobs of at most some seconds, one for those that may take minutes, so
 * that the first never wait behind the second. A request that waits here costs no thread. When the
 * queue is full the caller answers ST_BUSY at once: a queue that grows only turns overload into
 * time-outs. */
#include "net/http_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/thread.h"

static bool pool_next(struct http_pool *pool, struct http_job *ret_job)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->count == 0 && !pool->stopping)
        pthread_cond_wait(&pool->wake, &pool->mutex);
    bool found = pool->count > 0 && !pool->stopping;
    if (found) {
        *ret_job = pool->queue[pool->head];
        pool->head = (pool->head + 1) % HTTP_WORK_QUEUE;
        pool->count--;
    }
    pthread_mutex_unlock(&pool->mutex);
    return found;
}

static void *worker_main(void *ctx)
{
    struct http_pool *pool = ctx;
    struct http_job job;

    while (pool_next(pool, &job))
        job.work(job.ctx, job.request);
    return NULL;
}

enum status http_pool_start(struct http_pool *pool, int threads, unsigned queue_max,
                            struct err *err)
{
    CHECK(queue_max <= HTTP_WORK_QUEUE);
    pool->count_max = queue_max;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->threads = mem_zero(sizeof *pool->threads * (size_t)threads);
    for (int i = 0; i < threads; i++) {
        int failed = thread_start(&pool->threads[i], "net work", worker_main, pool);
        if (failed != 0) {
            http_pool_stop(pool);
            http_pool_free(pool);
            return err_set(err, ST_IO, "could not start a worker thread: %s", strerror(failed));
        }
        pool->threads_count++;
    }
    return ST_OK;
}

void http_pool_stop(struct http_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->threads_count; i++)
        pthread_join(pool->threads[i], NULL);

    struct err stopped;
    (void)err_set(&stopped, ST_BUSY, "could not do the work: the server is stopping");
    for (; pool->count > 0; pool->count--) {
        http_reply_error(pool->queue[pool->head].request, &stopped);
        pool->head = (pool->head + 1) % HTTP_WORK_QUEUE;
    }
}

void http_pool_free(struct http_pool *pool)
{
    free(pool->threads);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
}

static enum status pool_add(struct http_pool *pool, struct http_job job, struct err *err)
{
    pthread_mutex_lock(&pool->mutex);
    bool room = pool->count < pool->count_max && !pool->stopping;
    if (room) {
        unsigned tail = (pool->head + pool->count) % HTTP_WORK_QUEUE;
        pool->queue[tail] = job;
        pool->count++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->mutex);
    return room ? ST_OK
                : err_set(err, ST_BUSY, "could not queue the work: %u requests wait already",
                          pool->count_max);
}

enum status http_work(struct http_request *request, http_handler *work, void *ctx, struct err *err)
{
    return pool_add(&request->server->work, (struct http_job){request, work, ctx}, err);
}

enum status http_work_long(struct http_request *request, http_handler *work, void *ctx,
                           struct err *err)
{
    return pool_add(&request->server->long_work, (struct http_job){request, work, ctx}, err);
}
