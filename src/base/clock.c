/* clock.c - system and virtual time. */
#include "base/clock.h"

#include <time.h>

#include "base/check.h"

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

void clock_init_system(struct clock *clock)
{
    *clock = (struct clock){0};
}

void clock_init_virtual(struct clock *clock, int64_t start_us)
{
    *clock = (struct clock){.is_virtual = true, .virtual_us = start_us};
}

int64_t clock_now_us(const struct clock *clock)
{
    if (clock->is_virtual)
        return __atomic_load_n(&clock->virtual_us, __ATOMIC_ACQUIRE);
    return read_us(CLOCK_REALTIME);
}

void clock_set_us(struct clock *clock, int64_t now_us)
{
    CHECK(clock->is_virtual);
    int64_t old = __atomic_load_n(&clock->virtual_us, __ATOMIC_ACQUIRE);
    while (now_us > old && !__atomic_compare_exchange_n(&clock->virtual_us, &old, now_us, false,
                                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        continue;
}

int64_t monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}
