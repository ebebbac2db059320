/* event_fuzz.c - arbitrary bytes into the three journal payload readers.
 *
 * What a reader takes must be what its writer writes: bytes that decode are written again and must
 * decode to the same thing; where no unknown field was skipped they must be the same bytes. Built
 * by -Dfuzz=true with clang. */
#include "event/event.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool same_event(const struct event *a, const struct event *b)
{
    if (a->identifiers_count != b->identifiers_count)
        return false;
    for (size_t i = 0; i < a->identifiers_count; i++)
        if (a->identifiers[i].type != b->identifiers[i].type ||
            !str_eq(a->identifiers[i].value, b->identifiers[i].value))
            return false;
    return a->type == b->type && a->operation == b->operation &&
           str_eq(a->message_id, b->message_id) && str_eq(a->name, b->name) &&
           str_eq(a->channel, b->channel) && a->original_us == b->original_us &&
           a->sent_us == b->sent_us && str_eq(a->properties, b->properties) &&
           str_eq(a->context, b->context);
}

static void fuzz_event(struct str input, struct buf *buf)
{
    struct event event, again;
    if (event_decode(input, &event, NULL) != ST_OK)
        return;
    event_encode(&event, buf);
    CHECK(event_decode(buf_view(buf), &again, NULL) == ST_OK);
    CHECK(same_event(&event, &again));
    CHECK(buf->n < input.n || str_eq(buf_view(buf), input));
}

static void fuzz_quarantine(struct str input, struct buf *buf)
{
    struct quarantine quarantine;
    if (quarantine_decode(input, &quarantine, NULL) != ST_OK)
        return;
    quarantine_encode(&quarantine, buf);
    CHECK(str_eq(buf_view(buf), input));
}

static void fuzz_erasure(struct str input, struct buf *buf)
{
    struct arena arena;
    arena_init(&arena);
    struct erasure erasure;
    if (erasure_decode(input, &arena, &erasure, NULL) == ST_OK) {
        erasure_encode(&erasure, buf);
        CHECK(str_eq(buf_view(buf), input));
    }
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct str input = {(const char *)bytes, n};
    struct buf buf;
    buf_init(&buf, (size_t)1 << 20);
    fuzz_event(input, &buf);
    buf_reset(&buf);
    fuzz_quarantine(input, &buf);
    buf_reset(&buf);
    fuzz_erasure(input, &buf);
    buf_done(&buf);
    return 0;
}
