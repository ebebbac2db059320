/* sequence_report.c - who did it in this pattern, how often, and the first of them by name. */
#include "analytics/sequence_file_int.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/when.h"

/* What the people of the file say together, and the rows that are shown. */
struct answer {
    size_t people, matches, rows;
    struct buf text;
};

static void put_time(struct buf *json, int64_t time, bool is_plain)
{
    char text[28];
    json_put_comma(json);
    if (is_plain) {
        buf_fmt(json, "%lld", (long long)time);
        return;
    }
    when_format(time, text);
    json_put_str(json, str_of(text));
}

static void answer_add(struct answer *answer, const struct sequence_report_options *options,
                       const struct sequence_pattern *pattern, struct str person,
                       const struct sequence_event *events, size_t count,
                       struct sequence_scratch *scratch)
{
    size_t at[SEQUENCE_ACTIONS_MAX], n = 0;
    bool found = sequence_match(pattern, events, count, scratch);
    size_t matches = found ? sequence_count(pattern, events, count, scratch) : 0;
    answer->people += found;
    answer->matches += matches;
    if (answer->rows < options->examples)
        n = sequence_match_events(pattern, events, count, scratch, at);
    if (n == 0 && (!found || answer->rows >= options->examples))
        return;
    answer->rows++;
    json_put_comma(&answer->text);
    buf_char(&answer->text, '{');
    json_put_member_str(&answer->text, "person", person);
    json_put_member_uint(&answer->text, "matches", matches);
    json_put_name(&answer->text, "times");
    buf_char(&answer->text, '[');
    for (size_t i = 0; i < n; i++)
        put_time(&answer->text, events[at[i]].time, options->source.plain_time);
    buf_text(&answer->text, "]}");
}

static void put_report(const struct sequence_report_options *options,
                       const struct sequence_file *file, const struct answer *answer,
                       int64_t start_us, struct buf *json)
{
    buf_char(json, '{');
    json_put_member_str(json, "report", STR("sequence"));
    json_put_member_uint(json, "events", file->rows);
    json_put_member_uint(json, "people", file->people);
    json_put_member_str(json, "pattern", str_of(options->pattern));
    json_put_member_uint(json, "people_matching", answer->people);
    sequence_put_ratio(json, "rate", answer->people, file->people);
    json_put_member_uint(json, "matches", answer->matches);
    json_put_name(json, "rows");
    buf_char(json, '[');
    buf_str(json, buf_view(&answer->text));
    buf_char(json, ']');
    sequence_file_put_end(file, start_us, json);
    buf_char(json, '}');
}

#define EXAMPLES_BYTES_MAX ((size_t)1 << 30)

enum status sequence_report(const struct sequence_report_options *options, struct buf *json,
                            struct err *err)
{
    const struct sequence_source *source = &options->source;
    int64_t start_us = monotonic_us();
    struct sequence_pattern pattern;
    struct sequence_scratch scratch;
    struct sequence_file file;
    struct answer answer = {0};
    unsigned steps = (unsigned)(source->steps_count < SEQUENCE_STEPS_MAX ? source->steps_count
                                                                         : SEQUENCE_STEPS_MAX);
    if (source->steps_count == 0)
        return err_set(err, ST_INVALID, "a pattern needs --step NAME for each of its numbers");
    enum status status = sequence_pattern_parse(str_of(options->pattern), steps,
                                                sequence_file_unit(source), &pattern, err);
    if (status == ST_OK)
        status = sequence_file_open(source, false, &file, err);
    if (status != ST_OK)
        return status;
    sequence_scratch_init(&scratch);
    buf_init(&answer.text, EXAMPLES_BYTES_MAX);
    for (size_t u = 0; u < file.users_count; u++) {
        if (file.users[u].n > 0) /* a pattern may match a person who did none of the steps */
            answer_add(&answer, options, &pattern, file.users[u], file.events + file.starts[u],
                       file.starts[u + 1] - file.starts[u], &scratch);
    }
    put_report(options, &file, &answer, start_us, json);
    json->overflow = json->overflow || answer.text.overflow;
    buf_done(&answer.text);
    sequence_scratch_done(&scratch);
    sequence_file_close(&file);
    return ST_OK;
}
