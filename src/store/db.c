/* db.c - one connection to a SQLite file, spoken to in SQL that PostgreSQL understands too.
 *
 * Two differences are bridged here and nowhere else. DDL: words between @ stand for what the
 * engines spell differently. Parameters: PostgreSQL's `$2` is the second parameter, but for SQLite
 * `$2` is only a name, numbered by its first appearance in the text; so each statement keeps a
 * table from our number to SQLite's.
 *
 * A connection belongs to one thread at a time (its owner's lock or its owner's thread sees to it),
 * so SQLite's own locks are off. */
#include "store/store_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/disk.h"

#define BUSY_WAIT_MS 5000 /* a checkpoint or a second reader may hold the file for a moment */

static const struct {
    const char *word, *sqlite;
} words[] = {
    {"@ID@", "INTEGER PRIMARY KEY"}, {"@BYTES@", "BLOB"}, {"@LOCK@", ""}, {"@SKIP@", ""},
    {"@CLUSTER@", "WITHOUT ROWID"},
};

/* --- the disk's pace -------------------------------------------------------------------------- */

/* However little a write says, a page goes to the disk: a commit whose pages were spilled twice
 * writes 24 bytes anew in each of its frames, and so sends all of them once more. */
#define PAGE_BYTES 4096

/* SQLite gives a commit's pages, or a checkpoint's, to the system at once, and hundreds of MB stand
 * before the next sync of the journal. A thread in no hurry sends them a piece at a time. */
static _Thread_local struct {
    bool slow;
    size_t bytes; /* since the last push */
} pace;

static ssize_t (*system_pwrite)(int fd, const void *bytes, size_t n, off_t offset);

static ssize_t paced_pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    ssize_t done = system_pwrite(fd, bytes, n, offset);
    if (!pace.slow || done <= 0)
        return done;
    pace.bytes += done < PAGE_BYTES ? PAGE_BYTES : (size_t)done;
    if (pace.bytes < DISK_PIECE_BYTES)
        return done;
    pace.bytes = 0;
    return disk_push(fd) ? done : -1;
}

void db_pace(bool slow)
{
    pace.slow = slow;
    pace.bytes = 0;
}

/* Whichever of the two names SQLite was built with. */
static void pace_install(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    sqlite3_syscall_ptr was = vfs->xGetSystemCall(vfs, "pwrite64");
    const char *name = was != NULL ? "pwrite64" : "pwrite";
    if (was == NULL)
        was = vfs->xGetSystemCall(vfs, name);
    if (was == NULL)
        return; /* built with neither: it is only as it was */
    system_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))was;
    CHECK(vfs->xSetSystemCall(vfs, name, (sqlite3_syscall_ptr)paced_pwrite) == SQLITE_OK);
}

static void configure(void)
{
    /* The statistics are one global lock around every allocation, and nobody reads them. Refused
     * when somebody else has used SQLite before us: then it is only slower. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    CHECK(sqlite3_initialize() == SQLITE_OK);
    pace_install();
}

/* Why the last write to the file or its WAL failed. SQLite knows only ENOSPC as a full disk; a
 * quota and a limit are the same to us: they pass by themselves. (sqlite3_system_errno is of no use
 * here: it is overwritten while SQLite rolls back.) */
static int write_errno(struct db *db)
{
    int cause = 0;
    sqlite3_file *wal = NULL;
    sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (wal != NULL && wal->pMethods != NULL)
        wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &cause);
    if (cause == 0)
        sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_LAST_ERRNO, &cause);
    return cause;
}

enum status db_failed(struct db *db, const char *what, struct err *err)
{
    int code = sqlite3_extended_errcode(db->sqlite);
    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
        fatal("could not sync %s: %s", db->path, strerror(write_errno(db)));
    /* Only after a write: SQLite keeps an old cause until the next failure of the same file. */
    int cause = code == SQLITE_IOERR_WRITE ? write_errno(db) : 0;

