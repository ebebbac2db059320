/* base_test.c - the rules that every module leans on without asking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/code_set.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/hook.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/str.h"
#include "base/thread.h"

/* --- status ----------------------------------------------------------------------------------- */

static void an_error_carries_its_story(void **state)
{
    (void)state;
    struct err err = {.hint = "old"};
    assert_int_equal(err_set(&err, ST_BUSY, "could not %s: %d", "wait", 7), ST_BUSY);
    assert_string_equal(err.message, "could not wait: 7");
    assert_string_equal(err.hint, "");
    assert_int_equal(err_hint(&err, ST_BUSY, "try in %d s", 3), ST_BUSY);
    assert_string_equal(err.hint, "try in 3 s");
    assert_int_equal(err.status, ST_BUSY);
    assert_int_equal(err_set(NULL, ST_IO, "nobody listens"), ST_IO);
    assert_int_equal(err_hint(NULL, ST_IO, "nobody listens"), ST_IO);
    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    err_set(&err, ST_IO, "%s", longer);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void each_status_has_a_code_and_a_name(void **state)
{
    (void)state;
    assert_int_equal(status_http(ST_OK), 200);
    assert_int_equal(status_http(ST_BUSY), 503);
    assert_string_equal(status_name(ST_NOT_FOUND), "ST_NOT_FOUND");
    for (int status = 0; status < ST_COUNT; status++) {
        int code = status_http((enum status)status);
        assert_true(code >= 200 && code < 600);
        if (status_may_retry((enum status)status))
            assert_true(code >= 500);
    }
}

/* --- str -------------------------------------------------------------------------------------- */

static void texts_compare_by_bytes_then_length(void **state)
{
    (void)state;
    assert_true(str_compare(STR("a"), STR("b")) < 0);
    assert_true(str_compare(STR("ab"), STR("a")) > 0);
    assert_true(str_compare(STR("\x7f"), STR("\xe4")) < 0);
    assert_int_equal(str_compare(STR(""), (struct str){NULL, 0}), 0);
    assert_true(str_eq(STR(""), str_of(NULL)));
    assert_true(str_is(STR("abc"), "abc") && !str_is(STR("abc"), "ab"));
    assert_true(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR("")));
}

static void words_ignore_ascii_case_only(void **state)
{
    (void)state;
    assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_eq_nocase(STR("@"), STR("`")));
    assert_false(str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4")));
    assert_false(str_eq_nocase(STR("a"), STR("ab")));
}

static void trim_takes_blanks_at_both_ends(void **state)
{
    (void)state;
    assert_true(str_eq(str_trim(STR(" \t\r\n\v\fa b ")), STR("a b")));
    assert_true(str_eq(str_trim(STR("  ")), STR("")));
    assert_true(str_eq(str_trim(STR("")), STR("")));
    assert_true(str_eq(str_trim(STR("\x1f"
                                    "a")),
                       STR("\x1f"
                           "a")));
}

/* --- arena ------------------------------------------------------------------------------------ */

static void arena_memory_is_aligned_distinct_and_reusable(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    arena_reset(&arena); /* an empty one is fine */
    for (int round = 0; round < 3; round++) {
        unsigned char *all[200];
        for (size_t i = 0; i < 200; i++) {
            all[i] = arena_zero(&arena, i * 37);
            assert_int_equal((uintptr_t)all[i] % 16, 0);
            for (size_t k = 0; k < i * 37; k++)
                assert_int_equal(all[i][k], 0);
            memset(all[i], (int)i, i * 37);
        }
        for (size_t i = 0; i < 200; i++)
            for (size_t k = 0; k < i * 37; k++)
                assert_int_equal(all[i][k], i & 255);
        arena_reset(&arena);
        assert_true(arena.total <= ARENA_KEEP_BYTES);
    }
    assert_non_null(arena_alloc(&arena, 3 * ARENA_KEEP_BYTES));
    arena_reset(&arena); /* a block above the limit is given back */
    assert_true(arena.total <= ARENA_KEEP_BYTES);
    arena_done(&arena);
    assert_int_equal(arena.total, 0);
}

