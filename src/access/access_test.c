/* access_test.c - who may do what, and from when on not any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/access.h"
#include "base/disk.h"

static char folder[256], facts_path[300], owner_path[300];
static struct rng rng;
static struct clock now;
static struct facts *facts;
static struct access *held;

static void open_all(void)
{
    struct err err;
    if (facts_open(facts_path, &facts, &err) != ST_OK ||
        access_open(facts, &rng, &now, owner_path, &held, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static void close_all(void)
{
    access_close(held);
    facts_close(facts);
}

static int make_folder(void **unused)
{
    (void)unused;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hezou_access_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(facts_path, sizeof facts_path, "%s/facts.db", folder);
    snprintf(owner_path, sizeof owner_path, "%s/owner.key", folder);
    rng_init_seed(&rng, 3);
    clock_init_virtual(&now, 1700000000 * US_PER_S);
    open_all();
    return 0;
}

static int remove_folder(void **unused)
{
    (void)unused;
    close_all();
    unlink(facts_path);
    unlink(owner_path);
    return rmdir(folder);
}

static enum status check_key(struct str key, struct access_grant *ret_grant)
{
    struct err err;
    return access_check(held, key, ret_grant, &err);
}

static enum status check_buf(const struct buf *key)
{
    struct access_grant grant;
    return check_key(buf_view(key), &grant);
}

static struct buf add_source(const char *name, const char *channel, uint32_t *ret_source)
{
    struct buf key;
    struct err err;
    buf_init(&key, 100);
    if (access_add_source(held, str_of(name), str_of(channel), &key, ret_source, &err) != ST_OK)
        fail_msg("%s", err.message);
    return key;
}

static struct buf list(void)
{
    struct buf json;
    struct err err;
    buf_init(&json, 1 << 20);
    assert_int_equal(access_list(held, &json, &err), ST_OK);
    return json;
}

/* The id of the key whose prefix begins `key`. */
static struct str id_of(const struct buf *json, struct str key)
{
    char prefix[40];
    snprintf(prefix, sizeof prefix, "\"prefix\":\"%.7s\"", key.p);
    const char *at = strstr(json->p, prefix);
    assert_non_null(at);
    while (strncmp(at, "{\"id\":\"", 7) != 0)
        at--;
    return (struct str){at + 7, (size_t)(strchr(at + 7, '"') - at - 7)};
}

static void write_key_may_only_send_for_its_source(void **unused)
{
    (void)unused;
    uint32_t source = 0;
    struct access_grant grant;
    struct buf key = add_source("shop-web", "web", &source);
    assert_int_equal(key.n, 27);
    assert_memory_equal(key.p, "wk_", 3);
    assert_int_equal(check_key(buf_view(&key), &grant), ST_OK);
    assert_int_equal(grant.source, source);
    assert_int_equal(grant.scopes, SCOPE_COLLECT);
    assert_false(grant.trusted);
    assert_int_not_equal(source, SOURCE_SELF);
    assert_true(str_is(access_source_name(held, source), "shop-web"));
    assert_true(str_is(access_source_channel(held, source), "web"));
    assert_int_equal(access_source_name(held, 999).n, 0);
    buf_done(&key);
}

static void unknown_key_is_refused(void **unused)
{
    (void)unused;
    struct access_grant grant = {.source = 77};
    char long_key[300];
    memset(long_key, 'a', sizeof long_key);
    assert_int_equal(check_key(STR("wk_000000000000000000000000"), &grant), ST_UNAUTHORIZED);
    assert_int_equal(check_key(STR(""), &grant), ST_UNAUTHORIZED);
    assert_int_equal(check_key((struct str){long_key, sizeof long_key}, &grant), ST_UNAUTHORIZED);
    assert_int_equal(grant.source, 77);
}

