/* hook.c - dying or staying at a named point, being wrong on demand, a disk that fails.
 *
 * The environment is read at each passing, not remembered: a test that forks sets the variable in
 * its child, after the parent has passed points itself. Without the variable a passing costs one
 * getenv. Compiled in every build, so that a unit test can have points of its own; a product that
 * passes none does not link this file. */
#ifndef HEZOU_TEST_HOOKS
#define HEZOU_TEST_HOOKS 1
#endif
#include "base/hook.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/disk.h"

void hook_hit(const char *name)
{
    static uint64_t hits; /* of the one point that CRASH_AT names */
    const char *at = getenv("CRASH_AT");
    if (at == NULL)
        return;
    size_t n = strcspn(at, ":");
    if (strlen(name) != n || strncmp(at, name, n) != 0)
        return;
    uint64_t wanted = at[n] == ':' ? strtoull(at + n + 1, NULL, 10) : 1;
    if (__atomic_add_fetch(&hits, 1, __ATOMIC_RELAXED) != wanted)
        return;
    kill(getpid(), SIGKILL);
    for (;;)
        pause(); /* the signal may arrive at another thread first */
}

bool hook_bug(const char *name)
{
    const char *bug = getenv("HEZOU_BUG");
    return bug != NULL && strcmp(bug, name) == 0;
}

bool hook_held(const char *name)
{
    const struct timespec moment = {0, 1000000};
    const char *held = getenv("HEZOU_HOLD");
    size_t n = strlen(name);
    if (held == NULL || strncmp(held, name, n) != 0 || held[n] != ':' ||
        access(held + n + 1, F_OK) != 0)
        return false;
    nanosleep(&moment, NULL);
    return true;
}

void hook_disk(struct disk *disk)
{
    const char *words = getenv("HEZOU_FAIL_IO");
    char *rest = NULL;
    if (words == NULL)
        return;
    disk->fail_at = strtoll(words, &rest, 10);
    disk->fail_errno = *rest == ':' ? (int)strtol(rest + 1, &rest, 10) : 5;
    disk->fail_forever = strstr(rest, ":forever") != NULL;
    disk->fail_syncs = strstr(rest, ":syncs") != NULL;
}

void hook_disk_end(const struct disk *disk)
{
    if (getenv("HEZOU_FAIL_IO") != NULL)
        fprintf(stderr, "hezou: %llu calls of the disk\n", (unsigned long long)disk->calls);
}
