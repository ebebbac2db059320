/* profile_words.c - the names and channels of one summary, each once.
 *
 * Event names are the clients' text. One table for the whole process would have to be bounded, and
 * then what a name counts as would depend on what the process has met before: a rebuild would fold
 * otherwise. So each summary has its own few words, and everything else in it is a number. */
#include "profile/profile_int.h"

#include "base/check.h"

/* Of the length and both ends: it only spares comparisons, and of no more than 160 short texts, so
 * that nobody gains anything by a collision. */
static uint32_t word_hash(struct str text)
{
    uint64_t head = 0, tail = 0;
    if (text.n >= sizeof head) {
        memcpy(&head, text.p, sizeof head);
        memcpy(&tail, text.p + text.n - sizeof tail, sizeof tail);
    } else {
        for (size_t i = 0; i < text.n; i++)
            head = head << 8 | (unsigned char)text.p[i];
    }
    uint64_t mixed = (head + text.n) * UINT64_C(0x9e3779b97f4a7c15) ^ tail;
    return (uint32_t)((mixed * UINT64_C(0xd6e8feb86659fd93)) >> 32);
}

/* Name and channel of a first event find room at once. */
#define WORDS_FIRST 2
#define CHANNEL_BYTES 8

static void words_reserve(struct summary *summary, size_t text_n)
{
    struct summary_room room = summary_room_of(summary);
    size_t need = summary->text_n + text_n;
    CHECK(need <= UINT16_MAX);
    if (summary->body == NULL)
        room = (struct summary_room){1, WORDS_FIRST, 1, (unsigned)text_n + CHANNEL_BYTES};
    else if (summary->words_n < summary->words_room && need <= summary->text_room)
        return;
    if (summary->words_n >= room.words)
        room.words += room.words / 4 + 1;
    if (need > room.text)
        room.text = (unsigned)(need + need / 4 <= UINT16_MAX ? need + need / 4 : need);
    summary_make_room(summary, room);
}

/* summary->words_n when it is not there. */
static uint8_t word_find(const struct summary *summary, uint32_t hash, struct str text)
{
    uint8_t w = 0;
    while (w < summary->words_n &&
           (summary_words(summary)[w].hash != hash || !str_eq(word_at(summary, w), text)))
        w++;
    return w;
}

bool words_has(const struct summary *summary, struct str text)
{
    return word_find(summary, word_hash(text), text) < summary->words_n;
}

uint8_t words_put(struct summary *summary, struct str text)
{
    CHECK(text.n <= LIMIT_NAME_BYTES);
    uint32_t hash = word_hash(text);
    uint8_t found = word_find(summary, hash, text);
    if (found < summary->words_n)
        return found;
    CHECK(summary->words_n < WORDS_MAX);
    words_reserve(summary, text.n);
    summary_words(summary)[summary->words_n] =
        (struct word){hash, summary->text_n, (uint8_t)text.n};
    if (text.n > 0)
        memcpy(summary_text(summary) + summary->text_n, text.p, text.n);
    summary->text_n = (uint16_t)(summary->text_n + text.n);
    return summary->words_n++;
}