static void owner_key_stands_in_its_file_and_nowhere_else(void **unused)
{
    (void)unused;
    struct disk disk;
    struct err err;
    struct stat st;
    char *bytes = NULL, *facts_bytes = NULL;
    size_t n = 0, facts_n = 0;
    struct access_grant grant;
    disk_init(&disk);
    assert_int_equal(disk_read_file(&disk, owner_path, 100, &bytes, &n, &err), ST_OK);
    assert_int_equal(stat(owner_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(n, 44);
    assert_int_equal(check_key((struct str){bytes, 43}, &grant), ST_OK);
    assert_int_equal(grant.scopes, SCOPE_ALL);
    assert_true(grant.trusted);
    assert_true(str_is(access_source_name(held, grant.source), "api"));

    close_all();
    assert_int_equal(disk_read_file(&disk, facts_path, 1 << 24, &facts_bytes, &facts_n, &err),
                     ST_OK);
    assert_null(memmem(facts_bytes, facts_n, bytes, 43));
    open_all();
    assert_int_equal(check_key((struct str){bytes, 43}, &grant), ST_OK);
    free(bytes);
    free(facts_bytes);
}

static void lost_owner_file_gets_a_new_key_at_the_next_start(void **unused)
{
    (void)unused;
    struct disk disk;
    struct err err;
    char *bytes = NULL;
    size_t n = 0;
    struct access_grant grant;
    disk_init(&disk);
    close_all();
    assert_int_equal(disk_write_file(&disk, owner_path, STR("sk_of_another_directory\n"), &err),
                     ST_OK);
    open_all();
    assert_int_equal(disk_read_file(&disk, owner_path, 100, &bytes, &n, &err), ST_OK);
    assert_int_equal(check_key((struct str){bytes, n - 1}, &grant), ST_OK);
    free(bytes);
}

static void rotation_has_no_moment_without_a_valid_key(void **unused)
{
    (void)unused;
    uint32_t source = 0;
    struct err err;
    struct buf new_key, old_key = add_source("till-3", "store", &source);
    buf_init(&new_key, 100);
    assert_int_equal(access_add_write_key(held, STR("till-3"), &new_key, &err), ST_OK);
    assert_int_equal(check_buf(&old_key), ST_OK);
    assert_int_equal(check_buf(&new_key), ST_OK);

    struct buf json = list();
    assert_int_equal(access_revoke(held, id_of(&json, buf_view(&old_key)), &err), ST_OK);
    assert_int_equal(check_buf(&old_key), ST_UNAUTHORIZED);
    assert_int_equal(check_buf(&new_key), ST_OK);
    close_all();
    open_all();
    assert_int_equal(check_buf(&old_key), ST_UNAUTHORIZED);
    assert_int_equal(check_buf(&new_key), ST_OK);
    assert_int_equal(access_revoke(held, STR("k_nobody"), &err), ST_NOT_FOUND);
    assert_int_equal(access_add_write_key(held, STR("no such"), &new_key, &err), ST_NOT_FOUND);
    buf_done(&json);
    buf_done(&old_key);
    buf_done(&new_key);
}

static void chosen_write_key_is_taken_over_once(void **unused)
{
    (void)unused;
    uint32_t source = 0;
    struct err err;
    struct access_grant grant;
    struct buf key = add_source("app", "app", &source);
    struct str chosen = STR("Xy7-vendor_KEY");
    assert_int_equal(access_add_write_key_value(held, STR("app"), chosen, &err), ST_OK);
    assert_int_equal(check_key(chosen, &grant), ST_OK);
    assert_int_equal(grant.source, source);
    assert_int_equal(access_add_write_key_value(held, STR("app"), chosen, &err), ST_CONFLICT);
    assert_int_equal(access_add_write_key_value(held, STR("api"), chosen, &err), ST_CONFLICT);

    struct buf json = list();
    assert_null(strstr(json.p, "Xy7-vendor_KEY"));
    assert_int_equal(access_revoke(held, id_of(&json, chosen), &err), ST_OK);
    assert_int_equal(access_add_write_key_value(held, STR("app"), chosen, &err), ST_CONFLICT);
    const char *bad[] = {"short", "has blank inside", "quote\"quote", "一二三四五六七八"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(access_add_write_key_value(held, STR("app"), str_of(bad[i]), &err),
                         ST_INVALID);
    buf_done(&json);
    buf_done(&key);
}

static void secret_key_has_its_scopes_and_the_source_api(void **unused)
{
    (void)unused;
    struct err err;
    struct access_grant grant;
    struct buf key;
    buf_init(&key, 100);
    assert_int_equal(access_add_secret_key(held, STR("bi"), SCOPE_READ | SCOPE_ERASE, &key, &err),
                     ST_OK);
    assert_int_equal(key.n, 43);
    assert_int_equal(check_key(buf_view(&key), &grant), ST_OK);
    assert_int_equal(grant.scopes, SCOPE_READ | SCOPE_ERASE);
    assert_true(grant.trusted);
    assert_int_equal(access_add_secret_key(held, STR("bi"), SCOPE_NONE, &key, &err), ST_INVALID);
    assert_int_equal(access_add_secret_key(held, STR(""), SCOPE_READ, &key, &err), ST_INVALID);

    struct buf json = list();
    assert_non_null(strstr(json.p, "\"label\":\"bi\",\"scopes\":\"read,erase\""));
    assert_null(strstr(json.p, key.p));
    buf_done(&json);
    buf_done(&key);
}

static void source_name_is_taken_once_and_its_number_stays(void **unused)
{
    (void)unused;
    uint32_t first = 0, second = 0;
    struct err err;
    struct buf key = add_source("shop", "web", &first), other;
    buf_init(&other, 100);
    assert_int_equal(access_add_source(held, STR("shop"), STR("app"), &other, &second, &err),
                     ST_CONFLICT);
    assert_int_equal(other.n, 0);
    assert_int_equal(access_add_source(held, STR(""), STR("app"), &other, &second, &err),
                     ST_INVALID);
    assert_int_equal(access_add_source(held, STR("a\nb"), STR("app"), &other, &second, &err),
                     ST_INVALID);
    close_all();
    open_all();
    struct access_grant grant;
    assert_int_equal(check_key(buf_view(&key), &grant), ST_OK);
    assert_int_equal(grant.source, first);
    assert_int_equal(access_add_source(held, STR("店铺"), STR("store"), &other, &second, &err),
                     ST_OK);
    assert_int_equal(second, first + 1);
    buf_done(&key);
    buf_done(&other);
}

static void scopes_read_as_they_are_written(void **unused)
{
    (void)unused;
    struct err err;
    uint32_t scopes = 0;
    for (uint32_t bits = 1; bits <= SCOPE_ALL; bits++) {
        struct buf words;
        buf_init(&words, 100);
        access_scopes_write(bits, &words);
        assert_int_equal(access_scopes_parse(buf_view(&words), &scopes, &err), ST_OK);
        assert_int_equal(scopes, bits);
        buf_done(&words);
    }
    assert_int_equal(access_scopes_parse(STR(" read , erase "), &scopes, &err), ST_OK);
    assert_int_equal(scopes, SCOPE_READ | SCOPE_ERASE);
    assert_int_equal(access_scopes_parse(STR("read,root"), &scopes, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "root"));
    assert_int_equal(access_scopes_parse(STR(""), &scopes, &err), ST_INVALID);
}

static void *ask_all_the_time(void *stop)
{
    struct access_grant grant;
    uint64_t refused = 0;
    while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE))
        refused += check_key(STR("always-valid"), &grant) != ST_OK;
    return (void *)(uintptr_t)refused;
}

static void a_valid_key_is_never_refused_while_others_come_and_go(void **unused)
{
    (void)unused;
    struct err err;
    uint32_t source = 0;
    bool stop = false;
    pthread_t thread;
    struct buf key = add_source("busy", "web", &source);
    assert_int_equal(access_add_write_key_value(held, STR("busy"), STR("always-valid"), &err),
                     ST_OK);
    assert_int_equal(pthread_create(&thread, NULL, ask_all_the_time, &stop), 0);
    for (int i = 0; i < 100; i++) {
        buf_reset(&key);
        assert_int_equal(access_add_write_key(held, STR("busy"), &key, &err), ST_OK);
        struct buf json = list();
        assert_int_equal(access_revoke(held, id_of(&json, buf_view(&key)), &err), ST_OK);
        assert_int_equal(check_buf(&key), ST_UNAUTHORIZED);
        buf_done(&json);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    void *refused = NULL;
    pthread_join(thread, &refused);
    assert_null(refused);
    buf_done(&key);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(write_key_may_only_send_for_its_source),
        TEST(unknown_key_is_refused),
        TEST(owner_key_stands_in_its_file_and_nowhere_else),
        TEST(lost_owner_file_gets_a_new_key_at_the_next_start),
        TEST(rotation_has_no_moment_without_a_valid_key),
        TEST(chosen_write_key_is_taken_over_once),
        TEST(secret_key_has_its_scopes_and_the_source_api),
        TEST(source_name_is_taken_once_and_its_number_stays),
        TEST(scopes_read_as_they_are_written),
        TEST(a_valid_key_is_never_refused_while_others_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
