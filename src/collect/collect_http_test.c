/* collect_http_test.c - the road of a request with everything real below it: server, keys, journal,
 * deduplication. What a client is answered, and that an answer 2xx means a record in the journal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/arena.h"
#include "collect/collect.h"

#define LARGE ((size_t)600 << 10) /* a body that is translated on a worker */

static char folder[256];
static struct rng rng;
static struct clock now;
static struct disk disk;
static struct facts *facts;
static struct access *access_held;
static struct log *journal;
static struct clean *clean;
static struct privacy *privacy;
static struct collect *collect;
static struct http_server *server;
static const struct route *routes;
static size_t routes_count;
static struct buf write_key, collect_key, read_key;
static char answer[1 << 20];

static const char *path_in(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void done(enum status status, const struct err *err)
{
    if (status != ST_OK)
        fail_msg("%s", err->message);
}

static void handle(void *ctx, struct http_request *request)
{
    (void)ctx;
    bool known;
    const struct route *route =
        route_find(routes, routes_count, http_method(request), http_path(request), &known);
    if (route == NULL)
        http_reply(request, 404, "text/plain", STR(""));
    else
        route->handle(collect, request);
}

static size_t body_limit(void *ctx, struct http_request *request)
{
    (void)ctx;
    bool known;
    const struct route *route =
        route_find(routes, routes_count, http_method(request), http_path(request), &known);
    return route == NULL ? 0 : route->body_limit;
}

static void keys_make(void)
{
    struct err err;
    uint32_t source;
    buf_init(&write_key, 200);
    buf_init(&collect_key, 200);
    buf_init(&read_key, 200);
    done(access_add_source(access_held, STR("shop"), STR("web"), &write_key, &source, &err), &err);
    done(access_add_secret_key(access_held, STR("import"), SCOPE_COLLECT, &collect_key, &err),
         &err);
    done(access_add_secret_key(access_held, STR("reader"), SCOPE_READ, &read_key, &err), &err);
}

static void journal_open(uint64_t size_max)
{
    struct err err;
    char *path = strdup(path_in("journal"));
    const struct log_options options = {
        .folder = path, .disk = &disk, .clock = &now, .size_max = size_max};
    done(log_open(&options, &journal, &err), &err);
    free(path);
}

static void clean_start(void)
{
    static const struct hash_key key = {{1}};
    struct err err;
    char *path = strdup(path_in("dedup"));
    assert_int_equal(mkdir(path, 0700), 0);
    const struct clean_options options = {.folder = path, .disk = &disk, .key = &key};
    done(clean_open(&options, STR(""), &clean, &err), &err);
    free(path);
}

static void start(uint64_t size_max)
{
    struct err err;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hezou_collect_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(folder));
    rng_init_seed(&rng, 3);
    clock_init_virtual(&now, INT64_C(1795341300) * US_PER_S);
    disk_init(&disk);
    done(facts_open(path_in("facts.db"), &facts, &err), &err);
    done(access_open(facts, &rng, &now, path_in("owner.key"), &access_held, &err), &err);
    keys_make();
    journal_open(size_max);
    clean_start();
    const struct privacy_options privacy_options = {0};
    privacy = privacy_new(&privacy_options);
    const struct collect_options collect_options = {
        .log = journal, .access = access_held, .clean = clean, .privacy = privacy, .rng = &rng};
    collect = collect_new(&collect_options);
    routes = collect_routes(&routes_count);
    const struct http_options http_options = {
        .address = "127.0.0.1", .body_limit = body_limit, .handle = handle};
    done(http_start(&http_options, &server, &err), &err);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static int stop(void)
{
    http_stop(server, US_PER_S);
    log_close(journal);
    collect_free(collect);
    privacy_free(privacy);
    clean_close(clean);
    access_close(access_held);
    facts_close(facts);
    buf_done(&write_key);
    buf_done(&collect_key);
    buf_done(&read_key);
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
    (void)state;
    start(0);
    return 0;
}

static int setup_busy(void **state)
{
    (void)state;
    start(1); /* byte: no record fits */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return stop();
}

/* --- a client --------------------------------------------------------------------------------- */

static void send_all(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes = (struct str){bytes.p + n, bytes.n - (size_t)n};
    }
}

