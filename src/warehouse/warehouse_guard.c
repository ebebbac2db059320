/* warehouse_guard.c - may a person run this?
 *
 * The engine itself keeps SQL from the file system and from settings (warehouse_engine.c), and a
 * person's transaction is read-only. What it cannot keep apart is tables: a table of a month's
 * file, the catalogue, a file in our own folder read by its name (`FROM '….parquet'`). So the
 * statement is taken apart by the engine's own parser (`json_serialize_sql`, the same grammar that
 * runs it later) and its tree is checked: everything that is not known to be harmless is refused.
 *
 *   - one statement, a SELECT;
 *   - nodes of the kinds listed in `kinds`, no other; expressions are nodes with a class;
 *   - a table is unqualified, and is a view of ours or a WITH name of this statement;
 *   - a table function is one of three;
 *   - no function is in the list of those that tell of the server, change something, wait or run
 * SQL.
 *
 * WITH names are gathered over the whole statement, without scopes. That is safe only because a
 * name that stands for something outside the statement cannot be gathered: it may not begin like
 * the catalogue's tables, nor contain what a file name needs.
 *
 * A person shapes this tree, so it is walked with a stack of our own, not by recursion. */
#include "warehouse/warehouse_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/json.h"

struct walk {
    yyjson_val **stack;
    size_t count, capacity;
    struct str *names; /* of WITH */
    size_t names_count, names_capacity;
};

static const char *const kinds[] = {
    /* queries */ "SELECT_NODE",
    "SET_OPERATION_NODE",
    "RECURSIVE_CTE_NODE",
    "CTE_NODE",
    /* what stands after FROM */ "BASE_TABLE",
    "SUBQUERY",
    "JOIN",
    "TABLE_FUNCTION",
    "EXPRESSION_LIST",
    "EMPTY",
    "PIVOT",
    /* what follows a query */ "ORDER_MODIFIER",
    "LIMIT_MODIFIER",
    "LIMIT_PERCENT_MODIFIER",
    "DISTINCT_MODIFIER",
    /* an ORDER BY item */ "ORDER_DEFAULT",
    "ASCENDING",
    "DESCENDING"};

static const char *const table_names[] = {"events", "people", "records"};
static const char *const table_functions[] = {"unnest", "range", "generate_series"};

static const char *const name_prefixes[] = {"duckdb_", "sqlite_", "pragma_", "pg_",
                                            "information_schema"};

static const char *const function_prefixes[] = {
    "duckdb_",          "pragma_",      "pg_",        "read_",        "parquet_",
    "sniff_",           "has_",         "inet_",      "enable_",      "disable_",
    "current_conn",     "current_quer", "current_tr", "current_set",  "current_sch",
    "current_dat",      "current_cat",  "__internal", "json_execute", "json_serialize",
    "json_deserialize", "icu_collate_", "copy_",      "import_",      "export_",
    "arrow_scan"};
/* Caught by a prefix, and harmless. */
static const char *const functions_allowed[] = {"current_date", "pg_typeof", "pg_size_pretty"};
static const char *const functions_refused[] = {"getenv",
                                                "getvariable",
                                                "query",
                                                "query_table",
                                                "glob",
                                                "checkpoint",
                                                "force_checkpoint",
                                                "which_secret",
                                                "nextval",
                                                "currval",
                                                "setseed",
                                                "sleep_ms",
                                                "write_log",
                                                "txid_current",
                                                "in_search_path",
                                                "seq_scan",
                                                "summary",
                                                "parse_duckdb_log_message",
                                                "col_description",
                                                "obj_description",
                                                "shobj_description",
                                                "get_block_size",
                                                "user",
                                                "session_user",
                                                "version",
                                                "stats",
                                                "vector_type",
                                                "sql_auto_complete",
                                                "test_all_types",
                                                "repeat_row",
                                                "truncate_duckdb_logs"};

