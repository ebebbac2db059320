/* http_int.h - what the files of the server share, and who may touch which field.
 *
 * Three kinds of threads meet here. A network thread (MHD's) owns its connections and drives each
 * of their requests. A replier (any thread) owns a suspended request from the moment it was handed
 * over until http_reply. The sweeper reads of a connection only the fields marked "sweeper reads",
 * which are atomic.
 *
 * A request goes through these states; every arrow is one compare-and-swap, so that one of two
 * racing threads wins:
 *
 *   READING -> HANDLING    all is read; the handler is called
 *   HANDLING -> REPLIED    the handler, or a faster thread, answered before it returned
 *   HANDLING -> WAITING    it returned without an answer; the connection is suspended
 *   WAITING -> REPLIED     the replier lays it down for its network thread, which resumes it
 *   WAITING -> ABANDONED   http_stop lost patience: the connection closes, and whoever lets go last
 *                          (network thread or late replier) frees the object */
#ifndef NET_HTTP_INT_H
#define NET_HTTP_INT_H

#include <microhttpd.h>
#include <pthread.h>

#include "base/buf.h"
#include "base/map.h"
#include "net/http.h"

#if MHD_VERSION >= 0x01000000
#error "http_head.c reads the head as libmicrohttpd 0.9 leaves it in memory; 1.x does otherwise"
#endif

#define HTTP_HEAD_BYTES ((size_t)16 << 10) /* cookies included; browsers stay under 8 KB */
#define HTTP_URI_BYTES ((size_t)8 << 10)   /* a pixel GET carries its event in the query */
#define HTTP_HEAD_FIELDS 100               /* real clients send up to 30 */
#define HTTP_POOL_BYTES                                                                            \
    ((size_t)24 << 10) /* a full head, MHD's notes on 100 fields, our answer's head */
#define HTTP_KEEP_BYTES                                                                            \
    ((size_t)64 << 10) /* memory that a resting request object may keep for the next one */
/* A refused body up to this size is read and dropped so that the connection stays good: under
 * overload the sender comes back in a second, and a new connection costs more than the bytes. */
#define HTTP_DROP_BYTES ((uint64_t)64 << 10)
#define HTTP_IDLE_S 60u /* keep-alive without a request */
#define HTTP_HEAD_US (INT64_C(10) * 1000000)
#define HTTP_BODY_US (INT64_C(30) * 1000000)
#define HTTP_CONNECTIONS 8192u
#define HTTP_PEER_REQUESTS 256      /* unfinished requests of one address */
#define HTTP_WORK_QUEUE 256         /* jobs that may wait for a worker; then ST_BUSY */
#define HTTP_LONG_QUEUE 32          /* the same of http_work_long: each may take minutes */
#define HTTP_WATCHES 64             /* as many jobs as may run: one watch each */
#define HTTP_ROOM_US INT64_C(50000) /* so long a body waits for room before it is refused */
#define HTTP_LINGER_SLOTS 64        /* refused senders that are listened to at the same time */
#define HTTP_LINGER_US (INT64_C(2) * 1000000)
#define HTTP_FIXED 16 /* answers that are made once; the modules have a handful */
#define HTTP_FILES_RESERVED                                                                        \
    256u /* descriptors that are not connections: journal, databases, MHD's own */

/* One remote address (IPv6: its /64, the smallest thing that a provider hands out). */
struct http_peer {
    struct hash128 key;
    unsigned connections; /* under server->mutex; the last one frees the peer */
    int unfinished;       /* atomic */
};

enum http_phase { PHASE_IDLE, PHASE_BODY, PHASE_BUSY };

