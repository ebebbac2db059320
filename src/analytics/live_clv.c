/* live_clv.c - what living customers will still be worth: the kernels of learn/clv.h on the
 * timeline's orders.
 *
 * The question, besides the common members and those of live_customer.h: "model" (bgnbd, mbgnbd,
 * paretonbd), "horizon" in weeks (52), "discount" a year (0.1). Orders of one day are one purchase
 * whose amounts add up; time runs in weeks from a customer's first day to the window's last (today,
 * when that lies ahead). Rows are tenths of the customers by value to come. Money by gamma-gamma;
 * where that cannot be fitted the value is a number of purchases, and the answer says why. Traits:
 * clv_value, clv_alive, clv_expected_purchases. */
#include <math.h>
#include <stdlib.h>

#include "analytics/live_customer.h"
#include "learn/clv.h"

#define WEEKS_PER_YEAR 52.0
#define TENTHS 10

struct customer {
    struct clv_customer value;
    uint32_t who; /* index into orders.people */
    double alive, expected, discounted, spend;
};

struct values {
    struct live_ask *ask;
    struct live_customers customers;
    struct customer *list; /* most valuable first */
    size_t count;
    struct customer **of; /* by index of people; NULL = left out */
    uint64_t negative, only_negative;
    struct clv_fit fit, money_fit;
    bool money;
    struct err why_no_money;
    double horizon, rate;
};

/* --- purchases -------------------------------------------------------------------------------- */

/* False when no order counts. */
static bool customer_of(struct values *values, size_t p, int32_t end_day, struct customer *customer)
{
    const struct live_orders *orders = &values->customers.orders;
    const int32_t *days = values->customers.days;
    int32_t first = -1, last = -1;
    int64_t micros = 0;
    double repeats = 0;
    for (size_t i = orders->starts[p]; i < orders->starts[p + 1]; i++) {
        if (orders->list[i].micros < 0) {
            values->negative++;
            continue;
        }
        first = first < 0 ? days[i] : first;
        if (days[i] == first)
            last = first;
        repeats += days[i] != last;
        last = days[i];
        micros += days[i] != first ? orders->list[i].micros : 0;
    }
    if (first < 0)
        return false;
    *customer =
        (struct customer){.who = (uint32_t)p,
                          .value = {.repeats = repeats,
                                    .recency = repeats > 0 ? (last - first) / 7.0 : 0,
                                    .age = (end_day - first) / 7.0,
                                    .spend = repeats > 0 ? (double)micros / 1e6 / repeats : 0,
                                    .weight = 1}};
    return true;
}

static void customers_make(struct values *values)
{
    size_t people = values->customers.orders.people_count;
    /* The last day that counts: that of the window, or today. */
    uint32_t now_s = (uint32_t)(values->ask->now_us / US_PER_S);
    int64_t ahead = (int64_t)values->ask->to_s - 1 - now_s;
    int32_t end = values->customers.analysis_day - 1 - (ahead > 0 ? (int32_t)(ahead / 86400) : 0);
    for (size_t i = 0; i < values->customers.orders.count; i++)
        end = values->customers.days[i] > end ? values->customers.days[i] : end;
    values->list = mem_zero((people + 1) * sizeof *values->list);
    values->of = mem_zero((people + 1) * sizeof *values->of);
    for (size_t p = 0; p < people; p++)
        if (customer_of(values, p, end, &values->list[values->count]))
            values->count++;
        else
            values->only_negative++;
}

/* --- models ----------------------------------------------------------------------------------- */

static enum status models_fit(struct values *values, enum clv_model model, struct err *err)
{
    struct clv_customer *all = mem_alloc((values->count + 1) * sizeof *all);
    for (size_t i = 0; i < values->count; i++)
        all[i] = values->list[i].value;
    enum status status = clv_fit(model, all, values->count, &values->fit, err);
    if (status == ST_OK)
        values->money = clv_fit(CLV_GAMMAGAMMA, all, values->count, &values->money_fit,
                                &values->why_no_money) == ST_OK;
    free(all);
    return status;
}

