/* identity.c - identifiers and components in the state: found, folded again, read, erased.
 *
 * What an event does to them is identity_claim.c's; who is one person is identity_people.c's; this
 * file applies that answer: outcomes to the pairs, persons to members and identifiers, and the sums
 * that follow.
 *
 * Invariants: a member's person equals its identifier's person; its index is the identifier's slot;
 * people, refused and the sums in identity_stats follow every fold. Checked in identity_test.c. */
#include "identity/identity_int.h"

#include <stdlib.h>

#include "base/check.h"

#define STATS_VALUE "identity"
#define PERSON_FRESH_FIRST 32 /* places 0..15 of a position are visitors */

/* --- opening, figures ------------------------------------------------------------------------- */

void identity_save_stats(struct identity *identity)
{
    struct buf buf;
    buf_init(&buf, 64);
    const struct identity_stats *stats = &identity->stats;
    buf_varint(&buf, stats->visitors);
    buf_varint(&buf, stats->people);
    buf_varint(&buf, stats->components_frozen);
    buf_varint(&buf, stats->merges);
    buf_varint(&buf, stats->edges_refused);
    buf_varint(&buf, stats->claims_frozen);
    state_set_value(identity->state, STATS_VALUE, buf_view(&buf));
    buf_done(&buf);
}

static enum status stats_load(struct identity *identity, struct err *err)
{
    struct buf buf;
    buf_init(&buf, 4096);
    enum status status = ST_OK;
    if (state_value(identity->state, STATS_VALUE, &buf)) {
        struct cursor cursor = cursor_of(buf_view(&buf));
        struct identity_stats *stats = &identity->stats;
        stats->visitors = cursor_varint(&cursor);
        stats->people = cursor_varint(&cursor);
        stats->components_frozen = cursor_varint(&cursor);
        stats->merges = cursor_varint(&cursor);
        stats->edges_refused = cursor_varint(&cursor);
        stats->claims_frozen = cursor_varint(&cursor);
        if (cursor.bad || !cursor_at_end(&cursor))
            status = err_set(err, ST_CORRUPT, "could not read the figures of identities: damaged");
    }
    buf_done(&buf);
    return status;
}

enum status identity_open(struct state *state, const struct hash_key *key,
                          struct identity **ret_identity, struct err *err)
{
    struct identity *identity = mem_zero(sizeof *identity);
    identity->state = state;
    identity->key = *key;
    identity->identifiers = state_table(state, &identifier_table);
    identity->components = state_table(state, &component_table);
    rules_init(&identity->rules);
    enum status status = stats_load(identity, err);
    if (status == ST_OK)
        status = rules_load(identity, err);
    if (status != ST_OK) {
        identity_close(identity);
        return status;
    }
    *ret_identity = identity;
    return ST_OK;
}

void identity_close(struct identity *identity)
{
    if (identity == NULL)
        return;
    rules_done(&identity->rules);
    free(identity);
}

void identity_stats(struct identity *identity, struct identity_stats *ret_stats)
{
    *ret_stats = identity->stats;
}

/* --- finding ---------------------------------------------------------------------------------- */

struct hash128 identity_hash(const struct identity *identity, enum identifier_type type,
                             struct str value)
{
    char text[1 + LIMIT_IDENTIFIER_BYTES];
    size_t n = value.n < LIMIT_IDENTIFIER_BYTES ? value.n : LIMIT_IDENTIFIER_BYTES;
    text[0] = (char)type;
    if (n > 0)
        memcpy(text + 1, value.p, n);
    return hash_keyed(&identity->key, (struct str){text, 1 + n});
}

struct identifier *identity_get(struct identity *identity, enum identifier_type type,
                                struct str value)
{
    return (struct identifier *)state_get(identity->identifiers,
                                          identity_hash(identity, type, value));
}

void identity_prefetch(struct identity *identity, const struct event_identifier *identifiers,
                       size_t count)
{
    struct hash128 keys[IDENTITY_PREFETCH_MAX];
    struct state_entry *found[IDENTITY_PREFETCH_MAX];
    CHECK(count <= IDENTITY_PREFETCH_MAX);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        keys[i] = identity_hash(identity, identifiers[i].type, identifiers[i].value);
    state_prefetch(identity->identifiers, keys, count, sizeof(struct identifier), found);
}

static struct component *component_get(struct identity *identity, uint64_t id)
{
    struct component *component =
        (struct component *)state_get(identity->components, (struct hash128){id, 0});
    CHECK(component != NULL);
    return component;
}

struct component *identity_component(struct identity *identity, const struct identifier *identifier)
{
    return identifier->component == 0 ? NULL : component_get(identity, identifier->component);
}

bool identity_find(struct identity *identity, enum identifier_type type, struct str value,
                   struct visitor_id *ret_visitor, struct person_id *ret_person)
{
    const struct identifier *identifier = identity_get(identity, type, value);
    if (identifier == NULL)
        return false;
    ret_visitor->v = identifier->visitor;
    ret_person->v = identifier->person;
    return true;
}

