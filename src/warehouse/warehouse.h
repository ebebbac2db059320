/* warehouse.h - events in columns: DuckDB behind one header, the only code that opens its files
 * (DESIGN §9).
 *
 * One file per month of received time under DATA/warehouse, named by a manifest (replaced by
 * rename, synced); a transaction writes to the newest only: rows, records, overrides, traits and
 * the position commit together. A batch is cut at the month's end by the caller's received times.
 * Views: `events` (people resolved through overrides), `people` and `records`; user SQL sees
 * nothing else.
 *
 * Rows are added by one thread (the fold) and committed by one (the same, or another beside it);
 * queries from any thread. Everything here can be rebuilt from the journal while the journal has
 * it. Depends on: base. Called by: pipeline, api. */
#ifndef WAREHOUSE_WAREHOUSE_H
#define WAREHOUSE_WAREHOUSE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/str.h"

struct warehouse;

struct warehouse_options {
    const char *folder;        /* DATA/warehouse */
    const char *export_folder; /* DATA/export */
    struct disk *disk;         /* for the manifest */
    const struct clock *clock;
    size_t memory_bytes; /* DuckDB's memory_limit; 0 = min(25 % of RAM, 768 MiB) */
    int threads;         /* 0 = cores */
};

MUST_USE enum status warehouse_open(const struct warehouse_options *options,
                                    struct warehouse **ret_warehouse, struct err *err);
void warehouse_close(struct warehouse *warehouse);

/* The journal offset up to which everything is committed here: records at or after it are still to
 * come. */
uint64_t warehouse_position(const struct warehouse *warehouse);

/* One stored event. Texts are copied. Every warehouse_add_…: rows of journal records below the
 * committed position are there already and are dropped, so a pipeline that folds again may hand
 * over all it has; positions are below that of the commit that follows. */
struct warehouse_event {
    uint64_t position;
    uint64_t visitor; /* 0 = none */
    uint64_t person;  /* at the time of writing; 0 = none */
    struct str source;
    struct str type;
    struct str name;
    struct str channel;
    struct str campaign;
    struct str message_id;
    int64_t time_us, received_us, original_us, sent_us; /* 0 = NULL for the last two */
    bool has_amount;
    int64_t amount_micros;
    struct str currency;
    struct str properties; /* JSON object or empty */
    struct str context;
};
void warehouse_add_event(struct warehouse *warehouse, const struct warehouse_event *event);

/* A journal record that is no stored event: duplicate, quarantined; for erase, and for GET
 * /api/v1/records/{p}. The view `records` shows these and the stored ones together: position,
 * visitor, verdict, reason, source, received. */
struct warehouse_record {
    uint64_t position;
    uint64_t visitor;
    struct str verdict, reason, source;
    int64_t received_us;
};
void warehouse_add_record(struct warehouse *warehouse, const struct warehouse_record *record);

/* From this position on `visitor` belongs to `person`; the newest position wins. */
void warehouse_add_override(struct warehouse *warehouse, uint64_t visitor, uint64_t person,
                            uint64_t position);
/* A trait of a visitor changed; `value` is JSON, empty = gone. Newest (time, position) wins in the
 * view `people`. */
void warehouse_add_trait(struct warehouse *warehouse, uint64_t visitor, struct str name,
                         struct str value, int64_t time_us, uint64_t position);
/* A visitor was first seen: its identifier, for `people` and the digest. */
void warehouse_add_visitor(struct warehouse *warehouse, uint64_t visitor, uint64_t person,
                           struct str type, struct str value, uint64_t position);

/* By the adding thread: all that was added so far, and `position`, are for the next
 * warehouse_commit_sealed; what is added from here on is for the one after. Not while that has not
 * succeeded yet. */
void warehouse_seal(struct warehouse *warehouse, uint64_t position, int64_t received_us);
/* By one thread, beside the adding one: commit what was sealed, all together. ST_OK when there is
 * nothing. ST_BUSY on a full disk: it is kept for a retry. */
MUST_USE enum status warehouse_commit_sealed(struct warehouse *warehouse, struct err *err);
/* Both, for who adds and commits on one thread. After ST_BUSY: call it again, it commits what the
 * first call sealed. */
MUST_USE enum status warehouse_commit(struct warehouse *warehouse, uint64_t position,
                                      int64_t received_us, struct err *err);

struct warehouse_limits {
    int64_t time_us;   /* duckdb_interrupt after this; 0 = 30 s */
    uint64_t rows_max; /* 0 = 100,000 */
    size_t bytes_max;  /* of JSON; 0 = 64 MiB */
};

/* A person's SQL: ONE SELECT over the views, at most two at once (ST_BUSY), inside the limits of
 * DESIGN §9. Appends to `json`:
 * {"columns":[{"name","type"}],"rows":[[…]],"row_count":n,"truncated":false,"seconds":0.012}.
 * DECIMAL and BIGINT beyond 2^53 are written as JSON numbers with all digits. ST_INVALID carries
 * the engine's message. */
MUST_USE enum status warehouse_sql(struct warehouse *warehouse, struct str sql,
                                   const struct warehouse_limits *limits, struct buf *json,
                                   struct err *err);
/* Our own SQL, trusted: sees the tables; $1… bound from `params`. Same JSON. */
MUST_USE enum status warehouse_query(struct warehouse *warehouse, const char *sql,
                                     const struct str *params, size_t params_count,
                                     struct buf *json, struct err *err);

/* Positions of every journal record of these visitors, malloc'd for the caller. */
MUST_USE enum status warehouse_positions_of(struct warehouse *warehouse, const uint64_t *visitors,
                                            size_t count, uint64_t **ret_positions,
                                            size_t *ret_count, struct err *err);
/* Drop everything of these visitors from every file, by writing each touched file anew under a new
 * name (deleted text stays in a DuckDB file until a rewrite); the manifest then names the new set
 * and the old files are deleted. No visitor may be 0. `extra_positions`: records without a visitor
 * (quarantined raw bytes) that go too. Exports are deleted. */
MUST_USE enum status warehouse_erase(struct warehouse *warehouse, const uint64_t *visitors,
                                     size_t count, const uint64_t *extra_positions,
                                     size_t extra_count, struct err *err);
/* The visitors that were erased, or are being erased, since the warehouse was opened. A stream that
 * began before the erase may still have some of their rows. `each` must call nothing of here. */
typedef void warehouse_erased_each(void *ctx, size_t count, const uint64_t *visitors);
void warehouse_erased(struct warehouse *warehouse, warehouse_erased_each *each, void *ctx);

/* Parquet (zstd), one folder per day of event time, under a fresh folder of export_folder; its name
 * is returned in `folder`. Dates "YYYY-MM-DD", inclusive; empty = open. */
MUST_USE enum status warehouse_export(struct warehouse *warehouse, struct str from_day,
                                      struct str to_day, struct buf *folder, struct err *err);

/* Sum of 128-bit hashes (hash_public) of one line per event row, for `hezou doctor --digest`:
 * (source, message id, anchor "type:value", name, corrected time, properties, smallest identifier
 * "type:value" of the person through the view). Order-free. Also the number of rows. */
MUST_USE enum status warehouse_digest(struct warehouse *warehouse, struct hash128 *ret_sum,
                                      uint64_t *ret_rows, struct err *err);

struct warehouse_stats {
    uint64_t events, commits, files, overrides_tail;
    uint64_t memory_bytes; /* what the engine counts against its limit; up to a second older */
    int64_t commit_last_us;
};
/* As of the last commit or rewrite. Waits for neither. */
void warehouse_stats(struct warehouse *warehouse, struct warehouse_stats *ret_stats);
#endif
