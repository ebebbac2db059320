/* lock.c - a mutex whose long holder looks who waits. */
#include "base/lock.h"

#include <sched.h>

#include "base/check.h"
#include "base/clock.h"

#define ASIDE_US_MAX 2000
#define TURNS_PER_LOOK 16

void polite_lock_init(struct polite_lock *lock)
{
    *lock = (struct polite_lock){0};
    CHECK(pthread_mutex_init(&lock->mutex, NULL) == 0);
}

void polite_lock_done(struct polite_lock *lock)
{
    CHECK(__atomic_load_n(&lock->waiting, __ATOMIC_RELAXED) == 0);
    pthread_mutex_destroy(&lock->mutex);
}

bool polite_lock_try(struct polite_lock *lock)
{
    return pthread_mutex_trylock(&lock->mutex) == 0;
}

void polite_lock_take(struct polite_lock *lock)
{
    CHECK(lock != NULL);
    if (polite_lock_try(lock))
        return;
    __atomic_add_fetch(&lock->waiting, 1, __ATOMIC_RELAXED);
    CHECK(pthread_mutex_lock(&lock->mutex) == 0);
    __atomic_sub_fetch(&lock->waiting, 1, __ATOMIC_RELAXED);
}

void polite_lock_give(struct polite_lock *lock)
{
    CHECK(pthread_mutex_unlock(&lock->mutex) == 0);
}

static bool wanted(struct polite_lock *lock)
{
    return __atomic_load_n(&lock->waiting, __ATOMIC_RELAXED) > 0;
}

void polite_lock_take_late(struct polite_lock *lock)
{
    int64_t until_us = 0;
    for (int turns = 1; wanted(lock); turns++) {
        sched_yield();
        if (turns % TURNS_PER_LOOK != 0) /* a look at the clock for every turn would be dearer */
            continue;
        int64_t now_us = monotonic_us();
        if (until_us == 0)
            until_us = now_us + ASIDE_US_MAX;
        else if (now_us >= until_us)
            break;
    }
    /* Not counted: we are not whom others give way to. */
    CHECK(pthread_mutex_lock(&lock->mutex) == 0);
}

void polite_lock_pause(struct polite_lock *lock)
{
    if (!wanted(lock))
        return;
    polite_lock_give(lock);
    polite_lock_take_late(lock);
}
