/* attribution_file.c - a file of paths as numbers.
 *
 * Channels become numbers in order of first appearance. Names are found by a 128-bit hash; most
 * touches repeat one of a few names, so a small table of recent names, compared by their bytes,
 * answers first. What a row loses on the way (an empty touch, a value without a conversion) is
 * counted, and the report says it. */
#include "analytics/attribution_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analytics/attribution_report.h"
#include "base/map.h"
#include "base/when.h"

#define RECENT 1024 /* a power of two */

/* --- names ------------------------------------------------------------------------------------ */

struct attribution_names {
    struct map map;
    struct str *texts;
    uint32_t count, capacity;
    uint32_t recent[RECENT]; /* channel + 1 */
};

static size_t recent_of(struct str name)
{
    uint64_t head = 0, tail = 0;
    size_t n = name.n < 8 ? name.n : 8;
    memcpy(&head, name.p, n);
    memcpy(&tail, name.p + name.n - n, n);
    return (size_t)(hash_mix(head ^ (tail << 1) ^ ((uint64_t)name.n << 56)) & (RECENT - 1));
}

/* The number of a name that is not empty; a new one is copied into the arena. */
static uint32_t intern(struct attribution_names *names, struct arena *arena, struct str name)
{
    uint32_t *recent = &names->recent[recent_of(name)];
    if (*recent != 0 && str_eq(names->texts[*recent - 1], name))
        return *recent - 1;
    bool fresh;
    uint64_t *place = map_put(&names->map, hash_public(name), &fresh);
    if (fresh) {
        if (names->count == names->capacity) {
            names->capacity = names->capacity == 0 ? 64 : names->capacity * 2;
            names->texts = mem_grow(names->texts, names->capacity * sizeof *names->texts);
        }
        *place = names->count;
        names->texts[names->count++] = arena_copy(arena, name);
    }
    *recent = (uint32_t)*place + 1;
    return (uint32_t)*place;
}

struct str attribution_name(const struct attribution_names *names, uint32_t channel)
{
    return names->texts[channel];
}

bool attribution_name_find(const struct attribution_names *names, struct str name,
                           uint32_t *ret_channel)
{
    uint64_t *place = map_find(&names->map, hash_public(name));
    if (place != NULL)
        *ret_channel = (uint32_t)*place;
    return place != NULL;
}

/* --- touches of a text ------------------------------------------------------------------------ */

static size_t find(struct str text, struct str part)
{
    const char *at =
        part.n == 1 ? memchr(text.p, part.p[0], text.n) : memmem(text.p, text.n, part.p, part.n);
    return at == NULL ? text.n : (size_t)(at - text.p);
}

/* The text in quotes that begins at text.p[0]; *ret_used counts both quotes. */
static bool unquote(struct str text, struct arena *arena, struct str *ret_touch, size_t *ret_used)
{
    size_t end = 1, n = 0;
    while (end < text.n && (text.p[end] != '"' || (end + 1 < text.n && text.p[end + 1] == '"')))
        end += text.p[end] == '"' ? 2 : 1;
    if (end >= text.n)
        return false;
    char *copy = arena_alloc(arena, end);
    for (size_t i = 1; i < end; i++) {
        copy[n++] = text.p[i];
        i += text.p[i] == '"';
    }
    *ret_touch = str_trim((struct str){copy, n});
    *ret_used = end + 1;
    return true;
}

enum attribution_touch attribution_touch_next(struct str *rest, struct str separator,
                                              struct arena *arena, struct str *ret_touch)
{
    struct str touch, text = *rest;
    size_t blanks = 0, used = 0;
    if (text.p == NULL)
        return ATTRIBUTION_TOUCH_END;
    while (blanks < text.n && (text.p[blanks] == ' ' || text.p[blanks] == '\t'))
        blanks++;
    struct str begun = {text.p + blanks, text.n - blanks};
    bool quoted = begun.n > 0 && begun.p[0] == '"';
    if (quoted && !unquote(begun, arena, &touch, &used))
        return ATTRIBUTION_TOUCH_BAD;
    struct str tail = quoted ? (struct str){begun.p + used, begun.n - used} : text;
    size_t end = find(tail, separator);
    if (quoted && str_trim((struct str){tail.p, end}).n > 0)
        return ATTRIBUTION_TOUCH_BAD;
    *ret_touch = quoted ? touch : str_trim((struct str){tail.p, end});
    *rest = end == tail.n ? (struct str){NULL, 0}
                          : (struct str){tail.p + end + separator.n, tail.n - end - separator.n};
    return ATTRIBUTION_TOUCH;
}

/* --- the file's rows -------------------------------------------------------------------------- */

