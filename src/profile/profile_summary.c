/* profile_summary.c - a visitor's summary: counters, newest events, sums, in memory and in the
 * file.
 *
 * Every number here can be added in any order, and what a limit keeps out is decided by name or by
 * time, never by arrival. The 64 names with counters of their own are the first 64 in byte order of
 * all that were seen; a name that is pushed out can never come back, because 64 smaller ones are
 * there, so its count moves to "" once and for all, and the result is a function of the set of
 * events. The same holds for the ten newest events.
 *
 * Invariants: counters ascend by name and "" is the first; events descend by (time, position);
 * numbers of words are below words.count. docs/format/profile.md draws the bytes. */
#include "profile/profile_int.h"

#include <stdlib.h>

#include "base/check.h"

#define SUMMARY_VERSION 1

struct summary *summary_new(uint64_t visitor)
{
    struct summary *summary = mem_zero(sizeof *summary);
    summary->entry.key.a = visitor;
    summary->first_seen_us = INT64_MAX;
    summary->last_seen_us = INT64_MIN;
    summary_measure(summary);
    return summary;
}

void summary_free(struct summary *summary)
{
    words_done(&summary->words);
    free(summary->counters);
    free(summary->events);
    free(summary->traits);
    free(summary);
}

void summary_measure(struct summary *summary)
{
    summary->entry.bytes =
        (uint32_t)(sizeof *summary + words_bytes(&summary->words) +
                   summary->counters_capacity * sizeof(struct counter) +
                   summary->events_capacity * sizeof(struct newest) + summary->traits_n);
}

/* --- words that nobody uses any more ---------------------------------------------------------- */

/* Number the words anew, in the order of their use. */
static void words_sweep(struct summary *summary)
{
    struct words old = summary->words;
    summary->words = (struct words){0};
    for (uint8_t c = 0; c < summary->counters_n; c++)
        summary->counters[c].name =
            words_put(&summary->words, word_at(&old, summary->counters[c].name));
    for (uint8_t e = 0; e < summary->events_n; e++) {
        struct newest *event = &summary->events[e];
        event->name = words_put(&summary->words, word_at(&old, event->name));
        event->channel = words_put(&summary->words, word_at(&old, event->channel));
    }
    words_done(&old);
}

static struct str name_cut(struct str name)
{
    return name.n <= LIMIT_NAME_BYTES ? name : (struct str){name.p, LIMIT_NAME_BYTES};
}

static uint8_t word_put(struct summary *summary, struct str text)
{
    if (summary->words.count == WORDS_MAX && !words_has(&summary->words, text))
        words_sweep(summary);
    return words_put(&summary->words, text);
}

/* --- counters --------------------------------------------------------------------------------- */

static struct str counter_name(const struct summary *summary, uint8_t c)
{
    return word_at(&summary->words, summary->counters[c].name);
}

static void counter_join(struct counter *counter, const struct counter *more)
{
    counter->count += more->count;
    if (more->first_us < counter->first_us)
        counter->first_us = more->first_us;
    if (more->last_us > counter->last_us)
        counter->last_us = more->last_us;
}

static void counter_insert(struct summary *summary, const struct counter *counter)
{
    if (summary->counters_n == summary->counters_capacity) {
        summary->counters_capacity =
            (uint8_t)(summary->counters_capacity == 0 ? 2 : summary->counters_capacity * 3 / 2);
        summary->counters =
            mem_grow(summary->counters, summary->counters_capacity * sizeof *summary->counters);
    }
    struct str name = word_at(&summary->words, counter->name);
    uint8_t at = summary->counters_n;
    while (at > 0 && str_compare(counter_name(summary, (uint8_t)(at - 1)), name) > 0)
        at--;
    memmove(&summary->counters[at + 1], &summary->counters[at],
            (size_t)(summary->counters_n - at) * sizeof *summary->counters);
    summary->counters[at] = *counter;
    summary->counters_n++;
}

/* Into "", which stands for all that have no room of their own. */
static void counter_add_rest(struct summary *summary, const struct counter *counter)
{
    if (summary->counters_n > 0 && counter_name(summary, 0).n == 0) {
        counter_join(&summary->counters[0], counter);
        return;
    }
    struct counter rest = *counter;
    rest.name = word_put(summary, STR(""));
    counter_insert(summary, &rest);
}

static uint8_t counters_named(const struct summary *summary)
{
    bool rest = summary->counters_n > 0 && counter_name(summary, 0).n == 0;
    return (uint8_t)(summary->counters_n - rest);
}

