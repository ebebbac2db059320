/* warehouse_stream.c - rows leave by the million: columns as they come out of the engine, texts as
 * numbers.
 *
 * For caches in memory (timeline/). A caller takes the engine's own chunks without a copy; texts
 * are replaced by codes of a dictionary that grows with the stream, because the engine hands out
 * sixteen bytes per text and nearly all texts are ones that were seen a moment ago. Which? That is
 * asked of a small memo by those sixteen bytes; only what it does not know is hashed. Streams of
 * disjoint spans of positions may run side by side: the engine skips row groups by their smallest
 * and largest position. */
#include "warehouse/warehouse_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/map.h"
#include "base/rng.h"
#include "warehouse/warehouse_stream.h"

#define MEMO 4096

struct dictionary {
    struct map map;
    struct hash_key key;
    struct arena arena;
    struct str *texts;
    uint32_t count, capacity;
    struct memo {
        uint64_t a, b; /* a short text's sixteen bytes */
        uint32_t code; /* + 1; 0 = empty */
    } memo[MEMO];
};

static struct dictionary *dictionary_new(void)
{
    struct dictionary *dictionary = mem_zero(sizeof *dictionary);
    struct rng rng;
    rng_init_system(&rng);
    rng_bytes(&rng, dictionary->key.bytes, sizeof dictionary->key.bytes);
    map_init(&dictionary->map);
    arena_init(&dictionary->arena);
    return dictionary;
}

static void dictionary_free(struct dictionary *dictionary)
{
    map_done(&dictionary->map);
    arena_done(&dictionary->arena);
    free(dictionary->texts);
    free(dictionary);
}

static uint32_t text_find(struct dictionary *dictionary, struct str text)
{
    bool fresh = false;
    uint64_t *code = map_put(&dictionary->map, hash_keyed(&dictionary->key, text), &fresh);
    if (!fresh)
        return (uint32_t)*code;
    if (dictionary->count == dictionary->capacity) {
        dictionary->capacity = dictionary->capacity == 0 ? 256 : dictionary->capacity * 2;
        dictionary->texts =
            mem_grow(dictionary->texts, dictionary->capacity * sizeof *dictionary->texts);
    }
    dictionary->texts[dictionary->count] = arena_copy(&dictionary->arena, text);
    *code = dictionary->count;
    return dictionary->count++;
}

/* The engine's sixteen bytes: length, then the text itself, or its first four bytes and where it
 * lies. */
struct text_bytes {
    uint64_t a, b;
};

static uint32_t text_code(struct dictionary *dictionary, duckdb_string_t *string)
{
    struct text_bytes bytes;
    struct str text = {duckdb_string_t_data(string), duckdb_string_t_length(*string)};
    memcpy(&bytes, string, sizeof bytes);
    bool is_short = text.n <= sizeof string->value.inlined.inlined;
    if (!is_short)
        memcpy(&bytes.b, text.p + text.n - 8, 8);
    struct memo *memo = &dictionary->memo[hash_mix(bytes.a ^ hash_mix(bytes.b)) % MEMO];
    if (memo->code != 0 && memo->a == bytes.a && memo->b == bytes.b &&
        (is_short || str_eq(dictionary->texts[memo->code - 1], text)))
        return memo->code - 1;
    uint32_t code = text_find(dictionary, text);
    *memo = (struct memo){bytes.a, bytes.b, code + 1};
    return code;
}

#define LATELY 64U /* a power of two */

/* A NULL is the empty text. Nearly every text was met in this very chunk, where the same sixteen
 * bytes are the same text, wherever it lies: so nobody has to look there. */
