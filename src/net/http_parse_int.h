/* http_parse_int.h - the pure half of the server: bytes in, a head or pieces of a chunked body out.
 *
 * No socket, no clock, no memory of its own: tests and the fuzzer call these as the server does.
 * Both readers may be given the bytes in any pieces and come to the same end. */
#ifndef NET_HTTP_PARSE_INT_H
#define NET_HTTP_PARSE_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define HTTP_HEAD_BYTES ((size_t)16 << 10) /* cookies included; browsers stay under 8 KB */
#define HTTP_URI_BYTES ((size_t)8 << 10)   /* a pixel GET carries its event in the query */
#define HTTP_HEAD_FIELDS 100               /* real clients send up to 30 */
#define HTTP_CHUNK_LINE_BYTES 256          /* a chunk's size and its extensions */
#define HTTP_TRAILER_BYTES 4096            /* all of them */

enum http_parse { PARSE_MORE, PARSE_DONE, PARSE_REFUSED };

/* RFC 9110 §5.6.2: what a name is made of. */
extern const bool http_token_chars[256];

/* --- http_head.c ------------------------------------------------------------------------------ */

/* Texts are places in the head's bytes, so those may move. */
struct http_span {
    uint16_t at, n;
};

struct http_field {
    struct http_span name, value;
};

struct http_head {
    size_t bytes;            /* lines that were read; of the whole head once it is done */
    size_t seen;             /* up to here the next line has no end */
    const char *why;         /* it was refused, with `code` */
    int code;                /* 400, 414, 431, 505 */
    struct http_span method; /* empty until the request line is read */
    struct http_span path;   /* as it came: starts with '/', not decoded */
    struct http_span query;  /* behind '?', not decoded */
    uint64_t body_length;    /* of Content-Length; 0 when absent */
    unsigned framings, hosts;
    bool length_unclear;
    bool is_1_0, chunked;
    bool close, keep_alive; /* what Connection says */
    bool expects;           /* 100-continue */
    unsigned fields_count;
    struct http_field fields[HTTP_HEAD_FIELDS];
};

void http_head_init(struct http_head *head);
/* `bytes` are all bytes of the head so far, those of earlier calls included; what follows the head
 * may follow. */
enum http_parse http_head_read(struct http_head *head, const char *bytes, size_t n);

static inline struct str http_span_str(const char *bytes, struct http_span span)
{
    return (struct str){bytes + span.at, span.n};
}

/* Percent-decoding in place: a NUL becomes U+FFFD, what is no code stays. Gives the new length. */
size_t http_unescape(char *text, size_t n);

/* --- http_chunk.c ----------------------------------------------------------------------------- */

struct http_chunks {
    int state;     /* its own; zero everything to begin */
    unsigned line; /* bytes of the line that is read, or of all trailers */
    bool digits;   /* a size has begun */
    uint64_t left; /* of this chunk */
};

/* Takes from the front of `bytes`: at most one piece of the body, "" when there is none. Call it
 * until `bytes` is empty, or the body is done (what is left belongs to nobody), or refused. */
enum http_parse http_chunks_read(struct http_chunks *chunks, struct str *bytes,
                                 struct str *ret_piece);
#endif
