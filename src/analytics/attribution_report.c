/* attribution_report.c - the report on a file of paths: models side by side, what they cost, how
 * one path is weighed.
 *
 * Each model runs once over the paths; all that is printed is taken from these credits. Rows are in
 * order of the first model's conversions. Customer acquisition cost needs to know which conversions
 * brought a new customer: where the file has such a column, the same model shares it out as it
 * shares out value. */
#include "analytics/attribution_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analytics/attribution_int.h"
#include "base/clock.h"
#include "base/json.h"

struct report {
    const struct attribution_report_options *options;
    struct attribution_rules rules;
    struct attribution_file file;
    struct attribution_credit credits[ATTRIBUTION_MODELS];  /* as options->models */
    struct attribution_credit arrivals[ATTRIBUTION_MODELS]; /* values = new customers */
    struct attribution_order orders[ATTRIBUTION_ORDER_MAX];
    unsigned orders_count;
    uint32_t *sorted; /* channels, most conversions of the first model first */
    double conversions, value, nulls;
    /* Costs: NAN where a channel has none. */
    double *spend;
    double spend_total, spend_unknown;
    size_t spend_unknown_rows;
};

/* --- what is counted -------------------------------------------------------------------------- */

static bool has_model(const struct report *report, enum attribution_model model, size_t *ret_at)
{
    for (size_t m = 0; m < report->options->models_count; m++) {
        if (report->options->models[m] != model)
            continue;
        *ret_at = m;
        return true;
    }
    return false;
}

static void find_direct(struct report *report)
{
    static const char *const usual[] = {"direct", "(direct)", "(direct) / (none)", "direct / none",
                                        "直接访问"};
    const struct attribution_report_options *options = report->options;
    const char *const *names = options->direct_count > 0 ? options->direct : usual;
    size_t count =
        options->direct_count > 0 ? options->direct_count : sizeof usual / sizeof usual[0];
    bool *direct = ARENA_ARRAY(&report->file.arena, bool, report->file.paths.channels_count + 1);
    for (uint32_t c = 0; c < report->file.paths.channels_count; c++)
        for (size_t i = 0; i < count; i++)
            direct[c] = direct[c] ||
                        str_eq_nocase(attribution_name(report->file.names, c), str_of(names[i]));
    report->rules.direct = direct;
}

static enum status run_models(struct report *report, struct err *err)
{
    size_t markov;
    enum status status = ST_OK;
    struct attribution_file *file = &report->file;
    if (report->options->order_auto && has_model(report, ATTRIBUTION_MARKOV, &markov))
        status = attribution_choose_order(&file->paths, 10, report->orders, &report->orders_count,
                                          &report->rules.order, err);
    for (size_t m = 0; status == ST_OK && m < report->options->models_count; m++) {
        enum attribution_model model = report->options->models[m];
        struct attribution_paths arrivals = file->paths;
        arrivals.values = file->new_customers;
        status = attribution_run(&file->paths, model, &report->rules, &file->arena,
                                 &report->credits[m], err);
        if (status == ST_OK && report->spend != NULL && file->new_customers != NULL)
            status = attribution_run(&arrivals, model, &report->rules, &file->arena,
                                     &report->arrivals[m], err);
    }
    return status;
}

static enum status cost_rows(struct report *report, const struct table *table, struct err *err)
{
    int channel_column, spend_column;
    double *spend;
    enum status status = table_find(table, "channel", "channel|channel_name|source|name", true,
                                    &channel_column, err);
    if (status == ST_OK)
        status = table_find(table, "spend", "spend|cost|costs|total_cost|amount", true,
                            &spend_column, err);
    if (status == ST_OK)
        status = table_numbers(table, spend_column, TABLE_EMPTY_REFUSED, 0, &spend, err);
    if (status != ST_OK)
        return status;
    uint32_t channels = report->file.paths.channels_count, channel;
    report->spend = ARENA_ARRAY(&report->file.arena, double, channels + 1);
    for (uint32_t c = 0; c < channels; c++)
        report->spend[c] = NAN;
    for (size_t row = 0; row < table_rows(table); row++) {
        struct str name = str_trim(table_cell(table, row, channel_column));
        report->spend_total += spend[row];
        if (attribution_name_find(report->file.names, name, &channel)) {
            double before = report->spend[channel];
            report->spend[channel] = (isnan(before) ? 0 : before) + spend[row];
        } else {
            report->spend_unknown_rows++;
            report->spend_unknown += spend[row];
        }
    }
    free(spend);
    return ST_OK;
}

