/* hook.h - points at which a test may kill the process or hold it, and bugs that a test may switch
 * on.
 *
 * Only the test build (-DHEZOU_TEST_HOOKS) has them; elsewhere a point is nothing and every bug is
 * off, so neither the checks nor their names are in the product.
 *
 *   CRASH_AT=name:n   SIGKILL at the n-th passing of HOOK("name") (":n" may be missing: the first)
 *   HEZOU_BUG=name    hook_bug("name") is true: the suite must notice
 *   HEZOU_HOLD=name:FILE  hook_held("name") is true (after a millisecond) as long as FILE is there:
 * a loop that asks stays where it is until the test takes the file away
 *   HEZOU_FAIL_IO=n:errno[:forever][:syncs]   the n-th call of the disk fails (0: none does), every
 *                     later one too, only syncs; hook_disk_end says on stderr how many were made */
#ifndef BASE_HOOK_H
#define BASE_HOOK_H

#include <stdbool.h>

struct disk; /* base/disk.h */

#ifdef HEZOU_TEST_HOOKS
void hook_disk(struct disk *disk);
void hook_disk_end(const struct disk *disk);
void hook_hit(const char *name);
bool hook_bug(const char *name);
bool hook_held(const char *name);
#define HOOK(name) hook_hit(name)
#else
#define HOOK(name) ((void)0)
static inline void hook_disk(struct disk *disk)
{
    (void)disk;
}
static inline void hook_disk_end(const struct disk *disk)
{
    (void)disk;
}
static inline bool hook_bug(const char *name)
{
    (void)name;
    return false;
}
static inline bool hook_held(const char *name)
{
    (void)name;
    return false;
}
#endif
#endif
