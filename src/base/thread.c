/* thread.c - the one priority that is not everybody's. */
#include "base/thread.h"

#include <sys/resource.h>
#include <unistd.h>

#define BACKGROUND_NICE 10

void thread_background(void)
{
    /* On Linux nice is a thread's own. It can always be raised, so there is nothing to refuse. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), BACKGROUND_NICE);
}
