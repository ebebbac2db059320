/* clean_old.c - the message ids of older days: one sorted file, asked with one page read.
 *
 * In front of it stands a blocked Bloom filter in memory: one cache line per key, so a stranger
 * costs one memory access and passes in 0.5 % of the cases. Behind it a fence (8 bytes per page of
 * 256 keys) names the one page that can hold the key (two, when it is a page's first): 82 million
 * keys are 123 MB of filter, 2.6 MB of fences and 1.3 GB of file.
 *
 * The last byte of an entry is the number of its day, modulo 256, in place of the last byte of the
 * key; 120 bits still tell 10^9 keys apart with a chance of 10^-18. So one file serves any set of
 * days: a day that left the window, or that a restart cut back, is dead at once, by a table of 256
 * booleans, and its entries go when the file is next made. That keeps the verdict a function of the
 * journal and not of the moment a merge ends.
 *
 *   header 8192 | entries, padded to 4096 | fences, padded to 4096 | filter, blocks of 64
 *
 * docs/format/dedup.md has the drawing. The file is never changed: clean_merge.c makes a new one.
 */
#include "clean/clean_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

#define VERSION 2u     /* a day may have parts */
#define VERSION_OLD 1u /* the same with part 0 everywhere */
static const char magic[8] = {'h', 'e', 'z', 'o', 'u', 'o', 'l', 'd'};

struct header {
    char magic[8];
    uint32_t version;
    uint32_t days_count;
    uint64_t count;
    uint32_t bloom_crc;
    uint32_t crc; /* of the whole header with this field 0 */
    uint64_t reserved[4];
    struct clean_day_count days[CLEAN_DAYS_MAX];
};
_Static_assert(sizeof(struct header) <= CLEAN_OLD_HEADER_BYTES, "the header has its room");
_Static_assert(sizeof(struct clean_day_count) == 24, "drawn in docs/format/dedup.md");

static uint64_t padded(uint64_t bytes)
{
    return (bytes + CLEAN_OLD_PAGE_BYTES - 1) / CLEAN_OLD_PAGE_BYTES * CLEAN_OLD_PAGE_BYTES;
}

struct clean_old_shape clean_old_shape_of(uint64_t count)
{
    struct clean_old_shape shape;
    shape.pages = (count + CLEAN_OLD_PAGE_KEYS - 1) / CLEAN_OLD_PAGE_KEYS;
    shape.blocks = count * CLEAN_OLD_KEY_BITS / (CLEAN_OLD_BLOCK_BYTES * 8) + 1;
    shape.fences_at = CLEAN_OLD_HEADER_BYTES + padded(count * CLEAN_KEY_BYTES);
    shape.bloom_at = shape.fences_at + padded(shape.pages * sizeof(uint64_t));
    shape.size = shape.bloom_at + shape.blocks * CLEAN_OLD_BLOCK_BYTES;
    return shape;
}

/* By the first bits: sorted entries meet the blocks in order, so the filter is written as a stream.
 */
uint64_t clean_old_block_of(struct hash128 key, uint64_t blocks)
{
    return (uint64_t)(((unsigned __int128)key.a * blocks) >> 64);
}

#define BITS_PER_KEY 7 /* 12 ln 2 = 8.3; 7 times 9 bits fit one 64-bit hash */

void clean_old_block_set(uint64_t block[CLEAN_OLD_BLOCK_WORDS], struct hash128 key)
{
    uint64_t bits = hash_mix(key.b >> 8);
    for (int i = 0; i < BITS_PER_KEY; i++, bits >>= 9)
        block[(bits >> 6) & 7] |= UINT64_C(1) << (bits & 63);
}

static bool block_has(const uint64_t block[CLEAN_OLD_BLOCK_WORDS], struct hash128 key)
{
    uint64_t bits = hash_mix(key.b >> 8), all = 1;
    for (int i = 0; i < BITS_PER_KEY; i++, bits >>= 9)
        all &= block[(bits >> 6) & 7] >> (bits & 63);
    return (all & 1) != 0;
}

static const uint64_t *block_at(const struct clean_old *old, struct hash128 key)
{
    return old->bloom + clean_old_block_of(key, old->blocks) * CLEAN_OLD_BLOCK_WORDS;
}

void clean_old_prefetch(const struct clean_old *old, struct hash128 key)
{
    __builtin_prefetch(block_at(old, key));
}

uint64_t clean_old_bytes(const struct clean_old *old)
{
    return old->blocks * CLEAN_OLD_BLOCK_BYTES + old->pages * sizeof(uint64_t) + sizeof *old;
}

