/* random.c - 10,000 random live reports on random histories that came through the road, each equal
 * to DuckDB SQL over the view `events`.
 *
 *   random_live [HISTORIES] [REPORTS] [SEED]     4 histories, 10,000 reports
 *
 * A history is sent in parts with reports in between, so that they meet a base, deltas, merges of
 * people and their undoing, and people who were erased. The view's rows are copied into an engine
 * of the test's own (judge.c), where a question is some milliseconds. Cells are opened too: who
 * comes out must be whom SQL counts. The last line says how many reports differed; the first ones
 * are shown with their question and their SQL. */
#include "random_int.h"

#include <ftw.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/json.h"

#define PARTS 5
#define SHOWN 5
#define WORKERS 2
#define NEAR 1e-9

/* --- keys and values -------------------------------------------------------------------------- */

void pair_add(struct pairs *pairs, double value, const char *format, ...)
{
    va_list args;
    if (!isfinite(value) || fabs(value) < NEAR)
        return;
    if (pairs->count == pairs->capacity) {
        pairs->capacity = pairs->capacity == 0 ? 64 : pairs->capacity * 2;
        pairs->list = mem_grow(pairs->list, pairs->capacity * sizeof *pairs->list);
    }
    va_start(args, format);
    vsnprintf(pairs->list[pairs->count].key, sizeof pairs->list->key, format, args);
    va_end(args);
    pairs->list[pairs->count++].value = value;
}

static int pair_order(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static void pairs_sort(struct pairs *pairs)
{
    if (pairs->count > 0)
        qsort(pairs->list, pairs->count, sizeof *pairs->list, pair_order);
}

double pairs_find(const struct pairs *pairs, const char *key)
{
    struct pair wanted;
    snprintf(wanted.key, sizeof wanted.key, "%s", key);
    const struct pair *found =
        pairs->count == 0 ? NULL
                          : bsearch(&wanted, pairs->list, pairs->count, sizeof wanted, pair_order);
    return found == NULL ? 0 : found->value;
}

/* All but the fingerprints, which only opened cells have. */
static const struct pair *next_of(const struct pairs *pairs, size_t *at)
{
    while (*at < pairs->count && strstr(pairs->list[*at].key, "#who_") != NULL)
        ++*at;
    return *at < pairs->count ? &pairs->list[*at] : NULL;
}

static bool pairs_equal(struct test *test)
{
    size_t i = 0, j = 0;
    pairs_sort(&test->got);
    for (;; i++, j++) {
        const struct pair *x = next_of(&test->want, &i), *y = next_of(&test->got, &j);
        if (x == NULL && y == NULL)
            return true;
        if (x != NULL && y != NULL && strcmp(x->key, y->key) == 0 &&
            fabs(x->value - y->value) <= NEAR * fmax(1, fabs(x->value)))
            continue;
        snprintf(test->first, sizeof test->first, "SQL %s = %g, report %s = %g",
                 x == NULL ? "-" : x->key, x == NULL ? 0 : x->value, y == NULL ? "-" : y->key,
                 y == NULL ? 0 : y->value);
        return false;
    }
}

/* --- the engine ------------------------------------------------------------------------------- */

/* The judge's program lies beside this one. */
static void judge_open(struct test *test)
{
    char path[1024];
    int to[2], from[2];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    path[n < 0 ? 0 : n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL || pipe(to) != 0 || pipe(from) != 0)
        fatal("no pipe to the judge");
    snprintf(slash, 16, "/random_judge");
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(to[0], 0);
        (void)dup2(from[1], 1);
        (void)close(to[1]);
        (void)close(from[0]);
        execl(path, path, (char *)NULL);
        _exit(127);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    test->to_judge = fdopen(to[1], "w");
    test->from_judge = fdopen(from[0], "r");
    if (child < 0 || test->to_judge == NULL || test->from_judge == NULL)
        fatal("no judge");
}

static void judge_ask(struct test *test, const char *sql)
{
    fputs(sql, test->to_judge);
    fputc('\0', test->to_judge);
    fflush(test->to_judge);
}

/* The answer to the question that was asked first of those that have none yet. */
static void judge_hear(struct test *test, const char *sql, struct pairs *pairs)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    while ((n = getline(&line, &size, test->from_judge)) > 1) {
        char *tab = strrchr(line, '\t');
        if (tab == NULL)
            fatal("%s%s\n%s", line, sql,
                  test->question.json.p == NULL ? "" : test->question.json.p);
        *tab = '\0';
        pair_add(pairs, strtod(tab + 1, NULL), "%s", line);
    }
    if (n < 0)
        fatal("the judge is gone");
    free(line);
}

