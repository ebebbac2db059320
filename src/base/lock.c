/* lock.c - a ticket lock that sleeps. */
#include "base/lock.h"

#include "base/check.h"

void fair_lock_init(struct fair_lock *lock)
{
    *lock = (struct fair_lock){0};
    CHECK(pthread_mutex_init(&lock->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&lock->turn, NULL) == 0);
}

void fair_lock_done(struct fair_lock *lock)
{
    pthread_cond_destroy(&lock->turn);
    pthread_mutex_destroy(&lock->mutex);
}

void fair_lock_take(struct fair_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    uint64_t ticket = lock->next++;
    while (ticket != lock->serving)
        pthread_cond_wait(&lock->turn, &lock->mutex);
    pthread_mutex_unlock(&lock->mutex);
}

void fair_lock_give(struct fair_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    CHECK(lock->serving < lock->next);
    lock->serving++;
    if (lock->serving != lock->next)
        pthread_cond_broadcast(&lock->turn);
    pthread_mutex_unlock(&lock->mutex);
}

bool fair_lock_wanted(struct fair_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    bool wanted = lock->next - lock->serving > 1;
    pthread_mutex_unlock(&lock->mutex);
    return wanted;
}
