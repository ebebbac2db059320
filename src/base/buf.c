/* buf.c - growing bytes, and reading them back. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_done(struct buf *buf)
{
    free(buf->p);
    *buf = (struct buf){.max = buf->max};
}

void buf_reset(struct buf *buf)
{
    buf->n = 0;
    buf->overflow = false;
    if (buf->p != NULL)
        buf->p[0] = '\0';
}

char *buf_room(struct buf *buf, size_t n)
{
    if (buf->overflow || n > buf->max || buf->n > buf->max - n) {
        buf->overflow = true;
        return NULL;
    }
    if (buf->capacity < buf->n + n + 1) {
        size_t capacity = buf->capacity < 128 ? 256 : buf->capacity * 2;
        while (capacity < buf->n + n + 1)
            capacity *= 2;
        buf->p = mem_grow(buf->p, capacity);
        buf->capacity = capacity;
    }
    return buf->p + buf->n;
}

void buf_put(struct buf *buf, const void *bytes, size_t n)
{
    char *to = buf_room(buf, n);
    if (to == NULL)
        return;
    if (n > 0)
        memcpy(to, bytes, n);
    buf->n += n;
    buf->p[buf->n] = '\0';
}

void buf_str(struct buf *buf, struct str text)
{
    buf_put(buf, text.p, text.n);
}

void buf_text(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

void buf_fmt(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(n >= 0);
    char *to = buf_room(buf, (size_t)n);
    if (to != NULL) {
        vsnprintf(to, (size_t)n + 1, format, again);
        buf->n += (size_t)n;
    }
    va_end(again);
}

void buf_decimal(struct buf *buf, uint64_t v)
{
    int digits = 1;
    for (uint64_t rest = v; rest >= 10; rest /= 10)
        digits++;
    buf_digits(buf, v, digits);
}

void buf_digits(struct buf *buf, uint64_t v, int digits)
{
    char text[20];
    CHECK(digits >= 0 && digits <= 20);
    for (int i = digits; i-- > 0; v /= 10)
        text[i] = (char)('0' + v % 10);
    buf_put(buf, text, (size_t)digits);
}

void buf_u16(struct buf *buf, uint16_t v)
{
    buf_put(buf, &v,
            sizeof v); /* x86-64 and arm64 are little-endian; base_test.c holds the bytes */
}

void buf_u32(struct buf *buf, uint32_t v)
{
    buf_put(buf, &v, sizeof v);
}

void buf_u64(struct buf *buf, uint64_t v)
{
    buf_put(buf, &v, sizeof v);
}

void buf_varint_long(struct buf *buf, uint64_t v)
{
    size_t n = (size_t)(63 - __builtin_clzll(v | 1)) / 7 + 1;
    char *to = buf_room(buf, n);
    if (to == NULL)
        return;
    for (; v >= 0x80; v >>= 7)
        *to++ = (char)(v | 0x80);
    to[0] = (char)v;
    to[1] = '\0';
    buf->n += n;
}

void buf_blob(struct buf *buf, struct str bytes)
{
    buf_varint(buf, bytes.n);
    buf_str(buf, bytes);
}

struct str cursor_bytes(struct cursor *cursor, size_t n)
{
    if (cursor->bad || (size_t)(cursor->end - cursor->p) < n) {
        cursor->bad = true;
        return (struct str){"", 0};
    }
    struct str bytes = {(const char *)cursor->p, n};
    cursor->p += n;
    return bytes;
}

static uint64_t cursor_fixed(struct cursor *cursor, size_t n)
{
    uint64_t v = 0;
    struct str bytes = cursor_bytes(cursor, n);
    memcpy(&v, bytes.p, bytes.n);
    return v;
}

uint16_t cursor_u16(struct cursor *cursor)
{
    return (uint16_t)cursor_fixed(cursor, 2);
}

uint64_t cursor_u64(struct cursor *cursor)
{
    return cursor_fixed(cursor, 8);
}

uint64_t cursor_varint_long(struct cursor *cursor)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = cursor_u8(cursor);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return v;
    }
    cursor->bad = true;
    return 0;
}

struct str cursor_blob(struct cursor *cursor)
{
    uint64_t n = cursor_varint(cursor);
    if (n > (uint64_t)(cursor->end - cursor->p)) {
        cursor->bad = true;
        return (struct str){"", 0};
    }
    return cursor_bytes(cursor, (size_t)n);
}
