/* identity_object.c - identifiers and components in memory and in the file.
 *
 * An identifier is one block, value and all (58 bytes and the value): at a million people there are
 * millions of them, and the hot path asks for nothing else. A component is four blocks that grow by
 * half; values stand in one text, so that members stay small and a component can be scanned,
 * explained and folded without asking for its identifiers.
 *
 * The encodings are drawn in docs/format/identity.md. A decoder takes nothing on trust: indexes,
 * types, counts and the order of edges are checked, and damaged bytes give NULL. */
#include "identity/identity_int.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"

#define IDENTIFIER_VERSION 1
#define COMPONENT_VERSION 1

/* --- identifier ------------------------------------------------------------------------------- */

struct identifier *identifier_new(struct hash128 key, enum identifier_type type, struct str value,
                                  uint64_t visitor)
{
    CHECK(value.n <= LIMIT_IDENTIFIER_BYTES);
    size_t bytes = offsetof(struct identifier, value) + value.n;
    if (bytes < sizeof(struct identifier)) /* the padding is the first bytes of the value */
        bytes = sizeof(struct identifier);
    struct identifier *identifier = mem_alloc(bytes);
    *identifier = (struct identifier){.entry = {.key = key, .bytes = (uint32_t)bytes},
                                      .visitor = visitor,
                                      .person = visitor,
                                      .type = (uint8_t)type,
                                      .value_n = (uint8_t)value.n};
    if (value.n > 0)
        memcpy(identifier->value, value.p, value.n);
    return identifier;
}

static void identifier_encode(const struct state_entry *entry, struct buf *buf)
{
    const struct identifier *identifier = (const struct identifier *)entry;
    buf_char(buf, IDENTIFIER_VERSION);
    buf_char(buf, (char)identifier->type);
    buf_varint(buf, identifier->visitor);
    buf_varint(buf, identifier->person);
    buf_varint(buf, identifier->component);
    buf_varint(buf, identifier->entry.slot);
    buf_blob(buf, identifier_value(identifier));
}

static bool type_valid(uint8_t type)
{
    return type > IDENTIFIER_NONE && type < IDENTIFIER_END;
}

static struct state_entry *identifier_decode(struct hash128 key, struct str bytes)
{
    struct cursor cursor = cursor_of(bytes);
    uint8_t version = cursor_u8(&cursor);
    uint8_t type = cursor_u8(&cursor);
    uint64_t visitor = cursor_varint(&cursor);
    uint64_t person = cursor_varint(&cursor);
    uint64_t component = cursor_varint(&cursor);
    uint64_t slot = cursor_varint(&cursor);
    struct str value = cursor_blob(&cursor);
    if (cursor.bad || !cursor_at_end(&cursor) || version != IDENTIFIER_VERSION ||
        !type_valid(type) || visitor == 0 || person == 0 || value.n > LIMIT_IDENTIFIER_BYTES ||
        slot >= LIMIT_COMPONENT_IDENTIFIERS)
        return NULL;
    struct identifier *identifier = identifier_new(key, (enum identifier_type)type, value, visitor);
    identifier->person = person;
    identifier->component = component;
    identifier->entry.slot = (uint16_t)slot;
    return &identifier->entry;
}

static void identifier_free(struct state_entry *entry)
{
    free(entry);
}

const struct state_table_def identifier_table = {.name = "identifier",
                                                 .encode = identifier_encode,
                                                 .decode = identifier_decode,
                                                 .free = identifier_free};

/* --- component: growing ----------------------------------------------------------------------- */

/* Keep entry.bytes true after a change. */
static void measure(struct component *component)
{
    component->entry.bytes =
        (uint32_t)(sizeof *component + component->members_capacity * sizeof(struct member) +
                   component->pairs_capacity * sizeof(struct pair) + component->text_capacity);
}

struct component *component_new(uint64_t id)
{
    struct component *component = mem_zero(sizeof *component);
    component->entry.key.a = id;
    measure(component);
    return component;
}

