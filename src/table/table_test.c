/* table_test.c - a file is read whole or refused by name, line and column. */
#include "table/table_test.h"

#include <math.h>

#include "base/arena.h"
#include "table/report.h"
#include "table/table_int.h"
#include "table/rows.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct err err;

static enum status read_text(const char *text, const char *columns, struct table **ret_table)
{
    struct table_options options = {.path = file_put("t.csv", str_of(text)), .columns = columns};
    err = (struct err){0};
    return table_read(&options, ret_table, &err);
}

static struct table *table_of(const char *text)
{
    struct table *table = NULL;
    if (read_text(text, NULL, &table) != ST_OK)
        fail_msg("%s", err.message);
    return table;
}

static void cells_rows_and_lines_are_as_in_the_file(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "a,b\n1,x\n\n\"2\nmore\",\"say \"\"y\"\"\"\n3,z",
        "\xef\xbb\xbf"
        "a,b\r\n1,x\r\n\r\n\"2\nmore\",\"say \"\"y\"\"\"\r\n3,z\r\n",
        "a;b\n1;x\n\n\"2\nmore\";\"say \"\"y\"\"\"\n3;z\n",
        "a\tb\n1\tx\n\n\"2\nmore\"\t\"say \"\"y\"\"\"\n3\tz\n",
        "a|b\n1|x\n\n\"2\nmore\"|\"say \"\"y\"\"\"\n3|z\n",
    };
    for (size_t i = 0; i < COUNT(forms); i++) {
        struct table *table = table_of(forms[i]);
        assert_int_equal(table_rows(table), 3);
        assert_int_equal(table_columns(table), 2);
        assert_true(str_is(table_name(table, 0), "a"));
        assert_true(str_is(table_cell(table, 0, 1), "x"));
        assert_true(str_is(table_cell(table, 1, 0), "2\nmore"));
        assert_true(str_is(table_cell(table, 1, 1), "say \"y\""));
        assert_true(str_is(table_cell(table, 2, 1), "z"));
        assert_int_equal(table_line(table, 0), 2);
        assert_int_equal(table_line(table, 1), 4);
        assert_int_equal(table_line(table, 2), 6);
        table_free(table);
    }
}

static void a_head_alone_has_no_rows_and_one_column_is_a_table(void **state)
{
    (void)state;
    struct table *table = table_of("a,b\n");
    assert_int_equal(table_rows(table), 0);
    table_free(table);
    table = table_of("a\n1\n2\n");
    assert_int_equal(table_columns(table), 1);
    assert_int_equal(table_rows(table), 2);
    table_free(table);
}

static void what_is_no_table_is_refused_by_name_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "could not read \"t.csv\": it is empty"},
        {"\n\n", "could not read \"t.csv\": it is empty"},
        {"\xef\xbb\xbf", "could not read \"t.csv\": it is empty"},
        {"a,b\n1,2\n\n1\n", "could not read \"t.csv\": line 4 has 1 cells, the head has 2"},
        {"a,b\n1,2,3\n", "could not read \"t.csv\": line 2 has 3 cells, the head has 2"},
        {"a,b\n\"1,2\n",
         "could not read \"t.csv\": line 2, column 1 is no CSV: a quoted field must "
         "end with a quote and then a delimiter"},
        {"a,b\n\"1\"2,3\n", "could not read \"t.csv\": line 2, column 1 is no CSV: a quoted field "
                            "must end with a quote and then a delimiter"},
        {"PK\x03\x04zzz",
         "could not read \"t.csv\": it is a workbook or an archive: save it as CSV"},
        {"\xff\xfe"
         "ab",
         "could not read \"t.csv\": it is UTF-16: save it as UTF-8"},
        {"a,b\n\xd6\xd0,1\n", "could not read \"t.csv\": line 2 is no UTF-8"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct table *table;
        assert_int_equal(read_text(cases[i].text, NULL, &table), ST_INVALID);
        assert_string_equal(err.message, cases[i].message);
    }
    struct table *table;
    struct table_options options = {.path = file_put("zero.csv", STR("a,b\n1,\0\n"))};
    assert_int_equal(table_read(&options, &table, &err), ST_INVALID);
    assert_string_equal(err.message,
                        "could not read \"zero.csv\": line 2 has a zero byte: it is no text");
    options.path = file_path("absent.csv");
    assert_int_equal(table_read(&options, &table, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.message, "could not open"));
    options.path = folder;
    assert_int_equal(table_read(&options, &table, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "it is no file"));
    options = (struct table_options){.path = file_put("t.csv", STR("a\n")), .delimiter = '5'};
    assert_int_equal(table_read(&options, &table, &err), ST_INVALID);
    assert_string_equal(err.message, "could not read \"t.csv\": '5' parts no cells");
}

