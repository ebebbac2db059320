/* pipeline_search_test.c - unreadable bytes are read in every way in which they may name somebody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

#include "pipeline/pipeline_int.h"

static bool raw_names(struct str raw, enum identifier_type type, const char *value)
{
    struct arena arena;
    struct buf payload;
    const struct quarantine quarantine = {REASON_NOT_JSON, STR("/v1/batch"), raw};
    const struct event_identifier wanted = {type, str_of(value)};
    arena_init(&arena);
    buf_init(&payload, LOG_PAYLOAD_MAX);
    quarantine_encode(&quarantine, &payload);
    const struct log_record record = {.type = LOG_QUARANTINE, .payload = buf_view(&payload)};
    bool found = pipeline_search(&record, &wanted, 1, &arena);
    buf_done(&payload);
    arena_done(&arena);
    return found;
}

static bool text_names(const char *raw, enum identifier_type type, const char *value)
{
    return raw_names(str_of(raw), type, value);
}

static void a_word_is_found_whole_and_in_any_case(void **state)
{
    (void)state;
    assert_true(text_names("{\"userId\":\"u-1001\"}", IDENTIFIER_USER_ID, "u-1001"));
    assert_true(text_names("{\"m\":\"Li@EXAMPLE.cn\"}", IDENTIFIER_EMAIL, "li@example.cn"));
    assert_true(text_names("{\"id\":17850}", IDENTIFIER_MEMBER_NO, "17850"));
    assert_true(text_names("17850", IDENTIFIER_MEMBER_NO, "17850"));
    assert_false(text_names("{\"id\":917850}", IDENTIFIER_MEMBER_NO, "17850"));
    assert_false(text_names("{\"id\":\"u-10011\"}", IDENTIFIER_USER_ID, "u-1001"));
    assert_false(text_names("{\"id\":\"new-u-1001\"}", IDENTIFIER_USER_ID, "u-1001"));
    assert_true(text_names("u-10011 u-1001", IDENTIFIER_USER_ID, "u-1001"));
    assert_false(text_names("", IDENTIFIER_USER_ID, "u-1001"));
}

static void a_short_one_must_be_a_whole_value(void **state)
{
    (void)state;
    assert_true(text_names("{\"userId\":\"42\"}", IDENTIFIER_USER_ID, "42"));
    assert_true(text_names("{\"userId\":42}", IDENTIFIER_USER_ID, "42"));
    assert_false(text_names("{\"userId\":\"u/42\",\"n\":1.42}", IDENTIFIER_USER_ID, "42"));
}

static void a_phone_is_found_as_people_write_it(void **state)
{
    (void)state;
    const char *phone = "+8613812345678";
    assert_true(text_names("{\"phone\":\"138 1234-5678\"}", IDENTIFIER_PHONE, phone));
    assert_true(text_names("{\"phone\":\"+86 (138) 1234.5678\"}", IDENTIFIER_PHONE, phone));
    assert_true(text_names("{\"phone\":8613812345678}", IDENTIFIER_PHONE, phone));
    assert_false(text_names("{\"phone\":\"138 1234-56789\"}", IDENTIFIER_PHONE, phone));
    assert_true(text_names("020 7946 0018", IDENTIFIER_PHONE, "+442079460018"));
}

static void escapes_are_undone(void **state)
{
    (void)state;
    assert_true(text_names("{\"userId\":\"\\u0075-100\\u0031\"}", IDENTIFIER_USER_ID, "u-1001"));
    assert_true(text_names("{\"n\":\"\\u5f20\\u4e09\\u4e30\"}", IDENTIFIER_USER_ID, "张三丰"));
    assert_true(text_names("userId=u%2D1001&x=%", IDENTIFIER_USER_ID, "u-1001"));
    assert_true(text_names("{\"t\":\"line\\nu-1001\\n\"}", IDENTIFIER_USER_ID, "u-1001"));
    assert_false(text_names("\\u12", IDENTIFIER_USER_ID, "u-1001"));
    assert_false(text_names("\\", IDENTIFIER_USER_ID, "u-1001"));
}

/* {"a":1,"distinct_id":"u-1001"}, its beginning cut off by 0 to 3 characters, its end damaged. */
static void base64_is_unpacked_at_every_alignment(void **state)
{
    (void)state;
    const char *packed = "eyJhIjoxLCJkaXN0aW5jdF9pZCI6InUtMTAwMSJ9";
    for (size_t cut = 0; cut < 4; cut++) {
        char raw[128];
        snprintf(raw, sizeof raw, "data=%s!!", packed + cut);
        assert_true(text_names(raw, IDENTIFIER_USER_ID, "u-1001"));
    }
    assert_false(text_names(packed, IDENTIFIER_USER_ID, "u-1002"));
    assert_true(text_names("eyJpZCI6InUtMTAwMSIsIm5hbWUiOiIg%2F%2F8ifQ%3D%3D", IDENTIFIER_USER_ID,
                           "u-1001"));
}

