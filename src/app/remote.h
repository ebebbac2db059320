/* remote.h - the commands that ask a running server.
 * Depends on: net/client.h. Called by: main, run. */
#ifndef APP_REMOTE_H
#define APP_REMOTE_H

#include "app/options.h"
#include "net/client.h"

/* A client for --url and --key-file, or for the server that runs on --data. ST_BUSY when there is
 * none. */
MUST_USE enum status remote_open(const struct options *options, struct http_client **ret_client,
                                 struct err *err);
/* One request whose answer must be 2xx; problem+json becomes an error with the matching status. */
MUST_USE enum status remote_send(struct http_client *client, const char *method, const char *path,
                                 struct str body, struct buf *ret_body, struct err *err);

/* "?name=value" or "&name=value", encoded; nothing for an empty value. */
void remote_query(struct buf *path, const char *name, const char *value);

MUST_USE enum status remote_run(const struct options *options, struct err *err);

#endif
