/* cut.h - a server whose power can be cut: libpowercut.so, when it strikes and what it says. */
#ifndef TESTS_CRASH_CUT_H
#define TESTS_CRASH_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cut {
    const char *library; /* NULL: the next server has no such library */
    uint64_t seed;       /* of the image */
    char at[64];         /* POWERCUT_AT, "" = when cut_now says */
    int ours, theirs;    /* the two ends of its socket, -1 */
};

/* For the next server; `x` is random. */
void cut_plan(struct cut *cut, const char *library, uint64_t x);
/* In the child, before it becomes the server. */
void cut_child(const struct cut *cut, const char *data);
void cut_parent(struct cut *cut);
void cut_now(const struct cut *cut);
/* What it said, once the server has ended with `status`; false if that was no cut. */
bool cut_told(struct cut *cut, int status, char *report, size_t size);
/* A copy of the folder as `name`.image, in place of the last. False: it could not be made. */
bool cut_keep(const char *data, const char *name);
bool cut_clear(const char *data);
/* The real thing: `blockcut cut` or `again`. */
bool cut_disk(const char *word, const char *folder);

#endif
