/* http_answer.c - an answer as one piece of memory: head and body.
 *
 * The replier writes what it alone knows: the type, its headers, the length, the body. Before that
 * room is left for what only the loop knows when it sends: the status line, the date, and whether
 * the connection stays. So whatever the answer, it is sent by one call, and who answers copies the
 * body once. */
#include "net/http_int.h"

#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"

#define BEGIN_BYTES 160 /* the longest: a status line, a date, a word about the connection */

/* RFC 9110 §15, and 431, 507 of their own. */
static const char *reason_of(int code)
{
    static const struct {
        int code;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].code == code)
            return reasons[i].reason;
    return "Unknown";
}

static bool has_body(int code)
{
    return code >= 200 && code != 204 && code != 304;
}

static void put_header(struct buf *out, const char *name, struct str value)
{
    buf_text(out, name);
    buf_put(out, ": ", 2);
    buf_str(out, value);
    buf_put(out, "\r\n", 2);
}

void http_answer_write(struct http_request *request, const char *type, struct str body)
{
    struct buf *out = &request->out;
    if (!has_body(request->code))
        body = STR("");
    CHECK(out->n == 0);
    (void)buf_room(out, BEGIN_BYTES + 255 + body.n); /* at once, for all that follows */
    out->n = BEGIN_BYTES;
    if (type != NULL)
        put_header(out, "Content-Type", str_of(type));
    for (const struct http_extra *extra = request->extras; extra != NULL; extra = extra->next)
        put_header(out, extra->name, str_of(extra->value));
    if (has_body(request->code)) {
        buf_text(out, "Content-Length: ");
        buf_decimal(out, body.n);
        buf_put(out, "\r\n", 2);
    }
    buf_put(out, "\r\n", 2);
    request->out_head = out->n;
    buf_str(out, body);
}

/* IMF-fixdate, once a second. */
static struct str date_line(struct http_loop *loop)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct clock clock;
    clock_init_system(&clock);
    int64_t now = clock_now_us(&clock) / US_PER_S;
    if (now != loop->date_s) {
        time_t time = (time_t)now;
        struct tm tm;
        gmtime_r(&time, &tm);
        loop->date_s = now;
        loop->date_bytes = (unsigned)snprintf(loop->date, sizeof loop->date,
                                              "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                                              days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                                              tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    }
    return (struct str){loop->date, loop->date_bytes};
}

static char *append(char *to, struct str text)
{
    memcpy(to, text.p, text.n);
    return to + text.n;
}

void http_answer_begin(struct http_request *request)
{
    char begin[BEGIN_BYTES], *end = append(begin, STR("HTTP/1.1 "));
    int code = request->code;
    CHECK(code >= 200 && code <= 999);
    *end++ = (char)('0' + code / 100);
    *end++ = (char)('0' + code / 10 % 10);
    *end++ = (char)('0' + code % 10);
    *end++ = ' ';
    end = append(end, str_of(reason_of(code)));
    end = append(end, STR("\r\n"));
    end = append(end, date_line(request->loop));
    if (request->close)
        end = append(end, STR("Connection: close\r\n"));
    else if (request->head.is_1_0)
        end = append(end, STR("Connection: keep-alive\r\n"));
    size_t n = (size_t)(end - begin);
    request->out_sent = BEGIN_BYTES - n;
    memcpy(request->out.p + request->out_sent, begin, n);
    if (str_is(http_method(request), "HEAD"))
        request->out.n = request->out_head;
}

void http_answer_problem(struct http_request *request, int code, const char *detail,
                         const char *hint, bool retry)
{
    struct buf json;
    buf_init(&json, 8 << 10);
    buf_text(&json, "{\"type\":\"about:blank\"");
    json_put_member_str(&json, "title", str_of(reason_of(code)));
    json_put_member_int(&json, "status", code);
    json_put_member_str(&json, "detail", str_of(detail));
    if (hint[0] != '\0')
        json_put_member_str(&json, "hint", str_of(hint));
    buf_char(&json, '}');
    CHECK(!json.overflow); /* detail and hint are bounded by struct err */

    request->code = code;
    if (retry)
        http_set_header(request, "Retry-After", STR("1"));
    http_answer_write(request, "application/problem+json", buf_view(&json));
    buf_done(&json);
}
