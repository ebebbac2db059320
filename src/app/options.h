/* options.h - what was asked on the command line.
 * Depends on: base. Called by: the files of app. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include "base/status.h"
#include "base/str.h"
#include "base/text.h"

enum command {
#define COMMAND(id, words, args, en, zh) COMMAND_##id,
#define OPTION(id, name, kind, otherwise, commands, en, zh)
#include "app/options.def"
#undef COMMAND
#undef OPTION
    COMMAND_COUNT
};

enum option {
#define COMMAND(id, words, args, en, zh)
#define OPTION(id, name, kind, otherwise, commands, en, zh) OPTION_##id,
#include "app/options.def"
#undef COMMAND
#undef OPTION
    OPTION_COUNT
};

struct options {
    enum command command;
    enum language language;
    const char *argument; /* the one positional argument, or "" */
    const char *values[OPTION_COUNT];
};

/* From argv, the environment and the defaults. ST_INVALID with the reason and the nearest name. */
MUST_USE enum status options_parse(int argc, char **argv, struct options *ret_options,
                                   struct err *err);
/* The value; for a flag "1" or "". */
const char *option_text(const struct options *options, enum option option);
bool option_is_set(const struct options *options, enum option option);
/* Parsing has checked that it is a number. */
long long option_number(const struct options *options, enum option option);

void options_print_help(enum language language);
/* docs/params.md, from the same list. */
void options_print_markdown(void);
#endif
