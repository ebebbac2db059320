/* options.c - one list, read three ways: parsing, help, document.
 *
 * Order of precedence: flag, environment, default. Unknown words are errors that name the nearest
 * known one. */
#include "app/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/near.h"

enum kind { FLAG, TEXT, NUMBER, REAL, DURATION, LIST };

static const struct command_row {
    const char *words, *arguments, *texts[2];
} commands[COMMAND_COUNT] = {
#define COMMAND(id, words, arguments, en, zh) {words, arguments, {en, zh}},
#include "app/options.def"
};

static const struct option_row {
    const char *name; /* with the dashes */
    enum kind kind;
    const char *otherwise, *commands, *texts[2];
} rows[OPTION_COUNT] = {
#define OPTION(id, name, kind, otherwise, commands, en, zh)                                        \
    {"--" name, kind, otherwise, commands, {en, zh}},
#include "app/options.def"
};

/* --- nearest name ----------------------------------------------------------------------------- */

#define NAME_MAX_BYTES 32
#define WORDS_MAX 4 /* two of a command, its argument, and one too many */

static const char *nearest(const char *typed, bool of_options)
{
    struct near near = near_to(str_of(typed));
    for (size_t i = 0; i < (of_options ? (size_t)OPTION_COUNT : (size_t)COMMAND_COUNT); i++)
        near_offer(&near, str_of(of_options ? rows[i].name : commands[i].words));
    return near.count == 0 ? NULL : near.names[0].p;
}

/* --- which command takes which option --------------------------------------------------------- */

static bool is_file_report(enum command command)
{
    static const enum command files[] = {
#define REPORT(id, word, function, en, zh) COMMAND_REPORT_##id,
#include "app/options.def"
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] == command)
            return true;
    return false;
}

bool command_is_live(enum command command, bool *ret_always)
{
    static const enum command live[] = {
#define LIVE(id, word, en, zh) COMMAND_LIVE_##id,
#include "app/options.def"
    };
    static const enum command both[] = {
        COMMAND_REPORT_FUNNEL,      COMMAND_REPORT_SEQUENCE, COMMAND_REPORT_RETENTION,
        COMMAND_REPORT_ATTRIBUTION, COMMAND_REPORT_RFM,      COMMAND_REPORT_KMEANS,
        COMMAND_REPORT_CLV,
    };
    *ret_always = false;
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++)
        *ret_always = *ret_always || live[i] == command;
    bool is_live = *ret_always;
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++)
        is_live = is_live || both[i] == command;
    return is_live;
}

static bool is_live_report(enum command command)
{
    bool always;
    return command_is_live(command, &always);
}

static bool asks_a_server(enum command command)
{
    return (!is_file_report(command) || is_live_report(command)) && command != COMMAND_SERVE &&
           command != COMMAND_RUN && command != COMMAND_FEATURE && command != COMMAND_BUCKET &&
           command != COMMAND_VERSION && command != COMMAND_HELP;
}

/* Is `words` in the list, whole? */
static bool list_has(const char *list, const char *words)
{
    size_t n = strlen(words);
    for (const char *at = list; (at = strstr(at, words)) != NULL; at++) {
        bool begins = at == list || at[-1] == ' ' || at[-1] == ',';
        if (begins && (at[n] == '\0' || at[n] == ' ' || at[n] == ','))
            return true;
    }
    return false;
}

static bool takes(enum command command, size_t option)
{
    const char *list = rows[option].commands;
    return list_has(list, "all") || list_has(list, commands[command].words) ||
           (list_has(list, "client") && asks_a_server(command)) ||
           (list_has(list, "reports") && is_file_report(command)) ||
           (list_has(list, "live") && is_live_report(command));
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

static bool number_of(const char *text, long long *ret_number)
{
    char *end;
    if (*text < '0' || *text > '9' || strlen(text) > 15)
        return false;
    *ret_number = strtoll(text, &end, 10);
    return *end == '\0';
}

static bool real_of(const char *text, double *ret_real)
{
    char *end;
    if (*text == '\0' || strspn(text, "0123456789+-.eE") != strlen(text))
        return false;
    *ret_real = strtod(text, &end);
    return *end == '\0' && isfinite(*ret_real);
}

static bool duration_of(const char *text, int64_t *ret_us)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"ms", US_PER_MS},      {"s", US_PER_S},   {"m", 60 * US_PER_S},
                 {"h", 3600 * US_PER_S}, {"d", US_PER_DAY}, {"w", 7 * US_PER_DAY}};
    size_t digits = strspn(text, "0123456789");
    int64_t count = 0;
    if (digits == 0 || digits > 15)
        return false;
    for (size_t i = 0; i < digits; i++)
        count = count * 10 + (text[i] - '0');
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(text + digits, units[i].name) == 0)
            return !__builtin_mul_overflow(count, units[i].us, ret_us);
    return false;
}

