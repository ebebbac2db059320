/* collect_test.c - what each protocol's items become, and that one bad item never refuses the
 * others. No server: translators and intake alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>

#include <sodium.h>

#include "base/arena.h"
#include "base/clock.h"
#include "collect/collect_int.h"
#include "log/log.h"

static struct rng rng;
static struct door door;
static struct intake intake;
static struct translated got;
static const struct batch_head no_head;

static int setup(void **state)
{
    (void)state;
    rng_init_seed(&rng, 7);
    collect_door_init(&door, &rng);
    collect_intake_init(&intake, &door);
    intake.path = STR("/v1/batch");
    intake.channel = STR("web");
    intake.source = 5;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    privacy_free(intake.privacy);
    collect_intake_done(&intake);
    collect_door_done(&door);
    return 0;
}

/* A whole file into `out`; false if it is not there. */
static bool file_read(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    char bytes[4096];
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
        buf_put(out, bytes, n);
    fclose(file);
    return true;
}

static yyjson_val *parse(struct str text)
{
    yyjson_val *root;
    bool strict;
    struct err err = {0};
    if (collect_door_parse(&door, text, &root, &strict, &err) != ST_OK)
        fail_msg("%s", err.message);
    return root;
}

static yyjson_val *parse_file(const char *name)
{
    static struct buf text;
    char path[200];
    buf_done(&text);
    buf_init(&text, (size_t)1 << 20);
    snprintf(path, sizeof path, "src/collect/testdata/%s", name);
    assert_true(file_read(path, &text));
    return parse(buf_view(&text));
}

static enum event_reason translate(collect_translate *translator, yyjson_val *item)
{
    got = (struct translated){0};
    return translator(&door, &no_head, item, &got);
}

static enum event_reason segment(const char *json)
{
    return translate(collect_segment_event, parse(str_of(json)));
}

static enum event_reason own(const char *json)
{
    return translate(collect_own_event, parse(str_of(json)));
}

static enum event_reason sensors(const char *json)
{
    return translate(collect_sensors_event, parse(str_of(json)));
}

/* "user_id:u1 phone:138" of the last translation. */
static const char *who(void)
{
    static char text[2000];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < got.event.identifiers_count; i++) {
        const struct event_identifier *id = &got.event.identifiers[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s:" STR_FMT, i == 0 ? "" : " ",
                              identifier_name(id->type), STR_ARG(id->value));
    }
    return text;
}

static void is(struct str text, const char *want)
{
    char *copy = arena_cstr(&door.arena, text);
    assert_string_equal(copy, want);
}

/* --- the journal's frames, walked as docs/format/journal.md draws them ------------------------ */

struct frame {
    uint32_t length;
    uint8_t type;
    struct str payload;
};

static size_t frames_of(struct frame *frames, size_t max)
{
    size_t count = 0;
    for (size_t at = 0; at < intake.frames.n && count < max; count++) {
        struct frame *frame = &frames[count];
        memcpy(&frame->length, intake.frames.p + at, 4);
        frame->type = (uint8_t)intake.frames.p[at + 4];
        frame->payload = (struct str){intake.frames.p + at + LOG_HEADER_BYTES, frame->length};
        at += LOG_HEADER_BYTES + frame->length;
    }
    return count;
}

static struct quarantine quarantined(size_t which)
{
    static struct frame frames[3000];
    struct quarantine quarantine;
    assert_true(frames_of(frames, 3000) > which);
    assert_int_equal(frames[which].type, LOG_QUARANTINE);
    assert_int_equal(quarantine_decode(frames[which].payload, &quarantine, NULL), ST_OK);
    return quarantine;
}

static struct event stored(size_t which)
{
    static struct frame frames[3000];
    struct event event;
    assert_true(frames_of(frames, 3000) > which);
    assert_int_equal(frames[which].type, LOG_EVENT);
    assert_int_equal(event_decode(frames[which].payload, &event, NULL), ST_OK);
    return event;
}

/* A body through the Segment door, as collect.c does it. */
static void take_segment(struct str body)
{
    yyjson_val *root;
    bool strict;
    struct err err;
    assert_int_equal(collect_door_parse(&door, body, &root, &strict, &err), ST_OK);
    assert_true(collect_segment_take(&intake, 0, root, strict));
}

static void take_own(struct str body)
{
    yyjson_val *root;
    bool strict;
    struct err err;
    intake.want_results = true;
    if (collect_door_parse(&door, body, &root, &strict, &err) != ST_OK ||
        !collect_own_take(&intake, root, strict))
        assert_true(collect_own_take_lines(&intake, body));
}

/* --- Segment ---------------------------------------------------------------------------------- */

