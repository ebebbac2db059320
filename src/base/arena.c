/* arena.c - a chain of growing blocks; allocation is an addition. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

#define HUGE_BYTES ((size_t)2 << 20)
#define TABLE_BYTES (2 * HUGE_BYTES) /* it has mappings of its own then (heap.c) */
#define BLOCK_FIRST_BYTES ((size_t)16 << 10)

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(16) char bytes[];
};

void *mem_alloc(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);
    if (p == NULL)
        fatal("out of memory (%zu bytes wanted)", size);
    return p;
}

void *mem_zero(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);
    if (p == NULL)
        fatal("out of memory (%zu bytes wanted)", size);
    return p;
}

void *mem_table(size_t size)
{
    char *p = mem_zero(size);
    size_t before = -(uintptr_t)p & (HUGE_BYTES - 1);
    if (size >= TABLE_BYTES)
        (void)madvise(p + before, (size - before) & ~(HUGE_BYTES - 1), MADV_HUGEPAGE);
    return p; /* small pages do as well */
}

void *mem_grow(void *old, size_t size)
{
    void *p = realloc(old, size > 0 ? size : 1);
    if (p == NULL)
        fatal("out of memory (%zu bytes wanted)", size);
    return p;
}

void arena_init(struct arena *arena)
{
    *arena = (struct arena){0};
}

void arena_done(struct arena *arena)
{
    struct arena_block *block = arena->head;
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *keep = arena->head;
    if (keep == NULL)
        return;
    arena->head = keep->next;
    arena_done(arena);
    if (keep->size > ARENA_KEEP_BYTES) {
        free(keep);
        return;
    }
    keep->next = NULL;
    arena->head = keep;
    arena->total = keep->size;
}

static void arena_block_add(struct arena *arena, size_t need)
{
    size_t size = arena->head == NULL ? BLOCK_FIRST_BYTES : arena->head->size * 2;
    if (size > ARENA_KEEP_BYTES)
        size = ARENA_KEEP_BYTES;
    if (size < need)
        size = need;
    struct arena_block *block = mem_alloc(sizeof *block + size);
    block->next = arena->head;
    block->size = size;
    arena->head = block;
    arena->used = 0;
    arena->total += size;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    CHECK(size < SIZE_MAX / 2);
    size = (size + 15) & ~(size_t)15;
    if (arena->head == NULL || arena->head->size - arena->used < size)
        arena_block_add(arena, size);
    void *p = arena->head->bytes + arena->used;
    arena->used += size;
    return p;
}

void *arena_zero(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

struct str arena_copy(struct arena *arena, struct str text)
{
    return (struct str){arena_cstr(arena, text), text.n};
}

char *arena_cstr(struct arena *arena, struct str text)
{
    char *p = arena_alloc(arena, text.n + 1);
    if (text.n > 0)
        memcpy(p, text.p, text.n);
    p[text.n] = '\0';
    return p;
}
