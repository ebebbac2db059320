/* warehouse_json.c - the engine's vectors as JSON.
 *
 * Numbers keep all their digits: a reader that has only doubles may lose some, we do not. Times are
 * ISO 8601 in UTC. A text of the engine's type JSON goes in as the JSON it is. NaN and the
 * infinities, which JSON has not, are null.
 *
 * Lists, structs and maps nest; the depth is a person's to choose, so columns that nest deeper than
 * WAREHOUSE_NESTING_MAX, and the few types without a form here, are refused before the first row
 * with the advice to cast them. */
#include "warehouse/warehouse_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/json.h"

__extension__ typedef __int128 int128; /* the one typedef: gcc has no other way to say it quietly */
__extension__ typedef unsigned __int128 uint128;

static const char *const scalar_names[] = {
    [DUCKDB_TYPE_BOOLEAN] = "BOOLEAN",     [DUCKDB_TYPE_TINYINT] = "TINYINT",
    [DUCKDB_TYPE_SMALLINT] = "SMALLINT",   [DUCKDB_TYPE_INTEGER] = "INTEGER",
    [DUCKDB_TYPE_BIGINT] = "BIGINT",       [DUCKDB_TYPE_UTINYINT] = "UTINYINT",
    [DUCKDB_TYPE_USMALLINT] = "USMALLINT", [DUCKDB_TYPE_UINTEGER] = "UINTEGER",
    [DUCKDB_TYPE_UBIGINT] = "UBIGINT",     [DUCKDB_TYPE_FLOAT] = "FLOAT",
    [DUCKDB_TYPE_DOUBLE] = "DOUBLE",       [DUCKDB_TYPE_TIMESTAMP] = "TIMESTAMP",
    [DUCKDB_TYPE_DATE] = "DATE",           [DUCKDB_TYPE_TIME] = "TIME",
    [DUCKDB_TYPE_INTERVAL] = "INTERVAL",   [DUCKDB_TYPE_HUGEINT] = "HUGEINT",
    [DUCKDB_TYPE_UHUGEINT] = "UHUGEINT",   [DUCKDB_TYPE_VARCHAR] = "VARCHAR",
    [DUCKDB_TYPE_UUID] = "UUID",           [DUCKDB_TYPE_TIMESTAMP_TZ] = "TIMESTAMPTZ",
    [DUCKDB_TYPE_SQLNULL] = "NULL",
};

static bool type_put(struct buf *name, duckdb_logical_type type, int depth);

static bool child_put(struct buf *name, duckdb_logical_type child, int depth)
{
    bool good = type_put(name, child, depth + 1);
    duckdb_destroy_logical_type(&child);
    return good;
}

static bool struct_put(struct buf *name, duckdb_logical_type type, int depth)
{
    bool good = true;
    buf_text(name, "STRUCT(");
    for (idx_t i = 0; i < duckdb_struct_type_child_count(type) && good; i++) {
        char *member = duckdb_struct_type_child_name(type, i);
        buf_text(name, i == 0 ? "" : ", ");
        buf_text(name, member);
        buf_char(name, ' ');
        duckdb_free(member);
        good = child_put(name, duckdb_struct_type_child_type(type, i), depth);
    }
    buf_char(name, ')');
    return good;
}

/* The type's name; false when it has no JSON form. */
static bool type_put(struct buf *name, duckdb_logical_type type, int depth)
{
    duckdb_type id = duckdb_get_type_id(type);
    bool good = depth < WAREHOUSE_NESTING_MAX;
    if (!good)
        return false;
    if (id == DUCKDB_TYPE_DECIMAL) {
        buf_fmt(name, "DECIMAL(%d,%d)", duckdb_decimal_width(type), duckdb_decimal_scale(type));
    } else if (id == DUCKDB_TYPE_LIST) {
        good = child_put(name, duckdb_list_type_child_type(type), depth);
        buf_text(name, "[]");
    } else if (id == DUCKDB_TYPE_ARRAY) {
        good = child_put(name, duckdb_array_type_child_type(type), depth);
        buf_fmt(name, "[%llu]", (unsigned long long)duckdb_array_type_array_size(type));
    } else if (id == DUCKDB_TYPE_MAP) {
        buf_text(name, "MAP(");
        good = child_put(name, duckdb_map_type_key_type(type), depth);
        buf_text(name, ", ");
        good = good && child_put(name, duckdb_map_type_value_type(type), depth);
        buf_char(name, ')');
    } else if (id == DUCKDB_TYPE_STRUCT) {
        good = struct_put(name, type, depth);
    } else if ((size_t)id < sizeof scalar_names / sizeof scalar_names[0] &&
               scalar_names[id] != NULL) {
        char *alias = duckdb_logical_type_get_alias(type);
        buf_text(name, alias != NULL ? alias : scalar_names[id]);
        duckdb_free(alias);
    } else {
        good = false;
    }
    return good;
}

