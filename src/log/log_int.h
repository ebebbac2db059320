/* log_int.h - what the files of the journal share: the record's header, the segment list, the
 * state.
 *
 * Threads: callers queue appends and overwrites under `mutex`; the committer alone writes files,
 * moves `end`, `group` and `last_us`; readers have files of their own. `bytes_lock` is held for
 * reading while a reader copies bytes and for writing while an overwrite changes them. */
#ifndef LOG_LOG_INT_H
#define LOG_LOG_INT_H

#include "log/log_read.h"

#include <pthread.h>

#define LOG_PATH_BYTES 1024u
#define SEGMENT_HEADER_BYTES 64u
#define SEGMENT_BYTES_DEFAULT (UINT64_C(128) << 20)
#define SEGMENT_AGE_US                                                                             \
    US_PER_DAY /* else a quiet shop's segment outlives the days that it may be kept */
/* One sync of more only makes its callers wait longer. */
#define GROUP_BYTES_MAX ((size_t)16 << 20)
#define RESERVE_STEP_BYTES (UINT64_C(16) << 20)
#define SYNC_SAMPLES 1024u

/* Kept in record_head.flags, unseen by readers. A group is what one sync made durable: its number
 * (low 8 bits) tells whether a record behind a damaged one was written before or after the damaged
 * one had been synced, see log_open.c. */
#define HEAD_FLAGS_PUBLIC LOG_FLAG_ERASED
#define HEAD_FLAG_LAST 0x0002u /* the last record of its group */
#define HEAD_GROUP_SHIFT 8

/* The 32 bytes before each payload, as they lie on the disk (little endian). */
struct record_head {
    uint32_t length;
    uint8_t type;
    uint8_t version;
    uint16_t flags;
    uint32_t source;
    uint32_t key_id; /* 0, reserved */
    int64_t received_us;
    uint32_t payload_crc;
    uint32_t head_crc; /* of the 28 bytes before */
};
_Static_assert(sizeof(struct record_head) == LOG_HEADER_BYTES, "no padding");

enum record_state {
    RECORD_WHOLE,
    RECORD_SHORT,       /* the bytes given end inside it */
    RECORD_BAD_HEAD,    /* no header here: damage, zeros, or not a record's start */
    RECORD_BAD_PAYLOAD, /* the header holds, the payload does not */
};

static inline uint8_t head_group(const struct record_head *head)
{
    return (uint8_t)(head->flags >> HEAD_GROUP_SHIFT);
}

/* log_record.c */
/* Judge the record at the start of `bytes`. `head` is filled unless SHORT of 32 bytes or BAD_HEAD.
 */
enum record_state record_check(struct str bytes, struct record_head *ret_head);
void record_head_close(struct record_head *head); /* compute head_crc */
struct log_record record_view(const char *bytes, uint64_t offset);
/* Stamp `count` framed records with their group and received time. */
void record_stamp(char *frames, size_t n, uint32_t count, uint8_t group, int64_t received_us,
                  bool last_of_group);

/* Whole, checked records copied from one segment file. */
struct window {
    char *bytes;
    size_t capacity;
    size_t n;                /* bytes of whole records */
    struct record_head last; /* of them, when n > 0 */
};
/* Read up to about `want` bytes of whole records that stand in [from, limit) of the segment whose
 * first offset is `base`: at least one, however long, if it is undamaged. *ret_stop says why it
 * ended there: WHOLE or SHORT at the end of what was asked, else the damage found. */
MUST_USE enum status window_fill(struct window *window, struct disk *disk, int fd, uint64_t base,
                                 uint64_t from, uint64_t limit, size_t want,
                                 enum record_state *ret_stop, struct err *err);

/* One segment: file name and first offset are `base`; it ends where the next one starts. */
struct segment {
    uint64_t base;
    int64_t created_us;
    int64_t before_us; /* received time of the last record before it */
    uint8_t group;     /* number of its first group */
};

/* A segment's file in somebody's hands. */
struct segment_file {
    int fd; /* -1: none */
    struct segment segment;
};

struct overwrite {
    const uint64_t *offsets;
    size_t count;
    enum status status;
    struct err err;
    bool done;
    struct overwrite *next;
};

struct log {
    char *folder;
    struct disk *disk;
    const struct clock *clock;
    uint64_t segment_bytes, size_max;
    size_t inflight_max;
    bool bug_ack_before_sync;

