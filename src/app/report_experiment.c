/* report_experiment.c - `hezou report experiment` and `hezou report power`: options to structs. */
#include <math.h>

#include "app/report.h"
#include "learn/experiment_report.h"

static double real_or_nan(const struct options *options, enum option option)
{
    return option_is_set(options, option) ? option_real(options, option) : NAN;
}

enum status report_experiment(const struct options *options, struct buf *json, struct err *err)
{
    bool counts = option_is_set(options, OPTION_COUNTS),
         stats = option_is_set(options, OPTION_STATS);
    bool relative = option_is_set(options, OPTION_RELATIVE);
    struct table_options file = {0};
    struct experiment_report_options experiment = {
        .counts = option_text(options, OPTION_COUNTS),
        .stats = option_text(options, OPTION_STATS),
        .control = option_text(options, OPTION_CONTROL),
        .weights = option_text(options, OPTION_SPLIT),
        .test = option_text(options, OPTION_TEST),
        .side = option_text(options, OPTION_SIDE),
        .interval = option_text(options, OPTION_INTERVAL),
        .correction = option_text(options, OPTION_CORRECTION),
        .prior = option_text(options, OPTION_PRIOR),
        .absolute = option_is_set(options, OPTION_ABSOLUTE),
        .cuped = option_is_set(options, OPTION_CUPED),
        .inverse = option_is_set(options, OPTION_INVERSE),
        .alpha = option_real(options, OPTION_ALPHA),
        .tuning = option_real(options, OPTION_TUNING),
        .tolerance = option_real(options, OPTION_TOLERANCE),
        .target = option_real(options, OPTION_TARGET),
        .power = option_is_set(options, OPTION_POWER) ? option_real(options, OPTION_POWER) : 0.8,
    };
    if (counts && stats)
        return err_set(err, ST_INVALID, "%s and %s exclude each other", option_name(OPTION_COUNTS),
                       option_name(OPTION_STATS));
    if (relative && experiment.absolute)
        return err_set(err, ST_INVALID, "%s and %s exclude each other",
                       option_name(OPTION_RELATIVE), option_name(OPTION_ABSOLUTE));
    if (!counts && report_file(options, stats ? OPTION_STATS : OPTION_DATA, &file, err) != ST_OK)
        return err_hint(err, err->status, "--data FILE, --counts or --stats FILE");
    experiment.data = file.path, experiment.columns = file.columns;
    experiment.delimiter = file.delimiter;
    return experiment_report(&experiment, json, err);
}

enum status report_power(const struct options *options, struct buf *json, struct err *err)
{
    struct power_report_options power = {
        .method = option_text(options, OPTION_METHOD),
        .boundary = option_text(options, OPTION_BOUNDARY),
        .n = real_or_nan(options, OPTION_N),
        .effect = real_or_nan(options, OPTION_EFFECT),
        .power = real_or_nan(options, OPTION_POWER),
        .baseline = real_or_nan(options, OPTION_BASELINE),
        .stddev = option_real(options, OPTION_STDDEV),
        .alpha = option_real(options, OPTION_ALPHA),
        .relative = option_is_set(options, OPTION_RELATIVE),
        .one_sided = option_is_set(options, OPTION_ONE_SIDED),
        .strict = option_is_set(options, OPTION_STRICT),
        .looks = option_number(options, OPTION_LOOKS),
    };
    if (power.relative && option_is_set(options, OPTION_ABSOLUTE))
        return err_set(err, ST_INVALID, "%s and %s exclude each other",
                       option_name(OPTION_RELATIVE), option_name(OPTION_ABSOLUTE));
    return power_report(&power, json, err);
}
