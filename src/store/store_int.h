/* store_int.h - what the files of store/ share about connections. */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include "store/store.h"

#include <sqlite3.h>

#include "base/map.h"

struct db_stmt {
    struct db *db;
    sqlite3_stmt *stmt;
    bool bound;                             /* something to unbind */
    unsigned char index[DB_PARAMS_MAX + 1]; /* `$n` to SQLite's number, 0 = not in the text */
};

struct db {
    sqlite3 *sqlite;
    struct map stmts; /* address of the text to struct db_stmt */
    char *path;
};

/* The outcome of SQLite's last error on `db`, with its words. Ends the process on a failed sync. */
enum status db_failed(struct db *db, const char *what, struct err *err);
/* The bytes are only borrowed until the next step: no copy. */
void db_bind_borrowed(struct db_stmt *stmt, int n, struct str bytes);
/* True between a BEGIN and its end; SQLite ends a transaction by itself on some failures. */
bool db_in_transaction(const struct db *db);
/* BEGIN that takes the writer's lock at once, and the two ways to end it. */
MUST_USE enum status db_begin(struct db *db, struct err *err);
MUST_USE enum status db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);
MUST_USE enum status db_checkpoint(struct db *db, bool truncate, struct err *err);

/* From now on this thread's writes to every database go to the disk a piece at a time, and it waits
 * for each; or no longer. */
void db_pace(bool slow);

/* Bring a file to the newest version. */
MUST_USE enum status migrate(struct db *db, const struct db_query *migrations, struct err *err);
#endif
