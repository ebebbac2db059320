/* heap.h - how the process keeps its memory.
 * Depends on: nothing. Called by: app, first of all. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

/* From here on the heap grows and shrinks in large steps, and no library gives it back to the
 * system behind our back: both take locks that every thread which allocates waits for. */
void heap_tune(void);
#endif
