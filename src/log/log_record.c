/* log_record.c - one record: framing, stamping, judging.
 *
 * The caller's thread frames a record and computes the payload's CRC, the expensive one. What only
 * the committer knows, group and received time, it writes into the frame afterwards and closes the
 * 32 bytes with their own CRC, so that a reader trusts the length before it reads the payload. */
#include "log/log_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"

#define HEAD_CRC_BYTES offsetof(struct record_head, head_crc)

void record_head_close(struct record_head *head)
{
    head->head_crc = crc32c(0, head, HEAD_CRC_BYTES);
}

void log_frame(struct buf *frames, enum log_type type, uint8_t version, uint32_t source,
               struct str payload)
{
    CHECK(payload.n <= LOG_PAYLOAD_MAX && type != 0);
    struct record_head head = {.length = (uint32_t)payload.n,
                               .type = (uint8_t)type,
                               .version = version,
                               .source = source,
                               .payload_crc = crc32c(0, payload.p, payload.n)};
    if (buf_room(frames, sizeof head + payload.n) == NULL)
        return; /* both or neither: half a frame must not be appended */
    buf_put(frames, &head, sizeof head);
    buf_put(frames, payload.p, payload.n);
}

void record_stamp(char *frames, size_t n, uint32_t count, uint8_t group, int64_t received_us,
                  bool last_of_group)
{
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct record_head head;
        CHECK(n - at >= sizeof head);
        memcpy(&head, frames + at, sizeof head);
        CHECK(head.type != 0 && head.length <= n - at - sizeof head);
        bool last = last_of_group && i + 1 == count;
        head.flags = (uint16_t)(group << HEAD_GROUP_SHIFT | (last ? HEAD_FLAG_LAST : 0));
        head.received_us = received_us;
        record_head_close(&head);
        memcpy(frames + at, &head, sizeof head);
        at += sizeof head + head.length;
    }
    CHECK(at == n);
}

enum record_state record_check(struct str bytes, struct record_head *ret_head)
{
    struct record_head head;
    if (bytes.n < sizeof head)
        return RECORD_SHORT;
    memcpy(&head, bytes.p, sizeof head);
    /* The cheap tests first: a search for records asks at every byte of a tail of zeros. */
    if (head.type == 0 || head.key_id != 0 || head.length > LOG_PAYLOAD_MAX ||
        head.head_crc != crc32c(0, &head, HEAD_CRC_BYTES))
        return RECORD_BAD_HEAD;
    *ret_head = head;
    if (bytes.n - sizeof head < head.length)
        return RECORD_SHORT;
    return crc32c(0, bytes.p + sizeof head, head.length) == head.payload_crc ? RECORD_WHOLE
                                                                             : RECORD_BAD_PAYLOAD;
}

struct log_record record_view(const char *bytes, uint64_t offset)
{
    struct record_head head;
    memcpy(&head, bytes, sizeof head);
    return (struct log_record){.offset = offset,
                               .next = offset + sizeof head + head.length,
                               .type = (enum log_type)head.type,
                               .version = head.version,
                               .flags = head.flags & HEAD_FLAGS_PUBLIC,
                               .source = head.source,
                               .received_us = head.received_us,
                               .payload = {bytes + sizeof head, head.length}};
}

/* Count the whole records at the window's start; *ret_need is how long the one after them is, as
 * far as its header says. */
static enum record_state window_walk(struct window *window, size_t n, size_t *ret_need)
{
    enum record_state state = RECORD_WHOLE;
    window->n = 0;
    while (window->n < n) {
        struct record_head head = {0};
        state = record_check((struct str){window->bytes + window->n, n - window->n}, &head);
        *ret_need = sizeof head + head.length;
        if (state != RECORD_WHOLE)
            break;
        window->last = head;
        window->n += *ret_need;
    }
    return state;
}

enum status window_fill(struct window *window, struct disk *disk, int fd, uint64_t base,
                        uint64_t from, uint64_t limit, size_t want, enum record_state *ret_stop,
                        struct err *err)
{
    window->n = 0;
    *ret_stop = RECORD_WHOLE;
    size_t need = want;
    while (from < limit) {
        size_t n = limit - from < need ? (size_t)(limit - from) : need;
        if (window->capacity < n) {
            free(window->bytes); /* its content is read again anyway */
            window->bytes = mem_alloc(n);
            window->capacity = n;
        }
        size_t got = 0;
        enum status status = disk_read_at(disk, fd, window->bytes, n,
                                          SEGMENT_HEADER_BYTES + (from - base), &got, err);
        if (status != ST_OK)
            return status;
        *ret_stop = window_walk(window, got, &need);
        /* Longer than asked for? Then once more, with room for all of it. */
        if (window->n > 0 || *ret_stop != RECORD_SHORT || got < n || n == limit - from)
            break;
    }
    return ST_OK;
}
