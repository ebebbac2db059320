/* access_key.c - the texts of keys and scopes.
 *
 * A key is 144 or 240 random bits, so a fast hash is enough to keep: there is no dictionary to try.
 * (A password would need a slow one.) */
#include "access/access_int.h"

#include <sodium.h>

#include "base/check.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#define KEY_CHOSEN_BYTES_MIN 8 /* the shortest that vendors give out */

void access_key_make(struct rng *rng, const char *prefix, size_t count, struct buf *ret_key)
{
    unsigned char bytes[KEY_TEXT_BYTES_MAX];
    CHECK(count <= sizeof bytes);
    rng_bytes(rng, bytes, count);
    buf_text(ret_key, prefix);
    for (size_t i = 0; i < count; i++)
        buf_char(ret_key, alphabet[bytes[i] & 63]); /* 256 is a multiple of 64: no bias */
    sodium_memzero(bytes, sizeof bytes);
}

void access_key_hash(struct str key, unsigned char ret_hash[KEY_HASH_BYTES])
{
    crypto_generichash(ret_hash, KEY_HASH_BYTES, (const unsigned char *)key.p, key.n, NULL, 0);
}

struct hash128 access_key_slot(const unsigned char hash[KEY_HASH_BYTES])
{
    struct hash128 slot;
    memcpy(&slot, hash, sizeof slot);
    return slot;
}

bool access_key_is_well_formed(struct str key)
{
    if (key.n < KEY_CHOSEN_BYTES_MIN || key.n > KEY_TEXT_BYTES_MAX)
        return false;
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] == '\0' || strchr(alphabet, key.p[i]) == NULL)
            return false;
    return true;
}

/* --- scopes ----------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    uint32_t bits;
} scopes[] = {
    {"collect", SCOPE_COLLECT}, {"read", SCOPE_READ},   {"identity", SCOPE_IDENTITY},
    {"erase", SCOPE_ERASE},     {"admin", SCOPE_ADMIN}, {"all", SCOPE_ALL},
};
#define SCOPES_COUNT (sizeof scopes / sizeof *scopes)

static uint32_t scope_of(struct str word)
{
    for (size_t i = 0; i < SCOPES_COUNT; i++)
        if (str_is(word, scopes[i].word))
            return scopes[i].bits;
    return SCOPE_NONE;
}

enum status access_scopes_parse(struct str text, uint32_t *ret_scopes, struct err *err)
{
    uint32_t bits = SCOPE_NONE;
    for (size_t at = 0; at <= text.n;) {
        const char *comma = memchr(text.p + at, ',', text.n - at);
        size_t end = comma == NULL ? text.n : (size_t)(comma - text.p);
        struct str word = str_trim((struct str){text.p + at, end - at});
        uint32_t scope = scope_of(word);
        if (scope == SCOPE_NONE) {
            enum status status =
                err_set(err, ST_INVALID, "could not read the scopes: \"" STR_FMT "\" is not one",
                        word.n > 40 ? 40 : (int)word.n, word.p);
            return err_hint(err, status, "collect, read, identity, erase, admin or all");
        }
        bits |= scope;
        at = end + 1;
    }
    *ret_scopes = bits;
    return ST_OK;
}

void access_scopes_write(uint32_t bits, struct buf *buf)
{
    bool first = true;
    if (bits == SCOPE_ALL) {
        buf_text(buf, "all");
        return;
    }
    for (size_t i = 0; i + 1 < SCOPES_COUNT; i++) {
        if ((bits & scopes[i].bits) == 0)
            continue;
        if (!first)
            buf_char(buf, ',');
        buf_text(buf, scopes[i].word);
        first = false;
    }
}
