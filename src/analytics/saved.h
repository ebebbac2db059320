/* saved.h - questions kept under a name, to be asked again.
 *
 * A question is kept as it was asked: "the last 30 days" of it move on. It may name a value that is
 * somebody's (a condition on a property), so an erase drops the questions that hold one of the
 * erased identifiers. Depends on: base, store. Called by: api. */
#ifndef ANALYTICS_SAVED_H
#define ANALYTICS_SAVED_H

#include "base/json.h"
#include "store/store.h"

#define SAVED_MAX 1000 /* an erase reads them all */
#define SAVED_NAME_BYTES_MAX 200

/* Prepare the queries; once. */
void saved_init(struct facts *facts);
/* ST_CONFLICT when the name is taken, ST_TOO_LARGE above SAVED_MAX. `question` NULL = {}. */
MUST_USE enum status saved_add(struct facts *facts, int64_t now_us, struct str name,
                               struct str report, yyjson_val *question, int64_t *ret_id,
                               struct err *err);
/* {"reports":[{"id","name","report","question","created"}]} */
MUST_USE enum status saved_list(struct facts *facts, struct buf *json, struct err *err);
/* One of them, as an object. ST_NOT_FOUND. */
MUST_USE enum status saved_get(struct facts *facts, int64_t id, struct buf *json, struct err *err);
MUST_USE enum status saved_remove(struct facts *facts, int64_t id, struct err *err);
/* Drop the questions that have one of these texts as a value. */
MUST_USE enum status saved_forget(struct facts *facts, const struct str *values, size_t count,
                                  struct err *err);
#endif
