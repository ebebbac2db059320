/* pipeline_search.c - do bytes that nobody could read name one of these identifiers?
 *
 * A quarantined record belongs to no visitor, so an erase has to look into it. What the door could
 * not translate may still be well packed, so each text is read in several ways: as it stands, with
 * JSON escapes and percent codes undone, with the blanks and dashes of phone numbers left out, and
 * whatever looks like base64 or gzip unpacked, as far as it goes, and read again.
 *
 * An identifier must stand there as a whole word, in any case: 1234 is not found in 91234567. One
 * of less than four bytes must be a whole JSON value, or it would be found in everything. To take
 * one unreadable record too many is the lesser harm here, to leave one is a broken promise. */
#include "pipeline/pipeline_int.h"

#include "net/inflate.h"

#define WORD_BYTES 4    /* from here on a word is told enough from its surroundings */
#define PACKED_BYTES 16 /* a shorter run of base64 holds no identifier with its name */
#define PACKED_LEVELS 2 /* gzip inside base64 */
#define PHONE_DIGITS 9u /* of a number abroad: without a trunk code, enough to be somebody's */

struct search {
    const struct event_identifier *wanted; /* in normal form */
    size_t count;
    struct arena *arena;
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || c == '-' ||
           (unsigned char)c >= 0x80;
}

static struct str lowered(struct str text, struct arena *arena)
{
    char *out = arena_alloc(arena, text.n + 1);
    for (size_t i = 0; i < text.n; i++)
        out[i] = lower(text.p[i]);
    return (struct str){out, text.n};
}

/* --- one reading ------------------------------------------------------------------------------ */

/* Is text[at, at + n) a whole word; if it is short, a whole value of JSON? */
static bool stands_alone(struct str text, size_t at, size_t n)
{
    char before = at > 0 ? text.p[at - 1] : '"';
    char after = at + n < text.n ? text.p[at + n] : '"';
    if (n >= WORD_BYTES)
        return !is_word(before) && !is_word(after);
    return strchr("\": ", before) != NULL && strchr("\",} ", after) != NULL;
}

static bool word_stands_in(struct str text, struct str word)
{
    size_t at = 0;
    const char *found;
    while (at < text.n && (found = memmem(text.p + at, text.n - at, word.p, word.n)) != NULL) {
        if (stands_alone(text, (size_t)(found - text.p), word.n))
            return true;
        at = (size_t)(found - text.p) + 1;
    }
    return false;
}

/* The digits by which people write +8613812345678 down: 13812345678. */
static struct str phone_digits(struct str value)
{
    const struct str china = STR("+86");
    if (str_starts(value, china))
        return (struct str){value.p + china.n, value.n - china.n};
    size_t n = value.n > PHONE_DIGITS ? PHONE_DIGITS : value.n;
    return (struct str){value.p + value.n - n, n};
}

static bool digits_end_in(struct str text, struct str digits)
{
    size_t at = 0;
    const char *found;
    while (at < text.n && (found = memmem(text.p + at, text.n - at, digits.p, digits.n)) != NULL) {
        at = (size_t)(found - text.p) + digits.n;
        if (at == text.n || !is_digit(text.p[at]))
            return true;
    }
    return false;
}

/* Without what people put between the digits of a number. */
static struct str squeezed(struct str text, struct arena *arena)
{
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        if (strchr(" -().+/\t", text.p[i]) == NULL)
            out[n++] = text.p[i];
    return (struct str){out, n};
}

static bool reading_names(const struct search *search, struct str text)
{
    struct str plain = lowered(text, search->arena);
    struct str numbers = squeezed(plain, search->arena);
    for (size_t i = 0; i < search->count; i++) {
        const struct event_identifier *wanted = &search->wanted[i];
        if (word_stands_in(plain, lowered(wanted->value, search->arena)) ||
            (wanted->type == IDENTIFIER_PHONE &&
             digits_end_in(numbers, phone_digits(wanted->value))))
            return true;
    }
    return false;
}

/* --- the other readings ----------------------------------------------------------------------- */

