/* report_live.c - a question from options.
 *
 * What options cannot say stands in --question, JSON as the API takes it; an option replaces the
 * member of its name there. What a name or a number may be is not known here: the server says. */
#include "app/report_live.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/remote.h"
#include "app/report.h"
#include "app/report_wait.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/json.h"
#include "base/rng.h"

#define QUESTION_BYTES_MAX ((size_t)1 << 20)
#define ANSWER_BYTES_MAX ((size_t)256 << 20)
#define MEMBERS_MAX 32

/* --- which commands --------------------------------------------------------------------------- */

bool report_is_live(const struct options *options)
{
    bool always;
    if (!command_is_live(options->command, &always))
        return false;
    static const enum option files[] = {OPTION_PATHS,     OPTION_EVENTS, OPTION_TRANSACTIONS,
                                        OPTION_CUSTOMERS, OPTION_INPUT,  OPTION_SURVIVORS};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (!always && option_is_set(options, files[i]))
            return false;
    return true;
}

/* The member that --event is of, and that of several. */
static const char *event_member(enum command command, size_t count)
{
    if (command == COMMAND_REPORT_ATTRIBUTION)
        return "conversion";
    if (command == COMMAND_LIVE_COHORT || command == COMMAND_LIVE_WEEKLY ||
        command == COMMAND_REPORT_RFM || command == COMMAND_REPORT_KMEANS ||
        command == COMMAND_REPORT_CLV)
        return "order";
    return count > 1 ? "events" : "event";
}

/* --- writing ---------------------------------------------------------------------------------- */

struct question {
    struct buf *json;
    const char *names[MEMBERS_MAX]; /* that options gave */
    size_t count;
};

static void put_name(struct question *question, const char *name)
{
    question->names[question->count++] = name;
    json_put_name(question->json, name);
}

static void put_text(struct question *question, const char *name, const char *text)
{
    put_name(question, name);
    json_put_str(question->json, str_of(text));
}

/* A number as one, all else as a text. */
static void put_value(struct buf *json, struct str text)
{
    yyjson_doc *doc = NULL;
    struct err ignored;
    bool is_number = text.n > 0 && json_parse(NULL, text, &doc, &ignored) == ST_OK &&
                     yyjson_is_num(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    if (is_number)
        buf_str(json, text);
    else
        json_put_str(json, text);
}

/* "a, b" as a list. */
static void put_values(struct buf *json, struct str text)
{
    buf_char(json, '[');
    while (text.n > 0) {
        const char *comma = memchr(text.p, ',', text.n);
        size_t n = comma == NULL ? text.n : (size_t)(comma - text.p);
        json_put_comma(json);
        put_value(json, str_trim((struct str){text.p, n}));
        n += comma != NULL;
        text = (struct str){text.p + n, text.n - n};
    }
    buf_char(json, ']');
}

/* Where the operator stands in "price >= 10"; n = 0: nowhere. */
static struct str operator_find(struct str text)
{
    static const char *const operators[] = {"!=", "<=",         ">=",   "=",      "<",
                                            ">",  " contains ", " in ", " exists"};
    struct str found = {NULL, 0};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        struct str one = str_of(operators[i]);
        const char *at = memmem(text.p, text.n, one.p, one.n);
        if (at != NULL && (found.p == NULL || at < found.p))
            found = (struct str){at, one.n};
    }
    return found;
}

static enum status condition_put(struct buf *json, struct str text, struct err *err)
{
    struct str operator= operator_find(text);
    if (operator.n == 0 || operator.p == text.p) {
        err_set(err, ST_INVALID, "%s: \"" STR_FMT "\" is no condition", option_name(OPTION_WHERE),
                STR_ARG(text));
        return err_hint(err, ST_INVALID,
                        "\"NAME op VALUE\", op: = != < <= > >= contains in exists");
    }
    struct str name = str_trim((struct str){text.p, (size_t)(operator.p - text.p)});
    struct str op = str_trim(operator);
    size_t used = (size_t)(operator.p - text.p) + operator.n;
    struct str value = str_trim((struct str){text.p + used, text.n - used});
    json_put_comma(json);
    buf_char(json, '{');
    if (str_is(name, "channel") || str_is(name, "campaign"))
        json_put_member_bool(json, str_is(name, "channel") ? "channel" : "campaign", true);
    else
        json_put_member_str(json, "property", name);
    json_put_member_str(json, "op", op);
    if (!str_is(op, "exists")) {
        json_put_name(json, "value");
        if (str_is(op, "in"))
            put_values(json, value);
        else
            put_value(json, value);
    }
    buf_char(json, '}');
    return ST_OK;
}

