/* http_int.h - what the files of the server share, and who may touch which field.
 *
 * Two kinds of threads meet here. A loop (http_loop.c) owns its connections and drives each of
 * their requests. A replier (any thread) owns a request from the moment it was handed over until
 * http_reply; then it lays it into the loop's mail.
 *
 * A connection is always in one phase, and a phase is a list of its loop (below). A request that
 * was handed over has a state besides; every arrow is one compare-and-swap, so that one of two
 * racing threads wins:
 *
 *   HANDLING -> REPLIED    the handler, or a faster thread, answered before it returned
 *   HANDLING -> WAITING    it returned without an answer
 *   WAITING -> REPLIED     the replier lays it into the mail of its loop
 *   WAITING -> ABANDONED   http_stop lost patience: the connection closes, and the late replier
 *                          frees the object */
#ifndef NET_HTTP_INT_H
#define NET_HTTP_INT_H

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/map.h"
#include "net/http.h"
#include "net/http_parse_int.h"

#define HTTP_WORK_QUEUE 256 /* jobs that may wait for a worker; then ST_BUSY */
#define HTTP_LOOPS 16       /* network threads, at most */

/* One remote address (IPv6: its /64, the smallest thing that a provider hands out). */
struct http_peer {
    struct hash128 key;
    unsigned connections; /* under server->mutex; the last one frees the peer */
    int unfinished;       /* atomic */
};

/* What a connection does: the list of its loop that it is in. Each list has one time limit, so it
 * is in the order in which the times end. */
enum http_phase {
    PHASE_IDLE,   /* no request has begun */
    PHASE_HEAD,   /* a part of a head is there */
    PHASE_BODY,   /* the head is there, a part of the body is not */
    PHASE_HURRY,  /* one of both, of an address over its limit */
    PHASE_ROOM,   /* the head is there, the body waits unread */
    PHASE_BUSY,   /* handed over; no limit */
    PHASE_SEND,   /* the answer waits for its reader */
    PHASE_LINGER, /* refused or closing: what still comes is dropped */
    PHASE_CLOSED, /* freed at the end of the loop's turn */
    HTTP_PHASES
};

struct http_connection {                 /* its loop's alone */
    struct http_connection *prev, *next; /* of its phase */
    struct http_connection *again_next;  /* of those that wait for a turn of their own */
    enum http_phase phase;
    int64_t until_us; /* when its phase is over */
    struct http_loop *loop;
    struct http_peer *peer;
    struct http_request *request; /* or NULL */
    int fd;
    bool readable;   /* something came that is not read */
    bool ended;      /* the peer says no more; under server->mutex */
    bool trusted;    /* one of our proxies */
    bool counted;    /* one unfinished request of this connection is in peer->unfinished */
    bool again;      /* it is among those */
    struct buf kept; /* what came behind the request that is handled */
    struct address address;
    char remote[ADDRESS_TEXT_BYTES];
};

enum http_state { STATE_READING, STATE_HANDLING, STATE_WAITING, STATE_REPLIED, STATE_ABANDONED };

struct http_extra {
    struct http_extra *next;
    char *name, *value;
};

struct http_request {
    /* What stays when the object is used again: */
    struct http_server *server;
    struct http_loop *loop;
    struct http_request *free_next;
    struct arena arena;
    struct buf raw; /* the head, and what came with it */
    struct buf body;
    struct buf out; /* the answer: room for the beginning of its head, the rest of that, the body */
    /* The loop's: */
    struct http_connection *connection;
    int state;         /* atomic: enum http_state */
    bool begun;        /* its head was complete: it is counted */
    bool close;        /* no further request on this connection */
    bool linger;       /* and the peer may still send: it must not see a reset */
    bool hurry;        /* PHASE_HURRY instead of PHASE_BODY */
    int refusal;       /* not 0: read the body, keep nothing, then answer this code */
    size_t raw_used;   /* of raw: the head, then what the body took */
    size_t path_bytes; /* decoded, in place */
    size_t body_max;
    uint64_t body_read; /* of the Content-Length */
    struct http_chunks chunks;
    size_t charged; /* in server->inflight; atomic once it is handled */
    bool in_line;   /* it waits for room; with its neighbours under room_mutex */
    struct http_request *room_prev, *room_next;
    /* The handler's and the replier's: */
    struct http_watch *watch; /* under server->mutex */
    http_tell *tell;          /* or NULL; called before the answer is handed over */
    void *tell_ctx;
    struct http_extra *extras; /* in the arena */
    int code;
    const char *fixed_type; /* with fixed_body, of http_reply_fixed: written by the loop */
    struct str fixed_body;
    size_t out_head; /* where the body begins in `out` */
    size_t out_sent; /* all before it is sent */
    struct http_request *mail_next;
    struct http_head head; /* cleared by itself: most of its fields need not be */
};

struct http_job {
    struct http_request *request;
    http_handler *work;
    void *ctx;
};

struct http_pool {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct http_job queue[HTTP_WORK_QUEUE];
    unsigned head, count, count_max;
    bool stopping;
    int threads_count;
    pthread_t *threads;
};

struct http_list {
    struct http_connection *first, *last;
    int64_t limit_us;
};

/* Counted by one thread, read by any. */
struct http_counts {
    uint64_t requests, refused, swept, by_class[6];
    int64_t unfinished; /* requests whose head was read and whose answer is not sent */
};

