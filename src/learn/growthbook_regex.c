/* growthbook_regex.c - a regular expression from a payload, tried on a text from a person.
 *
 * Both sides are untrusted: the expression may backtrack for ever and the text may be long. PCRE2
 * counts its own steps and stops (ADR 0009). It cannot say how many it took, so a match first gets
 * few and is charged for them; only one that needs more gets many, and is charged for all.
 *
 * The options make PCRE2 read what JavaScript reads: \uXXXX, [] and [^], $ at the very end only, a
 * group that did not take part matches the empty text, and . stops at \n and \r. */
#include "learn/growthbook_int.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define PATTERN_BYTES_MAX 4096
#define SUBJECT_BYTES_MAX ((size_t)64 << 10)
#define NEST_MAX 64
#define STEPS_FEW 1000
#define STEPS_MANY 100000
#define HEAP_KB_MAX 4096

static int try_match(pcre2_code *code, struct str subject, uint32_t steps)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    int found = PCRE2_ERROR_NOMEMORY;
    if (data != NULL && context != NULL) {
        pcre2_set_match_limit(context, steps);
        pcre2_set_depth_limit(context, steps);
        pcre2_set_heap_limit(context, HEAP_KB_MAX);
        found = pcre2_match(code, (PCRE2_SPTR)subject.p, subject.n, 0, PCRE2_NO_UTF_CHECK, data,
                            context);
    }
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    return found;
}

/* Where "(" opens what JavaScript does not have: verbs, comments, recursion, atomic groups, options
 * for the rest. With a colon, as in (?i:a), it does. */
static bool is_foreign_group(struct str pattern, size_t at)
{
    size_t i = at + 2;
    if (at + 1 < pattern.n && pattern.p[at + 1] == '*')
        return true;
    if (i >= pattern.n || pattern.p[at + 1] != '?' || strchr(":=!<", pattern.p[i]) != NULL)
        return false;
    while (i < pattern.n && strchr("ims-", pattern.p[i]) != NULL)
        i++;
    return i == pattern.n || pattern.p[i] != ':';
}

/* A backslash and what stands behind it, as both languages read it. */
static void put_escape(struct buf *out, char escaped)
{
    bool is_letter = (escaped | 0x20) >= 'a' && (escaped | 0x20) <= 'z';
    if (!is_letter || strchr("bBcdDfknrsStuvwWx", escaped) != NULL)
        buf_char(out, '\\');
    buf_char(out, escaped);
}

static bool is_class_escape(struct str pattern, size_t at)
{
    return at + 1 < pattern.n && pattern.p[at] == '\\' &&
           strchr("dDsSwW", pattern.p[at + 1]) != NULL;
}

/* What Perl reads otherwise is written so that both read the same: a letter that is no escape in
 * JavaScript stands for itself; inside a class [ is nothing special, nor is a hyphen beside \w.
 * False for what JavaScript refuses and Perl would not. */
static bool translate(struct str pattern, struct buf *out)
{
    bool in_class = false, was_quantifier = false, beside = false; /* a class escape */
    for (size_t i = 0; i < pattern.n; i++) {
        char c = pattern.p[i];
        bool is_quantifier = false;
        if (c == '\\') {
            beside = is_class_escape(pattern, i);
            if (++i == pattern.n)
                return false;
            put_escape(out, pattern.p[i]);
        } else if (in_class) {
            if (c == '[' || (c == '-' && (beside || is_class_escape(pattern, i + 1))))
                buf_char(out, '\\');
            buf_char(out, c);
            in_class = c != ']';
            beside = false;
        } else {
            if ((c == '(' && is_foreign_group(pattern, i)) || (c == '+' && was_quantifier))
                return false;
            is_quantifier = strchr("*+?", c) != NULL && (i == 0 || pattern.p[i - 1] != '(');
            in_class = c == '[';
            buf_char(out, c);
        }
        was_quantifier = is_quantifier;
    }
    return true;
}

static pcre2_code *compile(struct str pattern, bool no_case)
{
    int error;
    PCRE2_SIZE at;
    uint32_t options = PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS |
                       PCRE2_MATCH_UNSET_BACKREF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C |
                       (no_case ? PCRE2_CASELESS : 0);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL)
        return NULL;
    pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    pcre2_set_parens_nest_limit(context, NEST_MAX);
    pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
    pcre2_code *code = NULL;
    struct buf text;
    buf_init(&text, 2 * PATTERN_BYTES_MAX + 1);
    if (translate(pattern, &text))
        code = pcre2_compile((PCRE2_SPTR)(text.n == 0 ? "" : text.p), text.n, options, &error, &at,
                             context);
    buf_done(&text);
    pcre2_compile_context_free(context);
    return code;
}

enum growthbook_match growthbook_regex(struct growthbook_session *session, struct str pattern,
                                       struct str subject, bool no_case)
{
    if (pattern.n > PATTERN_BYTES_MAX || subject.n > SUBJECT_BYTES_MAX)
        return GROWTHBOOK_MATCH_REFUSED;
    if (!growthbook_spend(session, STEPS_FEW + pattern.n + subject.n / 8))
        return GROWTHBOOK_MATCH_REFUSED;
    pcre2_code *code = compile(pattern, no_case);
    if (code == NULL)
        return GROWTHBOOK_NO_MATCH;
    int found = try_match(code, subject, STEPS_FEW);
    if (found < PCRE2_ERROR_NOMATCH && growthbook_spend(session, STEPS_MANY))
        found = try_match(code, subject, STEPS_MANY);
    pcre2_code_free(code);
    return found >= 0                     ? GROWTHBOOK_MATCH
           : found == PCRE2_ERROR_NOMATCH ? GROWTHBOOK_NO_MATCH
                                          : GROWTHBOOK_MATCH_REFUSED;
}
