/* rows_test.c - decimals are exact, rows are as RFC 4180 says, packed bytes are told by themselves.
 */
#include "table/table_test.h"

#include <zlib.h>
#include <zstd.h>

#include "base/arena.h"
#include "table/decimal.h"
#include "table/rows.h"

/* --- decimal ---------------------------------------------------------------------------------- */

static void written(struct decimal decimal, const char *want)
{
    struct buf out;
    buf_init(&out, 100);
    table_decimal_write(decimal, &out);
    buf_char(&out, '\0');
    assert_string_equal(out.p, want);
    buf_done(&out);
}

static void decimals_are_exact(void **state)
{
    (void)state;
    struct decimal price, quantity, sum = {0, 0}, product;
    written((struct decimal){0, 0}, "0");
    written((struct decimal){0, 4}, "0");
    written((struct decimal){-5, 2}, "-0.05");
    written((struct decimal){1200, 2}, "12");
    written((struct decimal){765, 2}, "7.65");
    assert_true(table_decimal_parse(STR("2.55"), &price));
    assert_true(table_decimal_parse(STR("-3"), &quantity));
    assert_true(table_decimal_multiply(price, quantity, &product));
    assert_true(table_decimal_add(&sum, product));
    assert_true(table_decimal_parse(STR("0.001"), &price));
    assert_true(table_decimal_add(&sum, price));
    written(sum, "-7.649");
    static const char *const no[] = {"", "-", ".", "1e3", "1,5", "0x10", "1234567890123456789"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(table_decimal_parse(str_of(no[i]), &price));
}

static void numbers_keep_their_digits_and_texts_stay_texts(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"2.55", "2.55"}, {"2.50", "2.50"},   {"-0", "-0"},       {"1e3", "1e3"},
        {"007", "7"},     {"+4.10", "4.1"},   {".5", "0.5"},      {"5.", "5"},
        {" 3 ", "3"},     {"abc", "\"abc\""}, {"1,5", "\"1,5\""}, {"\"", "\"\\\"\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out;
        buf_init(&out, 100);
        table_number_write(str_of(cases[i][0]), &out);
        buf_char(&out, '\0');
        assert_string_equal(out.p, cases[i][1]);
        buf_done(&out);
    }
}

/* --- CSV -------------------------------------------------------------------------------------- */

struct text_source {
    struct str text;
    size_t step; /* bytes a read; 0 = all */
};

static enum status text_read(void *ctx, char *to, size_t n, size_t *ret_n, struct err *err)
{
    (void)err;
    struct text_source *source = ctx;
    size_t take = source->text.n < n ? source->text.n : n;
    if (source->step > 0 && take > source->step)
        take = source->step;
    memcpy(to, source->text.p, take);
    source->text.p += take;
    source->text.n -= take;
    *ret_n = take;
    return ST_OK;
}

/* Fields joined by '|', rows ended by ';'. */
static enum status rows_put(struct table_csv *csv, struct buf *out, struct err *err)
{
    bool any = true;
    enum status status = ST_OK;
    while (status == ST_OK && any) {
        status = table_csv_next(csv, &any, err);
        for (size_t i = 0; status == ST_OK && any && i < csv->count; i++) {
            if (i > 0)
                buf_char(out, '|');
            buf_str(out, csv->fields[i]);
        }
        if (status == ST_OK && any)
            buf_char(out, ';');
    }
    return status;
}

static enum status rows_of(struct str text, size_t step, struct buf *out, struct err *err)
{
    struct text_source source = {text, step};
    struct table_csv csv;
    table_csv_init(&csv, text_read, &source, ',');
    enum status status = rows_put(&csv, out, err);
    table_csv_done(&csv);
    return status;
}

/* The same text whole in memory gives the same rows as in steps. */
static enum status rows_of_bytes(struct str text, struct buf *out, struct err *err)
{
    char *bytes = mem_alloc(text.n + 1);
    memcpy(bytes, text.p, text.n);
    bytes[text.n] = '\0';
    struct table_csv csv;
    table_csv_init_bytes(&csv, bytes, text.n, ',');
    enum status status = rows_put(&csv, out, err);
    table_csv_done(&csv);
    free(bytes);
    return status;
}

