/* warehouse_digest.c - one number for all event rows, whatever their order.
 *
 * Each row becomes a line of seven length-prefixed texts, the line a 128-bit hash, and the hashes
 * are added modulo 2^128 (`a` is the high half). A sum does not care about order but, unlike XOR,
 * sees a row that is there twice. No position, received time or person id is in a line: two
 * warehouses that were told the same in any order, crash and rebuild between, have the same sum. */
#include "warehouse/warehouse_int.h"

#include "base/check.h"

#define LINE_BYTES_MAX ((size_t)8 << 20)

/* A person's smallest identifier: text is compared by bytes here (no collation is set). */
static const char lines_sql[] =
    "WITH smallest AS (SELECT person, min(identifier) AS identifier FROM raw.owner GROUP BY "
    "person) "
    "SELECT e.source, e.message_id, w.identifier, e.name, e.properties, s.identifier, "
    "epoch_us(e.time) "
    "FROM events AS e LEFT JOIN raw.owner AS w ON w.visitor = e.visitor "
    "LEFT JOIN smallest AS s ON s.person = e.person";
#define LINE_TEXTS 6

static void chunk_add(duckdb_data_chunk chunk, struct buf *line, struct hash128 *sum)
{
    duckdb_vector texts[LINE_TEXTS];
    for (idx_t i = 0; i < LINE_TEXTS; i++)
        texts[i] = duckdb_data_chunk_get_vector(chunk, i);
    const int64_t *time_us =
        duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, LINE_TEXTS));
    for (idx_t row = 0; row < duckdb_data_chunk_get_size(chunk); row++) {
        buf_reset(line);
        for (size_t i = 0; i < LINE_TEXTS; i++)
            buf_blob(line, vector_text(texts[i], row));
        buf_u64(line, (uint64_t)time_us[row]);
        CHECK(!line->overflow);
        struct hash128 hash = hash_public(buf_view(line));
        sum->b += hash.b;
        sum->a += hash.a + (sum->b < hash.b ? 1 : 0);
    }
}

enum status warehouse_digest(struct warehouse *warehouse, struct hash128 *ret_sum,
                             uint64_t *ret_rows, struct err *err)
{
    struct hash128 sum = {0, 0};
    uint64_t rows = 0;
    struct buf line;
    struct stream stream;
    duckdb_connection connection = NULL;
    unsigned generation = readers_enter(warehouse);
    enum status status = engine_connect_reader(warehouse, &connection, err);
    if (status == ST_OK)
        status = stream_open(&stream, connection, lines_sql, NULL, 0, err);
    if (status == ST_OK) {
        buf_init(&line, LINE_BYTES_MAX);
        for (duckdb_data_chunk chunk; (chunk = stream_next(&stream, &status, err)) != NULL;) {
            chunk_add(chunk, &line, &sum);
            rows += duckdb_data_chunk_get_size(chunk);
            duckdb_destroy_data_chunk(&chunk);
        }
        buf_done(&line);
        stream_close(&stream);
    }
    duckdb_disconnect(&connection);
    readers_leave(warehouse, generation);
    if (status == ST_OK)
        *ret_sum = sum, *ret_rows = rows;
    return status;
}
