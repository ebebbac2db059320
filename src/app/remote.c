/* remote.c - the command line as a client: build a path, ask, print. Data goes to stdout, talk to
 * stderr. */
#include "app/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/print.h"
#include "base/check.h"
#include "base/disk.h"
#include "base/json.h"
#include "import/import.h"

#define ANSWER_BYTES_MAX ((size_t)256 << 20)
#define FILE_BYTES_MAX ((size_t)1 << 20)

/* --- the connection --------------------------------------------------------------------------- */

/* A small text file without its final newline, malloc'd. */
static enum status file_text(const char *path, char **ret_text, struct err *err)
{
    struct disk disk;
    size_t n = 0;
    disk_init(&disk);
    enum status status = disk_read_file(&disk, path, FILE_BYTES_MAX, ret_text, &n, err);
    if (status == ST_OK)
        while (n > 0 && ((*ret_text)[n - 1] == '\n' || (*ret_text)[n - 1] == '\r'))
            (*ret_text)[--n] = '\0';
    return status;
}

enum status remote_open(const struct options *options, struct http_client **ret_client,
                        struct err *err)
{
    char path[4096];
    char *url = NULL, *key = NULL;
    const char *given = option_text(options, OPTION_URL);
    snprintf(path, sizeof path, "%s/listen", option_text(options, OPTION_DATA));
    if (given[0] == '\0' && file_text(path, &url, err) != ST_OK) {
        err_set(err, ST_BUSY, "%s (%s)", text_in(options->language, TEXT_NO_SERVER),
                option_text(options, OPTION_DATA));
        return err_hint(err, ST_BUSY, "%s", text_in(options->language, TEXT_START_ONE));
    }
    if (option_is_set(options, OPTION_KEY_FILE))
        snprintf(path, sizeof path, "%s", option_text(options, OPTION_KEY_FILE));
    else
        snprintf(path, sizeof path, "%s/owner.key", option_text(options, OPTION_DATA));
    enum status status = file_text(path, &key, err);
    if (status == ST_OK)
        *ret_client = http_client_new(given[0] != '\0' ? given : url, key);
    free(url);
    free(key);
    return status;
}

static enum status status_of(int code)
{
    for (int i = 0; i < ST_COUNT; i++)
        if (status_http((enum status)i) == code)
            return (enum status)i;
    return code >= 500 ? ST_IO : ST_INVALID;
}

/* The story inside problem+json, or the plain answer. */
static enum status problem(int code, struct str body, struct err *err)
{
    struct err ignored;
    yyjson_doc *doc = NULL;
    enum status status = status_of(code);
    if (json_parse(NULL, body, &doc, &ignored) != ST_OK)
        return err_set(err, status, "the server answered %d", code);
    struct str detail = json_member_str(yyjson_doc_get_root(doc), "detail");
    struct str hint = json_member_str(yyjson_doc_get_root(doc), "hint");
    err_set(err, status, STR_FMT, STR_ARG(detail));
    err_hint(err, status, STR_FMT, STR_ARG(hint));
    yyjson_doc_free(doc);
    return status;
}

enum status remote_send(struct http_client *client, const char *method, const char *path,
                        struct str body, struct buf *ret_body, struct err *err)
{
    int code = 0;
    enum status status =
        http_client_send(client, method, path, "application/json", body, &code, ret_body, err);
    if (status != ST_OK)
        return status;
    return code >= 200 && code < 300 ? ST_OK : problem(code, buf_view(ret_body), err);
}

/* --- building requests
 * -------------------------------------------------------------------------------------------- */

/* Percent-encode what is no unreserved character (RFC 3986). */
static void put_encoded(struct buf *path, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~:", c) != NULL;
        if (plain)
            buf_char(path, (char)c);
        else
            buf_fmt(path, "%%%02X", c);
    }
}

void remote_query(struct buf *path, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    buf_char(path, memchr(path->p, '?', path->n) == NULL ? '?' : '&');
    buf_text(path, name);
    buf_char(path, '=');
    put_encoded(path, value);
}

struct ask {
    const char *method;
    struct buf path, body;
};

static void body_members(struct ask *ask, const char *const *pairs)
{
    buf_char(&ask->body, '{');
    for (; pairs[0] != NULL; pairs += 2)
        if (pairs[1][0] != '\0')
            json_put_member_str(&ask->body, pairs[0], str_of(pairs[1]));
    buf_char(&ask->body, '}');
}

static void ask_post(struct ask *ask, const char *path, const char *const *pairs)
{
    ask->method = "POST";
    buf_text(&ask->path, path);
    body_members(ask, pairs);
}

static void ask_one(struct ask *ask, const char *method, const char *path, const char *argument)
{
    ask->method = method;
    buf_text(&ask->path, path);
    put_encoded(&ask->path, argument);
}

static void ask_doctor(struct ask *ask, const struct options *options)
{
    bool digest = option_is_set(options, OPTION_DIGEST);
    bool audit = option_is_set(options, OPTION_AUDIT);
    ask_one(ask, "GET",
            digest  ? "/api/v1/doctor/digest"
            : audit ? "/api/v1/doctor/audit"
                    : "/readyz",
            "");
    if (digest && option_is_set(options, OPTION_EXACT))
        remote_query(&ask->path, "exact", "true");
}

