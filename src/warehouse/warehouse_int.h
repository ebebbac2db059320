/* warehouse_int.h - what the files of this folder share; nobody else includes it.
 *
 * One DuckDB instance in memory; each month's file is attached under its alias. The main database
 * of the instance holds no data, only views: `raw.event`, `raw.record`, `raw.visitor`, `raw.trait`
 * (all files together), `raw.override` (the newest file's), and in `main` the three that people may
 * read.
 *
 * Locks, in the order of taking: erase_lock, write_lock, readers.mutex / slots_mutex. */
#ifndef WAREHOUSE_WAREHOUSE_INT_H
#define WAREHOUSE_WAREHOUSE_INT_H

#include "warehouse/warehouse.h"

#include <duckdb.h>
#include <pthread.h>

#include "base/arena.h"

#define WAREHOUSE_FILES_MAX 600 /* 50 years of months */
#define WAREHOUSE_MEMORY_MAX ((size_t)768 << 20)
#define WAREHOUSE_MANIFEST_MAX ((size_t)1 << 20)
#define WAREHOUSE_OVERRIDES_TAIL 100000 /* DESIGN §5: then the table is compacted */
#define WAREHOUSE_QUERIES_MAX 2         /* people's SQL at once: each may use all of memory_limit */
#define WAREHOUSE_SQL_MAX                                                                          \
    ((size_t)64 << 10)           /* bytes of one SQL text; longer ones are made by programs */
#define WAREHOUSE_NESTING_MAX 16 /* levels of lists in structs in lists in an answer */
#define WAREHOUSE_PATH_MAX 3000
/* A row group is compressed once, in the commit that fills it, and goes straight to the file; with
 * DuckDB's 122,880 each checkpoint would compress the unfinished one again (measured: 10.6 against
 * 2.9 µs per row). A commit smaller than this goes through the write-ahead log. */
#define WAREHOUSE_ROW_GROUP "4096"
#define WAREHOUSE_STORAGE "v1.5.0" /* the first with zstd and dict_fsst for every column */
/* Of write-ahead log; its replay is the time to reopen. A checkpoint must not merge small row
 * groups (max_vacuum_tasks = 0): with the default it compresses a third of all rows once more, and
 * the commit that triggers it stands still for seconds (measured: 2.0 s CPU against 0.1 s for
 * 600,000 rows). Nothing is deleted from these tables, so there is nothing else to vacuum. */
#define WAREHOUSE_CHECKPOINT "16MB"

struct file {
    char month[8];    /* "2026-11" */
    unsigned version; /* 1, then one more per rewrite */
    char name[32];    /* "2026-11.duckdb", "2026-11.v2.duckdb" */
    char alias[24];   /* "m2026_11", "m2026_11_v2" */
    /* The engine's log beside it, when its name was last known to be durable; 0 = not known. */
    uint64_t wal_inode, wal_size;
};

/* Rows of one table that wait for the commit: DuckDB's own chunks, filled in place. */
#define TABLE_COLUMNS_MAX 17
struct table {
    const char *name;
    const char *columns; /* one letter each: u = UBIGINT, s = text, t = time, d = amount */
    unsigned columns_count;
    duckdb_data_chunk *chunks; /* all but the last used one are full */
    size_t chunks_count, chunks_capacity;
    size_t chunks_used;
    uint64_t row;    /* in the last used chunk */
    unsigned column; /* the next one to put */
    duckdb_vector vectors[TABLE_COLUMNS_MAX];
    void *data[TABLE_COLUMNS_MAX];
    uint64_t *validity[TABLE_COLUMNS_MAX];
    struct arena texts; /* what the cells point at */
};

enum table_id {
    TABLE_EVENT,
    TABLE_RECORD,
    TABLE_VISITOR,
    TABLE_TRAIT,
    TABLE_OVERRIDE,
    TABLES_COUNT
};

struct override_row {
    uint64_t visitor, person, position;
    size_t order; /* of adding */
};

/* What one commit takes. There are two: while one is committed, the other is filled. */
struct rows {
    struct table tables[TABLES_COUNT];
    struct override_row *overrides;
    size_t overrides_count, overrides_capacity;
    uint64_t position; /* of the commit; set when it is sealed */
    int64_t received_us;
};

/* Lets a rewrite wait for exactly those readers that may still use the old file: they are counted
 * by generation, and the rewrite starts a new one after it has changed the views. */
struct readers {
    pthread_mutex_t mutex;
    pthread_cond_t left;
    unsigned generation;
    unsigned active[2];
};

