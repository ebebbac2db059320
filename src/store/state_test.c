/* state_test.c - the cache against a naive map: whatever is evicted, frozen, flushed or lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "store/state.h"

/* --- a folder, an object, a model ------------------------------------------------------------- */

static char folder[256];

static char *file_in(const char *name)
{
    static char paths[4][320];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int make_folder(void **unused)
{
    (void)unused;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hezou_state_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **unused)
{
    (void)unused;
    const char *names[] = {"state.db",    "state.db-wal", "state.db-shm", "copy.db",
                           "copy.db-wal", "copy.db-shm",  "copy.db.new"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(file_in(names[i]));
    return rmdir(folder);
}

struct object {
    struct state_entry entry;
    uint64_t number;
    uint32_t padding; /* bytes after the number */
};

static struct object *object_new(struct hash128 key, uint64_t number, uint32_t padding)
{
    struct object *object = calloc(1, sizeof *object);
    object->entry.key = key;
    object->entry.bytes = (uint32_t)sizeof *object + padding;
    object->number = number;
    object->padding = padding;
    return object;
}

static void object_encode(const struct state_entry *entry, struct buf *buf)
{
    const struct object *object = (const struct object *)entry;
    buf_u64(buf, object->number);
    char *to = buf_room(buf, object->padding);
    memset(to, 'x', object->padding);
    buf->n += object->padding;
}

static struct state_entry *object_decode(struct hash128 key, struct str bytes)
{
    struct cursor cursor = cursor_of(bytes);
    uint64_t number = cursor_u64(&cursor);
    return cursor.bad ? NULL : &object_new(key, number, (uint32_t)(bytes.n - 8))->entry;
}

static void object_free(struct state_entry *entry)
{
    free(entry);
}

static const struct state_table_def by_hash = {
    .name = "identifier", .encode = object_encode, .decode = object_decode, .free = object_free};
static const struct state_table_def by_number = {.name = "summary",
                                                 .integer_key = true,
                                                 .encode = object_encode,
                                                 .decode = object_decode,
                                                 .free = object_free};

struct opened {
    struct state *state;
    struct state_table *hashes, *numbers;
};

static struct opened open_at(const char *path, size_t cache_bytes)
{
    struct opened o = {0};
    struct err err;
    struct state_options options = {.path = path, .cache_bytes = cache_bytes};
    if (state_open(&options, &o.state, &err) != ST_OK)
        fail_msg("%s", err.message);
    o.hashes = state_table(o.state, &by_hash);
    o.numbers = state_table(o.state, &by_number);
    return o;
}

static struct hash128 hash_of(uint64_t i)
{
    return (struct hash128){hash_mix(i + 1), hash_mix(i + 1000003)};
}

static void flush(struct opened *o)
{
    struct err err;
    if (!state_is_frozen(o->state)) {
        state_lock(o->state);
        state_freeze(o->state);
        state_unlock(o->state);
    }
    if (state_flush(o->state, &err) != ST_OK)
        fail_msg("%s", err.message);
}


static void set_u64(struct opened *o, const char *name, uint64_t v)
{
    state_set_value(o->state, name, (struct str){(const char *)&v, sizeof v});
}

/* --- random operations against a naive map ---------------------------------------------------- */

#define KEYS 300 /* of each table */

struct model {
    uint64_t number[2 * KEYS]; /* 0 = absent */
};

static struct state_table *table_of(struct opened *o, int i)
{
    return i < KEYS ? o->hashes : o->numbers;
}

static struct hash128 key_of(int i)
{
    return i < KEYS ? hash_of((uint64_t)i) : (struct hash128){(uint64_t)(i - KEYS) - 7, 0};
}

static void check_one(struct opened *o, const struct model *model, int i)
{
    struct object *object = (struct object *)state_get(table_of(o, i), key_of(i));
    if (model->number[i] == 0) {
        assert_null(object);
    } else {
        assert_non_null(object);
        assert_int_equal(object->number, model->number[i]);
    }
}

static void check_all(struct opened *o, const struct model *model)
{
    state_lock(o->state);
    for (int i = 0; i < 2 * KEYS; i++) {
        check_one(o, model, i);
        if (i % 16 == 0)
            state_breathe(o->state);
    }
    state_unlock(o->state);
}

static void change_one(struct opened *o, struct model *model, int i, struct rng *rng)
{
    check_one(o, model, i);
    struct state_table *table = table_of(o, i);
    uint64_t chance = rng_u64(rng), number = (rng_u64(rng) >> 1) + 1;
    if (model->number[i] == 0) {
        state_add(table, &object_new(key_of(i), number, (uint32_t)(chance % 90))->entry);
        model->number[i] = number;
        return;
    }
    struct object *object = (struct object *)state_get(table, key_of(i));
    if (chance % 4 == 0) {
        state_remove(table, &object->entry);
        assert_null(state_get(table, key_of(i)));
        model->number[i] = 0;
        return;
    }
    state_change(table, &object->entry);
    object->number = number;
    object->entry.bytes += (uint32_t)(chance % 8);
    object->padding += (uint32_t)(chance % 8);
    model->number[i] = number;
}

static void flush_position_is_all_or_nothing(void **unused)
{
    (void)unused;
    struct rng rng;
    rng_init_seed(&rng, 11);
    struct model now = {0}, frozen = {0}, flushed = {0};
    struct opened o = open_at(file_in("state.db"), 4096);
    for (uint64_t step = 1; step <= 40000; step++) {
        uint64_t chance = rng_u64(&rng) % 1000;
        state_lock(o.state);
        change_one(&o, &now, (int)(rng_u64(&rng) % (2 * KEYS)), &rng);
        set_u64(&o, "position", step);
        if (chance % 2 == 0)
            state_breathe(o.state);
        if (chance < 8 && !state_is_frozen(o.state)) {
            state_freeze(o.state);
            frozen = now;
        }
        state_unlock(o.state);
        if (chance >= 990 && state_is_frozen(o.state)) {
            flush(&o);
            flushed = frozen;
        }
        if (chance == 500)
            check_all(&o, &now);
        if (chance == 501) { /* a crash: what was not flushed is gone, nothing else is */
            state_close(o.state);
            o = open_at(file_in("state.db"), 4096);
            now = flushed;
            check_all(&o, &now);
        }
    }
    struct state_stats stats;
    state_stats(o.state, &stats);
    assert_true(stats.evictions > 0 && stats.loads > 0);
    state_close(o.state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(flush_position_is_all_or_nothing, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
