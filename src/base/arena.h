/* arena.h - memory by lifetime: allocate freely, give all of it back at once.
 *
 * One arena per request, batch or scratch loop, reset at the top of the loop. Never returns NULL:
 * when memory runs out the process aborts, and a restart is safe. Not for two threads at once. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct arena {
    struct arena_block *head;
    size_t used;  /* in head */
    size_t total; /* bytes of all blocks */
};

void arena_init(struct arena *arena);
void arena_done(struct arena *arena);
/* Forget all allocations; keeps one block of at most ARENA_KEEP_BYTES for the next round. */
void arena_reset(struct arena *arena);

/* `size` bytes, aligned to 16, not cleared. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zero(struct arena *arena, size_t size);
struct str arena_copy(struct arena *arena, struct str text);
/* A terminated copy, for library borders. */
char *arena_cstr(struct arena *arena, struct str text);

#define ARENA_KEEP_BYTES ((size_t)1 << 20)
#define ARENA_NEW(arena, type) ((type *)arena_zero((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_zero((arena), sizeof(type) * (count)))

/* malloc that aborts instead of returning NULL, for what outlives every arena. */
void *mem_alloc(size_t size);
void *mem_zero(size_t size);
/* Zeros for a table that is asked at random places. A large one lies on huge pages where the system
 * has them: each look is about twice as fast, and a new table takes few page faults. */
void *mem_table(size_t size);
void *mem_grow(void *old, size_t size);
#endif
