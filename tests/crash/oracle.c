/* oracle.c - the client that judges: it knows what it sent and what was acknowledged, and nobody
 * can talk it out of it.
 *
 *   oracle --server HEZOU --data DIR --journal FILE [--kills N] [--points FILE] [--cuts N --library
 * FILE] [--disk FOLDER] [--seed N] [--ready-ms 2000]
 *
 * Four clients send batches of 1, 10 or 100 events through the Segment door and our own while the
 * server is killed with SIGKILL at random moments, during recovery too. A batch without an answer
 * is sent again with the same message ids until it is acknowledged; an acknowledged one is NOT sent
 * again, so that a loss cannot be mended by the client. What was sent and what was acknowledged is
 * written to the oracle's own journal and synced, sending first.
 *
 * Then it compares, twice: when all is acknowledged, and once more after it has sent EVERYTHING
 * again (which finds ids that the deduplication forgot). Each acknowledged event is there exactly
 * once; no other is; each person's counter and the report's total agree. With --points the server
 * is started with CRASH_AT=name:1 and must die there by itself; a comparison follows each. With
 * --cuts its power is cut (powercut.c) in place of kills, and with --points and --library at them,
 * with --kills and --disk FOLDER that of the disk beneath DIR (blockcut); DIR.image is a copy of
 * what the last cut left.
 *
 * Exit: 0 all holds, 1 a promise was broken (each said on stdout), 2 the test itself could not be
 * run. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <yyjson.h>

#include "call.h"
#include "cut.h"

#define CLIENTS 4
#define OWN_DOOR "/api/v1/batch"
#define SEGMENT_DOOR "/v1/batch"
#define USERS 200
#define EVENTS_MAX 4000000u /* of one client */
#define BATCH_MAX 100
#define PAGE 20000u         /* ids of one SQL question: below the server's limit of rows */
#define POINT_WAIT_MS 30000 /* a named point must be reached within */
#define VIOLATIONS_SHOWN 20

struct event {
    uint8_t user;
    bool order;
};

struct client {
    int id;
    uint64_t random;
    struct event *events;   /* by number */
    _Atomic uint32_t sent;  /* numbers below were sent at least once */
    _Atomic uint32_t acked; /* numbers below were acknowledged: batches go one after the other */
    _Atomic bool idle;      /* paused, nothing in flight */
    pthread_t thread;
};

struct options {
    const char *server, *data, *journal, *points, *library, *disk;
    int kills, cuts, ready_ms;
    uint64_t seed;
};

static struct options options = {.kills = 20, .ready_ms = 2000, .seed = 1};
static struct client clients[CLIENTS];
static _Atomic bool paused, stopping;
static int port, journal_fd;
static pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t server = -1;
static int server_status; /* once it has ended */
static struct cut next_cut;
static char owner[300], key[512], token[128];
static struct {
    bool asked;              /* to be erased */
    uint32_t below[CLIENTS]; /* acknowledged before that: must be gone, and stay away */
    uint32_t until[CLIENTS]; /* sent before the server was up again: gone or there once */
} erased[USERS];
static int erasures;      /* asked for */
static int erasures_told; /* of those, by a command that came to its end: only power cuts count */
static int days_passed;   /* by the virtual clock, which the journal's time follows and keeps */
static int violations, ready_ms_most;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void rest_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("oracle: ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    if (server > 0)
        kill(server, SIGKILL);
    exit(violations > 0 ? 1 : 2);
}

/* A server that does not come back by itself has broken a promise: no test can go on, and no bug
 * may hide in it. */
__attribute__((noreturn)) static void broken(const char *what)
{
    printf("VIOLATION: %s\n", what);
    if (server > 0)
        kill(server, SIGKILL);
    exit(1);
}

