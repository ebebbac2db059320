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

/* --- half of the cores ------------------------------------------------------------------------ */

static _Thread_local struct {
    bool known, kept;
    cpu_set_t all, half;
} cores;

/* More cores than a set holds: none of them is known, none is given. */
static void cores_learn(void)
{
    if (sched_getaffinity(0, sizeof cores.all, &cores.all) != 0)
        CPU_ZERO(&cores.all);
    int wanted = CPU_COUNT(&cores.all) / 2;
    for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&cores.half) < wanted; core++)
        if (CPU_ISSET(core, &cores.all))
            CPU_SET(core, &cores.half);
    cores.known = true;
}

void thread_keep_half(bool keep)
{
    if (!cores.known)
        cores_learn();
    /* A core that was taken from the process meanwhile is not given: the kernel's choice is as
     * good. */
    if (cores.kept != keep && CPU_COUNT(&cores.half) > 0)
        (void)sched_setaffinity(0, sizeof cores.all, keep ? &cores.half : &cores.all);
    cores.kept = keep;
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
    job->work(job->ctx);
    return NULL;
}

void thread_background_run(void (*work)(void *ctx), void *ctx)
{
    struct job job = {work, ctx};
    pthread_t thread;
    CHECK(thread_start(&thread, "background", job_main, &job) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}