static void ask_audit(struct ask *ask, const struct options *options)
{
    static const struct {
        const char *name;
        enum option option;
    } filters[] = {{"key", OPTION_KEY},   {"kind", OPTION_KIND},  {"route", OPTION_ROUTE},
                   {"from", OPTION_FROM}, {"to", OPTION_TO},      {"subject", OPTION_SUBJECT},
                   {"page", OPTION_PAGE}, {"limit", OPTION_LIMIT}};
    ask_one(ask, "GET", "/api/v1/audit", "");
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        remote_query(&ask->path, filters[i].name, option_text(options, filters[i].option));
}

static void ask_build(struct ask *ask, const struct options *options)
{
    const char *argument = options->argument;
    switch (options->command) {
    case COMMAND_REPORT:
        ask_one(ask, "GET", "/api/v1/reports/overview", "");
        break;
    case COMMAND_SQL:
        ask_post(ask, "/api/v1/sql", (const char *[]){"sql", argument, NULL});
        break;
    case COMMAND_PROFILE:
        ask_one(ask, "GET", "/api/v1/profiles/", argument);
        remote_query(&ask->path, "history", option_is_set(options, OPTION_HISTORY) ? "true" : "");
        break;
    case COMMAND_RECORD:
        ask_one(ask, "GET", "/api/v1/records/", argument);
        break;
    case COMMAND_EXPLAIN:
        ask_one(ask, "GET", "/api/v1/identity/", argument);
        break;
    case COMMAND_UNMERGE:
        ask_post(ask, "/api/v1/identity/unmerge", (const char *[]){"identifier", argument, NULL});
        break;
    case COMMAND_ERASE:
        ask_post(ask, "/api/v1/erasures", (const char *[]){"identifier", argument, NULL});
        break;
    case COMMAND_EXPORT:
        ask_post(ask, "/api/v1/exports",
                 (const char *[]){"from", option_text(options, OPTION_FROM), "to",
                                  option_text(options, OPTION_TO), NULL});
        break;
    case COMMAND_DOCTOR:
        ask_doctor(ask, options);
        break;
    case COMMAND_AUDIT:
        ask_audit(ask, options);
        break;
    case COMMAND_SOURCE_ADD:
        ask_post(ask, "/api/v1/sources",
                 (const char *[]){"name", argument, "channel", option_text(options, OPTION_CHANNEL),
                                  NULL});
        break;
    case COMMAND_KEY_LIST:
        ask_one(ask, "GET", "/api/v1/keys", "");
        break;
    case COMMAND_KEY_ADD:
        ask_post(ask, "/api/v1/keys",
                 (const char *[]){"source", option_text(options, OPTION_SOURCE), "label",
                                  option_text(options, OPTION_LABEL), "scopes",
                                  option_text(options, OPTION_SCOPES), NULL});
        break;
    case COMMAND_KEY_REVOKE:
        ask_one(ask, "DELETE", "/api/v1/keys/", argument);
        break;
    case COMMAND_SERVE:
    case COMMAND_RUN:
    case COMMAND_IMPORT:
    case COMMAND_VERSION:
    case COMMAND_HELP:
    case COMMAND_FEATURE:
    case COMMAND_BUCKET:
#define REPORT(id, word, function, en, zh) case COMMAND_REPORT_##id:
#define LIVE(id, word, en, zh) case COMMAND_LIVE_##id:
#include "app/options.def"
    case COMMAND_COUNT:
        CHECK(false); /* main runs these itself */
    }
    remote_query(&ask->path, "after", option_text(options, OPTION_AFTER));
}

static void answer_print(const struct options *options, struct str json)
{
    if (option_is_set(options, OPTION_JSON))
        printf(STR_FMT "\n", STR_ARG(json));
    else if (options->command == COMMAND_REPORT)
        print_overview(json, options->language);
    else if (options->command == COMMAND_SQL)
        print_rows(json);
    else if (options->command == COMMAND_AUDIT)
        print_audit(json, options->language);
    else
        print_json(json);
}

enum status remote_run(const struct options *options, struct err *err)
{
    struct http_client *client = NULL;
    if (options->command == COMMAND_ERASE && !option_is_set(options, OPTION_YES)) {
        err_set(err, ST_INVALID, "erasing cannot be undone");
        return err_hint(err, ST_INVALID, "add --yes if you mean it");
    }
    enum status status = remote_open(options, &client, err);
    if (status != ST_OK)
        return status;
    struct ask ask = {0};
    struct buf answer;
    buf_init(&ask.path, FILE_BYTES_MAX);
    buf_init(&ask.body, FILE_BYTES_MAX);
    buf_init(&answer, ANSWER_BYTES_MAX);
    ask_build(&ask, options);
    status = remote_send(client, ask.method, ask.path.p, buf_view(&ask.body), &answer, err);
    if (status == ST_OK)
        answer_print(options, buf_view(&answer));
    buf_done(&ask.path);
    buf_done(&ask.body);
    buf_done(&answer);
    http_client_free(client);
    return status;
}
