/* identity_claim.c - what one event claims, done to visitors, components and pairs.
 *
 * The hot path is an event whose identifiers are known: a probe per identifier, and for each pair
 * that exists already one look-up and one newer edge in a page. Only a new pair, a late edge or an
 * unbind opens the component and folds it again; an event of one identifier never touches one.
 *
 * A component grows by absorbing: the one with more members takes over the other's members and
 * pairs, and the identifiers of the smaller one are pointed to it (so an identifier moves at most
 * log2(1000) = 10 times). It never falls apart again: an unbind ends edges, not the memory of them,
 * and what the refused ones connect is folded together, because a late event may decide between
 * them anew. */
#include "identity/identity_int.h"

#include "base/check.h"

#define PLACE_MASK 1023u /* a visitor is position << 10 | place */

struct claim_fold {
    struct identity *identity;
    const struct identity_claim *claim;
    struct identifier *ids[LIMIT_EVENT_IDENTIFIERS];
    size_t count;                /* of ids that take part: [0] is the anchor */
    struct component *component; /* the anchor's, once it is open */
    bool moved;                  /* the component must be folded again */
    bool figures;                /* the figures changed */
};

static struct identifier *claim_identifier(struct claim_fold *fold, size_t place,
                                           struct arena *arena, struct identity_result *result)
{
    struct identity *identity = fold->identity;
    const struct event_identifier *named = &fold->claim->identifiers[place];
    struct hash128 hash = identity_hash(identity, named->type, named->value);
    struct identifier *identifier = (struct identifier *)state_get(identity->identifiers, hash);
    if (identifier != NULL)
        return identifier;
    uint64_t visitor = fold->claim->position << 10 | place;
    identifier = identifier_new(hash, named->type, named->value, visitor);
    state_add(identity->identifiers, &identifier->entry);
    identity->stats.visitors++;
    identity->stats.people++;
    fold->figures = true;
    if (result->fresh == NULL)
        result->fresh = ARENA_ARRAY(arena, struct identity_member, fold->claim->identifiers_count);
    result->fresh[result->fresh_count++] =
        (struct identity_member){.visitor = {visitor}, .type = named->type, .value = named->value};
    return identifier;
}

/* Point an identifier to its place in a component. */
static void identifier_point(struct identity *identity, struct identifier *identifier,
                             uint64_t component, uint16_t slot)
{
    state_change(identity->identifiers, &identifier->entry);
    identifier->component = component;
    identifier->entry.slot = slot;
}

static void component_take_identifier(struct identity *identity, struct component *component,
                                      struct identifier *identifier)
{
    struct member member = {.visitor = identifier->visitor,
                            .person = identifier->person,
                            .unbound_us = UNBOUND_NEVER,
                            .type = identifier->type};
    uint16_t slot = component_add_member(component, &member, identifier_value(identifier));
    identifier_point(identity, identifier, component->id, slot);
}

static void component_take_component(struct identity *identity, struct component *component,
                                     uint64_t id)
{
    struct component *other = component_open(identity, id);
    uint16_t base = component_absorb(component, other);
    for (uint16_t m = 0; m < other->members_count; m++) {
        const struct member *member = &other->members[m];
        struct identifier *identifier =
            identity_get(identity, (enum identifier_type)member->type, member_value(other, member));
        CHECK(identifier != NULL);
        identifier_point(identity, identifier, component->id, (uint16_t)(base + m));
    }
    component_free(other);
    component_remove(identity, id);
}

/* The components that take part, each once, the largest (tie: the lower id) first; members and
 * pairs that a join of all would have. */
struct join {
    struct joined {
        uint64_t id;
        uint16_t members;
    } components[LIMIT_EVENT_IDENTIFIERS];
    size_t count;
    size_t members, pairs;
    bool frozen; /* one of them is */
};

static bool joined_larger(const struct joined *x, const struct joined *y)
{
    return x->members != y->members ? x->members > y->members : x->id < y->id;
}

