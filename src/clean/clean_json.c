/* clean_json.c - the JSON of an event into an arena.
 *
 * yyjson takes its memory from the arena, so an event costs no malloc and is forgotten in one step.
 */
#include "clean/clean_int.h"

static void *arena_malloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void *arena_realloc(void *arena, void *old, size_t old_size, size_t size)
{
    if (size <= old_size)
        return old;
    return memcpy(arena_alloc(arena, size), old, old_size);
}

static void arena_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

enum event_reason clean_json(struct str text, struct arena *arena, yyjson_val **ret_object)
{
    if (text.n == 0)
        return REASON_NONE;
    yyjson_alc alc = {arena_malloc, arena_realloc, arena_free, arena};
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)text.p, text.n, YYJSON_READ_NOFLAG, &alc, NULL);
    if (doc == NULL)
        return str_utf8(text) == text.n ? REASON_BAD_PROPERTIES : REASON_BAD_UTF8;
    if (!json_depth_allowed(doc))
        return REASON_TOO_DEEP;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root))
        return REASON_BAD_PROPERTIES;
    *ret_object = root;
    return REASON_NONE;
}