static void six_types_become_six_events(void **state)
{
    (void)state;
    yyjson_val *root = parse_file("segment_batch.json");
    assert_true(collect_segment_take(&intake, 0, root, true));
    assert_int_equal(intake.events, 6);
    assert_int_equal(intake.quarantined, 0);
    struct event event = stored(0);
    assert_int_equal(event.type, EVENT_IDENTIFY);
    assert_int_equal(event.operation, EVENT_SET);
    is(event.message_id, "m1");
    is(event.channel, "server");
    assert_int_equal(event.original_us, INT64_C(1795341107055000));
    assert_int_equal(event.sent_us, INT64_C(1795341107060000));
    is(event.context, "{\"channel\":\"server\",\"library\":{\"flavour\":\"x\",\"name\":\"node\","
                      "\"version\":\"3.1.0\"}}");
    assert_int_equal(event.identifiers_count, 3);
    event = stored(1);
    is(event.name, "Order Completed");
    assert_int_equal(event.identifiers_count, 1); /* properties.email is nobody's identifier */
    event = stored(2);
    is(event.name, "Home");
    is(event.properties, "{\"category\":\"Docs\",\"url\":\"https://shop.example.cn/\"}");
    event = stored(3);
    assert_int_equal(event.type, EVENT_SCREEN);
    assert_int_equal(event.properties.n, 0);
    event = stored(4);
    is(event.properties, "{\"group_id\":\"vip\",\"level\":3,\"email\":\"club@example.cn\"}");
    assert_int_equal(event.identifiers_count, 1); /* a club's address is no member's */
    event = stored(5);
    assert_int_equal(event.type, EVENT_ALIAS);
    assert_int_equal(event.identifiers_count, 2);
    is(event.identifiers[1].value, "anon-1");
    assert_int_equal(event.identifiers[1].type, IDENTIFIER_ANONYMOUS_ID);
    /* None of its own context: the batch's, as it was written. */
    is(event.context,
       "{\"channel\":\"server\",\"library\":{\"name\":\"outer\",\"flavour\":\"x\"}}");
}

static void a_browser_page_and_a_rudder_identify_are_read(void **state)
{
    (void)state;
    assert_int_equal(translate(collect_segment_event, parse_file("segment_page.json")),
                     REASON_NONE);
    assert_string_equal(who(), "user_id:u-1001 "
                               "anonymous_id:51004aa0-7f26-4da5-b343-a9ab5cfc12b6");
    assert_int_equal(got.event.type, EVENT_PAGE);
    assert_null(strstr(arena_cstr(&door.arena, got.event.context), "bundled"));
    assert_int_equal(translate(collect_segment_event, parse_file("rudder_identify.json")),
                     REASON_NONE);
    is(got.event.properties, "{\"email\":\"li@example.cn\",\"name\":\"李雷\"}");
    is(got.event.channel, "web");
    assert_string_equal(who(), "user_id:u-1001 anonymous_id:087ac5f9 email:li@example.cn");
    assert_int_equal(got.event.original_us, INT64_C(1795341256909000));
}

static void identifiers_come_from_where_the_spec_puts_them(void **state)
{
    (void)state;
    assert_int_equal(
        segment("{\"type\":\"track\",\"event\":\"E\",\"userId\":1001,\"anonymousId\":\"\","
                "\"context\":{\"device\":{\"id\":\"d1\",\"advertisingId\":\"ad1\"},"
                "\"externalIds\":[{\"id\":\"un1\",\"type\":\"unionid\",\"collection\":\"users\","
                "\"encoding\":\"none\"},{\"id\":\"acc\",\"type\":\"email\",\"collection\":"
                "\"accounts\"},{\"id\":\"x\",\"type\":\"ga_client_id\"},{\"id\":7,\"type\":"
                "\"member_no\"}],\"traits\":{\"phone\":13800138000}}}"),
        REASON_NONE);
    assert_string_equal(who(), "user_id:1001 phone:13800138000 unionid:un1 member_no:7 "
                               "device_id:d1");
    assert_int_equal(
        segment("{\"type\":\"screen\",\"userId\":\"u\",\"context\":{\"device\":{\"id\":\"d1\","
                "\"advertisingId\":\"ad1\",\"adTrackingEnabled\":true}}}"),
        REASON_NONE);
    assert_string_equal(who(), "user_id:u device_id:d1 device_id:ad1");
}

static void a_bad_item_has_its_reason(void **state)
{
    (void)state;
    assert_int_equal(segment("{\"type\":\"dance\",\"userId\":\"u\"}"), REASON_UNKNOWN_TYPE);
    assert_int_equal(segment("{\"userId\":\"u\"}"), REASON_UNKNOWN_TYPE);
    assert_int_equal(segment("{\"type\":\"track\",\"userId\":\"u\"}"), REASON_NO_NAME);
    assert_int_equal(segment("{\"type\":\"track\",\"event\":\"E\"}"), REASON_NO_IDENTIFIER);
    assert_int_equal(segment("{\"type\":\"track\",\"event\":\"E\",\"userId\":null}"),
                     REASON_NO_IDENTIFIER);
    assert_int_equal(segment("{\"type\":\"track\",\"event\":\"E\",\"userId\":\"u\","
                             "\"properties\":[1]}"),
                     REASON_BAD_PROPERTIES);
    assert_int_equal(segment("{\"type\":\"track\",\"event\":\"E\",\"userId\":\"u\","
                             "\"context\":7}"),
                     REASON_BAD_PROPERTIES);
    assert_int_equal(segment("{\"type\":\"track\",\"event\":\"E\",\"userId\":\"u\","
                             "\"timestamp\":\"yesterday\"}"),
                     REASON_BAD_TIME);
    assert_int_equal(segment("{\"type\":\"track\",\"event\":\"E\",\"userId\":\"u\","
                             "\"sentAt\":\"yesterday\",\"timestamp\":1795341107}"),
                     REASON_NONE);
    assert_int_equal(got.event.sent_us, 0);
    assert_int_equal(got.event.original_us, INT64_C(1795341107000000));
}

static void one_bad_item_never_refuses_the_others(void **state)
{
    (void)state;
    take_segment(STR("{\"batch\":[{\"type\":\"track\",\"event\":\"A\",\"userId\":\"u\"},7,"
                     "{\"type\":\"track\",\"userId\":\"u\",\"messageId\":\"bad\"},"
                     "{\"type\":\"track\",\"event\":\"B\",\"userId\":\"u\"}]}"));
    assert_int_equal(intake.records, 4);
    assert_int_equal(intake.events, 2);
    assert_int_equal(intake.quarantined, 2);
    struct quarantine quarantine = quarantined(1);
    assert_int_equal(quarantine.reason, REASON_NOT_JSON);
    is(quarantine.raw, "7");
    quarantine = quarantined(2);
    assert_int_equal(quarantine.reason, REASON_NO_NAME);
    is(quarantine.path, "/v1/batch");
    is(quarantine.raw, "{\"type\":\"track\",\"userId\":\"u\",\"messageId\":\"bad\"}");
    struct event event = stored(3);
    is(event.name, "B");
    assert_int_equal(event.message_id.n, 36); /* none was sent: ours */
    is(event.channel, "web");                 /* none was said: the source's */
}

