/* profile_int.h - a visitor's summary, and the functions that fold and combine summaries.
 *
 * One form serves both: what an event says is added to a summary by the same calls by which another
 * summary is. So "combine" cannot disagree with "fold". */
#ifndef PROFILE_PROFILE_INT_H
#define PROFILE_PROFILE_INT_H

#include "profile/profile.h"

#define WORDS_MAX 160 /* 65 counters, 10 events of 2 words, and room before a sweep */

/* --- profile_words.c: the names and channels of one summary, each once ------------------------ */

struct word {
    uint32_t hash;
    uint16_t at; /* in text */
    uint8_t n;
};

struct words {
    struct word *list;
    char *text;
    uint16_t text_n, text_capacity;
    uint8_t count, capacity;
};

void words_done(struct words *words);
static inline struct str word_at(const struct words *words, uint8_t word)
{
    return (struct str){words->text + words->list[word].at, words->list[word].n};
}
bool words_has(const struct words *words, struct str text);
/* The word's number, made when new; the caller sees to it that count < WORDS_MAX. */
uint8_t words_put(struct words *words, struct str text);
static inline size_t words_bytes(const struct words *words)
{
    return words->capacity * sizeof(struct word) + words->text_capacity;
}

/* --- profile_summary.c ------------------------------------------------------------------------ */

struct counter {
    int64_t first_us, last_us;
    uint32_t count;
    uint8_t name;
};

struct newest {
    int64_t time_us;
    uint64_t position;
    uint8_t name, channel;
};

struct summary {
    struct state_entry entry; /* key.a: the visitor */
    struct words words;
    struct counter *counters; /* by name; "" first */
    struct newest *events;    /* newest first */
    char *traits;             /* profile_trait.c's bytes */
    uint32_t traits_n;
    uint8_t counters_n, counters_capacity;
    uint8_t events_n, events_capacity;
    uint64_t events_total;
    int64_t first_seen_us, last_seen_us; /* INT64_MAX and INT64_MIN before the first event */
    uint64_t orders;
    int64_t revenue_micros;
};

extern const struct state_table_def summary_table;

struct summary *summary_new(uint64_t visitor);
void summary_free(struct summary *summary);
/* Keep entry.bytes true after a change. */
void summary_measure(struct summary *summary);

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
