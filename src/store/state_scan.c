/* state_scan.c - every object of a table, in slices, while everything else goes on.
 *
 * The file gives the order, memory gives the newest form: an object that is cached is shown as it
 * is there, one that was removed is left out, and one that is only in the file is decoded for the
 * call and freed, so that a scan of millions does not push the hot ones out. */
#include "store/state_int.h"

#include "base/check.h"

/* One row. False when `each` wants no more. */
static bool show(struct state_table *table, struct db_stmt *stmt, struct hash128 key,
                 state_each *each, void *ctx, enum status *status, struct err *err)
{
    const uint64_t *slot = map_find(&table->map, map_key(table, key));
    if (slot != NULL) {
        struct state_entry *entry = entry_of(*slot);
        return (entry->flags & FLAG_REMOVED) != 0 || each(ctx, entry);
    }
    struct delta_row row;
    bool recovered = state_recovered_find(table, map_key(table, key), &row);
    if (recovered && row.removed)
        return true;
    struct str bytes = recovered ? row.bytes : db_str(stmt, 1);
    struct state_entry *entry = table->def->decode(key, bytes);
    if (entry == NULL) {
        *status = err_set(err, ST_CORRUPT, "could not read an object of %s: it is damaged",
                          table->def->name);
        return false;
    }
    entry->key = key;
    bool more = each(ctx, entry);
    table->def->free(entry);
    return more;
}

/* One slice from *at on, which moves behind it. *ret_more is false at the end. */
static enum status scan_slice(struct state_table *table, struct hash128 *at, state_each *each,
                              void *ctx, bool *ret_more, struct err *err)
{
    struct db_stmt *stmt = db_prepare(table->state->reader, table->sql_scan);
    state_bind_key(table, stmt, 1, *at);
    db_bind_int(stmt, 2, SLICE);
    int count = 0;
    bool row = false, more = true;
    struct hash128 last = *at;
    enum status status = ST_OK;
    while (more && (status = db_step(stmt, &row, err)) == ST_OK && row) {
        last = state_column_key(table, stmt, 0);
        count++;
        more = show(table, stmt, last, each, ctx, &status, err);
    }
    db_reset(stmt);
    *at = last;
    *ret_more = more && count == SLICE && state_key_next(table, at);
    return status;
}

enum status state_scan(struct state_table *table, state_each *each, void *ctx, struct err *err)
{
    struct hash128 at = state_key_first(table);
    enum status status = ST_OK;
    for (bool more = true; status == ST_OK && more;) {
        polite_lock_take_late(&table->state->lock);
        status = scan_slice(table, &at, each, ctx, &more, err);
        state_unlock(table->state);
    }
    return status;
}

void state_scan_unmerged(struct state_table *table, state_each *each, void *ctx)
{
    state_lock(table->state);
    bool more = true;
    for (struct map_slot *slot = NULL; more && (slot = map_next(&table->map, slot)) != NULL;) {
        struct state_entry *entry = entry_of(slot->value);
        if (!(entry->flags & FLAG_REMOVED) && !is_merged(table->state, entry))
            more = each(ctx, entry);
    }
    if (more)
        (void)state_recovered_scan(table, each, ctx);
    state_unlock(table->state);
}
