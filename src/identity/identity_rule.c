/* identity_rule.c - blocked values and limits: changed by a record, applied to all components.
 *
 * A rule acts on edges only. A value that is blocked makes no new edge (what it connects are
 * strangers, and they would freeze each other's component); edges that it made before stay in the
 * ledger as blocked and come back with an unblock. A limit that changes is a new fold of
 * everything: what it refuses now may be one person under the new one, and the other way round.
 *
 * Every component has to be found, also those that are not in the file yet, for a rule's result
 * must not depend on when the state was last merged. A scan of the file sees what a merge has
 * committed; the others are in memory. They are folded in order of their ids, because new person
 * ids are given in that order. */
#include "identity/identity_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/json.h"

#define RULES_VALUE "identity_rules"
#define RULES_VERSION 1
#define BREATHE_COMPONENTS 64

/* --- the rules in force ----------------------------------------------------------------------- */

void rules_init(struct rules *rules)
{
    *rules = (struct rules){0};
    map_init(&rules->blocked);
    for (int type = 1; type < IDENTIFIER_END; type++)
        rules->limits.of[type] = (uint16_t)identifier_limit((enum identifier_type)type);
}

void rules_done(struct rules *rules)
{
    map_done(&rules->blocked);
    free(rules->list);
}

static enum status rules_block_value(struct rules *rules, const struct identity *identity,
                                     enum identifier_type type, struct str value, struct err *err)
{
    bool is_new = false;
    uint64_t *place = map_put(&rules->blocked, identity_hash(identity, type, value), &is_new);
    if (!is_new)
        return ST_OK;
    if (rules->list_count == IDENTITY_BLOCKED_MAX)
        return err_set(err, ST_TOO_LARGE, "could not block more than %d values",
                       IDENTITY_BLOCKED_MAX);
    if (rules->list_count == rules->list_capacity) {
        rules->list_capacity = rules->list_capacity == 0 ? 16 : rules->list_capacity * 2;
        rules->list = mem_grow(rules->list, rules->list_capacity * sizeof *rules->list);
    }
    *place = rules->list_count;
    struct blocked_value *added = &rules->list[rules->list_count++];
    *added = (struct blocked_value){.type = (uint8_t)type, .value_n = (uint8_t)value.n};
    memcpy(added->value, value.p, value.n);
    return ST_OK;
}

static void rules_unblock_value(struct rules *rules, const struct identity *identity,
                                enum identifier_type type, struct str value)
{
    struct hash128 hash = identity_hash(identity, type, value);
    const uint64_t *place = map_find(&rules->blocked, hash);
    if (place == NULL)
        return;
    uint64_t hole = *place;
    CHECK(map_remove(&rules->blocked, hash));
    struct blocked_value *last = &rules->list[--rules->list_count];
    if (hole == rules->list_count)
        return;
    rules->list[hole] = *last;
    struct hash128 moved = identity_hash(identity, (enum identifier_type)last->type,
                                         (struct str){last->value, last->value_n});
    *map_put(&rules->blocked, moved, NULL) = hole;
}

static void rules_save(const struct rules *rules, struct state *state)
{
    struct buf buf;
    buf_init(&buf, STATE_VALUE_BYTES_MAX);
    buf_char(&buf, RULES_VERSION);
    buf_char(&buf, IDENTIFIER_END - 1);
    for (int type = 1; type < IDENTIFIER_END; type++)
        buf_u16(&buf, rules->limits.of[type]);
    buf_varint(&buf, rules->list_count);
    for (size_t i = 0; i < rules->list_count; i++) {
        buf_char(&buf, (char)rules->list[i].type);
        buf_blob(&buf, (struct str){rules->list[i].value, rules->list[i].value_n});
    }
    CHECK(!buf.overflow);
    state_set_value(state, RULES_VALUE, buf_view(&buf));
    buf_done(&buf);
}

static bool limit_valid(int64_t limit)
{
    return limit >= 1 && limit <= LIMIT_COMPONENT_IDENTIFIERS;
}

