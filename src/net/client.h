/* client.h - HTTP from our side: libcurl behind one header, for the command line and tests.
 * Depends on: base, libcurl. Called by: app, import. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H

#include "base/buf.h"
#include "base/status.h"

struct http_client;

/* `base_url` like "http://127.0.0.1:8080"; `bearer` may be NULL. Keeps its connection. Not for two
 * threads at once. */
struct http_client *http_client_new(const char *base_url, const char *bearer);
void http_client_free(struct http_client *client);
/* How long an answer may take from now on, instead of 120 s. */
void http_client_wait(struct http_client *client, int64_t answer_ms);
/* One request. `body` may be empty (then no body is sent); `type` its media type. The answer's body
 * goes to `ret_body` (reset first; its max is the limit). ST_BUSY when the server cannot be
 * reached, ST_TIMEOUT when it does not answer in time, ST_TOO_LARGE when its answer passes the
 * limit. *ret_code is the HTTP code. */
MUST_USE enum status http_client_send(struct http_client *client, const char *method,
                                      const char *path, const char *type, struct str body,
                                      int *ret_code, struct buf *ret_body, struct err *err);
#endif