#define IN_LIST(text, list) in_list((text), (list), sizeof(list) / sizeof(list)[0])
#define HAS_PREFIX(text, list) has_prefix((text), (list), sizeof(list) / sizeof(list)[0])

static bool in_list(struct str text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq_nocase(text, str_of(list[i])))
            return true;
    return false;
}

static bool has_prefix(struct str text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(list[i]);
        if (text.n >= n && str_eq_nocase((struct str){text.p, n}, (struct str){list[i], n}))
            return true;
    }
    return false;
}

static void push(struct walk *walk, yyjson_val *value)
{
    if (walk->count == walk->capacity) {
        walk->capacity = walk->capacity == 0 ? 256 : walk->capacity * 2;
        walk->stack = mem_grow(walk->stack, walk->capacity * sizeof(yyjson_val *));
    }
    walk->stack[walk->count++] = value;
}

static void push_children(struct walk *walk, yyjson_val *value)
{
    if (yyjson_is_arr(value)) {
        yyjson_arr_iter items;
        yyjson_arr_iter_init(value, &items);
        for (yyjson_val *item; (item = yyjson_arr_iter_next(&items)) != NULL;)
            push(walk, item);
    } else if (yyjson_is_obj(value)) {
        yyjson_obj_iter members;
        yyjson_obj_iter_init(value, &members);
        for (yyjson_val *key; (key = yyjson_obj_iter_next(&members)) != NULL;)
            push(walk, yyjson_obj_iter_get_val(key));
    }
}

static bool name_plain(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (!letter && !(c >= '0' && c <= '9'))
            return false;
    }
    return name.n > 0 && !HAS_PREFIX(name, name_prefixes);
}

static enum status name_add(struct walk *walk, struct str name, struct err *err)
{
    if (!name_plain(name))
        return err_set(err, ST_INVALID,
                       "could not run the query: a WITH name is made of letters, digits and _");
    if (walk->names_count == walk->names_capacity) {
        walk->names_capacity = walk->names_capacity == 0 ? 16 : walk->names_capacity * 2;
        walk->names = mem_grow(walk->names, walk->names_capacity * sizeof *walk->names);
    }
    walk->names[walk->names_count++] = name;
    return ST_OK;
}

/* First round: the WITH names. */
static enum status names_gather(struct walk *walk, yyjson_val *root, struct err *err)
{
    push(walk, root);
    while (walk->count > 0) {
        yyjson_val *value = walk->stack[--walk->count];
        push_children(walk, value);
        yyjson_val *map = yyjson_obj_get(yyjson_obj_get(value, "cte_map"), "map");
        yyjson_arr_iter items;
        yyjson_arr_iter_init(map, &items);
        for (yyjson_val *item; (item = yyjson_arr_iter_next(&items)) != NULL;) {
            enum status status = name_add(walk, json_member_str(item, "key"), err);
            if (status != ST_OK)
                return status;
        }
    }
    return ST_OK;
}

/* For a message: a long name's beginning, cut between characters. */
static struct str name_short(struct str name)
{
    size_t n = name.n < 80 ? name.n : 80;
    while (n < name.n && n > 0 && ((unsigned char)name.p[n] & 0xc0) == 0x80)
        n--;
    return (struct str){name.p, n};
}

static enum status table_check(const struct walk *walk, yyjson_val *node, struct err *err)
{
    struct str name = json_member_str(node, "table_name");
    bool qualified =
        json_member_str(node, "schema_name").n > 0 || json_member_str(node, "catalog_name").n > 0;
    bool known = IN_LIST(name, table_names);
    for (size_t i = 0; i < walk->names_count && !known; i++)
        known = str_eq_nocase(name, walk->names[i]);
    if (known && !qualified)
        return ST_OK;
    enum status status =
        err_set(err, ST_INVALID, "could not run the query: there is no table \"" STR_FMT "\"",
                STR_ARG(name_short(name)));
    return err_hint(err, status, "the tables are events, people and records");
}

