/* random_sequence.c - random patterns and retentions by conditions on random histories that came
 * through the road, each equal to SQL over the view `events`.
 *
 *   random_sequence [HISTORIES] [REPORTS] [SEED]     2 histories, 400 reports
 *
 * Two judges that know nothing of the search. CHAINS: steps with a gap between every two of them
 * (none, any, a distance in time); from the last step to the first each event is joined to the
 * nearest one from which the rest can follow, and matches that do not overlap are counted by a
 * recursive query. LETTERS: patterns without times as regular expressions over one text a person,
 * where an event is a letter for the steps that it is; matches are those that the engine finds.
 * Numbers and the people behind them are compared: ids folded by XOR. */
#include "random.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/json.h"

#define PARTS 3 /* of a history */
#define SHOWN 5
#define STEPS 3
#define TOKENS_MAX 6
#define LINES_MAX 400

/* What one side says: of people also who they are. */
struct line {
    char key[64];
    double number;
    uint64_t who;
    struct str cell; /* of a report */
};

struct test {
    struct world world;
    struct buf json, sql;
    const char *report;
    struct line want[LINES_MAX], got[LINES_MAX];
    size_t wants, gots;
    unsigned reports, differences, cells, matched; /* matched: somebody did it */
};

/* --- a question ------------------------------------------------------------------------------- */

struct asked {
    unsigned steps;
    unsigned tokens; /* of a pattern */
    unsigned step_of[TOKENS_MAX];
    char gap[TOKENS_MAX][48]; /* chains: SQL of the gap before token k */
    bool by_channel;
};

static bool is_one_in(uint32_t n)
{
    return chance(n) == 0;
}

/* "from", "to", "where", "steps" (or "conditions") into the question; CTE s with the events that
 * are some step: person, j, t, channel, s1 … */
