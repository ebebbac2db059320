/* live_filter.c - conditions: decided per value, looked up per event.
 *
 * What an event's property is, is a number (timeline_column); whether that value meets a condition
 * is asked once for each value, before the pass, and stands in a table of bytes. The same for an
 * origin's channel and campaign. So the pass reads one table, whatever the operator was.
 */
#include "analytics/live_int.h"

#include <math.h>
#include <stdlib.h>

#define FILTERS_MAX 32
#define LISTED_MAX 1000 /* values of one "in" */

enum op { EQUAL, UNEQUAL, LESS, AT_MOST, MORE, AT_LEAST, CONTAINS, IN, EXISTS, OPS };
static const char *const op_names[] = {"=",  "!=",       "<",  "<=",     ">",
                                       ">=", "contains", "in", "exists", NULL};

static const char *const kind_names[] = {"property", "channel", "campaign", NULL};

struct live_filter {
    const struct timeline_column *column; /* NULL = by origin */
    const uint8_t *holds;                 /* by the column's code, or by origin */
};

/* A text that a condition compares with. */
struct wanted {
    struct str text;
    double number;
    bool is_number; /* its text is one */
    bool is_typed;  /* … and it was a JSON number */
};

bool live_number(struct str text, double *ret_number)
{
    char copy[48], *end;
    if (text.n == 0 || text.n >= sizeof copy || strchr("+-.0123456789", text.p[0]) == NULL)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (strspn(copy, "+-.0123456789eE") != text.n)
        return false;
    *ret_number = strtod(copy, &end);
    return end == copy + text.n && isfinite(*ret_number);
}

/* --- one condition on one value --------------------------------------------------------------- */

static bool is_equal(struct str text, const struct wanted *wanted)
{
    double number;
    if (str_eq(text, wanted->text))
        return true;
    return wanted->is_typed && live_number(text, &number) && number == wanted->number;
}

/* Numbers by size where the wanted one is a number, else texts by their bytes. */
static bool is_ordered(struct str text, enum op op, const struct wanted *wanted)
{
    double number;
    if (text.n == 0 || (wanted->is_number && !live_number(text, &number)))
        return false;
    int order = wanted->is_number ? (number > wanted->number) - (number < wanted->number)
                                  : str_compare(text, wanted->text);
    return op == LESS      ? order < 0
           : op == AT_MOST ? order <= 0
           : op == MORE    ? order > 0
                           : order >= 0;
}

/* The empty text is "none": only != and exists: false hold there. */
static bool value_holds(struct str text, enum op op, const struct wanted *wanted, size_t count)
{
    switch (op) {
    case EQUAL:
        return text.n > 0 && is_equal(text, wanted);
    case UNEQUAL:
        return text.n == 0 || !is_equal(text, wanted);
    case LESS:
    case AT_MOST:
    case MORE:
    case AT_LEAST:
        return is_ordered(text, op, wanted);
    case CONTAINS:
        return text.n > 0 && memmem(text.p, text.n, wanted->text.p, wanted->text.n) != NULL;
    case IN:
        for (size_t i = 0; i < count; i++)
            if (text.n > 0 && is_equal(text, &wanted[i]))
                return true;
        return false;
    case EXISTS:
        return (text.n > 0) == (wanted->number != 0);
    case OPS:
        break;
    }
    return false;
}

uint32_t live_origin_code(const struct live_ask *ask, enum live_kind kind, uint32_t origin)
{
    return kind == LIVE_CHANNEL ? timeline_origin_channel(ask->view, origin)
                                : timeline_origin_campaign(ask->view, origin);
}

struct str live_origin_text(const struct live_ask *ask, enum live_kind kind, uint32_t code)
{
    return kind == LIVE_CHANNEL ? timeline_channel(ask->view, code)
                                : timeline_campaign(ask->view, code);
}

uint32_t live_origin_codes(const struct live_ask *ask, enum live_kind kind)
{
    return kind == LIVE_CHANNEL ? ask->view->channels : ask->view->campaigns;
}

