/* live_touch.c - rules of touches from the table and from the question.
 *
 * Each rule has a bit. by_code has it at the codes of its event's name (at all codes for "*"),
 * by_origin at the origins whose channel and campaign it wants. A rule without such a wish has it
 * at all origins, those past the dictionary's end included. */
#include "analytics/live_touch.h"

#define CODES 65536u

static const struct {
    const char *word;
    uint32_t days;
    bool campaign;
    const char *names;
} kinds[LIVE_TOUCHES] = {
#define X(id, word, days, campaign, names) [LIVE_TOUCH_##id] = {word, days, campaign, names},
#include "analytics/live_touch.def"
#undef X
};

const char *live_touch_name(enum live_touch touch)
{
    return touch < LIVE_TOUCHES ? kinds[touch].word : "";
}

/* --- bits ------------------------------------------------------------------------------------- */

static uint32_t bit_new(struct live_touches *touches, enum live_touch type)
{
    touches->rules[touches->rules_count].type = type;
    return UINT32_C(1) << touches->rules_count++;
}

static void bit_everywhere(uint32_t *bits, uint32_t bit)
{
    for (uint32_t i = 0; i < CODES; i++)
        bits[i] |= bit;
}

/* At the origins whose campaign is named (any, when `campaign` is empty). */
static void bit_with_campaign(const struct live_ask *ask, struct live_touches *touches,
                              uint32_t bit, struct str campaign)
{
    const struct timeline_view *view = ask->view;
    for (uint32_t origin = 0; origin < view->origins; origin++) {
        struct str has = timeline_campaign(view, timeline_origin_campaign(view, origin));
        if (has.n > 0 && (campaign.n == 0 || str_eq(has, campaign)))
            touches->by_origin[origin] |= bit;
    }
}

static void bit_without_channel(const struct live_ask *ask, struct live_touches *touches,
                                uint32_t bit, struct str channel)
{
    const struct timeline_view *view = ask->view;
    for (uint32_t origin = 0; origin < CODES; origin++)
        if (origin >= view->origins ||
            !str_eq(timeline_channel(view, timeline_origin_channel(view, origin)), channel))
            touches->by_origin[origin] &= ~bit;
}

/* --- the usual rules -------------------------------------------------------------------------- */

static bool is_one_of(struct str name, struct str names)
{
    while (names.n > 0) {
        const char *bar = memchr(names.p, '|', names.n);
        size_t n = bar == NULL ? names.n : (size_t)(bar - names.p);
        if (str_eq_nocase(name, (struct str){names.p, n}))
            return true;
        names.p += n + (bar != NULL);
        names.n -= n + (bar != NULL);
    }
    return false;
}

static void usual_rules(const struct live_ask *ask, struct live_touches *touches)
{
    for (int type = 0; type < LIVE_TOUCHES; type++) {
        uint32_t bit = bit_new(touches, (enum live_touch)type);
        for (uint32_t code = 0; code < ask->view->names; code++)
            if (is_one_of(timeline_name(ask->view, code), str_of(kinds[type].names)))
                touches->by_code[code] |= bit;
        bit_everywhere(touches->by_origin, bit);
        if (!kinds[type].campaign || ask->view->campaigns <= 1) /* the empty one is 0 */
            continue;
        bit = bit_new(touches, (enum live_touch)type);
        bit_everywhere(touches->by_code, bit);
        bit_with_campaign(ask, touches, bit, STR(""));
    }
}

/* --- the question's --------------------------------------------------------------------------- */

static enum status type_parse(yyjson_val *value, enum live_touch *ret_type, struct err *err)
{
    struct str word = json_str(value);
    for (int type = 0; type < LIVE_TOUCHES; type++) {
        if (!str_is(word, kinds[type].word))
            continue;
        *ret_type = (enum live_touch)type;
        return ST_OK;
    }
    return err_set(err, ST_INVALID,
                   "\"type\" of a touch is one of click, view, offline_scan, service_talk, visit");
}

static enum status lookback_ask(struct live_ask *ask, const char *member,
                                struct live_touches *touches, enum live_touch type, struct err *err)
{
    int64_t seconds = touches->lookback_s[type];
    enum status status = live_ask_duration(ask, member, seconds, &seconds, err);
    if (status == ST_OK && (seconds < 1 || seconds > INT64_C(366) * 86400))
        return err_set(err, ST_INVALID, "\"%s\": a look-back is 1 second to 366 days", member);
    if (status == ST_OK)
        touches->lookback_s[type] = (uint32_t)seconds;
    return status;
}

