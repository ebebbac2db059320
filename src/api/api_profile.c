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

/* Everything is read under one hold of the state lock, so the answer is one moment's. */
static enum status profile_json(struct api *api, struct http_request *request, struct buf *json,
                                struct err *err)
{
    struct arena *arena = http_arena(request);
    struct identity *identity = pipeline_identity(api->options.pipeline);
    struct state *state = pipeline_state(api->options.pipeline);
    enum identifier_type type;
    struct str value;
    enum status status = api_identifier(request, api_param(api, request, "id"), &type, &value, err);
    if (status != ST_OK)
        return status;

    struct identity_member *members = NULL;
    struct profile_view view;
    size_t count = 0;
    state_lock(state);
    status = identity_person_members(identity, type, value, arena, &members, &count, err);
    if (status == ST_OK) {
        struct visitor_id *visitors = ARENA_ARRAY(arena, struct visitor_id, count);
        for (size_t i = 0; i < count; i++)
            visitors[i] = members[i].visitor;
        profile_view(pipeline_profile(api->options.pipeline), visitors, count, arena, &view);
    }
    state_unlock(state);
    if (status != ST_OK)
        return status;

    buf_char(json, '{');
    api_put_id(json, "person", "p", members[0].person.v);
    put_identifiers(json, members, count);
    put_view(json, &view);
    return ST_OK;
}

/* ?explain=true adds the merge history. */
static enum status history_json(struct api *api, struct http_request *request, struct buf *json,
                                struct err *err)
{
    enum identifier_type type;
    struct str value;
    enum status status = api_identifier(request, api_param(api, request, "id"), &type, &value, err);
    if (status != ST_OK)
        return status;
    struct state *state = pipeline_state(api->options.pipeline);
    state_lock(state);
    status = identity_explain(pipeline_identity(api->options.pipeline), type, value, json, err);
    state_unlock(state);
    return status;
}

static void profile_work(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    buf_room(&json, ANSWER_BYTES_USUAL);
    enum status status = profile_json(api, request, &json, &err);
    if (status == ST_OK && str_is(http_query(request, "history"), "true")) {
        json_put_name(&json, "history");
        status = history_json(api, request, &json, &err);
    }
    buf_char(&json, '}');
    api_finish(request, status, 200, &json, &err);
}

void api_profile(void *ctx, struct http_request *request)
{
    api_quick(ctx, request, profile_work);
}

static void explain_work(void *ctx, struct http_request *request)
{
    struct err err;
    struct buf json;
    buf_init(&json, ANSWER_BYTES_MAX);
    api_finish(request, history_json(ctx, request, &json, &err), 200, &json, &err);
}

void api_explain(void *ctx, struct http_request *request)
{
    api_work(ctx, request, explain_work);
}
