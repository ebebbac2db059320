/* event_test.c - the rules of the payload form, each by a test. */
#include "event/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"

static struct event full_event(void)
{
    struct event event = {.type = EVENT_TRACK,
                          .message_id = STR("m-1"),
                          .name = STR("Order Completed"),
                          .channel = STR("web"),
                          .original_us = INT64_C(1764000000123456),
                          .sent_us = -5,
                          .properties = STR("{\"revenue\":1}"),
                          .context = STR("{}")};
    assert_true(event_add_identifier(&event, IDENTIFIER_USER_ID, STR("u1")));
    assert_true(event_add_identifier(&event, IDENTIFIER_PHONE, STR("+8613812345678")));
    return event;
}

static void assert_same_str(struct str a, struct str b)
{
    assert_true(str_eq(a, b));
}

static void assert_same(const struct event *a, const struct event *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->operation, b->operation);
    assert_same_str(a->message_id, b->message_id);
    assert_same_str(a->name, b->name);
    assert_same_str(a->channel, b->channel);
    assert_int_equal(a->original_us, b->original_us);
    assert_int_equal(a->sent_us, b->sent_us);
    assert_int_equal(a->identifiers_count, b->identifiers_count);
    for (size_t i = 0; i < a->identifiers_count; i++) {
        assert_int_equal(a->identifiers[i].type, b->identifiers[i].type);
        assert_same_str(a->identifiers[i].value, b->identifiers[i].value);
    }
    assert_same_str(a->properties, b->properties);
    assert_same_str(a->context, b->context);
}

static void encode(const struct event *event, struct buf *buf)
{
    buf_init(buf, 1 << 20);
    event_encode(event, buf);
    assert_false(buf->overflow);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct event event = full_event(), again;
    struct buf buf;
    encode(&event, &buf);
    assert_int_equal(event_decode(buf_view(&buf), &again, NULL), ST_OK);
    assert_same(&event, &again);
    buf_done(&buf);
}

static void the_bytes_are_those_of_the_document(void **state)
{
    (void)state;
    struct event event = {.type = EVENT_TRACK, .message_id = STR("m"), .name = STR("Hi")};
    event.original_us = 1;
    event_add_identifier(&event, IDENTIFIER_USER_ID, STR("u"));
    struct buf buf;
    encode(&event, &buf);
    static const char want[] = "\x01\x02\x01\x00" /* a track without an operation */
                               "\x02\x01m"
                               "\x03\x02Hi"
                               "\x85\x01\0\0\0\0\0\0\0" /* original_us 1 */
                               "\x07\x02\x01u";
    assert_int_equal(buf.n, sizeof want - 1);
    assert_memory_equal(buf.p, want, buf.n);
    buf_done(&buf);
}

static void an_identify_always_sets(void **state)
{
    (void)state;
    struct event event = {.type = EVENT_IDENTIFY, .message_id = STR("m")}, again;
    struct buf buf;
    encode(&event, &buf);
    assert_int_equal(event_decode(buf_view(&buf), &again, NULL), ST_OK);
    assert_int_equal(again.operation, EVENT_SET);
    buf.p[3] = EVENT_APPEND;
    assert_int_equal(event_decode(buf_view(&buf), &again, NULL), ST_CORRUPT);
    buf_done(&buf);
}

static void an_append_leaves_what_was_in_the_buffer(void **state)
{
    (void)state;
    struct event event = full_event();
    struct buf one, two;
    encode(&event, &one);
    encode(&event, &two);
    event_encode(&event, &two);
    assert_int_equal(two.n, one.n * 2);
    assert_memory_equal(two.p, one.p, one.n);
    assert_memory_equal(two.p + one.n, one.p, one.n);
    buf_done(&one);
    buf_done(&two);
}

static void a_full_buffer_takes_nothing(void **state)
{
    (void)state;
    struct event event = full_event();
    struct buf buf;
    buf_init(&buf, 20);
    event_encode(&event, &buf);
    assert_true(buf.overflow);
    assert_int_equal(buf.n, 0);
    buf_done(&buf);
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct event event = full_event(), again;
    struct buf buf;
    encode(&event, &buf);
    buf_put(&buf, "\x0a\x03new", 5);            /* field 10: a text */
    buf_put(&buf, "\x8b\1\2\3\4\5\6\7\x08", 9); /* field 11: eight bytes */
    assert_int_equal(event_decode(buf_view(&buf), &again, NULL), ST_OK);
    assert_same(&event, &again);
    buf_put(&buf,
            "\x0c\x04"
            "cut",
            5); /* one byte short */
    assert_int_equal(event_decode(buf_view(&buf), &again, NULL), ST_CORRUPT);
    buf_done(&buf);
}

