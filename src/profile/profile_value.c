/* profile_value.c - the value of a trait: the replay of its operations. */
#include "profile/profile_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

struct value {
    enum { VALUE_NONE, VALUE_JSON, VALUE_NUMBER, VALUE_LIST } kind;
    struct str json; /* of VALUE_LIST: the list to which is appended, or empty */
    int64_t micros;
    struct str *appended;
    size_t appended_count;
};

static int moment_order(const void *left, const void *right)
{
    const struct trait_op *x = left;
    const struct trait_op *y = right;
    if (x->time_us != y->time_us)
        return x->time_us < y->time_us ? -1 : 1;
    int order = -hash128_compare(x->message, y->message);
    if (order == 0)
        order = (int)x->kind - (int)y->kind;
    return order != 0 ? order : str_compare(x->value, y->value);
}

static bool is_number(struct str json, int64_t *ret_micros)
{
    bool starts = json.n > 0 && (json.p[0] == '-' || (json.p[0] >= '0' && json.p[0] <= '9'));
    return starts && clean_amount_parse(json, ret_micros);
}

static struct str number_json(int64_t micros, struct arena *arena)
{
    char text[32];
    uint64_t size = micros < 0 ? 0 - (uint64_t)micros : (uint64_t)micros;
    int n = snprintf(text, sizeof text, "%s%llu.%06llu", micros < 0 ? "-" : "",
                     (unsigned long long)(size / 1000000), (unsigned long long)(size % 1000000));
    while (text[n - 1] == '0')
        n--;
    n -= text[n - 1] == '.';
    return arena_copy(arena, (struct str){text, (size_t)n});
}

/* What is no number does not become one by adding. */
static void value_add(struct value *value, int64_t micros)
{
    int64_t before = 0;
    if (value->kind == VALUE_NUMBER)
        before = value->micros;
    else if (value->kind == VALUE_LIST ||
             (value->kind == VALUE_JSON && !is_number(value->json, &before)))
        return;
    int64_t sum = 0;
    if (__builtin_add_overflow(before, micros, &sum))
        sum = before < 0 ? INT64_MIN : INT64_MAX;
    *value = (struct value){.kind = VALUE_NUMBER, .micros = sum};
}

/* A text or a number is no list: what is appended to it is lost until the trait is set anew. */
static void value_append(struct value *value, struct str json, size_t room, struct arena *arena)
{
    if (value->kind == VALUE_NONE)
        *value = (struct value){.kind = VALUE_LIST};
    else if (value->kind == VALUE_JSON && value->json.n > 0 && value->json.p[0] == '[')
        value->kind = VALUE_LIST;
    if (value->kind != VALUE_LIST)
        return;
    if (value->appended == NULL)
        value->appended = ARENA_ARRAY(arena, struct str, room);
    value->appended[value->appended_count++] = json;
}

/* The list's own members, then those appended that it did not have. */
static struct str list_json(const struct value *value, struct arena *arena)
{
    struct buf buf;
    buf_init(&buf, 4 * PROFILE_TRAITS_BYTES_MAX);
    struct buf own;
    buf_init(&own, 4 * PROFILE_TRAITS_BYTES_MAX);
    size_t known_count = 0;
    struct str *known = NULL;
    yyjson_doc *doc = NULL;
    buf_char(&buf, '[');
    if (value->json.n > 0 && json_parse(NULL, value->json, &doc, NULL) == ST_OK) {
        known = ARENA_ARRAY(arena, struct str, yyjson_arr_size(yyjson_doc_get_root(doc)) + 1);
        size_t i, count;
        yyjson_val *item;
        yyjson_arr_foreach(yyjson_doc_get_root(doc), i, count, item)
        {
            buf_reset(&own);
            json_write(&own, item);
            known[known_count++] = arena_copy(arena, buf_view(&own));
            json_put_comma(&buf);
            buf_str(&buf, buf_view(&own));
        }
        yyjson_doc_free(doc);
    }
    for (size_t a = 0; a < value->appended_count; a++) {
        bool there = false;
        for (size_t k = 0; k < known_count; k++)
            there = there || str_eq(known[k], value->appended[a]);
        if (there)
            continue;
        json_put_comma(&buf);
        buf_str(&buf, value->appended[a]);
    }
    buf_char(&buf, ']');
    struct str json = arena_copy(arena, buf_view(&buf));
    buf_done(&buf);
    buf_done(&own);
    return json;
}

static struct str value_json(const struct value *value, struct arena *arena)
{
    if (value->kind == VALUE_NUMBER)
        return number_json(value->micros, arena);
    if (value->kind == VALUE_LIST)
        return list_json(value, arena);
    return value->kind == VALUE_JSON ? value->json : STR("");
}

static void value_replay(struct value *value, const struct trait_op *op, size_t room,
                         struct arena *arena)
{
    int64_t micros = 0;
    switch (op->kind) {
    case TRAIT_SET:
        *value =
            (struct value){.kind = op->value.n == 0 ? VALUE_NONE : VALUE_JSON, .json = op->value};
        return;
    case TRAIT_ONCE:
        if (value->kind == VALUE_NONE)
            *value = (struct value){.kind = VALUE_JSON, .json = op->value};
        return;
    case TRAIT_SUM:
    case TRAIT_ADD:
        memcpy(&micros, op->value.p, sizeof micros);
        value_add(value, micros);
        return;
    case TRAIT_APPEND:
        value_append(value, op->value, room, arena);
        return;
    case TRAIT_DELETE:
    case TRAIT_END:
        return;
    }
}

struct str trait_value(const struct trait_ops *ops, size_t from, size_t to, struct arena *arena,
                       int64_t *ret_time_us)
{
    *ret_time_us = from < to ? ops->list[from].time_us : 0;
    if (to - from == 1 && ops->list[from].kind == TRAIT_SET) /* nearly always */
        return ops->list[from].value;
    size_t n = to - from;
    struct trait_op *list = ARENA_ARRAY(arena, struct trait_op, n + 1);
    if (n > 0)
        memcpy(list, ops->list + from, n * sizeof *list);
    qsort(list, n, sizeof *list, moment_order);
    struct value value = {0};
    for (size_t i = 0; i < n; i++) {
        value_replay(&value, &list[i], n, arena);
        *ret_time_us = list[i].time_us;
    }
    return value_json(&value, arena);
}
