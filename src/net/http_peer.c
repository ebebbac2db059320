/* http_peer.c - one address may not hold many places: its unfinished requests are counted.
 *
 * A request counts from its head until its answer is sent; a head that came in part counts too, or
 * whoever sends slowly would hold as many places as he likes before anybody counts them. */
#include "net/http_int.h"

#include <stdlib.h>

#define UNFINISHED 256 /* requests of one address */

static struct hash128 key_of(const struct http_connection *connection)
{
    struct address party = connection->address;
    address_cut(&party, 32, 64);
    return hash_keyed(&connection->loop->server->peers_key,
                      (struct str){(const char *)party.bytes, sizeof party.bytes});
}

void http_peer_enter(struct http_connection *connection)
{
    struct http_server *server = connection->loop->server;
    struct hash128 key = key_of(connection);

    pthread_mutex_lock(&server->mutex);
    uint64_t *peer = map_put(&server->peers, key, NULL);
    if (*peer == 0) {
        struct http_peer *fresh = mem_zero(sizeof *fresh);
        fresh->key = key;
        *peer = (uint64_t)(uintptr_t)fresh;
    }
    connection->peer = (struct http_peer *)(uintptr_t)*peer;
    connection->peer->connections++;
    pthread_mutex_unlock(&server->mutex);
}

void http_peer_leave(struct http_connection *connection)
{
    struct http_server *server = connection->loop->server;
    struct http_peer *peer = connection->peer;

    http_peer_uncount(connection);
    pthread_mutex_lock(&server->mutex);
    if (--peer->connections == 0) {
        map_remove(&server->peers, peer->key);
        free(peer);
    }
    pthread_mutex_unlock(&server->mutex);
}

bool http_peer_count(struct http_connection *connection)
{
    int *unfinished = &connection->peer->unfinished;
    int count = connection->counted ? __atomic_load_n(unfinished, __ATOMIC_RELAXED)
                                    : __atomic_add_fetch(unfinished, 1, __ATOMIC_RELAXED);
    connection->counted = true;
    return connection->trusted || count <= UNFINISHED;
}

void http_peer_uncount(struct http_connection *connection)
{
    if (connection->counted)
        __atomic_sub_fetch(&connection->peer->unfinished, 1, __ATOMIC_RELAXED);
    connection->counted = false;
}
