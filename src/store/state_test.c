/* state_test.c - the cache against a naive map: whatever is evicted, frozen, flushed or lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rng.h"
#include "store/state_test.h"

/* --- a folder, an object, a model ------------------------------------------------------------- */

char folder[256];

char *file_in(const char *name)
{
    static char paths[4][1024];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%.300s/%.300s", folder, name);
    return path;
}

int make_folder(void **unused)
{
    (void)unused;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hezou_state_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(folder) == NULL ? -1 : 0;
}

int remove_folder(void **unused)
{
    (void)unused;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        unlink(file_in(entry->d_name));
    closedir(dir);
    return rmdir(folder);
}

struct object *object_new(struct hash128 key, uint64_t number, uint32_t padding)
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

struct opened open_at(const char *path, size_t cache_bytes)
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

struct hash128 hash_of(uint64_t i)
{
    return (struct hash128){hash_mix(i + 1), hash_mix(i + 1000003)};
}

void note(struct opened *o)
{
    struct err err;
    if (state_note(o->state, &err) != ST_OK)
        fail_msg("%s", err.message);
}

void merge(struct opened *o)
{
    struct err err;
    if (state_merge(o->state, &err) != ST_OK)
        fail_msg("%s", err.message);
}

void flush(struct opened *o)
{
    note(o);
    state_seal(o->state);
    merge(o);
}

uint64_t value_u64(struct opened *o, const char *name)
{
    struct buf buf;
    buf_init(&buf, 64);
    uint64_t v = 0;
    if (state_value(o->state, name, &buf))
        memcpy(&v, buf.p, 8);
    buf_done(&buf);
    return v;
}

void set_u64(struct opened *o, const char *name, uint64_t v)
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

static void what_was_noted_is_there_after_a_crash_and_nothing_else(void **unused)
{
    (void)unused;
    struct rng rng;
    rng_init_seed(&rng, 11);
    struct model now = {0}, noted = {0};
    struct state_stats stats;
    uint64_t evictions = 0, loads = 0;
    struct opened o = open_at(file_in("state.db"), 4096);
    for (uint64_t step = 1; step <= 40000; step++) {
        uint64_t chance = rng_u64(&rng) % 1000;
        state_lock(o.state);
        change_one(&o, &now, (int)(rng_u64(&rng) % (2 * KEYS)), &rng);
        set_u64(&o, "position", step);
        if (chance % 2 == 0)
            state_breathe(o.state);
        state_unlock(o.state);
        if (chance < 8) {
            note(&o);
            noted = now;
            if (chance < 6)
                state_seal(o.state);
        }
        if (chance >= 990)
            merge(&o);
        if (chance == 500)
            check_all(&o, &now);
        if (chance == 501) { /* a crash: what was not noted is gone, nothing else is */
            state_lock(o.state);
            state_stats(o.state, &stats);
            state_unlock(o.state);
            evictions += stats.evictions;
            loads += stats.loads;
            state_close(o.state);
            o = open_at(file_in("state.db"), 4096);
            now = noted;
            check_all(&o, &now);
        }
    }
    assert_true(evictions > 1000 && loads > 1000);
    state_close(o.state);
}

/* Whoever stops folding after a flush must not stay above the bound: what the flush made clean
 * counts at once. */
static void a_flush_alone_evicts_down_to_the_bound(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 100000);
    struct state_stats stats;
    for (uint64_t i = 1; i <= 5000; i++) {
        state_lock(o.state);
        state_add(o.numbers, &object_new((struct hash128){i, 0}, i, 100)->entry);
        state_unlock(o.state);
    }
    flush(&o);
    state_stats(o.state, &stats);
    assert_int_equal(stats.dirty, 0);
    assert_true(stats.cache_bytes <= 110000);
    state_close(o.state);
}

/* --- one thread folds while another flushes --------------------------------------------------- */

/* A merge of what the mover notes next. */
static void seal_and_merge(struct mover *mover)
{
    __atomic_store_n(&mover->seal, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&mover->seal, __ATOMIC_ACQUIRE))
        sched_yield();
    merge(&mover->o);
}

