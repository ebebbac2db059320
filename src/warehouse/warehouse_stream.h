/* warehouse_stream.h - rows by the million, for caches in memory: up to 2,048 at a time, in no
 * order, as columns that live for the call.
 *
 * A text is a code into `texts`, which grow with the stream and live until it ends; NULL is the
 * empty text. Any thread. Depends on: base. Called by: timeline. */
#ifndef WAREHOUSE_WAREHOUSE_STREAM_H
#define WAREHOUSE_WAREHOUSE_STREAM_H

#include "warehouse/warehouse.h"

struct warehouse_columns {
    size_t count;
    const uint64_t *visitor, *position;
    const int64_t *time_us;
    const int64_t *amount_micros;
    const uint64_t *amount_valid;              /* a bit per row; NULL = every row has an amount */
    const uint32_t *name, *channel, *campaign; /* of events */
    const uint32_t *value;                     /* of properties */
    const struct str *texts;
    uint32_t texts_count;
};
/* False: no more. */
typedef bool warehouse_columns_each(void *ctx, const struct warehouse_columns *columns);
struct warehouse_span {
    uint64_t position_from, position_below;
    int64_t time_from_us; /* 0 = all */
};
/* Disjoint spans side by side. What is committed meanwhile inside the span may be in it or not. */
MUST_USE enum status warehouse_stream_events(struct warehouse *warehouse,
                                             const struct warehouse_span *span,
                                             warehouse_columns_each *each, void *ctx,
                                             struct err *err);
/* The events that have this property (a member of `properties`) as text, number or truth value;
 * `event` = only those of this name, empty = all. */
MUST_USE enum status warehouse_stream_property(struct warehouse *warehouse,
                                               const struct warehouse_span *span, struct str event,
                                               struct str property, warehouse_columns_each *each,
                                               void *ctx, struct err *err);
/* Every visitor with the person that it belongs to now. */
typedef void warehouse_owners_each(void *ctx, size_t count, const uint64_t *visitors,
                                   const uint64_t *persons);
MUST_USE enum status warehouse_stream_owners(struct warehouse *warehouse,
                                             warehouse_owners_each *each, void *ctx,
                                             struct err *err);
#endif