static void arena_copies_are_terminated(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    assert_string_equal(arena_cstr(&arena, (struct str){"abcdef", 3}), "abc");
    assert_string_equal(arena_cstr(&arena, (struct str){NULL, 0}), "");
    struct str copy = arena_copy(&arena, STR("a\0b"));
    assert_true(str_eq(copy, STR("a\0b")));
    assert_int_equal(copy.p[3], 0);
    uint64_t *array = ARENA_ARRAY(&arena, uint64_t, 5);
    assert_int_equal(array[4], 0);
    arena_done(&arena);
}

/* --- buf and cursor --------------------------------------------------------------------------- */

static void a_buf_grows_to_its_maximum_and_says_so(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    for (int i = 0; i < 100; i++)
        buf_text(&buf, "0123456789");
    assert_int_equal(buf.n, 1000);
    assert_false(buf.overflow);
    assert_int_equal(strlen(buf.p), 1000); /* terminated */
    buf_char(&buf, 'x');
    assert_true(buf.overflow);
    assert_int_equal(buf.n, 1000);
    assert_null(buf_room(&buf, 0)); /* once over, nothing more */
    buf_reset(&buf);
    assert_false(buf.overflow);
    assert_string_equal(buf.p, "");
    assert_null(buf_room(&buf, SIZE_MAX));
    buf_done(&buf);
    buf_put(&buf, NULL, 0);
    buf_str(&buf, STR("still usable"));
    assert_int_equal(buf.n, 12);
    buf_done(&buf);
}

static void formatted_text_is_whole_or_absent(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 8);
    buf_fmt(&buf, "%s-%d", "abc", 42);
    assert_string_equal(buf.p, "abc-42");
    buf_fmt(&buf, "%d", 1234);
    assert_true(buf.overflow);
    assert_string_equal(buf.p, "abc-42");
    buf_done(&buf);
}

static void integers_are_little_endian(void **state)
{
    (void)state;
    static const unsigned char expected[] = {0x02, 0x01, 0x06, 0x05, 0x04, 0x03, 0x0e,
                                             0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x07,
                                             0x7f, 0x80, 0x01, 0x02, 'h',  'i'};
    struct buf buf;
    buf_init(&buf, 100);
    buf_u16(&buf, 0x0102);
    buf_u32(&buf, 0x03040506);
    buf_u64(&buf, UINT64_C(0x0708090a0b0c0d0e));
    buf_varint(&buf, 127);
    buf_varint(&buf, 128);
    buf_blob(&buf, STR("hi"));
    assert_int_equal(buf.n, sizeof expected);
    assert_memory_equal(buf.p, expected, sizeof expected);
    struct cursor cursor = cursor_of(buf_view(&buf));
    assert_int_equal(cursor_u16(&cursor), 0x0102);
    assert_int_equal(cursor_u16(&cursor), 0x0506); /* the lower half of four bytes */
    assert_int_equal(cursor_u16(&cursor), 0x0304);
    assert_int_equal(cursor_u64(&cursor), UINT64_C(0x0708090a0b0c0d0e));
    assert_int_equal(cursor_varint(&cursor), 127);
    assert_int_equal(cursor_varint(&cursor), 128);
    assert_true(str_eq(cursor_blob(&cursor), STR("hi")));
    assert_true(cursor_at_end(&cursor) && !cursor.bad);
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_true(cursor.bad);
    buf_done(&buf);
}

