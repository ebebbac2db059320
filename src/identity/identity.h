/* identity.h - which identifiers are one person (DESIGN §5).
 *
 * A VISITOR is one identifier. An event belongs for ever to its ANCHOR, its highest-priority
 * identifier. The anchor makes an EDGE with each other identifier of the event. A COMPONENT is what
 * edges connect, refused ones included; PEOPLE are the fold of a component's edges in their order
 * (corrected event time, message hash, priority of the other identifier, its value): an edge whose
 * people together break a limit is refused and kept. So any arrival order gives the same people. A
 * component above LIMIT_COMPONENT_IDENTIFIERS is frozen: it takes no more edges and is reported.
 *
 * Of one pair of identifiers the earliest edge since its last unbind and the newest ones are kept.
 * An unbind at u voids the pair's edges at or before u. An event that would make a component too
 * large takes no new edge.
 *
 * Ids are made from positions: visitor = (offset of the record that first named it << 10) | its
 * place in that event; a person's id is its founding visitor's. On a merge the person with fewer
 * visitors changes (tie: the younger id). On a split the largest part keeps the id; another part
 * gets its own founding visitor's, so an undo gives people their old ids back, or where that is
 * taken (offset << 10 | 32 + n).
 *
 * State tables: `identifier` (keyed hash of type and value → visitor, component) and `component`
 * (members, edges); a component of one visitor without edges has no row of its own. All calls but
 * identity_scan need the state lock. Depends on: base, store, event, clean (the ISO form of times).
 * Called by: pipeline, api. */
#ifndef IDENTITY_IDENTITY_H
#define IDENTITY_IDENTITY_H

#include "base/arena.h"
#include "base/buf.h"
#include "event/event.h"
#include "store/state.h"

struct visitor_id {
    uint64_t v; /* 0 = the visitor of events without identifiers */
};

struct person_id {
    uint64_t v;
};

#define IDENTITY_EDGES_KEPT 4 /* of one pair: the earliest, and the 3 newest (identity_pair.c) */
#define IDENTITY_PAIRS_MAX                                                                         \
    4000 /* of one component, else it is frozen: half a megabyte of evidence */
#define IDENTITY_BLOCKED_MAX                                                                       \
    2000 /* blocked values: more is no list of exceptions, and they stand in one state value */

struct identity;

/* `key` is the data directory's: identifiers are found by keyed hash. */
MUST_USE enum status identity_open(struct state *state, const struct hash_key *key,
                                   struct identity **ret_identity, struct err *err);
void identity_close(struct identity *identity);

/* What one event says. identifiers[0] is the anchor; all are in normal form. */
struct identity_claim {
    uint64_t position;
    int64_t time_us;
    struct hash128 message;
    const struct event_identifier *identifiers;
    size_t identifiers_count;
    bool unbind; /* the anchor no longer belongs with the others (alone: with any other) */
};

/* A visitor whose person is another one now. */
struct identity_change {
    struct visitor_id visitor;
    struct person_id person;
};

struct identity_member {
    struct visitor_id visitor;
    struct person_id person; /* members of one component may be several people */
    enum identifier_type type;
    struct str value;
};

struct identity_result {
    struct visitor_id anchor; /* {0} without identifiers */
    struct person_id person;  /* of the anchor, after the fold */
    struct identity_member
        *fresh; /* in the arena: visitors first seen in this event; values are the claim's */
    size_t fresh_count;
    struct identity_change
        *changes; /* in the arena: for the warehouse's overrides and for merged counts */
    size_t changes_count;
    uint32_t edges_refused; /* by a limit, now or still */
};

/* Identifiers of the claims that are folded next, at most IDENTITY_PREFETCH_MAX: a hint that saves
 * waiting for memory. */
#define IDENTITY_PREFETCH_MAX 64
void identity_prefetch(struct identity *identity, const struct event_identifier *identifiers,
                       size_t count);
/* Fold one claim. Never fails: a frozen component just takes no edge. */
void identity_fold(struct identity *identity, const struct identity_claim *claim,
                   struct arena *arena, struct identity_result *ret_result);

/* Visitor and person of an identifier in normal form; false if never seen. */
bool identity_find(struct identity *identity, enum identifier_type type, struct str value,
                   struct visitor_id *ret_visitor, struct person_id *ret_person);
/* All members of the COMPONENT that the identifier is in, in the arena, in order of visitor id.
 * ST_NOT_FOUND. */
MUST_USE enum status identity_members(struct identity *identity, enum identifier_type type,
                                      struct str value, struct arena *arena,
                                      struct identity_member **ret_members, size_t *ret_count,
                                      struct err *err);
/* The same of its PERSON alone: a component may hold many times as many members. */
MUST_USE enum status identity_person_members(struct identity *identity, enum identifier_type type,
                                             struct str value, struct arena *arena,
                                             struct identity_member **ret_members,
                                             size_t *ret_count, struct err *err);

/* A JSON object for people: the identifier, its person's identifiers, and the component's edges in
 * fold order, each with time, evidence (the two identifiers, message hash, position), outcome
 * (merged, already one, refused by the limit of TYPE, ended by unbind) and the rule. */
MUST_USE enum status identity_explain(struct identity *identity, enum identifier_type type,
                                      struct str value, struct buf *json, struct err *err);

/* Drop a whole component (erase). Reports what it held, in the arena, before dropping.
 * ST_NOT_FOUND. */
MUST_USE enum status identity_erase(struct identity *identity, const struct hash128 *hashes,
                                    size_t hashes_count, struct arena *arena,
                                    struct identity_member **ret_members, size_t *ret_count,
                                    struct err *err);
/* The keyed hash by which identifiers are found and erase records speak. */
struct hash128 identity_hash(const struct identity *identity, enum identifier_type type,
                             struct str value);

/* Each component of the flushed state: all members (several people possible), in order of visitor
 * id. For digests and rebuilds of overrides; stops when `each` returns false. Takes the state lock
 * itself, so call it without; `each` runs under the lock. */
typedef bool identity_each(void *ctx, const struct identity_member *members, size_t count);
MUST_USE enum status identity_scan(struct identity *identity, identity_each *each, void *ctx,
                                   struct err *err);

/* A LOG_RULE payload, JSON: {"block":[{"type":"email","value":"test@example.com"}],"unblock":[…],
 * "limits":{"email":3}}, values in normal form. Changes edges only; every component is folded
 * again. Changes are reported like a fold's, and edges_refused counts all that are refused then.
 * With `dry_run` nothing is changed and the result says what would. Gives the lock up in between,
 * as state_breathe does. ST_INVALID with the reason; ST_TOO_LARGE above IDENTITY_BLOCKED_MAX. */
MUST_USE enum status identity_rule(struct identity *identity, uint64_t position, struct str json,
                                   bool dry_run, struct arena *arena,
                                   struct identity_result *ret_result, struct err *err);

/* The rules in force: {"block":[{"type","value"}],"limits":{"email":5,…}}. */
void identity_rules_write(const struct identity *identity, struct buf *json);

struct identity_stats {
    uint64_t visitors, people;  /* now */
    uint64_t components_frozen; /* now */
    uint64_t merges;            /* ever: people that became part of another */
    uint64_t edges_refused;     /* now: pairs that a limit keeps apart */
    uint64_t claims_frozen;     /* ever: events that a frozen component gave no new edge */
};
void identity_stats(struct identity *identity, struct identity_stats *ret_stats);
#endif