static enum status function_check(struct str name, struct err *err)
{
    bool refused = IN_LIST(name, functions_refused) || HAS_PREFIX(name, function_prefixes);
    if (!refused || IN_LIST(name, functions_allowed))
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "could not run the query: the function \"" STR_FMT "\" is not allowed here",
                   STR_ARG(name_short(name)));
}

static enum status node_check(const struct walk *walk, yyjson_val *node, struct err *err)
{
    struct str kind = json_member_str(node, "type");
    yyjson_val *function = yyjson_obj_get(node, "function_name");
    if (function != NULL && function_check(json_str(function), err) != ST_OK)
        return ST_INVALID;
    if (kind.n == 0 || yyjson_obj_get(node, "class") != NULL)
        return ST_OK;
    bool type_info = kind.n > 10 && memcmp(kind.p + kind.n - 10, "_TYPE_INFO", 10) == 0;
    if (!IN_LIST(kind, kinds) && !type_info)
        return err_set(err, ST_INVALID,
                       "could not run the query: it uses a form that is not allowed here");
    if (str_is(kind, "BASE_TABLE"))
        return table_check(walk, node, err);
    if (!str_is(kind, "TABLE_FUNCTION"))
        return ST_OK;
    struct str name = json_member_str(yyjson_obj_get(node, "function"), "function_name");
    if (IN_LIST(name, table_functions))
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "could not run the query: the table function \"" STR_FMT
                   "\" is not allowed here",
                   STR_ARG(name_short(name)));
}

static enum status tree_check(yyjson_val *root, struct err *err)
{
    struct walk walk = {0};
    enum status status = ST_OK;
    if (str_is(json_member_str(root, "error_type"), "not implemented")) {
        status = err_set(err, ST_INVALID, "could not run the query: it must be one SELECT");
    } else if (yyjson_is_true(yyjson_obj_get(root, "error"))) {
        struct str message = json_member_str(root, "error_message");
        status = err_set(err, ST_INVALID, "could not run the query: " STR_FMT, STR_ARG(message));
    } else if (yyjson_arr_size(yyjson_obj_get(root, "statements")) != 1) {
        status = err_set(err, ST_INVALID, "could not run the query: it must be one SELECT");
    } else {
        status = names_gather(&walk, root, err);
    }
    walk.count = 0;
    if (status == ST_OK)
        push(&walk, root);
    while (status == ST_OK && walk.count > 0) {
        yyjson_val *value = walk.stack[--walk.count];
        push_children(&walk, value);
        if (yyjson_is_obj(value))
            status = node_check(&walk, value, err);
    }
    free(walk.stack);
    free(walk.names);
    return status;
}

enum status guard_check(duckdb_connection connection, struct str sql, struct err *err)
{
    struct stream stream;
    yyjson_doc *doc = NULL;
    struct err reason;
    if (stream_open(&stream, connection,
                    "SELECT CAST(json_serialize_sql(CAST($1 AS VARCHAR)) AS VARCHAR)", &sql, 1,
                    &reason) != ST_OK)
        return err_set(err, ST_INVALID, "could not run the query: it cannot be parsed");
    enum status status;
    duckdb_data_chunk chunk = stream_next(&stream, &status, &reason);
    if (chunk != NULL && duckdb_data_chunk_get_size(chunk) == 1) {
        struct str tree = vector_text(duckdb_data_chunk_get_vector(chunk, 0), 0);
        doc = yyjson_read(tree.p, tree.n,
                          YYJSON_READ_NOFLAG); /* made by the engine: no limit of depth */
    }
    if (doc == NULL)
        status = err_set(err, ST_INVALID, "could not run the query: it cannot be parsed");
    else
        status = tree_check(yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    if (chunk != NULL)
        duckdb_destroy_data_chunk(&chunk);
    stream_close(&stream);
    return status;
}