struct reader {
    const struct table *table;
    struct attribution_file *file;
    struct arena scratch;
    struct str separator;
    int path, conversions, value, nulls, times, conversion_time, new_customers;
    double *conversions_of, *values_of, *nulls_of, *new_of; /* per row, as read */
    int64_t *converted_us;
    uint32_t *touches;
    int64_t *ages_us;
    uint64_t *starts;
    size_t count, capacity;
};

static enum status columns_find(struct reader *reader, struct err *err)
{
    const struct {
        const char *role, *usual;
        bool must;
        int *column;
    } roles[] = {
        {"path", "path|paths|channel_path|journey|touches|touchpoints", true, &reader->path},
        {"conversions", "total_conversions|conversions|total_conversion|conversion|conv", true,
         &reader->conversions},
        {"value", "total_conversion_value|conversion_value|total_value|value|revenue", false,
         &reader->value},
        {"nulls", "total_null|total_nulls|null|nulls|non_conversions", false, &reader->nulls},
        {"times", "touch_times|exposure_times|times", false, &reader->times},
        {"conversion_time", "conversion_time|converted_at", false, &reader->conversion_time},
        {"new_customers", "new_customers|total_new_customers", false, &reader->new_customers},
    };
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        enum status status = table_find(reader->table, roles[i].role, roles[i].usual, roles[i].must,
                                        roles[i].column, err);
        if (status != ST_OK)
            return status;
    }
    return table_roles_check(reader->table, err);
}

static enum status numbers_read(struct reader *reader, bool with_times, struct err *err)
{
    const struct table *table = reader->table;
    enum status status = table_numbers(table, reader->conversions, TABLE_EMPTY_REFUSED, 0,
                                       &reader->conversions_of, err);
    if (status == ST_OK && reader->value >= 0)
        status = table_numbers(table, reader->value, TABLE_EMPTY_NAN, 0, &reader->values_of, err);
    if (status == ST_OK && reader->nulls >= 0)
        status =
            table_numbers(table, reader->nulls, TABLE_EMPTY_REFUSED, 0, &reader->nulls_of, err);
    if (status == ST_OK && reader->new_customers >= 0)
        status =
            table_numbers(table, reader->new_customers, TABLE_EMPTY_ZERO, 0, &reader->new_of, err);
    if (status == ST_OK && with_times && reader->conversion_time >= 0)
        status = table_times(table, reader->conversion_time, &reader->converted_us, err);
    return status;
}

/* Times apart by the separator, one per touch of the path that was just read: into ages. */
static enum status row_times(struct reader *reader, size_t row, size_t from, struct err *err)
{
    struct str rest = table_cell(reader->table, row, reader->times), text;
    int64_t latest = INT64_MIN, us;
    size_t at = from;
    if (reader->count == from)
        return ST_OK;
    while (attribution_touch_next(&rest, reader->separator, &reader->scratch, &text) ==
           ATTRIBUTION_TOUCH) {
        if (!when_parse(text, 0, &us))
            return table_bad(reader->table, row, reader->times, err, "touch %zu has no time",
                             at - from + 1);
        if (at < reader->count)
            reader->ages_us[at] = us;
        latest = us > latest ? us : latest;
        at++;
    }
    if (at != reader->count)
        return table_bad(reader->table, row, reader->times, err, "%zu times for %zu touches",
                         at - from, reader->count - from);
    int64_t converted = reader->converted_us != NULL ? reader->converted_us[row] : latest;
    if (latest > converted)
        return table_bad(reader->table, row, reader->times, err, "a touch after the conversion");
    for (size_t i = from; i < reader->count; i++)
        reader->ages_us[i] = converted - reader->ages_us[i];
    return ST_OK;
}

static void touch_add(struct reader *reader, struct str touch)
{
    if (reader->count == reader->capacity) {
        reader->capacity = reader->capacity == 0 ? 4096 : reader->capacity * 2;
        reader->touches = mem_grow(reader->touches, reader->capacity * sizeof *reader->touches);
        if (reader->ages_us != NULL)
            reader->ages_us = mem_grow(reader->ages_us, reader->capacity * sizeof *reader->ages_us);
    }
    reader->touches[reader->count++] = intern(reader->file->names, &reader->file->arena, touch);
}

static enum status row_touches(struct reader *reader, size_t row, struct err *err)
{
    struct str rest = table_cell(reader->table, row, reader->path), touch;
    size_t from = reader->count, empty = 0;
    enum attribution_touch found;
    arena_reset(&reader->scratch);
    while ((found = attribution_touch_next(&rest, reader->separator, &reader->scratch, &touch)) ==
           ATTRIBUTION_TOUCH) {
        if (touch.n == 0)
            empty++;
        else
            touch_add(reader, touch);
    }
    if (found == ATTRIBUTION_TOUCH_BAD) {
        table_bad(reader->table, row, reader->path, err,
                  "a touch begins with a quote and does not end with one");
        return err_hint(err, ST_INVALID,
                        "a channel in quotes: a > \"b > c\" > d; a quote in it is "
                        "doubled");
    }
    if (empty > 0 && reader->count > from)
        reader->file->empty_touch_rows++;
    return reader->ages_us == NULL ? ST_OK : row_times(reader, row, from, err);
}

