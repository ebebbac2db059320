/* http_lane.c - what stands between a network thread of MHD and the kernel.
 *
 * MHD (0.9.75) asks the kernel more than it needs to, and lets nobody tell it otherwise. It calls
 * epoll_wait and epoll_ctl by name, though, and our program's own come first (ADR 0007). So one
 * lane for each of its threads:
 *
 *   - never fills MHD's list of events: see epoll_wait;
 *   - leaves a suspended connection in the kernel's set. MHD takes it out and puts it in again, two
 *     system calls for every POST that waits for the disk. Its seat says PARKED instead, and what
 *     the kernel tells of it meanwhile is kept back (`missed`) and asked for again afterwards;
 *   - takes answers from other threads. A replier that resumes a connection itself meets MHD's lock
 *     each time, in the way of the thread that it wants to serve. So it only lays the request down,
 *     and whoever lays down the first one wakes the thread, which resumes all that lie there.
 *
 * The kernel's word is edge-triggered: it tells once that something came. MHD takes a resumed
 * connection for ready and reads until there is nothing, then puts it back; from there on whatever
 * comes is told, and what came before, while it was parked, was missed and is asked for.
 *
 * Everything here is its own thread's but `answered`. A descriptor that closes leaves the set
 * before (http_lane_leave), also when a copy of it lingers, so no event ever finds another's seat.
 */
#include "net/http_int.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"

/* Never the bits of a pointer of MHD's. */
#define TAG_SEAT (UINT64_C(1) << 63)
#define TAG_WAKE (UINT64_C(1) << 62)

enum seat_state { SEAT_STRANGE /* no connection of ours */, SEAT_OUT, SEAT_IN, SEAT_PARKED };

struct seat { /* by descriptor */
    void *connection;
    unsigned char state;
    bool missed; /* while it was parked something came */
};

struct http_lane {
    struct http_lane *next;        /* of the server, under pool_mutex */
    int poller;                    /* MHD's */
    int wake;                      /* eventfd */
    struct http_request *answered; /* atomic: a stack that is only ever taken whole */
    struct seat *seats;
    unsigned seats_count;
};

static _Thread_local int poller_here = -1;
static _Thread_local struct http_lane *lane_here;

static int control(int poller, int what, int fd, struct epoll_event *event)
{
    return (int)syscall(SYS_epoll_ctl, poller, what, fd, event);
}

/* --- seats ------------------------------------------------------------------------------------ */

static struct seat *seat_of(struct http_lane *lane, int fd)
{
    return fd >= 0 && (unsigned)fd < lane->seats_count ? &lane->seats[fd] : NULL;
}

static int seat_enter(struct http_lane *lane, struct seat *seat, int fd, struct epoll_event *event)
{
    struct epoll_event ours = {.events = event->events,
                               .data.u64 = TAG_SEAT | (uint64_t)(unsigned)fd};
    bool parked = seat->state == SEAT_PARKED;
    int failed = 0;
    if (!parked || seat->missed)
        failed = control(lane->poller, parked ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ours);
    if (failed == 0)
        *seat = (struct seat){event->data.ptr, SEAT_IN, false};
    return failed;
}

/* What MHD calls instead of libc's. */
__attribute__((visibility("default"))) int epoll_ctl(int poller, int what, int fd,
                                                     struct epoll_event *event)
{
    struct http_lane *lane = lane_here;
    struct seat *seat = lane != NULL && lane->poller == poller ? seat_of(lane, fd) : NULL;
    if (seat == NULL || seat->state == SEAT_STRANGE)
        return control(poller, what, fd, event);
    CHECK(what == EPOLL_CTL_ADD || what == EPOLL_CTL_DEL);
    if (what == EPOLL_CTL_ADD)
        return seat_enter(lane, seat, fd, event);
    if (seat->state == SEAT_IN)
        *seat = (struct seat){NULL, SEAT_PARKED, false};
    return 0;
}