enum status json_columns(struct buf *json, duckdb_result *result, struct err *err)
{
    struct buf name;
    enum status status = ST_OK;
    buf_init(&name, (size_t)1 << 20);
    buf_char(json, '[');
    for (idx_t i = 0; i < duckdb_column_count(result) && status == ST_OK; i++) {
        duckdb_logical_type type = duckdb_column_logical_type(result, i);
        buf_reset(&name);
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "name", str_of(duckdb_column_name(result, i)));
        if (!type_put(&name, type, 0)) {
            status =
                err_set(err, ST_INVALID,
                        "could not answer the query: column %llu has a type without a JSON form",
                        (unsigned long long)i + 1);
            status = err_hint(err, status, "cast it to VARCHAR");
        }
        json_put_member_str(json, "type", buf_view(&name));
        buf_char(json, '}');
        duckdb_destroy_logical_type(&type);
    }
    buf_char(json, ']');
    buf_done(&name);
    return status;
}

/* `scale` digits after the point; 0 = an integer. */
static void put_big(struct buf *json, bool negative, uint128 v, unsigned scale)
{
    char digits[48];
    size_t at = sizeof digits;
    unsigned count = 0;
    do {
        if (count == scale && scale > 0)
            digits[--at] = '.';
        digits[--at] = (char)('0' + (int)(v % 10));
        v /= 10;
        count++;
    } while (v > 0 || count <= scale);
    if (negative)
        buf_char(json, '-');
    buf_put(json, digits + at, sizeof digits - at);
}

static void put_signed(struct buf *json, int128 v, unsigned scale)
{
    put_big(json, v < 0, v < 0 ? -(uint128)v : (uint128)v, scale);
}

static int128 hugeint_of(const void *data, uint64_t row)
{
    const duckdb_hugeint *v = &((const duckdb_hugeint *)data)[row];
    return (int128)((uint128)(uint64_t)v->upper << 64 | v->lower);
}