static int by_future(const void *a, const void *b)
{
    const struct customer *p = a, *q = b;
    if (p->value.repeats != q->value.repeats)
        return p->value.repeats < q->value.repeats ? -1 : 1;
    return (p->value.age > q->value.age) - (p->value.age < q->value.age);
}

static double worth(const struct customer *customer)
{
    double value = customer->discounted * customer->spend;
    return isfinite(value) ? value : INFINITY;
}

static int by_worth(const void *a, const void *b)
{
    const struct customer *p = a, *q = b;
    if (worth(p) != worth(q))
        return worth(p) > worth(q) ? -1 : 1;
    return (p->who > q->who) - (p->who < q->who);
}

/* The future given alive depends on repeats and age only: computed once for each pair. */
static void judge(struct values *values)
{
    double expected = 0, discounted = 0;
    qsort(values->list, values->count, sizeof *values->list, by_future);
    for (size_t i = 0; i < values->count; i++) {
        struct customer *customer = &values->list[i];
        if (i == 0 || by_future(customer - 1, customer) != 0) {
            expected = clv_expected_alive(&values->fit, &customer->value, values->horizon);
            discounted = clv_discounted_alive(&values->fit, &customer->value, values->rate);
        }
        customer->alive = clv_alive(&values->fit, &customer->value);
        customer->expected = customer->alive * expected;
        customer->discounted = customer->alive * discounted;
        customer->spend = values->money ? clv_spend(&values->money_fit, customer->value.repeats,
                                                    customer->value.spend)
                                        : 1;
    }
    qsort(values->list, values->count, sizeof *values->list, by_worth);
    for (size_t i = 0; i < values->count; i++)
        values->of[values->list[i].who] = &values->list[i];
}

/* --- the answer ------------------------------------------------------------------------------- */

static size_t tenth_start(const struct values *values, size_t tenth)
{
    return values->count * tenth / TENTHS;
}

struct sums {
    double repeats, alive, expected, value, horizon_value;
};

static struct sums sum_up(const struct values *values, size_t from, size_t to)
{
    struct sums sums = {0};
    for (size_t i = from; i < to; i++) {
        const struct customer *customer = &values->list[i];
        sums.repeats += customer->value.repeats;
        sums.alive += customer->alive;
        sums.expected += customer->expected;
        sums.value += customer->discounted * customer->spend;
        sums.horizon_value += customer->expected * customer->spend;
    }
    return sums;
}

static void put_rows(struct buf *json, const struct values *values, double all)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t tenth = 0; tenth < TENTHS; tenth++) {
        size_t from = tenth_start(values, tenth), to = tenth_start(values, tenth + 1);
        double n = (double)(to - from);
        struct sums sums = sum_up(values, from, to);
        if (from == to)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "value_tenth", tenth + 1);
        json_put_member_uint(json, "customers", to - from);
        live_put_cell(values->ask, json, "{\"tenth\":%zu}", tenth);
        json_put_member_number(json, "alive", sums.alive / n);
        json_put_member_number(json, "expected_purchases", sums.expected / n);
        if (values->money) {
            json_put_member_number(json, "expected_value", sums.horizon_value / n);
            json_put_member_number(json, "discounted_value", sums.value / n);
        } else {
            json_put_member_number(json, "discounted_purchases", sums.value / n);
        }
        json_put_member_number(json, "share", all > 0 ? sums.value / all : NAN);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_parameters(struct buf *json, const struct clv_fit *fit)
{
    for (size_t i = 0; i < clv_parameters_count(fit->model); i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "model", str_of(clv_model_name(fit->model)));
        json_put_member_str(json, "parameter", str_of(clv_parameter_name(fit->model, i)));
        json_put_member_number(json, "estimate", fit->parameters[i]);
        json_put_member_number(json, "standard_error", fit->errors[i]);
        buf_char(json, '}');
    }
}

