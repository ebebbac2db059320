/* report_kmeans.c - `hezou report kmeans --input F --k N`, or `--k 2..8` for an elbow. */
#include "app/report.h"
#include "learn/kmeans.h"

#include <stdlib.h>

/* "5" or "2..8"; false for anything else. */
static bool range_of(const char *text, size_t *ret_first, size_t *ret_last)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *ret_first = *ret_last = strtoul(text, &end, 10);
    if (strncmp(end, "..", 2) == 0 && end[2] >= '0' && end[2] <= '9')
        *ret_last = strtoul(end + 2, &end, 10);
    return *end == '\0';
}

static bool scale_of(const char *text, bool *ret_zscore)
{
    *ret_zscore = strcmp(text, "zscore") == 0;
    return *ret_zscore || strcmp(text, "none") == 0;
}

enum status report_kmeans(const struct options *options, struct buf *json, struct err *err)
{
    struct table_options file;
    struct kmeans_report_options asked = {0};
    enum status status = report_file(options, OPTION_INPUT, &file, err);
    if (status != ST_OK)
        return status;
    if (!range_of(option_text(options, OPTION_K), &asked.k_first, &asked.k_last))
        return err_set(err, ST_INVALID, "%s is a number like 5, or a range like 2..8",
                       option_name(OPTION_K));
    if (!scale_of(option_text(options, OPTION_STANDARDIZE), &asked.zscore))
        return err_set(err, ST_INVALID, "%s is none or zscore", option_name(OPTION_STANDARDIZE));
    asked.path = file.path;
    asked.delimiter = file.delimiter;
    asked.columns = file.columns;
    asked.features = option_text(options, OPTION_FEATURES);
    asked.log1p = option_is_set(options, OPTION_LOG1P);
    asked.each = option_is_set(options, OPTION_EACH);
    asked.fit.starts = (size_t)option_number(options, OPTION_STARTS);
    asked.fit.iterations_max = (size_t)option_number(options, OPTION_ITERATIONS);
    asked.fit.seed = (uint64_t)option_number(options, OPTION_SEED);
    return kmeans_report(&asked, json, err);
}