struct http_connection {
    struct http_connection *prev, *next; /* under server->mutex */
    struct http_peer *peer;
    int fd;
    char remote[ADDRESS_TEXT_BYTES];
    struct address address;
    bool trusted;     /* one of our proxies */
    int phase;        /* sweeper reads: enum http_phase */
    int64_t since_us; /* sweeper reads: when PHASE_BODY began */
    unsigned served;  /* sweeper reads: requests completed */
    bool counted;     /* atomic: one unfinished request of this connection is in peer->unfinished */
    bool linger;      /* network thread: refused with input unread, see http_sweep.c */
    /* The sweeper's own. */
    uint64_t bytes_seen;
    unsigned served_seen;
    int64_t head_since_us; /* 0 = no request has begun */
    bool swept;
};

enum http_state { STATE_READING, STATE_HANDLING, STATE_WAITING, STATE_REPLIED, STATE_ABANDONED };

struct http_field {
    struct str name, value;
};

/* An answer that is made once; MHD counts who has it. */
struct http_fixed {
    const char *type;
    struct str body;
    struct MHD_Response *response;
};

struct http_extra {
    struct http_extra *next;
    char *name, *value;
};

struct http_request {
    struct http_request *all_prev, *all_next; /* every object of the server, under pool_mutex */
    struct http_request *free_next;
    struct http_server *server;
    struct http_connection *connection;
    struct MHD_Connection *mhd;
    struct http_lane *lane;         /* its network thread */
    struct http_request *lane_next; /* answered, not resumed yet */
    int state;                      /* atomic: enum http_state */
    int holders; /* atomic; counts only once ABANDONED: network thread and replier */
    /* Network thread: */
    bool begun;      /* its head was complete: it is counted */
    bool read_whole; /* the handler was or will be called: the next call of MHD picks the answer up
                      */
    bool active;     /* it is in server->active */
    bool close;      /* no further request on this connection */
    int refusal;     /* not 0: read the body, keep nothing, then answer this code */
    size_t charged;  /* in server->inflight */
    bool waits;      /* for room; whoever resumes it has it until then */
    struct http_request *room_next; /* under room_mutex, with room_until_us */
    int64_t room_until_us;
    size_t body_max;
    /* The head, borrowed from MHD's memory until the answer is queued. */
    const char *uri;
    size_t uri_bytes; /* as it was received */
    bool uri_broken;
    struct str method, path;
    struct http_field fields[HTTP_HEAD_FIELDS];
    unsigned fields_count;
    bool chunked;
    uint64_t body_length; /* of Content-Length; 0 when absent */
    struct buf body;
    struct arena arena;
    struct http_extra *extras; /* in the arena */
    http_tell *tell;           /* or NULL; called before the answer is handed over */
    void *tell_ctx;
    /* The answer, from the replier to the network thread. */
    struct MHD_Response *response;
    const struct http_fixed *fixed; /* or this one */
    int code;
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

struct http_linger {
    int fd;
    int64_t until_us;
};

struct http_server {
    struct http_options options;
    struct MHD_Daemon *daemon;
    int listen_fd;
    int port;
    unsigned connections_max;
    struct address_range trusted[HTTP_TRUSTED_MAX];
    size_t trusted_count;
    bool stopping;  /* atomic: no new requests */
    bool closing;   /* atomic: no new suspensions survive */
    int active;     /* atomic: requests that are or may be suspended: waiting for room, or between
                       "handler is called" and "answer picked up" */
    int unfinished; /* atomic: requests whose head was read and whose answer is not sent */
    uint64_t inflight; /* atomic: bytes of bodies let in, of requests not yet answered */
    uint64_t requests, refused, swept;
    uint64_t by_class[6];

    pthread_mutex_t mutex; /* connections, peers, lingering, watches */
    struct http_connection *connections;
    uint64_t connections_count;
    struct map peers;
    struct hash_key peers_key;
    struct http_linger lingering[HTTP_LINGER_SLOTS];
    unsigned lingering_count;
    struct http_watch *watches;

    pthread_mutex_t room_mutex; /* who waits for room: http_room.c */
    struct http_request *room_first, *room_last;
    uint64_t room_bytes; /* atomic; changed under the mutex */
    bool room_closed;

