/* live_report.c - the table of live reports, and the frame around each: a view, the question's
 * common part, the report, the answer's common members; and the people behind a cell. */
#include "analytics/live_int.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/when.h"

#define PEOPLE_MAX 1000 /* of one page */
#define PEOPLE_DEFAULT 50

static const struct live_definition definitions[] = {
    {"trend", live_trend},
    {"lifecycle", live_lifecycle},
    {"stickiness", live_stickiness},
    {"funnel", live_funnel},
    {"sequence", live_sequence},
    {"retention", live_retention},
    {"paths", live_paths},
    {"cohort", live_cohort},
    {"attribution", live_attribution},
    {"rfm", live_rfm, .saves = true},
    {"kmeans", live_kmeans, .saves = true},
    {"clv", live_clv, .saves = true},
    {"weekly", live_weekly},
};
#define DEFINITIONS (sizeof definitions / sizeof definitions[0])

/* --- opening ---------------------------------------------------------------------------------- */

enum status live_open(const struct live_options *options, struct live **ret_live, struct err *err)
{
    struct zone *zone = NULL;
    if (options->zone != NULL) {
        enum status status = zone_open(str_of(options->zone), &zone, err);
        if (status != ST_OK)
            return status;
        zone_close(zone);
    }
    struct live *live = mem_zero(sizeof *live);
    live->options = *options;
    *ret_live = live;
    return ST_OK;
}

void live_close(struct live *live)
{
    free(live);
}

const char *const *live_names(void)
{
    static const char *names[DEFINITIONS + 1];
    for (size_t i = 0; i < DEFINITIONS; i++)
        names[i] = definitions[i].name; /* the same every time: no harm between threads */
    return names;
}

static enum status find(struct str name, const struct live_definition **ret_definition,
                        struct err *err)
{
    struct near near = near_to(name);
    for (size_t i = 0; i < DEFINITIONS; i++) {
        if (str_is(name, definitions[i].name)) {
            *ret_definition = &definitions[i];
            return ST_OK;
        }
        near_offer(&near, str_of(definitions[i].name));
    }
    return live_not_found(err, "report", &near);
}

/* --- one question ----------------------------------------------------------------------------- */

struct str live_cell_report(struct str cell)
{
    yyjson_doc *question = NULL, *coordinates = NULL;
    const struct live_definition *definition = NULL;
    struct err ignored;
    if (live_cell_parse(cell, &question, &coordinates, &ignored) == ST_OK)
        (void)!find(json_member_str(yyjson_doc_get_root(question), "name"), &definition, &ignored);
    yyjson_doc_free(question);
    yyjson_doc_free(coordinates);
    return str_of(definition == NULL ? "" : definition->name);
}

static const struct live_run run_default;

/* A question's view and memory. */
struct session {
    struct live_ask ask;
    struct arena arena;
};

static enum status session_open(struct session *session, struct live *live,
                                const struct live_run *run, yyjson_val *question, struct err *err)
{
    if (run == NULL)
        run = &run_default;
    session->ask =
        (struct live_ask){.live = live, .run = run, .arena = &session->arena, .question = question};
    if (question != NULL && !yyjson_is_obj(question))
        return err_set(err, ST_INVALID, "a question is an object");
    enum status status =
        timeline_view_open(live->options.timeline, run->after, &session->ask.view, err);
    if (status != ST_OK)
        return status;
    arena_init(&session->arena);
    return ST_OK;
}

static void session_close(struct session *session)
{
    if (session->ask.view == NULL)
        return;
    live_ask_close(&session->ask);
    timeline_view_close(session->ask.view);
    arena_done(&session->arena);
}

static void put_moment(const struct live_ask *ask, struct buf *json, const char *member, int64_t us)
{
    char text[LIVE_MOMENT_BYTES];
    live_moment(ask, us, text);
    json_put_member_str(json, member, str_of(text));
}

static void put_before(const struct live_ask *ask, struct buf *json, const char *name)
{
    buf_char(json, '{');
    json_put_member_str(json, "report", str_of(name));
    put_moment(ask, json, "from", ask->from_us);
    put_moment(ask, json, "to", ask->to_us);
    json_put_member_str(json, "zone", ask->zone);
}

/* Time as of which the answer is, what it read, how long it took. */
static void put_after(const struct live_ask *ask, struct buf *json, int64_t started_us)
{
    char position[32];
    put_moment(ask, json, "as_of", ask->now_us);
    /* after= waits for what begins at its token: the last byte of what is in here. */
    unsigned long long seen = ask->view->position > 0 ? ask->view->position - 1 : 0;
    snprintf(position, sizeof position, "0:%llu", seen);
    json_put_member_str(json, "position", str_of(position));
    json_put_member_uint(json, "events_read", ask->events_read);
    if (ask->people != UINT64_MAX)
        json_put_member_uint(json, "people", ask->people);
    if (ask->view->complete_from_us > ask->from_us)
        put_moment(ask, json, "complete_from", ask->view->complete_from_us);
    json_put_member_number(json, "seconds",
                           (double)((monotonic_us() - started_us) / 100) / 10000.0);
    buf_char(json, '}');
}

