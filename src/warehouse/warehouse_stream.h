/* warehouse_stream.h - rows by the million, for caches in memory: up to 2,048 at a time, in no
 * order, as columns that live for the call.
 *
 * A text is a code into `texts`, which grow with the stream and live until it ends; NULL is the
 * empty text. Any thread. Depends on: base. Called by: timeline, analytics. */
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
    const uint64_t *events;                    /* of kinds: how many */
    const struct str *texts;
    uint32_t texts_count;
};
/* False: no more. */
typedef bool warehouse_columns_each(void *ctx, const struct warehouse_columns *columns);
/* Of events of which only one is to be known, the first one: of each visitor (name, channel and
 * campaign are empty then), of each visitor and name (channel and campaign are empty), of each
 * visitor, name, channel and campaign. None has an amount. */
enum warehouse_first {
    WAREHOUSE_EVERY,
    WAREHOUSE_OF_VISITOR,
    WAREHOUSE_OF_NAME,
    WAREHOUSE_OF_KIND
};
struct warehouse_span {
    uint64_t position_from, position_below;
    int64_t time_from_us, time_below_us; /* 0 = all */
    const struct str *names; /* of events, NULL = all; at most WAREHOUSE_NAMES_MAX … */
    size_t names_count;
    bool but_names; /* … or all names but these */
    enum warehouse_first first;
    /* Asked every 20 ms by another thread: the stream ends soon after it says true, with ST_IO. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
};
#define WAREHOUSE_NAMES_MAX 64
/* Disjoint spans side by side. What is committed meanwhile inside the span may be in it
 * or not. */
MUST_USE enum status warehouse_stream_events(struct warehouse *warehouse,
                                             const struct warehouse_span *span,
                                             warehouse_columns_each *each, void *ctx,
                                             struct err *err);
/* Every pair of event name and origin (channel, campaign) below `position_below`, in the order in
 * which they first came; of `span` only that and `stop` count. */
MUST_USE enum status warehouse_stream_kinds(struct warehouse *warehouse,
                                            const struct warehouse_span *span,
                                            warehouse_columns_each *each, void *ctx,
                                            struct err *err);
/* The events that have this property (a member of `properties`) as text, number or truth value;
 * `event` = only those of this name, empty = all. Of `span` positions, `time_from_us` and `stop`
 * count. */
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

/* Every person (as it is now) who has an event below `position_below`: their last event, and how
 * many events lie in the times of `span`. */
typedef void warehouse_people_each(void *ctx, size_t count, const uint64_t *persons,
                                   const int64_t *last_us, const uint64_t *events);
MUST_USE enum status warehouse_stream_people(struct warehouse *warehouse,
                                             const struct warehouse_span *span,
                                             warehouse_people_each *each, void *ctx,
                                             struct err *err);
#endif
