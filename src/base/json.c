/* json.c - yyjson behind a depth limit; a writer that cannot forget to escape. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"

void json_pool_init(struct json_pool *pool)
{
    *pool = (struct json_pool){0};
}

void json_pool_done(struct json_pool *pool)
{
    free(pool->bytes);
    *pool = (struct json_pool){0};
}

#define EIGHT UINT64_C(0x0101010101010101)

static inline uint64_t eight_load(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The high bit of a byte is set where it is below `than` (at most 0x80). Behind the first such byte
 * there may be more; none at all is exact. */
static inline uint64_t eight_below(uint64_t v, unsigned char than)
{
    return (v - EIGHT * than) & ~v & (EIGHT << 7);
}

/* Is one of them a quote or a backslash? */
static inline bool eight_quoting(uint64_t v)
{
    return (eight_below(v ^ EIGHT * '"', 1) | eight_below(v ^ EIGHT * '\\', 1)) != 0;
}

/* Only a container looks which ones have ended before it. */
static bool values_depth_allowed(yyjson_val *value, size_t count)
{
    const yyjson_val *ends[JSON_DEPTH_MAX]; /* of the containers that are open */
    size_t depth = 0;
    for (; count > 0; value++, count--) {
        if (!unsafe_yyjson_is_ctn(value))
            continue;
        while (depth > 0 && value >= ends[depth - 1])
            depth--;
        if (depth == JSON_DEPTH_MAX)
            return false;
        ends[depth++] = unsafe_yyjson_get_next(value);
    }
    return true;
}

bool json_depth_allowed(const yyjson_doc *doc)
{
    return doc->val_read <= JSON_DEPTH_MAX || values_depth_allowed(doc->root, doc->val_read);
}

/* More than one byte in 16 opens something: no event is written so. Counted in small sums, which
 * the processor does many at a time. */
static bool is_mostly_brackets(struct str text)
{
    size_t opens = 0;
    for (size_t from = 0; from < text.n;) {
        size_t to = text.n - from < 255 ? text.n : from + 255;
        uint8_t sum = 0;
        for (; from < to; from++)
            sum = (uint8_t)(sum + (text.p[from] == '[') + (text.p[from] == '{'));
        opens += sum;
    }
    return opens > JSON_DEPTH_MAX && opens > text.n / 16;
}

/* The same of a text that is no JSON, so that "[[[[…" is refused for what it is. Brackets inside
 * texts do not count. */
static bool text_depth_allowed(struct str text)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
            return false;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
    }
    return true;
}

static yyjson_alc *pool_ready(struct json_pool *pool, size_t text_n)
{
    size_t need = yyjson_read_max_memory_usage(text_n, 0);
    if (pool->size < need) {
        free(pool->bytes);
        pool->size = need + need / 2;
        pool->bytes = mem_alloc(pool->size);
    }
    CHECK(yyjson_alc_pool_init(&pool->alc, pool->bytes, pool->size));
    return &pool->alc;
}

static enum status too_deep(struct err *err)
{
    return err_set(err, ST_TOO_LARGE, "the JSON is nested deeper than %d", JSON_DEPTH_MAX);
}

/* yyjson takes any depth, and without recursion; our own walks must not. So the depth is looked at
 * in the values, of which there are far fewer than bytes. But a text of brackets alone would take
 * 24 bytes for each of its own until then (16 for a value, grown by half), so it is looked at
 * first. */
static enum status parse(yyjson_alc *alc, yyjson_read_flag flags, struct str text,
                         yyjson_doc **ret_doc, struct err *err)
{
    if (text.n == 0)
        return err_set(err, ST_INVALID, "the JSON text is empty");
    if (is_mostly_brackets(text) && !text_depth_allowed(text))
        return too_deep(err);
    yyjson_read_err bad;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.p, text.n, flags, alc, &bad);
    if (doc == NULL)
        return text_depth_allowed(text)
                   ? err_set(err, ST_INVALID, "invalid JSON at byte %zu: %s", bad.pos, bad.msg)
                   : too_deep(err);
    if (!json_depth_allowed(doc)) {
        yyjson_doc_free(doc);
        return too_deep(err);
    }
    *ret_doc = doc;
    return ST_OK;
}

