/* state_test.h - what the two test files of the state share: objects of the simplest kind, and
 * places between which a constant sum is moved. */
#ifndef STORE_STATE_TEST_H
#define STORE_STATE_TEST_H

#include "store/state.h"

/* A fresh folder for each test; file_in's answer is good for the next three. */
int make_folder(void **unused);
int remove_folder(void **unused);
char *file_in(const char *name);
extern char folder[256];

struct object {
    struct state_entry entry;
    uint64_t number;
    uint32_t padding; /* bytes after the number */
};

struct opened {
    struct state *state;
    struct state_table *hashes, *numbers;
};

/* Every step moves one from an object to another, counts itself in an object of the other table and
 * sets "position": a flush of any moment has the same total, and its position is its count. */
#define PLACES 500
#define TOTAL (UINT64_C(1000) * PLACES)

struct mover {
    struct opened o;
    bool stop, seal; /* atomic */
    uint64_t steps;
};

struct sum {
    uint64_t total, count;
};

struct object *object_new(struct hash128 key, uint64_t number, uint32_t padding);
struct opened open_at(const char *path, size_t cache_bytes);
struct hash128 hash_of(uint64_t i);
void note(struct opened *o);
void merge(struct opened *o);
void flush(struct opened *o);
uint64_t value_u64(struct opened *o, const char *name);
void set_u64(struct opened *o, const char *name, uint64_t v);
void move_one(struct mover *mover, uint64_t from, uint64_t to);
struct sum sum_of(struct opened *o);
bool add_up(void *sum, struct state_entry *entry); /* state_scan's */
void make_places(struct opened *o);
void check_moment(struct opened *o);

int delta_tests(void);
#endif