static void join_plan(struct claim_fold *fold, struct join *join)
{
    *join = (struct join){.pairs = fold->count - 1};
    for (size_t i = 0; i < fold->count; i++) {
        struct joined joined = {.id = fold->ids[i]->component};
        bool known = false;
        for (size_t k = 0; k < join->count; k++)
            known = known || join->components[k].id == joined.id;
        if (known)
            continue;
        if (joined.id == 0) {
            join->members++;
            continue;
        }
        struct component_head head = component_head(fold->identity, joined.id);
        joined.members = head.members;
        join->members += head.members;
        join->pairs += head.pairs;
        join->frozen = join->frozen || head.frozen;
        join->components[join->count++] = joined;
        if (joined_larger(&joined, &join->components[0])) {
            join->components[join->count - 1] = join->components[0];
            join->components[0] = joined;
        }
    }
}

/* False, and the largest is frozen, when they would be too many. */
static bool join_allowed(struct claim_fold *fold, struct join *join)
{
    struct identity_stats *stats = &fold->identity->stats;
    if (!join->frozen && join->members <= LIMIT_COMPONENT_IDENTIFIERS &&
        join->pairs <= IDENTITY_PAIRS_MAX)
        return true;
    stats->claims_frozen++;
    fold->figures = true;
    if (!join->frozen) {
        CHECK(join->count > 0);
        struct component *largest = component_open(fold->identity, join->components[0].id);
        largest->frozen = true;
        component_touch(largest, 0);
        component_save(fold->identity, largest);
        component_free(largest);
        stats->components_frozen++;
    }
    return false;
}

/* Open one component of all that take part; false when it would be too large. */
static bool claim_join(struct claim_fold *fold)
{
    struct identity *identity = fold->identity;
    struct join join;
    join_plan(fold, &join);
    if (!join_allowed(fold, &join))
        return false;
    struct component *component = join.count == 0 ? component_new(fold->ids[0]->visitor)
                                                  : component_open(identity, join.components[0].id);
    for (size_t k = 1; k < join.count; k++)
        component_take_component(identity, component, join.components[k].id);
    for (size_t i = 0; i < fold->count; i++)
        if (fold->ids[i]->component == 0)
            component_take_identifier(identity, component, fold->ids[i]);
    fold->component = component;
    return true;
}

static void claim_open(struct claim_fold *fold)
{
    if (fold->component == NULL)
        fold->component = component_open(fold->identity, fold->ids[0]->component);
}

/* The pair of the anchor and `other`; false when they were never named together. */
static bool claim_pair(const struct claim_fold *fold, const struct identifier *anchor,
                       const struct identifier *other, struct pair_at *ret_at)
{
    return anchor->component != 0 && anchor->component == other->component &&
           component_find_pair(fold->identity, anchor->component, anchor->entry.slot,
                               other->entry.slot, ret_at);
}

static void claim_touch(struct claim_fold *fold, struct pair *pair)
{
    const struct identity_claim *claim = fold->claim;
    const struct edge edge = {claim->time_us, claim->message, claim->position};
    bool moved = claim->unbind ? pair_unbind(pair, claim->time_us) : pair_add_edge(pair, &edge);
    fold->moved = fold->moved || moved;
}

/* Touch the pairs that exist and leave in `ids` the anchor and those whose pair is new. */
static void claim_known_pairs(struct claim_fold *fold)
{
    size_t left = 1;
    for (size_t i = 1; i < fold->count; i++) {
        struct pair_at at;
        if (!claim_pair(fold, fold->ids[0], fold->ids[i], &at)) {
            fold->ids[left++] = fold->ids[i];
            continue;
        }
        claim_touch(fold, &at.pair);
        component_put_pair(fold->identity, &at);
    }
    fold->count = left;
}

static void claim_new_pairs(struct claim_fold *fold)
{
    if (!claim_join(fold))
        return;
    for (size_t i = 1; i < fold->count; i++) {
        uint16_t other = fold->ids[i]->entry.slot;
        claim_touch(fold, component_add_pair(fold->component, fold->ids[0]->entry.slot, other));
    }
    fold->figures = true;
}

