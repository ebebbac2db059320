/* thread.h - threads with names, and who waits for whom when there is more to do than there are
 * cores. Depends on: nothing. Called by: all that start threads. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* pthread_create, and the name (at most 15 bytes) is what `top -H` and a debugger show. */
int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *ctx), void *ctx);

/* This thread, and those that it starts from here on, get the processor after those that answer
 * somebody. */
void thread_background(void);

/* This thread answers somebody, a fraction of a millisecond at a time: when it wakes, it gets the
 * processor from a thread that computes, without waiting for the end of that one's time (2.8 ms and
 * more). 40,000 single events a second on two cores: p99 of an answer 15 to 18 ms without, 9 to 11
 * with. */
void thread_prompt(void);

/* Does `work` on a thread of its own behind all others, and returns when it is done. For long work
 * that holds no lock of ours: a thread that is put back while it holds one puts back all who wait
 * for it, and they may be the ones that answer somebody. (A thread cannot take its place in front
 * again without privileges, hence one of its own.) */
void thread_background_run(void (*work)(void *ctx), void *ctx);

/* This thread computes for long: let it keep to one half of the cores while that is enough, or give
 * it all again. Those that answer somebody then find a core free, and its memory is not fetched
 * anew because it was moved. For ONE thread of a process: a second one in the same half would be in
 * its way, with a core idle beside them. Without a second core nothing changes. */
void thread_keep_half(bool keep);
#endif