__attribute__((format(printf, 1, 2))) static void violation(const char *format, ...)
{
    violations++;
    if (violations > VIOLATIONS_SHOWN)
        return;
    va_list args;
    va_start(args, format);
    printf("VIOLATION: ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* --- the clients ------------------------------------------------------------------------------ */

/* Our own journal: what is in it happened, whatever becomes of the server. */
static void note(const char *what, int client, uint32_t first, uint32_t count)
{
    char line[96];
    int n = snprintf(line, sizeof line, "%s c%d %u %u\n", what, client, first, count);
    pthread_mutex_lock(&journal_lock);
    bool written = write(journal_fd, line, (size_t)n) == n && fdatasync(journal_fd) == 0;
    pthread_mutex_unlock(&journal_lock);
    if (!written)
        give_up("could not write its own journal: %s", strerror(errno));
}

/* The same event in the words of the door that takes it. */
static size_t make_event(const struct client *client, uint32_t number, bool own, char *out,
                         size_t room)
{
    const struct event *event = &client->events[number];
    const char *name = event->order ? "Order Completed" : "Product Viewed";
    char anonymous[64] = "";
    if (number % 5 == 0)
        snprintf(anonymous, sizeof anonymous, ",\"%s\":\"a%04d\"",
                 own ? "anonymous_id" : "anonymousId", event->user);
    int n = own ? snprintf(out, room,
                           "{\"message_id\":\"c%d-%010u\",\"name\":\"%s\","
                           "\"identifiers\":{\"user_id\":\"u%04d\"%s},",
                           client->id, number, name, event->user, anonymous)
                : snprintf(out, room,
                           "{\"messageId\":\"c%d-%010u\",\"type\":\"track\",\"event\":\"%s\","
                           "\"userId\":\"u%04d\"%s,",
                           client->id, number, name, event->user, anonymous);
    return (size_t)n +
           (size_t)snprintf(out + n, room - (size_t)n,
                            "\"properties\":{\"order_id\":\"c%d-%u\",\"revenue\":%u.%02u,"
                            "\"currency\":\"CNY\"}}",
                            client->id, number, number % 90 + 10, number % 100);
}

static size_t make_batch(const struct client *client, uint32_t first, uint32_t count, bool own,
                         char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, "{\"%s\":[", own ? "events" : "batch");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            out[n++] = ',';
        n += make_event(client, first + i, own, out + n, room - n);
    }
    return n + (size_t)snprintf(out + n, room - n, "]}");
}

/* The last position that our own door named, for `after=`. */
static void keep_token(const char *body, size_t n)
{
    yyjson_doc *doc = yyjson_read(body, n, 0);
    const char *position = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "position"));
    if (position != NULL)
        snprintf(token, sizeof token, "%s", position);
    yyjson_doc_free(doc);
}

/* Until it is acknowledged, however often the server dies meanwhile. False only when the test
 * stops. */
static bool deliver(struct client *client, struct call *call, uint32_t first, uint32_t count,
                    const char *path, bool wants_token)
{
    static _Thread_local char body[BATCH_MAX * 320 + 64];
    size_t n = make_batch(client, first, count, strcmp(path, OWN_DOOR) == 0, body, sizeof body);
    while (!stopping) {
        int code = call_send(call, "POST", path, key, body, n);
        if (code >= 200 && code < 300) {
            if (call->rejected > 0)
                give_up("%s rejected %d events: %s", path, call->rejected, call->body);
            if (wants_token)
                keep_token(call->body, call->body_n);
            return true;
        }
        if (code != CALL_CUT && code != 503 && code != 429)
            give_up("%s answered %d: %s", path, code, call->body);
        if (code != CALL_CUT && call->retry_after_s == 0)
            violation("%s answered %d without Retry-After", path, code);
        rest_ms(code == CALL_CUT ? 5 : 100);
    }
    return false;
}

static void *run_client(void *context)
{
    struct client *client = context;
    struct call call;
    call_init(&call, port);
    while (!stopping && client->sent + BATCH_MAX < EVENTS_MAX) {
        if (paused) {
            client->idle = true;
            rest_ms(2);
            continue;
        }
        client->idle = false;
        uint64_t x = draw(&client->random);
        uint32_t count = x % 20 < 12 ? 1 : x % 20 < 19 ? 10 : 100, first = client->sent;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t y = draw(&client->random);
            client->events[first + i] =
                (struct event){.user = (uint8_t)(y % USERS), .order = (y >> 32) % 10 == 0};
        }
        note("sent", client->id, first, count);
        client->sent = first + count;
        if (!deliver(client, &call, first, count, (x >> 8) % 2 == 0 ? SEGMENT_DOOR : OWN_DOOR,
                     false))
            break;
        note("acked", client->id, first, count);
        client->acked = first + count;
        rest_ms((int64_t)((x >> 16) % 4));
    }
    client->idle = true;
    call_done(&call);
    return NULL;
}

/* A flush comes every ten seconds, and few servers here live that long: the digest flushes first,
 * so asking for it at random moments lets kills meet flushes. Its answers are another test's
 * matter. */
static void *run_flusher(void *unused)
{
    (void)unused;
    uint64_t random = options.seed + 77;
    struct call call;
    call_init(&call, port);
    while (!stopping) {
        rest_ms(50 + (int64_t)(draw(&random) % 400));
        if (!paused)
            call_send(&call, "GET", "/api/v1/doctor/digest", owner, NULL, 0);
    }
    call_done(&call);
    return NULL;
}

