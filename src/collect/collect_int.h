/* collect_int.h - for the folder alone: the workspace of a request, and what the translators share.
 *
 * A request passes through three hands: collect.c (the road: key, body, answer), one translator
 * (segment.c, sensors.c, own.c: parsed JSON to an event, pure), and intake.c (gate, frames, what
 * came of each item). Texts of a translated event are borrowed from the document, the door's arena
 * or its writer slots, and live until the next item. */
#ifndef COLLECT_COLLECT_INT_H
#define COLLECT_COLLECT_INT_H

#include "access/access.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/rng.h"
#include "clean/clean.h"
#include "collect/collect.h"
#include "event/event.h"
#include "net/address.h"
#include "privacy/privacy.h"

#define COLLECT_FRAMES_MAX ((size_t)64 << 20)     /* 2,500 trusted events are far below it */
#define COLLECT_RAW_MAX LIMIT_EVENT_TRUSTED_BYTES /* of a quarantined item; the rest is cut off */
#define COLLECT_POOL_KEPT ((size_t)8 << 20) /* parser memory that a door keeps between requests */
#define COLLECT_WORK_BYTES ((size_t)256 << 10) /* a larger body is no work for a network thread */

/* --- door.c: memory and JSON of one request at a time ----------------------------------------- */

/* One text that yyjson writes, kept for the next time: no malloc per event once warm. */
struct text_slot {
    char *p;
    size_t capacity;
};

enum slot { SLOT_PROPERTIES, SLOT_CONTEXT, SLOT_RAW, SLOT_COUNT };

struct door {
    struct json_pool pool;  /* the body's document */
    struct json_pool judge; /* one item of a body that is no strict JSON */
    struct arena arena;
    struct text_slot slots[SLOT_COUNT];
    struct buf payload, body, fields, scratch, context;
    enum collect_ip ip; /* of this request */
    yyjson_doc *loose;  /* of the current body, freed by the next reset */
    yyjson_doc *merged; /* the current item's context, likewise */
    struct rng *rng;
    struct door *next;
};

void collect_door_init(struct door *door, struct rng *rng);
void collect_door_done(struct door *door);
/* Between two requests. */
void collect_door_reset(struct door *door);

/* `value` as compact JSON; empty when it holds bytes that are no UTF-8. Lives until the slot's next
 * use. */
struct str collect_door_write(struct door *door, enum slot slot, yyjson_val *value);
/* The same with bad bytes let through. */
struct str collect_door_write_raw(struct door *door, enum slot slot, yyjson_val *value);
/* A string as it is, a number as its text, else empty. */
struct str collect_door_text(struct door *door, yyjson_val *value);

/* The root of a body. *ret_strict false: it has bytes that are no UTF-8 or is too deep, so that
 * collect_door_judge must see each item. ST_INVALID when it is no JSON at all. */
MUST_USE enum status collect_door_parse(struct door *door, struct str text, yyjson_val **ret_root,
                                        bool *ret_strict, struct err *err);
/* One item of a body that is not strict: the same item parsed alone, or why it cannot be taken. */
enum event_reason collect_door_judge(struct door *door, yyjson_val *item, yyjson_val **ret_item);

/* --- the translators: parsed JSON to an event, pure ------------------------------------------- */

struct translated {
    struct event event;
    yyjson_val *context; /* for the privacy gate, also when the translation failed; NULL if none */
    bool has_ip;
    bool by_visitor; /* its library runs where the visitor is: who sends it is who it is about */
};

/* What a batch says for all its items. */
struct batch_head {
    enum event_type type; /* by the path; 0 = each item's own */
    int64_t sent_us;
    yyjson_val *context;     /* merged under each item's */
    struct str context_text; /* written once: most items of such a batch have no context */
};

/* `item` is an object. REASON_NONE, or why it is no event. */
typedef enum event_reason collect_translate(struct door *door, const struct batch_head *head,
                                            yyjson_val *item, struct translated *ret);
collect_translate collect_segment_event, collect_sensors_event, collect_own_event;

/* Helpers of the translators (door.c). */
/* A client's time: absent is true with 0, unreadable false. */
bool collect_time(struct door *door, yyjson_val *value, int64_t *ret_us);
/* Absent and null are true with an empty text; anything else than an object is false. */
bool collect_object(struct door *door, enum slot slot, yyjson_val *value, struct str *ret_text);
/* `object` (compact or empty) with one more member in front, written to `out`. */
struct str collect_with_member(struct buf *out, const char *name, struct str value,
                               struct str object);

