/* identity_page.c - a component at rest: pages of 16 members, each an object of the state.
 *
 * A person of many devices is a component of many members, and each event that names two of them
 * again has one newer edge to keep. As one object that would be all of it, taken down with each
 * note and written with each merge; as pages it is a few hundred bytes. A page is also dense, and
 * those of members that nobody meets any more may leave the memory.
 *
 * A page is in memory what it is in the file: numbers of one width, members, pairs, the edges of
 * all pairs, values (docs/format/identity.md). So taking it down and reading it are copies. A pair
 * stands with the later one of its two members, so its page follows from their places.
 *
 * The pages of one component are neighbours: the first has the component's id as key, which is a
 * visitor's, whose place takes four of the ten bits that it has; the page's number takes the other
 * six. A first page of more than 16 members is what one row of version 1 becomes, and the next fold
 * divides it. A reader takes nothing on trust: damaged bytes give NULL. */
#include "identity/identity_int.h"

#include <stdlib.h>

#include "base/check.h"

#define PAGE_VERSION 2
#define PAGES_MAX 64
#define PAGE_SHIFT 4   /* above the places of one event's identifiers */
#define BLOCK_BYTES 16 /* what malloc takes for itself, of the second block */

_Static_assert(LIMIT_EVENT_IDENTIFIERS <= 1 << PAGE_SHIFT, "a page's number has its bits alone");
_Static_assert(LIMIT_COMPONENT_IDENTIFIERS <= PAGES_MAX * PAGE_MEMBERS, "there are pages enough");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a page is in memory what it is there");

enum page_flag { FLAG_FROZEN = 1 };

/* The last four counts and the flag are the whole component's and 0 but in its first page. */
struct page_header {
    uint8_t version, flags;
    uint16_t members, pairs, all_members, all_pairs, people, refused, zero;
} __attribute__((packed));

struct page_member {
    uint64_t visitor, person;
    int64_t unbound_us;
    uint8_t type, value_n;
} __attribute__((packed));

struct page_pair {
    int64_t unbound_us;
    uint16_t a, b;
    uint8_t kept, outcome, refused_type, zero;
} __attribute__((packed));

struct page_edge {
    int64_t time_us;
    uint64_t message_a, message_b, position;
} __attribute__((packed));

_Static_assert(sizeof(struct page_header) == 16 && sizeof(struct page_member) == 26 &&
                   sizeof(struct page_pair) == 16 && sizeof(struct page_edge) == 32,
               "docs/format/identity.md");

uint64_t page_key(uint64_t component, uint16_t number)
{
    return component | (uint64_t)number << PAGE_SHIFT;
}

uint64_t page_component(uint64_t key)
{
    return key & ~((uint64_t)(PAGES_MAX - 1) << PAGE_SHIFT);
}

static uint16_t key_number(uint64_t key)
{
    return (uint16_t)(key >> PAGE_SHIFT & (PAGES_MAX - 1));
}

/* --- the parts of one page -------------------------------------------------------------------- */

static struct page_header *page_header(const char *bytes)
{
    return (struct page_header *)(uintptr_t)bytes;
}

static struct page_member *page_members(const char *bytes)
{
    return (struct page_member *)(page_header(bytes) + 1);
}

static struct page_pair *page_pairs(const char *bytes)
{
    return (struct page_pair *)(page_members(bytes) + page_header(bytes)->members);
}

static struct page_edge *page_edges(const char *bytes)
{
    return (struct page_edge *)(page_pairs(bytes) + page_header(bytes)->pairs);
}

static const char *page_values(const char *bytes)
{
    size_t edges = 0;
    const struct page_pair *pairs = page_pairs(bytes);
    for (uint16_t p = 0; p < page_header(bytes)->pairs; p++)
        edges += pairs[p].kept;
    return (const char *)(page_edges(bytes) + edges);
}

