/* growthbook_payload.c - a payload as it comes: JSON, some parts of it perhaps encrypted.
 *
 * An encrypted part ("encryptedFeatures") replaces the plain one. Parts that do not decrypt refuse
 * the payload: evaluating without them would give everybody the defaults, and nobody would notice.
 * AES-CBC without a signature cannot tell who made the text, so what comes out is parsed with the
 * same distrust as the rest. */
#include "learn/growthbook_int.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

static const struct {
    const char *name, *sealed;
} parts[] = {
    {"features", "encryptedFeatures"},
    {"experiments", "encryptedExperiments"},
    {"savedGroups", "encryptedSavedGroups"},
    {"contextualBandits", "encryptedContextualBandits"},
};
#define PARTS_COUNT (sizeof parts / sizeof parts[0])

/* --- decryption ------------------------------------------------------------------------------- */

#define KEY_BYTES_MAX 32
#define IV_BYTES 16

/* At most `max` bytes of base64; blanks are ignored and the padding may be missing, as a browser
 * reads it. */
static bool base64_read(struct str text, unsigned char *bytes, size_t max, size_t *ret_n)
{
    static const int variants[] = {sodium_base64_VARIANT_ORIGINAL,
                                   sodium_base64_VARIANT_ORIGINAL_NO_PADDING};
    for (size_t i = 0; i < 2; i++)
        if (sodium_base642bin(bytes, max, text.p, text.n, " \t\n\r\f", ret_n, NULL, variants[i]) ==
            0)
            return true;
    return false;
}

static bool aes_open(const EVP_CIPHER *cipher, const unsigned char *key, const unsigned char *iv,
                     const unsigned char *sealed, size_t n, struct buf *out)
{
    int first = 0, last = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    unsigned char *room = (unsigned char *)buf_room(out, n + IV_BYTES);
    bool is_open = context != NULL && room != NULL &&
                   EVP_DecryptInit_ex(context, cipher, NULL, key, iv) == 1 &&
                   EVP_DecryptUpdate(context, room, &first, sealed, (int)n) == 1 &&
                   EVP_DecryptFinal_ex(context, room + first, &last) == 1;
    EVP_CIPHER_CTX_free(context);
    if (is_open)
        out->n += (size_t)(first + last);
    return is_open;
}

enum status growthbook_decrypt(struct str sealed, struct str key, struct buf *ret_text,
                               struct err *err)
{
    unsigned char key_bytes[KEY_BYTES_MAX], iv[IV_BYTES];
    size_t key_n = 0, iv_n = 0, n = 0;
    const char *dot = sealed.n == 0 ? NULL : memchr(sealed.p, '.', sealed.n);
    const EVP_CIPHER *cipher = NULL;
    if (sealed.n > GROWTHBOOK_PAYLOAD_BYTES_MAX)
        return err_set(err, ST_TOO_LARGE, "could not decrypt: more than 64 MB");
    if (base64_read(key, key_bytes, sizeof key_bytes, &key_n))
        cipher = key_n == 16   ? EVP_aes_128_cbc()
                 : key_n == 24 ? EVP_aes_192_cbc()
                 : key_n == 32 ? EVP_aes_256_cbc()
                               : NULL;
    if (cipher == NULL)
        return err_set(err, ST_INVALID,
                       "could not decrypt: the key is no 16, 24 or 32 bytes in base64");
    struct str start = {sealed.p, dot == NULL ? 0 : (size_t)(dot - sealed.p)};
    if (!base64_read(start, iv, sizeof iv, &iv_n) || iv_n != IV_BYTES)
        return err_set(err, ST_INVALID, "could not decrypt: no vector of 16 bytes before the dot");
    struct str rest = {dot + 1, sealed.n - start.n - 1};
    const char *end = rest.n == 0 ? NULL : memchr(rest.p, '.', rest.n);
    rest.n = end == NULL ? rest.n : (size_t)(end - rest.p);
    unsigned char *bytes = mem_alloc(rest.n + 1);
    struct buf text;
    buf_init(&text, GROWTHBOOK_PAYLOAD_BYTES_MAX + 2 * IV_BYTES);
    bool is_open =
        base64_read(rest, bytes, rest.n, &n) && aes_open(cipher, key_bytes, iv, bytes, n, &text);
    if (is_open)
        buf_put(ret_text, text.p, text.n);
    buf_done(&text);
    free(bytes);
    sodium_memzero(key_bytes, sizeof key_bytes);
    return is_open ? ST_OK
                   : err_set(err, ST_INVALID, "could not decrypt: wrong key, or damaged text");
}

/* --- the payload ------------------------------------------------------------------------------ */

static enum status part_open(struct growthbook *book, size_t i, struct str sealed, struct str key,
                             struct err *err)
{
    struct buf text;
    struct err why = {0};
    buf_init(&text, GROWTHBOOK_PAYLOAD_BYTES_MAX + 2 * IV_BYTES);
    enum status status = growthbook_decrypt(sealed, key, &text, &why);
    if (status == ST_OK)
        status = json_parse(NULL, text.n == 0 ? STR("") : buf_view(&text), &book->opened[i], &why);
    buf_done(&text);
    return status == ST_OK ? ST_OK : err_set(err, status, "%s: %s", parts[i].sealed, why.message);
}

enum status growthbook_open(struct str json, struct str key, struct growthbook **ret_book,
                            struct err *err)
{
    if (json.n > GROWTHBOOK_PAYLOAD_BYTES_MAX)
        return err_set(err, ST_TOO_LARGE, "could not read the payload: more than 64 MB");
    struct growthbook *book = mem_zero(sizeof *book);
    enum status status = json_parse(NULL, json, &book->doc, err);
    if (status == ST_OK && !yyjson_is_obj(yyjson_doc_get_root(book->doc)))
        status = err_set(err, ST_INVALID, "could not read the payload: it is no JSON object");
    for (size_t i = 0; i < PARTS_COUNT && status == ST_OK; i++) {
        struct str sealed = json_member_str(yyjson_doc_get_root(book->doc), parts[i].sealed);
        if (sealed.n > 0)
            status = part_open(book, i, sealed, key, err);
    }
    if (status != ST_OK) {
        growthbook_close(book);
        return status;
    }
    *ret_book = book;
    return ST_OK;
}

void growthbook_close(struct growthbook *book)
{
    if (book == NULL)
        return;
    for (size_t i = 0; i < PARTS_COUNT; i++)
        yyjson_doc_free(book->opened[i]);
    yyjson_doc_free(book->doc);
    free(book);
}

yyjson_val *growthbook_part(const struct growthbook *book, const char *name)
{
    if (book == NULL)
        return NULL;
    for (size_t i = 0; i < PARTS_COUNT; i++)
        if (book->opened[i] != NULL && strcmp(parts[i].name, name) == 0)
            return yyjson_doc_get_root(book->opened[i]);
    return yyjson_obj_get(yyjson_doc_get_root(book->doc), name);
}
