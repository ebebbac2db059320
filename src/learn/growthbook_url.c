/* growthbook_url.c - whether an experiment targets a page, and where a redirect leads.
 *
 * URLs are read as browsers do (WHATWG URL Standard), as far as http and https with ASCII hosts
 * need it: blanks around are cut, host in lower case, the usual port dropped, dot segments
 * resolved, unsafe characters percent-encoded. Anything else is no URL, and no target.
 *
 * A simple pattern has * as wildcard (kept as five underscores while it is parsed, since * may not
 * stand in a host); host, path, the pattern's query parameters and its fragment are compared each
 * by itself, ASCII case ignored. Comparing is one pass with one place to go back to, so no pattern
 * is slow. */
#include "learn/growthbook_int.h"

#define URL_BYTES_MAX 8192
#define WILDCARD "_____"

struct url {
    struct str scheme, host; /* host with its port */
    struct str path, query;  /* path from '/'; query from '?', or empty */
    struct str fragment;     /* from '#', or empty */
};

/* --- reading ---------------------------------------------------------------------------------- */

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static struct str upto(struct str *text, const char *ends)
{
    size_t n = 0;
    while (n < text->n && strchr(ends, text->p[n]) == NULL)
        n++;
    struct str part = {text->p, n};
    *text = (struct str){text->p + n, text->n - n};
    return part;
}

/* Without blanks and controls at both ends, and without tabs and line ends anywhere. */
static struct str cleaned(struct arena *arena, struct str text)
{
    while (text.n > 0 && (unsigned char)text.p[0] <= ' ')
        text.p++, text.n--;
    while (text.n > 0 && (unsigned char)text.p[text.n - 1] <= ' ')
        text.n--;
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '\t' && text.p[i] != '\n' && text.p[i] != '\r')
            out[n++] = text.p[i];
    return (struct str){out, n};
}

static struct str encoded(struct arena *arena, struct str text, const char *unsafe)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_alloc(arena, text.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c >= 0x7f || strchr(unsafe, c) != NULL) {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    return (struct str){out, n};
}

/* "." and "..", also as %2e: how many dots, 0 for any other segment. */
static int dots(struct str segment)
{
    int count = 0;
    for (size_t i = 0; i < segment.n; count++) {
        if (segment.p[i] == '.')
            i++;
        else if (segment.n - i >= 3 && segment.p[i] == '%' && segment.p[i + 1] == '2' &&
                 lower(segment.p[i + 2]) == 'e')
            i += 3;
        else
            return 0;
    }
    return count <= 2 ? count : 0;
}

/* From '/', dot segments resolved. */
static struct str resolved(struct arena *arena, struct str text)
{
    char *out = arena_alloc(arena, text.n + 2);
    size_t n = 0;
    if (text.n > 0 && is_slash(text.p[0]))
        text.p++, text.n--;
    for (;;) {
        struct str segment = upto(&text, "/\\");
        bool is_last = text.n == 0;
        int count = dots(segment);
        if (count == 2)
            while (n > 0 && out[--n] != '/')
                ;
        if (count == 0) {
            out[n++] = '/';
            memcpy(out + n, segment.p, segment.n);
            n += segment.n;
        } else if (is_last) {
            out[n++] = '/';
        }
        if (is_last)
            return encoded(arena, (struct str){out, n}, "\"#<>?`{}^");
        text.p++, text.n--;
    }
}

/* ":8080" behind the host; false when it is no port. Empty for the scheme's own. */
static bool port_read(struct str text, struct str scheme, struct str *ret_port)
{
    unsigned port = 0;
    size_t at = 1;
    while (at < text.n && text.p[at] == '0')
        at++;
    struct str digits = {text.p + at, text.n - at};
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9' || digits.n > 5)
            return false;
        port = port * 10 + (unsigned)(digits.p[i] - '0');
    }
    bool is_usual = text.n == 1 || port == (str_is(scheme, "https") ? 443 : 80);
    *ret_port = is_usual ? STR("") : text;
    return port <= 65535;
}