/* One request; its code. Head and body of the answer are in `answer`. */
static int ask(const char *method, const char *path, const char *headers, struct str body)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)http_port(server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct timeval deadline = {10, 0};
    struct buf head;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    buf_init(&head, (size_t)1 << 16);
    buf_fmt(&head, "%s %s HTTP/1.1\r\nHost: cdp.example.cn\r\nConnection: close\r\n%s", method,
            path, headers);
    if (str_is(str_of(method), "POST"))
        buf_fmt(&head, "Content-Length: %zu\r\n", body.n);
    buf_text(&head, "\r\n");
    send_all(fd, buf_view(&head));
    send_all(fd, body);
    buf_done(&head);
    size_t n = 0;
    ssize_t got;
    while (n < sizeof answer - 1 && (got = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0)
        n += (size_t)got;
    answer[n] = '\0';
    close(fd);
    assert_true(n > 12);
    return (int)strtol(answer + 9, NULL, 10);
}

static bool answered(const char *text)
{
    return strstr(answer, text) != NULL;
}

static const char *answer_body(void)
{
    const char *at = strstr(answer, "\r\n\r\n");
    return at == NULL ? "" : at + 4;
}

static const char *header_with(const char *before, const struct buf *key)
{
    static char text[400];
    snprintf(text, sizeof text, "%s" STR_FMT "\r\n", before, STR_ARG(buf_view(key)));
    return text;
}

static const char *path_with(const char *before, const struct buf *key)
{
    static char text[4000];
    snprintf(text, sizeof text, "%s" STR_FMT, before, STR_ARG(buf_view(key)));
    return text;
}

/* Every journal record so far is cleaned, as the pipeline would do it; how many were events. */
static int records_clean(void)
{
    struct log_reader *reader;
    struct log_record record;
    struct clean_event event;
    struct arena arena;
    struct err err;
    bool any = true;
    int events = 0;
    arena_init(&arena);
    done(log_reader_open(journal, log_start(journal), &reader, &err), &err);
    while (any) {
        done(log_reader_fill(reader, 1 << 20, 0, &any, &err), &err);
        while (any && log_reader_next(reader, &record)) {
            clean_record(clean, &record, &arena, &event);
            events += event.verdict == CLEAN_STORED;
        }
    }
    log_reader_close(reader);
    arena_done(&arena);
    return events;
}

#define TRACK "{\"type\":\"track\",\"event\":\"E\",\"userId\":\"u\"}"
#define BATCH "{\"batch\":[" TRACK "," TRACK ",{\"type\":\"track\",\"userId\":\"u\"}]}"

/* --- Segment ---------------------------------------------------------------------------------- */

static void a_2xx_is_in_the_journal(void **state)
{
    (void)state;
    uint64_t before = log_end(journal);
    int code =
        ask("POST", "/v1/batch", header_with("Authorization: Bearer ", &write_key), STR(BATCH));
    assert_int_equal(code, 200);
    assert_string_equal(answer_body(), "{\"success\":true}");
    assert_true(answered("X-Rejected: 1\r\n"));
    assert_true(log_end(journal) > before);
    assert_int_equal(records_clean(), 2);
    struct collect_stats stats;
    collect_stats(collect, &stats);
    assert_int_equal(stats.events, 2);
    assert_int_equal(stats.quarantined, 1);
    assert_int_equal(stats.by_protocol[0], 2);
}

static void every_form_of_a_key_is_taken(void **state)
{
    (void)state;
    char body[600], basic[400], encoded[500];
    struct str key = buf_view(&write_key);
    for (int colon = 0; colon < 2; colon++) {
        snprintf(basic, sizeof basic, STR_FMT "%s", STR_ARG(key), colon == 1 ? ":" : "");
        size_t n = strlen(basic);
        char *to = encoded + snprintf(encoded, sizeof encoded, "Authorization: Basic ");
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (size_t i = 0; i < n; i += 3) {
            unsigned v = (unsigned)(unsigned char)basic[i] << 16;
            v |= i + 1 < n ? (unsigned)(unsigned char)basic[i + 1] << 8 : 0;
            v |= i + 2 < n ? (unsigned)(unsigned char)basic[i + 2] : 0;
            for (int k = 0; k < 4; k++)
                *to++ = i + (size_t)k > n ? '=' : letters[v >> (18 - 6 * k) & 63];
        }
        memcpy(to, "\r\n", 3);
        assert_int_equal(ask("POST", "/v1/t", encoded, STR(TRACK)), 200);
    }
    assert_int_equal(ask("POST", "/v1/t", header_with("X-Write-Key: ", &write_key), STR(TRACK)),
                     200);
    assert_int_equal(
        ask("POST", path_with("/beacon/v1/batch?writeKey=", &write_key), "", STR(BATCH)), 200);
    snprintf(body, sizeof body, "{\"writeKey\":\"" STR_FMT "\",\"event\":\"E\",\"userId\":1}",
             STR_ARG(key));
    assert_int_equal(ask("POST", "/v1/t", "", str_of(body)), 200);
    /* An OAuth token beside the body's key. */
    assert_int_equal(ask("POST", "/v1/t", "Authorization: Bearer abc\r\n", str_of(body)), 200);
    assert_int_equal(
        ask("POST", "/v1/t", header_with("Authorization: Bearer ", &collect_key), STR(TRACK)), 200);
    assert_int_equal(records_clean(), 8);
}

static void a_wrong_key_is_401_and_the_page_may_read_it(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/t", "Origin: https://a.cn\r\n", STR(TRACK)), 401);
    assert_true(answered("Access-Control-Allow-Origin: https://a.cn\r\n"));
    assert_true(answered("Access-Control-Allow-Credentials: true\r\n"));
    assert_int_equal(
        ask("POST", "/v1/t", header_with("Authorization: Bearer ", &read_key), STR(TRACK)), 403);
    assert_int_equal(ask("POST", "/api/v1/batch", "", STR("{}")), 401);
    assert_int_equal(records_clean(), 0);
}

static void every_path_answers_a_preflight_with_what_was_asked(void **state)
{
    (void)state;
    size_t seen = 0;
    for (size_t i = 0; i < routes_count; i++) {
        if (!str_is(str_of(routes[i].method), "OPTIONS"))
            continue;
        seen++;
        assert_int_equal(ask("OPTIONS", routes[i].pattern,
                             "Origin: https://a.cn\r\nAccess-Control-Request-Headers: "
                             "authorization, rsa-retry-attempt\r\n",
                             STR("")),
                         204);
        assert_true(answered("Access-Control-Allow-Headers: authorization, rsa-retry-attempt\r\n"));
        assert_true(answered("Access-Control-Allow-Origin: https://a.cn\r\n"));
        assert_true(answered("Access-Control-Max-Age: 900\r\n"));
        assert_true(answered("Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"));
    }
    assert_int_equal(seen, routes_count / 2);
}

static void settings_let_the_browser_sdks_start(void **state)
{
    (void)state;
    char path[400];
    snprintf(path, sizeof path, "/v1/projects/" STR_FMT "/settings", STR_ARG(buf_view(&write_key)));
    assert_int_equal(ask("GET", path, "", STR("")), 200);
    assert_true(answered("\"apiHost\":\"cdp.example.cn/v1\""));
    assert_true(answered((const char *)path_with("\"apiKey\":\"", &write_key)));
    assert_int_equal(ask("GET", "/v1/projects/nobody/settings", "", STR("")), 401);
    assert_int_equal(
        ask("GET", path_with("/sourceConfig/?p=npm&writeKey=", &write_key), "", STR("")), 200);
    assert_true(answered("\"name\":\"shop\""));
    assert_true(answered("\"destinations\":[]"));
    assert_int_equal(ask("POST", "/v1/m", "", STR("{\"series\":[]}")), 200);
    assert_int_equal(ask("GET", "/config/Android.conf?v=1", "", STR("")), 200);
    assert_string_equal(answer_body(), "{}");
}

static void a_pixel_is_an_event(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof path,
             "/pixel/v1/track?writeKey=" STR_FMT
             "&anonymousId=a&event=Email%%20Opened&url=https%%3A%%2F%%2Fa.cn",
             STR_ARG(buf_view(&write_key)));
    assert_int_equal(ask("GET", path, "", STR("")), 200);
    assert_true(answered("image/gif"));
    assert_memory_equal(answer_body(), "GIF89a", 6);
    assert_int_equal(records_clean(), 1);
    assert_int_equal(ask("GET", "/pixel/v1/track?writeKey=x", "", STR("")), 401);
    assert_true(answered("image/gif"));
}

