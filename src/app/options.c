/* options.c - one list, read three ways: parsing, help, document.
 *
 * Order of precedence: flag, environment, default. Unknown words are errors that name the nearest
 * known one. */
#include "app/options.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

enum kind { FLAG, TEXT, NUMBER };

static const struct command_row {
    const char *words, *arguments, *texts[2];
} commands[COMMAND_COUNT] = {
#define COMMAND(id, words, args, en, zh) {words, args, {en, zh}},
#define OPTION(id, name, kind, otherwise, commands, en, zh)
#include "app/options.def"
#undef COMMAND
#undef OPTION
};

static const struct option_row {
    const char *name;
    enum kind kind;
    const char *otherwise, *commands, *texts[2];
} rows[OPTION_COUNT] = {
#define COMMAND(id, words, args, en, zh)
#define OPTION(id, name, kind, otherwise, commands, en, zh)                                        \
    {name, kind, otherwise, commands, {en, zh}},
#include "app/options.def"
#undef COMMAND
#undef OPTION
};

/* --- nearest name ----------------------------------------------------------------------------- */

#define NAME_MAX_BYTES 32

/* Levenshtein distance of short names. */
static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned row[NAME_MAX_BYTES + 1];
    if (n > NAME_MAX_BYTES || m > NAME_MAX_BYTES)
        return NAME_MAX_BYTES;
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            unsigned least = row[j] < row[j - 1] ? row[j] : row[j - 1];
            row[j] = replaced < least + 1 ? replaced : least + 1;
        }
    }
    return row[m];
}

static const char *nearest_option(const char *name)
{
    const char *best = NULL;
    unsigned best_distance = 4;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        unsigned d = distance(name, rows[i].name);
        if (d < best_distance)
            best_distance = d, best = rows[i].name;
    }
    return best;
}

static const char *nearest_command(const char *word)
{
    const char *best = NULL;
    unsigned best_distance = 4;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        unsigned d = distance(word, commands[i].words);
        if (d < best_distance)
            best_distance = d, best = commands[i].words;
    }
    return best;
}

/* --- parsing ---------------------------------------------------------------------------------- */

static const char *environment(const char *name)
{
    char variable[64] = "HEZOU_";
    size_t n = strlen(variable);
    for (; *name != '\0' && n + 1 < sizeof variable; name++)
        variable[n++] =
            *name == '-' ? '_' : (char)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name);
    variable[n] = '\0';
    return getenv(variable);
}

static bool is_number(const char *text)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    (void)strtoll(text, &end, 10); /* only its end matters here */
    return *end == '\0' && strlen(text) <= 15;
}

static enum status value_check(struct options *options, size_t i, struct err *err)
{
    if (rows[i].kind == NUMBER && !is_number(options->values[i]))
        return err_set(err, ST_INVALID, "--%s %s: %s", rows[i].name,
                       text_in(options->language, TEXT_NOT_A_NUMBER), options->values[i]);
    return ST_OK;
}

/* One "--name", "--name=value" or "--name value"; *at moves over what was used. */
static enum status option_parse(struct options *options, int argc, char **argv, int *at,
                                struct err *err)
{
    char *text = argv[*at] + 2;
    const char *equals = strchr(text, '=');
    struct str name = {text, equals == NULL ? strlen(text) : (size_t)(equals - text)};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (!str_is(name, rows[i].name))
            continue;
        if (rows[i].kind == FLAG && equals == NULL)
            options->values[i] = "1";
        else if (equals != NULL)
            options->values[i] = equals + 1;
        else if (*at + 1 < argc)
            options->values[i] = argv[++*at];
        else
            return err_set(err, ST_INVALID, "--%s %s", rows[i].name,
                           text_in(options->language, TEXT_NEEDS_VALUE));
        return value_check(options, i, err);
    }
    const char *near = nearest_option(text);
    err_set(err, ST_INVALID, "%s --" STR_FMT, text_in(options->language, TEXT_UNKNOWN_OPTION),
            STR_ARG(name));
    return near == NULL ? ST_INVALID
                        : err_hint(err, ST_INVALID, "%s --%s?",
                                   text_in(options->language, TEXT_DID_YOU_MEAN), near);
}

/* The command of one or two words; *ret_used says how many. */
static enum status command_parse(struct options *options, char **words, size_t count,
                                 size_t *ret_used, struct err *err)
{
    char two[2 * NAME_MAX_BYTES];
    if (count == 0) {
        options->command = COMMAND_HELP;
        *ret_used = 0;
        return ST_OK;
    }
    snprintf(two, sizeof two, "%s %s", words[0], count > 1 ? words[1] : "");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        bool pair = strchr(commands[i].words, ' ') != NULL;
        if (strcmp(commands[i].words, pair ? two : words[0]) != 0)
            continue;
        options->command = (enum command)i;
        *ret_used = pair ? 2 : 1;
        return ST_OK;
    }
    const char *near = nearest_command(words[0]);
    err_set(err, ST_INVALID, "%s: %s", text_in(options->language, TEXT_UNKNOWN_COMMAND), words[0]);
    if (near == NULL)
        return err_hint(err, ST_INVALID, "%s", text_in(options->language, TEXT_TRY_HELP));
    return err_hint(err, ST_INVALID, "%s %s?", text_in(options->language, TEXT_DID_YOU_MEAN), near);
}

