/* http_head.c - a request head is taken only if nobody could read it in two ways.
 *
 * Behind a proxy that reads the same bytes otherwise than we do, each leniency smuggles a second
 * request: two lengths, a length beside a Transfer-Encoding, "Content-Length :", a bare LF, a
 * folded line, a NUL. So there is one form, RFC 9112 without its allowances, and everything else is
 * refused: every line ends with CR LF, one blank stands between the three parts of the request
 * line, a name is a token with the colon right behind it, no value holds a control character but
 * the tab. The one allowance: an empty line before the request line, which old clients send behind
 * a body.
 *
 * The head may come in pieces. Each line is read once, when its end is there, and no byte is
 * searched twice; so one who sends single bytes costs no more than their number. */
#include "net/http_parse_int.h"

const bool http_token_chars[256] = {
    ['!'] = true,         ['#'] = true,         ['$'] = true,         ['%'] = true, ['&'] = true,
    ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true, ['.'] = true,
    ['^'] = true,         ['_'] = true,         ['`'] = true,         ['|'] = true, ['~'] = true,
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!http_token_chars[(unsigned char)text.p[i]])
            return false;
    return text.n > 0;
}

/* Without a way out, so that the compiler takes many bytes at a time. */
static bool has_control(struct str text)
{
    unsigned found = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        found |= (unsigned)((c < 0x20) & (c != '\t')) | (unsigned)(c == 0x7f);
    }
    return found != 0;
}

static enum http_parse refuse(struct http_head *head, int code, const char *why)
{
    head->code = code;
    head->why = why;
    return PARSE_REFUSED;
}

static struct http_span span(const char *bytes, struct str text)
{
    return (struct http_span){(uint16_t)(text.p - bytes), (uint16_t)text.n};
}

/* Up to the next `by`, which is taken too; false if there is none. */
static bool take_part(struct str *rest, char by, struct str *ret_part)
{
    const char *at = memchr(rest->p, by, rest->n);
    if (at == NULL)
        return false;
    *ret_part = (struct str){rest->p, (size_t)(at - rest->p)};
    *rest = (struct str){at + 1, rest->n - ret_part->n - 1};
    return true;
}

/* "METHOD SP target SP HTTP/1.x", one blank each, the target a path. */
static enum http_parse read_request_line(struct http_head *head, const char *bytes, struct str line)
{
    struct str method, target, query = STR("");
    if (has_control(line) || memchr(line.p, '\t', line.n) != NULL ||
        !take_part(&line, ' ', &method) || !is_token(method) || !take_part(&line, ' ', &target) ||
        line.n != 8)
        return refuse(head, 400, "the request line is malformed");
    if (memcmp(line.p, "HTTP/1.", 7) != 0 || (line.p[7] != '0' && line.p[7] != '1'))
        return refuse(head, 505, "this server speaks HTTP/1.1");
    if (target.n > HTTP_URI_BYTES)
        return refuse(head, 414, "the request target is too long");
    if (target.n == 0 || target.p[0] != '/')
        return refuse(head, 400, "the request target must be a path");
    head->is_1_0 = line.p[7] == '0';
    head->method = span(bytes, method);
    struct str path = target;
    if (take_part(&target, '?', &path))
        query = target;
    head->path = span(bytes, path);
    if (query.n > 0)
        head->query = span(bytes, query);
    return PARSE_MORE;
}

static struct str trim_blanks(struct str text)
{
    while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t')) {
        text.p++;
        text.n--;
    }
    while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
        text.n--;
    return text;
}

/* A Content-Length: digits, and fewer than could overflow. */
static bool read_length(struct str text, uint64_t *ret_length)
{
    uint64_t length = 0;
    if (text.n == 0 || text.n > 18)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        length = length * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret_length = length;
    return true;
}

static void read_connection(struct http_head *head, struct str list)
{
    struct str part;
    for (bool more = true; more;) {
        more = take_part(&list, ',', &part);
        part = trim_blanks(more ? part : list);
        head->close |= str_eq_nocase(part, STR("close"));
        head->keep_alive |= str_eq_nocase(part, STR("keep-alive"));
    }
}

/* The few that the server itself obeys. RFC 9110 has tabs for blanks, but not every reader takes
 * them so: behind one that sees "chunked<tab>" as no encoding, a body would be a second request. */
