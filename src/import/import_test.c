/* import_test.c - rows are exact, groups are whole, every event is sent exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/disk.h"
#include "import/import_int.h"
#include "table/decimal.h"

/* --- files ------------------------------------------------------------------------------------ */

static char folder[128];

static int folder_make(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/import_test_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(folder) == NULL;
}

static char *file_path(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *file_put(const char *name, struct str bytes)
{
    const char *path = file_path(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.p, 1, bytes.n, file), bytes.n);
    fclose(file);
    return path;
}

static int folder_remove(void **state)
{
    (void)state;
    static const char *const names[] = {"rows.csv"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(file_path(names[i]));
    return rmdir(folder);
}

/* --- events ----------------------------------------------------------------------------------- */

static enum status gather(void *ctx, struct str event, struct err *err)
{
    (void)err;
    buf_str(ctx, event);
    buf_char(ctx, '\n');
    return ST_OK;
}

static enum status events_of(const char *csv, const char *mapping, struct buf *out, struct err *err)
{
    uint64_t lines = 0;
    const char *path = file_put("rows.csv", str_of(csv));
    return import_read_file(path, str_of(mapping), gather, out, &lines, NULL, err);
}

#define ORDERS                                                                                     \
    "{\"version\":1,\"name\":\"t\",\"group_by\":\"no\",\"key\":[\"no\"],\"event\":[{\"column\":"   \
    "\"no\",\"starts_with\":\"C\",\"name\":\"Order Cancelled\"},\"Order Completed\"],\"time\":"    \
    "{\"column\":\"at\",\"zone_offset_s\":28800},\"identifiers\":{\"phone\":\"tel\"},"             \
    "\"properties\":{\"id\":\"no\",\"total\":{\"sum\":[\"n\",\"p\"]},\"cur\":{\"value\":\"CNY\"}}" \
    ","                                                                                            \
    "\"products\":{\"sku\":\"sku\",\"n\":{\"column\":\"n\",\"as\":\"number\"}}}"

static void rows_of_a_group_are_one_event(void **state)
{
    (void)state;
    struct buf out;
    struct err err;
    buf_init(&out, 100000);
    assert_int_equal(events_of("no,at,tel,sku,n,p\n"
                               "1,2026-11-24 10:00:00,,A,3,2.55\n"
                               "C2,2026-11-24 10:01:00,138,B,-1,0.10\n"
                               "1,2026-11-24 10:00:59,139,\"x\"\"y\",1,0.001\n"
                               "C2,,138,,x,1\n",
                               ORDERS, &out, &err),
                     ST_OK);
    buf_char(&out, '\0');
    assert_string_equal(
        out.p,
        "{\"type\":\"track\",\"name\":\"Order Completed\",\"message_id\":\"t:1\",\"time\":"
        "\"2026-11-24T02:00:00.000000Z\",\"identifiers\":{\"phone\":\"139\"},\"properties\":"
        "{\"id\":\"1\",\"cur\":\"CNY\",\"total\":7.651,\"products\":[{\"sku\":\"A\",\"n\":3},"
        "{\"sku\":\"x\\\"y\",\"n\":1}]}}\n"
        "{\"type\":\"track\",\"name\":\"Order Cancelled\",\"message_id\":\"t:C2\",\"time\":"
        "\"2026-11-24T02:01:00.000000Z\",\"identifiers\":{\"phone\":\"138\"},\"properties\":"
        "{\"id\":\"C2\",\"cur\":\"CNY\",\"total\":-0.1,\"products\":[{\"sku\":\"B\",\"n\":-1},"
        "{\"n\":\"x\"}]}}\n");
    buf_done(&out);
}

static size_t occurrences(const struct buf *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text->p; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

static void a_group_that_comes_back_late_is_a_second_event(void **state)
{
    (void)state;
    struct buf csv, out;
    struct err err;
    buf_init(&csv, 100000);
    buf_init(&out, 100000);
    buf_text(&csv, "no,at,tel,sku,n,p\nfirst,,,A,1,1\n");
    for (int i = 0; i < IMPORT_GROUPS_OPEN + 5; i++)
        buf_fmt(&csv, "g%d,,,A,1,1\n", i);
    buf_text(&csv, "first,,,B,1,1\n");
    buf_char(&csv, '\0');
    assert_int_equal(events_of(csv.p, ORDERS, &out, &err), ST_OK);
    buf_char(&out, '\0');
    assert_int_equal(occurrences(&out, "\"message_id\":\"t:first\""), 1);
    assert_int_equal(occurrences(&out, "\"message_id\":\"t:first#2\""), 1);
    assert_int_equal(occurrences(&out, "\"sku\""), IMPORT_GROUPS_OPEN + 7);
    buf_done(&csv);
    buf_done(&out);
}

static void ids_are_of_the_key_or_of_the_file_and_line(void **state)
{
    (void)state;
    struct buf out;
    struct err err;
    buf_init(&out, 100000);
    const char *mapping = "{\"version\":1,\"name\":\"m\",\"key\":[\"a\",\"b\"],\"event\":\"E\"}";
    assert_int_equal(events_of("a,b\nx:,y\nx,:y\nk,\nk,\nk#2,\n,\n", mapping, &out, &err), ST_OK);
    buf_char(&out, '\0');
    assert_non_null(strstr(out.p, "\"m:x\\\\::y\""));
    assert_non_null(strstr(out.p, "\"m:x:\\\\:y\""));
    assert_non_null(strstr(out.p, "\"m:k:\""));
    assert_non_null(strstr(out.p, "\"m:k:#2\""));
    assert_non_null(strstr(out.p, "\"m:k\\\\#2:\""));
    char hash[65], want[100];
    assert_int_equal(table_input_hash(file_path("rows.csv"), hash, &err), ST_OK);
    snprintf(want, sizeof want, "\"m:%s:7\"", hash);
    assert_non_null(strstr(out.p, want));
    buf_done(&out);
}

static void a_wrong_mapping_is_named_before_anything_is_sent(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"version\":1,\"name\":\"m\",\"event\":\"E\",\"group_by\":\"z\"}", "column \"z\""},
        {"{\"version\":2,\"name\":\"m\",\"event\":\"E\"}", "\"version\""},
        {"{\"version\":1,\"event\":\"E\"}", "\"name\""},
        {"{\"version\":1,\"name\":\"m\",\"event\":\"E\",\"colour\":1}", "\"colour\""},
        {"{\"version\":1,\"name\":\"m\",\"event\":\"E\",\"identifiers\":{\"fax\":\"a\"}}",
         "\"fax\""},
        {"{\"version\":1,\"name\":\"m\"}", "\"event\""},
        {"{\"version\":1,\"name\":\"m\",\"event\":\"E\",\"properties\":{\"p\":{\"as\":\"number\"}}"
         "}",
         "\"p\""},
        {"{\"version\":1,\"name\":\"m\",\"event\":\"E\",\"products\":{\"p\":{\"sum\":[\"a\"]}}}",
         "sum"},
        {"{\"version\":1,\"name\":\"m\",\"event\":\"E\",\"key\":[\"a\",\"a\",\"a\",\"a\",\"a\"]}",
         "\"key\""},
        {"{", "JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out;
        struct err err = {0};
        buf_init(&out, 1000);
        assert_int_equal(events_of("a,b\n1,2\n", cases[i][0], &out, &err), ST_INVALID);
        assert_non_null(strstr(err.message, cases[i][1]));
        assert_int_equal(out.n, 0);
        buf_done(&out);
    }
}

static void a_row_that_misses_a_mapped_column_is_named(void **state)
{
    (void)state;
    struct buf out;
    struct err err = {0};
    buf_init(&out, 100000);
    assert_int_equal(events_of("no,at,tel,sku,n,p\n1,,,A,3,2.55\n1,,,A\n", ORDERS, &out, &err),
                     ST_INVALID);
    assert_non_null(strstr(err.message, "line 3"));
    buf_done(&out);
}

/* --- the sender ------------------------------------------------------------------------------- */

struct server {
    struct buf bodies[4]; /* what came, by call */
    int calls, waits, busy_until, code;
    bool cut; /* busy as a lost connection */
};

static enum status post_fake(void *ctx, struct str body, int *ret_code, struct buf *answer,
                             struct err *err)
{
    struct server *server = ctx;
    if (server->calls < 4) {
        buf_init(&server->bodies[server->calls], (size_t)4 << 20);
        buf_str(&server->bodies[server->calls], body);
    }
    server->calls++;
    buf_reset(answer);
    if (server->calls <= server->busy_until) {
        if (server->cut)
            return err_set(err, ST_BUSY, "cut");
        *ret_code = 503;
        return ST_OK;
    }
    *ret_code = server->code;
    buf_text(answer, server->code == 200
                         ? "{\"position\":\"0:640\",\"results\":[{\"status\":\"stored\"},"
                           "{\"status\":\"duplicate\"},{\"status\":\"quarantined\"}]}"
                         : "{\"title\":\"not authorized\"}");
    return ST_OK;
}

static void wait_fake(void *ctx, int seconds)
{
    struct server *server = ctx;
    assert_true(seconds > 0);
    server->waits++;
}

static void server_done(struct server *server)
{
    for (int i = 0; i < server->calls && i < 4; i++)
        buf_done(&server->bodies[i]);
}

static void sender_start(struct sender *sender, struct server *server)
{
    import_sender_init(sender);
    sender->post = post_fake;
    sender->wait = wait_fake;
    sender->ctx = server;
}

static void a_batch_is_repeated_unchanged_until_it_is_answered(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct server server = {.busy_until = 2, .code = 200, .cut = cut};
        struct sender sender;
        struct err err;
        sender_start(&sender, &server);
        assert_int_equal(import_sender_put(&sender, STR("{\"a\":1}"), &err), ST_OK);
        assert_int_equal(import_sender_put(&sender, STR("{\"b\":1}"), &err), ST_OK);
        assert_int_equal(import_sender_flush(&sender, &err), ST_OK);
        assert_int_equal(server.calls, 3);
        assert_int_equal(server.waits, 2);
        assert_true(str_is(buf_view(&server.bodies[0]), "{\"events\":[{\"a\":1},{\"b\":1}]}"));
        assert_true(str_eq(buf_view(&server.bodies[0]), buf_view(&server.bodies[2])));
        assert_int_equal(sender.progress.stored, 1);
        assert_int_equal(sender.progress.duplicates, 1);
        assert_int_equal(sender.progress.quarantined, 1);
        assert_true(str_is(buf_view(&sender.progress.position), "0:640"));
        server_done(&server);
        import_sender_done(&sender);
    }
}

