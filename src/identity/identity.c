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
    identity->pages = state_table(state, &page_table);
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
static void person_change(struct refold *refold, struct component *component, uint16_t m,
                          uint64_t person)
{
    struct member *member = &component->members[m];
    if (member->visitor >> 10 != refold->position)
        change_add(refold, member->visitor, person);
    if (refold->dry_run)
        return;
    struct identifier *identifier = identity_get(
        refold->identity, (enum identifier_type)member->type, member_value(component, member));
    CHECK(identifier != NULL && identifier->visitor == member->visitor);
    state_change(refold->identity->identifiers, &identifier->entry);
    identifier->person = person;
    member->person = person;
    component_touch(component, m);
}

static void refold_apply(struct refold *refold, struct component *component,
                         const struct outcome_row *outcomes, size_t people)
{
    struct identity_stats *stats = &refold->identity->stats;
    uint32_t refused = 0;
    for (uint32_t p = 0; p < component->pairs_count; p++) {
        struct pair *pair = &component->pairs[p];
        refused += outcomes[p].outcome == OUTCOME_REFUSED;
        if (pair->outcome == outcomes[p].outcome && pair->refused_type == outcomes[p].refused_type)
            continue;
        pair->outcome = outcomes[p].outcome;
        pair->refused_type = outcomes[p].refused_type;
        component_touch(component, pair_place(pair->a, pair->b));
    }
    if (people != component->people || refused != component->refused)
        component_touch(component, 0);
    if (people < component->people)
        stats->merges += component->people - people;
    stats->people = stats->people + people - component->people;
    stats->edges_refused = stats->edges_refused + refused - component->refused;
    component->people = (uint16_t)people;
    component->refused = refused;
}

/* The caller saves the component, unless it is a dry run. */
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
    for (uint16_t m = 0; m < n; m++)
        if (component->members[m].person != person[m])
            person_change(refold, component, m, person[m]);
    for (uint32_t p = 0; p < component->pairs_count; p++)
        refold->result->edges_refused += outcomes[p].outcome == OUTCOME_REFUSED;
    if (!refold->dry_run)
        refold_apply(refold, component, outcomes, people);
}

/* --- reading, erasing ------------------------------------------------------------------------- */

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

/* Members of a component on their way to a caller. */
struct view {
    uint64_t person;     /* whose; 0 = all */
    struct arena *arena; /* NULL: values stay the pages' */
    struct identity_member *members;
    size_t count;
};

static void view_add(void *ctx, const struct member *member, struct str value)
{
    struct view *view = ctx;
    if (view->person != 0 && view->person != member->person)
        return;
    view->members[view->count++] = (struct identity_member){
        .visitor = {member->visitor},
        .person = {member->person},
        .type = (enum identifier_type)member->type,
        .value = view->arena == NULL ? value : arena_copy(view->arena, value)};
}

/* Of `person`, or with 0 of the whole component. */
static struct identity_member *members_view(struct identity *identity,
                                            const struct identifier *identifier, uint64_t person,
                                            struct arena *arena, size_t *ret_count)
{
    uint64_t id = identifier->component;
    size_t n = id == 0 ? 1 : component_head(identity, id).members;
    struct view view = {person, arena, ARENA_ARRAY(arena, struct identity_member, n), 0};
    if (id == 0)
        view.members[view.count++] = single_view(arena, identifier);
    else
        component_members(identity, id, view_add, &view);
    qsort(view.members, view.count, sizeof *view.members, view_compare);
    *ret_count = view.count;
    return view.members;
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
    struct component_head head = {.people = 1};
    struct identity_stats *stats = &identity->stats;
    if (identifier->component != 0) {
        head = component_head(identity, identifier->component);
        component_remove(identity, identifier->component);
    }
    stats->visitors -= count;
    stats->people -= head.people;
    stats->edges_refused -= head.refused;
    stats->components_frozen -= head.frozen;
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
    struct identity *identity;
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

/* Of a component's pages the first stands for all. */
static bool scan_component(void *ctx, struct state_entry *entry)
{
    struct scan *scan = ctx;
    const struct page *first = (const struct page *)entry;
    if (page_component(entry->key.a) != entry->key.a)
        return true;
    struct view view = {0};
    view.members = mem_alloc(page_head(first).members * sizeof *view.members);
    component_each(scan->identity, first, view_add, &view);
    qsort(view.members, view.count, sizeof *view.members, view_compare);
    scan->stopped = !scan->each(scan->ctx, view.members, view.count);
    free(view.members);
    return !scan->stopped;
}

enum status identity_scan(struct identity *identity, identity_each *each, void *ctx,
                          struct err *err)
{
    struct scan scan = {identity, each, ctx, false};
    enum status status = state_scan(identity->identifiers, scan_single, &scan, err);
    if (status != ST_OK || scan.stopped)
        return status;
    return state_scan(identity->pages, scan_component, &scan, err);
}
