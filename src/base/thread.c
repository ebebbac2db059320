/* thread.c - the priorities that are not everybody's, and the cores that are not. */
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"

/* A little, and no more: the kernel's own locks (the address space's, above all) know no
 * priorities, and a thread that waits long for the processor while it holds one stops everybody.
 * At 10, profile reads beside 30,000 events/s had a p99 of 78 ms, at 3 one of 21. */
#define BACKGROUND_NICE 3

void thread_background(void)
{
    /* On Linux nice is a thread's own. It can always be raised, so there is nothing to refuse. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), BACKGROUND_NICE);
}

/* A thread that has done its work within this is not the one that others wait for. */
#define PROMPT_SLICE_NS UINT64_C(200000)

/* The kernel's first form of it (48 bytes); Debian 12's C library has neither it nor the call. */
struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

void thread_prompt(void)
{
    struct sched_attributes wanted = {.size = sizeof wanted, .runtime_ns = PROMPT_SLICE_NS};
    (void)syscall(SYS_sched_setattr, 0, &wanted, 0); /* before Linux 6.12 nothing changes */
}

/* --- behind the road -------------------------------------------------------------------------- */

#define BEHIND_MAX 16 /* threads; one more keeps all cores, which is no harm */

static struct {
    pthread_mutex_t mutex;
    pid_t threads[BEHIND_MAX]; /* 0 = free */
    bool known, spread;
    cpu_set_t all, half;
} behind = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Before the first thread is kept to a half, so that its cores are the process's. */
static void cores_learn(void)
{
    CPU_ZERO(&behind.all); /* more cores than a set holds: none of them is known, none is given */
    if (sched_getaffinity(0, sizeof behind.all, &behind.all) != 0)
        CPU_ZERO(&behind.all);
    CPU_ZERO(&behind.half);
    int wanted = CPU_COUNT(&behind.all) / 2;
    for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&behind.half) < wanted; core++)
        if (CPU_ISSET(core, &behind.all))
            CPU_SET(core, &behind.half);
    behind.known = true;
}

/* A core that was taken from the process meanwhile is not given: the kernel's choice is as good. */
static void cores_give(pid_t thread)
{
    if (CPU_COUNT(&behind.half) > 0)
        (void)sched_setaffinity(thread, sizeof behind.all,
                                behind.spread ? &behind.all : &behind.half);
}

/* From one thread's number to another's; false when it is not there. */
static bool behind_exchange(pid_t from, pid_t to)
{
    for (int i = 0; i < BEHIND_MAX; i++)
        if (behind.threads[i] == from) {
            behind.threads[i] = to;
            return true;
        }
    return false;
}

void thread_behind_join(void)
{
    pthread_mutex_lock(&behind.mutex);
    if (!behind.known)
        cores_learn();
    if (behind_exchange(0, gettid()))
        cores_give(gettid());
    pthread_mutex_unlock(&behind.mutex);
}

void thread_behind_leave(void)
{
    pthread_mutex_lock(&behind.mutex);
    (void)behind_exchange(gettid(), 0); /* not there: it found no place */
    pthread_mutex_unlock(&behind.mutex);
}

void thread_behind_spread(bool spread)
{
    pthread_mutex_lock(&behind.mutex);
    bool changed = behind.spread != spread;
    behind.spread = spread;
    for (int i = 0; i < BEHIND_MAX && changed; i++)
        if (behind.threads[i] != 0)
            cores_give(behind.threads[i]);
    pthread_mutex_unlock(&behind.mutex);
}

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *ctx), void *ctx)
{
    int failed = pthread_create(ret_thread, NULL, run, ctx);
    if (failed == 0) /* a name may be refused: it is a help, nothing else */
        (void)pthread_setname_np(*ret_thread, name);
    return failed;
}

/* --- work behind all others ------------------------------------------------------------------- */

struct job {
    void (*work)(void *ctx);
    void *ctx;
};

static void *job_main(void *ctx)
{
    const struct job *job = ctx;
    thread_background();
    thread_behind_join();
    job->work(job->ctx);
    thread_behind_leave();
    return NULL;
}

void thread_background_run(void (*work)(void *ctx), void *ctx)
{
    struct job job = {work, ctx};
    pthread_t thread;
    CHECK(thread_start(&thread, "background", job_main, &job) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}