static void batches_are_bounded_and_a_refusal_ends_the_import(void **state)
{
    (void)state;
    struct server server = {.code = 200};
    struct sender sender;
    struct err err = {0};
    sender_start(&sender, &server);
    for (int i = 0; i < IMPORT_BATCH_EVENTS + 1; i++)
        assert_int_equal(import_sender_put(&sender, STR("{}"), &err), ST_OK);
    assert_int_equal(server.calls, 1);
    assert_int_equal(sender.events, 1);
    server.code = 401;
    assert_int_equal(import_sender_flush(&sender, &err), ST_UNAUTHORIZED);
    assert_non_null(strstr(err.message, "not authorized"));
    assert_int_equal(server.waits, 0);
    server_done(&server);
    import_sender_done(&sender);
}

static void a_server_that_stays_busy_is_given_up(void **state)
{
    (void)state;
    struct server server = {.busy_until = INT32_MAX};
    struct sender sender;
    struct err err;
    sender_start(&sender, &server);
    assert_int_equal(import_sender_put(&sender, STR("{}"), &err), ST_OK);
    assert_int_equal(import_sender_flush(&sender, &err), ST_BUSY);
    assert_int_equal(server.waits, IMPORT_WAITS_MAX);
    server_done(&server);
    import_sender_done(&sender);
}