#define EVENT(name) "{\"type\":\"track\",\"userId\":\"u\",\"event\":\"" name "\"}"

static void bad_bytes_quarantine_their_item_only(void **state)
{
    (void)state;
    take_segment(STR("{\"batch\":[" EVENT("A") "," EVENT("B\xff") "," EVENT("C") "]}"));
    assert_int_equal(intake.events, 2);
    struct quarantine quarantine = quarantined(1);
    assert_int_equal(quarantine.reason, REASON_BAD_UTF8);
    assert_non_null(memchr(quarantine.raw.p, 0xff, quarantine.raw.n));
    is(stored(2).name, "C");
}

static void half_an_emoji_becomes_a_replacement_character(void **state)
{
    (void)state;
    take_segment(STR("{\"batch\":[" EVENT("a\\ud83d") "," EVENT("\\ude00b") "," EVENT(
        "\\ud83d\\ude00\\\\ud83d") "]}"));
    assert_int_equal(intake.events, 3);
    is(stored(0).name, "a\xef\xbf\xbd");
    is(stored(1).name, "\xef\xbf\xbd"
                       "b");
    is(stored(2).name, "\xf0\x9f\x98\x80\\ud83d");
}

static void repeat(struct buf *out, const char *text, int times)
{
    for (int i = 0; i < times; i++)
        buf_text(out, text);
}

static void a_deep_item_is_quarantined_alone(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, (size_t)1 << 20);
    buf_text(&body, "{\"batch\":[" EVENT("A") ",{\"type\":\"track\",\"properties\":");
    repeat(&body, "{\"a\":", 100000);
    buf_text(&body, "1");
    repeat(&body, "}", 100000);
    buf_text(&body, "}," EVENT("B") "]}");
    take_segment(buf_view(&body));
    assert_int_equal(intake.events, 2);
    assert_int_equal(quarantined(1).reason, REASON_TOO_DEEP);
    is(stored(2).name, "B");
    buf_done(&body);
}

static void a_body_that_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "{", "data=abc", "[1,2", "{\"a\":1}x", "\xff\xff"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        yyjson_val *root;
        bool strict;
        struct err err;
        assert_int_equal(collect_door_parse(&door, str_of(bodies[i]), &root, &strict, &err),
                         ST_INVALID);
    }
    assert_false(collect_segment_take(&intake, 0, parse(STR("7")), true));
}

static void limits_hold(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, (size_t)8 << 20);
    buf_text(&body, "{\"batch\":[{\"type\":\"track\",\"event\":\"A\",\"userId\":\"u\","
                    "\"properties\":{\"x\":\"");
    repeat(&body, "0123456789abcdef", 2048);
    buf_text(&body, "\"}},{\"type\":\"track\",\"event\":\"A\",\"userId\":\"u\",\"messageId\":\"");
    repeat(&body, "0123456789abcdef", 16);
    buf_text(&body, "\"}]}");
    take_segment(buf_view(&body));
    assert_int_equal(intake.events, 0);
    assert_int_equal(quarantined(0).reason, REASON_TOO_LARGE);
    assert_int_equal(quarantined(1).reason, REASON_TOO_LARGE);
    intake.event_max = LIMIT_EVENT_TRUSTED_BYTES;
    take_segment(buf_view(&body));
    assert_int_equal(intake.events, 1);
    buf_done(&body);
}

static void what_is_beyond_a_batch_is_kept_as_one(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, (size_t)8 << 20);
    buf_text(&body, "{\"batch\":[");
    for (int i = 0; i < LIMIT_BATCH_EVENTS + 3; i++)
        buf_text(&body, i == 0 ? EVENT("A") : "," EVENT("A"));
    buf_text(&body, "]}");
    take_segment(buf_view(&body));
    assert_int_equal(intake.events, LIMIT_BATCH_EVENTS);
    assert_int_equal(intake.quarantined, 1);
    assert_int_equal(quarantined(LIMIT_BATCH_EVENTS).reason, REASON_TOO_LARGE);
    is(quarantined(LIMIT_BATCH_EVENTS).raw, "[" EVENT("A") "," EVENT("A") "," EVENT("A") "]");
    buf_done(&body);
}

static void a_huge_shared_context_is_not_multiplied(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, (size_t)8 << 20);
    buf_text(&body, "{\"context\":{\"x\":\"");
    repeat(&body, "0123456789abcdef", 65536);
    buf_text(&body, "\"},\"batch\":[");
    for (int i = 0; i < LIMIT_BATCH_EVENTS; i++)
        buf_text(&body, i == 0 ? EVENT("A") : "," EVENT("A"));
    buf_text(&body, "]}");
    take_segment(buf_view(&body));
    assert_int_equal(intake.records, 1);
    assert_int_equal(quarantined(0).reason, REASON_TOO_LARGE);
    assert_int_equal(quarantined(0).raw.n, COLLECT_RAW_MAX);
    buf_done(&body);
}

/* --- the gate --------------------------------------------------------------------------------- */

