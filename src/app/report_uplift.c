/* report_uplift.c - `hezou report uplift --data F --treatment COLUMN --outcome COLUMN`. */
#include "app/report.h"
#include "learn/uplift.h"

#include <stdlib.h>

enum status report_uplift(const struct options *options, struct buf *json, struct err *err)
{
    struct table_options file;
    const char *k = option_text(options, OPTION_K);
    char *end;
    enum status status = report_file(options, OPTION_DATA, &file, err);
    if (status != ST_OK)
        return status;
    struct uplift_report_options asked = {
        .path = file.path,
        .delimiter = file.delimiter,
        .columns = file.columns,
        .treatment = option_text(options, OPTION_TREATMENT),
        .outcome = option_text(options, OPTION_OUTCOME),
        .treated_is = option_text(options, OPTION_TREATED),
        .control_is = option_text(options, OPTION_CONTROL),
        .score = option_text(options, OPTION_SCORE),
        .features = option_text(options, OPTION_FEATURES),
        .k = k[0] == '\0' ? 0.3 : strtod(k, &end),
    };
    if (k[0] != '\0' && *end != '\0')
        return err_set(err, ST_INVALID, "%s is a share like 0.3", option_name(OPTION_K));
    return uplift_report(&asked, json, err);
}
