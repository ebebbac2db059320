/* print_audit.c - a page of the audit log for people: when, who, what, about whom, with which
 * answer. */
#include <stdio.h>

#include "app/print_int.h"

static void put_text(struct print_table *table, struct str text)
{
    buf_str(&table->text, text);
    print_table_put(table, false);
}

static void put_label(struct print_table *table, enum language language, enum text label,
                      bool right)
{
    buf_text(&table->text, text_in(language, label));
    print_table_put(table, right);
}

static void put_key(struct print_table *table, yyjson_val *record, enum language language)
{
    struct str id = json_member_str(record, "key"), name = json_member_str(record, "key_name");
    if (id.n == 0)
        buf_text(&table->text, text_in(language, TEXT_AUDIT_NO_KEY));
    else
        buf_fmt(&table->text, STR_FMT " " STR_FMT, STR_ARG(name), STR_ARG(id));
    print_table_put(table, false);
}

static enum text kind_of(struct str kind)
{
    if (str_is(kind, "change"))
        return TEXT_AUDIT_CHANGE;
    return str_is(kind, "read") ? TEXT_AUDIT_READ : TEXT_AUDIT_REFUSAL;
}

static void put_record(struct print_table *table, yyjson_val *record, enum language language)
{
    struct str subject = json_member_str(record, "subject");
    struct str object = json_member_str(record, "object");
    struct str detail = json_member_str(record, "detail");
    yyjson_val *status = yyjson_obj_get(record, "status");
    put_text(table, json_member_str(record, "time"));
    put_key(table, record, language);
    put_label(table, language, kind_of(json_member_str(record, "kind")), false);
    buf_fmt(&table->text, STR_FMT " " STR_FMT, STR_ARG(json_member_str(record, "method")),
            STR_ARG(json_member_str(record, "route")));
    print_table_put(table, false);
    const struct str parts[] = {subject, object, detail};
    for (size_t i = 0, put = 0; i < 3; i++)
        if (parts[i].n > 0)
            buf_fmt(&table->text, "%s" STR_FMT, put++ > 0 ? " " : "", STR_ARG(parts[i]));
    print_table_put(table, false);
    if (yyjson_is_null(status))
        buf_text(&table->text, text_in(language, TEXT_AUDIT_NO_ANSWER));
    else
        print_put_value(&table->text, status, false);
    print_table_put(table, true);
    print_put_value(&table->text, yyjson_obj_get(record, "times"), true);
    print_table_put(table, true);
}

void print_audit(struct str json, enum language language)
{
    static const enum text labels[] = {TEXT_AUDIT_TIME, TEXT_AUDIT_KEY,   TEXT_AUDIT_KIND,
                                       TEXT_AUDIT_CALL, TEXT_AUDIT_ABOUT, TEXT_AUDIT_ANSWER,
                                       TEXT_AUDIT_TIMES};
    const size_t columns = sizeof labels / sizeof labels[0];
    yyjson_doc *doc = print_parse(json);
    if (doc == NULL)
        return;
    yyjson_val *root = yyjson_doc_get_root(doc), *record;
    yyjson_val *next = yyjson_obj_get(root, "next");
    struct print_table table;
    size_t i, count;
    print_table_init(&table, columns, PRINT_WIDTH_ANY);
    for (i = 0; i < columns; i++)
        put_label(&table, language, labels[i], i + 2 >= columns);
    yyjson_arr_foreach(yyjson_obj_get(root, "records"), i, count, record)
        put_record(&table, record, language);
    print_table_end(&table, 0, true);
    if (next != NULL) {
        struct buf page;
        buf_init(&page, 64);
        print_put_value(&page, next, false);
        fprintf(stderr, "%s " STR_FMT "\n", text_in(language, TEXT_AUDIT_OLDER),
                STR_ARG(buf_view(&page)));
        buf_done(&page);
    }
    yyjson_doc_free(doc);
}