void move_one(struct mover *mover, uint64_t from, uint64_t to)
{
    struct state_table *table = mover->o.numbers;
    struct object *giver = (struct object *)state_get(table, (struct hash128){from, 0});
    struct object *taker = (struct object *)state_get(table, (struct hash128){to, 0});
    state_change(table, &giver->entry);
    state_change(table, &taker->entry);
    giver->number--;
    taker->number++;
    struct object *counter = (struct object *)state_get(mover->o.hashes, hash_of(0));
    state_change(mover->o.hashes, &counter->entry);
    counter->number = ++mover->steps;
    set_u64(&mover->o, "position", mover->steps);
}

static void *move_until_stopped(void *arg)
{
    struct mover *mover = arg;
    struct rng rng;
    int notes = 0;
    rng_init_seed(&rng, 5);
    while (!__atomic_load_n(&mover->stop, __ATOMIC_ACQUIRE)) {
        state_lock(mover->o.state);
        for (int i = 0; i < 300; i++) {
            move_one(mover, rng_u64(&rng) % PLACES, rng_u64(&rng) % PLACES);
            state_breathe(mover->o.state);
        }
        state_unlock(mover->o.state);
        /* Some notes for each merge: more would come faster than merges can take them. */
        bool seal = __atomic_load_n(&mover->seal, __ATOMIC_ACQUIRE);
        if (seal || notes < 4)
            note(&mover->o);
        notes = seal ? 0 : notes + 1;
        if (seal) {
            state_seal(mover->o.state);
            __atomic_store_n(&mover->seal, false, __ATOMIC_RELEASE);
        }
    }
    return NULL;
}

bool add_up(void *ctx, struct state_entry *entry)
{
    struct sum *sum = ctx;
    sum->total += ((struct object *)entry)->number;
    sum->count++;
    return true;
}

struct sum sum_of(struct opened *o)
{
    struct sum sum = {0};
    struct err err;
    assert_int_equal(state_scan(o->numbers, add_up, &sum, &err), ST_OK);
    return sum;
}

void make_places(struct opened *o)
{
    state_lock(o->state);
    for (uint64_t i = 0; i < PLACES; i++)
        state_add(o->numbers, &object_new((struct hash128){i, 0}, 1000, 50)->entry);
    state_add(o->hashes, &object_new(hash_of(0), 0, 0)->entry);
    set_u64(o, "position", 0);
    state_unlock(o->state);
    flush(o);
}

void check_moment(struct opened *o)
{
    assert_int_equal(sum_of(o).total, TOTAL);
    state_lock(o->state);
    struct object *counter = (struct object *)state_get(o->hashes, hash_of(0));
    assert_int_equal(counter->number, value_u64(o, "position"));
    state_unlock(o->state);
}

