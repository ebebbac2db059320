/* warehouse_file.c - the tables of a month's file, and the views that make one whole of all files.
 *
 * Each file has the same six tables (docs/format/warehouse.md). The overrides of the newest file
 * are complete, because a new month starts with a copy of them; so `raw.override` reads that file
 * only, and every other `raw` view is the union of all files. They stand in a schema of their own:
 * people's SQL may not qualify a name, so it cannot reach them even where a name slips through its
 * check.
 *
 * An event says who its person was when it was written; `events` says who it is now. People are
 * found the same way from the visitor table: a person is the identifiers that resolve to it. */
#include "warehouse/warehouse_int.h"

#include <stdio.h>
#include <unistd.h>

#include "base/check.h"

/* @Z@: long texts that no dictionary fits, compressed by zstd; an in-memory table takes none. */
static const char *const tables[] = {
    "CREATE TABLE @F@.event (position UBIGINT, visitor UBIGINT, person UBIGINT, source VARCHAR, "
    "type VARCHAR, "
    "name VARCHAR, channel VARCHAR, campaign VARCHAR, message_id VARCHAR @Z@, time TIMESTAMP, "
    "received TIMESTAMP, original TIMESTAMP, sent TIMESTAMP, amount DECIMAL(18,6), currency "
    "VARCHAR, "
    "properties VARCHAR @Z@, context VARCHAR @Z@)",
    "CREATE TABLE @F@.record (position UBIGINT, visitor UBIGINT, verdict VARCHAR, reason VARCHAR, "
    "source VARCHAR, received TIMESTAMP)",
    "CREATE TABLE @F@.visitor (visitor UBIGINT, person UBIGINT, type VARCHAR, value VARCHAR, "
    "position UBIGINT)",
    "CREATE TABLE @F@.trait (visitor UBIGINT, name VARCHAR, value VARCHAR, time TIMESTAMP, "
    "position UBIGINT)",
    "CREATE TABLE @F@.person_override (visitor UBIGINT, person UBIGINT, position UBIGINT)",
    "CREATE TABLE @F@.meta (position UBIGINT, received TIMESTAMP, version UBIGINT)",
};

static const char *const united[] = {"event", "record", "visitor", "trait"};

static const char *const views[] = {
    "CREATE OR REPLACE VIEW raw.override AS SELECT visitor, arg_max(person, position) AS person "
    "FROM @NEWEST@.person_override GROUP BY visitor",

    "CREATE OR REPLACE VIEW events AS SELECT e.position, coalesce(o.person, e.person) AS person, "
    "e.visitor, "
    "e.source, e.type, e.name, e.channel, e.campaign, e.message_id, e.time, e.received, e.amount, "
    "e.currency, "
    "e.properties, e.context FROM raw.event AS e LEFT JOIN raw.override AS o ON o.visitor = "
    "e.visitor",

    "CREATE OR REPLACE VIEW records AS "
    "SELECT position, visitor, 'stored' AS verdict, NULL::VARCHAR AS reason, source, received FROM "
    "raw.event "
    "UNION ALL SELECT position, visitor, verdict, reason, source, received FROM raw.record",

    "CREATE OR REPLACE VIEW raw.owner AS SELECT v.visitor, coalesce(o.person, v.person) AS person, "
    "v.type || ':' || v.value AS identifier "
    "FROM raw.visitor AS v LEFT JOIN raw.override AS o ON o.visitor = v.visitor",

    "CREATE OR REPLACE VIEW people AS "
    "WITH known AS (SELECT person, list_sort(list(DISTINCT identifier)) AS identifiers FROM "
    "raw.owner "
    "  WHERE person <> 0 GROUP BY person), "
    "seen AS (SELECT person, min(time) AS first_seen, max(time) AS last_seen, count(*) AS events "
    "FROM events "
    "  WHERE person <> 0 GROUP BY person), "
    "newest AS (SELECT w.person, t.name, "
    "  arg_max(t.value, {'time': t.time, 'position': t.position}) AS value "
    "  FROM raw.trait AS t JOIN raw.owner AS w ON w.visitor = t.visitor GROUP BY w.person, "
    "t.name), "
    "bag AS (SELECT person, json_group_object(name, "
    "  CASE WHEN json_valid(value) THEN value::JSON ELSE to_json(value) END) AS traits "
    "  FROM newest WHERE value <> '' GROUP BY person) "
    "SELECT k.person, k.identifiers, s.first_seen, s.last_seen, coalesce(s.events, 0) AS events, "
    "  coalesce(b.traits, '{}'::JSON) AS traits "
    "FROM known AS k LEFT JOIN seen AS s ON s.person = k.person LEFT JOIN bag AS b ON b.person = "
    "k.person",
};

static enum status tables_make(duckdb_connection connection, const char *where,
                               const char *compression, struct err *err)
{
    const struct sql_word words[] = {{"F", where}, {"Z", compression}};
    enum status status = ST_OK;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && status == ST_OK; i++)
        status = engine_run_words(connection, tables[i], words, 2, NULL, 0, err);
    return status;
}