static void traits_put(const void *ctx, size_t i, struct buf *json)
{
    const struct values *values = ctx;
    const struct customer *customer = values->of[i];
    if (customer == NULL)
        return;
    if (values->money)
        json_put_member_number(json, "clv_value", customer->discounted * customer->spend);
    json_put_member_number(json, "clv_alive", customer->alive);
    json_put_member_number(json, "clv_expected_purchases", customer->expected);
}

static enum status answer(struct values *values, double discount, struct buf *json, struct err *err)
{
    struct sums all = sum_up(values, 0, values->count);
    size_t back = 0;
    for (size_t i = 0; i < values->count; i++)
        back += values->list[i].value.repeats > 0;
    json_put_member_str(json, "model", str_of(clv_model_name(values->fit.model)));
    json_put_member_str(json, "unit", STR("week"));
    json_put_member_number(json, "horizon", values->horizon);
    json_put_member_number(json, "discount", discount);
    json_put_member_uint(json, "customers", values->count);
    json_put_member_uint(json, "repeat_customers", back);
    json_put_member_number(json, "repeat_purchases", all.repeats);
    json_put_member_number(json, "alive_customers", all.alive);
    json_put_member_number(json, "expected_purchases_all", all.expected);
    if (values->money)
        json_put_member_number(json, "discounted_value_all", all.value);
    else
        json_put_member_str(json, "spend_note", str_of(values->why_no_money.message));
    json_put_member_number(json, "log_likelihood", values->fit.log_likelihood);
    json_put_member_int(json, "starts", values->fit.starts);
    json_put_member_int(json, "starts_agreed", values->fit.agreed);
    json_put_member_str(json, "bars",
                        values->money ? STR("discounted_value") : STR("discounted_purchases"));
    put_rows(json, values, all.value);
    json_put_name(json, "parameters");
    buf_char(json, '[');
    put_parameters(json, &values->fit);
    if (values->money)
        put_parameters(json, &values->money_fit);
    buf_char(json, ']');
    live_customers_put_end(json, &values->customers, values->only_negative, "negative_amount");
    return live_customers_save(values->ask, &values->customers, traits_put, values, json, err);
}

static enum status people_want(struct values *values, struct err *err)
{
    uint64_t tenth;
    enum status status = live_cell_number(values->ask, "tenth", TENTHS, &tenth, err);
    if (status != ST_OK)
        return status;
    for (size_t i = tenth_start(values, tenth); i < tenth_start(values, tenth + 1); i++)
        live_want(values->ask, values->customers.orders.people[values->list[i].who]);
    return ST_OK;
}

/* --- the question ----------------------------------------------------------------------------- */

static enum status values_make(struct values *values, enum clv_model model, struct err *err)
{
    customers_make(values);
    enum status status = models_fit(values, model, err);
    if (status == ST_OK)
        judge(values);
    return status;
}

enum status live_clv(struct live_ask *ask, struct buf *json, struct err *err)
{
    static const char *const members[] = {"order", "clean", "model", "horizon", "discount", NULL};
    static const char *const models[] = {"bgnbd", "mbgnbd", "paretonbd", NULL};
    static const enum clv_model kinds[] = {CLV_BGNBD, CLV_MBGNBD, CLV_PARETONBD};
    struct values values = {.ask = ask};
    int model = 0;
    double discount = 0.1;
    enum status status = live_ask_plain(ask, members, err);
    if (status == ST_OK)
        status = live_ask_word(ask, "model", models, 0, &model, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "horizon", 1, 5200, WEEKS_PER_YEAR, &values.horizon, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "discount", 0.001, 10, 0.1, &discount, err);
    if (status == ST_OK)
        status = live_customers_collect(ask, "clv", &values.customers, err);
    values.rate = log1p(discount) / WEEKS_PER_YEAR;
    if (status == ST_OK)
        status = values_make(&values, kinds[model], err);
    if (status == ST_OK)
        status =
            ask->want != NULL ? people_want(&values, err) : answer(&values, discount, json, err);
    free(values.list);
    free(values.of);
    live_customers_done(&values.customers);
    return status;
}
