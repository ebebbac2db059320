/* timeline_sort.c - rows into the order (slot, time, place).
 *
 * By slot with a radix sort, least digit first, as many digits as the range of slots has: stable,
 * so events that came in order stay in order. Inside a run they nearly always did; an insertion
 * sort sees that in one pass and moves a late event a few places. A long run with much to move
 * falls back to merging. */
#include "timeline/timeline_int.h"

#include <string.h>

#define DIGIT_BITS 11
#define DIGITS (1U << DIGIT_BITS)
#define INSERTION_MAX 32 /* moves a row on average no farther than half of this */

static void digit_sort(const struct row *from, struct row *to, size_t count, uint32_t first,
                       unsigned shift)
{
    size_t starts[DIGITS] = {0};
    for (size_t i = 0; i < count; i++)
        starts[(from[i].slot - first) >> shift & (DIGITS - 1)]++;
    size_t sum = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        size_t n = starts[i];
        starts[i] = sum;
        sum += n;
    }
    for (size_t i = 0; i < count; i++)
        to[starts[(from[i].slot - first) >> shift & (DIGITS - 1)]++] = from[i];
}

static void insertion_sort(struct row *rows, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (!row_before(&rows[i], &rows[i - 1]))
            continue;
        struct row row = rows[i];
        size_t at = i;
        do {
            rows[at] = rows[at - 1];
            at--;
        } while (at > 0 && row_before(&row, &rows[at - 1]));
        rows[at] = row;
    }
}

void timeline_run_sort(struct row *rows, struct row *scratch, size_t count)
{
    if (count <= INSERTION_MAX) {
        insertion_sort(rows, count);
        return;
    }
    size_t half = count / 2;
    timeline_run_sort(rows, scratch, half);
    timeline_run_sort(rows + half, scratch, count - half);
    if (!row_before(&rows[half], &rows[half - 1]))
        return;
    memcpy(scratch, rows, half * sizeof *rows);
    size_t i = 0, j = half;
    for (size_t out = 0; i < half; out++) {
        if (j < count && row_before(&rows[j], &scratch[i]))
            rows[out] = rows[j++];
        else
            rows[out] = scratch[i++];
    }
}

void timeline_rows_sort(struct row *rows, struct row *scratch, size_t count, uint32_t first,
                        uint32_t slots)
{
    struct row *from = rows, *to = scratch;
    for (unsigned shift = 0; shift < 32 && slots > 1 && (slots - 1) >> shift != 0;
         shift += DIGIT_BITS) {
        digit_sort(from, to, count, first, shift);
        struct row *other = from;
        from = to;
        to = other;
    }
    if (from != rows)
        memcpy(rows, from, count * sizeof *rows);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && rows[end].slot == rows[i].slot;)
            end++;
        timeline_run_sort(rows + i, scratch, end - i);
    }
}
