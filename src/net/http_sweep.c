/* http_sweep.c - nobody may hold a place for long by sending slowly, nor many places at once.
 *
 * MHD's own time-out is about silence: one byte a second keeps a connection for ever. So one thread
 * looks at all connections several times within the limit and shuts the socket of those whose head
 * or body takes too long; MHD then sees the end and cleans up. A body's clock starts when its head
 * is complete. A head's clock is harder, as MHD tells nobody that a first byte came: we ask the
 * kernel how many bytes the connection has ever received (TCP_INFO) while no request is known; if
 * that grows while none is completed, a head is on its way. An idle connection is left to MHD.
 *
 * Invariant: a descriptor is only touched under server->mutex while its connection is in the list,
 * and MHD closes it only after http_connection_close took it out; so we never shut a descriptor
 * that was given to somebody else.
 *
 * Lingering: closing a socket with unread input makes the kernel send a reset, which can overtake
 * the answer that we just wrote (413, 400). So of a refused sender we keep a second descriptor, say
 * that we are done, and read what still comes for up to two seconds. */
#include "net/http_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

/* The address, and 16 bytes that stand for one party: of IPv6 the /64. */
static void address_read(const struct sockaddr *from, struct address *ret_address,
                         unsigned char ret_party[16])
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

    if (from->sa_family == AF_INET) {
        memset(ret_address->bytes, 0, 10);
        memset(ret_address->bytes + 10, 0xff, 2);
        memcpy(ret_address->bytes + 12, &v4->sin_addr, 4);
    } else {
        memcpy(ret_address->bytes, &v6->sin6_addr, 16);
    }
    struct address party = *ret_address;
    address_cut(&party, 32, 64);
    memcpy(ret_party, party.bytes, 16);
}

struct http_connection *http_connection_open(struct http_server *server, int fd,
                                             const struct sockaddr *address)
{
    struct http_connection *connection = mem_zero(sizeof *connection);
    unsigned char party[16];

    connection->fd = fd;
    address_read(address, &connection->address, party);
    address_write(&connection->address, connection->remote);
    connection->trusted = http_is_trusted(server, &connection->address);
    struct hash128 key =
        hash_keyed(&server->peers_key, (struct str){(const char *)party, sizeof party});

    pthread_mutex_lock(&server->mutex);
    uint64_t *peer = map_put(&server->peers, key, NULL);
    if (*peer == 0) {
        struct http_peer *fresh = mem_zero(sizeof *fresh);
        fresh->key = key;
        *peer = (uint64_t)(uintptr_t)fresh;
    }
    connection->peer = (struct http_peer *)(uintptr_t)*peer;
    connection->peer->connections++;
    connection->next = server->connections;
    if (connection->next != NULL)
        connection->next->prev = connection;
    server->connections = connection;
    server->connections_count++;
    pthread_mutex_unlock(&server->mutex);
    return connection;
}

void http_sweeper_nudge(struct http_server *server)
{
    /* Cannot fail but by a counter of 2^64 - 2 unread nudges. */
    (void)!write(server->sweeper_wake, &(uint64_t){1}, sizeof(uint64_t));
}

/* Under the mutex. With no free slot the sender may see a reset: its bytes are refused anyway. */
static void linger_begin(struct http_server *server, int fd)
{
    if (server->lingering_count == HTTP_LINGER_SLOTS)
        return;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return;
    shutdown(copy, SHUT_WR);
    server->lingering[server->lingering_count++] =
        (struct http_linger){copy, monotonic_us() + HTTP_LINGER_US};
    http_sweeper_nudge(server);
}

void http_connection_close(struct http_server *server, struct http_connection *connection)
{
    http_connection_uncount(connection);
    pthread_mutex_lock(&server->mutex);
    if (connection->linger)
        linger_begin(server, connection->fd);
    if (connection->prev != NULL)
        connection->prev->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next != NULL)
        connection->next->prev = connection->prev;
    server->connections_count--;
    if (--connection->peer->connections == 0) {
        map_remove(&server->peers, connection->peer->key);
        free(connection->peer);
    }
    pthread_mutex_unlock(&server->mutex);
    free(connection);
}

bool http_connection_count(struct http_connection *connection)
{
    struct http_peer *peer = connection->peer;
    if (__atomic_exchange_n(&connection->counted, true, __ATOMIC_ACQ_REL))
        return connection->trusted ||
               __atomic_load_n(&peer->unfinished, __ATOMIC_RELAXED) <= HTTP_PEER_REQUESTS;
    int unfinished = __atomic_add_fetch(&peer->unfinished, 1, __ATOMIC_RELAXED);
    return connection->trusted || unfinished <= HTTP_PEER_REQUESTS;
}

void http_connection_uncount(struct http_connection *connection)
{
    if (__atomic_exchange_n(&connection->counted, false, __ATOMIC_ACQ_REL))
        __atomic_sub_fetch(&connection->peer->unfinished, 1, __ATOMIC_RELAXED);
}

static void connection_shut(struct http_server *server, struct http_connection *connection)
{
    connection->swept = true;
    shutdown(connection->fd, SHUT_RDWR);
    __atomic_add_fetch(&server->swept, 1, __ATOMIC_RELAXED);
}

