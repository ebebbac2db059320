/* report_wait.c - a bar while a report runs on the server.
 *
 * The report's own connection is silent until its answer comes, so a second one asks how far it is.
 * The report is not bound to the bar: what fails here shows no bar, and nothing else. Ctrl-C needs
 * no code: it ends this process, its connection closes, and the server ends the report. */
#include "app/report_wait.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "app/print.h"
#include "app/remote.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"

#define FIRST_US (500 * US_PER_MS) /* what is over before is worth no bar */
#define EVERY_US (200 * US_PER_MS)
#define ANSWER_BYTES_MAX ((size_t)1 << 20)

struct report_wait {
    enum language language;
    const char *run;
    struct http_client *client;
    int64_t start_us;
    bool drawn;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool over; /* under the mutex */
};

static bool sleep_or_over(struct report_wait *wait, int64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + us * 1000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    int result = 0;
    pthread_mutex_lock(&wait->mutex);
    while (!wait->over && result == 0)
        result = pthread_cond_timedwait(&wait->wake, &wait->mutex, &until);
    bool over = wait->over;
    pthread_mutex_unlock(&wait->mutex);
    return over;
}

/* One line; it never wraps on a terminal of 80 columns. */
static void draw(struct report_wait *wait, yyjson_val *report)
{
    enum language language = wait->language;
    double share = yyjson_get_num(yyjson_obj_get(report, "share"));
    double seconds = (double)(monotonic_us() - wait->start_us) / 1e6;
    int pass = (int)yyjson_get_int(yyjson_obj_get(report, "pass"));
    char cells[PRINT_BAR_COLUMNS + 1], passes[64] = "";
    print_bar(cells, share);
    if (pass > 1)
        snprintf(passes, sizeof passes, " (%s %d)", text_in(language, TEXT_PASS), pass);
    wait->drawn = true;
    if (report == NULL)
        fprintf(stderr, "\r\033[K%s, %.1f %s", text_in(language, TEXT_REPORT_WAITS), seconds,
                text_in(language, TEXT_SECONDS));
    else
        fprintf(stderr, "\r\033[K%s [%s] %3d %%%s  %.1f %s  %s",
                text_in(language, TEXT_REPORT_RUNS), cells, (int)(share * 100), passes, seconds,
                text_in(language, TEXT_SECONDS), text_in(language, TEXT_CTRL_C));
}

static void look(struct report_wait *wait)
{
    struct buf answer;
    struct err ignored;
    yyjson_doc *doc = NULL;
    yyjson_val *one, *found = NULL;
    size_t i, n;
    buf_init(&answer, ANSWER_BYTES_MAX);
    if (remote_send(wait->client, "GET", "/api/v1/reports/running", STR(""), &answer, &ignored) ==
            ST_OK &&
        json_parse(NULL, buf_view(&answer), &doc, &ignored) == ST_OK) {
        yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "reports"), i, n,
                           one) if (str_is(json_member_str(one, "id"), wait->run)) found = one;
        draw(wait, found);
    }
    yyjson_doc_free(doc);
    buf_done(&answer);
}

static void *wait_main(void *ctx)
{
    struct report_wait *wait = ctx;
    for (int64_t us = FIRST_US; !sleep_or_over(wait, us); us = EVERY_US)
        look(wait);
    if (wait->drawn)
        fputs("\r\033[K", stderr);
    return NULL;
}

struct report_wait *report_wait_begin(const struct options *options, const char *run)
{
    struct http_client *client = NULL;
    struct err ignored;
    pthread_condattr_t monotonic;
    if (isatty(2) != 1 || remote_open(options, &client, &ignored) != ST_OK)
        return NULL;
    struct report_wait *wait = mem_zero(sizeof *wait);
    wait->language = options->language;
    wait->run = run;
    wait->client = client;
    wait->start_us = monotonic_us();
    pthread_mutex_init(&wait->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&wait->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    CHECK(thread_start(&wait->thread, "report wait", wait_main, wait) == 0);
    return wait;
}

void report_wait_end(struct report_wait *wait)
{
    if (wait == NULL)
        return;
    pthread_mutex_lock(&wait->mutex);
    wait->over = true;
    pthread_cond_signal(&wait->wake);
    pthread_mutex_unlock(&wait->mutex);
    pthread_join(wait->thread, NULL);
    http_client_free(wait->client);
    pthread_cond_destroy(&wait->wake);
    pthread_mutex_destroy(&wait->mutex);
    free(wait);
}
