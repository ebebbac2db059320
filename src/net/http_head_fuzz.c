/* http_head_fuzz.c - any bytes as a request: the same end in one piece and in many, and nothing is
 * taken that a second reader would read otherwise.
 *
 * The second reader is http_parser (Node's before llhttp). What we accept it must accept, with the
 * same method, the same target, the same body and the same end; it may accept more. Left out is
 * what it knows more of than a server has to: it has a list of methods, reads the target of
 * CONNECT as a host, and ends at an Upgrade; and names that only begin with Transfer-Encoding,
 * which it takes for that. */
#include "net/http_parse_int.h"

#include <http_parser.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define ENCODING "Transfer-Encoding"

/* One request as a reader saw it. */
struct seen {
    struct buf method, target, body;
    bool head, whole, strange;
    size_t bytes;
};

static void seen_init(struct seen *seen)
{
    *seen = (struct seen){0};
    buf_init(&seen->method, 1 << 20);
    buf_init(&seen->target, 1 << 20);
    buf_init(&seen->body, 1 << 20);
}

static void seen_done(struct seen *seen)
{
    buf_done(&seen->method);
    buf_done(&seen->target);
    buf_done(&seen->body);
}

static bool mentions(struct str text, struct str word)
{
    for (; text.n >= word.n; text.p++, text.n--)
        if (str_eq_nocase((struct str){text.p, word.n}, word))
            return true;
    return false;
}

static void read_chunks(struct str rest, size_t step, size_t head_bytes, struct seen *seen)
{
    struct http_chunks chunks = {0};
    size_t n = rest.n;
    seen->strange |= mentions(rest, STR("Content-Length")) || mentions(rest, STR(ENCODING));
    while (rest.n > 0) {
        struct str part = {rest.p, rest.n < step ? rest.n : step}, piece;
        enum http_parse read = http_chunks_read(&chunks, &part, &piece);
        buf_str(&seen->body, piece);
        rest.n -= (size_t)(part.p - rest.p);
        rest.p = part.p;
        seen->whole = read == PARSE_DONE;
        if (read != PARSE_MORE)
            break;
    }
    seen->bytes = head_bytes + n - rest.n;
}

/* As the server does, in pieces of `step` bytes. */
static void read_ours(struct str bytes, size_t step, struct seen *seen)
{
    struct http_head head;
    enum http_parse read = PARSE_MORE;
    http_head_init(&head);
    for (size_t at = 0; read == PARSE_MORE && at < bytes.n;) {
        at = bytes.n - at < step ? bytes.n : at + step;
        read = http_head_read(&head, bytes.p, at);
    }
    CHECK(head.bytes <= bytes.n && head.bytes <= HTTP_HEAD_BYTES &&
          (head.code != 0) == (read == PARSE_REFUSED));
    if (read != PARSE_DONE)
        return;
    seen->head = true;
    buf_str(&seen->method, http_span_str(bytes.p, head.method));
    size_t target = (size_t)head.path.n + (head.query.n > 0 ? head.query.n + 1u : 0);
    buf_put(&seen->target, bytes.p + head.path.at, target);
    for (unsigned i = 0; i < head.fields_count; i++) {
        struct str name = http_span_str(bytes.p, head.fields[i].name), word = STR(ENCODING);
        CHECK((size_t)head.fields[i].value.at + head.fields[i].value.n <= head.bytes);
        seen->strange |= name.n > word.n && str_eq_nocase((struct str){name.p, word.n}, word);
    }
    struct str rest = {bytes.p + head.bytes, bytes.n - head.bytes};
    if (head.chunked) {
        read_chunks(rest, step, head.bytes, seen);
        return;
    }
    seen->whole = rest.n >= head.body_length;
    if (seen->whole)
        rest.n = (size_t)head.body_length;
    buf_str(&seen->body, rest);
    seen->bytes = head.bytes + rest.n;
}

static int on_url(http_parser *parser, const char *at, size_t n)
{
    buf_put(&((struct seen *)parser->data)->target, at, n);
    return 0;
}

static int on_head(http_parser *parser)
{
    struct seen *seen = parser->data;
    seen->head = true;
    buf_text(&seen->method, http_method_str((enum http_method)parser->method));
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t n)
{
    buf_put(&((struct seen *)parser->data)->body, at, n);
    return 0;
}

static int on_whole(http_parser *parser)
{
    ((struct seen *)parser->data)->whole = true;
    http_parser_pause(parser, 1);
    return 0;
}

static void judge(struct str bytes, const struct seen *ours)
{
    const http_parser_settings settings = {.on_url = on_url,
                                           .on_headers_complete = on_head,
                                           .on_body = on_body,
                                           .on_message_complete = on_whole};
    http_parser parser;
    struct seen theirs;
    seen_init(&theirs);
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &theirs;
    theirs.bytes = http_parser_execute(&parser, &settings, bytes.p, bytes.n);
    bool skip = parser.http_errno == HPE_INVALID_METHOD || parser.upgrade || ours->strange ||
                str_is(buf_view(&ours->method), "CONNECT");
    if (!skip && ours->head) {
        CHECK(theirs.head);
        CHECK(str_eq(buf_view(&theirs.method), buf_view(&ours->method)));
        CHECK(str_starts(buf_view(&theirs.target), buf_view(&ours->target)));
        CHECK(theirs.target.n - ours->target.n <= 1); /* a "?" with nothing behind it */
        CHECK(str_starts(buf_view(&theirs.body), buf_view(&ours->body)));
    }
    if (!skip && ours->whole) {
        CHECK(theirs.whole && theirs.body.n == ours->body.n);
        CHECK(theirs.bytes == ours->bytes || theirs.bytes + 1 == ours->bytes); /* paused at it */
    }
    seen_done(&theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct seen whole, cut;
    /* The first byte says in what pieces the rest comes. */
    size_t step = n > 0 && bytes[0] > 0 ? bytes[0] : 1;
    struct str text = n > 0 ? (struct str){(const char *)bytes + 1, n - 1} : STR("");
    seen_init(&whole);
    seen_init(&cut);
    read_ours(text, text.n + 1, &whole);
    read_ours(text, step, &cut);
    CHECK(whole.head == cut.head && whole.whole == cut.whole && whole.bytes == cut.bytes);
    CHECK(str_eq(buf_view(&whole.body), buf_view(&cut.body)));
    judge(text, &whole);
    seen_done(&whole);
    seen_done(&cut);
    char *copy = text.n > 0 ? memcpy(mem_alloc(text.n), text.p, text.n) : NULL;
    if (copy != NULL)
        CHECK(http_unescape(copy, text.n) <= text.n);
    free(copy);
    return 0;
}