#define NO "\"context\":{\"consent\":{\"categoryPreferences\":{\"Analytics\":false}}}"
#define YES "\"context\":{\"consent\":{\"categoryPreferences\":{\"Analytics\":true}}}"

static void denied_is_not_stored_in_any_form(void **state)
{
    (void)state;
    const struct privacy_options options = {0};
    intake.privacy = privacy_new(&options);
    take_segment(STR("{\"batch\":["
                     "{\"type\":\"track\",\"event\":\"A\",\"userId\":\"u\"," NO "},"
                     "{\"type\":\"track\",\"userId\":\"secret\"," NO "},"
                     "{\"type\":\"track\",\"event\":\"\xff\",\"userId\":\"secret\"," NO "},"
                     "{\"type\":\"track\",\"event\":\"B\",\"userId\":\"u\"," YES "}]}"));
    assert_int_equal(intake.denied, 3);
    assert_int_equal(intake.records, 1);
    is(stored(0).name, "B");
    assert_null(memmem(intake.frames.p, intake.frames.n, "secret", 6));
}

static void a_batch_may_say_no_for_all_and_an_item_yes(void **state)
{
    (void)state;
    const struct privacy_options options = {0};
    intake.privacy = privacy_new(&options);
    intake.gpc = true;
    take_segment(STR("{" NO ",\"batch\":[" EVENT(
        "A") ","
             "{\"type\":\"track\",\"event\":\"B\",\"userId\":\"u\"," YES "}]}"));
    assert_int_equal(intake.denied, 1);
    assert_int_equal(intake.events, 1);
    is(stored(0).name, "B");
}

/* --- 神策 ---------------------------------------------------------------------------------------
 */

static void the_published_vectors_fit(void **state)
{
    (void)state;
    struct str plain =
        STR("eyJkaXN0aW5jdF9pZCI6InUxIiwidGltZSI6MTQzNDU1NjkzNTAwMCwidHlwZSI6InRyYWNr"
            "IiwiZXZlbnQiOiJWaWV3UHJvZHVjdCIsInByb3BlcnRpZXMiOnsiJGxpYiI6ImpzIn19");
    struct str chinese = STR("eyJkaXN0aW5jdF9pZCI6InUxIiwicHJvcGVydGllcyI6eyLln47luIIiOiLplb/"
                             "mspkifX0=");
    assert_int_equal(collect_java_hash(plain), 2136311181);
    assert_int_equal(collect_java_hash(chinese), -909780913);
    struct sensors_opened opened;
    struct sensors_form form = {.data = plain, .crc = STR("2136311181")};
    assert_true(collect_sensors_open(&door, &form, &opened));
    assert_false(opened.crc_mismatch);
    assert_int_equal(translate(collect_sensors_event, opened.root), REASON_NONE);
    is(got.event.name, "ViewProduct");
    assert_int_equal(got.event.original_us, INT64_C(1434556935000000));
    assert_string_equal(who(), "anonymous_id:u1");
    form = (struct sensors_form){.data = chinese, .crc = STR("1")};
    assert_true(collect_sensors_open(&door, &form, &opened));
    is(json_member_str(yyjson_obj_get(opened.root, "properties"), "城市"), "长沙");
    assert_true(opened.crc_mismatch); /* counted, and kept */
}

static void records_of_every_kind_are_read(void **state)
{
    (void)state;
    yyjson_val *records = parse_file("sensors_records.json");
    static const struct {
        enum event_reason reason;
        enum event_type type;
        enum event_operation operation;
        const char *who;
    } want[] = {
        {REASON_NONE, EVENT_TRACK, EVENT_NONE, "anonymous_id:c-1"},
        {REASON_NONE, EVENT_BIND, EVENT_NONE, "anonymous_id:c-1 user_id:u-1001"},
        {REASON_NONE, EVENT_BIND, EVENT_NONE, "user_id:u-1001 phone:13800138000"},
        {REASON_NONE, EVENT_UNBIND, EVENT_NONE, "phone:13800138000"},
        {REASON_NONE, EVENT_PROFILE, EVENT_SET_ONCE,
         "anonymous_id:mp-1 openid:openid_1 anonymous_id:openid_1"},
        {REASON_NONE, EVENT_PROFILE, EVENT_INCREMENT, "user_id:u-1001"},
        {REASON_NONE, EVENT_BIND, EVENT_NONE,
         "anonymous_id:u-1001 user_id:u-1001 anonymous_id:anon-1"},
        {REASON_UNKNOWN_TYPE, 0, 0, ""},
        {REASON_NONE, EVENT_PROFILE, EVENT_DELETE, "phone:138"},
        {REASON_NO_NAME, EVENT_TRACK, EVENT_NONE, ""},
        {REASON_NO_IDENTIFIER, EVENT_TRACK, EVENT_NONE, ""},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(translate(collect_sensors_event, yyjson_arr_get(records, i)),
                         want[i].reason);
        assert_int_equal(got.event.type, want[i].type);
        assert_int_equal(got.event.operation, want[i].operation);
        assert_string_equal(who(), want[i].who);
    }
    assert_int_equal(translate(collect_sensors_event, yyjson_arr_get(records, 0)), REASON_NONE);
    is(got.event.channel, "web");
    is(got.event.context, "{\"library\":{\"name\":\"js\",\"version\":\"1.27.11\"},\"campaign\":"
                          "{\"name\":\"spring\",\"source\":\"wechat\"}}");
    assert_int_equal(got.event.sent_us, INT64_C(1795341283815000));
    assert_int_equal(translate(collect_sensors_event, yyjson_arr_get(records, 2)), REASON_NONE);
    is(got.event.context, "{\"identities\":{\"weibo\":\"w1\"}}");
    assert_int_equal(translate(collect_sensors_event, yyjson_arr_get(records, 5)), REASON_NONE);
    assert_int_equal(got.event.original_us, INT64_C(1795341378000000)); /* ten digits: seconds */
}