void component_free(struct component *component)
{
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

static void members_reserve(struct component *component, uint32_t more)
{
    uint32_t need = component->members_count + more;
    CHECK(need <= LIMIT_COMPONENT_IDENTIFIERS);
    if (need <= component->members_capacity)
        return;
    component->members_capacity = (uint16_t)grown(component->members_capacity, need);
    component->members =
        mem_grow(component->members, component->members_capacity * sizeof(struct member));
}

static void pairs_reserve(struct component *component, uint32_t more)
{
    uint32_t need = component->pairs_count + more;
    if (need <= component->pairs_capacity)
        return;
    component->pairs_capacity = grown(component->pairs_capacity, need);
    component->pairs = mem_grow(component->pairs, component->pairs_capacity * sizeof(struct pair));
}

uint16_t component_add_member(struct component *component, const struct member *member,
                              struct str value)
{
    members_reserve(component, 1);
    struct member *added = &component->members[component->members_count];
    *added = *member;
    added->text = text_add(component, value);
    added->text_n = (uint8_t)value.n;
    component->people++;
    measure(component);
    return component->members_count++;
}

/* The place of (a, b), or where it belongs. */
static uint32_t pair_place(const struct component *component, uint16_t a, uint16_t b)
{
    uint32_t wanted = (uint32_t)a << 16 | b;
    uint32_t low = 0;
    uint32_t high = component->pairs_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct pair *pair = &component->pairs[middle];
        if (((uint32_t)pair->a << 16 | pair->b) < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct pair *component_pair(const struct component *component, uint16_t a, uint16_t b)
{
    uint32_t place = pair_place(component, a, b);
    if (place == component->pairs_count)
        return NULL;
    struct pair *pair = &component->pairs[place];
    return pair->a == a && pair->b == b ? pair : NULL;
}

struct pair *component_add_pair(struct component *component, uint16_t a, uint16_t b)
{
    CHECK(a != b && a < component->members_count && b < component->members_count);
    pairs_reserve(component, 1);
    uint32_t place = pair_place(component, a, b);
    struct pair *pair = &component->pairs[place];
    memmove(pair + 1, pair, (component->pairs_count - place) * sizeof *pair);
    int64_t unbound_a = component->members[a].unbound_us;
    int64_t unbound_b = component->members[b].unbound_us;
    *pair = (struct pair){.a = a,
                          .b = b,
                          .outcome = OUTCOME_ENDED,
                          .unbound_us = unbound_a > unbound_b ? unbound_a : unbound_b};
    component->pairs_count++;
    measure(component);
    return pair;
}

uint16_t component_absorb(struct component *component, const struct component *other)
{
    uint16_t base = component->members_count;
    members_reserve(component, other->members_count);
    pairs_reserve(component, other->pairs_count);
    uint32_t text = text_add(component, (struct str){other->text, other->text_n});
    for (uint16_t m = 0; m < other->members_count; m++) {
        struct member *member = &component->members[component->members_count++];
        *member = other->members[m];
        member->text += text;
    }
    /* All its indexes are above ours, so the order by (a, b) holds without sorting. */
    for (uint32_t p = 0; p < other->pairs_count; p++) {
        struct pair *pair = &component->pairs[component->pairs_count++];
        *pair = other->pairs[p];
        pair->a = (uint16_t)(pair->a + base);
        pair->b = (uint16_t)(pair->b + base);
    }
    component->people = (uint16_t)(component->people + other->people);
    component->refused += other->refused;
    measure(component);
    return base;
}

/* --- component: the file ---------------------------------------------------------------------- */

enum component_flag { FLAG_FROZEN = 1 };

/* Times may be before 1970: zigzag, so that small ones of either sign stay short. */
static void put_time(struct buf *buf, int64_t us)
{
    buf_varint(buf, ((uint64_t)us << 1) ^ (uint64_t)(us >> 63));
}

static int64_t get_time(struct cursor *cursor)
{
    uint64_t v = cursor_varint(cursor);
    return (int64_t)((v >> 1) ^ (~(v & 1) + 1));
}

static void pair_encode(const struct pair *pair, struct buf *buf)
{
    buf_varint(buf, pair->a);
    buf_varint(buf, pair->b);
    buf_char(buf, (char)pair->kept);
    buf_char(buf, (char)pair->outcome);
    buf_char(buf, (char)pair->refused_type);
    put_time(buf, pair->unbound_us);
    for (uint8_t e = 0; e < pair->kept; e++) {
        put_time(buf, pair->edges[e].time_us);
        buf_u64(buf, pair->edges[e].message.a);
        buf_u64(buf, pair->edges[e].message.b);
        buf_varint(buf, pair->edges[e].position);
    }
}

static void component_encode(const struct state_entry *entry, struct buf *buf)
{
    const struct component *component = (const struct component *)entry;
    buf_char(buf, COMPONENT_VERSION);
    buf_char(buf, component->frozen ? FLAG_FROZEN : 0);
    buf_varint(buf, component->members_count);
    buf_varint(buf, component->pairs_count);
    for (uint16_t m = 0; m < component->members_count; m++) {
        const struct member *member = &component->members[m];
        buf_varint(buf, member->visitor);
        buf_varint(buf, member->person);
        put_time(buf, member->unbound_us);
        buf_char(buf, (char)member->type);
        buf_blob(buf, member_value(component, member));
    }
    for (uint32_t p = 0; p < component->pairs_count; p++)
        pair_encode(&component->pairs[p], buf);
}

static void component_prefetch(const struct state_entry *entry)
{
    const struct component *component = (const struct component *)entry;
    __builtin_prefetch(component->members);
    __builtin_prefetch(component->pairs);
    __builtin_prefetch(component->text);
}

static bool member_decode(struct cursor *cursor, struct component *component)
{
    struct member member = {0};
    member.visitor = cursor_varint(cursor);
    member.person = cursor_varint(cursor);
    member.unbound_us = get_time(cursor);
    member.type = cursor_u8(cursor);
    struct str value = cursor_blob(cursor);
    if (cursor->bad || member.visitor == 0 || member.person == 0 || !type_valid(member.type) ||
        value.n > LIMIT_IDENTIFIER_BYTES)
        return false;
    component_add_member(component, &member, value);
    return true;
}

static bool edges_ascend(const struct pair *pair)
{
    for (uint8_t e = 1; e < pair->kept; e++)
        if (pair->edges[e].time_us < pair->edges[e - 1].time_us)
            return false;
    return pair->kept <= 1 || pair_live(pair);
}

static bool pair_decode(struct cursor *cursor, struct component *component)
{
    uint64_t a = cursor_varint(cursor);
    uint64_t b = cursor_varint(cursor);
    struct pair pair = {.kept = cursor_u8(cursor)};
    pair.outcome = cursor_u8(cursor);
    pair.refused_type = cursor_u8(cursor);
    pair.unbound_us = get_time(cursor);
    if (cursor->bad || a >= component->members_count || b >= component->members_count || a == b ||
        pair.kept > IDENTITY_EDGES_KEPT || pair.outcome >= OUTCOME_END ||
        pair.refused_type >= IDENTIFIER_END)
        return false;
    if ((pair.outcome == OUTCOME_REFUSED) != (pair.refused_type != 0))
        return false;
    for (uint8_t e = 0; e < pair.kept; e++) {
        pair.edges[e].time_us = get_time(cursor);
        pair.edges[e].message.a = cursor_u64(cursor);
        pair.edges[e].message.b = cursor_u64(cursor);
        pair.edges[e].position = cursor_varint(cursor);
    }
    pair.a = (uint16_t)a;
    pair.b = (uint16_t)b;
    const struct pair *before =
        component->pairs_count == 0 ? NULL : &component->pairs[component->pairs_count - 1];
    bool ascends =
        before == NULL || before->a < pair.a || (before->a == pair.a && before->b < pair.b);
    if (cursor->bad || !ascends || !edges_ascend(&pair))
        return false;
    pairs_reserve(component, 1);
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

static bool component_read(struct cursor *cursor, struct component *component)
{
    uint8_t version = cursor_u8(cursor);
    uint8_t flags = cursor_u8(cursor);
    uint64_t members = cursor_varint(cursor);
    uint64_t pairs = cursor_varint(cursor);
    if (cursor->bad || version != COMPONENT_VERSION || flags > FLAG_FROZEN || members == 0 ||
        members > LIMIT_COMPONENT_IDENTIFIERS || pairs > IDENTITY_PAIRS_MAX)
        return false;
    component->frozen = (flags & FLAG_FROZEN) != 0;
    members_reserve(component, (uint32_t)members);
    for (uint64_t m = 0; m < members; m++)
        if (!member_decode(cursor, component))
            return false;
    for (uint64_t p = 0; p < pairs; p++)
        if (!pair_decode(cursor, component))
            return false;
    component->people = people_count(component);
    measure(component);
    return cursor_at_end(cursor);
}

static struct state_entry *component_decode(struct hash128 key, struct str bytes)
{
    struct component *component = component_new(key.a);
    struct cursor cursor = cursor_of(bytes);
    if (component_read(&cursor, component))
        return &component->entry;
    component_free(component);
    return NULL;
}

static void component_entry_free(struct state_entry *entry)
{
    component_free((struct component *)entry);
}

const struct state_table_def component_table = {.name = "component",
                                                .integer_key = true,
                                                .encode = component_encode,
                                                .decode = component_decode,
                                                .free = component_entry_free,
                                                .prefetch = component_prefetch};
