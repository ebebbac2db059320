/* identity_component.c - a component as it is folded: all of it, in four blocks that grow by half.
 *
 * It is put together from its pages when something may move (identity_page.c), and says which of
 * them it has changed. Values stand in one text, so that members stay small and a component can be
 * explained and folded without asking for its identifiers. */
#include "identity/identity_int.h"

#include <stdlib.h>

#include "base/check.h"

struct component *component_new(uint64_t id)
{
    CHECK(page_key(id, 0) == id);
    struct component *component = mem_zero(sizeof *component);
    component->id = id;
    return component;
}

void component_free(struct component *component)
{
    if (component == NULL)
        return;
    free(component->members);
    free(component->pairs);
    free(component->text);
    free(component);
}

static uint32_t grown(uint32_t capacity, uint32_t need)
{
    uint32_t half_more = capacity + capacity / 2;
    return half_more > need ? half_more : need;
}

static uint32_t text_add(struct component *component, struct str value)
{
    uint32_t need = component->text_n + (uint32_t)value.n;
    if (need > component->text_capacity) {
        component->text_capacity = grown(component->text_capacity, need);
        component->text = mem_grow(component->text, component->text_capacity);
    }
    if (value.n > 0)
        memcpy(component->text + component->text_n, value.p, value.n);
    uint32_t at = component->text_n;
    component->text_n = need;
    return at;
}

void component_reserve(struct component *component, uint32_t members, uint32_t pairs)
{
    uint32_t need = component->members_count + members;
    CHECK(need <= LIMIT_COMPONENT_IDENTIFIERS);
    if (need > component->members_capacity) {
        component->members_capacity = (uint16_t)grown(component->members_capacity, need);
        component->members =
            mem_grow(component->members, component->members_capacity * sizeof(struct member));
    }
    need = component->pairs_count + pairs;
    if (need > component->pairs_capacity) {
        component->pairs_capacity = grown(component->pairs_capacity, need);
        component->pairs =
            mem_grow(component->pairs, component->pairs_capacity * sizeof(struct pair));
    }
}

uint16_t component_add_member(struct component *component, const struct member *member,
                              struct str value)
{
    component_reserve(component, 1, 0);
    struct member *added = &component->members[component->members_count];
    *added = *member;
    added->text = text_add(component, value);
    added->text_n = (uint8_t)value.n;
    component->people++;
    component_touch(component, 0);
    component_touch(component, component->members_count);
    return component->members_count++;
}

struct pair *component_add_pair(struct component *component, uint16_t a, uint16_t b)
{
    CHECK(a != b && a < component->members_count && b < component->members_count);
    component_reserve(component, 0, 1);
    struct pair *pair = &component->pairs[component->pairs_count++];
    int64_t unbound_a = component->members[a].unbound_us;
    int64_t unbound_b = component->members[b].unbound_us;
    *pair = (struct pair){.a = a,
                          .b = b,
                          .outcome = OUTCOME_ENDED,
                          .unbound_us = unbound_a > unbound_b ? unbound_a : unbound_b};
    component_touch(component, 0);
    component_touch(component, pair_place(a, b));
    return pair;
}

uint16_t component_absorb(struct component *component, const struct component *other)
{
    uint16_t base = component->members_count;
    component_reserve(component, other->members_count, other->pairs_count);
    uint32_t text = text_add(component, (struct str){other->text, other->text_n});
    for (uint16_t m = 0; m < other->members_count; m++) {
        component_touch(component, component->members_count);
        struct member *member = &component->members[component->members_count++];
        *member = other->members[m];
        member->text += text;
    }
    for (uint32_t p = 0; p < other->pairs_count; p++) {
        struct pair *pair = &component->pairs[component->pairs_count++];
        *pair = other->pairs[p];
        pair->a = (uint16_t)(pair->a + base);
        pair->b = (uint16_t)(pair->b + base);
    }
    component_touch(component, 0);
    component->people = (uint16_t)(component->people + other->people);
    component->refused += other->refused;
    return base;
}