/* A gzip stream whose end is missing, as bytes and as base64. */
static void a_cut_gzip_is_unpacked_as_far_as_it_goes(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char plain[4096], packed[8192], text[16384];
    memset(plain, 'x', sizeof plain);
    memcpy(plain, "{\"id\":\"u-1001\",\"", 16);
    z_stream z = {.next_in = (unsigned char *)plain,
                  .avail_in = sizeof plain,
                  .next_out = (unsigned char *)packed,
                  .avail_out = sizeof packed};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_FIXED), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    struct str cut = {packed, (size_t)z.total_out - 10};
    deflateEnd(&z);
    assert_true(raw_names(cut, IDENTIFIER_USER_ID, "u-1001"));
    assert_false(raw_names(cut, IDENTIFIER_USER_ID, "u-1002"));

    size_t n = 0;
    for (size_t i = 0; i + 3 <= cut.n; i += 3) {
        uint32_t bits = (uint32_t)(unsigned char)cut.p[i] << 16 |
                        (uint32_t)(unsigned char)cut.p[i + 1] << 8 | (unsigned char)cut.p[i + 2];
        for (int k = 3; k >= 0; k--)
            text[n++] = alphabet[bits >> (6 * k) & 63];
    }
    assert_true(raw_names((struct str){text, n}, IDENTIFIER_USER_ID, "u-1001"));
}

static void an_event_is_known_by_its_identifiers_in_normal_form(void **state)
{
    (void)state;
    struct arena arena;
    struct buf payload;
    struct event event = {.type = EVENT_TRACK, .message_id = STR("m"), .name = STR("A")};
    assert_true(event_add_identifier(&event, IDENTIFIER_USER_ID, STR("7")));
    assert_true(event_add_identifier(&event, IDENTIFIER_PHONE, STR("138 1234 5678")));
    buf_init(&payload, 4096);
    event_encode(&event, &payload);
    const struct log_record record = {.type = LOG_EVENT, .payload = buf_view(&payload)};
    const struct event_identifier phone = {IDENTIFIER_PHONE, STR("+8613812345678")};
    const struct event_identifier user = {IDENTIFIER_USER_ID, STR("7")};
    const struct event_identifier card = {IDENTIFIER_MEMBER_NO, STR("7")};
    arena_init(&arena);
    assert_true(pipeline_search(&record, &phone, 1, &arena));
    assert_true(pipeline_search(&record, &user, 1, &arena));
    assert_false(pipeline_search(&record, &card, 1, &arena));
    arena_done(&arena);
    buf_done(&payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_found_whole_and_in_any_case),
        cmocka_unit_test(a_short_one_must_be_a_whole_value),
        cmocka_unit_test(a_phone_is_found_as_people_write_it),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(base64_is_unpacked_at_every_alignment),
        cmocka_unit_test(a_cut_gzip_is_unpacked_as_far_as_it_goes),
        cmocka_unit_test(an_event_is_known_by_its_identifiers_in_normal_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
