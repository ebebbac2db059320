/* clv_people.c - customers with what the models need of them, from a file of purchases or of
 * summaries.
 *
 * Purchases: days are whole, in UTC. All purchases of one customer on one day are one; the first
 * day is time 0 and counts as no repeat. T runs from a customer's own first day to the end of the
 * calibration, whose last day belongs to it. What lies after is the hold-out: it is counted and
 * never fitted. Mean spend is that of the repeat purchases of the calibration.
 *
 * BG/BB: an opportunity is `period` days long, counted from a customer's first day; buying in it
 * more than once is buying once, for the sum, and what is bought before the second one is the
 * first. Summaries are taken as they stand, but checked. */
#include "learn/clv_report_int.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/when.h"

#define DAYS_MAX 40000 /* between the first purchase of all and the last: more is a wrong date */

struct purchase {
    uint32_t customer;
    int32_t day;
    double amount;
};

static int32_t day_of(int64_t us)
{
    int64_t day = us / US_PER_DAY - (us % US_PER_DAY < 0);
    return (int32_t)(day < INT32_MIN ? INT32_MIN : day > INT32_MAX ? INT32_MAX : day);
}

static int by_customer_and_day(const void *a, const void *b)
{
    const struct purchase *p = a, *q = b;
    if (p->customer != q->customer)
        return p->customer < q->customer ? -1 : 1;
    return (p->day > q->day) - (p->day < q->day);
}

/* --- purchases -------------------------------------------------------------------------------- */

struct columns {
    uint32_t *codes;
    struct str *names;
    size_t names_count;
    int64_t *us;
    double *amounts; /* NULL without amounts */
};

static void columns_done(struct columns *columns)
{
    free(columns->codes);
    free(columns->names);
    free(columns->us);
    free(columns->amounts);
}

static enum status columns_read(const struct table *table, struct columns *columns, struct err *err)
{
    int customer, time, amount;
    enum status status =
        table_find(table, "customer", "customer_id|customer|cust|cust_id|client_id|user_id|user|id",
                   true, &customer, err);
    if (status == ST_OK)
        status = table_find(table, "time",
                            "date|order_date|purchase_date|transaction_date|invoice_date|time|"
                            "timestamp|event_time|created_at|day",
                            true, &time, err);
    if (status == ST_OK)
        status = table_find(table, "amount",
                            "amount|price|revenue|sales|spend|value|total|monetary_value|money",
                            false, &amount, err);
    if (status == ST_OK)
        status = table_codes(table, customer, &columns->codes, &columns->names,
                             &columns->names_count, err);
    if (status == ST_OK)
        status = table_times(table, time, &columns->us, err);
    if (status == ST_OK && amount >= 0)
        status =
            table_numbers(table, amount, TABLE_EMPTY_REFUSED, -INFINITY, &columns->amounts, err);
    return status;
}

/* The rows that count, one per customer and day, in that order. */
static struct purchase *purchases_of(const struct columns *columns, size_t rows, int32_t today,
                                     struct clv_people *people, size_t *ret_count)
{
    struct purchase *list = mem_alloc((rows + 1) * sizeof *list);
    size_t n = 0;
    for (size_t row = 0; row < rows; row++) {
        struct purchase p = {columns->codes[row], day_of(columns->us[row]),
                             columns->amounts != NULL ? columns->amounts[row] : 0};
        if (str_trim(columns->names[p.customer]).n == 0)
            people->left[CLV_LEFT_NO_CUSTOMER]++;
        else if (p.amount < 0)
            people->left[CLV_LEFT_NEGATIVE]++;
        else if (p.day > today)
            people->left[CLV_LEFT_FUTURE]++;
        else
            list[n++] = p;
    }
    qsort(list, n, sizeof *list, by_customer_and_day);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept > 0 && by_customer_and_day(&list[kept - 1], &list[i]) == 0)
            list[kept - 1].amount += list[i].amount;
        else
            list[kept++] = list[i];
    *ret_count = kept;
    return list;
}

