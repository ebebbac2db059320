/* clean_test.c - normal forms, by table, and the verdict of a record. */
#include "clean/clean_int.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/when.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HOUR (INT64_C(3600) * US_PER_S)

/* --- time ------------------------------------------------------------------------------------- */

static int64_t at(const char *text)
{
    int64_t us;
    assert_true(when_parse(str_of(text), 0, &us));
    return us;
}

static void the_clients_clock_is_corrected_and_doubted(void **state)
{
    (void)state;
    int64_t received = at("2026-11-24T09:44:00Z");
    /* A device that is 2 h 26 m fast. */
    assert_int_equal(clean_time(at("2026-11-24T12:00:00Z"), at("2026-11-24T12:10:00Z"), received),
                     at("2026-11-24T09:34:00Z"));
    assert_int_equal(
        clean_time(at("2026-11-24T16:00:00+04:00"), at("2026-11-24T16:10:00+04:00"), received),
        at("2026-11-24T09:34:00Z"));
    int64_t original = at("2021-10-29T01:34:00Z");
    assert_int_equal(clean_time(original, original, original), original);
    assert_int_equal(clean_time(original, 0, received), original);
    assert_int_equal(clean_time(0, 0, received), received);
    assert_int_equal(clean_time(0, original, received), received);
    /* 23 h ahead is the last that is believed. */
    assert_int_equal(clean_time(received, received - 23 * HOUR, received), received + 23 * HOUR);
    assert_int_equal(clean_time(received, received - 23 * HOUR - 1, received), received);
    assert_int_equal(clean_time(received + 25 * HOUR, received, received), received);
    assert_int_equal(clean_time(received + 24 * HOUR, received, received), received + 24 * HOUR);
    /* Values that no clock shows do not overflow into others. */
    assert_int_equal(clean_time(INT64_MAX, INT64_MIN, received), received);
    assert_int_equal(clean_time(1, INT64_MIN, received), 1);
    assert_int_equal(clean_time(INT64_MIN, INT64_MAX, received), INT64_MIN);
}

/* --- identifiers ------------------------------------------------------------------------------ */

struct identifier_row {
    enum identifier_type type;
    const char *value, *want; /* NULL = refused */
};

