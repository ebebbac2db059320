/* kmeans_int.h - what the files of k-means share: rows in blocks of eight, and the two kernels. */
#ifndef LEARN_KMEANS_INT_H
#define LEARN_KMEANS_INT_H

#include "base/rng.h"
#include "learn/kmeans.h"

#define LANES 8 /* rows of a block: two AVX2 registers */
#define GROUP 4 /* centres taken at once, so that a block is loaded once for four */
#define PARTS                                                                                      \
    32 /* pieces of work; their number is fixed, so that sums do not depend on threads             \
        */

/* Rows in blocks: feature j of row r is at values[(r / LANES * features + j) * LANES + r % LANES].
 * The last block repeats the last row. */
struct kmeans_blocks {
    size_t rows, features, count;
    double *values;
};

/* Both do the same operations in the same order on every row, so they give the same bits. */
struct kmeans_kernel {
    /* The nearest of `groups` * GROUP centres (padded with infinity) for each row of `count`
     * blocks; `ret_distances` may be NULL. */
    void (*nearest)(const double *values, size_t count, size_t features, const double *centres,
                    size_t groups, uint32_t *ret_labels, double *ret_distances);
    /* The smaller of `closest` and the squared distance to `centre`, per row, and its sums per
     * lane, which are added to `sums`. */
    void (*closer)(const double *values, size_t count, size_t features, const double *centre,
                   const double *closest, double *ret_closer, double sums[LANES]);
};

extern const struct kmeans_kernel kmeans_kernel_plain;
/* AVX2 where the processor has it. */
const struct kmeans_kernel *kmeans_kernel_choose(bool plain);

struct kmeans_work {
    const struct kmeans_blocks *blocks;
    const struct kmeans_kernel *kernel;
    unsigned threads;
};

/* Call `part` for 0 … PARTS - 1, on several threads when `cost` (multiplications) is worth it. */
void kmeans_parts(const struct kmeans_work *work, double cost,
                  void (*part)(void *context, size_t number), void *context);
/* The blocks of a part: [first, end). */
void kmeans_part_blocks(const struct kmeans_blocks *blocks, size_t part, size_t *ret_first,
                        size_t *ret_end);

/* k centres by greedy k-means++. */
void kmeans_seed(const struct kmeans_work *work, size_t k, struct rng *rng, double *ret_centres);
#endif