/* The report comes first, for it may choose its window: the week before now, all orders. */
static enum status answer_put(struct live_ask *ask, const struct live_definition *definition,
                              struct buf *json, struct err *err)
{
    struct buf body;
    buf_init(&body, json->max);
    buf_char(&body, '{');
    live_cell_prefix(ask, str_of(definition->name));
    enum status status = definition->run(ask, &body, err);
    put_before(ask, json, definition->name);
    if (body.n > 1) {
        buf_char(json, ',');
        buf_put(json, body.p + 1, body.n - 1);
    }
    json->overflow = json->overflow || body.overflow;
    buf_done(&body);
    return status;
}

enum status live_report(struct live *live, struct str name, yyjson_val *question,
                        const struct live_run *run, struct buf *json, struct err *err)
{
    const struct live_definition *definition = NULL;
    struct session session = {0};
    int64_t started_us = monotonic_us();
    size_t before = json->n;
    enum status status = find(name, &definition, err);
    if (status != ST_OK)
        return status;
    if (run != NULL && run->save && !definition->saves)
        return err_set(err, ST_INVALID, "the report %s has nothing to save as traits",
                       definition->name);
    status = session_open(&session, live, run, question, err);
    if (status == ST_OK)
        status = live_ask_open(&session.ask, err);
    if (status == ST_OK)
        status = answer_put(&session.ask, definition, json, err);
    if (status == ST_OK) {
        put_after(&session.ask, json, started_us);
        if (json->overflow)
            status = err_set(err, ST_TOO_LARGE, "could not report: more than %zu bytes", json->max);
    }
    if (status != ST_OK)
        json->n = before;
    session_close(&session);
    return status;
}

/* --- the people of a cell --------------------------------------------------------------------- */

/* A cell answered: the set is there until cell_close. */
struct cell {
    struct session session;
    yyjson_doc *question, *coordinates;
    struct timeline_set set;
    bool has_set;
};

static void cell_close(struct cell *cell)
{
    session_close(&cell->session);
    if (cell->has_set)
        timeline_set_done(&cell->set);
    yyjson_doc_free(cell->question);
    yyjson_doc_free(cell->coordinates);
}

static enum status cell_open(struct live *live, struct str text, const struct live_run *run,
                             struct cell *cell, struct err *err)
{
    const struct live_definition *definition = NULL;
    struct live_ask *ask = &cell->session.ask;
    struct buf ignored;
    enum status status = live_cell_parse(text, &cell->question, &cell->coordinates, err);
    if (status != ST_OK)
        return status;
    yyjson_val *root = yyjson_doc_get_root(cell->question);
    status = find(json_member_str(root, "name"), &definition, err);
    if (status == ST_OK)
        status = session_open(&cell->session, live, run, yyjson_obj_get(root, "question"), err);
    if (status == ST_OK)
        status = live_ask_open(ask, err);
    if (status != ST_OK)
        return status;
    timeline_set_init(&cell->set, ask->view);
    cell->has_set = true;
    ask->cell = yyjson_doc_get_root(cell->coordinates);
    ask->want = &cell->set;
    buf_init(&ignored, (size_t)64 << 20);
    status = definition->run(ask, &ignored, err);
    buf_done(&ignored);
    return status;
}

/* Somebody on a page: ordered by the last event, newest first, then by id. */
struct somebody {
    uint64_t id;
    uint32_t slot, last_seen, events;
};

struct page {
    struct somebody *list;
    size_t count, limit;
    bool has_key;
    struct somebody key; /* those after it */
};

