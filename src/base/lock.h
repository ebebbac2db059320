/* lock.h - a lock that is handed over in the order of asking.
 *
 * The pipeline takes the state's lock slice after slice; an ordinary mutex would let it win every
 * time and readers would wait for the whole batch. Here a reader waits for one slice at most. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct fair_lock {
    pthread_mutex_t mutex;
    pthread_cond_t turn;
    uint64_t next, serving;
};

void fair_lock_init(struct fair_lock *lock);
void fair_lock_done(struct fair_lock *lock);
void fair_lock_take(struct fair_lock *lock);
void fair_lock_give(struct fair_lock *lock);
/* True when somebody waits: the holder of a long job gives way. */
bool fair_lock_wanted(struct fair_lock *lock);
#endif