    pthread_mutex_t pool_mutex; /* request objects */
    struct http_request *requests_all, *requests_free;
    struct http_lane *lanes;
    struct http_fixed fixed[HTTP_FIXED]; /* added to under pool_mutex, read without */
    unsigned fixed_count;                /* atomic */

    pthread_t sweeper;
    int sweeper_wake;  /* eventfd */
    bool sweeper_stop; /* atomic */
    struct http_pool work, long_work;
};

/* http_head.c. The request line was read: keep what its target was before MHD decodes it in place.
 */
void http_head_uri(struct http_request *request, const char *uri);
/* 0, or the code to refuse with; *ret_why says why. Fills method, fields, chunked, body_length. */
int http_head_check(struct http_request *request, const char *method, const char *version,
                    size_t head_bytes, const char **ret_why);
/* Decodes %XX in place, leaves what is not one, and %00 as U+FFFD; returns the new length. */
size_t http_unescape(char *text);

/* http.c. The sweeper shall find that this body has little time left. */
void http_hurry(struct http_request *request);

/* http_request.c */
struct http_request *http_request_take(struct http_server *server);
void http_request_give(struct http_request *request);
/* One of the two holders of an abandoned request lets go. */
void http_request_drop(struct http_request *request);
void http_requests_free(struct http_server *server);
struct MHD_Response *http_response_make(const char *type, struct str body);
struct MHD_Response *http_problem(int code, const char *detail, const char *hint, bool retry);

/* http_lane.c: between MHD and the kernel, one for each network thread. A new connection enters
 * before MHD watches it, and leaves before MHD closes it; both on its thread. */
void http_lane_enter(struct http_server *server, int fd);
void http_lane_leave(int fd);
struct http_lane *http_lane_here(void);
/* Any thread: a suspended request has its answer and shall be resumed. It may be gone afterwards.
 */
void http_lane_answer(struct http_lane *lane, struct http_request *request);
void http_lanes_free(struct http_server *server);

/* http_sweep.c: connections as they come and go, addresses, the sweeper. */
MUST_USE enum status http_sweeper_start(struct http_server *server, struct err *err);
void http_sweeper_stop(struct http_server *server);
struct http_connection *http_connection_open(struct http_server *server, int fd,
                                             const struct sockaddr *address);
void http_connection_close(struct http_server *server, struct http_connection *connection);
/* Sleeping, it wakes and looks again. */
void http_sweeper_nudge(struct http_server *server);
/* Count the connection's request; false when its address has too many unfinished ones. */
bool http_connection_count(struct http_connection *connection);
void http_connection_uncount(struct http_connection *connection);

/* http_watch.c: the sweeper sleeps on these descriptors too; under the mutex. */
struct pollfd;
unsigned http_watch_fds(const struct http_server *server, struct pollfd *ret_fds);
void http_watch_look(struct http_server *server);
/* The server has waited long enough: every watched job is told. */
void http_watch_stop(struct http_server *server);

/* http_client_address.c */
bool http_is_trusted(const struct http_server *server, const struct address *address);

/* http_room.c. When the head is good: ROOM_WAIT has suspended the request, and whoever makes room
 * resumes it, with `refusal` set if its time was up. */
enum http_room { ROOM_IN, ROOM_WAIT, ROOM_NONE };
enum http_room http_room_ask(struct http_request *request);
/* The body is larger than was thought; false = there is no room for it. */
bool http_room_add(struct http_request *request, size_t bytes);
/* So much of it is in flight from now on (0: nothing): the next ones are let in. */
void http_room_set(struct http_request *request, size_t bytes);
/* Refuse those whose time is up; gives the next moment that somebody's is. */
int64_t http_room_expire(struct http_server *server, int64_t now);
/* Refuse all that wait, and let nobody wait any more. */
void http_room_close(struct http_server *server);

/* http_work.c */
MUST_USE enum status http_pool_start(struct http_pool *pool, int threads, unsigned queue_max,
                                     struct err *err);
/* Jobs that run are waited for; jobs that wait are answered 503. */
void http_pool_stop(struct http_pool *pool);

#endif
