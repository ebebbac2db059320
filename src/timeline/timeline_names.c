/* timeline_names.c - texts become small numbers.
 *
 * Names of events, channels and campaigns get codes in the order of appearance; a pair of channel
 * and campaign is one ORIGIN, because most campaigns run in one channel and an event then needs one
 * byte for both. Texts come from strangers: the maps use a keyed hash, and a full dictionary sends
 * what comes later to TIMELINE_OTHER, which every report can name. The last places among origins
 * are kept for (channel, other campaign), so that a flood of campaigns leaves channels right.
 *
 * A text never moves once it is here: memos and readers keep pointers to it. */
#include "timeline/timeline_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/rng.h"

#define ORIGINS_OPEN 60000 /* above it a new campaign counts as "other" */

void timeline_names_init(struct names *names)
{
    struct rng rng;
    *names = (struct names){0};
    pthread_mutex_init(&names->mutex, NULL);
    rng_init_system(&rng);
    rng_bytes(&rng, names->key.bytes, sizeof names->key.bytes);
    map_init(&names->name.map);
    map_init(&names->channel.map);
    map_init(&names->campaign.map);
    map_init(&names->origin_map);
    names->origins = mem_zero(65536 * sizeof *names->origins);
    names->origins[TIMELINE_OTHER] = (struct origin){TIMELINE_OTHER, TIMELINE_OTHER};
}

static void texts_done(struct texts *texts)
{
    for (uint32_t i = 0; i < texts->count; i++)
        free((char *)(uintptr_t)texts->chunks[i / TEXTS_CHUNK][i % TEXTS_CHUNK].p);
    for (size_t i = 0; i < TEXTS_CHUNKS; i++)
        free(texts->chunks[i]);
    map_done(&texts->map);
}

void timeline_names_done(struct names *names)
{
    texts_done(&names->name);
    texts_done(&names->channel);
    texts_done(&names->campaign);
    map_done(&names->origin_map);
    free(names->origins);
    pthread_mutex_destroy(&names->mutex);
}

static struct str text_at(const struct texts *texts, uint32_t code)
{
    return code < texts->count ? texts->chunks[code / TEXTS_CHUNK][code % TEXTS_CHUNK]
                               : (struct str){"", 0};
}

/* Under the mutex. */
static uint32_t text_code(struct names *names, struct texts *texts, struct str text)
{
    struct hash128 key = hash_keyed(&names->key, text);
    uint64_t *known = map_find(&texts->map, key);
    if (known != NULL)
        return (uint32_t)*known;
    if (texts->count == TIMELINE_OTHER)
        return TIMELINE_OTHER;
    uint32_t code = texts->count;
    struct str **chunk = &texts->chunks[code / TEXTS_CHUNK];
    if (*chunk == NULL)
        *chunk = mem_zero(TEXTS_CHUNK * sizeof **chunk);
    char *copy = mem_alloc(text.n + 1);
    memcpy(copy, text.n > 0 ? text.p : "", text.n);
    copy[text.n] = '\0';
    (*chunk)[code % TEXTS_CHUNK] = (struct str){copy, text.n};
    *map_put(&texts->map, key, NULL) = code;
    texts->count++;
    names->bytes += text.n + 64;
    return code;
}

/* Under the mutex. The empty text is code 0: it means none. */
static uint32_t text_code_or_none(struct names *names, struct texts *texts, struct str text)
{
    if (texts->count == 0) {
        uint32_t none = text_code(names, texts, STR(""));
        (void)none; /* 0 */
    }
    return text_code(names, texts, text);
}

static struct memo_text *memo_at(struct memo_text *memo, struct str text)
{
    uint64_t head = 0, tail = 0;
    if (text.n >= 8) {
        memcpy(&head, text.p, 8);
        memcpy(&tail, text.p + text.n - 8, 8);
    } else if (text.n > 0) {
        memcpy(&head, text.p, text.n);
    }
    return &memo[hash_mix(head ^ (tail * 3) ^ text.n) % MEMO];
}

