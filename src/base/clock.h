/* clock.h - the time of the domain (timers, windows, expiry, received times), passed in and never
 * taken from the air.
 *
 * Two kinds: the system's, and a virtual one that only tests move. Sockets, commits and time-outs
 * use monotonic_us(), which no test can move. All times are microseconds UTC. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define US_PER_S INT64_C(1000000)
#define US_PER_MS INT64_C(1000)
#define US_PER_DAY (INT64_C(86400) * US_PER_S)

struct clock {
    bool is_virtual;
    int64_t virtual_us; /* read and written atomically; only when is_virtual */
};

void clock_init_system(struct clock *clock);
void clock_init_virtual(struct clock *clock, int64_t start_us);
int64_t clock_now_us(const struct clock *clock);
/* Move a virtual clock; it never goes back (an earlier time is ignored). */
void clock_set_us(struct clock *clock, int64_t now_us);

int64_t monotonic_us(void);
#endif
