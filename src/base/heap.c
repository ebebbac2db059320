/* heap.c - fewer of the moments in which one thread's memory stops all the others. */
#include "base/heap.h"

#include <malloc.h>
#include <stddef.h>

/* So much is asked of the system at a time, and so much free memory at a heap's end is kept:
 * growing and shrinking take the address space's lock. */
#define GROW_BYTES (1 << 20)
#define KEEP_BYTES (32 << 20)
/* Smaller blocks come from the heaps: a batch's buffers would otherwise be mapped and unmapped each
 * time. */
#define MAP_BYTES (4 << 20)

/* What DuckDB calls instead of libc's, whenever one of its threads was idle for half a second:
 * libc's goes through every free page of every heap and gives it back, a system call each, with
 * that heap locked. Reads that allocate waited for it. */
__attribute__((visibility("default"))) int malloc_trim(size_t pad)
{
    (void)pad;
    return 0;
}

void heap_tune(void)
{
    mallopt(M_TOP_PAD, GROW_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
    mallopt(M_MMAP_THRESHOLD, MAP_BYTES);
}
