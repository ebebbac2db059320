/* ip.c - a visitor's IP address in an event's context: who may have it, and how much of it.
 *
 * Segment's servers fill context.ip where the library runs on the visitor's own device: of a shop's
 * server that sends for its customers the address says nothing about them. We do the same, and 神策
 * knows its libraries by $lib. A context that says "direct": true is the visitor's, too.
 *
 * The journal keeps what stands in the event, so the address is cut before that: the client's own,
 * if it sent one, as well as ours. What is no address and might still be somebody's is dropped, but
 * for "keep". It plays no part in deduplication: that is by message id, which for 神策 is a hash of
 * the record as it was sent. So a retry from another network is the same event. */
#include "collect/collect_int.h"

#define V4_BITS 24
#define V6_BITS 48

struct str collect_ip_write(enum collect_ip ip, struct address address,
                            char text[ADDRESS_TEXT_BYTES])
{
    if (ip == COLLECT_IP_DROP)
        return STR("");
    if (ip == COLLECT_IP_TRUNCATE)
        address_cut(&address, V4_BITS, V6_BITS);
    return address_write(&address, text);
}

bool collect_ip_own(struct door *door, yyjson_val *context)
{
    yyjson_val *own = yyjson_obj_get(context, "ip");
    if (own == NULL || (yyjson_is_str(own) && yyjson_get_len(own) == 0))
        return false;
    struct address address;
    if (door->ip == COLLECT_IP_KEEP || yyjson_is_null(own))
        return true;
    if (door->ip == COLLECT_IP_DROP || !address_parse(json_str(own), &address)) {
        yyjson_set_null(own);
        return true;
    }
    char text[ADDRESS_TEXT_BYTES];
    struct str cut = collect_ip_write(door->ip, address, text);
    if (!str_eq(cut, json_str(own))) { /* a batch's context comes again with each item */
        cut = arena_copy(&door->arena, cut);
        yyjson_set_strn(own, cut.p, cut.n);
    }
    return true;
}

/* By context.library.name, as captured from them and as their sources say. */
bool collect_ip_direct(yyjson_val *context)
{
    static const struct str names[] = {
        STR("analytics.js"),
        STR("RudderLabs JavaScript SDK"),
        STR("analytics-android"),
        STR("analytics-kotlin"),
        STR("analytics-ios"),
        STR("analytics-swift"),
        STR("analytics-react-native"),
        STR("analytics_flutter"),
        STR("com.rudderstack.android.sdk.core"),
        STR("rudder-ios-library"),
    };
    if (context == NULL)
        return false;
    struct str name = json_member_str(yyjson_obj_get(context, "library"), "name");
    for (size_t i = 0; name.n > 0 && i < sizeof names / sizeof *names; i++)
        if (str_eq(name, names[i]))
            return true;
    return yyjson_is_true(yyjson_obj_get(context, "direct"));
}