static int page_order(const void *a, const void *b)
{
    const struct somebody *x = a, *y = b;
    if (x->last_seen != y->last_seen)
        return x->last_seen > y->last_seen ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Sorted in when it is among the first: pages are short. */
static void page_add(struct page *page, const struct somebody *who)
{
    if (page->has_key && page_order(who, &page->key) <= 0)
        return;
    if (page->count == page->limit && page_order(who, &page->list[page->count - 1]) >= 0)
        return;
    size_t low = 0, high = page->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (page_order(&page->list[middle], who) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t kept = page->count < page->limit ? page->count : page->limit - 1;
    memmove(page->list + low + 1, page->list + low, (kept - low) * sizeof *page->list);
    page->list[low] = *who;
    page->count = kept + 1;
}

static void page_each(const struct live_ask *ask, const struct timeline_run *run, void *ctx)
{
    uint32_t first, end;
    live_window(ask, run, &first, &end);
    struct somebody who = {.id = timeline_person_id(ask->view, run->person),
                           .slot = run->person,
                           .last_seen = run->time[run->count - 1],
                           .events = end - first};
    page_add(ctx, &who);
}

/* "SECONDS:ID" in base64url. */
static enum status page_parse(struct str text, struct page *page, struct err *err)
{
    unsigned char bytes[64];
    size_t n = 0;
    unsigned seconds;
    unsigned long long id;
    if (text.n == 0)
        return ST_OK;
    bool good = sodium_base642bin(bytes, sizeof bytes - 1, text.p, text.n, NULL, &n, NULL,
                                  sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
    bytes[good ? n : 0] = '\0';
    if (!good || sscanf((const char *)bytes, "%u:%llu", &seconds, &id) != 2)
        return err_set(err, ST_INVALID, "\"page\" is not the \"next\" of a list of people");
    page->has_key = true;
    page->key = (struct somebody){.last_seen = seconds, .id = id};
    return ST_OK;
}

static void put_next(struct buf *json, const struct somebody *last)
{
    char text[48], encoded[96];
    int n = snprintf(text, sizeof text, "%u:%llu", last->last_seen, (unsigned long long)last->id);
    sodium_bin2base64(encoded, sizeof encoded, (const unsigned char *)text, (size_t)n,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    json_put_member_str(json, "next", str_of(encoded));
}

/* Every thread's page, then one of all. */
static enum status page_fill(struct live_ask *ask, struct page *page, struct err *err)
{
    int threads = live_threads(ask);
    struct page *pages = mem_zero((size_t)threads * sizeof *pages);
    for (int t = 0; t < threads; t++) {
        pages[t] = *page;
        pages[t].list = mem_zero((page->limit + 1) * sizeof *page->list);
    }
    enum status status = live_pass(ask, ask->want, NULL, page_each, pages, sizeof *pages, err);
    for (int t = 0; t < threads; t++) {
        for (size_t i = 0; i < pages[t].count; i++)
            page_add(page, &pages[t].list[i]);
        free(pages[t].list);
    }
    free(pages);
    return status;
}

static enum status people_put(struct live_ask *ask, const struct page *page, bool has_more,
                              struct buf *json, struct err *err)
{
    size_t count = page->count;
    uint32_t *slots = ARENA_ARRAY(ask->arena, uint32_t, count + 1);
    struct str *names = ARENA_ARRAY(ask->arena, struct str, count + 1);
    for (size_t i = 0; i < count; i++)
        slots[i] = page->list[i].slot;
    enum status status =
        ask->live->options.warehouse == NULL || count == 0
            ? ST_OK
            : timeline_people_name(ask->view, slots, count, ask->arena, &names, err);
    if (status != ST_OK)
        return status;
    json_put_name(json, "people");
    buf_char(json, '[');
    for (size_t i = 0; i < count; i++) {
        const struct somebody *who = &page->list[i];
        char id[32];
        snprintf(id, sizeof id, "p_%016llx", (unsigned long long)who->id);
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "person", str_of(id));
        json_put_member_str(json, "identifier", names[i]);
        put_moment(ask, json, "last_seen", who->last_seen * US_PER_S);
        json_put_member_uint(json, "events", who->events);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    if (has_more)
        put_next(json, &page->list[count - 1]);
    return ST_OK;
}

enum status live_people(struct live *live, struct str cell_text, struct str page_text, size_t limit,
                        const struct live_run *run, struct buf *json, struct err *err)
{
    struct cell cell = {0};
    size_t before = json->n, shown = limit == 0 ? PEOPLE_DEFAULT : limit;
    struct live_ask *ask = &cell.session.ask;
    if (shown > PEOPLE_MAX)
        shown = PEOPLE_MAX;
    struct page page = {.limit = shown + 1}; /* one more tells whether there is a next page */
    page.list = mem_zero((page.limit + 1) * sizeof *page.list);
    enum status status = page_parse(page_text, &page, err);
    if (status == ST_OK)
        status = cell_open(live, cell_text, run, &cell, err);
    if (status == ST_OK)
        status = page_fill(ask, &page, err);
    if (status == ST_OK) {
        bool has_more = page.count > shown;
        page.count = has_more ? shown : page.count;
        buf_char(json, '{');
        json_put_member_str(json, "report", STR("people"));
        json_put_member_uint(json, "total", timeline_set_count(ask->want));
        put_moment(ask, json, "as_of", ask->now_us);
        status = people_put(ask, &page, has_more, json, err);
        buf_char(json, '}');
    }
    if (status != ST_OK)
        json->n = before;
    cell_close(&cell);
    free(page.list);
    return status;
}

enum status live_cell_people(struct live *live, struct str text, const struct live_run *run,
                             uint64_t **ret_people, size_t *ret_count, struct err *err)
{
    struct cell cell = {0};
    enum status status = cell_open(live, text, run, &cell, err);
    if (status == ST_OK) {
        const struct live_ask *ask = &cell.session.ask;
        size_t count = 0;
        uint64_t *people = mem_alloc((timeline_set_count(ask->want) + 1) * sizeof *people);
        for (uint32_t slot = 0; slot < ask->want->slots; slot++)
            if (timeline_set_has(ask->want, slot))
                people[count++] = timeline_person_id(ask->view, slot);
        *ret_people = people;
        *ret_count = count;
    }
    cell_close(&cell);
    return status;
}