static struct str gzip_of(struct str bytes)
{
    static unsigned char out[1 << 16];
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)bytes.p;
    z.avail_in = (unsigned)bytes.n;
    z.next_out = out;
    z.avail_out = sizeof out;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    struct str packed = {(const char *)out, z.total_out};
    deflateEnd(&z);
    return packed;
}

static void bodies_are_sniffed_and_bounded(void **state)
{
    (void)state;
    char headers[600];
    snprintf(headers, sizeof headers, "%sContent-Type: application/x-www-form-urlencoded\r\n",
             header_with("Authorization: Bearer ", &write_key));
    assert_int_equal(ask("POST", "/v1/batch", headers, gzip_of(STR(BATCH))), 200);
    assert_int_equal(records_clean(), 2);
    assert_int_equal(ask("POST", "/v1/batch", headers, STR("a=b&c=d")), 400);
    assert_int_equal(ask("POST", "/v1/batch", headers, STR("")), 400);
    assert_int_equal(ask("POST", "/v1/batch", headers, STR("\x1f\x8b garbage")), 400);
    char *zeros = mem_zero(2 * LIMIT_INFLATED_BYTES);
    struct str bomb = gzip_of((struct str){zeros, 2 * LIMIT_INFLATED_BYTES});
    assert_int_equal(ask("POST", "/v1/batch", headers, bomb), 413);
    free(zeros);
    struct buf large;
    buf_init(&large, LIMIT_BODY_BYTES);
    buf_text(&large, "{\"batch\":[");
    while (large.n < LARGE)
        buf_text(&large, TRACK ",");
    buf_text(&large, TRACK "]}");
    assert_int_equal(ask("POST", "/v1/batch", headers, buf_view(&large)), 200);
    assert_true(answered("X-Rejected: 1\r\n")); /* over 2,500 of them */
    buf_done(&large);
}