static bool rules_decode(struct rules *rules, const struct identity *identity, struct str bytes)
{
    struct cursor cursor = cursor_of(bytes);
    uint8_t version = cursor_u8(&cursor);
    uint8_t types = cursor_u8(&cursor);
    if (version != RULES_VERSION || types >= IDENTIFIER_END)
        return false;
    for (int type = 1; type <= types; type++) {
        rules->limits.of[type] = cursor_u16(&cursor);
        if (!limit_valid(rules->limits.of[type]))
            return false;
    }
    uint64_t count = cursor_varint(&cursor);
    for (uint64_t i = 0; i < count && !cursor.bad; i++) {
        uint8_t type = cursor_u8(&cursor);
        struct str value = cursor_blob(&cursor);
        if (cursor.bad || type == IDENTIFIER_NONE || type >= IDENTIFIER_END || value.n == 0 ||
            value.n > LIMIT_IDENTIFIER_BYTES ||
            rules_block_value(rules, identity, (enum identifier_type)type, value, NULL) != ST_OK)
            return false;
    }
    return !cursor.bad && cursor_at_end(&cursor);
}

enum status rules_load(struct identity *identity, struct err *err)
{
    struct buf buf;
    buf_init(&buf, STATE_VALUE_BYTES_MAX);
    bool good = !state_value(identity->state, RULES_VALUE, &buf) ||
                rules_decode(&identity->rules, identity, buf_view(&buf));
    buf_done(&buf);
    return good ? ST_OK : err_set(err, ST_CORRUPT, "could not read the rules of identity: damaged");
}

/* --- a change of them ------------------------------------------------------------------------- */

static void rules_copy(struct rules *to, const struct rules *from, const struct identity *identity)
{
    rules_init(to);
    to->limits = from->limits;
    for (size_t i = 0; i < from->list_count; i++) {
        const struct blocked_value *blocked = &from->list[i];
        enum status status =
            rules_block_value(to, identity, (enum identifier_type)blocked->type,
                              (struct str){blocked->value, blocked->value_n}, NULL);
        CHECK(status == ST_OK);
    }
}

static enum status rule_values(struct rules *rules, const struct identity *identity,
                               yyjson_val *list, bool block, struct err *err)
{
    if (list != NULL && !yyjson_is_arr(list))
        return err_set(err, ST_INVALID, "could not read the rule: %s is no list",
                       block ? "block" : "unblock");
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(list, i, count, item)
    {
        enum identifier_type type = identifier_type_of(json_member_str(item, "type"));
        struct str value = json_member_str(item, "value");
        if (type == IDENTIFIER_NONE || value.n == 0 || value.n > LIMIT_IDENTIFIER_BYTES)
            return err_set(err, ST_INVALID,
                           "could not read the rule: entry %zu of %s has no known type or no value",
                           i + 1, block ? "block" : "unblock");
        enum status status = ST_OK;
        if (block)
            status = rules_block_value(rules, identity, type, value, err);
        else
            rules_unblock_value(rules, identity, type, value);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

static enum status rule_limits(struct rules *rules, yyjson_val *limits, struct err *err)
{
    if (limits != NULL && !yyjson_is_obj(limits))
        return err_set(err, ST_INVALID, "could not read the rule: limits is no object");
    size_t i, count;
    yyjson_val *name, *limit;
    yyjson_obj_foreach(limits, i, count, name, limit)
    {
        enum identifier_type type = identifier_type_of(json_str(name));
        if (type == IDENTIFIER_NONE)
            return err_set(err, ST_INVALID, "could not read the rule: a limit of no known type");
        if (!yyjson_is_int(limit) || !limit_valid(yyjson_get_sint(limit)))
            return err_set(err, ST_INVALID,
                           "could not read the rule: the limit of %s is not 1 to %d",
                           identifier_name(type), LIMIT_COMPONENT_IDENTIFIERS);
        rules->limits.of[type] = (uint16_t)yyjson_get_sint(limit);
    }
    return ST_OK;
}

static enum status rule_parse(struct rules *rules, const struct identity *identity, struct str json,
                              struct err *err)
{
    yyjson_doc *doc = NULL;
    enum status status = json_parse(NULL, json, &doc, err);
    if (status != ST_OK)
        return status;
    yyjson_val *rule = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(rule))
        status = err_set(err, ST_INVALID, "could not read the rule: it is no object");
    if (status == ST_OK)
        status = rule_values(rules, identity, yyjson_obj_get(rule, "unblock"), false, err);
    if (status == ST_OK)
        status = rule_values(rules, identity, yyjson_obj_get(rule, "block"), true, err);
    if (status == ST_OK)
        status = rule_limits(rules, yyjson_obj_get(rule, "limits"), err);
    yyjson_doc_free(doc);
    return status;
}

/* --- all components --------------------------------------------------------------------------- */

struct id_list {
    uint64_t *ids;
    size_t count, capacity;
};

static void id_add(struct id_list *list, uint64_t id)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 1024 : list->capacity * 2;
        list->ids = mem_grow(list->ids, list->capacity * sizeof *list->ids);
    }
    list->ids[list->count++] = id;
}

