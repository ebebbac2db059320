/* lock.h - a lock for one long job and many short askers.
 *
 * The pipeline holds the state's lock for slice after slice. An ordinary mutex would let it win
 * every time and readers would wait for the whole batch; a lock that is handed over in the order of
 * asking makes every hand-over wait for the scheduler, and on a busy machine those waits add up. So
 * whoever comes first gets it, and the long job steps aside at its pauses until nobody waits. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct polite_lock {
    pthread_mutex_t mutex;
    uint32_t waiting; /* who asks and does not have it; atomic */
};

void polite_lock_init(struct polite_lock *lock);
void polite_lock_done(struct polite_lock *lock);
void polite_lock_take(struct polite_lock *lock);
/* True when it was free, and is ours. */
bool polite_lock_try(struct polite_lock *lock);
void polite_lock_give(struct polite_lock *lock);
/* The next slice of a long job: all who ask go first, but not for ever: at most for 2 ms. A slice
 * that took the lock like an asker would have it back before the one it was given to is awake. */
void polite_lock_take_late(struct polite_lock *lock);
/* The holder of a long job steps aside in the same way if anybody waits, and has the lock again
 * when it returns. */
void polite_lock_pause(struct polite_lock *lock);
#endif