/* --- Online Retail ---------------------------------------------------------------------------- */

struct totals {
    uint64_t events, cancelled, lines, no_customer, quantity_bad, price_zero, price_negative;
    uint64_t clean_lines, dear;
    struct map customers, clean_customers, ids;
    struct decimal revenue, all;
    struct json_pool pool;
};

static struct decimal exact(yyjson_val *value)
{
    struct buf text;
    struct decimal decimal;
    buf_init(&text, 100);
    json_write(&text, value);
    if (text.n > 2 && memcmp(text.p + text.n - 2, ".0", 2) == 0)
        text.n -= 2;
    assert_true(table_decimal_parse(buf_view(&text), &decimal));
    buf_done(&text);
    return decimal;
}

static void line_count(struct totals *totals, yyjson_val *line, struct str customer)
{
    struct decimal quantity = exact(yyjson_obj_get(line, "quantity"));
    struct decimal price = exact(yyjson_obj_get(line, "price")), product;
    totals->lines++;
    totals->no_customer += customer.n == 0;
    totals->quantity_bad += quantity.value <= 0;
    totals->price_zero += price.value == 0;
    totals->price_negative += price.value < 0;
    assert_true(table_decimal_multiply(quantity, price, &product));
    assert_true(table_decimal_add(&totals->all, product));
    if (customer.n == 0 || quantity.value <= 0 || price.value <= 0)
        return;
    totals->clean_lines++;
    map_put(&totals->clean_customers, hash_public(customer), NULL);
    assert_true(table_decimal_add(&totals->revenue, product));
}