/* --- columns ---------------------------------------------------------------------------------- */

static void a_column_is_found_by_role_then_by_its_usual_names(void **state)
{
    (void)state;
    struct table *table;
    int column = -2;
    assert_int_equal(
        read_text("Customer ID,Price,cust\n1,2,3\n", "buyer= cust , price=PRICE", &table), ST_OK);
    assert_int_equal(table_find(table, "customer", "customer_id|cust", true, &column, &err), ST_OK);
    assert_int_equal(column, 0);
    assert_int_equal(table_find(table, "buyer", "customer_id|cust", true, &column, &err), ST_OK);
    assert_int_equal(column, 2);
    assert_int_equal(table_find(table, "price", "", true, &column, &err), ST_OK);
    assert_int_equal(column, 1);
    assert_int_equal(table_find(table, "time", "date|time", false, &column, &err), ST_OK);
    assert_int_equal(column, -1);
    column = -2;
    assert_int_equal(table_find(table, "time", "date|time", true, &column, &err), ST_INVALID);
    assert_int_equal(column, -2);
    assert_string_equal(err.message,
                        "the file has no column for time; it has: Customer ID, Price, cust");
    assert_string_equal(err.hint, "Say which it is: --columns time=NAME");
    table_free(table);
}

static void a_role_that_names_no_column_is_refused(void **state)
{
    (void)state;
    struct table *table;
    assert_int_equal(read_text("a,b\n", "time=Day", &table), ST_INVALID);
    assert_string_equal(err.message,
                        "could not read \"t.csv\": the file has no column for Day; it has: a, b");
    static const char *const bad[] = {"time", "=a", "time=", ",", "x=a,,"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(read_text("a,b\n", bad[i], &table), ST_INVALID);
        assert_string_equal(err.message, "could not read \"t.csv\": the columns must be given as "
                                         "role=NAME,role=NAME");
    }
}

static void a_role_that_nobody_asked_for_is_refused(void **state)
{
    (void)state;
    struct table *table;
    int column;
    assert_int_equal(read_text("a,b\n", "time=a,custmer=b", &table), ST_OK);
    assert_int_equal(table_find(table, "time", "", true, &column, &err), ST_OK);
    assert_int_equal(table_find(table, "customer", "b", true, &column, &err), ST_OK);
    assert_int_equal(table_roles_check(table, &err), ST_INVALID);
    assert_string_equal(err.message,
                        "--columns gives custmer, this report has only: time, customer");
    table_free(table);
    assert_int_equal(read_text("a,b\n", "TIME=a", &table), ST_OK);
    assert_int_equal(table_find(table, "time", "", true, &column, &err), ST_OK);
    assert_int_equal(table_roles_check(table, &err), ST_OK);
    table_free(table);
}

/* --- values ----------------------------------------------------------------------------------- */

static void numbers_are_what_strtod_reads_to_the_last_bit(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "-0",
                                        "1",
                                        "-1.5",
                                        "+2.25",
                                        ".5",
                                        "5.",
                                        "0.1",
                                        "123456.789012345",
                                        "9007199254740993",
                                        "0.000000000000000001",
                                        "1e5",
                                        "-2.5E-3",
                                        "1.7976931348623157e308",
                                        "5e-324",
                                        "123456789012345678901234567890",
                                        "007"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        double value = -1, want = strtod(texts[i], NULL);
        assert_true(table_cell_number(str_of(texts[i]), &value));
        assert_memory_equal(&value, &want, sizeof value);
    }
    uint64_t seed = 1;
    for (int i = 0; i < 200000; i++) {
        char text[40];
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
        snprintf(text, sizeof text, "%.*f", (int)(seed >> 60), (double)(seed >> 40) / 1021);
        double value = -1, want = strtod(text, NULL);
        assert_true(table_cell_number(str_of(text), &value));
        assert_true(value == want);
    }
    static const char *const no[] = {"",    ".",     "-",   "1,5", "0x10", "inf",
                                     "nan", "1e999", "1 2", "e5",  "--1"};
    for (size_t i = 0; i < COUNT(no); i++) {
        double value;
        assert_false(table_cell_number(str_of(no[i]), &value));
    }
}