static void codes_fill(struct dictionary *dictionary, duckdb_vector vector, size_t count,
                       uint32_t *ret_codes)
{
    struct {
        struct text_bytes bytes;
        uint32_t code;
    } lately[LATELY];
    duckdb_string_t *strings = duckdb_vector_get_data(vector);
    const uint64_t *validity = duckdb_vector_get_validity(vector);
    uint32_t none = text_find(dictionary, STR(""));
    for (size_t i = 0; i < LATELY; i++) { /* zeros are the empty text */
        lately[i].bytes = (struct text_bytes){0, 0};
        lately[i].code = none;
    }
    for (size_t i = 0; i < count; i++) {
        struct text_bytes bytes;
        if (validity != NULL && (validity[i / 64] >> i % 64 & 1) == 0) {
            ret_codes[i] = none;
            continue;
        }
        memcpy(&bytes, &strings[i], sizeof bytes);
        size_t at = ((bytes.a ^ bytes.b) * UINT64_C(0x9e3779b97f4a7c15)) >> 58;
        if (lately[at].bytes.a != bytes.a || lately[at].bytes.b != bytes.b) {
            lately[at].bytes = bytes;
            lately[at].code = text_code(dictionary, &strings[i]);
        }
        ret_codes[i] = lately[at].code;
    }
}

/* --- running ---------------------------------------------------------------------------------- */

struct streaming {
    struct warehouse *warehouse;
    duckdb_connection connection;
    struct stream stream;
    struct watch watch;
    unsigned generation;
};

static void streaming_close(struct streaming *streaming)
{
    stream_close(&streaming->stream);
    if (streaming->watch.stop != NULL)
        watch_end(streaming->warehouse, &streaming->watch);
    duckdb_disconnect(&streaming->connection);
    readers_leave(streaming->warehouse, streaming->generation);
}

/* `span` may be NULL: it is asked for its `stop`. */
static enum status streaming_open(struct streaming *streaming, struct warehouse *warehouse,
                                  const struct warehouse_span *span, const char *sql,
                                  const struct str *params, size_t params_count, struct err *err)
{
    *streaming = (struct streaming){.warehouse = warehouse};
    streaming->generation = readers_enter(warehouse);
    enum status status = engine_connect_reader(warehouse, &streaming->connection, err);
    if (status == ST_OK && span != NULL && span->stop != NULL) {
        streaming->watch = (struct watch){
            .connection = streaming->connection, .stop = span->stop, .stop_ctx = span->stop_ctx};
        watch_begin(warehouse, &streaming->watch);
    }
    if (status == ST_OK)
        status =
            stream_open(&streaming->stream, streaming->connection, sql, params, params_count, err);
    if (status != ST_OK)
        streaming_close(streaming);
    return status;
}

static const void *column(duckdb_data_chunk chunk, unsigned i)
{
    return duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, i));
}

/* Which columns a stream has: a number, position and time, then an amount or not, then texts. */
struct layout {
    bool amount;
    unsigned texts; /* the first of name, channel, campaign; or one value */
};

/* Rows as columns; the texts and the amount that a stream does not have are empty. */
static enum status columns_stream(struct warehouse *warehouse, const struct warehouse_span *span,
                                  const char *sql, const struct str *params, size_t params_count,
                                  struct layout layout, warehouse_columns_each *each, void *ctx,
                                  struct err *err)
{
    struct streaming streaming;
    enum status status =
        streaming_open(&streaming, warehouse, span, sql, params, params_count, err);
    if (status != ST_OK)
        return status;
    struct dictionary *dictionary = dictionary_new();
    size_t size = duckdb_vector_size();
    uint64_t *no_amounts = mem_zero(size / 64 * sizeof *no_amounts);
    uint32_t *codes = mem_zero(3 * size * sizeof *codes);
    uint32_t none = text_find(dictionary, STR(""));
    CHECK(none == 0); /* what `codes` begin with */
    duckdb_data_chunk chunk;
    bool more = true;
    while (more && (chunk = stream_next(&streaming.stream, &status, err)) != NULL) {
        struct warehouse_columns columns = {
            .count = duckdb_data_chunk_get_size(chunk),
            .visitor = column(chunk, 0),
            .events = column(chunk, 0),
            .position = column(chunk, 1),
            .time_us = column(chunk, 2),
            .amount_valid = no_amounts,
            .name = codes,
            .value = codes,
            .channel = codes + size,
            .campaign = codes + 2 * size,
        };
        if (layout.amount) {
            columns.amount_micros = column(chunk, 3);
            columns.amount_valid =
                duckdb_vector_get_validity(duckdb_data_chunk_get_vector(chunk, 3));
        }
        for (unsigned i = 0; i < layout.texts; i++)
            codes_fill(dictionary, duckdb_data_chunk_get_vector(chunk, 3U + layout.amount + i),
                       columns.count, codes + i * size);
        columns.texts = dictionary->texts;
        columns.texts_count = dictionary->count;
        more = each(ctx, &columns);
        duckdb_destroy_data_chunk(&chunk);
    }
    streaming_close(&streaming);
    dictionary_free(dictionary);
    free(codes);
    free(no_amounts);
    return status;
}