static void a_retry_has_the_same_id(void **state)
{
    (void)state;
    assert_int_equal(
        sensors("{\"type\":\"track\",\"event\":\"E\",\"distinct_id\":\"a\",\"time\":1795341283811,"
                "\"_track_id\":9,\"_flush_time\":1795341283815}"),
        REASON_NONE);
    struct str first = arena_copy(&door.arena, got.event.message_id);
    assert_int_equal(first.n, 32);
    assert_int_equal(
        sensors("{\"type\":\"track\",\"event\":\"E\",\"distinct_id\":\"a\",\"time\":1795341283811,"
                "\"_track_id\":9,\"_flush_time\":1795341289999}"),
        REASON_NONE);
    assert_true(str_eq(first, got.event.message_id));
    assert_int_equal(
        sensors("{\"type\":\"track\",\"event\":\"E\",\"distinct_id\":\"a\",\"time\":1795341283811,"
                "\"_track_id\":8,\"_flush_time\":1795341283815}"),
        REASON_NONE);
    assert_false(str_eq(first, got.event.message_id));
}

static struct str base64_of(struct str bytes)
{
    size_t n = sodium_base64_ENCODED_LEN(bytes.n, sodium_base64_VARIANT_ORIGINAL);
    char *text = arena_alloc(&door.arena, n);
    sodium_bin2base64(text, n, (const unsigned char *)bytes.p, bytes.n,
                      sodium_base64_VARIANT_ORIGINAL);
    return str_of(text);
}

static struct str gzip_of(struct str bytes)
{
    unsigned char *out = arena_alloc(&door.arena, bytes.n + 1000);
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)bytes.p;
    z.avail_in = (unsigned)bytes.n;
    z.next_out = out;
    z.avail_out = (unsigned)bytes.n + 1000;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    struct str packed = {(const char *)out, z.total_out};
    deflateEnd(&z);
    return packed;
}

static void take_form(struct sensors_form form)
{
    struct sensors_opened opened;
    collect_sensors_open(&door, &form, &opened);
    collect_sensors_take(&intake, &opened);
}

#define RECORD "{\"type\":\"track\",\"event\":\"E\",\"distinct_id\":\"a\"}"

static void transmissions_are_opened_whatever_they_say(void **state)
{
    (void)state;
    struct str list = STR("[" RECORD "," RECORD "]");
    take_form((struct sensors_form){.data = base64_of(gzip_of(list)), .gzip = STR("1")});
    assert_int_equal(intake.events, 2);
    take_form((struct sensors_form){.data = base64_of(gzip_of(list))});          /* gzip not said */
    take_form((struct sensors_form){.data = base64_of(list), .gzip = STR("1")}); /* said wrongly */
    take_form((struct sensors_form){.data = STR(RECORD)}); /* not wrapped at all */
    assert_int_equal(intake.events, 7);
    assert_int_equal(intake.quarantined, 0);
}

static void poison_is_kept_and_never_refused(void **state)
{
    (void)state;
    take_form((struct sensors_form){.data = STR("%%%")});
    take_form((struct sensors_form){.data = STR("QUJD"), .gzip = STR("9")});
    take_form((struct sensors_form){.data = STR("QUJD")});
    struct str packed = gzip_of(STR("[" RECORD "]"));
    take_form((struct sensors_form){.data = base64_of((struct str){packed.p, packed.n / 2})});
    assert_int_equal(intake.quarantined, 4);
    assert_int_equal(quarantined(0).reason, REASON_BAD_ENCODING);
    assert_int_equal(quarantined(1).reason, REASON_ENCRYPTED);
    is(quarantined(1).raw, "QUJD");
    assert_int_equal(quarantined(2).reason, REASON_NOT_JSON);
    is(quarantined(2).raw, "ABC");
    assert_int_equal(quarantined(3).reason, REASON_BAD_ENCODING);
}

static void a_bomb_costs_its_limit(void **state)
{
    (void)state;
    size_t n = 2 * LIMIT_INFLATED_BYTES;
    char *zeros = mem_zero(n);
    struct str packed = gzip_of((struct str){zeros, n});
    assert_true(packed.n < 100000);
    take_form((struct sensors_form){.data = base64_of(packed)});
    assert_int_equal(quarantined(0).reason, REASON_TOO_LARGE);
    free(zeros);
}

static void forms_and_base64_are_undone(void **state)
{
    (void)state;
    struct str body = STR("gzip=1&data_list=a%2Bb%3D%3d&ext=crc%3D5&data=x+y%");
    is(collect_form_field(body, "data_list", &door.arena), "a+b==");
    is(collect_form_field(body, "data", &door.arena), "x y%");
    is(collect_form_field(body, "ext", &door.arena), "crc=5");
    assert_null(collect_form_field(body, "at", &door.arena).p);
    struct str bytes;
    static const char *const same[] = {"-_-_YQ==", "+/+/YQ", " / /YQ=", "-_-_\r\nYQ==\n"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_true(collect_base64(str_of(same[i]), &door.arena, &bytes));
        assert_int_equal(bytes.n, 4);
        assert_memory_equal(bytes.p,
                            "\xfb\xff\xbf"
                            "a",
                            4);
    }
    assert_false(collect_base64(STR("a*b"), &door.arena, &bytes));
}

/* --- our own batch ---------------------------------------------------------------------------- */

