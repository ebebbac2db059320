/* mapping.c - what the columns of a file mean: JSON to column numbers, checked against the header
 * row.
 *
 * Everything that can be wrong with a mapping is found here, before the first event is sent: an
 * unknown member, a column that the file does not have, an identifier type that does not exist. The
 * form is docs/format/mapping.md. */
#include "import/import_int.h"

#include "base/arena.h"

struct reading {
    const struct str *columns;
    size_t columns_count;
    struct mapping *mapping;
    struct err *err;
};

#define WRONG(reading, ...)                                                                        \
    err_set((reading)->err, ST_INVALID, "could not use the mapping: " __VA_ARGS__)

static enum status column_find(const struct reading *reading, struct str name, int *ret_column)
{
    for (size_t i = 0; i < reading->columns_count; i++) {
        if (str_eq(reading->columns[i], name)) {
            *ret_column = (int)i;
            if ((int)i > reading->mapping->column_last)
                reading->mapping->column_last = (int)i;
            return ST_OK;
        }
    }
    return WRONG(reading, "the file has no column \"" STR_FMT "\"", STR_ARG(name));
}

/* A column's name; absent leaves *ret_column as it is. */
static enum status column_take(const struct reading *reading, yyjson_val *value, const char *what,
                               int *ret_column)
{
    if (value == NULL)
        return ST_OK;
    if (!yyjson_is_str(value))
        return WRONG(reading, "\"%s\" must be the name of a column", what);
    return column_find(reading, json_str(value), ret_column);
}

static enum status columns_take(const struct reading *reading, yyjson_val *value, const char *what,
                                int columns[IMPORT_PARTS_MAX], int *count)
{
    *count = 0;
    if (value == NULL)
        return ST_OK;
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) == 0 ||
        yyjson_arr_size(value) > IMPORT_PARTS_MAX)
        return WRONG(reading, "\"%s\" must name 1 to %d columns", what, IMPORT_PARTS_MAX);
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(value, i, n, one)
    {
        enum status status = column_take(reading, one, what, &columns[i]);
        if (status != ST_OK)
            return status;
        ++*count;
    }
    return ST_OK;
}

/* --- values ----------------------------------------------------------------------------------- */

static struct str json_kept(const struct reading *reading, yyjson_val *value)
{
    struct buf text;
    buf_init(&text, IMPORT_MAPPING_MAX);
    json_write(&text, value);
    struct str kept = arena_copy(reading->mapping->arena, buf_view(&text));
    buf_done(&text);
    return kept;
}

static enum status value_take(const struct reading *reading, yyjson_val *name, yyjson_val *from,
                              struct value *value)
{
    *value = (struct value){.name = json_kept(reading, name), .kind = VALUE_TEXT};
    value->columns_count = 1;
    if (yyjson_is_str(from))
        return column_find(reading, json_str(from), &value->columns[0]);
    if (!yyjson_is_obj(from) || yyjson_obj_size(from) == 0)
        return WRONG(reading, STR_FMT " is neither a column nor an object", STR_ARG(value->name));
    yyjson_val *constant = yyjson_obj_get(from, "value"), *sum = yyjson_obj_get(from, "sum");
    yyjson_val *as = yyjson_obj_get(from, "as"), *column = yyjson_obj_get(from, "column");
    if (constant != NULL) {
        value->kind = VALUE_CONSTANT;
        value->json = json_kept(reading, constant);
        value->columns_count = 0;
        return ST_OK;
    }
    if (sum != NULL) {
        value->kind = VALUE_SUM;
        return columns_take(reading, sum, "sum", value->columns, &value->columns_count);
    }
    if (as != NULL && !yyjson_equals_str(as, "number") && !yyjson_equals_str(as, "text"))
        return WRONG(reading, STR_FMT ": \"as\" is \"number\" or \"text\"", STR_ARG(value->name));
    if (yyjson_equals_str(as, "number"))
        value->kind = VALUE_NUMBER;
    if (column == NULL)
        return WRONG(reading, STR_FMT " has no \"column\", \"value\" or \"sum\"",
                     STR_ARG(value->name));
    return column_take(reading, column, "column", &value->columns[0]);
}

