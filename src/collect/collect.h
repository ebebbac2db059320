/* collect.h - the public door: every protocol is translated into the one envelope, and a 2xx means
 * it is on the disk.
 *
 * Segment HTTP tracking API (and RudderStack, which differs little), 神策 /sa and /sa.gif, and our
 * own POST /api/v1/batch, which answers per event. Steps of a request: key → body (sniffed,
 * inflated) → JSON → translate each item → privacy gate → frames → journal → answer after the sync.
 * One bad item never refuses the others: it becomes a LOG_QUARANTINE record with its raw bytes. 4xx
 * makes SDKs throw events away, so only a wrong key, a body over its limit or an unreadable whole
 * body get one; a full disk or too many bytes in flight is 503 + Retry-After.
 *
 * Depends on: base, net, log, event, access, clean (known ids, times), privacy. Called by: app.
 * Wire formats: docs/api/openapi.yaml. */
#ifndef COLLECT_COLLECT_H
#define COLLECT_COLLECT_H

#include "access/access.h"
#include "base/rng.h"
#include "clean/clean.h"
#include "log/log.h"
#include "net/route.h"
#include "privacy/privacy.h"

struct collect;

/* What becomes of a visitor's IP address in an event's context, the client's own and ours. */
enum collect_ip {
    COLLECT_IP_KEEP,
    COLLECT_IP_TRUNCATE, /* to /24, IPv6 to /48: a district, not a household */
    COLLECT_IP_DROP,
};

struct collect_options {
    struct log *log;
    struct access *access;
    struct clean *clean;
    struct privacy *privacy;
    struct rng *rng;
    enum collect_ip ip;
};

/* What the options point to must outlive it. */
struct collect *collect_new(const struct collect_options *options);
/* After the server has stopped and the journal is closed: no request may be under way. */
void collect_free(struct collect *collect);

/* The routes; handlers take the struct collect as ctx. Each path has an OPTIONS row of its own. */
const struct route *collect_routes(size_t *ret_count);

struct collect_stats {
    uint64_t requests, events, quarantined, denied, duplicates_known, crc_mismatches, refused;
    uint64_t by_protocol[3]; /* events: segment, sensors, own */
};
void collect_stats(struct collect *collect, struct collect_stats *ret_stats);
#endif
