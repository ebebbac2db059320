/* access.c - sources and keys: in memory for the question, in facts.db for the decision.
 *
 * Problem: every request asks what its key may do, and must not wait for a disk; a rotated or
 * revoked key must count at once. Rule: facts.db decides, memory mirrors. A change is committed
 * first and then entered under the write lock, before its call returns; so whoever was told
 * "revoked" can rely on it, and a crash between the two is healed by the next start, which reads
 * the file.
 *
 * Invariants: memory never holds a key that the file does not have; a source's number is never used
 * twice; a text that was ever a key never becomes one again. */
#include "access/access_int.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "access_sql.h"
#include "base/check.h"
#include "base/disk.h"
#include "base/json.h"
#include "base/limits.h"

#define WRITE_KEY_CHARS 24
#define SECRET_KEY_CHARS 40
#define OWNER_LABEL "owner"
#define API_SOURCE "api"

/* --- the mirror: called under the write lock, or before anybody else is there
 * --------------------- */

static void mirror_source(struct access *access, struct access_source source)
{
    access->sources =
        mem_grow(access->sources, (access->sources_count + 1) * sizeof *access->sources);
    source.name = arena_copy(&access->arena, source.name);
    source.channel = arena_copy(&access->arena, source.channel);
    access->sources[access->sources_count++] = source;
}

static void mirror_key(struct access *access, const struct access_key *key)
{
    struct access_key *copy = ARENA_NEW(&access->arena, struct access_key);
    *copy = *key;
    copy->id = arena_copy(&access->arena, key->id);
    copy->label = arena_copy(&access->arena, key->label);
    copy->prefix = arena_copy(&access->arena, key->prefix);
    access->keys = mem_grow(access->keys, (access->keys_count + 1) * sizeof(struct access_key *));
    access->keys[access->keys_count++] = copy;
    *map_put(&access->by_hash, access_key_slot(copy->hash), NULL) = (uintptr_t)copy;
}

static const struct access_source *find_source(const struct access *access, struct str name)
{
    for (size_t i = 0; i < access->sources_count; i++)
        if (str_eq(access->sources[i].name, name))
            return &access->sources[i];
    return NULL;
}

static enum status load_all(void *ctx, struct db *db, struct err *err)
{
    struct access *access = ctx;
    struct db_stmt *list = db_prepare(db, access_source_list);
    bool row = false;
    enum status status;
    while ((status = db_step(list, &row, err)) == ST_OK && row)
        mirror_source(access, (struct access_source){(uint32_t)db_int(list, 0), db_str(list, 1),
                                                     db_str(list, 2)});
    if (status != ST_OK)
        return status;
    list = db_prepare(db, access_key_list);
    while ((status = db_step(list, &row, err)) == ST_OK && row) {
        struct access_key key = {.id = db_str(list, 0),
                                 .secret = str_is(db_str(list, 2), "secret"),
                                 .source = (uint32_t)db_int(list, 3),
                                 .label = db_str(list, 4),
                                 .scopes = (uint32_t)db_int(list, 5),
                                 .prefix = db_str(list, 6),
                                 .created_us = db_int(list, 7),
                                 .revoked_us = db_int(list, 8)};
        struct str hash = db_str(list, 1);
        if (hash.n != KEY_HASH_BYTES) {
            db_reset(list);
            return err_set(err, ST_CORRUPT, "could not read the keys: a hash has %zu bytes",
                           hash.n);
        }
        memcpy(key.hash, hash.p, hash.n);
        mirror_key(access, &key);
    }
    return status;
}

/* --- closures of the facts writer
 * ------------------------------------------------------------------ */

/* One decision: perhaps a new source, perhaps a new key for it or for an older one. */
struct addition {
    struct access_source *source; /* to insert; NULL if the key's source exists */
    struct access_key *key;       /* to insert, or NULL */
};

static enum status is_absent(struct db_stmt *find, const char *what, struct err *err)
{
    bool row = false;
    enum status status = db_step(find, &row, err);
    db_reset(find);
    return status == ST_OK && row
               ? err_set(err, ST_CONFLICT, "could not add the %s: it exists", what)
               : status;
}