/* One customer's purchases, days rising; false when the first is after the calibration. */
static bool person_of(const struct purchase *list, size_t count, enum clv_model model,
                      int32_t period_days, const struct clv_people *people,
                      struct clv_person *person)
{
    struct clv_customer *value = &person->value;
    int32_t first = list[0].day, end = people->calibration_day;
    bool periods = model == CLV_BGBB;
    double unit = periods ? period_days : 7;
    double age = (double)(end - first) / unit;
    double money = 0;
    if (first > end)
        return false;
    *value = (struct clv_customer){.age = periods ? floor(age) : age, .weight = 1};
    for (size_t i = 1; i < count; i++) {
        double t = (double)(list[i].day - first) / unit;
        double before = (double)(list[i - 1].day - first) / unit;
        t = periods ? floor(t) : t;
        bool again = !periods || t > floor(before); /* a new opportunity */
        if (list[i].day > end) {
            person->holdout += again && (!periods || t > value->age);
            continue;
        }
        value->repeats += again;
        value->recency = t;
        money += t > 0 ? list[i].amount : 0;
    }
    value->spend = value->repeats > 0 ? money / value->repeats : 0;
    person->first_day = first;
    person->ahead = (double)(people->last_day - (periods ? first : end)) / unit;
    if (periods)
        person->ahead = floor(person->ahead) - value->age;
    return true;
}

static void people_collect(const struct purchase *list, size_t count, enum clv_model model,
                           int32_t period_days, const struct columns *columns,
                           struct clv_people *people)
{
    people->list = mem_zero((columns->names_count + 1) * sizeof *people->list);
    size_t days = (size_t)(people->last_day - people->first_day) + 1;
    people->repeats_on = mem_zero(days * sizeof *people->repeats_on);
    for (size_t from = 0, to; from < count; from = to) {
        struct clv_person *person = &people->list[people->count];
        for (to = from; to < count && list[to].customer == list[from].customer;)
            to++;
        *person = (struct clv_person){.name = columns->names[list[from].customer],
                                      .order = list[from].customer};
        if (!person_of(list + from, to - from, model, period_days, people, person)) {
            people->left[CLV_LEFT_LATE]++;
            continue;
        }
        people->count++;
        for (size_t i = from + 1; i < to; i++)
            people->repeats_on[list[i].day - people->first_day]++;
    }
}

/* The first day, the last, and the calibration's. */
static enum status days_set(const struct clv_report_options *options, const struct purchase *list,
                            size_t count, int32_t today, struct clv_people *people, struct err *err)
{
    int64_t us;
    if (count == 0)
        return err_set(err, ST_INVALID, "could not report: the file has no purchase that counts");
    people->first_day = people->last_day = list[0].day;
    for (size_t i = 0; i < count; i++) {
        people->first_day = list[i].day < people->first_day ? list[i].day : people->first_day;
        people->last_day = list[i].day > people->last_day ? list[i].day : people->last_day;
    }
    people->calibration_day = people->last_day;
    if (options->calibration_end[0] != '\0') {
        if (!when_parse(str_of(options->calibration_end), 0, &us))
            return err_set(err, ST_INVALID, "\"%.40s\" is no day like 1997-09-30",
                           options->calibration_end);
        int32_t day = people->calibration_day = day_of(us);
        if (day < people->first_day || day > today)
            return err_set(err, ST_INVALID, "could not report: the calibration's end %.40s is %s",
                           options->calibration_end,
                           day > today ? "in the future" : "before the first purchase");
        people->last_day = day > people->last_day ? day : people->last_day;
    }
    if ((int64_t)people->last_day - people->first_day > DAYS_MAX)
        return err_set(err, ST_INVALID,
                       "could not report: %lld days between the first purchase and the last, more "
                       "than %d",
                       (long long)people->last_day - people->first_day, DAYS_MAX);
    return ST_OK;
}

