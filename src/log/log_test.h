/* log_test.h - a journal in a temporary folder, and reading it back; shared by the two test files.
 */
#ifndef LOG_LOG_TEST_H
#define LOG_LOG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/log_read.h"

#define TEST_RECORDS_MAX 4096u

/* A journal and what it stands on. */
struct bench {
    char folder[256];
    struct disk disk;
    struct clock clock;
    struct log_options options;
    struct log *log;
};

/* What a whole read of a journal gave: record i carries the text of its number. */
struct seen {
    size_t count;
    uint32_t id[TEST_RECORDS_MAX];
    uint64_t offset[TEST_RECORDS_MAX];
    int64_t received_us[TEST_RECORDS_MAX];
    bool erased[TEST_RECORDS_MAX]; /* flagged, and all bytes zero: id is 0 then */
};

int bench_setup(void **state);
int bench_teardown(void **state);
void bench_open(struct bench *bench);
void bench_close(struct bench *bench);
void bench_reopen(struct bench *bench);

/* The payload of record `id`: its digits, then a filler that depends on it. */
void payload_put(struct buf *buf, uint32_t id, size_t n);
/* Append one record and wait. */
enum status append_one(struct log *log, uint32_t id, size_t n, uint64_t *ret_offset);
/* Read all from the start; ST_OK or the first failure. */
enum status read_all(struct log *log, struct seen *ret_seen);

/* A file of the journal's folder, whole; free it. */
char *file_read(const struct bench *bench, const char *name, size_t *ret_n);
void file_write(const struct bench *bench, const char *name, const char *bytes, size_t n);
void segment_name(uint64_t base, char ret_name[32]);
/* Make the folder hold nothing. */
void folder_clear(const char *folder);

/* Run `work` in a child; gives the wait status. */
struct notes;
int in_child(void (*work)(struct bench *, struct notes *), struct bench *bench,
             struct notes *notes);

/* Run the tests of that file; gives the number of failed ones. */
int log_fault_tests_run(void);
int log_ahead_tests_run(void);
#endif
