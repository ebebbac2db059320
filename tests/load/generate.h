/* generate.h - the events of the bench: the same ones, in the same order, for us and for the
 * database we compare with.
 *
 * A seed names the whole stream. Persons are drawn by Zipf (s = 1); of all events
 *
 *   30 %  carry two identifiers: 25 % the person's user id and usual device,
 *    5 %  the user id and an anonymous id that was seen alone before: this one makes two people
 * one; 5 %  carry such a new anonymous id alone; the other 65 % the user id alone 1 %  repeat one
 * of the last 8,192 events byte for byte; 1 % say that they happened an hour ago
 *
 * One person takes at most GENERATE_MERGES_MAX merges, or Zipf's first persons would only test the
 * limits. An event is exactly GENERATE_EVENT_BYTES long: prefabricated texts whose digits are
 * patched, 0.2 us each. */
#ifndef TESTS_LOAD_GENERATE_H
#define TESTS_LOAD_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GENERATE_EVENT_BYTES 500
#define GENERATE_MERGES_MAX 64 /* well below the 200 anonymous ids that one person may have */

struct generate;

struct generate_event {
    uint64_t number;    /* in the message id; of the first one when it is a duplicate */
    int64_t time_ms;    /* since 1970 */
    uint64_t anonymous; /* 0 = none */
    uint32_t user;      /* 0 = none; persons are 1 … persons */
    uint32_t product;
    uint16_t cents;
    uint8_t name; /* of generate_name */
    bool duplicate, merge, late;
};

struct generate *generate_new(uint64_t seed, uint32_t persons, int64_t start_ms);
/* Short events over many days instead, for live reports: `bytes` of generate_write are then
 * GENERATE_SHORT_BYTES. Every person is as likely as any other; 30 % of them come with a second
 * device as well, half of their events carry only one of their identifiers; 40 names by Zipf; 1 %
 * an hour late, no duplicates; time goes evenly over `days` before start_ms. */
void generate_make_short(struct generate *generate, unsigned days, uint64_t events);
#define GENERATE_SHORT_BYTES 176 /* blanks at the end included; 130 to 170 without */
size_t generate_bytes(const struct generate *generate);
void generate_free(struct generate *generate);
void generate_next(struct generate *generate, struct generate_event *ret_event);
/* A person by the same Zipf, for readers. */
uint32_t generate_person(struct generate *generate);

/* The event as the JSON object that the Segment door takes; GENERATE_EVENT_BYTES, not terminated.
 */
void generate_write(const struct generate *generate, const struct generate_event *event, char *out);
const char *generate_name(unsigned name);
/* The texts that stand in the event, terminated. */
void generate_message_id(const struct generate *generate, const struct generate_event *event,
                         char ret[32]);
void generate_user_id(uint32_t user, char ret[16]);
void generate_anonymous_id(uint64_t anonymous, char ret[16]);
#endif