static void the_own_door_is_strict(void **state)
{
    (void)state;
    assert_int_equal(own("{\"name\":\"Order Completed\",\"message_id\":17,\"identifiers\":"
                         "{\"member_no\":17850,\"phone\":[\"138\",\"139\"]},\"time\":"
                         "\"2026-11-24 10:00:00\",\"sent_at\":1795341107060,\"channel\":\"pos\","
                         "\"properties\":{\"total\":7.65},\"context\":{\"a\":1}}"),
                     REASON_NONE);
    is(got.event.message_id, "17");
    assert_string_equal(who(), "member_no:17850 phone:138 phone:139");
    is(got.event.channel, "pos");
    is(got.event.properties, "{\"total\":7.65}");
    assert_int_equal(got.event.sent_us, INT64_C(1795341107060000));
    assert_int_equal(own("{\"name\":\"Visit\"}"), REASON_NONE); /* about nobody */
    assert_int_equal(own("{\"type\":\"identify\",\"traits\":{\"a\":1}}"), REASON_NO_IDENTIFIER);
    assert_int_equal(own("{\"type\":\"track\"}"), REASON_NO_NAME);
    assert_int_equal(own("{\"type\":\"dance\"}"), REASON_UNKNOWN_TYPE);
    assert_int_equal(own("{\"name\":\"E\",\"identifiers\":{\"fax\":\"1\"}}"), REASON_UNKNOWN_TYPE);
    assert_int_equal(own("{\"name\":\"E\",\"traits\":{}}"), REASON_BAD_PROPERTIES);
    assert_int_equal(own("{\"name\":\"E\",\"time\":\"soon\"}"), REASON_BAD_TIME);
    assert_int_equal(own("{\"type\":\"profile\",\"operation\":\"increment\",\"identifiers\":"
                         "{\"user_id\":\"u\"},\"traits\":{\"visits\":1}}"),
                     REASON_NONE);
    assert_int_equal(got.event.operation, EVENT_INCREMENT);
    is(got.event.properties, "{\"visits\":1}");
    assert_int_equal(own("{\"type\":\"profile\",\"operation\":\"divide\",\"identifiers\":"
                         "{\"user_id\":\"u\"}}"),
                     REASON_UNKNOWN_TYPE);
    assert_int_equal(
        own("{\"type\":\"unbind\",\"identifiers\":{\"phone\":\"1\",\"user_id\":\"u\"}}"),
        REASON_NONE);
    assert_string_equal(who(), "phone:1 user_id:u"); /* the first is the one that leaves */
}

static void the_answer_names_each_event_and_its_position(void **state)
{
    (void)state;
    struct buf answer;
    buf_init(&answer, 10000);
    take_own(STR("{\"events\":[{\"name\":\"A\",\"message_id\":\"a\"},7,{\"name\":\"B\","
                 "\"message_id\":\"b\"}]}"));
    size_t second = LOG_HEADER_BYTES + stored(0).message_id.n; /* at least */
    collect_intake_answer(&intake, 1000, 9999, &answer);
    yyjson_val *root = parse(buf_view(&answer)), *results = yyjson_obj_get(root, "results");
    assert_int_equal(yyjson_arr_size(results), 3);
    is(json_member_str(yyjson_arr_get(results, 0), "position"), "0:1000");
    is(json_member_str(yyjson_arr_get(results, 0), "status"), "stored");
    is(json_member_str(yyjson_arr_get(results, 1), "status"), "quarantined");
    is(json_member_str(yyjson_arr_get(results, 1), "reason"), "not_json");
    assert_true(strtoull(json_member_str(yyjson_arr_get(results, 1), "position").p + 2, NULL, 10) >
                1000 + second);
    is(json_member_str(yyjson_arr_get(results, 2), "message_id"), "b");
    assert_true(str_eq(json_member_str(yyjson_arr_get(results, 2), "position"),
                       json_member_str(root, "position")));
    buf_done(&answer);
}

static void an_answer_without_records_points_before_the_end(void **state)
{
    (void)state;
    struct buf answer;
    buf_init(&answer, 1000);
    take_own(STR("{\"events\":[]}"));
    collect_intake_answer(&intake, 0, 640, &answer);
    is(buf_view(&answer), "{\"position\":\"0:639\",\"results\":[]}");
    buf_done(&answer);
}

static void one_event_a_line_is_a_batch_too(void **state)
{
    (void)state;
    take_own(
        STR("{\"name\":\"A\"}\r\n\n{\"name\":\"B\",\"x\":\"\xff\"}\nnonsense\n{\"name\":\"C\"}"));
    assert_int_equal(intake.events, 2);
    assert_int_equal(quarantined(1).reason, REASON_BAD_UTF8);
    assert_int_equal(quarantined(2).reason, REASON_NOT_JSON);
    is(quarantined(2).raw, "nonsense");
    is(stored(3).name, "C");
    assert_false(collect_own_take_lines(&intake, STR("nonsense\n{\"name\":\"C\"}")));
}

/* --- captured requests ------------------------------------------------------------------------ */

static const char *wire_path(const char *client)
{
    static char path[500];
    const char *shared = getenv("HEZOU_SHARED");
    snprintf(path, sizeof path, "%s/wire/%s.json", shared != NULL ? shared : "../shared", client);
    return path;
}

static void wire_segment(yyjson_val *body)
{
    yyjson_doc *doc;
    struct buf text;
    buf_init(&text, (size_t)1 << 20);
    json_write(&text, body);
    doc = yyjson_read(text.p, text.n, 0);
    assert_true(collect_segment_take(&intake, 0, yyjson_doc_get_root(doc), true));
    yyjson_doc_free(doc);
    buf_done(&text);
}

static void wire_sensors(yyjson_val *json)
{
    struct sensors_opened opened = {.root = json, .strict = true};
    if (yyjson_is_arr(json) || yyjson_is_obj(json))
        collect_sensors_take(&intake, &opened);
}

