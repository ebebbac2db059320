/* report.c - which function makes which report, and how it is shown. */
#include "app/report.h"

#include <stdio.h>

#include "app/print.h"
#include "base/check.h"

#define REPORT_BYTES_MAX ((size_t)4 << 30)

typedef enum status report_function(const struct options *options, struct buf *json,
                                    struct err *err);

static const struct {
    enum command command;
    report_function *make;
} reports[] = {
#define REPORT(id, word, function, en, zh) {COMMAND_REPORT_##id, function},
#include "app/options.def"
};

enum status report_file(const struct options *options, enum option file,
                        struct table_options *ret_file, struct err *err)
{
    const char *delimiter = option_text(options, OPTION_DELIMITER);
    if (strcmp(delimiter, "tab") == 0)
        delimiter = "\t";
    if (!option_is_given(options, file)) /* the default of --data is a folder */
        return err_set(err, ST_INVALID, "%s %s %s FILE", option_command(options),
                       text_in(options->language, TEXT_NEEDS_OPTION), option_name(file));
    if (delimiter[0] != '\0' && delimiter[1] != '\0')
        return err_set(err, ST_INVALID, "%s: \"%s\" is not one character, nor tab",
                       option_name(OPTION_DELIMITER), delimiter);
    *ret_file = (struct table_options){.path = option_text(options, file),
                                       .delimiter = delimiter[0],
                                       .columns = option_text(options, OPTION_COLUMNS)};
    return ST_OK;
}

enum status report_show(const struct options *options, struct str json, struct err *err)
{
    if (option_is_set(options, OPTION_CSV) && option_is_set(options, OPTION_JSON))
        return err_set(err, ST_INVALID, "%s", text_in(options->language, TEXT_JSON_OR_CSV));
    if (option_is_set(options, OPTION_CSV))
        return print_csv(json, options->language, err);
    if (option_is_set(options, OPTION_JSON))
        printf(STR_FMT "\n", STR_ARG(json));
    else
        print_report(json, options->language);
    return ST_OK;
}

enum status report_run(const struct options *options, struct err *err)
{
    size_t i = 0;
    struct buf json;
    while (i < sizeof reports / sizeof reports[0] && reports[i].command != options->command)
        i++;
    CHECK(i < sizeof reports / sizeof reports[0]);
    if (option_is_set(options, OPTION_CSV) && option_is_set(options, OPTION_JSON))
        return err_set(err, ST_INVALID, "%s", text_in(options->language, TEXT_JSON_OR_CSV));
    buf_init(&json, REPORT_BYTES_MAX);
    enum status status = reports[i].make(options, &json, err);
    if (status == ST_OK && json.overflow)
        status = err_set(err, ST_TOO_LARGE, "could not report: the answer has more than %zu bytes",
                         REPORT_BYTES_MAX);
    if (status == ST_OK)
        status = report_show(options, buf_view(&json), err);
    buf_done(&json);
    return status;
}