/* --- folding a component again ---------------------------------------------------------------- */

struct refold refold_begin(struct identity *identity, const struct rules *rules, uint64_t position,
                           struct arena *arena, struct identity_result *result)
{
    return (struct refold){.identity = identity,
                           .rules = rules,
                           .position = position,
                           .fresh = position << 10 | PERSON_FRESH_FIRST,
                           .arena = arena,
                           .scratch = arena,
                           .result = result};
}

static void change_add(struct refold *refold, uint64_t visitor, uint64_t person)
{
    struct identity_result *result = refold->result;
    if (result->changes_count == refold->changes_capacity) {
        size_t capacity = refold->changes_capacity == 0 ? 8 : refold->changes_capacity * 2;
        struct identity_change *grown =
            ARENA_ARRAY(refold->arena, struct identity_change, capacity);
        if (result->changes_count > 0)
            memcpy(grown, result->changes, result->changes_count * sizeof *grown);
        result->changes = grown;
        refold->changes_capacity = capacity;
    }
    result->changes[result->changes_count++] = (struct identity_change){{visitor}, {person}};
}

/* A visitor that this very event brought has no rows yet that could name another person. */
static void person_change(struct refold *refold, struct member *member, struct str value,
                          uint64_t person)
{
    if (member->visitor >> 10 != refold->position)
        change_add(refold, member->visitor, person);
    if (refold->dry_run)
        return;
    struct identifier *identifier =
        identity_get(refold->identity, (enum identifier_type)member->type, value);
    CHECK(identifier != NULL && identifier->visitor == member->visitor);
    state_change(refold->identity->identifiers, &identifier->entry);
    identifier->person = person;
    member->person = person;
}

static void refold_apply(struct refold *refold, struct component *component,
                         const struct outcome_row *outcomes, size_t people)
{
    struct identity_stats *stats = &refold->identity->stats;
    uint32_t refused = 0;
    for (uint32_t p = 0; p < component->pairs_count; p++) {
        component->pairs[p].outcome = outcomes[p].outcome;
        component->pairs[p].refused_type = outcomes[p].refused_type;
        refused += outcomes[p].outcome == OUTCOME_REFUSED;
    }
    if (people < component->people)
        stats->merges += component->people - people;
    stats->people = stats->people + people - component->people;
    stats->edges_refused = stats->edges_refused + refused - component->refused;
    component->people = (uint16_t)people;
    component->refused = refused;
}

/* The caller has told the state that the component changes, unless it is a dry run. */
void refold_component(struct refold *refold, struct component *component)
{
    size_t n = component->members_count;
    bool *blocked = ARENA_ARRAY(refold->scratch, bool, n);
    for (size_t m = 0; m < n && refold->rules->blocked.count > 0; m++) {
        const struct member *member = &component->members[m];
        blocked[m] = rules_block(refold->rules,
                                 identity_hash(refold->identity, (enum identifier_type)member->type,
                                               member_value(component, member)));
    }
    uint16_t *part = ARENA_ARRAY(refold->scratch, uint16_t, n);
    uint64_t *person = ARENA_ARRAY(refold->scratch, uint64_t, n);
    struct outcome_row *outcomes =
        ARENA_ARRAY(refold->scratch, struct outcome_row, component->pairs_count + 1);
    people_fold(component, blocked, &refold->rules->limits, refold->scratch, part, outcomes);
    size_t people = people_name(component, part, &refold->fresh, refold->scratch, person);
    for (size_t m = 0; m < n; m++) {
        struct member *member = &component->members[m];
        if (member->person != person[m])
            person_change(refold, member, member_value(component, member), person[m]);
    }
    for (uint32_t p = 0; p < component->pairs_count; p++)
        refold->result->edges_refused += outcomes[p].outcome == OUTCOME_REFUSED;
    if (!refold->dry_run)
        refold_apply(refold, component, outcomes, people);
}

/* --- reading, erasing ------------------------------------------------------------------------- */

static struct identity_member member_view(struct arena *arena, const struct component *component,
                                          uint16_t m)
{
    const struct member *member = &component->members[m];
    struct str value = member_value(component, member);
    return (struct identity_member){.visitor = {member->visitor},
                                    .person = {member->person},
                                    .type = (enum identifier_type)member->type,
                                    .value = arena == NULL ? value : arena_copy(arena, value)};
}

static struct identity_member single_view(struct arena *arena, const struct identifier *identifier)
{
    struct str value = identifier_value(identifier);
    return (struct identity_member){.visitor = {identifier->visitor},
                                    .person = {identifier->person},
                                    .type = (enum identifier_type)identifier->type,
                                    .value = arena == NULL ? value : arena_copy(arena, value)};
}

static int view_compare(const void *left, const void *right)
{
    const struct identity_member *x = left;
    const struct identity_member *y = right;
    return (x->visitor.v > y->visitor.v) - (x->visitor.v < y->visitor.v);
}

