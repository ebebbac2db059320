/* csv.c - bytes to rows: RFC 4180, UTF-8 with or without a byte order mark, any line end.
 *
 * A window of bytes holds at least the row in hand. Fields are found first and their doubled quotes
 * undone after the whole row is there, in place: so a row that the window cuts can be looked at
 * again when more bytes have come. Nothing is copied otherwise.
 *
 * A text that is whole in memory is a window that needs no filling; then no row is too long.
 *
 * A quote inside a field that does not start with one is kept as it is (5" TV). A quoted field that
 * goes on after its closing quote, or never ends, is no CSV: the error names line and column. */
#include "table/rows.h"

#include <stdlib.h>

#include "base/arena.h"

#define WINDOW_BYTES (TABLE_ROW_BYTES_MAX + ((size_t)256 << 10))

static const struct str mark = {"\xef\xbb\xbf", 3}; /* the byte order mark in UTF-8 */

void table_csv_init(struct table_csv *csv, table_read_bytes *read, void *ctx, char delimiter)
{
    *csv = (struct table_csv){.read = read,
                              .ctx = ctx,
                              .delimiter = delimiter,
                              .window = mem_alloc(WINDOW_BYTES + 1),
                              .capacity = WINDOW_BYTES,
                              .line_next = 1,
                              .fields = mem_alloc(TABLE_COLUMNS_MAX * sizeof(struct str)),
                              .escaped = mem_alloc(TABLE_COLUMNS_MAX)};
}

void table_csv_init_bytes(struct table_csv *csv, char *bytes, size_t n, char delimiter)
{
    *csv = (struct table_csv){.delimiter = delimiter,
                              .window = bytes,
                              .from = str_starts((struct str){bytes, n}, mark) ? mark.n : 0,
                              .end = n,
                              .at_end = true,
                              .line_next = 1,
                              .fields = mem_alloc(TABLE_COLUMNS_MAX * sizeof(struct str)),
                              .escaped = mem_alloc(TABLE_COLUMNS_MAX)};
}

void table_csv_done(struct table_csv *csv)
{
    if (csv->read != NULL)
        free(csv->window);
    free(csv->fields);
    free(csv->escaped);
}

static enum status window_fill(struct table_csv *csv, struct err *err)
{
    bool first = csv->end == 0 && csv->line_next == 1;
    if (csv->from > 0) {
        memmove(csv->window, csv->window + csv->from, csv->end - csv->from);
        csv->end -= csv->from;
        csv->from = 0;
    }
    while (!csv->at_end && csv->end < csv->capacity) {
        size_t n = 0;
        enum status status =
            csv->read(csv->ctx, csv->window + csv->end, csv->capacity - csv->end, &n, err);
        if (status != ST_OK)
            return status;
        csv->at_end = n == 0;
        csv->end += n;
    }
    if (first && str_starts((struct str){csv->window, csv->end}, mark))
        csv->from = mark.n;
    return ST_OK;
}

enum scan { SCAN_ROW, SCAN_MORE, SCAN_BAD };

/* The field at *at, which is moved behind it. Doubled quotes stay until the row is whole. */
static enum scan scan_quoted(const struct table_csv *csv, const char **at, struct str *ret,
                             bool *escaped, uint64_t *lines)
{
    const char *end = csv->window + csv->end, *from = *at + 1, *p = from;
    for (;;) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (quote == NULL)
            return csv->at_end ? SCAN_BAD : SCAN_MORE;
        for (const char *n = p; (n = memchr(n, '\n', (size_t)(quote - n))) != NULL; n++)
            ++*lines;
        if (quote + 1 == end && !csv->at_end)
            return SCAN_MORE;
        if (quote + 1 < end && quote[1] == '"') {
            *escaped = true;
            p = quote + 2;
            continue;
        }
        *ret = (struct str){from, (size_t)(quote - from)};
        *at = quote + 1;
        return SCAN_ROW;
    }
}

static enum scan scan_plain(const struct table_csv *csv, const char **at, struct str *ret)
{
    const char *end = csv->window + csv->end, *p = *at;
    const char delimiter = csv->delimiter;
    while (p < end && *p != delimiter && *p != '\n' && *p != '\r')
        p++;
    if (p == end && !csv->at_end)
        return SCAN_MORE;
    *ret = (struct str){*at, (size_t)(p - *at)};
    *at = p;
    return SCAN_ROW;
}

/* The bytes of a line end at `p`: 0 when there is none; *ret_more when it may still come. */
static size_t line_end(const struct table_csv *csv, const char *p, bool *ret_more)
{
    const char *end = csv->window + csv->end;
    if (*p == '\n')
        return 1;
    if (*p != '\r')
        return 0;
    *ret_more = p + 1 == end && !csv->at_end;
    return p + 1 < end && p[1] == '\n' ? 2 : 1;
}

