/* growthbook_condition.c - whether a person meets a condition written as JSON.
 *
 * A condition is an object: $and, $or, $nor, $not join conditions; any other key is a path into the
 * attributes, and its value a plain value to equal or an object of operators. Where the JavaScript
 * SDK would throw (a list that is no list, a condition that is no object) the whole condition does
 * not pass, also below a $not: a typing error must not let anybody in. The same holds for a regular
 * expression over its limits. An unknown operator and an invalid expression are plainly false, as
 * in the SDK.
 *
 * Recursion follows the JSON of the condition, whose depth the reader has bounded; every node and
 * every member of a list costs a step of the session. */
#include "learn/growthbook_int.h"

struct scope {
    struct growthbook_session *session;
    yyjson_val *groups;
    bool malformed; /* sticks */
};

enum operator_id {
#define X(id, name) OPERATOR_##id,
#include "learn/growthbook_operator.def"
#undef X
    OPERATOR_COUNT
};

static bool holds(struct scope *scope, struct growthbook_subject subject, yyjson_val *condition);
static bool value_meets(struct scope *scope, yyjson_val *value, yyjson_val *condition, bool folded);

static bool malformed(struct scope *scope)
{
    scope->malformed = true;
    return false;
}

/* --- paths ------------------------------------------------------------------------------------ */

static yyjson_val *count_value(struct scope *scope, size_t n)
{
    yyjson_val *value = ARENA_NEW(scope->session->arena, yyjson_val);
    yyjson_set_uint(value, n);
    return value;
}

static yyjson_val *item_at(struct scope *scope, yyjson_val *list, struct str name)
{
    size_t index = 0;
    if (str_is(name, "length"))
        return count_value(scope, yyjson_arr_size(list));
    if (name.n == 0 || name.n > 9 || (name.n > 1 && name.p[0] == '0'))
        return NULL;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] < '0' || name.p[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(name.p[i] - '0');
    }
    return yyjson_arr_get(list, index);
}

/* "a.b.c"; NULL where a part is missing. */
static yyjson_val *value_at(struct scope *scope, struct growthbook_subject subject, struct str path)
{
    yyjson_val *value = subject.value;
    bool is_wrapped = subject.is_wrapped;
    for (size_t from = 0; from <= path.n;) {
        const char *dot = from < path.n ? memchr(path.p + from, '.', path.n - from) : NULL;
        size_t end = dot == NULL ? path.n : (size_t)(dot - path.p);
        struct str part = {path.p + from, end - from};
        (void)growthbook_spend(scope->session, 1 + yyjson_get_len(value) / 16);
        if (is_wrapped)
            value = str_is(part, "value") ? value : NULL;
        else if (yyjson_is_obj(value))
            value = yyjson_obj_getn(value, part.p, part.n);
        else
            value = yyjson_is_arr(value) ? item_at(scope, value, part) : NULL;
        is_wrapped = false;
        from = end + 1;
    }
    return value;
}

/* --- versions --------------------------------------------------------------------------------- */

/* A form that sorts as text in the order of versions: without a leading v and build data, parts cut
 * at - and ., numbers padded to five places, and ~ behind a plain three-part version, so that it
 * stands after its pre-releases. */
static struct str padded_version(struct scope *scope, yyjson_val *value)
{
    struct buf out;
    struct str text = STR("0");
    size_t parts = 0;
    if (yyjson_is_num(value) || (yyjson_is_str(value) && yyjson_get_len(value) > 0))
        text = js_string(scope->session, value);
    if (text.p[0] == 'v')
        text.p++, text.n--;
    const char *build = text.n == 0 ? NULL : memchr(text.p, '+', text.n);
    text.n = build == NULL ? text.n : (size_t)(build - text.p);
    buf_init(&out, text.n * 6 + 16);
    for (size_t from = 0; from <= text.n; parts++) {
        size_t end = from, digits = 0, pad = 0;
        for (; end < text.n && text.p[end] != '-' && text.p[end] != '.'; end++)
            digits += text.p[end] >= '0' && text.p[end] <= '9';
        if (parts > 0)
            buf_char(&out, '-');
        for (size_t n = digits; n == end - from && n > 0 && n + pad < 5; pad++)
            buf_char(&out, ' ');
        buf_put(&out, text.p + from, end - from);
        from = end + 1;
    }
    if (parts == 3)
        buf_text(&out, "-~");
    (void)growthbook_spend(scope->session, out.n / 4);
    struct str copy = out.n == 0 ? STR("") : arena_copy(scope->session->arena, buf_view(&out));
    buf_done(&out);
    return copy;
}