static enum status read_costs(struct report *report, struct err *err)
{
    const char *path = report->options->cost;
    struct table *table;
    if (path == NULL || path[0] == '\0')
        return ST_OK;
    struct table_options options = {.path = path};
    enum status status = table_read(&options, &table, err);
    if (status != ST_OK)
        return status;
    status = cost_rows(report, table, err);
    table_free(table);
    return status;
}

static int by_conversions(const void *a, const void *b, void *context)
{
    const struct report *report = context;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    double x = report->credits[0].conversions[i], y = report->credits[0].conversions[j];
    if (x != y)
        return x > y ? -1 : 1;
    return str_compare(attribution_name(report->file.names, i),
                       attribution_name(report->file.names, j));
}

static void sort_channels(struct report *report)
{
    uint32_t channels = report->file.paths.channels_count;
    report->sorted = ARENA_ARRAY(&report->file.arena, uint32_t, channels + 1);
    for (uint32_t c = 0; c < channels; c++)
        report->sorted[c] = c;
    qsort_r(report->sorted, channels, sizeof *report->sorted, by_conversions, report);
}

/* --- rows ------------------------------------------------------------------------------------- */

/* "last_non_direct" and what follows. */
static void model_field(enum attribution_model model, const char *what, char ret_name[64])
{
    snprintf(ret_name, 64, "%s%s", attribution_model_name(model), what);
    for (char *p = ret_name; *p != '\0'; p++)
        *p = *p == '-' ? '_' : *p;
}

static void put_model_number(struct buf *json, enum attribution_model model, const char *what,
                             double value)
{
    char name[64];
    model_field(model, what, name);
    json_put_member_number(json, name, value);
}

static void put_row_one(struct buf *json, const struct report *report, uint32_t c)
{
    const struct attribution_credit *credit = &report->credits[0];
    json_put_member_number(json, "conversions", credit->conversions[c]);
    if (credit->values != NULL)
        json_put_member_number(json, "value", credit->values[c]);
    json_put_member_number(
        json, "share", report->conversions > 0 ? credit->conversions[c] / report->conversions : 0);
}

static void put_row_several(struct buf *json, const struct report *report, uint32_t c)
{
    const struct attribution_credit *first = &report->credits[0];
    for (size_t m = 0; m < report->options->models_count; m++) {
        enum attribution_model model = report->options->models[m];
        const struct attribution_credit *credit = &report->credits[m];
        put_model_number(json, model, "_conversions", credit->conversions[c]);
        if (credit->values != NULL)
            put_model_number(json, model, "_value", credit->values[c]);
        if (m == 0)
            continue;
        put_model_number(json, model, "_difference",
                         credit->conversions[c] - first->conversions[c]);
        if (credit->values != NULL)
            put_model_number(json, model, "_value_difference",
                             credit->values[c] - first->values[c]);
    }
}

