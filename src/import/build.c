/* build.c - rows to events: one event per row, or one per group of rows (an invoice and its lines).
 *
 * Rows of a group need not stand together, but near: up to IMPORT_GROUPS_OPEN groups are open at
 * once, and the one that has waited longest is closed when a new one needs its place. No line is
 * thrown away: a group that comes back after it was closed, or that outgrows an event, goes on in a
 * second event, whose id ends in "#2". The file decides that alone, so a second import of it makes
 * the same ids and adds nothing.
 *
 *   message id   name:key:key…, with ':', '#' and '\' in a key escaped; longer than the limit: its
 * hash. No key, or an empty one: name:SHA-256 of the file:line. of a group   identifiers, time and
 * text properties are of its first row that has them. a sum        adds the product of its columns
 * over the rows; a row where one is no number counts as nothing there and is kept with its texts.
 *
 * Invariant: every row is in exactly one event, and no two events of a file share an id. */
#include "import/import_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/when.h"
#include "clean/clean.h"
#include "table/decimal.h"

struct group {
    bool open;
    struct hash128 hash;
    uint64_t line_first, touched;
    struct buf head; /* the event up to its identifiers */
    struct buf identifiers, properties, products;
    uint32_t identified; /* bit per identifier of the mapping */
    struct decimal sums[IMPORT_VALUES_MAX];
    bool summed[IMPORT_VALUES_MAX];
};

struct builder {
    const struct mapping *mapping;
    const char *path;
    import_sink *sink;
    void *ctx;
    struct group groups[IMPORT_GROUPS_OPEN];
    struct group *last;
    struct map ids; /* hash of a message id → how many events have it */
    struct buf event, id;
    char file_hash[65]; /* made when first needed */
    uint64_t clock;
};

struct builder *import_builder_new(const struct mapping *mapping, const char *path,
                                   import_sink *sink, void *ctx)
{
    struct builder *builder = mem_zero(sizeof *builder);
    builder->mapping = mapping;
    builder->path = path;
    builder->sink = sink;
    builder->ctx = ctx;
    map_init(&builder->ids);
    buf_init(&builder->event, 4 * TABLE_ROW_BYTES_MAX);
    buf_init(&builder->id, 4 * TABLE_ROW_BYTES_MAX);
    for (int i = 0; i < IMPORT_GROUPS_OPEN; i++) {
        buf_init(&builder->groups[i].head, 4 * TABLE_ROW_BYTES_MAX);
        buf_init(&builder->groups[i].identifiers, 16 * TABLE_ROW_BYTES_MAX);
        buf_init(&builder->groups[i].properties, 16 * TABLE_ROW_BYTES_MAX);
        buf_init(&builder->groups[i].products, 16 * TABLE_ROW_BYTES_MAX);
    }
    return builder;
}

void import_builder_free(struct builder *builder)
{
    if (builder == NULL)
        return;
    map_done(&builder->ids);
    buf_done(&builder->event);
    buf_done(&builder->id);
    for (int i = 0; i < IMPORT_GROUPS_OPEN; i++) {
        buf_done(&builder->groups[i].head);
        buf_done(&builder->groups[i].identifiers);
        buf_done(&builder->groups[i].properties);
        buf_done(&builder->groups[i].products);
    }
    free(builder);
}

/* --- ids -------------------------------------------------------------------------------------- */

static void id_part(struct buf *id, struct str text)
{
    buf_char(id, ':');
    for (size_t i = 0; i < text.n; i++) {
        if (strchr(":#\\", text.p[i]) != NULL && text.p[i] != '\0')
            buf_char(id, '\\');
        buf_char(id, text.p[i]);
    }
}

static bool key_empty(const struct mapping *mapping, const struct table_csv *csv)
{
    for (int i = 0; i < mapping->key_count; i++)
        if (csv->fields[mapping->key[i]].n > 0)
            return false;
    return true;
}

/* The id in builder->id, made unique in this file. */
static enum status id_make(struct builder *builder, const struct table_csv *csv, struct err *err)
{
    const struct mapping *mapping = builder->mapping;
    struct buf *id = &builder->id;
    buf_reset(id);
    buf_str(id, mapping->name);
    if (key_empty(mapping, csv)) {
        if (builder->file_hash[0] == '\0') {
            enum status status = table_input_hash(builder->path, builder->file_hash, err);
            if (status != ST_OK)
                return status;
        }
        buf_fmt(id, ":%s:%llu", builder->file_hash, (unsigned long long)csv->line);
        return ST_OK;
    }
    for (int i = 0; i < mapping->key_count; i++)
        id_part(id, csv->fields[mapping->key[i]]);
    if (id->n > LIMIT_MESSAGE_ID_BYTES - 24) {
        struct hash128 hash = hash_public(buf_view(id));
        buf_reset(id);
        buf_fmt(id, STR_FMT ":%016llx%016llx", STR_ARG(mapping->name), (unsigned long long)hash.a,
                (unsigned long long)hash.b);
    }
    uint64_t *times = map_put(&builder->ids, hash_public(buf_view(id)), NULL);
    if (++*times > 1)
        buf_fmt(id, "#%llu", (unsigned long long)*times);
    if (builder->ids.count > IMPORT_IDS_MAX)
        return err_set(err, ST_TOO_LARGE, "the file has more than %u events: split it",
                       IMPORT_IDS_MAX);
    return ST_OK;
}