/* Of `person`, or with 0 of the whole component. */
static struct identity_member *members_view(struct identity *identity,
                                            const struct identifier *identifier, uint64_t person,
                                            struct arena *arena, size_t *ret_count)
{
    const struct component *component = identity_component(identity, identifier);
    size_t n = component == NULL ? 1 : 0;
    for (uint16_t m = 0; component != NULL && m < component->members_count; m++)
        n += person == 0 || component->members[m].person == person;
    struct identity_member *members = ARENA_ARRAY(arena, struct identity_member, n);
    *ret_count = n;
    if (component == NULL) {
        members[0] = single_view(arena, identifier);
        return members;
    }
    for (uint16_t m = 0, i = 0; i < n; m++)
        if (person == 0 || component->members[m].person == person)
            members[i++] = member_view(arena, component, m);
    qsort(members, n, sizeof *members, view_compare);
    return members;
}

static enum status never_seen(struct err *err)
{
    return err_set(err, ST_NOT_FOUND, "could not find the identifier: it was never seen");
}

enum status identity_members(struct identity *identity, enum identifier_type type, struct str value,
                             struct arena *arena, struct identity_member **ret_members,
                             size_t *ret_count, struct err *err)
{
    const struct identifier *identifier = identity_get(identity, type, value);
    if (identifier == NULL)
        return never_seen(err);
    *ret_members = members_view(identity, identifier, 0, arena, ret_count);
    return ST_OK;
}

enum status identity_person_members(struct identity *identity, enum identifier_type type,
                                    struct str value, struct arena *arena,
                                    struct identity_member **ret_members, size_t *ret_count,
                                    struct err *err)
{
    const struct identifier *identifier = identity_get(identity, type, value);
    if (identifier == NULL)
        return never_seen(err);
    *ret_members = members_view(identity, identifier, identifier->person, arena, ret_count);
    return ST_OK;
}

/* Nobody of a component stays: its refused edges name people too. */
static void drop_component(struct identity *identity, struct identifier *identifier,
                           const struct identity_member *members, size_t count)
{
    struct component *component = identity_component(identity, identifier);
    struct identity_stats *stats = &identity->stats;
    stats->visitors -= count;
    stats->people -= component == NULL ? 1 : component->people;
    if (component != NULL) {
        stats->edges_refused -= component->refused;
        stats->components_frozen -= component->frozen;
        state_remove(identity->components, &component->entry);
    }
    for (size_t m = 0; m < count; m++) {
        struct identifier *gone = identity_get(identity, members[m].type, members[m].value);
        CHECK(gone != NULL);
        state_remove(identity->identifiers, &gone->entry);
    }
}

enum status identity_erase(struct identity *identity, const struct hash128 *hashes,
                           size_t hashes_count, struct arena *arena,
                           struct identity_member **ret_members, size_t *ret_count, struct err *err)
{
    struct identity_member *all = NULL;
    size_t all_count = 0;
    for (size_t h = 0; h < hashes_count; h++) {
        struct identifier *identifier =
            (struct identifier *)state_get(identity->identifiers, hashes[h]);
        if (identifier == NULL)
            continue;
        size_t count = 0;
        struct identity_member *members = members_view(identity, identifier, 0, arena, &count);
        drop_component(identity, identifier, members, count);
        struct identity_member *both =
            ARENA_ARRAY(arena, struct identity_member, all_count + count);
        if (all_count > 0)
            memcpy(both, all, all_count * sizeof *both);
        memcpy(both + all_count, members, count * sizeof *both);
        all = both;
        all_count += count;
    }
    if (all_count == 0)
        return err_set(err, ST_NOT_FOUND, "could not erase: no such identifier is known");
    identity_save_stats(identity);
    *ret_members = all;
    *ret_count = all_count;
    return ST_OK;
}

/* --- all of them ------------------------------------------------------------------------------ */

struct scan {
    identity_each *each;
    void *ctx;
    bool stopped;
};

static bool scan_single(void *ctx, struct state_entry *entry)
{
    struct scan *scan = ctx;
    const struct identifier *identifier = (const struct identifier *)entry;
    if (identifier->component != 0)
        return true;
    struct identity_member member = single_view(NULL, identifier);
    scan->stopped = !scan->each(scan->ctx, &member, 1);
    return !scan->stopped;
}

static bool scan_component(void *ctx, struct state_entry *entry)
{
    struct scan *scan = ctx;
    const struct component *component = (const struct component *)entry;
    struct identity_member *members = mem_alloc(component->members_count * sizeof *members);
    for (uint16_t m = 0; m < component->members_count; m++)
        members[m] = member_view(NULL, component, m);
    qsort(members, component->members_count, sizeof *members, view_compare);
    scan->stopped = !scan->each(scan->ctx, members, component->members_count);
    free(members);
    return !scan->stopped;
}

enum status identity_scan(struct identity *identity, identity_each *each, void *ctx,
                          struct err *err)
{
    struct scan scan = {each, ctx, false};
    enum status status = state_scan(identity->identifiers, scan_single, &scan, err);
    if (status != ST_OK || scan.stopped)
        return status;
    return state_scan(identity->components, scan_component, &scan, err);
}
