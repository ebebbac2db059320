/* import_int.h - for the folder alone: mapping, events, and the sender.
 *
 *   mapping.c  what the rows mean
 *   build.c    rows to events, groups of rows to one event
 *   import.c   events to the server, each exactly once
 */
#ifndef IMPORT_IMPORT_INT_H
#define IMPORT_IMPORT_INT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/status.h"
#include "event/event.h"
#include "import/import.h"
#include "table/rows.h"

#define IMPORT_MAPPING_MAX ((size_t)1 << 20)
#define IMPORT_VALUES_MAX 128 /* properties, and members of a product line */
#define IMPORT_PARTS_MAX 4    /* columns of a key or a product */
#define IMPORT_GROUPS_OPEN 64 /* how far rows of one group may lie apart, in groups */
#define IMPORT_EVENT_MAX ((size_t)768 << 10) /* then a group goes on in a second event */
#define IMPORT_IDS_MAX 20000000u             /* remembered message ids of one file: 0.6 GB */
#define IMPORT_BATCH_EVENTS 100
#define IMPORT_BATCH_BYTES ((size_t)1 << 20)
#define IMPORT_TOKEN_BYTES 64
#define IMPORT_WAIT_S 1      /* what the door's Retry-After says */
#define IMPORT_WAITS_MAX 600 /* ten minutes of "try again", then we give up */

/* --- mapping.c -------------------------------------------------------------------------------- */

enum value_kind { VALUE_TEXT, VALUE_NUMBER, VALUE_CONSTANT, VALUE_SUM };

struct value {
    struct str name; /* of the member, as JSON: "order_id" */
    enum value_kind kind;
    int columns[IMPORT_PARTS_MAX];
    int columns_count;
    struct str json; /* of a constant */
};

struct name_rule {
    int column; /* -1: always */
    struct str starts_with;
    struct str name;
    int name_column; /* -1: `name` */
};

struct mapping {
    yyjson_doc *doc;
    struct arena *arena;
    struct str name; /* prefix of all message ids */
    char delimiter;
    struct str missing[8]; /* cells that say "nothing here": NA, NULL, - */
    int missing_count;
    int group_by; /* -1: a row is an event */
    int key[IMPORT_PARTS_MAX];
    int key_count;
    struct str type, channel;
    struct name_rule names[16];
    int names_count;
    int time; /* -1: none */
    int zone_offset_s;
    struct {
        enum identifier_type type;
        int column;
    } identifiers[LIMIT_EVENT_IDENTIFIERS];
    int identifiers_count;
    struct value properties[IMPORT_VALUES_MAX], products[IMPORT_VALUES_MAX];
    int properties_count, products_count;
    int column_last; /* the highest column that is used */
};

/* The delimiter is known before the header row is read. */
MUST_USE enum status import_mapping_delimiter(struct str json, char *ret_delimiter,
                                              struct err *err);
/* `columns` is the header row. ST_INVALID names the column that is missing or the member that is
 * wrong. */
MUST_USE enum status import_mapping_parse(struct str json, const struct str *columns,
                                          size_t columns_count, struct arena *arena,
                                          struct mapping *ret_mapping, struct err *err);
void import_mapping_done(struct mapping *mapping);

/* --- build.c ---------------------------------------------------------------------------------- */

/* Gets each event as one JSON object of our own batch. */
typedef enum status import_sink(void *ctx, struct str event, struct err *err);

struct builder;
struct builder *import_builder_new(const struct mapping *mapping, const char *path,
                                   import_sink *sink, void *ctx);
void import_builder_free(struct builder *builder);
/* Empties the row's missing cells. */
MUST_USE enum status import_builder_row(struct builder *builder, struct table_csv *csv,
                                        struct err *err);
/* All groups that are still open. */
MUST_USE enum status import_builder_end(struct builder *builder, struct err *err);

/* --- import.c --------------------------------------------------------------------------------- */

struct sender {
    enum status (*post)(void *ctx, struct str body, int *ret_code, struct buf *answer,
                        struct err *err);
    void (*wait)(void *ctx, int seconds);
    void *ctx;
    struct buf batch, answer;
    size_t events;
    struct import_progress progress;
    struct json_pool pool;
    const struct import_options *options; /* for the progress call; may be NULL */
    const struct table_input *input;
};

void import_sender_init(struct sender *sender);
void import_sender_done(struct sender *sender);
/* Queue one event; posts when the batch is full. Matches import_sink. */
MUST_USE enum status import_sender_put(void *sender, struct str event, struct err *err);
MUST_USE enum status import_sender_flush(struct sender *sender, struct err *err);

/* The road without a server: rows of `file` by `mapping` to `sink`. *ret_lines counts data rows. */
MUST_USE enum status import_read_file(const char *file, struct str mapping, import_sink *sink,
                                      void *ctx, uint64_t *lines,
                                      const struct table_input **ret_input, struct err *err);
#endif