static void span_put(struct buf *sql, const struct warehouse_span *span)
{
    buf_fmt(sql, " WHERE position >= %llu AND position < %llu",
            (unsigned long long)span->position_from, (unsigned long long)span->position_below);
    if (span->time_from_us > 0)
        buf_fmt(sql, " AND time >= make_timestamp(%lld)", (long long)span->time_from_us);
    if (span->time_below_us > 0)
        buf_fmt(sql, " AND time < make_timestamp(%lld)", (long long)span->time_below_us);
    if (span->names_count == 0)
        return;
    buf_text(sql, span->but_names ? " AND coalesce(name, '') NOT IN (" : " AND name IN (");
    for (size_t i = 0; i < span->names_count; i++)
        buf_fmt(sql, i == 0 ? "$%zu" : ",$%zu", i + 1);
    buf_char(sql, ')');
}

enum status warehouse_stream_events(struct warehouse *warehouse, const struct warehouse_span *span,
                                    warehouse_columns_each *each, void *ctx, struct err *err)
{
    static const struct {
        const char *columns, *group;
        struct layout layout;
    } kinds[] = {
        [WAREHOUSE_EVERY] = {"position, time, amount, name, channel, campaign", "", {true, 3}},
        [WAREHOUSE_OF_VISITOR] = {"arg_min(position, time), min(time)", "visitor", {false, 0}},
        [WAREHOUSE_OF_NAME] = {"arg_min(position, time), min(time), name",
                               "visitor, name",
                               {false, 1}},
        [WAREHOUSE_OF_KIND] = {"arg_min(position, time), min(time), name, channel, campaign",
                               "visitor, name, channel, campaign",
                               {false, 3}},
    };
    struct buf sql;
    CHECK(span->names_count <= WAREHOUSE_NAMES_MAX);
    buf_init(&sql, 4096);
    buf_text(&sql, "SELECT visitor, ");
    buf_text(&sql, kinds[span->first].columns);
    buf_text(&sql, " FROM raw.event");
    span_put(&sql, span);
    if (span->first != WAREHOUSE_EVERY) {
        buf_text(&sql, " GROUP BY ");
        buf_text(&sql, kinds[span->first].group);
    }
    CHECK(!sql.overflow);
    enum status status = columns_stream(warehouse, span, sql.p, span->names, span->names_count,
                                        kinds[span->first].layout, each, ctx, err);
    buf_done(&sql);
    return status;
}

enum status warehouse_stream_kinds(struct warehouse *warehouse, const struct warehouse_span *span,
                                   warehouse_columns_each *each, void *ctx, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 512);
    buf_fmt(&sql,
            "SELECT count(*)::UBIGINT, min(position), min(time), name, channel, campaign "
            "FROM raw.event WHERE position < %llu GROUP BY name, channel, campaign ORDER BY 2",
            (unsigned long long)span->position_below);
    enum status status =
        columns_stream(warehouse, span, sql.p, NULL, 0, (struct layout){false, 3}, each, ctx, err);
    buf_done(&sql);
    return status;
}

