/* code_set.h - where in an array of codes are the few that somebody asks for?
 *
 * Codes are small numbers: the names of events. AVX2 where the processor has it. Pure; any thread.
 * Called by: timeline, analytics. */
#ifndef BASE_CODE_SET_H
#define BASE_CODE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code_set {
    uint8_t nibbles[2][16]; /* of codes below 256: bit (code >> 4) & 7 in [code >> 7][code & 15] */
    uint64_t words[1024];   /* all 65,536 codes */
    uint16_t codes[8];      /* the codes, while there are at most eight … */
    unsigned count;         /* … and how many */
};

void code_set_init(struct code_set *set);
void code_set_add(struct code_set *set, uint16_t code);
static inline bool code_set_has(const struct code_set *set, uint16_t code)
{
    return (set->words[code / 64] >> code % 64 & 1) != 0;
}

/* The positions, ascending, at which `codes` holds a member; returns how many. Room for `count`. */
size_t code_set_find_u8(const struct code_set *set, const uint8_t *codes, uint32_t count,
                        uint32_t *ret_at);
size_t code_set_find_u16(const struct code_set *set, const uint16_t *codes, uint32_t count,
                         uint32_t *ret_at);
/* The same where 31 bytes after the array's end may be read: short runs are one load. */
size_t code_set_find_u8_beyond(const struct code_set *set, const uint8_t *codes, uint32_t count,
                               uint32_t *ret_at);

/* One bit for each code instead, 64 to a word: (count + 63) / 64 words, bits after `count` are 0.
 * 63 bytes after the array's end may be read. */
void code_set_mark_u8(const struct code_set *set, const uint8_t *codes, uint32_t count,
                      uint64_t *ret_words);
void code_set_mark_u16(const struct code_set *set, const uint16_t *codes, uint32_t count,
                       uint64_t *ret_words);

/* Without any instruction that not every processor has: what the tests compare with. */
size_t code_set_find_u8_plain(const struct code_set *set, const uint8_t *codes, uint32_t from,
                              uint32_t count, uint32_t *ret_at);
size_t code_set_find_u16_plain(const struct code_set *set, const uint16_t *codes, uint32_t from,
                               uint32_t count, uint32_t *ret_at);
#endif
