/* generate.c - a seeded stream of shop events, cheap enough that the client is not what the bench
 * measures.
 *
 * Texts are made once, one for each event name and set of identifiers, padded to one length; an
 * event is a copy of one with its digits written over. Zipf comes from an alias table: two reads a
 * draw, whatever the number of persons. */
#include "generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING 8192 /* events that a duplicate may repeat; a power of two */
#define NAMES 8
#define SHORT_NAMES 40
#define KINDS 3 /* user alone, anonymous alone, both */
#define WAITING                                                                                    \
    65536 /* anonymous ids that were seen alone and are not merged yet; a power of two */
#define WAITING_MIN 4096 /* so that some thousand events lie between the two */

static const char *const names[NAMES] = {
    "Product Viewed", "Product Added",    "Product List Viewed", "Products Searched",
    "Cart Viewed",    "Checkout Started", "Order Completed",     "Coupon Applied",
};

struct text {
    char bytes[GENERATE_EVENT_BYTES];
    size_t number, user, anonymous, time, product, price, order,
        revenue; /* offsets; 0 = not there */
};

struct generate {
    uint64_t seed, state, next, anonymous_next;
    int64_t start_ms;
    uint32_t persons;
    uint32_t *alias;
    float *keep;
    uint8_t *merges; /* by person */
    uint64_t waiting[WAITING];
    uint64_t waiting_head, waiting_tail;
    struct generate_event ring[RING];
    struct text texts[NAMES][KINDS];

    /* Short events. */
    unsigned days; /* 0 = the long ones */
    uint64_t events;
    float zipf[SHORT_NAMES];
};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        abort();
    return memory;
}

