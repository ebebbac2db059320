/* run.c - a new user's first minute, and every import after it: a file goes through the same door
 * as everything else. */
#include "app/run.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/print.h"
#include "app/remote.h"
#include "app/serve.h"
#include "base/disk.h"
#include "import/import.h"

#define MAPPING_BYTES_MAX ((size_t)1 << 20)

struct bar {
    enum language language;
    bool terminal;
    int64_t shown_us, start_us;
};

static void bar_draw(const struct bar *bar, const struct import_progress *progress, bool last)
{
    double part = progress->bytes_total == 0
                      ? 1
                      : (double)progress->bytes_read / (double)progress->bytes_total;
    char cells[PRINT_BAR_COLUMNS + 1];
    print_bar(cells, part);
    fprintf(stderr, "%s%s [%s] %3d %%  %llu %s, %llu %s, %.1f %s%s", bar->terminal ? "\r" : "",
            text_in(bar->language, TEXT_LOADING_SAMPLE), cells, (int)(part * 100),
            (unsigned long long)progress->lines, text_in(bar->language, TEXT_LINES_READ),
            (unsigned long long)progress->events, text_in(bar->language, TEXT_EVENTS_SENT),
            (double)(monotonic_us() - bar->start_us) / 1e6, text_in(bar->language, TEXT_SECONDS),
            bar->terminal && !last ? "" : "\n");
}

/* On a terminal ten times a second; in a log only the end. */
static void bar_show(void *ctx, const struct import_progress *progress)
{
    struct bar *bar = ctx;
    int64_t now_us = monotonic_us();
    if (!bar->terminal || now_us - bar->shown_us < 100 * US_PER_MS)
        return;
    bar->shown_us = now_us;
    bar_draw(bar, progress, false);
}

static enum status feed(struct http_client *client, const char *file, struct str mapping,
                        const struct options *options, struct buf *ret_position, struct err *err)
{
    struct bar bar = {
        .language = options->language, .terminal = isatty(2) == 1, .start_us = monotonic_us()};
    struct import_progress progress = {0};
    struct import_options import_options = {
        .file = file, .mapping = mapping, .client = client, .progress = bar_show, .ctx = &bar};
    buf_init(&progress.position, 64);
    enum status status = import_file(&import_options, &progress, err);
    if (status == ST_OK) {
        bar_draw(&bar, &progress, true);
        buf_str(ret_position, buf_view(&progress.position));
    }
    buf_done(&progress.position);
    return status;
}

static enum status mapping_read(const char *path, char **ret_text, size_t *ret_n, struct err *err)
{
    struct disk disk;
    disk_init(&disk);
    return disk_read_file(&disk, path, MAPPING_BYTES_MAX, ret_text, ret_n, err);
}

enum status run_import(const struct options *options, struct err *err)
{
    struct http_client *client = NULL;
    char *mapping = NULL;
    size_t n = 0;
    if (!option_is_set(options, OPTION_MAPPING)) {
        err_set(err, ST_INVALID, "import needs --mapping FILE");
        return err_hint(err, ST_INVALID, "examples/online_retail/mapping.json is one");
    }
    enum status status = mapping_read(option_text(options, OPTION_MAPPING), &mapping, &n, err);
    if (status == ST_OK)
        status = remote_open(options, &client, err);
    struct buf position;
    buf_init(&position, 64);
    if (status == ST_OK)
        status = feed(client, options->argument, (struct str){mapping, n}, options, &position, err);
    if (status == ST_OK)
        printf("{\"position\":\"" STR_FMT "\"}\n", STR_ARG(buf_view(&position)));
    buf_done(&position);
    free(mapping);
    http_client_free(client);
    return status;
}