static void flush_beside_changes_is_of_one_moment(void **unused)
{
    (void)unused;
    struct mover mover = {.o = open_at(file_in("state.db"), 16384)};
    struct err err;
    pthread_t thread;
    make_places(&mover.o);
    assert_int_equal(pthread_create(&thread, NULL, move_until_stopped, &mover), 0);
    for (int i = 0; i < 60; i++) {
        seal_and_merge(&mover);
        if (i % 20 != 0)
            continue;
        assert_int_equal(state_checkpoint(mover.o.state, false, &err), ST_OK);
        assert_int_equal(state_snapshot(mover.o.state, file_in("copy.db"), &err), ST_OK);
        struct opened copy = open_at(file_in("copy.db"), 0);
        check_moment(&copy);
        state_close(copy.state);
    }
    __atomic_store_n(&mover.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    check_moment(&mover.o);
    flush(&mover.o);
    state_close(mover.o.state); /* what was changed after that note is lost, all of it */
    mover.o = open_at(file_in("state.db"), 0);
    check_moment(&mover.o);
    assert_true(value_u64(&mover.o, "position") > 0);
    state_close(mover.o.state);
}

/* --- questions -------------------------------------------------------------------------------- */

struct asked {
    struct state_question question;
    struct opened *o;
    uint64_t key, number; /* read under the lock */
    pthread_t looked_by;
    int order;            /* of the looks */
    int *looks, *answers; /* atomic */
};

static void asked_look(void *ctx)
{
    struct asked *asked = ctx;
    struct hash128 key = {asked->key, 0};
    asked->number = ((struct object *)state_get(asked->o->numbers, key))->number;
    asked->looked_by = pthread_self();
    asked->order = __atomic_fetch_add(asked->looks, 1, __ATOMIC_SEQ_CST);
}

static void asked_then(void *ctx)
{
    struct asked *asked = ctx;
    assert_true(pthread_equal(asked->looked_by, pthread_self()));
    __atomic_add_fetch(asked->answers, 1, __ATOMIC_SEQ_CST);
}

static void *ask_three(void *ctx)
{
    struct asked *asked = ctx;
    for (int i = 0; i < 3; i++)
        state_ask(asked[i].o->state, &asked[i].question);
    return NULL;
}

static void who_holds_the_lock_answers_and_nobody_waits(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 0);
    struct asked asked[4];
    int looks = 0, answers = 0;
    pthread_t thread;
    make_places(&o);
    for (int i = 0; i < 4; i++) {
        asked[i] =
            (struct asked){.o = &o, .key = (uint64_t)i, .looks = &looks, .answers = &answers};
        asked[i].question = (struct state_question){asked_look, asked_then, &asked[i], NULL};
    }
    state_ask(o.state, &asked[3].question); /* free: at once */
    assert_int_equal(answers, 1);
    assert_int_equal(asked[3].number, 1000);
    state_lock(o.state);
    assert_int_equal(pthread_create(&thread, NULL, ask_three, asked), 0);
    pthread_join(thread, NULL); /* asked, not answered, not waiting */
    assert_int_equal(looks, 1);
    struct state_entry *changed = state_get(o.numbers, (struct hash128){1, 0});
    state_change(o.numbers, changed);
    ((struct object *)changed)->number = 7;
    state_breathe(o.state);
    assert_int_equal(answers, 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(asked[i].order, i + 1);
        assert_true(pthread_equal(asked[i].looked_by, pthread_self()));
    }
    assert_int_equal(asked[1].number, 7);
    assert_int_equal(pthread_create(&thread, NULL, ask_three, asked), 0);
    pthread_join(thread, NULL);
    assert_int_equal(answers, 4);
    state_unlock(o.state);
    assert_int_equal(answers, 7);
    state_close(o.state);
}

#define ASKERS 3
#define QUESTIONS 20000

static void *ask_many(void *ctx)
{
    struct asked *all = ctx;
    for (int i = 0; i < QUESTIONS; i++)
        state_ask(all[i].o->state, &all[i].question);
    return NULL;
}

/* Beside a thread that holds the lock nearly always, and flushes. */
static void every_question_is_answered_once(void **unused)
{
    (void)unused;
    struct mover mover = {.o = open_at(file_in("state.db"), 16384)};
    pthread_t thread, askers[ASKERS];
    struct asked *all[ASKERS];
    int looks = 0, answers = 0;
    make_places(&mover.o);
    assert_int_equal(pthread_create(&thread, NULL, move_until_stopped, &mover), 0);
    for (int a = 0; a < ASKERS; a++) {
        all[a] = calloc(QUESTIONS, sizeof **all);
        for (int i = 0; i < QUESTIONS; i++) {
            all[a][i] = (struct asked){
                .o = &mover.o, .key = (uint64_t)i % PLACES, .looks = &looks, .answers = &answers};
            all[a][i].question = (struct state_question){asked_look, asked_then, &all[a][i], NULL};
        }
        assert_int_equal(pthread_create(&askers[a], NULL, ask_many, all[a]), 0);
    }
    for (int i = 0; i < 5; i++)
        seal_and_merge(&mover);
    for (int a = 0; a < ASKERS; a++)
        pthread_join(askers[a], NULL);
    __atomic_store_n(&mover.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL); /* its last unlock answered what was left */
    assert_int_equal(answers, ASKERS * QUESTIONS);
    assert_int_equal(looks, ASKERS * QUESTIONS);
    flush(&mover.o);
    check_moment(&mover.o);
    state_close(mover.o.state);
    for (int a = 0; a < ASKERS; a++)
        free(all[a]);
}

/* --- the file --------------------------------------------------------------------------------- */