void http_lane_enter(struct http_server *server, int fd)
{
    struct http_lane *lane = lane_here;
    if (lane == NULL) {
        lane = mem_zero(sizeof *lane);
        lane->poller = poller_here;
        lane->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = TAG_WAKE};
        if (lane->wake < 0 || control(lane->poller, EPOLL_CTL_ADD, lane->wake, &event) != 0)
            fatal("could not make an eventfd for the network: too many open files");
        pthread_mutex_lock(&server->pool_mutex);
        lane->next = server->lanes;
        server->lanes = lane;
        pthread_mutex_unlock(&server->pool_mutex);
        lane_here = lane;
    }
    if ((unsigned)fd >= lane->seats_count) {
        unsigned count = (unsigned)fd + 64 + (unsigned)fd / 2;
        lane->seats = mem_grow(lane->seats, count * sizeof *lane->seats);
        memset(lane->seats + lane->seats_count, 0,
               (count - lane->seats_count) * sizeof *lane->seats);
        lane->seats_count = count;
    }
    lane->seats[fd] = (struct seat){NULL, SEAT_OUT, false};
}

void http_lane_leave(int fd)
{
    struct http_lane *lane = lane_here; /* none: the thread has ended, MHD closes what is left */
    struct seat *seat = lane == NULL ? NULL : seat_of(lane, fd);
    if (seat == NULL)
        return;
    if (seat->state == SEAT_IN || seat->state == SEAT_PARKED)
        (void)control(lane->poller, EPOLL_CTL_DEL, fd, NULL);
    *seat = (struct seat){NULL, SEAT_OUT, false}; /* MHD will ask for it again */
}

struct http_lane *http_lane_here(void)
{
    return lane_here;
}

/* --- answers ---------------------------------------------------------------------------------- */

void http_lane_answer(struct http_lane *lane, struct http_request *request)
{
    struct http_server *server = request->server;
    struct http_request *first = __atomic_load_n(&lane->answered, __ATOMIC_RELAXED);
    /* The server must not end between the laying down and the waking. */
    __atomic_add_fetch(&server->active, 1, __ATOMIC_SEQ_CST);
    do
        request->lane_next = first;
    while (!__atomic_compare_exchange_n(&lane->answered, &first, request, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED));
    if (first == NULL) /* cannot fail but by a counter of 2^64 - 2 */
        (void)!write(lane->wake, &(uint64_t){1}, sizeof(uint64_t));
    __atomic_sub_fetch(&server->active, 1, __ATOMIC_SEQ_CST);
}

static void answered_resume(struct http_lane *lane)
{
    struct http_request *request = __atomic_exchange_n(&lane->answered, NULL, __ATOMIC_ACQ_REL);
    for (struct http_request *next; request != NULL; request = next) {
        next = request->lane_next;
        MHD_resume_connection(request->mhd);
    }
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* Without what is only ours, the rest as MHD knows it; how many are left. */
static int events_sort(struct http_lane *lane, struct epoll_event *events, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = events[i];
        if (event.data.u64 == TAG_WAKE) {
            answered_resume(lane); /* its counter is never read: each write is told */
            continue;
        }
        if ((event.data.u64 & TAG_SEAT) != 0) {
            struct seat *seat = &lane->seats[event.data.u64 & ~TAG_SEAT];
            if (seat->state != SEAT_IN) {
                seat->missed = true;
                continue;
            }
            event.data.ptr = seat->connection;
        }
        events[kept++] = event;
    }
    return kept;
}

/* What MHD calls instead of libc's: never a full list. 0.9.75 reads events as long as it gets as
 * many as it asked for, and waits for the next ones before it serves any; so exactly 128 ready
 * clients would wait for a 129th (ADR 0007). */
__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int max,
                                                      int timeout)
{
    poller_here = fd;
    int count = epoll_pwait(fd, events, max > 1 ? max - 1 : max, timeout, NULL);
    struct http_lane *lane = lane_here;
    return count > 0 && lane != NULL && lane->poller == fd ? events_sort(lane, events, count)
                                                           : count;
}

void http_lanes_free(struct http_server *server)
{
    for (struct http_lane *lane = server->lanes, *next; lane != NULL; lane = next) {
        next = lane->next;
        close(lane->wake);
        free(lane->seats);
        free(lane);
    }
}
