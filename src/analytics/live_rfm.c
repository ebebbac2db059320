/* live_rfm.c - RFM of living customers: the kernel of learn/rfm.h on the timeline's orders.
 *
 * The question, besides the common members and those of live_customer.h: "bins" (5) and "step" (1,
 * see learn/rfm.h). The day of the analysis is the one after the window's last. Rows are segments;
 * "grid" has each pair of recency and frequency scores. Traits: rfm_segment, rfm_score. */
#include <math.h>
#include <stdlib.h>

#include "analytics/live_customer.h"
#include "learn/rfm.h"

struct rfm {
    struct live_ask *ask;
    struct live_customers customers;
    struct rfm_customer *list;
    size_t count, bins;
    struct rfm_cuts cuts;
};

static enum status score(struct rfm *rfm, const struct rfm_options *options, struct err *err)
{
    const struct live_orders *orders = &rfm->customers.orders;
    uint32_t *who = mem_alloc((orders->count + 1) * sizeof *who);
    int64_t *days = mem_alloc((orders->count + 1) * sizeof *days);
    double *amounts = mem_alloc((orders->count + 1) * sizeof *amounts);
    rfm->count = orders->people_count;
    rfm->list = mem_zero((rfm->count + 1) * sizeof *rfm->list);
    for (size_t p = 0; p < rfm->count; p++)
        for (size_t i = orders->starts[p]; i < orders->starts[p + 1]; i++) {
            who[i] = (uint32_t)p;
            days[i] = rfm->customers.days[i];
            amounts[i] = (double)orders->list[i].micros / 1e6;
        }
    rfm_collect(who, NULL, days, amounts, orders->count, rfm->customers.analysis_day, rfm->count,
                rfm->list);
    free(who);
    free(days);
    free(amounts);
    return rfm_score(rfm->list, rfm->count, options, &rfm->cuts, err);
}

/* --- the answer ------------------------------------------------------------------------------- */

