/* report_wait.h - what a person sees while a report takes long.
 * Depends on: options, remote, print. Called by: report_live. */
#ifndef APP_REPORT_WAIT_H
#define APP_REPORT_WAIT_H

#include "app/options.h"

struct report_wait;

/* Half a second from now, and until the end: a bar on stderr of the report that is asked with
 * run=`run`, by questions on a connection of its own. NULL when stderr is no terminal, or there is
 * no server. */
struct report_wait *report_wait_begin(const struct options *options, const char *run);
/* Takes the bar away. NULL is accepted. */
void report_wait_end(struct report_wait *wait);
#endif
