/* lock.c - a mutex whose long holder looks who waits. */
#include "base/lock.h"

#include <sched.h>

#include "base/check.h"

#define PAUSE_TURNS_MAX 200

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

void polite_lock_take(struct polite_lock *lock)
{
    CHECK(lock != NULL);
    if (pthread_mutex_trylock(&lock->mutex) == 0)
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

void polite_lock_pause(struct polite_lock *lock)
{
    if (!wanted(lock))
        return;
    polite_lock_give(lock);
    for (int turns = 0; turns < PAUSE_TURNS_MAX && wanted(lock); turns++)
        sched_yield();
    CHECK(pthread_mutex_lock(&lock->mutex) ==
          0); /* not counted: we are not whom others give way to */
}