static enum status insert_source(struct db *db, struct access_source *source, struct err *err)
{
    struct db_stmt *find = db_prepare(db, access_source_find);
    db_bind_str(find, 1, source->name);
    enum status status = is_absent(find, "source", err);
    struct db_stmt *next = db_prepare(db, access_source_next);
    bool row = false;
    if (status == ST_OK)
        status = db_step(next, &row, err);
    if (status != ST_OK)
        return status;
    source->id = (uint32_t)db_int(next, 0);
    db_reset(next);
    struct db_stmt *add = db_prepare(db, access_source_add);
    db_bind_int(add, 1, source->id);
    db_bind_str(add, 2, source->name);
    db_bind_str(add, 3, source->channel);
    return db_exec(add, err);
}

static enum status insert_key(struct db *db, const struct access_key *key, struct err *err)
{
    struct str hash = {(const char *)key->hash, sizeof key->hash};
    struct db_stmt *find = db_prepare(db, access_key_find);
    db_bind_bytes(find, 1, hash);
    enum status status = is_absent(find, "key", err);
    if (status != ST_OK)
        return status;
    struct db_stmt *add = db_prepare(db, access_key_add);
    db_bind_str(add, 1, key->id);
    db_bind_bytes(add, 2, hash);
    db_bind_str(add, 3, key->secret ? STR("secret") : STR("write"));
    db_bind_int(add, 4, key->source);
    db_bind_str(add, 5, key->label);
    db_bind_int(add, 6, key->scopes);
    db_bind_str(add, 7, key->prefix);
    db_bind_int(add, 8, key->created_us);
    return db_exec(add, err);
}

static enum status insert(void *ctx, struct db *db, struct err *err)
{
    struct addition *addition = ctx;
    enum status status = ST_OK;
    if (addition->source != NULL)
        status = insert_source(db, addition->source, err);
    if (status == ST_OK && addition->key != NULL) {
        if (addition->source != NULL)
            addition->key->source = addition->source->id;
        status = insert_key(db, addition->key, err);
    }
    return status;
}

struct revocation {
    struct str id;
    int64_t now_us;
};

static enum status revoke(void *ctx, struct db *db, struct err *err)
{
    const struct revocation *revocation = ctx;
    struct db_stmt *update = db_prepare(db, access_key_revoke);
    db_bind_str(update, 1, revocation->id);
    db_bind_int(update, 2, revocation->now_us);
    return db_exec(update, err);
}

/* --- changes
 * ----------------------------------------------------------------------------------------- */

static enum status add(struct access *access, struct addition *addition, struct err *err)
{
    enum status status = facts_write(access->facts, insert, addition, err);
    if (status != ST_OK)
        return status;
    pthread_rwlock_wrlock(&access->lock);
    if (addition->source != NULL)
        mirror_source(access, *addition->source);
    if (addition->key != NULL)
        mirror_key(access, addition->key);
    pthread_rwlock_unlock(&access->lock);
    return ST_OK;
}

/* `key` holds what the kind decides; the rest comes from its text. */
static enum status add_key(struct access *access, struct access_source *source,
                           struct access_key *key, struct str text, struct err *err)
{
    struct buf id;
    buf_init(&id, KEY_ID_CHARS);
    access_key_make(access->rng, "k_", KEY_ID_CHARS - 2, &id);
    key->id = buf_view(&id);
    access_key_hash(text, key->hash);
    /* Of a chosen key less than half is shown. */
    size_t shown = text.n / 2 < KEY_PREFIX_CHARS ? text.n / 2 : KEY_PREFIX_CHARS;
    key->prefix = (struct str){text.p, shown};
    key->created_us = clock_now_us(access->clock);
    enum status status = add(access, &(struct addition){source, key}, err);
    buf_done(&id);
    return status;
}

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f)
            return false;
    return name.n > 0 && name.n <= LIMIT_NAME_BYTES;
}

