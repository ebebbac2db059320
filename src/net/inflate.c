/* inflate.c - gzip read in steps, so that what comes out is bounded before it is there.
 *
 * Three kilobytes can become three megabytes, and nothing in the stream's head can be believed. So
 * we inflate into the room that is left and stop at the first byte that has none. Several members
 * in a row are one text (RFC 1952 §2.2); anything else behind a member is damage. */
#include "net/inflate.h"

#include <limits.h>
#include <zlib.h>

#include "base/check.h"

#define STEP_BYTES ((size_t)16 << 10)

bool inflate_is_gzip(struct str bytes)
{
    return bytes.n >= 2 && (unsigned char)bytes.p[0] == 0x1f && (unsigned char)bytes.p[1] == 0x8b;
}

/* One call of zlib. When the room is used up, a spare byte tells a full stop from one byte too
 * many. */
static int step(z_stream *z, struct buf *buf, bool *ret_too_large)
{
    unsigned char spare;
    size_t room = buf->max - buf->n;
    if (room > STEP_BYTES)
        room = STEP_BYTES;
    char *to = room > 0 ? buf_room(buf, room) : (char *)&spare;
    z->next_out = (unsigned char *)to;
    z->avail_out = room > 0 ? (unsigned)room : 1;
    unsigned before = z->avail_out;
    int result = inflate(z, Z_NO_FLUSH);
    unsigned made = before - z->avail_out;
    *ret_too_large = room == 0 && made > 0;
    if (room > 0)
        buf->n += made;
    return result;
}

static enum status inflate_all(z_stream *z, struct buf *buf, struct err *err)
{
    for (;;) {
        bool too_large;
        int result = step(z, buf, &too_large);
        if (too_large)
            return err_set(err, ST_TOO_LARGE,
                           "could not inflate the body: it is larger than %zu bytes", buf->max);
        if (result == Z_STREAM_END && z->avail_in == 0)
            return ST_OK;
        if (result == Z_STREAM_END) {
            if (inflateReset(z) != Z_OK)
                return err_set(err, ST_INVALID, "could not inflate the body: it is damaged");
        } else if (result == Z_BUF_ERROR ||
                   (result == Z_OK && z->avail_in == 0 && z->avail_out > 0)) {
            return err_set(err, ST_INVALID, "could not inflate the body: its end is missing");
        } else if (result != Z_OK) {
            return err_set(err, ST_INVALID, "could not inflate the body: it is damaged");
        }
    }
}

enum status inflate_gzip(struct str bytes, struct buf *buf, struct err *err)
{
    z_stream z = {.next_in = (unsigned char *)bytes.p, .avail_in = (unsigned)bytes.n};
    size_t before = buf->n;

    if (bytes.n > UINT_MAX)
        return err_set(err, ST_TOO_LARGE, "could not inflate the body: it is too large itself");
    if (inflateInit2(&z, 15 + 16) != Z_OK) /* 16: gzip, nothing else */
        fatal("out of memory (zlib)");
    enum status status = inflate_all(&z, buf, err);
    inflateEnd(&z);
    if (status != ST_OK)
        buf->n = before;
    if (buf->p != NULL)
        buf->p[buf->n] = '\0';
    return status;
}

void inflate_some(struct str bytes, struct buf *buf)
{
    z_stream z = {.next_in = (unsigned char *)bytes.p, .avail_in = (unsigned)bytes.n};
    struct err ignored; /* it is damaged, or it would not be asked for like this */

    if (bytes.n > UINT_MAX || inflateInit2(&z, 15 + 16) != Z_OK)
        return;
    enum status status = inflate_all(&z, buf, &ignored);
    (void)status;
    inflateEnd(&z);
}
