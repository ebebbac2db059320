/* limits.h - everything a stranger can make grow has a ceiling here, with its reason. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define LIMIT_EVENT_BYTES ((size_t)32 << 10) /* Segment's documented limit for one event */
#define LIMIT_EVENT_TRUSTED_BYTES                                                                  \
    ((size_t)1 << 20) /* imports and secret keys: an invoice of 1,114 lines is 130 KB */
#define LIMIT_BODY_BYTES                                                                           \
    ((size_t)4 << 20) /* Segment says 500 KB, RudderStack 4 MB: the larger of both */
#define LIMIT_INFLATED_BYTES ((size_t)8 << 20) /* what a gzip body may become */
#define LIMIT_BATCH_EVENTS 2500                /* Segment's documented limit for one batch */
#define LIMIT_MESSAGE_ID_BYTES 255 /* Segment says 100; 神策 and imports compose longer ones */
#define LIMIT_NAME_BYTES 200       /* event names, sources, channels */
#define LIMIT_IDENTIFIER_BYTES 255 /* 神策's limit for an id */
#define LIMIT_EVENT_IDENTIFIERS 16 /* no client sends more than 8 */
#define LIMIT_COMPONENT_IDENTIFIERS                                                                \
    1000                  /* DESIGN §5: a larger component is frozen and reported                 \
                           */
#define LIMIT_WAITERS 256 /* suspended `after=` readers */
#define LIMIT_WAIT_US (INT64_C(10) * 1000000)    /* then 504 */
#define LIMIT_INFLIGHT_BYTES ((size_t)256 << 20) /* bodies and appends not yet written; then 503 */
#endif
