/* serve.h - the platform on one data directory: core, doors, network.
 * Depends on: core, collect, api, net. Called by: main, run. */
#ifndef APP_SERVE_H
#define APP_SERVE_H

#include "app/core.h"

struct server;

/* Open the directory and listen. The address is written to DATA/listen, for the command line. */
MUST_USE enum status server_start(const struct options *options, struct server **ret_server,
                                  struct err *err);
/* "http://127.0.0.1:8080" */
const char *server_url(const struct server *server);
/* True when the directory had no record before this start. */
bool server_is_empty(const struct server *server);
/* Answer what is under way, flush, close. */
void server_stop(struct server *server);

/* Start, say where, wait for SIGINT or SIGTERM, stop. */
MUST_USE enum status serve(const struct options *options, struct err *err);
/* Block until SIGINT or SIGTERM, which must be blocked in all threads (signals_block). */
void signals_block(void);
void signals_wait(void);
#endif
