/* net_parse_test.c - heads and chunked bodies, cut at every byte: the same end as in one piece. */
#include "net/net_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "net/http_parse_int.h"

static const struct str smuggling[] = {
#define X(name, calls_max, bytes) {bytes, sizeof(bytes) - 1},
#include "net/testdata/smuggling.def"
#undef X
};

/* As a socket would bring them: `first` bytes, then `step` at a time. */
static enum http_parse head_read(struct http_head *head, struct str bytes, size_t first,
                                 size_t step)
{
    enum http_parse read = PARSE_MORE;
    http_head_init(head);
    for (size_t n = first; read == PARSE_MORE && n <= bytes.n; n += step)
        read = http_head_read(head, bytes.p, n);
    return read;
}

static void head_compare(struct str bytes, size_t first, size_t step)
{
    struct http_head whole, cut;
    enum http_parse read = head_read(&whole, bytes, bytes.n, 1);
    assert_int_equal(head_read(&cut, bytes, first, step), read);
    assert_int_equal(cut.code, whole.code);
    if (read == PARSE_REFUSED)
        assert_string_equal(cut.why, whole.why);
    assert_int_equal(cut.bytes, whole.bytes);
    assert_int_equal(cut.fields_count, whole.fields_count);
    assert_memory_equal(cut.fields, whole.fields, whole.fields_count * sizeof whole.fields[0]);
    assert_int_equal(cut.body_length, whole.body_length);
    assert_int_equal(cut.chunked, whole.chunked);
}

static void test_a_head_may_be_cut_anywhere(void **state)
{
    struct str good = STR("\r\nPOST /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX:\t y z \t\r\n"
                          "Expect: 100-continue\r\nContent-Length: 12\r\n\r\nbody");
    (void)state;
    for (size_t i = 0; i <= sizeof smuggling / sizeof smuggling[0]; i++) {
        struct str bytes = i == 0 ? good : smuggling[i - 1];
        for (size_t first = 0; first <= bytes.n; first++)
            head_compare(bytes, first, bytes.n - first + (first == bytes.n));
        head_compare(bytes, 1, 1);
    }
}

static void test_a_head_says_what_it_said(void **state)
{
    struct str bytes =
        STR("\r\nPOST /a%20b?x=1?2 HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX:\t y z \t\r\n"
            "Expect: 100-Continue\r\nConnection: TE, close\r\n"
            "Content-Length: 12\r\n\r\nbody");
    struct http_head head;
    (void)state;
    assert_int_equal(head_read(&head, bytes, bytes.n, 1), PARSE_DONE);
    assert_int_equal(head.bytes, bytes.n - 4);
    assert_true(str_is(http_span_str(bytes.p, head.method), "POST"));
    assert_true(str_is(http_span_str(bytes.p, head.path), "/a%20b"));
    assert_true(str_is(http_span_str(bytes.p, head.query), "x=1?2"));
    assert_int_equal(head.body_length, 12);
    assert_true(head.expects && head.close);
    assert_false(head.chunked || head.is_1_0 || head.keep_alive);
    assert_int_equal(head.fields_count, 6);
    assert_true(str_is(http_span_str(bytes.p, head.fields[1].name), "X-Empty"));
    assert_true(str_is(http_span_str(bytes.p, head.fields[1].value), ""));
    assert_true(str_is(http_span_str(bytes.p, head.fields[2].value), "y z"));

    bytes = STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(head_read(&head, bytes, bytes.n, 1), PARSE_DONE);
    assert_true(head.is_1_0 && head.keep_alive);
    assert_false(head.close || head.expects);
    assert_int_equal(head.query.n, 0);
    bytes = STR("PUT / HTTP/1.1\r\nhost:\r\ntransfer-encoding:chunked\r\n\r\n");
    assert_int_equal(head_read(&head, bytes, bytes.n, 1), PARSE_DONE);
    assert_true(head.chunked);
}

/* `before`, then as many of `fill` as make the head `bytes` long, then `after`. */
static int code_of(const char *before, char fill, const char *after, size_t bytes)
{
    size_t n = strlen(before), rest = strlen(after);
    char *text = malloc(bytes);
    struct http_head head;
    memcpy(text, before, n);
    memset(text + n, fill, bytes - n - rest);
    memcpy(text + bytes - rest, after, rest);
    enum http_parse read = head_read(&head, (struct str){text, bytes}, 1, 777);
    if (read == PARSE_MORE)
        read = http_head_read(&head, text, bytes);
    free(text);
    return read == PARSE_DONE ? 200 : read == PARSE_MORE ? 100 : head.code;
}

