/* input.c - the bytes of a file, whatever it is packed in: plain, gzip or zstd, told by the first
 * bytes.
 *
 * Names lie (report.csv that is gzip), bytes do not. Several packed streams in one file follow each
 * other, as both formats allow. A stream that is cut is an error, not an end: half an import that
 * looks whole would be worse than none. */
#include "table/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/arena.h"
#include "base/check.h"

#define RAW_BYTES ((size_t)256 << 10)

enum packing { PLAIN, GZIP, ZSTD };

struct table_input {
    int fd;
    enum packing packing;
    uint64_t read, total;
    unsigned char *raw;
    size_t from, end;
    bool raw_ended;
    bool inside; /* a packed stream has begun and not ended */
    z_stream gzip;
    ZSTD_DStream *zstd;
    char *path;
};

static enum status raw_fill(struct table_input *input, struct err *err)
{
    if (input->from < input->end || input->raw_ended)
        return ST_OK;
    ssize_t n;
    do {
        n = read(input->fd, input->raw, RAW_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, ST_IO, "could not read \"%s\": %s", input->path, strerror(errno));
    input->from = 0;
    input->end = (size_t)n;
    input->read += (uint64_t)n;
    input->raw_ended = n == 0;
    return ST_OK;
}

static void packing_tell(struct table_input *input)
{
    const unsigned char *p = input->raw;
    if (input->end >= 2 && p[0] == 0x1f && p[1] == 0x8b) {
        input->packing = GZIP;
        CHECK(inflateInit2(&input->gzip, 15 + 16) == Z_OK);
    } else if (input->end >= 4 && p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd) {
        input->packing = ZSTD;
        input->zstd = ZSTD_createDStream();
        CHECK(input->zstd != NULL);
    }
}

static enum status file_open(const char *path, int *ret_fd, uint64_t *ret_size, struct err *err)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, "could not open \"%s\": %s",
                       path, strerror(errno));
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        close(fd);
        return err_set(err, ST_INVALID, "could not read \"%s\": it is no file", path);
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)stat.st_size;
    return ST_OK;
}

enum status table_input_open(const char *path, struct table_input **ret_input, struct err *err)
{
    int fd;
    uint64_t size;
    enum status status = file_open(path, &fd, &size, err);
    if (status != ST_OK)
        return status;
    struct table_input *input = mem_zero(sizeof *input);
    input->fd = fd;
    input->total = size;
    input->raw = mem_alloc(RAW_BYTES);
    input->path = strdup(path);
    status = raw_fill(input, err);
    if (status != ST_OK) {
        table_input_close(input);
        return status;
    }
    packing_tell(input);
    *ret_input = input;
    return ST_OK;
}

void table_input_close(struct table_input *input)
{
    if (input == NULL)
        return;
    if (input->packing == GZIP)
        inflateEnd(&input->gzip);
    ZSTD_freeDStream(input->zstd);
    close(input->fd);
    free(input->raw);
    free(input->path);
    free(input);
}

static enum status damaged(const struct table_input *input, struct err *err)
{
    return err_set(err, ST_INVALID, "could not unpack \"%s\": it is damaged or cut near byte %llu",
                   input->path, (unsigned long long)(input->read - (input->end - input->from)));
}

static enum status gzip_step(struct table_input *input, char *to, size_t n, size_t *ret_n,
                             struct err *err)
{
    z_stream *z = &input->gzip;
    z->next_in = input->raw + input->from;
    z->avail_in = (unsigned)(input->end - input->from);
    z->next_out = (unsigned char *)to;
    z->avail_out = (unsigned)n;
    int code = inflate(z, Z_NO_FLUSH);
    input->from = input->end - z->avail_in;
    *ret_n = n - z->avail_out;
    if (code == Z_STREAM_END) {
        input->inside = false;
        return inflateReset(z) == Z_OK ? ST_OK : damaged(input, err);
    }
    return code == Z_OK || code == Z_BUF_ERROR ? ST_OK : damaged(input, err);
}

static enum status zstd_step(struct table_input *input, char *to, size_t n, size_t *ret_n,
                             struct err *err)
{
    ZSTD_inBuffer in = {input->raw, input->end, input->from};
    ZSTD_outBuffer out = {to, n, 0};
    size_t code = ZSTD_decompressStream(input->zstd, &out, &in);
    if (ZSTD_isError(code))
        return damaged(input, err);
    input->from = in.pos;
    input->inside = code != 0;
    *ret_n = out.pos;
    return ST_OK;
}

static enum status plain_step(struct table_input *input, char *to, size_t n, size_t *ret_n)
{
    size_t left = input->end - input->from;
    *ret_n = left < n ? left : n;
    memcpy(to, input->raw + input->from, *ret_n);
    input->from += *ret_n;
    return ST_OK;
}

enum status table_input_read(struct table_input *input, char *to, size_t n, size_t *ret_n,
                             struct err *err)
{
    size_t got = 0;
    if (n > INT32_MAX)
        n = INT32_MAX;
    while (got == 0) {
        enum status status = raw_fill(input, err);
        if (status != ST_OK)
            return status;
        bool no_more = input->raw_ended && input->from == input->end;
        if (no_more && !input->inside)
            break;
        input->inside = input->packing != PLAIN;
        status = input->packing == GZIP   ? gzip_step(input, to, n, &got, err)
                 : input->packing == ZSTD ? zstd_step(input, to, n, &got, err)
                                          : plain_step(input, to, n, &got);
        if (status != ST_OK)
            return status;
        if (no_more && got == 0 && input->inside)
            return damaged(input, err);
    }
    *ret_n = got;
    return ST_OK;
}

void table_input_bytes(const struct table_input *input, uint64_t *ret_read, uint64_t *ret_total)
{
    *ret_read = input->read;
    *ret_total = input->total;
}

enum status table_input_hash(const char *path, char ret_text[65], struct err *err)
{
    int fd;
    uint64_t size;
    enum status status = file_open(path, &fd, &size, err);
    if (status != ST_OK)
        return status;
    unsigned char *bytes = mem_alloc(RAW_BYTES), hash[32];
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    ssize_t n;
    while ((n = read(fd, bytes, RAW_BYTES)) > 0)
        crypto_hash_sha256_update(&state, bytes, (unsigned long long)n);
    close(fd);
    free(bytes);
    if (n < 0)
        return err_set(err, ST_IO, "could not read \"%s\": %s", path, strerror(errno));
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(ret_text, 65, hash, sizeof hash);
    return ST_OK;
}