static void language_choose(struct options *options)
{
    const char *name = option_text(options, OPTION_LANG);
    if (name[0] == '\0')
        name = getenv("LC_ALL");
    if (name == NULL || name[0] == '\0')
        name = getenv("LANG");
    options->language = language_of(name);
}

enum status options_parse(int argc, char **argv, struct options *ret_options, struct err *err)
{
    struct options options = {.argument = ""};
    char *words[3] = {0};
    size_t count = 0, used = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *value = environment(rows[i].name);
        options.values[i] = value != NULL ? value : rows[i].otherwise;
    }
    language_choose(&options);
    for (int at = 1; at < argc; at++) {
        bool is_option = strncmp(argv[at], "--", 2) == 0;
        if (is_option && strcmp(argv[at], "--help") == 0)
            words[0] = (char *)(uintptr_t) "help", count = count == 0 ? 1 : count;
        else if (is_option && option_parse(&options, argc, argv, &at, err) != ST_OK)
            return err->status;
        else if (!is_option && count < 3)
            words[count++] = argv[at];
    }
    language_choose(&options);
    enum status status = command_parse(&options, words, count, &used, err);
    if (status != ST_OK)
        return status;
    if (used < count)
        options.argument = words[used];
    if (commands[options.command].arguments[0] != '\0' && options.argument[0] == '\0') {
        err_set(err, ST_INVALID, "hezou %s %s", commands[options.command].words,
                text_in(options.language, TEXT_NEEDS_VALUE));
        return err_hint(err, ST_INVALID, "hezou %s %s", commands[options.command].words,
                        commands[options.command].arguments);
    }
    *ret_options = options;
    return ST_OK;
}

const char *option_text(const struct options *options, enum option option)
{
    return options->values[option];
}

bool option_is_set(const struct options *options, enum option option)
{
    return options->values[option][0] != '\0';
}

long long option_number(const struct options *options, enum option option)
{
    CHECK(rows[option].kind == NUMBER);
    return strtoll(options->values[option], NULL, 10);
}

/* --- help ------------------------------------------------------------------------------------- */

void options_print_help(enum language language)
{
    printf("%s hezou COMMAND [--option value]\n\n%s\n", text_in(language, TEXT_USAGE),
           text_in(language, TEXT_COMMANDS));
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", commands[i].words, commands[i].arguments);
        printf("  %-28s %s\n", usage, commands[i].texts[language]);
    }
    printf("\n%s\n", text_in(language, TEXT_OPTIONS));
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        printf("  --%-26s %s", rows[i].name, rows[i].texts[language]);
        if (rows[i].otherwise[0] != '\0')
            printf(" (%s %s)", text_in(language, TEXT_DEFAULT), rows[i].otherwise);
        printf("\n");
    }
}

void options_print_markdown(void)
{
    printf("# Commands and settings\n\nMade by `hezou help --markdown` from `src/app/options.def`; "
           "a test compares.\n\n"
           "| command | what it does | 说明 |\n|---|---|---|\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("| `hezou %s%s%s` | %s | %s |\n", commands[i].words,
               commands[i].arguments[0] != '\0' ? " " : "", commands[i].arguments,
               commands[i].texts[0], commands[i].texts[1]);
    printf("\nEach option can also be set by the environment variable `HEZOU_NAME` (`--cache-mb` "
           "is `HEZOU_CACHE_MB`).\n\n"
           "| option | for | default | what it does | 说明 |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        printf("| `--%s` | %s | %s | %s | %s |\n", rows[i].name, rows[i].commands,
               rows[i].otherwise, rows[i].texts[0], rows[i].texts[1]);
    printf("\n# Modules\n\nMade from `src/app/modules.def`: what each answers for.\n\n"
           "| module | threads and jobs | personal data | erased by | exported by | checks itself "
           "by |\n"
           "|---|---|---|---|---|---|\n");
#define MODULE_ROW(name, jobs, data, erase, export, check)                                         \
    printf("| `%s` | %s | %s | %s | %s | %s |\n", name, jobs, data, erase, export, check);
#define X(name, ...) MODULE_ROW(#name, __VA_ARGS__)
#include "app/modules.def"
#undef X
#undef MODULE_ROW
}