/* The text before `word`, and *rest what is behind it; all when it is not there. */
static struct str split(struct str text, const char *word, struct str *rest)
{
    struct str w = str_of(word);
    const char *at = text.n == 0 ? NULL : memmem(text.p, text.n, w.p, w.n);
    if (at == NULL) {
        *rest = (struct str){NULL, 0};
        return text;
    }
    size_t n = (size_t)(at - text.p);
    *rest = (struct str){at + w.n, text.n - n - w.n};
    return (struct str){text.p, n};
}

/* "NAME where A>=1 and B=x" as an event. */
static enum status event_put(struct buf *json, const char *text, struct err *err)
{
    struct str rest, name = str_trim(split(str_of(text), " where ", &rest));
    enum status status = ST_OK;
    if (rest.n == 0) {
        json_put_str(json, name);
        return ST_OK;
    }
    buf_char(json, '{');
    json_put_member_str(json, "event", name);
    json_put_name(json, "where");
    buf_char(json, '[');
    while (rest.n > 0 && status == ST_OK) {
        struct str next, one = split(rest, " and ", &next);
        status = condition_put(json, str_trim(one), err);
        rest = next;
    }
    buf_text(json, "]}");
    return status;
}

static enum status events_put(struct question *question, const char *name, enum option option,
                              const struct options *options, bool as_list, struct err *err)
{
    const char *const *values = NULL;
    size_t count = option_list(options, option, &values);
    enum status status = ST_OK;
    if (count == 0)
        return ST_OK;
    put_name(question, name);
    if (as_list)
        buf_char(question->json, '[');
    for (size_t i = 0; i < (as_list ? count : 1) && status == ST_OK; i++) {
        if (i > 0)
            buf_char(question->json, ',');
        status = event_put(question->json, values[i], err);
    }
    if (as_list)
        buf_char(question->json, ']');
    return status;
}

static enum status where_put(struct question *question, const struct options *options,
                             struct err *err)
{
    const char *const *values = NULL;
    size_t count = option_list(options, OPTION_WHERE, &values);
    enum status status = ST_OK;
    if (count == 0)
        return ST_OK;
    put_name(question, "where");
    buf_char(question->json, '[');
    for (size_t i = 0; i < count && status == ST_OK; i++)
        status = condition_put(question->json, str_trim(str_of(values[i])), err);
    buf_char(question->json, ']');
    return status;
}

static void breakdown_put(struct question *question, const struct options *options)
{
    const char *by = option_text(options, OPTION_BREAKDOWN);
    if (by[0] == '\0')
        return;
    bool is_property = strcmp(by, "channel") != 0 && strcmp(by, "campaign") != 0;
    put_name(question, "breakdown");
    buf_char(question->json, '{');
    json_put_member_str(question->json, "by", str_of(is_property ? "property" : by));
    if (is_property)
        json_put_member_str(question->json, "property", str_of(by));
    if (option_is_set(options, OPTION_TOP))
        json_put_member_int(question->json, "top", option_number(options, OPTION_TOP));
    buf_char(question->json, '}');
}

static void put_whole(struct question *question, const struct options *options, enum option option,
                      const char *name)
{
    put_name(question, name);
    buf_fmt(question->json, "%lld", option_number(options, option));
}