static void put_double(struct buf *json, double v)
{
    char text[40];
    if (!isfinite(v)) {
        buf_text(json, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_text(json, text);
}

static void put_time_of_day(struct buf *json, int64_t us)
{
    buf_fmt(json, "%02d:%02d:%02d", (int)(us / (3600 * US_PER_S)), (int)(us / (60 * US_PER_S) % 60),
            (int)(us / US_PER_S % 60));
    if (us % US_PER_S != 0)
        buf_fmt(json, ".%06d", (int)(us % US_PER_S));
}

static void put_moment(struct buf *json, int64_t us, bool with_time)
{
    struct tm tm;
    int64_t days = us / US_PER_DAY - (us % US_PER_DAY < 0 ? 1 : 0);
    time_t seconds = (time_t)(days * (US_PER_DAY / US_PER_S));
    if (us == INT64_MAX || us == -INT64_MAX || gmtime_r(&seconds, &tm) == NULL) {
        buf_text(json, us > 0 ? "\"infinity\"" : "\"-infinity\"");
        return;
    }
    buf_fmt(json, "\"%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    if (with_time) {
        buf_char(json, 'T');
        put_time_of_day(json, us - days * US_PER_DAY);
        buf_char(json, 'Z');
    }
    buf_char(json, '"');
}

static void put_date(struct buf *json, int32_t days)
{
    if (days == INT32_MAX || days == -INT32_MAX)
        buf_text(json, days > 0 ? "\"infinity\"" : "\"-infinity\"");
    else
        put_moment(json, days * US_PER_DAY, false);
}

static void put_uuid(struct buf *json, int128 v)
{
    uint128 u =
        (uint128)v ^ (uint128)1 << 127; /* the engine flips the first bit, so that order is right */
    uint64_t high = (uint64_t)(u >> 64), low = (uint64_t)u;
    buf_fmt(json, "\"%08x-%04x-%04x-%04x-%012llx\"", (unsigned)(high >> 32),
            (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
            (unsigned long long)(low & UINT64_C(0xffffffffffff)));
}

static void put_interval(struct buf *json, const duckdb_interval *v)
{
    buf_fmt(json, "\"P%dM%dDT%lld.%06lldS\"", v->months, v->days, (long long)(v->micros / US_PER_S),
            (long long)llabs(v->micros % US_PER_S));
}

static void put_varchar(struct buf *json, duckdb_vector vector, duckdb_logical_type type,
                        uint64_t row)
{
    struct str text = vector_text(vector, row);
    char *alias = duckdb_logical_type_get_alias(type);
    yyjson_doc *doc = NULL;
    if (alias != NULL && strcmp(alias, "JSON") == 0)
        doc = yyjson_read(text.p, text.n, YYJSON_READ_NOFLAG);
    if (doc != NULL)
        buf_str(json, text);
    else
        json_put_str(json, text);
    yyjson_doc_free(doc);
    duckdb_free(alias);
}

static void put_decimal(struct buf *json, duckdb_logical_type type, const void *data, uint64_t row)
{
    unsigned scale = duckdb_decimal_scale(type);
    switch (duckdb_decimal_internal_type(type)) {
    case DUCKDB_TYPE_SMALLINT:
        put_signed(json, ((const int16_t *)data)[row], scale);
        break;
    case DUCKDB_TYPE_INTEGER:
        put_signed(json, ((const int32_t *)data)[row], scale);
        break;
    case DUCKDB_TYPE_BIGINT:
        put_signed(json, ((const int64_t *)data)[row], scale);
        break;
    default:
        put_signed(json, hugeint_of(data, row), scale);
    }
}

static void put_value(struct buf *json, duckdb_vector vector, duckdb_logical_type type,
                      uint64_t row);

/* Items of one child vector, from `offset`; depth is bounded by json_columns. */
static void put_list(struct buf *json, duckdb_vector child, duckdb_logical_type child_type,
                     uint64_t offset, uint64_t length)
{
    buf_char(json, '[');
    for (uint64_t i = 0; i < length && !json->overflow; i++) {
        if (i > 0)
            buf_char(json, ',');
        put_value(json, child, child_type, offset + i);
    }
    buf_char(json, ']');
    duckdb_destroy_logical_type(&child_type);
}

static void put_struct(struct buf *json, duckdb_vector vector, duckdb_logical_type type,
                       uint64_t row)
{
    buf_char(json, '{');
    for (idx_t i = 0; i < duckdb_struct_type_child_count(type); i++) {
        char *name = duckdb_struct_type_child_name(type, i);
        duckdb_logical_type child_type = duckdb_struct_type_child_type(type, i);
        json_put_name(json, name);
        put_value(json, duckdb_struct_vector_get_child(vector, i), child_type, row);
        duckdb_destroy_logical_type(&child_type);
        duckdb_free(name);
    }
    buf_char(json, '}');
}

/* A map's key may be anything; as a member's name it is its JSON, or the text itself. */
static void put_map(struct buf *json, duckdb_vector vector, duckdb_logical_type type,
                    duckdb_list_entry entry)
{
    duckdb_vector pairs = duckdb_list_vector_get_child(vector);
    duckdb_vector keys = duckdb_struct_vector_get_child(pairs, 0);
    duckdb_vector values = duckdb_struct_vector_get_child(pairs, 1);
    duckdb_logical_type key_type = duckdb_map_type_key_type(type),
                        value_type = duckdb_map_type_value_type(type);
    struct buf key;
    buf_init(&key, (size_t)64 << 20);
    buf_char(json, '{');
    for (uint64_t i = 0; i < entry.length && !json->overflow; i++) {
        buf_reset(&key);
        put_value(&key, keys, key_type, entry.offset + i);
        json_put_comma(json);
        if (key.n > 0 && key.p[0] == '"')
            buf_str(json, buf_view(&key));
        else
            json_put_str(json, buf_view(&key));
        buf_char(json, ':');
        put_value(json, values, value_type, entry.offset + i);
    }
    buf_char(json, '}');
    buf_done(&key);
    duckdb_destroy_logical_type(&key_type);
    duckdb_destroy_logical_type(&value_type);
}

static void put_nested(struct buf *json, duckdb_vector vector, duckdb_logical_type type,
                       duckdb_type id, uint64_t row)
{
    if (id == DUCKDB_TYPE_STRUCT) {
        put_struct(json, vector, type, row);
    } else if (id == DUCKDB_TYPE_ARRAY) {
        idx_t size = duckdb_array_type_array_size(type);
        put_list(json, duckdb_array_vector_get_child(vector), duckdb_array_type_child_type(type),
                 row * size, size);
    } else {
        duckdb_list_entry entry = ((duckdb_list_entry *)duckdb_vector_get_data(vector))[row];
        if (id == DUCKDB_TYPE_MAP)
            put_map(json, vector, type, entry);
        else
            put_list(json, duckdb_list_vector_get_child(vector), duckdb_list_type_child_type(type),
                     entry.offset, entry.length);
    }
}

static bool put_integer(struct buf *json, const void *data, duckdb_type id, uint64_t row)
{
    if (id == DUCKDB_TYPE_TINYINT)
        put_signed(json, ((const int8_t *)data)[row], 0);
    else if (id == DUCKDB_TYPE_SMALLINT)
        put_signed(json, ((const int16_t *)data)[row], 0);
    else if (id == DUCKDB_TYPE_INTEGER)
        put_signed(json, ((const int32_t *)data)[row], 0);
    else if (id == DUCKDB_TYPE_BIGINT)
        put_signed(json, ((const int64_t *)data)[row], 0);
    else if (id == DUCKDB_TYPE_UTINYINT)
        put_signed(json, ((const uint8_t *)data)[row], 0);
    else if (id == DUCKDB_TYPE_USMALLINT)
        put_signed(json, ((const uint16_t *)data)[row], 0);
    else if (id == DUCKDB_TYPE_UINTEGER)
        put_signed(json, ((const uint32_t *)data)[row], 0);
    else if (id == DUCKDB_TYPE_UBIGINT)
        put_signed(json, ((const uint64_t *)data)[row], 0);
    else if (id == DUCKDB_TYPE_HUGEINT)
        put_signed(json, hugeint_of(data, row), 0);
    else if (id == DUCKDB_TYPE_UHUGEINT)
        put_big(json, false, (uint128)hugeint_of(data, row), 0);
    else
        return false;
    return true;
}

static void put_value(struct buf *json, duckdb_vector vector, duckdb_logical_type type,
                      uint64_t row)
{
    uint64_t *validity = duckdb_vector_get_validity(vector);
    duckdb_type id = duckdb_get_type_id(type);
    const void *data = duckdb_vector_get_data(vector);
    bool null = id == DUCKDB_TYPE_SQLNULL ||
                (validity != NULL && !duckdb_validity_row_is_valid(validity, row));
    if (null)
        buf_text(json, "null");
    else if (put_integer(json, data, id, row))
        return;
    else if (id == DUCKDB_TYPE_VARCHAR)
        put_varchar(json, vector, type, row);
    else if (id == DUCKDB_TYPE_BOOLEAN)
        buf_text(json, ((const bool *)data)[row] ? "true" : "false");
    else if (id == DUCKDB_TYPE_FLOAT)
        put_double(json, (double)((const float *)data)[row]);
    else if (id == DUCKDB_TYPE_DOUBLE)
        put_double(json, ((const double *)data)[row]);
    else if (id == DUCKDB_TYPE_DECIMAL)
        put_decimal(json, type, data, row);
    else if (id == DUCKDB_TYPE_TIMESTAMP || id == DUCKDB_TYPE_TIMESTAMP_TZ)
        put_moment(json, ((const int64_t *)data)[row], true);
    else if (id == DUCKDB_TYPE_DATE)
        put_date(json, ((const int32_t *)data)[row]);
    else if (id == DUCKDB_TYPE_TIME) {
        buf_char(json, '"');
        put_time_of_day(json, ((const int64_t *)data)[row]);
        buf_char(json, '"');
    } else if (id == DUCKDB_TYPE_INTERVAL)
        put_interval(json, &((const duckdb_interval *)data)[row]);
    else if (id == DUCKDB_TYPE_UUID)
        put_uuid(json, hugeint_of(data, row));
    else
        put_nested(json, vector, type, id, row);
}

void json_chunk(struct buf *json, duckdb_result *result, duckdb_data_chunk chunk,
                struct json_rows *rows)
{
    idx_t columns = duckdb_data_chunk_get_column_count(chunk);
    idx_t count = duckdb_data_chunk_get_size(chunk);
    duckdb_logical_type *types = calloc(columns, sizeof *types);
    CHECK(types != NULL);
    for (idx_t i = 0; i < columns; i++)
        types[i] = duckdb_column_logical_type(result, i);
    for (idx_t row = 0; row < count && !rows->truncated; row++) {
        size_t before = json->n;
        if (rows->rows == rows->rows_max) {
            rows->truncated = true;
            break;
        }
        json_put_comma(json);
        buf_char(json, '[');
        for (idx_t i = 0; i < columns; i++) {
            if (i > 0)
                buf_char(json, ',');
            put_value(json, duckdb_data_chunk_get_vector(chunk, i), types[i], row);
        }
        buf_char(json, ']');
        if (json->overflow || json->n > rows->bytes_max) {
            json->n = before;
            json->overflow = false;
            rows->truncated = true;
        } else {
            rows->rows++;
        }
    }
    for (idx_t i = 0; i < columns; i++)
        duckdb_destroy_logical_type(&types[i]);
    free(types);
}