    bool full = code == SQLITE_FULL || cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
    if (full)
        return err_set(err, ST_BUSY, "could not %s: the disk is full", what);
    enum status status = ST_IO;
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        status = ST_CONFLICT;
        break;
    case SQLITE_BUSY:
        status = ST_BUSY;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        status = ST_CORRUPT;
        break;
    default:
        break;
    }
    return err_set(err, status, "could not %s: %s", what, sqlite3_errmsg(db->sqlite));
}

enum status db_open(const char *path, bool read_only, struct db **ret_db, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);

    struct db *db = mem_zero(sizeof *db);
    db->path = strdup(path);
    map_init(&db->stmts);
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(path, &db->sqlite, flags, NULL);
    CHECK(db->sqlite != NULL); /* NULL only when memory ran out */
    enum status status = code == SQLITE_OK ? ST_OK : db_failed(db, "open a database", err);
    if (status == ST_OK) {
        sqlite3_extended_result_codes(db->sqlite, 1);
        sqlite3_busy_timeout(db->sqlite, BUSY_WAIT_MS);
        status = db_run(db, "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;", err);
    }
    if (status == ST_OK && !read_only)
        status = db_run(db,
                        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                        "PRAGMA secure_delete = ON;",
                        err);
    if (status != ST_OK) {
        db_close(db);
        return status;
    }
    *ret_db = db;
    return ST_OK;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    for (struct map_slot *slot = NULL; (slot = map_next(&db->stmts, slot)) != NULL;) {
        struct db_stmt *stmt = (struct db_stmt *)(uintptr_t)slot->value;
        sqlite3_finalize(stmt->stmt);
        free(stmt);
    }
    map_done(&db->stmts);
    CHECK(sqlite3_close(db->sqlite) == SQLITE_OK);
    free(db->path);
    free(db);
}

static void replace_words(const char *sql, struct buf *buf)
{
    while (*sql != '\0') {
        size_t i = 0, count = sizeof words / sizeof *words;
        while (i < count && strncmp(sql, words[i].word, strlen(words[i].word)) != 0)
            i++;
        if (i == count) {
            buf_char(buf, *sql++);
        } else {
            buf_text(buf, words[i].sqlite);
            sql += strlen(words[i].word);
        }
    }
}

enum status db_run(struct db *db, const char *sql, struct err *err)
{
    struct buf text;
    buf_init(&text, SIZE_MAX / 2);
    replace_words(sql, &text);
    int code = sqlite3_exec(db->sqlite, text.p, NULL, NULL, NULL);
    buf_done(&text);
    return code == SQLITE_OK ? ST_OK : db_failed(db, "change a database", err);
}

/* Where our `$n` stands in SQLite's numbering. */
static void number_params(struct db_stmt *stmt)
{
    int found = 0;
    for (int n = 1; n <= DB_PARAMS_MAX; n++) {
        char name[8];
        snprintf(name, sizeof name, "$%d", n);
        stmt->index[n] = (unsigned char)sqlite3_bind_parameter_index(stmt->stmt, name);
        found += stmt->index[n] != 0;
    }
    CHECK(found == sqlite3_bind_parameter_count(stmt->stmt)); /* `?` and `:name` are not for us */
}

struct db_stmt *db_prepare(struct db *db, const char *sql)
{
    uint64_t *slot = map_put(&db->stmts, map_key_u64((uintptr_t)sql), NULL);
    if (*slot != 0)
        return (struct db_stmt *)(uintptr_t)*slot;

    struct buf text;
    buf_init(&text, SIZE_MAX / 2);
    replace_words(sql, &text);
    struct db_stmt *stmt = mem_zero(sizeof *stmt);
    stmt->db = db;
    if (sqlite3_prepare_v3(db->sqlite, text.p, (int)text.n, SQLITE_PREPARE_PERSISTENT, &stmt->stmt,
                           NULL) != SQLITE_OK)
        fatal("could not prepare a query: %s: %s", sqlite3_errmsg(db->sqlite), sql);
    buf_done(&text);
    number_params(stmt);
    *slot = (uintptr_t)stmt;
    return stmt;
}

