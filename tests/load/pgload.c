/* pgload.c - the same events into PostgreSQL: what one would write without a journal and a pipeline
 * of one's own.
 *
 *   pgload CONNINFO rows|set [EVENTS] [CONNECTIONS] [SEED]
 *
 * rows: one statement an event (insert it unless its message id is there, by unique key; then
 * upsert its profile), a hundred of them pipelined in one transaction: what an application does.
 * set:  one statement a batch, its hundred events as rows of a VALUES list: the fastest form short
 * of COPY, which cannot deduplicate.
 *
 * Both commit once a batch, synchronously, as we do, and touch persons in the order of their keys
 * so that connections do not deadlock. Nobody merges persons here: this is easier than what we do.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "meter.h"

#define BATCH 100
#define FIELDS 6
#define FIELD_MAX (GENERATE_EVENT_BYTES + 1)
#define CONNECTIONS_MAX 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct generate *generate;
static uint64_t left;
static const char *conninfo;
static int rows_per_statement = BATCH;

static const char schema[] =
    "create table event (message_id text primary key, person text not null, name text not null,"
    " event_time timestamptz not null, cents int not null, body jsonb not null);"
    "create table profile (person text primary key, events bigint not null, cents bigint not null,"
    " last_seen timestamptz not null)";

static void fail(const char *what, const PGconn *db)
{
    fprintf(stderr, "pgload: %s: %s\n", what, PQerrorMessage(db));
    exit(1);
}

static PGconn *connect_to(void)
{
    PGconn *db = PQconnectdb(conninfo);
    if (PQstatus(db) != CONNECTION_OK)
        fail("could not connect", db);
    return db;
}

static void run_sql(PGconn *db, const char *sql)
{
    PGresult *result = PQexec(db, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail("could not run", db);
    PQclear(result);
}

static void prepare(PGconn *db)
{
    char sql[BATCH * 64 + 1024]; /* each connection's thread makes its own */
    size_t n = 0, size = sizeof sql;
    n += (size_t)snprintf(
        sql + n, size - n,
        "with fresh as (insert into event select m, p, e, to_timestamp(t::float8 / 1000),"
        " c::int, b::jsonb from (values ");
    for (int i = 0; i < rows_per_statement; i++) {
        int k = i * FIELDS;
        n += (size_t)snprintf(sql + n, size - n, "%s($%d,$%d,$%d,$%d,$%d,$%d)", i > 0 ? "," : "",
                              k + 1, k + 2, k + 3, k + 4, k + 5, k + 6);
    }
    snprintf(sql + n, size - n,
             ") v(m,p,e,t,c,b) on conflict do nothing returning person, event_time, cents) "
             "insert into profile select person, count(*), sum(cents), max(event_time) from fresh "
             "group by person order by person on conflict (person) do update set "
             "events = profile.events + excluded.events, cents = profile.cents + excluded.cents, "
             "last_seen = greatest(profile.last_seen, excluded.last_seen)");
    PGresult *result = PQprepare(db, "batch", sql, rows_per_statement * FIELDS, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail("could not prepare", db);
    PQclear(result);
}

static void fill(const struct generate_event *event, char fields[FIELDS][FIELD_MAX])
{
    generate_message_id(generate, event, fields[0]);
    if (event->user != 0)
        generate_user_id(event->user, fields[1]);
    else
        generate_anonymous_id(event->anonymous, fields[1]);
    snprintf(fields[2], FIELD_MAX, "%s", generate_name(event->name));
    snprintf(fields[3], FIELD_MAX, "%lld", (long long)event->time_ms);
    snprintf(fields[4], FIELD_MAX, "%d", event->cents);
    generate_write(generate, event, fields[5]);
    fields[5][GENERATE_EVENT_BYTES] = '\0';
}

