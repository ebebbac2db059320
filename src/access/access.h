/* access.h - sources, keys and what they may do.
 *
 * A SOURCE is where events come from (shop-web, till-3, import); it has a number for ever and a
 * channel. A WRITE KEY belongs to a source and may only send events; it is public by nature (it
 * stands in web pages). A SECRET KEY has scopes; it is shown once and kept as a hash. Both can be
 * rotated without downtime: several are valid at once, each can be revoked. The OWNER KEY is a
 * secret key with all scopes, written to DATA/owner.key (0600) at the first start, and at any start
 * that finds no valid key there.
 *
 * What they did stands in the audit log (audit.h).
 *
 * Facts tables: source, access_key. Look-ups come from memory and never wait for the disk; a revoke
 * is in force when its call returns. No personal data. Depends on: base, store. Called by: collect,
 * api, app. */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "store/store.h"

enum access_scope {
    SCOPE_NONE = 0,
    SCOPE_COLLECT = 1u << 0,  /* send events */
    SCOPE_READ = 1u << 1,     /* profiles, reports, SQL */
    SCOPE_IDENTITY = 1u << 2, /* rules, unmerge */
    SCOPE_ERASE = 1u << 3,
    SCOPE_ADMIN = 1u << 4, /* keys, sources, doctor */
    SCOPE_ALL = (1u << 5) - 1,
};

/* The source of our own events and decisions; no write key can name it. */
#define SOURCE_SELF 0u

struct access;

struct access_grant {
    uint32_t
        source; /* a write key's source; for secret keys the source that collect uses ("api") */
    uint32_t scopes;
    struct str id; /* as listed; lives as long as the access */
    bool trusted;  /* a secret key: events may have LIMIT_EVENT_TRUSTED_BYTES */
};

/* Opens over facts (migrations are done), makes the source "api" and the owner key if they are
 * missing. */
MUST_USE enum status access_open(struct facts *facts, struct rng *rng, const struct clock *clock,
                                 const char *owner_key_path, struct access **ret_access,
                                 struct err *err);
void access_close(struct access *access);

/* What a key may do; ST_UNAUTHORIZED if unknown or revoked. Constant-time for secret keys, any
 * thread. */
MUST_USE enum status access_check(struct access *access, struct str key,
                                  struct access_grant *ret_grant, struct err *err);

/* Make a source with its first write key; ST_CONFLICT if the name is taken. `ret_key` gets the key.
 */
MUST_USE enum status access_add_source(struct access *access, struct str name, struct str channel,
                                       struct buf *ret_key, uint32_t *ret_source, struct err *err);
/* One more key: a write key of `source`, or a secret key with `scopes`. */
MUST_USE enum status access_add_write_key(struct access *access, struct str source,
                                          struct buf *ret_key, struct err *err);
/* A write key that the caller chose: a shop that comes from another vendor keeps the one in its
 * pages. ST_INVALID unless 8 to 64 characters of A-Z a-z 0-9 - _; ST_CONFLICT if it was ever used.
 */
MUST_USE enum status access_add_write_key_value(struct access *access, struct str source,
                                                struct str key, struct err *err);
MUST_USE enum status access_add_secret_key(struct access *access, struct str label, uint32_t scopes,
                                           struct buf *ret_key, struct err *err);
/* In force when it returns. ST_NOT_FOUND. `id` as listed. */
MUST_USE enum status access_revoke(struct access *access, struct str id, struct err *err);
/* JSON: {"sources":[{"id","name","channel"}], "keys":[{"id","kind","source","label","scopes",
 * "prefix","created","revoked"}]}; never a key itself. "created" in microseconds UTC, "revoked" too
 * or null, "scopes" as access_scopes_write. */
MUST_USE enum status access_list(struct access *access, struct buf *json, struct err *err);

/* What a key's maker called it, by its id; "" if unknown. As long as the access. */
struct str access_key_label(struct access *access, struct str id);

/* Name and channel of a source; any thread; lives as long as the access. "" if unknown. */
struct str access_source_name(struct access *access, uint32_t source);
struct str access_source_channel(struct access *access, uint32_t source);

/* "read,erase" to bits and back; ST_INVALID names the unknown word. */
MUST_USE enum status access_scopes_parse(struct str text, uint32_t *ret_scopes, struct err *err);
void access_scopes_write(uint32_t scopes, struct buf *buf);
#endif