/* --- ip.c: addresses in contexts ----------------------------------------------------------------
 */

/* As `ip` wants it; an empty text when it may not be kept. */
struct str collect_ip_write(enum collect_ip ip, struct address address,
                            char text[ADDRESS_TEXT_BYTES]);
/* The ip of a context that is about to be written out, cut in place. True when there is one, or was
 * until here. */
bool collect_ip_own(struct door *door, yyjson_val *context);
/* Is this a Segment library that runs where the visitor is, or does the context say so itself? */
bool collect_ip_direct(yyjson_val *context);

/* --- intake.c: what comes of each item -------------------------------------------------------- */

struct intake {
    /* Given. */
    struct door *door;
    struct privacy *privacy;
    struct clean *clean; /* what was erased is not taken again; NULL = do not ask */
    bool ask_known;      /* duplicates too; else they are left to the pipeline */
    struct str path;
    struct str channel; /* of the source */
    uint32_t source;
    size_t event_max;
    char ip_text[ADDRESS_TEXT_BYTES];
    struct str
        ip; /* of who sent the request, as it may be kept; empty = not known, or not to be said */
    bool gpc;
    bool by_visitor; /* all its items are */
    bool want_results;
    bool dry_run; /* judge only */
    /* What came of it. */
    struct buf frames;
    uint32_t records, items;
    uint32_t events, quarantined, denied, duplicates, crc_mismatches;
    size_t last_at; /* of the last record in `frames` */
    enum event_reason first_reason;
    struct buf results; /* the answer's result objects, without their positions */
    struct buf marks;   /* struct intake_mark each: where `results` wants one */
};

struct intake_mark {
    size_t cut; /* where in `results` */
    size_t at;  /* of the record in `frames` */
};

void collect_intake_init(struct intake *intake, struct door *door);
void collect_intake_done(struct intake *intake);
/* Translate and take one item, or all items of an array (one in a bad form is put into quarantine
 * alone). `raw` is the item's own bytes; empty = written out again when they are needed. */
void collect_intake_item(struct intake *intake, collect_translate *translate,
                         const struct batch_head *head, yyjson_val *item, bool strict,
                         struct str raw);
void collect_intake_items(struct intake *intake, collect_translate *translate,
                          const struct batch_head *head, yyjson_val *items, bool strict);
/* Bytes that never became an item; `context` for the gate, if one is known. */
void collect_intake_refuse(struct intake *intake, enum event_reason reason, yyjson_val *context,
                           struct str raw);
/* LIMIT_BATCH_EVENTS are taken: what is left goes into quarantine as one. */
bool collect_intake_full(const struct intake *intake);
/* The own batch's answer; `first` is the offset of its first record, `end` the journal's. */
void collect_intake_answer(const struct intake *intake, uint64_t first, uint64_t end,
                           struct buf *answer);

/* Whole bodies to items. False when the JSON is no body of that protocol. */
bool collect_segment_take(struct intake *intake, enum event_type type, yyjson_val *root,
                          bool strict);
bool collect_own_take(struct intake *intake, yyjson_val *root, bool strict);
/* One event a line. False (nothing taken) when the first line is no JSON object by itself. */
bool collect_own_take_lines(struct intake *intake, struct str body);

/* One 神策 transmission, as its form says it. */
struct sensors_form {
    struct str data; /* data or data_list, undone from percent codes */
    struct str gzip, crc;
};

struct sensors_opened {
    yyjson_val *root; /* NULL: `reason` says why */
    bool strict;
    bool crc_mismatch; /* counted, and the data kept */
    enum event_reason reason;
    struct str raw;
};
/* The records' JSON. Else false with the reason and the bytes for quarantine. */
bool collect_sensors_open(struct door *door, const struct sensors_form *form,
                          struct sensors_opened *ret);
void collect_sensors_take(struct intake *intake, const struct sensors_opened *opened);

/* --- form.c ----------------------------------------------------------------------------------- */

/* The value of a field of an application/x-www-form-urlencoded body, decoded into `arena`. */
struct str collect_form_field(struct str body, const char *name, struct arena *arena);
/* Base64 in either alphabet, with or without padding, blanks read as '+'. False when it is none. */
bool collect_base64(struct str text, struct arena *arena, struct str *ret_bytes);
/* Java's String.hashCode over bytes, as 神策 SDKs sign their data. */
int32_t collect_java_hash(struct str text);
#endif
