/* rfm_report.c - `report rfm` on a file of orders, or of customers already summed up.
 *
 * Orders: a row counts when it has a customer, lies no later than the day of the analysis and, with
 * `clean`, has a quantity, price and amount above 0; the others are counted by the first reason
 * that holds. Without `clean` a negative amount is a refund: it lowers the revenue, and the answer
 * says how many such rows there were. Without an amount column it is quantity times price.
 *
 * The object: totals, the cuts, how many customers have each score, and `rows`: a row per segment
 * that has customers, or with `each` a row per customer (then the segments stand in `segments`). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/when.h"
#include "learn/report_int.h"
#include "learn/rfm.h"

#define CUSTOMER_NAMES "customer_id|customer|cust|user_id|client_id|client|id"
#define TIME_NAMES "date|order_date|invoice_date|transaction_date|time|timestamp|event_time"
#define AMOUNT_NAMES "revenue|amount|total|sales|spend|value|monetary|m"

enum reason {
    NO_CUSTOMER,
    AFTER_ANALYSIS_DATE,
    QUANTITY_NOT_POSITIVE,
    PRICE_NOT_POSITIVE,
    AMOUNT_NOT_POSITIVE,
    REASONS
};

static const char *const reasons[REASONS] = {"no_customer", "after_analysis_date",
                                             "quantity_not_positive", "price_not_positive",
                                             "amount_not_positive"};

struct people {
    struct table *table;
    struct str *names; /* of the customers, by code */
    size_t names_count;
    struct rfm_customer *customers;
    uint32_t *codes; /* whose name each customer has */
    size_t count;
    int64_t analysis_day; /* INT64_MIN when the file has days of recency only */
    size_t left_out[REASONS], rows, refunds;
};

/* --- orders ----------------------------------------------------------------------------------- */

struct orders {
    uint32_t *customers, *numbers; /* numbers: NULL = each row is an order */
    int64_t *times, *days;
    double *quantities, *prices, *amounts; /* quantities and prices: NULL = there are amounts */
    size_t rows;
};

static void orders_done(struct orders *orders)
{
    free(orders->customers);
    free(orders->numbers);
    free(orders->times);
    free(orders->days);
    free(orders->quantities);
    free(orders->prices);
    free(orders->amounts);
}

static enum status amounts_read(const struct table *table, struct orders *orders, struct err *err)
{
    int amount = -1, quantity = -1, price = -1;
    enum status status = table_find(table, "amount", AMOUNT_NAMES, false, &amount, err);
    if (status == ST_OK)
        status = table_find(table, "quantity", "quantity|qty", false, &quantity, err);
    if (status == ST_OK)
        status = table_find(table, "price", "unit_price|price", false, &price, err);
    if (status == ST_OK && amount < 0 && quantity < 0)
        amount = price;
    if (status == ST_OK && amount < 0 && price < 0)
        status = table_find(table, "amount", AMOUNT_NAMES, true, &amount, err);
    if (status != ST_OK)
        return status;
    if (amount >= 0)
        return table_numbers(table, amount, TABLE_EMPTY_REFUSED, -INFINITY, &orders->amounts, err);
    status =
        table_numbers(table, quantity, TABLE_EMPTY_REFUSED, -INFINITY, &orders->quantities, err);
    if (status == ST_OK)
        status = table_numbers(table, price, TABLE_EMPTY_REFUSED, -INFINITY, &orders->prices, err);
    if (status != ST_OK)
        return status;
    orders->amounts = mem_alloc((orders->rows + 1) * sizeof(double));
    for (size_t i = 0; i < orders->rows; i++)
        orders->amounts[i] = orders->quantities[i] * orders->prices[i];
    return ST_OK;
}