static const struct identifier_row identifier_rows[] = {
    {IDENTIFIER_PHONE, "13812345678", "+8613812345678"},
    {IDENTIFIER_PHONE, "138 1234 5678", "+8613812345678"},
    {IDENTIFIER_PHONE, "+86-138-1234-5678", "+8613812345678"},
    {IDENTIFIER_PHONE, "008613812345678", "+8613812345678"},
    {IDENTIFIER_PHONE, "8613812345678", "+8613812345678"},
    {IDENTIFIER_PHONE, "(+86) 138.1234.5678", "+8613812345678"},
    {IDENTIFIER_PHONE, "（+86）138－1234－5678", "+8613812345678"},
    {IDENTIFIER_PHONE, "１３８１２３４５６７８", "+8613812345678"},
    {IDENTIFIER_PHONE, "+86 10 8888 8888", "+861088888888"},
    {IDENTIFIER_PHONE, "+1 (415) 555-2671", "+14155552671"},
    {IDENTIFIER_PHONE, "0044 20 7946 0958", "+442079460958"},
    {IDENTIFIER_PHONE, "+852 9123 4567", "+85291234567"},
    {IDENTIFIER_PHONE, "+123456789012345", "+123456789012345"},
    {IDENTIFIER_PHONE, "+1234567890123456", NULL},
    {IDENTIFIER_PHONE, "+1234567", NULL},
    {IDENTIFIER_PHONE, "12812345678", NULL}, /* 128 is no mobile prefix */
    {IDENTIFIER_PHONE, "1381234567", NULL},
    {IDENTIFIER_PHONE, "+86138123456", NULL}, /* a mobile number cut short */
    {IDENTIFIER_PHONE, "+861381234567890", NULL},
    {IDENTIFIER_PHONE, "88888888", NULL}, /* of which city? */
    {IDENTIFIER_PHONE, "+013812345678", NULL},
    {IDENTIFIER_PHONE, "138+12345678", NULL},
    {IDENTIFIER_PHONE, "13812345678 ext 2", NULL},
    {IDENTIFIER_PHONE, "00000000000", NULL},
    {IDENTIFIER_PHONE, "+", NULL},
    {IDENTIFIER_EMAIL, "Ann.Lee@Example.COM", "ann.lee@example.com"},
    {IDENTIFIER_EMAIL, " ann@example.com. ", "ann@example.com"},
    {IDENTIFIER_EMAIL, "a+tag@sub.example.co.uk", "a+tag@sub.example.co.uk"},
    {IDENTIFIER_EMAIL, "JOSE\xcc\x81@example.com", "jos\xc3\xa9@example.com"},
    {IDENTIFIER_EMAIL, "张三@例子.公司", "张三@例子.公司"},
    {IDENTIFIER_EMAIL, "ann@localhost", NULL},
    {IDENTIFIER_EMAIL, "ann@example..com", NULL},
    {IDENTIFIER_EMAIL, "ann@-example.com", NULL},
    {IDENTIFIER_EMAIL, "ann@example-.com", NULL},
    {IDENTIFIER_EMAIL, "@example.com", NULL},
    {IDENTIFIER_EMAIL, "ann@", NULL},
    {IDENTIFIER_EMAIL, "ann", NULL},
    {IDENTIFIER_EMAIL, "a b@example.com", NULL},
    {IDENTIFIER_EMAIL, "a@b@example.com", NULL},
    {IDENTIFIER_EMAIL, "ann@exa_mple.com", NULL},
    {IDENTIFIER_USER_ID, "  U-1 ", "U-1"},
    {IDENTIFIER_USER_ID, "e\xcc\x81", "\xc3\xa9"},
    {IDENTIFIER_USER_ID, "10", "10"},
    {IDENTIFIER_USER_ID, "nullable", "nullable"},
    {IDENTIFIER_USER_ID, "\xff", NULL},
    {IDENTIFIER_USER_ID, "a\tb", NULL},
    {IDENTIFIER_USER_ID, "", NULL},
    {IDENTIFIER_USER_ID, "   ", NULL},
    {IDENTIFIER_USER_ID, "0", NULL},
    {IDENTIFIER_USER_ID, "-1", NULL},
    {IDENTIFIER_USER_ID, "null", NULL},
    {IDENTIFIER_USER_ID, "NULL", NULL},
    {IDENTIFIER_USER_ID, "None", NULL},
    {IDENTIFIER_USER_ID, "undefined", NULL},
    {IDENTIFIER_USER_ID, "\"undefined\"", NULL},
    {IDENTIFIER_USER_ID, "Anonymous", NULL},
    {IDENTIFIER_USER_ID, "guest", NULL},
    {IDENTIFIER_USER_ID, "NaN", NULL},
    {IDENTIFIER_USER_ID, "true", NULL},
    {IDENTIFIER_USER_ID, "false", NULL},
    {IDENTIFIER_USER_ID, "[object Object]", NULL},
    {IDENTIFIER_USER_ID, "(null)", NULL},
    {IDENTIFIER_USER_ID, "distinct_id", NULL},
    {IDENTIFIER_DEVICE_ID, "00000000-0000-0000-0000-000000000000", NULL},
};

static void identifiers_have_one_normal_form(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < COUNT(identifier_rows); i++) {
        const struct identifier_row *row = &identifier_rows[i];
        struct str got = STR("untouched"), again;
        bool ok = clean_identifier(row->type, str_of(row->value), &arena, &got);
        if (ok != (row->want != NULL) || (ok && !str_is(got, row->want)))
            fail_msg("'%s' became '" STR_FMT "'", row->value, STR_ARG(got));
        if (!ok)
            continue;
        assert_true(clean_identifier(row->type, got, &arena, &again));
        assert_true(str_eq(got, again)); /* a normal form stays as it is */
    }
    arena_done(&arena);
}

/* --- money ------------------------------------------------------------------------------------ */

