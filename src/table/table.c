/* table.c - a whole file into rows of cells.
 *
 * The bytes are kept as they are and cells point into them: a cell costs 16 bytes and no copy. What
 * cannot be right is found here, once for all reports: an empty file, another encoding, a workbook,
 * a row that is shorter or longer than the head. Nothing is repaired in silence.
 *
 * Invariants: a byte that is part of no number stands behind every cell (a delimiter, a quote, a
 * line end or the terminator), so numbers are read in place; all cells are UTF-8. */
#include "table/table_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "table/rows.h"

#define FIRST_BYTES ((size_t)256 << 10)
#define NAME_BYTES_MAX 80 /* of a file or a column in a message */

/* The last part of a path: messages are short, paths are not. */
static struct str file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str name = str_of(slash == NULL ? path : slash + 1);
    if (name.n > NAME_BYTES_MAX)
        name = (struct str){name.p + name.n - NAME_BYTES_MAX, NAME_BYTES_MAX};
    return name;
}

/* The message that is in `err`, with the file's name before it. */
static enum status in_file(const char *path, struct err *err)
{
    struct err reason = *err;
    return err_set(err, reason.status, "could not read \"" STR_FMT "\": %s",
                   STR_ARG(file_name(path)), reason.message);
}

/* --- bytes ------------------------------------------------------------------------------------ */

static enum status bytes_read(struct table_input *input, char **ret_bytes, size_t *ret_n,
                              struct err *err)
{
    uint64_t read, total;
    table_input_bytes(input, &read, &total);
    size_t capacity = (total < TABLE_BYTES_MAX ? (size_t)total : 0) + FIRST_BYTES, n = 0, got = 1;
    char *bytes = mem_alloc(capacity + 1);
    enum status status = ST_OK;
    while (got > 0) {
        if (n == capacity) {
            capacity *= 2;
            bytes = mem_grow(bytes, capacity + 1);
        }
        status = table_input_read(input, bytes + n, capacity - n, &got, err);
        if (status != ST_OK)
            break;
        n += got;
        if (n > TABLE_BYTES_MAX) {
            status = err_set(err, ST_TOO_LARGE, "it has more than %zu bytes", TABLE_BYTES_MAX);
            break;
        }
    }
    if (status != ST_OK) {
        free(bytes);
        return status;
    }
    bytes[n] = '\0';
    *ret_bytes = bytes;
    *ret_n = n;
    return ST_OK;
}

static uint64_t line_of(struct str text, size_t at)
{
    uint64_t line = 1;
    for (size_t i = 0; i < at; i++)
        line += text.p[i] == '\n';
    return line;
}

/* What is no table of text, by its bytes. */
static enum status bytes_check(struct str text, struct err *err)
{
    if (str_starts(text, STR("PK\x03\x04")) || str_starts(text, STR("\xd0\xcf\x11\xe0")))
        return err_set(err, ST_INVALID, "it is a workbook or an archive: save it as CSV");
    if (str_starts(text, STR("\xff\xfe")) || str_starts(text, STR("\xfe\xff")))
        return err_set(err, ST_INVALID, "it is UTF-16: save it as UTF-8");
    const char *zero = memchr(text.p, '\0', text.n);
    if (zero != NULL)
        return err_set(err, ST_INVALID, "line %llu has a zero byte: it is no text",
                       (unsigned long long)line_of(text, (size_t)(zero - text.p)));
    size_t good = str_utf8(text);
    if (good == text.n)
        return ST_OK;
    err_set(err, ST_INVALID, "line %llu is no UTF-8", (unsigned long long)line_of(text, good));
    return err_hint(err, ST_INVALID, "If it is GBK: iconv -f GBK -t UTF-8 FILE > NEW_FILE");
}

/* --- rows ------------------------------------------------------------------------------------- */

struct filling {
    struct table *table;
    size_t cells_capacity, lines_capacity;
};

static enum status row_add(struct filling *filling, const struct table_csv *csv, struct err *err)
{
    struct table *table = filling->table;
    bool head = table->columns == 0;
    if (head)
        table->columns = csv->count;
    if (csv->count != table->columns)
        return err_set(err, ST_INVALID, "line %llu has %zu cells, the head has %zu",
                       (unsigned long long)csv->line, csv->count, table->columns);
    size_t row = head ? 0 : table->rows + 1, used = row * table->columns;
    if (used + table->columns > TABLE_CELLS_MAX)
        return err_set(err, ST_TOO_LARGE, "line %llu is past the %zu cells that a report may read",
                       (unsigned long long)csv->line, TABLE_CELLS_MAX);
    if (used + table->columns > filling->cells_capacity) {
        filling->cells_capacity = (used + table->columns) * 2 + 1024;
        table->cells = mem_grow(table->cells, filling->cells_capacity * sizeof *table->cells);
    }
    if (row == filling->lines_capacity) {
        filling->lines_capacity = row * 2 + 256;
        table->lines = mem_grow(table->lines, filling->lines_capacity * sizeof *table->lines);
    }
    memcpy(table->cells + used, csv->fields, table->columns * sizeof *table->cells);
    table->lines[row] = csv->line;
    table->rows = row;
    return ST_OK;
}

