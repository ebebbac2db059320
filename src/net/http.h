/* http.h - the HTTP/1.1 server: loops of our own over epoll (ADR 0012).
 *
 * A handler is called once per request, when its whole body is there, on one of a few network
 * threads. It answers with http_reply, now or later and from any thread: a request that is not
 * answered when the handler returns waits, which costs no thread. A handler must not block for
 * long: slow work goes to http_work.
 *
 * Refused before any handler (RFC 9112): whatever two servers could read differently (two lengths,
 * a length with Transfer-Encoding, another encoding than chunked, a bare LF, a header name that is
 * no token …), a body over its limit (413). A head may take 10 s, a body 30 s. At most 256
 * unfinished requests per address. Above `inflight_max` bytes of bodies: a short wait, unread, then
 * 503 with Retry-After.
 *
 * Depends on: base. Called by: collect, api, app. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "net/address.h"

#define HTTP_TRUSTED_MAX 64

struct http_server;
struct http_request;

typedef void http_handler(void *ctx, struct http_request *request);

struct http_options {
    const char *address; /* "127.0.0.1"; a number, IPv4 or IPv6 */
    int port;            /* 0 = any; http_port tells */
    int threads;         /* 0 = 2; at most 16 */
    size_t
        inflight_max; /* of bodies in memory, or what was made of them; 0 = LIMIT_INFLIGHT_BYTES */
    unsigned connections_max; /* 0 = 8,192; fewer when the system allows fewer open files */
    int64_t room_us_max;      /* a body may wait so long for room; 0 = 50 ms */
    int64_t header_us_max;    /* 0 = 10 s */
    int64_t body_us_max;      /* 0 = 30 s */
    int64_t idle_us_max;      /* a connection without a request; 0 = 60 s */
    int64_t send_us_max;      /* an answer of which nothing is taken; 0 = 30 s */
    /* Addresses and ranges ("10.0.0.0/8") of our own proxies: they may have more than 256
     * unfinished requests, and what they say of who called them is believed. NULL at the end; at
     * most HTTP_TRUSTED_MAX. NULL = none. */
    const char *const *trusted;
    /* The body limit of a request, decided on its head. */
    size_t (*body_limit)(void *ctx, struct http_request *request);
    /* Somebody is sent away for want of room (not for what they did). On any loop, so it must not
     * wait. NULL = nobody is told. */
    void (*no_room)(void *ctx);
    http_handler *handle;
    void *ctx;
    int workers;      /* threads of http_work; 0 = 2 */
    int long_workers; /* threads of http_work_long; 0 = 2 */
};

MUST_USE enum status http_start(const struct http_options *options, struct http_server **ret_server,
                                struct err *err);
int http_port(const struct http_server *server);
/* Stop accepting; requests begun are given `grace_us` to be answered, then all is closed and freed.
 * Jobs of http_work that run are waited for; those that are watched are told. A request that
 * somebody still holds afterwards may be given to http_set_header, http_reply and http_reply_error
 * (to no effect), and to nothing else. */
void http_stop(struct http_server *server, int64_t grace_us);

/* Borrowed until the reply. Names are compared without case. Absent = {NULL, 0}. */
struct str http_method(struct http_request *request);
struct str
http_path(struct http_request *request); /* percent-decoded once, no query; starts with '/' */
struct str http_header(struct http_request *request, const char *name);
struct str http_query(struct http_request *request, const char *name); /* decoded */
struct str http_body(struct http_request *request);
/* The body has been taken over: its memory is given back, http_body is empty from now on. Until the
 * answer it counts as `bytes` in flight: what was made of it. */
void http_body_drop(struct http_request *request, size_t bytes);
/* What was made of it has left the memory, too: it no longer counts. Any thread, before the answer.
 */
void http_body_forget(struct http_request *request);
struct str http_remote(struct http_request *request); /* address without port */
/* Who sent it: the address it came from, or what trusted proxies say in X-Forwarded-For, else in
 * Forwarded. False when a proxy does not tell. */
bool http_client_address(struct http_request *request, struct address *ret_address);
struct str http_bearer(struct http_request *request); /* of Authorization: Bearer */
/* Memory that lives as long as the request. Only the thread that handles it may use it. */
struct arena *http_arena(struct http_request *request);

/* Somebody must know of the answer before it leaves: `tell` is called once, with its code, by the
 * thread that answers. It may wait; it must not answer. `ctx` is also what http_told gives. */
typedef void http_tell(void *ctx, struct http_request *request, int code);
void http_before_answer(struct http_request *request, http_tell *tell, void *ctx);
void *http_told(struct http_request *request); /* NULL: nobody */

/* Before the reply: a response header. Values with control characters are dropped. */
void http_set_header(struct http_request *request, const char *name, struct str value);
/* Answer, once. `body` is copied. `type` e.g. "application/json". Consumes the request: do not
 * touch it afterwards. */
void http_reply(struct http_request *request, int code, const char *type, struct str body);
/* The same for a type and a body that live, unchanged, as long as the server: nothing is copied by
 * the thread that answers. */
void http_reply_fixed(struct http_request *request, int code, const char *type, struct str body);
/* problem+json (RFC 9457) from an error; adds Retry-After where the status may be retried. */
void http_reply_error(struct http_request *request, const struct err *err);

/* Run `work` on a worker thread; it must reply. ST_BUSY when too many wait. */
MUST_USE enum status http_work(struct http_request *request, http_handler *work, void *ctx,
                               struct err *err);

/* The same for what may take minutes: threads of its own, so that the short jobs never wait behind
 * it. Few may wait. */
MUST_USE enum status http_work_long(struct http_request *request, http_handler *work, void *ctx,
                                    struct err *err);

/* Is anybody still there to read the answer? A job is watched between begin and end; `over` becomes
 * true, within milliseconds, when the client has closed its side of the connection, or when
 * http_stop has waited long enough. The caller may set it too. A client that only shuts down its
 * writing side after asking looks the same; it is answered all the same, if the job does. Only for
 * jobs of http_work and http_work_long, one watch each; end comes before the reply. */
struct http_watch {
    bool over;     /* atomic */
    bool stopping; /* read it after the end: the server stops, its client may still be there */
    struct http_request *request; /* the rest is net's */
    struct http_watch *prev, *next;
};
void http_watch_begin(struct http_request *request, struct http_watch *watch);
void http_watch_end(struct http_watch *watch);

struct http_stats {
    uint64_t requests, refused, swept; /* refused: before any handler; swept: too slow */
    uint64_t connections, connections_max, inflight_bytes;
    uint64_t waiting_bytes; /* of bodies that wait for room, unread */
    uint64_t by_class[6];   /* [2] = answers 2xx, … */
};
void http_stats(struct http_server *server, struct http_stats *ret_stats);
#endif