/* --- one row into a group --------------------------------------------------------------------- */

static struct str name_of(const struct mapping *mapping, const struct table_csv *csv)
{
    for (int i = 0; i < mapping->names_count; i++) {
        const struct name_rule *rule = &mapping->names[i];
        if (rule->column >= 0 && !str_starts(csv->fields[rule->column], rule->starts_with))
            continue;
        return rule->name_column >= 0 ? csv->fields[rule->name_column] : rule->name;
    }
    return STR("");
}

static void time_write(const struct mapping *mapping, const struct table_csv *csv, struct buf *out)
{
    int64_t us;
    char text[28];
    struct str given = mapping->time < 0 ? STR("") : csv->fields[mapping->time];
    if (given.n == 0)
        return;
    if (!when_parse(given, mapping->zone_offset_s, &us)) {
        json_put_member_str(out, "time", given); /* the door will say that it is none */
        return;
    }
    when_format(us, text);
    json_put_member_str(out, "time", str_of(text));
}

static void value_write(const struct value *value, const struct table_csv *csv, struct buf *out)
{
    json_put_comma(out);
    buf_str(out, value->name);
    buf_char(out, ':');
    if (value->kind == VALUE_CONSTANT)
        buf_str(out, value->json);
    else if (value->kind == VALUE_NUMBER)
        table_number_write(csv->fields[value->columns[0]], out);
    else
        json_put_str(out, csv->fields[value->columns[0]]);
}

/* Empty cells are left out: there is nothing to say. */
static void values_write(const struct value *values, int count, const struct table_csv *csv,
                         struct buf *out)
{
    for (int i = 0; i < count; i++)
        if (values[i].kind != VALUE_SUM &&
            (values[i].kind == VALUE_CONSTANT || csv->fields[values[i].columns[0]].n > 0))
            value_write(&values[i], csv, out);
}

static enum status group_begin(struct builder *builder, struct group *group, struct hash128 hash,
                               const struct table_csv *csv, struct err *err)
{
    const struct mapping *mapping = builder->mapping;
    enum status status = id_make(builder, csv, err);
    if (status != ST_OK)
        return status;
    group->open = true;
    group->hash = hash;
    group->line_first = csv->line;
    group->identified = 0;
    for (int i = 0; i < mapping->properties_count; i++) {
        group->sums[i] = (struct decimal){0, 0};
        group->summed[i] = false;
    }
    buf_reset(&group->head);
    buf_reset(&group->identifiers);
    buf_reset(&group->properties);
    buf_reset(&group->products);
    buf_char(&group->head, '{');
    json_put_member_str(&group->head, "type", mapping->type);
    struct str name = name_of(mapping, csv);
    if (name.n > 0)
        json_put_member_str(&group->head, "name", name);
    json_put_member_str(&group->head, "message_id", buf_view(&builder->id));
    time_write(mapping, csv, &group->head);
    if (mapping->channel.n > 0)
        json_put_member_str(&group->head, "channel", mapping->channel);
    buf_char(&group->identifiers, '{');
    buf_char(&group->properties, '{');
    values_write(mapping->properties, mapping->properties_count, csv, &group->properties);
    buf_char(&group->products, '[');
    return ST_OK;
}

static void sum_add(const struct value *value, const struct table_csv *csv, struct decimal *sum,
                    bool *summed)
{
    struct decimal product = {1, 0}, factor;
    for (int i = 0; i < value->columns_count; i++)
        if (!table_decimal_parse(str_trim(csv->fields[value->columns[i]]), &factor) ||
            !table_decimal_multiply(product, factor, &product))
            return;
    *summed = table_decimal_add(sum, product) || *summed;
}

