/* profile.h - what is known of people, kept per VISITOR as mergeable summaries (DESIGN §5).
 *
 * A summary holds traits (each with the latest event time; on a tie the smaller message hash),
 * counters, sums, first and last times and the newest events. A person's view is the combination of
 * its visitors' summaries, made when it is asked for: merge, undo, late event and back-fill need no
 * rewriting.
 *
 * Combination is commutative and associative, each visitor enters once; tests hold that. State
 * table: `summary` (visitor → bytes). All calls need the state lock. Traits are personal data;
 * profile_erase drops them. Depends on: base, store, event, clean, identity. Called by: pipeline,
 * api. */
#ifndef PROFILE_PROFILE_H
#define PROFILE_PROFILE_H

#include "clean/clean.h"
#include "identity/identity.h"

/* What a limit keeps out is chosen by name, never by arrival: the first ones in byte order stay. So
 * below and above the limits of names any order gives the same summary. */
#define PROFILE_TRAITS_MAX                                                                         \
    512 /* per visitor; more has always been an import mistake: counted, not kept */
#define PROFILE_TRAIT_BYTES_MAX 8192
#define PROFILE_EVENT_NAMES_MAX 64 /* counters per visitor; the rest are counted together as "" */
#define PROFILE_EVENTS_MAX 10      /* newest events kept per visitor, and shown of a person */
#define PROFILE_TRAITS_BYTES_MAX ((size_t)256 << 10) /* of all traits of a visitor */
#define PROFILE_ONCES_MAX 4                          /* of one trait: the first, and the newest */
#define PROFILE_INCREMENTS_MAX 64 /* of one trait, exact; older ones stand as one sum */
#define PROFILE_APPENDED_MAX 100  /* of one trait: values appended to a list */

struct profile;

MUST_USE enum status profile_open(struct state *state, struct profile **ret_profile,
                                  struct err *err);
void profile_close(struct profile *profile);

/* A trait that now has another value: for the warehouse's trait rows. */
struct profile_trait_change {
    struct str name;
    struct str value; /* JSON; empty = the trait is gone */
    int64_t time_us;  /* of the newest operation behind the value: a late event may not be it */
};

/* Fold one stored event of `visitor` (not 0). Changes are in the arena. */
void profile_fold(struct profile *profile, struct visitor_id visitor,
                  const struct clean_event *event, struct arena *arena,
                  struct profile_trait_change **ret_changes, size_t *ret_count);
/* Forget a visitor. */
void profile_erase(struct profile *profile, struct visitor_id visitor);

struct profile_trait {
    struct str name;
    struct str value; /* JSON */
    int64_t time_us;
};

struct profile_counter {
    struct str name; /* event name; "" = all that had no room of their own */
    uint64_t count;
    int64_t first_us, last_us;
};

struct profile_event {
    int64_t time_us;
    uint64_t position;
    struct str name;
    struct str channel;
};

/* One person: the combination of the given visitors. All in the arena. */
struct profile_view {
    struct profile_trait *traits; /* by name */
    size_t traits_count;
    struct profile_counter *counters; /* by name */
    size_t counters_count;
    struct profile_event *events; /* newest first: time, then position */
    size_t events_count;
    uint64_t events_total;
    int64_t first_seen_us, last_seen_us;
    uint64_t orders; /* Order Completed */
    int64_t
        revenue_micros; /* of Order Completed minus Order Refunded and Order Cancelled amounts */
};
/* What is asked for next, at most PROFILE_PREFETCH_MAX of it: a hint that saves waiting for memory.
 */
#define PROFILE_PREFETCH_MAX 32
void profile_prefetch(struct profile *profile, const struct visitor_id *visitors, size_t count);
/* Visitors without a summary are passed over. */
void profile_view(struct profile *profile, const struct visitor_id *visitors, size_t visitors_count,
                  struct arena *arena, struct profile_view *ret_view);

struct profile_stats {
    uint64_t traits_refused; /* since the start: too many, too long, no name, or no number to add */
};
void profile_stats(struct profile *profile, struct profile_stats *ret_stats);
#endif
