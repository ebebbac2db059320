/* thread.h - who waits for whom when there is more to do than there are cores.
 * Depends on: nothing. Called by: pipeline, app. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

/* This thread, and those that it starts from here on, get the processor after those that answer
 * somebody. */
void thread_background(void);
#endif