uint16_t timeline_names_code(struct names *names, struct memo *memo, struct str name)
{
    struct memo_text *at = memo_at(memo->name, name);
    if (at->text.p == NULL || !str_eq(at->text, name)) {
        pthread_mutex_lock(&names->mutex);
        at->code = text_code(names, &names->name, name);
        at->text = text_at(&names->name, at->code);
        pthread_mutex_unlock(&names->mutex);
        if (at->code == TIMELINE_OTHER)
            at->text.p = NULL;
    }
    return (uint16_t)at->code;
}

/* Under the mutex. */
static uint32_t origin_of(struct names *names, uint32_t channel, uint32_t campaign)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        struct hash128 key = map_key_u64((uint64_t)channel << 16 | campaign);
        uint64_t *known = map_find(&names->origin_map, key);
        if (known != NULL)
            return (uint32_t)*known;
        if (names->origins_count < ORIGINS_OPEN ||
            (campaign == TIMELINE_OTHER && names->origins_count < TIMELINE_OTHER)) {
            uint32_t origin = names->origins_count++;
            names->origins[origin] = (struct origin){(uint16_t)channel, (uint16_t)campaign};
            *map_put(&names->origin_map, key, NULL) = origin;
            return origin;
        }
        campaign = TIMELINE_OTHER;
    }
    return TIMELINE_OTHER;
}

static uint32_t memo_text_code(struct names *names, struct texts *texts, struct memo_text *memo,
                               struct str text)
{
    struct memo_text *at = memo_at(memo, text);
    if (at->text.p == NULL || !str_eq(at->text, text)) {
        pthread_mutex_lock(&names->mutex);
        at->code = text_code_or_none(names, texts, text);
        at->text = text_at(texts, at->code);
        pthread_mutex_unlock(&names->mutex);
        if (at->code == TIMELINE_OTHER)
            at->text.p = NULL;
    }
    return at->code;
}

uint16_t timeline_names_origin(struct names *names, struct memo *memo, struct str channel,
                               struct str campaign)
{
    uint32_t a = memo_text_code(names, &names->channel, memo->channel, channel);
    uint32_t b = memo_text_code(names, &names->campaign, memo->campaign, campaign);
    uint32_t pair = (a << 16 | b) + 1; /* 0 = an empty memo; no pair has both bits full */
    struct memo_origin *at = &memo->origin[hash_mix(pair) % MEMO];
    if (at->pair != pair) {
        pthread_mutex_lock(&names->mutex);
        at->origin = origin_of(names, a, b);
        pthread_mutex_unlock(&names->mutex);
        at->pair = pair;
    }
    return (uint16_t)at->origin;
}

/* --- readers ---------------------------------------------------------------------------------- */

static struct names *names_of(const struct timeline_view *view)
{
    return &snapshot_of(view)->timeline->names;
}

static struct str text_locked(struct names *names, const struct texts *texts, uint32_t code)
{
    pthread_mutex_lock(&names->mutex);
    struct str text = text_at(texts, code);
    pthread_mutex_unlock(&names->mutex);
    return text;
}

struct str timeline_name(const struct timeline_view *view, uint32_t code)
{
    struct names *names = names_of(view);
    return text_locked(names, &names->name, code);
}

struct str timeline_channel(const struct timeline_view *view, uint32_t channel)
{
    struct names *names = names_of(view);
    return text_locked(names, &names->channel, channel);
}

struct str timeline_campaign(const struct timeline_view *view, uint32_t campaign)
{
    struct names *names = names_of(view);
    return text_locked(names, &names->campaign, campaign);
}

uint32_t timeline_name_find(const struct timeline_view *view, struct str name)
{
    struct names *names = names_of(view);
    pthread_mutex_lock(&names->mutex);
    uint64_t *known = map_find(&names->name.map, hash_keyed(&names->key, name));
    uint32_t code = known == NULL ? TIMELINE_NONE : (uint32_t)*known;
    pthread_mutex_unlock(&names->mutex);
    return code < view->names ? code : TIMELINE_NONE;
}

/* Written before the view was published, never changed after. */
uint32_t timeline_origin_channel(const struct timeline_view *view, uint32_t origin)
{
    return names_of(view)->origins[origin].channel;
}

uint32_t timeline_origin_campaign(const struct timeline_view *view, uint32_t origin)
{
    return names_of(view)->origins[origin].campaign;
}
