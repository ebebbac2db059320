/* timeline_extract.h - a timeline of one question, out of the warehouse: for events that the memory
 * does not hold (ADR 11). Any thread. Depends on: timeline, warehouse. Called by: analytics. */
#ifndef TIMELINE_TIMELINE_EXTRACT_H
#define TIMELINE_TIMELINE_EXTRACT_H

#include "timeline/timeline.h"
#include "warehouse/warehouse_stream.h"

/* What of the warehouse a question needs, when the memory does not reach back as far. */
struct timeline_extract {
    const struct warehouse_span *parts; /* no event is in two; positions and `stop` are set here */
    size_t parts_count;
    bool columns; /* property columns will be opened: they need memory, too */
    bool (*stop)(void *ctx);
    void *stop_ctx;
};
/* Made of the warehouse's rows up to its position of this moment, and of no more: nothing is fed,
 * nothing is merged, and its view, which says it is complete, is so for whoever needs no more than
 * the parts. Names, channels and campaigns are all there are, numbered in the order in which they
 * came. Visitors erased since the start are left out. ST_TOO_LARGE when it does not fit into
 * memory_bytes, ST_BUSY after `stop` said true. `extract` must live until timeline_close. */
MUST_USE enum status timeline_extract(const struct timeline_options *options,
                                      const struct timeline_extract *extract,
                                      struct timeline **ret_timeline, struct err *err);
#endif
