/* csv.c - bytes to rows: RFC 4180, UTF-8 with or without a byte order mark, any line end.
 *
 * A window of bytes holds at least the row in hand. Fields are found first and their doubled quotes
 * undone after the whole row is there, in place: so a row that the window cuts can be looked at
 * again when more bytes have come. Nothing is copied otherwise.
 *
 * A quote inside a field that does not start with one is kept as it is (5" TV). A quoted field that
 * goes on after its closing quote, or never ends, is no CSV: the error names line and column. */
#include "import/import_int.h"

#include <stdlib.h>

#include "base/arena.h"

#define WINDOW_BYTES (IMPORT_ROW_MAX + ((size_t)256 << 10))

void import_csv_init(struct csv *csv, import_read *read, void *ctx, char delimiter)
{
    *csv = (struct csv){.read = read,
                        .ctx = ctx,
                        .delimiter = delimiter,
                        .window = mem_alloc(WINDOW_BYTES + 1),
                        .capacity = WINDOW_BYTES,
                        .line_next = 1,
                        .fields = mem_alloc(IMPORT_COLUMNS_MAX * sizeof(struct str))};
}

void import_csv_done(struct csv *csv)
{
    free(csv->window);
    free(csv->fields);
}

static enum status window_fill(struct csv *csv, struct err *err)
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
    if (first && csv->end >= 3 && memcmp(csv->window, "\xef\xbb\xbf", 3) == 0)
        csv->from = 3;
    return ST_OK;
}

enum scan { SCAN_ROW, SCAN_MORE, SCAN_BAD };

/* The field at *at, which is moved behind it. Doubled quotes stay until the row is whole. */
static enum scan scan_quoted(const struct csv *csv, const char **at, struct str *ret, bool *escaped,
                             uint64_t *lines)
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

static enum scan scan_plain(const struct csv *csv, const char **at, struct str *ret)
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
static size_t line_end(const struct csv *csv, const char *p, bool *ret_more)
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
static enum scan scan_row(struct csv *csv)
{
    const char *p = csv->window + csv->from, *end = csv->window + csv->end;
    bool escaped[IMPORT_COLUMNS_MAX];
    uint64_t lines = 0;
    bool more = false;
    csv->count = 0;
    for (;;) {
        if (csv->count == IMPORT_COLUMNS_MAX)
            return SCAN_BAD;
        struct str *field = &csv->fields[csv->count];
        escaped[csv->count] = false;
        enum scan scan = p < end && *p == '"'
                             ? scan_quoted(csv, &p, field, &escaped[csv->count], &lines)
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
        if (escaped[i])
            unescape(&csv->fields[i]);
    csv->line = csv->line_next;
    csv->line_next += lines;
    csv->from = (size_t)(p - csv->window);
    return SCAN_ROW;
}

static enum status row_bad(const struct csv *csv, struct err *err)
{
    if (csv->count == IMPORT_COLUMNS_MAX)
        return err_set(err, ST_INVALID, "line %llu has more than %d columns",
                       (unsigned long long)csv->line_next, IMPORT_COLUMNS_MAX);
    return err_set(err, ST_INVALID,
                   "line %llu, column %zu is no CSV: a quoted field must end with "
                   "a quote and then a delimiter",
                   (unsigned long long)csv->line_next, csv->count + 1);
}

enum status import_csv_next(struct csv *csv, bool *ret_any, struct err *err)
{
    for (;;) {
        enum scan scan = csv->from < csv->end ? scan_row(csv) : SCAN_MORE;
        if (scan == SCAN_BAD)
            return row_bad(csv, err);
        if (scan == SCAN_ROW) {
            if (csv->count == 1 && csv->fields[0].n == 0)
                continue;
            *ret_any = true;
            return ST_OK;
        }
        if (csv->at_end) {
            *ret_any = false; /* only when no byte is left: a row at the end is whole */
            return ST_OK;
        }
        if (csv->end - csv->from >= IMPORT_ROW_MAX)
            return err_set(err, ST_INVALID, "line %llu is longer than %zu bytes: is a quote open?",
                           (unsigned long long)csv->line_next, IMPORT_ROW_MAX);
        enum status status = window_fill(csv, err);
        if (status != ST_OK)
            return status;
    }
}