static struct pair pair_of(const struct page_pair *from, const struct page_edge *edges)
{
    struct pair pair = {.a = from->a,
                        .b = from->b,
                        .kept = from->kept,
                        .outcome = from->outcome,
                        .refused_type = from->refused_type,
                        .unbound_us = from->unbound_us};
    for (uint8_t e = 0; e < from->kept; e++)
        pair.edges[e] = (struct edge){.time_us = edges[e].time_us,
                                      .message = {edges[e].message_a, edges[e].message_b},
                                      .position = edges[e].position};
    return pair;
}

static struct page_pair pair_bytes(const struct pair *pair)
{
    return (struct page_pair){.unbound_us = pair->unbound_us,
                              .a = pair->a,
                              .b = pair->b,
                              .kept = pair->kept,
                              .outcome = pair->outcome,
                              .refused_type = pair->refused_type};
}

static struct page_edge *edges_put(const struct pair *pair, struct page_edge *edges)
{
    for (uint8_t e = 0; e < pair->kept; e++)
        *edges++ = (struct page_edge){.time_us = pair->edges[e].time_us,
                                      .message_a = pair->edges[e].message.a,
                                      .message_b = pair->edges[e].message.b,
                                      .position = pair->edges[e].position};
    return edges;
}

/* --- one page in the state -------------------------------------------------------------------- */

/* Takes the bytes. */
static void page_set(struct page *page, char *bytes, size_t n)
{
    free(page->bytes);
    page->bytes = bytes;
    page->n = (uint32_t)n;
    page->entry.bytes = (uint32_t)(sizeof *page + BLOCK_BYTES + n);
}

static struct page *page_new(uint64_t key, char *bytes, size_t n)
{
    struct page *page = mem_zero(sizeof *page);
    page->entry.key.a = key;
    page_set(page, bytes, n);
    return page;
}

static void page_free(struct state_entry *entry)
{
    struct page *page = (struct page *)entry;
    free(page->bytes);
    free(page);
}

static void page_encode(const struct state_entry *entry, struct buf *buf)
{
    const struct page *page = (const struct page *)entry;
    buf_put(buf, page->bytes, page->n);
}

static void page_prefetch(const struct state_entry *entry)
{
    const char *bytes = ((const struct page *)entry)->bytes;
    __builtin_prefetch(bytes);
    __builtin_prefetch(bytes + 64);
    __builtin_prefetch(bytes + 128);
}

static bool counts_are_good(const struct page_header *header, uint16_t number)
{
    if (header->flags > FLAG_FROZEN || header->zero != 0 || header->members == 0 ||
        header->members > LIMIT_COMPONENT_IDENTIFIERS || header->pairs > IDENTITY_PAIRS_MAX)
        return false;
    if (number > 0)
        return header->members <= PAGE_MEMBERS && header->flags == 0 && header->all_members == 0 &&
               header->all_pairs == 0 && header->people == 0 && header->refused == 0;
    bool alone = header->members == header->all_members;
    return header->all_members <= LIMIT_COMPONENT_IDENTIFIERS &&
           header->all_pairs <= IDENTITY_PAIRS_MAX && header->pairs <= header->all_pairs &&
           (alone || (header->members == PAGE_MEMBERS && header->all_members > PAGE_MEMBERS)) &&
           header->people > 0 && header->people <= header->all_members &&
           header->refused <= header->all_pairs;
}

/* And the bytes of their values in all. */
static bool members_are_good(const struct page_member *members, uint16_t count, size_t *ret_values)
{
    for (uint16_t m = 0; m < count; m++) {
        if (members[m].visitor == 0 || members[m].person == 0 ||
            !identifier_type_valid(members[m].type))
            return false;
        *ret_values += members[m].value_n;
    }
    return true;
}

bool pair_is_good(const struct pair *pair, uint32_t from, uint32_t to)
{
    uint32_t place = pair_place(pair->a, pair->b);
    if (pair->a == pair->b || place < from || place >= to || pair->outcome >= OUTCOME_END ||
        pair->refused_type >= IDENTIFIER_END ||
        (pair->outcome == OUTCOME_REFUSED) != (pair->refused_type != 0))
        return false;
    for (uint8_t e = 1; e < pair->kept; e++)
        if (pair->edges[e].time_us < pair->edges[e - 1].time_us)
            return false;
    return pair->kept <= 1 || pair_live(pair);
}