static enum status check_name(struct str name, const char *what, struct err *err)
{
    return is_name(name)
               ? ST_OK
               : err_set(err, ST_INVALID,
                         "could not use the %s: it must have 1 to %d bytes and no control "
                         "characters",
                         what, LIMIT_NAME_BYTES);
}

enum status access_add_source(struct access *access, struct str name, struct str channel,
                              struct buf *ret_key, uint32_t *ret_source, struct err *err)
{
    enum status status = check_name(name, "source's name", err);
    if (status == ST_OK)
        status = check_name(channel, "source's channel", err);
    if (status != ST_OK)
        return status;
    struct buf text;
    buf_init(&text, KEY_TEXT_BYTES_MAX);
    access_key_make(access->rng, "wk_", WRITE_KEY_CHARS, &text);
    struct access_source source = {.name = name, .channel = channel};
    struct access_key key = {.scopes = SCOPE_COLLECT, .label = name};
    status = add_key(access, &source, &key, buf_view(&text), err);
    if (status == ST_OK) {
        buf_str(ret_key, buf_view(&text));
        *ret_source = source.id;
    }
    buf_done(&text);
    return status;
}

static enum status add_write_key(struct access *access, struct str source, struct str text,
                                 struct err *err)
{
    pthread_rwlock_rdlock(&access->lock);
    const struct access_source *found = find_source(access, source);
    struct access_key key = {.scopes = SCOPE_COLLECT, .label = source};
    if (found != NULL)
        key.source = found->id;
    pthread_rwlock_unlock(&access->lock);
    if (found == NULL)
        return err_set(err, ST_NOT_FOUND, "could not add a write key: there is no such source");
    return add_key(access, NULL, &key, text, err);
}

enum status access_add_write_key(struct access *access, struct str source, struct buf *ret_key,
                                 struct err *err)
{
    struct buf text;
    buf_init(&text, KEY_TEXT_BYTES_MAX);
    access_key_make(access->rng, "wk_", WRITE_KEY_CHARS, &text);
    enum status status = add_write_key(access, source, buf_view(&text), err);
    if (status == ST_OK)
        buf_str(ret_key, buf_view(&text));
    buf_done(&text);
    return status;
}

enum status access_add_write_key_value(struct access *access, struct str source, struct str key,
                                       struct err *err)
{
    if (!access_key_is_well_formed(key))
        return err_set(err, ST_INVALID,
                       "could not use the write key: it must have 8 to %d characters of A-Z, a-z, "
                       "0-9, - and _",
                       KEY_TEXT_BYTES_MAX);
    return add_write_key(access, source, key, err);
}

enum status access_add_secret_key(struct access *access, struct str label, uint32_t scopes,
                                  struct buf *ret_key, struct err *err)
{
    enum status status = check_name(label, "key's label", err);
    if (status == ST_OK && (scopes == SCOPE_NONE || (scopes & ~(uint32_t)SCOPE_ALL) != 0))
        status = err_set(err, ST_INVALID, "could not make the key: it needs scopes");
    if (status != ST_OK)
        return status;
    struct buf text;
    buf_init(&text, KEY_TEXT_BYTES_MAX);
    access_key_make(access->rng, "sk_", SECRET_KEY_CHARS, &text);
    struct access_key key = {
        .secret = true, .source = access->api_source, .label = label, .scopes = scopes};
    status = add_key(access, NULL, &key, buf_view(&text), err);
    if (status == ST_OK)
        buf_str(ret_key, buf_view(&text));
    sodium_memzero(text.p, text.n);
    buf_done(&text);
    return status;
}

static struct access_key *find_key(const struct access *access, struct str id)
{
    for (size_t i = 0; i < access->keys_count; i++)
        if (str_eq(access->keys[i]->id, id))
            return access->keys[i];
    return NULL;
}

