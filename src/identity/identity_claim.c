/* identity_claim.c - what one event claims, done to visitors, components and pairs.
 *
 * The hot path is an event whose identifiers are known: a probe per identifier, and for each pair
 * that exists already one look-up and one newer edge. Only a new pair, a late edge or an unbind
 * folds the component again; an event of one identifier never touches a component.
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
    size_t count; /* of ids that take part: [0] is the anchor */
    bool moved;   /* the component must be folded again */
    bool figures; /* the figures changed */
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
    identifier_point(identity, identifier, component->entry.key.a, slot);
}

static void component_take_component(struct identity *identity, struct component *component,
                                     struct component *other)
{
    uint16_t base = component_absorb(component, other);
    for (uint16_t m = 0; m < other->members_count; m++) {
        const struct member *member = &other->members[m];
        struct identifier *identifier =
            identity_get(identity, (enum identifier_type)member->type, member_value(other, member));
        CHECK(identifier != NULL);
        identifier_point(identity, identifier, component->entry.key.a, (uint16_t)(base + m));
    }
    state_remove(identity->components, &other->entry);
}

/* The components that take part, each once, the largest (tie: the lower id) first; members and
 * pairs that a join of all would have. */
struct join {
    struct component *components[LIMIT_EVENT_IDENTIFIERS];
    size_t count;
    size_t members, pairs;
    bool frozen; /* one of them is */
};

static bool component_larger(const struct component *x, const struct component *y)
{
    if (x->members_count != y->members_count)
        return x->members_count > y->members_count;
    return x->entry.key.a < y->entry.key.a;
}

static void join_plan(struct claim_fold *fold, struct join *join)
{
    *join = (struct join){.pairs = fold->count - 1};
    for (size_t i = 0; i < fold->count; i++) {
        struct component *component = identity_component(fold->identity, fold->ids[i]);
        if (component == NULL) {
            join->members++;
            continue;
        }
        bool known = false;
        for (size_t k = 0; k < join->count; k++)
            known = known || join->components[k] == component;
        if (known)
            continue;
        join->members += component->members_count;
        join->pairs += component->pairs_count;
        join->frozen = join->frozen || component->frozen;
        join->components[join->count++] = component;
        if (component_larger(component, join->components[0])) {
            join->components[join->count - 1] = join->components[0];
            join->components[0] = component;
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
        state_change(fold->identity->components, &join->components[0]->entry);
        join->components[0]->frozen = true;
        stats->components_frozen++;
    }
    return false;
}

/* One component of all that take part; NULL when it would be too large. */
static struct component *claim_join(struct claim_fold *fold)
{
    struct identity *identity = fold->identity;
    struct join join;
    join_plan(fold, &join);
    if (!join_allowed(fold, &join))
        return NULL;
    struct component *component = join.components[0];
    if (component == NULL) {
        component = component_new(fold->ids[0]->visitor);
        state_add(identity->components, &component->entry);
    }
    state_change(identity->components, &component->entry);
    for (size_t k = 1; k < join.count; k++)
        component_take_component(identity, component, join.components[k]);
    for (size_t i = 0; i < fold->count; i++)
        if (fold->ids[i]->component == 0)
            component_take_identifier(identity, component, fold->ids[i]);
    return component;
}

/* The pair of the anchor and `other`, if they were named together before. */
static struct pair *claim_pair(struct component *component, const struct identifier *anchor,
                               const struct identifier *other)
{
    if (component == NULL || anchor->component != other->component)
        return NULL;
    return component_pair(component, anchor->entry.slot, other->entry.slot);
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
    struct identifier *anchor = fold->ids[0];
    struct component *component = identity_component(fold->identity, anchor);
    size_t left = 1;
    bool told = false;
    for (size_t i = 1; i < fold->count; i++) {
        struct pair *pair = claim_pair(component, anchor, fold->ids[i]);
        if (pair == NULL) {
            fold->ids[left++] = fold->ids[i];
            continue;
        }
        if (!told)
            state_change(fold->identity->components, &component->entry);
        told = true;
        claim_touch(fold, pair);
    }
    fold->count = left;
}

static void claim_new_pairs(struct claim_fold *fold)
{
    struct component *component = claim_join(fold);
    if (component == NULL)
        return;
    for (size_t i = 1; i < fold->count; i++) {
        uint16_t other = fold->ids[i]->entry.slot;
        claim_touch(fold, component_add_pair(component, fold->ids[0]->entry.slot, other));
    }
    fold->figures = true;
}

/* Alone, an unbind parts an identifier from everybody, also from whom it has yet to meet. */
static void claim_unbind_all(struct claim_fold *fold)
{
    struct component *component = identity_component(fold->identity, fold->ids[0]);
    if (component == NULL)
        component = claim_join(fold); /* of one: its own */
    state_change(fold->identity->components, &component->entry);
    uint16_t slot = fold->ids[0]->entry.slot;
    struct member *member = &component->members[slot];
    if (member->unbound_us < fold->claim->time_us)
        member->unbound_us = fold->claim->time_us;
    for (uint32_t p = 0; p < component->pairs_count; p++)
        if (component->pairs[p].a == slot || component->pairs[p].b == slot)
            claim_touch(fold, &component->pairs[p]);
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

static uint32_t claim_refused(struct identity *identity, struct identifier *const *ids, size_t n)
{
    uint32_t refused = 0;
    struct component *component = identity_component(identity, ids[0]);
    if (component == NULL || component->refused == 0)
        return 0;
    for (size_t i = 1; i < n; i++) {
        const struct pair *pair = claim_pair(component, ids[0], ids[i]);
        refused += pair != NULL && pair->outcome == OUTCOME_REFUSED;
    }
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
    if (!fold->moved)
        return;
    struct refold refold =
        refold_begin(fold->identity, &fold->identity->rules, fold->claim->position, arena, result);
    refold_component(&refold, identity_component(fold->identity, fold->ids[0]));
    fold->figures = true;
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
        ret_result->edges_refused = claim_refused(identity, ids, n);
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