/* [user@]host[:port], which ends at a slash, ? or #. */
static bool authority_read(struct arena *arena, struct str text, struct url *url)
{
    struct str port = STR("");
    for (size_t i = text.n; i > 0; i--)
        if (text.p[i - 1] == '@') {
            text = (struct str){text.p + i, text.n - i};
            break;
        }
    bool is_ip6 = text.n > 0 && text.p[0] == '[';
    for (size_t i = text.n; i > 0 && text.p[i - 1] != ']'; i--)
        if (text.p[i - 1] == ':') {
            if (!port_read((struct str){text.p + i - 1, text.n - i + 1}, url->scheme, &port))
                return false;
            text.n = i - 1;
            break;
        }
    char *out = arena_alloc(arena, text.n + port.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("#/<>?@\\^|%", c) != NULL ||
            (!is_ip6 && strchr(":[]", c) != NULL))
            return false;
        out[i] = lower(text.p[i]);
    }
    memcpy(out + text.n, port.p, port.n);
    url->host = (struct str){out, text.n + port.n};
    return text.n > 0;
}

/* "http:" or "https:" at the start; false for another scheme. Nothing is taken when there is none.
 */
static bool scheme_read(struct str *text, struct str *ret_scheme)
{
    size_t n = 0;
    while (n < text->n && ((lower(text->p[n]) >= 'a' && lower(text->p[n]) <= 'z') ||
                           (n > 0 && ((text->p[n] >= '0' && text->p[n] <= '9') ||
                                      strchr("+-.", text->p[n]) != NULL))))
        n++;
    if (n == 0 || n == text->n || text->p[n] != ':')
        return true;
    struct str scheme = {text->p, n};
    *ret_scheme = str_eq_nocase(scheme, STR("https"))  ? STR("https")
                  : str_eq_nocase(scheme, STR("http")) ? STR("http")
                                                       : STR("");
    *text = (struct str){text->p + n + 1, text->n - n - 1};
    return ret_scheme->n > 0;
}

/* `base_host` (or NULL) stands in where the text has no host, with https. */
static bool url_read(struct growthbook_session *session, struct str text, const char *base_host,
                     struct url *url)
{
    if (text.n > URL_BYTES_MAX || !growthbook_spend(session, 16 + text.n))
        return false;
    text = cleaned(session->arena, text);
    *url = (struct url){.scheme = {"", 0}};
    if (!scheme_read(&text, &url->scheme))
        return false;
    bool is_absolute = url->scheme.n > 0;
    if (!is_absolute && base_host == NULL)
        return false;
    if (!is_absolute)
        url->scheme = STR("https");
    /* "https:/path" is relative to a base that is https too. */
    bool is_relative = !is_absolute || (base_host != NULL && str_is(url->scheme, "https"));
    if (!is_relative || (text.n >= 2 && is_slash(text.p[0]) && is_slash(text.p[1]))) {
        while (text.n > 0 && is_slash(text.p[0]))
            text.p++, text.n--;
        if (!authority_read(session->arena, upto(&text, "/\\?#"), url))
            return false;
    } else {
        url->host = str_of(base_host);
    }
    url->path = resolved(session->arena, upto(&text, "?#"));
    url->query = encoded(session->arena, upto(&text, "#"), "\"#<>'");
    url->fragment = encoded(session->arena, text, "\"<>`");
    if (url->query.n == 1)
        url->query.n = 0;
    if (url->fragment.n == 1)
        url->fragment.n = 0;
    return true;
}

bool growthbook_url_valid(struct growthbook_session *session, struct str url)
{
    struct url parsed;
    return url_read(session, url, NULL, &parsed);
}

