/* route.h - one list of routes per face, from which dispatch, documents and permission tests are
 * made.
 *
 * A row of a routes.def is X(method, pattern, handler, scope, audit, body limit). A pattern is a
 * path whose segments may be {name}; a trailing slash is ignored. `scope` is an access_scope (0 =
 * open: health, collection which checks its keys itself). `audit` says what the audit log
 * keeps: NONE, READ (personal data is shown), WRITE. Depends on: base, net/http.h. Called by: api,
 * collect, app. */
#ifndef NET_ROUTE_H
#define NET_ROUTE_H

#include "net/http.h"

enum route_audit { AUDIT_NONE, AUDIT_READ, AUDIT_WRITE };

struct route {
    const char *method;
    const char *pattern;
    http_handler *handle; /* ctx is the module's own */
    unsigned scope;
    enum route_audit audit;
    size_t body_limit;
};

/* The row for a method and path; NULL if none. A row without {name} wins over one with, else the
 * first in the table. HEAD finds a GET row. *ret_path_known tells 405 from 404. */
const struct route *route_find(const struct route *routes, size_t count, struct str method,
                               struct str path, bool *ret_path_known);
/* The text of {name} in a path that matched `pattern`, percent-decoding already done; {NULL,0} if
 * absent. */
struct str route_param(const struct route *route, struct str path, const char *name);
#endif