static void a_cursor_never_leaves_its_bytes(void **state)
{
    (void)state;
    struct cursor cursor = cursor_of(STR("\x05"
                                         "abc")); /* a blob of five with three there */
    assert_int_equal(cursor_blob(&cursor).n, 0);
    assert_true(cursor.bad);
    assert_int_equal(cursor_u16(&cursor), 0); /* bad stays bad */
    cursor = cursor_of(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_true(cursor_varint(&cursor) == UINT64_MAX && !cursor.bad);
    cursor = cursor_of(STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"));
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_true(cursor.bad);
    cursor = cursor_of(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z"));
    assert_int_equal(cursor_blob(&cursor).n, 0); /* a length that would wrap */
    assert_true(cursor.bad);
}

/* --- hash ------------------------------------------------------------------------------------- */

static void crc32c_gives_the_published_values(void **state)
{
    (void)state;
    unsigned char bytes[32] = {0};
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(crc32c(0, bytes, 32), 0x8A9136AA); /* RFC 3720 B.4 */
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46DD794E);
    assert_int_equal(crc32c(0, "", 0), 0);
    for (size_t cut = 0; cut <= 32; cut++)
        assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, 32 - cut), 0x46DD794E);
}

static void keyed_hashes_are_siphash_and_depend_on_the_key(void **state)
{
    (void)state;
    /* The reference implementation's first vectors of SipHash-2-4-128: key 00..0f, input 00, 00 01
     * … */
    static const unsigned char none[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                           0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    static const unsigned char one[16] = {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44,
                                          0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45};
    struct hash_key key, other = {{1}};
    for (unsigned char i = 0; i < 16; i++)
        key.bytes[i] = i;
    struct hash128 hash = hash_keyed(&key, STR(""));
    assert_memory_equal(&hash, none, 16);
    hash = hash_keyed(&key, STR("\0"));
    assert_memory_equal(&hash, one, 16);
    assert_false(hash128_eq(hash, hash_keyed(&other, STR("\0"))));
    assert_true(hash128_eq(hash_public(STR("a")), hash_public(STR("a"))));
    assert_int_not_equal(hash128_compare(hash_public(STR("a")), hash_public(STR("b"))), 0);
    assert_int_equal(hash128_compare(hash, hash), 0);
    assert_true(hash128_compare((struct hash128){1, 9}, (struct hash128){2, 0}) < 0);
    assert_true(hash128_compare((struct hash128){1, 9}, (struct hash128){1, 0}) > 0);
}

/* --- map -------------------------------------------------------------------------------------- */

#define KEYS 400u

static void a_map_agrees_with_an_array_over_random_steps(void **state)
{
    (void)state;
    struct rng rng;
    struct map map;
    uint64_t naive[KEYS] = {0}; /* 0 = absent */
    size_t count = 0;
    rng_init_seed(&rng, 7);
    map_init(&map);
    assert_null(map_find(&map, map_key_u64(1)));
    assert_false(map_remove(&map, map_key_u64(1)));
    assert_null(map_next(&map, NULL));
    for (uint32_t step = 1; step <= 60000; step++) {
        uint64_t chance = rng_u64(&rng);
        size_t i = chance % KEYS;
        /* Keys that differ in few low bits collide and wrap around: the hard case for removal. */
        struct hash128 key = {i % 16 == 0 ? UINT64_MAX : i % 16, i + 1};
        uint64_t *value = map_find(&map, key);
        assert_int_equal(value == NULL ? 0 : *value, naive[i]);
        bool fresh = false;
        if ((chance >> 32) % 100 < 55) {
            *map_put(&map, key, &fresh) = step;
            assert_int_equal(fresh, naive[i] == 0);
            count += naive[i] == 0;
            naive[i] = step;
        } else {
            assert_int_equal(map_remove(&map, key), naive[i] != 0);
            count -= naive[i] != 0;
            naive[i] = 0;
        }
        assert_int_equal(map.count, count);
    }
    size_t seen = 0;
    for (struct map_slot *slot = NULL; (slot = map_next(&map, slot)) != NULL; seen++)
        assert_int_equal(slot->value, naive[slot->key.b - 1]);
    assert_int_equal(seen, count);
    map_done(&map);
}

/* --- codes ------------------------------------------------------------------------------------ */

#define CODES 1000

static void marks_check(const uint64_t *words, uint32_t count, const uint32_t *at, size_t found)
{
    for (uint32_t i = 0, next = 0; i < (count + 63) / 64 * 64; i++) {
        bool member = next < found && at[next] == i;
        next += member;
        assert_int_equal(words[i / 64] >> i % 64 & 1, member);
    }
}

static void members_are_found_at_the_same_places_any_way(void **state)
{
    (void)state;
    static uint8_t narrow[CODES + 64];
    static uint16_t wide[CODES + 64];
    static uint32_t fast[CODES + 1], plain[CODES + 1];
    static uint64_t words[CODES / 64 + 1];
    static struct code_set set;
    struct rng rng;
    rng_init_seed(&rng, 1);
    for (int round = 0; round < 2000; round++) {
        uint64_t x = rng_u64(&rng);
        uint32_t count = (uint32_t)(x >> 8) % (CODES + 1), span = (x & 1) != 0 ? 256 : 65536;
        uint32_t members = (uint32_t)(x >> 32) % ((x & 2) != 0 ? 12 : 300);
        code_set_init(&set);
        for (uint32_t i = 0; i < members; i++)
            code_set_add(&set, (uint16_t)(rng_u64(&rng) % span));
        for (uint32_t i = 0; i < count; i++) {
            narrow[i] = (uint8_t)rng_u64(&rng);
            wide[i] = (uint16_t)(rng_u64(&rng) % span);
        }
        size_t n = code_set_find_u8_plain(&set, narrow, 0, count, plain);
        assert_int_equal(code_set_find_u8(&set, narrow, count, fast), n);
        assert_memory_equal(fast, plain, n * sizeof fast[0]);
        assert_int_equal(code_set_find_u8_beyond(&set, narrow, count, fast), n);
        assert_memory_equal(fast, plain, n * sizeof fast[0]);
        code_set_mark_u8(&set, narrow, count, words);
        marks_check(words, count, plain, n);
        n = code_set_find_u16_plain(&set, wide, 0, count, plain);
        assert_int_equal(code_set_find_u16(&set, wide, count, fast), n);
        assert_memory_equal(fast, plain, n * sizeof fast[0]);
        code_set_mark_u16(&set, wide, count, words);
        marks_check(words, count, plain, n);
    }
}

/* --- clock and rng ---------------------------------------------------------------------------- */

static void a_virtual_clock_only_moves_forward(void **state)
{
    (void)state;
    struct clock clock;
    clock_init_virtual(&clock, 100);
    assert_int_equal(clock_now_us(&clock), 100);
    clock_set_us(&clock, 250);
    clock_set_us(&clock, 90);
    assert_int_equal(clock_now_us(&clock), 250);
    clock_init_system(&clock);
    assert_true(clock_now_us(&clock) > INT64_C(1600000000) * US_PER_S);
    int64_t before_us = monotonic_us();
    assert_true(monotonic_us() >= before_us);
}

static void a_seed_repeats_chance(void **state)
{
    (void)state;
    struct rng a, b;
    char x[37], y[37];
    unsigned char bytes[13] = {0}, none[13] = {0};
    rng_init_seed(&a, 42);
    rng_init_seed(&b, 42);
    for (int i = 0; i < 100; i++)
        assert_true(rng_u64(&a) == rng_u64(&b));
    rng_uuid(&a, x);
    rng_uuid(&b, y);
    assert_string_equal(x, y);
    assert_int_equal(strlen(x), 36);
    assert_true(x[14] == '4' && strchr("89ab", x[19]) != NULL && x[8] == '-' && x[23] == '-');
    rng_init_system(&a);
    rng_bytes(&a, bytes, sizeof bytes);
    assert_memory_not_equal(bytes, none, sizeof bytes);
    assert_true(rng_u64(&a) != rng_u64(&a));
}

/* --- disk ------------------------------------------------------------------------------------- */

struct place {
    char folder[200];
    char path[256];
    char other[256];
};

static int place_setup(void **state)
{
    struct place *place = mem_zero(sizeof *place);
    const char *tmp = getenv("TMPDIR");
    snprintf(place->folder, sizeof place->folder, "%s/base_test.XXXXXX", tmp ? tmp : "/tmp");
    if (mkdtemp(place->folder) == NULL)
        return -1;
    snprintf(place->path, sizeof place->path, "%s/file", place->folder);
    snprintf(place->other, sizeof place->other, "%s/file.new", place->folder);
    *state = place;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *place = *state;
    unlink(place->path);
    unlink(place->other);
    int failed = rmdir(place->folder);
    free(place);
    return failed;
}

static void a_small_file_is_written_whole_and_read_back(void **state)
{
    struct place *place = *state;
    struct disk disk;
    struct err err = {0};
    char *bytes = NULL;
    size_t n = 0;
    disk_init(&disk);
    assert_int_equal(disk_read_file(&disk, place->path, 10, &bytes, &n, &err), ST_NOT_FOUND);
    assert_int_equal(disk_write_file(&disk, place->path, STR("first"), &err), ST_OK);
    assert_int_equal(disk_write_file(&disk, place->path, STR("se\0cond"), &err), ST_OK);
    assert_int_equal(access(place->other, F_OK), -1);
    assert_int_equal(disk_read_file(&disk, place->path, 6, &bytes, &n, &err), ST_TOO_LARGE);
    assert_null(bytes);
    assert_int_equal(disk_read_file(&disk, place->path, 7, &bytes, &n, &err), ST_OK);
    assert_true(str_eq((struct str){bytes, n}, STR("se\0cond")));
    free(bytes);
    assert_int_equal(disk_remove(&disk, place->path, &err), ST_OK);
    assert_int_equal(disk_remove(&disk, place->path, &err), ST_OK); /* gone is gone */
}

static void replacing_a_file_fails_without_harm_at_each_call(void **state)
{
    struct place *place = *state;
    struct disk disk;
    struct err err = {0};
    disk_init(&disk);
    assert_int_equal(disk_write_file(&disk, place->path, STR("old"), &err), ST_OK);
    uint64_t calls = disk.calls;
    for (uint64_t i = 2; i < 2 * (calls + 1); i++) {
        uint64_t at = i / 2; /* each call once for want of room: not done; the last: nobody knows */
        char *bytes = NULL;
        size_t n = 0;
        disk_init(&disk);
        disk.fail_at = (int64_t)at;
        disk.fail_errno = i % 2 ? EIO : ENOSPC;
        enum status expected = i % 2 || at == calls ? ST_IO : ST_BUSY;
        assert_int_equal(disk_write_file(&disk, place->path, STR("new"), &err), expected);
        assert_int_equal(err.status, expected);
        assert_int_equal(disk_read_file(&disk, place->path, 10, &bytes, &n, &err), ST_OK);
        assert_true(str_eq((struct str){bytes, n}, at == calls ? STR("new") : STR("old")));
        free(bytes);
    }
}

static void pieces_are_written_in_order_however_many(void **state)
{
    struct place *place = *state;
    enum { PIECES = 3000 }; /* more than the kernel takes at once */
    struct disk disk;
    struct iovec parts[PIECES];
    char bytes[PIECES + 2], back[PIECES + 10];
    uint64_t size = 0;
    size_t n = 0;
    int fd = -1;
    disk_init(&disk);
    for (size_t i = 0; i < PIECES; i++) {
        bytes[i] = (char)('a' + i % 26);
        parts[i] = (struct iovec){bytes + i, i == 7 ? 0 : 1};
    }
    assert_int_equal(disk_open(&disk, place->path, O_RDWR | O_CREAT, &fd, NULL), ST_OK);
    assert_int_equal(disk_writev_at(&disk, fd, parts, PIECES, 5, NULL), ST_OK);
    assert_int_equal(disk_size(&disk, fd, &size, NULL), ST_OK);
    assert_int_equal(size, 5 + PIECES - 1);
    assert_int_equal(disk_read_at(&disk, fd, back, sizeof back, 5, &n, NULL), ST_OK);
    assert_int_equal(n, PIECES - 1); /* short only at the end of the file */
    assert_memory_equal(back, bytes, 7);
    assert_memory_equal(back + 7, bytes + 8, PIECES - 8);
    assert_int_equal(disk_write_at(&disk, fd, "xyz", 3, 0, NULL), ST_OK);
    assert_int_equal(disk_truncate(&disk, fd, 3, NULL), ST_OK);
    assert_int_equal(disk_reserve(&disk, fd, 100, NULL), ST_OK);
    assert_int_equal(disk_size(&disk, fd, &size, NULL), ST_OK);
    assert_int_equal(size, 100);
    assert_int_equal(disk_sync(&disk, fd, NULL), ST_OK);
    close(fd);
    struct str mapped = {0};
    assert_int_equal(disk_map_file(&disk, place->path, &mapped, NULL), ST_OK);
    assert_int_equal(mapped.n, 100);
    assert_int_equal(mapped.p[99], 0); /* reserved */
    disk_unmap(mapped);
    assert_int_equal(disk_map_file(&disk, place->other, &mapped, NULL), ST_NOT_FOUND);
    assert_int_equal(disk_sync_folder(&disk, place->folder, NULL), ST_OK);
    assert_int_equal(disk_rename(&disk, place->path, place->other, NULL), ST_OK);
    assert_int_equal(disk_open(&disk, place->path, O_RDONLY, &fd, NULL), ST_NOT_FOUND);
}

static void a_fault_comes_once_or_for_ever(void **state)
{
    struct place *place = *state;
    struct disk disk;
    int fd = -1;
    disk_init(&disk);
    assert_int_equal(disk_open(&disk, place->path, O_RDWR | O_CREAT, &fd, NULL), ST_OK);
    disk.fail_at = 2;
    disk.fail_errno = EDQUOT;
    assert_int_equal(disk_sync(&disk, fd, NULL), ST_OK);
    assert_int_equal(disk_sync(&disk, fd, NULL), ST_BUSY);
    assert_int_equal(disk_sync(&disk, fd, NULL), ST_OK);
    disk.fail_at = 1;
    disk.fail_errno = EIO;
    disk.fail_forever = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(disk_sync(&disk, fd, NULL), ST_IO);
    assert_int_equal(disk.calls, 7);
    close(fd);
}

/* --- lock ------------------------------------------------------------------------------------- */

#define ASKERS 6

struct asker {
    struct polite_lock *lock;
    int *taken;
};

static void *asker_run(void *arg)
{
    struct asker *asker = arg;
    polite_lock_take(asker->lock);
    (*asker->taken)++; /* under the lock */
    polite_lock_give(asker->lock);
    return NULL;
}

static void a_long_holder_lets_in_all_who_wait(void **state)
{
    (void)state;
    struct polite_lock lock;
    pthread_t threads[ASKERS];
    int taken = 0;
    struct asker asker = {&lock, &taken};
    polite_lock_init(&lock);
    polite_lock_take(&lock);
    polite_lock_pause(&lock); /* nobody waits: the holder keeps it */
    assert_int_equal(pthread_mutex_trylock(&lock.mutex), EBUSY);
    for (int i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, asker_run, &asker), 0);
    /* The holder never gives it back for good, and yet all get in. */
    for (int pauses = 0; taken < ASKERS && pauses < 1000000; pauses++) {
        polite_lock_pause(&lock);
        if (pauses % 16 == 0)
            sched_yield(); /* until they have come to ask */
    }
    assert_int_equal(taken, ASKERS);
    polite_lock_give(&lock);
    for (int i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
    polite_lock_done(&lock);
}

/* --- the ends of a process -------------------------------------------------------------------- */

static int child_status(void (*work)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) != NULL)
            work();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void check_breaks(void)
{
    signal(SIGABRT, SIG_DFL);
    CHECK(child_status == NULL);
}

