/* random_read.c - what a report says, as keys and numbers: which lists it has, which members name a
 * row, which are numbers, and which cell stands beside which number. */
#include "random_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define MEMBERS 14

/* A list of a report: "" = its own members, as one row. */
struct listing {
    const char *report, *list, *prefix;
    const char *keys[6], *numbers[MEMBERS], *cells[6][2]; /* cell, its number */
};

static const struct listing listings[] = {
    {"funnel",
     "rows",
     "",
     {"breakdown", "step"},
     {"people", "dropped", "mean_seconds", "median_seconds", "p90_seconds", "previous_people"},
     {{"cell", "people"}, {"dropped_cell", "dropped"}, {"previous_cell", "previous_people"}}},
    {"funnel",
     "totals",
     "total",
     {"step"},
     {"people", "dropped", "previous_people"},
     {{"cell", "people"}, {"dropped_cell", "dropped"}, {"previous_cell", "previous_people"}}},
    {"funnel",
     "",
     "root",
     {NULL},
     {"entered", "converted", "window_open", "conversion_mean_seconds", "conversion_median_seconds",
      "conversion_p90_seconds"},
     {{NULL}}},
    {"trend",
     "rows",
     "",
     {"time", "event", "breakdown"},
     {"count", "people", "sum", "mean", "p50", "p90", "p99", "previous_count", "previous_people",
      "previous_sum", "previous_mean", "previous_p50", "previous_p90", "previous_p99"},
     {{"cell", "people"}, {"previous_cell", "previous_people"}}},
    {"trend",
     "totals",
     "total",
     {"event", "breakdown"},
     {"count", "people", "sum", "mean", "p50", "p90", "p99", "previous_count", "previous_people",
      "previous_sum", "previous_mean", "previous_p50", "previous_p90", "previous_p99"},
     {{"cell", "people"}, {"previous_cell", "previous_people"}}},
    {"lifecycle",
     "rows",
     "",
     {"time"},
     {"active", "new", "returning", "resurrecting", "dormant"},
     {{"cell", "active"},
      {"new_cell", "new"},
      {"returning_cell", "returning"},
      {"resurrecting_cell", "resurrecting"},
      {"dormant_cell", "dormant"}}},
    {"stickiness", "rows", "", {"active_days"}, {"people", "at_least"}, {{"cell", "people"}}},
    {"stickiness",
     "days",
     "",
     {"time"},
     {"dau", "wau", "mau"},
     {{"dau_cell", "dau"}, {"wau_cell", "wau"}, {"mau_cell", "mau"}}},
    {"stickiness", "", "root", {NULL}, {"people", "average_days"}, {{NULL}}},
    {"retention", "triangle", "", {"cohort", "period"}, {"returned"}, {{"cell", "returned"}}},
    {"retention", "cohorts", "", {"cohort"}, {"people"}, {{"cell", "people"}}},
    {"retention", "rows", "curve", {"period"}, {"people", "returned"}, {{"cell", "returned"}}},
    {"paths",
     "rows",
     "",
     {"level", "from_event", "from_channel", "to_event", "to_channel"},
     {"paths", "people"},
     {{"cell", "people"}}},
    {"paths",
     "nodes",
     "node",
     {"level", "event", "channel"},
     {"paths", "people"},
     {{"cell", "people"}}},
    {"paths", "", "root", {NULL}, {"paths", "path_people"}, {{NULL}}},
};

static double number_of(yyjson_val *object, const char *name)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    return yyjson_is_num(value) ? yyjson_get_num(value) : NAN;
}

static void key_make(const struct listing *listing, yyjson_val *row, char key[KEY_BYTES])
{
    size_t n = (size_t)snprintf(key, KEY_BYTES, "%s", listing->prefix);
    for (size_t i = 0; i < 6 && listing->keys[i] != NULL; i++) {
        yyjson_val *value = yyjson_obj_get(row, listing->keys[i]);
        const char *text = yyjson_get_str(value), *bar = n > 0 || i > 0 ? "|" : "";
        if (yyjson_is_num(value))
            n += (size_t)snprintf(key + n, KEY_BYTES - n, "%s%g", bar, yyjson_get_num(value));
        else
            n += (size_t)snprintf(key + n, KEY_BYTES - n, "%s%s", bar, text == NULL ? "" : text);
    }
}

/* Is who comes out of the cell who stands behind the number? */
static bool cell_opens(struct test *test, const char *key, const char *number, double wanted,
                       struct str cell)
{
    struct err err;
    uint64_t *people = NULL, all = 0;
    size_t count = 0;
    char who[KEY_BYTES + 40];
    must(live_cell_people(test->world.live, cell, NULL, &people, &count, &err), &err);
    for (size_t i = 0; i < count; i++)
        all ^= people[i];
    free(people);
    test->counts.cells++;
    snprintf(who, sizeof who, "%s#who_%s", key, number);
    double want = pairs_find(&test->want, who);
    if ((double)count == wanted && want == (double)(all % 1000003))
        return true;
    snprintf(test->first, sizeof test->first,
             "%s: the cell of %s opens %zu people, of %g; %llu, SQL %g", key, number, count, wanted,
             (unsigned long long)(all % 1000003), want);
    return false;
}

static void row_read(struct test *test, const struct listing *listing, yyjson_val *row)
{
    char key[KEY_BYTES];
    key_make(listing, row, key);
    for (size_t i = 0; i < MEMBERS && listing->numbers[i] != NULL; i++)
        pair_add(&test->got, number_of(row, listing->numbers[i]), "%s#%s", key,
                 listing->numbers[i]);
}

/* Of one of the row's cells. */
static bool cell_try(struct test *test, const struct listing *listing, yyjson_val *row)
{
    size_t cells = 0;
    char key[KEY_BYTES];
    while (cells < 6 && listing->cells[cells][0] != NULL)
        cells++;
    if (cells == 0)
        return true;
    const char *const *chosen = listing->cells[chance((uint32_t)cells)];
    struct str cell = json_member_str(row, chosen[0]);
    double wanted = number_of(row, chosen[1]);
    if (cell.n == 0)
        return true;
    key_make(listing, row, key);
    return cell_opens(test, key, chosen[1], wanted, cell);
}

bool answer_read(struct test *test, yyjson_val *root)
{
    bool opens = true;
    for (size_t l = 0; l < sizeof listings / sizeof listings[0]; l++) {
        const struct listing *listing = &listings[l];
        if (strcmp(listing->report, test->question.report) != 0)
            continue;
        yyjson_val *list = yyjson_obj_get(root, listing->list), *row;
        if (listing->list[0] == '\0')
            row_read(test, listing, root);
        yyjson_arr_iter rows = yyjson_arr_iter_with(list);
        while ((row = yyjson_arr_iter_next(&rows)) != NULL)
            row_read(test, listing, row);
        uint32_t count = (uint32_t)yyjson_arr_size(list);
        if (opens && count > 0 && chance(5) == 0)
            opens = cell_try(test, listing, yyjson_arr_get(list, chance(count)));
    }
    return opens;
}
