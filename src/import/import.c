/* import.c - a file to the server's own door, each event exactly once.
 *
 * One batch is under way at a time and is repeated, byte for byte, until an answer came: a cut
 * connection or a 503 leaves unknown what was stored, but the message ids are made of the file, so
 * the door or the pipeline drops what it has. Any other refusal ends the import with the server's
 * words: what was sent stays, and a second run goes on where this one failed, for the same reason.
 */
#include "import/import_int.h"

#include <stdlib.h>
#include <time.h>

#include "base/arena.h"

void import_sender_init(struct sender *sender)
{
    *sender = (struct sender){0};
    buf_init(&sender->batch, (size_t)16 << 20);
    buf_init(&sender->answer, (size_t)16 << 20);
    buf_init(&sender->progress.position, IMPORT_TOKEN_BYTES);
    json_pool_init(&sender->pool);
}

void import_sender_done(struct sender *sender)
{
    buf_done(&sender->batch);
    buf_done(&sender->answer);
    buf_done(&sender->progress.position);
    json_pool_done(&sender->pool);
}

static enum status answer_take(struct sender *sender, struct err *err)
{
    yyjson_doc *doc;
    if (json_parse(&sender->pool, buf_view(&sender->answer), &doc, NULL) != ST_OK)
        return err_set(err, ST_INVALID, "could not import: the server's answer is no JSON");
    yyjson_val *root = yyjson_doc_get_root(doc), *result;
    struct str position = json_member_str(root, "position");
    buf_reset(&sender->progress.position);
    buf_str(&sender->progress.position, position);
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(root, "results"), i, n, result)
    {
        struct str status = json_member_str(result, "status");
        sender->progress.stored += str_is(status, "stored");
        sender->progress.duplicates += str_is(status, "duplicate");
        sender->progress.quarantined += str_is(status, "quarantined");
    }
    return ST_OK;
}

static enum status refusal(struct sender *sender, int code, struct err *err)
{
    yyjson_doc *doc;
    struct str detail = {NULL, 0};
    enum status status = code == 401   ? ST_UNAUTHORIZED
                         : code == 403 ? ST_FORBIDDEN
                         : code == 413 ? ST_TOO_LARGE
                                       : ST_INVALID;
    if (json_parse(&sender->pool, buf_view(&sender->answer), &doc, NULL) == ST_OK) {
        detail = json_member_str(yyjson_doc_get_root(doc), "detail");
        if (detail.n == 0)
            detail = json_member_str(yyjson_doc_get_root(doc), "title");
    }
    return err_set(err, status, "could not import: the server answered %d%s" STR_FMT, code,
                   detail.n > 0 ? ": " : "", STR_ARG(detail));
}

enum status import_sender_flush(struct sender *sender, struct err *err)
{
    if (sender->events == 0)
        return ST_OK;
    buf_text(&sender->batch, "]}");
    for (int waits = 0;; waits++) {
        int code = 0;
        enum status status =
            sender->post(sender->ctx, buf_view(&sender->batch), &code, &sender->answer, err);
        if (status != ST_OK && status != ST_BUSY && status != ST_TIMEOUT)
            return status;
        if (status == ST_OK && code == 200)
            break;
        if (status == ST_OK && code != 503 && code != 429 && code != 408 && code != 504)
            return refusal(sender, code, err);
        if (waits == IMPORT_WAITS_MAX)
            return status == ST_OK ? err_set(err, ST_BUSY,
                                             "could not import: the server is too "
                                             "busy for ten minutes")
                                   : status;
        sender->wait(sender->ctx, IMPORT_WAIT_S);
    }
    sender->progress.events += sender->events;
    sender->events = 0;
    buf_reset(&sender->batch);
    enum status status = answer_take(sender, err);
    if (status == ST_OK && sender->options != NULL && sender->options->progress != NULL) {
        if (sender->input != NULL)
            table_input_bytes(sender->input, &sender->progress.bytes_read,
                              &sender->progress.bytes_total);
        else
            sender->progress.bytes_read = sender->progress.bytes_total;
        sender->options->progress(sender->options->ctx, &sender->progress);
    }
    return status;
}