static enum status values_take(const struct reading *reading, const char *what, bool sums,
                               struct value *values, int *count)
{
    yyjson_val *object = yyjson_obj_get(yyjson_doc_get_root(reading->mapping->doc), what);
    size_t i, n;
    yyjson_val *name, *from;
    if (object == NULL)
        return ST_OK;
    if (!yyjson_is_obj(object) || yyjson_obj_size(object) > IMPORT_VALUES_MAX)
        return WRONG(reading, "\"%s\" must be an object of at most %d members", what,
                     IMPORT_VALUES_MAX);
    yyjson_obj_foreach(object, i, n, name, from)
    {
        enum status status = value_take(reading, name, from, &values[i]);
        if (status != ST_OK)
            return status;
        if (values[i].kind == VALUE_SUM && !sums)
            return WRONG(reading, "a sum is of an event, not of a product line");
        ++*count;
    }
    return ST_OK;
}

/* --- the event -------------------------------------------------------------------------------- */

static enum status rule_take(const struct reading *reading, yyjson_val *from,
                             struct name_rule *rule)
{
    *rule = (struct name_rule){.column = -1, .name_column = -1};
    if (yyjson_is_str(from)) {
        rule->name = json_str(from);
        return ST_OK;
    }
    rule->name = json_member_str(from, "name");
    rule->starts_with = json_member_str(from, "starts_with");
    enum status status = column_take(reading, yyjson_obj_get(from, "from_column"), "from_column",
                                     &rule->name_column);
    if (status == ST_OK)
        status = column_take(reading, yyjson_obj_get(from, "column"), "column", &rule->column);
    if (status == ST_OK && rule->name.n == 0 && rule->name_column < 0)
        return WRONG(reading, "an event rule has no \"name\"");
    return status;
}

static enum status event_take(const struct reading *reading)
{
    struct mapping *mapping = reading->mapping;
    yyjson_val *root = yyjson_doc_get_root(mapping->doc), *event = yyjson_obj_get(root, "event");
    const size_t max = sizeof mapping->names / sizeof *mapping->names;
    mapping->type = json_member_str(root, "type");
    if (mapping->type.n == 0)
        mapping->type = STR("track");
    mapping->channel = json_member_str(root, "channel");
    if (event == NULL && str_is(mapping->type, "track"))
        return WRONG(reading, "\"event\" is missing");
    if (event == NULL)
        return ST_OK;
    size_t count = yyjson_is_arr(event) ? yyjson_arr_size(event) : 1;
    if (count == 0 || count > max)
        return WRONG(reading, "\"event\" has 1 to %zu rules", max);
    for (size_t i = 0; i < count; i++) {
        yyjson_val *from = yyjson_is_arr(event) ? yyjson_arr_get(event, i) : event;
        enum status status = rule_take(reading, from, &mapping->names[i]);
        if (status != ST_OK)
            return status;
        mapping->names_count++;
    }
    return ST_OK;
}

static enum status identifiers_take(const struct reading *reading)
{
    struct mapping *mapping = reading->mapping;
    yyjson_val *ids = yyjson_obj_get(yyjson_doc_get_root(mapping->doc), "identifiers");
    size_t i, n;
    yyjson_val *key, *value;
    if (ids == NULL)
        return ST_OK;
    if (!yyjson_is_obj(ids) || yyjson_obj_size(ids) > LIMIT_EVENT_IDENTIFIERS)
        return WRONG(reading, "\"identifiers\" must be an object of at most %d members",
                     LIMIT_EVENT_IDENTIFIERS);
    yyjson_obj_foreach(ids, i, n, key, value)
    {
        mapping->identifiers[i].type = identifier_type_of(json_str(key));
        if (mapping->identifiers[i].type == IDENTIFIER_NONE)
            return WRONG(reading, "\"" STR_FMT "\" is no type of identifier",
                         STR_ARG(json_str(key)));
        enum status status =
            column_take(reading, value, "identifiers", &mapping->identifiers[i].column);
        if (status != ST_OK)
            return status;
        mapping->identifiers_count++;
    }
    return ST_OK;
}

static enum status time_take(const struct reading *reading)
{
    struct mapping *mapping = reading->mapping;
    yyjson_val *time = yyjson_obj_get(yyjson_doc_get_root(mapping->doc), "time");
    if (yyjson_is_str(time))
        return column_take(reading, time, "time", &mapping->time);
    yyjson_val *zone = yyjson_obj_get(time, "zone_offset_s");
    if (zone != NULL &&
        (!yyjson_is_int(zone) || yyjson_get_sint(zone) < -86400 || yyjson_get_sint(zone) > 86400))
        return WRONG(reading, "\"zone_offset_s\" must be seconds east of Greenwich");
    mapping->zone_offset_s = (int)yyjson_get_sint(zone);
    return column_take(reading, yyjson_obj_get(time, "column"), "time", &mapping->time);
}

