/* text.c - the two columns of text.def, by id or by a field's name. */
#include "base/text.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

static const struct text_row {
    const char *id;
    const char *in[2]; /* by language */
} texts[TEXT_COUNT] = {
#define X(id, en, zh) {#id, {en, zh}},
#include "base/text.def"
#undef X
};

enum language language_of(const char *name)
{
    return name != NULL && strncmp(name, "zh", 2) == 0 ? LANGUAGE_ZH : LANGUAGE_EN;
}

const char *text_in(enum language language, enum text id)
{
    CHECK(id < TEXT_COUNT);
    return texts[id].in[language];
}

const char *text_find(enum language language, const char *name)
{
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (strncmp(texts[i].id, "F_", 2) == 0 && strcasecmp(texts[i].id + 2, name) == 0)
            return texts[i].in[language];
    return name;
}
