/* table_values.c - columns of cells as numbers, times and codes.
 *
 * Most numbers of a file have few digits: an integer below 2^53 over a power of ten up to 10^22 is
 * exact in both parts, so one division rounds once and gives what strtod gives. All others go to
 * strtod, whose answer does not depend on the machine's language: the program never sets one. */
#include "table/table_int.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/when.h"
#include "table/decimal.h"

#define CELL_BYTES_SHOWN 40

/* The beginning of a cell, for a message. */
static struct str shown(struct str cell)
{
    if (cell.n > CELL_BYTES_SHOWN)
        cell.n = CELL_BYTES_SHOWN;
    cell.n = str_utf8(cell);
    return cell;
}

/* --- numbers ---------------------------------------------------------------------------------- */

bool table_cell_is_empty(struct str cell)
{
    static const char *const words[] = {"na", "null", "nan", "-", "n/a"};
    if (cell.n == 0)
        return true;
    for (size_t i = 0; cell.n <= 4 && i < sizeof words / sizeof words[0]; i++)
        if (str_eq_nocase(cell, str_of(words[i])))
            return true;
    return false;
}

static bool is_decimal(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((text.p[i] < '0' || text.p[i] > '9') && strchr("+-.eE", text.p[i]) == NULL)
            return false;
    return text.n > 0;
}

bool table_cell_number(struct str cell, double *ret_value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    static const int64_t exact = INT64_C(1) << 53;
    struct decimal decimal;
    if (table_decimal_parse(cell, &decimal)) {
        int64_t value = (int64_t)decimal.value;
        if (value != 0 && value >= -exact && value <= exact) {
            *ret_value = (double)value / powers[decimal.scale];
            return true;
        }
    }
    if (!is_decimal(cell))
        return false;
    char *end;
    double value = strtod(cell.p, &end);
    if (end != cell.p + cell.n || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

static enum status number_bad(const struct table *table, size_t row, int column, struct str cell,
                              struct err *err)
{
    if (cell.n == 0)
        return table_bad(table, row, column, err, "the cell is empty, a number is needed");
    return table_bad(table, row, column, err, "\"" STR_FMT "\" is no number", STR_ARG(shown(cell)));
}

enum status table_numbers(const struct table *table, int column, enum table_empty empty,
                          double least, double **ret_values, struct err *err)
{
    double *values = mem_alloc((table->rows + 1) * sizeof *values);
    enum status status = ST_OK;
    for (size_t row = 0; row < table->rows && status == ST_OK; row++) {
        struct str cell = str_trim(table_cell(table, row, column));
        if (table_cell_number(cell, &values[row])) {
            if (values[row] < least)
                status = table_bad(table, row, column, err, STR_FMT " is less than %g",
                                   STR_ARG(shown(cell)), least);
        } else if (empty != TABLE_EMPTY_REFUSED && table_cell_is_empty(cell)) {
            values[row] = empty == TABLE_EMPTY_ZERO ? 0 : NAN;
        } else {
            status = number_bad(table, row, column, cell, err);
        }
    }
    if (status != ST_OK) {
        free(values);
        return status;
    }
    *ret_values = values;
    return ST_OK;
}

/* --- times ------------------------------------------------------------------------------------ */

enum status table_times(const struct table *table, int column, int64_t **ret_us, struct err *err)
{
    int64_t *us = mem_alloc((table->rows + 1) * sizeof *us);
    enum status status = ST_OK;
    for (size_t row = 0; row < table->rows && status == ST_OK; row++) {
        struct str cell = table_cell(table, row, column);
        if (!when_parse(cell, 0, &us[row])) {
            status = cell.n == 0
                         ? table_bad(table, row, column, err, "the cell is empty, a time is needed")
                         : table_bad(table, row, column, err, "\"" STR_FMT "\" is no time",
                                     STR_ARG(shown(cell)));
            err_hint(err, status,
                     "Times: 2026-11-24, 20261124, 2026-11-24 10:00:00[+08:00], or Unix seconds, "
                     "milli- or microseconds");
        }
    }
    if (status != ST_OK) {
        free(us);
        return status;
    }
    *ret_us = us;
    return ST_OK;
}

/* --- codes ------------------------------------------------------------------------------------ */

/* Texts to codes by open addressing; texts are compared, so equal hashes do no harm. */
struct codes {
    uint32_t *slots; /* code + 1; 0 = free */
    size_t mask;
    struct str *texts;
    size_t count, capacity;
};

static uint64_t text_hash(struct str text)
{
    uint64_t hash = text.n, word;
    size_t i = 0;
    for (; i + 8 <= text.n; i += 8) {
        memcpy(&word, text.p + i, 8);
        hash = hash_mix(hash ^ word);
    }
    word = 0;
    for (; i < text.n; i++)
        word = word << 8 | (unsigned char)text.p[i];
    return hash_mix(hash ^ word);
}

static void codes_grow(struct codes *codes)
{
    free(codes->slots);
    codes->capacity = codes->capacity == 0 ? 512 : codes->capacity * 2;
    codes->mask = codes->capacity * 2 - 1;
    codes->slots = mem_zero((codes->mask + 1) * sizeof *codes->slots);
    codes->texts = mem_grow(codes->texts, codes->capacity * sizeof *codes->texts);
    for (size_t i = 0; i < codes->count; i++) {
        size_t at = text_hash(codes->texts[i]) & codes->mask;
        while (codes->slots[at] != 0)
            at = (at + 1) & codes->mask;
        codes->slots[at] = (uint32_t)i + 1;
    }
}

static uint32_t code_of(struct codes *codes, struct str text)
{
    if (codes->count == codes->capacity)
        codes_grow(codes);
    size_t at = text_hash(text) & codes->mask;
    for (; codes->slots[at] != 0; at = (at + 1) & codes->mask)
        if (str_eq(codes->texts[codes->slots[at] - 1], text))
            return codes->slots[at] - 1;
    codes->texts[codes->count++] = text;
    codes->slots[at] = (uint32_t)codes->count;
    return (uint32_t)codes->count - 1;
}

enum status table_codes(const struct table *table, int column, uint32_t **ret_codes,
                        struct str **ret_texts, size_t *ret_texts_count, struct err *err)
{
    (void)err; /* every text can be counted: TABLE_CELLS_MAX is below 2^32 */
    _Static_assert(TABLE_CELLS_MAX < UINT32_MAX, "codes are 32 bits");
    struct codes codes = {0};
    uint32_t *row_codes = mem_alloc((table->rows + 1) * sizeof *row_codes);
    codes_grow(&codes);
    for (size_t row = 0; row < table->rows; row++)
        row_codes[row] = code_of(&codes, table_cell(table, row, column));
    free(codes.slots);
    *ret_codes = row_codes;
    *ret_texts = codes.texts;
    *ret_texts_count = codes.count;
    return ST_OK;
}