static void amounts_are_exact_and_half_goes_up(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t micros;
    } rows[] = {
        {"0", true, 0},
        {"1", true, 1000000},
        {"-1", true, -1000000},
        {"+1.5", true, 1500000},
        {"0.1", true, 100000},
        {".5", true, 500000},
        {"5.", true, 5000000},
        {"007.50", true, 7500000},
        {" 12.34 ", true, 12340000},
        {"0.000001", true, 1},
        {"0.0000005", true, 1},
        {"0.00000049999", true, 0},
        {"-0.0000005", true, -1},
        {"0.0000015", true, 2},
        {"0.0000025", true, 3},
        {"1.0000005", true, 1000001},
        {"0.9999999", true, 1000000},
        {"1,234.56", true, 1234560000},
        {"1,234,567", true, 1234567000000},
        {"12e2", true, 1200000000},
        {"1.2345E-3", true, 1235},
        {"1e-400", true, 0},
        {"0e99999999999", true, 0},
        {"9223372036854.775807", true, INT64_MAX},
        {"9223372036854.775808", false, 0},
        {"-9223372036854.775807", true, -INT64_MAX},
        {"123456789012.345678", true, INT64_C(123456789012345678)},
        {"1e400", false, 0},
        {"100000000000000000000000000000000000000000000", false, 0},
        {"", false, 0},
        {".", false, 0},
        {"-", false, 0},
        {"1e", false, 0},
        {"1,23", false, 0},
        {"1234,567", false, 0},
        {",123", false, 0},
        {"1.2.3", false, 0},
        {"12 34", false, 0},
        {"abc", false, 0},
        {"0x10", false, 0},
        {"NaN", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t got = 77;
        bool ok = clean_amount_parse(str_of(rows[i].text), &got);
        if (ok != rows[i].ok || (ok && got != rows[i].micros))
            fail_msg("'%s' became %d, %lld", rows[i].text, ok, (long long)got);
    }
}

static void a_json_number_is_the_decimal_that_was_written(void **state)
{
    (void)state;
    static const char *const texts[] = {"0.1",
                                        "19.99",
                                        "1234.565",
                                        "0.0000005",
                                        "1.0000005",
                                        "2.0000015",
                                        "33333.3333335",
                                        "999999999.999999",
                                        "123456789.123456",
                                        "8911407.904",
                                        "-4.35",
                                        "-0.0000015",
                                        "1.005",
                                        "4.0000005",
                                        "100000000000.01",
                                        "299999999999",
                                        "-12",
                                        "0",
                                        "7.0000004999999"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        int64_t want, got = 77;
        yyjson_doc *doc = yyjson_read(texts[i], strlen(texts[i]), 0);
        assert_true(clean_amount_parse(str_of(texts[i]), &want));
        assert_true(clean_amount_json(yyjson_doc_get_root(doc), &got));
        if (got != want)
            fail_msg("%s became %lld", texts[i], (long long)got);
        yyjson_doc_free(doc);
    }
}

static void every_thousandth_survives_a_double(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 3000000; n += 7) {
        int64_t got;
        yyjson_val value = {0};
        yyjson_set_real(&value, (double)n / 1000.0);
        assert_true(clean_amount_json(&value, &got));
        assert_int_equal(got, n * 1000);
    }
}

static void currencies_have_one_code(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"CNY", "CNY"}, {"cny", "CNY"},    {"RMB", "CNY"},    {"rmb", "CNY"},  {"¥", "CNY"},
        {"￥", "CNY"},  {"元", "CNY"},     {"人民币", "CNY"}, {"usd", "USD"},  {"$", "USD"},
        {"US$", "USD"}, {"€", "EUR"},      {"Eur", "EUR"},    {"£", "GBP"},    {"gbp", "GBP"},
        {"JPY", "JPY"}, {"HK$", "HKD"},    {" sgd ", "SGD"},  {"港币", "HKD"}, {"XXX", NULL},
        {"", NULL},     {"dollars", NULL}, {"12", NULL}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char code[4] = "";
        bool ok = clean_currency(str_of(rows[i][0]), code);
        if (ok != (rows[i][1] != NULL) || (ok && strcmp(code, rows[i][1]) != 0))
            fail_msg("'%s' became '%s'", rows[i][0], code);
    }
}

