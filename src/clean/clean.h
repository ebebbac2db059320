/* clean.h - one definition of every value, and one verdict for every event.
 *
 * The first step of the pipeline and its sequencer: it decodes a journal record, brings times,
 * identifiers, names and amounts to their normal forms, picks the anchor, and decides exactly
 * whether the event is a duplicate. A pure function of the record, the rules at that position and
 * the deduplication index, so a replay decides the same.
 *
 * Depends on: base, log, event. Called by: pipeline (writes), collect and api (clean_known, normal
 * forms). All calls but clean_known, clean_buried and clean_stats belong to the one thread that
 * cleans. */
#ifndef CLEAN_CLEAN_H
#define CLEAN_CLEAN_H

#include "base/arena.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/json.h"
#include "event/event.h"
#include "log/log_read.h"

#define CLEAN_NAMES_MAX                                                                            \
    10000 /* distinct event names; a shop has 50, a bug or an attack a million */
#define CLEAN_WINDOW_DAYS_MAX 250 /* the day's number in the sorted file is one byte */

enum clean_verdict {
    CLEAN_STORED = 1,
    CLEAN_DUPLICATE = 2,
    CLEAN_QUARANTINED = 3,
    CLEAN_SKIPPED = 4, /* an erased record, a tick, a record that is no event */
};
const char *clean_verdict_name(enum clean_verdict verdict);

/* An event as the steps behind clean see it. Texts live in the batch's arena or in the record. */
struct clean_event {
    enum clean_verdict verdict;
    enum event_reason reason; /* when quarantined */
    uint64_t position;
    uint32_t source;
    int64_t received_us;
    int64_t time_us;        /* corrected event time: see clean_time */
    struct hash128 message; /* hash_public(message_id): the tie-breaker of every fold (ADR 0003) */
    struct event event; /* as decoded; when stored: identifiers normalised, refused ones left out,
                         * [0] is the ANCHOR, the rest in priority order then byte order, so the
                         * order of the client does not matter */
    yyjson_val *properties; /* parsed, of an event that may change traits; else NULL */
    bool has_amount;
    int64_t amount_micros; /* revenue, total, value or amount of an order-like event */
    char currency[4];      /* ISO 4217, "" when unknown */
    struct str campaign;   /* context.campaign.name, or utm_campaign */
};

struct clean; /* the rules, the name registry and the deduplication index */

struct clean_options {
    const char *folder; /* DATA/dedup; made if absent */
    struct disk *disk;
    const struct hash_key *key; /* of this data directory */
    int64_t window_us;          /* how long message ids are remembered; 0 = 30 days */
    uint64_t ids_max;           /* bound by count too; 0 = 100 million */
    uint64_t part_ids; /* a day with more leaves memory in parts of so many; 0 = 4 million */
    bool bug_dedup_off_by_one; /* HEZOU_BUG, test builds only */
};

/* Open at the store's position: `lengths` is what clean_sync gave at the flush, "" for an empty
 * store. Day files are cut to those lengths. ST_CORRUPT when a file is shorter than its length. */
MUST_USE enum status clean_open(const struct clean_options *options, struct str lengths,
                                struct clean **ret_clean, struct err *err);
void clean_close(struct clean *clean);

/* Clean one record. What the result borrows lives in `arena` and in the record. Remembers the
 * message id of a stored event at once (a twin later in the same batch is a duplicate). */
void clean_record(struct clean *clean, const struct log_record *record, struct arena *arena,
                  struct clean_event *ret_event);

/* Make what was remembered durable and describe it: called before each flush of the state, stored
 * with it. A failure of the sync is fatal for the caller; ST_BUSY (disk full) passes. */
MUST_USE enum status clean_sync(struct clean *clean, struct buf *lengths, struct err *err);

/* Remember for ever, durably, that these ids were erased: called by an erase before it overwrites
 * the records, any thread. A rebuild cannot learn them from the journal any more, and without them
 * an SDK's retry or a second import of the file would bring the events back. */
MUST_USE enum status clean_bury(struct clean *clean, const struct hash128 *ids, size_t ids_count,
                                struct err *err);
/* The ids as clean_bury takes them: of an event, and of bytes that never became one. */
struct hash128 clean_id(const struct clean *clean, uint32_t source, struct str message_id);
struct hash128 clean_raw_id(const struct clean *clean, uint32_t source, struct str raw);

/* For the door, from any thread: is this message id already decided? False is not a promise. */
bool clean_known(struct clean *clean, uint32_t source, struct str message_id);
/* Also for the door: was this erased? Costs nothing as long as nothing was. */
bool clean_buried(struct clean *clean, uint32_t source, struct str message_id);
bool clean_buried_raw(struct clean *clean, uint32_t source, struct str raw);

struct clean_stats {
    uint64_t ids;      /* remembered now */
    int64_t window_us; /* as it is in force; shorter than asked when `window_cut` */
    bool window_cut;
    uint64_t names,
        names_overflow; /* distinct names since the start; events whose name had no room */
    uint64_t identifiers_refused; /* since the start */
    size_t memory_bytes;
};
void clean_stats(struct clean *clean, struct clean_stats *ret_stats); /* any thread */

/* --- normal forms: pure, also for the command line and the door ------------------------------- */

/* Corrected event time: original + (received - sent) when both client times are there (Segment's
 * rule), original alone without sent, received without either. A correction that lands more than
 * 23 h after `received` is distrusted: original, if not later than received + 24 h, else received.
 */
int64_t clean_time(int64_t original_us, int64_t sent_us, int64_t received_us);

/* Each gives the normal form, in `arena` or as a part of `value`; false when the value can be no
 * identifier of that type (blocked, or no phone, no address, …). phone: E.164, +86 assumed for 11
 * digits from 1[3-9]; email: trimmed, NFC, lower case, without a final dot (ADR); others: trimmed,
 * NFC. Blocked for all: empty, only '0' and '-', -1, null, none, undefined, anonymous, guest, nan,
 * true, false, [object Object], (null), id, email, distinct_id and the like, also in quotes. */
bool clean_identifier(enum identifier_type type, struct str value, struct arena *arena,
                      struct str *ret_value);

/* A decimal number as text or JSON number into millionths, half up. False when none or out of
 * range. */
bool clean_amount_parse(struct str text, int64_t *ret_micros);
/* ISO 4217 from codes, symbols and words in use: cny CNY rmb RMB ¥ 元 人民币 usd $ eur €
 * gbp £ …; false if unknown. */
bool clean_currency(struct str text, char ret_code[4]);
/* Digits after the point of a currency's minor unit (ISO 4217: 2 for CNY, 0 for JPY). */
int clean_currency_exponent(const char code[4]);
/* The one conversion to integer minor units, half up (away from zero). */
int64_t clean_amount_minor(int64_t micros, const char code[4]);
#endif