static enum status orders_read(struct people *people, struct orders *orders, struct err *err)
{
    struct table *table = people->table;
    int customer = -1, time = -1, order = -1;
    struct str *texts = NULL;
    size_t texts_count;
    orders->rows = table_rows(table);
    enum status status = table_find(table, "customer", CUSTOMER_NAMES, true, &customer, err);
    if (status == ST_OK)
        status = table_find(table, "time", TIME_NAMES, true, &time, err);
    if (status == ST_OK)
        status = table_find(table, "order",
                            "order_id|invoice_no|invoice|order|order_no|order_number|"
                            "transaction_id|receipt",
                            false, &order, err);
    if (status == ST_OK)
        status = amounts_read(table, orders, err);
    if (status == ST_OK)
        status = table_times(table, time, &orders->times, err);
    if (status == ST_OK)
        status = table_codes(table, customer, &orders->customers, &people->names,
                             &people->names_count, err);
    if (status == ST_OK && order >= 0)
        status = table_codes(table, order, &orders->numbers, &texts, &texts_count, err);
    free(texts);
    return status;
}

static int64_t day_of(int64_t us)
{
    return us >= 0 ? us / US_PER_DAY : -((-us + US_PER_DAY - 1) / US_PER_DAY);
}

static bool is_nobody(struct str name)
{
    name = str_trim(name);
    return name.n == 0 || str_eq_nocase(name, STR("NA")) || str_eq_nocase(name, STR("NULL"));
}

/* The day given, else the one after the last order. */
static enum status analysis_day(const char *text, const int64_t *times, size_t rows,
                                int64_t *ret_day, struct err *err)
{
    int64_t us = 0;
    if (text != NULL && text[0] != '\0') {
        if (!when_parse(str_of(text), 0, &us))
            return err_set(err, ST_INVALID, "could not score: \"%.40s\" is no date", text);
        *ret_day = day_of(us);
        return ST_OK;
    }
    for (size_t i = 0; i < rows; i++)
        us = i == 0 || times[i] > us ? times[i] : us;
    *ret_day = day_of(us) + 1;
    return ST_OK;
}

static enum reason reason_of(const struct people *people, const struct orders *orders, size_t row,
                             bool clean)
{
    if (is_nobody(people->names[orders->customers[row]]))
        return NO_CUSTOMER;
    if (orders->days[row] > people->analysis_day)
        return AFTER_ANALYSIS_DATE;
    if (clean && orders->quantities != NULL && orders->quantities[row] <= 0)
        return QUANTITY_NOT_POSITIVE;
    if (clean && orders->prices != NULL && orders->prices[row] <= 0)
        return PRICE_NOT_POSITIVE;
    return clean && orders->amounts[row] <= 0 ? AMOUNT_NOT_POSITIVE : REASONS;
}

/* Close the gaps that left-out rows leave. */
static void orders_filter(struct people *people, struct orders *orders, bool clean)
{
    size_t kept = 0;
    for (size_t row = 0; row < orders->rows; row++) {
        enum reason reason = reason_of(people, orders, row, clean);
        if (reason != REASONS) {
            people->left_out[reason]++;
            continue;
        }
        people->refunds += orders->amounts[row] < 0;
        orders->customers[kept] = orders->customers[row];
        orders->days[kept] = orders->days[row];
        orders->amounts[kept] = orders->amounts[row];
        if (orders->numbers != NULL)
            orders->numbers[kept] = orders->numbers[row];
        kept++;
    }
    orders->rows = kept;
}

/* Those with a row, in the order of first appearance. */
static void people_keep(struct people *people)
{
    people->codes = mem_alloc((people->names_count + 1) * sizeof *people->codes);
    for (size_t c = 0; c < people->names_count; c++) {
        if (isnan(people->customers[c].recency_days))
            continue;
        people->customers[people->count] = people->customers[c];
        people->codes[people->count++] = (uint32_t)c;
    }
}

