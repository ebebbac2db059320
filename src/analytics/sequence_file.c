/* sequence_file.c - from a file's rows to one run of candidates per person.
 *
 * Persons and events become numbers first. Then only rows whose event is a step are looked at: a
 * counting sort puts them by person, which keeps the order of the file, and a run that is not yet
 * in order of time is sorted by (time, row). A file that is in order of time, as most are, costs no
 * comparison sort at all.
 *
 * Invariant: within a person equal times stand in the order of the file. */
#include "analytics/sequence_file_int.h"
#include "analytics/sequence_step_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/code_set.h"
#include "base/json.h"

/* What is only needed while the file is taken in. */
struct intake {
    const struct sequence_source *source;
    bool keep_all;
    uint32_t *user_codes, *event_codes;
    struct str *event_names;
    size_t event_names_count;
    int64_t *times;
    struct sequence_step steps[SEQUENCE_STEPS_MAX];
    uint32_t *rows; /* the candidates */
    size_t rows_count;
    uint32_t *masks; /* of each candidate */
};

static void intake_done(struct intake *intake)
{
    free(intake->user_codes);
    free(intake->event_codes);
    free(intake->event_names);
    free(intake->times);
    free(intake->rows);
    free(intake->masks);
}

/* Whole numbers as they stand. */
static enum status plain_times(struct table *table, int column, int64_t **ret_times,
                               struct err *err)
{
    size_t rows = table_rows(table);
    int64_t *times = mem_alloc((rows + 1) * sizeof *times);
    for (size_t row = 0; row < rows; row++) {
        struct str cell = str_trim(table_cell(table, row, column));
        int64_t value = 0;
        bool good = cell.n > 0;
        for (size_t i = 0; good && i < cell.n; i++) {
            unsigned digit = (unsigned)(cell.p[i] - '0');
            good = digit <= 9 && !__builtin_mul_overflow(value, 10, &value) &&
                   !__builtin_add_overflow(value, (int64_t)digit, &value);
        }
        times[row] = value;
        if (good)
            continue;
        free(times);
        return table_bad(table, row, column, err, "--plain-time needs a whole number");
    }
    *ret_times = times;
    return ST_OK;
}

static enum status read_columns(struct sequence_file *file, struct intake *intake, struct err *err)
{
    int user, time, event;
    struct table *table = file->table;
    enum status status = table_find(table, "user",
                                    "user_id|user|uid|person_id|person|customer_id|customer|cust|"
                                    "visitor_id|visitor|distinct_id|anonymous_id|client_id",
                                    true, &user, err);
    if (status == ST_OK)
        status = table_find(table, "time",
                            "time|timestamp|event_time|event_timestamp|datetime|date|ts|created_at",
                            true, &time, err);
    if (status == ST_OK)
        status = table_find(table, "event", "event|event_name|event_type|name|action|type|label",
                            true, &event, err);
    if (status == ST_OK)
        status =
            table_codes(table, user, &intake->user_codes, &file->users, &file->users_count, err);
    if (status == ST_OK)
        status = table_codes(table, event, &intake->event_codes, &intake->event_names,
                             &intake->event_names_count, err);
    if (status != ST_OK)
        return status;
    return intake->source->plain_time ? plain_times(table, time, &intake->times, err)
                                      : table_times(table, time, &intake->times, err);
}