/* splitmix64: the whole stream hangs on the seed alone. */
static uint64_t draw(struct generate *generate)
{
    uint64_t x = generate->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Vose's alias method over weights 1/rank. */
static void zipf_init(struct generate *generate)
{
    uint32_t n = generate->persons, small_count = 0, large_count = 0;
    double *scaled = allocate(sizeof *scaled * n), sum = 0;
    uint32_t *small = allocate(sizeof *small * n), *large = allocate(sizeof *large * n);
    generate->alias = allocate(sizeof *generate->alias * n);
    generate->keep = allocate(sizeof *generate->keep * n);
    for (uint32_t i = 0; i < n; i++)
        sum += 1.0 / (i + 1);
    for (uint32_t i = 0; i < n; i++) {
        scaled[i] = n / sum / (i + 1);
        if (scaled[i] < 1)
            small[small_count++] = i;
        else
            large[large_count++] = i;
    }
    while (small_count > 0 && large_count > 0) {
        uint32_t s = small[--small_count], l = large[large_count - 1];
        generate->keep[s] = (float)scaled[s];
        generate->alias[s] = l;
        scaled[l] -= 1 - scaled[s];
        if (scaled[l] < 1) {
            large_count--;
            small[small_count++] = l;
        }
    }
    while (large_count > 0)
        generate->keep[large[--large_count]] = 1;
    while (small_count > 0)
        generate->keep[small[--small_count]] = 1;
    free(scaled);
    free(small);
    free(large);
}

uint32_t generate_person(struct generate *generate)
{
    uint64_t x = draw(generate);
    uint32_t n = generate->persons, slot = (uint32_t)(((x >> 32) * n) >> 32);
    float u = (float)(x & 0xffffff) / (float)0x1000000;
    uint32_t rank = u < generate->keep[slot] ? slot : generate->alias[slot];
    return (uint32_t)((uint64_t)rank * 7919 % n) +
           1; /* neighbours in rank are no neighbours in number */
}

/* `value` as `digits` decimal digits with leading zeros. */
static void put_digits(char *out, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
}

static size_t offset_of(const char *bytes, const char *mark)
{
    const char *at = strstr(bytes, mark);
    return at == NULL ? 0 : (size_t)(at - bytes);
}

static void text_init(struct text *text, unsigned name, unsigned kind, uint64_t seed)
{
    bool order = strcmp(names[name], "Order Completed") == 0;
    char bytes[GENERATE_EVENT_BYTES + 256];
    int n = snprintf(
        bytes, sizeof bytes,
        "{\"type\":\"track\",\"messageId\":\"load-%08x-############\",%s%s\"event\":\"%s\","
        "\"timestamp\":\"YYYY-00-00T00:00:00.000Z\",\"properties\":{\"product_id\":\"sku-PPPPPP\","
        "\"price\":1$$.00,\"currency\":\"CNY\",\"quantity\":1,\"category\":\"outdoor\"%s},"
        "\"context\":{\"library\":{\"name\":\"load\",\"version\":\"1\"},\"locale\":\"zh-CN\","
        "\"campaign\":{\"name\":\"spring\",\"source\":\"search\"},\"note\":\"",
        (unsigned)(seed & 0xffffffff), kind == 1 ? "" : "\"userId\":\"uUUUUUUUU\",",
        kind == 0 ? "" : "\"anonymousId\":\"aAAAAAAAAAAAA\",", names[name],
        order ? ",\"order_id\":\"oOOOOOOOOOOOO\",\"revenue\":1&&.00" : "");
    if (n < 0 || n > GENERATE_EVENT_BYTES - 3)
        abort();
    memset(bytes + n, 'x', (size_t)(GENERATE_EVENT_BYTES - 3 - n));
    memcpy(bytes + GENERATE_EVENT_BYTES - 3, "\"}}", 4);
    memcpy(text->bytes, bytes, GENERATE_EVENT_BYTES);
    text->number = offset_of(bytes, "############");
    text->user = offset_of(bytes, "UUUUUUUU");
    text->anonymous = offset_of(bytes, "AAAAAAAAAAAA");
    text->time = offset_of(bytes, "YYYY-");
    text->product = offset_of(bytes, "PPPPPP");
    text->price = offset_of(bytes, "$$.00");
    text->order = offset_of(bytes, "OOOOOOOOOOOO");
    text->revenue = offset_of(bytes, "&&.00");
}

struct generate *generate_new(uint64_t seed, uint32_t persons, int64_t start_ms)
{
    struct generate *generate = allocate(sizeof *generate);
    generate->seed = generate->state = seed;
    generate->persons = persons;
    generate->start_ms = start_ms;
    generate->anonymous_next =
        UINT64_C(100000000000); /* above the usual devices, which have the person's number */
    generate->merges = allocate(persons + 1);
    zipf_init(generate);
    for (unsigned name = 0; name < NAMES; name++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            text_init(&generate->texts[name][kind], name, kind, seed);
    return generate;
}

void generate_free(struct generate *generate)
{
    if (generate == NULL)
        return;
    free(generate->alias);
    free(generate->keep);
    free(generate->merges);
    free(generate);
}

/* A merge needs an anonymous id that waits and a person who has room; false when there is none. */
static bool make_merge(struct generate *generate, struct generate_event *event)
{
    if (generate->waiting_tail - generate->waiting_head < WAITING_MIN)
        return false;
    for (int tries = 0; tries < 8; tries++) {
        uint32_t person = generate_person(generate);
        if (generate->merges[person] >= GENERATE_MERGES_MAX)
            continue;
        generate->merges[person]++;
        event->user = person;
        event->anonymous = generate->waiting[generate->waiting_head++ % WAITING];
        event->merge = true;
        return true;
    }
    return false;
}

static void make_identifiers(struct generate *generate, struct generate_event *event,
                             uint64_t percent)
{
    if (percent < 5 && make_merge(generate, event))
        return;
    if (percent >= 30 && percent < 35 &&
        generate->waiting_tail - generate->waiting_head < WAITING) {
        event->anonymous = generate->anonymous_next++;
        generate->waiting[generate->waiting_tail++ % WAITING] = event->anonymous;
        return;
    }
    event->user = generate_person(generate);
    if (percent < 30)
        event->anonymous = event->user;
}

static void short_next(struct generate *generate, struct generate_event *event);

void generate_next(struct generate *generate, struct generate_event *ret_event)
{
    if (generate->days != 0) {
        short_next(generate, ret_event);
        return;
    }
    uint64_t x = draw(generate), number = generate->next++;
    if (x % 100 == 0 && number >= RING) {
        *ret_event = generate->ring[(x >> 32) % RING];
        ret_event->duplicate = true;
        generate->ring[number % RING] = generate->ring[(x >> 32) % RING];
        return;
    }
    struct generate_event event = {.number = number};
    make_identifiers(generate, &event, (x >> 8) % 100);
    event.late = (x >> 16) % 100 == 0;
    event.time_ms = generate->start_ms + (int64_t)(number / 100) - (event.late ? 3600000 : 0);
    event.product = (uint32_t)((x >> 24) % 20000);
    event.cents = (uint16_t)((x >> 40) % 10000);
    event.name = (uint8_t)((x >> 56) % NAMES);
    generate->ring[number % RING] = event;
    *ret_event = event;
}

/* 2026-11-24T10:00:00.123Z; the calendar is asked once a second. */
static void put_time(char *out, int64_t time_ms)
{
    static _Thread_local int64_t cached = INT64_MIN;
    static _Thread_local char text[24];
    int64_t seconds = time_ms / 1000;
    if (seconds != cached) {
        time_t t = (time_t)seconds;
        struct tm parts;
        gmtime_r(&t, &parts);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.", &parts);
        cached = seconds;
    }
    memcpy(out, text, 20);
    put_digits(out + 20, (uint64_t)(time_ms % 1000), 3);
}

/* --- short events ----------------------------------------------------------------------------- */

void generate_make_short(struct generate *generate, unsigned days, uint64_t events)
{
    float sum = 0, so_far = 0;
    generate->days = days;
    generate->events = events;
    for (int i = 0; i < SHORT_NAMES; i++)
        sum += 1.0F / (float)(i + 1);
    for (int i = 0; i < SHORT_NAMES; i++)
        generate->zipf[i] = so_far += 1.0F / (float)(i + 1) / sum;
}

size_t generate_bytes(const struct generate *generate)
{
    return generate->days == 0 ? GENERATE_EVENT_BYTES : GENERATE_SHORT_BYTES;
}

/* Of ten persons the first three have a device beside their user id; the first of their events that
 * has both makes the two one. */
static void short_next(struct generate *generate, struct generate_event *event)
{
    uint64_t x = draw(generate), number = generate->next++;
    int64_t span_ms = (int64_t)generate->days * 86400000;
    float u = (float)(x >> 40) / (float)0x1000000;
    *event = (struct generate_event){.number = number};
    while (event->name + 1 < SHORT_NAMES && u > generate->zipf[event->name])
        event->name++;
    event->user = (uint32_t)(((draw(generate) >> 32) * generate->persons) >> 32) + 1;
    if (event->user % 10 < 3) {
        uint64_t way = x % 4; /* the device alone, both, the user alone */
        event->anonymous = way < 2 ? event->user : 0;
        if (way == 0)
            event->user = 0;
    }
    event->late = (x >> 8) % 100 == 0;
    event->time_ms = generate->start_ms - span_ms +
                     (int64_t)((double)number / (double)generate->events * (double)span_ms) -
                     (event->late ? 3600000 : 0);
    event->product = (uint32_t)((x >> 16) % 4);
}

/* Blanks fill it up to one length. */
static void short_write(const struct generate_event *event, char *out)
{
    static const char *const channels[] = {"server", "mobile", "browser"};
    static _Thread_local char time[24];
    char bytes[GENERATE_SHORT_BYTES + 64], ids[48];
    int n = 0;
    put_time(time, event->time_ms);
    time[19] = 'Z';
    if (event->user != 0)
        n += snprintf(ids, sizeof ids, ",\"userId\":\"u%u\"", event->user);
    if (event->anonymous != 0)
        snprintf(ids + n, sizeof ids - (size_t)n, ",\"anonymousId\":\"a%u\"",
                 (unsigned)event->anonymous);
    n = snprintf(
        bytes, sizeof bytes,
        "{\"type\":\"track\",\"event\":\"e%02u\",\"messageId\":\"%llx\",\"channel\":\"%s\","
        "\"timestamp\":\"%.20s\"%s,\"properties\":{\"p\":\"%u\"}",
        event->name, (unsigned long long)event->number, channels[event->number % 3], time, ids,
        event->product);
    if (n < 0 || n >= GENERATE_SHORT_BYTES)
        abort();
    memset(out, ' ', GENERATE_SHORT_BYTES);
    memcpy(out, bytes, (size_t)n);
    out[GENERATE_SHORT_BYTES - 1] = '}';
}

void generate_write(const struct generate *generate, const struct generate_event *event, char *out)
{
    if (generate->days != 0) {
        short_write(event, out);
        return;
    }
    unsigned kind = event->user == 0 ? 1 : event->anonymous == 0 ? 0 : 2;
    const struct text *text = &generate->texts[event->name][kind];
    memcpy(out, text->bytes, GENERATE_EVENT_BYTES);
    put_digits(out + text->number, event->number, 12);
    if (event->user != 0)
        put_digits(out + text->user, event->user, 8);
    if (event->anonymous != 0)
        put_digits(out + text->anonymous, event->anonymous, 12);
    put_time(out + text->time, event->time_ms);
    put_digits(out + text->product, event->product, 6);
    put_digits(out + text->price, event->cents / 100, 2);
    put_digits(out + text->price + 3, event->cents % 100, 2);
    if (text->order == 0)
        return;
    put_digits(out + text->order, event->number, 12);
    put_digits(out + text->revenue, event->cents / 100, 2);
    put_digits(out + text->revenue + 3, event->cents % 100, 2);
}

const char *generate_name(unsigned name)
{
    return names[name % NAMES];
}

void generate_message_id(const struct generate *generate, const struct generate_event *event,
                         char ret[32])
{
    snprintf(ret, 32, "load-%08x-%012llu", (unsigned)(generate->seed & 0xffffffff),
             (unsigned long long)event->number);
}

void generate_user_id(uint32_t user, char ret[16])
{
    memcpy(ret, "u00000000", 10);
    put_digits(ret + 1, user, 8);
}

void generate_anonymous_id(uint64_t anonymous, char ret[16])
{
    memcpy(ret, "a000000000000", 14);
    put_digits(ret + 1, anonymous, 12);
}
