/* experiment_read.c - the arms of an experiment from rows, from counts or from sums.
 *
 * Rows: means first, then the products of deviations from them, so that revenue in millions keeps
 * its variance. A metric of nothing but 0 and 1 (and such a covariate) is a proportion.
 * Counts: units and conversions per variation.
 * Sums (--stats): CSV with these columns or a JSON array of objects with these members, one per
 * variation: variation, type (mean or proportion), n, sum, sum_squares, and for the other series
 * denominator_sum, denominator_sum_squares, covariate_…, covariate_denominator_…, and the sums of
 * products metric_denominator_products, metric_covariate_products and so on. What a series needs
 * and is not there is an error, as is what no data can give: more conversions than units, a sum of
 * squares below sum²/n. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/disk.h"
#include "base/json.h"
#include "learn/experiment_int.h"
#include "table/table.h"

#define STATS_BYTES_MAX ((size_t)16 << 20)

enum { SERIES = EXPERIMENT_SERIES };

static const char *const series_names[SERIES] = {"metric", "denominator", "covariate",
                                                 "covariate_denominator"};

/* --- words and numbers ------------------------------------------------------------------------ */

enum status experiment_word(const char *option, const char *word, const char *words, int *ret_at,
                            struct err *err)
{
    struct str left = str_of(words);
    int at = 0;
    if (word == NULL || word[0] == '\0') {
        *ret_at = 0;
        return ST_OK;
    }
    for (;; at++) {
        const char *end = memchr(left.p, '|', left.n);
        size_t n = end == NULL ? left.n : (size_t)(end - left.p);
        if (str_is((struct str){left.p, n}, word)) {
            *ret_at = at;
            return ST_OK;
        }
        if (end == NULL)
            break;
        left = (struct str){end + 1, left.n - n - 1};
    }
    return err_set(err, ST_INVALID, "--%s %s: not one of %s", option, word, words);
}

bool experiment_number(struct str text, double *ret_value)
{
    char copy[64], *end;
    text = str_trim(text);
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *ret_value = strtod(copy, &end);
    return *end == '\0' && isfinite(*ret_value);
}

/* The text up to `mark`, which with what is before it leaves *left. */
static struct str cut(struct str *left, char mark)
{
    const char *end = left->n == 0 ? NULL : memchr(left->p, mark, left->n);
    struct str head = {left->p, end == NULL ? left->n : (size_t)(end - left->p)};
    *left = end == NULL ? (struct str){left->p + left->n, 0}
                        : (struct str){end + 1, left->n - head.n - 1};
    return head;
}

/* --- the input -------------------------------------------------------------------------------- */

void experiment_input_init(struct experiment_input *input)
{
    *input = (struct experiment_input){0};
    arena_init(&input->arena);
    input->names = mem_zero(EXPERIMENT_ARMS_MAX * sizeof *input->names);
    input->arms = mem_zero(EXPERIMENT_ARMS_MAX * sizeof *input->arms);
}

void experiment_input_done(struct experiment_input *input)
{
    free(input->names);
    free(input->arms);
    arena_done(&input->arena);
}

size_t experiment_input_find(const struct experiment_input *input, struct str name)
{
    size_t i = 0;
    while (i < input->count && !str_eq(input->names[i], name))
        i++;
    return i;
}

static enum status arm_add(struct experiment_input *input, struct str name, struct err *err)
{
    if (name.n == 0)
        return err_set(err, ST_INVALID, "a variation without a name");
    if (experiment_input_find(input, name) < input->count)
        return err_set(err, ST_INVALID, "variation " STR_FMT " is there twice", STR_ARG(name));
    if (input->count == EXPERIMENT_ARMS_MAX)
        return err_set(err, ST_INVALID, "more than %d variations", EXPERIMENT_ARMS_MAX);
    input->names[input->count++] = arena_copy(&input->arena, name);
    return ST_OK;
}

/* --- counts ----------------------------------------------------------------------------------- */

static enum status counts_read(const char *counts, struct experiment_input *input, struct err *err)
{
    struct str left = str_of(counts);
    input->shape.proportion = true;
    while (left.n > 0) {
        struct str item = cut(&left, ','), rest = item;
        struct str name = str_trim(cut(&rest, '=')), units = cut(&rest, ':');
        double n, hits;
        if (!experiment_number(units, &n) || !experiment_number(rest, &hits))
            return err_set(err, ST_INVALID, "--counts " STR_FMT ": not NAME=UNITS:CONVERSIONS",
                           STR_ARG(item));
        if (n < 0 || hits < 0 || n != floor(n) || hits != floor(hits))
            return err_set(err, ST_INVALID,
                           "--counts " STR_FMT ": counts are whole and not below 0", STR_ARG(item));
        if (hits > n)
            return err_set(err, ST_INVALID, "--counts " STR_FMT ": more conversions than units",
                           STR_ARG(item));
        enum status status = arm_add(input, name, err);
        if (status != ST_OK)
            return status;
        input->arms[input->count - 1] = experiment_arm_of_counts(n, hits);
    }
    return ST_OK;
}

