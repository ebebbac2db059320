/* uplift_report.c - `report uplift` on a file of people, their treatment and their outcome.
 *
 * With `score` the file's own score is measured on every row. Else a T-learner learns from the even
 * rows of the file (the first is row 0) and is measured on the odd ones, which it has not seen. Its
 * features: a column whose first cell is a number is one feature, z-scored by the rows learnt from;
 * another is one feature per distinct text. Rows of other arms are left out after the halves are
 * made, so an arm more does not change who is in which half.
 *
 * The object: sizes and rates of both arms, Qini, AUUC, uplift@k, and `rows`: tenths by falling
 * score. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "learn/logistic.h"
#include "learn/report_int.h"
#include "learn/uplift.h"

#define LEARNER_C 1.0 /* scikit-learn's default */

struct input {
    struct table *table;
    int treatment, outcome;
    size_t rows;   /* of both arms; other_arm more stand in the file */
    size_t *lines; /* the file's row of each */
    uint8_t *treated, *outcomes;
    size_t other_arm;
    size_t features;
    double *points; /* rows of features, for the learner */
    size_t *train, train_count;
    double *scores;
};

/* --- arms and outcome ------------------------------------------------------------------------- */

enum arm { ARM_CONTROL, ARM_TREATED, ARM_OTHER, ARM_UNKNOWN };

static bool is_any(struct str text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq_nocase(text, str_of(words[i])))
            return true;
    return false;
}

static enum arm arm_of(struct str text, const struct uplift_report_options *options)
{
    static const char *const treated[] = {"1", "1.0", "true", "yes", "treated", "treatment"};
    static const char *const control[] = {"0", "0.0", "false", "no", "control"};
    struct str treated_is = str_of(options->treated_is), control_is = str_of(options->control_is);
    text = str_trim(text);
    if (treated_is.n > 0 && str_eq(text, treated_is))
        return ARM_TREATED;
    if (control_is.n > 0 && str_eq(text, control_is))
        return ARM_CONTROL;
    if (treated_is.n > 0)
        return control_is.n > 0 ? ARM_OTHER : ARM_CONTROL;
    if (is_any(text, treated, sizeof treated / sizeof *treated))
        return ARM_TREATED;
    if (control_is.n == 0 && is_any(text, control, sizeof control / sizeof *control))
        return ARM_CONTROL;
    return ARM_UNKNOWN;
}

static enum status column_find(const struct table *table, const char *role, const char *name,
                               const char *usual, int *ret_column, struct err *err)
{
    if (name != NULL && name[0] != '\0')
        return report_column(table, str_of(name), ret_column, err);
    return table_find(table, role, usual, true, ret_column, err);
}

static enum status arms_read(struct input *input, const struct uplift_report_options *options,
                             struct err *err)
{
    size_t all = table_rows(input->table);
    double *outcomes;
    enum status status =
        table_numbers(input->table, input->outcome, TABLE_EMPTY_REFUSED, 0, &outcomes, err);
    if (status != ST_OK)
        return status;
    input->lines = mem_alloc((all + 1) * sizeof *input->lines);
    input->treated = mem_alloc(all + 1);
    input->outcomes = mem_alloc(all + 1);
    for (size_t row = 0; row < all && status == ST_OK; row++) {
        enum arm arm = arm_of(table_cell(input->table, row, input->treatment), options);
        if (arm == ARM_UNKNOWN) {
            table_bad(input->table, row, input->treatment, err, "says neither treated nor control");
            status =
                err_hint(err, ST_INVALID, "Say which text is which: --treated TEXT --control TEXT");
        } else if (arm == ARM_OTHER) {
            input->other_arm++;
        } else {
            input->lines[input->rows] = row;
            input->treated[input->rows] = arm == ARM_TREATED;
            input->outcomes[input->rows++] = outcomes[row] > 0;
        }
    }
    free(outcomes);
    return status;
}

/* --- features --------------------------------------------------------------------------------- */

/* One feature of the learner: a column of numbers, or one text of a column of texts. */
struct feature {
    double *values;  /* by the file's row; NULL for a text */
    uint32_t *codes; /* by the file's row; owned by the first text's feature */
    uint32_t code;
};

struct features {
    struct feature *list;
    size_t count, capacity;
};

static void features_done(struct features *features)
{
    for (size_t i = 0; i < features->count; i++) {
        free(features->list[i].values);
        if (features->list[i].code == 0)
            free(features->list[i].codes);
    }
    free(features->list);
}