enum status import_sender_put(void *ctx, struct str event, struct err *err)
{
    struct sender *sender = ctx;
    if (sender->events == IMPORT_BATCH_EVENTS ||
        (sender->events > 0 && sender->batch.n + event.n > IMPORT_BATCH_BYTES)) {
        enum status status = import_sender_flush(sender, err);
        if (status != ST_OK)
            return status;
    }
    buf_text(&sender->batch, sender->events == 0 ? "{\"events\":[" : ",");
    buf_str(&sender->batch, event);
    sender->events++;
    return ST_OK;
}

/* --- the file --------------------------------------------------------------------------------- */

static enum status read_input(void *ctx, char *to, size_t n, size_t *ret_n, struct err *err)
{
    return table_input_read(ctx, to, n, ret_n, err);
}

static enum status rows_read(struct table_csv *csv, const struct mapping *mapping, const char *file,
                             import_sink *sink, void *ctx, uint64_t *lines, struct err *err)
{
    struct builder *builder = import_builder_new(mapping, file, sink, ctx);
    enum status status;
    for (;;) {
        bool any;
        status = table_csv_next(csv, &any, err);
        if (status != ST_OK || !any)
            break;
        ++*lines;
        status = import_builder_row(builder, csv, err);
        if (status != ST_OK)
            break;
    }
    if (status == ST_OK)
        status = import_builder_end(builder, err);
    import_builder_free(builder);
    return status;
}

static enum status file_read(struct table_input *input, const char *file, struct str mapping_json,
                             import_sink *sink, void *ctx, uint64_t *lines, struct err *err)
{
    char delimiter;
    bool any;
    enum status status = import_mapping_delimiter(mapping_json, &delimiter, err);
    if (status != ST_OK)
        return status;
    struct table_csv csv;
    struct arena arena;
    struct mapping *mapping = mem_alloc(sizeof *mapping);
    arena_init(&arena);
    table_csv_init(&csv, read_input, input, delimiter);
    status = table_csv_next(&csv, &any, err);
    if (status == ST_OK && !any)
        status = err_set(err, ST_INVALID, "\"%s\" is empty: it has no header row", file);
    if (status == ST_OK)
        status = import_mapping_parse(mapping_json, csv.fields, csv.count, &arena, mapping, err);
    if (status == ST_OK) {
        status = rows_read(&csv, mapping, file, sink, ctx, lines, err);
        import_mapping_done(mapping);
    }
    table_csv_done(&csv);
    arena_done(&arena);
    free(mapping);
    return status;
}

enum status import_read_file(const char *file, struct str mapping, import_sink *sink, void *ctx,
                             uint64_t *lines, const struct table_input **ret_input, struct err *err)
{
    struct table_input *input;
    enum status status = table_input_open(file, &input, err);
    if (status != ST_OK)
        return status;
    if (ret_input != NULL)
        *ret_input = input; /* for the progress; valid while this call lasts */
    status = file_read(input, file, mapping, sink, ctx, lines, err);
    if (ret_input != NULL)
        *ret_input = NULL;
    table_input_close(input);
    return status;
}

/* --- over HTTP -------------------------------------------------------------------------------- */

static enum status post_http(void *ctx, struct str body, int *ret_code, struct buf *answer,
                             struct err *err)
{
    return http_client_send(ctx, "POST", "/api/v1/batch", "application/json", body, ret_code,
                            answer, err);
}

static void wait_seconds(void *ctx, int seconds)
{
    (void)ctx;
    struct timespec left = {seconds, 0};
    while (nanosleep(&left, &left) != 0)
        continue;
}

enum status import_file(const struct import_options *options, struct import_progress *ret_progress,
                        struct err *err)
{
    struct sender sender;
    import_sender_init(&sender);
    sender.post = post_http;
    sender.wait = wait_seconds;
    sender.ctx = options->client;
    sender.options = options;
    enum status status = import_read_file(options->file, options->mapping, import_sender_put,
                                          &sender, &sender.progress.lines, &sender.input, err);
    if (status == ST_OK)
        status = import_sender_flush(&sender, err);
    if (status == ST_OK) {
        *ret_progress = sender.progress;
        buf_init(&sender.progress.position, 0); /* the caller's now */
    }
    import_sender_done(&sender);
    return status;
}