static void put_rows(struct buf *json, const struct report *report)
{
    size_t markov = 0;
    bool has_markov = has_model(report, ATTRIBUTION_MARKOV, &markov);
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (uint32_t i = 0; i < report->file.paths.channels_count; i++) {
        uint32_t c = report->sorted[i];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "channel", attribution_name(report->file.names, c));
        if (report->options->models_count == 1)
            put_row_one(json, report, c);
        else
            put_row_several(json, report, c);
        if (has_markov) {
            const struct attribution_credit *credit = &report->credits[markov];
            json_put_member_number(json, "removal_effect", credit->removal_conversions[c]);
            if (credit->values != NULL)
                json_put_member_number(json, "removal_effect_value", credit->removal_values[c]);
        }
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* --- the chain, the costs --------------------------------------------------------------------- */

static void put_markov(struct buf *json, const struct report *report)
{
    size_t markov;
    if (!has_model(report, ATTRIBUTION_MARKOV, &markov))
        return;
    json_put_member_uint(json, "order", report->rules.order);
    json_put_member_uint(json, "states", report->credits[markov].states);
    json_put_member_uint(json, "transitions", report->credits[markov].transitions);
    json_put_member_number(json, "error_max", report->credits[markov].error_max);
}

static void put_orders(struct buf *json, const struct report *report)
{
    if (report->orders_count == 0)
        return;
    json_put_name(json, "order_choice");
    buf_char(json, '[');
    for (unsigned i = 0; i < report->orders_count; i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "order", i + 1);
        json_put_member_number(json, "auc", report->orders[i].auc);
        json_put_member_number(json, "penalized_auc", report->orders[i].penalized);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* Not finite (printed as null) where there is nothing to divide by. */
static void put_ratios(struct buf *json, double spend, double conversions, double arrivals,
                       double value)
{
    json_put_member_number(json, "spend", spend);
    json_put_member_number(json, "cpa", conversions > 0 ? spend / conversions : NAN);
    json_put_member_number(json, "cac", arrivals > 0 ? spend / arrivals : NAN);
    json_put_member_number(json, "roas", spend > 0 ? value / spend : NAN);
    json_put_member_number(json, "roi", spend > 0 ? (value - spend) / spend : NAN);
}

static void put_cost(struct buf *json, const struct report *report, size_t m, uint32_t c)
{
    const struct attribution_credit *credit = &report->credits[m];
    const double *arrivals =
        report->file.new_customers != NULL ? report->arrivals[m].values : credit->conversions;
    char name[64];
    model_field(report->options->models[m], "", name);
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, "model", str_of(name));
    json_put_member_str(json, "channel", attribution_name(report->file.names, c));
    put_ratios(json, report->spend[c], credit->conversions[c], arrivals[c],
               credit->values != NULL ? credit->values[c] : NAN);
    buf_char(json, '}');
}

static void put_costs(struct buf *json, const struct report *report)
{
    if (report->spend == NULL)
        return;
    bool known = report->file.new_customers != NULL;
    double arrivals = known ? 0 : report->conversions;
    for (uint32_t c = 0; known && c < report->file.paths.channels_count; c++)
        arrivals += report->arrivals[0].values[c];
    put_ratios(json, report->spend_total, report->conversions, arrivals,
               report->file.paths.values != NULL ? report->value : NAN);
    json_put_member_str(json, "cac_counts", known ? STR("new_customers") : STR("conversions"));
    json_put_name(json, "costs");
    buf_char(json, '[');
    for (size_t m = 0; m < report->options->models_count; m++)
        for (uint32_t i = 0; i < report->file.paths.channels_count; i++)
            put_cost(json, report, m, report->sorted[i]);
    buf_char(json, ']');
}

/* --- one path --------------------------------------------------------------------------------- */

static bool is_of_several_channels(const struct attribution_paths *paths, size_t path)
{
    for (uint64_t i = paths->starts[path]; i < paths->starts[path + 1]; i++)
        if (paths->touches[i] != paths->touches[paths->starts[path]])
            return true;
    return false;
}

/* The path of several channels with the most value (conversions, where there is no value) among
 * those that are short enough to be shown. */
static bool most_valuable(const struct attribution_paths *paths, size_t *ret_path)
{
    double best = 0;
    for (size_t i = 0; i < paths->paths_count; i++) {
        uint64_t touches = paths->starts[i + 1] - paths->starts[i];
        double worth = paths->values != NULL ? attribution_value(paths, i) : paths->conversions[i];
        if (touches > ATTRIBUTION_EXAMPLE_TOUCHES_MAX || worth <= best ||
            !is_of_several_channels(paths, i))
            continue;
        best = worth;
        *ret_path = i;
    }
    return best > 0;
}

/* The asked path over the file's channels. */
static enum status example_read(struct report *report, struct attribution_paths *ret_paths,
                                struct err *err)
{
    struct arena *arena = &report->file.arena;
    struct str rest = str_of(report->options->example),
               separator = str_of(report->options->separator);
    struct str touch;
    uint32_t *touches = ARENA_ARRAY(arena, uint32_t, ATTRIBUTION_EXAMPLE_TOUCHES_MAX);
    uint64_t *starts = ARENA_ARRAY(arena, uint64_t, 2);
    double *one = ARENA_ARRAY(arena, double, 1);
    enum attribution_touch found;
    if (str_trim(separator).n > 0)
        separator = str_trim(separator);
    while ((found = attribution_touch_next(&rest, separator, arena, &touch)) == ATTRIBUTION_TOUCH) {
        if (touch.n == 0)
            continue;
        if (starts[1] == ATTRIBUTION_EXAMPLE_TOUCHES_MAX)
            return err_set(err, ST_TOO_LARGE, "could not show the path: more than %d touches",
                           ATTRIBUTION_EXAMPLE_TOUCHES_MAX);
        if (!attribution_name_find(report->file.names, touch, &touches[starts[1]]))
            return err_set(err, ST_INVALID,
                           "could not weigh the path: no path of the file has \"%.*s\"",
                           (int)(touch.n < 80 ? touch.n : 80), touch.p);
        starts[1]++;
    }
    if (found == ATTRIBUTION_TOUCH_BAD || starts[1] == 0)
        return err_set(err, ST_INVALID, "could not weigh the path: %s",
                       starts[1] == 0 ? "it has no touch" : "a quote is not closed");
    one[0] = 1;
    *ret_paths = (struct attribution_paths){.touches = touches,
                                            .starts = starts,
                                            .conversions = one,
                                            .paths_count = 1,
                                            .channels_count = report->file.paths.channels_count};
    return ST_OK;
}

static void put_example_path(struct buf *json, const struct report *report,
                             const struct attribution_paths *paths, size_t path)
{
    struct buf text;
    buf_init(&text, SIZE_MAX);
    for (uint64_t i = paths->starts[path]; i < paths->starts[path + 1]; i++) {
        buf_text(&text, i > paths->starts[path] ? " > " : "");
        buf_str(&text, attribution_name(report->file.names, paths->touches[i]));
    }
    json_put_member_str(json, "example_path", buf_view(&text));
    buf_done(&text);
}

static enum status put_example(struct buf *json, struct report *report, struct err *err)
{
    const struct attribution_report_options *options = report->options;
    struct attribution_paths paths = report->file.paths;
    size_t path = 0, models = options->models_count;
    double weights[ATTRIBUTION_MODELS][ATTRIBUTION_EXAMPLE_TOUCHES_MAX];
    bool has[ATTRIBUTION_MODELS];
    if (options->example != NULL && options->example[0] != '\0') {
        enum status status = example_read(report, &paths, err);
        if (status != ST_OK)
            return status;
    } else if (!most_valuable(&paths, &path)) {
        return ST_OK;
    }
    for (size_t m = 0; m < models; m++)
        has[m] = attribution_weights(&paths, path, options->models[m], &report->rules,
                                     &report->credits[m], weights[m]);
    put_example_path(json, report, &paths, path);
    json_put_name(json, "example");
    buf_char(json, '[');
    for (uint64_t i = 0; i < paths.starts[path + 1] - paths.starts[path]; i++) {
        uint32_t channel = paths.touches[paths.starts[path] + i];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "touch", i + 1);
        json_put_member_str(json, "channel", attribution_name(report->file.names, channel));
        for (size_t m = 0; m < models; m++)
            put_model_number(json, options->models[m], "", has[m] ? weights[m][i] : NAN);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    return ST_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

static void put_left_out(struct buf *json, const struct report *report)
{
    const struct attribution_file *file = &report->file;
    const struct {
        const char *reason;
        size_t rows;
        const char *what;
        double much;
    } reasons[] = {
        {"no_touch", file->no_touch_rows, "conversions", file->no_touch_conversions},
        {"no_journey", file->no_journey_rows, NULL, 0},
        {"empty_touch", file->empty_touch_rows, NULL, 0},
        {"no_value", file->no_value_rows, NULL, 0},
        {"value_without_conversion", file->lost_value_rows, NULL, 0},
        {"spend_of_unknown_channel", report->spend_unknown_rows, "spend", report->spend_unknown},
    };
    json_put_name(json, "left_out");
    buf_char(json, '[');
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].rows == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "reason", str_of(reasons[i].reason));
        json_put_member_uint(json, "rows", reasons[i].rows);
        if (reasons[i].what != NULL)
            json_put_member_number(json, reasons[i].what, reasons[i].much);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_totals(struct buf *json, struct report *report)
{
    const struct attribution_paths *paths = &report->file.paths;
    json_put_member_str(json, "report", STR("attribution"));
    json_put_member_uint(json, "paths", paths->paths_count - report->file.no_touch_rows);
    json_put_member_uint(json, "touches", paths->starts[paths->paths_count]);
    json_put_member_uint(json, "channels", paths->channels_count);
    json_put_member_number(json, "conversions", report->conversions);
    if (paths->values != NULL)
        json_put_member_number(json, "value", report->value);
    if (paths->nulls != NULL) {
        double journeys = report->conversions + report->nulls;
        json_put_member_number(json, "nulls", report->nulls);
        json_put_member_number(json, "conversion_rate",
                               journeys > 0 ? report->conversions / journeys : NAN);
    }
    char name[64];
    json_put_name(json, "models");
    buf_char(json, '[');
    for (size_t m = 0; m < report->options->models_count; m++) {
        json_put_comma(json);
        model_field(report->options->models[m], "", name);
        json_put_str(json, str_of(name));
    }
    buf_char(json, ']');
}

static void put_bars(struct buf *json, const struct report *report)
{
    char name[64] = "conversions";
    if (report->options->models_count > 1)
        model_field(report->options->models[0], "_conversions", name);
    json_put_member_str(json, "bars", str_of(name));
}

static enum status report_made(struct report *report, int64_t start_us, struct buf *json,
                               struct err *err)
{
    enum status status = read_costs(report, err);
    if (status != ST_OK)
        return status;
    find_direct(report);
    status = run_models(report, err);
    if (status != ST_OK)
        return status;
    const struct attribution_paths *paths = &report->file.paths;
    report->conversions = attribution_total(paths, paths->conversions);
    report->value = attribution_total(paths, paths->values);
    report->nulls = attribution_total(paths, paths->nulls);
    sort_channels(report);
    buf_char(json, '{');
    put_totals(json, report);
    put_markov(json, report);
    put_bars(json, report);
    put_rows(json, report);
    put_orders(json, report);
    put_costs(json, report);
    status = put_example(json, report, err);
    put_left_out(json, report);
    json_put_member_number(json, "seconds", (double)(monotonic_us() - start_us) / 1e6);
    buf_char(json, '}');
    return status;
}

enum status attribution_report(const struct attribution_report_options *options, struct buf *json,
                               struct err *err)
{
    int64_t start_us = monotonic_us();
    struct report report = {.options = options, .rules = options->rules};
    enum status status = attribution_file_read(options, &report.file, err);
    if (status != ST_OK)
        return status;
    status = report_made(&report, start_us, json, err);
    attribution_file_done(&report.file);
    return status;
}