static void fatal_ends(void)
{
    fatal("the disk %s", "is gone");
}

static void third_passing_kills(void)
{
    setenv("CRASH_AT", "point:3", 1);
    for (int i = 0; i < 2; i++)
        HOOK("point");
    for (int i = 0; i < 5; i++)
        HOOK("pointless");
    if (getenv("STOP_EARLY") != NULL)
        _exit(7);
    HOOK("point");
}

static void two_passings_live(void)
{
    setenv("STOP_EARLY", "1", 1);
    third_passing_kills();
}

static void bug_is_on(void)
{
    setenv("HEZOU_BUG", "late", 1);
    _exit(hook_bug("late") && !hook_bug("latest") && !hook_bug("lat") ? 5 : 6);
}

static void a_held_point_is_left_when_the_file_goes(void **state)
{
    char path[] = "/tmp/hezou-hold-XXXXXX", held[64];
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(held, sizeof held, "point:%s", path);
    setenv("HEZOU_HOLD", held, 1);
    assert_true(hook_held("point"));
    assert_false(hook_held("poin"));
    assert_false(hook_held("pointless"));
    unlink(path);
    assert_false(hook_held("point"));
    unsetenv("HEZOU_HOLD");
    assert_false(hook_held("point"));
}

static void a_process_ends_as_its_cause_asks(void **state)
{
    (void)state;
    int status = child_status(check_breaks);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = child_status(fatal_ends);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    status = child_status(third_passing_kills);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = child_status(two_passings_live);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = child_status(bug_is_on);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    assert_false(hook_bug("late"));
}

