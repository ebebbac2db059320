/* json_test.c - the reader's limits, and that what is written is read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/json.h"

static enum status parse(const char *text, struct err *err)
{
    yyjson_doc *doc = NULL;
    enum status status = json_parse(NULL, str_of(text), &doc, err);
    yyjson_doc_free(doc);
    return status;
}

static void json_depth_is_limited_outside_of_texts(void **state)
{
    (void)state;
    char text[400];
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_int_equal(parse(text, NULL), depth <= JSON_DEPTH_MAX ? ST_OK : ST_TOO_LARGE);
    }
    memset(text, '[', sizeof text);
    text[0] = '"';
    text[1] = '\\';
    text[2] = '"';
    text[398] = '"';
    text[399] = '\0';
    assert_int_equal(parse(text, NULL), ST_OK);
}

/* `depth` arrays in one another, `before` numbers and an empty object in front of the next one. */
static void nested_text(struct buf *text, int depth, int before)
{
    buf_reset(text);
    for (int d = 0; d < depth; d++) {
        buf_char(text, '[');
        for (int i = 0; i < before && d + 1 < depth; i++)
            buf_text(text, "1,{},");
    }
    for (int d = 0; d < depth; d++)
        buf_text(text, "]");
}

/* What has ended counts no more, and what stands beside it never did; a member's depth is that of
 * its object. */
static void depth_is_what_is_open(void **state)
{
    (void)state;
    struct buf text, twice;
    buf_init(&text, 1 << 16);
    buf_init(&twice, 1 << 16);
    for (int before = 0; before < 3; before++)
        for (int depth = JSON_DEPTH_MAX - 2; depth <= JSON_DEPTH_MAX + 1; depth++) {
            nested_text(&text, depth, before);
            assert_int_equal(parse(text.p, NULL), depth <= JSON_DEPTH_MAX ? ST_OK : ST_TOO_LARGE);
            buf_reset(&twice);
            buf_fmt(&twice, "{\"a\":%s,\"b\":{},\"c\":%s}", text.p, text.p);
            assert_int_equal(parse(twice.p, NULL), depth < JSON_DEPTH_MAX ? ST_OK : ST_TOO_LARGE);
        }
    buf_done(&text);
    buf_done(&twice);
}

/* Wherever texts end, and wherever a quote in them is escaped, the brackets behind them count and
 * those inside do not; this text is broken as well, and too deep all the same. */
static void a_text_ends_where_it_ends(void **state)
{
    (void)state;
    for (int n = 0; n < 24; n++)
        for (int at = -1; at < n - 1; at++) {
            char text[24 + 1], json[512], deep[JSON_DEPTH_MAX + 1];
            memset(text, '[', sizeof text);
            text[n] = '\0';
            if (at >= 0)
                memcpy(text + at, "\\\"", 2);
            memset(deep, '[', JSON_DEPTH_MAX);
            deep[JSON_DEPTH_MAX] = '\0';
            snprintf(json, sizeof json, "[\"%s\",\"%s\",%s", text, text, deep);
            assert_int_equal(parse(json, NULL), ST_TOO_LARGE);
            snprintf(json, sizeof json, "[\"%s\",\"%s\"]", text, text);
            assert_int_equal(parse(json, NULL), ST_OK);
        }
    assert_int_equal(parse("\"abcdefgh\\", NULL), ST_INVALID);
    assert_int_equal(parse("\"abcdefghijklmnop", NULL), ST_INVALID);
}

static void bad_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "{",       "{\"a\":1,}", "[1 2]", "nul",
                                      "\"\xff\"", "\"\\x\"", "01",         "1 1",   "'a'",
                                      "[1]// hm", "NaN",     "\"\t\""};
    struct err err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(bad[i], &err), ST_INVALID);
    assert_int_equal(parse("{\"a\":tru}", &err), ST_INVALID);
    assert_non_null(strstr(err.message, "byte 5"));
}