enum status json_parse(struct json_pool *pool, struct str text, yyjson_doc **ret_doc,
                       struct err *err)
{
    yyjson_alc *alc = pool == NULL ? NULL : pool_ready(pool, text.n);
    return parse(alc, YYJSON_READ_NOFLAG, text, ret_doc, err);
}

enum status json_parse_exact(struct str text, yyjson_doc **ret_doc, struct err *err)
{
    return parse(NULL, YYJSON_READ_NUMBER_AS_RAW, text, ret_doc, err);
}

void json_write(struct buf *buf, yyjson_val *value)
{
    size_t n = 0;
    char *text = yyjson_val_write(value, YYJSON_WRITE_NOFLAG, &n);
    if (text == NULL)
        fatal("out of memory while writing JSON");
    buf_put(buf, text, n);
    free(text);
}

static inline bool eight_escaped(uint64_t v)
{
    return eight_quoting(v) || eight_below(v, 0x20) != 0;
}

void json_put_str(struct buf *buf, struct str text)
{
    static const char hex[] = "0123456789abcdef";
    buf_char(buf, '"');
    size_t from = 0;
    for (size_t i = 0; i < text.n; i++) {
        while (text.n - i > 8 && !eight_escaped(eight_load(text.p + i)))
            i += 8;
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_put(buf, text.p + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\') {
            buf_char(buf, '\\');
            buf_char(buf, (char)c);
        } else if (c == '\n') {
            buf_text(buf, "\\n");
        } else {
            buf_text(buf, "\\u00");
            buf_char(buf, hex[c >> 4]);
            buf_char(buf, hex[c & 15]);
        }
    }
    buf_put(buf, text.p + from, text.n - from);
    buf_char(buf, '"');
}

void json_put_lossy(struct buf *buf, struct str bytes)
{
    struct buf text;
    buf_init(&text, bytes.n * 3);
    while (bytes.n > 0) {
        size_t good = str_utf8(bytes), bad = good < bytes.n;
        buf_put(&text, bytes.p, good);
        if (bad)
            buf_text(&text, "\xef\xbf\xbd");
        bytes = (struct str){bytes.p + good + bad, bytes.n - good - bad};
    }
    json_put_str(buf, buf_view(&text));
    buf_done(&text);
}

void json_put_comma(struct buf *buf)
{
    if (buf->n > 0 && buf->p[buf->n - 1] != '{' && buf->p[buf->n - 1] != '[')
        buf_char(buf, ',');
}

void json_put_name(struct buf *buf, const char *name)
{
    json_put_comma(buf);
    json_put_str(buf, str_of(name));
    buf_char(buf, ':');
}

void json_put_member_str(struct buf *buf, const char *name, struct str text)
{
    json_put_name(buf, name);
    json_put_str(buf, text);
}

void json_put_member_int(struct buf *buf, const char *name, int64_t v)
{
    json_put_name(buf, name);
    if (v < 0)
        buf_char(buf, '-');
    buf_decimal(buf, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void json_put_member_uint(struct buf *buf, const char *name, uint64_t v)
{
    json_put_name(buf, name);
    buf_decimal(buf, v);
}

void json_put_number(struct buf *buf, double v)
{
    char text[32];
    if (!isfinite(v)) {
        buf_text(buf, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) /* bits, not nearness: what is read back must be the same */
            break;
    }
    buf_text(buf, text);
}

void json_put_member_number(struct buf *buf, const char *name, double v)
{
    json_put_name(buf, name);
    json_put_number(buf, v);
}

void json_put_member_bool(struct buf *buf, const char *name, bool v)
{
    json_put_name(buf, name);
    buf_text(buf, v ? "true" : "false");
}

void json_put_member_raw(struct buf *buf, const char *name, struct str json)
{
    json_put_name(buf, name);
    buf_str(buf, json);
}
