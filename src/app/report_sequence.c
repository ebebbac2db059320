/* report_sequence.c - `hezou report sequence --events F --pattern '(?1).*(?2)' --step A --step B`.
 */
#include "app/report_sequence.h"

#include "app/report.h"

enum status report_sequence_source(const struct options *options,
                                   struct sequence_source *ret_source, struct err *err)
{
    struct sequence_source source = {.plain_time = option_is_set(options, OPTION_PLAIN_TIME)};
    source.steps_count = option_list(options, OPTION_STEP, &source.steps);
    enum status status = report_file(options, OPTION_EVENTS, &source.file, err);
    if (status == ST_OK)
        *ret_source = source;
    return status;
}

enum status report_sequence(const struct options *options, struct buf *json, struct err *err)
{
    struct sequence_report_options report = {.pattern = option_text(options, OPTION_PATTERN),
                                             .examples =
                                                 (size_t)option_number(options, OPTION_EXAMPLES)};
    enum status status = report_sequence_source(options, &report.source, err);
    return status == ST_OK ? sequence_report(&report, json, err) : status;
}