static void snapshot_is_the_last_flush_and_not_what_is_dirty(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 0);
    struct err err;
    make_places(&o);
    state_lock(o.state);
    state_add(o.numbers, &object_new((struct hash128){PLACES, 0}, 5, 0)->entry);
    state_unlock(o.state);
    assert_int_equal(state_snapshot(o.state, file_in("copy.db"), &err), ST_OK);
    assert_int_equal(state_snapshot(o.state, file_in("copy.db"), &err),
                     ST_OK); /* again: replaced */
    assert_int_equal(access(file_in("copy.db.new"), F_OK), -1);
    struct opened copy = open_at(file_in("copy.db"), 0);
    assert_int_equal(sum_of(&copy).count, PLACES);
    state_close(copy.state);
    assert_int_equal(state_snapshot(o.state, "/no/such/folder/copy.db", &err), ST_IO);
    state_close(o.state);
}

struct order {
    struct hash128 last;
    bool any;
    int count, stop_at;
};

static bool ascending(void *ctx, struct state_entry *entry)
{
    struct order *order = ctx;
    if (order->any)
        assert_true(hash128_compare(order->last, entry->key) < 0);
    order->any = true;
    order->last = entry->key;
    return ++order->count != order->stop_at;
}

static void scan_goes_in_key_order_and_shows_memory(void **unused)
{
    (void)unused;
    struct opened o = open_at(file_in("state.db"), 0);
    struct err err;
    state_lock(o.state);
    for (uint64_t i = 0; i < 1000; i++)
        state_add(o.hashes, &object_new(hash_of(i), i, 3)->entry);
    state_unlock(o.state);
    flush(&o);
    state_close(o.state);
    o = open_at(file_in("state.db"), 0);
    state_lock(o.state);
    state_remove(o.hashes, state_get(o.hashes, hash_of(17)));
    state_unlock(o.state);
    struct order all = {0}, some = {.stop_at = 100};
    assert_int_equal(state_scan(o.hashes, ascending, &all, &err), ST_OK);
    assert_int_equal(all.count, 999);
    assert_int_equal(state_scan(o.hashes, ascending, &some, &err), ST_OK);
    assert_int_equal(some.count, 100);
    state_close(o.state);
}

static void wait_for_filters(struct opened *o)
{
    struct state_stats stats = {0};
    while (!stats.filters_ready) {
        state_lock(o->state);
        state_stats(o->state, &stats);
        state_unlock(o->state);
        sched_yield();
    }
}

static void filter_answers_for_unseen_keys_and_never_hides_a_seen_one(void **unused)
{
    (void)unused;
    const uint64_t count = 200000; /* more than a first filter is made for: it is made again */
    struct opened o = open_at(file_in("state.db"), 1 << 20);
    struct state_stats before, after;
    for (uint64_t i = 0; i < count; i++) {
        state_lock(o.state);
        assert_null(state_get(o.hashes, hash_of(i)));
        state_add(o.hashes, &object_new(hash_of(i), i, 0)->entry);
        state_unlock(o.state);
        if (i % 50000 == 49999)
            flush(&o);
    }
    for (int round = 0; round < 2; round++) {
        state_lock(o.state); /* in the second round the builder may be at work: no key is missing */
        for (uint64_t i = 0; i < count; i += 7) {
            assert_non_null(state_get(o.hashes, hash_of(i)));
            state_breathe(o.state);
        }
        state_unlock(o.state);
        wait_for_filters(&o);
        state_stats(o.state, &before);
        state_lock(o.state);
        for (uint64_t i = count; i < count + 10000; i++)
            assert_null(state_get(o.hashes, hash_of(i)));
        state_unlock(o.state);
        state_stats(o.state, &after);
        assert_true(after.filtered - before.filtered > 9500);
        state_close(o.state);
        o = open_at(file_in("state.db"), 1 << 20);
    }
    state_close(o.state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_noted_is_there_after_a_crash_and_nothing_else),
        TEST(a_flush_alone_evicts_down_to_the_bound),
        TEST(flush_beside_changes_is_of_one_moment),
        TEST(who_holds_the_lock_answers_and_nobody_waits),
        TEST(every_question_is_answered_once),
        TEST(snapshot_is_the_last_flush_and_not_what_is_dirty),
        TEST(scan_goes_in_key_order_and_shows_memory),
        TEST(filter_answers_for_unseen_keys_and_never_hides_a_seen_one),
    };
    int failed = cmocka_run_group_tests_name("state", tests, NULL, NULL);
    return failed + delta_tests();
}
