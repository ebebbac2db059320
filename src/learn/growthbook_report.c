/* growthbook_report.c - a payload file evaluated for one person, written for an engineer who asks
 * why: each feature's value and source, each rule that was looked at and what became of it, each
 * experiment with the person's place on the line.
 *
 * All features are evaluated in one session, so that a sticky bucket made by the first is seen by
 * the next, as in an SDK. */
#include "learn/growthbook_report.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/disk.h"
#include "learn/growthbook.h"

#define ANSWER_BYTES_MAX ((size_t)256 << 20)

struct report {
    struct growthbook *book;
    yyjson_doc *attributes; /* of the command line, or NULL */
    struct growthbook_person person;
    struct arena arena;
    struct growthbook_session session;
    struct buf rows, experiments, results, runs;
};

/* --- reading ---------------------------------------------------------------------------------- */

static enum status book_read(const struct growthbook_report_options *options, struct report *report,
                             struct err *err)
{
    struct disk disk;
    struct err why = {0};
    char *text = NULL;
    size_t n = 0;
    disk_init(&disk);
    enum status status =
        disk_read_file(&disk, options->path, GROWTHBOOK_PAYLOAD_BYTES_MAX, &text, &n, err);
    if (status == ST_OK &&
        growthbook_open((struct str){text, n}, str_of(options->key), &report->book, &why) != ST_OK)
        status = err_set(err, why.status, "%.80s: %.140s", options->path, why.message);
    free(text);
    return status;
}