static void captured_requests_are_taken_whole(void **state)
{
    (void)state;
    static const char *const clients[] = {"segment-analytics-node",    "segment-analytics-next",
                                          "rudderstack-sdk-node",      "rudderstack-analytics-js",
                                          "sensors-sa-sdk-javascript", "sensors-sa-sdk-miniprogram",
                                          "sensors-sa-sdk-node"};
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        struct buf text;
        buf_init(&text, (size_t)1 << 20);
        if (!file_read(wire_path(clients[i]), &text)) {
            print_message("skipped: wire/%s.json is not here\n", clients[i]);
            buf_done(&text);
            continue;
        }
        yyjson_doc *doc = yyjson_read(text.p, text.n, 0);
        size_t k, n;
        yyjson_val *request;
        uint32_t before = intake.events;
        yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "requests"), k, n, request)
        {
            yyjson_val *body = yyjson_obj_get(request, "body");
            if (yyjson_is_obj(body))
                wire_segment(body);
            wire_sensors(yyjson_obj_get(yyjson_obj_get(request, "decoded"), "json"));
        }
        assert_true(intake.events > before);
        yyjson_doc_free(doc);
        buf_done(&text);
    }
    assert_int_equal(intake.quarantined, 0);
}

/* --- speed ------------------------------------------------------------------------------------ */

static int64_t cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * US_PER_S + used.tv_nsec / 1000;
}

static void the_door_takes_500_bytes_in_microseconds(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, (size_t)1 << 20);
    buf_text(&body, "{\"batch\":[");
    for (int i = 0; i < 100; i++)
        buf_fmt(
            &body,
            "%s{\"type\":\"track\",\"messageId\":\"00000000-0000-4000-8000-%012d\",\"userId\":"
            "\"user-%d\",\"anonymousId\":\"anon-%d\",\"event\":\"Product Viewed\",\"timestamp\":"
            "\"2026-11-22T09:51:47.055Z\",\"properties\":{\"product_id\":\"SKU-%d\",\"name\":"
            "\"Wool scarf, long, dark blue\",\"price\":199.5,\"quantity\":1,\"currency\":\"CNY\","
            "\"category\":\"Accessories/Winter\",\"url\":\"https://shop.example.cn/p/%d\"},"
            "\"context\":{\"page\":{\"path\":\"/p/1\",\"title\":\"Wool scarf\"},\"campaign\":"
            "{\"source\":\"wechat\",\"name\":\"spring\"}}}",
            i == 0 ? "" : ",", i, i, i, i, i);
    buf_text(&body, "],\"sentAt\":\"2026-11-22T09:51:48.000Z\"}");
    enum { ROUNDS = 300 };
    int64_t start = cpu_us();
    for (int round = 0; round < ROUNDS; round++) {
        buf_reset(&intake.frames);
        intake.items = 0;
        take_segment(buf_view(&body));
        collect_door_reset(&door);
    }
    double us = (double)(cpu_us() - start) / (ROUNDS * 100.0);
    print_message("the door: %.2f us of CPU per event of %zu bytes\n", us, body.n / 100);
    assert_int_equal(intake.events, ROUNDS * 100);
    buf_done(&body);
}

/* --- addresses -------------------------------------------------------------------------------- */

static void intake_again(void)
{
    collect_intake_done(&intake);
    collect_intake_init(&intake, &door);
}

/* The context that an item gets from 203.0.113.77, as the journal has it. */
static void context_is(collect_translate *translator, const char *json, enum collect_ip ip,
                       const char *want)
{
    struct address address;
    struct event event;
    assert_true(address_parse(STR("203.0.113.77"), &address));
    intake_again();
    intake.event_max = LIMIT_EVENT_BYTES;
    intake.ip = collect_ip_write(ip, address, intake.ip_text);
    door.ip = ip;
    collect_intake_item(&intake, translator, &no_head, parse(str_of(json)), true, STR(""));
    assert_int_equal(intake.events, 1);
    assert_int_equal(event_decode(buf_view(&door.payload), &event, NULL), ST_OK);
    is(event.context, want);
    door.ip = COLLECT_IP_KEEP;
}

#define ITEM(context)                                                                              \
    "{\"type\":\"track\",\"event\":\"E\",\"userId\":\"u\",\"context\":" context "}"
#define JS "\"library\":{\"name\":\"analytics.js\"}"

static void the_address_is_filled_where_the_visitor_sends(void **unused)
{
    (void)unused;
    static const enum collect_ip cut = COLLECT_IP_TRUNCATE;
    context_is(collect_segment_event, ITEM("{" JS "}"), cut, "{\"ip\":\"203.0.113.0\"," JS "}");
    context_is(collect_segment_event, ITEM("{" JS "}"), COLLECT_IP_KEEP,
               "{\"ip\":\"203.0.113.77\"," JS "}");
    context_is(collect_segment_event, ITEM("{" JS "}"), COLLECT_IP_DROP, "{" JS "}");
    context_is(collect_segment_event, ITEM("{\"direct\":true}"), cut,
               "{\"ip\":\"203.0.113.0\",\"direct\":true}");
    context_is(collect_own_event, ITEM("{\"direct\":true}"), cut,
               "{\"ip\":\"203.0.113.0\",\"direct\":true}");
    /* A server that sends for others. */
    context_is(collect_segment_event, ITEM("{\"library\":{\"name\":\"analytics-node\"}}"), cut,
               "{\"library\":{\"name\":\"analytics-node\"}}");
    context_is(collect_segment_event, ITEM("{}"), cut, "");
    context_is(collect_sensors_event,
               "{\"type\":\"track\",\"event\":\"E\",\"distinct_id\":\"d\",\"time\":1434556935000,"
               "\"lib\":{\"$lib\":\"js\"}}",
               cut, "{\"ip\":\"203.0.113.0\",\"library\":{\"name\":\"js\"}}");
    context_is(collect_sensors_event,
               "{\"type\":\"track\",\"event\":\"E\",\"distinct_id\":\"d\",\"time\":1434556935000,"
               "\"lib\":{\"$lib\":\"Java\"}}",
               cut, "{\"library\":{\"name\":\"Java\"}}");
}