static void steps_make(struct test *test, struct asked *asked, const char *member)
{
    struct buf *json = &test->json, *sql = &test->sql;
    int64_t midnight = NOW_US / US_PER_S / 86400 * 86400;
    int64_t to = midnight - chance(8) * INT64_C(86400),
            from = to - (1 + chance(16)) * INT64_C(86400);
    char texts[2][32], conditions[STEPS][120];
    bool where = is_one_in(4);
    for (int i = 0; i < 2; i++) {
        struct tm parts;
        time_t at = i == 0 ? from : to;
        strftime(texts[i], sizeof texts[i], "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &parts));
    }
    buf_fmt(json, "{\"from\":\"%s\",\"to\":\"%s\"%s,\"%s\":[", texts[0], texts[1],
            where ? ",\"where\":[{\"channel\":\"app\",\"op\":\"!=\"}]" : "", member);
    asked->steps = 1 + chance(STEPS);
    for (unsigned k = 0; k < asked->steps; k++) {
        const char *name = names[chance(NAMES)], *plan = plans[chance(PLANS)];
        bool any = is_one_in(8), filtered = is_one_in(4);
        snprintf(conditions[k], sizeof conditions[k], "(%s%s%s)%s%s%s", any ? "true" : "name = '",
                 any ? "" : name, any ? "" : "'", filtered ? " AND coalesce(plan = '" : "",
                 filtered ? plan : "", filtered ? "', false)" : "");
        buf_text(json, k == 0 ? "" : ",");
        if (filtered)
            buf_fmt(json, "{\"event\":\"%s\",\"where\":[{\"property\":\"plan\",\"value\":\"%s\"}]}",
                    any ? "*" : name, plan);
        else
            buf_fmt(json, "\"%s\"", any ? "*" : name);
    }
    buf_text(json, "]");
    buf_text(sql, "WITH RECURSIVE ev AS MATERIALIZED (SELECT person, row_number() OVER (PARTITION "
                  "BY person ORDER BY time, position) AS i, epoch_us(time) // 1000000 AS t, name, "
                  "coalesce(channel, '') AS channel, json_extract_string(properties, '$.plan') AS "
                  "plan FROM events WHERE person <> 0), m AS (SELECT person, i, t, channel");
    for (unsigned k = 0; k < asked->steps; k++)
        buf_fmt(sql, ", (%s)::INT AS s%u", conditions[k], k + 1);
    buf_fmt(sql,
            " FROM ev WHERE t >= %lld AND t < %lld%s), s AS MATERIALIZED (SELECT *, "
            "row_number() OVER (PARTITION BY person ORDER BY i) AS j FROM m WHERE false",
            (long long)from, (long long)to, where ? " AND channel <> 'app'" : "");
    for (unsigned k = 0; k < asked->steps; k++)
        buf_fmt(sql, " OR s%u = 1", k + 1);
    buf_text(sql, ")");
}

/* --- chains ----------------------------------------------------------------------------------- */

static void chain_pattern(struct test *test, struct asked *asked)
{
    static const char *const operators[] = {"<=", "<", ">=", ">", "=="};
    static const int distances[] = {0, 20, 40, 600, 1200, 86400, 3 * 86400};
    asked->tokens = 1 + chance(STEPS);
    buf_text(&test->json, ",\"pattern\":\"");
    for (unsigned k = 0; k < asked->tokens; k++) {
        uint32_t kind = chance(4), op = chance(5);
        int distance = distances[chance(7)];
        asked->step_of[k] = 1 + chance(asked->steps);
        snprintf(asked->gap[k], sizeof asked->gap[k], "b.j > a.j");
        if (k > 0 && kind == 0) {
            snprintf(asked->gap[k], sizeof asked->gap[k], "b.j = a.j + 1");
        } else if (k > 0 && kind == 1) {
            buf_text(&test->json, ".*");
        } else if (k > 0) {
            buf_fmt(&test->json, "(?t%s%d)", operators[op], distance);
            snprintf(asked->gap[k], sizeof asked->gap[k], "b.j > a.j AND b.t - a.t %s %d",
                     op == 4 ? "=" : operators[op], distance);
        }
        buf_fmt(&test->json, "(?%u)", asked->step_of[k]);
    }
    buf_text(&test->json, "\"");
    asked->by_channel = is_one_in(3);
    buf_text(&test->json, asked->by_channel ? ",\"breakdown\":{\"by\":\"channel\"}}" : "}");
}

/* nL_k: events of token k from which tokens k … L follow; j, and where the first such way ends. */
static void chain_sql(struct buf *sql, const struct asked *asked)
{
    for (unsigned length = 1; length <= asked->tokens; length++)
        for (unsigned k = length; k >= 1; k--) {
            unsigned step = asked->step_of[k - 1];
            buf_fmt(sql, ", n%u_%u AS MATERIALIZED (", length, k);
            if (k == length)
                buf_fmt(sql, "SELECT person, j, t, j AS e FROM s WHERE s%u = 1)", step);
            else
                buf_fmt(sql,
                        "SELECT a.person, a.j, a.t, arg_min(b.e, b.j) AS e FROM s AS a JOIN n%u_%u "
                        "AS b ON a.person = b.person AND %s WHERE a.s%u = 1 GROUP BY ALL)",
                        length, k + 1, asked->gap[k], step);
        }
    buf_text(sql, ", f AS (");
    for (unsigned length = 1; length <= asked->tokens; length++)
        buf_fmt(sql, "%sSELECT person, %u AS k, min(j) AS j FROM n%u_1 GROUP BY person",
                length == 1 ? "" : " UNION ALL ", length, length);
    buf_fmt(sql,
            "), r AS (SELECT f.person, max(k) AS k, arg_max(%s, k) AS v FROM f JOIN s ON f.person "
            "= s.person AND f.j = s.j GROUP BY f.person), g AS (SELECT person, 1 AS n, arg_min(e, "
            "j) AS e FROM n%u_1 GROUP BY person UNION ALL SELECT g.person, g.n + 1, arg_min(b.e, "
            "b.j) FROM g JOIN n%u_1 AS b ON g.person = b.person AND b.j > g.e GROUP BY g.person, "
            "g.n), w AS (SELECT person, r.v, r.k, coalesce(max(n), 0) AS n FROM r LEFT JOIN g "
            "USING (person) GROUP BY ALL)",
            asked->by_channel ? "channel" : "''", asked->tokens, asked->tokens);
}

/* --- letters ---------------------------------------------------------------------------------- */

/* An event's letter says which steps it is; (?n) is all letters that have step n. */
static void letters_put(struct buf *sql, unsigned step)
{
    buf_text(sql, "[");
    for (unsigned mask = 1; mask < 1U << STEPS; mask++)
        if ((mask >> (step - 1) & 1) != 0)
            buf_char(sql, (char)('a' + mask));
    buf_text(sql, "]");
}

static void letters_sql(struct test *test, struct asked *asked)
{
    struct buf *sql = &test->sql, regular;
    unsigned kinds[TOKENS_MAX], parts = 0;
    bool takes = false; /* an expression of nothing is counted otherwise there */
    buf_init(&regular, 1024);
    buf_text(&test->json, ",\"pattern\":\"");
    asked->tokens = 1 + chance(TOKENS_MAX);
    for (unsigned k = 0; k < asked->tokens; k++) {
        kinds[k] = !takes && k + 1 == asked->tokens ? 0 : chance(4);
        takes = takes || kinds[k] < 3;
        asked->step_of[k] = 1 + chance(asked->steps);
        if (kinds[k] < 2)
            buf_fmt(&test->json, "(?%u)", asked->step_of[k]);
        else
            buf_text(&test->json, kinds[k] == 2 ? "." : ".*");
    }
    buf_text(&test->json, "\"}");
    buf_text(sql, ", x AS MATERIALIZED (SELECT person, string_agg(chr(97 + s1");
    for (unsigned k = 1; k < asked->steps; k++)
        buf_fmt(sql, " + %u * s%u", 1U << k, k + 1);
    buf_text(sql,
             "), '' ORDER BY j) AS x FROM s GROUP BY person), w AS (SELECT person, '' AS v, 0");
    for (unsigned k = 0; k < asked->tokens; k++) {
        if (kinds[k] < 2)
            letters_put(&regular, asked->step_of[k]);
        else
            buf_text(&regular, kinds[k] == 2 ? "." : ".*?");
        if (kinds[k] >= 2)
            continue;
        parts++;
        buf_fmt(sql, " + regexp_matches(x, '" STR_FMT "')::INT", STR_ARG(buf_view(&regular)));
    }
    buf_fmt(sql, " AS k, len(regexp_extract_all(x, '" STR_FMT "')) AS n FROM x)",
            STR_ARG(buf_view(&regular)));
    if (parts > 0) /* with steps, people are those who did the first */
        buf_text(sql, ", z AS (SELECT * FROM w WHERE k > 0)");
    else
        buf_text(sql, ", z AS (SELECT * FROM w)");
    buf_done(&regular);
}

/* --- what both sides say ---------------------------------------------------------------------- */

static void line_add(struct line *lines, size_t *count, double number, uint64_t who,
                     struct str cell, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

static void line_add(struct line *lines, size_t *count, double number, uint64_t who,
                     struct str cell, const char *format, ...)
{
    va_list args;
    if (number == 0)
        return; /* what nobody did is no row in SQL */
    CHECK(*count < LINES_MAX);
    struct line *line = &lines[(*count)++];
    *line = (struct line){.number = number, .who = who, .cell = cell};
    va_start(args, format);
    vsnprintf(line->key, sizeof line->key, format, args);
    va_end(args);
}

static int line_order(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->key, ((const struct line *)b)->key);
}

/* Rows of key, number, who. */
static void sql_read(struct test *test)
{
    struct err err;
    struct buf json;
    yyjson_doc *doc;
    yyjson_val *row;
    buf_init(&json, (size_t)16 << 20);
    enum status status = warehouse_query(test->world.warehouse, test->sql.p, NULL, 0, &json, &err);
    if (status != ST_OK)
        fatal("%s\n%s", err.message, test->sql.p);
    must(json_parse(NULL, buf_view(&json), &doc, &err), &err);
    yyjson_arr_iter rows = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"));
    while ((row = yyjson_arr_iter_next(&rows)) != NULL)
        line_add(test->want, &test->wants, yyjson_get_num(yyjson_arr_get(row, 1)),
                 strtoull(yyjson_get_str(yyjson_arr_get(row, 2)), NULL, 10), STR(""), "%s",
                 yyjson_get_str(yyjson_arr_get(row, 0)));
    yyjson_doc_free(doc);
    buf_done(&json);
}

static void got(struct test *test, yyjson_val *object, const char *number, const char *cell,
                const char *what)
{
    const char *value = yyjson_get_str(yyjson_obj_get(object, "breakdown"));
    line_add(test->got, &test->gots, yyjson_get_num(yyjson_obj_get(object, number)), 0,
             cell == NULL ? STR("") : json_member_str(object, cell), "%s|%s",
             value == NULL ? "" : value, what);
}

static void got_match(struct test *test, yyjson_val *object)
{
    got(test, object, "people_matching", "cell", "matching");
    got(test, object, "matches", NULL, "matches");
    got(test, object, "entered", "entered_cell", "entered");
    got(test, object, "missed", "missed_cell", "missed");
}

static void answer_read(struct test *test, yyjson_val *root)
{
    yyjson_val *row, *matching = yyjson_obj_get(root, "matching");
    yyjson_arr_iter rows = yyjson_arr_iter_with(yyjson_obj_get(root, "rows"));
    while ((row = yyjson_arr_iter_next(&rows)) != NULL) {
        char what[32];
        snprintf(what, sizeof what, "step %llu",
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(row, "step")));
        got(test, row, "people", "cell", what);
    }
    if (yyjson_obj_get(root, "pattern") == NULL)
        return;
    if (matching == NULL)
        got_match(test, root);
    rows = yyjson_arr_iter_with(matching);
    while ((row = yyjson_arr_iter_next(&rows)) != NULL)
        got_match(test, row);
}

