/* core.c - opening a data directory.
 *
 * The order is the order of the layers, and of trust: version and lock first, then the secret by
 * which identifiers are hashed, what we decided (facts), what happened (journal), its columns
 * (warehouse), and last the pipeline that folds from where the state stands. */
#include "app/core.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hook.h"
#include "base/thread.h"

#define DATA_VERSION "hezou data 1\n"

void core_path(const struct core *core, const char *name, char path[4096])
{
    snprintf(path, 4096, "%s/%s", core->data, name);
}

static enum status folder_make(const char *path, struct err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(err, ST_IO, "could not make the folder %s: %s", path, strerror(errno));
    return ST_OK;
}

/* The names of the folder's first files and folders, and its own: nothing in it is on the disk
 * before they are. An earlier start may have been killed before it came here, so each start does
 * it. */
static enum status names_keep(struct core *core, struct err *err)
{
    char parent[sizeof core->data + 4];
    snprintf(parent, sizeof parent, "%s/..", core->data);
    enum status status = disk_sync_folder(&core->disk, core->data, err);
    if (status != ST_OK || access(parent, R_OK) != 0) /* not ours to read: then not ours to make */
        return status;
    return disk_sync_folder(&core->disk, parent, err);
}

static enum status lock_take(struct core *core, struct err *err)
{
    char path[4096];
    core_path(core, "lock", path);
    enum status status = disk_open(&core->disk, path, O_RDWR | O_CREAT, &core->lock_fd, err);
    if (status != ST_OK)
        return status;
    if (flock(core->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return ST_OK;
    err_set(err, ST_CONFLICT, "the data directory %s is in use by another process", core->data);
    return err_hint(err, ST_CONFLICT, "stop it, or give another --data");
}

/* A small file that must read `text`; made when the directory is new. */
static enum status version_check(struct core *core, struct err *err)
{
    char path[4096];
    char *bytes = NULL;
    size_t n = 0;
    core_path(core, "VERSION", path);
    enum status status = disk_read_file(&core->disk, path, 64, &bytes, &n, err);
    if (status == ST_NOT_FOUND)
        return disk_write_file(&core->disk, path, STR(DATA_VERSION), err);
    if (status != ST_OK)
        return status;
    bool same = str_is((struct str){bytes, n}, DATA_VERSION);
    free(bytes);
    if (same)
        return ST_OK;
    err_set(err, ST_CORRUPT, "%s was not made by this version of hezou", core->data);
    return err_hint(err, ST_CORRUPT, "use the program that made it, or a newer one");
}

/* The key by which identifiers and message ids are hashed: without it an index cannot be read
 * backwards. */
static enum status secret_load(struct core *core, struct err *err)
{
    char path[4096];
    char *bytes = NULL;
    size_t n = 0;
    core_path(core, "secret.key", path);
    enum status status = disk_read_file(&core->disk, path, 64, &bytes, &n, err);
    if (status == ST_NOT_FOUND) {
        rng_bytes(&core->rng, core->key.bytes, sizeof core->key.bytes);
        struct str key = {(const char *)core->key.bytes, sizeof core->key.bytes};
        return disk_write_file(&core->disk, path, key, err);
    }
    if (status == ST_OK && n != sizeof core->key.bytes)
        status = err_set(err, ST_CORRUPT, "%s is damaged; restore it from a backup", path);
    if (status == ST_OK)
        memcpy(core->key.bytes, bytes, sizeof core->key.bytes);
    free(bytes);
    return status;
}

static enum status facts_and_keys(struct core *core, const struct options *options, struct err *err)
{
    char path[4096], owner[4096];
    struct audit_options audit_options = {
        .clock = &core->clock,
        .secret = core->key,
        .keep_us = option_number(options, OPTION_AUDIT_DAYS) * US_PER_DAY,
        .records_max = option_number(options, OPTION_AUDIT_RECORDS),
    };
    core_path(core, "facts.db", path);
    core_path(core, "owner.key", owner);
    if (audit_options.keep_us < US_PER_DAY || audit_options.records_max < 1)
        return err_set(err, ST_INVALID, "--audit-days and --audit-records are at least 1");
    enum status status = facts_open(path, &core->facts, err);
    if (status == ST_OK)
        status = access_open(core->facts, &core->rng, &core->clock, owner, &core->access, err);
    audit_options.facts = core->facts;
    return status == ST_OK ? audit_open(&audit_options, &core->audit, err) : status;
}

static enum status journal_open(struct core *core, const struct options *options, struct err *err)
{
    char folder[4096];
    core_path(core, "journal", folder);
    struct log_options log_options = {
        .folder = folder,
        .disk = &core->disk,
        .clock = &core->clock,
        .segment_bytes = (uint64_t)option_number(options, OPTION_SEGMENT) << 20,
        .size_max = (uint64_t)option_number(options, OPTION_JOURNAL) << 20,
        .inflight_max = (size_t)option_number(options, OPTION_INFLIGHT) << 10,
        .bug_ack_before_sync = hook_bug("ack_before_sync"),
    };
    return log_open(&log_options, &core->log, err);
}

/* The warehouse is opened beside journal and state: after a crash each has a log of its own to
 * read, and the longest of them is when the server is ready. */
struct opening {
    struct core *core;
    const struct options *options;
    enum status status;
    struct err err;
};

static void *warehouse_open_main(void *ctx)
{
    struct opening *opening = ctx;
    struct core *core = opening->core;
    char folder[4096], export[4096];
    core_path(core, "warehouse", folder);
    core_path(core, "export", export);
    struct warehouse_options warehouse_options = {
        .folder = folder,
        .export_folder = export,
        .disk = &core->disk,
        .clock = &core->clock,
        .memory_bytes = (size_t)option_number(opening->options, OPTION_WAREHOUSE_MEMORY) << 20,
    };
    opening->status = warehouse_open(&warehouse_options, &core->warehouse, &opening->err);
    return NULL;
}

/* Between the two: it is rebuilt from what the warehouse has now and fed with all that follows. */
static void timeline_start(struct core *core, const struct options *options)
{
    struct timeline_options timeline_options = {
        .warehouse = core->warehouse,
        .memory_bytes = (size_t)option_number(options, OPTION_TIMELINE) << 20,
    };
    if (timeline_options.memory_bytes == 0 || options->command == COMMAND_DOCTOR)
        return;
    timeline_open(&timeline_options, &core->timeline);
    pipeline_timeline_set(core->pipeline, core->timeline);
}

static enum status road_open(struct core *core, const struct options *options, struct err *err)
{
    struct pipeline_options pipeline_options = {
        .access = core->access,
        .clock = &core->clock,
        .disk = &core->disk,
        .key = &core->key,
        .data = core->data,
        .cache_bytes = (size_t)option_number(options, OPTION_CACHE) << 20,
        /* Small segments are for tests and small shops: their state follows the journal as closely.
         */
        .note_bytes = (uint64_t)option_number(options, OPTION_SEGMENT) << 20,
        .bug_cursor_before_effect = hook_bug("cursor_before_effect"),
        .bug_dedup_off_by_one = hook_bug("dedup_off_by_one"),
    };
    struct opening opening = {.core = core, .options = options};
    pthread_t thread;
    char state[4096];
    core_path(core, "state.db", state);
    bool apart = access(state, F_OK) == 0;
    CHECK(thread_start(&thread, "warehouse open", warehouse_open_main, &opening) == 0);
    enum status status = journal_open(core, options, err);
    if (!apart) {
        CHECK(pthread_join(thread, NULL) == 0);
        if (opening.status == ST_OK)
            pipeline_options.rows_position = warehouse_position(core->warehouse);
    }
    pipeline_options.log = core->log;
    if (status == ST_OK)
        status = pipeline_open(&pipeline_options, &core->pipeline, err);
    if (apart)
        CHECK(pthread_join(thread, NULL) == 0);
    if (status == ST_OK && opening.status != ST_OK) {
        *err = opening.err;
        status = opening.status;
    }
    if (status != ST_OK)
        return status;
    timeline_start(core, options);
    return pipeline_start(core->pipeline, core->warehouse, err);
}

/* What asks: reports on the timeline, lists of people. */
static enum status questions_open(struct core *core, const struct options *options, struct err *err)
{
    size_t timeline_bytes = (size_t)option_number(options, OPTION_TIMELINE) << 20;
    struct live_options live_options = {
        .timeline = core->timeline,
        .warehouse = core->warehouse,
        .older_bytes = timeline_bytes / 2 > LIVE_OLDER_BYTES ? timeline_bytes / 2 : 0,
        .clock = &core->clock,
        .log = core->log,
        .zone =
            option_text(options, OPTION_ZONE)[0] != '\0' ? option_text(options, OPTION_ZONE) : NULL,
    };
    struct segment_options segment_options = {
        .facts = core->facts, .warehouse = core->warehouse, .clock = &core->clock};
    enum status status = segment_lists_open(&segment_options, &core->segment, err);
    if (status == ST_OK)
        status = live_open(&live_options, &core->live, err);
    return status;
}

static enum status clock_choose(struct core *core, const struct options *options, struct err *err)
{
    struct clock system;
    clock_init_system(&system);
    const char *kind = option_text(options, OPTION_CLOCK);
    if (strcmp(kind, "virtual") == 0)
        clock_init_virtual(&core->clock, clock_now_us(&system));
    else if (strcmp(kind, "system") == 0)
        core->clock = system;
    else
        return err_set(err, ST_INVALID, "--clock is system or virtual, not %s", kind);
    return ST_OK;
}

enum status core_open(struct core *core, const struct options *options, struct err *err)
{
    *core = (struct core){.lock_fd = -1};
    rng_init_system(&core->rng);
    disk_init(&core->disk);
    hook_disk(&core->disk);
    snprintf(core->data, sizeof core->data, "%s", option_text(options, OPTION_DATA));
    enum status status = clock_choose(core, options, err);
    if (status == ST_OK)
        status = folder_make(core->data, err);
    if (status == ST_OK)
        status = lock_take(core, err);
    if (status == ST_OK)
        status = version_check(core, err);
    if (status == ST_OK)
        status = secret_load(core, err);
    if (status == ST_OK)
        status = facts_and_keys(core, options, err);
    if (status == ST_OK)
        status = road_open(core, options, err);
    if (status == ST_OK)
        status = names_keep(core, err);
    if (status == ST_OK)
        status = questions_open(core, options, err);
    if (status != ST_OK)
        core_close(core);
    return status;
}

void core_close(struct core *core)
{
    live_close(core->live);
    segment_lists_close(core->segment);
    pipeline_close(core->pipeline);
    timeline_close(core->timeline);
    warehouse_close(core->warehouse);
    log_close(core->log);
    audit_close(core->audit); /* after the pipeline: those who waited for it are answered, too */
    access_close(core->access);
    facts_close(core->facts);
    hook_disk_end(&core->disk);
    if (core->lock_fd >= 0)
        close(core->lock_fd);
    *core = (struct core){.lock_fd = -1};
}