static void judge_do(struct test *test, const char *sql)
{
    struct pairs none = {0};
    judge_ask(test, sql);
    judge_hear(test, sql, &none);
}

/* A row as CSV; no text of this test has a quote. */
static void row_write(FILE *file, yyjson_val *row)
{
    yyjson_val *value;
    size_t i, max;
    yyjson_arr_foreach(row, i, max, value)
    {
        fputs(i == 0 ? "" : ",", file);
        if (yyjson_is_str(value))
            fprintf(file, "\"%s\"", yyjson_get_str(value));
        else if (yyjson_is_int(value))
            fprintf(file, "%lld", (long long)yyjson_get_sint(value));
    }
    fputc('\n', file);
}

/* The view's rows, as they are now. */
static void rows_copy(struct test *test)
{
    struct err err;
    struct buf json, sql;
    yyjson_doc *doc;
    yyjson_val *row;
    char path[300];
    buf_init(&json, (size_t)256 << 20);
    buf_init(&sql, 4096);
    must(warehouse_query(test->world.warehouse,
                         "SELECT person, position, epoch_us(time), name, channel, campaign, "
                         "json_extract_string(properties, '$.plan'), "
                         "json_extract_string(properties, '$.n'), CAST(amount AS VARCHAR) "
                         "FROM events",
                         NULL, 0, &json, &err),
         &err);
    must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
    snprintf(path, sizeof path, "%s/rows.csv", test->world.data);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        fatal("could not write %s", path);
    yyjson_arr_iter rows = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
    while ((row = yyjson_arr_iter_next(&rows)) != NULL)
        row_write(file, row);
    if (fclose(file) != 0)
        fatal("could not write %s", path);
    buf_fmt(&sql,
            "CREATE OR REPLACE TABLE ev_all AS SELECT person, row_number() OVER (PARTITION BY "
            "person ORDER BY us, position) AS i, us // 1000000 AS t, name, coalesce(channel, '') "
            "AS channel, coalesce(campaign, '') AS campaign, plan, n, amount FROM read_csv('%s', "
            "header = false, columns = {'person': 'UBIGINT', 'position': 'UBIGINT', 'us': "
            "'BIGINT', 'name': 'VARCHAR', 'channel': 'VARCHAR', 'campaign': 'VARCHAR', 'plan': "
            "'VARCHAR', 'n': 'VARCHAR', 'amount': 'DECIMAL(18,6)'})",
            path);
    judge_do(test, sql.p);
    judge_do(test, "CREATE OR REPLACE TABLE ev AS SELECT * FROM ev_all WHERE person <> 0");
    yyjson_doc_free(doc);
    buf_done(&json);
    buf_done(&sql);
}

/* --- one report ------------------------------------------------------------------------------- */

/* Some event has a property no more: all who had it were erased. */
static const char property_missing[] =
    "SELECT name AS key, count(*) AS n FROM ev_all GROUP BY name HAVING count(plan) = 0 OR "
    "count(n) = "
    "0 UNION ALL SELECT q.name, 1 FROM (VALUES ('visit'), ('view'), ('cart'), ('order'), ('help')) "
    "AS q(name) WHERE q.name NOT IN (SELECT name FROM ev_all)";

static bool answer_is_right(struct test *test, yyjson_val *asked)
{
    struct err err;
    struct buf json;
    yyjson_doc *answer = NULL;
    struct live_run run = {.after = test->world.position};
    struct question *question = &test->question;
    bool same = false, has_before = question->sql_before.n > 0;
    buf_init(&json, (size_t)64 << 20);
    judge_ask(test, question->sql.p);
    if (has_before)
        judge_ask(test, question->sql_before.p);
    enum status status =
        live_report(test->world.live, str_of(question->report), asked, &run, &json, &err);
    judge_hear(test, question->sql.p, &test->want);
    if (has_before)
        judge_hear(test, question->sql_before.p, &test->want);
    if (status == ST_NOT_FOUND && strstr(err.message, "the property") != NULL) {
        judge_ask(test, property_missing);
        judge_hear(test, property_missing, &test->got);
        test->counts.refused++;
        same = test->got.count > 0;
        snprintf(test->first, sizeof test->first, "%s", err.message);
    } else if (status == ST_INVALID && strstr(err.message, "do not go") != NULL) {
        test->counts.refused++;
        same = true;
    } else if (status != ST_OK) {
        snprintf(test->first, sizeof test->first, "%s (%s)", err.message, err.hint);
    } else {
        must(json_parse(NULL, buf_view(&json), &answer, &err), &err);
        pairs_sort(&test->want);
        same = answer_read(test, yyjson_doc_get_root(answer)) && pairs_equal(test);
    }
    yyjson_doc_free(answer);
    buf_done(&json);
    return same;
}