#define BAD(bytes)                                                                                 \
    {                                                                                              \
        bytes, sizeof(bytes) - 1                                                                   \
    }
static void what_the_writer_cannot_write_is_corrupt(void **state)
{
    (void)state;
    static const struct str bad[] = {
        BAD(""),
        BAD("\x01"),
        BAD("\x01\x02\x01\x00"),                   /* no message id */
        BAD("\x02\x01m"),                          /* no kind */
        BAD("\x02\x01m\x01\x02\x01\x00"),          /* out of order */
        BAD("\x01\x02\x00\x00\x02\x01m"),          /* no such type */
        BAD("\x01\x02\x0a\x00\x02\x01m"),          /* no such type */
        BAD("\x01\x02\x01\x07\x02\x01m"),          /* no such operation */
        BAD("\x01\x03\x01\x00\x00\x02\x01m"),      /* a long kind */
        BAD("\x01\x02\x01\x00\x02\x00"),           /* an empty text */
        BAD("\x01\x02\x01\x00\x02\x01m\x02\x01n"), /* twice */
        BAD("\x01\x02\x01\x00\x02\x81\x00m"),      /* a long length */
        BAD("\x01\x02\x01\x00\x02\x81\x80\x80\x80\x80\x80\x80\x80\x80\x02m"),
        BAD("\x01\x02\x01\x00\x02\x02m"),                     /* cut */
        BAD("\x01\x02\x01\x00\x02\x01m\x85\0\0\0\0\0\0\0\0"), /* a time of 0 */
        BAD("\x01\x02\x01\x00\x02\x01m\x85\1\0\0"),           /* a cut time */
        BAD("\x01\x02\x01\x00\x02\x01m\x05\x01t"),            /* a time with a length */
        BAD("\x01\x02\x01\x00\x02\x01m\x07\x01\x01"),         /* an identifier without value */
        BAD("\x01\x02\x01\x00\x02\x01m\x07\x00"),
        BAD("\x01\x02\x01\x00\x02\x01m\x07\x02\x00u"), /* no such identifier type */
        BAD("\x01\x02\x01\x00\x02\x01m\x07\x02\x09u"),
        BAD("\x01\x02\x01\x00\x02\x01m\x07\x02\x01u\x07\x02\x01u"), /* twice the same */
        BAD("\x01\x02\x01\x00\x02\x01m\x00\x01x"),                  /* field 0 */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct event event = {.type = EVENT_ALIAS};
        if (event_decode(bad[i], &event, NULL) != ST_CORRUPT)
            fail_msg("case %zu was taken", i);
        assert_int_equal(event.type, EVENT_ALIAS); /* outputs are untouched on failure */
    }
}

static void every_cut_of_a_payload_is_corrupt_or_shorter(void **state)
{
    (void)state;
    struct event event = full_event(), again;
    struct buf buf, rest;
    encode(&event, &buf);
    for (size_t n = 0; n < buf.n; n++) {
        if (event_decode((struct str){buf.p, n}, &again, NULL) != ST_OK)
            continue;
        encode(&again, &rest);
        assert_int_equal(rest.n, n);
        buf_done(&rest);
    }
    buf_done(&buf);
}

static void noise_never_decodes_to_what_encodes_differently(void **state)
{
    (void)state;
    struct rng rng;
    rng_init_seed(&rng, 7);
    struct event event = full_event(), again;
    struct buf buf, out;
    encode(&event, &buf);
    for (int round = 0; round < 200000; round++) {
        char bytes[256];
        memcpy(bytes, buf.p, buf.n);
        for (int flips = 1 + (int)(rng_u64(&rng) % 3); flips > 0; flips--)
            bytes[rng_u64(&rng) % buf.n] = (char)rng_u64(&rng);
        struct str input = {bytes, buf.n};
        if (event_decode(input, &again, NULL) != ST_OK)
            continue;
        encode(&again, &out);
        assert_true(out.n < input.n || str_eq(buf_view(&out), input));
        buf_done(&out);
    }
    buf_done(&buf);
}

