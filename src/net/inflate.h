/* inflate.h - gzip bodies, whatever their headers say: real SDKs send gzip under any label.
 * Depends on: base, zlib. Called by: collect, import. */
#ifndef NET_INFLATE_H
#define NET_INFLATE_H

#include "base/buf.h"
#include "base/status.h"

/* True for 1f 8b. */
bool inflate_is_gzip(struct str bytes);
/* Append the inflated bytes to `buf`, whose max is the limit: ST_TOO_LARGE when they would pass it,
 * cut while streaming so a bomb costs its limit at most. ST_INVALID on a damaged or cut stream.
 * On failure `buf` is as long as before. */
MUST_USE enum status inflate_gzip(struct str bytes, struct buf *buf, struct err *err);
#endif