bool clean_old_holds(const struct clean_old *old, const struct clean_day_count *want)
{
    for (size_t i = 0; i < old->days_count; i++)
        if (old->days[i].day == want->day && old->days[i].part == want->part)
            return old->days[i].count == want->count && old->days[i].sum == want->sum;
    return false;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* The last page whose first key is smaller: entries that begin like the key stand there, or, when
 * they reach over the page's end, in the following ones. */
static uint64_t page_of(const struct clean_old *old, uint64_t a)
{
    uint64_t low = 0, high = old->pages;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (old->fences[middle] < a)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

static bool page_has(const struct hash128 *entries, size_t n, struct hash128 key,
                     const bool alive[CLEAN_DAYS_MAX])
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (hash128_compare(entries[middle], (struct hash128){key.a, key.b & ~UINT64_C(0xff)}) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < n && entries[low].a == key.a && entries[low].b >> 8 == key.b >> 8; low++)
        if (alive[entries[low].b & 0xff])
            return true;
    return false;
}

enum status clean_old_has(const struct clean_old *old, struct hash128 key,
                          const bool alive[CLEAN_DAYS_MAX], bool *ret_has, struct err *err)
{
    struct hash128 entries[CLEAN_OLD_PAGE_KEYS];
    bool has = false;
    if (block_has(block_at(old, key), key)) {
        uint64_t page = page_of(old, key.a);
        do {
            uint64_t first = page * CLEAN_OLD_PAGE_KEYS, n = old->count - first;
            n = n > CLEAN_OLD_PAGE_KEYS ? CLEAN_OLD_PAGE_KEYS : n;
            size_t got = 0;
            enum status status =
                disk_read_at(old->disk, old->fd, entries, n * CLEAN_KEY_BYTES,
                             CLEAN_OLD_HEADER_BYTES + first * CLEAN_KEY_BYTES, &got, err);
            if (status != ST_OK)
                return status;
            if (got != n * CLEAN_KEY_BYTES)
                return err_set(err, ST_CORRUPT, "could not read the older message ids: cut off");
            has = page_has(entries, n, key, alive);
        } while (!has && ++page < old->pages && old->fences[page] <= key.a);
    }
    *ret_has = has;
    return ST_OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

void clean_old_header(const struct clean_old *old, uint32_t bloom_crc,
                      unsigned char bytes[CLEAN_OLD_HEADER_BYTES])
{
    struct header header = {.version = VERSION,
                            .days_count = (uint32_t)old->days_count,
                            .count = old->count,
                            .bloom_crc = bloom_crc};
    memcpy(header.magic, magic, sizeof magic);
    memcpy(header.days, old->days, sizeof header.days);
    memset(bytes, 0, CLEAN_OLD_HEADER_BYTES);
    memcpy(bytes, &header, sizeof header);
    header.crc = crc32c(0, bytes, CLEAN_OLD_HEADER_BYTES);
    memcpy(bytes, &header, sizeof header);
}

static enum status unusable(struct err *err, const char *why)
{
    return err_set(err, ST_CORRUPT, "could not use the file of older message ids: %s", why);
}

static enum status read_all(struct clean_old *old, void *bytes, uint64_t n, uint64_t offset,
                            struct err *err)
{
    size_t got = 0;
    enum status status = disk_read_at(old->disk, old->fd, bytes, n, offset, &got, err);
    return status == ST_OK && got != n ? unusable(err, "it is cut off") : status;
}

static enum status read_header(struct clean_old *old, uint32_t *ret_bloom_crc, struct err *err)
{
    unsigned char bytes[CLEAN_OLD_HEADER_BYTES];
    struct header header;
    enum status status = read_all(old, bytes, sizeof bytes, 0, err);
    if (status != ST_OK)
        return status;
    memcpy(&header, bytes, sizeof header);
    uint32_t crc = header.crc;
    header.crc = 0;
    memcpy(bytes, &header, sizeof header);
    if (memcmp(header.magic, magic, sizeof magic) != 0 ||
        (header.version != VERSION && header.version != VERSION_OLD))
        return unusable(err, "another version");
    if (crc32c(0, bytes, sizeof bytes) != crc || header.days_count > CLEAN_DAYS_MAX)
        return unusable(err, "its header is damaged");
    old->count = header.count;
    old->days_count = header.days_count;
    memcpy(old->days, header.days, sizeof old->days);
    *ret_bloom_crc = header.bloom_crc;
    return ST_OK;
}

static enum status read_body(struct clean_old *old, uint32_t bloom_crc, struct err *err)
{
    struct clean_old_shape shape = clean_old_shape_of(old->count);
    uint64_t size;
    enum status status = disk_size(old->disk, old->fd, &size, err);
    if (status != ST_OK)
        return status;
    if (size < shape.size)
        return unusable(err, "it is cut off");
    old->pages = shape.pages;
    old->blocks = shape.blocks;
    old->fences = mem_alloc(shape.pages * sizeof(uint64_t));
    old->bloom = mem_alloc(shape.blocks * CLEAN_OLD_BLOCK_BYTES);
    status = read_all(old, old->fences, shape.pages * sizeof(uint64_t), shape.fences_at, err);
    if (status == ST_OK)
        status =
            read_all(old, old->bloom, shape.blocks * CLEAN_OLD_BLOCK_BYTES, shape.bloom_at, err);
    if (status == ST_OK && crc32c(0, old->bloom, shape.blocks * CLEAN_OLD_BLOCK_BYTES) != bloom_crc)
        return unusable(err, "its filter is damaged");
    return status;
}

enum status clean_old_open(struct disk *disk, const char *folder, struct clean_old **ret_old,
                           struct err *err)
{
    char path[4096];
    int fd;
    CHECK((size_t)snprintf(path, sizeof path, "%s/old.keys", folder) < sizeof path);
    enum status status = disk_open(disk, path, O_RDONLY, &fd, err);
    if (status != ST_OK)
        return status;
    struct clean_old *old = mem_zero(sizeof *old);
    uint32_t bloom_crc = 0;
    old->disk = disk;
    old->fd = fd;
    status = read_header(old, &bloom_crc, err);
    if (status == ST_OK)
        status = read_body(old, bloom_crc, err);
    if (status != ST_OK) {
        clean_old_close(old);
        return status;
    }
    *ret_old = old;
    return ST_OK;
}

void clean_old_close(struct clean_old *old)
{
    if (old == NULL)
        return;
    close(old->fd);
    free(old->fences);
    free(old->bloom);
    free(old);
}
