/* store_test.c - connections, migrations, and what the writer of facts.db promises. */
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
#include "base/disk.h"
#include "facts_migrations.h"
#include "state_migrations.h"
#include "state_sql.h"
#include "store/store_int.h"

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
    snprintf(folder, sizeof folder, "%s/hezou_store_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **unused)
{
    (void)unused;
    unlink(file_in("x.db"));
    unlink(file_in("x.db-wal"));
    unlink(file_in("x.db-shm"));
    return rmdir(folder);
}

static struct db *open_db(void)
{
    struct db *db = NULL;
    struct err err;
    if (db_open(file_in("x.db"), false, &db, &err) != ST_OK)
        fail_msg("%s", err.message);
    return db;
}

static struct facts *open_facts(void)
{
    struct facts *facts = NULL;
    struct err err;
    if (facts_open(file_in("x.db"), &facts, &err) != ST_OK)
        fail_msg("%s", err.message);
    return facts;
}

static void run(struct db *db, const char *sql)
{
    struct err err;
    if (db_run(db, sql, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static int64_t ask(struct db *db, const char *sql)
{
    struct err err;
    bool row = false;
    struct db_stmt *stmt = db_prepare(db, sql);
    if (db_step(stmt, &row, &err) != ST_OK || !row)
        fail_msg("no answer to %s", sql);
    int64_t v = db_int(stmt, 0);
    db_reset(stmt);
    return v;
}

/* --- connections ------------------------------------------------------------------------------ */

static void parameters_are_bound_by_their_number_not_their_place(void **unused)
{
    (void)unused;
    struct db *db = open_db();
    struct err err;
    bool row = false;
    struct db_stmt *stmt = db_prepare(db, "SELECT $2, $1, $2, $3");
    db_bind_str(stmt, 2, STR("second"));
    db_bind_int(stmt, 1, 1);
    assert_int_equal(db_step(stmt, &row, &err), ST_OK);
    assert_true(row);
    assert_true(str_is(db_str(stmt, 0), "second"));
    assert_int_equal(db_int(stmt, 1), 1);
    assert_true(str_is(db_str(stmt, 2), "second"));
    assert_true(db_is_null(stmt, 3));
    assert_int_equal(db_step(stmt, &row, &err), ST_OK);
    assert_false(row);
    /* Unbound at its end: nothing of one caller is seen by the next. */
    assert_int_equal(db_step(stmt, &row, &err), ST_OK);
    assert_true(db_is_null(stmt, 0));
    db_close(db);
}

static void empty_bytes_are_not_null_and_zero_bytes_are_kept(void **unused)
{
    (void)unused;
    struct db *db = open_db();
    struct err err;
    bool row = false;
    struct db_stmt *stmt = db_prepare(db, "SELECT $1, $2, length($2)");
    db_bind_bytes(stmt, 1, (struct str){NULL, 0});
    db_bind_bytes(stmt, 2, STR("a\0b"));
    assert_int_equal(db_step(stmt, &row, &err), ST_OK);
    assert_false(db_is_null(stmt, 0));
    assert_int_equal(db_str(stmt, 0).n, 0);
    assert_true(str_eq(db_str(stmt, 1), STR("a\0b")));
    assert_int_equal(db_int(stmt, 2), 3);
    db_reset(stmt);
    db_close(db);
}

static void words_of_both_engines_are_replaced(void **unused)
{
    (void)unused;
    struct db *db = open_db();
    run(db, "CREATE TABLE t (id @ID@, b @BYTES@); INSERT INTO t (b) VALUES ('x'), ('y')");
    run(db, "CREATE TABLE u (k @BYTES@ PRIMARY KEY NOT NULL) @CLUSTER@");
    assert_int_equal(ask(db, "SELECT id FROM t WHERE b = 'y' ORDER BY id @LOCK@ @SKIP@"), 2);
    db_close(db);
}

static void broken_constraint_is_a_conflict_and_damage_is_named(void **unused)
{
    (void)unused;
    struct db *db = open_db();
    struct err err;
    run(db, "CREATE TABLE t (id @ID@); INSERT INTO t VALUES (1)");
    assert_int_equal(db_exec(db_prepare(db, "INSERT INTO t VALUES (1)"), &err), ST_CONFLICT);
    db_close(db);

    FILE *file = fopen(file_in("x.db"), "w");
    fputs("this is no database, and it is long enough to be read as one ..........", file);
    fclose(file);
    assert_int_equal(db_open(file_in("x.db"), false, &db, &err), ST_CORRUPT);
    assert_int_equal(db_open("/no/such/folder/x.db", false, &db, &err), ST_IO);
}

/* As docs/format/state.md says; a file made with others keeps them. */
static void pages_are_of_4096_bytes_and_older_files_open(void **unused)
{
    (void)unused;
    struct db *db = open_db();
    assert_int_equal(ask(db, "PRAGMA page_size"), 4096);
    run(db, "PRAGMA journal_mode = DELETE; PRAGMA page_size = 1024; VACUUM;"
            "PRAGMA journal_mode = WAL; CREATE TABLE t (id @ID@); INSERT INTO t VALUES (7)");
    db_close(db);
    db = open_db();
    assert_int_equal(ask(db, "PRAGMA page_size"), 1024);
    assert_int_equal(ask(db, "SELECT id FROM t"), 7);
    db_close(db);
}

/* --- migrations ------------------------------------------------------------------------------- */

static void migrations_run_once_and_an_edited_one_is_refused(void **unused)
{
    (void)unused;
    struct db *db = open_db();
    struct err err;
    const struct db_query one[] = {{"0001_a.sql", "CREATE TABLE a (id @ID@)"}, {0}};
    const struct db_query two[] = {{"0001_a.sql", "CREATE TABLE a (id @ID@)"},
                                   {"0002_b.sql", "CREATE TABLE b (id @ID@)"},
                                   {0}};
    const struct db_query edited[] = {{"0001_a.sql", "CREATE TABLE a (id @ID@, c TEXT)"}, {0}};
    assert_int_equal(migrate(db, one, &err), ST_OK);
    assert_int_equal(migrate(db, one, &err), ST_OK);
    assert_int_equal(migrate(db, two, &err), ST_OK);
    assert_int_equal(migrate(db, two, &err), ST_OK);
    assert_int_equal(ask(db, "SELECT count(*) FROM schema_migration"), 2);
    assert_int_equal(ask(db, "SELECT count(*) FROM b"), 0);
    assert_int_equal(migrate(db, edited, &err), ST_CORRUPT);
    /* A newer program was here: we do not know what its tables mean. */
    assert_int_equal(migrate(db, one, &err), ST_CONFLICT);
    db_close(db);
}

static void failed_migration_leaves_nothing(void **unused)
{
    (void)unused;
    struct db *db = open_db();
    struct err err;
    const struct db_query broken[] = {
        {"0001_a.sql", "CREATE TABLE a (id @ID@); CREATE TABLE a (x)"}, {0}};
    assert_int_not_equal(migrate(db, broken, &err), ST_OK);
    assert_int_equal(ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'a'"), 0);
    assert_int_equal(ask(db, "SELECT count(*) FROM schema_migration"), 0);
    db_close(db);
}

static void embedded_files_are_whole(void **unused)
{
    (void)unused;
    assert_string_equal(facts_migrations[0].name, "0001_access.sql");
    assert_non_null(strstr(facts_migrations[0].sql, "-- microseconds UTC\n"));
    assert_string_equal(state_value_list, "SELECT name, value FROM value ORDER BY name\n");
    size_t n = 0;
    while (state_queries[n].name != NULL)
        n++;
    assert_int_equal(n, 3 * 5 + 2 + 3);
}

/* Every table as it stands after all migrations, comments and all. */
static void dump_schema(struct db *db, struct buf *text)
{
    struct err err;
    bool row = false;
    struct db_stmt *list = db_prepare(db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL "
                                          "ORDER BY type DESC, name");
    buf_text(text, "-- Made by all migrations of this folder; src/store/store_test.c compares.\n");
    while (db_step(list, &row, &err) == ST_OK && row) {
        buf_char(text, '\n');
        buf_str(text, db_str(list, 0));
        buf_text(text, ";\n");
    }
}

/* So that a review shows what a migration really changes. SCHEMA_WRITE=1 writes the file anew. */
static void compare_schema(const struct db_query *migrations, const char *schema)
{
    struct buf text;
    struct err err;
    struct disk disk;
    char *bytes = NULL, path[500];
    size_t n = 0;
    struct db *db = open_db();
    assert_int_equal(migrate(db, migrations, &err), ST_OK);
    buf_init(&text, 1 << 20);
    dump_schema(db, &text);
    db_close(db);
    unlink(file_in("x.db"));
    snprintf(path, sizeof path, "%s/sql/%s/schema.sql", getenv("HEZOU_SOURCE"), schema);
    disk_init(&disk);
    if (getenv("SCHEMA_WRITE") != NULL)
        assert_int_equal(disk_write_file(&disk, path, buf_view(&text), &err), ST_OK);
    assert_int_equal(disk_read_file(&disk, path, 1 << 20, &bytes, &n, &err), ST_OK);
    assert_string_equal(bytes, text.p);
    free(bytes);
    buf_done(&text);
}

static void schema_files_are_what_the_migrations_make(void **unused)
{
    (void)unused;
    if (getenv("HEZOU_SOURCE") == NULL)
        skip(); /* started by hand, outside the source tree */
    compare_schema(facts_migrations, "facts");
    compare_schema(state_migrations, "state");
}

/* --- the writer ------------------------------------------------------------------------------- */

struct change {
    int64_t id;
    enum status answer; /* of the closure */
    int runs;
};

static enum status add_source(void *ctx, struct db *db, struct err *err)
{
    struct change *change = ctx;
    struct db_stmt *add =
        db_prepare(db, "INSERT INTO source (id, name, channel) VALUES ($1, $2, 'x')");
    char name[40];
    snprintf(name, sizeof name, "s%lld", (long long)change->id);
    db_bind_int(add, 1, change->id);
    db_bind_str(add, 2, str_of(name));
    change->runs++;
    enum status status = db_exec(add, err);
    return status != ST_OK || change->answer == ST_OK
               ? status
               : err_set(err, change->answer, "could not add it: as told");
}

static enum status count_sources(void *ctx, struct db *db, struct err *err)
{
    (void)err;
    *(int64_t *)ctx = ask(db, "SELECT count(*) FROM source");
    return ST_OK;
}

static int64_t sources_of(struct facts *facts)
{
    struct err err;
    int64_t count = -1;
    assert_int_equal(facts_read(facts, count_sources, &count, &err), ST_OK);
    return count;
}

static enum status write_one(struct facts *facts, int64_t id, enum status answer, struct err *err)
{
    struct change change = {.id = id, .answer = answer};
    return facts_write(facts, add_source, &change, err);
}

static void refused_closure_leaves_nothing_and_its_neighbours_stay(void **unused)
{
    (void)unused;
    struct facts *facts = open_facts();
    struct err err;
    assert_int_equal(write_one(facts, 1, ST_OK, &err), ST_OK);
    assert_int_equal(write_one(facts, 2, ST_FORBIDDEN, &err), ST_FORBIDDEN);
    assert_string_equal(err.message, "could not add it: as told");
    assert_int_equal(write_one(facts, 1, ST_OK, &err), ST_CONFLICT);
    assert_int_equal(sources_of(facts), 1);
    assert_int_equal(write_one(facts, 2, ST_OK, &err), ST_OK);
    assert_int_equal(sources_of(facts), 2);
    facts_close(facts);
}

#define WRITERS 8
#define WRITES 100

struct writer {
    struct facts *facts;
    int64_t first;
};

static void *write_many(void *arg)
{
    const struct writer *writer = arg;
    struct err err;
    uintptr_t wrong = 0;
    for (int64_t i = 0; i < WRITES; i++) {
        enum status want = i % 5 == 0 ? ST_FORBIDDEN : ST_OK;
        wrong += write_one(writer->facts, writer->first + i, want, &err) != want;
    }
    return (void *)wrong;
}

static void callers_share_commits_and_each_gets_its_own_answer(void **unused)
{
    (void)unused;
    struct facts *facts = open_facts();
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){facts, i * 1000};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(sources_of(facts), WRITERS * WRITES * 4 / 5);
    struct facts_stats stats;
    facts_stats(facts, &stats);
    assert_int_equal(stats.closures, WRITERS * WRITES);
    assert_true(stats.groups < stats.closures);
    facts_close(facts);
}

static enum status take_too_long(void *ctx, struct db *db, struct err *err)
{
    (void)ctx, (void)db, (void)err;
    int64_t until_us = monotonic_us() + FACTS_CLOSURE_US_MAX + 1;
    while (monotonic_us() < until_us) {
    }
    return ST_OK;
}

static void slow_closure_is_counted(void **unused)
{
    (void)unused;
    struct facts *facts = open_facts();
    struct facts_stats before, after;
    struct err err;
    facts_stats(facts, &before);
    assert_int_equal(facts_write(facts, take_too_long, NULL, &err), ST_OK);
    facts_stats(facts, &after);
    assert_int_equal(after.slow, before.slow + 1);
    facts_close(facts);
}

/* The child writes until it is killed and says in a pipe what was answered. */
static void write_until_killed(int to_parent)
{
    struct facts *facts = NULL;
    struct err err;
    if (facts_open(file_in("x.db"), &facts, &err) != ST_OK)
        _exit(1);
    for (int64_t id = 1;; id++)
        if (write_one(facts, id, ST_OK, &err) != ST_OK ||
            write(to_parent, &id, sizeof id) != sizeof id)
            _exit(1);
}

static void what_was_answered_survives_a_kill(void **unused)
{
    (void)unused;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0)
        write_until_killed(fds[1]);
    close(fds[1]);
    int64_t answered = 0;
    while (answered < 50)
        assert_int_equal(read(fds[0], &answered, sizeof answered), sizeof answered);
    kill(child, SIGKILL);
    while (read(fds[0], &answered, sizeof answered) == sizeof answered) {
    }
    waitpid(child, NULL, 0);
    close(fds[0]);
    struct facts *facts = open_facts();
    int64_t kept = sources_of(facts);
    assert_true(kept == answered || kept == answered + 1); /* the last one was not yet answered */
    facts_close(facts);
}

#ifdef HEZOU_TEST_HOOKS
static void die_at(const char *point)
{
    setenv("CRASH_AT", point, 1);
    struct facts *facts = open_facts();
    struct err err;
    (void)!write_one(facts, 1, ST_OK, &err);
    (void)!write_one(facts, 2, ST_OK, &err);
    _exit(2);
}

static void a_kill_at_any_point_keeps_whole_commits(void **unused)
{
    (void)unused;
    const struct {
        const char *point;
        int64_t kept;
    } kills[] = {{"facts_migration", 0}, {"facts_before_commit:2", 1}, {"facts_after_commit:2", 2}};
    for (size_t i = 0; i < sizeof kills / sizeof *kills; i++) {
        pid_t child = fork();
        if (child == 0)
            die_at(kills[i].point);
        int how = 0;
        waitpid(child, &how, 0);
        assert_true(WIFSIGNALED(how));
        struct facts *facts = open_facts();
        assert_int_equal(sources_of(facts), kills[i].kept);
        facts_close(facts);
        unlink(file_in("x.db"));
    }
}
#endif

/* 0 when a full disk is ST_BUSY, loses nothing that was answered, and passes by itself. */
static int fill_the_disk(void)
{
    struct facts *facts = open_facts();
    struct rlimit limit = {.rlim_cur = 400 * 1024, .rlim_max = RLIM_INFINITY};
    struct err err;
    int64_t id = 1;
    enum status status = ST_OK;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    for (; status == ST_OK && id < 10000; id++)
        status = write_one(facts, id, ST_OK, &err);
    if (status != ST_BUSY || sources_of(facts) != id - 2)
        return 1;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (write_one(facts, id, ST_OK, &err) != ST_OK || sources_of(facts) != id - 1)
        return 2;
    facts_close(facts);
    return 0;
}

static void full_disk_is_busy_and_passes(void **unused)
{
    (void)unused;
    pid_t child = fork();
    if (child == 0)
        exit(fill_the_disk()); /* exit, so that a coverage build keeps the count */
    int how = 0;
    waitpid(child, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

static enum status write_while_reading(void *ctx, struct db *db, struct err *err)
{
    int64_t before = ask(db, "SELECT count(*) FROM source");
    enum status status = write_one(ctx, 7, ST_OK, err);
    assert_int_equal(ask(db, "SELECT count(*) FROM source"), before);
    return status;
}

static void reader_sees_one_moment_and_never_blocks_the_writer(void **unused)
{
    (void)unused;
    struct facts *facts = open_facts();
    struct err err;
    assert_int_equal(facts_read(facts, write_while_reading, facts, &err), ST_OK);
    assert_int_equal(sources_of(facts), 1);
    assert_int_equal(facts_checkpoint(facts, &err), ST_OK);
    assert_int_equal(access(file_in("x.db-wal"), R_OK), 0);
    FILE *wal = fopen(file_in("x.db-wal"), "r");
    fseek(wal, 0, SEEK_END);
    assert_int_equal(ftell(wal), 0);
    fclose(wal);
    facts_close(facts);
}

static void queries_are_prepared_at_the_start(void **unused)
{
    (void)unused;
    struct facts *facts = open_facts();
    const struct db_query good[] = {{"a", "SELECT id FROM source WHERE id = $1"}, {0}};
    facts_prepare(facts, good);
    facts_close(facts);

    pid_t child = fork();
    if (child == 0) { /* a typo stops the start */
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        (void)db_prepare(open_db(), "SELECT nothing FROM nowhere");
        _exit(0);
    }
    int how = 0;
    waitpid(child, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 1);
}

struct meeting {
    struct facts *facts;
    int inside, most;
};

static enum status stay_a_moment(void *ctx, struct db *db, struct err *err)
{
    (void)err;
    struct meeting *meeting = ctx;
    int inside = __atomic_add_fetch(&meeting->inside, 1, __ATOMIC_ACQ_REL);
    int most = __atomic_load_n(&meeting->most, __ATOMIC_ACQUIRE);
    if (inside > most)
        __atomic_compare_exchange_n(&meeting->most, &most, inside, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE);
    for (int i = 0; i < 50; i++)
        (void)ask(db, "SELECT count(*) FROM source");
    __atomic_sub_fetch(&meeting->inside, 1, __ATOMIC_ACQ_REL);
    return ST_OK;
}

static void *read_often(void *arg)
{
    struct meeting *meeting = arg;
    struct err err;
    uintptr_t wrong = 0;
    for (int i = 0; i < 50; i++)
        wrong += facts_read(meeting->facts, stay_a_moment, meeting, &err) != ST_OK;
    return (void *)wrong;
}

static void readers_share_a_few_connections(void **unused)
{
    (void)unused;
    struct meeting meeting = {.facts = open_facts()};
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, &meeting), 0);
    for (int i = 0; i < WRITERS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_true(meeting.most >= 1 && meeting.most <= 4);
    facts_close(meeting.facts);
}

static void file_that_is_no_database_is_refused(void **unused)
{
    (void)unused;
    struct facts *facts = NULL;
    struct err err;
    FILE *file = fopen(file_in("x.db"), "w");
    fputs("this is no database, and it is long enough to be read as one ..........", file);
    fclose(file);
    assert_int_equal(facts_open(file_in("x.db"), &facts, &err), ST_CORRUPT);
    assert_null(facts);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(parameters_are_bound_by_their_number_not_their_place),
        TEST(empty_bytes_are_not_null_and_zero_bytes_are_kept),
        TEST(words_of_both_engines_are_replaced),
        TEST(broken_constraint_is_a_conflict_and_damage_is_named),
        TEST(pages_are_of_4096_bytes_and_older_files_open),
        TEST(migrations_run_once_and_an_edited_one_is_refused),
        TEST(failed_migration_leaves_nothing),
        TEST(embedded_files_are_whole),
        TEST(schema_files_are_what_the_migrations_make),
        TEST(refused_closure_leaves_nothing_and_its_neighbours_stay),
        TEST(callers_share_commits_and_each_gets_its_own_answer),
        TEST(slow_closure_is_counted),
        TEST(what_was_answered_survives_a_kill),
#ifdef HEZOU_TEST_HOOKS
        TEST(a_kill_at_any_point_keeps_whole_commits),
#endif
        TEST(full_disk_is_busy_and_passes),
        TEST(reader_sees_one_moment_and_never_blocks_the_writer),
        TEST(readers_share_a_few_connections),
        TEST(file_that_is_no_database_is_refused),
        TEST(queries_are_prepared_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