/* A channel or campaign that nobody has is a typing error. */
static enum status origin_check(const struct live_ask *ask, enum live_kind kind, struct str text,
                                struct err *err)
{
    struct near near = near_to(text);
    for (uint32_t code = 1; code < live_origin_codes(ask, kind); code++) {
        struct str name = live_origin_text(ask, kind, code);
        if (str_eq(name, text))
            return ST_OK;
        near_offer(&near, name);
    }
    return live_not_found(err, kind_names[kind], &near);
}

/* --- parsing ---------------------------------------------------------------------------------- */

static enum status bad_filter(struct err *err, const char *why)
{
    err_set(err, ST_INVALID, "\"where\": %s", why);
    return err_hint(err, ST_INVALID,
                    "{\"property\" | \"channel\" | \"campaign\", \"op\", \"value\"}; op: = != < <= "
                    "> >= contains in exists");
}

static bool wanted_parse(struct live_ask *ask, yyjson_val *value, struct wanted *ret)
{
    struct wanted wanted = {0};
    if (yyjson_is_str(value)) {
        wanted.text = json_str(value);
        wanted.is_number = live_number(wanted.text, &wanted.number);
    } else if (yyjson_is_num(value)) {
        struct buf text;
        buf_init(&text, 64);
        json_write(&text, value);
        wanted.text = arena_copy(ask->arena, buf_view(&text));
        buf_done(&text);
        wanted.number = yyjson_get_num(value);
        wanted.is_number = wanted.is_typed = true;
    } else if (yyjson_is_bool(value)) {
        wanted.text = yyjson_get_bool(value) ? STR("true") : STR("false");
        wanted.number = yyjson_get_bool(value);
    }
    *ret = wanted;
    return wanted.text.n > 0;
}

/* A condition on its way. */
struct condition {
    enum live_kind kind;
    struct str property;
    enum op op;
    struct wanted *wanted;
    size_t count;
};

static enum status op_parse(yyjson_val *object, bool has_list, enum op *ret_op, struct err *err)
{
    yyjson_val *value = yyjson_obj_get(object, "op");
    int op = has_list ? IN : EQUAL;
    if (value != NULL)
        for (op = 0; op < OPS && !str_is(json_str(value), op_names[op]);)
            op++;
    if (op == OPS)
        return bad_filter(err, "this \"op\" is not known");
    if (has_list != (op == IN))
        return bad_filter(err, has_list ? "a list as \"value\" needs \"op\": \"in\""
                                        : "\"in\" needs a list as \"value\"");
    *ret_op = (enum op)op;
    return ST_OK;
}

/* {"channel": "app"} is {"channel": true, "op": "=", "value": "app"}. */
static enum status condition_parse(struct live_ask *ask, yyjson_val *object,
                                   struct condition *condition, struct err *err)
{
    yyjson_val *subject = NULL, *value = yyjson_obj_get(object, "value");
    size_t found = 0, others = (value != NULL) + (yyjson_obj_get(object, "op") != NULL);
    for (int kind = 0; kind_names[kind] != NULL; kind++) {
        yyjson_val *at = yyjson_obj_get(object, kind_names[kind]);
        if (at != NULL)
            subject = at, condition->kind = (enum live_kind)kind, found++;
    }
    if (found != 1 || yyjson_obj_size(object) != found + others)
        return bad_filter(err, "a condition has one of property, channel, campaign");
    condition->property = json_str(subject);
    if (condition->kind == LIVE_PROPERTY && condition->property.n == 0)
        return bad_filter(err, "\"property\" must be a name");
    if (condition->kind != LIVE_PROPERTY && value == NULL && !yyjson_is_bool(subject))
        value = subject;
    bool is_list = yyjson_is_arr(value);
    enum status status = op_parse(object, is_list, &condition->op, err);
    if (status != ST_OK)
        return status;
    condition->count = is_list ? yyjson_arr_size(value) : 1;
    if (condition->count == 0 || condition->count > LISTED_MAX)
        return bad_filter(err, "a list of 1 to 1000 values");
    condition->wanted = ARENA_ARRAY(ask->arena, struct wanted, condition->count);
    condition->wanted[0].number = 1; /* exists without a value is exists: true */
    if (condition->op == EXISTS && value == NULL)
        return ST_OK;
    for (size_t i = 0; i < condition->count; i++)
        if (!wanted_parse(ask, is_list ? yyjson_arr_get(value, i) : value, &condition->wanted[i]))
            return bad_filter(err, "\"value\" must be a text, a number, true or false");
    if (condition->op == EXISTS && !yyjson_is_bool(value))
        return bad_filter(err, "\"exists\" takes true or false");
    return ST_OK;
}