/* Nothing in flight and everything acknowledged; the server must be up. */
static void pause_clients(void)
{
    int64_t deadline = now_ms() + 60000;
    paused = true;
    for (int i = 0; i < CLIENTS; i++)
        while (!clients[i].idle || clients[i].acked != clients[i].sent) {
            if (now_ms() > deadline)
                give_up("client %d got no answer for 60 s", i);
            rest_ms(2);
        }
}

static uint64_t acked_total(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < CLIENTS; i++)
        sum += clients[i].acked;
    return sum;
}

/* --- the server ------------------------------------------------------------------------------- */

static void start_server(const char *crash_at, const char *data, const char *clock)
{
    char port_text[16];
    snprintf(port_text, sizeof port_text, "%d", port);
    fflush(stdout);
    server = fork();
    if (server < 0)
        give_up("could not fork: %s", strerror(errno));
    if (server > 0) {
        if (next_cut.library != NULL)
            cut_parent(&next_cut);
        return;
    }
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    if (crash_at != NULL)
        setenv("CRASH_AT", crash_at, 1);
    if (next_cut.library != NULL)
        cut_child(&next_cut, data);
    execl(options.server, options.server, "serve", "--data", data, "--port", port_text, "--clock",
          clock, (char *)NULL);
    perror(options.server);
    _exit(127);
}

/* True while it runs; reaps it when it has ended. */
static bool is_running(void)
{
    if (server > 0 && waitpid(server, &server_status, WNOHANG) == server)
        server = -1;
    return server > 0;
}

static void kill_server(int signal)
{
    if (server <= 0)
        return;
    kill(server, signal);
    waitpid(server, &server_status, 0);
    server = -1;
}

static bool is_ready(void)
{
    struct call call;
    call_init(&call, port);
    int code = call_send(&call, "GET", "/readyz", NULL, NULL, 0);
    call_done(&call);
    return code == 200;
}

/* Returns the milliseconds it took; -1 when the server died or `limit_ms` passed. */
static int wait_ready(int64_t started, int64_t limit_ms)
{
    while (now_ms() - started < limit_ms) {
        if (!is_running())
            return -1;
        if (is_ready())
            return (int)(now_ms() - started);
        rest_ms(5);
    }
    return -1;
}

/* A start that must succeed, and in time. */
static int start_ready(void)
{
    int64_t started = now_ms();
    start_server(NULL, options.data, "system");
    int took = wait_ready(started, 60000);
    if (took < 0 && token[0] == '\0' && acked_total() == 0)
        give_up("the server did not get ready on an empty folder");
    if (took < 0)
        broken("the server did not get ready after a crash");
    if (took > options.ready_ms)
        violation("ready after %d ms (limit %d)", took, options.ready_ms);
    if (took > ready_ms_most)
        ready_ms_most = took;
    return took;
}

static void encode_base64(const char *text, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < n ? (unsigned char)text[i + k] : 0u);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < n ? digits[v & 63] : '=';
    }
    *out = '\0';
}

/* The owner key of a data directory, as an Authorization. */
static void read_owner(const char *data, char *ret, size_t size)
{
    char path[4200], text[200] = "";
    snprintf(path, sizeof path, "%s/owner.key", data);
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(text, sizeof text, file) == NULL)
        give_up("could not read %s", path);
    fclose(file);
    text[strcspn(text, "\r\n")] = '\0';
    snprintf(ret, size, "Bearer %s", text);
}

/* A source and its write key by the API. */
static void make_source(void)
{
    char basic[256], coded[400];
    static const char body[] = "{\"name\":\"oracle\",\"channel\":\"web\"}";
    struct call call;
    read_owner(options.data, owner, sizeof owner);
    call_init(&call, port);
    int code = call_send(&call, "POST", "/api/v1/sources", owner, body, sizeof body - 1);
    yyjson_doc *doc = yyjson_read(call.body, call.body_n, 0);
    const char *made = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "key"));
    if (code < 200 || code > 299 || made == NULL)
        give_up("could not make a source: %d %s", code, call.body);
    snprintf(basic, sizeof basic, "%s:", made);
    encode_base64(basic, strlen(basic), coded);
    snprintf(key, sizeof key, "Basic %s", coded);
    yyjson_doc_free(doc);
    call_done(&call);
}

/* --- the comparison --------------------------------------------------------------------------- */

static yyjson_doc *ask(struct call *call, const char *method, const char *path, const char *body)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s%s", path, token[0] != '\0' ? "?after=" : "", token);
    int code = call_send(call, method, full, owner, body, body == NULL ? 0 : strlen(body));
    if (code == 404 && token[0] != '\0') {
        violation("position %s was acknowledged and is not there: %s", token, call->body);
        rest_ms(200); /* late or lost? What follows says it */
        code = call_send(call, method, full, owner, body, body == NULL ? 0 : strlen(body));
    }
    if (code != 200)
        give_up("%s %s answered %d: %s", method, full, code, call->body);
    yyjson_doc *doc = yyjson_read(call->body, call->body_n, 0);
    if (doc == NULL)
        give_up("%s %s answered no JSON", method, full);
    return doc;
}