static void row_add(const struct mapping *mapping, struct group *group, const struct table_csv *csv)
{
    for (int i = 0; i < mapping->identifiers_count; i++) {
        struct str value = csv->fields[mapping->identifiers[i].column];
        if (value.n > 0 && (group->identified & 1u << i) == 0) {
            json_put_member_str(&group->identifiers, identifier_name(mapping->identifiers[i].type),
                                value);
            group->identified |= 1u << i;
        }
    }
    for (int i = 0; i < mapping->properties_count; i++)
        if (mapping->properties[i].kind == VALUE_SUM)
            sum_add(&mapping->properties[i], csv, &group->sums[i], &group->summed[i]);
    if (mapping->products_count > 0) {
        json_put_comma(&group->products);
        buf_char(&group->products, '{');
        values_write(mapping->products, mapping->products_count, csv, &group->products);
        buf_char(&group->products, '}');
    }
}

/* --- a group into an event -------------------------------------------------------------------- */

static enum status group_close(struct builder *builder, struct group *group, struct err *err)
{
    const struct mapping *mapping = builder->mapping;
    struct buf *event = &builder->event;
    buf_reset(event);
    buf_str(event, buf_view(&group->head));
    buf_text(event, ",\"identifiers\":");
    buf_str(event, buf_view(&group->identifiers));
    buf_text(event, "},\"properties\":");
    buf_str(event, buf_view(&group->properties));
    for (int i = 0; i < mapping->properties_count; i++) {
        if (!group->summed[i])
            continue;
        json_put_comma(event);
        buf_str(event, mapping->properties[i].name);
        buf_char(event, ':');
        table_decimal_write(group->sums[i], event);
    }
    if (mapping->products_count > 0) {
        json_put_name(event, "products");
        buf_str(event, buf_view(&group->products));
        buf_char(event, ']');
    }
    buf_text(event, "}}");
    group->open = false;
    if (builder->last == group)
        builder->last = NULL;
    if (event->overflow)
        return err_set(err, ST_TOO_LARGE, "line %llu: the event is over %zu MB",
                       (unsigned long long)group->line_first, event->max >> 20);
    return builder->sink(builder->ctx, buf_view(event), err);
}

static struct group *group_find(struct builder *builder, struct hash128 hash)
{
    if (builder->last != NULL && hash128_eq(builder->last->hash, hash))
        return builder->last;
    for (int i = 0; i < IMPORT_GROUPS_OPEN; i++)
        if (builder->groups[i].open && hash128_eq(builder->groups[i].hash, hash))
            return &builder->groups[i];
    return NULL;
}

/* A closed group, or the one that has waited longest. */
static struct group *group_oldest(struct builder *builder)
{
    struct group *oldest = &builder->groups[0];
    for (int i = 0; i < IMPORT_GROUPS_OPEN; i++) {
        struct group *group = &builder->groups[i];
        if (!group->open)
            return group;
        if (group->touched < oldest->touched)
            oldest = group;
    }
    return oldest;
}

static enum status columns_check(const struct mapping *mapping, const struct table_csv *csv,
                                 struct err *err)
{
    if (mapping->column_last < (int)csv->count)
        return ST_OK;
    return err_set(err, ST_INVALID, "line %llu ends after column %zu, but column %d is mapped",
                   (unsigned long long)csv->line, csv->count, mapping->column_last + 1);
}

static void missing_empty(const struct mapping *mapping, struct table_csv *csv)
{
    for (int k = 0; k < mapping->missing_count; k++)
        for (size_t i = 0; i < csv->count; i++)
            if (str_eq(csv->fields[i], mapping->missing[k]))
                csv->fields[i].n = 0;
}

enum status import_builder_row(struct builder *builder, struct table_csv *csv, struct err *err)
{
    const struct mapping *mapping = builder->mapping;
    enum status status = columns_check(mapping, csv, err);
    if (status != ST_OK)
        return status;
    missing_empty(mapping, csv);
    struct str key = mapping->group_by < 0 ? STR("") : csv->fields[mapping->group_by];
    struct hash128 hash = {0};
    struct group *group = NULL;
    if (key.n > 0) {
        hash = hash_public(key);
        group = group_find(builder, hash);
    }
    if (group == NULL) {
        group = group_oldest(builder);
        if (group->open)
            status = group_close(builder, group, err);
        if (status == ST_OK)
            status = group_begin(builder, group, hash, csv, err);
        if (status != ST_OK)
            return status;
    }
    row_add(mapping, group, csv);
    group->touched = ++builder->clock;
    builder->last = group;
    if (key.n == 0 || group->products.n > IMPORT_EVENT_MAX)
        return group_close(builder, group, err);
    return ST_OK;
}

enum status import_builder_end(struct builder *builder, struct err *err)
{
    for (;;) {
        struct group *first = NULL;
        for (int i = 0; i < IMPORT_GROUPS_OPEN; i++) {
            struct group *group = &builder->groups[i];
            if (group->open && (first == NULL || group->touched < first->touched))
                first = group;
        }
        if (first == NULL)
            return ST_OK;
        enum status status = group_close(builder, first, err);
        if (status != ST_OK)
            return status;
    }
}
