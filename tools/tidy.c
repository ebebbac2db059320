/* tidy.c - reads the source tree and says where it breaks the rules of docs/STYLE.md.
 *
 * A rule that no program checks is forgotten within a month. These are checked in every `make
 * test`: layers, private headers, banned calls, lengths, file openings, header guards, and what
 * each module folder must hold.
 *
 * It works on lines of text whose comments and literals are blanked, not on a syntax tree. That is
 * enough because the formatter has fixed the shape: a function's braces stand alone in the first
 * column.
 *
 *   tidy ROOT                check ROOT/{src,tests,tools,fuzz}; prints file:line: rule: words; exit
 * 1 on a finding tidy --samples FILE...   each file's first line names a path and the findings that
 * the rest must give
 *
 * Rules: layer private include banned goto length column blank word opening guard module. */
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINES_MAX 70    /* of a function: what one looks at without scrolling */
#define COLUMNS_MAX 100 /* two files side by side on one screen */
#define MODULES_MAX 64
#define FINDINGS_MAX 65536

struct module {
    char name[32];
    int row; /* 1 = top */
};

struct finding {
    int line;
    char rule[16];
};

static struct module modules[MODULES_MAX];
static size_t modules_count;
static struct finding found[FINDINGS_MAX]; /* of the file in hand */
static size_t found_count, total;
static bool quiet;

/* Parse without bounds, hide an error, wait blindly, or take time and chance from the air (rules 9
 * and 11). */
static const char *const banned[] = {
    "strcpy", "strcat", "sprintf", "vsprintf", "gets",   "strtok", "atoi",
    "atol",   "system", "popen",   "rand",     "srand",  "time",   "localtime",
    "gmtime", "ctime",  "usleep",  "sleep",    "alloca",
};
/* Split, so that this file passes its own check. */
static const char *const words[] = {"FIX"
                                    "ME",
                                    "XX"
                                    "X",
                                    "TO"
                                    "DO"};

struct file {
    const char *path; /* relative to the root, with slashes */
    char *text;       /* as it is */
    char *code;       /* same length, comments and literals blanked */
    size_t n;
};

