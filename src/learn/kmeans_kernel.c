/* kmeans_kernel.c - distances of eight rows at a time, plain and with AVX2.
 *
 * Each lane walks the features of one row in order: subtract, multiply, add. AVX2 does to four rows
 * what the plain code does to one, and is compiled without FMA, so a row's distance has the same
 * bits in both. That is why there is no trick with |x|² - 2xc + |c|²: it would save a third of the
 * work and lose the digits on which ties are decided.
 *
 * Invariant, checked by kmeans_test.c: both kernels give equal bytes. */
#include <math.h>

#include "learn/kmeans_int.h"

static void nearest_plain(const double *values, size_t count, size_t features,
                          const double *centres, size_t groups, uint32_t *ret_labels,
                          double *ret_distances)
{
    for (size_t b = 0; b < count; b++, values += features * LANES) {
        double best[LANES];
        uint32_t label[LANES] = {0};
        for (size_t l = 0; l < LANES; l++)
            best[l] = INFINITY;
        for (size_t c = 0; c < groups * GROUP; c++) {
            double sum[LANES] = {0};
            for (size_t j = 0; j < features; j++) {
                double at = centres[(c / GROUP * features + j) * GROUP + c % GROUP];
                for (size_t l = 0; l < LANES; l++) {
                    double gap = values[j * LANES + l] - at;
                    sum[l] += gap * gap;
                }
            }
            for (size_t l = 0; l < LANES; l++) {
                if (sum[l] < best[l]) {
                    best[l] = sum[l];
                    label[l] = (uint32_t)c;
                }
            }
        }
        for (size_t l = 0; l < LANES; l++) {
            ret_labels[b * LANES + l] = label[l];
            if (ret_distances != NULL)
                ret_distances[b * LANES + l] = best[l];
        }
    }
}

static void closer_plain(const double *values, size_t count, size_t features, const double *centre,
                         const double *closest, double *ret_closer, double sums[LANES])
{
    for (size_t b = 0; b < count; b++, values += features * LANES) {
        double sum[LANES] = {0};
        for (size_t j = 0; j < features; j++) {
            for (size_t l = 0; l < LANES; l++) {
                double gap = values[j * LANES + l] - centre[j];
                sum[l] += gap * gap;
            }
        }
        for (size_t l = 0; l < LANES; l++) {
            double before = closest[b * LANES + l];
            double after = sum[l] < before ? sum[l] : before;
            ret_closer[b * LANES + l] = after;
            sums[l] += after;
        }
    }
}

const struct kmeans_kernel kmeans_kernel_plain = {nearest_plain, closer_plain};

#if defined(__x86_64__)
#include <immintrin.h>

/* One step of four distances for the rows in `x0`, `x1`. */
#define STEP(n)                                                                                    \
    do {                                                                                           \
        __m256d at = _mm256_broadcast_sd(c + (n));                                                 \
        __m256d g0 = _mm256_sub_pd(x0, at), g1 = _mm256_sub_pd(x1, at);                            \
        s0[n] = _mm256_add_pd(s0[n], _mm256_mul_pd(g0, g0));                                       \
        s1[n] = _mm256_add_pd(s1[n], _mm256_mul_pd(g1, g1));                                       \
    } while (0)

/* The smaller distance and its number; what is not smaller changes nothing. */
#define TAKE(sum, best, label)                                                                     \
    do {                                                                                           \
        __m256d less = _mm256_cmp_pd((sum), (best), _CMP_LT_OQ);                                   \
        (best) = _mm256_min_pd((sum), (best));                                                     \
        (label) = _mm256_blendv_pd((label), number, less);                                         \
    } while (0)

/* Labels travel as doubles, which hold every number up to KMEANS_CLUSTERS_MAX. */
__attribute__((target("avx2"))) static void nearest_avx2(const double *values, size_t count,
                                                         size_t features, const double *centres,
                                                         size_t groups, uint32_t *ret_labels,
                                                         double *ret_distances)
{
    for (size_t b = 0; b < count; b++, values += features * LANES) {
        __m256d best0 = _mm256_set1_pd(INFINITY), best1 = best0;
        __m256d label0 = _mm256_setzero_pd(), label1 = label0, number = label0;
        const double *c = centres;
        for (size_t g = 0; g < groups; g++) {
            __m256d s0[GROUP] = {0}, s1[GROUP] = {0};
            for (size_t j = 0; j < features; j++, c += GROUP) {
                __m256d x0 = _mm256_loadu_pd(values + j * LANES);
                __m256d x1 = _mm256_loadu_pd(values + j * LANES + 4);
                STEP(0);
                STEP(1);
                STEP(2);
                STEP(3);
            }
            for (size_t n = 0; n < GROUP; n++) {
                TAKE(s0[n], best0, label0);
                TAKE(s1[n], best1, label1);
                number = _mm256_add_pd(number, _mm256_set1_pd(1));
            }
        }
        _mm_storeu_si128((__m128i *)(ret_labels + b * LANES), _mm256_cvtpd_epi32(label0));
        _mm_storeu_si128((__m128i *)(ret_labels + b * LANES + 4), _mm256_cvtpd_epi32(label1));
        if (ret_distances != NULL) {
            _mm256_storeu_pd(ret_distances + b * LANES, best0);
            _mm256_storeu_pd(ret_distances + b * LANES + 4, best1);
        }
    }
}

__attribute__((target("avx2"))) static void closer_avx2(const double *values, size_t count,
                                                        size_t features, const double *centre,
                                                        const double *closest, double *ret_closer,
                                                        double sums[LANES])
{
    __m256d all0 = _mm256_loadu_pd(sums), all1 = _mm256_loadu_pd(sums + 4);
    for (size_t b = 0; b < count; b++, values += features * LANES) {
        __m256d s0 = _mm256_setzero_pd(), s1 = s0;
        for (size_t j = 0; j < features; j++) {
            __m256d at = _mm256_broadcast_sd(centre + j);
            __m256d g0 = _mm256_sub_pd(_mm256_loadu_pd(values + j * LANES), at);
            __m256d g1 = _mm256_sub_pd(_mm256_loadu_pd(values + j * LANES + 4), at);
            s0 = _mm256_add_pd(s0, _mm256_mul_pd(g0, g0));
            s1 = _mm256_add_pd(s1, _mm256_mul_pd(g1, g1));
        }
        s0 = _mm256_min_pd(s0, _mm256_loadu_pd(closest + b * LANES));
        s1 = _mm256_min_pd(s1, _mm256_loadu_pd(closest + b * LANES + 4));
        _mm256_storeu_pd(ret_closer + b * LANES, s0);
        _mm256_storeu_pd(ret_closer + b * LANES + 4, s1);
        all0 = _mm256_add_pd(all0, s0);
        all1 = _mm256_add_pd(all1, s1);
    }
    _mm256_storeu_pd(sums, all0);
    _mm256_storeu_pd(sums + 4, all1);
}

static const struct kmeans_kernel kernel_avx2 = {nearest_avx2, closer_avx2};
#endif

const struct kmeans_kernel *kmeans_kernel_choose(bool plain)
{
#if defined(__x86_64__)
    if (!plain && __builtin_cpu_supports("avx2"))
        return &kernel_avx2;
#endif
    (void)plain; /* elsewhere there is one kernel */
    return &kmeans_kernel_plain;
}