static bool id_collect(void *ctx, struct state_entry *entry)
{
    id_add(ctx, page_component(entry->key.a));
    return true;
}

static int id_compare(const void *left, const void *right)
{
    uint64_t x = *(const uint64_t *)left;
    uint64_t y = *(const uint64_t *)right;
    return (x > y) - (x < y);
}

/* Ids of all components, ascending, each once; some may be gone by the time they are asked for. */
static enum status all_components(struct identity *identity, struct id_list *list, struct err *err)
{
    state_unlock(identity->state);
    enum status status = state_scan(identity->pages, id_collect, list, err);
    state_scan_unmerged(identity->pages, id_collect, list);
    state_lock(identity->state);
    if (list->count == 0)
        return status;
    qsort(list->ids, list->count, sizeof list->ids[0], id_compare);
    size_t kept = 1;
    for (size_t i = 1; i < list->count; i++)
        if (list->ids[i] != list->ids[kept - 1])
            list->ids[kept++] = list->ids[i];
    list->count = kept;
    return status;
}

/* Scratch of one component is given back before the next; what is reported stays in `arena`. */
static void refold_all(struct identity *identity, const struct rules *rules, uint64_t position,
                       const struct id_list *list, bool dry_run, struct arena *arena,
                       struct identity_result *result)
{
    struct refold refold = refold_begin(identity, rules, position, arena, result);
    struct arena scratch;
    arena_init(&scratch);
    refold.dry_run = dry_run;
    refold.scratch = &scratch;
    for (size_t i = 0; i < list->count; i++) {
        if (component_exists(identity, list->ids[i])) {
            struct component *component = component_open(identity, list->ids[i]);
            refold_component(&refold, component);
            if (!dry_run)
                component_save(identity, component);
            component_free(component);
        }
        arena_reset(&scratch);
        if (i % BREATHE_COMPONENTS == BREATHE_COMPONENTS - 1)
            state_breathe(identity->state);
    }
    arena_done(&scratch);
}

enum status identity_rule(struct identity *identity, uint64_t position, struct str json,
                          bool dry_run, struct arena *arena, struct identity_result *ret_result,
                          struct err *err)
{
    struct rules rules;
    rules_copy(&rules, &identity->rules, identity);
    struct id_list list = {0};
    enum status status = rule_parse(&rules, identity, json, err);
    if (status == ST_OK)
        status = all_components(identity, &list, err);
    if (status == ST_OK) {
        *ret_result = (struct identity_result){0};
        refold_all(identity, &rules, position, &list, dry_run, arena, ret_result);
    }
    free(list.ids);
    if (status != ST_OK || dry_run) {
        rules_done(&rules);
        return status;
    }
    rules_done(&identity->rules);
    identity->rules = rules;
    rules_save(&identity->rules, identity->state);
    identity_save_stats(identity);
    return ST_OK;
}

void identity_rules_write(const struct identity *identity, struct buf *json)
{
    const struct rules *rules = &identity->rules;
    buf_text(json, "{\"block\":[");
    for (size_t i = 0; i < rules->list_count; i++) {
        const struct blocked_value *blocked = &rules->list[i];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "type", str_of(identifier_name(blocked->type)));
        json_put_member_str(json, "value", (struct str){blocked->value, blocked->value_n});
        buf_char(json, '}');
    }
    buf_text(json, "],\"limits\":{");
    for (int type = 1; type < IDENTIFIER_END; type++)
        json_put_member_uint(json, identifier_name((enum identifier_type)type),
                             rules->limits.of[type]);
    buf_text(json, "}}");
}
