/* profile_combine.c - what the visitors of one person say, said as one.
 *
 * Anonymous on Monday, signed in on Friday: identity/ decides WHICH visitors are one person, this
 * file decides WHAT that person's profile says. Pure: the same summaries give the same profile,
 * whatever the order in which they come. So a merge, its undo, a late event and a back-fill are one
 * call: combine again.
 *
 *   1. Traits are the replay of all operations together, so the later one wins (profile_trait.c).
 *   2. Sums and counts add, first and last take the extreme, bounded lists keep the newest.
 *
 * Why not rewrite one profile into the other? Then no merge could be undone.
 *
 * Invariant, checked in profile_test.c: combine(a, b) = combine(b, a); combine(a, combine(b, c)) =
 * combine(combine(a, b), c). Each visitor enters once. */
#include "profile/profile_int.h"

#include "base/check.h"

static void combine_traits(struct summary *summary, const struct summary *other,
                           struct arena *arena)
{
    if (other->traits_n == 0)
        return;
    struct trait_ops mine = {0}, theirs = {0}, both = {0};
    bool good = (summary->traits_n == 0 ||
                 traits_decode((struct str){summary->traits, summary->traits_n}, arena, &mine)) &&
                traits_decode((struct str){other->traits, other->traits_n}, arena, &theirs);
    CHECK(good);
    (void)traits_join(&mine, &theirs, arena, &both); /* each visitor's were counted when folded */
    summary_set_traits(summary, &both);
}

void summary_combine(struct summary *summary, const struct summary *other, struct arena *arena)
{
    for (uint8_t c = 0; c < other->counters_n; c++) {
        const struct counter *counter = &summary_counters(other)[c];
        summary_add_counter(summary, word_at(other, counter->name), counter->count,
                            counter->first_us, counter->last_us);
    }
    for (uint8_t e = 0; e < other->events_n; e++) {
        const struct newest *event = &summary_events(other)[e];
        summary_add_event(summary, event->time_us, event->position, word_at(other, event->name),
                          word_at(other, event->channel));
    }
    summary->events_total += other->events_total;
    summary_add_seen(summary, other->first_seen_us, other->last_seen_us);
    summary->orders += other->orders;
    summary_add_revenue(summary, other->revenue_micros);
    combine_traits(summary, other, arena);
}