static void test_limits_of_a_head_are_exact(void **state)
{
    const char *get = "GET /", *rest = " HTTP/1.1\r\nHost: x\r\n\r\n";
    const char *field = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
    (void)state;
    assert_int_equal(code_of(field, 'x', "\r\n\r\n", HTTP_HEAD_BYTES), 200);
    assert_int_equal(code_of(field, 'x', "\r\n\r\n", HTTP_HEAD_BYTES + 1), 431);
    assert_int_equal(code_of(field, 'x', "", HTTP_HEAD_BYTES - 1), 100);
    assert_int_equal(code_of(field, 'x', "", HTTP_HEAD_BYTES), 431);
    assert_int_equal(code_of(get, 'x', rest, HTTP_URI_BYTES - 1 + 5 + strlen(rest)), 200);
    assert_int_equal(code_of(get, 'x', rest, HTTP_URI_BYTES + 5 + strlen(rest)), 414);
    assert_int_equal(code_of(get, 'x', "", HTTP_HEAD_BYTES), 414);
    assert_int_equal(code_of("", '\n', "", 5), 400);
    assert_int_equal(code_of("\r\n\r\n", 'x', "", 5), 400);
}

/* Another reader may take a tab for a part of the value, and see another body. */
static void test_a_body_is_not_framed_by_tabs(void **state)
{
    static const char *const framing[] = {"Transfer-Encoding: chunked\t",
                                          "Transfer-Encoding:\tchunked", "Content-Length: 5\t",
                                          "Content-Length:\t5", "Content-Length: 5 \t "};
    char text[128];
    struct http_head head;
    (void)state;
    for (size_t i = 0; i < sizeof framing / sizeof framing[0]; i++) {
        int n = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", framing[i]);
        http_head_init(&head);
        assert_int_equal(http_head_read(&head, text, (size_t)n), PARSE_REFUSED);
        assert_int_equal(head.code, 400);
    }
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost:\tx\t\r\nX: a\tb\t\r\n\r\n");
    http_head_init(&head);
    assert_int_equal(http_head_read(&head, text, (size_t)n), PARSE_DONE);
    assert_true(str_is(http_span_str(text, head.fields[1].value), "a\tb"));
}

static void test_escapes_are_decoded_once(void **state)
{
    static const char *const cases[][2] = {
        {"/a", "/a"},
        {"%2f%2F", "//"},
        {"%", "%"},
        {"%4", "%4"},
        {"%zz", "%zz"},
        {"%2541", "%41"},
        {"%00", "\xef\xbf\xbd"},
        {"a%20b%2", "a b%2"},
        {"%%41", "%A"},
        {"", ""},
    };
    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = strlen(cases[i][0]);
        memcpy(text, cases[i][0], n);
        assert_true(str_is((struct str){text, http_unescape(text, n)}, cases[i][1]));
    }
}

/* The body in `ret_body`; what follows it in *ret_rest. */
static enum http_parse chunks_read(struct str bytes, size_t first, size_t step, struct buf *body,
                                   size_t *ret_rest)
{
    struct http_chunks chunks = {0};
    enum http_parse read = PARSE_MORE;
    size_t n = first < bytes.n ? first : bytes.n;
    buf_reset(body);
    for (;;) {
        struct str part = {bytes.p, n}, piece;
        while (read == PARSE_MORE && part.n > 0) {
            read = http_chunks_read(&chunks, &part, &piece);
            buf_str(body, piece);
        }
        bytes = (struct str){part.p, bytes.n - (n - part.n)};
        if (read != PARSE_MORE || bytes.n == 0)
            break;
        n = step < bytes.n ? step : bytes.n;
    }
    *ret_rest = bytes.n;
    return read;
}

