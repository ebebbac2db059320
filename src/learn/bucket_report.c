/* bucket_report.c - one hash taken apart: where a value falls, and what lies there. */
#include "learn/growthbook_report.h"

#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "learn/bucket.h"

#define VARIATIONS_MAX 1000

/* "0.5,.25,.25"; ST_INVALID names the one that is no number of at least 0. */
static enum status weights_read(const char *text, double *weights, size_t *ret_count,
                                struct err *err)
{
    size_t count = 0;
    for (const char *at = text; *at != '\0'; count++) {
        char *end;
        double weight = strtod(at, &end);
        if (end == at || (*end != ',' && *end != '\0') || (*end == ',' && end[1] == '\0') ||
            !isfinite(weight) || weight < 0)
            return err_set(err, ST_INVALID, "--weights: \"%.20s\" is no weight", at);
        if (count == VARIATIONS_MAX)
            return err_set(err, ST_INVALID, "--weights: more than %d", VARIATIONS_MAX);
        weights[count] = weight;
        at = *end == ',' ? end + 1 : end;
    }
    *ret_count = count;
    return ST_OK;
}

static void put_rows(struct buf *json, const struct bucket_range *ranges, const double *weights,
                     size_t count, int64_t chosen)
{
    json_put_name(json, "rows");
    buf_char(json, '[');
    for (size_t i = 0; i < count; i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "variation", i);
        json_put_member_number(json, "weight", weights[i]);
        json_put_member_number(json, "from", ranges[i].from);
        json_put_member_number(json, "to", ranges[i].to);
        json_put_member_bool(json, "chosen", (int64_t)i == chosen);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

enum status bucket_report(const struct bucket_report_options *options, struct buf *json,
                          struct err *err)
{
    double weights[VARIATIONS_MAX + 1], total = 0, n;
    struct bucket_range ranges[VARIATIONS_MAX];
    size_t weights_count = 0;
    enum status status = weights_read(options->weights, weights, &weights_count, err);
    if (status != ST_OK)
        return status;
    size_t count = options->variations > 0 ? (size_t)options->variations
                   : weights_count > 0     ? weights_count
                                           : 2;
    if (count > VARIATIONS_MAX)
        return err_set(err, ST_INVALID, "--variations: more than %d", VARIATIONS_MAX);
    for (size_t i = 0; i < weights_count; i++)
        total += weights[i];
    if (weights_count > 0 && (weights_count != count || total < 0.99 || total > 1.01))
        return err_set(err, ST_INVALID,
                       "--weights: %zu weights that add up to %g for %zu variations", weights_count,
                       total, count);
    if (!(options->coverage >= 0 && options->coverage <= 1))
        return err_set(err, ST_INVALID, "--coverage must be from 0 to 1");
    if (!bucket_hash(str_of(options->seed), str_of(options->value), options->version, &n))
        return err_set(err, ST_INVALID, "--hash-version must be 1 or 2");
    bucket_ranges(count, options->coverage, weights_count > 0 ? weights : NULL, weights_count,
                  ranges);
    if (weights_count == 0)
        bucket_equal_weights(count, weights);
    int64_t chosen = bucket_choose(n, ranges, count);
    buf_char(json, '{');
    json_put_member_str(json, "report", STR("bucket"));
    json_put_member_number(json, "bucket", n);
    if (chosen >= 0)
        json_put_member_int(json, "variation", chosen);
    else
        json_put_member_raw(json, "variation", STR("null"));
    put_rows(json, ranges, weights, count, chosen);
    buf_char(json, '}');
    return ST_OK;
}
