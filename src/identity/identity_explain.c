/* identity_explain.c - why these identifiers are one person, and why others are not: for people.
 *
 * The ledger is not written anywhere of its own: it IS the component, whose pairs keep their
 * evidence and their outcome. So it cannot disagree with what it explains. */
#include "identity/identity_int.h"

#include "base/json.h"
#include "base/when.h"
#include "clean/clean.h"

static void put_identifier(struct buf *json, enum identifier_type type, struct str value)
{
    buf_char(json, '{');
    json_put_member_str(json, "type", str_of(identifier_name(type)));
    json_put_member_str(json, "value", value);
}

static void put_member(struct buf *json, const struct identity_member *member)
{
    json_put_comma(json);
    put_identifier(json, member->type, member->value);
    json_put_member_uint(json, "visitor", member->visitor.v);
    json_put_member_uint(json, "first_position", member->visitor.v >> 10);
    buf_char(json, '}');
}

static void put_end(struct buf *json, const struct component *component, uint16_t m)
{
    const struct member *member = &component->members[m];
    json_put_comma(json);
    put_identifier(json, (enum identifier_type)member->type, member_value(component, member));
    buf_char(json, '}');
}

static void put_time(struct buf *json, const char *name, int64_t us)
{
    char text[28];
    when_format(us, text);
    json_put_member_str(json, name, str_of(text));
}

static void put_hash(struct buf *json, const char *name, struct hash128 hash)
{
    json_put_name(json, name);
    buf_fmt(json, "\"%016llx%016llx\"", (unsigned long long)hash.a, (unsigned long long)hash.b);
}

static const char *outcome_name(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_MERGED:
        return "merged";
    case OUTCOME_ALREADY:
        return "already one";
    case OUTCOME_REFUSED:
        return "refused";
    case OUTCOME_BLOCKED:
        return "blocked";
    case OUTCOME_ENDED:
        return "ended by unbind";
    case OUTCOME_NONE:
    case OUTCOME_END:
        break;
    }
    return "not folded yet";
}

static void put_rule(struct buf *json, const struct pair *pair, const struct limits *limits)
{
    json_put_name(json, "rule");
    switch ((enum outcome)pair->outcome) {
    case OUTCOME_MERGED:
        json_put_str(json, STR("named together in one event, and no limit stands against it"));
        return;
    case OUTCOME_ALREADY:
        json_put_str(json, STR("named together in one event; earlier edges had made them one"));
        return;
    case OUTCOME_REFUSED: {
        enum identifier_type type = (enum identifier_type)pair->refused_type;
        buf_fmt(json, "\"one person has at most %d of %s\"", limits->of[type],
                identifier_name(type));
        return;
    }
    case OUTCOME_BLOCKED:
        json_put_str(json, STR("one of the two is a blocked value"));
        return;
    case OUTCOME_ENDED:
        json_put_str(json, STR("an unbind voids every edge at or before its time"));
        return;
    case OUTCOME_NONE:
    case OUTCOME_END:
        json_put_str(json, STR(""));
        return;
    }
}

static void put_pair(struct buf *json, const struct component *component, const struct pair *pair,
                     const struct limits *limits)
{
    json_put_comma(json);
    buf_char(json, '{');
    if (pair->kept > 0)
        put_time(json, "time", pair->edges[0].time_us);
    json_put_name(json, "identifiers");
    buf_char(json, '[');
    put_end(json, component, pair->a);
    put_end(json, component, pair->b);
    buf_char(json, ']');
    if (pair->kept > 0) {
        put_hash(json, "message", pair->edges[0].message);
        json_put_member_uint(json, "position", pair->edges[0].position);
        if (pair->kept > 1)
            put_time(json, "latest", pair->edges[pair->kept - 1].time_us);
    }
    if (pair->unbound_us != UNBOUND_NEVER)
        put_time(json, "unbound", pair->unbound_us);
    json_put_member_str(json, "outcome", str_of(outcome_name((enum outcome)pair->outcome)));
    if (pair->outcome == OUTCOME_REFUSED)
        json_put_member_str(json, "limit_of",
                            str_of(identifier_name((enum identifier_type)pair->refused_type)));
    put_rule(json, pair, limits);
    buf_char(json, '}');
}

/* Live edges in fold order, then the pairs whose edges have ended. */
static void put_edges(struct buf *json, const struct component *component,
                      const struct limits *limits, struct arena *arena)
{
    size_t count = 0;
    const uint32_t *order = people_order(component, arena, &count);
    for (size_t i = 0; i < count; i++)
        put_pair(json, component, &component->pairs[order[i]], limits);
    for (uint32_t p = 0; p < component->pairs_count; p++)
        if (!pair_live(&component->pairs[p]))
            put_pair(json, component, &component->pairs[p], limits);
}

static void put_all(struct buf *json, struct identity *identity,
                    const struct identifier *identifier, const struct identity_member *members,
                    size_t count, struct arena *arena)
{
    struct component *component =
        identifier->component == 0 ? NULL : component_open(identity, identifier->component);
    buf_char(json, '{');
    json_put_name(json, "identifier");
    put_identifier(json, (enum identifier_type)identifier->type, identifier_value(identifier));
    buf_char(json, '}');
    json_put_member_uint(json, "visitor", identifier->visitor);
    json_put_member_uint(json, "person", identifier->person);
    json_put_member_bool(json, "blocked", rules_block(&identity->rules, identifier->entry.key));
    json_put_name(json, "identifiers");
    buf_char(json, '[');
    for (size_t m = 0; m < count; m++)
        if (members[m].person.v == identifier->person)
            put_member(json, &members[m]);
    buf_char(json, ']');
    json_put_member_uint(json, "connected_identifiers", count);
    json_put_member_uint(json, "connected_people", component == NULL ? 1 : component->people);
    json_put_member_bool(json, "frozen", component != NULL && component->frozen);
    json_put_name(json, "edges");
    buf_char(json, '[');
    if (component != NULL)
        put_edges(json, component, &identity->rules.limits, arena);
    component_free(component);
    buf_text(json, "]}");
}

enum status identity_explain(struct identity *identity, enum identifier_type type, struct str value,
                             struct buf *json, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct identity_member *members = NULL;
    size_t count = 0;
    enum status status = identity_members(identity, type, value, &arena, &members, &count, err);
    if (status == ST_OK) {
        put_all(json, identity, identity_get(identity, type, value), members, count, &arena);
        if (json->overflow)
            status = err_set(err, ST_TOO_LARGE, "could not explain: the ledger is too long");
    }
    arena_done(&arena);
    return status;
}