static void feature_add(struct features *features, struct feature feature)
{
    if (features->count == features->capacity) {
        features->capacity = features->capacity * 2 + 16;
        features->list = mem_grow(features->list, features->capacity * sizeof *features->list);
    }
    features->list[features->count++] = feature;
}

static enum status feature_read(const struct table *table, int column, struct features *features,
                                struct err *err)
{
    double number;
    struct feature feature = {0};
    struct str *texts;
    size_t texts_count;
    if (table_rows(table) > 0 && report_number(table_cell(table, 0, column), &number)) {
        enum status status =
            table_numbers(table, column, TABLE_EMPTY_REFUSED, -INFINITY, &feature.values, err);
        if (status == ST_OK)
            feature_add(features, feature);
        return status;
    }
    enum status status = table_codes(table, column, &feature.codes, &texts, &texts_count, err);
    if (status != ST_OK)
        return status;
    free(texts);
    if (features->count + texts_count > LOGISTIC_FEATURES_MAX) {
        free(feature.codes);
        return err_set(err, ST_TOO_LARGE,
                       "could not learn: with the %zu texts of " STR_FMT
                       " there are more than %d features",
                       texts_count, STR_ARG(table_name(table, column)), LOGISTIC_FEATURES_MAX);
    }
    for (; feature.code < texts_count; feature.code++)
        feature_add(features, feature);
    if (texts_count == 0)
        free(feature.codes);
    return ST_OK;
}

/* z-score a feature by the rows learnt from; one that never varies there becomes 0. */
static void feature_scale(struct input *input, size_t feature)
{
    double sum = 0, squares = 0, count = (double)input->train_count;
    for (size_t i = 0; i < input->train_count; i++)
        sum += input->points[input->train[i] * input->features + feature];
    for (size_t i = 0; i < input->train_count; i++) {
        double gap = input->points[input->train[i] * input->features + feature] - sum / count;
        squares += gap * gap;
    }
    double deviation = sqrt(squares / count);
    for (size_t i = 0; i < input->rows; i++) {
        double *value = &input->points[i * input->features + feature];
        *value = deviation > 0 ? (*value - sum / count) / deviation : 0;
    }
}

static void points_fill(struct input *input, const struct features *features)
{
    input->features = features->count;
    input->points = mem_alloc((input->rows * features->count + 1) * sizeof(double));
    for (size_t j = 0; j < features->count; j++) {
        const struct feature *feature = &features->list[j];
        for (size_t i = 0; i < input->rows; i++)
            input->points[i * features->count + j] =
                feature->values != NULL ? feature->values[input->lines[i]]
                                        : feature->codes[input->lines[i]] == feature->code;
        if (feature->values != NULL)
            feature_scale(input, j);
    }
}

static enum status learn(struct input *input, const char *names, struct err *err)
{
    struct features features = {0};
    struct str list = str_of(names), name;
    enum status status = ST_OK;
    input->train = mem_alloc((input->rows + 1) * sizeof *input->train);
    for (size_t i = 0; i < input->rows; i++)
        if (input->lines[i] % 2 == 0)
            input->train[input->train_count++] = i;
    while (status == ST_OK && report_next(&list, &name)) {
        int column = -1;
        status = report_column(input->table, name, &column, err);
        if (status == ST_OK && (column == input->treatment || column == input->outcome))
            status = err_set(err, ST_INVALID,
                             "could not learn: " STR_FMT " is the treatment or the outcome",
                             STR_ARG(table_name(input->table, column)));
        if (status == ST_OK)
            status = feature_read(input->table, column, &features, err);
    }
    if (status == ST_OK) {
        points_fill(input, &features);
        status = uplift_t_learner(input->points, input->features, input->rows, input->treated,
                                  input->outcomes, input->train, input->train_count, LEARNER_C,
                                  input->scores, err);
    }
    features_done(&features);
    return status;
}

/* Drop the rows learnt from. */
static void keep_unseen(struct input *input)
{
    size_t kept = 0;
    for (size_t i = 0; i < input->rows; i++) {
        if (input->lines[i] % 2 == 0)
            continue;
        input->scores[kept] = input->scores[i];
        input->treated[kept] = input->treated[i];
        input->outcomes[kept++] = input->outcomes[i];
    }
    input->rows = kept;
}

