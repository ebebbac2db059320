/* text.h - words for people in both languages (text.def); source and documents are English.
 * Depends on: nothing. Called by: app, api. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

enum text {
#define X(id, en, zh) TEXT_##id,
#include "base/text.def"
#undef X
    TEXT_COUNT
};

enum language { LANGUAGE_EN, LANGUAGE_ZH };

/* From "zh_CN.UTF-8", "zh", "en", …; anything else is English. */
enum language language_of(const char *name);
/* The text; never NULL. */
const char *text_in(enum language language, enum text id);
/* The label of a report's field or word, X(F_NAME, …) for "name"; without one `name` itself. */
const char *text_find(enum language language, const char *name);
#endif