/* ask->question is the rule while its members are read. */
static enum status rule_ask(struct live_ask *ask, struct live_touches *touches, struct err *err)
{
    static const char *const known[] = {"type", "event", "channel", "campaign", "lookback"};
    yyjson_val *key, *campaign = yyjson_obj_get(ask->question, "campaign");
    yyjson_obj_iter members = yyjson_obj_iter_with(ask->question);
    struct live_event event = {.code = TIMELINE_NONE};
    enum live_touch type;
    while ((key = yyjson_obj_iter_next(&members)) != NULL) {
        size_t i = 0;
        while (i < 5 && strcmp(known[i], yyjson_get_str(key)) != 0)
            i++;
        if (i == 5)
            return err_set(err, ST_INVALID,
                           "a touch has type, event, channel, campaign and lookback; not \"%.40s\"",
                           yyjson_get_str(key));
    }
    enum status status = type_parse(yyjson_obj_get(ask->question, "type"), &type, err);
    if (status == ST_OK && yyjson_obj_get(ask->question, "event") != NULL)
        status = live_ask_event(ask, "event", &event, err);
    if (status == ST_OK)
        status = lookback_ask(ask, "lookback", touches, type, err);
    if (status != ST_OK)
        return status;
    uint32_t bit = bit_new(touches, type);
    touches->rules[touches->rules_count - 1].filters = event.filters;
    touches->rules[touches->rules_count - 1].filters_count = event.filters_count;
    if (event.code == TIMELINE_NONE)
        bit_everywhere(touches->by_code, bit);
    else
        touches->by_code[event.code] |= bit;
    if (yyjson_is_true(campaign) || yyjson_is_str(campaign))
        bit_with_campaign(ask, touches, bit, json_str(campaign));
    else
        bit_everywhere(touches->by_origin, bit);
    struct str channel = json_member_str(ask->question, "channel");
    if (channel.n > 0)
        bit_without_channel(ask, touches, bit, channel);
    return ST_OK;
}

static enum status own_rules(struct live_ask *ask, yyjson_val *list, struct live_touches *touches,
                             struct err *err)
{
    yyjson_val *whole = ask->question, *rule;
    yyjson_arr_iter rules = yyjson_arr_iter_with(list);
    enum status status = ST_OK;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0 ||
        yyjson_arr_size(list) > LIVE_TOUCH_RULES_MAX)
        return err_set(err, ST_INVALID, "\"touches\" is a list of 1 to %d objects with a type",
                       LIVE_TOUCH_RULES_MAX);
    while (status == ST_OK && (rule = yyjson_arr_iter_next(&rules)) != NULL) {
        if (!yyjson_is_obj(rule))
            return err_set(err, ST_INVALID, "\"touches\": each is an object with a type");
        ask->question = rule;
        status = rule_ask(ask, touches, err);
        ask->question = whole;
    }
    return status;
}

static enum status lookbacks_ask(struct live_ask *ask, struct live_touches *touches,
                                 struct err *err)
{
    yyjson_val *whole = ask->question, *own = yyjson_obj_get(whole, "lookback"), *key;
    enum status status = ST_OK;
    if (own != NULL && !yyjson_is_obj(own)) {
        for (int type = 0; type < LIVE_TOUCHES && status == ST_OK; type++)
            status = lookback_ask(ask, "lookback", touches, (enum live_touch)type, err);
        return status;
    }
    yyjson_obj_iter members = yyjson_obj_iter_with(own);
    while (own != NULL && status == ST_OK && (key = yyjson_obj_iter_next(&members)) != NULL) {
        enum live_touch type = LIVE_TOUCHES;
        status = type_parse(key, &type, err);
        ask->question = own;
        if (status == ST_OK)
            status = lookback_ask(ask, kinds[type].word, touches, type, err);
        ask->question = whole;
    }
    return status;
}

enum status live_touches_ask(struct live_ask *ask, struct live_touches *ret_touches,
                             struct err *err)
{
    yyjson_val *own = yyjson_obj_get(ask->question, "touches");
    *ret_touches = (struct live_touches){.by_code = ARENA_ARRAY(ask->arena, uint32_t, CODES),
                                         .by_origin = ARENA_ARRAY(ask->arena, uint32_t, CODES)};
    for (int type = 0; type < LIVE_TOUCHES; type++)
        ret_touches->lookback_s[type] = kinds[type].days * 86400;
    enum status status = ST_OK;
    if (own == NULL)
        usual_rules(ask, ret_touches);
    else
        status = own_rules(ask, own, ret_touches, err);
    if (status == ST_OK)
        status = lookbacks_ask(ask, ret_touches, err);
    for (int type = 0; type < LIVE_TOUCHES; type++)
        if (ret_touches->lookback_s[type] > ret_touches->lookback_max_s)
            ret_touches->lookback_max_s = ret_touches->lookback_s[type];
    bit_everywhere(ret_touches->by_origin, LIVE_TOUCH_CALLER);
    return status;
}

static int64_t longer(yyjson_val *lookback, int64_t than_s)
{
    struct err ignored;
    int64_t seconds = 0;
    if (lookback == NULL || live_duration_parse("lookback", lookback, &seconds, &ignored) != ST_OK)
        return than_s;
    return seconds > than_s ? seconds : than_s;
}

int64_t live_touches_lookback_most(const struct live_ask *ask)
{
    yyjson_val *own = yyjson_obj_get(ask->question, "lookback"), *key, *rule;
    int64_t most_s = longer(own, 0);
    for (int type = 0; type < LIVE_TOUCHES; type++)
        most_s = kinds[type].days * 86400 > most_s ? kinds[type].days * 86400 : most_s;
    yyjson_obj_iter members = yyjson_obj_iter_with(own);
    while ((key = yyjson_obj_iter_next(&members)) != NULL)
        most_s = longer(yyjson_obj_iter_get_val(key), most_s);
    yyjson_arr_iter rules = yyjson_arr_iter_with(yyjson_obj_get(ask->question, "touches"));
    while ((rule = yyjson_arr_iter_next(&rules)) != NULL)
        most_s = longer(yyjson_obj_get(rule, "lookback"), most_s);
    return most_s;
}