static void a_bad_number_is_named_by_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *cell;
        enum table_empty empty;
        double least;
        const char *message; /* NULL: fine */
    } cases[] = {
        {"abc", TABLE_EMPTY_NAN, -INFINITY, "line 4, column Price: \"abc\" is no number"},
        {"inf", TABLE_EMPTY_NAN, -INFINITY, "line 4, column Price: \"inf\" is no number"},
        {"", TABLE_EMPTY_REFUSED, 0, "line 4, column Price: the cell is empty, a number is needed"},
        {"NaN", TABLE_EMPTY_REFUSED, 0, "line 4, column Price: \"NaN\" is no number"},
        {"-3", TABLE_EMPTY_ZERO, 0, "line 4, column Price: -3 is less than 0"},
        {"NaN", TABLE_EMPTY_NAN, 0, NULL},
        {"N/A", TABLE_EMPTY_ZERO, 0, NULL},
        {" - ", TABLE_EMPTY_ZERO, 0, NULL},
        {"null", TABLE_EMPTY_ZERO, 0, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[200];
        snprintf(text, sizeof text, "id,Price\n1, 2.5\n\n2,%s\n", cases[i].cell);
        struct table *table = table_of(text);
        double *values = NULL;
        enum status status = table_numbers(table, 1, cases[i].empty, cases[i].least, &values, &err);
        if (cases[i].message != NULL) {
            assert_int_equal(status, ST_INVALID);
            assert_string_equal(err.message, cases[i].message);
        } else {
            assert_int_equal(status, ST_OK);
            assert_true(values[0] == 2.5);
            assert_true(cases[i].empty == TABLE_EMPTY_NAN ? isnan(values[1]) : values[1] == 0);
        }
        free(values);
        table_free(table);
    }
}

