/* warehouse_help.c - the other cores help those who read, and nobody else.
 *
 * Left to itself the engine keeps a thread for each core. A commit is small work in several tasks:
 * as soon as such a thread takes one of them, the committing thread does not sleep but asks again
 * and again whether it is done, and burns the processor that the network waits for (measured: 1.5
 * µs of 15 per event). So the engine gets no threads of its own; ours lend themselves to it while
 * at least one reader is at work. */
#include "warehouse/warehouse_int.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/thread.h"

#include <stdlib.h>

static void *help_main(void *ctx)
{
    struct help *help = ctx;
    thread_background();
    pthread_mutex_lock(&help->mutex);
    for (;;) {
        while (!help->stopping && (help->state == NULL || help->ending))
            pthread_cond_wait(&help->changed, &help->mutex);
        if (help->stopping)
            break;
        duckdb_task_state state = help->state;
        help->inside++;
        pthread_mutex_unlock(&help->mutex);
        duckdb_execute_tasks_state(state); /* until the last reader has left */
        pthread_mutex_lock(&help->mutex);
        CHECK(help->ending);
        if (--help->inside == 0) {
            duckdb_destroy_task_state(help->state);
            help->state = NULL;
            help->ending = false;
            pthread_cond_broadcast(&help->changed);
        }
    }
    pthread_mutex_unlock(&help->mutex);
    return NULL;
}

void help_start(struct help *help, duckdb_database database, int threads)
{
    pthread_mutex_init(&help->mutex, NULL);
    pthread_cond_init(&help->changed, NULL);
    help->database = database;
    help->threads = mem_zero(sizeof *help->threads * (size_t)threads);
    for (; help->threads_count < threads; help->threads_count++)
        CHECK(thread_start(&help->threads[help->threads_count], "sql help", help_main, help) == 0);
}

void help_stop(struct help *help)
{
    if (help->threads == NULL)
        return;
    pthread_mutex_lock(&help->mutex);
    CHECK(help->asked == 0);
    help->stopping = true;
    pthread_cond_broadcast(&help->changed);
    pthread_mutex_unlock(&help->mutex);
    for (int i = 0; i < help->threads_count; i++)
        pthread_join(help->threads[i], NULL);
    free(help->threads);
    pthread_cond_destroy(&help->changed);
    pthread_mutex_destroy(&help->mutex);
}

void help_begin(struct help *help)
{
    pthread_mutex_lock(&help->mutex);
    if (help->asked++ == 0) {
        while (help->ending)
            pthread_cond_wait(&help->changed, &help->mutex);
        help->state = duckdb_create_task_state(help->database);
        pthread_cond_broadcast(&help->changed);
    }
    pthread_mutex_unlock(&help->mutex);
}

void help_end(struct help *help)
{
    pthread_mutex_lock(&help->mutex);
    if (--help->asked == 0) {
        duckdb_finish_execution(help->state);
        if (help->inside > 0) {
            help->ending = true;
        } else {
            duckdb_destroy_task_state(help->state);
            help->state = NULL;
        }
    }
    pthread_mutex_unlock(&help->mutex);
}