static enum status text_read(struct table *table, size_t n, struct err *err)
{
    struct str text = {table->bytes, n};
    struct table_csv csv;
    struct filling filling = {.table = table};
    enum status status = bytes_check(text, err);
    if (status != ST_OK)
        return status;
    if (table->delimiter == 0)
        table->delimiter = table_csv_guess(text);
    table_csv_init_bytes(&csv, table->bytes, n, table->delimiter);
    bool any = true;
    while (status == ST_OK && any) {
        status = table_csv_next(&csv, &any, err);
        if (status == ST_OK && any)
            status = row_add(&filling, &csv, err);
    }
    table_csv_done(&csv);
    if (status == ST_OK && table->columns == 0)
        status = err_set(err, ST_INVALID, "it is empty");
    return status;
}

static enum status parquet_read(struct table *table, const char *path, struct err *err)
{
    enum status status =
        warehouse_parquet_read(path, TABLE_CELLS_MAX, TABLE_BYTES_MAX, &table->parquet, err);
    if (status != ST_OK)
        return status;
    table->delimiter = 0;
    table->columns = table->parquet.columns;
    table->rows = table->parquet.rows;
    table->cells = table->parquet.cells;
    return ST_OK;
}

/* --- columns ---------------------------------------------------------------------------------- */