enum status warehouse_stream_owners(struct warehouse *warehouse, warehouse_owners_each *each,
                                    void *ctx, struct err *err)
{
    struct streaming streaming;
    enum status status =
        streaming_open(&streaming, warehouse, NULL,
                       "SELECT v.visitor, coalesce(o.person, v.person) FROM raw.visitor AS v "
                       "LEFT JOIN raw.override AS o ON o.visitor = v.visitor",
                       NULL, 0, err);
    if (status != ST_OK)
        return status;
    duckdb_data_chunk chunk;
    while ((chunk = stream_next(&streaming.stream, &status, err)) != NULL) {
        each(ctx, duckdb_data_chunk_get_size(chunk), column(chunk, 0), column(chunk, 1));
        duckdb_destroy_data_chunk(&chunk);
    }
    streaming_close(&streaming);
    return status;
}

/* Summed up by visitor first: their owners are asked once each. */
enum status warehouse_stream_people(struct warehouse *warehouse, const struct warehouse_span *span,
                                    warehouse_people_each *each, void *ctx, struct err *err)
{
    struct buf sql;
    struct streaming streaming;
    buf_init(&sql, 2048);
    buf_fmt(&sql,
            "SELECT coalesce(nullif(coalesce(o.person, v.person), 0), e.visitor), max(e.last), "
            "sum(e.events)::UBIGINT FROM (SELECT visitor, max(time) AS last, count(*) FILTER "
            "(WHERE time >= make_timestamp(%lld) AND time < make_timestamp(%lld)) AS events "
            "FROM raw.event WHERE visitor <> 0 AND position < %llu GROUP BY visitor) AS e "
            "LEFT JOIN raw.visitor AS v ON v.visitor = e.visitor "
            "LEFT JOIN raw.override AS o ON o.visitor = e.visitor GROUP BY 1",
            (long long)span->time_from_us, (long long)span->time_below_us,
            (unsigned long long)span->position_below);
    enum status status = streaming_open(&streaming, warehouse, span, sql.p, NULL, 0, err);
    buf_done(&sql);
    if (status != ST_OK)
        return status;
    duckdb_data_chunk chunk;
    while ((chunk = stream_next(&streaming.stream, &status, err)) != NULL) {
        each(ctx, duckdb_data_chunk_get_size(chunk), column(chunk, 0), column(chunk, 1),
             column(chunk, 2));
        duckdb_destroy_data_chunk(&chunk);
    }
    streaming_close(&streaming);
    return status;
}

/* JSON pointer (RFC 6901) of a member of the object. */
static void pointer_put(struct buf *pointer, struct str name)
{
    buf_char(pointer, '/');
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '~')
            buf_text(pointer, "~0");
        else if (name.p[i] == '/')
            buf_text(pointer, "~1");
        else
            buf_char(pointer, name.p[i]);
    }
}

enum status warehouse_stream_property(struct warehouse *warehouse,
                                      const struct warehouse_span *span, struct str event,
                                      struct str property, warehouse_columns_each *each, void *ctx,
                                      struct err *err)
{
    struct buf sql, pointer;
    buf_init(&sql, 2048);
    buf_init(&pointer, 4096);
    buf_text(&sql, "SELECT visitor, position, time, value FROM (SELECT visitor, position, time, "
                   "properties, json_extract_string(properties, $1) AS value FROM raw.event");
    const struct warehouse_span times = {.position_from = span->position_from,
                                         .position_below = span->position_below,
                                         .time_from_us = span->time_from_us};
    span_put(&sql, &times);
    if (event.n > 0)
        buf_text(&sql, " AND name = $2");
    /* An object's text and a text that looks like one differ in their type only. */
    buf_text(&sql, ") WHERE value IS NOT NULL AND ((NOT starts_with(value, '{') AND NOT "
                   "starts_with(value, '[')) OR json_type(properties, $1) = 'VARCHAR')");
    pointer_put(&pointer, property);
    CHECK(!pointer.overflow && !sql.overflow);
    const struct str params[] = {buf_view(&pointer), event};
    enum status status = columns_stream(warehouse, span, sql.p, params, event.n > 0 ? 2 : 1,
                                        (struct layout){false, 1}, each, ctx, err);
    buf_done(&sql);
    buf_done(&pointer);
    return status;
}
