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

static uint32_t text_code(struct dictionary *dictionary, duckdb_string_t *string)
{
    struct str text = {duckdb_string_t_data(string), duckdb_string_t_length(*string)};
    uint64_t a, b = 0;
    memcpy(&a, string, 8); /* length and the first four bytes */
    bool is_short = duckdb_string_is_inlined(*string);
    memcpy(&b, is_short ? (const char *)string + 8 : text.p + text.n - 8, 8);
    struct memo *memo = &dictionary->memo[hash_mix(a ^ hash_mix(b)) % MEMO];
    if (memo->code != 0 && memo->a == a && memo->b == b &&
        (is_short || str_eq(dictionary->texts[memo->code - 1], text)))
        return memo->code - 1;
    uint32_t code = text_find(dictionary, text);
    *memo = (struct memo){a, b, code + 1};
    return code;
}

/* A NULL is the empty text. */
static void codes_fill(struct dictionary *dictionary, duckdb_vector vector, size_t count,
                       uint32_t *ret_codes)
{
    duckdb_string_t *strings = duckdb_vector_get_data(vector);
    uint64_t *validity = duckdb_vector_get_validity(vector);
    uint32_t none = text_find(dictionary, STR(""));
    for (size_t i = 0; i < count; i++)
        ret_codes[i] = validity != NULL && !duckdb_validity_row_is_valid(validity, i)
                           ? none
                           : text_code(dictionary, &strings[i]);
}

/* --- running ---------------------------------------------------------------------------------- */

struct streaming {
    struct warehouse *warehouse;
    duckdb_connection connection;
    struct stream stream;
    unsigned generation;
};

static enum status streaming_open(struct streaming *streaming, struct warehouse *warehouse,
                                  const char *sql, const struct str *params, size_t params_count,
                                  struct err *err)
{
    *streaming = (struct streaming){.warehouse = warehouse};
    streaming->generation = readers_enter(warehouse);
    enum status status = engine_connect(warehouse, &streaming->connection, err);
    if (status == ST_OK)
        status =
            stream_open(&streaming->stream, streaming->connection, sql, params, params_count, err);
    if (status != ST_OK) {
        duckdb_disconnect(&streaming->connection);
        readers_leave(warehouse, streaming->generation);
    }
    return status;
}

static void streaming_close(struct streaming *streaming)
{
    stream_close(&streaming->stream);
    duckdb_disconnect(&streaming->connection);
    readers_leave(streaming->warehouse, streaming->generation);
}

static const void *column(duckdb_data_chunk chunk, unsigned i)
{
    return duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, i));
}

static void span_put(struct buf *sql, const struct warehouse_span *span)
{
    buf_fmt(sql, " WHERE position >= %llu AND position < %llu",
            (unsigned long long)span->position_from, (unsigned long long)span->position_below);
    if (span->time_from_us > 0)
        buf_fmt(sql, " AND time >= make_timestamp(%lld)", (long long)span->time_from_us);
}

enum status warehouse_stream_events(struct warehouse *warehouse, const struct warehouse_span *span,
                                    warehouse_columns_each *each, void *ctx, struct err *err)
{
    struct buf sql;
    struct streaming streaming;
    buf_init(&sql, 1024);
    buf_text(&sql,
             "SELECT visitor, position, time, amount, name, channel, campaign FROM raw.event");
    span_put(&sql, span);
    enum status status = streaming_open(&streaming, warehouse, sql.p, NULL, 0, err);
    buf_done(&sql);
    if (status != ST_OK)
        return status;
    struct dictionary *dictionary = dictionary_new();
    size_t size = duckdb_vector_size();
    uint32_t *codes = mem_alloc(3 * size * sizeof *codes);
    duckdb_data_chunk chunk;
    bool more = true;
    while (more && (chunk = stream_next(&streaming.stream, &status, err)) != NULL) {
        struct warehouse_columns columns = {
            .count = duckdb_data_chunk_get_size(chunk),
            .visitor = column(chunk, 0),
            .position = column(chunk, 1),
            .time_us = column(chunk, 2),
            .amount_micros = column(chunk, 3),
            .amount_valid = duckdb_vector_get_validity(duckdb_data_chunk_get_vector(chunk, 3)),
            .name = codes,
            .channel = codes + size,
            .campaign = codes + 2 * size,
        };
        for (unsigned i = 0; i < 3; i++)
            codes_fill(dictionary, duckdb_data_chunk_get_vector(chunk, 4 + i), columns.count,
                       codes + i * size);
        columns.texts = dictionary->texts;
        columns.texts_count = dictionary->count;
        more = each(ctx, &columns);
        duckdb_destroy_data_chunk(&chunk);
    }
    streaming_close(&streaming);
    dictionary_free(dictionary);
    free(codes);
    return status;
}

enum status warehouse_stream_owners(struct warehouse *warehouse, warehouse_owners_each *each,
                                    void *ctx, struct err *err)
{
    struct streaming streaming;
    enum status status =
        streaming_open(&streaming, warehouse,
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
    struct streaming streaming;
    buf_init(&sql, 2048);
    buf_init(&pointer, 4096);
    buf_text(&sql, "SELECT visitor, position, time, value FROM (SELECT visitor, position, time, "
                   "properties, json_extract_string(properties, $1) AS value FROM raw.event");
    span_put(&sql, span);
    if (event.n > 0)
        buf_text(&sql, " AND name = $2");
    /* An object's text and a text that looks like one differ in their type only. */
    buf_text(&sql, ") WHERE value IS NOT NULL AND ((NOT starts_with(value, '{') AND NOT "
                   "starts_with(value, '[')) OR json_type(properties, $1) = 'VARCHAR')");
    pointer_put(&pointer, property);
    CHECK(!pointer.overflow && !sql.overflow);
    const struct str params[] = {buf_view(&pointer), event};
    enum status status =
        streaming_open(&streaming, warehouse, sql.p, params, event.n > 0 ? 2 : 1, err);
    buf_done(&sql);
    buf_done(&pointer);
    if (status != ST_OK)
        return status;
    struct dictionary *dictionary = dictionary_new();
    uint32_t *codes = mem_alloc(duckdb_vector_size() * sizeof *codes);
    duckdb_data_chunk chunk;
    bool more = true;
    while (more && (chunk = stream_next(&streaming.stream, &status, err)) != NULL) {
        struct warehouse_columns columns = {
            .count = duckdb_data_chunk_get_size(chunk),
            .visitor = column(chunk, 0),
            .position = column(chunk, 1),
            .time_us = column(chunk, 2),
            .value = codes,
        };
        codes_fill(dictionary, duckdb_data_chunk_get_vector(chunk, 3), columns.count, codes);
        columns.texts = dictionary->texts;
        columns.texts_count = dictionary->count;
        more = each(ctx, &columns);
        duckdb_destroy_data_chunk(&chunk);
    }
    streaming_close(&streaming);
    dictionary_free(dictionary);
    free(codes);
    return status;
}