static enum status from_orders(struct people *people, const struct rfm_report_options *options,
                               struct err *err)
{
    struct orders orders = {0};
    enum status status = orders_read(people, &orders, err);
    if (status == ST_OK)
        status = analysis_day(options->analysis_date, orders.times, orders.rows,
                              &people->analysis_day, err);
    if (status != ST_OK) {
        orders_done(&orders);
        return status;
    }
    orders.days = mem_alloc((orders.rows + 1) * sizeof *orders.days);
    for (size_t i = 0; i < orders.rows; i++)
        orders.days[i] = day_of(orders.times[i]);
    orders_filter(people, &orders, options->clean);
    people->rows = orders.rows;
    people->customers = mem_alloc((people->names_count + 1) * sizeof *people->customers);
    rfm_collect(orders.customers, orders.numbers, orders.days, orders.amounts, orders.rows,
                people->analysis_day, people->names_count, people->customers);
    people_keep(people);
    orders_done(&orders);
    return ST_OK;
}

/* --- customers -------------------------------------------------------------------------------- */

/* Days of recency as the file has them, else from its last days. */
static enum status recency_read(struct people *people, const char *analysis_date,
                                double **ret_recency, struct err *err)
{
    const struct table *table = people->table;
    size_t rows = table_rows(table);
    int recency = -1, time = -1;
    int64_t *times;
    enum status status =
        table_find(table, "recency", "recency_days|recency|r", false, &recency, err);
    if (status != ST_OK || recency >= 0)
        return status != ST_OK
                   ? status
                   : table_numbers(table, recency, TABLE_EMPTY_REFUSED, 0, ret_recency, err);
    status = table_find(table, "time", "most_recent_visit|last_visit|last_order|" TIME_NAMES, true,
                        &time, err);
    if (status == ST_OK)
        status = table_times(table, time, &times, err);
    if (status != ST_OK)
        return status;
    status = analysis_day(analysis_date, times, rows, &people->analysis_day, err);
    double *days = mem_alloc((rows + 1) * sizeof *days);
    for (size_t i = 0; i < rows && status == ST_OK; i++) {
        days[i] = (double)(people->analysis_day - day_of(times[i]));
        if (days[i] < 0)
            status = table_bad(table, i, time, err, "lies after the day of the analysis");
    }
    free(times);
    if (status == ST_OK)
        *ret_recency = days;
    else
        free(days);
    return status;
}

static enum status customers_name(struct people *people, int column, struct err *err)
{
    enum status status = table_codes(people->table, column, &people->codes, &people->names,
                                     &people->names_count, err);
    if (status != ST_OK || people->names_count == people->rows)
        return status;
    size_t row = 0; /* the first whose code is not new */
    while (people->codes[row] == row)
        row++;
    return table_bad(people->table, row, column, err, "stands on an earlier line too");
}

static enum status from_customers(struct people *people, const struct rfm_report_options *options,
                                  struct err *err)
{
    struct table *table = people->table;
    int customer = -1, orders = -1, amount = -1;
    double *recency = NULL, *counts = NULL, *amounts = NULL;
    people->rows = table_rows(table);
    enum status status = table_find(table, "customer", CUSTOMER_NAMES, true, &customer, err);
    if (status == ST_OK)
        status =
            table_find(table, "orders", "number_of_orders|orders|transaction_count|frequency|f",
                       true, &orders, err);
    if (status == ST_OK)
        status = table_find(table, "amount", AMOUNT_NAMES, true, &amount, err);
    if (status == ST_OK)
        status = customers_name(people, customer, err);
    if (status == ST_OK)
        status = table_numbers(table, orders, TABLE_EMPTY_REFUSED, 0, &counts, err);
    if (status == ST_OK)
        status = table_numbers(table, amount, TABLE_EMPTY_REFUSED, -INFINITY, &amounts, err);
    if (status == ST_OK)
        status = recency_read(people, options->analysis_date, &recency, err);
    people->customers = mem_alloc((people->rows + 1) * sizeof *people->customers);
    for (size_t i = 0; i < people->rows && status == ST_OK; i++) {
        people->customers[i] = (struct rfm_customer){
            .recency_days = recency[i], .orders = counts[i], .revenue = amounts[i]};
        people->refunds += amounts[i] < 0;
        people->count++;
    }
    free(recency);
    free(counts);
    free(amounts);
    return status;
}