__attribute__((format(printf, 4, 5))) static void report(const struct file *file, int line,
                                                         const char *rule, const char *format, ...)
{
    total++;
    if (found_count < FINDINGS_MAX) {
        struct finding *finding = &found[found_count++];
        finding->line = line;
        snprintf(finding->rule, sizeof finding->rule, "%s", rule);
    }
    if (quiet)
        return;
    va_list args;
    va_start(args, format);
    printf("%s:%d: %s: ", file->path, line, rule);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static const struct module *module_find(const char *name, size_t n)
{
    for (size_t i = 0; i < modules_count; i++)
        if (strlen(modules[i].name) == n && memcmp(modules[i].name, name, n) == 0)
            return &modules[i];
    return NULL;
}

/* The module a path lies in: "src/log/x.c" is in log; NULL outside of src. */
static const struct module *module_of(const char *path)
{
    if (!starts_with(path, "src/"))
        return NULL;
    const char *name = path + 4, *slash = strchr(name, '/');
    return slash == NULL ? NULL : module_find(name, (size_t)(slash - name));
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Where the comment or literal that starts at `i` ends; `i` itself when none starts there. */
static size_t skip_quiet(const char *text, size_t n, size_t i)
{
    if (text[i] == '/' && i + 1 < n && text[i + 1] == '*') {
        for (i += 2; i + 1 < n && !(text[i] == '*' && text[i + 1] == '/'); i++)
            continue;
        return i + 2 < n ? i + 2 : n;
    }
    if (text[i] == '/' && i + 1 < n && text[i + 1] == '/') {
        while (i < n && text[i] != '\n')
            i++;
        return i;
    }
    if (text[i] != '"' && text[i] != '\'')
        return i;
    char quote = text[i];
    for (i++; i < n && text[i] != quote && text[i] != '\n'; i++)
        if (text[i] == '\\')
            i++;
    return i < n ? i + 1 : n;
}

/* Blank comments and literals in file->code, keeping line ends; the text of an #include line stays.
 */
static void blank_quiet(struct file *file)
{
    bool line_start = true, include = false;
    for (size_t i = 0; i < file->n;) {
        if (line_start)
            include = starts_with(file->code + i, "#include");
        size_t end = include && file->code[i] == '"' ? i : skip_quiet(file->text, file->n, i);
        if (end == i) {
            line_start = file->code[i++] == '\n';
            continue;
        }
        for (; i < end; i++)
            if (file->code[i] != '\n')
                file->code[i] = ' ';
        line_start = false;
    }
}

/* Headers that tools/embed makes from .sql files lie in the build folder, beside no other header.
 */
static bool is_embedded(const char *name, size_t n)
{
    static const char *const ends[] = {"_sql.h", "_queries.h", "_migrations.h"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t m = strlen(ends[i]);
        if (n > m && memcmp(name + n - m, ends[i], m) == 0)
            return true;
    }
    return false;
}

static void check_include(const struct file *file, int line, const char *quoted)
{
    const char *end = strchr(quoted, '"');
    const struct module *self = module_of(file->path);
    if (end == NULL)
        return;
    size_t n = (size_t)(end - quoted);
    const char *slash = memchr(quoted, '/', n);
    if (slash == NULL) {
        if (self != NULL && !is_embedded(quoted, n))
            report(file, line, "include", "say \"module/%.*s\"", (int)n, quoted);
        return;
    }
    const struct module *other = module_find(quoted, (size_t)(slash - quoted));
    if (other == NULL) {
        if (self != NULL)
            report(file, line, "include", "\"%.*s\" is in no module of src/LAYERS", (int)n, quoted);
        return;
    }
    if (other == self)
        return;
    if (n > 6 && memcmp(end - 6, "_int.h", 6) == 0)
        report(file, line, "private", "\"%.*s\" is for the folder %s alone", (int)n, quoted,
               other->name);
    if (self != NULL && other->row <= self->row)
        report(file, line, "layer", "%s (row %d) may not include %s (row %d): downwards only",
               self->name, self->row, other->name, other->row);
}

static bool may_getenv(const char *path)
{
    return starts_with(path, "src/app/") || strcmp(path, "src/base/hook.c") == 0 ||
           !starts_with(path, "src/") || ends_with(path, "_test.c");
}

/* One word of code; `next` is the first character after it that is no blank. */
static void check_word(const struct file *file, int line, const char *word, size_t n, char next)
{
    if (n == 4 && memcmp(word, "goto", 4) == 0)
        report(file, line, "goto", "an arena or CLEANUP does it without");
    if (next != '(')
        return;
    for (size_t i = 0; i < sizeof banned / sizeof *banned; i++)
        if (strlen(banned[i]) == n && memcmp(banned[i], word, n) == 0)
            report(file, line, "banned", "%s()", banned[i]);
    if (n == 6 && memcmp(word, "getenv", 6) == 0 && !may_getenv(file->path))
        report(file, line, "banned", "getenv() belongs to app and base/hook.c");
}

static void check_code_line(const struct file *file, int line, const char *code, size_t n)
{
    if (n > 10 && starts_with(code, "#include \""))
        check_include(file, line, code + 10);
    if (n > 0 && code[0] == '#')
        return;
    for (size_t i = 0; i < n;) {
        size_t start = i;
        while (i < n && is_word(code[i]))
            i++;
        if (i == start) {
            i++;
            continue;
        }
        size_t next = i;
        while (next < n && code[next] == ' ')
            next++;
        check_word(file, line, code + start, i - start, next < n ? code[next] : '\n');
    }
}

static void check_text_line(const struct file *file, int line, const char *text, size_t n)
{
    size_t columns = 0;
    for (size_t i = 0; i < n; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    /* A .def is a table of texts: a row is one thing, however long its words are. */
    if (columns > COLUMNS_MAX && !ends_with(file->path, ".def"))
        report(file, line, "column", "%zu columns (limit %d)", columns, COLUMNS_MAX);
    if (memchr(text, '\t', n) != NULL)
        report(file, line, "blank", "a tab");
    if (n > 0 && text[n - 1] == ' ')
        report(file, line, "blank", "blanks at the end");
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        size_t m = strlen(words[w]);
        for (size_t i = 0; i + m <= n; i++)
            if (memcmp(text + i, words[w], m) == 0 &&
                (i == 0 || (!is_word(text[i - 1]) && text[i - 1] != '"')) &&
                (i + m == n || !is_word(text[i + m])))
                report(file, line, "word", "%s: finish it or leave it out", words[w]);
    }
}

static bool may_be_long(const char *path)
{
    return starts_with(path, "tests/") || starts_with(path, "fuzz/") ||
           ends_with(path, "_test.c") || ends_with(path, "_fuzz.c");
}

static void check_lines(const struct file *file)
{
    int line = 1, body = 0;
    for (size_t i = 0; i < file->n; line++) {
        const char *end = memchr(file->text + i, '\n', file->n - i);
        size_t n = end == NULL ? file->n - i : (size_t)(end - (file->text + i));
        check_text_line(file, line, file->text + i, n);
        check_code_line(file, line, file->code + i, n);
        if (n >= 1 && file->code[i] == '{')
            body = line;
        if (n >= 1 && file->code[i] == '}' && body > 0) {
            int length = line - body + 1;
            if (length > LINES_MAX && !may_be_long(file->path))
                report(file, body, "length", "%d lines (limit %d)", length, LINES_MAX);
            body = 0;
        }
        i += n + 1;
    }
}

static void check_opening(const struct file *file)
{
    char want[160];
    const char *slash = strrchr(file->path, '/');
    snprintf(want, sizeof want, "/* %s - ", slash == NULL ? file->path : slash + 1);
    if (!starts_with(file->text, want))
        report(file, 1, "opening", "the file opens with \"%s…\"", want);
}

/* src/log/log_int.h is guarded by LOG_LOG_INT_H. */
static void check_guard(const struct file *file)
{
    char guard[128], want[300];
    const char *name = starts_with(file->path, "src/") ? file->path + 4 : file->path;
    size_t n = 0;
    for (; name[n] != '\0' && n + 1 < sizeof guard; n++)
        guard[n] = is_word(name[n]) ? (char)toupper((unsigned char)name[n]) : '_';
    guard[n] = '\0';
    snprintf(want, sizeof want, "#ifndef %s\n#define %s\n", guard, guard);
    if (strstr(file->code, want) == NULL)
        report(file, 1, "guard", "no #ifndef and #define of %s", guard);
}

/* `text` is malloc'd with a terminator and is taken over. */
static void check_file(const char *path, char *text, size_t n)
{
    struct file file = {.path = path, .text = text, .n = n};
    file.code = malloc(n + 1);
    if (file.code == NULL)
        abort();
    memcpy(file.code, text, n + 1);
    found_count = 0;
    blank_quiet(&file);
    check_opening(&file);
    if (ends_with(path, ".h"))
        check_guard(&file);
    check_lines(&file);
    free(file.code);
    free(text);
}

static char *read_file(const char *path, size_t *ret_n)
{
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) {
        fprintf(stderr, "tidy: could not open %s\n", path);
        exit(2);
    }
    size_t capacity = 1 << 16, n = 0, got;
    char *text = malloc(capacity + 1);
    while (text != NULL && (got = fread(text + n, 1, capacity - n, stream)) > 0) {
        n += got;
        if (n == capacity)
            text = realloc(text, (capacity *= 2) + 1);
    }
    if (text == NULL)
        abort();
    fclose(stream);
    text[n] = '\0';
    *ret_n = n;
    return text;
}

static void read_layers(const char *root)
{
    char path[4096];
    size_t n;
    snprintf(path, sizeof path, "%s/src/LAYERS", root);
    char *text = read_file(path, &n), *rest = text, *row_text, *name, *inner;
    int row = 0;
    while ((row_text = strsep(&rest, "\n")) != NULL) {
        if (*row_text == '#' || *row_text == '\0')
            continue;
        row++;
        for (inner = row_text; (name = strsep(&inner, " ")) != NULL;) {
            if (*name == '\0' || modules_count == MODULES_MAX)
                continue;
            struct module *module = &modules[modules_count++];
            snprintf(module->name, sizeof module->name, "%s", name);
            module->row = row;
        }
    }
    free(text);
}

/* A module that is named in LAYERS is a folder that explains and builds itself. */
static void check_modules(const char *root)
{
    static const char *const must[] = {"README.md", "meson.build"};
    for (size_t m = 0; m < modules_count; m++) {
        for (size_t i = 0; i < sizeof must / sizeof *must; i++) {
            char path[4096], name[128];
            struct stat info;
            snprintf(name, sizeof name, "src/%s/%s", modules[m].name, must[i]);
            snprintf(path, sizeof path, "%s/%s", root, name);
            if (stat(path, &info) != 0)
                report(&(struct file){.path = name}, 1, "module", "every module has a %s", must[i]);
        }
    }
}

static bool is_source(const char *name)
{
    return ends_with(name, ".c") || ends_with(name, ".h") || ends_with(name, ".def");
}

/* `path` is relative to root. */
static void walk(const char *root, const char *path)
{
    char full[4096], child[2048];
    struct dirent **entries;
    snprintf(full, sizeof full, "%s/%s", root, path);
    int count = scandir(full, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        struct stat info;
        snprintf(child, sizeof child, "%s/%s", path, name);
        snprintf(full, sizeof full, "%s/%s", root, child);
        if (name[0] != '.' && strcmp(name, "node_modules") != 0 && lstat(full, &info) == 0) {
            size_t n;
            if (S_ISDIR(info.st_mode))
                walk(root, child);
            else if (S_ISREG(info.st_mode) && is_source(name)) {
                char *text = read_file(full, &n);
                check_file(child, text, n);
            }
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

/* First line: `src/log/x.c rule:line rule:line …`; line numbers count from the line below. */
static bool sample_holds(const char *name)
{
    size_t n;
    char *text = read_file(name, &n), *body = strchr(text, '\n');
    if (body == NULL)
        return false;
    *body++ = '\0';
    char *expected = strchr(text, ' '), got[4096];
    if (expected != NULL)
        *expected++ = '\0';
    size_t size = n - (size_t)(body - text), used = 0;
    check_file(text, strndup(body, size), size);
    for (size_t i = 0; i < found_count && used < sizeof got - 64; i++)
        used += (size_t)snprintf(got + used, sizeof got - used, "%s%s:%d", i > 0 ? " " : "",
                                 found[i].rule, found[i].line);
    got[used] = '\0';
    bool same = strcmp(got, expected == NULL ? "" : expected) == 0;
    printf("%s %s: %s\n", same ? "ok" : "not ok", name, got);
    if (!same)
        printf("  expected: %s\n", expected == NULL ? "" : expected);
    free(text);
    return same;
}

static int check_samples(int count, char **names)
{
    static const char *const rows[] = {"app", "log", "store", "base"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(modules[i].name, sizeof modules[i].name, "%s", rows[i]);
        modules[i].row = (int)i + 1;
    }
    modules_count = sizeof rows / sizeof *rows;
    quiet = true;
    int failed = 0;
    for (int i = 0; i < count; i++)
        failed += !sample_holds(names[i]);
    return failed > 0 || count == 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--samples") == 0)
        return check_samples(argc - 2, argv + 2);
    if (argc != 2) {
        fputs("usage: tidy ROOT | tidy --samples FILE...\n", stderr);
        return 2;
    }
    static const char *const folders[] = {"src", "tests", "tools", "fuzz"};
    read_layers(argv[1]);
    check_modules(argv[1]);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        walk(argv[1], folders[i]);
    if (total > 0)
        printf("%zu findings\n", total);
    return total > 0;
}