static void unescape(struct str *field)
{
    char *to = (char *)(uintptr_t)field->p;
    size_t n = 0;
    for (size_t i = 0; i < field->n; i++) {
        to[n++] = field->p[i];
        if (field->p[i] == '"')
            i++;
    }
    field->n = n;
}

/* One row from csv->from; csv->from is moved behind it only when it is whole. */
static enum scan scan_row(struct table_csv *csv)
{
    const char *p = csv->window + csv->from, *end = csv->window + csv->end;
    uint64_t lines = 0;
    bool more = false;
    csv->count = 0;
    for (;;) {
        if (csv->count == TABLE_COLUMNS_MAX)
            return SCAN_BAD;
        struct str *field = &csv->fields[csv->count];
        csv->escaped[csv->count] = false;
        enum scan scan = p < end && *p == '"'
                             ? scan_quoted(csv, &p, field, &csv->escaped[csv->count], &lines)
                             : scan_plain(csv, &p, field);
        if (scan != SCAN_ROW)
            return scan;
        csv->count++;
        if (p == end)
            break;
        if (*p == csv->delimiter) {
            p++;
            continue;
        }
        size_t n = line_end(csv, p, &more);
        if (more)
            return SCAN_MORE;
        if (n == 0) {
            csv->count--; /* it is this field that is bad */
            return SCAN_BAD;
        }
        p += n;
        lines++;
        break;
    }
    for (size_t i = 0; i < csv->count; i++)
        if (csv->escaped[i])
            unescape(&csv->fields[i]);
    csv->line = csv->line_next;
    csv->line_next += lines;
    csv->from = (size_t)(p - csv->window);
    return SCAN_ROW;
}

static enum status row_bad(const struct table_csv *csv, struct err *err)
{
    if (csv->count == TABLE_COLUMNS_MAX)
        return err_set(err, ST_INVALID, "line %llu has more than %d columns",
                       (unsigned long long)csv->line_next, TABLE_COLUMNS_MAX);
    return err_set(err, ST_INVALID,
                   "line %llu, column %zu is no CSV: a quoted field must end with "
                   "a quote and then a delimiter",
                   (unsigned long long)csv->line_next, csv->count + 1);
}

enum status table_csv_next(struct table_csv *csv, bool *ret_any, struct err *err)
{
    for (;;) {
        size_t start = csv->from;
        enum scan scan = start < csv->end ? scan_row(csv) : SCAN_MORE;
        if (scan == SCAN_BAD)
            return row_bad(csv, err);
        if (scan == SCAN_ROW) {
            bool empty_line = csv->count == 1 && csv->fields[0].p == csv->window + start &&
                              csv->fields[0].n == 0; /* a quoted one would begin a byte later */
            if (empty_line)
                continue;
            *ret_any = true;
            return ST_OK;
        }
        if (csv->at_end) {
            *ret_any = false; /* only when no byte is left: a row at the end is whole */
            return ST_OK;
        }
        if (csv->end - csv->from >= TABLE_ROW_BYTES_MAX)
            return err_set(err, ST_INVALID, "line %llu is longer than %zu bytes: is a quote open?",
                           (unsigned long long)csv->line_next, TABLE_ROW_BYTES_MAX);
        enum status status = window_fill(csv, err);
        if (status != ST_OK)
            return status;
    }
}

/* --- which delimiter? ------------------------------------------------------------------------- */

#define GUESS_LINES 20

/* How often `delimiter` stands outside of quotes in the line at *at, which is moved behind it. */
static size_t line_count(const char **at, const char *end, char delimiter)
{
    size_t count = 0;
    bool quoted = false, starts = true; /* a quote counts where a field starts */
    const char *p = *at;
    for (; p < end && (quoted || (*p != '\n' && *p != '\r')); p++) {
        if (*p == '"' && (quoted || starts))
            quoted = !quoted;
        starts = !quoted && *p == delimiter;
        count += starts;
    }
    while (p < end && (*p == '\n' || *p == '\r'))
        p++;
    *at = p;
    return count;
}

char table_csv_guess(struct str text)
{
    static const char delimiters[] = ",;\t|";
    const char *end = text.p + text.n;
    char best = ',';
    size_t best_even = 0, best_count = 0;
    for (size_t i = 0; delimiters[i] != '\0'; i++) {
        const char *at = text.p;
        size_t count = line_count(&at, end, delimiters[i]), even = 1;
        for (int line = 1; line < GUESS_LINES && at < end; line++)
            even += line_count(&at, end, delimiters[i]) == count;
        if (count > 0 && (even > best_even || (even == best_even && count > best_count)))
            best = delimiters[i], best_even = even, best_count = count;
    }
    return best;
}
