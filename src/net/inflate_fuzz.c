/* inflate_fuzz.c - any bytes: no crash, and never more than the limit. */
#include "net/inflate.h"

#include <stdint.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct buf buf;
    struct err err;
    /* The first byte sets a small limit, so that its edge is met often. */
    size_t max = n > 0 ? (size_t)bytes[0] * 64 : 0;

    buf_init(&buf, max);
    struct str text = n > 0 ? (struct str){(const char *)bytes + 1, n - 1} : STR("");
    enum status status = inflate_gzip(text, &buf, &err);
    CHECK(buf.n <= max && (status == ST_OK || buf.n == 0));
    buf_done(&buf);
    return 0;
}
