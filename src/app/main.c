/* main.c - one word decides what this process is. Exit codes: 0 done, 1 failed, 2 wrong usage, 3
 * not found, 4 conflict, 5 unavailable (try again). */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "app/core.h"
#include "app/feature.h"
#include "app/options.h"
#include "app/print.h"
#include "app/remote.h"
#include "app/report.h"
#include "app/report_live.h"
#include "app/run.h"
#include "app/serve.h"
#include "base/check.h"
#include "base/heap.h"

static enum status audit_alone(struct core *core, struct err *err)
{
    struct buf json;
    buf_init(&json, (size_t)1 << 16);
    enum status status = audit_check(core->audit, &json, err);
    if (status == ST_OK)
        print_json(buf_view(&json));
    buf_done(&json);
    return status;
}

static enum status digest_alone(struct core *core, const struct options *options, struct err *err)
{
    struct pipeline_digest digest;
    enum status status = pipeline_catch_up(core->pipeline, err);
    if (status == ST_OK)
        status = pipeline_digest(core->pipeline, &digest, err);
    if (status != ST_OK)
        return status;
    printf("{\"people\":\"%016llx%016llx\",\"profiles\":\"%016llx%016llx\",\"rows\":\"%016llx%"
           "016llx\",",
           (unsigned long long)digest.people.a, (unsigned long long)digest.people.b,
           (unsigned long long)digest.profiles.a, (unsigned long long)digest.profiles.b,
           (unsigned long long)digest.rows.a, (unsigned long long)digest.rows.b);
    if (option_is_set(options, OPTION_EXACT))
        printf("\"exact\":\"%016llx%016llx\",", (unsigned long long)digest.exact.a,
               (unsigned long long)digest.exact.b);
    printf("\"people_count\":%llu,\"rows_count\":%llu}\n", (unsigned long long)digest.people_count,
           (unsigned long long)digest.rows_count);
    return ST_OK;
}

/* On a directory that no server has: open it, look, close it. */
static enum status doctor_alone(const struct options *options, struct err *err)
{
    struct core core;
    enum status status = core_open(&core, options, err);
    if (status != ST_OK)
        return status;
    status = option_is_set(options, OPTION_DIGEST) ? digest_alone(&core, options, err)
                                                   : audit_alone(&core, err);
    core_close(&core);
    return status;
}

/* The lock of the directory says whether a server has it; the address that one left behind when it
 * was killed would not. */
static enum status doctor(const struct options *options, struct err *err)
{
    struct err asked;
    bool alone = option_is_set(options, OPTION_DIGEST) || option_is_set(options, OPTION_AUDIT);
    if (!alone || option_is_set(options, OPTION_URL))
        return remote_run(options, err);
    enum status status = doctor_alone(options, err);
    if (status != ST_CONFLICT)
        return status;
    enum status remote = remote_run(options, &asked);
    if (remote == ST_BUSY) /* no server: the conflict was another one */
        return status;
    *err = asked;
    return remote;
}

static enum status command_run(const struct options *options, struct err *err)
{
    switch (options->command) {
    case COMMAND_SERVE:
        return serve(options, err);
    case COMMAND_RUN:
        return run_sample(options, err);
    case COMMAND_IMPORT:
        return run_import(options, err);
    case COMMAND_DOCTOR:
        return doctor(options, err);
    case COMMAND_FEATURE:
        return feature_run(options, err);
    case COMMAND_BUCKET:
        return feature_bucket(options, err);
    case COMMAND_VERSION:
        puts("hezou " HEZOU_VERSION);
        return ST_OK;
    case COMMAND_HELP:
        if (option_is_set(options, OPTION_MARKDOWN))
            options_print_markdown();
        else
            options_print_help(options->language, options->helped);
        return ST_OK;
#define REPORT(id, word, function, en, zh) case COMMAND_REPORT_##id:
#define LIVE(id, word, en, zh) case COMMAND_LIVE_##id:
#include "app/options.def"
        return report_is_live(options) ? report_live(options, err) : report_run(options, err);
    case COMMAND_EXPORT:
    case COMMAND_REPORT:
    case COMMAND_SQL:
    case COMMAND_PROFILE:
    case COMMAND_RECORD:
    case COMMAND_EXPLAIN:
    case COMMAND_UNMERGE:
    case COMMAND_ERASE:
    case COMMAND_SOURCE_ADD:
    case COMMAND_KEY_LIST:
    case COMMAND_KEY_ADD:
    case COMMAND_KEY_REVOKE:
    case COMMAND_AUDIT:
        return remote_run(options, err);
    case COMMAND_COUNT:
        break;
    }
    CHECK(false);
    return ST_INVALID;
}

static int exit_code(enum status status)
{
    switch (status) {
    case ST_OK:
        return 0;
    case ST_NOT_FOUND:
    case ST_GONE:
        return 3;
    case ST_CONFLICT:
        return 4;
    case ST_BUSY:
    case ST_TIMEOUT:
        return 5;
    case ST_INVALID:
    case ST_UNAUTHORIZED:
    case ST_FORBIDDEN:
    case ST_TOO_LARGE:
    case ST_IO:
    case ST_CORRUPT:
    case ST_COUNT:
        break;
    }
    return 1;
}

static int failed(const struct err *err, int code)
{
    fprintf(stderr, "hezou: %s\n", err->message);
    if (err->hint[0] != '\0')
        fprintf(stderr, "       %s\n", err->hint);
    return code;
}

int main(int argc, char **argv)
{
    struct options options;
    struct err err = {0};
    heap_tune();
    if (sodium_init() < 0)
        fatal("could not start the cryptography library");
    if (options_parse(argc, argv, &options, &err) != ST_OK)
        return failed(&err, 2);
    enum status status = command_run(&options, &err);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == ST_OK)
        status = err_set(&err, ST_IO, "could not write the answer: %s", strerror(errno));
    return status == ST_OK ? 0 : failed(&err, exit_code(status));
}