/* --- rows ------------------------------------------------------------------------------------- */

struct rows {
    struct table *table;
    size_t count;
    uint32_t *codes;
    struct str *texts;
    size_t texts_count;
    double *values[SERIES]; /* NULL: not there */
};

static void rows_done(struct rows *rows)
{
    for (int i = 0; i < SERIES; i++)
        free(rows->values[i]);
    free(rows->codes);
    free(rows->texts);
    table_free(rows->table);
}

static enum status rows_open(const struct experiment_report_options *options, struct rows *rows,
                             struct err *err)
{
    static const char *const usual[SERIES] = {
        "metric|value|outcome|converted|conversion|y|revenue|amount", "denominator|den",
        "covariate|pre|pre_metric|before", "covariate_denominator|pre_denominator"};
    struct table_options where = {
        .path = options->data, .delimiter = options->delimiter, .columns = options->columns};
    int column;
    enum status status = table_read(&where, &rows->table, err);
    if (status == ST_OK)
        status = table_find(rows->table, "variation",
                            "variation|variant|group|arm|treatment|bucket|experiment_group", true,
                            &column, err);
    if (status == ST_OK)
        status =
            table_codes(rows->table, column, &rows->codes, &rows->texts, &rows->texts_count, err);
    for (int i = 0; i < SERIES && status == ST_OK; i++) {
        bool must = i == EXPERIMENT_METRIC || (i == EXPERIMENT_COVARIATE && options->cuped);
        if (i >= EXPERIMENT_COVARIATE && !options->cuped)
            break;
        status = table_find(rows->table, series_names[i], usual[i], must, &column, err);
        if (status == ST_OK && column >= 0)
            status = table_numbers(rows->table, column, TABLE_EMPTY_REFUSED, -INFINITY,
                                   &rows->values[i], err);
    }
    rows->count = status == ST_OK ? table_rows(rows->table) : 0;
    return status;
}

static bool is_binary(const double *values, size_t count)
{
    for (size_t i = 0; values != NULL && i < count; i++)
        if (values[i] != 0 && values[i] != 1)
            return false;
    return true;
}

static void rows_sum(const struct rows *rows, const uint32_t *arm_of,
                     struct experiment_input *input)
{
    for (size_t r = 0; r < rows->count; r++) {
        if (arm_of[rows->codes[r]] == UINT32_MAX)
            continue;
        struct experiment_arm *arm = &input->arms[arm_of[rows->codes[r]]];
        arm->n += 1;
        for (int i = 0; i < SERIES; i++)
            if (rows->values[i] != NULL)
                arm->mean[i] += (rows->values[i][r] - arm->mean[i]) / arm->n;
    }
    for (size_t r = 0; r < rows->count; r++) {
        if (arm_of[rows->codes[r]] == UINT32_MAX)
            continue;
        struct experiment_arm *arm = &input->arms[arm_of[rows->codes[r]]];
        double deviation[SERIES];
        for (int i = 0; i < SERIES; i++)
            deviation[i] = rows->values[i] == NULL ? 0 : rows->values[i][r] - arm->mean[i];
        for (int i = 0; i < SERIES; i++)
            for (int j = 0; j <= i; j++)
                arm->cov[i][j] += deviation[i] * deviation[j];
    }
}

static void rows_finish(const struct rows *rows, struct experiment_input *input)
{
    for (size_t a = 0; a < input->count; a++) {
        struct experiment_arm *arm = &input->arms[a];
        double divisor = input->shape.proportion ? arm->n : arm->n - 1;
        for (int i = 0; i < SERIES; i++)
            for (int j = 0; j <= i; j++)
                arm->cov[i][j] = arm->cov[j][i] = divisor > 0 ? arm->cov[i][j] / divisor : 0;
        for (int i = EXPERIMENT_DENOMINATOR; i < SERIES; i += 2)
            if (rows->values[i] == NULL)
                arm->mean[i] = 1;
    }
}