static int compare_persons(const void *a, const void *b)
{
    const struct generate_event *x = a, *y = b;
    uint64_t person_x = x->user != 0 ? x->user : x->anonymous,
             person_y = y->user != 0 ? y->user : y->anonymous;
    if (person_x != person_y)
        return person_x < person_y ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static void expect(PGconn *db, ExecStatusType want, PGresult *result)
{
    if (PQresultStatus(result) != want)
        fail("could not insert", db);
    PQclear(result);
}

static void send_set(PGconn *db, const char *const *values)
{
    expect(db, PGRES_COMMAND_OK,
           PQexecPrepared(db, "batch", BATCH * FIELDS, values, NULL, NULL, 0));
}

/* A pipeline without BEGIN is one transaction up to its sync. False when it has to be run again:
 * two connections deadlock now and then over an event and its duplicate. */
static bool send_rows(PGconn *db, const char *const *values)
{
    bool again = false;
    if (!PQenterPipelineMode(db))
        fail("could not pipeline", db);
    for (int i = 0; i < BATCH; i++)
        if (!PQsendQueryPrepared(db, "batch", FIELDS, values + (ptrdiff_t)i * FIELDS, NULL, NULL,
                                 0))
            fail("could not send", db);
    if (!PQpipelineSync(db))
        fail("could not sync", db);
    for (int i = 0; i < BATCH; i++) {
        PGresult *result = PQgetResult(db);
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (state != NULL && strcmp(state, "40P01") == 0)
            again = true;
        else if (PQresultStatus(result) != PGRES_COMMAND_OK && !again)
            fail("could not insert", db);
        PQclear(result);
        PQgetResult(db); /* the NULL after each */
    }
    expect(db, PGRES_PIPELINE_SYNC, PQgetResult(db));
    if (!PQexitPipelineMode(db))
        fail("could not end the pipeline", db);
    return !again;
}

static void *work(void *unused)
{
    (void)unused;
    PGconn *db = connect_to();
    char(*texts)[FIELDS][FIELD_MAX] = calloc(BATCH, sizeof *texts);
    const char *values[BATCH * FIELDS];
    if (texts == NULL)
        abort();
    for (int i = 0; i < BATCH * FIELDS; i++)
        values[i] = texts[i / FIELDS][i % FIELDS];
    prepare(db);
    for (;;) {
        struct generate_event events[BATCH];
        pthread_mutex_lock(&lock);
        bool any = left >= BATCH;
        left -= any ? BATCH : 0;
        for (int i = 0; i < BATCH && any; i++)
            generate_next(generate, &events[i]);
        pthread_mutex_unlock(&lock);
        if (!any)
            break;
        qsort(events, BATCH, sizeof events[0], compare_persons);
        for (int i = 0; i < BATCH; i++)
            fill(&events[i], texts[i]);
        if (rows_per_statement == BATCH)
            send_set(db, values);
        else
            while (!send_rows(db, values))
                continue;
    }
    free(texts);
    PQfinish(db);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[CONNECTIONS_MAX];
    if (argc < 3 || (strcmp(argv[2], "rows") != 0 && strcmp(argv[2], "set") != 0)) {
        fputs("usage: pgload CONNINFO rows|set [EVENTS] [CONNECTIONS] [SEED]\n", stderr);
        return 2;
    }
    conninfo = argv[1];
    rows_per_statement = strcmp(argv[2], "rows") == 0 ? 1 : BATCH;
    uint64_t events = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000;
    int connections = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 4;
    uint64_t seed = argc > 5 ? strtoull(argv[5], NULL, 10) : 1;
    if (connections < 1 || connections > CONNECTIONS_MAX)
        return 2;
    left = events / BATCH * BATCH;
    generate = generate_new(seed, 1000000, meter_now_us(CLOCK_REALTIME) / 1000);
    PGconn *db = connect_to();
    run_sql(db, schema);
    int64_t started_us = meter_now_us(CLOCK_MONOTONIC);
    for (int i = 0; i < connections; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return 1;
    for (int i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    double seconds = (double)(meter_now_us(CLOCK_MONOTONIC) - started_us) / 1e6;
    PGresult *result =
        PQexec(db, "select (select count(*) from event), (select sum(events) from profile)");
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail("could not count", db);
    printf("{\"form\":\"%s\",\"events\":%llu,\"stored\":%s,\"counted\":%s,\"seconds\":%.3f,"
           "\"rate\":%.0f}\n",
           argv[2], (unsigned long long)(events / BATCH * BATCH), PQgetvalue(result, 0, 0),
           PQgetvalue(result, 0, 1), seconds, (double)(events / BATCH * BATCH) / seconds);
    PQclear(result);
    PQfinish(db);
    generate_free(generate);
    return 0;
}