static void identifiers_are_bounded_and_kept_once(void **state)
{
    (void)state;
    struct event event = {0};
    char longest[LIMIT_IDENTIFIER_BYTES + 1];
    memset(longest, 'x', sizeof longest);
    assert_false(event_add_identifier(&event, IDENTIFIER_USER_ID, STR("")));
    assert_false(
        event_add_identifier(&event, IDENTIFIER_USER_ID, (struct str){longest, sizeof longest}));
    assert_true(event_add_identifier(&event, IDENTIFIER_USER_ID,
                                     (struct str){longest, LIMIT_IDENTIFIER_BYTES}));
    for (int i = 1; i < LIMIT_EVENT_IDENTIFIERS; i++)
        assert_true(
            event_add_identifier(&event, IDENTIFIER_EMAIL, (struct str){longest, (size_t)i}));
    assert_true(event_add_identifier(&event, IDENTIFIER_EMAIL, STR("x"))); /* already there */
    assert_false(event_add_identifier(&event, IDENTIFIER_PHONE, STR("x")));
    assert_int_equal(event.identifiers_count, LIMIT_EVENT_IDENTIFIERS);
}

static void names_and_types_correspond(void **state)
{
    (void)state;
    for (int type = IDENTIFIER_NONE + 1; type < IDENTIFIER_END; type++) {
        const char *name = identifier_name((enum identifier_type)type);
        assert_int_equal(identifier_type_of(str_of(name)), type);
        assert_true(identifier_limit((enum identifier_type)type) >= 1);
    }
    assert_int_equal(identifier_type_of(STR("shoe_size")), IDENTIFIER_NONE);
    assert_string_equal(event_type_name(EVENT_UNBIND), "unbind");
    assert_string_equal(event_reason_name(REASON_BAD_UTF8), "bad_utf8");
    assert_true(identifier_priority(IDENTIFIER_USER_ID) < identifier_priority(IDENTIFIER_PHONE));
}

static void a_quarantine_keeps_reason_path_and_raw_bytes(void **state)
{
    (void)state;
    struct quarantine in = {REASON_NOT_JSON, STR("/v1/batch"), STR("{\0\xff")}, out;
    struct buf buf;
    buf_init(&buf, 1000);
    quarantine_encode(&in, &buf);
    assert_int_equal(quarantine_decode(buf_view(&buf), &out, NULL), ST_OK);
    assert_int_equal(out.reason, in.reason);
    assert_same_str(out.path, in.path);
    assert_same_str(out.raw, in.raw);
    for (size_t n = 0; n < buf.n; n++)
        assert_int_equal(quarantine_decode((struct str){buf.p, n}, &out, NULL), ST_CORRUPT);
    buf.p[0] = REASON_END;
    assert_int_equal(quarantine_decode(buf_view(&buf), &out, NULL), ST_CORRUPT);
    buf_done(&buf);
}

static void an_erasure_keeps_its_hashes(void **state)
{
    (void)state;
    struct hash128 hashes[200];
    for (uint64_t i = 0; i < 200; i++)
        hashes[i] = (struct hash128){i, ~i};
    struct arena arena;
    arena_init(&arena);
    struct buf buf;
    buf_init(&buf, 10000);
    struct erasure in = {42, hashes, 200}, out;
    erasure_encode(&in, &buf);
    assert_int_equal(erasure_decode(buf_view(&buf), &arena, &out, NULL), ST_OK);
    assert_int_equal(out.ledger_id, 42);
    assert_int_equal(out.hashes_count, 200);
    assert_memory_equal(out.hashes, hashes, sizeof hashes);
    for (size_t n = 0; n < buf.n; n++)
        assert_int_equal(erasure_decode((struct str){buf.p, n}, &arena, &out, NULL), ST_CORRUPT);
    buf_done(&buf);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_bytes_are_those_of_the_document),
        cmocka_unit_test(an_identify_always_sets),
        cmocka_unit_test(an_append_leaves_what_was_in_the_buffer),
        cmocka_unit_test(a_full_buffer_takes_nothing),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(what_the_writer_cannot_write_is_corrupt),
        cmocka_unit_test(every_cut_of_a_payload_is_corrupt_or_shorter),
        cmocka_unit_test(noise_never_decodes_to_what_encodes_differently),
        cmocka_unit_test(identifiers_are_bounded_and_kept_once),
        cmocka_unit_test(names_and_types_correspond),
        cmocka_unit_test(a_quarantine_keeps_reason_path_and_raw_bytes),
        cmocka_unit_test(an_erasure_keeps_its_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