static enum status rows_read(const struct experiment_report_options *options,
                             struct experiment_input *input, struct err *err)
{
    struct rows rows = {0};
    enum status status = rows_open(options, &rows, err);
    uint32_t *arm_of = mem_zero((rows.texts_count + 1) * sizeof *arm_of);
    for (size_t i = 0; i < rows.texts_count && status == ST_OK; i++) {
        arm_of[i] = str_trim(rows.texts[i]).n == 0 ? UINT32_MAX : (uint32_t)input->count;
        if (arm_of[i] != UINT32_MAX)
            status = arm_add(input, rows.texts[i], err);
    }
    if (status == ST_OK) {
        double *const *values = rows.values;
        input->shape.ratio = values[EXPERIMENT_DENOMINATOR] != NULL;
        input->shape.cuped = options->cuped;
        input->shape.proportion = !input->shape.ratio && rows.count > 0 &&
                                  is_binary(values[EXPERIMENT_METRIC], rows.count) &&
                                  is_binary(values[EXPERIMENT_COVARIATE], rows.count);
        rows_sum(&rows, arm_of, input);
        rows_finish(&rows, input);
        for (size_t r = 0; r < rows.count; r++)
            input->no_variation += arm_of[rows.codes[r]] == UINT32_MAX;
    }
    free(arm_of);
    rows_done(&rows);
    return status;
}

/* --- sums ------------------------------------------------------------------------------------- */

/* A field of a variation: NAN when it is not there. */
struct sums_source {
    struct table *table;
    size_t row;
    yyjson_val *object;
};

static enum status field_get(const struct sums_source *source, const char *name, double *ret_value,
                             struct err *err)
{
    int column = -1;
    *ret_value = NAN;
    if (source->object != NULL) {
        yyjson_val *value = yyjson_obj_get(source->object, name);
        if (value != NULL && !yyjson_is_num(value))
            return err_set(err, ST_INVALID, "member %s is no number", name);
        if (value != NULL)
            *ret_value = yyjson_get_num(value);
        return ST_OK;
    }
    enum status status = table_find(source->table, name, name, false, &column, err);
    if (status != ST_OK || column < 0)
        return status;
    struct str cell = str_trim(table_cell(source->table, source->row, column));
    if (cell.n > 0 && !experiment_number(cell, ret_value))
        return table_bad(source->table, source->row, column, err, "not a number");
    return ST_OK;
}

static struct str text_get(const struct sums_source *source, const char *name)
{
    struct err ignored;
    int column = -1;
    if (source->object != NULL)
        return json_member_str(source->object, name);
    if (table_find(source->table, name, name, false, &column, &ignored) != ST_OK || column < 0)
        return STR("");
    return str_trim(table_cell(source->table, source->row, column));
}

static enum status field_must(const struct sums_source *source, const char *name, double *ret_value,
                              struct err *err)
{
    enum status status = field_get(source, name, ret_value, err);
    if (status == ST_OK && isnan(*ret_value))
        return err_set(err, ST_INVALID, "%s is missing", name);
    return status;
}

/* What no units can have. */
static enum status sums_check(const struct experiment_sums *sums,
                              const struct experiment_shape *shape, struct err *err)
{
    double n = sums->n;
    if (!(n >= 0))
        return err_set(err, ST_INVALID, "n is %g", n);
    if (shape->proportion && !(sums->sum[0] >= 0 && sums->sum[0] <= n))
        return err_set(err, ST_INVALID, "sum is %g of %g units: no proportion", sums->sum[0], n);
    for (int i = 0; i < SERIES; i++) {
        double least = n > 0 ? sums->sum[i] * sums->sum[i] / n : 0;
        if (sums->product[i][i] < least * (1 - 1e-9))
            return err_set(err, ST_INVALID, "%s: sum of squares %g is less than sum²/n = %g",
                           series_names[i], sums->product[i][i], least);
    }
    return ST_OK;
}

static enum status sums_get(const struct sums_source *source, const struct experiment_shape *shape,
                            struct experiment_sums *sums, struct err *err)
{
    bool used[SERIES] = {true, shape->ratio, shape->cuped, shape->ratio && shape->cuped};
    char name[96];
    enum status status = field_must(source, "n", &sums->n, err);
    for (int i = 0; i < SERIES && status == ST_OK; i++) {
        const char *prefix = i == 0 ? "" : series_names[i], *mark = i == 0 ? "" : "_";
        if (!used[i])
            continue;
        snprintf(name, sizeof name, "%s%ssum", prefix, mark);
        status = field_must(source, name, &sums->sum[i], err);
        snprintf(name, sizeof name, "%s%ssum_squares", prefix, mark);
        if (status == ST_OK && shape->proportion)
            sums->product[i][i] = sums->sum[i];
        else if (status == ST_OK)
            status = field_must(source, name, &sums->product[i][i], err);
        for (int j = 0; j < i && status == ST_OK; j++) {
            snprintf(name, sizeof name, "%s_%s_products", series_names[j], series_names[i]);
            if (used[j])
                status = field_must(source, name, &sums->product[j][i], err);
        }
    }
    return status == ST_OK ? sums_check(sums, shape, err) : status;
}