static void minor_units_round_half_away_from_zero(void **state)
{
    (void)state;
    assert_int_equal(clean_currency_exponent("CNY"), 2);
    assert_int_equal(clean_currency_exponent("JPY"), 0);
    assert_int_equal(clean_currency_exponent("KWD"), 3);
    assert_int_equal(clean_amount_minor(19990000, "CNY"), 1999);
    assert_int_equal(clean_amount_minor(19995000, "CNY"), 2000);
    assert_int_equal(clean_amount_minor(19994999, "CNY"), 1999);
    assert_int_equal(clean_amount_minor(-19995000, "CNY"), -2000);
    assert_int_equal(clean_amount_minor(-19994999, "CNY"), -1999);
    assert_int_equal(clean_amount_minor(500000, "JPY"), 1);
    assert_int_equal(clean_amount_minor(499999, "JPY"), 0);
    assert_int_equal(clean_amount_minor(1500, "KWD"), 2);
    assert_int_equal(clean_amount_minor(INT64_MAX, "CNY"), INT64_C(922337203685478));
    assert_int_equal(clean_amount_minor(INT64_MIN, "CNY"), INT64_C(-922337203685478));
}

/* --- records ---------------------------------------------------------------------------------- */

struct fixture {
    char folder[64];
    struct disk disk;
    struct hash_key key;
    struct clean *clean;
    struct arena arena;
    struct buf payload;
    uint64_t offset;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int set_up(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    const char *base = getenv("TMPDIR");
    snprintf(f.folder, sizeof f.folder, "%.40s/clean.XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(f.folder));
    disk_init(&f.disk);
    struct clean_options options = {.folder = f.folder, .disk = &f.disk, .key = &f.key};
    assert_int_equal(clean_open(&options, STR(""), &f.clean, NULL), ST_OK);
    arena_init(&f.arena);
    buf_init(&f.payload, 1 << 20);
    f.offset = LOG_FIRST_OFFSET;
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    clean_close(f->clean);
    arena_done(&f->arena);
    buf_done(&f->payload);
    return nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define RECEIVED INT64_C(1764000000000000)

static struct clean_event clean_payload(struct fixture *f, enum log_type type, struct str payload)
{
    struct clean_event out;
    struct log_record record = {.offset = f->offset,
                                .type = type,
                                .version = EVENT_VERSION,
                                .source = 3,
                                .received_us = RECEIVED,
                                .payload = payload};
    f->offset += LOG_HEADER_BYTES + payload.n;
    clean_record(f->clean, &record, &f->arena, &out);
    return out;
}

static struct clean_event clean_this(struct fixture *f, const struct event *event)
{
    buf_reset(&f->payload);
    event_encode(event, &f->payload);
    return clean_payload(f, LOG_EVENT, arena_copy(&f->arena, buf_view(&f->payload)));
}

static struct event order(const char *id, const char *properties)
{
    return (struct event){.type = EVENT_TRACK,
                          .message_id = str_of(id),
                          .name = STR("Order Completed"),
                          .properties = str_of(properties)};
}

static void an_event_is_stored_once(void **state)
{
    struct event event = order("m1", "{\"revenue\":19.99,\"currency\":\"rmb\"}");
    event.context = STR("{\"campaign\":{\"name\":\"双11\"}}");
    struct clean_event out = clean_this(*state, &event);
    assert_int_equal(out.verdict, CLEAN_STORED);
    assert_int_equal(out.position, LOG_FIRST_OFFSET);
    assert_int_equal(out.source, 3);
    assert_int_equal(out.time_us, RECEIVED);
    assert_true(out.has_amount);
    assert_int_equal(out.amount_micros, 19990000);
    assert_string_equal(out.currency, "CNY");
    assert_true(str_is(out.campaign, "双11"));
    assert_true(hash128_eq(out.message, hash_public(STR("m1"))));
    assert_int_equal(clean_this(*state, &event).verdict, CLEAN_DUPLICATE);
    struct fixture *f = *state;
    assert_true(clean_known(f->clean, 3, STR("m1")));
    assert_false(clean_known(f->clean, 4, STR("m1"))); /* ids belong to their source */
    assert_false(clean_known(f->clean, 3, STR("m2")));
}

/* What a batch needs later outlives the events that are cleaned behind it; the rest is not kept. */
static void what_may_change_traits_is_kept_for_the_batch(void **state)
{
    struct event event = order("m1", "{\"level\":\"gold\",\"utm_campaign\":\"autumn\"}");
    struct clean_event track = clean_this(*state, &event);
    struct clean_event kept[3];
    static const enum event_type types[] = {EVENT_IDENTIFY, EVENT_GROUP, EVENT_PROFILE};
    static const char *const ids[] = {"m2", "m3", "m4"};
    for (size_t i = 0; i < 3; i++) {
        event.type = types[i];
        event.message_id = str_of(ids[i]);
        kept[i] = clean_this(*state, &event);
    }
    event = order("m5", "{\"level\":\"tin\",\"utm_campaign\":\"spring\"}");
    assert_int_equal(clean_this(*state, &event).verdict, CLEAN_STORED);
    assert_null(track.properties);
    assert_true(str_is(track.campaign, "autumn"));
    for (size_t i = 0; i < 3; i++) {
        assert_true(str_is(json_member_str(kept[i].properties, "level"), "gold"));
        assert_true(str_is(kept[i].campaign, "autumn"));
    }
}

static void identifiers_stand_in_one_order_whatever_the_clients(void **state)
{
    static const struct event_identifier given[] = {
        {IDENTIFIER_ANONYMOUS_ID, STR("anon")}, {IDENTIFIER_EMAIL, STR("B@x.cn")},
        {IDENTIFIER_PHONE, STR("13812345678")}, {IDENTIFIER_EMAIL, STR("a@x.cn")},
        {IDENTIFIER_USER_ID, STR("null")},      {IDENTIFIER_EMAIL, STR("b@X.CN")},
    };
    for (size_t turn = 0; turn < COUNT(given); turn++) {
        char id[2] = {(char)('a' + turn), 0};
        struct event event = {.type = EVENT_PAGE, .message_id = str_of(id)};
        for (size_t i = 0; i < COUNT(given); i++) {
            const struct event_identifier *next = &given[(i * 5 + turn) % COUNT(given)];
            event_add_identifier(&event, next->type, next->value);
        }
        struct clean_event out = clean_this(*state, &event);
        assert_int_equal(out.verdict, CLEAN_STORED);
        assert_int_equal(out.event.identifiers_count, 4);
        assert_true(str_is(out.event.identifiers[0].value, "+8613812345678"));
        assert_true(str_is(out.event.identifiers[1].value, "a@x.cn"));
        assert_true(str_is(out.event.identifiers[2].value, "b@x.cn"));
        assert_true(str_is(out.event.identifiers[3].value, "anon"));
    }
    struct clean_stats stats;
    clean_stats(((struct fixture *)*state)->clean, &stats);
    assert_int_equal(stats.identifiers_refused, COUNT(given));
}

static void an_unbind_that_lost_its_pair_names_nobody(void **state)
{
    struct event event = {.type = EVENT_UNBIND, .message_id = STR("u1")};
    event_add_identifier(&event, IDENTIFIER_USER_ID, STR("ann"));
    event_add_identifier(&event, IDENTIFIER_PHONE, STR("guest"));
    assert_int_equal(clean_this(*state, &event).event.identifiers_count, 0);
    event.message_id = STR("u2");
    event.identifiers_count = 1;
    assert_int_equal(clean_this(*state, &event).event.identifiers_count, 1);
}

static void amounts_belong_to_orders(void **state)
{
    static const struct {
        const char *name, *properties;
        bool has;
        int64_t micros;
    } rows[] = {
        {"Order Completed", "{\"total\":\"1,234.50\"}", true, 1234500000},
        {"Order Refunded", "{\"revenue\":null,\"value\":-3}", true, -3000000},
        {"order_completed", "{\"amount\":2}", true, 2000000},
        {"PayOrder", "{\"revenue\":\"\",\"amount\":\"2\"}", true, 2000000},
        {"提交订单", "{\"amount\":2}", true, 2000000},
        {"purchase", "{\"value\":2,\"revenue\":1}", true, 1000000},
        {"Order Completed", "{}", false, 0},
        {"Product Viewed", "{\"value\":2}", false, 0},
        {"Recorder Opened", "{\"value\":\"blue\"}", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char id[8];
        snprintf(id, sizeof id, "a%zu", i);
        struct event event = order(id, rows[i].properties);
        event.name = str_of(rows[i].name);
        struct clean_event out = clean_this(*state, &event);
        assert_int_equal(out.verdict, CLEAN_STORED);
        if (out.has_amount != rows[i].has || out.amount_micros != rows[i].micros)
            fail_msg("row %zu: %d %lld", i, out.has_amount, (long long)out.amount_micros);
    }
}

static void campaigns_come_from_context_or_properties(void **state)
{
    struct event event = order("c1", "{\"utm_campaign\":\"a\"}");
    assert_true(str_is(clean_this(*state, &event).campaign, "a"));
    event = order("c2", "{\"$latest_utm_campaign\":\"b\"}");
    assert_true(str_is(clean_this(*state, &event).campaign, "b"));
    event = order("c3", "{\"utm_campaign\":5}");
    assert_int_equal(clean_this(*state, &event).campaign.n, 0);
}

static void assert_quarantined(struct fixture *f, const struct event *event,
                               enum event_reason reason)
{
    struct clean_event out = clean_this(f, event);
    assert_int_equal(out.verdict, CLEAN_QUARANTINED);
    if (out.reason != reason)
        fail_msg("%s instead of %s", event_reason_name(out.reason), event_reason_name(reason));
}

static void a_bad_event_is_quarantined_with_its_reason(void **state)
{
    char deep[300] = "{\"a\":", longest[LIMIT_MESSAGE_ID_BYTES + 1];
    memset(deep + 5, '[', 100);
    memset(deep + 105, ']', 100);
    deep[205] = '}';
    memset(longest, 'x', sizeof longest);
    struct event event = order("q", "{\"revenue\":\"N/A\"}");
    assert_quarantined(*state, &event, REASON_BAD_AMOUNT);
    event = order("q", "{\"revenue\":1e300}");
    assert_quarantined(*state, &event, REASON_BAD_AMOUNT);
    event = order("q", "{\"revenue\":[1]}");
    assert_quarantined(*state, &event, REASON_BAD_AMOUNT);
    event = order("q", "[1]");
    assert_quarantined(*state, &event, REASON_BAD_PROPERTIES);
    event = order("q", "{\"a\":");
    assert_quarantined(*state, &event, REASON_BAD_PROPERTIES);
    event = order("q", "{\"a\":\"\xff\"}");
    assert_quarantined(*state, &event, REASON_BAD_UTF8);
    event = order("q", deep);
    assert_quarantined(*state, &event, REASON_TOO_DEEP);
    event = order("q\xff", "{}");
    assert_quarantined(*state, &event, REASON_BAD_UTF8);
    event = order("q", "{}");
    event.name = STR("\xed\xa0\x80"); /* a lone surrogate */
    assert_quarantined(*state, &event, REASON_BAD_UTF8);
    event.name = STR("");
    assert_quarantined(*state, &event, REASON_NO_NAME);
    event = order("q", "{}");
    event.message_id = (struct str){longest, sizeof longest};
    assert_quarantined(*state, &event, REASON_TOO_LARGE);
    event = order("q", "{}");
    event.context = STR("true");
    assert_quarantined(*state, &event, REASON_BAD_PROPERTIES);
    event = order("q", "{}");
    event.original_us = -1;
    assert_quarantined(*state, &event, REASON_TIME_OUT_OF_RANGE);
    event.original_us = RECEIVED + 24 * HOUR + 1;
    assert_quarantined(*state, &event, REASON_TIME_OUT_OF_RANGE);
    event.original_us = RECEIVED + 24 * HOUR;
    assert_int_equal(clean_this(*state, &event).verdict, CLEAN_STORED);
}

static void a_corrected_resend_of_a_quarantined_event_gets_in(void **state)
{
    struct event event = order("again", "{\"revenue\":\"N/A\"}");
    assert_quarantined(*state, &event, REASON_BAD_AMOUNT);
    event = order("again", "{\"revenue\":1}");
    assert_int_equal(clean_this(*state, &event).verdict, CLEAN_STORED);
}

static void records_that_are_no_events_have_their_verdict(void **state)
{
    struct fixture *f = *state;
    struct buf buf;
    buf_init(&buf, 1000);
    quarantine_encode(&(struct quarantine){REASON_NOT_JSON, STR("/v1/t"), STR("x")}, &buf);
    struct clean_event out = clean_payload(f, LOG_QUARANTINE, buf_view(&buf));
    assert_int_equal(out.verdict, CLEAN_QUARANTINED);
    assert_int_equal(out.reason, REASON_NOT_JSON);
    out = clean_payload(f, LOG_QUARANTINE, STR("?"));
    assert_int_equal(out.reason, REASON_BAD_RECORD);
    out = clean_payload(f, LOG_EVENT, STR("\x01\x02\x01\x00\x02\x01m\x07\x02\x01u\x07\x02\x01u"));
    assert_int_equal(out.verdict, CLEAN_QUARANTINED);
    assert_int_equal(out.reason, REASON_BAD_RECORD);
    assert_int_equal(out.event.identifiers_count, 0);
    assert_int_equal(clean_payload(f, LOG_TICK, STR("")).verdict, CLEAN_SKIPPED);
    assert_int_equal(clean_payload(f, LOG_ERASE, STR("")).verdict, CLEAN_SKIPPED);
    assert_int_equal(clean_payload(f, LOG_RULE, STR("{}")).verdict, CLEAN_SKIPPED);
    struct log_record erased = {.type = LOG_EVENT, .flags = LOG_FLAG_ERASED};
    clean_record(f->clean, &erased, &f->arena, &out);
    assert_int_equal(out.verdict, CLEAN_SKIPPED);
    erased = (struct log_record){.type = LOG_EVENT, .version = EVENT_VERSION + 1};
    clean_record(f->clean, &erased, &f->arena, &out);
    assert_int_equal(out.reason, REASON_BAD_RECORD);
    assert_string_equal(clean_verdict_name(CLEAN_SKIPPED), "skipped");
    buf_done(&buf);
}

static void a_million_names_do_not_eat_memory(void **state)
{
    struct clean_names *names = clean_names_new(&(struct hash_key){{1}});
    (void)state;
    for (int i = 0; i < 30000; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "Event %d", i % 20000);
        assert_false(clean_names_see(names, (struct str){name, (size_t)n}));
    }
    assert_true(clean_names_see(names, STR("Order Completed"))); /* even without room */
    uint64_t known, overflow;
    clean_names_stats(names, &known, &overflow);
    assert_int_equal(known, CLEAN_NAMES_MAX);
    assert_int_equal(overflow, 10001);
    clean_names_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clients_clock_is_corrected_and_doubted),
        cmocka_unit_test(identifiers_have_one_normal_form),
        cmocka_unit_test(amounts_are_exact_and_half_goes_up),
        cmocka_unit_test(a_json_number_is_the_decimal_that_was_written),
        cmocka_unit_test(every_thousandth_survives_a_double),
        cmocka_unit_test(currencies_have_one_code),
        cmocka_unit_test(minor_units_round_half_away_from_zero),
        cmocka_unit_test_setup_teardown(an_event_is_stored_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(identifiers_stand_in_one_order_whatever_the_clients, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_unbind_that_lost_its_pair_names_nobody, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(amounts_belong_to_orders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_may_change_traits_is_kept_for_the_batch, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(campaigns_come_from_context_or_properties, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_bad_event_is_quarantined_with_its_reason, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_corrected_resend_of_a_quarantined_event_gets_in, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(records_that_are_no_events_have_their_verdict, set_up,
                                        tear_down),
        cmocka_unit_test(a_million_names_do_not_eat_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