/* --- own cuts --------------------------------------------------------------------------------- */

struct own {
    double values[RFM_BINS_MAX];
    size_t count;
};

static enum status own_read(const char *text, struct own *ret_own, struct err *err)
{
    struct str list = str_of(text), one;
    if (list.n == 0)
        return ST_OK;
    while (report_next(&list, &one)) {
        if (ret_own->count == RFM_BINS_MAX - 1)
            return err_set(err, ST_INVALID, "could not score: more than %d cuts", RFM_BINS_MAX - 1);
        if (!report_number(one, &ret_own->values[ret_own->count++]))
            return err_set(err, ST_INVALID, "could not score: the cut \"" STR_FMT "\" is no number",
                           (int)(one.n < 40 ? one.n : 40), one.p);
    }
    return ST_OK;
}

/* Bins are one more than the own cuts; all own cuts, and --bins, must agree. */
static enum status score(struct people *people, const struct rfm_report_options *options,
                         struct rfm_cuts *ret_cuts, struct err *err)
{
    struct own own[3] = {0};
    const char *const texts[3] = {options->recency_cuts, options->frequency_cuts,
                                  options->monetary_cuts};
    struct rfm_options scoring = {.bins = options->bins, .step = options->step};
    for (size_t i = 0; i < 3; i++) {
        enum status status = own_read(texts[i], &own[i], err);
        if (status != ST_OK)
            return status;
        if (own[i].count == 0)
            continue;
        if (scoring.bins == 0)
            scoring.bins = own[i].count + 1;
        if (scoring.bins != own[i].count + 1)
            return err_set(err, ST_INVALID, "could not score: %zu cuts make %zu bins, not %zu",
                           own[i].count, own[i].count + 1, scoring.bins);
    }
    scoring.recency_cuts = own[0].count > 0 ? own[0].values : NULL;
    scoring.frequency_cuts = own[1].count > 0 ? own[1].values : NULL;
    scoring.monetary_cuts = own[2].count > 0 ? own[2].values : NULL;
    return rfm_score(people->customers, people->count, &scoring, ret_cuts, err);
}

/* --- the object ------------------------------------------------------------------------------- */

static void cuts_put(struct buf *json, const char *name, const double *cuts, size_t bins)
{
    json_put_name(json, name);
    buf_char(json, '[');
    for (size_t i = 0; i + 1 < bins; i++) {
        json_put_comma(json);
        json_put_number(json, cuts[i]);
    }
    buf_char(json, ']');
}

