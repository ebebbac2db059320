/* address.c - IP addresses as 16 bytes. */
#include "net/address.h"

#include <arpa/inet.h>

static const unsigned char v4_start[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool address_is_v4(const struct address *address)
{
    return memcmp(address->bytes, v4_start, sizeof v4_start) == 0;
}

/* Without brackets and port. A lone IPv6 address has several colons and no port. */
static struct str bare(struct str text)
{
    text = str_trim(text);
    if (text.n > 0 && text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.n);
        return end == NULL ? STR("") : (struct str){text.p + 1, (size_t)(end - text.p) - 1};
    }
    const char *colon = text.n > 0 ? memchr(text.p, ':', text.n) : NULL;
    size_t head = colon == NULL ? text.n : (size_t)(colon - text.p);
    bool one_colon = colon != NULL && memchr(colon + 1, ':', text.n - head - 1) == NULL;
    return one_colon ? (struct str){text.p, head} : text;
}

bool address_parse(struct str text, struct address *ret_address)
{
    char terminated[ADDRESS_TEXT_BYTES];
    struct address address;
    text = bare(text);
    if (text.n == 0 || text.n >= sizeof terminated || memchr(text.p, '\0', text.n) != NULL)
        return false;
    memcpy(terminated, text.p, text.n);
    terminated[text.n] = '\0';
    memcpy(address.bytes, v4_start, sizeof v4_start);
    if (inet_pton(AF_INET, terminated, address.bytes + 12) != 1 &&
        inet_pton(AF_INET6, terminated, address.bytes) != 1)
        return false;
    *ret_address = address;
    return true;
}

enum status address_range_parse(struct str text, struct address_range *ret_range, struct err *err)
{
    struct address_range range;
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    struct str head = {text.p, slash == NULL ? text.n : (size_t)(slash - text.p)};
    bool good = address_parse(head, &range.first);
    unsigned most = good && address_is_v4(&range.first) ? 32 : 128;
    range.bits = slash == NULL ? most : 0;
    if (slash != NULL)
        good = good && head.n + 1 < text.n && text.n - head.n <= 4;
    for (size_t i = head.n + 1; good && i < text.n; i++) {
        good = text.p[i] >= '0' && text.p[i] <= '9';
        range.bits = range.bits * 10 + (unsigned)(text.p[i] - '0');
    }
    if (!good || range.bits > most) {
        err_set(err, ST_INVALID, "\"" STR_FMT "\" is no range of addresses", STR_ARG(text));
        return err_hint(err, ST_INVALID, "for example 10.0.0.0/8, 2001:db8::/32 or 127.0.0.1");
    }
    range.bits += 128 - most;
    *ret_range = range;
    return ST_OK;
}

bool address_in(const struct address *address, const struct address_range *range)
{
    size_t whole = range->bits / 8;
    unsigned char mask = (unsigned char)(0xff00 >> (range->bits % 8));
    if (memcmp(address->bytes, range->first.bytes, whole) != 0)
        return false;
    return whole == sizeof address->bytes ||
           ((address->bytes[whole] ^ range->first.bytes[whole]) & mask) == 0;
}

void address_cut(struct address *address, unsigned v4_bits, unsigned v6_bits)
{
    unsigned bits = address_is_v4(address) ? 96 + v4_bits : v6_bits;
    for (unsigned i = 0; i < sizeof address->bytes; i++)
        if (bits <= 8 * i)
            address->bytes[i] = 0;
        else if (bits < 8 * i + 8)
            address->bytes[i] &= (unsigned char)(0xff00 >> (bits % 8));
}

/* By hand: a page view has one, and the library's way prints it through a format. */
static struct str v4_write(const unsigned char bytes[4], char *text)
{
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        unsigned v = bytes[i];
        if (v >= 100)
            text[n++] = (char)('0' + v / 100);
        if (v >= 10)
            text[n++] = (char)('0' + v / 10 % 10);
        text[n++] = (char)('0' + v % 10);
        text[n++] = '.';
    }
    text[n - 1] = '\0';
    return (struct str){text, n - 1};
}

struct str address_write(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
    if (address_is_v4(address))
        return v4_write(address->bytes + 12, text);
    inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_BYTES);
    return str_of(text);
}
