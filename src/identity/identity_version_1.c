/* identity_version_1.c - a component as one row, which programs before December 2026 wrote.
 *
 * Read here and made a first page of all its members; the next fold of the component divides it
 * (identity_page.c). docs/format/identity.md draws the bytes. */
#include "identity/identity_int.h"

#include <stdlib.h>

enum flag { FLAG_FROZEN = 1 };

/* Times may be before 1970: zigzag. */
static int64_t get_time(struct cursor *cursor)
{
    uint64_t v = cursor_varint(cursor);
    return (int64_t)((v >> 1) ^ (~(v & 1) + 1));
}

static bool read_member(struct cursor *cursor, struct component *component)
{
    struct member member = {0};
    member.visitor = cursor_varint(cursor);
    member.person = cursor_varint(cursor);
    member.unbound_us = get_time(cursor);
    member.type = cursor_u8(cursor);
    struct str value = cursor_blob(cursor);
    if (cursor->bad || member.visitor == 0 || member.person == 0 ||
        !identifier_type_valid(member.type) || value.n > LIMIT_IDENTIFIER_BYTES)
        return false;
    component_add_member(component, &member, value);
    return true;
}

static bool read_pair(struct cursor *cursor, struct component *component)
{
    uint64_t a = cursor_varint(cursor);
    uint64_t b = cursor_varint(cursor);
    struct pair pair = {.kept = cursor_u8(cursor)};
    pair.outcome = cursor_u8(cursor);
    pair.refused_type = cursor_u8(cursor);
    pair.unbound_us = get_time(cursor);
    if (cursor->bad || a >= component->members_count || b >= component->members_count ||
        pair.kept > IDENTITY_EDGES_KEPT)
        return false;
    for (uint8_t e = 0; e < pair.kept; e++) {
        pair.edges[e].time_us = get_time(cursor);
        pair.edges[e].message.a = cursor_u64(cursor);
        pair.edges[e].message.b = cursor_u64(cursor);
        pair.edges[e].position = cursor_varint(cursor);
    }
    pair.a = (uint16_t)a;
    pair.b = (uint16_t)b;
    if (cursor->bad || !pair_is_good(&pair, 0, component->members_count))
        return false;
    component_reserve(component, 0, 1);
    component->pairs[component->pairs_count++] = pair;
    component->refused += pair.outcome == OUTCOME_REFUSED;
    return true;
}

static int u64_compare(const void *left, const void *right)
{
    uint64_t x = *(const uint64_t *)left;
    uint64_t y = *(const uint64_t *)right;
    return (x > y) - (x < y);
}

static uint16_t people_count(const struct component *component)
{
    uint64_t persons[LIMIT_COMPONENT_IDENTIFIERS];
    for (uint16_t m = 0; m < component->members_count; m++)
        persons[m] = component->members[m].person;
    qsort(persons, component->members_count, sizeof persons[0], u64_compare);
    uint16_t count = 0;
    for (uint16_t m = 0; m < component->members_count; m++)
        count = (uint16_t)(count + (m == 0 || persons[m] != persons[m - 1]));
    return count;
}

static bool read_component(struct cursor *cursor, struct component *component)
{
    uint8_t version = cursor_u8(cursor);
    uint8_t flags = cursor_u8(cursor);
    uint64_t members = cursor_varint(cursor);
    uint64_t pairs = cursor_varint(cursor);
    if (cursor->bad || version != COMPONENT_VERSION_1 || flags > FLAG_FROZEN || members == 0 ||
        members > LIMIT_COMPONENT_IDENTIFIERS || pairs > IDENTITY_PAIRS_MAX)
        return false;
    component->frozen = (flags & FLAG_FROZEN) != 0;
    component_reserve(component, (uint32_t)members, 0);
    for (uint64_t m = 0; m < members; m++)
        if (!read_member(cursor, component))
            return false;
    for (uint64_t p = 0; p < pairs; p++)
        if (!read_pair(cursor, component))
            return false;
    component->people = people_count(component);
    return cursor_at_end(cursor);
}

struct component *component_read_version_1(uint64_t id, struct str bytes)
{
    struct component *component = component_new(id);
    struct cursor cursor = cursor_of(bytes);
    if (read_component(&cursor, component))
        return component;
    component_free(component);
    return NULL;
}
