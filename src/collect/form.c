/* form.c - application/x-www-form-urlencoded, base64 and 神策's check sum: the wrapping of its
 * records.
 *
 * Real clients differ: the mini-program labels a form as text/plain, some do not percent-code the
 * '+' of base64, so that it arrives as a blank, some use the URL alphabet. All of that can be
 * undone without doubt, so it is. What cannot goes into quarantine by the caller. */
#include "collect/collect_int.h"

#include <sodium.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* A '%' that no two hexadecimal digits follow stays as it is. */
static struct str percent_decode(struct str text, struct arena *arena)
{
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%' && i + 2 < text.n && hex_digit(text.p[i + 1]) >= 0 &&
            hex_digit(text.p[i + 2]) >= 0) {
            c = (char)(hex_digit(text.p[i + 1]) * 16 + hex_digit(text.p[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    return (struct str){out, n};
}

struct str collect_form_field(struct str body, const char *name, struct arena *arena)
{
    size_t name_n = strlen(name);
    for (size_t at = 0; at < body.n;) {
        const char *end = memchr(body.p + at, '&', body.n - at);
        size_t n = end == NULL ? body.n - at : (size_t)(end - (body.p + at));
        if (n > name_n && body.p[at + name_n] == '=' && memcmp(body.p + at, name, name_n) == 0)
            return percent_decode((struct str){body.p + at + name_n + 1, n - name_n - 1}, arena);
        at += n + 1;
    }
    return (struct str){NULL, 0};
}

bool collect_base64(struct str text, struct arena *arena, struct str *ret_bytes)
{
    while (text.n > 0 && strchr("=\r\n", text.p[text.n - 1]) != NULL)
        text.n--;
    char *plain = arena_alloc(arena, text.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        plain[i] = c == '-' || c == ' ' ? '+' : c == '_' ? '/' : c;
    }
    unsigned char *bytes = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    if (sodium_base642bin(bytes, text.n + 1, plain, text.n, "\r\n", &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
        return false;
    *ret_bytes = (struct str){(const char *)bytes, n};
    return true;
}

int32_t collect_java_hash(struct str text)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < text.n; i++)
        hash = hash * 31 + (unsigned char)text.p[i];
    return (int32_t)hash;
}