/* --- the whole -------------------------------------------------------------------------------- */

static enum status members_check(const struct reading *reading)
{
    static const char *const known[] = {
        "version", "name", "delimiter",   "group_by",   "key",      "type",        "event",
        "channel", "time", "identifiers", "properties", "products", "description", "missing"};
    yyjson_val *root = yyjson_doc_get_root(reading->mapping->doc), *key, *value;
    size_t i, n;
    if (!yyjson_is_obj(root))
        return WRONG(reading, "it is no JSON object");
    yyjson_obj_foreach(root, i, n, key, value)
    {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || yyjson_equals_str(key, known[k]);
        if (!found)
            return WRONG(reading, "it has an unknown member \"" STR_FMT "\"",
                         STR_ARG(json_str(key)));
    }
    if (yyjson_get_uint(yyjson_obj_get(root, "version")) != 1)
        return WRONG(reading, "\"version\" must be 1");
    reading->mapping->name = json_member_str(root, "name");
    if (reading->mapping->name.n == 0 || reading->mapping->name.n > 64)
        return WRONG(reading, "\"name\" must have 1 to 64 bytes: it begins all message ids");
    return ST_OK;
}

static enum status missing_take(const struct reading *reading)
{
    struct mapping *mapping = reading->mapping;
    yyjson_val *texts = yyjson_obj_get(yyjson_doc_get_root(mapping->doc), "missing"), *text;
    const size_t max = sizeof mapping->missing / sizeof *mapping->missing;
    size_t i, n;
    if (texts != NULL && (!yyjson_is_arr(texts) || yyjson_arr_size(texts) > max))
        return WRONG(reading, "\"missing\" must be a list of at most %zu texts", max);
    yyjson_arr_foreach(texts, i, n, text)
    {
        mapping->missing[mapping->missing_count++] = json_str(text);
    }
    return ST_OK;
}

static enum status mapping_take(const struct reading *reading)
{
    struct mapping *mapping = reading->mapping;
    yyjson_val *root = yyjson_doc_get_root(mapping->doc);
    enum status status = members_check(reading);
    if (status == ST_OK)
        status =
            column_take(reading, yyjson_obj_get(root, "group_by"), "group_by", &mapping->group_by);
    if (status == ST_OK)
        status = columns_take(reading, yyjson_obj_get(root, "key"), "key", mapping->key,
                              &mapping->key_count);
    if (status == ST_OK)
        status = missing_take(reading);
    if (status == ST_OK)
        status = event_take(reading);
    if (status == ST_OK)
        status = time_take(reading);
    if (status == ST_OK)
        status = identifiers_take(reading);
    if (status == ST_OK)
        status = values_take(reading, "properties", true, mapping->properties,
                             &mapping->properties_count);
    if (status == ST_OK)
        status =
            values_take(reading, "products", false, mapping->products, &mapping->products_count);
    return status;
}

enum status import_mapping_parse(struct str json, const struct str *columns, size_t columns_count,
                                 struct arena *arena, struct mapping *ret_mapping, struct err *err)
{
    struct mapping *mapping = ret_mapping;
    *mapping = (struct mapping){.arena = arena, .group_by = -1, .time = -1, .column_last = -1};
    const struct reading reading = {columns, columns_count, mapping, err};
    enum status status = json_parse(NULL, json, &mapping->doc, err);
    if (status == ST_OK)
        status = mapping_take(&reading);
    if (status != ST_OK)
        import_mapping_done(mapping);
    return status;
}

void import_mapping_done(struct mapping *mapping)
{
    yyjson_doc_free(mapping->doc);
    mapping->doc = NULL;
}

enum status import_mapping_delimiter(struct str json, char *ret_delimiter, struct err *err)
{
    yyjson_doc *doc;
    enum status status = json_parse(NULL, json, &doc, err);
    if (status != ST_OK)
        return status;
    struct str text = json_member_str(yyjson_doc_get_root(doc), "delimiter");
    char delimiter = text.n == 1 ? text.p[0] : ',';
    yyjson_doc_free(doc);
    if (text.n > 1 || strchr("\"\r\n", delimiter) != NULL)
        return err_set(err, ST_INVALID, "could not use the mapping: \"delimiter\" is one byte");
    *ret_delimiter = delimiter;
    return ST_OK;
}