static yyjson_doc *ask_sql(struct call *call, const char *sql)
{
    char body[512];
    snprintf(body, sizeof body, "{\"sql\":\"%s\"}", sql);
    yyjson_doc *doc = ask(call, "POST", "/api/v1/sql", body);
    if (yyjson_is_true(yyjson_obj_get(yyjson_doc_get_root(doc), "truncated")))
        give_up("the answer to %s was cut", sql);
    return doc;
}

static bool must_be_gone(const struct client *client, uint32_t number)
{
    uint8_t user = client->events[number].user;
    return erased[user].asked && number < erased[user].below[client->id];
}

static bool may_be_gone(const struct client *client, uint32_t number)
{
    uint8_t user = client->events[number].user;
    return erased[user].asked && number < erased[user].until[client->id];
}

static void check_page(struct call *call, const struct client *client, uint32_t from, uint32_t to)
{
    char sql[256];
    static uint8_t seen[PAGE];
    memset(seen, 0, sizeof seen);
    snprintf(sql, sizeof sql,
             "SELECT message_id, count(*) FROM events WHERE message_id >= 'c%d-%010u' AND "
             "message_id < 'c%d-%010u' "
             "GROUP BY message_id",
             client->id, from, client->id, to);
    yyjson_doc *doc = ask_sql(call, sql);
    yyjson_val *row;
    yyjson_arr_iter rows = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
    while ((row = yyjson_arr_iter_next(&rows)) != NULL) {
        const char *id = yyjson_get_str(yyjson_arr_get(row, 0));
        uint64_t count = yyjson_get_uint(yyjson_arr_get(row, 1));
        uint32_t number = id == NULL ? UINT32_MAX : (uint32_t)strtoul(id + 3, NULL, 10);
        if (number < from || number >= to || number >= client->sent)
            violation("an event that nobody sent: %s", id == NULL ? "null" : id);
        else if (must_be_gone(client, number))
            violation("erased and there: %s", id);
        else if (count != 1)
            violation("duplicate: %s is there %llu times", id, (unsigned long long)count);
        if (number >= from && number < to)
            seen[number - from] = 1;
    }
    yyjson_doc_free(doc);
    for (uint32_t number = from; number < to && number < client->acked; number++)
        if (!seen[number - from] && !may_be_gone(client, number))
            violation("lost: c%d-%010u was acknowledged", client->id, number);
}

static void check_profiles(struct call *call)
{
    uint64_t expected[USERS] = {0};
    for (int c = 0; c < CLIENTS; c++)
        for (uint32_t i = 0; i < clients[c].acked; i++)
            expected[clients[c].events[i].user]++;
    for (int user = 0; user < USERS; user++) {
        char path[128];
        if (expected[user] == 0 || erased[user].asked)
            continue;
        snprintf(path, sizeof path, "/api/v1/profiles/user_id:u%04d", user);
        yyjson_doc *doc = ask(call, "GET", path, NULL);
        yyjson_val *total = yyjson_obj_get(yyjson_doc_get_root(doc), "events_total");
        if (!yyjson_is_num(total) || yyjson_get_uint(total) != expected[user])
            violation("the profile of u%04d counts %llu events, %llu were acknowledged", user,
                      (unsigned long long)yyjson_get_uint(total),
                      (unsigned long long)expected[user]);
        yyjson_doc_free(doc);
    }
}

static void check_total(yyjson_val *totals, const char *name, uint64_t expected)
{
    yyjson_val *total = yyjson_obj_get(totals, name);
    if (!yyjson_is_num(total) || yyjson_get_uint(total) != expected)
        violation("the report counts %llu %s, %llu were acknowledged",
                  (unsigned long long)yyjson_get_uint(total), name, (unsigned long long)expected);
}

static void check_report(struct call *call)
{
    uint64_t orders = 0;
    if (erasures > 0)
        return; /* whose events the report counts is then another test's matter */
    for (int c = 0; c < CLIENTS; c++)
        for (uint32_t i = 0; i < clients[c].acked; i++)
            orders += clients[c].events[i].order;
    yyjson_doc *doc = ask(call, "GET", "/api/v1/reports/overview", NULL);
    yyjson_val *totals = yyjson_obj_get(yyjson_doc_get_root(doc), "totals");
    check_total(totals, "events", acked_total());
    check_total(totals, "orders", orders);
    yyjson_doc_free(doc);
}

