/* clean_json.c - the JSON of an event into the batch's arena.
 *
 * yyjson takes its memory from the arena, so a batch of events costs no malloc and is forgotten in
 * one step. It reads without recursion; our own walks are what must not go deep, and a document of
 * few values cannot be, so the brackets are counted only when there are many. */
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

/* Brackets inside texts do not count. */
static bool depth_allowed(struct str text)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
            return false;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
    }
    return true;
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
    if (yyjson_doc_get_val_count(doc) > JSON_DEPTH_MAX && !depth_allowed(text))
        return REASON_TOO_DEEP;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root))
        return REASON_BAD_PROPERTIES;
    *ret_object = root;
    return REASON_NONE;
}
