/* segment.h - named lists of people: a set that a report opened, kept under a name.
 *
 * A list holds the VISITORS of its people that did something, no identifier and no property. Who
 * is on it is asked when somebody looks: the people that these visitors belong to then. So after a
 * merge two of its people are one, after an undo both are on it, and an erased visitor is on no
 * list: an erase deletes it from all of them.
 *
 * Depends on: base, store, warehouse. Called by: api. Personal data: numbers of visitors, erased by
 * segment_forget. */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include "base/clock.h"
#include "store/store.h"
#include "warehouse/warehouse.h"

#define SEGMENT_PEOPLE_MAX 1000000 /* of one list: it is read whole for each page */
#define SEGMENT_NAME_BYTES_MAX 200

struct segment;

struct segment_options {
    struct facts *facts;
    struct warehouse *warehouse;
    const struct clock *clock;
};

/* Drops what a crash left half made. */
MUST_USE enum status segment_lists_open(const struct segment_options *options,
                                        struct segment **ret_segment, struct err *err);
void segment_lists_close(struct segment *segment);

/* Keep these people (ids as everywhere) under a name. ST_CONFLICT when the name is taken,
 * ST_INVALID for an empty or too long one, ST_TOO_LARGE above SEGMENT_PEOPLE_MAX.
 * `ret_people`: how many are on it. Not beside segment_forget: the caller sees to it that nobody
 * is erased meanwhile. */
MUST_USE enum status segment_add(struct segment *segment, struct str name, struct str report,
                                 const uint64_t *people, size_t people_count, int64_t *ret_id,
                                 size_t *ret_people, struct err *err);
/* {"lists":[{"list","name","report","created","people"}]}; `people` = how many they
 * were when it was made. */
MUST_USE enum status segment_lists(struct segment *segment, struct buf *json, struct err *err);
/* {"list","name","total","people":[{"person","identifier"}],"next"}; `page` "" or a "next".
 * ST_NOT_FOUND. */
MUST_USE enum status segment_people(struct segment *segment, int64_t id, struct str page,
                                    size_t limit, struct buf *json, struct err *err);
MUST_USE enum status segment_remove(struct segment *segment, int64_t id, struct err *err);
/* These visitors are on no list any more, and on no page of the file. May be called again. */
MUST_USE enum status segment_forget(struct segment *segment, const uint64_t *visitors, size_t count,
                                    struct err *err);
#endif