static bool page_is_good(uint16_t number, const char *bytes, size_t n)
{
    if (n < sizeof(struct page_header))
        return false;
    const struct page_header *header = page_header(bytes);
    size_t need = sizeof *header + header->members * sizeof(struct page_member) +
                  header->pairs * sizeof(struct page_pair);
    if (header->version != PAGE_VERSION || !counts_are_good(header, number) || n < need ||
        !members_are_good(page_members(bytes), header->members, &need))
        return false;
    const struct page_pair *pairs = page_pairs(bytes);
    for (uint16_t p = 0; p < header->pairs; p++) {
        if (pairs[p].kept > IDENTITY_EDGES_KEPT || pairs[p].zero != 0)
            return false;
        need += pairs[p].kept * sizeof(struct page_edge);
    }
    if (n != need)
        return false;
    const struct page_edge *edges = page_edges(bytes);
    uint32_t from = (uint32_t)number * PAGE_MEMBERS;
    for (uint16_t p = 0; p < header->pairs; edges += pairs[p++].kept) {
        struct pair pair = pair_of(&pairs[p], edges);
        if (!pair_is_good(&pair, from, from + header->members))
            return false;
    }
    return true;
}

/* --- a page made from a component ------------------------------------------------------------- */

/* The pairs that stand with members [from, to) of a component. */
static bool pair_stands(const struct pair *pair, uint32_t from, uint32_t to)
{
    uint32_t place = pair_place(pair->a, pair->b);
    return place >= from && place < to;
}

static struct page_header header_of(const struct component *component, uint32_t from, uint32_t to,
                                    size_t *ret_edges)
{
    struct page_header header = {.version = PAGE_VERSION, .members = (uint16_t)(to - from)};
    for (uint32_t p = 0; p < component->pairs_count; p++)
        if (pair_stands(&component->pairs[p], from, to)) {
            header.pairs++;
            *ret_edges += component->pairs[p].kept;
        }
    if (from > 0)
        return header;
    header.flags = component->frozen ? FLAG_FROZEN : 0;
    header.all_members = component->members_count;
    header.all_pairs = (uint16_t)component->pairs_count;
    header.people = component->people;
    header.refused = (uint16_t)component->refused;
    return header;
}

/* Members [from, to) with what stands with them, malloc'd. */
static char *page_make(const struct component *component, uint32_t from, uint32_t to, size_t *ret_n)
{
    size_t edges_n = 0, values_n = 0;
    struct page_header header = header_of(component, from, to, &edges_n);
    for (uint32_t m = from; m < to; m++)
        values_n += component->members[m].text_n;
    *ret_n = sizeof header + header.members * sizeof(struct page_member) +
             header.pairs * sizeof(struct page_pair) + edges_n * sizeof(struct page_edge) +
             values_n;
    char *bytes = mem_alloc(*ret_n);
    memcpy(bytes, &header, sizeof header);
    struct page_member *members = page_members(bytes);
    char *values = bytes + *ret_n - values_n;
    for (uint32_t m = from; m < to; m++) {
        const struct member *member = &component->members[m];
        struct str value = member_value(component, member);
        *members++ = (struct page_member){member->visitor, member->person, member->unbound_us,
                                          member->type, member->text_n};
        if (value.n > 0)
            memcpy(values, value.p, value.n);
        values += value.n;
    }
    struct page_pair *pairs = page_pairs(bytes);
    struct page_edge *edges = page_edges(bytes);
    for (uint32_t p = 0; p < component->pairs_count; p++)
        if (pair_stands(&component->pairs[p], from, to)) {
            *pairs++ = pair_bytes(&component->pairs[p]);
            edges = edges_put(&component->pairs[p], edges);
        }
    return bytes;
}