/* Alone, an unbind parts an identifier from everybody, also from whom it has yet to meet. */
static void claim_unbind_all(struct claim_fold *fold)
{
    if (fold->ids[0]->component != 0)
        claim_open(fold);
    else if (!claim_join(fold)) /* of one: its own */
        return;
    struct component *component = fold->component;
    uint16_t slot = fold->ids[0]->entry.slot;
    struct member *member = &component->members[slot];
    if (member->unbound_us < fold->claim->time_us)
        member->unbound_us = fold->claim->time_us;
    component_touch(component, slot);
    for (uint32_t p = 0; p < component->pairs_count; p++) {
        struct pair *pair = &component->pairs[p];
        if (pair->a != slot && pair->b != slot)
            continue;
        claim_touch(fold, pair);
        component_touch(component, pair_place(pair->a, pair->b));
    }
}

/* A blocked value is a visitor like any other, but makes no new edges: what it would connect are
 * strangers. Edges from before the block are kept and the fold passes them over. */
static void claim_drop_blocked(struct claim_fold *fold)
{
    const struct rules *rules = &fold->identity->rules;
    if (rules->blocked.count == 0)
        return;
    CHECK(fold->count >= 1 && fold->count <= LIMIT_EVENT_IDENTIFIERS);
    size_t left = 1;
    for (size_t i = 1; i < fold->count; i++)
        if (!rules_block(rules, fold->ids[i]->entry.key))
            fold->ids[left++] = fold->ids[i];
    fold->count = rules_block(rules, fold->ids[0]->entry.key) ? 1 : left;
}

static uint32_t claim_refused(const struct claim_fold *fold, struct identifier *const *ids,
                              size_t n)
{
    uint32_t refused = 0;
    struct pair_at at;
    uint64_t id = ids[0]->component;
    if (id == 0 || component_head(fold->identity, id).refused == 0)
        return 0;
    for (size_t i = 1; i < n; i++)
        refused += claim_pair(fold, ids[0], ids[i], &at) && at.pair.outcome == OUTCOME_REFUSED;
    return refused;
}

/* Two forms of one value may have become the same identifier. */
static void claim_take_each_once(struct claim_fold *fold, struct identifier *const *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < fold->count; k++)
            known = known || fold->ids[k] == ids[i];
        if (!known)
            fold->ids[fold->count++] = ids[i];
    }
}

static void claim_fold(struct claim_fold *fold, struct arena *arena, struct identity_result *result)
{
    if (!fold->claim->unbind)
        claim_drop_blocked(fold);
    if (fold->count == 1) {
        if (fold->claim->unbind)
            claim_unbind_all(fold);
    } else {
        claim_known_pairs(fold);
        if (fold->count > 1)
            claim_new_pairs(fold);
    }
    if (fold->moved) {
        claim_open(fold);
        struct refold refold = refold_begin(fold->identity, &fold->identity->rules,
                                            fold->claim->position, arena, result);
        refold_component(&refold, fold->component);
        fold->figures = true;
    }
    if (fold->component != NULL)
        component_save(fold->identity, fold->component);
    component_free(fold->component);
}

void identity_fold(struct identity *identity, const struct identity_claim *claim,
                   struct arena *arena, struct identity_result *ret_result)
{
    *ret_result = (struct identity_result){0};
    size_t n = claim->identifiers_count;
    if (n == 0)
        return;
    CHECK(n <= LIMIT_EVENT_IDENTIFIERS);
    struct claim_fold fold = {.identity = identity, .claim = claim};
    struct identifier *ids[LIMIT_EVENT_IDENTIFIERS];
    for (size_t i = 0; i < n; i++)
        ids[i] = claim_identifier(&fold, i, arena, ret_result);
    claim_take_each_once(&fold, ids, n);
    if (n > 1 || claim->unbind) {
        claim_fold(&fold, arena, ret_result);
        ret_result->edges_refused = claim_refused(&fold, ids, n);
    }
    ret_result->anchor.v = ids[0]->visitor;
    ret_result->person.v = ids[0]->person;
    for (size_t i = 0; i < ret_result->fresh_count; i++) {
        struct identity_member *fresh = &ret_result->fresh[i];
        fresh->person.v = ids[fresh->visitor.v & PLACE_MASK]->person;
    }
    if (fold.figures)
        identity_save_stats(identity);
}
