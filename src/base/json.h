/* json.h - reading and writing JSON; the reader is yyjson behind a depth limit, strict UTF-8, RFC
 * 8259.
 *
 * A parsed document borrows nothing from its text. Numbers keep their text (json_raw mode) where
 * the caller asks for exact decimals. The writer escapes by type: no format string ever builds
 * JSON. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <yyjson.h>

#include "base/buf.h"
#include "base/status.h"

#define JSON_DEPTH_MAX 64 /* deeper has always been an attack */

/* Reusable memory for one thread's parsing: no malloc per document once warm. */
struct json_pool {
    void *bytes;
    size_t size;
    yyjson_alc alc;
};

void json_pool_init(struct json_pool *pool);
void json_pool_done(struct json_pool *pool);

/* Parse one document. ST_INVALID says where ("line 1, byte 17: …"); ST_TOO_LARGE when deeper than
 * JSON_DEPTH_MAX. The document lives in `pool` until the next parse there; with pool NULL the
 * caller calls yyjson_doc_free. */
MUST_USE enum status json_parse(struct json_pool *pool, struct str text, yyjson_doc **ret_doc,
                                struct err *err);

/* The same without a pool, numbers kept as their text: json_write gives back every digit.
 * yyjson_doc_free ends it. */
MUST_USE enum status json_parse_exact(struct str text, yyjson_doc **ret_doc, struct err *err);

/* Is no value in more than JSON_DEPTH_MAX containers? For who calls yyjson itself. */
bool json_depth_allowed(const yyjson_doc *doc);

/* The text of a string value, else the empty text. */
static inline struct str json_str(yyjson_val *value)
{
    return yyjson_is_str(value) ? (struct str){yyjson_get_str(value), yyjson_get_len(value)}
                                : (struct str){"", 0};
}
/* A member that is a non-empty string, else the empty text. */
static inline struct str json_member_str(yyjson_val *object, const char *name)
{
    return json_str(yyjson_obj_get(object, name));
}
/* Append `value` as compact JSON. */
void json_write(struct buf *buf, yyjson_val *value);

/* Writing by hand: each puts one token, escaped. Commas and braces are the caller's. */
void json_put_str(struct buf *buf, struct str text);
/* Bytes that may be no UTF-8: each bad byte becomes U+FFFD. */
void json_put_lossy(struct buf *buf, struct str bytes);
/* "name": with the comma before it unless the last byte is '{' or '['. */
void json_put_name(struct buf *buf, const char *name);
void json_put_member_str(struct buf *buf, const char *name, struct str text);
void json_put_member_int(struct buf *buf, const char *name, int64_t v);
void json_put_member_uint(struct buf *buf, const char *name, uint64_t v);
/* The shortest text that reads back as the same double; null for what is not finite. */
void json_put_number(struct buf *buf, double v);
void json_put_member_number(struct buf *buf, const char *name, double v);
void json_put_member_bool(struct buf *buf, const char *name, bool v);
void json_put_member_raw(struct buf *buf, const char *name, struct str json);
/* A comma unless the last byte is '{' or '['. */
void json_put_comma(struct buf *buf);
#endif