static enum status purchases_read(const struct clv_report_options *options, enum clv_model model,
                                  struct clv_people *people, struct err *err)
{
    struct columns columns = {0};
    enum status status = columns_read(people->table, &columns, err);
    if (status == ST_OK) {
        size_t count;
        int32_t today = day_of(options->now_us);
        struct purchase *list =
            purchases_of(&columns, table_rows(people->table), today, people, &count);
        people->dated = true;
        people->money = columns.amounts != NULL;
        status = days_set(options, list, count, today, people, err);
        if (status == ST_OK)
            people_collect(list, count, model, (int32_t)(options->period_us / US_PER_DAY), &columns,
                           people);
        free(list);
    }
    columns_done(&columns);
    return status;
}

/* --- summaries -------------------------------------------------------------------------------- */

enum { REPEATS, RECENCY, AGE, SPEND, WEIGHT, FIELDS };

static enum status fields_find(const struct table *table, enum clv_model model, int *columns,
                               struct err *err)
{
    static const struct {
        const char *role, *usual;
    } fields[FIELDS] = {
        [REPEATS] = {"repeats", "x|frequency|repeats|repeat_purchases"},
        [RECENCY] = {"recency", "t_x|t.x|recency"},
        [AGE] = {"age", "T|T.cal|T_cal|age|periods|n.cal|n_cal|n"},
        [SPEND] = {"spend", "zbar|m_x|mean_spend|monetary_value|monetary|spend|average_amount"},
        [WEIGHT] = {"weight", "weights|weight|customers|custs|count"},
    };
    enum status status = ST_OK;
    for (int i = 0; i < FIELDS && status == ST_OK; i++) {
        bool must = model == CLV_GAMMAGAMMA ? i == REPEATS || i == SPEND : i <= AGE;
        status = table_find(table, fields[i].role, fields[i].usual, must, &columns[i], err);
    }
    return status;
}

static enum status rows_check(const struct clv_people *people, enum clv_model model,
                              const int *columns, struct err *err)
{
    for (size_t row = 0; row < people->count; row++) {
        const char *why = clv_customer_check(model, &people->list[row].value);
        if (why != NULL)
            return table_bad(people->table, row, columns[REPEATS], err, "%s", why);
    }
    return ST_OK;
}

static enum status summaries_read(enum clv_model model, struct clv_people *people, struct err *err)
{
    const struct table *table = people->table;
    size_t rows = table_rows(table);
    int columns[FIELDS], name;
    double *values[FIELDS] = {NULL};
    enum status status = fields_find(table, model, columns, err);
    if (status == ST_OK)
        status = table_find(table, "customer", "customer_id|customer|cust|user_id|id", false, &name,
                            err);
    for (int i = 0; i < FIELDS && status == ST_OK; i++)
        if (columns[i] >= 0)
            status = table_numbers(table, columns[i],
                                   i == SPEND ? TABLE_EMPTY_ZERO : TABLE_EMPTY_REFUSED, 0,
                                   &values[i], err);
    if (status == ST_OK) {
        people->list = mem_zero((rows + 1) * sizeof *people->list);
        people->count = rows;
        people->money = columns[SPEND] >= 0;
        for (size_t row = 0; row < rows; row++) {
            double v[FIELDS] = {0};
            v[WEIGHT] = 1;
            for (int i = 0; i < FIELDS; i++)
                v[i] = values[i] != NULL ? values[i][row] : v[i];
            people->list[row] =
                (struct clv_person){.value = {v[REPEATS], v[RECENCY], v[AGE], v[SPEND], v[WEIGHT]},
                                    .name = name >= 0 ? table_cell(table, row, name) : STR(""),
                                    .order = row};
        }
        status = rows_check(people, model, columns, err);
    }
    for (int i = 0; i < FIELDS; i++)
        free(values[i]);
    return status;
}

enum status clv_people_read(const struct clv_report_options *options, enum clv_model model,
                            struct clv_people *ret_people, struct err *err)
{
    *ret_people = (struct clv_people){0};
    enum status status = table_read(&options->file, &ret_people->table, err);
    if (status != ST_OK)
        return status;
    return options->summaries ? summaries_read(model, ret_people, err)
                              : purchases_read(options, model, ret_people, err);
}

void clv_people_done(struct clv_people *people)
{
    free(people->list);
    free(people->repeats_on);
    if (people->table != NULL)
        table_free(people->table);
}
