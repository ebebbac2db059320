/* audit.h - who did what: a record of each audited call, in chains that show when somebody changed
 * them afterwards.
 *
 * Three kinds. A CHANGE is two records: one on the disk before anything is done (or nothing is
 * done), and one with the answer, on the disk before the answer leaves. So an acknowledged change
 * is never missing, whatever ends the process; a change without an answer was interrupted. A READ
 * of personal data and a REFUSAL are one record each, gathered in memory and written by one thread
 * each second: what came in the last second before a crash may be lost. When they cannot be written
 * and memory is full too, reads are refused.
 *
 * A record names a key by its id, a route by its pattern and a person by a keyed hash: no text that
 * a stranger chose, so nothing in it must be erased. Each kind is bounded by age and by number; the
 * oldest go.
 *
 * Facts tables: audit, audit_chain. Depends on: base, store. Called by: api, app. Any thread. */
#ifndef ACCESS_AUDIT_H
#define ACCESS_AUDIT_H

#include "access/access.h"
#include "base/hash.h"

#define AUDIT_OBJECT_BYTES 40
#define AUDIT_DETAIL_BYTES 1024 /* more of a statement tells nobody more */
#define AUDIT_SUBJECT_BYTES 16
#define AUDIT_PAGE_MAX 1000

enum audit_kind { AUDIT_KIND_CHANGE = 1, AUDIT_KIND_READ, AUDIT_KIND_REFUSAL };

struct audit;

struct audit_options {
    struct facts *facts;
    const struct clock *clock;
    struct hash_key secret; /* of the data directory; the audit log's own keys are made from it */
    int64_t keep_us;        /* older records are not shown, and deleted */
    int64_t records_max;    /* of each kind */
};

MUST_USE enum status audit_open(const struct audit_options *options, struct audit **ret_audit,
                                struct err *err);
/* Writes what waits. Nobody may call any more. */
void audit_close(struct audit *audit);

/* --- one call --------------------------------------------------------------------------------- */

/* What is known of a call so far; its fields are the caller's to fill. Zero, but for the first
 * five.
 */
struct audit_call {
    struct audit *audit;
    enum audit_kind kind;
    struct str key;             /* access_grant.id, or empty */
    const char *method, *route; /* constants of the table of routes */
    bool has_subject;
    unsigned char subject[AUDIT_SUBJECT_BYTES];
    char object[AUDIT_OBJECT_BYTES]; /* "5", "k_…", "0:123": audit_object */
    struct str detail;               /* lives as long as the call; at most AUDIT_DETAIL_BYTES */
    uint64_t position;               /* of the journal record that was written; 0 = none */
    int64_t begun;                   /* the id of the change's first record; 0 = none yet */
};

/* The person whom it is about, by one identifier in its normal form. The first one stays. */
void audit_subject(struct audit_call *call, struct str type, struct str value);
/* A text of our own making, printf-like. */
void audit_object(struct audit_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* SQL without its strings, numbers, comments and quoted names, each a "?"; cut at
 * AUDIT_DETAIL_BYTES. For statements that were run: only then are bare words no data. */
struct str audit_shape(struct str sql, struct arena *arena);

/* Before a read: is there place for its record? ST_BUSY. */
MUST_USE enum status audit_room(struct audit *audit, struct err *err);
/* Before a change: its first record is on the disk when this returns ST_OK. ST_BUSY on a full disk.
 * Waits: no network thread. */
MUST_USE enum status audit_begin(struct audit_call *call, struct err *err);
/* The answer is known and has not left. Waits for the disk only if the change was begun. A change
 * must not be answered 2xx without that: checked. */
void audit_end(struct audit_call *call, int code);

/* --- questions -------------------------------------------------------------------------------- */

/* All that was ended before is on the disk. ST_BUSY on a full one: it stays in memory. */
MUST_USE enum status audit_flush(struct audit *audit, struct err *err);

struct audit_filter {
    struct str key, route;  /* empty = any */
    int kind;               /* 0 = any */
    int64_t from_us, to_us; /* to_us 0 = now */
    struct str type, value; /* a subject; empty = any */
    int64_t before;         /* the page: ids below it; 0 = the newest */
    size_t limit;           /* 1 to AUDIT_PAGE_MAX */
};

/* {"records":[{"id","time","kind","key","key_name","method","route","subject","object","detail",
 * "status","times","position","answered"}],"next"}: the newest first; a change and its answer are
 * one. "next" is the page that follows, absent after the last; a page may be empty and have one. */
MUST_USE enum status audit_list(struct audit *audit, struct access *access,
                                const struct audit_filter *filter, struct buf *json,
                                struct err *err);

/* Reads all chains: {"records","chains":[{"kind","records","last","hash"}]}. ST_CORRUPT says at
 * which record something was changed, taken away or put in. Whoever keeps a chain's hash elsewhere
 * can later tell that what came before it is the same. */
MUST_USE enum status audit_check(struct audit *audit, struct buf *json, struct err *err);

struct audit_stats {
    uint64_t written, waiting;
    uint64_t lost; /* answers of changes that could not be written at all; the change is recorded */
};
void audit_stats(struct audit *audit, struct audit_stats *ret_stats);
#endif
