/* audit_chain.c - the records of the audit log on the disk: a chain of each kind.
 *
 * A record's hash covers the hash before it and all of its own fields, under a key that is made
 * from the data directory's secret. A changed, removed, added or moved record breaks the chain. The
 * row of audit_chain says where a chain begins and ends and is sealed in the same way, so that
 * neither end can be cut off. Whoever has the secret as well as the file can write all of it anew:
 * against that helps only a hash that somebody kept elsewhere.
 *
 * Why a chain of each kind? Reads may be a million times as many as changes, and are deleted
 * earlier. A chain can lose its old end, never its middle.
 *
 * The chain's end is read inside the closure: closures may run twice, and the one before may not be
 * committed yet. */
#include "access/audit_int.h"

#include <sodium.h>

#include "audit_sql.h"
#include "base/check.h"

/* --- keys and hashes -------------------------------------------------------------------------- */

static void key_make(const struct hash_key *secret, const char *purpose, unsigned char ret_key[32])
{
    CHECK(crypto_generichash(ret_key, 32, (const unsigned char *)purpose, strlen(purpose),
                             secret->bytes, sizeof secret->bytes) == 0);
}

void audit_keys_make(struct audit *audit)
{
    unsigned char key[32];
    key_make(&audit->options.secret, "audit chain", audit->chain_key);
    key_make(&audit->options.secret, "audit subject", audit->subject_key);
    key_make(&audit->options.secret, "audit merge", key);
    memcpy(audit->merge_key.bytes, key, sizeof audit->merge_key.bytes);
}

static void hash_int(crypto_generichash_state *state, int64_t v)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)v >> (8 * i));
    CHECK(crypto_generichash_update(state, bytes, sizeof bytes) == 0);
}

/* With its length, so that no two rows write the same bytes. */
static void hash_text(crypto_generichash_state *state, struct str text)
{
    hash_int(state, (int64_t)text.n);
    CHECK(crypto_generichash_update(state, (const unsigned char *)text.p, text.n) == 0);
}

static void hash_begin(const struct audit *audit, crypto_generichash_state *state)
{
    CHECK(crypto_generichash_init(state, audit->chain_key, sizeof audit->chain_key,
                                  AUDIT_HASH_BYTES) == 0);
}

void audit_row_hash(const struct audit *audit, const unsigned char before[AUDIT_HASH_BYTES],
                    const struct audit_row *row, unsigned char ret_hash[AUDIT_HASH_BYTES])
{
    crypto_generichash_state state;
    hash_begin(audit, &state);
    CHECK(crypto_generichash_update(&state, before, AUDIT_HASH_BYTES) == 0);
    const int64_t numbers[] = {row->id,     row->kind,  row->answer_to, row->at_us,
                               row->status, row->times, row->position};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        hash_int(&state, numbers[i]);
    const struct str texts[] = {row->key,     row->method, row->route,
                                row->subject, row->object, row->detail};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        hash_text(&state, texts[i]);
    CHECK(crypto_generichash_final(&state, ret_hash, AUDIT_HASH_BYTES) == 0);
}

void audit_chain_seal(const struct audit *audit, const struct audit_chain *chain,
                      unsigned char ret_seal[AUDIT_HASH_BYTES])
{
    crypto_generichash_state state;
    hash_begin(audit, &state);
    hash_text(&state, STR("seal"));
    hash_int(&state, chain->kind);
    hash_int(&state, chain->last_id);
    hash_int(&state, chain->records);
    CHECK(crypto_generichash_update(&state, chain->before, AUDIT_HASH_BYTES) == 0);
    CHECK(crypto_generichash_update(&state, chain->last, AUDIT_HASH_BYTES) == 0);
    CHECK(crypto_generichash_final(&state, ret_seal, AUDIT_HASH_BYTES) == 0);
}

/* --- the row of a chain ----------------------------------------------------------------------- */

static struct str hash_str(const unsigned char hash[AUDIT_HASH_BYTES])
{
    return (struct str){(const char *)hash, AUDIT_HASH_BYTES};
}

static bool hash_read(struct str bytes, unsigned char ret_hash[AUDIT_HASH_BYTES])
{
    if (bytes.n != AUDIT_HASH_BYTES)
        return false;
    memcpy(ret_hash, bytes.p, bytes.n);
    return true;
}

