/* report_clv.c - `hezou report clv`: purchases, summaries of customers, or survivors. */
#include "app/report.h"
#include "base/clock.h"
#include "learn/clv_report.h"

enum status report_clv(const struct options *options, struct buf *json, struct err *err)
{
    struct clock clock;
    clock_init_system(&clock);
    struct clv_report_options report = {
        .summaries = option_is_set(options, OPTION_CUSTOMERS),
        .model =
            option_is_set(options, OPTION_MODEL) ? option_text(options, OPTION_MODEL) : "bgnbd",
        .calibration_end = option_text(options, OPTION_CALIBRATION_END),
        .horizon =
            option_is_set(options, OPTION_HORIZON) ? option_real(options, OPTION_HORIZON) : 0,
        .discount = option_real(options, OPTION_DISCOUNT),
        .period_us = option_duration_us(options, OPTION_OPPORTUNITY),
        .survivors = option_text(options, OPTION_SURVIVORS),
        .now_us = clock_now_us(&clock),
    };
    if (option_is_set(options, OPTION_TRANSACTIONS) + report.summaries +
            option_is_set(options, OPTION_SURVIVORS) !=
        1)
        return err_set(err, ST_INVALID,
                       "report clv needs one of --transactions FILE, --customers FILE, --survivors "
                       "LIST");
    if (option_is_set(options, OPTION_SURVIVORS) && strcmp(report.model, "sbg") != 0)
        return err_set(err, ST_INVALID, "--survivors is for --model sbg");
    if (!option_is_set(options, OPTION_SURVIVORS)) {
        enum status status = report_file(
            options, report.summaries ? OPTION_CUSTOMERS : OPTION_TRANSACTIONS, &report.file, err);
        if (status != ST_OK)
            return status;
    }
    return clv_report(&report, json, err);
}