static struct state_entry *page_decode(struct hash128 key, struct str bytes)
{
    uint16_t number = key_number(key.a);
    if (number == 0 && bytes.n > 0 && bytes.p[0] == COMPONENT_VERSION_1) {
        struct component *component = component_read_version_1(key.a, bytes);
        if (component == NULL)
            return NULL;
        size_t n = 0;
        char *made = page_make(component, 0, component->members_count, &n);
        component_free(component);
        return &page_new(key.a, made, n)->entry;
    }
    if (!page_is_good(number, bytes.p, bytes.n))
        return NULL;
    char *copy = mem_alloc(bytes.n);
    memcpy(copy, bytes.p, bytes.n);
    return &page_new(key.a, copy, bytes.n)->entry;
}

const struct state_table_def page_table = {.name = "component",
                                           .integer_key = true,
                                           .encode = page_encode,
                                           .decode = page_decode,
                                           .free = page_free,
                                           .prefetch = page_prefetch};

/* --- a component's pages ---------------------------------------------------------------------- */

static struct page *page_get(struct identity *identity, uint64_t id, uint16_t number)
{
    return (struct page *)state_get(identity->pages, (struct hash128){page_key(id, number), 0});
}

/* A page that must be there. */
static struct page *page_need(struct identity *identity, uint64_t id, uint16_t number)
{
    struct page *page = page_get(identity, id, number);
    if (page == NULL)
        fatal("could not read state.db: page %u of component %llu is not there; delete the file, "
              "it is rebuilt from the journal",
              number, (unsigned long long)id);
    return page;
}

bool component_exists(struct identity *identity, uint64_t id)
{
    return page_get(identity, id, 0) != NULL;
}

struct component_head page_head(const struct page *first)
{
    const struct page_header *header = page_header(first->bytes);
    return (struct component_head){.members = header->all_members,
                                   .pairs = header->all_pairs,
                                   .people = header->people,
                                   .refused = header->refused,
                                   .frozen = (header->flags & FLAG_FROZEN) != 0};
}

struct component_head component_head(struct identity *identity, uint64_t id)
{
    return page_head(page_need(identity, id, 0));
}

static uint16_t pages_of(uint32_t members)
{
    return (uint16_t)((members + PAGE_MEMBERS - 1) / PAGE_MEMBERS);
}

/* As they stand in the state. */
static uint16_t pages_count(const struct page *first)
{
    const struct page_header *header = page_header(first->bytes);
    return header->members > PAGE_MEMBERS ? 1 : pages_of(header->all_members);
}

void component_each(struct identity *identity, const struct page *first, component_member *each,
                    void *ctx)
{
    uint64_t id = first->entry.key.a;
    uint16_t pages = pages_count(first);
    for (uint16_t k = 0; k < pages; k++) {
        const struct page *page = k == 0 ? first : page_need(identity, id, k);
        const struct page_member *members = page_members(page->bytes);
        const char *value = page_values(page->bytes);
        for (uint16_t m = 0; m < page_header(page->bytes)->members; m++) {
            struct member member = {.visitor = members[m].visitor,
                                    .person = members[m].person,
                                    .unbound_us = members[m].unbound_us,
                                    .type = members[m].type,
                                    .text_n = members[m].value_n};
            each(ctx, &member, (struct str){value, members[m].value_n});
            value += members[m].value_n;
        }
    }
}

void component_members(struct identity *identity, uint64_t id, component_member *each, void *ctx)
{
    component_each(identity, page_need(identity, id, 0), each, ctx);
}

static void take_member(void *ctx, const struct member *member, struct str value)
{
    component_add_member(ctx, member, value);
}

static void take_pairs(struct component *component, const struct page *page)
{
    const struct page_pair *pairs = page_pairs(page->bytes);
    const struct page_edge *edges = page_edges(page->bytes);
    uint16_t count = page_header(page->bytes)->pairs;
    component_reserve(component, 0, count);
    for (uint16_t p = 0; p < count; edges += pairs[p++].kept)
        component->pairs[component->pairs_count++] = pair_of(&pairs[p], edges);
}