/* Also of what the environment said, but only of what the command will use. */
static enum status values_check(const struct options *options, struct err *err)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *value = options->values[i];
        long long number;
        double real;
        int64_t us;
        enum kind kind = rows[i].kind;
        bool good = (kind != NUMBER || number_of(value, &number)) &&
                    (kind != REAL || real_of(value, &real)) &&
                    (kind != DURATION || duration_of(value, &us));
        if (good || value[0] == '\0' || !takes(options->command, i))
            continue;
        enum text words = kind == DURATION ? TEXT_NOT_A_DURATION : TEXT_NOT_A_NUMBER;
        return err_set(err, ST_INVALID, "%s %s: %s", rows[i].name,
                       text_in(options->language, words), value);
    }
    return ST_OK;
}

/* Behind the values of the options before it and its own. */
static enum status list_add(struct options *options, size_t option, const char *value,
                            struct err *err)
{
    size_t all = 0, at = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        all += options->listed_count[i];
        at += i <= option ? options->listed_count[i] : 0;
    }
    if (all == OPTIONS_LISTED_MAX)
        return err_set(err, ST_INVALID, "%s: more than %d values", rows[option].name,
                       OPTIONS_LISTED_MAX);
    memmove(options->listed + at + 1, options->listed + at, (all - at) * sizeof *options->listed);
    options->listed[at] = value;
    options->listed_count[option]++;
    return ST_OK;
}

/* One "--name", "--name=value" or "--name value"; *at moves over what was used. */
static enum status option_parse(struct options *options, bool *given, int argc, char **argv,
                                int *at, struct err *err)
{
    char *text = argv[*at];
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
            return err_set(err, ST_INVALID, "%s %s", rows[i].name,
                           text_in(options->language, TEXT_NEEDS_VALUE));
        given[i] = true;
        return rows[i].kind == LIST ? list_add(options, i, options->values[i], err) : ST_OK;
    }
    char typed[NAME_MAX_BYTES + 2];
    snprintf(typed, sizeof typed, STR_FMT, STR_ARG(name));
    const char *near = nearest(typed, true);
    err_set(err, ST_INVALID, "%s " STR_FMT, text_in(options->language, TEXT_UNKNOWN_OPTION),
            STR_ARG(name));
    return near == NULL ? ST_INVALID
                        : err_hint(err, ST_INVALID, "%s %s?",
                                   text_in(options->language, TEXT_DID_YOU_MEAN), near);
}

static bool is_first_of_pair(const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strncmp(commands[i].words, word, n) == 0 && commands[i].words[n] == ' ')
            return true;
    return false;
}

/* The command of one or two words; *ret_used says how many. */
static enum status command_parse(struct options *options, const char **words, size_t count,
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
    bool pair = is_first_of_pair(words[0]);
    const char *typed = pair && count > 1 ? two : words[0], *near = nearest(typed, false);
    err_set(err, ST_INVALID, "%s: %s", text_in(options->language, TEXT_UNKNOWN_COMMAND), typed);
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

static const char *const help_word = "help";

/* Words and options apart; "--help" is the word help after the command's own words. */
static enum status argv_read(struct options *options, bool *given, int argc, char **argv,
                             const char **words, size_t *ret_count, struct err *err)
{
    size_t count = 0;
    bool help = false;
    for (int at = 1; at < argc; at++) {
        bool is_option = strncmp(argv[at], "--", 2) == 0;
        if (is_option && strcmp(argv[at], "--help") == 0)
            help = true;
        else if (is_option && option_parse(options, given, argc, argv, &at, err) != ST_OK)
            return err->status;
        else if (!is_option && count < WORDS_MAX)
            words[count++] = argv[at];
    }
    if (help)
        words[count++] = help_word;
    *ret_count = count;
    return ST_OK;
}

/* What was given that the command has no use for. */
static enum status surplus_check(const struct options *options, const bool *given, const char *word,
                                 struct err *err)
{
    const char *name = commands[options->command].words;
    if (word != NULL) {
        err_set(err, ST_INVALID, "%s %s: %s", name, text_in(options->language, TEXT_WORD_TOO_MANY),
                word);
        return err_hint(err, ST_INVALID, "hezou %s %s", name, commands[options->command].arguments);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (!given[i] || takes(options->command, i))
            continue;
        err_set(err, ST_INVALID, "%s %s: %s", name,
                text_in(options->language, TEXT_OPTION_NOT_TAKEN), rows[i].name);
        return err_hint(err, ST_INVALID, "hezou %s --help", name);
    }
    return ST_OK;
}

enum status options_parse(int argc, char **argv, struct options *ret_options, struct err *err)
{
    struct options options = {.argument = "", .helped = COMMAND_COUNT};
    const char *words[WORDS_MAX + 1] = {0};
    bool given[OPTION_COUNT] = {false};
    size_t count = 0, used = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *value = environment(rows[i].name + 2);
        options.values[i] = value != NULL ? value : rows[i].otherwise;
    }
    language_choose(&options);
    enum status status = argv_read(&options, given, argc, argv, words, &count, err);
    language_choose(&options);
    if (status != ST_OK)
        return status;
    status = command_parse(&options, words, count, &used, err);
    if (count > 1 && words[count - 1] == help_word) {
        options.helped = status == ST_OK ? options.command : COMMAND_COUNT;
        options.command = COMMAND_HELP;
        *ret_options = options;
        return ST_OK;
    }
    if (status != ST_OK)
        return status;
    bool wants = commands[options.command].arguments[0] != '\0';
    if (wants && used < count)
        options.argument = words[used++];
    status = surplus_check(&options, given, used < count ? words[used] : NULL, err);
    if (status != ST_OK)
        return status;
    if (wants && options.argument[0] == '\0') {
        err_set(err, ST_INVALID, "hezou %s %s", commands[options.command].words,
                text_in(options.language, TEXT_NEEDS_VALUE));
        return err_hint(err, ST_INVALID, "hezou %s %s", commands[options.command].words,
                        commands[options.command].arguments);
    }
    status = values_check(&options, err);
    if (status == ST_OK)
        *ret_options = options;
    return status;
}