static enum status score_read(struct input *input, const char *name, struct err *err)
{
    int column = -1;
    double *values;
    enum status status = report_column(input->table, str_of(name), &column, err);
    if (status == ST_OK)
        status = table_numbers(input->table, column, TABLE_EMPTY_REFUSED, -INFINITY, &values, err);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < input->rows; i++)
        input->scores[i] = values[input->lines[i]];
    free(values);
    return ST_OK;
}

/* --- the object ------------------------------------------------------------------------------- */

static void tenths_put(struct buf *json, const struct uplift_figures *figures)
{
    json_put_member_str(json, "bars", STR("uplift"));
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t t = 0; t < UPLIFT_TENTHS; t++) {
        const struct uplift_tenth *tenth = &figures->tenths[t];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "tenth", t + 1);
        json_put_member_uint(json, "treated", tenth->treated);
        json_put_member_uint(json, "control", tenth->control);
        json_put_member_number(json, "treated_rate", tenth->treated_rate);
        json_put_member_number(json, "control_rate", tenth->control_rate);
        json_put_member_number(json, "uplift", tenth->uplift);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void object_put(struct buf *json, const struct input *input, bool learnt, double k,
                       const struct uplift_figures *figures)
{
    static const char *const reasons[] = {"other_arm"};
    report_begin(json, "uplift");
    json_put_member_str(json, "method", learnt ? STR("t_learner") : STR("own_score"));
    json_put_member_uint(json, "row_count", input->rows);
    json_put_member_uint(json, "train_rows", input->train_count);
    json_put_member_uint(json, "treated", figures->treated);
    json_put_member_uint(json, "control", figures->control);
    json_put_member_number(json, "treated_rate", figures->treated_rate);
    json_put_member_number(json, "control_rate", figures->control_rate);
    json_put_member_number(json, "effect", figures->effect);
    json_put_member_number(json, "score_mean", figures->score_mean);
    json_put_member_number(json, "qini", figures->qini);
    json_put_member_number(json, "auuc", figures->auuc);
    json_put_member_number(json, "top_share", k);
    json_put_member_number(json, "uplift_at_k_overall", figures->at_k_overall);
    json_put_member_number(json, "uplift_at_k_by_group", figures->at_k_by_group);
    tenths_put(json, figures);
    report_left_out(json, reasons, &input->other_arm, 1);
}

/* --- the report ------------------------------------------------------------------------------- */

static enum status input_read(struct input *input, const struct uplift_report_options *options,
                              struct err *err)
{
    struct table_options file = {options->path, options->delimiter, options->columns};
    enum status status = table_read(&file, &input->table, err);
    if (status == ST_OK)
        status = column_find(input->table, "treatment", options->treatment,
                             "treatment|treated|group|variant|arm", &input->treatment, err);
    if (status == ST_OK)
        status =
            column_find(input->table, "outcome", options->outcome,
                        "outcome|converted|conversion|response|target|y", &input->outcome, err);
    return status == ST_OK ? arms_read(input, options, err) : status;
}

static void input_done(struct input *input)
{
    free(input->lines);
    free(input->treated);
    free(input->outcomes);
    free(input->points);
    free(input->train);
    free(input->scores);
    if (input->table != NULL)
        table_free(input->table);
}

enum status uplift_report(const struct uplift_report_options *options, struct buf *json,
                          struct err *err)
{
    int64_t start_us = monotonic_us();
    struct input input = {.treatment = -1, .outcome = -1};
    struct uplift_figures figures;
    bool own = options->score != NULL && options->score[0] != '\0';
    bool learnt = options->features != NULL && options->features[0] != '\0';
    if (own == learnt)
        return err_set(err, ST_INVALID,
                       "could not measure uplift: one of --score COLUMN and --features A,B is "
                       "needed");
    enum status status = input_read(&input, options, err);
    if (status == ST_OK) {
        input.scores = mem_alloc((input.rows + 1) * sizeof *input.scores);
        status =
            own ? score_read(&input, options->score, err) : learn(&input, options->features, err);
    }
    if (status == ST_OK && learnt)
        keep_unseen(&input);
    if (status == ST_OK)
        status = uplift_measure(input.scores, input.treated, input.outcomes, input.rows, options->k,
                                &figures, err);
    if (status == ST_OK) {
        object_put(json, &input, learnt, options->k, &figures);
        report_end(json, start_us);
    }
    input_done(&input);
    return status;
}
