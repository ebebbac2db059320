/* growthbook_sticky.c - a person keeps the variation they once got, whatever the weights become.
 *
 * A bucket is kept per attribute value ("id||1") as "experiment__VERSION" → variation key. The
 * person's hash attribute is asked first, then the fallback attribute. A bucket of a version below
 * minBucketVersion shuts its owner out of the experiment. Buckets are handed in and handed back;
 * storing them is the caller's. */
#include "learn/growthbook_int.h"

bool growthbook_sticky_on(const struct growthbook_session *session,
                          const struct growthbook_experiment *e)
{
    return session->person->is_sticky && js_member(e->source, "disableStickyBucketing") == NULL;
}

struct owner {
    struct str attribute, value;
};

/* As JSON.stringify writes what is no text; a falsy value is the empty text. */
static struct str value_text(struct growthbook_session *session, yyjson_val *value)
{
    struct buf json;
    if (!yyjson_is_ctn(value))
        return value == NULL ? STR("") : js_string(session, value);
    buf_init(&json, GROWTHBOOK_PAYLOAD_BYTES_MAX);
    json_write(&json, value);
    struct str copy = arena_copy(session->arena, buf_view(&json));
    buf_done(&json);
    return copy;
}

static struct owner owner_of(struct growthbook_session *session, struct str attribute)
{
    struct owner owner;
    yyjson_val *value = growthbook_hash_value(session, attribute, STR(""), &owner.attribute);
    owner.value = value_text(session, value);
    return owner;
}

static struct str joined(struct growthbook_session *session, struct str a, const char *between,
                         struct str b)
{
    size_t n = strlen(between);
    char *text = arena_alloc(session->arena, a.n + n + b.n + 1);
    memcpy(text, a.p, a.n);
    memcpy(text + a.n, between, n);
    memcpy(text + a.n + n, b.p, b.n);
    return (struct str){text, a.n + n + b.n};
}

static yyjson_val *assignments_of(struct growthbook_session *session, struct owner owner)
{
    struct str name = joined(session, owner.attribute, "||", owner.value);
    return yyjson_obj_get(yyjson_obj_getn(session->person->sticky, name.p, name.n), "assignments");
}

static bool is_owner(const struct growthbook_assigned *assigned, struct owner owner)
{
    return str_eq(assigned->attribute, owner.attribute) && str_eq(assigned->value, owner.value);
}

static bool kept(struct growthbook_session *session, struct owner owner, struct str key,
                 struct str *ret_variation)
{
    for (struct growthbook_assigned *a = session->assigned; a != NULL; a = a->next)
        if (is_owner(a, owner) && str_eq(a->key, key)) {
            *ret_variation = a->variation;
            return true;
        }
    yyjson_val *found = yyjson_obj_getn(assignments_of(session, owner), key.p, key.n);
    if (found == NULL)
        return false;
    *ret_variation = json_str(found);
    return true;
}

/* "PREFIX" and a whole number below `least`, as the SDK would count up to. */
static bool is_older(struct str key, struct str prefix, double least)
{
    double version = 0;
    if (!str_starts(key, prefix) || key.n == prefix.n || key.n - prefix.n > 15)
        return false;
    for (size_t i = prefix.n; i < key.n; i++) {
        if (key.p[i] < '0' || key.p[i] > '9')
            return false;
        version = version * 10 + (key.p[i] - '0');
    }
    bool has_zero = key.p[prefix.n] == '0' && key.n > prefix.n + 1;
    return !has_zero && version < least;
}

static bool has_older(struct growthbook_session *session, struct owner owner, struct str prefix,
                      double least)
{
    size_t i, count;
    yyjson_val *key, *value;
    for (struct growthbook_assigned *a = session->assigned; a != NULL; a = a->next)
        if (is_owner(a, owner) && is_older(a->key, prefix, least))
            return true;
    yyjson_obj_foreach(assignments_of(session, owner), i, count, key, value)
    {
        if (!growthbook_spend(session, 1) || is_older(json_str(key), prefix, least))
            return true;
    }
    return false;
}

static struct str bucket_key(struct growthbook_session *session,
                             const struct growthbook_experiment *e)
{
    yyjson_val *version = js_member(e->source, "bucketVersion");
    return joined(session, e->key, "__", version == NULL ? STR("0") : js_string(session, version));
}

static int64_t variation_of(const struct growthbook_experiment *e, struct str key)
{
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(yyjson_obj_get(e->source, "meta"), i, count, item)
    {
        yyjson_val *name = yyjson_obj_get(item, "key");
        if (yyjson_is_str(name) && str_eq(json_str(name), key))
            return (int64_t)i;
    }
    return -1;
}

