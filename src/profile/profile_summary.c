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
 * numbers of words are below words_n. docs/format/profile.md draws the bytes. */
#include "profile/profile_int.h"

#include <stdlib.h>

#include "base/check.h"

#define SUMMARY_VERSION 1
#define CACHE_LINE 64
#define BLOCK_BYTES 16 /* what malloc takes for itself, of a further block */

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
    free(summary->body);
    free(summary->traits);
    free(summary);
}

static size_t body_bytes(const struct summary *summary)
{
    return summary->counters_room * sizeof(struct counter) +
           summary->words_room * sizeof(struct word) +
           summary->events_room * sizeof(struct newest) + summary->text_room;
}

void summary_measure(struct summary *summary)
{
    size_t body = summary->body == NULL ? 0 : BLOCK_BYTES + body_bytes(summary);
    size_t traits = summary->traits == NULL ? 0 : BLOCK_BYTES + summary->traits_n;
    summary->entry.bytes = (uint32_t)(sizeof *summary + body + traits);
}

/* --- room ------------------------------------------------------------------------------------- */

static void part_copy(void *to, const void *from, size_t n)
{
    if (n > 0)
        memcpy(to, from, n);
}

void summary_make_room(struct summary *summary, struct summary_room room)
{
    struct summary old = *summary;
    CHECK(room.counters <= UINT8_MAX && room.words <= UINT8_MAX && room.events <= UINT8_MAX &&
          room.text <= UINT16_MAX);
    summary->counters_room = (uint8_t)room.counters;
    summary->words_room = (uint8_t)room.words;
    summary->events_room = (uint8_t)room.events;
    summary->text_room = (uint16_t)room.text;
    summary->body = mem_alloc(body_bytes(summary));
    part_copy(summary_counters(summary), summary_counters(&old),
              old.counters_n * sizeof(struct counter));
    part_copy(summary_words(summary), summary_words(&old), old.words_n * sizeof(struct word));
    part_copy(summary_events(summary), summary_events(&old), old.events_n * sizeof(struct newest));
    part_copy(summary_text(summary), summary_text(&old), old.text_n);
    free(old.body);
}

/* --- words that nobody uses any more ---------------------------------------------------------- */

/* Number the words anew, in the order of their use. */
static void words_sweep(struct summary *summary)
{
    struct summary old = *summary;
    old.body = mem_alloc(body_bytes(summary));
    memcpy(old.body, summary->body, body_bytes(summary));
    summary->words_n = 0;
    summary->text_n = 0;
    for (uint8_t c = 0; c < summary->counters_n; c++) {
        uint8_t word = words_put(summary, word_at(&old, summary_counters(&old)[c].name));
        summary_counters(summary)[c].name = word;
    }
    for (uint8_t e = 0; e < summary->events_n; e++) {
        uint8_t name = words_put(summary, word_at(&old, summary_events(&old)[e].name));
        uint8_t channel = words_put(summary, word_at(&old, summary_events(&old)[e].channel));
        summary_events(summary)[e].name = name;
        summary_events(summary)[e].channel = channel;
    }
    free(old.body);
}

static struct str name_cut(struct str name)
{
    return name.n <= LIMIT_NAME_BYTES ? name : (struct str){name.p, LIMIT_NAME_BYTES};
}

static uint8_t word_put(struct summary *summary, struct str text)
{
    if (summary->words_n == WORDS_MAX && !words_has(summary, text))
        words_sweep(summary);
    return words_put(summary, text);
}

/* --- counters --------------------------------------------------------------------------------- */

static struct str counter_name(const struct summary *summary, uint8_t c)
{
    return word_at(summary, summary_counters(summary)[c].name);
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
    struct summary_room room = summary_room_of(summary);
    if (summary->counters_n == room.counters) {
        room.counters += room.counters / 4 + 1;
        summary_make_room(summary, room);
    }
    struct counter *counters = summary_counters(summary);
    struct str name = word_at(summary, counter->name);
    uint8_t at = summary->counters_n;
    while (at > 0 && str_compare(counter_name(summary, (uint8_t)(at - 1)), name) > 0)
        at--;
    memmove(&counters[at + 1], &counters[at],
            (size_t)(summary->counters_n - at) * sizeof *counters);
    counters[at] = *counter;
    summary->counters_n++;
}