/* No request is known: has one begun? */
static void head_watch(struct http_server *server, struct http_connection *connection, int64_t now,
                       int64_t head_max)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
        return;
    unsigned served = __atomic_load_n(&connection->served, __ATOMIC_ACQUIRE);
    if (served != connection->served_seen) {
        /* What came so far belongs to requests that are done, or to one that just begins. */
        connection->served_seen = served;
        connection->bytes_seen = info.tcpi_bytes_received;
        connection->head_since_us = 0;
        http_connection_uncount(connection);
        return;
    }
    if (connection->head_since_us == 0) {
        if (info.tcpi_bytes_received == connection->bytes_seen)
            return; /* idle */
        connection->head_since_us = now;
        if (!http_connection_count(connection))
            connection_shut(server, connection);
    } else if (now - connection->head_since_us > head_max) {
        connection_shut(server, connection);
    }
}

static void sweep(struct http_server *server, int64_t now)
{
    int64_t head_max = server->options.header_us_max;
    int64_t body_max = server->options.body_us_max;

    pthread_mutex_lock(&server->mutex);
    for (struct http_connection *c = server->connections; c != NULL; c = c->next) {
        if (c->swept)
            continue;
        int phase = __atomic_load_n(&c->phase, __ATOMIC_ACQUIRE);
        if (phase == PHASE_IDLE)
            head_watch(server, c, now, head_max);
        else if (phase == PHASE_BODY &&
                 now - __atomic_load_n(&c->since_us, __ATOMIC_RELAXED) > body_max)
            connection_shut(server, c);
    }
    pthread_mutex_unlock(&server->mutex);
}

/* Under the mutex. True when this one is over. */
static bool linger_read(const struct http_linger *linger, int64_t now)
{
    char sink[16 << 10];
    for (int i = 0; i < 64; i++) {
        ssize_t n = recv(linger->fd, sink, sizeof sink, MSG_DONTWAIT);
        if (n < 0)
            return (errno != EAGAIN && errno != EINTR) || now > linger->until_us;
        if (n == 0)
            return true;
    }
    return now > linger->until_us;
}

static void linger_all(struct http_server *server, int64_t now)
{
    pthread_mutex_lock(&server->mutex);
    for (unsigned i = 0; i < server->lingering_count;) {
        if (!linger_read(&server->lingering[i], now)) {
            i++;
            continue;
        }
        close(server->lingering[i].fd);
        server->lingering[i] = server->lingering[--server->lingering_count];
    }
    pthread_mutex_unlock(&server->mutex);
}

/* Sleep until a lingering sender moves, a watched client leaves, a nudge, or the next sweep. */
static void sweeper_wait(struct http_server *server, int64_t until)
{
    struct pollfd fds[1 + HTTP_LINGER_SLOTS + HTTP_WATCHES] = {
        {.fd = server->sweeper_wake, .events = POLLIN}};
    nfds_t count = 1;

    pthread_mutex_lock(&server->mutex);
    for (unsigned i = 0; i < server->lingering_count; i++)
        fds[count++] = (struct pollfd){.fd = server->lingering[i].fd, .events = POLLIN};
    nfds_t watches = count;
    count += http_watch_fds(server, fds + count);
    pthread_mutex_unlock(&server->mutex);
    int64_t wait = until - monotonic_us();
    poll(fds, count, wait > 0 ? (int)(wait / US_PER_MS) + 1 : 0);
    if (fds[0].revents != 0)
        (void)!read(server->sweeper_wake, &(uint64_t){0}, sizeof(uint64_t)); /* only a nudge */
    bool moved = false;
    for (nfds_t i = watches; i < count; i++)
        moved = moved || fds[i].revents != 0;
    if (!moved)
        return;
    pthread_mutex_lock(&server->mutex);
    http_watch_look(server);
    pthread_mutex_unlock(&server->mutex);
}

static void *sweeper_main(void *ctx)
{
    struct http_server *server = ctx;
    int64_t shortest = server->options.header_us_max < server->options.body_us_max
                           ? server->options.header_us_max
                           : server->options.body_us_max;
    int64_t every = shortest / 20; /* so a limit is kept within a twentieth */
    int64_t next = monotonic_us() + every;

    int64_t room = INT64_MAX; /* when somebody's wait for room ends */

    while (!__atomic_load_n(&server->sweeper_stop, __ATOMIC_ACQUIRE)) {
        sweeper_wait(server, room < next ? room : next);
        int64_t now = monotonic_us();
        room = http_room_expire(server, now);
        linger_all(server, now);
        if (now < next)
            continue;
        sweep(server, now);
        next = now + every;
    }
    return NULL;
}

enum status http_sweeper_start(struct http_server *server, struct err *err)
{
    server->sweeper_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->sweeper_wake < 0)
        return err_set(err, ST_IO, "could not make an eventfd: %s", strerror(errno));
    int failed = pthread_create(&server->sweeper, NULL, sweeper_main, server);
    if (failed != 0) {
        close(server->sweeper_wake);
        return err_set(err, ST_IO, "could not start the sweeper thread: %s", strerror(failed));
    }
    return ST_OK;
}

void http_sweeper_stop(struct http_server *server)
{
    __atomic_store_n(&server->sweeper_stop, true, __ATOMIC_RELEASE);
    http_sweeper_nudge(server);
    pthread_join(server->sweeper, NULL);
    for (unsigned i = 0; i < server->lingering_count; i++)
        close(server->lingering[i].fd);
    close(server->sweeper_wake);
}
