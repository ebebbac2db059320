/* pipeline_digest.c - order-free hashes of what is known, for `hezou doctor --digest` (DESIGN §11).
 *
 * One line per person, per trait and counter, and per row; a digest is the sum of the lines'
 * 128-bit hashes, so the order of arrival does not show. No position, received time or id enters
 * `people`, `profiles` and `rows`; `exact` adds ids. */
#include "pipeline/pipeline_int.h"

#include <stdlib.h>

#include "base/check.h"

#define LINE_BYTES_MAX ((size_t)1 << 20)

struct digester {
    struct pipeline *pipeline;
    struct pipeline_digest digest;
    struct arena arena;
    struct buf line;
};

static void sum_add(struct hash128 *sum, struct str line)
{
    struct hash128 hash = hash_public(line);
    uint64_t low = sum->b + hash.b;
    sum->a += hash.a + (low < hash.b);
    sum->b = low;
}

static int member_compare(const void *x, const void *y)
{
    const struct identity_member *a = x, *b = y;
    if (a->person.v != b->person.v)
        return a->person.v < b->person.v ? -1 : 1;
    int order = str_compare(str_of(identifier_name(a->type)), str_of(identifier_name(b->type)));
    return order != 0 ? order : str_compare(a->value, b->value);
}

static void put_identifier(struct buf *line, const struct identity_member *member)
{
    buf_text(line, identifier_name(member->type));
    buf_char(line, ':');
    buf_str(line, member->value);
    buf_char(line, '\n');
}

static void profile_lines(struct digester *digester, const struct identity_member *members,
                          size_t count)
{
    struct visitor_id *visitors = ARENA_ARRAY(&digester->arena, struct visitor_id, count);
    for (size_t i = 0; i < count; i++)
        visitors[i] = members[i].visitor;
    struct profile_view view;
    profile_view(digester->pipeline->profile, visitors, count, &digester->arena, &view);
    struct buf *line = &digester->line;
    for (size_t i = 0; i < view.traits_count; i++) {
        buf_reset(line);
        put_identifier(line, &members[0]);
        buf_blob(line, view.traits[i].name);
        buf_blob(line, view.traits[i].value);
        buf_u64(line, (uint64_t)view.traits[i].time_us);
        sum_add(&digester->digest.profiles, buf_view(line));
    }
    for (size_t i = 0; i < view.counters_count; i++) {
        buf_reset(line);
        put_identifier(line, &members[0]);
        buf_blob(line, view.counters[i].name);
        buf_u64(line, view.counters[i].count);
        buf_u64(line, (uint64_t)view.counters[i].first_us);
        buf_u64(line, (uint64_t)view.counters[i].last_us);
        sum_add(&digester->digest.profiles, buf_view(line));
    }
    buf_reset(line);
    put_identifier(line, &members[0]);
    buf_u64(line, view.events_total);
    buf_u64(line, view.orders);
    buf_u64(line, (uint64_t)view.revenue_micros);
    sum_add(&digester->digest.profiles, buf_view(line));
}

/* `members` are one person's, sorted: the first is the smallest identifier. */
static void person_lines(struct digester *digester, const struct identity_member *members,
                         size_t count)
{
    struct buf *line = &digester->line;
    buf_reset(line);
    for (size_t i = 0; i < count; i++)
        put_identifier(line, &members[i]);
    CHECK(!line->overflow);
    sum_add(&digester->digest.people, buf_view(line));
    for (size_t i = 0; i < count; i++) {
        buf_u64(line, members[i].visitor.v);
        buf_u64(line, members[i].person.v);
    }
    sum_add(&digester->digest.exact, buf_view(line));
    digester->digest.people_count++;
    profile_lines(digester, members, count);
}

static bool component_lines(void *ctx, const struct identity_member *members, size_t count)
{
    struct digester *digester = ctx;
    arena_reset(&digester->arena);
    struct identity_member *sorted = ARENA_ARRAY(&digester->arena, struct identity_member, count);
    memcpy(sorted, members, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, member_compare);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && sorted[to].person.v == sorted[from].person.v; to++)
            continue;
        person_lines(digester, sorted + from, to - from);
    }
    return true;
}

enum status pipeline_digest(struct pipeline *pipeline, struct pipeline_digest *ret_digest,
                            struct err *err)
{
    struct digester digester = {.pipeline = pipeline};
    arena_init(&digester.arena);
    buf_init(&digester.line, LINE_BYTES_MAX);
    enum status status = pipeline_flush(pipeline, err);
    if (status == ST_OK)
        status = identity_scan(pipeline->identity, component_lines, &digester, err);
    if (status == ST_OK)
        status = warehouse_digest(pipeline->warehouse, &digester.digest.rows,
                                  &digester.digest.rows_count, err);
    if (status == ST_OK)
        *ret_digest = digester.digest;
    buf_done(&digester.line);
    arena_done(&digester.arena);
    return status;
}