static void rows_are_as_rfc_4180_says(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a,b\n1,2\n", "a|b;1|2;"},
        {"a,b\r\n1,2", "a|b;1|2;"},
        {"a,b\r1,2\r", "a|b;1|2;"},
        {"\xef\xbb\xbf"
         "a,b\n",
         "a|b;"},
        {"\"a\",\"b\"\n", "a|b;"},
        {"\"a\"\"b\",\"\"\n", "a\"b|;"},
        {"\"a,b\nc\",d\n", "a,b\nc|d;"},
        {"a,,\n,,\n", "a||;||;"},
        {"\n\na\n\r\nb\n", "a;b;"},
        {"5\" TV,x\n", "5\" TV|x;"},
        {"a,b,", "a|b|;"},
        {"", ""},
        {"\"\"\"\"\n", "\";"},
        {"a\n\"\"\n\nb\n", "a;;b;"}, /* quotes say that a cell is there */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 0; step < 4; step++) {
            struct buf out;
            struct err err;
            buf_init(&out, 1000);
            struct str text = str_of(cases[i][0]);
            assert_int_equal(step < 3 ? rows_of(text, step, &out, &err)
                                      : rows_of_bytes(text, &out, &err),
                             ST_OK);
            buf_char(&out, '\0');
            assert_string_equal(out.p, cases[i][1]);
            buf_done(&out);
        }
    }
}

static void a_row_that_is_no_csv_is_named(void **state)
{
    (void)state;
    struct err err;
    struct buf out;
    buf_init(&out, 1000);
    assert_int_equal(rows_of(STR("a,b\n\"x\ny\",2\n1,\"2\"3\n"), 1, &out, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "line 4, column 2"));
    assert_int_equal(rows_of(STR("a,\"b\n"), 0, &out, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "line 1, column 2"));
    buf_done(&out);
}

static void a_row_without_end_is_an_outcome(void **state)
{
    (void)state;
    struct err err;
    struct buf out;
    size_t n = 3 * TABLE_ROW_BYTES_MAX;
    char *text = mem_alloc(n);
    memset(text, 'x', n);
    text[0] = '"';
    buf_init(&out, 1000);
    assert_int_equal(rows_of((struct str){text, n}, 0, &out, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "longer than"));
    memset(text, ',', n);
    assert_int_equal(rows_of((struct str){text, n}, 0, &out, &err), ST_INVALID);
    assert_non_null(strstr(err.message, "columns"));
    free(text);
    buf_done(&out);
}

static void long_rows_cross_the_window(void **state)
{
    (void)state;
    struct buf text, out;
    struct err err;
    buf_init(&text, (size_t)64 << 20);
    buf_init(&out, (size_t)64 << 20);
    for (int i = 0; i < 40; i++) {
        buf_text(&text, "\"");
        for (int k = 0; k < 10000 + i * 2000; k++)
            buf_text(&text, "a\"\"");
        buf_text(&text, "\",z\n");
    }
    assert_int_equal(rows_of(buf_view(&text), 65537, &out, &err), ST_OK);
    size_t rows = 0;
    for (size_t i = 0; i < out.n; i++)
        rows += out.p[i] == ';';
    assert_int_equal(rows, 40);
    buf_done(&text);
    buf_done(&out);
}

static void a_text_in_memory_may_be_one_long_row(void **state)
{
    (void)state;
    struct buf out;
    struct err err;
    size_t n = 3 * TABLE_ROW_BYTES_MAX;
    char *text = mem_alloc(n);
    memset(text, 'x', n);
    buf_init(&out, 2 * n);
    assert_int_equal(rows_of_bytes((struct str){text, n}, &out, &err), ST_OK);
    assert_int_equal(out.n, n + 1);
    text[0] = '"'; /* never closed */
    assert_int_equal(rows_of_bytes((struct str){text, n}, &out, &err), ST_INVALID);
    assert_string_equal(err.message, "line 1, column 1 is no CSV: a quoted field must end with a "
                                     "quote and then a delimiter");
    free(text);
    buf_done(&out);
}

