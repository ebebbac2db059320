/* thread.h - who waits for whom when there is more to do than there are cores.
 * Depends on: nothing. Called by: store, pipeline, app. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

/* This thread, and those that it starts from here on, get the processor after those that answer
 * somebody. */
void thread_background(void);

/* Does `work` on a thread of its own behind all others, and returns when it is done. For long work
 * that holds no lock of ours: a thread that is put back while it holds one puts back all who wait
 * for it, and they may be the ones that answer somebody. (A thread cannot take its place in front
 * again without privileges, hence one of its own.) */
void thread_background_run(void (*work)(void *ctx), void *ctx);
#endif
