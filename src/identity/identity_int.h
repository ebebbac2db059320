/* identity_int.h - the objects of this folder and the pure functions over them.
 *
 * An IDENTIFIER finds its visitor by keyed hash: one probe answers visitor and person. A COMPONENT
 * holds what edges have connected: members (indexes are for ever, members are only appended) and
 * pairs. Everything that decides who is one person reads a component and nothing else. In the state
 * it lies as PAGES; an event that changes nobody's person touches one. */
#ifndef IDENTITY_IDENTITY_INT_H
#define IDENTITY_IDENTITY_INT_H

#include "base/map.h"
#include "identity/identity.h"

#define UNBOUND_NEVER INT64_MIN

/* One event's evidence that two identifiers are one person. */
struct edge {
    int64_t time_us;
    struct hash128 message;
    uint64_t position;
};

/* What the fold made of a pair; part of the format. */
enum outcome {
    OUTCOME_NONE = 0,
    OUTCOME_MERGED = 1,  /* its first edge united two people */
    OUTCOME_ALREADY = 2, /* they were one person by then */
    OUTCOME_REFUSED = 3, /* one person would have broken the limit of a type */
    OUTCOME_BLOCKED = 4, /* one of the two is a blocked value */
    OUTCOME_ENDED = 5,   /* no edge is later than the unbind */
    OUTCOME_END
};

/* Two members that were named together. `edges` ascend: the earliest since the unbind, by which the
 * fold goes, then the newest ones, from which a late unbind picks the next earliest. When all are
 * void one stays, the latest, as the ledger's evidence. */
struct pair {
    uint16_t a, b; /* members: the anchor of their events, the other one */
    uint8_t kept;
    uint8_t outcome;
    uint8_t refused_type; /* whose limit, when refused */
    int64_t unbound_us;   /* edges at or before are void */
    struct edge edges[IDENTITY_EDGES_KEPT];
};

struct member {
    uint64_t visitor, person;
    int64_t unbound_us; /* from everybody */
    uint32_t text;      /* its value, in component->text */
    uint8_t text_n;
    uint8_t type;
};

/* As it is folded: whole. */
struct component {
    uint64_t id; /* the visitor that founded it */
    struct member *members;
    struct pair *pairs; /* page after page, each in the order of their making */
    char *text;
    uint32_t text_n, text_capacity;
    uint32_t pairs_count, pairs_capacity;
    uint16_t members_count, members_capacity;
    uint16_t people;  /* distinct persons among the members */
    uint32_t refused; /* pairs with OUTCOME_REFUSED */
    bool frozen;
    uint64_t touched; /* a bit for each page that is another one now */
};

struct identifier {
    struct state_entry entry; /* slot: its member index in the component */
    uint64_t visitor, person;
    uint64_t component; /* 0: alone, there is no row */
    uint8_t type;
    uint8_t value_n;
    char value[];
};

/* --- identity_identifier.c -------------------------------------------------------------------- */

extern const struct state_table_def identifier_table;

struct identifier *identifier_new(struct hash128 key, enum identifier_type type, struct str value,
                                  uint64_t visitor);
static inline struct str identifier_value(const struct identifier *identifier)
{
    return (struct str){identifier->value, identifier->value_n};
}
static inline bool identifier_type_valid(uint8_t type)
{
    return type > IDENTIFIER_NONE && type < IDENTIFIER_END;
}

/* --- identity_component.c: whole -------------------------------------------------------------- */

#define PAGE_MEMBERS 16

struct component *component_new(uint64_t id);
void component_free(struct component *component); /* or NULL */
/* For so many more. */
void component_reserve(struct component *component, uint32_t members, uint32_t pairs);
static inline struct str member_value(const struct component *component,
                                      const struct member *member)
{
    return (struct str){component->text + member->text, member->text_n};
}
/* Its index. A new member is a person of its own until the next fold. */
uint16_t component_add_member(struct component *component, const struct member *member,
                              struct str value);
/* Of two that were never named together. Valid until the next add. */
struct pair *component_add_pair(struct component *component, uint16_t a, uint16_t b);
/* Take over all members and pairs of `other`, in their order; its indexes move by the returned
 * number. */
uint16_t component_absorb(struct component *component, const struct component *other);
/* MUST be called for each member and, at its place, each pair that is changed. Of 0 too, when a
 * figure of the whole is. */
static inline void component_touch(struct component *component, uint32_t place)
{
    component->touched |= UINT64_C(1) << place / PAGE_MEMBERS;
}
/* The member that a pair stands with. */
static inline uint16_t pair_place(uint16_t a, uint16_t b)
{
    return a > b ? a : b;
}

/* --- identity_page.c: in the state ------------------------------------------------------------ */

struct page {
    struct state_entry entry; /* key.a: page_key */
    uint32_t n;
    char *bytes; /* as in the file */
};

extern const struct state_table_def page_table;

uint64_t page_key(uint64_t component, uint16_t number);
uint64_t page_component(uint64_t key);