/* --- query parameters ------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    c = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct str decoded(struct arena *arena, struct str text)
{
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        int high = -1, low = -1;
        if (text.p[i] == '%' && text.n - i >= 3) {
            high = hex_digit(text.p[i + 1]);
            low = hex_digit(text.p[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = text.p[i] == '+' ? ' ' : text.p[i];
        }
    }
    return (struct str){out, n};
}

struct parameter {
    struct str name, value;
};

/* The next "name=value" of a query that begins with '?' or '&'; false at its end. */
static bool parameter_next(struct arena *arena, struct str *query, struct parameter *ret_parameter)
{
    while (query->n > 0 && (query->p[0] == '?' || query->p[0] == '&')) {
        *query = (struct str){query->p + 1, query->n - 1};
        struct str value = upto(query, "&");
        if (value.n == 0)
            continue;
        struct str name = upto(&value, "=");
        if (value.n > 0)
            value = (struct str){value.p + 1, value.n - 1};
        ret_parameter->name = decoded(arena, name);
        ret_parameter->value = decoded(arena, value);
        return true;
    }
    return false;
}

static bool parameter_find(struct arena *arena, struct str query, struct str name,
                           struct str *ret_value)
{
    struct parameter parameter;
    while (parameter_next(arena, &query, &parameter))
        if (str_eq(parameter.name, name)) {
            *ret_value = parameter.value;
            return true;
        }
    return false;
}

/* application/x-www-form-urlencoded */
static void put_form(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool plain = (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
                     (c != '\0' && strchr("*-._", c) != NULL);
        if (plain)
            buf_char(out, c);
        else if (c == ' ')
            buf_char(out, '+');
        else
            buf_fmt(out, "%%%02X", (unsigned char)c);
    }
}

static void put_parameter(struct buf *out, struct parameter parameter)
{
    buf_char(out, out->n == 0 ? '?' : '&');
    put_form(out, parameter.name);
    buf_char(out, '=');
    put_form(out, parameter.value);
}

static struct str joined(struct arena *arena, const struct url *url)
{
    struct buf out;
    buf_init(&out, (size_t)16 * URL_BYTES_MAX);
    buf_str(&out, url->scheme);
    buf_text(&out, "://");
    buf_str(&out, url->host);
    buf_str(&out, url->path);
    buf_str(&out, url->query);
    buf_str(&out, url->fragment);
    struct str copy = arena_copy(arena, buf_view(&out));
    buf_done(&out);
    return copy;
}

struct str growthbook_url_merge(struct growthbook_session *session, struct str from,
                                struct str target)
{
    struct url current, next;
    struct parameter parameter;
    struct str found;
    struct buf query;
    bool is_changed = false;
    if (!url_read(session, from, NULL, &current) || !url_read(session, target, NULL, &next))
        return target;
    buf_init(&query, (size_t)8 * URL_BYTES_MAX);
    for (struct str rest = next.query; parameter_next(session->arena, &rest, &parameter);)
        put_parameter(&query, parameter);
    /* What was just added counts too: of equal names the first stays. */
    for (struct str rest = current.query; parameter_next(session->arena, &rest, &parameter);) {
        struct str have = query.n == 0 ? STR("") : buf_view(&query);
        if (!growthbook_spend(session, 1 + have.n) ||
            parameter_find(session->arena, have, parameter.name, &found))
            continue;
        put_parameter(&query, parameter);
        is_changed = true;
    }
    if (is_changed)
        next.query = arena_copy(session->arena, buf_view(&query));
    buf_done(&query);
    return joined(session->arena, &next);
}

/* --- targeting -------------------------------------------------------------------------------- */

/* The wildcard stands for any text; ASCII case ignored. */
static bool part_matches(struct str text, struct str pattern)
{
    const size_t wild = sizeof WILDCARD - 1;
    size_t t = 0, p = 0, back_t = 0, back_p = SIZE_MAX;
    while (t < text.n) {
        if (pattern.n - p >= wild && memcmp(pattern.p + p, WILDCARD, wild) == 0) {
            p += wild;
            back_p = p;
            back_t = t;
        } else if (p < pattern.n && lower(pattern.p[p]) == lower(text.p[t])) {
            p++, t++;
        } else if (back_p != SIZE_MAX) {
            p = back_p;
            t = ++back_t;
        } else {
            return false;
        }
    }
    while (pattern.n - p >= wild && memcmp(pattern.p + p, WILDCARD, wild) == 0)
        p += wild;
    return p == pattern.n;
}