struct half {
    int had[3];
};

static int cores_count(void)
{
    cpu_set_t cores;
    CHECK(sched_getaffinity(0, sizeof cores, &cores) == 0);
    return CPU_COUNT(&cores);
}

static void *half_main(void *ctx)
{
    struct half *half = ctx;
    for (int i = 0; i < 3; i++) {
        thread_keep_half(i != 1);
        half->had[i] = cores_count();
    }
    return NULL;
}

static void a_thread_keeps_to_half_the_cores_until_it_is_late(void **state)
{
    (void)state;
    struct half half;
    pthread_t thread;
    int all = cores_count();
    CHECK(pthread_create(&thread, NULL, half_main, &half) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(half.had[i], i == 1 || all == 1 ? all : all / 2);
    assert_int_equal(cores_count(), all); /* the others keep what they had */
}

#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_carries_its_story),
        cmocka_unit_test(each_status_has_a_code_and_a_name),
        cmocka_unit_test(texts_compare_by_bytes_then_length),
        cmocka_unit_test(words_ignore_ascii_case_only),
        cmocka_unit_test(trim_takes_blanks_at_both_ends),
        cmocka_unit_test(arena_memory_is_aligned_distinct_and_reusable),
        cmocka_unit_test(arena_copies_are_terminated),
        cmocka_unit_test(a_buf_grows_to_its_maximum_and_says_so),
        cmocka_unit_test(formatted_text_is_whole_or_absent),
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(a_cursor_never_leaves_its_bytes),
        cmocka_unit_test(crc32c_gives_the_published_values),
        cmocka_unit_test(keyed_hashes_are_siphash_and_depend_on_the_key),
        cmocka_unit_test(a_map_agrees_with_an_array_over_random_steps),
        cmocka_unit_test(a_virtual_clock_only_moves_forward),
        cmocka_unit_test(members_are_found_at_the_same_places_any_way),
        cmocka_unit_test(a_seed_repeats_chance),
        PLACE_TEST(a_small_file_is_written_whole_and_read_back),
        PLACE_TEST(replacing_a_file_fails_without_harm_at_each_call),
        PLACE_TEST(pieces_are_written_in_order_however_many),
        PLACE_TEST(a_fault_comes_once_or_for_ever),
        cmocka_unit_test(a_long_holder_lets_in_all_who_wait),
        cmocka_unit_test(a_thread_keeps_to_half_the_cores_until_it_is_late),
        cmocka_unit_test(a_held_point_is_left_when_the_file_goes),
        cmocka_unit_test(a_process_ends_as_its_cause_asks),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