static void the_delimiter_that_parts_evenly_is_guessed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        char want;
    } cases[] = {
        {"a,b\n1,2\n", ','},
        {"a;b\n1,5;2,5\n", ';'},
        {"a\tb\n1\t2\n", '\t'},
        {"a|b\n1|2\n", '|'},
        {"a > b,n;m\n", ','},
        {"\"x;y;z\",b\n\"1;2\",3\n", ','},
        {"name, first;age\nx;1\ny;2\nz;3\n", ';'},
        {"a\n1\n", ','},
        {"", ','},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (table_csv_guess(str_of(cases[i].text)) != cases[i].want)
            fail_msg("%s", cases[i].text);
}

/* --- files ------------------------------------------------------------------------------------ */

static enum status input_all(const char *path, struct buf *out, struct err *err)
{
    struct table_input *input = NULL;
    enum status status = table_input_open(path, &input, err);
    size_t n = 1;
    while (status == ST_OK && n > 0) {
        char *room = buf_room(out, 1000);
        status = table_input_read(input, room, 1000, &n, err);
        if (status == ST_OK)
            out->n += n;
        else
            n = 0;
    }
    table_input_close(input);
    return status;
}

static void packing_is_told_by_the_bytes(void **state)
{
    (void)state;
    struct buf text, packed, out;
    struct err err;
    buf_init(&text, (size_t)4 << 20);
    buf_init(&packed, (size_t)8 << 20);
    buf_init(&out, (size_t)8 << 20);
    for (int i = 0; i < 60000; i++)
        buf_fmt(&text, "%d,%d\n", i, i * 7919 % 10007);

    assert_int_equal(input_all(file_put("rows.csv", buf_view(&text)), &out, &err), ST_OK);
    assert_true(str_eq(buf_view(&out), buf_view(&text)));

    gzFile gz = gzopen(file_path("rows.gz"), "wb");
    assert_int_equal(gzwrite(gz, text.p, (unsigned)text.n), (int)text.n);
    gzclose(gz);
    buf_reset(&out);
    assert_int_equal(input_all(file_path("rows.gz"), &out, &err), ST_OK);
    assert_true(str_eq(buf_view(&out), buf_view(&text)));

    char *room = buf_room(&packed, ZSTD_compressBound(text.n));
    packed.n = ZSTD_compress(room, ZSTD_compressBound(text.n), text.p, text.n, 3);
    buf_reset(&out);
    assert_int_equal(input_all(file_put("rows.zst", buf_view(&packed)), &out, &err), ST_OK);
    assert_true(str_eq(buf_view(&out), buf_view(&text)));

    buf_reset(&out);
    struct str half = {packed.p, packed.n / 2};
    assert_int_equal(input_all(file_put("cut.zst", half), &out, &err), ST_INVALID);
    buf_reset(&packed);
    assert_int_equal(input_all(file_path("absent"), &out, &err), ST_NOT_FOUND);
    buf_done(&text);
    buf_done(&packed);
    buf_done(&out);
}

static void a_cut_gzip_is_no_end(void **state)
{
    (void)state;
    struct buf text, out;
    struct err err;
    buf_init(&text, (size_t)4 << 20);
    buf_init(&out, (size_t)4 << 20);
    for (int i = 0; i < 20000; i++)
        buf_fmt(&text, "%d,%d\n", i, i * 7919 % 10007);
    gzFile gz = gzopen(file_path("cut.gz"), "wb");
    gzwrite(gz, text.p, (unsigned)text.n);
    gzclose(gz);
    assert_int_equal(truncate(file_path("cut.gz"), 5000), 0);
    assert_int_equal(input_all(file_path("cut.gz"), &out, &err), ST_INVALID);
    buf_done(&text);
    buf_done(&out);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimals_are_exact),
        cmocka_unit_test(numbers_keep_their_digits_and_texts_stay_texts),
        cmocka_unit_test(rows_are_as_rfc_4180_says),
        cmocka_unit_test(a_row_that_is_no_csv_is_named),
        cmocka_unit_test(a_row_without_end_is_an_outcome),
        cmocka_unit_test(long_rows_cross_the_window),
        cmocka_unit_test(packing_is_told_by_the_bytes),
        cmocka_unit_test(a_cut_gzip_is_no_end),
        cmocka_unit_test(a_text_in_memory_may_be_one_long_row),
        cmocka_unit_test(the_delimiter_that_parts_evenly_is_guessed),
    };
    folder_place(getenv("TMPDIR"));
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
