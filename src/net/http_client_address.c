/* http_client_address.c - who sent a request, behind the proxies that we trust.
 *
 * A proxy adds the address that it was called from to the end of X-Forwarded-For, or as an element
 * of Forwarded (RFC 7239). What stands further left came from whoever called it, and may be
 * invented. So the list is read from its end, and each address is believed as long as the one that
 * told it is trusted; the first that is not trusted is the client. Text that is no address
 * ("unknown", "_hidden") hides the client: then nobody knows who it was.
 *
 * X-Forwarded-For counts when it is there, for it is what proxies write unless they are told
 * otherwise. At most HOPS_MAX addresses are read: no real road is longer. */
#include "net/http_int.h"

#define HOPS_MAX 16

/* Cuts the part behind the last `by` off the end of `rest`, outside quotes as far as real headers
 * go: an address holds neither. False at the end. */
static bool last_part(struct str *rest, char by, struct str *ret_part)
{
    if (rest->p == NULL)
        return false;
    size_t at = rest->n;
    while (at > 0 && rest->p[at - 1] != by)
        at--;
    *ret_part = str_trim((struct str){rest->p + at, rest->n - at});
    *rest = at == 0 ? (struct str){NULL, 0} : (struct str){rest->p, at - 1};
    return true;
}

/* The value of `for` in an element of Forwarded: for="[2001:db8::1]:4711";proto=https */
static struct str forwarded_for(struct str element)
{
    struct str pair, word = STR("for=");
    while (last_part(&element, ';', &pair)) {
        if (pair.n < word.n || !str_eq_nocase((struct str){pair.p, word.n}, word))
            continue;
        struct str value = {pair.p + word.n, pair.n - word.n};
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
            value = (struct str){value.p + 1, value.n - 2};
        return value;
    }
    return STR("");
}

bool http_is_trusted(const struct http_server *server, const struct address *address)
{
    for (size_t i = 0; i < server->trusted_count; i++)
        if (address_in(address, &server->trusted[i]))
            return true;
    return false;
}

/* From the end of one field to its beginning. True when *address is the client's, or unknown. */
static bool field_walk(const struct http_server *server, struct str field, bool forwarded,
                       int *hops, struct address *address, bool *ret_known)
{
    struct str part;
    while (last_part(&field, ',', &part)) {
        struct address told;
        if (!address_parse(forwarded ? forwarded_for(part) : part, &told)) {
            *ret_known = false;
            return true;
        }
        *address = told;
        if (!http_is_trusted(server, &told) || ++*hops == HOPS_MAX)
            return true;
    }
    return false;
}

bool http_client_address(struct http_request *request, struct address *ret_address)
{
    const struct http_connection *connection = request->connection;
    struct address address = connection->address;
    bool known = true;
    if (connection->trusted) {
        struct str names[] = {STR("X-Forwarded-For"), STR("Forwarded")};
        int hops = 0;
        size_t name = http_header(request, "X-Forwarded-For").p == NULL;
        for (unsigned i = request->head.fields_count; i-- > 0;) {
            struct str field, value = http_request_field(request, i, &field);
            if (field.n == names[name].n && str_eq_nocase(field, names[name]) &&
                field_walk(request->server, value, name == 1, &hops, &address, &known))
                break;
        }
    }
    if (known)
        *ret_address = address;
    return known;
}