static enum status person_read(const struct growthbook_report_options *options,
                               struct report *report, struct err *err)
{
    struct growthbook_person *person = &report->person;
    struct err why = {0};
    *person = (struct growthbook_person){
        .attributes = growthbook_part(report->book, "attributes"),
        .url = json_str(growthbook_part(report->book, "url")),
        .forced_variations = growthbook_part(report->book, "forcedVariations"),
        .forced_values = growthbook_part(report->book, "forcedFeatureValues"),
        .sticky = growthbook_part(report->book, "stickyBucketAssignmentDocs"),
        .is_disabled = yyjson_is_false(growthbook_part(report->book, "enabled")),
        .is_qa = yyjson_is_true(growthbook_part(report->book, "qaMode"))};
    person->is_sticky = yyjson_is_obj(person->sticky);
    if (options->url[0] != '\0')
        person->url = str_of(options->url);
    if (options->attributes[0] == '\0')
        return ST_OK;
    if (json_parse(NULL, str_of(options->attributes), &report->attributes, &why) != ST_OK)
        return err_set(err, why.status, "--attributes: %s", why.message);
    person->attributes = yyjson_doc_get_root(report->attributes);
    if (!yyjson_is_obj(person->attributes))
        return err_set(err, ST_INVALID, "--attributes: not a JSON object, like '{\"id\":\"1\"}'");
    return ST_OK;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* A scalar as it is, anything else as its JSON in a text: a cell holds one value. */
static void put_cell(struct buf *out, const char *name, yyjson_val *value)
{
    struct buf text;
    json_put_name(out, name);
    if (value == NULL || !yyjson_is_ctn(value)) {
        if (value == NULL)
            buf_text(out, "null");
        else
            json_write(out, value);
        return;
    }
    buf_init(&text, ANSWER_BYTES_MAX);
    json_write(&text, value);
    json_put_str(out, buf_view(&text));
    buf_done(&text);
}

static void put_place(struct buf *out, const struct growthbook_result *result)
{
    json_put_member_int(out, "variation", result->variation);
    json_put_member_str(out, "variation_key", result->key);
    json_put_member_str(out, "hash_attribute", result->hash_attribute);
    put_cell(out, "hash_value", result->hash_value);
    if (result->hash_used)
        json_put_member_number(out, "bucket", result->bucket);
    else
        json_put_member_raw(out, "bucket", STR("null"));
    json_put_member_str(out, "why", str_of(growthbook_why_name(result->why)));
}

static void put_no_place(struct buf *out)
{
    static const char *const names[] = {
        "experiment", "variation", "variation_key", "hash_attribute", "hash_value",
        "bucket",     "why"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        json_put_member_raw(out, names[i], STR("null"));
}

static enum status feature_add(struct report *report, struct str key, bool is_full, struct err *err)
{
    struct growthbook_feature feature;
    struct buf *out = &report->rows;
    enum status status = growthbook_feature(&report->session, key, &feature, err);
    if (status != ST_OK)
        return status;
    json_put_comma(out);
    buf_char(out, '{');
    json_put_member_str(out, "feature_key", key);
    put_cell(out, "value", feature.value);
    json_put_member_str(out, "source", str_of(growthbook_source_name(feature.source)));
    if (feature.rule >= 0)
        json_put_member_int(out, "rule", feature.rule + 1);
    else
        json_put_member_raw(out, "rule", STR("null"));
    if (feature.experiment == NULL) {
        put_no_place(out);
    } else {
        json_put_member_str(out, "experiment", feature.experiment_key);
        put_place(out, &feature.result);
    }
    buf_char(out, '}');
    if (!is_full)
        return ST_OK;
    json_put_comma(&report->results);
    json_put_str(&report->results, key);
    buf_char(&report->results, ':');
    growthbook_put_feature(&report->results, &feature, key);
    return ST_OK;
}

static enum status features_add(const struct growthbook_report_options *options,
                                struct report *report, struct err *err)
{
    size_t i, count;
    yyjson_val *key, *value;
    enum status status = ST_OK;
    for (i = 0; i < options->features_count && status == ST_OK; i++)
        status = feature_add(report, str_of(options->features[i]), options->is_full, err);
    if (options->features_count > 0)
        return status;
    yyjson_obj_foreach(growthbook_part(report->book, "features"), i, count, key, value)
    {
        status = feature_add(report, json_str(key), options->is_full, err);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

static enum status experiment_add(struct report *report, yyjson_val *source, size_t number,
                                  bool is_full, struct err *err)
{
    struct growthbook_result result;
    struct err why = {0};
    struct buf *out = &report->experiments;
    enum status status = growthbook_run(&report->session, source, &result, &why);
    if (status != ST_OK)
        return err_set(err, status, "experiment %zu: %s", number, why.message);
    json_put_comma(out);
    buf_char(out, '{');
    json_put_member_str(out, "experiment", json_member_str(source, "key"));
    json_put_member_bool(out, "in_experiment", result.in_experiment);
    put_cell(out, "value", result.value);
    put_place(out, &result);
    buf_char(out, '}');
    if (!is_full)
        return ST_OK;
    json_put_comma(&report->runs);
    growthbook_put_result(&report->runs, &result, (struct str){NULL, 0});
    return ST_OK;
}

static enum status experiments_add(struct report *report, bool is_full, struct err *err)
{
    size_t i, count;
    yyjson_val *source;
    yyjson_arr_foreach(growthbook_part(report->book, "experiments"), i, count, source)
    {
        enum status status = experiment_add(report, source, i + 1, is_full, err);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

/* --- the object ------------------------------------------------------------------------------- */

static void put_list(struct buf *json, const char *name, const struct buf *items, char open)
{
    json_put_name(json, name);
    buf_char(json, open);
    buf_put(json, items->p, items->n);
    buf_char(json, open == '[' ? ']' : '}');
}

static void put_trace(struct buf *json, const struct growthbook_trace *trace)
{
    json_put_name(json, "trace");
    buf_char(json, '[');
    for (; trace != NULL; trace = trace->next) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "feature_key", trace->feature);
        json_put_member_uint(json, "rule", trace->rule + 1);
        json_put_member_str(json, "why", str_of(growthbook_why_name(trace->why)));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static enum status object_write(struct report *report, bool is_full, struct buf *json,
                                struct err *err)
{
    struct str url;
    yyjson_val *chosen;
    struct growthbook_result result;
    enum status status = growthbook_redirect(&report->session, &url, &chosen, &result, err);
    if (status != ST_OK)
        return status;
    buf_char(json, '{');
    json_put_member_str(json, "report", STR("feature"));
    if (chosen != NULL) {
        json_put_member_str(json, "redirect_experiment", json_member_str(chosen, "key"));
        json_put_member_str(json, "redirect_url", url);
    }
    put_list(json, "rows", &report->rows, '[');
    if (report->experiments.n > 0)
        put_list(json, "experiments", &report->experiments, '[');
    if (report->session.trace != NULL)
        put_trace(json, report->session.trace);
    if (is_full) {
        put_list(json, "results", &report->results, '{');
        put_list(json, "runs", &report->runs, '[');
        json_put_name(json, "sticky_buckets");
        growthbook_put_sticky(json, &report->session);
    }
    return ST_OK;
}

enum status growthbook_report(const struct growthbook_report_options *options, struct buf *json,
                              struct err *err)
{
    struct report report = {0};
    struct buf *const lists[] = {&report.rows, &report.experiments, &report.results, &report.runs};
    int64_t start = monotonic_us();
    arena_init(&report.arena);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        buf_init(lists[i], ANSWER_BYTES_MAX);
    enum status status = book_read(options, &report, err);
    if (status == ST_OK)
        status = person_read(options, &report, err);
    growthbook_begin(&report.session, report.book, &report.person, &report.arena);
    report.session.is_traced = true;
    if (status == ST_OK)
        status = features_add(options, &report, err);
    if (status == ST_OK)
        status = experiments_add(&report, options->is_full, err);
    if (status == ST_OK)
        status = object_write(&report, options->is_full, json, err);
    if (status == ST_OK) {
        json_put_member_number(json, "seconds", (double)(monotonic_us() - start) / 1e6);
        buf_char(json, '}');
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (status == ST_OK && lists[i]->overflow)
            status = err_set(err, ST_TOO_LARGE, "could not report: more than 256 MB of results");
        buf_done(lists[i]);
    }
    yyjson_doc_free(report.attributes);
    growthbook_close(report.book);
    arena_done(&report.arena);
    return status;
}