/* What the first variation has decides for all. */
static enum status shape_get(const struct sums_source *source, bool cuped,
                             struct experiment_shape *ret_shape, struct err *err)
{
    double squares = NAN, denominator = NAN;
    struct str type = text_get(source, "type");
    enum status status = field_get(source, "sum_squares", &squares, err);
    if (status == ST_OK)
        status = field_get(source, "denominator_sum", &denominator, err);
    if (status != ST_OK)
        return status;
    if (type.n > 0 && !str_is(type, "mean") && !str_is(type, "proportion"))
        return err_set(err, ST_INVALID, "type " STR_FMT ": not mean or proportion", STR_ARG(type));
    ret_shape->proportion = type.n > 0 ? str_is(type, "proportion") : isnan(squares);
    ret_shape->ratio = !isnan(denominator);
    ret_shape->cuped = cuped;
    return ST_OK;
}

static enum status variation_add(const struct sums_source *source, bool cuped,
                                 struct experiment_input *input, struct err *err)
{
    struct experiment_sums sums = {0};
    struct str name = text_get(source, "variation");
    struct err inner = {0};
    enum status status = ST_OK;
    if (input->count == 0)
        status = shape_get(source, cuped, &input->shape, &inner);
    if (status == ST_OK)
        status = arm_add(input, name, &inner);
    if (status == ST_OK)
        status = sums_get(source, &input->shape, &sums, &inner);
    if (status != ST_OK)
        return err_set(err, status, "--stats, variation " STR_FMT ": %s",
                       (int)(name.n < 60 ? name.n : 60), name.n == 0 ? "" : name.p, inner.message);
    input->arms[input->count - 1] = experiment_arm_of_sums(&sums, &input->shape);
    return ST_OK;
}

static enum status json_sums_read(struct str text, bool cuped, struct experiment_input *input,
                                  struct err *err)
{
    yyjson_doc *doc = NULL;
    yyjson_val *object;
    size_t i, count;
    enum status status = json_parse(NULL, text, &doc, err);
    if (status != ST_OK)
        return status;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_arr(root))
        status = err_set(err, ST_INVALID, "--stats: not an array of objects");
    yyjson_arr_foreach(root, i, count, object)
    {
        struct sums_source source = {.object = object};
        if (status == ST_OK && !yyjson_is_obj(object))
            status = err_set(err, ST_INVALID, "--stats: not an array of objects");
        if (status == ST_OK)
            status = variation_add(&source, cuped, input, err);
    }
    yyjson_doc_free(doc);
    return status;
}

static enum status csv_sums_read(const struct experiment_report_options *options,
                                 struct experiment_input *input, struct err *err)
{
    struct table_options where = {
        .path = options->stats, .delimiter = options->delimiter, .columns = options->columns};
    struct sums_source source = {0};
    enum status status = table_read(&where, &source.table, err);
    for (; status == ST_OK && source.row < table_rows(source.table); source.row++)
        status = variation_add(&source, options->cuped, input, err);
    table_free(source.table);
    return status;
}

static enum status stats_read(const struct experiment_report_options *options,
                              struct experiment_input *input, struct err *err)
{
    struct disk disk;
    char *bytes = NULL;
    size_t n = 0;
    disk_init(&disk);
    enum status status = disk_read_file(&disk, options->stats, STATS_BYTES_MAX, &bytes, &n, err);
    if (status != ST_OK)
        return status;
    struct str text = str_trim((struct str){bytes, n});
    if (text.n > 0 && text.p[0] == '[')
        status = json_sums_read(text, options->cuped, input, err);
    else
        status = csv_sums_read(options, input, err);
    free(bytes);
    return status;
}

enum status experiment_input_read(const struct experiment_report_options *options,
                                  struct experiment_input *input, struct err *err)
{
    enum status status;
    if (options->counts[0] != '\0')
        status = counts_read(options->counts, input, err);
    else if (options->stats[0] != '\0')
        status = stats_read(options, input, err);
    else
        status = rows_read(options, input, err);
    if (status == ST_OK && input->count < 2)
        return err_set(err, ST_INVALID, "could not compare: %zu variation%s, an experiment has two",
                       input->count, input->count == 1 ? "" : "s");
    return status;
}
