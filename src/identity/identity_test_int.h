/* identity_test_int.h - a state for a test, and stories told to it.
 *
 * A story is a few lines: "TIME u:1 a:1" names identifiers together, "TIME ! u:1 a:1" unbinds. The
 * letters: u user_id, m member_no, n unionid, p phone, e email, o openid, d device_id,
 * a anonymous_id. */
#ifndef IDENTITY_IDENTITY_TEST_INT_H
#define IDENTITY_IDENTITY_TEST_INT_H

#include "base/rng.h"
#include "identity/identity_int.h"

#define LINES_MAX 48
#define NAMES_MAX 64
#define TEXT_MAX 4096

struct world {
    char folder[64];
    char path[96];
    size_t cache_bytes;
    struct state *state;
    struct identity *identity;
    struct arena arena;
    uint64_t position;
    int run; /* each telling has values of its own */
};

struct line {
    int64_t time_us;
    bool unbind;
    size_t count;
    struct event_identifier identifiers[LIMIT_EVENT_IDENTIFIERS];
    char text[LIMIT_EVENT_IDENTIFIERS][24];
    char name[LIMIT_EVENT_IDENTIFIERS][16]; /* as the story has it */
};

/* An identifier as the story has it, and whose person it is. */
struct name {
    char text[16];
    uint64_t group;
};

void world_open(struct world *world, size_t cache_bytes);
void world_done(struct world *world);
void world_enter(struct world *world);
void world_leave(struct world *world);
void world_flush(struct world *world);
void world_tell(struct world *world, const char *text, size_t number,
                struct identity_result *ret_result);
void world_tell_in_order(struct world *world, const char *const *lines, const size_t *order,
                         size_t n);
void world_find(struct world *world, const char *name, struct visitor_id *ret_visitor,
                struct person_id *ret_person);
void world_check(struct world *world, const char *const *lines, size_t n);
void story_people(struct world *world, const char *const *lines, size_t n, char text[TEXT_MAX]);
void story_shuffle(struct rng *rng, size_t *order, size_t n);
size_t story_names(const char *const *lines, size_t n, struct name *names);
void story_groups(const struct name *names, size_t n, char text[TEXT_MAX]);
void story_line(const char *text, int run, struct line *line);
enum identifier_type story_type(char letter);
struct hash128 story_message(size_t number);

/* identity_page_test.c */
void a_component_of_many_pages_reads_as_it_was_written(void **state);
void an_event_changes_the_pages_that_it_must(void **state);
void a_row_of_version_1_is_read_and_divided(void **state);
void damaged_pages_are_refused_and_never_crash(void **state);
void damaged_identifiers_are_refused_and_never_crash(void **state);

/* identity_story_test.c */
void every_story_gives_the_same_people_in_all_orders(void **state);
void the_stories_agree_with_the_oracle(void **state);
void random_histories_agree_with_the_oracle_in_every_order(void **state);
void flush_eviction_and_reload_change_nothing(void **state);
#endif