/* --- 神策 ---------------------------------------------------------------------------------------
 */

#define DATA                                                                                       \
    "data="                                                                                        \
    "eyJkaXN0aW5jdF9pZCI6InUxIiwidGltZSI6MTQzNDU1NjkzNTAwMCwidHlwZSI6InRyYWNrIiwiZXZlbnQiOiJW"     \
    "aWV3UHJvZHVjdCIsInByb3BlcnRpZXMiOnsiJGxpYiI6ImpzIn19&ext=crc%3D"

static void sensors_get_and_post_are_taken(void **state)
{
    (void)state;
    char path[900];
    snprintf(path, sizeof path, "/sa.gif?project=" STR_FMT "&%s", STR_ARG(buf_view(&write_key)),
             DATA "2136311181");
    assert_int_equal(ask("GET", path, "", STR("")), 200);
    assert_true(answered("image/gif"));
    assert_int_equal(ask("POST", path_with("/sa?project=production&token=", &write_key),
                         "Content-Type: text/plain\r\n", STR(DATA "1")),
                     200);
    assert_string_equal(answer_body(), "");
    struct collect_stats stats;
    collect_stats(collect, &stats);
    assert_int_equal(stats.events, 2);
    assert_int_equal(stats.crc_mismatches, 1);
    assert_int_equal(records_clean(), 1); /* the same record twice: one */
    assert_int_equal(ask("POST", "/sa?project=nobody", "Origin: https://a.cn\r\n", STR(DATA)), 401);
    assert_true(answered("Access-Control-Allow-Origin: https://a.cn\r\n"));
}

static void poison_is_answered_200(void **state)
{
    (void)state;
    static const char *const poison[] = {"data=%%%", "data=QUJD", "data=QUJD&gzip=9", "nonsense",
                                         "\x1f\x8b\x08 cut"};
    for (size_t i = 0; i < sizeof poison / sizeof *poison; i++)
        assert_int_equal(ask("POST", path_with("/sa?project=", &write_key), "", str_of(poison[i])),
                         200);
    struct collect_stats stats;
    collect_stats(collect, &stats);
    assert_int_equal(stats.quarantined, sizeof poison / sizeof *poison);
}