static void written_texts_are_read_back_equal(void **state)
{
    (void)state;
    struct buf buf;
    struct json_pool pool;
    json_pool_init(&pool);
    buf_init(&buf, 10000);
    for (unsigned c = 0; c < 128; c++) {
        char text[] = {'x', (char)c, '"', '\\', (char)0xe7, (char)0xa5, (char)0x9e};
        struct str value = {text, sizeof text};
        yyjson_doc *doc = NULL;
        buf_reset(&buf);
        json_put_str(&buf, value);
        assert_int_equal(json_parse(&pool, buf_view(&buf), &doc, NULL), ST_OK);
        assert_true(str_eq(json_str(yyjson_doc_get_root(doc)), value));
    }
    buf_done(&buf);
    json_pool_done(&pool);
}

static void what_must_be_escaped_is_found_at_every_place(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    for (size_t n = 1; n <= 20; n++)
        for (size_t at = 0; at < n; at++)
            for (unsigned c = 0; c < 256; c++) {
                char text[20], wanted[32];
                memset(text, '~', sizeof text);
                text[at] = (char)c;
                bool escaped = c < 0x20 || c == '"' || c == '\\';
                int head = snprintf(wanted, sizeof wanted, "\"%.*s", (int)at, text);
                assert_true(head == (int)at + 1);
                buf_reset(&buf);
                json_put_str(&buf, (struct str){text, n});
                assert_memory_equal(buf.p, wanted, at + 1);
                assert_true((buf.p[at + 1] == '\\') == escaped);
                assert_true(escaped || buf.n == n + 2);
            }
    buf_done(&buf);
}

static void decimals_are_those_of_printf(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 9, 10, 99, 100, 1234567890, UINT64_MAX - 1, UINT64_MAX};
    struct buf buf;
    buf_init(&buf, 24);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)values[i]);
        buf_reset(&buf);
        buf_decimal(&buf, values[i]);
        assert_string_equal(buf.p, text);
        snprintf(text, sizeof text, "%020llu", (unsigned long long)values[i]);
        buf_reset(&buf);
        buf_digits(&buf, values[i], 20);
        assert_string_equal(buf.p, text);
    }
    buf_reset(&buf);
    buf_digits(&buf, 1234, 3); /* the last ones, as a fraction's */
    assert_string_equal(buf.p, "234");
    buf_done(&buf);
}

static void members_get_their_commas(void **state)
{
    (void)state;
    struct buf buf;
    yyjson_doc *doc = NULL;
    buf_init(&buf, 1000);
    buf_char(&buf, '{');
    json_put_member_str(&buf, "s", STR("a\nb"));
    json_put_member_int(&buf, "i", INT64_MIN);
    json_put_member_uint(&buf, "u", UINT64_MAX);
    json_put_member_bool(&buf, "b", true);
    json_put_name(&buf, "list");
    buf_char(&buf, '[');
    json_put_comma(&buf);
    buf_char(&buf, '1');
    json_put_comma(&buf);
    buf_text(&buf, "2]");
    json_put_member_raw(&buf, "r", STR("{\"x\":null}"));
    buf_char(&buf, '}');
    assert_string_equal(buf.p, "{\"s\":\"a\\nb\",\"i\":-9223372036854775808,"
                               "\"u\":18446744073709551615,\"b\":true,\"list\":[1,2],"
                               "\"r\":{\"x\":null}}");
    assert_int_equal(json_parse(NULL, buf_view(&buf), &doc, NULL), ST_OK);
    assert_true(str_is(json_member_str(yyjson_doc_get_root(doc), "s"), "a\nb"));
    assert_int_equal(json_member_str(yyjson_doc_get_root(doc), "i").n, 0);
    struct buf again;
    buf_init(&again, 1000);
    json_write(&again, yyjson_doc_get_root(doc));
    assert_true(str_eq(buf_view(&again), buf_view(&buf)));
    yyjson_doc_free(doc);
    buf_done(&again);
    buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_depth_is_limited_outside_of_texts),
        cmocka_unit_test(depth_is_what_is_open),
        cmocka_unit_test(a_text_ends_where_it_ends),
        cmocka_unit_test(bad_json_is_refused_with_its_place),
        cmocka_unit_test(written_texts_are_read_back_equal),
        cmocka_unit_test(what_must_be_escaped_is_found_at_every_place),
        cmocka_unit_test(decimals_are_those_of_printf),
        cmocka_unit_test(members_get_their_commas),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
