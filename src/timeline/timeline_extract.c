/* timeline_extract.c - a timeline of one question, out of the warehouse.
 *
 * Above the memory's limit the oldest events are not here any more. A question that reaches back
 * to them gets a timeline of its own, made by the rebuild's code of the rows that it needs, and is
 * answered by the same passes as any other: so what it says is what it would say if everything
 * were in the memory. Nobody feeds it and it has no keeper.
 *
 * Its names, channels and campaigns are all that the warehouse has, in the order in which they
 * first came, though most of them may have no event here: a name that nobody had in the question's
 * time is not an unknown one, and what a report lists by code stands in the usual order. */
#include "timeline/timeline_extract.h"

#include "timeline/timeline_int.h"

static bool kinds_take(void *ctx, const struct warehouse_columns *columns)
{
    struct timeline *timeline = ctx;
    struct names *names = &timeline->names;
    const struct str *texts = columns->texts;
    for (size_t i = 0; i < columns->count; i++) {
        uint16_t code = timeline_names_code(names, timeline->memo, texts[columns->name[i]]);
        uint16_t origin = timeline_names_origin(names, timeline->memo, texts[columns->channel[i]],
                                                texts[columns->campaign[i]]);
        (void)origin; /* it is known from here on, that is all */
        timeline->code_events[code] += columns->events[i];
    }
    return true;
}

enum status timeline_extract_names(struct timeline *timeline, uint64_t cut, struct err *err)
{
    const struct timeline_extract *extract = timeline->extract;
    const struct warehouse_span span = {
        .position_below = cut, .stop = extract->stop, .stop_ctx = extract->stop_ctx};
    return warehouse_stream_kinds(timeline->options.warehouse, &span, kinds_take, timeline, err);
}

enum status timeline_extract(const struct timeline_options *options,
                             const struct timeline_extract *extract, struct timeline **ret_timeline,
                             struct err *err)
{
    struct timeline *timeline = timeline_new(options);
    timeline->extract = extract;
    timeline->position = timeline->rebuild_cut;
    enum status status = timeline_rebuild(timeline, timeline->rebuild_cut, err);
    if (status != ST_OK) {
        timeline_close(timeline);
        return extract->stop(extract->stop_ctx) ? err_set(err, ST_BUSY, "stopped") : status;
    }
    timeline_snapshot_publish(timeline);
    timeline->ready = true;
    *ret_timeline = timeline;
    return ST_OK;
}