struct component_head {
    uint16_t members, pairs, people, refused;
    bool frozen;
};
bool component_exists(struct identity *identity, uint64_t id);
struct component_head component_head(struct identity *identity, uint64_t id);
struct component_head page_head(const struct page *first);

/* Each member, in order; the value is the page's. */
typedef void component_member(void *ctx, const struct member *member, struct str value);
void component_members(struct identity *identity, uint64_t id, component_member *each, void *ctx);
/* The same of one whose first page is at hand. */
void component_each(struct identity *identity, const struct page *first, component_member *each,
                    void *ctx);

/* All of it, the caller's, to be freed. */
struct component *component_open(struct identity *identity, uint64_t id);
/* Into the state: what was touched. */
void component_save(struct identity *identity, struct component *component);
void component_remove(struct identity *identity, uint64_t id);

/* One pair, without the rest. Valid as long as its page. */
struct pair_at {
    struct pair pair;
    struct page *page;
    uint32_t edges; /* of its page's, before its own */
    uint16_t place;
};
/* False when the two were never named together. */
bool component_find_pair(struct identity *identity, uint64_t id, uint16_t a, uint16_t b,
                         struct pair_at *ret_at);
/* Write at->pair back; once. */
void component_put_pair(struct identity *identity, struct pair_at *at);

/* Does it hold together, with the later one of its members in [from, to)? */
bool pair_is_good(const struct pair *pair, uint32_t from, uint32_t to);

/* --- identity_version_1.c --------------------------------------------------------------------- */

#define COMPONENT_VERSION_1 1 /* the first byte */
/* NULL when the bytes are damaged. */
struct component *component_read_version_1(uint64_t id, struct str bytes);

/* --- identity_pair.c: the edges of one pair --------------------------------------------------- */

/* True when the pair stands elsewhere in the fold's order now. */
bool pair_add_edge(struct pair *pair, const struct edge *edge);
bool pair_unbind(struct pair *pair, int64_t time_us);
/* Has it an edge later than its unbind? Then edges[0] is the earliest. */
static inline bool pair_live(const struct pair *pair)
{
    return pair->kept > 0 && pair->edges[0].time_us > pair->unbound_us;
}

/* --- identity_people.c: who is one person; pure ----------------------------------------------- */

struct limits {
    uint16_t of[IDENTIFIER_END]; /* identifiers of a type in one person */
};

struct outcome_row {
    uint8_t outcome;
    uint8_t refused_type;
};

/* Pairs with a live edge in fold order, in the arena. */
uint32_t *people_order(const struct component *component, struct arena *arena, size_t *ret_count);
/* The fold. ret_part[m]: the lowest member index of the person that member m is; ret_outcomes: one
 * per pair. `blocked` has one flag per member. */
void people_fold(const struct component *component, const bool *blocked,
                 const struct limits *limits, struct arena *arena, uint16_t *ret_part,
                 struct outcome_row *ret_outcomes);
/* Give each part a person id so that as few visitors as possible change. Ids that no visitor's
 * founding gives are taken from *fresh upwards. Returns the number of parts. */
size_t people_name(const struct component *component, const uint16_t *part, uint64_t *fresh,
                   struct arena *arena, uint64_t *ret_person);

/* --- identity_rule.c -------------------------------------------------------------------------- */

struct blocked_value {
    uint8_t type;
    uint8_t value_n;
    char value[LIMIT_IDENTIFIER_BYTES];
};

/* Blocked values and limits as they are in force; a value of the state keeps them. */
struct rules {
    struct limits limits;
    struct map blocked; /* identifier hash → place in list */
    struct blocked_value *list;
    size_t list_count, list_capacity;
};

void rules_init(struct rules *rules);
void rules_done(struct rules *rules);
MUST_USE enum status rules_load(struct identity *identity, struct err *err);
static inline bool rules_block(const struct rules *rules, struct hash128 hash)
{
    return rules->blocked.count > 0 && map_find(&rules->blocked, hash) != NULL;
}

/* --- identity.c; what a claim does is in identity_claim.c
 * --------------------------------------------------------------------------------- */

struct identity {
    struct state *state;
    struct state_table *identifiers, *pages;
    struct hash_key key;
    struct rules rules;
    struct identity_stats stats;
};

/* One refold, applied or (dry) only looked at. */
struct refold {
    struct identity *identity;
    const struct rules *rules;
    uint64_t position;
    uint64_t fresh; /* next person id for a part without one */
    bool dry_run;
    struct arena *arena;            /* for what is reported */
    struct arena *scratch;          /* for the call */
    struct identity_result *result; /* changes are added, refused ones counted */
    size_t changes_capacity;
};
void refold_component(struct refold *refold, struct component *component);
struct refold refold_begin(struct identity *identity, const struct rules *rules, uint64_t position,
                           struct arena *arena, struct identity_result *result);

/* Hand the figures to the state, which keeps them at its position. */
void identity_save_stats(struct identity *identity);
struct identifier *identity_get(struct identity *identity, enum identifier_type type,
                                struct str value);
#endif
