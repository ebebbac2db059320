/* timeline_piece_int.h - columns of events, never changed once made; how rows become a piece. */
#ifndef TIMELINE_TIMELINE_PIECE_INT_H
#define TIMELINE_TIMELINE_PIECE_INT_H

#include "timeline/timeline_slots_int.h"

#define POSITION_BITS 44
#define POSITION_MASK (TIMELINE_POSITION_MAX - 1)
#define READ_BEYOND 64 /* bytes after an array's end that a reader may load */

/* An event on its way into a piece. `amount` is 0 or 1 + its index in an array beside. */
struct row {
    uint64_t place; /* microseconds inside the second << 44 | position: the order in a second */
    uint32_t time;
    uint32_t slot;
    uint16_t code, origin;
    uint32_t amount;
};

static inline bool row_before(const struct row *a, const struct row *b)
{
    return a->time != b->time ? a->time < b->time : a->place < b->place;
}

/* --- timeline_piece.c ------------------------------------------------------------------------- */

struct piece {
    uint64_t serial;
    uint32_t count;
    uint8_t code_bytes, origin_bytes;
    uint8_t *code, *origin; /* u16 each when their bytes are 2 */
    uint32_t *time;
    uint64_t *place;

    /* Amounts: bit i says that event i has one; rank[w] amounts lie before word w. */
    uint64_t *amount_bits; /* NULL = none */
    uint32_t *amount_rank;
    int64_t *amounts;
    uint32_t amounts_count;

    /* Runs. A base piece has one per slot of its page (slots NULL), a delta one per slot that has
     * events, and fence[p] is its first run of page p. */
    uint32_t runs;
    uint32_t first_slot; /* of the base's page */
    uint32_t *slots;
    uint32_t *offsets; /* [runs + 1] */
    uint32_t *fence;   /* [fences + 1] */
    uint32_t fences;

    struct postings *postings; /* made at first use; atomic */
    void *memory;
    size_t bytes;
};

/* A delta of `rows` in the order (slot, time, place). */
struct piece *timeline_piece_build(struct timeline *timeline, const struct row *rows,
                                   uint32_t count, const int64_t *amounts);
/* An empty one, for as many events as `shape` says; what is in it is written by the caller, and
 * then its end. */
struct piece_shape {
    uint32_t count, amounts, runs, fences; /* fences 0 = a base piece */
    uint8_t code_bytes, origin_bytes;
};
struct piece *timeline_piece_new(struct timeline *timeline, const struct piece_shape *shape);
void timeline_piece_end(struct piece *piece);
void timeline_piece_free(struct timeline *timeline, struct piece *piece);
/* Both in one: of page `page` as its base piece, or all of two deltas (`page` NONE). Leaves out who
 * is erased and what is older than the memory allows. NULL: nothing is left. */
struct piece *timeline_piece_merge(struct timeline *timeline, const struct piece *a,
                                   const struct piece *b, uint32_t page);
/* How many events it has of a page's slots. */
uint32_t timeline_piece_page_events(const struct piece *piece, uint32_t page);
/* The run of a slot. */
void timeline_piece_run(const struct piece *piece, uint32_t slot, uint32_t *ret_from,
                        uint32_t *ret_to);
bool timeline_piece_amount(const struct piece *piece, uint32_t i, int64_t *ret_micros);

static inline uint32_t timeline_piece_code(const struct piece *piece, uint32_t i)
{
    return piece->code_bytes == 1 ? piece->code[i] : ((const uint16_t *)piece->code)[i];
}

static inline uint32_t timeline_piece_origin(const struct piece *piece, uint32_t i)
{
    return piece->origin_bytes == 1 ? piece->origin[i] : ((const uint16_t *)piece->origin)[i];
}

static inline void timeline_piece_put(struct piece *piece, uint32_t i, const struct row *row)
{
    if (piece->code_bytes == 1)
        piece->code[i] = (uint8_t)row->code;
    else
        ((uint16_t *)piece->code)[i] = row->code;
    if (piece->origin_bytes == 1)
        piece->origin[i] = (uint8_t)row->origin;
    else
        ((uint16_t *)piece->origin)[i] = row->origin;
}

/* --- timeline_gather.c ------------------------------------------------------------------------ */

/* Rows of one page in any order, with the amounts that they speak of. */
struct rows_part {
    const struct row *rows;
    const int64_t *amounts;
    uint32_t count;
};
/* What one thread uses again for one page after the other; zeros to begin with. */
struct gathering {
    uint64_t *code_events;      /* [65,536] and … */
    uint32_t *hours;            /* … [HOURS]: what was gathered is added */
    uint32_t ends[PAGE_SLOTS];  /* of runs */
    struct row *rows, *scratch; /* of the longest run that had to be sorted */
    uint32_t rows_capacity;
    int64_t *amounts, *amounts_scratch; /* by event */
    uint32_t amounts_capacity;
};
/* The base piece of a page; who is erased is left out. NULL: nothing is left. Parts that follow
 * each other in time are faster. */
struct piece *timeline_piece_gather(struct timeline *timeline, const struct rows_part *parts,
                                    size_t parts_count, uint32_t page, struct gathering *gathering);
void timeline_gathering_done(struct gathering *gathering);

/* --- timeline_sort.c -------------------------------------------------------------------------- */

/* By (slot, time, place); `scratch` as large as rows; slots lie in [first, first + slots). */
void timeline_rows_sort(struct row *rows, struct row *scratch, size_t count, uint32_t first,
                        uint32_t slots);

/* One slot's rows by (time, place). */
void timeline_run_sort(struct row *rows, struct row *scratch, size_t count);

/* --- timeline_postings.c ---------------------------------------------------------------------- */

/* Per code the runs that have it, ascending. */
struct postings {
    uint32_t codes_count;
    uint16_t *codes;  /* ascending */
    uint32_t *starts; /* [codes_count + 1] */
    uint32_t *runs;
    size_t bytes;
};
void timeline_postings_free(struct timeline *timeline, struct postings *postings);
#endif
