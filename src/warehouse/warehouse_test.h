/* warehouse_test.h - what the two test files of this folder share. */
#ifndef WAREHOUSE_WAREHOUSE_TEST_H
#define WAREHOUSE_WAREHOUSE_TEST_H

#include "warehouse/warehouse.h"

struct bench {
    char folder[64]; /* holds warehouse/ and export/ */
    struct disk disk;
    struct clock clock;
    struct warehouse *warehouse;
    struct buf json;
};

#define NOVEMBER INT64_C(1793620800000000) /* 2026-11-02T12:00:00Z */
#define DAY INT64_C(86400000000)

int bench_setup(void **state);
int bench_teardown(void **state);
void bench_open(struct bench *bench);
void bench_reopen(struct bench *bench);
/* An event of one visitor, who is also the person; its name is "Order Completed". */
struct warehouse_event event_of(uint64_t position, uint64_t visitor, int64_t received_us);
void commit(struct bench *bench, uint64_t position, int64_t received_us);
/* The "rows" of a trusted query, as text. */
const char *rows_of(struct bench *bench, const char *sql);
#endif
