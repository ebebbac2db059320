/* page.c - what clients ask before they send: preflights, settings, remote configuration.
 *
 * With a 404 for its settings analytics.js and RudderStack's browser SDK send nothing at all, so
 * these answers are as much a part of the door as the events. Exactly ONE integration is named: a
 * second makes analytics.js load the vendor's code. Preflights echo the asked headers, never a
 * fixed list: retries add headers, and a fixed list would lose exactly the repeated events. */
#include "collect/collect_int.h"
#include "collect/page.h"

#define PAGE_MAX ((size_t)16 << 10)

const struct str collect_gif = {
    "GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0"
    "\1\0\0\2\1D\0;",
    42};

void collect_cors(struct http_request *request)
{
    struct str origin = http_header(request, "Origin");
    if (origin.n == 0)
        return;
    http_set_header(request, "Access-Control-Allow-Origin", origin);
    http_set_header(request, "Access-Control-Allow-Credentials", STR("true"));
    http_set_header(request, "Access-Control-Expose-Headers", STR("Retry-After, X-Rejected"));
    http_set_header(request, "Vary", STR("Origin"));
}

void collect_preflight(void *ctx, struct http_request *request)
{
    (void)ctx;
    struct str asked = http_header(request, "Access-Control-Request-Headers");
    collect_cors(request);
    http_set_header(request, "Access-Control-Allow-Methods", STR("GET, POST, OPTIONS"));
    if (asked.n > 0)
        http_set_header(request, "Access-Control-Allow-Headers", asked);
    http_set_header(request, "Access-Control-Max-Age", STR("900"));
    http_reply(request, 204, "text/plain", STR(""));
}

/* analytics.js counts its own calls here; nobody reads them. */
void collect_discard(void *ctx, struct http_request *request)
{
    (void)ctx;
    collect_cors(request);
    http_reply(request, 200, "application/json", STR("{\"success\":true}"));
}

void collect_get_sensors_config(void *ctx, struct http_request *request)
{
    (void)ctx;
    collect_cors(request);
    http_reply(request, 200, "application/json", STR("{}"));
}

void collect_page_settings(struct buf *out, struct str key, struct str host)
{
    buf_text(out, "{\"integrations\":{\"Segment.io\":{");
    json_put_member_str(out, "apiKey", key);
    if (host.n > 0 && host.n < LIMIT_NAME_BYTES) {
        char text[LIMIT_NAME_BYTES + 4];
        memcpy(text, host.p, host.n);
        memcpy(text + host.n, "/v1", 3);
        json_put_member_str(out, "apiHost", (struct str){text, host.n + 3});
    }
    buf_text(out, ",\"unbundledIntegrations\":[],\"addBundledMetadata\":true,"
                  "\"maybeBundledConfigIds\":{},\"versionSettings\":{\"version\":\"4.4.7\","
                  "\"componentTypes\":[\"browser\"]}}},\"plan\":{\"track\":{\"__default\":"
                  "{\"enabled\":true,\"integrations\":{}}},\"identify\":{\"__default\":"
                  "{\"enabled\":true}},\"group\":{\"__default\":{\"enabled\":true}}},"
                  "\"middlewareSettings\":{\"routingRules\":[]},\"enabledMiddleware\":{},"
                  "\"metrics\":{\"sampleRate\":0},\"legacyVideoPluginsEnabled\":false,"
                  "\"remotePlugins\":[],\"edgeFunction\":{},\"analyticsNextEnabled\":true}");
}

void collect_page_source_config(struct buf *out, struct str key, struct str name)
{
    buf_text(out, "{\"isHosted\":true,\"source\":{");
    json_put_member_str(out, "id", name);
    json_put_member_str(out, "name", name);
    json_put_member_str(out, "writeKey", key);
    buf_text(out, ",\"enabled\":true,\"workspaceId\":\"hezou\",\"updatedAt\":"
                  "\"2026-01-01T00:00:00.000Z\",\"config\":{\"statsCollection\":{\"errors\":"
                  "{\"enabled\":false},\"metrics\":{\"enabled\":false}}},\"dataplanes\":{},"
                  "\"connections\":[],\"destinations\":[]},"
                  "\"updatedAt\":\"2026-01-01T00:00:00.000Z\"}");
}

/* The query of a pixel as a Segment item: the well-known names to their places, `data` (base64 of a
 * whole item, Segment's own pixel) instead of all of them if given. */
bool collect_page_pixel(struct http_request *request, struct arena *arena, struct buf *out)
{
    static const char *const members[] = {"anonymousId", "userId",    "event",   "name",
                                          "messageId",   "timestamp", "channel", "sentAt"};
    static const char *const properties[] = {
        "url",      "path",     "referrer",   "title",      "search",      "category",
        "order_id", "revenue",  "total",      "value",      "currency",    "product_id",
        "sku",      "quantity", "price",      "coupon",     "email_id",    "campaign",
        "label",    "link",     "utm_source", "utm_medium", "utm_campaign"};
    struct str data = http_query(request, "data"), bytes;
    if (data.n > 0) {
        if (!collect_base64(data, arena, &bytes))
            return false;
        buf_str(out, bytes);
        return true;
    }
    buf_char(out, '{');
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct str value = http_query(request, members[i]);
        if (value.n > 0)
            json_put_member_str(out, members[i], value);
    }
    json_put_name(out, "properties");
    buf_char(out, '{');
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
        struct str value = http_query(request, properties[i]);
        if (value.n > 0)
            json_put_member_str(out, properties[i], value);
    }
    buf_text(out, "}}");
    return true;
}