static void put_segments(struct buf *json, const struct rfm *rfm)
{
    struct rfm_summary summaries[RFM_SEGMENT_COUNT];
    double revenue = 0;
    rfm_summarise(rfm->list, rfm->count, summaries);
    for (size_t s = 0; s < RFM_SEGMENT_COUNT; s++)
        revenue += summaries[s].revenue;
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t s = 0; s < RFM_SEGMENT_COUNT; s++) {
        const struct rfm_summary *sum = &summaries[s];
        const char *name = rfm_segment_name((enum rfm_segment)s);
        if (sum->customers == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "segment", str_of(name));
        json_put_member_uint(json, "customers", sum->customers);
        live_put_cell(rfm->ask, json, "{\"segment\":\"%s\"}", name);
        json_put_member_number(json, "share", (double)sum->customers / (double)rfm->count);
        json_put_member_number(json, "orders", sum->orders);
        json_put_member_number(json, "revenue", sum->revenue);
        json_put_member_number(json, "revenue_share", revenue > 0 ? sum->revenue / revenue : NAN);
        json_put_member_number(json, "recency_median", sum->recency_median);
        json_put_member_number(json, "orders_median", sum->orders_median);
        json_put_member_number(json, "revenue_median", sum->revenue_median);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

/* Small bins only: a hundred by a hundred is no picture. */
static void put_grid(struct buf *json, const struct rfm *rfm)
{
    struct {
        uint64_t people;
        double revenue;
    } cells[100] = {0};
    size_t bins = rfm->bins;
    if (bins > 10)
        return;
    for (size_t i = 0; i < rfm->count; i++) {
        size_t at = (rfm->list[i].recency_score - 1) * bins + rfm->list[i].frequency_score - 1;
        cells[at].people++;
        cells[at].revenue += rfm->list[i].revenue;
    }
    json_put_name(json, "grid");
    buf_char(json, '[');
    for (size_t at = bins * bins; at-- > 0;) {
        if (cells[at].people == 0)
            continue;
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "recency_score", at / bins + 1);
        json_put_member_uint(json, "frequency_score", at % bins + 1);
        json_put_member_uint(json, "customers", cells[at].people);
        live_put_cell(rfm->ask, json, "{\"recency\":%zu,\"frequency\":%zu}", at / bins + 1,
                      at % bins + 1);
        json_put_member_number(json, "share", (double)cells[at].people / (double)rfm->count);
        json_put_member_number(json, "revenue", cells[at].revenue);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_cuts(struct buf *json, const char *name, const double *cuts, size_t bins)
{
    json_put_name(json, name);
    buf_char(json, '[');
    for (size_t i = 0; i + 1 < bins; i++) {
        json_put_comma(json);
        json_put_number(json, cuts[i]);
    }
    buf_char(json, ']');
}

static void traits_put(const void *ctx, size_t i, struct buf *json)
{
    const struct rfm *rfm = ctx;
    json_put_member_str(json, "rfm_segment", str_of(rfm_segment_name(rfm->list[i].segment)));
    json_put_member_uint(json, "rfm_score", rfm_code(&rfm->list[i], rfm->bins));
}

static enum status answer(struct rfm *rfm, struct buf *json, struct err *err)
{
    double revenue = 0;
    const struct live_orders *orders = &rfm->customers.orders;
    for (size_t i = 0; i < rfm->count; i++)
        revenue += rfm->list[i].revenue;
    json_put_member_uint(json, "customers", rfm->count);
    json_put_member_uint(json, "orders", orders->count);
    json_put_member_number(json, "revenue", revenue);
    json_put_member_uint(json, "bins", rfm->bins);
    put_cuts(json, "recency_cuts", rfm->cuts.recency, rfm->bins);
    put_cuts(json, "frequency_cuts", rfm->cuts.frequency, rfm->bins);
    put_cuts(json, "monetary_cuts", rfm->cuts.monetary, rfm->bins);
    json_put_member_str(json, "bars", STR("share"));
    put_segments(json, rfm);
    put_grid(json, rfm);
    live_customers_put_end(json, &rfm->customers, 0, "");
    return live_customers_save(rfm->ask, &rfm->customers, traits_put, rfm, json, err);
}

/* A segment, or a pair of scores. */
static enum status people_want(struct rfm *rfm, struct err *err)
{
    uint64_t recency = 0, frequency = 0;
    struct str segment = json_member_str(rfm->ask->cell, "segment");
    enum status status = ST_OK;
    if (segment.n == 0)
        status = live_cell_number(rfm->ask, "recency", RFM_BINS_MAX + 1, &recency, err);
    if (status == ST_OK && segment.n == 0)
        status = live_cell_number(rfm->ask, "frequency", RFM_BINS_MAX + 1, &frequency, err);
    for (size_t i = 0; status == ST_OK && i < rfm->count; i++) {
        const struct rfm_customer *customer = &rfm->list[i];
        bool wanted = segment.n > 0 ? str_is(segment, rfm_segment_name(customer->segment))
                                    : customer->recency_score == recency &&
                                          customer->frequency_score == frequency;
        if (wanted)
            live_want(rfm->ask, rfm->customers.orders.people[i]);
    }
    return status;
}

enum status live_rfm(struct live_ask *ask, struct buf *json, struct err *err)
{
    static const char *const members[] = {"order", "clean", "bins", "step", NULL};
    struct rfm rfm = {.ask = ask};
    double bins = 5, step = 1;
    enum status status = live_ask_plain(ask, members, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "bins", 2, RFM_BINS_MAX, 5, &bins, err);
    if (status == ST_OK)
        status = live_ask_number(ask, "step", 1e-9, 1e12, 1, &step, err);
    if (status == ST_OK)
        status = live_customers_collect(ask, "rfm", &rfm.customers, err);
    struct rfm_options options = {.bins = (size_t)bins, .step = step};
    rfm.bins = options.bins;
    if (status == ST_OK)
        status = score(&rfm, &options, err);
    if (status == ST_OK)
        status = ask->want != NULL ? people_want(&rfm, err) : answer(&rfm, json, err);
    free(rfm.list);
    live_customers_done(&rfm.customers);
    return status;
}
