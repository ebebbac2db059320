/* report_rfm.c - `hezou report rfm --transactions F` or `--customers F`. */
#include "app/report.h"
#include "learn/rfm.h"

enum status report_rfm(const struct options *options, struct buf *json, struct err *err)
{
    struct table_options file;
    bool orders = option_is_set(options, OPTION_TRANSACTIONS);
    bool customers = option_is_set(options, OPTION_CUSTOMERS);
    if (orders && customers)
        return err_set(err, ST_INVALID, "%s and %s exclude each other",
                       option_name(OPTION_TRANSACTIONS), option_name(OPTION_CUSTOMERS));
    enum status status =
        report_file(options, customers ? OPTION_CUSTOMERS : OPTION_TRANSACTIONS, &file, err);
    if (status != ST_OK)
        return status;
    struct rfm_report_options asked = {
        .transactions = orders ? file.path : NULL,
        .customers = customers ? file.path : NULL,
        .delimiter = file.delimiter,
        .columns = file.columns,
        .analysis_date = option_text(options, OPTION_ANALYSIS_DATE),
        .bins = (size_t)option_number(options, OPTION_BINS),
        .step = option_real(options, OPTION_CUT_STEP),
        .recency_cuts = option_text(options, OPTION_RECENCY_CUTS),
        .frequency_cuts = option_text(options, OPTION_FREQUENCY_CUTS),
        .monetary_cuts = option_text(options, OPTION_MONETARY_CUTS),
        .clean = option_is_set(options, OPTION_CLEAN),
        .each = option_is_set(options, OPTION_EACH),
    };
    return rfm_report(&asked, json, err);
}
