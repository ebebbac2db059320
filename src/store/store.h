/* store.h - operational state: two SQLite files, one writer thread each (DESIGN §3).
 *
 *   facts.db   what we DECIDE: keys, sources, rules, the erase ledger. synchronous=FULL. One writer
 *              runs closures in groups, each in a savepoint, and answers after the group's commit.
 *   state.db   what is FOLDED: identity and profiles, behind a write-back cache (state.h).
 *              synchronous=NORMAL. Deleting it is a rebuild.
 *
 * SQL text is the same on PostgreSQL: `$1 … $n` bound by name, DDL through @ID@ @BYTES@ @LOCK@
 * @SKIP@ @CLUSTER@, no `::`, no LIKE, no collation or NULL order left to default; `make test`
 * prepares every named query on PostgreSQL 15. secure_delete=ON in both files.
 *
 * A failed sync of either file ends the process: after it nothing is known about what is on the
 * disk, and a restart is safe.
 *
 * Depends on: base. Called by: access, clean, identity, profile, pipeline, api, app. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

struct db;      /* one connection */
struct db_stmt; /* one prepared query, owned by its connection */

#define DB_PARAMS_MAX 32 /* `$32` is the highest; wider rows are better split */

/* --- one connection: used inside facts closures and by readers -------------------------------- */

MUST_USE enum status db_open(const char *path, bool read_only, struct db **ret_db, struct err *err);
void db_close(struct db *db);
/* Run DDL or several statements; @WORDS@ are replaced. */
MUST_USE enum status db_run(struct db *db, const char *sql, struct err *err);
/* Prepared once per connection and text, then reused. `sql` must outlive the connection (a
 * constant). */
struct db_stmt *db_prepare(struct db *db, const char *sql);
/* Parameters are bound by number n of `$n`; texts and bytes are copied. */
void db_bind_int(struct db_stmt *stmt, int n, int64_t v);
void db_bind_str(struct db_stmt *stmt, int n, struct str text);
void db_bind_bytes(struct db_stmt *stmt, int n, struct str bytes);
/* ST_OK with *ret_row true on a row, false at the end (the statement is reset and unbound then).
 * ST_CONFLICT on a constraint, ST_BUSY on a full disk. */
MUST_USE enum status db_step(struct db_stmt *stmt, bool *ret_row, struct err *err);
/* Step to the end, ignoring rows. */
MUST_USE enum status db_exec(struct db_stmt *stmt, struct err *err);
void db_reset(struct db_stmt *stmt);
int64_t db_int(struct db_stmt *stmt, int column);
/* Borrowed until the next step or reset. */
struct str db_str(struct db_stmt *stmt, int column);
bool db_is_null(struct db_stmt *stmt, int column);

/* A named query, as tools/embed makes it from src/x/sql/x.sql: `x_queries` ends with a NULL name.
 */
struct db_query {
    const char *name;
    const char *sql;
};

/* --- facts.db --------------------------------------------------------------------------------- */

struct facts;

/* Opens, migrates (sql/facts/NNNN_*.sql, embedded; checksummed, forward only) and starts the
 * writer. ST_CORRUPT when an applied migration was edited, ST_CONFLICT when the file was written by
 * a newer version. */
MUST_USE enum status facts_open(const char *path, struct facts **ret_facts, struct err *err);
void facts_close(struct facts *facts);
/* Prepare all of a module's queries in the writer, so that a typo stops the start. */
void facts_prepare(struct facts *facts, const struct db_query *queries);

/* A closure: at most 5 ms, no I/O of its own, may run twice. Anything but ST_OK rolls back its
 * savepoint. */
typedef enum status facts_work(void *ctx, struct db *db, struct err *err);
/* Run it in the writer and wait for the group's commit. ST_BUSY when the disk is full: nothing of
 * the group was kept. Never from inside a closure. */
MUST_USE enum status facts_write(struct facts *facts, facts_work *work, void *ctx, struct err *err);
/* Run it on one of the reading connections, now, in the caller's thread, on one consistent view. */
MUST_USE enum status facts_read(struct facts *facts, facts_work *work, void *ctx, struct err *err);
/* Move the WAL into the file and cut it to nothing: after an erase no old page stays. */
MUST_USE enum status facts_checkpoint(struct facts *facts, struct err *err);

struct facts_stats {
    uint64_t groups;   /* commits */
    uint64_t closures; /* closures run; closures / groups says how well commits are shared */
    uint64_t slow;     /* closures that took more than FACTS_CLOSURE_US_MAX */
};
#define FACTS_CLOSURE_US_MAX INT64_C(5000) /* DESIGN §3: everybody in the queue waits for it */
void facts_stats(struct facts *facts, struct facts_stats *ret_stats);
#endif