static void the_clients_own_address_is_cut_too(void **unused)
{
    (void)unused;
    static const enum collect_ip cut = COLLECT_IP_TRUNCATE;
    context_is(collect_segment_event, ITEM("{\"ip\":\"8.8.4.4\"," JS "}"), cut,
               "{\"ip\":\"8.8.4.0\"," JS "}");
    context_is(collect_segment_event, ITEM("{\"ip\":\"8.8.4.4\"}"), COLLECT_IP_KEEP,
               "{\"ip\":\"8.8.4.4\"}");
    context_is(collect_own_event, ITEM("{\"ip\":\"8.8.4.4\"}"), COLLECT_IP_DROP, "{\"ip\":null}");
    context_is(collect_own_event, ITEM("{\"ip\":\"2001:db8:1:2::3\"}"), cut,
               "{\"ip\":\"2001:db8:1::\"}");
    context_is(collect_own_event, ITEM("{\"ip\":\"8.8.4.4, 1.1.1.1\"}"), cut, "{\"ip\":null}");
    context_is(collect_own_event, ITEM("{\"ip\":[1],\"direct\":true}"), cut,
               "{\"ip\":[1],\"direct\":true}");
    context_is(collect_own_event, ITEM("{\"ip\":4711}"), cut, "{\"ip\":null}");
    context_is(collect_own_event, ITEM("{\"ip\":\"\",\"direct\":true}"), COLLECT_IP_DROP,
               "{\"ip\":\"\",\"direct\":true}");
}

static void a_batchs_address_is_cut_for_all_its_items(void **unused)
{
    (void)unused;
    struct event event;
    intake_again();
    intake.event_max = LIMIT_EVENT_BYTES;
    door.ip = COLLECT_IP_TRUNCATE;
    assert_true(collect_segment_take(
        &intake, 0,
        parse(STR("{\"context\":{\"ip\":\"8.8.4.4\"},\"batch\":["
                  "{\"type\":\"track\",\"event\":\"A\",\"userId\":\"u\"},"
                  "{\"type\":\"track\",\"event\":\"B\",\"userId\":\"u\",\"context\":{\"a\":1}},"
                  "{\"type\":\"track\",\"event\":\"C\",\"userId\":\"u\"}]}")),
        true));
    assert_int_equal(intake.events, 3);
    assert_null(memmem(intake.frames.p, intake.frames.n, "8.8.4.4", 7));
    assert_int_equal(event_decode(buf_view(&door.payload), &event, NULL), ST_OK);
    is(event.context, "{\"ip\":\"8.8.4.0\"}");
    door.ip = COLLECT_IP_KEEP;
}

static void an_event_that_just_fits_is_not_lost_for_an_address(void **unused)
{
    (void)unused;
    intake_again();
    intake.ip = STR("203.0.113.0");
    static char json[] = ITEM("{" JS "}");
    intake.event_max = LIMIT_EVENT_BYTES;
    collect_intake_item(&intake, collect_segment_event, &no_head, parse(STR(json)), true, STR(""));
    intake.event_max = door.payload.n - 1;
    collect_intake_item(&intake, collect_segment_event, &no_head, parse(STR(json)), true, STR(""));
    assert_int_equal(intake.events, 2);
    assert_null(memmem(door.payload.p, door.payload.n, "203.0.113.0", 11));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(six_types_become_six_events),
        TEST(a_browser_page_and_a_rudder_identify_are_read),
        TEST(identifiers_come_from_where_the_spec_puts_them),
        TEST(a_bad_item_has_its_reason),
        TEST(one_bad_item_never_refuses_the_others),
        TEST(bad_bytes_quarantine_their_item_only),
        TEST(half_an_emoji_becomes_a_replacement_character),
        TEST(a_deep_item_is_quarantined_alone),
        TEST(a_body_that_is_no_json_is_refused),
        TEST(limits_hold),
        TEST(what_is_beyond_a_batch_is_kept_as_one),
        TEST(a_huge_shared_context_is_not_multiplied),
        TEST(denied_is_not_stored_in_any_form),
        TEST(a_batch_may_say_no_for_all_and_an_item_yes),
        TEST(the_published_vectors_fit),
        TEST(records_of_every_kind_are_read),
        TEST(a_retry_has_the_same_id),
        TEST(transmissions_are_opened_whatever_they_say),
        TEST(poison_is_kept_and_never_refused),
        TEST(a_bomb_costs_its_limit),
        TEST(forms_and_base64_are_undone),
        TEST(the_own_door_is_strict),
        TEST(the_answer_names_each_event_and_its_position),
        TEST(an_answer_without_records_points_before_the_end),
        TEST(one_event_a_line_is_a_batch_too),
        TEST(captured_requests_are_taken_whole),
        TEST(the_address_is_filled_where_the_visitor_sends),
        TEST(the_clients_own_address_is_cut_too),
        TEST(a_batchs_address_is_cut_for_all_its_items),
        TEST(an_event_that_just_fits_is_not_lost_for_an_address),
        TEST(the_door_takes_500_bytes_in_microseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