static struct str without_first_slash(struct str path)
{
    bool has = path.n > 0 && path.p[0] == '/';
    return (struct str){path.p + has, path.n - has};
}

static struct str without_last_slash(struct str path)
{
    bool has = path.n > 0 && path.p[path.n - 1] == '/';
    return (struct str){path.p, path.n - has};
}

/* A slash at either end is of no account. */
static bool path_matches(struct str path, struct str pattern)
{
    struct str bare = without_first_slash(path);
    pattern = without_last_slash(without_first_slash(pattern));
    return part_matches(path, pattern) || part_matches(bare, pattern) ||
           part_matches(without_last_slash(path), pattern) ||
           part_matches(without_last_slash(bare), pattern);
}

/* The pattern as a URL that can be parsed. */
static struct str simple_pattern(struct arena *arena, struct str pattern)
{
    struct buf out;
    struct str rest = pattern, start = upto(&rest, ":/?");
    buf_init(&out, (size_t)8 * URL_BYTES_MAX);
    if (start.n > 0 && memchr(start.p, '.', start.n) != NULL)
        buf_text(&out, "https://");
    for (size_t i = 0; i < pattern.n; i++) {
        if (pattern.p[i] == '*')
            buf_text(&out, WILDCARD);
        else
            buf_char(&out, pattern.p[i]);
    }
    struct str copy = out.n == 0 ? STR("") : arena_copy(arena, buf_view(&out));
    buf_done(&out);
    return copy;
}

static bool simple_matches(struct growthbook_session *session, const struct url *actual,
                           struct str pattern)
{
    struct url expected;
    struct parameter parameter;
    if (pattern.n > URL_BYTES_MAX ||
        !url_read(session, simple_pattern(session->arena, pattern), WILDCARD, &expected))
        return false;
    if (!growthbook_spend(session, expected.path.n * actual->path.n / 16) ||
        !part_matches(actual->host, expected.host) || !path_matches(actual->path, expected.path))
        return false;
    if (expected.fragment.n > 0 && !part_matches(actual->fragment, expected.fragment))
        return false;
    for (struct str rest = expected.query; parameter_next(session->arena, &rest, &parameter);) {
        struct str value = STR("");
        if (!growthbook_spend(session, 1 + actual->query.n))
            return false;
        (void)parameter_find(session->arena, actual->query, parameter.name, &value);
        if (!part_matches(value, parameter.value))
            return false;
    }
    return true;
}

static bool regex_matches(struct growthbook_session *session, const struct url *actual,
                          struct str pattern)
{
    struct str whole = joined(session->arena, actual);
    size_t origin = actual->scheme.n + 3 + actual->host.n;
    struct str path = {whole.p + origin, whole.n - origin};
    return growthbook_regex(session, pattern, whole, false) == GROWTHBOOK_MATCH ||
           growthbook_regex(session, pattern, path, false) == GROWTHBOOK_MATCH;
}

bool growthbook_url_targeted(struct growthbook_session *session, struct str url,
                             yyjson_val *patterns)
{
    size_t i, count;
    yyjson_val *target;
    struct url actual;
    bool is_url = url_read(session, url, "_", &actual);
    bool has_include = false, is_included = false;
    if (yyjson_arr_size(patterns) == 0)
        return false;
    yyjson_arr_foreach(patterns, i, count, target)
    {
        struct str type = json_member_str(target, "type");
        struct str pattern = json_member_str(target, "pattern");
        bool matches =
            is_url && ((str_is(type, "simple") && simple_matches(session, &actual, pattern)) ||
                       (str_is(type, "regex") && regex_matches(session, &actual, pattern)));
        bool is_exclude = yyjson_is_false(yyjson_obj_get(target, "include"));
        if (is_exclude && matches)
            return false;
        has_include |= !is_exclude;
        is_included |= !is_exclude && matches;
    }
    return is_included || !has_include;
}
