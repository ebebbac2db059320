/* kmeans_seed.c - where k-means begins (greedy k-means++), and the parts in which rows are worked
 * on.
 *
 * The first centre is any row. Each further one is drawn with a chance that grows with the squared
 * distance to the nearest centre so far; of a few drawn, the one after which the sum of those
 * distances is smallest stays. When the sum is 0 every row lies on a centre: the rest repeat the
 * first centre and stay empty.
 *
 * Sums are made per part and lane, then added in order: no thread can change a digit. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/thread.h"
#include "learn/kmeans_int.h"

#define COST_WORTH_A_THREAD                                                                        \
    4e6 /* multiplications: about 2 ms, a hundred times a thread's start                           \
         */
#define THREADS_MAX 16
#define CANDIDATES_MAX 16 /* 2 + ln k is 8.9 at k = 1000 */

/* --- parts ------------------------------------------------------------------------------------ */

struct crew {
    void (*part)(void *context, size_t number);
    void *context;
    size_t next; /* moved atomically */
};

static void *crew_run(void *argument)
{
    struct crew *crew = argument;
    for (;;) {
        size_t number = __atomic_fetch_add(&crew->next, 1, __ATOMIC_RELAXED);
        if (number >= PARTS)
            return NULL;
        crew->part(crew->context, number);
    }
}

void kmeans_parts(const struct kmeans_work *work, double cost,
                  void (*part)(void *context, size_t number), void *context)
{
    struct crew crew = {part, context, 0};
    pthread_t threads[THREADS_MAX];
    size_t started = 0, wanted = work->threads;
    if (wanted == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        wanted = processors > 0 ? (size_t)processors : 1;
    }
    if (wanted > THREADS_MAX)
        wanted = THREADS_MAX;
    if (cost < COST_WORTH_A_THREAD)
        wanted = 1;
    while (started + 1 < wanted) {
        if (thread_start(&threads[started], "k-means", crew_run, &crew) != 0)
            break; /* fewer hands, same work */
        started++;
    }
    crew_run(&crew);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

void kmeans_part_blocks(const struct kmeans_blocks *blocks, size_t part, size_t *ret_first,
                        size_t *ret_end)
{
    *ret_first = blocks->count * part / PARTS;
    *ret_end = blocks->count * (part + 1) / PARTS;
}

/* --- seeding ---------------------------------------------------------------------------------- */

struct seeding {
    const struct kmeans_work *work;
    const double *centre;
    const double *closest;
    double *closer;
    double sums[PARTS];
};

static void seeding_part(void *context, size_t part)
{
    struct seeding *seeding = context;
    const struct kmeans_blocks *blocks = seeding->work->blocks;
    size_t first, end;
    double lanes[LANES] = {0};
    kmeans_part_blocks(blocks, part, &first, &end);
    seeding->work->kernel->closer(
        blocks->values + first * blocks->features * LANES, end - first, blocks->features,
        seeding->centre, seeding->closest + first * LANES, seeding->closer + first * LANES, lanes);
    double sum = 0;
    for (size_t l = 0; l < LANES; l++)
        sum += lanes[l];
    seeding->sums[part] = sum;
}

/* Squared distances to the nearest centre once `centre` is one too; returns their sum. */
static double potential(struct seeding *seeding, const double *centre, const double *closest,
                        double *ret_closer)
{
    const struct kmeans_blocks *blocks = seeding->work->blocks;
    double sum = 0;
    seeding->centre = centre;
    seeding->closest = closest;
    seeding->closer = ret_closer;
    kmeans_parts(seeding->work, (double)blocks->count * LANES * (double)blocks->features,
                 seeding_part, seeding);
    for (size_t part = 0; part < PARTS; part++)
        sum += seeding->sums[part];
    return sum;
}

static double uniform(struct rng *rng)
{
    return (double)(rng_u64(rng) >> 11) * 0x1p-53;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Draw `count` rows, each with a chance in proportion to its `closest`. One walk serves all. */
static void draw(const double *closest, size_t rows, double sum, struct rng *rng, size_t count,
                 size_t *ret_rows)
{
    double marks[CANDIDATES_MAX], walked = 0;
    size_t found = 0, last = 0;
    for (size_t i = 0; i < count; i++)
        marks[i] = uniform(rng) * sum;
    qsort(marks, count, sizeof *marks, by_value);
    for (size_t r = 0; r < rows && found < count; r++) {
        if (closest[r] <= 0)
            continue;
        walked += closest[r];
        last = r;
        while (found < count && marks[found] < walked)
            ret_rows[found++] = r;
    }
    while (found < count) /* the walk's sum rounds otherwise than the potential's */
        ret_rows[found++] = last;
}

static void row_copy(const struct kmeans_blocks *blocks, size_t row, double *ret_values)
{
    const double *from = blocks->values + row / LANES * blocks->features * LANES + row % LANES;
    for (size_t j = 0; j < blocks->features; j++)
        ret_values[j] = from[j * LANES];
}

struct distances {
    double *now, *best, *trial; /* rows each, padded to blocks */
};

/* The best of the candidates becomes `centre`; returns the new sum. */
static double centre_add(struct seeding *seeding, struct distances *distances, double sum,
                         size_t candidates, struct rng *rng, double *centre)
{
    const struct kmeans_blocks *blocks = seeding->work->blocks;
    size_t rows[CANDIDATES_MAX] = {0}, chosen = 0;
    double least = INFINITY;
    draw(distances->now, blocks->rows, sum, rng, candidates, rows);
    for (size_t i = 0; i < candidates; i++) {
        row_copy(blocks, rows[i], centre);
        double after = potential(seeding, centre, distances->now, distances->trial);
        if (after < least) {
            double *swap = distances->best;
            least = after;
            chosen = rows[i];
            distances->best = distances->trial;
            distances->trial = swap;
        }
    }
    double *swap = distances->now;
    distances->now = distances->best;
    distances->best = swap;
    row_copy(blocks, chosen, centre);
    return least;
}

void kmeans_seed(const struct kmeans_work *work, size_t k, struct rng *rng, double *ret_centres)
{
    const struct kmeans_blocks *blocks = work->blocks;
    size_t candidates = 2 + (size_t)log((double)k), bytes = blocks->count * LANES * sizeof(double);
    struct seeding seeding = {.work = work};
    struct distances distances = {mem_alloc(bytes), mem_alloc(bytes), mem_alloc(bytes)};
    for (size_t r = 0; r < blocks->count * LANES; r++)
        distances.best[r] = r < blocks->rows ? INFINITY : 0; /* the last block's fill is no row */
    row_copy(blocks, (size_t)(uniform(rng) * (double)blocks->rows), ret_centres);
    double sum = potential(&seeding, ret_centres, distances.best, distances.now);
    for (size_t c = 1; c < k; c++) {
        double *centre = ret_centres + c * blocks->features;
        if (sum > 0)
            sum = centre_add(&seeding, &distances, sum, candidates, rng, centre);
        else
            memcpy(centre, ret_centres, blocks->features * sizeof(double));
    }
    free(distances.now);
    free(distances.best);
    free(distances.trial);
}