/* Options that are a text or a whole number of the question. */
static void texts_put(struct question *question, const struct options *options)
{
    static const struct {
        enum option option;
        const char *member;
    } texts[] = {
        {OPTION_FROM, "from"},     {OPTION_TO, "to"},           {OPTION_ZONE, "zone"},
        {OPTION_UNIT, "unit"},     {OPTION_MEASURE, "measure"}, {OPTION_PROPERTY, "property"},
        {OPTION_WINDOW, "window"}, {OPTION_PATTERN, "pattern"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (option_is_given(options, texts[i].option))
            put_text(question, texts[i].member, option_text(options, texts[i].option));
    if (option_is_set(options, OPTION_COMPARE))
        put_text(question, "compare", "previous");
    if (option_is_given(options, OPTION_PERIODS))
        put_whole(question, options, OPTION_PERIODS, "periods");
    bool usual = options->command == COMMAND_REPORT_SEQUENCE &&
                 !option_is_set(options, OPTION_QUESTION); /* as on files */
    if (usual || option_is_given(options, OPTION_EXAMPLES))
        put_whole(question, options, OPTION_EXAMPLES, "examples");
}

static void attribution_put(struct question *question, const struct options *options)
{
    const char *order = option_text(options, OPTION_ORDER);
    if (option_is_set(options, OPTION_MODEL)) {
        put_name(question, "models");
        put_values(question->json, str_of(option_text(options, OPTION_MODEL)));
    }
    if (option_is_given(options, OPTION_BY))
        put_text(question, "by", option_text(options, OPTION_BY));
    if (option_is_set(options, OPTION_DATA_DRIVEN)) {
        put_name(question, "data_driven");
        buf_text(question->json, "true");
    }
    if (option_is_given(options, OPTION_ORDER)) {
        put_name(question, "order");
        put_value(question->json, str_of(order));
    }
    if (option_is_given(options, OPTION_HALF_LIFE)) {
        put_name(question, "half_life");
        buf_fmt(question->json, "%lld",
                (long long)(option_duration_us(options, OPTION_HALF_LIFE) / US_PER_S));
    }
    if (option_is_given(options, OPTION_WEIGHTS)) {
        put_name(question, "position");
        put_values(question->json, str_of(option_text(options, OPTION_WEIGHTS)));
    }
}

/* rfm, kmeans, clv, weekly. */
static void customers_put(struct question *question, const struct options *options)
{
    static const struct {
        enum option option;
        const char *member;
    } numbers[] = {
        {OPTION_K, "k"},           {OPTION_SEED, "seed"},       {OPTION_BINS, "bins"},
        {OPTION_CUT_STEP, "step"}, {OPTION_HORIZON, "horizon"}, {OPTION_DISCOUNT, "discount"}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (option_is_given(options, numbers[i].option)) {
            put_name(question, numbers[i].member);
            put_value(question->json, str_of(option_text(options, numbers[i].option)));
        }
    if (option_is_set(options, OPTION_CLEAN)) {
        put_name(question, "clean");
        buf_text(question->json, "true");
    }
    if (options->command == COMMAND_REPORT_CLV && option_is_given(options, OPTION_MODEL))
        put_text(question, "model", option_text(options, OPTION_MODEL));
    if (options->command == COMMAND_LIVE_WEEKLY)
        put_text(question, "lang", options->language == LANGUAGE_ZH ? "zh" : "en");
}

static enum status start_put(struct question *question, const struct options *options,
                             struct err *err)
{
    static const struct {
        enum option option;
        const char *member;
    } events[] = {{OPTION_START, "start"}, {OPTION_END, "end"}, {OPTION_RETURN, "return"}};
    enum status status = ST_OK;
    for (size_t i = 0; i < sizeof events / sizeof events[0] && status == ST_OK; i++) {
        if (!option_is_given(options, events[i].option))
            continue;
        put_name(question, events[i].member);
        status = event_put(question->json, option_text(options, events[i].option), err);
    }
    return status;
}

/* --- --question ------------------------------------------------------------------------------- */

static enum status base_parse(const struct options *options, yyjson_doc **ret_doc, struct err *err)
{
    const char *text = option_text(options, OPTION_QUESTION);
    char *bytes = NULL;
    size_t n = strlen(text);
    enum status status = ST_OK;
    if (n == 0)
        return ST_OK;
    if (str_trim(str_of(text)).p[0] != '{') {
        struct disk disk;
        disk_init(&disk);
        status = disk_read_file(&disk, text, QUESTION_BYTES_MAX, &bytes, &n, err);
    }
    if (status == ST_OK)
        status = json_parse(NULL, (struct str){bytes == NULL ? text : bytes, n}, ret_doc, err);
    if (status == ST_OK && !yyjson_is_obj(yyjson_doc_get_root(*ret_doc)))
        status = err_set(err, ST_INVALID, "%s must be a JSON object", option_name(OPTION_QUESTION));
    free(bytes);
    return status;
}

static void base_put(struct question *question, yyjson_val *base)
{
    yyjson_val *key;
    yyjson_obj_iter members = yyjson_obj_iter_with(base);
    while (base != NULL && (key = yyjson_obj_iter_next(&members)) != NULL) {
        bool replaced = false;
        for (size_t i = 0; i < question->count; i++)
            replaced = replaced || str_is(json_str(key), question->names[i]);
        if (replaced)
            continue;
        json_put_comma(question->json);
        json_put_str(question->json, json_str(key));
        buf_char(question->json, ':');
        json_write(question->json, yyjson_obj_iter_get_val(key));
    }
}

/* The question that the options say, as JSON. */
static enum status question_put(const struct options *options, struct buf *json, struct err *err)
{
    struct question question = {.json = json};
    yyjson_doc *base = NULL;
    const char *const *events = NULL;
    size_t count = option_list(options, OPTION_EVENT, &events);
    const char *member = event_member(options->command, count);
    const char *steps = options->command == COMMAND_REPORT_RETENTION ? "conditions" : "steps";
    buf_char(json, '{');
    enum status status = base_parse(options, &base, err);
    if (status == ST_OK)
        status = events_put(&question, member, OPTION_EVENT, options, strcmp(member, "events") == 0,
                            err);
    if (status == ST_OK)
        status = events_put(&question, steps, OPTION_STEP, options, true, err);
    if (status == ST_OK)
        status = start_put(&question, options, err);
    if (status == ST_OK)
        status = where_put(&question, options, err);
    if (status == ST_OK) {
        texts_put(&question, options);
        breakdown_put(&question, options);
        if (options->command == COMMAND_REPORT_ATTRIBUTION)
            attribution_put(&question, options);
        else
            customers_put(&question, options);
        if (option_is_given(options, OPTION_COST)) {
            put_name(&question, "costs");
            status = report_costs(options, json, err);
        }
        base_put(&question, yyjson_doc_get_root(base));
    }
    buf_char(json, '}');
    yyjson_doc_free(base);
    return status;
}

/* --- asking ----------------------------------------------------------------------------------- */

#define QUEUE_MS 120000 /* so long it may wait for its turn, besides its own time */

/* The time limit for the server, and more than that for ourselves. */
static void timeout_put(struct buf *path, const struct options *options, struct http_client *client)
{
    int64_t us = option_duration_us(options, OPTION_TIMEOUT);
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%lld", (long long)((us + US_PER_S - 1) / US_PER_S));
    remote_query(path, "timeout", seconds);
    http_client_wait(client, us / US_PER_MS + QUEUE_MS);
}

/* With a bar when it takes long. */
static enum status send(const struct options *options, struct http_client *client,
                        const char *method, struct buf *path, struct str body, struct buf *answer,
                        struct err *err)
{
    struct rng rng;
    uint64_t random;
    char run[24];
    rng_init_system(&rng);
    rng_bytes(&rng, &random, sizeof random);
    snprintf(run, sizeof run, "cli_%016llx", (unsigned long long)random);
    remote_query(path, "run", run);
    struct report_wait *wait = report_wait_begin(options, run);
    enum status status = remote_send(client, method, path->p, body, answer, err);
    report_wait_end(wait);
    return status;
}

static enum status ask(const struct options *options, struct http_client *client,
                       struct buf *answer, struct err *err)
{
    struct buf path, body;
    enum status status = ST_OK;
    const char *people = option_text(options, OPTION_PEOPLE);
    buf_init(&path, QUESTION_BYTES_MAX);
    buf_init(&body, QUESTION_BYTES_MAX);
    if (people[0] != '\0') {
        buf_text(&path, "/api/v1/reports/people");
        remote_query(&path, "cell", people);
        remote_query(&path, "limit", option_text(options, OPTION_LIMIT));
    } else {
        buf_text(&path, "/api/v1/reports/");
        buf_text(&path, option_command(options) + strlen("report "));
        buf_text(&path, option_is_set(options, OPTION_SAVE) ? "/save" : "");
        status = question_put(options, &body, err);
    }
    remote_query(&path, "after", option_text(options, OPTION_AFTER));
    timeout_put(&path, options, client);
    if (status == ST_OK)
        status = send(options, client, people[0] != '\0' ? "GET" : "POST", &path, buf_view(&body),
                      answer, err);
    buf_done(&path);
    buf_done(&body);
    return status;
}

/* The weekly page is its text; all numbers are in --json, a row per figure in --csv. */
static bool is_for_eyes(const struct options *options)
{
    return !option_is_set(options, OPTION_JSON) && !option_is_set(options, OPTION_CSV) &&
           option_text(options, OPTION_PEOPLE)[0] == '\0';
}

static enum status page_show(struct str answer, struct err *err)
{
    yyjson_doc *doc = NULL;
    enum status status = json_parse(NULL, answer, &doc, err);
    struct str text = json_member_str(yyjson_doc_get_root(doc), "text");
    if (status == ST_OK)
        printf(STR_FMT, STR_ARG(text));
    yyjson_doc_free(doc);
    return status;
}

enum status report_live(const struct options *options, struct err *err)
{
    struct http_client *client = NULL;
    struct buf answer;
    enum status status = remote_open(options, &client, err);
    if (status != ST_OK)
        return status;
    buf_init(&answer, ANSWER_BYTES_MAX);
    status = ask(options, client, &answer, err);
    if (status == ST_OK && options->command == COMMAND_LIVE_WEEKLY && is_for_eyes(options))
        status = page_show(buf_view(&answer), err);
    else if (status == ST_OK)
        status = report_show(options, buf_view(&answer), err);
    buf_done(&answer);
    http_client_free(client);
    return status;
}