static enum status event_count(void *ctx, struct str event, struct err *err)
{
    struct totals *totals = ctx;
    yyjson_doc *doc;
    enum status status = json_parse(&totals->pool, event, &doc, err);
    if (status != ST_OK)
        return status;
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct str customer = json_member_str(yyjson_obj_get(root, "identifiers"), "member_no");
    bool fresh;
    size_t i, n;
    yyjson_val *line;
    map_put(&totals->ids, hash_public(json_member_str(root, "message_id")), &fresh);
    assert_true(fresh);
    totals->events++;
    totals->cancelled += str_is(json_member_str(root, "name"), "Order Cancelled");
    if (customer.n > 0)
        map_put(&totals->customers, hash_public(customer), NULL);
    yyjson_val *properties = yyjson_obj_get(root, "properties");
    assert_true(yyjson_is_num(yyjson_obj_get(properties, "revenue")));
    yyjson_arr_foreach(yyjson_obj_get(properties, "products"), i, n, line)
    {
        line_count(totals, line, customer);
    }
    return ST_OK;
}

static enum status nothing(void *ctx, struct str event, struct err *err)
{
    (void)err;
    *(size_t *)ctx += event.n;
    return ST_OK;
}

static void written(struct decimal decimal, const char *want)
{
    struct buf out;
    buf_init(&out, 100);
    table_decimal_write(decimal, &out);
    assert_true(str_is(buf_view(&out), want));
    buf_done(&out);
}

static void online_retail_has_its_published_figures(void **state)
{
    (void)state;
    const char *file = "examples/online_retail/onlineretail.csv.zst";
    struct totals totals = {0};
    struct str mapping = {NULL, 0};
    char *mapping_text;
    struct disk disk;
    struct err err = {0};
    uint64_t lines = 0;
    disk_init(&disk);
    assert_int_equal(disk_read_file(&disk, "examples/online_retail/mapping.json", 10000,
                                    &mapping_text, &mapping.n, &err),
                     ST_OK);
    mapping.p = mapping_text;
    map_init(&totals.customers);
    map_init(&totals.clean_customers);
    map_init(&totals.ids);
    json_pool_init(&totals.pool);
    enum status status = import_read_file(file, mapping, event_count, &totals, &lines, NULL, &err);
    if (status != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(lines, 541909);
    assert_int_equal(totals.lines, 541909);
    assert_int_equal(totals.events, 25900);
    assert_int_equal(totals.cancelled, 3836);
    assert_int_equal(totals.customers.count, 4372);
    assert_int_equal(totals.no_customer, 135080);
    assert_int_equal(totals.quantity_bad, 10624);
    assert_int_equal(totals.price_zero, 2515);
    assert_int_equal(totals.price_negative, 2);
    assert_int_equal(totals.clean_lines, 397884);
    assert_int_equal(totals.clean_customers.count, 4338);
    written(totals.revenue, "8911407.904");
    written(totals.all, "9747747.934");

    size_t bytes = 0;
    int64_t start = monotonic_us();
    lines = 0;
    assert_int_equal(import_read_file(file, mapping, nothing, &bytes, &lines, NULL, &err), ST_OK);
    double seconds = (double)(monotonic_us() - start) / 1e6;
    print_message("read and built %.0f lines/s\n", (double)lines / seconds);
    map_done(&totals.customers);
    map_done(&totals.clean_customers);
    map_done(&totals.ids);
    json_pool_done(&totals.pool);
    free(mapping_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_group_are_one_event),
        cmocka_unit_test(a_group_that_comes_back_late_is_a_second_event),
        cmocka_unit_test(ids_are_of_the_key_or_of_the_file_and_line),
        cmocka_unit_test(a_wrong_mapping_is_named_before_anything_is_sent),
        cmocka_unit_test(a_row_that_misses_a_mapped_column_is_named),
        cmocka_unit_test(a_batch_is_repeated_unchanged_until_it_is_answered),
        cmocka_unit_test(batches_are_bounded_and_a_refusal_ends_the_import),
        cmocka_unit_test(a_server_that_stays_busy_is_given_up),
        cmocka_unit_test(online_retail_has_its_published_figures),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
