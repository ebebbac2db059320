/* text.c - the two columns of text.def. */
#include "base/text.h"

#include <stddef.h>
#include <string.h>

#include "base/check.h"

static const char *const texts[TEXT_COUNT][2] = {
#define X(id, en, zh) {en, zh},
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
    return texts[id][language];
}