static void obey(struct http_head *head, struct str name, struct str value)
{
    bool tab = memchr(value.p, '\t', value.n) != NULL;
    value = trim_blanks(value);
    if (name.n == 4 && str_eq_nocase(name, STR("Host"))) {
        head->hosts++;
    } else if (name.n == 6 && str_eq_nocase(name, STR("Expect"))) {
        head->expects |= !head->is_1_0 && str_eq_nocase(value, STR("100-continue"));
    } else if (name.n == 10 && str_eq_nocase(name, STR("Connection"))) {
        read_connection(head, value);
    } else if (name.n == 14 && str_eq_nocase(name, STR("Content-Length"))) {
        head->framings++;
        head->length_unclear |= tab || !read_length(value, &head->body_length);
    } else if (name.n == 17 && str_eq_nocase(name, STR("Transfer-Encoding"))) {
        head->framings++;
        head->chunked = true;
        head->length_unclear |= tab || head->is_1_0 || !str_eq_nocase(value, STR("chunked"));
    }
}

static enum http_parse read_field(struct http_head *head, const char *bytes, struct str line)
{
    struct str name, value = line;
    if (!take_part(&value, ':', &name) || !is_token(name) || has_control(value))
        return refuse(head, 400, "a header line is malformed");
    if (head->fields_count == HTTP_HEAD_FIELDS)
        return refuse(head, 431, "too many header fields");
    obey(head, name, value);
    value = trim_blanks(value);
    head->fields[head->fields_count++] = (struct http_field){span(bytes, name), span(bytes, value)};
    return PARSE_MORE;
}

/* RFC 9112 §6: how long the body is must have one answer. */
static enum http_parse check_whole(struct http_head *head)
{
    if (head->framings > 1 || head->length_unclear)
        return refuse(head, 400, "the length of the body is ambiguous");
    if (head->hosts > 1 || (head->hosts == 0 && !head->is_1_0))
        return refuse(head, 400, "exactly one Host is needed");
    return PARSE_DONE;
}

static enum http_parse read_line(struct http_head *head, const char *bytes, struct str line)
{
    if (line.n == 0 || line.p[line.n - 1] != '\r')
        return refuse(head, 400, "a line of the head must end with CR LF");
    line.n--;
    if (head->method.n > 0)
        return line.n > 0 ? read_field(head, bytes, line) : check_whole(head);
    if (line.n == 0 && line.p == bytes)
        return PARSE_MORE;
    return read_request_line(head, bytes, line);
}

static enum http_parse too_large(struct http_head *head)
{
    return head->method.n == 0 ? refuse(head, 414, "the request line is too long")
                               : refuse(head, 431, "the head is too large");
}

void http_head_init(struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, fields));
}

enum http_parse http_head_read(struct http_head *head, const char *bytes, size_t n)
{
    size_t most = n < HTTP_HEAD_BYTES ? n : HTTP_HEAD_BYTES;
    for (;;) {
        const char *end =
            head->seen < most ? memchr(bytes + head->seen, '\n', most - head->seen) : NULL;
        if (end == NULL)
            break;
        struct str line = {bytes + head->bytes, (size_t)(end - bytes) - head->bytes};
        head->bytes = head->seen = (size_t)(end + 1 - bytes);
        enum http_parse read = read_line(head, bytes, line);
        if (read != PARSE_MORE)
            return read;
    }
    head->seen = most;
    return most == HTTP_HEAD_BYTES ? too_large(head) : PARSE_MORE;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t http_unescape(char *text, size_t n)
{
    char *to = memchr(text, '%', n);
    const char *end = text + n;
    if (to == NULL)
        return n;
    for (const char *from = to; from < end;) {
        int high = end - from >= 3 && from[0] == '%' ? hex_digit(from[1]) : -1;
        int low = high >= 0 ? hex_digit(from[2]) : -1;
        if (low < 0) {
            *to++ = *from++;
        } else if (high + low == 0) { /* a NUL would cut the text for every reader behind us */
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
            from += 3;
        } else {
            *to++ = (char)(high << 4 | low);
            from += 3;
        }
    }
    return (size_t)(to - text);
}
