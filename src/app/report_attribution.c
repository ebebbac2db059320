/* report_attribution.c - `hezou report attribution --paths F --model M[,M…]`. */
#include <stdlib.h>

#include "analytics/attribution_report.h"
#include "app/report.h"

/* The text up to the next comma; *rest moves behind it. */
static struct str next_word(struct str *rest)
{
    const char *comma = rest->n == 0 ? NULL : memchr(rest->p, ',', rest->n);
    size_t n = comma == NULL ? rest->n : (size_t)(comma - rest->p);
    struct str word = {rest->p, n};
    *rest = (struct str){rest->p + n + (comma != NULL), rest->n - n - (comma != NULL)};
    return str_trim(word);
}

static enum status models_read(const struct options *options,
                               struct attribution_report_options *report, struct err *err)
{
    struct str rest = str_of(option_text(options, OPTION_MODEL));
    unsigned seen = 0;
    if (!option_is_set(options, OPTION_MODEL))
        rest = STR("markov");
    while (rest.n > 0) {
        enum attribution_model model;
        struct str word = next_word(&rest);
        if (!attribution_model_of(word, &model)) {
            err_set(err, ST_INVALID, "%s: no model is called " STR_FMT, option_name(OPTION_MODEL),
                    STR_ARG(word));
            return err_hint(err, ST_INVALID,
                            "first, last, last-non-direct, linear, position, decay, markov, "
                            "shapley, shao; several with commas");
        }
        if ((seen >> model & 1) == 0)
            report->models[report->models_count++] = model;
        seen |= 1u << model;
    }
    if (report->models_count == 0)
        return err_set(err, ST_INVALID, "%s names no model", option_name(OPTION_MODEL));
    return ST_OK;
}

static enum status weights_read(const struct options *options, struct attribution_rules *rules,
                                struct err *err)
{
    double *const weights[] = {&rules->first, &rules->middle, &rules->last};
    const char *given = option_text(options, OPTION_WEIGHTS);
    const char *text = given[0] != '\0' ? given : "40,20,40", *at = text;
    bool good = true;
    for (size_t i = 0; good && i < 3; i++) {
        char *end;
        *weights[i] = strtod(at, &end);
        good = end != at && *weights[i] >= 0 && *weights[i] <= 1e9 && *end == (i < 2 ? ',' : '\0');
        at = end + (i < 2);
    }
    if (!good || rules->first + rules->middle + rules->last <= 0)
        return err_set(err, ST_INVALID,
                       "%s: \"%s\" is not three weights, first, middle, last, like 40,20,40",
                       option_name(OPTION_WEIGHTS), text);
    return ST_OK;
}

static enum status order_read(const struct options *options,
                              struct attribution_report_options *report, struct err *err)
{
    const char *text = option_text(options, OPTION_ORDER);
    char *end;
    long order = strtol(text, &end, 10);
    report->order_auto = strcmp(text, "auto") == 0;
    if (report->order_auto)
        return ST_OK;
    if (end == text || *end != '\0' || order < 1 || order > ATTRIBUTION_ORDER_MAX)
        return err_set(err, ST_INVALID, "%s: \"%s\" is not auto, nor 1 to %d",
                       option_name(OPTION_ORDER), text, ATTRIBUTION_ORDER_MAX);
    report->rules.order = (unsigned)order;
    return ST_OK;
}

/* The place of an option's value among `words`. */
static enum status choice_read(const struct options *options, enum option option,
                               const char *const *words, size_t count, size_t *ret_choice,
                               struct err *err)
{
    const char *text = option_text(options, option);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) != 0)
            continue;
        *ret_choice = i;
        return ST_OK;
    }
    return err_set(err, ST_INVALID, "%s: \"%s\" is not one of %s, %s%s%s", option_name(option),
                   text, words[0], words[1], count > 2 ? ", " : "", count > 2 ? words[2] : "");
}

enum status report_attribution(const struct options *options, struct buf *json, struct err *err)
{
    static const char *const touches[] = {"all", "collapsed", "unique"};
    static const char *const worths[] = {"conversions", "rate"};
    struct attribution_report_options report = {
        .cost = option_text(options, OPTION_COST),
        .rules = attribution_rules_usual(),
        .separator = option_text(options, OPTION_SEPARATOR),
        .example = option_text(options, OPTION_EXAMPLE),
    };
    size_t touch = 0, worth = 0;
    report.direct_count = option_list(options, OPTION_DIRECT, &report.direct);
    report.rules.half_life_us = option_duration_us(options, OPTION_HALF_LIFE);
    enum status status = report_file(options, OPTION_PATHS, &report.file, err);
    if (status == ST_OK)
        status = models_read(options, &report, err);
    if (status == ST_OK)
        status = weights_read(options, &report.rules, err);
    if (status == ST_OK)
        status = order_read(options, &report, err);
    if (status == ST_OK)
        status = choice_read(options, OPTION_TOUCHES, touches, 3, &touch, err);
    if (status == ST_OK)
        status = choice_read(options, OPTION_WORTH, worths, 2, &worth, err);
    if (status != ST_OK)
        return status;
    report.rules.touches = (enum attribution_touches)touch;
    report.rules.shapley_rate = worth == 1;
    return attribution_report(&report, json, err);
}