static int version_compare(struct scope *scope, yyjson_val *a, yyjson_val *b)
{
    return js_compare_text(padded_version(scope, a), padded_version(scope, b));
}

/* --- lists ------------------------------------------------------------------------------------ */

static bool list_has(struct scope *scope, yyjson_val *list, yyjson_val *value, bool folded)
{
    size_t i, count;
    yyjson_val *item;
    if (!growthbook_spend(scope->session, 1 + yyjson_arr_size(list)))
        return false;
    yyjson_arr_foreach(list, i, count, item)
    {
        if (folded && yyjson_is_str(value) && yyjson_is_str(item)) {
            if (js_equal_folded(json_str(value), json_str(item)))
                return true;
        } else if (js_equal(value, item)) {
            return true;
        }
    }
    return false;
}

/* The value, or one of its members, is in the list. */
static bool is_in(struct scope *scope, yyjson_val *actual, yyjson_val *list, bool folded)
{
    size_t i, count;
    yyjson_val *item;
    if (!yyjson_is_arr(actual))
        return list_has(scope, list, actual, folded);
    yyjson_arr_foreach(actual, i, count, item)
    {
        if (list_has(scope, list, item, folded))
            return true;
    }
    return false;
}

static bool in_group(struct scope *scope, yyjson_val *actual, yyjson_val *name, bool *ret_known)
{
    struct str key = js_string(scope->session, name);
    yyjson_val *group = yyjson_obj_getn(scope->groups, key.p, key.n);
    *ret_known = !js_truthy(group) || yyjson_is_arr(group);
    if (!*ret_known)
        return malformed(scope);
    return yyjson_is_arr(group) && is_in(scope, actual, group, false);
}

static bool has_all(struct scope *scope, yyjson_val *actual, yyjson_val *list, bool folded)
{
    size_t i, j, count, actual_count;
    yyjson_val *want, *have;
    if (!yyjson_is_arr(actual))
        return false;
    yyjson_arr_foreach(list, i, count, want)
    {
        bool found = false;
        yyjson_arr_foreach(actual, j, actual_count, have)
        {
            found = growthbook_spend(scope->session, 1) && value_meets(scope, have, want, folded);
            if (found)
                break;
        }
        if (!found)
            return false;
    }
    return true;
}

/* All keys begin with $, and there is one. */
static bool is_operators(yyjson_val *object)
{
    size_t i, count;
    yyjson_val *key, *value;
    yyjson_obj_foreach(object, i, count, key, value)
    {
        if (yyjson_get_len(key) == 0 || yyjson_get_str(key)[0] != '$')
            return false;
    }
    return yyjson_obj_size(object) > 0;
}

static bool one_matches(struct scope *scope, yyjson_val *actual, yyjson_val *condition)
{
    size_t i, count;
    yyjson_val *item;
    if (!yyjson_is_arr(actual))
        return false;
    if (!yyjson_is_obj(condition))
        return malformed(scope);
    bool operators = is_operators(condition);
    yyjson_arr_foreach(actual, i, count, item)
    {
        if (!js_truthy(item) || !growthbook_spend(scope->session, 1))
            continue;
        if (operators ? value_meets(scope, item, condition, false)
                      : holds(scope, (struct growthbook_subject){.value = item}, condition))
            return true;
    }
    return false;
}

/* --- operators -------------------------------------------------------------------------------- */