/* Are the people of the cell those of SQL? */
static bool cell_opens(struct test *test, const struct line *want, struct str cell)
{
    struct err err;
    uint64_t *people = NULL, who = 0;
    size_t count = 0;
    must(live_cell_people(test->world.live, cell, NULL, &people, &count, &err), &err);
    for (size_t i = 0; i < count; i++)
        who ^= people[i];
    free(people);
    test->cells++;
    return (double)count == want->number && who == want->who;
}

static bool lines_agree(struct test *test, char *ret_first, size_t size)
{
    qsort(test->want, test->wants, sizeof test->want[0], line_order);
    qsort(test->got, test->gots, sizeof test->got[0], line_order);
    size_t opened = test->wants == 0 ? 0 : chance((uint32_t)test->wants);
    for (size_t i = 0; i < test->wants || i < test->gots; i++) {
        const struct line *a = i < test->wants ? &test->want[i] : NULL;
        const struct line *b = i < test->gots ? &test->got[i] : NULL;
        bool same = a != NULL && b != NULL && strcmp(a->key, b->key) == 0 && a->number == b->number;
        bool opens = !same || i != opened || b->cell.n == 0 || cell_opens(test, a, b->cell);
        if (same && opens)
            continue;
        snprintf(ret_first, size, "SQL %s = %g, report %s = %g%s", a == NULL ? "-" : a->key,
                 a == NULL ? 0 : a->number, b == NULL ? "-" : b->key, b == NULL ? 0 : b->number,
                 same ? ", and the cell opens others" : "");
        return false;
    }
    return true;
}

