/* report_retention.c - `hezou report retention --events F --start A --return B --period week`. */
#include "app/report.h"
#include "app/report_sequence.h"

enum status report_retention(const struct options *options, struct buf *json, struct err *err)
{
    struct retention_report_options report = {.start = option_text(options, OPTION_START),
                                              .back = option_text(options, OPTION_RETURN),
                                              .period = option_text(options, OPTION_PERIOD),
                                              .periods =
                                                  (size_t)option_number(options, OPTION_PERIODS)};
    enum status status = report_sequence_source(options, &report.source, err);
    return status == ST_OK ? retention_report(&report, json, err) : status;
}