/* Threads that lend themselves to the engine while somebody reads: warehouse_help.c. */
struct help {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    duckdb_database database;
    duckdb_task_state state; /* NULL = nobody is helped */
    unsigned asked;          /* readers at work */
    unsigned inside;         /* threads that the engine has */
    bool ending;             /* they are called back */
    bool stopping;
    pthread_t *threads; /* NULL = never started */
    int threads_count;
};

/* A person's query, and when it must be over. */
struct slot {
    duckdb_connection connection; /* NULL = free */
    int64_t deadline_us;          /* monotonic */
};

/* A stream under way that somebody may want to end. */
struct watch {
    struct watch *next;
    duckdb_connection connection;
    bool (*stop)(void *ctx);
    void *stop_ctx;
};

/* Visitors erased since the start. */
struct erased {
    pthread_mutex_t mutex;
    uint64_t *visitors;
    size_t count, capacity;
};

struct warehouse {
    char *folder, *export_folder;
    struct disk *disk;
    const struct clock *clock;
    duckdb_database database;

    pthread_mutex_t write_lock; /* all of this block, and the manifest */
    duckdb_connection writer;
    struct file files[WAREHOUSE_FILES_MAX]; /* by month */
    size_t files_count;
    bool broken;      /* a commit failed: look at the file before the next one */
    bool invalidated; /* and the engine has given the file up */
    bool full;        /* the last commit met a full disk */
    uint64_t overrides_tail;
    uint64_t events, commits;
    int64_t commit_last_us;
    int64_t memory_due_us; /* the engine's memory is asked for once a second */

    /* Who reads figures never waits for a commit or an erase. */
    pthread_mutex_t figures_lock;
    struct warehouse_stats figures;

    uint64_t position;    /* atomic; the committing thread writes it */
    struct rows *filling; /* the adding thread's */
    struct rows *spare;   /* the same, unless the committing thread has it: then `sealed` is it */
    struct rows *sealed;  /* atomic: given by the one, taken back by the other */

    pthread_mutex_t erase_lock; /* one erase or export at a time */
    unsigned exports;           /* under erase_lock: makes folder names differ */
    struct erased erased;
    struct readers readers;
    struct help help;

    pthread_mutex_t slots_mutex;
    pthread_cond_t slots_changed;
    struct slot slots[WAREHOUSE_QUERIES_MAX];
    struct watch *watches;
    bool stopping;
    pthread_t watchdog;
};

/* --- warehouse_engine.c: DuckDB's calls, with our outcomes ------------------------------------ */

enum status engine_open(struct warehouse *warehouse, const struct warehouse_options *options,
                        struct err *err);
/* The engine's message as an outcome: ST_BUSY for a full disk; ends the process after a failed
 * sync. */
enum status engine_error(struct err *err, enum status status, const char *what,
                         const char *message);
enum status engine_connect(struct warehouse *warehouse, duckdb_connection *ret_connection,
                           struct err *err);
/* A connection that only reads and sees one moment until it is closed; NULL after an error. Every
 * reader needs it: on its own, a statement is planned at one moment and run at a later one, and a
 * bound that all rows met when it was planned is planned away, so that rows committed between the
 * two pass it. */
enum status engine_connect_reader(struct warehouse *warehouse, duckdb_connection *ret_connection,
                                  struct err *err);

/* A statement text with @NAME@ words replaced: identifiers that we made and quoted paths. */
struct sql_word {
    const char *name;
    const char *value;
};
void sql_fill(struct buf *sql, const char *text, const struct sql_word *words, size_t count);
/* 'a path', quotes doubled. */
void sql_quote(struct buf *sql, const char *text);
/* "[1,2,3]", for CAST($1 AS UBIGINT[]). */
void sql_list(struct buf *text, const uint64_t *numbers, size_t count);

/* Run a statement, its answer dropped or its first value taken (0 for NULL and for no row). */
enum status engine_run(duckdb_connection connection, const char *sql, const struct str *params,
                       size_t params_count, struct err *err);
enum status engine_number(duckdb_connection connection, const char *sql, const struct str *params,
                          size_t params_count, uint64_t *ret_number, struct err *err);
/* The same after sql_fill. */
enum status engine_run_words(duckdb_connection connection, const char *text,
                             const struct sql_word *words, size_t count, const struct str *params,
                             size_t params_count, struct err *err);
enum status engine_number_words(duckdb_connection connection, const char *text,
                                const struct sql_word *words, size_t count,
                                const struct str *params, size_t params_count, uint64_t *ret_number,
                                struct err *err);