static int param(struct db_stmt *stmt, int n)
{
    CHECK(n >= 1 && n <= DB_PARAMS_MAX && stmt->index[n] != 0);
    stmt->bound = true;
    return stmt->index[n];
}

void db_bind_int(struct db_stmt *stmt, int n, int64_t v)
{
    CHECK(sqlite3_bind_int64(stmt->stmt, param(stmt, n), v) == SQLITE_OK);
}

void db_bind_str(struct db_stmt *stmt, int n, struct str text)
{
    CHECK(sqlite3_bind_text64(stmt->stmt, param(stmt, n), text.n == 0 ? "" : text.p, text.n,
                              SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
}

static void bind_bytes(struct db_stmt *stmt, int n, struct str bytes, sqlite3_destructor_type owner)
{
    /* A NULL pointer would bind NULL, and an empty value is not a missing one. */
    CHECK(sqlite3_bind_blob64(stmt->stmt, param(stmt, n), bytes.n == 0 ? "" : bytes.p, bytes.n,
                              owner) == SQLITE_OK);
}

void db_bind_bytes(struct db_stmt *stmt, int n, struct str bytes)
{
    bind_bytes(stmt, n, bytes, SQLITE_TRANSIENT);
}

void db_bind_borrowed(struct db_stmt *stmt, int n, struct str bytes)
{
    bind_bytes(stmt, n, bytes, SQLITE_STATIC);
}

void db_reset(struct db_stmt *stmt)
{
    (void)sqlite3_reset(stmt->stmt); /* repeats the last step's error, which was reported then */
    if (stmt->bound)
        sqlite3_clear_bindings(stmt->stmt);
    stmt->bound = false;
}

enum status db_step(struct db_stmt *stmt, bool *ret_row, struct err *err)
{
    int code = sqlite3_step(stmt->stmt);
    if (code == SQLITE_ROW) {
        *ret_row = true;
        return ST_OK;
    }
    enum status status =
        code == SQLITE_DONE ? ST_OK : db_failed(stmt->db, "read or write a database", err);
    db_reset(stmt);
    if (status == ST_OK)
        *ret_row = false;
    return status;
}

enum status db_exec(struct db_stmt *stmt, struct err *err)
{
    bool row = true;
    enum status status = ST_OK;
    while (status == ST_OK && row)
        status = db_step(stmt, &row, err);
    return status;
}

int64_t db_int(struct db_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt->stmt, column);
}

struct str db_str(struct db_stmt *stmt, int column)
{
    const char *p =
        sqlite3_column_blob(stmt->stmt, column); /* a text's bytes are UTF-8 as they are */
    return p == NULL ? (struct str){"", 0}
                     : (struct str){p, (size_t)sqlite3_column_bytes(stmt->stmt, column)};
}

bool db_is_null(struct db_stmt *stmt, int column)
{
    return sqlite3_column_type(stmt->stmt, column) == SQLITE_NULL;
}

bool db_in_transaction(const struct db *db)
{
    return sqlite3_get_autocommit(db->sqlite) == 0;
}

enum status db_begin(struct db *db, struct err *err)
{
    return db_exec(db_prepare(db, "BEGIN IMMEDIATE"), err);
}

enum status db_commit(struct db *db, struct err *err)
{
    return db_exec(db_prepare(db, "COMMIT"), err);
}

void db_rollback(struct db *db)
{
    struct err err;
    if (db_in_transaction(db) && db_exec(db_prepare(db, "ROLLBACK"), &err) != ST_OK)
        fatal("could not undo a transaction in %s: %s", db->path, err.message);
}

enum status db_checkpoint(struct db *db, bool truncate, struct err *err)
{
    int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    int code = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, mode, NULL, NULL);
    if (code == SQLITE_OK || (!truncate && (code & 0xff) == SQLITE_BUSY))
        return ST_OK; /* a passive one leaves what a reader still needs to the next one */
    return db_failed(db, "move the write-ahead log into its file", err);
}