enum status audit_chain_read(const struct audit *audit, struct db *db, int kind,
                             struct audit_chain *ret_chain, struct err *err)
{
    bool row = false, whole = true;
    struct audit_chain chain = {.kind = kind};
    struct db_stmt *stmt = db_prepare(db, audit_chain_find);
    db_bind_int(stmt, 1, kind);
    enum status status = db_step(stmt, &row, err);
    if (status == ST_OK && row) {
        chain.last_id = db_int(stmt, 1);
        chain.records = db_int(stmt, 3);
        whole = hash_read(db_str(stmt, 0), chain.before) &&
                hash_read(db_str(stmt, 2), chain.last) && hash_read(db_str(stmt, 4), chain.seal);
        db_reset(stmt);
    } else if (status == ST_OK) {
        audit_chain_seal(audit, &chain, chain.seal);
    }
    if (status == ST_OK && !whole)
        return err_set(err, ST_CORRUPT, "the audit log is damaged: a hash has another length");
    if (status == ST_OK)
        *ret_chain = chain;
    return status;
}

/* The seal of a chain that somebody cut stays broken: what is appended must not mend it. */
static enum status chain_write(const struct audit *audit, struct db *db, struct audit_chain *chain,
                               bool whole, struct err *err)
{
    audit_chain_seal(audit, chain, chain->seal);
    if (!whole)
        memset(chain->seal, 0, sizeof chain->seal);
    struct db_stmt *stmt = db_prepare(db, audit_chain_put);
    db_bind_int(stmt, 1, chain->kind);
    db_bind_bytes(stmt, 2, hash_str(chain->before));
    db_bind_int(stmt, 3, chain->last_id);
    db_bind_bytes(stmt, 4, hash_str(chain->last));
    db_bind_int(stmt, 5, chain->records);
    db_bind_bytes(stmt, 6, hash_str(chain->seal));
    return db_exec(stmt, err);
}

static bool is_sealed(const struct audit *audit, const struct audit_chain *chain)
{
    unsigned char seal[AUDIT_HASH_BYTES];
    audit_chain_seal(audit, chain, seal);
    return sodium_memcmp(seal, chain->seal, sizeof seal) == 0;
}

/* --- appending -------------------------------------------------------------------------------- */

struct appending {
    struct audit *audit;
    const struct audit_entry *entries;
    size_t count;
    int64_t last_id;
};

static enum status row_add(struct db *db, const struct audit_row *row, struct err *err)
{
    struct db_stmt *stmt = db_prepare(db, audit_add);
    db_bind_int(stmt, 1, row->id);
    db_bind_int(stmt, 2, row->kind);
    db_bind_int(stmt, 3, row->answer_to);
    db_bind_int(stmt, 4, row->at_us);
    db_bind_str(stmt, 5, row->key);
    db_bind_str(stmt, 6, row->method);
    db_bind_str(stmt, 7, row->route);
    db_bind_bytes(stmt, 8, row->subject);
    db_bind_str(stmt, 9, row->object);
    db_bind_str(stmt, 10, row->detail);
    db_bind_int(stmt, 11, row->status);
    db_bind_int(stmt, 12, row->times);
    db_bind_int(stmt, 13, row->position);
    db_bind_bytes(stmt, 14, row->hash);
    return db_exec(stmt, err);
}

static struct audit_row row_of(const struct audit_entry *entry, int64_t id)
{
    const struct audit_what *what = &entry->what;
    return (struct audit_row){
        .id = id,
        .kind = what->kind,
        .answer_to = what->answer_to,
        .at_us = entry->at_us,
        .status = what->status,
        .times = entry->times,
        .position = (int64_t)what->position,
        .key = {what->key_n == 0 ? "" : what->key, what->key_n},
        .method = str_of(what->method),
        .route = str_of(what->route),
        .subject = {(const char *)what->subject, what->subject_n},
        .object = str_of(what->object),
        .detail = {entry->detail == NULL ? "" : entry->detail, entry->detail_n},
    };
}

static enum status next_id(struct db *db, int64_t *ret_id, struct err *err)
{
    bool row = false;
    struct db_stmt *stmt = db_prepare(db, audit_next);
    enum status status = db_step(stmt, &row, err);
    if (status == ST_OK && row)
        *ret_id = db_int(stmt, 0);
    db_reset(stmt);
    return status;
}