void summary_add_counter(struct summary *summary, struct str name, uint32_t count, int64_t first_us,
                         int64_t last_us)
{
    struct counter counter = {first_us, last_us, count, word_put(summary, name_cut(name))};
    for (uint8_t c = 0; c < summary->counters_n; c++)
        if (summary->counters[c].name == counter.name) {
            counter_join(&summary->counters[c], &counter);
            return;
        }
    if (name.n == 0) {
        counter_add_rest(summary, &counter);
        return;
    }
    if (counters_named(summary) == PROFILE_EVENT_NAMES_MAX) {
        uint8_t last = (uint8_t)(summary->counters_n - 1);
        if (str_compare(name_cut(name), counter_name(summary, last)) > 0) {
            counter_add_rest(summary, &counter);
            return;
        }
        struct counter pushed = summary->counters[last];
        summary->counters_n--;
        counter_insert(summary, &counter);
        counter_add_rest(summary, &pushed);
        return;
    }
    counter_insert(summary, &counter);
}

/* --- the newest events ------------------------------------------------------------------------ */

static bool newer(const struct newest *x, const struct newest *y)
{
    return x->time_us != y->time_us ? x->time_us > y->time_us : x->position > y->position;
}

void summary_add_event(struct summary *summary, int64_t time_us, uint64_t position, struct str name,
                       struct str channel)
{
    struct newest event = {.time_us = time_us, .position = position};
    bool full = summary->events_n == PROFILE_EVENTS_MAX;
    if (full && !newer(&event, &summary->events[PROFILE_EVENTS_MAX - 1]))
        return;
    summary->events_n = (uint8_t)(summary->events_n - full);
    event.name = word_put(summary, name_cut(name));
    uint8_t words = summary->words.count;
    event.channel = word_put(summary, name_cut(channel));
    if (summary->words.count < words) /* and the first was swept away: nobody used it yet */
        event.name = word_put(summary, name_cut(name));
    if (summary->events_n == summary->events_capacity) {
        int capacity = summary->events_capacity == 0 ? 2 : summary->events_capacity * 2;
        summary->events_capacity =
            (uint8_t)(capacity < PROFILE_EVENTS_MAX ? capacity : PROFILE_EVENTS_MAX);
        summary->events =
            mem_grow(summary->events, summary->events_capacity * sizeof *summary->events);
    }
    uint8_t at = summary->events_n;
    while (at > 0 && newer(&event, &summary->events[at - 1]))
        at--;
    memmove(&summary->events[at + 1], &summary->events[at],
            (size_t)(summary->events_n - at) * sizeof *summary->events);
    summary->events[at] = event;
    summary->events_n++;
}

void summary_add_seen(struct summary *summary, int64_t first_us, int64_t last_us)
{
    if (first_us < summary->first_seen_us)
        summary->first_seen_us = first_us;
    if (last_us > summary->last_seen_us)
        summary->last_seen_us = last_us;
}

void summary_add_revenue(struct summary *summary, int64_t micros)
{
    summary->revenue_micros = (int64_t)((uint64_t)summary->revenue_micros + (uint64_t)micros);
}

void summary_set_traits(struct summary *summary, const struct trait_ops *ops)
{
    struct buf buf;
    buf_init(&buf, 2 * PROFILE_TRAITS_BYTES_MAX);
    if (ops->count > 0)
        traits_encode(ops, &buf);
    CHECK(!buf.overflow);
    free(summary->traits);
    summary->traits = NULL;
    summary->traits_n = (uint32_t)buf.n;
    if (buf.n > 0) {
        summary->traits = mem_alloc(buf.n);
        memcpy(summary->traits, buf.p, buf.n);
    }
    buf_done(&buf);
}

/* --- the file --------------------------------------------------------------------------------- */

