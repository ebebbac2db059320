/* options.h - what was asked on the command line.
 * Depends on: base. Called by: the files of app. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "base/text.h"

enum command {
#define COMMAND(id, words, arguments, en, zh) COMMAND_##id,
#include "app/options.def"
    COMMAND_COUNT
};

enum option {
#define OPTION(id, name, kind, otherwise, commands, en, zh) OPTION_##id,
#include "app/options.def"
    OPTION_COUNT
};

#define OPTIONS_LISTED_MAX 256 /* values of all options that may be given many times */

struct options {
    enum command command;
    enum language language;
    const char *argument; /* the one positional argument, or "" */
    enum command helped;  /* of `hezou COMMAND --help`; COMMAND_COUNT = all */
    const char *values[OPTION_COUNT];
    /* Those of LIST options, in the order of the options and then of giving. */
    const char *listed[OPTIONS_LISTED_MAX];
    size_t listed_count[OPTION_COUNT];
};

/* From argv, the environment and the defaults. ST_INVALID with the reason and the nearest name,
 * also for an option that the command does not take and for a word too many. */
MUST_USE enum status options_parse(int argc, char **argv, struct options *ret_options,
                                   struct err *err);
/* The value; for a flag "1" or "". */
const char *option_text(const struct options *options, enum option option);
bool option_is_set(const struct options *options, enum option option);
/* By the command line or the environment, not only by its default. */
bool option_is_given(const struct options *options, enum option option);
/* Of live people always, or when no file is named. */
bool command_is_live(enum command command, bool *ret_always);
/* Parsing has checked the form; 0 when it is not set. */
long long option_number(const struct options *options, enum option option);
double option_real(const struct options *options, enum option option);
int64_t option_duration_us(const struct options *options, enum option option);
/* The values in the order of giving; they live as long as `options`. */
size_t option_list(const struct options *options, enum option option,
                   const char *const **ret_values);
/* "--name" and "report rfm", for messages. */
const char *option_name(enum option option);
const char *option_command(const struct options *options);

/* All of it, or `command` alone with its options. */
void options_print_help(enum language language, enum command command);
/* docs/params.md, from the same list. */
void options_print_markdown(void);
#endif
