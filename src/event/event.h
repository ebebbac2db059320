/* event.h - the envelope: the one kind of event that exists behind the door.
 *
 * Every protocol is translated into this at the door (collect, import), encoded into a journal
 * payload, and decoded by the pipeline. Values are as the client sent them: normal forms, corrected
 * times and verdicts are clean's work, so a better rule can be applied to old records by a replay.
 *
 * Depends on: base, log (record types). Called by: collect, import, clean, pipeline, api.
 * docs/format/event.md */
#ifndef EVENT_EVENT_H
#define EVENT_EVENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/status.h"
#include "base/str.h"

#define EVENT_VERSION 1 /* of the payload form */

enum event_type {
    EVENT_TRACK = 1,
    EVENT_IDENTIFY = 2,
    EVENT_PAGE = 3,
    EVENT_SCREEN = 4,
    EVENT_GROUP = 5,
    EVENT_ALIAS = 6,
    EVENT_BIND = 7,    /* these identifiers are one person */
    EVENT_UNBIND = 8,  /* the anchor leaves the others (alone: leaves everybody) */
    EVENT_PROFILE = 9, /* a change of traits: see operation */
    EVENT_TYPE_END
};

/* What `properties` do to the traits. EVENT_IDENTIFY is always EVENT_SET, whatever its struct says.
 */
enum event_operation {
    EVENT_NONE = 0,
    EVENT_SET = 1,
    EVENT_SET_ONCE = 2,
    EVENT_INCREMENT = 3, /* numbers are added */
    EVENT_APPEND = 4,    /* list members are added, each once */
    EVENT_UNSET = 5,     /* the named traits go */
    EVENT_DELETE = 6,    /* all traits go */
    EVENT_OPERATION_END
};

enum identifier_type {
    IDENTIFIER_NONE = 0,
#define X(name, text, limit, sensors) IDENTIFIER_##name,
#include "event/identifier.def"
#undef X
    IDENTIFIER_END
};

/* A lower number is a higher priority; the enum's own order. */
static inline int identifier_priority(enum identifier_type type)
{
    return (int)type;
}
const char *identifier_name(enum identifier_type type);
/* IDENTIFIER_NONE when unknown. */
enum identifier_type identifier_type_of(struct str name);
int identifier_limit(enum identifier_type type);
const char *event_type_name(enum event_type type);

struct event_identifier {
    enum identifier_type type;
    struct str value;
};

/* All texts are borrowed: from the request while it is being built, from the payload after
 * decoding. */
struct event {
    enum event_type type;
    enum event_operation operation;
    struct str message_id; /* the client's; made by the door when absent: never empty */
    struct str name;       /* of a track, page or screen; empty otherwise */
    struct str channel;    /* web, app, miniprogram, pos, import …; from the source if empty */
    int64_t original_us;   /* the client's event time; 0 = absent */
    int64_t sent_us;       /* when the client sent it; 0 = absent */
    struct event_identifier identifiers[LIMIT_EVENT_IDENTIFIERS];
    size_t identifiers_count;
    struct str
        properties;     /* a JSON object, compact, or empty; traits for identify, group, profile */
    struct str context; /* a JSON object, compact, or empty */
};

/* An event that says nothing. The room for identifiers, most of it, stays as it is. */
static inline void event_clear(struct event *event)
{
    memset(event, 0, offsetof(struct event, identifiers));
    event->identifiers_count = 0;
    event->properties = event->context = (struct str){"", 0};
}

/* Add an identifier; an empty value or one beyond LIMIT_EVENT_IDENTIFIERS or LIMIT_IDENTIFIER_BYTES
 * is left out and false is returned. The same type and value twice is kept once. */
bool event_add_identifier(struct event *event, enum identifier_type type, struct str value);

/* Append the payload form to `buf`. Identifiers must come from event_add_identifier. */
void event_encode(const struct event *event, struct buf *buf);
/* Borrowing decode. ST_CORRUPT on anything that event_encode could not have written; unknown fields
 * are skipped, so an older program reads a newer minor form. Identifiers behind identifiers_count
 * stay as they were. */
MUST_USE enum status event_decode(struct str payload, struct event *ret_event, struct err *err);

/* Why the door or clean did not take an event; part of the formats, so rows are only added. */
enum event_reason {
    REASON_NONE = 0,
#define X(name, text) REASON_##name,
#include "event/reason.def"
#undef X
    REASON_END
};
const char *event_reason_name(enum event_reason reason);

/* A LOG_QUARANTINE payload: why, the protocol's path, and the raw bytes of the one event. */
struct quarantine {
    enum event_reason reason;
    struct str path; /* "/v1/batch" */
    struct str raw;
};
void quarantine_encode(const struct quarantine *quarantine, struct buf *buf);
MUST_USE enum status quarantine_decode(struct str payload, struct quarantine *ret_quarantine,
                                       struct err *err);

/* A LOG_ERASE payload: the ledger entry's id and the keyed hashes of the identifiers. */
struct erasure {
    uint64_t ledger_id;
    const struct hash128 *hashes; /* in `arena` after decoding */
    size_t hashes_count;
};
void erasure_encode(const struct erasure *erasure, struct buf *buf);
MUST_USE enum status erasure_decode(struct str payload, struct arena *arena,
                                    struct erasure *ret_erasure, struct err *err);
#endif