/* What was begun is finished, and the ledger says so. */
static void check_erasures(struct call *call)
{
    if (erasures == 0)
        return;
    yyjson_doc *doc = ask(call, "GET", "/api/v1/erasures", NULL);
    yyjson_val *one, *list = yyjson_obj_get(yyjson_doc_get_root(doc), "erasures");
    size_t least = (size_t)(options.cuts > 0 ? erasures_told : erasures);
    if (yyjson_arr_size(list) < least || yyjson_arr_size(list) > (size_t)erasures)
        violation("the ledger has %zu erasures, %d were begun", yyjson_arr_size(list), erasures);
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    while ((one = yyjson_arr_iter_next(&iter)) != NULL) {
        const char *state = yyjson_get_str(yyjson_obj_get(one, "state"));
        if (state == NULL || strcmp(state, "done") != 0)
            violation("an erasure was left unfinished: %s", state == NULL ? "null" : state);
    }
    yyjson_doc_free(doc);
}

/* One more event through our own door: its position lies behind all others, so `after=` it means
 * all. */
static void refresh_token(struct call *call)
{
    struct client *client = &clients[0];
    uint32_t number = client->sent;
    client->events[number] = (struct event){0};
    note("sent", 0, number, 1);
    client->sent = number + 1;
    token[0] = '\0';
    if (!deliver(client, call, number, 1, OWN_DOOR, true) || token[0] == '\0')
        give_up(OWN_DOOR " named no position: %s", call->body);
    note("acked", 0, number, 1);
    client->acked = number + 1;
}

/* The clients are paused and the server is up. */
static void compare(const char *when)
{
    struct call call;
    int before = violations;
    call_init(&call, port);
    refresh_token(&call);
    for (int c = 0; c < CLIENTS; c++)
        for (uint32_t from = 0; from < clients[c].sent; from += PAGE)
            check_page(&call, &clients[c], from, from + PAGE);
    check_profiles(&call);
    check_report(&call);
    check_erasures(&call);
    printf("compared %s: %llu acknowledged, %d violations\n", when,
           (unsigned long long)acked_total(), violations - before);
    call_done(&call);
}

static void send_all_again(void)
{
    struct call call;
    call_init(&call, port);
    for (int c = 0; c < CLIENTS; c++)
        for (uint32_t first = 0; first < clients[c].acked; first += BATCH_MAX) {
            uint32_t left = clients[c].acked - first;
            deliver(&clients[c], &call, first, left < BATCH_MAX ? left : BATCH_MAX, OWN_DOOR,
                    false);
        }
    call_done(&call);
}

/* --- the tests -------------------------------------------------------------------------------- */

/* With --disk the power of the disk goes first, so that the server never knows. */
static void end_life(void)
{
    fflush(stdout);
    if (options.disk != NULL && !cut_disk("cut", options.disk))
        give_up("could not cut the disk's power");
    kill_server(SIGKILL);
    if (options.disk != NULL && !cut_disk("again", options.disk))
        give_up("could not mount the disk again");
}

/* F1. Half of the lives are counted from the start, so that recovery is cut too. */
static void run_kills(uint64_t *random)
{
    for (int i = 1; i <= options.kills; i++) {
        uint64_t x = draw(random);
        int64_t started = now_ms(), life = 20 + (int64_t)(x % 1481);
        int took = -1;
        start_server(NULL, options.data, "system");
        if ((x >> 32) % 2 == 0) {
            took = wait_ready(started, 60000);
            if (took < 0)
                broken("the server did not get ready after a kill");
            if (took > options.ready_ms)
                violation("ready %d ms after kill %d (limit %d)", took, i - 1, options.ready_ms);
            if (took > ready_ms_most)
                ready_ms_most = took;
        }
        rest_ms(life);
        if (!is_running())
            broken("the server ended by itself");
        end_life();
        printf("kill %d: %lld ms after %s, %llu acknowledged\n", i, (long long)life,
               took >= 0 ? "it was ready" : "its start", (unsigned long long)acked_total());
    }
    start_ready();
    pause_clients();
    compare("after the kills");
    send_all_again();
    compare("after everything was sent again");
}

/* A command of hezou beside the load, for points that no event reaches: `erase user_id:u0007
 * --yes`.
 */
static pid_t run_command(char *words)
{
    char *args[16], port_text[16], *word;
    int n = 0;
    unsigned user;
    args[n++] = (char *)options.server;
    if (sscanf(words, "erase user_id:u%u", &user) == 1 && user < USERS) {
        erased[user].asked = true;
        erasures++;
        for (int c = 0; c < CLIENTS; c++) {
            erased[user].below[c] = clients[c].acked;
            erased[user].until[c] = UINT32_MAX;
        }
    }
    while (n < 12 && (word = strsep(&words, " ")) != NULL)
        if (*word != '\0')
            args[n++] = word;
    snprintf(port_text, sizeof port_text, "%d", port);
    args[n++] = "--data";
    args[n++] = (char *)options.data;
    args[n] = NULL;
    pid_t child = fork();
    if (child == 0) {
        execv(options.server, args);
        _exit(127);
    }
    return child;
}