/* --- one report ------------------------------------------------------------------------------- */

#define FOLD "bit_xor(person)::VARCHAR"

static void pattern_make(struct test *test)
{
    struct asked asked = {0};
    struct buf *sql = &test->sql;
    test->report = "sequence";
    steps_make(test, &asked, "steps");
    if (is_one_in(2)) {
        letters_sql(test, &asked);
    } else {
        chain_pattern(test, &asked);
        chain_sql(sql, &asked);
        buf_text(sql, ", z AS (SELECT * FROM w)");
    }
    buf_text(sql,
             " SELECT v || '|step ' || q.i, count(*), " FOLD " FROM z, range(1, 10) AS q(i) WHERE "
             "q.i <= k GROUP BY v, q.i UNION ALL SELECT v || '|matching', count(*), " FOLD
             " FROM z WHERE n > 0 GROUP BY v UNION ALL SELECT v || '|matches', sum(n)::BIGINT, "
             "'0' FROM z GROUP BY v UNION ALL SELECT v || '|entered', count(*), " FOLD
             " FROM z GROUP BY v UNION ALL SELECT v || '|missed', count(*), " FOLD
             " FROM z WHERE n = 0 GROUP BY v");
}

static void conditions_make(struct test *test)
{
    struct asked asked = {0};
    struct buf *sql = &test->sql;
    test->report = "retention";
    steps_make(test, &asked, "conditions");
    buf_text(&test->json, "}");
    for (unsigned k = 1; k <= asked.steps; k++)
        buf_fmt(sql,
                "%s SELECT '|step %u', count(*), coalesce(" FOLD
                ", '0') FROM (SELECT DISTINCT person "
                "FROM s WHERE s%u = 1 AND person IN (SELECT person FROM s WHERE s1 = 1))",
                k == 1 ? "" : " UNION ALL", k, k);
}