struct http_loop {
    struct http_server *server;
    int poller;
    int wake; /* an eventfd that is never read: each write is told */
    pthread_t thread;
    bool started;
    bool deaf; /* it does not listen until deaf_until_us: too many connections, or no descriptor */
    int64_t deaf_until_us;
    int64_t now_us; /* of this turn */
    struct http_list phases[HTTP_PHASES];
    struct http_connection *again, **again_tail; /* each gets a turn of its own, in order */
    struct http_request *requests_free;
    unsigned requests_free_count;
    int64_t date_s; /* of `date`: "Date: …\r\n" */
    unsigned date_bytes;
    char date[96];
    struct epoll_event events[256];
    char piece[16 << 10]; /* of a chunked body as it came, or of what is dropped */
    struct http_counts counts;
    /* From other threads, atomic: */
    struct http_request *mail __attribute__((aligned(64))); /* stacks that are only taken whole */
    struct http_connection *arrived;
    bool asleep;
    int posting; /* threads between laying mail down and waking: the loop must not end */
    unsigned connections;
};

struct http_server {
    struct http_options options;
    int listen_fd;
    int port;
    unsigned connections_max;
    struct address_range trusted[HTTP_TRUSTED_MAX];
    size_t trusted_count;
    bool stopping;        /* atomic: no new requests */
    bool closing;         /* atomic: whoever is handed over now is refused */
    bool ending;          /* atomic: the loops end */
    unsigned connections; /* atomic */
    struct http_loop *loops[HTTP_LOOPS];
    int loops_count;

    pthread_mutex_t mutex; /* peers, watches */
    struct map peers;
    struct hash_key peers_key;
    struct http_watch *watches;

    uint64_t inflight;          /* atomic: bytes of bodies let in, of requests not yet answered */
    pthread_mutex_t room_mutex; /* the line of http_room.c */
    struct http_request *room_first, *room_last;
    uint64_t room_bytes; /* atomic: of the bodies in the line */
    bool room_closed;

    struct http_pool work, long_work;
};

/* By the loop alone, seen by any. */
#define HTTP_COUNT(field, by) __atomic_store_n(&(field), (field) + (by), __ATOMIC_RELAXED)

/* http_loop.c. All are made, and stand in the server, before the first one runs. */
MUST_USE enum status http_loop_make(struct http_server *server, struct err *err);
MUST_USE enum status http_loop_start(struct http_loop *loop, struct err *err);
void http_loop_wake(struct http_loop *loop);
/* Any thread: the loop takes the request up again, answered or let in. */
void http_loop_post(struct http_request *request);
/* After all of them have ended. */
void http_loop_free(struct http_loop *loop);
/* Into a list, at its end, with its time from now. */
void http_phase_enter(struct http_connection *connection, enum http_phase phase);

/* http_connection.c: bytes in and out. */
struct http_connection *http_connection_open(struct http_loop *loop, int fd,
                                             const struct sockaddr *address);
void http_connection_close(struct http_connection *connection);
/* Read as long as something is there and a request may be read. */
void http_connection_read(struct http_connection *connection);
/* The same, but what has a large body waits for a turn of its own. */
void http_connection_event(struct http_connection *connection);
/* Send what is left of the answer; when all is sent the next request may be read. */
void http_connection_send(struct http_connection *connection);
/* It lingers. */
void http_connection_drop_input(struct http_connection *connection);

/* http_peer.c. Count the connection's request; false when its address has too many unfinished. */
void http_peer_enter(struct http_connection *connection);
void http_peer_leave(struct http_connection *connection);
bool http_peer_count(struct http_connection *connection);
void http_peer_uncount(struct http_connection *connection);

/* http_serve.c: what happens to a request, by the loop. */
void http_serve_begin(struct http_request *request);
/* So many more bytes of a body of known length were read, into `body` unless it is refused. */
void http_serve_body(struct http_request *request, size_t n);
void http_serve_chunks(struct http_request *request, struct str bytes);
/* Out of the line, with or without room. */
void http_serve_admitted(struct http_request *request);
/* The replier is done. */
void http_serve_answered(struct http_request *request);
/* http_stop: false when it is answered, and its mail is on the way. */
bool http_serve_abandon(struct http_request *request);

/* http_request.c */
struct http_request *http_request_take(struct http_connection *connection);
void http_request_give(struct http_request *request);
void http_request_free(struct http_request *request);
struct str http_request_field(const struct http_request *request, unsigned i, struct str *ret_name);

/* http_answer.c: all but the beginning of the head; then that, by the loop. */
void http_answer_write(struct http_request *request, const char *type, struct str body);
void http_answer_problem(struct http_request *request, int code, const char *detail,
                         const char *hint, bool retry);
void http_answer_begin(struct http_request *request);

/* http_watch.c: the client has left; the server has waited long enough. */
void http_watch_left(struct http_connection *connection);
void http_watch_stop(struct http_server *server);

/* http_client_address.c */
bool http_is_trusted(const struct http_server *server, const struct address *address);

/* http_room.c. When the head is good; ROOM_WAIT: it stands in the line, and comes back as mail. */
enum http_room { ROOM_IN, ROOM_WAIT, ROOM_NONE };
enum http_room http_room_ask(struct http_request *request);
/* The body is larger than was thought; false = there is no room for it. */
bool http_room_add(struct http_request *request, size_t bytes);
/* So much of it is in flight from now on (0: nothing): the next ones are let in. */
void http_room_set(struct http_request *request, size_t bytes);
/* Its time is up; false when somebody has let it in just now. */
bool http_room_leave(struct http_request *request);
/* Refuse all that wait, and let nobody wait any more. */
void http_room_close(struct http_server *server);

/* http_work.c */
MUST_USE enum status http_pool_start(struct http_pool *pool, int threads, unsigned queue_max,
                                     struct err *err);
/* Jobs that run are waited for; jobs that wait are answered 503, and so is who comes later. */
void http_pool_stop(struct http_pool *pool);
void http_pool_free(struct http_pool *pool);

#endif