/* The first event of a data directory; its answer may be cut, that is the point. True if it was
 * acknowledged. */
static bool send_first(const char *data)
{
    static const char body[] = "{\"events\":[{\"message_id\":\"first\",\"name\":\"Product Viewed\","
                               "\"identifiers\":{\"user_id\":\"u1\"}}]}";
    char secret[300];
    struct call call;
    read_owner(data, secret, sizeof secret);
    call_init(&call, port);
    int code = call_send(&call, "POST", OWN_DOOR, secret, body, sizeof body - 1);
    call_done(&call);
    return code >= 200 && code < 300;
}

/* With --library it is the power that goes at a named point. */
static void point_plan(void)
{
    static uint64_t random;
    if (options.library == NULL)
        return;
    if (random == 0)
        random = options.seed;
    cut_plan(&next_cut, options.library, draw(&random));
    next_cut.at[0] = '\0';
}

static void point_told(const char *name, const char *data)
{
    char report[4096];
    if (options.library == NULL)
        return;
    uint64_t seed = next_cut.seed;
    if (!cut_told(&next_cut, server_status, report, sizeof report))
        violation("the server ended by itself before %s", name);
    else if (!cut_keep(data, options.data))
        give_up("could not copy what the cut left");
    printf("cut at %s: image %llu: %s\n", name, (unsigned long long)seed, report);
    fflush(stdout);
}

/* A point that only the first start or the first event of a data directory passes: die there, and
 * start again. */
static void crash_fresh(const char *name, const char *at)
{
    char data[4096];
    snprintf(data, sizeof data, "%s.%s", options.data, name);
    int64_t started = now_ms();
    point_plan();
    start_server(at, data, "system");
    if (wait_ready(started, POINT_WAIT_MS) >= 0)
        send_first(data);
    while (is_running() && now_ms() - started < POINT_WAIT_MS)
        rest_ms(5);
    if (server > 0)
        violation("point %s was not reached by a first start", name);
    kill_server(SIGKILL);
    point_told(name, data);
    started = now_ms();
    start_server(NULL, data, "system");
    if (wait_ready(started, POINT_WAIT_MS) < 0)
        violation("no start after a crash at %s", name);
    else
        send_first(data);
    kill_server(SIGKILL);
    printf("a first start that crashed at %s can be repeated\n", name);
}

/* Days go by while nobody sends, by the clock of the test build. */
static void pass_days(int days)
{
    char body[64];
    struct call call;
    days_passed += days;
    int n = snprintf(body, sizeof body, "{\"advance_ms\":%lld}", days_passed * 86400000LL);
    call_init(&call, port);
    if (call_send(&call, "POST", "/test/clock", owner, body, (size_t)n) != 200)
        give_up("/test/clock: %s", call.body);
    call_done(&call);
}

/* What must happen beside the load so that the point is reached; the child that does it, or -1. */
static pid_t provoke(char *command)
{
    int days;
    if (command == NULL)
        return -1;
    if (sscanf(command, "days %d", &days) == 1) {
        pass_days(days);
        return -1;
    }
    paused = false;
    rest_ms(300); /* so that there is something to erase, to flush */
    if (strcmp(command, "stop") != 0)
        return run_command(command);
    kill(server, SIGTERM);
    return -1;
}

static void erased_until_now(void)
{
    for (int user = 0; user < USERS; user++)
        for (int c = 0; c < CLIENTS; c++)
            if (erased[user].until[c] == UINT32_MAX)
                erased[user].until[c] = clients[c].sent;
}

static void crash_at(const char *name, char *command)
{
    char at[128], when[160];
    int64_t started = now_ms();
    bool days = command != NULL && strncmp(command, "days ", 5) == 0;
    snprintf(at, sizeof at, "%s%s", name, strchr(name, ':') == NULL ? ":1" : "");
    if (command != NULL && strcmp(command, "fresh") == 0) {
        crash_fresh(name, at);
        return;
    }
    point_plan();
    start_server(at, options.data, days ? "virtual" : "system");
    pid_t child = -1;
    if (command == NULL || wait_ready(started, POINT_WAIT_MS) >= 0)
        child = provoke(command);
    paused = false;
    while (is_running() && now_ms() - started < POINT_WAIT_MS)
        rest_ms(5);
    if (server > 0) {
        violation("point %s was not reached within %d ms", name, POINT_WAIT_MS);
        kill_server(SIGKILL);
    }
    point_told(name, options.data);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    int64_t reached = now_ms() - started;
    start_ready();
    pause_clients();
    erased_until_now();
    snprintf(when, sizeof when, "after a crash at %s (%lld ms)", name, (long long)reached);
    compare(when);
    kill_server(SIGKILL);
}

