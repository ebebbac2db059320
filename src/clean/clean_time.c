/* clean_time.c - whose clock to believe.
 *
 * A client's clock is wrong by a constant more often than its sending time is, so its own sending
 * time corrects it (Segment's rule); a correction that lands in the future is distrusted. */
#include "clean/clean_int.h"

#include "base/clock.h"

int64_t clean_time(int64_t original_us, int64_t sent_us, int64_t received_us)
{
    int64_t skew, corrected;
    if (original_us == 0)
        return received_us;
    if (sent_us == 0)
        return original_us;
    if (!__builtin_sub_overflow(received_us, sent_us, &skew) &&
        !__builtin_add_overflow(original_us, skew, &corrected) &&
        corrected <= received_us + 23 * 3600 * US_PER_S)
        return corrected;
    return original_us <= received_us + 24 * 3600 * US_PER_S ? original_us : received_us;
}
