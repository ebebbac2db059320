/* buf.h - text or bytes that grow, up to a maximum given at birth.
 *
 * Owns its memory (malloc). An append that would pass `max` sets `overflow` and appends nothing
 * more, so a writer checks once at its end. Bytes are always followed by a terminator that is not
 * counted. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct buf {
    char *p;
    size_t n;
    size_t capacity;
    size_t max;
    bool overflow;
};

void buf_init(struct buf *buf, size_t max);
void buf_done(struct buf *buf);
/* Empty again; keeps its memory. */
void buf_reset(struct buf *buf);

/* Room for `n` more bytes at the returned pointer; NULL (and overflow) when `max` would be passed.
 * The caller writes at most `n` bytes there and adds what it wrote to buf->n. */
char *buf_room(struct buf *buf, size_t n);
void buf_put(struct buf *buf, const void *bytes, size_t n);
static inline void buf_char(struct buf *buf, char c)
{
    if (buf->overflow || buf->n + 1 >= buf->capacity || buf->n >= buf->max) {
        buf_put(buf, &c, 1);
        return;
    }
    buf->p[buf->n++] = c;
    buf->p[buf->n] = '\0';
}
void buf_str(struct buf *buf, struct str text);
void buf_text(struct buf *buf, const char *text);
void buf_fmt(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Decimal digits, without printf's price. */
void buf_decimal(struct buf *buf, uint64_t v);
/* The same with leading zeros: `digits` of them, at most 20. */
void buf_digits(struct buf *buf, uint64_t v, int digits);
/* Little-endian integers and LEB128, for file formats. */
void buf_u16(struct buf *buf, uint16_t v);
void buf_u32(struct buf *buf, uint32_t v);
void buf_u64(struct buf *buf, uint64_t v);
void buf_varint_long(struct buf *buf, uint64_t v); /* of two bytes and more; buf_varint's */
static inline void buf_varint(struct buf *buf, uint64_t v)
{
    if (v < 0x80)
        buf_char(buf, (char)v);
    else
        buf_varint_long(buf, v);
}
/* A varint length, then the bytes. */
void buf_blob(struct buf *buf, struct str bytes);

static inline struct str buf_view(const struct buf *buf)
{
    return (struct str){buf->p, buf->n};
}

/* The same forms read back: a cursor over borrowed bytes. A read past the end sets `bad` and gives
 * 0 or an empty text, so a reader checks once at its end. */
struct cursor {
    const unsigned char *p;
    const unsigned char *end;
    bool bad;
};

static inline struct cursor cursor_of(struct str bytes)
{
    return (struct cursor){(const unsigned char *)bytes.p, (const unsigned char *)bytes.p + bytes.n,
                           false};
}
static inline uint8_t cursor_u8(struct cursor *cursor)
{
    cursor->bad |= cursor->p == cursor->end;
    return cursor->bad ? 0 : *cursor->p++;
}
uint16_t cursor_u16(struct cursor *cursor);
uint64_t cursor_u64(struct cursor *cursor);
uint64_t cursor_varint_long(struct cursor *cursor); /* of any number of bytes; cursor_varint's */
static inline uint64_t cursor_varint(struct cursor *cursor)
{
    if (!cursor->bad && cursor->p < cursor->end && *cursor->p < 0x80)
        return *cursor->p++;
    return cursor_varint_long(cursor);
}
struct str cursor_blob(struct cursor *cursor);
struct str cursor_bytes(struct cursor *cursor, size_t n);
static inline bool cursor_at_end(const struct cursor *cursor)
{
    return cursor->p == cursor->end;
}
#endif