static int hex_digits(struct str text, size_t at, size_t n)
{
    int value = 0;
    if (at + n > text.n)
        return -1;
    for (size_t i = at; i < at + n; i++) {
        char c = lower(text.p[i]);
        if (!is_digit(c) && (c < 'a' || c > 'f'))
            return -1;
        value = value * 16 + (is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    return value;
}

/* UTF-8; halves of a pair come out as three bytes each, and then match nothing. */
static size_t utf8_put(char *out, int code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

/* JSON escapes and percent codes undone; what is neither stays. */
static struct str undone(struct str text, struct arena *arena)
{
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i], next = i + 1 < text.n ? text.p[i + 1] : '\0';
        int percent = c == '%' ? hex_digits(text, i + 1, 2) : -1;
        int escape = c == '\\' && next == 'u' ? hex_digits(text, i + 2, 4) : -1;
        if (percent >= 0) {
            out[n++] = (char)percent;
            i += 2;
        } else if (escape >= 0) {
            n += utf8_put(out + n, escape);
            i += 5;
        } else if (c == '\\' && next != '\0') {
            out[n++] = strchr("bfnrt", next) != NULL ? ' ' : next;
            i++;
        } else {
            out[n++] = c;
        }
    }
    return (struct str){out, n};
}

/* Both alphabets; a blank is a '+' that a form has lost. -1 = not of base64. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == '+' || c == '-' || c == ' ' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static struct str base64_decoded(struct str run, struct arena *arena)
{
    char *out = arena_alloc(arena, run.n + 1);
    size_t n = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < run.n; i++) {
        bits = bits << 6 | (uint32_t)base64_value(run.p[i]);
        if (i % 4 != 0)
            out[n++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    return (struct str){out, n};
}

static bool names(const struct search *search, struct str bytes, int levels);

/* A run may have lost characters in front, so each of the four ways to cut it is tried. */
static bool run_names(const struct search *search, struct str run, int levels)
{
    for (size_t skip = 0; skip < 4; skip++) {
        struct str rest = {run.p + skip, run.n - skip};
        if (names(search, base64_decoded(rest, search->arena), levels))
            return true;
    }
    return false;
}

static bool base64_names(const struct search *search, struct str text, int levels)
{
    for (size_t at = 0; at < text.n;) {
        size_t end = at;
        while (end < text.n && base64_value(text.p[end]) >= 0)
            end++;
        if (end - at >= PACKED_BYTES &&
            run_names(search, (struct str){text.p + at, end - at}, levels))
            return true;
        at = end + 1;
    }
    return false;
}

static bool gzip_names(const struct search *search, struct str bytes, int levels)
{
    struct buf plain;
    buf_init(&plain, LIMIT_INFLATED_BYTES);
    inflate_some(bytes, &plain);
    bool found = plain.n > 0 && names(search, buf_view(&plain), levels);
    buf_done(&plain);
    return found;
}

static bool names(const struct search *search, struct str bytes, int levels)
{
    if (inflate_is_gzip(bytes))
        return levels > 0 && gzip_names(search, bytes, levels - 1);
    struct str plain = undone(bytes, search->arena);
    return reading_names(search, bytes) || reading_names(search, plain) ||
           (levels > 0 && base64_names(search, plain, levels - 1));
}

/* An event that only the fold refused: its identifiers in their normal form. */
static bool event_names(const struct search *search, const struct event *event)
{
    for (size_t i = 0; i < event->identifiers_count; i++) {
        const struct event_identifier *identifier = &event->identifiers[i];
        struct str value;
        if (!clean_identifier(identifier->type, identifier->value, search->arena, &value))
            continue;
        for (size_t j = 0; j < search->count; j++)
            if (search->wanted[j].type == identifier->type &&
                str_eq(search->wanted[j].value, value))
                return true;
    }
    return false;
}

bool pipeline_search(const struct log_record *record, const struct event_identifier *wanted,
                     size_t count, struct arena *arena)
{
    struct search search = {wanted, count, arena};
    struct event event;
    struct quarantine quarantine;
    struct err ignored;
    struct str raw = record->payload;
    if (record->type == LOG_QUARANTINE &&
        quarantine_decode(record->payload, &quarantine, &ignored) == ST_OK)
        raw = quarantine.raw;
    if (record->type == LOG_EVENT && event_decode(record->payload, &event, &ignored) == ST_OK &&
        event_names(&search, &event))
        return true;
    return names(&search, raw, PACKED_LEVELS);
}