/* A streamed answer; stream_next gives NULL at its end, with *ret_status saying whether it was one.
 */
struct stream {
    duckdb_prepared_statement prepared;
    duckdb_result result;
    bool has_result;
};
enum status stream_open(struct stream *stream, duckdb_connection connection, const char *sql,
                        const struct str *params, size_t params_count, struct err *err);
duckdb_data_chunk stream_next(struct stream *stream, enum status *ret_status, struct err *err);
void stream_close(struct stream *stream);
/* Text in a vector of VARCHAR; ST_… free: NULL is the empty text. */
struct str vector_text(duckdb_vector vector, uint64_t row);

/* --- warehouse_help.c ------------------------------------------------------------------------- */

void help_start(struct help *help, duckdb_database database, int threads);
/* Nobody may be helped any more. One that never started is allowed. */
void help_stop(struct help *help);
void help_begin(struct help *help);
void help_end(struct help *help);

/* One who reads: files that it may use stay, and the other cores help it. */
unsigned readers_enter(struct warehouse *warehouse);
void readers_leave(struct warehouse *warehouse, unsigned generation);
/* From now on readers see the new views; returns when those before have left. */
void readers_wait(struct warehouse *warehouse);

/* What warehouse_stats gives from now on. Under write_lock. */
void figures_publish(struct warehouse *warehouse);

/* --- warehouse_manifest.c: which files are ours ----------------------------------------------- */

void file_name(struct file *file, const char *month, unsigned version);
void file_path(const struct warehouse *warehouse, const struct file *file, const char *suffix,
               char ret_path[WAREHOUSE_PATH_MAX]);
enum status manifest_read(struct warehouse *warehouse, struct err *err);
enum status manifest_write(struct warehouse *warehouse, struct err *err);
/* What a crash left: files that no manifest names, spilled data. */
enum status leftovers_delete(struct warehouse *warehouse, struct err *err);
enum status file_delete(struct warehouse *warehouse, const struct file *file, struct err *err);

/* --- warehouse_wal.c: the engine's log after a power cut -------------------------------------- */

/* Before a file is opened: nothing is read of its log that a power cut could still take back. */
enum status wal_sync(struct warehouse *warehouse, const struct file *file, struct err *err);
/* After a commit: the name of the log that it went to is on the disk, too. */
enum status wal_keep(struct warehouse *warehouse, struct file *file, struct err *err);
/* The engine could not replay a log and says why: true if it was cut and is worth another try. */
bool wal_cut(struct warehouse *warehouse, const struct file *file, const char *message);

/* --- warehouse_file.c: tables and views ------------------------------------------------------- */

enum status file_attach(struct warehouse *warehouse, duckdb_connection connection,
                        const struct file *file, struct err *err);
enum status file_detach(duckdb_connection connection, const struct file *file, struct err *err);
/* A new, empty file with its tables, attached. */
enum status file_create(struct warehouse *warehouse, duckdb_connection connection,
                        const struct file *file, struct err *err);
/* Make all views again, from warehouse->files; under write_lock. */
enum status views_make(struct warehouse *warehouse, duckdb_connection connection, struct err *err);

/* --- warehouse_append.c ----------------------------------------------------------------------- */

void rows_init(struct warehouse *warehouse);
void rows_done(struct warehouse *warehouse);

/* --- warehouse_guard.c: may a person run this? ------------------------------------------------ */

enum status guard_check(duckdb_connection connection, struct str sql, struct err *err);

/* --- warehouse_json.c: answers as JSON -------------------------------------------------------- */

/* ST_INVALID when a column has a type that has no JSON form. */
enum status json_columns(struct buf *json, duckdb_result *result, struct err *err);
struct json_rows {
    uint64_t rows_max;
    size_t bytes_max; /* of `json` as a whole */
    uint64_t rows;
    bool truncated;
};
/* The rows of one chunk; sets `truncated` when a limit is met. */
void json_chunk(struct buf *json, duckdb_result *result, duckdb_data_chunk chunk,
                struct json_rows *rows);

/* --- warehouse_sql.c -------------------------------------------------------------------------- */

void slots_init(struct warehouse *warehouse);
void slots_done(struct warehouse *warehouse);
/* From here to there the watchdog asks `stop` and interrupts the connection. */
void watch_begin(struct warehouse *warehouse, struct watch *watch);
void watch_end(struct warehouse *warehouse, struct watch *watch);

/* --- warehouse_export.c ----------------------------------------------------------------------- */

enum status exports_delete(struct warehouse *warehouse, struct err *err);
#endif