static void report_compare(struct test *test)
{
    struct err err;
    yyjson_doc *asked;
    struct question *question = &test->question;
    question_make(question);
    test->want.count = test->got.count = 0;
    must(json_parse(NULL, buf_view(&question->json), &asked, &err), &err);
    bool same = answer_is_right(test, yyjson_doc_get_root(asked));
    test->counts.reports++;
    if (!same && test->counts.differences++ < SHOWN)
        fprintf(stderr, "%s %s\n  %s\n  %s\n  %s\n", question->report, question->json.p,
                test->first, question->sql.p,
                question->sql_before.n > 0 ? question->sql_before.p : "");
    yyjson_doc_free(asked);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void history(struct test *test, unsigned number, unsigned reports)
{
    char folder[256];
    const char *where = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/hezou-live-XXXXXX", where == NULL ? "/tmp" : where);
    if (mkdtemp(folder) == NULL)
        fatal("no folder in %s", where);
    world_open(&test->world, folder);
    for (unsigned part = 0; part < PARTS; part++) {
        world_send(&test->world, part == 0 ? 350 + number * 37 % 200 : 60);
        if (part > 0)
            world_erase(&test->world, part + 1 == PARTS);
        rows_copy(test);
        for (unsigned i = 0; i < reports / PARTS && test->counts.reports < test->limit; i++)
            report_compare(test);
    }
    test->counts.erased += test->world.erased;
    world_close(&test->world);
    if (nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        fatal("could not remove %s", folder);
}

static struct counts worker_run(unsigned histories, unsigned reports, uint64_t seed)
{
    struct test test = {.limit = reports};
    chance_seed(seed);
    buf_init(&test.question.json, 65536);
    buf_init(&test.question.sql, 65536);
    buf_init(&test.question.sql_before, 65536);
    judge_open(&test);
    judge_do(&test, "SET threads = 1");
    unsigned step = histories * PARTS, each = (reports + step - 1) / step * PARTS;
    for (unsigned h = 0; h < histories; h++)
        history(&test, h, each);
    (void)fclose(test.to_judge);
    (void)fclose(test.from_judge);
    wait(NULL);
    buf_done(&test.question.json);
    buf_done(&test.question.sql);
    buf_done(&test.question.sql_before);
    free(test.want.list);
    free(test.got.list);
    return test.counts;
}

/* A question is one thread's work: so there are two processes. */
int main(int argc, char **argv)
{
    unsigned histories = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 4;
    unsigned reports = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10000;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 20261124;
    struct counts sum = {0}, part;
    int pipes[WORKERS][2];
    for (unsigned w = 0; w < WORKERS; w++) {
        unsigned own = reports / WORKERS + (w < reports % WORKERS);
        pid_t child = pipe(pipes[w]) == 0 ? fork() : -1;
        if (child < 0)
            fatal("no process");
        if (child > 0)
            continue;
        part = worker_run((histories + WORKERS - 1) / WORKERS, own, seed + w);
        _exit(write(pipes[w][1], &part, sizeof part) == sizeof part ? 0 : 1);
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        (void)close(pipes[w][1]);
        if (read(pipes[w][0], &part, sizeof part) != sizeof part)
            fatal("a process ended early"); /* it has said why */
        sum.reports += part.reports;
        sum.differences += part.differences;
        sum.cells += part.cells;
        sum.refused += part.refused;
        sum.erased += part.erased;
    }
    for (unsigned w = 0; w < WORKERS; w++)
        wait(NULL);
    fprintf(stderr, "live: %u cells opened, %u questions refused, %u people erased\n", sum.cells,
            sum.refused, sum.erased);
    printf("live: %u random reports, %u differences\n", sum.reports, sum.differences);
    return sum.differences != 0 || sum.reports != reports;
}