/* The folder's one .csv, .csv.gz or .csv.zst. */
static enum status sample_file(const char *folder, char path[4096], struct err *err)
{
    DIR *dir = opendir(folder);
    bool found = false;
    if (dir == NULL) {
        err_set(err, ST_NOT_FOUND, "there is no sample folder %s", folder);
        return err_hint(err, ST_NOT_FOUND, "run in the source tree, or name it with --sample");
    }
    for (struct dirent *entry; !found && (entry = readdir(dir)) != NULL;) {
        found = strstr(entry->d_name, ".csv") != NULL;
        if (found)
            snprintf(path, 4096, "%s/%s", folder, entry->d_name);
    }
    closedir(dir);
    return found ? ST_OK
                 : err_set(err, ST_NOT_FOUND, "the sample folder %s has no CSV file", folder);
}

static enum status sample_feed(struct http_client *client, const struct options *options,
                               struct buf *ret_position, struct err *err)
{
    char path[4096], file[4096];
    char *mapping = NULL;
    size_t n = 0;
    const char *folder = option_text(options, OPTION_SAMPLE);
    snprintf(path, sizeof path, "%s/mapping.json", folder);
    enum status status = sample_file(folder, file, err);
    if (status == ST_OK)
        status = mapping_read(path, &mapping, &n, err);
    if (status == ST_OK)
        status = feed(client, file, (struct str){mapping, n}, options, ret_position, err);
    free(mapping);
    return status;
}

static enum status report_print(struct http_client *client, struct str position,
                                const struct options *options, struct err *err)
{
    struct buf path, answer;
    buf_init(&path, 256);
    buf_init(&answer, (size_t)64 << 20);
    buf_text(&path, "/api/v1/reports/overview");
    if (position.n > 0)
        buf_fmt(&path, "?after=" STR_FMT, STR_ARG(position));
    enum status status = remote_send(client, "GET", path.p, STR(""), &answer, err);
    if (status == ST_OK && option_is_set(options, OPTION_JSON))
        printf(STR_FMT "\n", STR_ARG(buf_view(&answer)));
    else if (status == ST_OK)
        print_overview(buf_view(&answer), options->language);
    buf_done(&path);
    buf_done(&answer);
    return status;
}

static void go_on_print(const struct server *server, const struct options *options)
{
    const char *data = option_text(options, OPTION_DATA);
    fprintf(stderr,
            "\n%s\n  %s  hezou sql \"SELECT name, count(*) FROM events GROUP BY ALL\" --data %s\n"
            "  %s  hezou profile member_no:17850 --data %s\n  %s docs/api/openapi.yaml (%s)\n",
            text_in(options->language, TEXT_GO_ON), text_in(options->language, TEXT_GO_ON_SQL),
            data, text_in(options->language, TEXT_GO_ON_PROFILE), data,
            text_in(options->language, TEXT_GO_ON_SEND), server_url(server));
}

static enum status first_minute(struct server *server, struct options *options, struct err *err)
{
    struct http_client *client = NULL;
    struct buf position;
    options->values[OPTION_URL] = server_url(server);
    enum status status = remote_open(options, &client, err);
    if (status != ST_OK)
        return status;
    buf_init(&position, 64);
    if (server_is_empty(server))
        status = sample_feed(client, options, &position, err);
    else
        fprintf(stderr, "hezou: %s\n", text_in(options->language, TEXT_SAMPLE_PRESENT));
    if (status == ST_OK)
        status = report_print(client, buf_view(&position), options, err);
    buf_done(&position);
    http_client_free(client);
    return status;
}

enum status run_sample(const struct options *options, struct err *err)
{
    struct server *server = NULL;
    struct options local = *options;
    signals_block();
    enum status status = server_start(options, &server, err);
    if (status != ST_OK)
        return status;
    fprintf(stderr, "hezou: %s %s, %s %s\n", text_in(options->language, TEXT_LISTENING),
            server_url(server), text_in(options->language, TEXT_DATA_DIRECTORY),
            option_text(options, OPTION_DATA));
    status = first_minute(server, &local, err);
    if (status == ST_OK && !option_is_set(options, OPTION_ONCE)) {
        go_on_print(server, options);
        signals_wait();
    }
    server_stop(server);
    return status;
}