static void times_of_all_forms_are_one_instant(void **state)
{
    (void)state;
    struct table *table =
        table_of("time\n2023-11-14T22:13:20Z\n2023-11-14 22:13:20\n2023-11-15 06:13:20+08:00\n"
                 "2023-11-15 06:13:20+08\n1700000000\n1700000000.0\n1700000000000\n"
                 "1700000000000000\n");
    int64_t *us;
    assert_int_equal(table_times(table, 0, &us, &err), ST_OK);
    for (size_t i = 0; i < table_rows(table); i++)
        assert_int_equal(us[i], INT64_C(1700000000000000));
    free(us);
    table_free(table);
    table = table_of("t\n2023-11-14\n20231114\n");
    assert_int_equal(table_times(table, 0, &us, &err), ST_OK);
    assert_int_equal(us[0], INT64_C(1699920000000000));
    assert_int_equal(us[1], us[0]);
    free(us);
    table_free(table);
    static const char *const bad[][2] = {
        {"soon", "line 2, column t: \"soon\" is no time"},
        {"2023-02-29", "line 2, column t: \"2023-02-29\" is no time"},
        {"17", "line 2, column t: \"17\" is no time"},
        {"\"\"", "line 2, column t: the cell is empty, a time is needed"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[100];
        snprintf(text, sizeof text, "t\n%s\n", bad[i][0]);
        table = table_of(text);
        assert_int_equal(table_times(table, 0, &us, &err), ST_INVALID);
        assert_string_equal(err.message, bad[i][1]);
        assert_non_null(strstr(err.hint, "Unix seconds"));
        table_free(table);
    }
}

static void codes_count_from_zero_in_order_of_appearance(void **state)
{
    (void)state;
    struct buf text;
    uint32_t *codes;
    struct str *texts;
    size_t count;
    buf_init(&text, (size_t)8 << 20);
    buf_text(&text, "v\n");
    for (int i = 0; i < 20000; i++)
        buf_fmt(&text, "value number %d\n", i % 7000);
    struct table *table = table_of(text.p);
    assert_int_equal(table_codes(table, 0, &codes, &texts, &count, &err), ST_OK);
    assert_int_equal(count, 7000);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(codes[i], i % 7000);
    assert_true(str_is(texts[6999], "value number 6999"));
    free(codes);
    free(texts);
    table_free(table);
    buf_done(&text);
}

/* --- Parquet and the look --------------------------------------------------------------------- */

static void bytes_that_only_begin_as_parquet_are_refused(void **state)
{
    (void)state;
    struct table *table;
    struct table_options options = {.path = file_put("it's [1]*.parquet", STR("PAR1 and no more"))};
    assert_int_equal(table_read(&options, &table, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "it's [1]*.parquet"));
}

/* Two rows: customer (text), price (double, the second missing), time (with a zone). */
static void parquet_gives_the_same_cells_as_text(void **state)
{
    (void)state;
    struct table *table = NULL;
    struct table_options options = {.path = "src/table/testdata/two_rows.parquet"};
    double *prices;
    int64_t *us;
    assert_int_equal(table_read(&options, &table, &err), ST_OK);
    assert_int_equal(table_rows(table), 2);
    assert_true(str_is(table_name(table, 2), "time"));
    assert_true(str_is(table_cell(table, 1, 0), "c2"));
    assert_int_equal(table_line(table, 0), 2);
    assert_int_equal(table_numbers(table, 1, TABLE_EMPTY_NAN, 0, &prices, &err), ST_OK);
    assert_true(prices[0] == 2.5 && isnan(prices[1]));
    assert_int_equal(table_times(table, 2, &us, &err), ST_OK);
    assert_int_equal(us[0], INT64_C(1700000000000000));
    free(prices);
    free(us);
    table_free(table);
}

static void the_look_names_kinds_and_odd_cells(void **state)
{
    (void)state;
    struct buf json;
    buf_init(&json, (size_t)1 << 20);
    struct table_options options = {
        .path = file_put("t.csv", STR("day,n,who,none\n2024-01-02,1,b,\n20240101,x,a,NA\n20240103,"
                                      "3,b,\n20240104,NaN,b,\n"))};
    assert_int_equal(table_report(&options, &json, &err), ST_OK);
    static const char *const want[] = {
        "\"row_count\":4,\"column_count\":4",
        "{\"column\":\"day\",\"kind\":\"time\",\"empty\":0,\"odd\":0,\"odd_line\":null,"
        "\"distinct\":4,"
        "\"min\":\"2024-01-01T00:00:00.000000Z\",\"max\":\"2024-01-04T00:00:00.000000Z\"}",
        "{\"column\":\"n\",\"kind\":\"number\",\"empty\":1,\"odd\":1,\"odd_line\":3,\"distinct\":3,"
        "\"min\":1,\"max\":3,\"mean\":2}",
        "{\"column\":\"who\",\"kind\":\"text\",\"empty\":0,\"odd\":0,\"odd_line\":null,"
        "\"distinct\":2,"
        "\"min\":\"a\",\"max\":\"b\"}",
        "{\"column\":\"none\",\"kind\":\"empty\",\"empty\":4,\"odd\":0,\"odd_line\":null,"
        "\"distinct\":0}"};
    for (size_t i = 0; i < COUNT(want); i++)
        if (strstr(json.p, want[i]) == NULL)
            fail_msg("%s\nhas no\n%s", json.p, want[i]);
    buf_done(&json);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_rows_and_lines_are_as_in_the_file),
        cmocka_unit_test(a_head_alone_has_no_rows_and_one_column_is_a_table),
        cmocka_unit_test(what_is_no_table_is_refused_by_name_and_line),
        cmocka_unit_test(a_column_is_found_by_role_then_by_its_usual_names),
        cmocka_unit_test(a_role_that_names_no_column_is_refused),
        cmocka_unit_test(a_role_that_nobody_asked_for_is_refused),
        cmocka_unit_test(numbers_are_what_strtod_reads_to_the_last_bit),
        cmocka_unit_test(a_bad_number_is_named_by_line_and_column),
        cmocka_unit_test(times_of_all_forms_are_one_instant),
        cmocka_unit_test(codes_count_from_zero_in_order_of_appearance),
        cmocka_unit_test(bytes_that_only_begin_as_parquet_are_refused),
        cmocka_unit_test(parquet_gives_the_same_cells_as_text),
        cmocka_unit_test(the_look_names_kinds_and_odd_cells),
    };
    folder_place(getenv("TMPDIR"));
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