/* Into "", which stands for all that have no room of their own. */
static void counter_add_rest(struct summary *summary, const struct counter *counter)
{
    if (summary->counters_n > 0 && counter_name(summary, 0).n == 0) {
        counter_join(summary_counters(summary), counter);
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
        if (summary_counters(summary)[c].name == counter.name) {
            counter_join(&summary_counters(summary)[c], &counter);
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
        struct counter pushed = summary_counters(summary)[last];
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
    if (full && !newer(&event, &summary_events(summary)[PROFILE_EVENTS_MAX - 1]))
        return;
    summary->events_n = (uint8_t)(summary->events_n - full);
    event.name = word_put(summary, name_cut(name));
    uint8_t words = summary->words_n;
    event.channel = word_put(summary, name_cut(channel));
    if (summary->words_n < words) /* and the first was swept away: nobody used it yet */
        event.name = word_put(summary, name_cut(name));
    struct summary_room room = summary_room_of(summary);
    if (summary->events_n == room.events) {
        unsigned more = room.events + room.events / 4 + 1;
        room.events = more < PROFILE_EVENTS_MAX ? more : PROFILE_EVENTS_MAX;
        summary_make_room(summary, room);
    }
    struct newest *events = summary_events(summary);
    uint8_t at = summary->events_n;
    while (at > 0 && newer(&event, &events[at - 1]))
        at--;
    memmove(&events[at + 1], &events[at], (size_t)(summary->events_n - at) * sizeof *events);
    events[at] = event;
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
    buf_char(buf, (char)summary->words_n);
    for (uint8_t w = 0; w < summary->words_n; w++)
        buf_blob(buf, word_at(summary, w));
    buf_char(buf, (char)summary->counters_n);
    for (uint8_t c = 0; c < summary->counters_n; c++) {
        const struct counter *counter = &summary_counters(summary)[c];
        buf_char(buf, (char)counter->name);
        buf_varint(buf, counter->count);
        put_zigzag(buf, counter->first_us);
        put_zigzag(buf, counter->last_us);
    }
    buf_char(buf, (char)summary->events_n);
    for (uint8_t e = 0; e < summary->events_n; e++) {
        const struct newest *event = &summary_events(summary)[e];
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
    size_t n = summary->body == NULL ? 0 : body_bytes(summary);
    for (size_t at = 0; at < n; at += CACHE_LINE)
        __builtin_prefetch(summary->body + at);
    __builtin_prefetch(summary->traits);
}

/* A summary as it is read: borrowed and on the stack, then put into a body of its size. */
struct reading {
    struct str words[WORDS_MAX];
    struct counter counters[PROFILE_EVENT_NAMES_MAX + 1];
    struct newest events[PROFILE_EVENTS_MAX];
    uint8_t words_n, counters_n, events_n;
    size_t text_n;
};

static bool words_read(struct cursor *cursor, struct reading *reading)
{
    uint8_t count = cursor_u8(cursor);
    if (count > WORDS_MAX)
        return false;
    for (uint8_t w = 0; w < count; w++) {
        struct str text = cursor_blob(cursor);
        if (cursor->bad || text.n > LIMIT_NAME_BYTES)
            return false;
        reading->words[reading->words_n++] = text;
        reading->text_n += text.n;
    }
    return !cursor->bad;
}

static bool counters_read(struct cursor *cursor, struct reading *reading)
{
    uint8_t count = cursor_u8(cursor);
    if (count > PROFILE_EVENT_NAMES_MAX + 1)
        return false;
    for (uint8_t c = 0; c < count; c++) {
        struct counter *counter = &reading->counters[c];
        *counter = (struct counter){.name = cursor_u8(cursor)};
        uint64_t n = cursor_varint(cursor);
        counter->first_us = get_zigzag(cursor);
        counter->last_us = get_zigzag(cursor);
        counter->count = (uint32_t)n;
        if (cursor->bad || counter->name >= reading->words_n || n > UINT32_MAX)
            return false;
        struct str name = reading->words[counter->name];
        if (c > 0 && str_compare(reading->words[reading->counters[c - 1].name], name) >= 0)
            return false;
        reading->counters_n++;
    }
    return count <= PROFILE_EVENT_NAMES_MAX || reading->words[reading->counters[0].name].n == 0;
}

static bool events_read(struct cursor *cursor, struct reading *reading)
{
    uint8_t count = cursor_u8(cursor);
    if (count > PROFILE_EVENTS_MAX)
        return false;
    for (uint8_t e = 0; e < count; e++) {
        struct newest *event = &reading->events[e];
        event->name = cursor_u8(cursor);
        event->channel = cursor_u8(cursor);
        event->time_us = get_zigzag(cursor);
        event->position = cursor_varint(cursor);
        if (cursor->bad || event->name >= reading->words_n || event->channel >= reading->words_n ||
            (e > 0 && !newer(&reading->events[e - 1], event)))
            return false;
        reading->events_n++;
    }
    return true;
}

/* False when a word stands twice. */
static bool body_make(struct summary *summary, const struct reading *reading)
{
    if (reading->words_n == 0)
        return true;
    summary_make_room(summary, (struct summary_room){reading->counters_n, reading->words_n,
                                                     reading->events_n, (unsigned)reading->text_n});
    for (uint8_t w = 0; w < reading->words_n; w++)
        if (words_put(summary, reading->words[w]) != w)
            return false;
    part_copy(summary_counters(summary), reading->counters,
              reading->counters_n * sizeof reading->counters[0]);
    part_copy(summary_events(summary), reading->events,
              reading->events_n * sizeof reading->events[0]);
    summary->counters_n = reading->counters_n;
    summary->events_n = reading->events_n;
    return true;
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
    struct reading reading;
    reading.words_n = reading.counters_n = reading.events_n = 0;
    reading.text_n = 0;
    if (cursor->bad || !words_read(cursor, &reading) || !counters_read(cursor, &reading) ||
        !events_read(cursor, &reading) || !body_make(summary, &reading))
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
