/* profile_words.c - the names and channels of one summary, each once.
 *
 * Event names are the clients' text. One table for the whole process would have to be bounded, and
 * then what a name counts as would depend on what the process has met before: a rebuild would fold
 * otherwise. So each summary has its own few words, and everything else in it is a number. */
#include "profile/profile_int.h"

#include <stdlib.h>

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

void words_done(struct words *words)
{
    free(words->list);
    free(words->text);
    *words = (struct words){0};
}

static void words_reserve(struct words *words, size_t text_n)
{
    if (words->count == words->capacity) {
        words->capacity = (uint8_t)(words->capacity == 0 ? 3 : words->capacity * 3 / 2);
        words->list = mem_grow(words->list, words->capacity * sizeof *words->list);
    }
    size_t need = words->text_n + text_n;
    CHECK(need <= UINT16_MAX);
    if (need > words->text_capacity) {
        words->text_capacity = (uint16_t)(need + need / 4 <= UINT16_MAX ? need + need / 4 : need);
        words->text = mem_grow(words->text, words->text_capacity);
    }
}

/* words->count when it is not there. */
static uint8_t word_find(const struct words *words, uint32_t hash, struct str text)
{
    uint8_t w = 0;
    while (w < words->count && (words->list[w].hash != hash || !str_eq(word_at(words, w), text)))
        w++;
    return w;
}

bool words_has(const struct words *words, struct str text)
{
    return word_find(words, word_hash(text), text) < words->count;
}

uint8_t words_put(struct words *words, struct str text)
{
    CHECK(text.n <= LIMIT_NAME_BYTES);
    uint32_t hash = word_hash(text);
    uint8_t found = word_find(words, hash, text);
    if (found < words->count)
        return found;
    CHECK(words->count < WORDS_MAX);
    words_reserve(words, text.n);
    words->list[words->count] = (struct word){hash, words->text_n, (uint8_t)text.n};
    if (text.n > 0)
        memcpy(words->text + words->text_n, text.p, text.n);
    words->text_n = (uint16_t)(words->text_n + text.n);
    return words->count++;
}