static enum status append(void *ctx, struct db *db, struct err *err)
{
    struct appending *appending = ctx;
    struct audit *audit = appending->audit;
    struct audit_chain chains[AUDIT_KINDS] = {{0}};
    bool whole[AUDIT_KINDS] = {false};
    int64_t id = 0;
    enum status status = next_id(db, &id, err);
    for (size_t i = 0; status == ST_OK && i < appending->count; i++) {
        struct audit_row row = row_of(&appending->entries[i], id++);
        int k = row.kind - 1;
        struct audit_chain *chain = &chains[k];
        if (chain->kind == 0) {
            status = audit_chain_read(audit, db, row.kind, chain, err);
            whole[k] = status == ST_OK && is_sealed(audit, chain);
        }
        if (status != ST_OK)
            break;
        audit_row_hash(audit, chain->last, &row, chain->last);
        row.hash = hash_str(chain->last);
        chain->last_id = row.id;
        chain->records++;
        status = row_add(db, &row, err);
    }
    for (int k = 0; status == ST_OK && k < AUDIT_KINDS; k++)
        if (chains[k].kind != 0)
            status = chain_write(audit, db, &chains[k], whole[k], err);
    appending->last_id = id - 1;
    return status;
}

enum status audit_append(struct audit *audit, const struct audit_entry *entries, size_t count,
                         int64_t *ret_id, struct err *err)
{
    CHECK(count > 0 && count <= AUDIT_SLICE);
    struct appending appending = {.audit = audit, .entries = entries, .count = count};
    enum status status = facts_write(audit->options.facts, append, &appending, err);
    if (status == ST_OK)
        *ret_id = appending.last_id;
    return status;
}

/* --- forgetting ------------------------------------------------------------------------------- */

struct tidying {
    const struct audit *audit;
    int kind;
    int64_t cut_us;
    size_t gone; /* in this slice */
};

/* How far the chain may be cut: the oldest records that are too old or too many. */
static enum status slice_find(const struct tidying *tidying, struct db *db,
                              struct audit_chain *chain, int64_t *ret_id, size_t *ret_count,
                              struct err *err)
{
    bool row = false;
    enum status status;
    int64_t most = tidying->audit->options.records_max;
    struct db_stmt *stmt = db_prepare(db, audit_oldest);
    db_bind_int(stmt, 1, tidying->kind);
    db_bind_int(stmt, 2, AUDIT_SLICE);
    while ((status = db_step(stmt, &row, err)) == ST_OK && row) {
        if (db_int(stmt, 1) >= tidying->cut_us && chain->records <= most)
            break;
        if (!hash_read(db_str(stmt, 2), chain->before))
            memset(chain->before, 0, sizeof chain->before); /* the check will find it */
        *ret_id = db_int(stmt, 0);
        chain->records--;
        ++*ret_count;
    }
    if (status == ST_OK && row)
        db_reset(stmt);
    return status;
}

static enum status tidy_slice(void *ctx, struct db *db, struct err *err)
{
    struct tidying *tidying = ctx;
    struct audit_chain chain;
    int64_t last = 0;
    tidying->gone = 0;
    enum status status = audit_chain_read(tidying->audit, db, tidying->kind, &chain, err);
    bool whole = status == ST_OK && is_sealed(tidying->audit, &chain);
    if (status == ST_OK)
        status = slice_find(tidying, db, &chain, &last, &tidying->gone, err);
    if (status != ST_OK || tidying->gone == 0)
        return status;
    struct db_stmt *stmt = db_prepare(db, audit_forget);
    db_bind_int(stmt, 1, tidying->kind);
    db_bind_int(stmt, 2, last);
    status = db_exec(stmt, err);
    return status == ST_OK ? chain_write(tidying->audit, db, &chain, whole, err) : status;
}

enum status audit_tidy(struct audit *audit, int slices, struct err *err)
{
    enum status status = ST_OK;
    for (int kind = 1; status == ST_OK && kind <= AUDIT_KINDS; kind++) {
        struct tidying tidying = {
            .audit = audit,
            .kind = kind,
            .cut_us = clock_now_us(audit->options.clock) - audit->options.keep_us,
            .gone = AUDIT_SLICE,
        };
        for (int i = 0; status == ST_OK && i < slices && tidying.gone == AUDIT_SLICE; i++)
            status = facts_write(audit->options.facts, tidy_slice, &tidying, err);
    }
    return status;
}