/* A log that ends in the middle of a commit is cut, which leaves nothing to complain of. */
static enum status attach(struct warehouse *warehouse, duckdb_connection connection,
                          const struct file *file, const char *sql, struct err *err)
{
    duckdb_result result;
    for (bool again = true;; again = false) {
        if (duckdb_query(connection, sql, &result) == DuckDBSuccess) {
            duckdb_destroy_result(&result);
            return ST_OK;
        }
        again = again && wal_cut(warehouse, file, duckdb_result_error(&result));
        enum status status =
            engine_error(err, ST_IO, "open a month's file", duckdb_result_error(&result));
        duckdb_destroy_result(&result);
        if (!again)
            return status;
    }
}

enum status file_attach(struct warehouse *warehouse, duckdb_connection connection,
                        const struct file *file, struct err *err)
{
    char path[WAREHOUSE_PATH_MAX];
    struct buf quoted, sql;
    file_path(warehouse, file, "", path);
    buf_init(&quoted, WAREHOUSE_PATH_MAX * 2);
    buf_init(&sql, WAREHOUSE_PATH_MAX * 3);
    sql_quote(&quoted, path);
    const struct sql_word words[] = {{"PATH", quoted.p}, {"F", file->alias}};
    sql_fill(&sql,
             "ATTACH @PATH@ AS @F@ (ROW_GROUP_SIZE " WAREHOUSE_ROW_GROUP
             ", STORAGE_VERSION '" WAREHOUSE_STORAGE "')",
             words, 2);
    enum status status = wal_sync(warehouse, file, err);
    if (status == ST_OK)
        status = attach(warehouse, connection, file, sql.p, err);
    buf_done(&sql);
    buf_done(&quoted);
    return status;
}

enum status file_detach(duckdb_connection connection, const struct file *file, struct err *err)
{
    const struct sql_word words[] = {{"F", file->alias}};
    return engine_run_words(connection, "DETACH @F@", words, 1, NULL, 0, err);
}

enum status file_create(struct warehouse *warehouse, duckdb_connection connection,
                        const struct file *file, struct err *err)
{
    enum status status =
        file_delete(warehouse, file, err); /* an attempt before this one that failed */
    if (status == ST_OK)
        status = file_attach(warehouse, connection, file, err);
    if (status != ST_OK)
        return status;
    status = tables_make(connection, file->alias, "USING COMPRESSION zstd", err);
    if (status != ST_OK) {
        enum status detached =
            file_detach(connection, file, NULL); /* the first reason is the one to tell */
        (void)detached;
    }
    return status;
}

static enum status union_make(struct warehouse *warehouse, duckdb_connection connection,
                              const char *table, struct err *err)
{
    struct buf sql;
    buf_init(&sql, (size_t)1 << 20);
    const struct sql_word empty[] = {{"T", table}};
    sql_fill(&sql, "CREATE OR REPLACE VIEW raw.@T@ AS SELECT * FROM none.@T@", empty, 1);
    for (size_t i = 0; i < warehouse->files_count; i++) {
        const struct sql_word words[] = {{"T", table}, {"F", warehouse->files[i].alias}};
        sql_fill(&sql, " UNION ALL SELECT * FROM @F@.@T@", words, 2);
    }
    enum status status = engine_run(connection, sql.p, NULL, 0, err);
    buf_done(&sql);
    return status;
}

/* The empty tables that the views read as long as there is no file. */
static enum status none_make(duckdb_connection connection, struct err *err)
{
    uint64_t there = 0;
    enum status status = engine_number(
        connection, "SELECT count(*)::UBIGINT FROM duckdb_schemas() WHERE schema_name = 'none'",
        NULL, 0, &there, err);
    if (status != ST_OK || there > 0)
        return status;
    status = engine_run(connection, "CREATE SCHEMA none", NULL, 0, err);
    if (status == ST_OK)
        status = engine_run(connection, "CREATE SCHEMA raw", NULL, 0, err);
    return status == ST_OK ? tables_make(connection, "none", "", err) : status;
}

static enum status all_make(struct warehouse *warehouse, duckdb_connection connection,
                            struct err *err)
{
    size_t count = warehouse->files_count;
    const struct sql_word words[] = {
        {"NEWEST", count == 0 ? "none" : warehouse->files[count - 1].alias}};
    enum status status = ST_OK;
    for (size_t i = 0; i < sizeof united / sizeof united[0] && status == ST_OK; i++)
        status = union_make(warehouse, connection, united[i], err);
    for (size_t i = 0; i < sizeof views / sizeof views[0] && status == ST_OK; i++)
        status = engine_run_words(connection, views[i], words, 1, NULL, 0, err);
    return status;
}

enum status views_make(struct warehouse *warehouse, duckdb_connection connection, struct err *err)
{
    enum status status = none_make(connection, err);
    if (status == ST_OK)
        status = engine_run(connection, "BEGIN", NULL, 0, err);
    if (status != ST_OK)
        return status;
    status = all_make(warehouse, connection, err);
    if (status == ST_OK)
        return engine_run(connection, "COMMIT", NULL, 0, err);
    struct err ignored;
    return engine_run(connection, "ROLLBACK", NULL, 0, &ignored) == ST_OK ? status : err->status;
}