int64_t growthbook_sticky_find(struct growthbook_session *session,
                               const struct growthbook_experiment *e, bool *ret_blocked)
{
    struct owner hash = owner_of(session, json_member_str(e->source, "hashAttribute"));
    struct owner fallback = owner_of(session, json_member_str(e->source, "fallbackAttribute"));
    bool has_fallback = fallback.value.n > 0;
    double least = js_number(session, yyjson_obj_get(e->source, "minBucketVersion"));
    struct str prefix = joined(session, e->key, "__", STR(""));
    struct str key = bucket_key(session, e), variation;
    *ret_blocked = false;
    if (!growthbook_spend(session, 16 + yyjson_obj_size(session->person->sticky)))
        return -1;
    if (least > 0 && (has_older(session, hash, prefix, least) ||
                      (has_fallback && has_older(session, fallback, prefix, least)))) {
        *ret_blocked = true;
        return -1;
    }
    if (kept(session, hash, key, &variation) ||
        (has_fallback && kept(session, fallback, key, &variation)))
        return variation_of(e, variation);
    return -1;
}

void growthbook_sticky_keep(struct growthbook_session *session,
                            const struct growthbook_experiment *e,
                            const struct growthbook_result *result)
{
    struct owner owner = {result->hash_attribute, value_text(session, result->hash_value)};
    struct str key = bucket_key(session, e), before;
    if (kept(session, owner, key, &before) && str_eq(before, result->key))
        return;
    struct growthbook_assigned *assigned = ARENA_NEW(session->arena, struct growthbook_assigned);
    *assigned = (struct growthbook_assigned){session->assigned, owner.attribute, owner.value, key,
                                             result->key};
    session->assigned = assigned;
}

/* --- handing back ----------------------------------------------------------------------------- */

static bool is_replaced(const struct growthbook_session *session, struct owner owner,
                        struct str key)
{
    for (struct growthbook_assigned *a = session->assigned; a != NULL; a = a->next)
        if (is_owner(a, owner) && str_eq(a->key, key))
            return true;
    return false;
}

/* The newest of each key. */
static void put_assigned(struct buf *json, const struct growthbook_session *session,
                         struct owner owner)
{
    for (struct growthbook_assigned *a = session->assigned; a != NULL; a = a->next) {
        bool is_newest = is_owner(a, owner);
        for (struct growthbook_assigned *b = session->assigned; b != a; b = b->next)
            is_newest &= !(is_owner(b, owner) && str_eq(b->key, a->key));
        if (!is_newest)
            continue;
        json_put_comma(json);
        json_put_str(json, a->key);
        buf_char(json, ':');
        json_put_str(json, a->variation);
    }
}

static void put_document(struct buf *json, const struct growthbook_session *session,
                         struct owner owner, yyjson_val *assignments)
{
    size_t i, count;
    yyjson_val *key, *value;
    struct buf name;
    buf_init(&name, owner.attribute.n + owner.value.n + 2);
    buf_str(&name, owner.attribute);
    buf_text(&name, "||");
    buf_str(&name, owner.value);
    json_put_comma(json);
    json_put_str(json, buf_view(&name));
    buf_done(&name);
    buf_text(json, ":{");
    json_put_member_str(json, "attributeName", owner.attribute);
    json_put_member_str(json, "attributeValue", owner.value);
    buf_text(json, ",\"assignments\":{");
    yyjson_obj_foreach(assignments, i, count, key, value)
    {
        if (is_replaced(session, owner, json_str(key)))
            continue;
        json_put_comma(json);
        json_put_str(json, json_str(key));
        buf_char(json, ':');
        json_write(json, value);
    }
    put_assigned(json, session, owner);
    buf_text(json, "}}");
}

/* The document belongs to the person: their attribute has its value. */
static bool is_theirs(struct growthbook_session *session, yyjson_val *document,
                      struct owner *ret_owner)
{
    struct owner owner = {json_member_str(document, "attributeName"),
                          json_member_str(document, "attributeValue")};
    *ret_owner = owner;
    return owner.attribute.n > 0 && owner.value.n > 0 &&
           str_eq(owner_of(session, owner.attribute).value, owner.value);
}

void growthbook_put_sticky(struct buf *json, struct growthbook_session *session)
{
    size_t i, count;
    yyjson_val *name, *document;
    struct owner owner;
    buf_char(json, '{');
    yyjson_obj_foreach(session->person->sticky, i, count, name, document)
    {
        if (is_theirs(session, document, &owner))
            put_document(json, session, owner, yyjson_obj_get(document, "assignments"));
    }
    for (struct growthbook_assigned *a = session->assigned; a != NULL; a = a->next) {
        owner = (struct owner){a->attribute, a->value};
        bool is_new = assignments_of(session, owner) == NULL;
        for (struct growthbook_assigned *b = session->assigned; b != a; b = b->next)
            is_new &= !is_owner(b, owner);
        if (is_new)
            put_document(json, session, owner, NULL);
    }
    buf_char(json, '}');
}
