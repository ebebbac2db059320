/* state_lock.c - who looks at the state when, and what has to leave the memory.
 *
 * One thread folds, slice after slice, and holds the lock most of the time; many threads want to
 * read a few objects. If each of them waited for the lock, every read would cost a sleep and a
 * wake-up, and a holder that lost its processor would stop all the threads that answer somebody. So
 * a reader lays its question down (state_ask): when the lock is free it answers it itself, else
 * whoever holds the lock does, at its next pause (flat combining, Hendler et al., SPAA 2010).
 *
 * No question is forgotten: it lies in the list before its thread tries the lock; if that fails,
 * somebody holds it, and whoever gives it back looks into the list afterwards. */
#include "store/state_int.h"

#include "base/check.h"

#define EVICT_STEPS 32 /* per breath: a few µs, more than one event can load */
#define EVICT_STEPS_ABOVE 512
#define EVICT_STEPS_FAR 4096 /* when far above the bound */

/* --- who leaves ------------------------------------------------------------------------------- */

static void evict_one(struct state_table *table, struct map_slot *slot)
{
    struct state_entry *entry = entry_of(slot->value);
    table->state->bytes -= entry_cost(entry);
    table->state->evictions++;
    CHECK(map_remove(&table->map, slot->key));
    table->def->free(entry);
}

/* Two rounds of the hand without one that could leave: only a merge makes more of them. */
static bool is_stuck(const struct state *state)
{
    size_t slots = 0;
    for (int i = 0; i < state->tables_count; i++)
        slots += state->tables[i].map.mask + 1;
    return state->hand_idle > 2 * slots;
}

/* The clock's hand goes over the maps' slots, table after table. A removal shifts the next entry
 * into the hand's slot, so the hand then stays. */
static void evict(struct state *state)
{
    if (state->bytes <= state->cache_bytes || is_stuck(state))
        return;
    size_t over = state->bytes - state->cache_bytes;
    int steps = over > state->cache_bytes / 8    ? EVICT_STEPS_FAR
                : over > state->cache_bytes / 64 ? EVICT_STEPS_ABOVE
                                                 : EVICT_STEPS;
    for (; steps > 0 && state->bytes > state->cache_bytes; steps--) {
        struct state_table *table = &state->tables[state->hand_table];
        if (table->map.slots == NULL || state->hand_slot > table->map.mask) {
            state->hand_table = (state->hand_table + 1) % state->tables_count;
            state->hand_slot = 0;
            continue;
        }
        struct map_slot *slot = &table->map.slots[state->hand_slot];
        struct state_entry *entry = entry_of(slot->value);
        if (entry != NULL && is_merged(state, entry) && entry->used == 0) {
            evict_one(table, slot);
            state->hand_idle = 0;
            continue;
        }
        if (entry != NULL)
            entry->used = 0;
        state->hand_slot++;
        state->hand_idle++;
    }
}

void state_reader_refresh(struct state *state)
{
    if (state->reading)
        db_rollback(state->reader);
    state->reading = false;
}

/* --- questions -------------------------------------------------------------------------------- */

static struct state_question *first_asked(const struct state *state)
{
    return __atomic_load_n(&state->questions, __ATOMIC_SEQ_CST);
}

/* Under the lock. What was looked at, the first that was asked first. */
static struct state_question *questions_look(struct state *state)
{
    if (first_asked(state) == NULL)
        return NULL;
    struct state_question *asked = __atomic_exchange_n(&state->questions, NULL, __ATOMIC_SEQ_CST);
    struct state_question *inorder = NULL;
    for (struct state_question *next; asked != NULL; asked = next) {
        next = asked->next;
        asked->next = inorder;
        inorder = asked;
    }
    for (struct state_question *q = inorder; q != NULL; q = q->next)
        q->look(q->ctx);
    return inorder;
}

static void questions_then(struct state_question *looked)
{
    for (struct state_question *next; looked != NULL; looked = next) {
        next = looked->next; /* the question is gone when it is answered */
        looked->then(looked->ctx);
    }
}

void state_ask(struct state *state, struct state_question *question)
{
    struct state_question *first = first_asked(state);
    do
        question->next = first;
    while (!__atomic_compare_exchange_n(&state->questions, &first, question, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST));
    if (polite_lock_try(&state->lock))
        state_unlock(state);
}

/* --- the lock --------------------------------------------------------------------------------- */

void state_lock(struct state *state)
{
    polite_lock_take(&state->lock);
}

void state_unlock(struct state *state)
{
    do {
        struct state_question *looked = questions_look(state);
        evict(state);
        state_reader_refresh(state); /* an idle reader would keep the WAL from being reused */
        polite_lock_give(&state->lock);
        questions_then(looked);
    } while (first_asked(state) != NULL && polite_lock_try(&state->lock));
}

void state_breathe(struct state *state)
{
    questions_then(questions_look(state));
    evict(state);
    polite_lock_pause(&state->lock);
}

bool state_is_crowded(struct state *state)
{
    state_lock(state);
    bool crowded = state->bytes > state->cache_bytes && is_stuck(state);
    state_unlock(state);
    return crowded;
}

void state_evict_down(struct state *state)
{
    bool over;
    do {
        state_lock(state);
        evict(state);
        over = state->bytes > state->cache_bytes && !is_stuck(state);
        state_unlock(state);
    } while (over);
}
