/* profile.c - summaries in the state: an event folded into its visitor's, a person's view made.
 *
 * An event is folded once, into the summary of the visitor that it belongs to for ever. The hot
 * path is a tracked event: one probe, one counter, one of ten newest events, no memory asked for. A
 * person's view is combined when it is asked for; nothing is stored per person, so there is nothing
 * to repair after a merge, an undo or a change of rules. */
#include "profile/profile_int.h"

#include <stdlib.h>

#include "base/check.h"

struct profile {
    struct state *state;
    struct state_table *summaries;
    struct profile_stats stats;
};

enum status profile_open(struct state *state, struct profile **ret_profile, struct err *err)
{
    (void)err; /* nothing can fail yet; the header leaves room for it */
    struct profile *profile = mem_zero(sizeof *profile);
    profile->state = state;
    profile->summaries = state_table(state, &summary_table);
    *ret_profile = profile;
    return ST_OK;
}

void profile_close(struct profile *profile)
{
    free(profile);
}

void profile_stats(struct profile *profile, struct profile_stats *ret_stats)
{
    *ret_stats = profile->stats;
}

static struct summary *summary_get(struct profile *profile, uint64_t visitor)
{
    return (struct summary *)state_get(profile->summaries, (struct hash128){visitor, 0});
}

/* Summaries lie all over the memory. Asked for together, and then for what they point to, they cost
 * one wait instead of one for each line: a third of the time of a person of many devices. */
void profile_prefetch(struct profile *profile, const struct visitor_id *visitors, size_t count)
{
    struct hash128 keys[PROFILE_PREFETCH_MAX];
    struct state_entry *found[PROFILE_PREFETCH_MAX];
    CHECK(count <= PROFILE_PREFETCH_MAX);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        keys[i] = (struct hash128){visitors[i].v, 0};
    state_prefetch(profile->summaries, keys, count, sizeof(struct summary), found);
    for (size_t i = 0; i < count; i++)
        if (found[i] != NULL)
            summary_table.prefetch(found[i]);
}

/* --- folding ---------------------------------------------------------------------------------- */

static struct trait_ops summary_ops(const struct summary *summary, struct arena *arena)
{
    struct trait_ops ops = {0};
    bool good = summary->traits_n == 0 ||
                traits_decode((struct str){summary->traits, summary->traits_n}, arena, &ops);
    CHECK(good);
    return ops;
}

/* Report `name` if its value is another one now. Copied: both may stand in the bytes of before. */
static void trait_compare(const struct trait_ops *before, const struct trait_ops *after,
                          struct str name, struct arena *arena,
                          struct profile_trait_change *changes, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (str_eq(changes[i].name, name))
            return;
    size_t from, to;
    int64_t time_us;
    traits_find(before, name, &from, &to);
    struct str old = trait_value(before, from, to, arena, &time_us);
    traits_find(after, name, &from, &to);
    struct str value = trait_value(after, from, to, arena, &time_us);
    if (!str_eq(old, value))
        changes[(*count)++] = (struct profile_trait_change){arena_copy(arena, name),
                                                            arena_copy(arena, value), time_us};
}

/* A trait that a delete took has no operation left whose time could be told. */
static void changes_date(struct profile_trait_change *changes, size_t count, int64_t time_us)
{
    for (size_t i = 0; i < count; i++)
        if (changes[i].value.n == 0 && changes[i].time_us == 0)
            changes[i].time_us = time_us;
}

static void fold_traits(struct profile *profile, struct summary *summary,
                        const struct clean_event *event, struct arena *arena,
                        struct profile_trait_change **ret_changes, size_t *ret_count)
{
    struct trait_ops said;
    event_ops(event, arena, &said, &profile->stats.traits_refused);
    if (said.count == 0)
        return;
    struct trait_ops before = summary_ops(summary, arena);
    struct trait_ops after;
    profile->stats.traits_refused += traits_join(&before, &said, arena, &after);
    bool all = said.list[0].kind == TRAIT_DELETE;
    const struct trait_ops *touched = all ? &before : &said;
    *ret_changes = ARENA_ARRAY(arena, struct profile_trait_change, touched->count + 1);
    for (size_t i = 0; i < touched->count; i++)
        trait_compare(&before, &after, touched->list[i].name, arena, *ret_changes, ret_count);
    changes_date(*ret_changes, *ret_count, event->time_us);
    summary_set_traits(summary, &after);
}

/* A change of traits by an import is no visit. */
static bool event_is_seen(enum event_type type)
{
    return type != EVENT_PROFILE && type != EVENT_BIND && type != EVENT_UNBIND;
}