struct component *component_open(struct identity *identity, uint64_t id)
{
    const struct page *first = page_need(identity, id, 0);
    const struct page_header *header = page_header(first->bytes);
    struct component *component = component_new(id);
    component_reserve(component, header->all_members, header->all_pairs);
    component_each(identity, first, take_member, component);
    uint16_t pages = pages_count(first);
    for (uint16_t k = 0; k < pages; k++)
        take_pairs(component, k == 0 ? first : page_need(identity, id, k));
    component->people = header->people;
    component->refused = header->refused;
    component->frozen = (header->flags & FLAG_FROZEN) != 0;
    component->touched = header->members > PAGE_MEMBERS ? UINT64_MAX : 0;
    return component;
}

void component_save(struct identity *identity, struct component *component)
{
    uint16_t pages = pages_of(component->members_count);
    for (uint16_t k = 0; k < pages; k++) {
        if ((component->touched >> k & 1) == 0)
            continue;
        uint32_t from = (uint32_t)k * PAGE_MEMBERS, to = from + PAGE_MEMBERS;
        size_t n = 0;
        char *bytes = page_make(component, from,
                                to < component->members_count ? to : component->members_count, &n);
        struct page *page = page_get(identity, component->id, k);
        if (page == NULL) {
            page = page_new(page_key(component->id, k), bytes, n);
            state_add(identity->pages, &page->entry);
            continue;
        }
        state_change(identity->pages, &page->entry);
        page_set(page, bytes, n);
    }
    component->touched = 0;
}

void component_remove(struct identity *identity, uint64_t id)
{
    struct page *first = page_need(identity, id, 0);
    for (uint16_t k = pages_count(first); k-- > 0;)
        state_remove(identity->pages, &page_need(identity, id, k)->entry);
}

/* --- one pair --------------------------------------------------------------------------------- */

bool component_find_pair(struct identity *identity, uint64_t id, uint16_t a, uint16_t b,
                         struct pair_at *ret_at)
{
    uint16_t number = (uint16_t)(pair_place(a, b) / PAGE_MEMBERS);
    struct page *page = page_get(identity, id, number);
    if (page == NULL) /* it was one row */
        page = page_need(identity, id, 0);
    const struct page_pair *pairs = page_pairs(page->bytes);
    uint32_t edges = 0;
    for (uint16_t p = 0; p < page_header(page->bytes)->pairs; edges += pairs[p++].kept)
        if (pairs[p].a == a && pairs[p].b == b) {
            ret_at->page = page;
            ret_at->place = p;
            ret_at->edges = edges;
            ret_at->pair = pair_of(&pairs[p], page_edges(page->bytes) + edges);
            return true;
        }
    return false;
}

/* Room for `kept` edges where there were others; what they are is the caller's to write. */
static void page_make_room(struct pair_at *at, uint8_t before, uint8_t kept)
{
    struct page *page = at->page;
    size_t head = (size_t)((char *)(page_edges(page->bytes) + at->edges) - page->bytes);
    size_t old = before * sizeof(struct page_edge), new = kept * sizeof(struct page_edge);
    size_t n = page->n - old + new;
    char *bytes = mem_alloc(n);
    memcpy(bytes, page->bytes, head);
    memcpy(bytes + head + new, page->bytes + head + old, page->n - head - old);
    page_set(page, bytes, n);
}

void component_put_pair(struct identity *identity, struct pair_at *at)
{
    struct page *page = at->page;
    state_change(identity->pages, &page->entry);
    uint8_t before = page_pairs(page->bytes)[at->place].kept;
    if (before != at->pair.kept)
        page_make_room(at, before, at->pair.kept);
    page_pairs(page->bytes)[at->place] = pair_bytes(&at->pair);
    edges_put(&at->pair, page_edges(page->bytes) + at->edges);
}