static char plain(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool ignored(char c)
{
    return c == '_' || c == ' ' || c == '\t';
}

/* Case, blanks and _ ignored. */
static bool names_alike(struct str a, struct str b)
{
    size_t i = 0, k = 0;
    for (;;) {
        while (i < a.n && ignored(a.p[i]))
            i++;
        while (k < b.n && ignored(b.p[k]))
            k++;
        if (i == a.n || k == b.n)
            return i == a.n && k == b.n;
        if (plain(a.p[i++]) != plain(b.p[k++]))
            return false;
    }
}

/* As it is written, else alike; -1 when there is none. */
static int column_named(const struct table *table, struct str name)
{
    for (size_t i = 0; i < table->columns; i++)
        if (str_eq(table->cells[i], name))
            return (int)i;
    for (size_t i = 0; i < table->columns; i++)
        if (names_alike(table->cells[i], name))
            return (int)i;
    return -1;
}

/* The text before `end`, which *rest loses with it; all of it when there is no such character. */
static struct str part_take(struct str *rest, char end)
{
    const char *at = rest->n == 0 ? NULL : memchr(rest->p, end, rest->n);
    struct str part = {rest->p, at == NULL ? rest->n : (size_t)(at - rest->p)};
    size_t used = part.n + (at != NULL);
    *rest = (struct str){rest->p + used, rest->n - used};
    return part;
}

static enum status column_missing(const struct table *table, struct str what, struct err *err)
{
    struct buf names;
    buf_init(&names, (size_t)1 << 20);
    for (size_t i = 0; i < table->columns && names.n < 120; i++) {
        buf_text(&names, i == 0 ? "" : ", ");
        buf_put(&names, table->cells[i].p, table->cells[i].n > 40 ? 40 : table->cells[i].n);
        if (i + 1 < table->columns && names.n >= 120)
            buf_text(&names, ", …");
    }
    names.n = str_utf8(buf_view(&names)); /* a long name may have been cut inside a character */
    err_set(err, ST_INVALID, "the file has no column for " STR_FMT "; it has: " STR_FMT,
            STR_ARG(what), STR_ARG(buf_view(&names)));
    buf_done(&names);
    return ST_INVALID;
}

static enum status roles_take(struct table *table, const char *text, struct err *err)
{
    table->columns_text = strdup(text);
    CHECK(table->columns_text != NULL);
    struct str rest = str_of(table->columns_text);
    while (rest.n > 0) {
        struct str name = part_take(&rest, ',');
        struct str role = str_trim(part_take(&name, '='));
        name = str_trim(name);
        if (role.n == 0 || name.n == 0 || table->roles_count == TABLE_ROLES_MAX)
            return err_set(err, ST_INVALID, "the columns must be given as role=NAME,role=NAME");
        int column = column_named(table, name);
        if (column < 0) {
            struct str shown = {name.p, name.n > NAME_BYTES_MAX ? NAME_BYTES_MAX : name.n};
            return column_missing(table, shown, err);
        }
        table->roles[table->roles_count++] = (struct table_role){role, column};
    }
    return ST_OK;
}

enum status table_find(const struct table *table, const char *role, const char *usual, bool must,
                       int *ret_column, struct err *err)
{
    int column = -1;
    struct str rest = str_of(usual);
    if (table->asked->count < TABLE_ROLES_MAX)
        table->asked->roles[table->asked->count++] = role;
    for (size_t i = 0; i < table->roles_count && column < 0; i++)
        if (names_alike(table->roles[i].role, str_of(role)))
            column = table->roles[i].column;
    while (column < 0 && rest.n > 0)
        column = column_named(table, part_take(&rest, '|'));
    if (column < 0 && must) {
        column_missing(table, str_of(role), err);
        return err_hint(err, ST_INVALID, "Say which it is: --columns %s=NAME", role);
    }
    *ret_column = column;
    return ST_OK;
}

enum status table_roles_check(const struct table *table, struct err *err)
{
    const struct table_asked *asked = table->asked;
    for (size_t i = 0; i < table->roles_count; i++) {
        struct str role = table->roles[i].role;
        size_t k = 0;
        while (k < asked->count && !names_alike(role, str_of(asked->roles[k])))
            k++;
        if (k < asked->count)
            continue;
        struct buf names;
        buf_init(&names, (size_t)1 << 12);
        for (k = 0; k < asked->count; k++)
            buf_fmt(&names, k == 0 ? "%s" : ", %s", asked->roles[k]);
        err_set(err, ST_INVALID, "--columns gives " STR_FMT ", this report has only: %s",
                STR_ARG(role), names.n == 0 ? "none" : names.p);
        buf_done(&names);
        return ST_INVALID;
    }
    return ST_OK;
}

/* --- open and close --------------------------------------------------------------------------- */

/* A delimiter that could be a part of a number would break what is said at the top. */
static bool delimiter_possible(char c)
{
    return c == '\0' || c == '\t' ||
           (c >= ' ' && c <= '~' && strchr("\"'+-._", c) == NULL &&
            !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')));
}

static enum status content_read(struct table *table, const char *path, struct err *err)
{
    struct table_input *input;
    size_t n = 0;
    enum status status = table_input_open(path, &input, err);
    if (status != ST_OK)
        return status;
    status = bytes_read(input, &table->bytes, &n, err);
    table_input_close(input);
    if (status != ST_OK)
        return in_file(path, err);
    if (str_starts((struct str){table->bytes, n}, STR("PAR1")))
        return parquet_read(table, path, err);
    status = text_read(table, n, err);
    return status == ST_OK ? ST_OK : in_file(path, err);
}

enum status table_read(const struct table_options *options, struct table **ret_table,
                       struct err *err)
{
    if (!delimiter_possible(options->delimiter))
        return err_set(err, ST_INVALID, "could not read \"" STR_FMT "\": '%c' parts no cells",
                       STR_ARG(file_name(options->path)), options->delimiter);
    struct table *table = mem_zero(sizeof *table);
    table->delimiter = options->delimiter;
    table->asked = mem_zero(sizeof *table->asked);
    enum status status = content_read(table, options->path, err);
    if (status == ST_OK && options->columns != NULL) {
        status = roles_take(table, options->columns, err);
        if (status != ST_OK)
            status = in_file(options->path, err);
    }
    if (status != ST_OK) {
        table_free(table);
        return status;
    }
    *ret_table = table;
    return ST_OK;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    if (table->cells != table->parquet.cells)
        free(table->cells);
    warehouse_parquet_done(&table->parquet);
    free(table->lines);
    free(table->bytes);
    free(table->columns_text);
    free(table->asked);
    free(table);
}

/* --- what is in it ---------------------------------------------------------------------------- */

size_t table_rows(const struct table *table)
{
    return table->rows;
}

size_t table_columns(const struct table *table)
{
    return table->columns;
}

struct str table_name(const struct table *table, int column)
{
    CHECK(column >= 0 && (size_t)column < table->columns);
    return table->cells[column];
}

struct str table_cell(const struct table *table, size_t row, int column)
{
    return table->cells[(row + 1) * table->columns + (size_t)column];
}

uint64_t table_line(const struct table *table, size_t row)
{
    return table->lines == NULL ? row + 2 : table->lines[row + 1];
}

enum status table_bad(const struct table *table, size_t row, int column, struct err *err,
                      const char *format, ...)
{
    char words[160];
    struct str name = table_name(table, column);
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    if (name.n > NAME_BYTES_MAX)
        name.n = NAME_BYTES_MAX;
    name.n = str_utf8(name);
    return err_set(err, ST_INVALID, "line %llu, column " STR_FMT ": %s",
                   (unsigned long long)table_line(table, row), STR_ARG(name), words);
}
