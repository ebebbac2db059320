/* page.h - for the folder alone: the answers that are no events (page.c). */
#ifndef COLLECT_PAGE_H
#define COLLECT_PAGE_H

#include "base/buf.h"
#include "net/http.h"

extern const struct str collect_gif; /* 1 × 1, transparent */

/* The headers that let another origin read this answer; also on errors. */
void collect_cors(struct http_request *request);

http_handler collect_preflight, collect_discard, collect_get_sensors_config;

void collect_page_settings(struct buf *out, struct str key, struct str host);
void collect_page_source_config(struct buf *out, struct str key, struct str name);
/* The item that a pixel's query stands for; false when it cannot be decoded. */
bool collect_page_pixel(struct http_request *request, struct arena *arena, struct buf *out);
#endif