const char *option_text(const struct options *options, enum option option)
{
    return options->values[option];
}

bool option_is_given(const struct options *options, enum option option)
{
    return option_is_set(options, option) && options->values[option] != rows[option].otherwise;
}

bool option_is_set(const struct options *options, enum option option)
{
    return options->values[option][0] != '\0';
}

long long option_number(const struct options *options, enum option option)
{
    long long number = 0;
    CHECK(rows[option].kind == NUMBER);
    return number_of(options->values[option], &number) ? number : 0;
}

double option_real(const struct options *options, enum option option)
{
    double real = 0;
    CHECK(rows[option].kind == REAL);
    return real_of(options->values[option], &real) ? real : 0;
}

int64_t option_duration_us(const struct options *options, enum option option)
{
    int64_t us = 0;
    CHECK(rows[option].kind == DURATION);
    return duration_of(options->values[option], &us) ? us : 0;
}

size_t option_list(const struct options *options, enum option option,
                   const char *const **ret_values)
{
    size_t before = 0;
    CHECK(rows[option].kind == LIST);
    for (size_t i = 0; i < (size_t)option; i++)
        before += options->listed_count[i];
    bool listed = options->listed_count[option] > 0; /* else the environment's one, or none */
    *ret_values = listed ? options->listed + before : &options->values[option];
    return listed ? options->listed_count[option] : option_is_set(options, option);
}

const char *option_name(enum option option)
{
    return rows[option].name;
}

const char *option_command(const struct options *options)
{
    return commands[options->command].words;
}

/* --- help ------------------------------------------------------------------------------------- */

static void option_print(size_t i, enum language language)
{
    printf("  %-28s %s", rows[i].name, rows[i].texts[language]);
    if (rows[i].otherwise[0] != '\0')
        printf(" (%s %s)", text_in(language, TEXT_DEFAULT), rows[i].otherwise);
    printf("\n");
}

static void command_print(size_t i, enum language language)
{
    char usage[64];
    snprintf(usage, sizeof usage, "%s %s", commands[i].words, commands[i].arguments);
    printf("  %-28s %s\n", usage, commands[i].texts[language]);
}

void options_print_help(enum language language, enum command command)
{
    bool all = command == COMMAND_COUNT;
    printf("%s hezou %s%s%s [--option value]\n\n%s\n", text_in(language, TEXT_USAGE),
           all ? "COMMAND" : commands[command].words,
           !all && commands[command].arguments[0] != '\0' ? " " : "",
           all ? "" : commands[command].arguments, text_in(language, TEXT_COMMANDS));
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (all || i == (size_t)command)
            command_print(i, language);
    printf("\n%s\n", text_in(language, TEXT_OPTIONS));
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (all || takes(command, i))
            option_print(i, language);
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
        printf("| `%s` | %s | %s | %s | %s |\n", rows[i].name, rows[i].commands, rows[i].otherwise,
               rows[i].texts[0], rows[i].texts[1]);
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