static void compare_again(void)
{
    start_ready();
    pause_clients();
    send_all_again();
    compare("after everything was sent again");
}

/* F2. The file's lines are explained in tests/crash/points. Once days have gone by, message ids are
 * forgotten as promised, so all is sent again before the first of them. */
static void run_points(void)
{
    char line[256];
    FILE *file = fopen(options.points, "r");
    int count = 0;
    if (file == NULL)
        give_up("could not open %s", options.points);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *command = line, *name = strsep(&command, " ");
        if (*name == '\0' || *name == '#')
            continue;
        while (command != NULL && *command == ' ')
            command++;
        if (command != NULL && strncmp(command, "days ", 5) == 0 && days_passed == 0) {
            compare_again();
            kill_server(SIGKILL);
        }
        crash_at(name, command != NULL && *command != '\0' ? command : NULL);
        count++;
    }
    fclose(file);
    if (days_passed == 0)
        compare_again();
    printf("%d points\n", count);
}

/* --- power cuts ------------------------------------------------------------------------------- */

/* The power goes, now if it did not go by itself. */
static void power_off(int number, const char *data, const char *when)
{
    char report[4096];
    uint64_t seed = next_cut.seed;
    int64_t started = now_ms();
    if (is_running())
        cut_now(&next_cut);
    while (is_running() && now_ms() - started < 20000)
        rest_ms(2);
    kill_server(SIGKILL);
    if (!cut_told(&next_cut, server_status, report, sizeof report))
        broken("the server ended by itself");
    if (!cut_keep(data, options.data))
        give_up("could not copy what the cut left");
    printf("cut %d: image %llu, %s %s, %llu acknowledged: %s\n", number, (unsigned long long)seed,
           next_cut.at[0] != '\0' ? next_cut.at : "by the clock", when,
           (unsigned long long)acked_total(), report);
    fflush(stdout);
}

/* It was acknowledged and is there, once, sooner or later. */
static void find_first(const char *data)
{
    static const char sql[] =
        "{\"sql\":\"SELECT count(*) FROM events WHERE message_id = 'first'\"}";
    char secret[300];
    struct call call;
    int code = 0, count = -1;
    read_owner(data, secret, sizeof secret);
    call_init(&call, port);
    for (int tries = 0; tries < 100 && count <= 0; tries++) {
        rest_ms(tries == 0 ? 0 : 50);
        code = call_send(&call, "POST", "/api/v1/sql", secret, sql, sizeof sql - 1);
        const char *rows = code == 200 ? strstr(call.body, "\"rows\":[[") : NULL;
        count = rows == NULL ? -1 : (int)strtol(rows + 9, NULL, 10);
    }
    if (count != 1)
        violation("the first event was acknowledged and is there %d times (code %d)", count, code);
    call_done(&call);
}

/* The power goes in the first seconds of a data directory, which then still can be begun. */
static void cut_fresh(int number, uint64_t x)
{
    char data[4096];
    snprintf(data, sizeof data, "%s.fresh", options.data);
    if (!cut_clear(data))
        give_up("could not remove %s", data);
    int64_t started = now_ms(), life = 20 + (int64_t)(x % 300);
    cut_plan(&next_cut, options.library, x);
    snprintf(next_cut.at, sizeof next_cut.at, "%s:%u", x % 2 == 0 ? "sync" : "name",
             (unsigned)(x >> 8) % 40 + 1);
    start_server(NULL, data, "system");
    bool told = wait_ready(started, 60000) >= 0 && send_first(data);
    for (started = now_ms(); is_running() && now_ms() - started < life;)
        rest_ms(5);
    power_off(number, data, "in a first start");
    started = now_ms();
    start_server(NULL, data, "system");
    if (wait_ready(started, 60000) < 0)
        broken("no first start after a cut in one");
    if (told)
        find_first(data);
    else if (!send_first(data))
        violation("the server takes no event after a cut in its first start");
    kill_server(SIGKILL);
}

/* An erase beside the load. When it was cut off nobody knows whether it was begun, so it is asked
 * for once more at the next start, and then it must be done. */
static pid_t erase_run(int user)
{
    char words[64];
    snprintf(words, sizeof words, "erase user_id:u%04d --yes", user);
    return run_command(words);
}

static bool erase_ended(pid_t child, bool wait)
{
    int status = 1;
    if (!wait)
        rest_ms(20); /* for an answer that is on its way */
    if (waitpid(child, &status, wait ? 0 : WNOHANG) != child) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    erasures_told += status == 0;
    return status == 0;
}

