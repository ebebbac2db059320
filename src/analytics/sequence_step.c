/* sequence_step.c - steps as people write them: `Order Completed where amount >= 100`.
 *
 * A text that is the name of an event is that event, whatever words it has; so no event is out of
 * reach. An event that the file does not have is an error and not a step that nobody reached: it
 * has nearly always been a spelling mistake, so the nearest names are part of the answer. */
#include "analytics/sequence_step_int.h"

#include <stdlib.h>

#include "base/arena.h"

/* --- nearest names ---------------------------------------------------------------------------- */

#define NAME_BYTES_MAX 64

/* Levenshtein distance of bytes; names are cut to NAME_BYTES_MAX. */
static unsigned distance(struct str a, struct str b)
{
    unsigned row[NAME_BYTES_MAX + 1];
    a.n = a.n < NAME_BYTES_MAX ? a.n : NAME_BYTES_MAX;
    b.n = b.n < NAME_BYTES_MAX ? b.n : NAME_BYTES_MAX;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned replaced = diagonal + ((a.p[i - 1] | 32) != (b.p[j - 1] | 32));
            unsigned least = row[j] < row[j - 1] ? row[j] : row[j - 1];
            diagonal = row[j];
            row[j] = replaced < least + 1 ? replaced : least + 1;
        }
    }
    return row[b.n];
}

#define NEAREST_MAX 3

static enum status unknown(struct str name, const struct str *names, size_t names_count,
                           struct err *err)
{
    size_t best[NEAREST_MAX] = {0}, best_count = 0;
    unsigned far[NEAREST_MAX + 1];
    for (size_t i = 0; i < names_count; i++) {
        unsigned d = distance(name, names[i]);
        size_t at = best_count;
        while (at > 0 && far[at - 1] > d)
            at--;
        if (at == NEAREST_MAX || names[i].n == 0)
            continue;
        best_count += best_count < NEAREST_MAX;
        for (size_t j = best_count - 1; j > at; j--)
            best[j] = best[j - 1], far[j] = far[j - 1];
        best[at] = i, far[at] = d;
    }
    char text[sizeof err->hint] = "";
    struct buf list;
    buf_init(&list, sizeof text - 32);
    for (size_t i = 0; i < best_count; i++) {
        buf_text(&list, i > 0 ? ", " : "");
        buf_str(&list,
                (struct str){names[best[i]].p, names[best[i]].n < 40 ? names[best[i]].n : 40});
    }
    err_set(err, ST_NOT_FOUND, "the file has no event \"" STR_FMT "\"", STR_ARG(name));
    if (list.n > 0)
        err_hint(err, ST_NOT_FOUND, "nearest: " STR_FMT, STR_ARG(buf_view(&list)));
    buf_done(&list);
    return ST_NOT_FOUND;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool sequence_number(struct str text, double *ret_number)
{
    char copy[64], *end;
    text = str_trim(text);
    if (text.n == 0 || text.n >= sizeof copy || strchr("+-.0123456789", text.p[0]) == NULL)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *ret_number = strtod(copy, &end);
    return end == copy + text.n && *ret_number - *ret_number == 0;
}

static enum status find_column(struct table *table, struct str name, int *ret_column,
                               struct err *err)
{
    for (int i = 0; i < (int)table_columns(table); i++) {
        if (!str_eq_nocase(table_name(table, i), name))
            continue;
        *ret_column = i;
        return ST_OK;
    }
    return err_set(err, ST_NOT_FOUND, "the file has no column \"" STR_FMT "\"", STR_ARG(name));
}

/* COLUMN OP VALUE */
static enum status read_where(struct table *table, struct str text, struct sequence_step *step,
                              struct err *err)
{
    static const struct {
        const char *word;
        enum sequence_compare compare;
    } operators[] = {{"<=", COMPARE_AT_MOST}, {">=", COMPARE_AT_LEAST}, {"!=", COMPARE_NOT},
                     {"==", COMPARE_IS},      {"=", COMPARE_IS},        {"<", COMPARE_BELOW},
                     {">", COMPARE_ABOVE}};
    size_t at = 0, i = 0;
    while (at < text.n && memchr("<>=!", text.p[at], 4) == NULL)
        at++;
    struct str rest = {text.p + at, text.n - at};
    while (i < 7 && !str_starts(rest, str_of(operators[i].word)))
        i++;
    if (at == 0 || i == 7)
        return err_set(err, ST_INVALID,
                       "could not read \"" STR_FMT
                       "\": COLUMN =, !=, <, <=, > or >= VALUE is meant",
                       STR_ARG(text));
    size_t n = strlen(operators[i].word);
    step->compare = operators[i].compare;
    step->value = str_trim((struct str){rest.p + n, rest.n - n});
    step->has_number = sequence_number(step->value, &step->number);
    if (!step->has_number && step->compare != COMPARE_IS && step->compare != COMPARE_NOT)
        return err_set(err, ST_INVALID, "\"" STR_FMT "\" is no number, %s needs one",
                       STR_ARG(step->value), operators[i].word);
    return find_column(table, str_trim((struct str){text.p, at}), &step->column, err);
}

static size_t find_name(struct str name, const struct str *names, size_t names_count)
{
    size_t i = 0;
    while (i < names_count && !str_eq(names[i], name))
        i++;
    return i;
}

enum status sequence_step_read(struct table *table, const char *text, const struct str *names,
                               size_t names_count, struct sequence_step *ret_step, struct err *err)
{
    static const char where[] = " where ";
    struct sequence_step step = {.name = str_trim(str_of(text))};
    if (step.name.n == 0)
        return err_set(err, ST_INVALID, "a step is empty");
    step.event = find_name(step.name, names, names_count);
    if (step.event == names_count) {
        for (size_t i = 0; step.compare == COMPARE_NONE && i + sizeof where - 1 <= step.name.n;
             i++) {
            if (!str_eq_nocase((struct str){step.name.p + i, sizeof where - 1}, str_of(where)))
                continue;
            size_t rest = i + sizeof where - 1;
            enum status status = read_where(
                table, str_trim((struct str){step.name.p + rest, step.name.n - rest}), &step, err);
            if (status != ST_OK)
                return status;
            step.name = str_trim((struct str){step.name.p, i});
        }
        step.event = find_name(step.name, names, names_count);
    }
    step.is_any = step.event == names_count && str_is(step.name, "*");
    if (step.event == names_count && !step.is_any)
        return unknown(step.name, names, names_count, err);
    *ret_step = step;
    return ST_OK;
}

bool sequence_step_holds(const struct sequence_step *step, struct str cell, bool *ret_no_number)
{
    double number = 0;
    bool both = step->has_number && sequence_number(cell, &number);
    switch (step->compare) {
    case COMPARE_NONE:
        return true;
    case COMPARE_IS:
        return both ? number == step->number : str_eq(cell, step->value);
    case COMPARE_NOT:
        return both ? number != step->number : !str_eq(cell, step->value);
    case COMPARE_BELOW:
    case COMPARE_AT_MOST:
    case COMPARE_ABOVE:
    case COMPARE_AT_LEAST:
        break;
    }
    if (!both) {
        *ret_no_number = true;
        return false;
    }
    if (step->compare == COMPARE_BELOW || step->compare == COMPARE_AT_MOST)
        return number < step->number ||
               (step->compare == COMPARE_AT_MOST && number == step->number);
    return number > step->number || (step->compare == COMPARE_AT_LEAST && number == step->number);
}
