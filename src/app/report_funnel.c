/* report_funnel.c - `hezou report funnel --events F --step A --step B`. */
#include "app/report.h"
#include "app/report_sequence.h"

enum status report_funnel(const struct options *options, struct buf *json, struct err *err)
{
    struct funnel_report_options report = {.window_us = option_duration_us(options, OPTION_WINDOW),
                                           .modes = option_text(options, OPTION_MODE)};
    enum status status = report_sequence_source(options, &report.source, err);
    return status == ST_OK ? funnel_report(&report, json, err) : status;
}
