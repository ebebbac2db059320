/* collect_fuzz.c - arbitrary bytes as a body of the Segment door and of our own.
 *
 * Whatever comes in, what comes out must be readable by the pipeline: every frame's payload decodes
 * as what its type says, and the count of items adds up. Built by -Dfuzz=true with clang. */
#include "collect/collect_int.h"

#include "base/check.h"
#include "log/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void frames_check(const struct intake *intake)
{
    size_t at = 0;
    uint32_t records = 0;
    while (at < intake->frames.n) {
        uint32_t length;
        struct event event;
        struct quarantine quarantine;
        memcpy(&length, intake->frames.p + at, sizeof length);
        unsigned char type = (unsigned char)intake->frames.p[at + 4];
        struct str payload = {intake->frames.p + at + LOG_HEADER_BYTES, length};
        if (type == LOG_EVENT)
            CHECK(event_decode(payload, &event, NULL) == ST_OK);
        else
            CHECK(quarantine_decode(payload, &quarantine, NULL) == ST_OK);
        at += LOG_HEADER_BYTES + length;
        records++;
    }
    CHECK(at == intake->frames.n && records == intake->records);
    CHECK(intake->items ==
          intake->events + intake->quarantined + intake->denied + intake->duplicates);
}

static void answer_check(const struct intake *intake, struct door *door)
{
    struct buf answer;
    yyjson_val *root;
    bool strict;
    buf_init(&answer, (size_t)64 << 20);
    collect_intake_answer(intake, 1, 64, &answer);
    CHECK(collect_door_parse(door, buf_view(&answer), &root, &strict, NULL) == ST_OK && strict);
    CHECK(yyjson_arr_size(yyjson_obj_get(root, "results")) == intake->items);
    buf_done(&answer);
}

static void body_take(struct door *door, struct privacy *privacy, struct str body, bool own)
{
    struct intake intake;
    yyjson_val *root;
    bool strict;
    collect_intake_init(&intake, door);
    intake.path = STR("/v1/batch");
    intake.privacy = privacy;
    intake.want_results = own;
    bool parsed = collect_door_parse(door, body, &root, &strict, NULL) == ST_OK;
    if (!own && parsed)
        (void)collect_segment_take(&intake, 0, root, strict);
    else if (own && !(parsed && collect_own_take(&intake, root, strict)))
        (void)collect_own_take_lines(&intake, body);
    frames_check(&intake);
    if (own)
        answer_check(&intake, door);
    collect_intake_done(&intake);
    collect_door_reset(door);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct door door;
    static struct rng rng;
    static struct privacy *privacy;
    if (privacy == NULL) {
        const struct privacy_options options = {0};
        rng_init_seed(&rng, 1);
        collect_door_init(&door, &rng);
        privacy = privacy_new(&options);
    }
    struct str body = {(const char *)bytes, n};
    body_take(&door, privacy, body, false);
    body_take(&door, privacy, body, true);
    return 0;
}
