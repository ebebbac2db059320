/* address.h - IP addresses as 16 bytes: read, compared with ranges, cut, written.
 *
 * An IPv4 address stands as ::ffff:a.b.c.d, so that one which came in IPv6's clothes is the same.
 * Depends on: base. Called by: net, collect, app. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include "base/status.h"
#include "base/str.h"

#define ADDRESS_TEXT_BYTES 46 /* the longest, with its end */

struct address {
    unsigned char bytes[16];
};

struct address_range {
    struct address first;
    unsigned bits; /* of 128 */
};

/* In numbers; "[v6]", and a port behind "[v6]" or v4, are taken off. False when it is none. */
bool address_parse(struct str text, struct address *ret_address);
/* "10.0.0.0/8", "2001:db8::/32", or one address. ST_INVALID. */
MUST_USE enum status address_range_parse(struct str text, struct address_range *ret_range,
                                         struct err *err);
bool address_in(const struct address *address, const struct address_range *range);
bool address_is_v4(const struct address *address);
/* All but the first bits become 0: `v4_bits` of an IPv4 address, `v6_bits` of another. */
void address_cut(struct address *address, unsigned v4_bits, unsigned v6_bits);
struct str address_write(const struct address *address, char text[ADDRESS_TEXT_BYTES]);
#endif
