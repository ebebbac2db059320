/* http_head.c - a request head is taken only if nobody could read it in two ways.
 *
 * libmicrohttpd 0.9.75 is lenient: it takes two Content-Length, Content-Length beside
 * Transfer-Encoding, "Content-Length :", bare LF, folded lines, NUL inside a line. Behind a proxy
 * that reads the same bytes otherwise, each of these smuggles a second request. So before anything
 * else happens we read the head again ourselves, strictly.
 *
 * Its parser works in place, and `method` points at the first byte of the head. What was (first
 * line) and is (second):
 *
 *     POST /a?x=1 HTTP/1.1\r\nHost: h\r\nX:\r\n\r\n
 *     POST 0 /a 0 … 0 HTTP/1.1 0 0 Host 0 ' ' h 0 0 X 0 0 0 0 0
 *
 * Separators became NUL, one for one: CRLF is two of them, a bare LF one. A folded line begins with
 * a blank where a name must begin; a NUL from outside leaves one too many. The walk below accepts
 * exactly the strict form and stays between `method` and the head's end whatever it meets. One form
 * cannot be told apart: NUL LF in place of CR LF. It ends the line for us as well, and no proxy
 * passes a NUL on.
 *
 * A chunked body is framed by MHD alone, leniently (bare LF, extensions). That is why a chunked
 * request is always the last one on its connection: what follows it is never read as a request. */
#include "net/http_int.h"

/* RFC 9110 §5.6.2 */
static bool is_token_char(unsigned char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr(others, c) != NULL);
}

static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_token_char((unsigned char)text.p[i]))
            return false;
    return text.n > 0;
}

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

/* Text up to the next NUL before `end`; false if there is none. */
static bool take_text(const char *from, const char *end, struct str *ret_text)
{
    const char *stop = from < end ? memchr(from, '\0', (size_t)(end - from)) : NULL;
    if (stop == NULL)
        return false;
    *ret_text = (struct str){from, (size_t)(stop - from)};
    return true;
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

/* "METHOD SP target SP HTTP/1.x CRLF", one blank each, the target a path. */
static int check_request_line(struct http_request *request, const char *method, const char *version,
                              const char *end, const char **ret_why)
{
    if (request->uri_broken || !take_text(method, end, &request->method) ||
        !is_token(request->method) || request->uri != method + request->method.n + 1 ||
        version != request->uri + request->uri_bytes + 1 || version + 10 > end ||
        version[8] != '\0' || version[9] != '\0') {
        *ret_why = "the request line is malformed";
        return 400;
    }
    if (memcmp(version, "HTTP/1.", 7) != 0 || (version[7] != '0' && version[7] != '1')) {
        *ret_why = "this server speaks HTTP/1.1";
        return 505;
    }
    if (request->uri_bytes > HTTP_URI_BYTES) {
        *ret_why = "the request target is too long";
        return 414;
    }
    if (request->uri[0] != '/') {
        *ret_why = "the request target must be a path";
        return 400;
    }
    return 0;
}

static int read_fields(struct http_request *request, const char *at, const char *end,
                       const char **ret_why)
{
    while (at + 2 != end || at[0] != '\0' || at[1] != '\0') {
        struct str name, value;
        if (!take_text(at, end, &name) || !is_token(name) ||
            !take_text(name.p + name.n + 1, end, &value) || has_control(value) ||
            end - (value.p + value.n) < 4 || value.p[value.n + 1] != '\0') {
            *ret_why = "a header line is malformed";
            return 400;
        }
        if (request->fields_count == HTTP_HEAD_FIELDS) {
            *ret_why = "too many header fields";
            return 431;
        }
        at = value.p + value.n + 2;
        request->fields[request->fields_count++] = (struct http_field){name, trim_blanks(value)};
    }
    return 0;
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

/* RFC 9112 §6: how long the body is must have one answer. */
static int check_framing(struct http_request *request, bool is_1_0, const char **ret_why)
{
    unsigned framings = 0, hosts = 0;
    bool unclear = false;

    for (unsigned i = 0; i < request->fields_count; i++) {
        struct str name = request->fields[i].name;
        struct str value = request->fields[i].value;
        if (name.n == 14 && str_eq_nocase(name, STR("Content-Length"))) {
            framings++;
            unclear |= !read_length(value, &request->body_length);
        } else if (name.n == 17 && str_eq_nocase(name, STR("Transfer-Encoding"))) {
            framings++;
            request->chunked = true;
            unclear |= is_1_0 || !str_eq_nocase(value, STR("chunked"));
        } else if (name.n == 4 && str_eq_nocase(name, STR("Host"))) {
            hosts++;
        }
    }
    if (framings > 1 || unclear) {
        *ret_why = "the length of the body is ambiguous";
        return 400;
    }
    if (hosts > 1 || (hosts == 0 && !is_1_0)) {
        *ret_why = "exactly one Host is needed";
        return 400;
    }
    return 0;
}

void http_head_uri(struct http_request *request, const char *uri)
{
    struct str text = str_of(uri);
    request->uri = uri;
    request->uri_bytes = text.n;
    request->uri_broken = has_control(text) || memchr(text.p, ' ', text.n) != NULL ||
                          memchr(text.p, '\t', text.n) != NULL;
}

int http_head_check(struct http_request *request, const char *method, const char *version,
                    size_t head_bytes, const char **ret_why)
{
    const char *end = method + head_bytes;

    if (head_bytes > HTTP_HEAD_BYTES) {
        *ret_why = "the head is too large";
        return 431;
    }
    int code = check_request_line(request, method, version, end, ret_why);
    if (code == 0)
        code = read_fields(request, version + 10, end, ret_why);
    if (code == 0)
        code = check_framing(request, version[7] == '0', ret_why);
    return code;
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

size_t http_unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0';) {
        int high = from[0] == '%' ? hex_digit(from[1]) : -1;
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
    *to = '\0';
    return (size_t)(to - text);
}
