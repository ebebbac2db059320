/* profile_int.h - a visitor's summary, and the functions that fold and combine summaries.
 *
 * One form serves both: what an event says is added to a summary by the same calls by which another
 * summary is. So "combine" cannot disagree with "fold". */
#ifndef PROFILE_PROFILE_INT_H
#define PROFILE_PROFILE_INT_H

#include "profile/profile.h"

#define WORDS_MAX 160 /* 65 counters, 10 events of 2 words, and room before a sweep */

/* --- profile_summary.c ------------------------------------------------------------------------ */

struct counter {
    int64_t first_us, last_us;
    uint32_t count;
    uint8_t name;
};

struct word {
    uint32_t hash;
    uint16_t at; /* in the text */
    uint8_t n;
};

struct newest {
    int64_t time_us;
    uint64_t position;
    uint8_t name, channel;
} __attribute__((packed));

/* Millions of these are in memory, and most are small: what grows lies in one block, the body, in
 * the order counters, words, events, text, each with its room. */
struct summary {
    struct state_entry entry; /* key.a: the visitor */
    char *body;               /* or NULL */
    char *traits;             /* profile_trait.c's bytes */
    uint32_t traits_n;
    uint16_t text_n, text_room;
    uint8_t counters_n, counters_room; /* by name; "" first */
    uint8_t words_n, words_room;       /* the names and channels, each once */
    uint8_t events_n, events_room;     /* newest first */
    uint64_t events_total;
    int64_t first_seen_us, last_seen_us; /* INT64_MAX and INT64_MIN before the first event */
    uint64_t orders;
    int64_t revenue_micros;
};

/* Valid until something is added. */
static inline struct counter *summary_counters(const struct summary *summary)
{
    return (struct counter *)(void *)summary->body;
}
static inline struct word *summary_words(const struct summary *summary)
{
    return (struct word *)(void *)(summary_counters(summary) + summary->counters_room);
}
static inline struct newest *summary_events(const struct summary *summary)
{
    return (struct newest *)(summary_words(summary) + summary->words_room);
}
static inline char *summary_text(const struct summary *summary)
{
    return (char *)(summary_events(summary) + summary->events_room);
}
static inline struct str word_at(const struct summary *summary, uint8_t word)
{
    const struct word *found = &summary_words(summary)[word];
    return (struct str){summary_text(summary) + found->at, found->n};
}

/* Room for so many of each in all. */
struct summary_room {
    unsigned counters, words, events, text;
};
void summary_make_room(struct summary *summary, struct summary_room room);
static inline struct summary_room summary_room_of(const struct summary *summary)
{
    return (struct summary_room){summary->counters_room, summary->words_room, summary->events_room,
                                 summary->text_room};
}

extern const struct state_table_def summary_table;

struct summary *summary_new(uint64_t visitor);
void summary_free(struct summary *summary);
/* Keep entry.bytes true after a change. */
void summary_measure(struct summary *summary);

/* profile_words.c. */
bool words_has(const struct summary *summary, struct str text);
/* The word's number, made when new; the caller sees to it that words_n < WORDS_MAX. */
uint8_t words_put(struct summary *summary, struct str text);

void summary_add_counter(struct summary *summary, struct str name, uint32_t count, int64_t first_us,
                         int64_t last_us);
void summary_add_event(struct summary *summary, int64_t time_us, uint64_t position, struct str name,
                       struct str channel);
void summary_add_seen(struct summary *summary, int64_t first_us, int64_t last_us);
/* Wraps around where no shop's money goes, so that the order of adding never matters. */
void summary_add_revenue(struct summary *summary, int64_t micros);

/* profile_combine.c: all that `other` says, said by `summary` too. */
void summary_combine(struct summary *summary, const struct summary *other, struct arena *arena);

/* --- profile_trait.c -------------------------------------------------------------------------- */

/* The order of kinds is part of the format. */
enum trait_kind {
    TRAIT_DELETE = 1, /* of no name: all traits, as of then */
    TRAIT_SET = 2,    /* an empty value: unset */
    TRAIT_ONCE = 3,
    TRAIT_SUM = 4, /* increments too old to be kept one by one; time of the newest of them */
    TRAIT_ADD = 5, /* value: 8 bytes, millionths */
    TRAIT_APPEND = 6,
    TRAIT_END
};

/* One operation on one trait, as an event said it. */
struct trait_op {
    struct str name;
    enum trait_kind kind;
    int64_t time_us;
    struct hash128 message;
    struct str value; /* JSON */
};

struct trait_ops {
    struct trait_op *list; /* by name, kind, order */
    size_t count;
};

struct str trait_micros(int64_t micros, struct arena *arena);

/* Both unordered; ordered and without what can never count again; in the arena. Returns how many
 * traits did not fit. */
size_t traits_join(const struct trait_ops *a, const struct trait_ops *b, struct arena *arena,
                   struct trait_ops *ret_ops);
void traits_encode(const struct trait_ops *ops, struct buf *buf);
/* Borrows `bytes`. False when they are damaged. */
bool traits_decode(struct str bytes, struct arena *arena, struct trait_ops *ret_ops);
/* The operations of `name`: [*ret_from, *ret_to). */
void traits_find(const struct trait_ops *ops, struct str name, size_t *ret_from, size_t *ret_to);
/* The value that list[from..to) give, all of one name; empty when there is none. */
struct str trait_value(const struct trait_ops *ops, size_t from, size_t to, struct arena *arena,
                       int64_t *ret_time_us);
/* Replace the summary's traits. */
void summary_set_traits(struct summary *summary, const struct trait_ops *ops);

/* profile_event.c: what an event does to traits; `*ret_refused` counts what was not taken. */
void event_ops(const struct clean_event *event, struct arena *arena, struct trait_ops *ret_ops,
               uint64_t *ret_refused);
#endif