    pthread_mutex_t retain_mutex; /* one retention at a time; taken before `mutex` */
    pthread_mutex_t mutex;
    pthread_cond_t work;     /* for the committer */
    pthread_cond_t progress; /* for readers and for callers of log_overwrite */
    struct log_append *queue, **queue_tail;
    struct overwrite *overwrites, **overwrites_tail;
    size_t inflight; /* queued or being written */
    size_t unsynced; /* written, and not yet in `end` */
    uint64_t wakes;
    bool stopping;
    bool full;
    struct segment *segments; /* in order; the last one is written to */
    size_t segments_count, segments_capacity;
    uint64_t start, end; /* moved under `mutex`, read atomically */
    uint64_t reached;    /* atomic; 0: nobody says */
    struct log_stats stats;
    int64_t sync_us[SYNC_SAMPLES];

    /* The next segment's file: under `mutex`, but `fd` and `bytes` are the thread's own while it
     * is writing, and `wanted` is only changed by the committer. */
    struct {
        pthread_t thread;
        pthread_cond_t changed;
        int fd;          /* -1: none */
        uint64_t bytes;  /* zeros in it, synced */
        uint64_t wanted; /* so many by now */
        bool writing, given_up;
    } ahead;

    pthread_rwlock_t bytes_lock;

    /* The committer's own. */
    pthread_t committer;
    struct segment active; /* a copy of the last segment, */
    int fd;                /* and its file */
    int mark_fd;
    uint64_t reserved; /* bytes of that file that have blocks already */
    int64_t last_us;
    uint8_t group;
    size_t crowd; /* appends in the last group */
    bool uncut;   /* bytes of a refused group stand behind the end */
    int64_t probed_us;
    int64_t spent_us; /* when the spare file was last given back, by any thread; atomic */
};

/* log_segment.c */
void segment_path(const struct log *log, uint64_t base, char *ret_path, size_t n);
static inline uint64_t segment_at(const struct segment *segment, uint64_t offset)
{
    return SEGMENT_HEADER_BYTES + (offset - segment->base);
}
/* Make the file of a new last segment, durable, and open it. *ret_reserved: so many of its bytes
 * have blocks already. */
MUST_USE enum status segment_create(struct log *log, const struct segment *segment, int *ret_fd,
                                    uint64_t *ret_reserved, struct err *err);
MUST_USE enum status segment_open(struct log *log, uint64_t base, int flags, int *ret_fd,
                                  struct err *err);
/* Read and check a segment's header. */
MUST_USE enum status segment_load(struct log *log, uint64_t base, struct segment *ret_segment,
                                  uint64_t *ret_size, struct err *err);
/* The bases of all segment files of the folder, in order; *ret_bases is malloc'd. */
MUST_USE enum status segment_list(const struct log *log, uint64_t **ret_bases, size_t *ret_count,
                                  struct err *err);
void segment_push(struct log *log, const struct segment *segment); /* under `mutex` */
/* Make `file` the one that holds `offset` (kept if it already is). ST_GONE when deleted. */
MUST_USE enum status segment_turn(struct log *log, struct segment_file *file, uint64_t offset,
                                  int flags, uint64_t *ret_limit, struct err *err);
void segment_close(struct segment_file *file);
enum status segment_damaged(uint64_t base, uint64_t offset, struct err *err);

/* log_mark.c: the file `synced`, which says how far the journal was known to be on the disk. */
MUST_USE enum status mark_open(struct log *log, uint64_t *ret_end, struct err *err);
void mark_write(struct log *log);

/* log_room.c: what happens when the disk is full. */
void room_keep(struct log *log);  /* have the spare file that an erase may use up */
void room_spend(struct log *log); /* give the spare file's space back to the disk */
bool room_cut(struct log *log);   /* remove bytes of a refused group; false: not yet */
void room_probe(struct log *log); /* is there room again? */
void room_reserve(struct log *log, uint64_t bytes);
bool room_has(const struct log *log, uint64_t bytes); /* free on the disk; false: or not known */

/* log_ahead.c: the next segment's file, of zeros. All but open and close are the committer's. */
void ahead_open(struct log *log);
void ahead_close(struct log *log); /* when `stopping` is set */
void ahead_want(struct log *log);  /* after a group: the next piece may be due */
/* The file is the caller's, -1 if there is none; so many zeros of it are on the disk. */
int ahead_take(struct log *log, uint64_t *ret_bytes);
/* What was taken gets its name, durably. */
MUST_USE enum status ahead_name(struct log *log, const char *path, struct err *err);
void ahead_give_up(struct log *log); /* its room is needed; until the segment turns */

/* log_commit.c */
void *committer_run(void *arg);

/* log_overwrite.c */
enum status overwrite_run(struct log *log, const uint64_t *offsets, size_t count, struct err *err);
MUST_USE enum status overwrite_replay(struct log *log, struct err *err);
#endif
