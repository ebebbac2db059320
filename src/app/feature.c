/* feature.c - options of `hezou feature FILE` and `hezou bucket` into those of learn/, and the
 * answer out. */
#include "app/feature.h"

#include "app/report.h"
#include "learn/growthbook_report.h"

#define ANSWER_BYTES_MAX ((size_t)1 << 30)

/* Shows what was made, and frees it. */
static enum status answered(const struct options *options, enum status status, struct buf *json,
                            struct err *err)
{
    if (status == ST_OK && json->overflow)
        status = err_set(err, ST_TOO_LARGE, "could not report: the answer has more than %zu bytes",
                         ANSWER_BYTES_MAX);
    if (status == ST_OK)
        status = report_show(options, buf_view(json), err);
    buf_done(json);
    return status;
}

enum status feature_run(const struct options *options, struct err *err)
{
    struct buf json;
    struct growthbook_report_options asked = {.path = options->argument,
                                              .attributes = option_text(options, OPTION_ATTRIBUTES),
                                              .url = option_text(options, OPTION_PAGE),
                                              .key = option_text(options, OPTION_DECRYPTION_KEY),
                                              .is_full = option_is_set(options, OPTION_JSON)};
    asked.features_count = option_list(options, OPTION_FEATURE, &asked.features);
    buf_init(&json, ANSWER_BYTES_MAX);
    return answered(options, growthbook_report(&asked, &json, err), &json, err);
}

enum status feature_bucket(const struct options *options, struct err *err)
{
    struct buf json;
    struct bucket_report_options asked = {.seed = option_text(options, OPTION_HASH_SEED),
                                          .value = option_text(options, OPTION_VALUE),
                                          .version = option_number(options, OPTION_HASH_VERSION),
                                          .weights = option_text(options, OPTION_WEIGHTS),
                                          .variations = option_number(options, OPTION_VARIATIONS),
                                          .coverage = option_real(options, OPTION_COVERAGE)};
    if (!option_is_set(options, OPTION_VALUE))
        return err_set(err, ST_INVALID, "%s %s %s ID", option_command(options),
                       text_in(options->language, TEXT_NEEDS_OPTION), option_name(OPTION_VALUE));
    buf_init(&json, ANSWER_BYTES_MAX);
    return answered(options, bucket_report(&asked, &json, err), &json, err);
}