static bool code_holds(const struct condition *condition, struct str text)
{
    return value_holds(text, condition->op, condition->wanted, condition->count);
}

static enum status origin_table(struct live_ask *ask, const struct condition *condition,
                                uint8_t *holds, struct err *err)
{
    enum op op = condition->op;
    for (size_t i = 0; i < condition->count; i++) {
        enum status status =
            op == EQUAL || op == UNEQUAL || op == IN
                ? origin_check(ask, condition->kind, condition->wanted[i].text, err)
                : ST_OK;
        if (status != ST_OK)
            return status;
    }
    uint32_t codes = live_origin_codes(ask, condition->kind);
    uint8_t *by_code = ARENA_ARRAY(ask->arena, uint8_t, LIVE_ORIGINS);
    bool none = code_holds(condition, STR(""));
    memset(by_code, none, LIVE_ORIGINS);
    for (uint32_t code = 0; code < codes; code++)
        by_code[code] = code_holds(condition, live_origin_text(ask, condition->kind, code));
    memset(holds, none, LIVE_ORIGINS);
    for (uint32_t origin = 0; origin < ask->view->origins; origin++)
        holds[origin] = by_code[live_origin_code(ask, condition->kind, origin) % LIVE_ORIGINS];
    return ST_OK;
}

static enum status filter_make(struct live_ask *ask, const struct condition *condition,
                               struct str event, struct live_filter *ret_filter, struct err *err)
{
    uint8_t *holds;
    struct live_filter filter = {0};
    enum status status = ST_OK;
    if (condition->kind == LIVE_PROPERTY) {
        status = live_column(ask, event, condition->property, &filter.column, err);
        if (status != ST_OK)
            return status;
        uint32_t values = timeline_column_values(filter.column);
        holds = arena_alloc(ask->arena, values + 1);
        for (uint32_t code = 0; code <= values; code++)
            holds[code] = code_holds(condition, timeline_column_text(filter.column, code));
    } else {
        holds = arena_alloc(ask->arena, LIVE_ORIGINS);
        status = origin_table(ask, condition, holds, err);
    }
    filter.holds = holds;
    *ret_filter = filter;
    return status;
}

enum status live_filters_parse(struct live_ask *ask, yyjson_val *where, struct str event,
                               struct live_filter **ret_filters, size_t *ret_count, struct err *err)
{
    size_t count = yyjson_arr_size(where), i, max;
    yyjson_val *object;
    if (where != NULL && (!yyjson_is_arr(where) || count > FILTERS_MAX))
        return bad_filter(err, "must be a list of at most 32 conditions");
    struct live_filter *filters = ARENA_ARRAY(ask->arena, struct live_filter, count + 1);
    yyjson_arr_foreach(where, i, max, object)
    {
        struct condition condition = {0};
        if (!yyjson_is_obj(object))
            return bad_filter(err, "a condition is an object");
        enum status status = condition_parse(ask, object, &condition, err);
        if (status == ST_OK)
            status = filter_make(ask, &condition, event, &filters[i], err);
        if (status != ST_OK)
            return status;
    }
    *ret_filters = filters;
    *ret_count = count;
    return ST_OK;
}

bool live_filters_hold(const struct live_ask *ask, const struct live_filter *filters, size_t count,
                       const struct timeline_run *run, uint32_t i)
{
    (void)ask;
    for (size_t k = 0; k < count; k++) {
        const struct live_filter *filter = &filters[k];
        uint32_t code = filter->column == NULL
                            ? timeline_origin(run, i)
                            : timeline_column_code(filter->column, timeline_row(run, i));
        if (!filter->holds[code])
            return false;
    }
    return true;
}
