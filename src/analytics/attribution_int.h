/* attribution_int.h - what the files of attribution share. */
#ifndef ANALYTICS_ATTRIBUTION_INT_H
#define ANALYTICS_ATTRIBUTION_INT_H

#include "analytics/attribution.h"
#include "base/hash.h"
#include "table/table.h"

/* A window of the last channels of a path: each one takes `bits` bits as number + 1, so that 0 is
 * "before the path". Windows of different length differ. */
__extension__ typedef unsigned __int128 attribution_window;

struct attribution_packing {
    unsigned bits, order;
    attribution_window mask;
};

MUST_USE enum status attribution_packing_init(uint32_t channels_count, unsigned order,
                                              struct attribution_packing *ret_packing,
                                              struct err *err);

static inline attribution_window attribution_push(const struct attribution_packing *packing,
                                                  attribution_window window, uint32_t channel)
{
    return ((window << packing->bits) | ((attribution_window)channel + 1)) & packing->mask;
}

/* One to one, well spread, never the zero key: a window has at most 127 bits. */
static inline struct hash128 attribution_window_key(attribution_window window)
{
    uint64_t low = (uint64_t)window, high = (uint64_t)(window >> 64);
    return (struct hash128){hash_mix(low ^ hash_mix(high + UINT64_C(0x9e3779b97f4a7c15))),
                            high + 1};
}

/* Sums over paths that count (those with a touch). */
double attribution_total(const struct attribution_paths *paths, const double *per_path);
/* What `path` earned: its value counts only with conversions. */
double attribution_value(const struct attribution_paths *paths, size_t path);

MUST_USE enum status attribution_markov(const struct attribution_paths *paths, unsigned order,
                                        struct arena *arena, struct attribution_credit *credit,
                                        struct err *err);
MUST_USE enum status attribution_shapley_rate(const struct attribution_paths *paths,
                                              struct attribution_credit *credit, struct err *err);
MUST_USE enum status attribution_shao(const struct attribution_paths *paths,
                                      struct attribution_credit *credit, struct err *err);

/* --- a file of paths (attribution_file.c) ----------------------------------------------------- */

struct attribution_names; /* texts of channels ↔ their numbers */

struct attribution_file {
    struct arena arena;
    struct attribution_names *names;
    struct attribution_paths paths;
    double *new_customers; /* per path; NULL: the file does not say */
    /* Rows that were left out, and rows that were cut. */
    size_t no_touch_rows, no_journey_rows, empty_touch_rows, no_value_rows, lost_value_rows;
    double no_touch_conversions;
};

struct attribution_report_options; /* attribution_report.h */
MUST_USE enum status attribution_file_read(const struct attribution_report_options *options,
                                           struct attribution_file *ret_file, struct err *err);
void attribution_file_done(struct attribution_file *file);

struct str attribution_name(const struct attribution_names *names, uint32_t channel);
/* False when no path has it. */
bool attribution_name_find(const struct attribution_names *names, struct str name,
                           uint32_t *ret_channel);

/* Touches of a text "a > b > c": each call moves *rest behind the next one. A touch in double
 * quotes may contain the separator; a quote in it is doubled. The touch borrows from the text or
 * from the arena; it is empty between two separators. False at the end. */
enum attribution_touch { ATTRIBUTION_TOUCH, ATTRIBUTION_TOUCH_END, ATTRIBUTION_TOUCH_BAD };
enum attribution_touch attribution_touch_next(struct str *rest, struct str separator,
                                              struct arena *arena, struct str *ret_touch);
#endif
