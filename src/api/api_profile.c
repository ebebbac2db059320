/* api_profile.c - one person: who they are, what is known of them, why these identifiers are one.
 */
#include "api/api_int.h"

static void put_identifiers(struct buf *json, const struct identity_member *members, size_t count)
{
    json_put_name(json, "identifiers");
    buf_char(json, '[');
    for (size_t i = 0; i < count; i++) {
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "type", str_of(identifier_name(members[i].type)));
        json_put_member_str(json, "value", members[i].value);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_traits(struct buf *json, const struct profile_view *view)
{
    json_put_name(json, "traits");
    buf_char(json, '{');
    for (size_t i = 0; i < view->traits_count; i++) {
        json_put_comma(json);
        json_put_str(json, view->traits[i].name);
        buf_char(json, ':');
        buf_str(json, view->traits[i].value);
    }
    buf_char(json, '}');
}

static void put_counters(struct buf *json, const struct profile_view *view)
{
    json_put_name(json, "counters");
    buf_char(json, '[');
    for (size_t i = 0; i < view->counters_count; i++) {
        const struct profile_counter *counter = &view->counters[i];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "name", counter->name);
        json_put_member_uint(json, "count", counter->count);
        api_put_time(json, "first", counter->first_us);
        api_put_time(json, "last", counter->last_us);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_events(struct buf *json, const struct profile_view *view)
{
    json_put_name(json, "last_events");
    buf_char(json, '[');
    for (size_t i = 0; i < view->events_count; i++) {
        const struct profile_event *event = &view->events[i];
        json_put_comma(json);
        buf_char(json, '{');
        json_put_member_str(json, "name", event->name);
        json_put_member_str(json, "channel", event->channel);
        api_put_time(json, "time", event->time_us);
        api_put_token(json, "position", event->position);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void put_view(struct buf *json, const struct profile_view *view)
{
    put_traits(json, view);
    json_put_member_uint(json, "events_total", view->events_total);
    json_put_member_uint(json, "orders", view->orders);
    api_put_micros(json, "revenue", view->revenue_micros);
    api_put_time(json, "first_seen", view->first_seen_us);
    api_put_time(json, "last_seen", view->last_seen_us);
    put_counters(json, view);
    put_events(json, view);
}

/* A read asks the state instead of waiting for its lock; everything is looked up under one hold, so
 * the answer is one moment's. */
struct profile_read {
    struct state_question question;
    struct api *api;
    struct http_request *request;
    enum identifier_type type;
    struct str value;
    bool with_history;
    enum status status;
    struct err err;
    struct identity_member *members;
    size_t count;
    struct profile_view view;
    struct buf history; /* ?history=true */
};

static void profile_look(void *ctx)
{
    struct profile_read *read = ctx;
    struct arena *arena = http_arena(read->request);
    struct identity *identity = pipeline_identity(read->api->options.pipeline);
    read->status = identity_person_members(identity, read->type, read->value, arena, &read->members,
                                           &read->count, &read->err);
    if (read->status != ST_OK)
        return;
    struct visitor_id *visitors = ARENA_ARRAY(arena, struct visitor_id, read->count);
    for (size_t i = 0; i < read->count; i++)
        visitors[i] = read->members[i].visitor;
    profile_view(pipeline_profile(read->api->options.pipeline), visitors, read->count, arena,
                 &read->view);
    if (read->with_history)
        read->status =
            identity_explain(identity, read->type, read->value, &read->history, &read->err);
}

static void profile_answer(void *ctx)
{
    struct profile_read *read = ctx;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    if (read->status == ST_OK) {
        buf_room(&json, ANSWER_BYTES_USUAL);
        buf_char(&json, '{');
        api_put_id(&json, "person", "p", read->members[0].person.v);
        put_identifiers(&json, read->members, read->count);
        put_view(&json, &read->view);
        if (read->with_history) {
            json_put_name(&json, "history");
            buf_str(&json, buf_view(&read->history));
        }
        buf_char(&json, '}');
    }
    buf_done(&read->history);
    api_finish(read->request, read->status, 200, &json, &read->err);
}

static bool with_history(struct http_request *request)
{
    return str_is(http_query(request, "history"), "true");
}

static void profile_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct profile_read *read = ARENA_NEW(http_arena(request), struct profile_read);
    struct err err;
    read->question = (struct state_question){profile_look, profile_answer, read, NULL};
    read->api = api;
    read->request = request;
    read->with_history = with_history(request);
    buf_init(&read->history, ANSWER_BYTES_MAX);
    if (api_identifier(request, api_param(api, request, "id"), &read->type, &read->value, &err) !=
        ST_OK) {
        http_reply_error(request, &err);
        return;
    }
    struct state *state = pipeline_state(api->options.pipeline);
    if (!read->with_history) {
        state_ask(state, &read->question);
        return;
    }
    state_lock(state); /* a history is too long to be looked up by somebody else */
    profile_look(read);
    state_unlock(state);
    profile_answer(read);
}

void api_profile(void *ctx, struct http_request *request)
{
    if (with_history(request))
        api_work(ctx, request, profile_work);
    else
        api_quick(ctx, request, profile_work);
}

static void explain_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    enum identifier_type type;
    struct str value;
    buf_init(&json, ANSWER_BYTES_MAX);
    enum status status =
        api_identifier(request, api_param(api, request, "id"), &type, &value, &err);
    if (status == ST_OK) {
        struct state *state = pipeline_state(api->options.pipeline);
        state_lock(state);
        status =
            identity_explain(pipeline_identity(api->options.pipeline), type, value, &json, &err);
        state_unlock(state);
    }
    api_finish(request, status, 200, &json, &err);
}

void api_explain(void *ctx, struct http_request *request)
{
    api_work(ctx, request, explain_work);
}