static void test_chunks_may_be_cut_anywhere(void **state)
{
    static const struct {
        struct str bytes;
        enum http_parse end;
        const char *body;
    } cases[] = {
        {STR("4\r\nabcd\r\n0A;x=\"y\"\r\nefghijklmn\r\n0\r\nX: y\r\nZ:\r\n\r\nrest"), PARSE_DONE,
         "abcdefghijklmn"},
        {STR("0\r\n\r\nrest"), PARSE_DONE, ""},
        {STR("000000;\r\n\r\nrest"), PARSE_DONE, ""},
        {STR("000000000000000002\r\nab\r\n0\r\n\r\nrest"), PARSE_DONE, "ab"},
        {STR("fffffffffffffff\r\nab"), PARSE_MORE, "ab"},
        {STR("10000000000000000\r\nab"), PARSE_REFUSED, ""},
        {STR("g\r\n"), PARSE_REFUSED, ""},
        {STR("\r\n"), PARSE_REFUSED, ""},
        {STR(";x\r\n"), PARSE_REFUSED, ""},
        {STR(" 1\r\na"), PARSE_REFUSED, ""},
        {STR("1 \r\na"), PARSE_REFUSED, ""},
        {STR("1\na"), PARSE_REFUSED, ""},
        {STR("1;\na"), PARSE_REFUSED, ""},
        {STR("1;\x01\r\na"), PARSE_REFUSED, ""},
        {STR("1\rxa"), PARSE_REFUSED, ""},
        {STR("1\r\nabc"), PARSE_REFUSED, "a"},
        {STR("1\r\na\n0\r\n\r\n"), PARSE_REFUSED, "a"},
        {STR("1\r\na\rx0\r\n\r\n"), PARSE_REFUSED, "a"},
        {STR("0\r\nX: y\n\r\n"), PARSE_REFUSED, ""},
        {STR("0\r\nX: y\r\n z\r\n\r\n"), PARSE_REFUSED, ""},
        {STR("0\r\nX: y\rz\r\n\r\n"), PARSE_REFUSED, ""},
        {STR("0\r\n\rx"), PARSE_REFUSED, ""},
        {STR("0\r\nX y: z\r\n\r\n"), PARSE_REFUSED, ""},
        {STR("0\r\nX\r\n\r\n"), PARSE_REFUSED, ""},
        {STR("0\r\n: y\r\n\r\n"), PARSE_REFUSED, ""},
        {STR("0\r\nX\0: y\r\n\r\n"), PARSE_REFUSED, ""},
    };
    struct buf body;
    size_t rest = 0;
    (void)state;
    buf_init(&body, 1 << 10);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t first = 0; first <= cases[i].bytes.n; first++) {
            size_t step = first == 0 ? 1 : cases[i].bytes.n;
            enum http_parse end = chunks_read(cases[i].bytes, first, step, &body, &rest);
            if (end != cases[i].end || !str_is(buf_view(&body), cases[i].body))
                fail_msg("chunks %zu cut at %zu: end %d, body %.*s", i, first, (int)end,
                         STR_ARG(buf_view(&body)));
            if (end == PARSE_DONE)
                assert_int_equal(rest, 4);
        }
    buf_done(&body);
}

static enum http_parse chunks_filled(const char *before, char fill, size_t n, const char *after)
{
    struct buf text, body;
    size_t rest;
    buf_init(&text, 1 << 20);
    buf_init(&body, 1 << 10);
    buf_text(&text, before);
    while (n-- > 0)
        buf_char(&text, fill);
    buf_text(&text, after);
    enum http_parse end = chunks_read(buf_view(&text), text.n, 1, &body, &rest);
    buf_done(&text);
    buf_done(&body);
    return end;
}

static void test_what_chunks_carry_along_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(chunks_filled("", '0', HTTP_CHUNK_LINE_BYTES - 1, "\r\n\r\n"), PARSE_DONE);
    assert_int_equal(chunks_filled("", '0', HTTP_CHUNK_LINE_BYTES, "\r\n\r\n"), PARSE_REFUSED);
    assert_int_equal(chunks_filled("0;", 'x', HTTP_CHUNK_LINE_BYTES - 3, "\r\n\r\n"), PARSE_DONE);
    assert_int_equal(chunks_filled("0;", 'x', HTTP_CHUNK_LINE_BYTES - 2, "\r\n\r\n"),
                     PARSE_REFUSED);
    assert_int_equal(chunks_filled("0\r\nx:", 'x', HTTP_TRAILER_BYTES - 4, "\r\n\r\n"), PARSE_DONE);
    assert_int_equal(chunks_filled("0\r\nx:", 'x', HTTP_TRAILER_BYTES - 3, "\r\n\r\n"),
                     PARSE_REFUSED);
}

int net_parse_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_head_may_be_cut_anywhere),
        cmocka_unit_test(test_a_head_says_what_it_said),
        cmocka_unit_test(test_limits_of_a_head_are_exact),
        cmocka_unit_test(test_a_body_is_not_framed_by_tabs),
        cmocka_unit_test(test_escapes_are_decoded_once),
        cmocka_unit_test(test_chunks_may_be_cut_anywhere),
        cmocka_unit_test(test_what_chunks_carry_along_is_bounded),
    };
    return cmocka_run_group_tests_name("net: parsing", tests, NULL, NULL);
}
