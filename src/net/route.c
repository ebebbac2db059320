/* route.c - a path against a list of patterns, segment by segment.
 *
 * The lists are short (tens of rows) and differ in their first bytes, so a walk over them costs
 * less than building anything clever. */
#include "net/route.h"

/* Take the next segment off `rest`; false at the end. "/a/b/" has the segments a and b. */
static bool segment_next(struct str *rest, struct str *ret_segment)
{
    if (rest->n == 0 || rest->p[0] != '/' || (rest->n == 1))
        return false;
    const char *start = rest->p + 1;
    size_t left = rest->n - 1;
    const char *slash = memchr(start, '/', left);
    size_t n = slash == NULL ? left : (size_t)(slash - start);
    *ret_segment = (struct str){start, n};
    *rest = (struct str){start + n, left - n};
    return true;
}

static bool is_param(struct str segment)
{
    return segment.n > 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}';
}

/* Most rows end here: another byte before the first parameter, and before either has ended. */
static bool differs_early(const char *pattern, struct str path)
{
    size_t i = 0;
    while (i < path.n && pattern[i] == path.p[i])
        i++;
    return i < path.n && pattern[i] != '\0' && pattern[i] != '{';
}

/* -1 = no match, else how many parameters it took. */
static int pattern_match(const char *text, struct str path)
{
    struct str wanted, found;
    int params = 0;

    if (path.n == 0 || path.p[0] != '/' || differs_early(text, path))
        return -1;
    struct str pattern = str_of(text);
    while (segment_next(&pattern, &wanted)) {
        if (!segment_next(&path, &found) || found.n == 0)
            return -1;
        if (is_param(wanted))
            params++;
        else if (!str_eq(wanted, found))
            return -1;
    }
    return segment_next(&path, &found) ? -1 : params;
}

static bool method_fits(const struct route *route, struct str method)
{
    return str_is(method, route->method) ||
           (str_is(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

const struct route *route_find(const struct route *routes, size_t count, struct str method,
                               struct str path, bool *ret_path_known)
{
    const struct route *best = NULL;
    bool known = false;

    for (size_t i = 0; i < count; i++) {
        int params = pattern_match(routes[i].pattern, path);
        if (params < 0)
            continue;
        known = true;
        if (!method_fits(&routes[i], method))
            continue;
        if (params == 0) {
            best = &routes[i];
            break;
        }
        if (best == NULL)
            best = &routes[i];
    }
    *ret_path_known = known;
    return best;
}

struct str route_param(const struct route *route, struct str path, const char *name)
{
    struct str pattern = str_of(route->pattern);
    struct str wanted, found;

    while (segment_next(&pattern, &wanted) && segment_next(&path, &found))
        if (is_param(wanted) && str_is((struct str){wanted.p + 1, wanted.n - 2}, name))
            return found;
    return (struct str){NULL, 0};
}
