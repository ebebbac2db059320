/* meter.h - how long things took: a histogram of microseconds with 1.6 % resolution, in fixed
 * memory. */
#ifndef TESTS_LOAD_METER_H
#define TESTS_LOAD_METER_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define METER_STEPS 64 /* per power of two */
#define METER_SLOTS (METER_STEPS * 40)

struct meter {
    uint64_t slots[METER_SLOTS];
    uint64_t count;
    int64_t us_max;
};

static inline unsigned meter_slot(uint64_t us)
{
    if (us < METER_STEPS)
        return (unsigned)us;
    unsigned power = 63u - (unsigned)__builtin_clzll(us) - 6u; /* us >> power is in 64 … 127 */
    unsigned slot = (power + 1) * METER_STEPS + (unsigned)(us >> power) - METER_STEPS;
    return slot < METER_SLOTS ? slot : METER_SLOTS - 1;
}

static inline void meter_add(struct meter *meter, int64_t us)
{
    meter->slots[meter_slot(us < 0 ? 0 : (uint64_t)us)]++;
    meter->count++;
    if (us > meter->us_max)
        meter->us_max = us;
}

/* The upper edge of the slot in which the share `q` is reached. */
static inline double meter_quantile_ms(const struct meter *meter, double q)
{
    uint64_t want = (uint64_t)(q * (double)meter->count), seen = 0;
    for (unsigned i = 0; i < METER_SLOTS; i++) {
        seen += meter->slots[i];
        if (seen <= want)
            continue;
        if (i < METER_STEPS)
            return (double)(i + 1) / 1000;
        uint64_t edge = ((uint64_t)(i % METER_STEPS) + METER_STEPS + 1) << (i / METER_STEPS - 1);
        return (double)edge / 1000;
    }
    return (double)meter->us_max / 1000;
}

static inline void meter_print(const struct meter *meter, FILE *stream)
{
    fprintf(stream, "{\"count\":%llu,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}",
            (unsigned long long)meter->count, meter_quantile_ms(meter, 0.50),
            meter_quantile_ms(meter, 0.99), meter_quantile_ms(meter, 0.999),
            (double)meter->us_max / 1000);
}

static inline int64_t meter_now_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
#endif