/* All that was acknowledged is there, and all that is erased is not. */
static void after_a_cut(int *unsure)
{
    start_ready();
    if (*unsure >= 0)
        erase_ended(erase_run(*unsure), true);
    *unsure = -1;
    pause_clients();
    erased_until_now();
    compare("after the cut");
    paused = false;
    kill_server(SIGKILL);
}

/* F5. As F1, but what was not synced may be lost, whole or in parts. Half of the lives are counted
 * from the start, so that recovery is cut too; in the others all that was acknowledged is looked
 * for first. In the second half somebody is being erased. */
static void run_cuts(uint64_t *random)
{
    int unsure = -1;
    for (int i = 1; i <= options.cuts && violations == 0; i++)
        cut_fresh(i, draw(random));
    paused = false;
    for (int i = 1; i <= options.cuts && violations == 0; i++) {
        uint64_t x = draw(random);
        int64_t life = 20 + (int64_t)(x % 1481);
        bool whole = (x >> 32) % 2 == 0;
        int took = -1;
        pid_t erase = -1;
        if (whole && i > 1)
            after_a_cut(&unsure);
        cut_plan(&next_cut, options.library, draw(random));
        int64_t started = now_ms();
        start_server(NULL, options.data, "system");
        if (whole)
            took = wait_ready(started, 60000);
        if (took >= 0 && i > options.cuts / 2)
            erase = erase_run(unsure = USERS - 1 - i % 100);
        int64_t until = now_ms() + life;
        while (is_running() && now_ms() < until)
            rest_ms(5);
        power_off(i, options.data, took >= 0 ? "after it was ready" : "in its start");
        if (erase > 0 && erase_ended(erase, false))
            unsure = -1;
    }
    if (violations > 0)
        return;
    after_a_cut(&unsure);
    start_ready();
    pause_clients();
    send_all_again();
    compare("after everything was sent again");
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, n) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        give_up("no free port: %s", strerror(errno));
    close(fd);
    return ntohs(address.sin_port);
}

static void read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"server", 1, NULL, 's'},   {"data", 1, NULL, 'd'},   {"journal", 1, NULL, 'j'},
        {"kills", 1, NULL, 'k'},    {"points", 1, NULL, 'p'}, {"seed", 1, NULL, 'S'},
        {"ready-ms", 1, NULL, 'r'}, {"cuts", 1, NULL, 'c'},   {"library", 1, NULL, 'l'},
        {"disk", 1, NULL, 'D'},     {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (option) {
        case 's':
            options.server = optarg;
            break;
        case 'd':
            options.data = optarg;
            break;
        case 'j':
            options.journal = optarg;
            break;
        case 'p':
            options.points = optarg;
            break;
        case 'c':
            options.cuts = (int)strtol(optarg, NULL, 10);
            break;
        case 'D':
            options.disk = optarg;
            break;
        case 'l':
            options.library = optarg;
            break;
        case 'k':
            options.kills = (int)strtol(optarg, NULL, 10);
            break;
        case 'r':
            options.ready_ms = (int)strtol(optarg, NULL, 10);
            break;
        case 'S':
            options.seed = strtoull(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    if (options.server == NULL || options.data == NULL || options.journal == NULL)
        give_up("--server, --data and --journal are needed");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    uint64_t random = options.seed;
    port = free_port();
    journal_fd = open(options.journal, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (journal_fd < 0)
        give_up("could not open %s: %s", options.journal, strerror(errno));
    printf("seed %llu, %s\n", (unsigned long long)options.seed,
           options.points != NULL ? "named points"
           : options.cuts > 0     ? "power cuts"
                                  : "random kills");
    start_ready();
    make_source();
    kill_server(SIGKILL);
    paused = options.points != NULL || options.cuts > 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].id = i;
        clients[i].random = options.seed * CLIENTS + (uint64_t)i + 1000;
        clients[i].events = calloc(EVENTS_MAX, sizeof *clients[i].events);
        if (clients[i].events == NULL ||
            pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
            give_up("could not start client %d", i);
    }
    pthread_t flusher;
    if (pthread_create(&flusher, NULL, run_flusher, NULL) != 0)
        give_up("could not start the flusher");
    if (options.points != NULL)
        run_points();
    else if (options.cuts > 0)
        run_cuts(&random);
    else
        run_kills(&random);
    stopping = true;
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
    pthread_join(flusher, NULL);
    kill_server(SIGTERM);
    printf("%llu acknowledged, %d violations, ready in at most %d ms\n",
           (unsigned long long)acked_total(), violations, ready_ms_most);
    return violations > 0;
}