static bool matches(struct scope *scope, yyjson_val *actual, yyjson_val *pattern, bool no_case)
{
    if (!yyjson_is_str(pattern))
        return false;
    enum growthbook_match match = growthbook_regex(scope->session, json_str(pattern),
                                                   js_string(scope->session, actual), no_case);
    return match == GROWTHBOOK_MATCH_REFUSED ? malformed(scope) : match == GROWTHBOOK_MATCH;
}

static const char *type_of(yyjson_val *value)
{
    switch (yyjson_get_type(value)) {
    case YYJSON_TYPE_STR:
        return "string";
    case YYJSON_TYPE_NUM:
        return "number";
    case YYJSON_TYPE_BOOL:
        return "boolean";
    case YYJSON_TYPE_ARR:
        return "array";
    case YYJSON_TYPE_OBJ:
        return "object";
    default:
        return "null";
    }
}

static bool list_operator(struct scope *scope, enum operator_id id, yyjson_val *actual,
                          yyjson_val *list)
{
    if (!yyjson_is_arr(list))
        return false;
    if (id == OPERATOR_ALL || id == OPERATOR_ALLI)
        return has_all(scope, actual, list, id == OPERATOR_ALLI);
    bool found = is_in(scope, actual, list, id == OPERATOR_INI || id == OPERATOR_NINI);
    return found == (id == OPERATOR_IN || id == OPERATOR_INI);
}

static bool operator_holds(struct scope *scope, enum operator_id id, yyjson_val *actual,
                           yyjson_val *expected)
{
    bool found, known;
    int order;
    switch (id) {
    case OPERATOR_VEQ:
        return version_compare(scope, actual, expected) == 0;
    case OPERATOR_VNE:
        return version_compare(scope, actual, expected) != 0;
    case OPERATOR_VGT:
        return version_compare(scope, actual, expected) > 0;
    case OPERATOR_VGTE:
        return version_compare(scope, actual, expected) >= 0;
    case OPERATOR_VLT:
        return version_compare(scope, actual, expected) < 0;
    case OPERATOR_VLTE:
        return version_compare(scope, actual, expected) <= 0;
    case OPERATOR_EQ:
        return js_equal(actual, expected);
    case OPERATOR_NE:
        return !js_equal(actual, expected);
    case OPERATOR_LT:
        return js_compare(scope->session, actual, expected) == -1;
    case OPERATOR_LTE:
        return js_compare(scope->session, actual, expected) <= 0;
    case OPERATOR_GT:
        return js_compare(scope->session, actual, expected) == 1;
    case OPERATOR_GTE:
        order = js_compare(scope->session, actual, expected);
        return order == 0 || order == 1;
    case OPERATOR_EXISTS:
        return js_truthy(expected) == (actual != NULL && !yyjson_is_null(actual));
    case OPERATOR_IN:
    case OPERATOR_INI:
    case OPERATOR_NIN:
    case OPERATOR_NINI:
    case OPERATOR_ALL:
    case OPERATOR_ALLI:
        return list_operator(scope, id, actual, expected);
    case OPERATOR_IN_GROUP:
        return in_group(scope, actual, expected, &known);
    case OPERATOR_NOT_IN_GROUP:
        found = in_group(scope, actual, expected, &known);
        return known && !found;
    case OPERATOR_NOT:
        return !value_meets(scope, actual, expected, false);
    case OPERATOR_SIZE:
        return yyjson_is_arr(actual) &&
               value_meets(scope, count_value(scope, yyjson_arr_size(actual)), expected, false);
    case OPERATOR_ELEM_MATCH:
        return one_matches(scope, actual, expected);
    case OPERATOR_REGEX:
    case OPERATOR_REGEXI:
        return matches(scope, actual, expected, id == OPERATOR_REGEXI);
    case OPERATOR_TYPE:
        return yyjson_equals_str(expected, type_of(actual));
    case OPERATOR_COUNT:
        break;
    }
    return false;
}

static enum operator_id operator_of(struct str name)
{
    static const char *const names[OPERATOR_COUNT] = {
#define X(id, name) name,
#include "learn/growthbook_operator.def"
#undef X
    };
    size_t i = 0;
    while (i < OPERATOR_COUNT && !str_is(name, names[i]))
        i++;
    return (enum operator_id)i;
}