static enum status read_steps(struct sequence_file *file, struct intake *intake, struct err *err)
{
    const struct sequence_source *source = intake->source;
    if (source->steps_count > SEQUENCE_STEPS_MAX)
        return err_set(err, ST_TOO_LARGE, "%zu steps were given, %d is the most",
                       source->steps_count, SEQUENCE_STEPS_MAX);
    for (size_t k = 0; k < source->steps_count; k++) {
        enum status status = sequence_step_read(file->table, source->steps[k], intake->event_names,
                                                intake->event_names_count, &intake->steps[k], err);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

/* The rows whose event is a step at all. */
static void find_candidates(struct sequence_file *file, struct intake *intake)
{
    uint8_t *wanted = mem_zero(intake->event_names_count + 1);
    uint8_t *classes = mem_alloc(file->rows + 1);
    struct code_set *set = mem_alloc(sizeof *set);
    code_set_init(set);
    code_set_add(set, 1);
    memset(wanted, intake->keep_all, intake->event_names_count);
    for (size_t k = 0; k < intake->source->steps_count; k++) {
        if (intake->steps[k].is_any)
            memset(wanted, 1, intake->event_names_count);
        else
            wanted[intake->steps[k].event] = 1;
    }
    for (size_t row = 0; row < file->rows; row++)
        classes[row] = wanted[intake->event_codes[row]];
    intake->rows = mem_alloc((file->rows + 1) * sizeof *intake->rows);
    intake->rows_count = code_set_find_u8(set, classes, (uint32_t)file->rows, intake->rows);
    free(wanted);
    free(classes);
    free(set);
}

/* Which steps each candidate is. */
static void judge_candidates(struct sequence_file *file, struct intake *intake)
{
    uint32_t *by_event = mem_zero((intake->event_names_count + 1) * sizeof *by_event);
    uint32_t with_condition = 0;
    intake->masks = mem_alloc((intake->rows_count + 1) * sizeof *intake->masks);
    for (size_t k = 0; k < SEQUENCE_STEPS_MAX && k < intake->source->steps_count; k++) {
        const struct sequence_step *step = &intake->steps[k];
        with_condition |= (uint32_t)(step->compare != COMPARE_NONE) << k;
        for (size_t e = 0; e < intake->event_names_count; e++)
            by_event[e] |= (uint32_t)(step->is_any || step->event == e) << k;
    }
    for (size_t i = 0; i < intake->rows_count; i++) {
        uint32_t row = intake->rows[i], mask = by_event[intake->event_codes[row]];
        bool no_number = false;
        for (uint32_t bits = mask & with_condition; bits != 0; bits &= bits - 1) {
            const struct sequence_step *step = &intake->steps[__builtin_ctz(bits)];
            if (!sequence_step_holds(step, table_cell(file->table, row, step->column), &no_number))
                mask &= ~(bits & -bits);
        }
        file->no_number += no_number;
        intake->masks[i] = mask;
    }
    free(by_event);
}

static int event_order(const void *left, const void *right)
{
    const struct sequence_event *a = left, *b = right;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static void order_run(struct sequence_event *events, size_t count)
{
    size_t i = 1;
    while (i < count && events[i - 1].time <= events[i].time)
        i++;
    if (i < count)
        qsort(events, count, sizeof *events, event_order);
}

static bool is_kept(const struct sequence_file *file, const struct intake *intake, size_t i)
{
    return file->users[intake->user_codes[intake->rows[i]]].n > 0 &&
           (intake->keep_all || intake->masks[i] != 0);
}

/* A user without a name is nobody: the run stays empty. */
static void make_runs(struct sequence_file *file, struct intake *intake)
{
    for (size_t u = 0; u < file->users_count; u++) {
        file->users[u] = str_trim(file->users[u]);
        file->people += file->users[u].n > 0;
    }
    for (size_t row = 0; row < file->rows; row++)
        file->no_user += file->users[intake->user_codes[row]].n == 0;
    file->starts = mem_zero((file->users_count + 2) * sizeof *file->starts);
    file->events = mem_alloc((intake->rows_count + 1) * sizeof *file->events);
    for (size_t i = 0; i < intake->rows_count; i++)
        if (is_kept(file, intake, i))
            file->starts[intake->user_codes[intake->rows[i]] + 2]++;
    for (size_t u = 0; u < file->users_count; u++)
        file->starts[u + 2] += file->starts[u + 1];
    for (size_t i = 0; i < intake->rows_count; i++) {
        uint32_t row = intake->rows[i], user = intake->user_codes[row];
        if (is_kept(file, intake, i)) /* starts[u + 1] moves from the begin of the run to its end */
            file->events[file->starts[user + 1]++] =
                (struct sequence_event){intake->times[row], intake->masks[i], row};
    }
    for (size_t u = 0; u < file->users_count; u++)
        order_run(file->events + file->starts[u], file->starts[u + 1] - file->starts[u]);
}

static enum status take_in(struct sequence_file *file, struct intake *intake, struct err *err)
{
    enum status status = table_read(&intake->source->file, &file->table, err);
    if (status == ST_OK) {
        file->rows = table_rows(file->table);
        status = file->rows > UINT32_MAX - 1
                     ? err_set(err, ST_TOO_LARGE, "the file has %zu rows", file->rows)
                     : read_columns(file, intake, err);
    }
    if (status == ST_OK)
        status = read_steps(file, intake, err);
    if (status != ST_OK)
        return status;
    for (size_t row = 0; row < file->rows; row++) {
        int64_t time = intake->times[row];
        file->first = row == 0 || time < file->first ? time : file->first;
        file->last = row == 0 || time > file->last ? time : file->last;
    }
    find_candidates(file, intake);
    judge_candidates(file, intake);
    make_runs(file, intake);
    return ST_OK;
}

enum status sequence_file_open(const struct sequence_source *source, bool keep_all,
                               struct sequence_file *ret_file, struct err *err)
{
    struct sequence_file file = {0};
    struct intake intake = {.source = source, .keep_all = keep_all};
    enum status status = take_in(&file, &intake, err);
    intake_done(&intake);
    if (status != ST_OK) {
        sequence_file_close(&file);
        return status;
    }
    *ret_file = file;
    return ST_OK;
}

void sequence_file_close(struct sequence_file *file)
{
    free(file->users);
    free(file->events);
    free(file->starts);
    if (file->table != NULL)
        table_free(file->table);
}

void sequence_put_ratio(struct buf *json, const char *name, size_t part, size_t whole)
{
    if (whole == 0)
        json_put_member_raw(json, name, STR("null"));
    else
        json_put_member_number(json, name, (double)part / (double)whole);
}

static void put_left_out(struct buf *json, const char *reason, size_t rows)
{
    if (rows == 0)
        return;
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, "reason", str_of(reason));
    json_put_member_uint(json, "rows", rows);
    buf_char(json, '}');
}

void sequence_file_put_end(const struct sequence_file *file, int64_t start_us, struct buf *json)
{
    json_put_name(json, "left_out");
    buf_char(json, '[');
    put_left_out(json, "no_user", file->no_user);
    put_left_out(json, "no_number_to_compare", file->no_number);
    buf_char(json, ']');
    json_put_member_number(json, "seconds", (double)((monotonic_us() - start_us) / 10) / 1e5);
}