enum status access_revoke(struct access *access, struct str id, struct err *err)
{
    pthread_rwlock_rdlock(&access->lock);
    struct access_key *key = find_key(access, id);
    pthread_rwlock_unlock(&access->lock);
    if (key == NULL)
        return err_set(err, ST_NOT_FOUND, "could not revoke the key: there is no such key");
    struct revocation revocation = {id, clock_now_us(access->clock)};
    enum status status = facts_write(access->facts, revoke, &revocation, err);
    if (status != ST_OK)
        return status;
    pthread_rwlock_wrlock(&access->lock);
    if (key->revoked_us == 0)
        key->revoked_us = revocation.now_us;
    pthread_rwlock_unlock(&access->lock);
    return ST_OK;
}

/* --- questions
 * --------------------------------------------------------------------------------------- */

enum status access_check(struct access *access, struct str key, struct access_grant *ret_grant,
                         struct err *err)
{
    unsigned char hash[KEY_HASH_BYTES];
    bool valid = false;
    if (key.n > 0 && key.n <= KEY_TEXT_BYTES_MAX) {
        access_key_hash(key, hash);
        pthread_rwlock_rdlock(&access->lock);
        const uint64_t *slot = map_find(&access->by_hash, access_key_slot(hash));
        const struct access_key *found =
            slot == NULL ? NULL : (const struct access_key *)(uintptr_t)*slot;
        valid = found != NULL && sodium_memcmp(found->hash, hash, sizeof hash) == 0 &&
                found->revoked_us == 0;
        if (valid)
            *ret_grant = (struct access_grant){.source = found->source,
                                               .scopes = found->scopes,
                                               .id = found->id,
                                               .trusted = found->secret};
        pthread_rwlock_unlock(&access->lock);
    }
    return valid ? ST_OK : err_set(err, ST_UNAUTHORIZED, "the key is unknown or revoked");
}

struct str access_key_label(struct access *access, struct str id)
{
    pthread_rwlock_rdlock(&access->lock);
    const struct access_key *key = find_key(access, id);
    struct str label = key == NULL ? STR("") : key->label;
    pthread_rwlock_unlock(&access->lock);
    return label;
}

static struct str source_text(struct access *access, uint32_t source, bool name)
{
    struct str text = STR("");
    pthread_rwlock_rdlock(&access->lock);
    for (size_t i = 0; i < access->sources_count; i++)
        if (access->sources[i].id == source)
            text = name ? access->sources[i].name : access->sources[i].channel;
    pthread_rwlock_unlock(&access->lock);
    return text;
}

struct str access_source_name(struct access *access, uint32_t source)
{
    return source_text(access, source, true);
}

struct str access_source_channel(struct access *access, uint32_t source)
{
    return source_text(access, source, false);
}

static void list_key(struct access *access, const struct access_key *key, struct buf *json)
{
    struct buf words;
    buf_init(&words, 64);
    access_scopes_write(key->scopes, &words);
    struct str source = STR("");
    for (size_t i = 0; i < access->sources_count; i++)
        if (access->sources[i].id == key->source)
            source = access->sources[i].name;
    json_put_comma(json);
    buf_char(json, '{');
    json_put_member_str(json, "id", key->id);
    json_put_member_str(json, "kind", key->secret ? STR("secret") : STR("write"));
    json_put_member_str(json, "source", source);
    json_put_member_str(json, "label", key->label);
    json_put_member_str(json, "scopes", buf_view(&words));
    json_put_member_str(json, "prefix", key->prefix);
    json_put_member_int(json, "created", key->created_us);
    if (key->revoked_us == 0)
        json_put_member_raw(json, "revoked", STR("null"));
    else
        json_put_member_int(json, "revoked", key->revoked_us);
    buf_char(json, '}');
    buf_done(&words);
}