static void report_compare(struct test *test)
{
    struct err err;
    struct buf json;
    yyjson_doc *asked, *answer = NULL;
    char first[400];
    struct live_run run = {.after = test->world.position};
    buf_reset(&test->json);
    buf_reset(&test->sql);
    test->wants = test->gots = 0;
    if (is_one_in(5))
        conditions_make(test);
    else
        pattern_make(test);
    buf_init(&json, (size_t)16 << 20);
    must(json_parse(NULL, buf_view(&test->json), &asked, &err), &err);
    must(live_report(test->world.live, str_of(test->report), yyjson_doc_get_root(asked), &run,
                     &json, &err),
         &err);
    must(json_parse(NULL, buf_view(&json), &answer, &err), &err);
    sql_read(test);
    answer_read(test, yyjson_doc_get_root(answer));
    test->reports++;
    for (size_t i = 0; i < test->wants; i++)
        if (strstr(test->want[i].key, "|matching") != NULL) {
            test->matched++;
            break;
        }
    if (!lines_agree(test, first, sizeof first) && test->differences++ < SHOWN)
        fprintf(stderr, "%s %s\n  %s\n  %s\n", test->report, test->json.p, first, test->sql.p);
    yyjson_doc_free(asked);
    yyjson_doc_free(answer);
    buf_done(&json);
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
    snprintf(folder, sizeof folder, "%s/hezou-sequence-XXXXXX", where == NULL ? "/tmp" : where);
    if (mkdtemp(folder) == NULL)
        fatal("no folder in %s", where);
    world_open(&test->world, folder);
    for (unsigned part = 0; part < PARTS; part++) {
        world_send(&test->world, part == 0 ? 250 + number * 37 % 200 : 60);
        for (unsigned i = 0; i < reports / PARTS; i++)
            report_compare(test);
    }
    world_close(&test->world);
    if (nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        fatal("could not remove %s", folder);
}

int main(int argc, char **argv)
{
    unsigned histories = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    unsigned reports = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 400;
    struct test *test = mem_zero(sizeof *test);
    chance_seed(argc > 3 ? strtoull(argv[3], NULL, 10) : 20261129);
    buf_init(&test->json, 65536);
    buf_init(&test->sql, 65536);
    for (unsigned h = 0; h < histories; h++)
        history(test, h, reports / histories);
    fprintf(stderr, "live: %u cells opened, %u patterns with a match\n", test->cells,
            test->matched);
    printf("live: %u random sequences, %u differences\n", test->reports, test->differences);
    bool good = test->differences == 0 && test->cells > test->reports / 4 &&
                test->matched > test->reports / 4;
    buf_done(&test->json);
    buf_done(&test->sql);
    free(test);
    return good ? 0 : 1;
}
