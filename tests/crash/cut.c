/* cut.c - a server whose power can be cut.
 *
 * Half of the cuts come at a moment of the clock, half at a sync or a change of a name, for the
 * times between a file's sync and its folder's are too short to be met by chance. */
#include "cut.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CUT_CODE 86 /* of powercut.c */

void cut_plan(struct cut *cut, const char *library, uint64_t x)
{
    static const struct {
        const char *what;
        unsigned most; /* which one of them */
    } moments[] = {{"sync/journal", 300},    {"sync/state.db", 12}, {"sync/facts.db", 6},
                   {"sync/warehouse", 40},   {"sync/dedup", 12},    {"name/journal", 8},
                   {"name/warehouse", 12},   {"name", 40},          {"sync/dedup/erased", 2},
                   {"sync/journal/erase", 2}};
    int ends[2] = {-1, -1};
    unsigned which = x % 16;
    *cut = (struct cut){.library = library, .seed = x >> 32, .ours = -1, .theirs = -1};
    if (which < sizeof moments / sizeof moments[0])
        snprintf(cut->at, sizeof cut->at, "%s:%u", moments[which].what,
                 (unsigned)(x >> 8) % moments[which].most + 1);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    cut->ours = ends[0];
    cut->theirs = ends[1];
}

void cut_child(const struct cut *cut, const char *data)
{
    char number[32];
    int fd = dup(cut->theirs); /* without close-on-exec */
    snprintf(number, sizeof number, "%d", fd);
    setenv("POWERCUT_FD", number, 1);
    snprintf(number, sizeof number, "%llu", (unsigned long long)cut->seed);
    setenv("POWERCUT_SEED", number, 1);
    setenv("POWERCUT_DATA", data, 1);
    setenv("LD_PRELOAD", cut->library, 1);
    if (cut->at[0] != '\0')
        setenv("POWERCUT_AT", cut->at, 1);
}

void cut_parent(struct cut *cut)
{
    close(cut->theirs);
    cut->theirs = -1;
}

void cut_now(const struct cut *cut)
{
    (void)!send(cut->ours, "x", 1, MSG_NOSIGNAL);
}

bool cut_told(struct cut *cut, int status, char *report, size_t size)
{
    ssize_t n = recv(cut->ours, report, size - 1, MSG_DONTWAIT);
    report[n < 0 ? 0 : n] = '\0';
    close(cut->ours);
    cut->ours = -1;
    cut->library = NULL;
    return n > 0 && WIFEXITED(status) && WEXITSTATUS(status) == CUT_CODE;
}

static bool run(char *const *args)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        execvp(args[0], args);
        _exit(127);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

bool cut_disk(const char *word, const char *folder)
{
    char *words[] = {"tests/crash/blockcut", (char *)(uintptr_t)word, (char *)(uintptr_t)folder,
                     NULL};
    return run(words);
}

bool cut_clear(const char *data)
{
    char *words[] = {"rm", "-rf", (char *)(uintptr_t)data, NULL};
    return run(words);
}

bool cut_keep(const char *data, const char *name)
{
    char image[4200];
    snprintf(image, sizeof image, "%s.image", name);
    char *copy[] = {"cp", "-a", (char *)(uintptr_t)data, image, NULL};
    return cut_clear(image) && run(copy);
}
