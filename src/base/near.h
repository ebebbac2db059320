/* near.h - what somebody may have meant: the known names nearest to one that nobody knows.
 * Depends on: nothing. Called by: app, analytics. */
#ifndef BASE_NEAR_H
#define BASE_NEAR_H

#include "base/buf.h"

#define NEAR_MAX 3

struct near {
    struct str wanted;
    struct str names[NEAR_MAX]; /* the nearest first; borrowed */
    unsigned distances[NEAR_MAX];
    size_t count;
};

/* Letters to add, take or change (Levenshtein), case ignored; long texts are cut. */
unsigned near_distance(struct str a, struct str b);

/* Offer every known name; what is too far away is not taken. Equal ones in their order. */
struct near near_to(struct str wanted);
void near_offer(struct near *near, struct str name);
/* "order, order_paid"; nothing when nothing is near. */
void near_put(const struct near *near, struct buf *out);
#endif