/* What the row's numbers lose: said in the report. */
static void row_check(struct reader *reader, size_t row)
{
    struct attribution_file *file = reader->file;
    double conversions = reader->conversions_of[row];
    if (reader->starts[row] == reader->starts[row + 1]) {
        file->no_touch_rows++;
        file->no_touch_conversions += conversions;
        return;
    }
    if (conversions + (reader->nulls_of != NULL ? reader->nulls_of[row] : 0) <= 0)
        file->no_journey_rows++;
    if (reader->values_of == NULL)
        return;
    if (isnan(reader->values_of[row])) {
        file->no_value_rows += conversions > 0;
        reader->values_of[row] = 0;
    }
    if (conversions <= 0 && reader->values_of[row] > 0)
        file->lost_value_rows++;
}

static enum status rows_read(struct reader *reader, struct err *err)
{
    size_t rows = table_rows(reader->table);
    reader->starts = mem_zero((rows + 1) * sizeof *reader->starts);
    for (size_t row = 0; row < rows; row++) {
        enum status status = row_touches(reader, row, err);
        if (status != ST_OK)
            return status;
        reader->starts[row + 1] = reader->count;
        row_check(reader, row);
        if (reader->values_of != NULL && isnan(reader->values_of[row]))
            reader->values_of[row] = 0;
    }
    if (reader->count == 0)
        return err_set(err, ST_INVALID, "could not attribute: no row has a path");
    return ST_OK;
}

static void give(struct reader *reader, struct attribution_file *file)
{
    file->paths = (struct attribution_paths){
        .touches = reader->touches,
        .starts = reader->starts,
        .ages_us = reader->ages_us,
        .conversions = reader->conversions_of,
        .values = reader->values_of,
        .nulls = reader->nulls_of,
        .paths_count = reader->starts == NULL ? 0 : table_rows(reader->table),
        .channels_count = file->names->count,
    };
    file->new_customers = reader->new_of;
}

static enum status table_to_paths(const struct attribution_report_options *options,
                                  const struct table *table, struct attribution_file *file,
                                  struct err *err)
{
    struct reader reader = {.table = table, .file = file};
    struct str separator = str_of(options->separator);
    if (str_trim(separator).n > 0)
        separator = str_trim(separator);
    reader.separator = separator;
    arena_init(&reader.scratch);
    enum status status = columns_find(&reader, err);
    bool with_times = status == ST_OK && options->rules.half_life_us > 0 && reader.times >= 0;
    if (status == ST_OK)
        status = numbers_read(&reader, with_times, err);
    if (with_times)
        reader.ages_us = mem_alloc(sizeof *reader.ages_us);
    if (status == ST_OK)
        status = rows_read(&reader, err);
    give(&reader, file);
    free(reader.converted_us);
    arena_done(&reader.scratch);
    return status;
}

enum status attribution_file_read(const struct attribution_report_options *options,
                                  struct attribution_file *ret_file, struct err *err)
{
    struct table *table = NULL;
    struct attribution_file file = {.names = mem_zero(sizeof *file.names)};
    if (options->separator == NULL || options->separator[0] == '\0' ||
        options->separator[0] == '"') {
        free(file.names);
        return err_set(err, ST_INVALID, "could not part touches: the separator is %s",
                       options->separator != NULL && options->separator[0] == '"' ? "a quote"
                                                                                  : "empty");
    }
    arena_init(&file.arena);
    map_init(&file.names->map);
    enum status status = table_read(&options->file, &table, err);
    if (status == ST_OK)
        status = table_to_paths(options, table, &file, err);
    table_free(table);
    if (status != ST_OK)
        attribution_file_done(&file);
    else
        *ret_file = file;
    return status;
}

void attribution_file_done(struct attribution_file *file)
{
    free((void *)(uintptr_t)file->paths.touches);
    free((void *)(uintptr_t)file->paths.starts);
    free((void *)(uintptr_t)file->paths.ages_us);
    free((void *)(uintptr_t)file->paths.conversions);
    free((void *)(uintptr_t)file->paths.values);
    free((void *)(uintptr_t)file->paths.nulls);
    free(file->new_customers);
    map_done(&file->names->map);
    free(file->names->texts);
    free(file->names);
    arena_done(&file->arena);
}
