/* migrate.c - bring a file's tables to the version that this program knows.
 *
 * Forward only, one transaction each, in the order of their names. A file remembers each migration
 * with a checksum of its text: an edited one would give two installations different tables under
 * the same name, so it is refused. So is a file with a migration that we do not know: a newer
 * version wrote it. */
#include "store/store_int.h"

#include <sodium.h>
#include <stdio.h>

#include "base/check.h"
#include "base/hook.h"
#include "store_sql.h"

/* Its own table stands outside the order: it must be there before the first migration. */
static const char schema_migration[] =
    "CREATE TABLE IF NOT EXISTS schema_migration ("
    "    name     TEXT PRIMARY KEY NOT NULL," /* the file's name */
    "    checksum TEXT NOT NULL"              /* 32 hex digits over its text */
    ")";

#define CHECKSUM_BYTES 16
#define CHECKSUM_TEXT (2 * CHECKSUM_BYTES + 1)

static void checksum(const char *text, char ret_hex[CHECKSUM_TEXT])
{
    unsigned char sum[CHECKSUM_BYTES];
    crypto_generichash(sum, sizeof sum, (const unsigned char *)text, strlen(text), NULL, 0);
    sodium_bin2hex(ret_hex, CHECKSUM_TEXT, sum, sizeof sum);
}

static enum status apply(struct db *db, const struct db_query *migration, struct err *err)
{
    char hex[CHECKSUM_TEXT];
    checksum(migration->sql, hex);
    enum status status = db_begin(db, err);
    if (status == ST_OK)
        status = db_run(db, migration->sql, err);
    if (status == ST_OK) {
        struct db_stmt *add = db_prepare(db, store_migration_add);
        db_bind_str(add, 1, str_of(migration->name));
        db_bind_str(add, 2, str_of(hex));
        status = db_exec(add, err);
    }
    HOOK("facts_migration");
    if (status == ST_OK)
        status = db_commit(db, err);
    if (status != ST_OK)
        db_rollback(db);
    return status;
}

/* One that the file has had: is it the one we know under that place in the order? */
static enum status compare(const struct db *db, struct db_stmt *list,
                           const struct db_query *migration, struct err *err)
{
    if (migration->name == NULL || !str_is(db_str(list, 0), migration->name)) {
        enum status status =
            err_set(err, ST_CONFLICT, "could not open %s: it has the unknown migration " STR_FMT,
                    db->path, STR_ARG(db_str(list, 0)));
        return err_hint(err, status, "use the newer version that wrote it");
    }
    char hex[CHECKSUM_TEXT];
    checksum(migration->sql, hex);
    if (!str_is(db_str(list, 1), hex))
        return err_set(err, ST_CORRUPT,
                       "could not open %s: the migration %s is not the one that was applied",
                       db->path, migration->name);
    return ST_OK;
}

enum status migrate(struct db *db, const struct db_query *migrations, struct err *err)
{
    enum status status = db_run(db, schema_migration, err);
    if (status != ST_OK)
        return status;
    const struct db_query *next = migrations;
    struct db_stmt *list = db_prepare(db, store_migration_list);
    bool row = false;
    while ((status = db_step(list, &row, err)) == ST_OK && row) {
        status = compare(db, list, next, err);
        if (status != ST_OK) {
            db_reset(list);
            return status;
        }
        next++;
    }
    for (; status == ST_OK && next->name != NULL; next++)
        status = apply(db, next, err);
    return status;
}