static void fold_order(struct summary *summary, const struct clean_event *event)
{
    struct str name = event->event.name;
    if (event->event.type != EVENT_TRACK || !str_starts(name, STR("Order ")))
        return;
    int64_t micros = event->has_amount ? event->amount_micros : 0;
    if (str_is(name, "Order Completed")) {
        summary->orders++;
        summary_add_revenue(summary, micros);
    } else if (str_is(name, "Order Refunded") || str_is(name, "Order Cancelled")) {
        summary_add_revenue(summary, micros > 0 ? -micros : micros);
    }
}

void profile_fold(struct profile *profile, struct visitor_id visitor,
                  const struct clean_event *event, struct arena *arena,
                  struct profile_trait_change **ret_changes, size_t *ret_count)
{
    CHECK(visitor.v != 0);
    *ret_changes = NULL;
    *ret_count = 0;
    struct summary *summary = summary_get(profile, visitor.v);
    if (summary == NULL) {
        summary = summary_new(visitor.v);
        state_add(profile->summaries, &summary->entry);
    }
    state_change(profile->summaries, &summary->entry);
    struct str name = event->event.name;
    if (name.n == 0)
        name = str_of(event_type_name(event->event.type));
    summary_add_counter(summary, name, 1, event->time_us, event->time_us);
    summary_add_event(summary, event->time_us, event->position, name, event->event.channel);
    summary->events_total++;
    if (event_is_seen(event->event.type))
        summary_add_seen(summary, event->time_us, event->time_us);
    fold_order(summary, event);
    fold_traits(profile, summary, event, arena, ret_changes, ret_count);
    summary_measure(summary);
}

void profile_erase(struct profile *profile, struct visitor_id visitor)
{
    struct summary *summary = summary_get(profile, visitor.v);
    if (summary != NULL)
        state_remove(profile->summaries, &summary->entry);
}

/* --- a person's view -------------------------------------------------------------------------- */

static void view_traits(const struct summary *summary, struct arena *arena,
                        struct profile_view *view)
{
    struct trait_ops ops = summary_ops(summary, arena);
    view->traits = ARENA_ARRAY(arena, struct profile_trait, ops.count + 1);
    for (size_t from = 0; from < ops.count;) {
        size_t to, first;
        struct str name = ops.list[from].name;
        traits_find(&ops, name, &first, &to);
        struct profile_trait trait = {.name = arena_copy(arena, name)};
        trait.value = arena_copy(arena, trait_value(&ops, from, to, arena, &trait.time_us));
        if (trait.value.n > 0)
            view->traits[view->traits_count++] = trait;
        from = to;
    }
}

static void view_lists(const struct summary *summary, struct arena *arena,
                       struct profile_view *view)
{
    view->counters_count = summary->counters_n;
    view->counters = ARENA_ARRAY(arena, struct profile_counter, summary->counters_n + 1);
    for (size_t c = 0; c < summary->counters_n; c++) {
        const struct counter *counter = &summary_counters(summary)[c];
        view->counters[c] =
            (struct profile_counter){arena_copy(arena, word_at(summary, counter->name)),
                                     counter->count, counter->first_us, counter->last_us};
    }
    view->events_count = summary->events_n;
    view->events = ARENA_ARRAY(arena, struct profile_event, summary->events_n + 1);
    for (size_t e = 0; e < summary->events_n; e++) {
        const struct newest *event = &summary_events(summary)[e];
        view->events[e] = (struct profile_event){
            event->time_us, event->position, arena_copy(arena, word_at(summary, event->name)),
            arena_copy(arena, word_at(summary, event->channel))};
    }
}

static void combine_some(struct profile *profile, const struct visitor_id *visitors, size_t count,
                         struct arena *arena, struct summary *all)
{
    profile_prefetch(profile, visitors, count);
    for (size_t i = 0; i < count; i++) {
        const struct summary *one = summary_get(profile, visitors[i].v);
        if (one != NULL)
            summary_combine(all, one, arena);
    }
}

void profile_view(struct profile *profile, const struct visitor_id *visitors, size_t visitors_count,
                  struct arena *arena, struct profile_view *ret_view)
{
    struct summary *all = summary_new(0);
    for (size_t i = 0; i < visitors_count; i += PROFILE_PREFETCH_MAX) {
        size_t left = visitors_count - i;
        size_t count = left < PROFILE_PREFETCH_MAX ? left : PROFILE_PREFETCH_MAX;
        combine_some(profile, visitors + i, count, arena, all);
    }
    bool seen = all->last_seen_us != INT64_MIN;
    *ret_view = (struct profile_view){.events_total = all->events_total,
                                      .first_seen_us = seen ? all->first_seen_us : 0,
                                      .last_seen_us = seen ? all->last_seen_us : 0,
                                      .orders = all->orders,
                                      .revenue_micros = all->revenue_micros};
    view_traits(all, arena, ret_view);
    view_lists(all, arena, ret_view);
    summary_free(all);
}