static void scores_put(struct buf *json, const struct people *people, size_t bins)
{
    size_t counts[RFM_BINS_MAX + 1][3] = {0};
    for (size_t i = 0; i < people->count; i++) {
        counts[people->customers[i].recency_score][0]++;
        counts[people->customers[i].frequency_score][1]++;
        counts[people->customers[i].monetary_score][2]++;
    }
    json_put_name(json, "scores");
    buf_char(json, '[');
    for (size_t s = bins; s > 0; s--) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "score", s);
        json_put_member_uint(json, "recency_customers", counts[s][0]);
        json_put_member_uint(json, "frequency_customers", counts[s][1]);
        json_put_member_uint(json, "monetary_customers", counts[s][2]);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void segments_put(struct buf *json, const char *name, const struct people *people,
                         double revenue)
{
    struct rfm_summary summaries[RFM_SEGMENT_COUNT];
    rfm_summarise(people->customers, people->count, summaries);
    json_put_name(json, name);
    buf_char(json, '[');
    for (size_t s = 0; s < RFM_SEGMENT_COUNT; s++) {
        const struct rfm_summary *summary = &summaries[s];
        if (summary->customers == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "segment", str_of(rfm_segment_name((enum rfm_segment)s)));
        json_put_member_uint(json, "customers", summary->customers);
        json_put_member_number(json, "share", (double)summary->customers / (double)people->count);
        json_put_member_number(json, "orders", summary->orders);
        json_put_member_number(json, "revenue", summary->revenue);
        json_put_member_number(json, "revenue_share", summary->revenue / revenue);
        json_put_member_number(json, "recency_median", summary->recency_median);
        json_put_member_number(json, "orders_median", summary->orders_median);
        json_put_member_number(json, "revenue_median", summary->revenue_median);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void customers_put(struct buf *json, const struct people *people, size_t bins)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t i = 0; i < people->count; i++) {
        const struct rfm_customer *customer = &people->customers[i];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_name(json, "customer");
        json_put_lossy(json, people->names[people->codes[i]]);
        json_put_member_number(json, "recency_days", customer->recency_days);
        json_put_member_number(json, "orders", customer->orders);
        json_put_member_number(json, "revenue", customer->revenue);
        json_put_member_uint(json, "recency_score", customer->recency_score);
        json_put_member_uint(json, "frequency_score", customer->frequency_score);
        json_put_member_uint(json, "monetary_score", customer->monetary_score);
        json_put_member_uint(json, "rfm_score", rfm_code(customer, bins));
        json_put_member_str(json, "segment", str_of(rfm_segment_name(customer->segment)));
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void date_put(struct buf *json, const char *name, int64_t day)
{
    int year, month, day_of_month;
    char text[48];
    if (day == INT64_MIN) {
        json_put_member_raw(json, name, STR("null"));
        return;
    }
    when_civil(day, &year, &month, &day_of_month);
    snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day_of_month);
    json_put_member_str(json, name, str_of(text));
}

static void object_put(struct buf *json, const struct people *people, bool each,
                       const struct rfm_cuts *cuts)
{
    double orders = 0, revenue = 0;
    for (size_t i = 0; i < people->count; i++) {
        orders += people->customers[i].orders;
        revenue += people->customers[i].revenue;
    }
    report_begin(json, "rfm");
    date_put(json, "analysis_date", people->analysis_day);
    json_put_member_uint(json, "row_count", people->rows);
    json_put_member_uint(json, "refund_rows", people->refunds);
    json_put_member_uint(json, "customers", people->count);
    json_put_member_number(json, "orders", orders);
    json_put_member_number(json, "revenue", revenue);
    cuts_put(json, "recency_cuts", cuts->recency, cuts->bins);
    cuts_put(json, "frequency_cuts", cuts->frequency, cuts->bins);
    cuts_put(json, "monetary_cuts", cuts->monetary, cuts->bins);
    if (!each)
        json_put_member_str(json, "bars", STR("share"));
    segments_put(json, each ? "segments" : "rows", people, revenue);
    if (each)
        customers_put(json, people, cuts->bins);
    scores_put(json, people, cuts->bins);
    report_left_out(json, reasons, people->left_out, REASONS);
}

/* --- the report ------------------------------------------------------------------------------- */

static void people_done(struct people *people)
{
    free(people->names);
    free(people->customers);
    free(people->codes);
    if (people->table != NULL)
        table_free(people->table);
}

enum status rfm_report(const struct rfm_report_options *options, struct buf *json, struct err *err)
{
    int64_t start_us = monotonic_us();
    bool orders = options->transactions != NULL && options->transactions[0] != '\0';
    struct people people = {.analysis_day = INT64_MIN};
    struct table_options file = {orders ? options->transactions : options->customers,
                                 options->delimiter, options->columns};
    struct rfm_cuts cuts;
    enum status status = table_read(&file, &people.table, err);
    if (status == ST_OK)
        status =
            orders ? from_orders(&people, options, err) : from_customers(&people, options, err);
    if (status == ST_OK)
        status = score(&people, options, &cuts, err);
    if (status == ST_OK) {
        object_put(json, &people, options->each, &cuts);
        report_end(json, start_us);
    }
    people_done(&people);
    return status;
}