enum status access_list(struct access *access, struct buf *json, struct err *err)
{
    pthread_rwlock_rdlock(&access->lock);
    buf_text(json, "{\"sources\":[");
    for (size_t i = 0; i < access->sources_count; i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_uint(json, "id", access->sources[i].id);
        json_put_member_str(json, "name", access->sources[i].name);
        json_put_member_str(json, "channel", access->sources[i].channel);
        buf_char(json, '}');
    }
    buf_text(json, "],\"keys\":[");
    for (size_t i = 0; i < access->keys_count; i++)
        list_key(access, access->keys[i], json);
    buf_text(json, "]}");
    pthread_rwlock_unlock(&access->lock);
    return json->overflow
               ? err_set(err, ST_TOO_LARGE, "could not list the keys: there are too many")
               : ST_OK;
}

/* --- life
 * ---------------------------------------------------------------------------------------------- */

static enum status ensure_api_source(struct access *access, struct err *err)
{
    const struct access_source *found = find_source(access, STR(API_SOURCE));
    struct access_source source = {.name = STR(API_SOURCE), .channel = STR(API_SOURCE)};
    enum status status = ST_OK;
    if (found == NULL)
        status = add(access, &(struct addition){.source = &source}, err);
    access->api_source = found == NULL ? source.id : found->id;
    return status;
}

/* Does the file hold a key that is valid here? Another directory's, or an older backup's, does not
 * count. ST_NOT_FOUND when a new one must be made. */
static enum status check_owner_file(struct access *access, struct disk *disk, const char *path,
                                    struct err *err)
{
    char *bytes = NULL;
    size_t n = 0;
    enum status status = disk_read_file(disk, path, 4096, &bytes, &n, err);
    if (status == ST_TOO_LARGE)
        return err_set(err, ST_NOT_FOUND, "the owner key's file holds no key");
    if (status != ST_OK)
        return status;
    struct access_grant grant;
    struct str key = str_trim((struct str){bytes, n});
    bool valid = access_check(access, key, &grant, err) == ST_OK && grant.scopes == SCOPE_ALL;
    sodium_memzero(bytes, n);
    free(bytes);
    return valid ? ST_OK : err_set(err, ST_NOT_FOUND, "the owner key's file holds no valid key");
}

/* The file first: when the commit then fails, the next start finds an unknown key and makes
 * another. */
static enum status ensure_owner_key(struct access *access, const char *path, struct err *err)
{
    struct disk disk;
    disk_init(&disk);
    enum status status = check_owner_file(access, &disk, path, err);
    if (status != ST_NOT_FOUND)
        return status;
    struct buf text;
    buf_init(&text, KEY_TEXT_BYTES_MAX);
    access_key_make(access->rng, "sk_", SECRET_KEY_CHARS, &text);
    struct str view = buf_view(&text);
    buf_char(&text, '\n');
    status = disk_write_file(&disk, path, buf_view(&text), err);
    struct access_key key = {.secret = true,
                             .source = access->api_source,
                             .label = STR(OWNER_LABEL),
                             .scopes = SCOPE_ALL};
    if (status == ST_OK)
        status = add_key(access, NULL, &key, view, err);
    sodium_memzero(text.p, text.n);
    buf_done(&text);
    return status;
}

enum status access_open(struct facts *facts, struct rng *rng, const struct clock *clock,
                        const char *owner_key_path, struct access **ret_access, struct err *err)
{
    CHECK(sodium_init() >= 0);
    struct access *access = mem_zero(sizeof *access);
    *access = (struct access){.facts = facts, .rng = rng, .clock = clock};
    CHECK(pthread_rwlock_init(&access->lock, NULL) == 0);
    arena_init(&access->arena);
    map_init(&access->by_hash);
    facts_prepare(facts, access_queries);
    enum status status = facts_read(facts, load_all, access, err);
    if (status == ST_OK)
        status = ensure_api_source(access, err);
    if (status == ST_OK)
        status = ensure_owner_key(access, owner_key_path, err);
    if (status != ST_OK) {
        access_close(access);
        return status;
    }
    *ret_access = access;
    return ST_OK;
}

void access_close(struct access *access)
{
    if (access == NULL)
        return;
    pthread_rwlock_destroy(&access->lock);
    free(access->sources);
    free(access->keys);
    map_done(&access->by_hash);
    arena_done(&access->arena);
    free(access);
}
