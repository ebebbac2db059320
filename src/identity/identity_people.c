/* identity_people.c - who is one person: a pure function of a component.
 *
 * Edges stand in one order: corrected event time, message hash, priority of the other identifier,
 * its value. Going along it, an edge unites the people of its two identifiers unless that person
 * would have more identifiers of some type than its limit allows. People only grow on the way, so
 * an edge that is refused once would be refused by every later edge of the same pair: only the
 * earliest edge of each pair counts. Nothing here looks at arrival order, positions or the person
 * ids of before; so any arrival order gives the same people, and a late event, an unbind and a
 * change of rules are one call: fold again.
 *
 * Names of people are another matter. They should change as seldom as possible, so they look at
 * what was before: a person goes where most of its visitors went (tie: the part with the lower
 * member), a part that several people come to takes the name of the one with more visitors (tie:
 * the older, lower id), a part left without a name takes its founding visitor's if that is free.
 * Two histories can give other names to the same people, so names stay out of order-free digests.
 *
 * Why not unite by priority, the stronger evidence first? Then one new strong edge could tear apart
 * people whom we have addressed for years; time order lets a person change only when the past
 * does. */
#include "identity/identity_int.h"

#include <stdlib.h>

#include "base/check.h"

static int member_compare(const struct component *component, uint16_t x, uint16_t y)
{
    const struct member *m = &component->members[x];
    const struct member *n = &component->members[y];
    if (m->type != n->type)
        return identifier_priority((enum identifier_type)m->type) <
                       identifier_priority((enum identifier_type)n->type)
                   ? -1
                   : 1;
    return str_compare(member_value(component, m), member_value(component, n));
}

/* The order of DESIGN §5; the anchor comes last, for two events of equal time and message id. */
static int order_compare(const void *left, const void *right, void *ctx)
{
    const struct component *component = ctx;
    const struct pair *x = &component->pairs[*(const uint32_t *)left];
    const struct pair *y = &component->pairs[*(const uint32_t *)right];
    if (x->edges[0].time_us != y->edges[0].time_us)
        return x->edges[0].time_us < y->edges[0].time_us ? -1 : 1;
    int order = hash128_compare(x->edges[0].message, y->edges[0].message);
    if (order == 0)
        order = member_compare(component, x->b, y->b);
    return order != 0 ? order : member_compare(component, x->a, y->a);
}

uint32_t *people_order(const struct component *component, struct arena *arena, size_t *ret_count)
{
    uint32_t *order = ARENA_ARRAY(arena, uint32_t, component->pairs_count + 1);
    size_t count = 0;
    for (uint32_t p = 0; p < component->pairs_count; p++)
        if (pair_live(&component->pairs[p]))
            order[count++] = p;
    qsort_r(order, count, sizeof order[0], order_compare, (void *)(uintptr_t)component);
    *ret_count = count;
    return order;
}

/* --- the fold --------------------------------------------------------------------------------- */

typedef uint16_t type_counts[IDENTIFIER_END];

/* The lowest member of the person; the way there is halved on each walk. */
static uint16_t part_of(uint16_t *up, uint16_t m)
{
    while (up[m] != m)
        m = up[m] = up[up[m]];
    return m;
}

/* The first type, in priority order, of which one person would have too many; 0 if none. */
static uint8_t limit_broken(const type_counts x, const type_counts y, const struct limits *limits)
{
    for (uint8_t type = 1; type < IDENTIFIER_END; type++)
        if (x[type] > 0 && y[type] > 0 && x[type] + y[type] > limits->of[type])
            return type;
    return 0;
}

static struct outcome_row pair_fold(const struct pair *pair, const bool *blocked,
                                    const struct limits *limits, uint16_t *up, type_counts *counts)
{
    if (blocked[pair->a] || blocked[pair->b])
        return (struct outcome_row){OUTCOME_BLOCKED, 0};
    uint16_t x = part_of(up, pair->a);
    uint16_t y = part_of(up, pair->b);
    if (x == y)
        return (struct outcome_row){OUTCOME_ALREADY, 0};
    uint8_t type = limit_broken(counts[x], counts[y], limits);
    if (type != 0)
        return (struct outcome_row){OUTCOME_REFUSED, type};
    uint16_t low = x < y ? x : y;
    uint16_t high = x < y ? y : x;
    up[high] = low;
    for (int t = 1; t < IDENTIFIER_END; t++)
        counts[low][t] = (uint16_t)(counts[low][t] + counts[high][t]);
    return (struct outcome_row){OUTCOME_MERGED, 0};
}

