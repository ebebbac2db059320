/* http_chunk.c - a chunked body, strictly (RFC 9112 §7.1): sizes in at most 15 hexadecimal digits,
 * every line ended by CR LF, extensions and trailers bounded, read and dropped.
 *
 * A body that ends early or late for one of two readers smuggles what follows it, as an ambiguous
 * head does. So neither a blank, nor a sign, nor a bare LF is passed over. */
#include "net/http_parse_int.h"

enum chunk_state {
    CHUNK_SIZE, /* 0: where a body begins */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* at the beginning of a line */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_TEXT,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_END,
    CHUNK_BAD,
};

#define SIZE_MOST (UINT64_MAX >> 8) /* one more digit could not overflow */

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(unsigned char c)
{
    return (c >= 0x20 || c == '\t') && c != 0x7f;
}

static enum chunk_state size_byte(struct http_chunks *chunks, unsigned char c)
{
    int digit = hex_digit(c);
    if (digit >= 0 && chunks->left <= SIZE_MOST) {
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        chunks->digits = true;
        return CHUNK_SIZE;
    }
    if (!chunks->digits)
        return CHUNK_BAD;
    if (c == '\r')
        return CHUNK_SIZE_LF;
    return c == ';' ? CHUNK_EXTENSION : CHUNK_BAD;
}

/* "name: value", as in a head, or the empty line at the end. */
static enum chunk_state trailer_byte(const struct http_chunks *chunks, unsigned char c)
{
    if (chunks->state == CHUNK_TRAILER_TEXT && c == '\r')
        return CHUNK_TRAILER_LF;
    if (chunks->state == CHUNK_TRAILER_TEXT)
        return is_text(c) ? CHUNK_TRAILER_TEXT : CHUNK_BAD;
    if (chunks->state == CHUNK_TRAILER && c == '\r')
        return CHUNK_END_LF;
    if (chunks->state == CHUNK_TRAILER_NAME && c == ':')
        return CHUNK_TRAILER_TEXT;
    return http_token_chars[c] ? CHUNK_TRAILER_NAME : CHUNK_BAD;
}

static enum chunk_state size_done(struct http_chunks *chunks)
{
    chunks->line = 0;
    chunks->digits = false;
    return chunks->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
}

/* One byte that is no data. */
static enum chunk_state next_state(struct http_chunks *chunks, unsigned char c)
{
    switch ((enum chunk_state)chunks->state) {
    case CHUNK_SIZE:
        return ++chunks->line > HTTP_CHUNK_LINE_BYTES ? CHUNK_BAD : size_byte(chunks, c);
    case CHUNK_EXTENSION:
        if (++chunks->line > HTTP_CHUNK_LINE_BYTES)
            return CHUNK_BAD;
        return c == '\r' ? CHUNK_SIZE_LF : is_text(c) ? CHUNK_EXTENSION : CHUNK_BAD;
    case CHUNK_SIZE_LF:
        return c == '\n' ? size_done(chunks) : CHUNK_BAD;
    case CHUNK_DATA_CR:
        return c == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
    case CHUNK_DATA_LF:
        return c == '\n' ? CHUNK_SIZE : CHUNK_BAD;
    case CHUNK_TRAILER:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_TEXT:
        return ++chunks->line > HTTP_TRAILER_BYTES ? CHUNK_BAD : trailer_byte(chunks, c);
    case CHUNK_TRAILER_LF:
        return c == '\n' ? CHUNK_TRAILER : CHUNK_BAD;
    case CHUNK_END_LF:
        return c == '\n' ? CHUNK_END : CHUNK_BAD;
    case CHUNK_DATA:
    case CHUNK_END:
    case CHUNK_BAD:
        break;
    }
    return CHUNK_BAD;
}

static void take_data(struct http_chunks *chunks, struct str *bytes, struct str *ret_piece)
{
    size_t n = bytes->n < chunks->left ? bytes->n : (size_t)chunks->left;
    *ret_piece = (struct str){bytes->p, n};
    *bytes = (struct str){bytes->p + n, bytes->n - n};
    chunks->left -= n;
    if (chunks->left == 0)
        chunks->state = CHUNK_DATA_CR;
}

enum http_parse http_chunks_read(struct http_chunks *chunks, struct str *bytes,
                                 struct str *ret_piece)
{
    *ret_piece = STR("");
    while (bytes->n > 0 && chunks->state < CHUNK_END) {
        if (chunks->state == CHUNK_DATA) {
            take_data(chunks, bytes, ret_piece);
            return PARSE_MORE;
        }
        chunks->state = (int)next_state(chunks, (unsigned char)bytes->p[0]);
        bytes->p++;
        bytes->n--;
    }
    if (chunks->state < CHUNK_END)
        return PARSE_MORE;
    return chunks->state == CHUNK_END ? PARSE_DONE : PARSE_REFUSED;
}