static void put_zigzag(struct buf *buf, int64_t v)
{
    buf_varint(buf, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static int64_t get_zigzag(struct cursor *cursor)
{
    uint64_t v = cursor_varint(cursor);
    return (int64_t)((v >> 1) ^ (~(v & 1) + 1));
}

/* Words as they stand, used or not; a reader numbers them alike. */
static void summary_encode(const struct state_entry *entry, struct buf *buf)
{
    const struct summary *summary = (const struct summary *)entry;
    buf_char(buf, SUMMARY_VERSION);
    buf_varint(buf, summary->events_total);
    put_zigzag(buf, summary->first_seen_us);
    put_zigzag(buf, summary->last_seen_us);
    buf_varint(buf, summary->orders);
    put_zigzag(buf, summary->revenue_micros);
    buf_char(buf, (char)summary->words.count);
    for (uint8_t w = 0; w < summary->words.count; w++)
        buf_blob(buf, word_at(&summary->words, w));
    buf_char(buf, (char)summary->counters_n);
    for (uint8_t c = 0; c < summary->counters_n; c++) {
        const struct counter *counter = &summary->counters[c];
        buf_char(buf, (char)counter->name);
        buf_varint(buf, counter->count);
        put_zigzag(buf, counter->first_us);
        put_zigzag(buf, counter->last_us);
    }
    buf_char(buf, (char)summary->events_n);
    for (uint8_t e = 0; e < summary->events_n; e++) {
        const struct newest *event = &summary->events[e];
        buf_char(buf, (char)event->name);
        buf_char(buf, (char)event->channel);
        put_zigzag(buf, event->time_us);
        buf_varint(buf, event->position);
    }
    buf_put(buf, summary->traits, summary->traits_n);
}

static void summary_prefetch(const struct state_entry *entry)
{
    const struct summary *summary = (const struct summary *)entry;
    __builtin_prefetch(summary->words.list);
    __builtin_prefetch(summary->words.text);
    __builtin_prefetch(summary->counters);
    __builtin_prefetch(summary->events);
    __builtin_prefetch(summary->traits);
}

static bool words_read(struct cursor *cursor, struct words *words)
{
    uint8_t count = cursor_u8(cursor);
    for (uint8_t w = 0; w < count && count <= WORDS_MAX; w++) {
        struct str text = cursor_blob(cursor);
        if (cursor->bad || text.n > LIMIT_NAME_BYTES || words_put(words, text) != w)
            return false;
    }
    return count <= WORDS_MAX && !cursor->bad;
}

static bool counters_read(struct cursor *cursor, struct summary *summary)
{
    uint8_t count = cursor_u8(cursor);
    for (uint8_t c = 0; c < count; c++) {
        struct counter counter = {.name = cursor_u8(cursor)};
        uint64_t n = cursor_varint(cursor);
        counter.first_us = get_zigzag(cursor);
        counter.last_us = get_zigzag(cursor);
        if (cursor->bad || counter.name >= summary->words.count || n > UINT32_MAX)
            return false;
        struct str name = word_at(&summary->words, counter.name);
        if (c > 0 && str_compare(counter_name(summary, (uint8_t)(c - 1)), name) >= 0)
            return false;
        counter.count = (uint32_t)n;
        counter_insert(summary, &counter);
        if (counters_named(summary) > PROFILE_EVENT_NAMES_MAX)
            return false;
    }
    return true;
}

static bool events_read(struct cursor *cursor, struct summary *summary)
{
    uint8_t count = cursor_u8(cursor);
    for (uint8_t e = 0; e < count && count <= PROFILE_EVENTS_MAX; e++) {
        uint8_t name = cursor_u8(cursor);
        uint8_t channel = cursor_u8(cursor);
        struct newest event = {0};
        event.time_us = get_zigzag(cursor);
        event.position = cursor_varint(cursor);
        if (cursor->bad || name >= summary->words.count || channel >= summary->words.count ||
            (e > 0 && !newer(&summary->events[e - 1], &event)))
            return false;
        summary_add_event(summary, event.time_us, event.position, word_at(&summary->words, name),
                          word_at(&summary->words, channel));
    }
    return count <= PROFILE_EVENTS_MAX;
}

static bool summary_read(struct cursor *cursor, struct summary *summary)
{
    if (cursor_u8(cursor) != SUMMARY_VERSION)
        return false;
    summary->events_total = cursor_varint(cursor);
    summary->first_seen_us = get_zigzag(cursor);
    summary->last_seen_us = get_zigzag(cursor);
    summary->orders = cursor_varint(cursor);
    summary->revenue_micros = get_zigzag(cursor);
    if (cursor->bad || !words_read(cursor, &summary->words) || !counters_read(cursor, summary) ||
        !events_read(cursor, summary))
        return false;
    struct str traits = cursor_bytes(cursor, (size_t)(cursor->end - cursor->p));
    if (cursor->bad || traits.n > 2 * PROFILE_TRAITS_BYTES_MAX)
        return false;
    struct arena arena;
    arena_init(&arena);
    struct trait_ops ops = {0};
    bool good = traits.n == 0 || traits_decode(traits, &arena, &ops);
    arena_done(&arena);
    if (good && traits.n > 0) {
        summary->traits = mem_alloc(traits.n);
        memcpy(summary->traits, traits.p, traits.n);
        summary->traits_n = (uint32_t)traits.n;
    }
    return good;
}

static struct state_entry *summary_decode(struct hash128 key, struct str bytes)
{
    struct summary *summary = summary_new(key.a);
    struct cursor cursor = cursor_of(bytes);
    if (!summary_read(&cursor, summary)) {
        summary_free(summary);
        return NULL;
    }
    summary_measure(summary);
    return &summary->entry;
}

static void summary_entry_free(struct state_entry *entry)
{
    summary_free((struct summary *)entry);
}

const struct state_table_def summary_table = {.name = "summary",
                                              .integer_key = true,
                                              .encode = summary_encode,
                                              .decode = summary_decode,
                                              .free = summary_entry_free,
                                              .prefetch = summary_prefetch};