/* --- values and conditions -------------------------------------------------------------------- */

/* The value against what stands at its path: a plain value, or operators. */
static bool value_meets(struct scope *scope, yyjson_val *value, yyjson_val *condition, bool folded)
{
    size_t i, count;
    yyjson_val *name, *expected;
    bool is_null = value == NULL || yyjson_is_null(value);
    if (!growthbook_spend(scope->session, 1))
        return false;
    if (yyjson_is_str(condition)) {
        struct str text = js_string(scope->session, value);
        return folded ? js_equal_folded(text, json_str(condition))
                      : str_eq(text, json_str(condition));
    }
    if (yyjson_is_num(condition))
        return js_number(scope->session, value) == yyjson_get_num(condition);
    if (yyjson_is_bool(condition))
        return !is_null && js_truthy(value) == yyjson_get_bool(condition);
    if (yyjson_is_null(condition))
        return is_null;
    if (!is_operators(condition))
        return js_same_json(scope->session, value, condition);
    yyjson_obj_foreach(condition, i, count, name, expected)
    {
        if (!operator_holds(scope, operator_of(json_str(name)), value, expected))
            return false;
    }
    return true;
}

/* One of the conditions holds; of none, yes. */
static bool any_holds(struct scope *scope, struct growthbook_subject subject, yyjson_val *list)
{
    size_t i, count;
    yyjson_val *condition;
    if (!yyjson_is_arr(list))
        return malformed(scope);
    yyjson_arr_foreach(list, i, count, condition)
    {
        if (holds(scope, subject, condition))
            return true;
    }
    return yyjson_arr_size(list) == 0;
}

static bool all_hold(struct scope *scope, struct growthbook_subject subject, yyjson_val *list)
{
    size_t i, count;
    yyjson_val *condition;
    if (!yyjson_is_arr(list))
        return malformed(scope);
    yyjson_arr_foreach(list, i, count, condition)
    {
        if (!holds(scope, subject, condition))
            return false;
    }
    return true;
}

static bool member_holds(struct scope *scope, struct growthbook_subject subject, struct str name,
                         yyjson_val *value)
{
    if (str_is(name, "$or"))
        return any_holds(scope, subject, value);
    if (str_is(name, "$nor"))
        return !any_holds(scope, subject, value);
    if (str_is(name, "$and"))
        return all_hold(scope, subject, value);
    if (str_is(name, "$not"))
        return !holds(scope, subject, value);
    return value_meets(scope, value_at(scope, subject, name), value, false);
}

static bool holds(struct scope *scope, struct growthbook_subject subject, yyjson_val *condition)
{
    size_t i, count;
    yyjson_val *name, *value;
    if (!yyjson_is_obj(condition))
        return malformed(scope);
    yyjson_obj_foreach(condition, i, count, name, value)
    {
        if (!growthbook_spend(scope->session, 1) ||
            !member_holds(scope, subject, json_str(name), value))
            return false;
    }
    return true;
}

bool growthbook_passes(struct growthbook_session *session, struct growthbook_subject subject,
                       yyjson_val *condition, yyjson_val *groups)
{
    struct scope scope = {.session = session, .groups = groups};
    bool passes = holds(&scope, subject, condition);
    return passes && !scope.malformed && session->steps > 0;
}

enum status growthbook_condition(yyjson_val *attributes, yyjson_val *condition, yyjson_val *groups,
                                 struct arena *arena, bool *ret_passes, struct err *err)
{
    struct growthbook_session session = {.arena = arena, .steps = GROWTHBOOK_STEPS_MAX};
    bool passes = growthbook_passes(&session, (struct growthbook_subject){.value = attributes},
                                    condition, groups);
    if (session.steps == 0)
        return err_set(err, ST_TOO_LARGE, "could not evaluate the condition: more than %d steps",
                       GROWTHBOOK_STEPS_MAX);
    *ret_passes = passes;
    return ST_OK;
}