static void debug_says_what_is_wrong_and_a_dry_run_keeps_nothing(void **state)
{
    (void)state;
    uint64_t before = log_end(journal);
    const char *path = path_with("/debug?project=", &write_key);
    assert_int_equal(ask("POST", path, "Dry-Run: true\r\n", STR(DATA)), 200);
    assert_int_equal(ask("POST", path, "Dry-Run: true\r\n", STR("data=QUJD")), 400);
    assert_string_equal(answer_body(), "invalid: not_json");
    assert_int_equal(log_end(journal), before);
    assert_int_equal(ask("POST", path, "", STR(DATA)), 200);
    assert_true(log_end(journal) > before);
}

/* --- our own ---------------------------------------------------------------------------------- */

static void the_own_batch_answers_per_event(void **state)
{
    (void)state;
    const char *headers = header_with("Authorization: Bearer ", &collect_key);
    struct str body = STR("{\"events\":[{\"name\":\"A\",\"message_id\":\"a\"},{\"name\":\"B\","
                          "\"message_id\":\"b\",\"context\":{\"consent\":"
                          "{\"categoryPreferences\":{\"analytics\":false}}}},5]}");
    assert_int_equal(ask("POST", "/api/v1/batch", headers, body), 200);
    char want[200];
    snprintf(want, sizeof want,
             "{\"message_id\":\"a\",\"status\":\"stored\",\"position\":\"0:%u\"}",
             (unsigned)LOG_FIRST_OFFSET);
    assert_true(answered(want));
    assert_true(answered("{\"message_id\":\"b\",\"status\":\"denied\"}"));
    assert_true(answered("\"status\":\"quarantined\",\"reason\":\"not_json\""));
    assert_true(answered("X-Rejected: 2\r\n"));
    assert_int_equal(records_clean(), 1);
    uint64_t end = log_end(journal);
    assert_int_equal(
        ask("POST", "/api/v1/batch", headers, STR("{\"name\":\"A\",\"message_id\":\"a\"}")), 200);
    assert_true(answered("{\"message_id\":\"a\",\"status\":\"duplicate\"}"));
    assert_int_equal(log_end(journal), end);
}

static void lines_are_a_batch_too(void **state)
{
    (void)state;
    char headers[600];
    snprintf(headers, sizeof headers, "%sContent-Type: application/x-ndjson\r\n",
             header_with("Authorization: Bearer ", &write_key));
    assert_int_equal(
        ask("POST", "/api/v1/batch", headers, STR("{\"name\":\"A\"}\n{\"name\":\"B\"}\n")), 200);
    assert_int_equal(records_clean(), 2);
}

static void a_full_journal_is_503_and_never_4xx(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/v1/t?writeKey=", "/sa?project=", "/sa.gif?project=", "/api/v1/batch?writeKey="};
    static const char *const bodies[] = {TRACK, DATA, DATA, "{\"name\":\"A\"}"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ask("POST", path_with(paths[i], &write_key), "Origin: https://a.cn\r\n",
                             str_of(bodies[i])),
                         503);
        assert_true(answered("Retry-After: 1\r\n"));
        assert_true(answered("Access-Control-Allow-Origin: https://a.cn\r\n"));
    }
    struct collect_stats stats;
    collect_stats(collect, &stats);
    assert_int_equal(stats.refused, 4);
    assert_int_equal(stats.events, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_2xx_is_in_the_journal),
        TEST(every_form_of_a_key_is_taken),
        TEST(a_wrong_key_is_401_and_the_page_may_read_it),
        TEST(every_path_answers_a_preflight_with_what_was_asked),
        TEST(settings_let_the_browser_sdks_start),
        TEST(a_pixel_is_an_event),
        TEST(bodies_are_sniffed_and_bounded),
        TEST(sensors_get_and_post_are_taken),
        TEST(poison_is_answered_200),
        TEST(debug_says_what_is_wrong_and_a_dry_run_keeps_nothing),
        TEST(the_own_batch_answers_per_event),
        TEST(lines_are_a_batch_too),
        cmocka_unit_test_setup_teardown(a_full_journal_is_503_and_never_4xx, setup_busy, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