void people_fold(const struct component *component, const bool *blocked,
                 const struct limits *limits, struct arena *arena, uint16_t *ret_part,
                 struct outcome_row *ret_outcomes)
{
    type_counts *counts = arena_zero(arena, component->members_count * sizeof *counts);
    for (uint16_t m = 0; m < component->members_count; m++) {
        ret_part[m] = m;
        counts[m][component->members[m].type] = 1;
    }
    for (uint32_t p = 0; p < component->pairs_count; p++)
        ret_outcomes[p] = (struct outcome_row){OUTCOME_ENDED, 0};
    size_t steps = 0;
    const uint32_t *order = people_order(component, arena, &steps);
    for (size_t i = 0; i < steps; i++)
        ret_outcomes[order[i]] =
            pair_fold(&component->pairs[order[i]], blocked, limits, ret_part, counts);
    for (uint16_t m = 0; m < component->members_count; m++)
        ret_part[m] = part_of(ret_part, m);
}

/* --- names ------------------------------------------------------------------------------------ */

struct share { /* one member of a person of before, in a part of now */
    uint64_t person;
    uint16_t part;
};

static int share_compare(const void *left, const void *right)
{
    const struct share *x = left;
    const struct share *y = right;
    if (x->person != y->person)
        return x->person < y->person ? -1 : 1;
    return (x->part > y->part) - (x->part < y->part);
}

/* The part that most of shares[0..n) went to; shares ascend by part, so a tie gives the lowest. */
static uint16_t largest_part(const struct share *shares, size_t n)
{
    uint16_t best = shares[0].part;
    size_t best_n = 0;
    for (size_t i = 0; i < n;) {
        size_t run = i;
        while (run < n && shares[run].part == shares[i].part)
            run++;
        if (run - i > best_n) {
            best = shares[i].part;
            best_n = run - i;
        }
        i = run;
    }
    return best;
}

/* Each person of before offers its name to one part; a part takes the offer of the largest. */
static void names_keep(struct share *shares, size_t n, size_t *sizes, uint64_t *names)
{
    qsort(shares, n, sizeof shares[0], share_compare);
    for (size_t i = 0; i < n;) {
        size_t run = i;
        while (run < n && shares[run].person == shares[i].person)
            run++;
        uint16_t part = largest_part(shares + i, run - i);
        if (run - i > sizes[part]) { /* persons ascend: on a tie the older one stands */
            sizes[part] = run - i;
            names[part] = shares[i].person;
        }
        i = run;
    }
}

static bool name_taken(const uint64_t *names, size_t n, uint64_t name)
{
    for (size_t i = 0; i < n; i++)
        if (names[i] == name)
            return true;
    return false;
}

size_t people_name(const struct component *component, const uint16_t *part, uint64_t *fresh,
                   struct arena *arena, uint64_t *ret_person)
{
    size_t n = component->members_count;
    struct share *shares = ARENA_ARRAY(arena, struct share, n);
    size_t *sizes = ARENA_ARRAY(arena, size_t, n);
    uint64_t *names = ARENA_ARRAY(arena, uint64_t, n);
    uint64_t *founders = ARENA_ARRAY(arena, uint64_t, n);
    for (size_t m = 0; m < n; m++) {
        shares[m] = (struct share){component->members[m].person, part[m]};
        uint64_t *founder = &founders[part[m]];
        if (*founder == 0 || component->members[m].visitor < *founder)
            *founder = component->members[m].visitor;
    }
    names_keep(shares, n, sizes, names);
    size_t parts = 0;
    for (size_t k = 0; k < n; k++) {
        if (part[k] != k)
            continue;
        parts++;
        if (names[k] == 0)
            names[k] = name_taken(names, n, founders[k]) ? (*fresh)++ : founders[k];
    }
    for (size_t m = 0; m < n; m++)
        ret_person[m] = names[part[m]];
    return parts;
}
