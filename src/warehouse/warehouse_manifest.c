/* warehouse_manifest.c - which files are ours.
 *
 * A rewrite makes a new file beside the old one, so for a moment there are two of a month; the
 * manifest, replaced by rename and synced, says which is true. It is written after the new file is
 * whole and on the disk, and before the old one is deleted. So whatever a crash leaves that the
 * manifest does not name is either unfinished or replaced: it may hold what was erased, and is
 * deleted at the next start. */
#include "warehouse/warehouse_int.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/json.h"

#define MANIFEST_VERSION 1

void file_name(struct file *file, const char *month, unsigned version)
{
    CHECK(strlen(month) == 7);
    *file = (struct file){.version = version};
    memcpy(file->month, month, 8);
    if (version == 1) {
        snprintf(file->name, sizeof file->name, "%s.duckdb", month);
        snprintf(file->alias, sizeof file->alias, "m%.4s_%s", month, month + 5);
    } else {
        snprintf(file->name, sizeof file->name, "%s.v%u.duckdb", month, version);
        snprintf(file->alias, sizeof file->alias, "m%.4s_%s_v%u", month, month + 5, version);
    }
}

void file_path(const struct warehouse *warehouse, const struct file *file, const char *suffix,
               char ret_path[WAREHOUSE_PATH_MAX])
{
    int n =
        snprintf(ret_path, WAREHOUSE_PATH_MAX, "%s/%s%s", warehouse->folder, file->name, suffix);
    CHECK(n > 0 && n < WAREHOUSE_PATH_MAX);
}

static void manifest_path(const struct warehouse *warehouse, char ret_path[WAREHOUSE_PATH_MAX])
{
    int n = snprintf(ret_path, WAREHOUSE_PATH_MAX, "%s/manifest.json", warehouse->folder);
    CHECK(n > 0 && n < WAREHOUSE_PATH_MAX);
}

static bool month_valid(struct str month)
{
    if (month.n != 7 || month.p[4] != '-')
        return false;
    for (size_t i = 0; i < 7; i++)
        if (i != 4 && (month.p[i] < '0' || month.p[i] > '9'))
            return false;
    return true;
}

static enum status manifest_load(struct warehouse *warehouse, yyjson_val *root, struct err *err)
{
    if (yyjson_get_uint(yyjson_obj_get(root, "version")) != MANIFEST_VERSION)
        return err_set(err, ST_CORRUPT,
                       "could not open the warehouse: its manifest has another version than %d",
                       MANIFEST_VERSION);
    yyjson_val *item;
    yyjson_arr_iter items;
    yyjson_arr_iter_init(yyjson_obj_get(root, "files"), &items);
    while ((item = yyjson_arr_iter_next(&items)) != NULL) {
        struct str month = json_member_str(item, "month");
        uint64_t version = yyjson_get_uint(yyjson_obj_get(item, "version"));
        const struct file *last =
            warehouse->files_count == 0 ? NULL : &warehouse->files[warehouse->files_count - 1];
        if (!month_valid(month) || version == 0 || version > 1000000 ||
            warehouse->files_count == WAREHOUSE_FILES_MAX ||
            (last != NULL && strcmp(last->month, month.p) >= 0))
            return err_set(err, ST_CORRUPT,
                           "could not open the warehouse: its manifest is damaged");
        file_name(&warehouse->files[warehouse->files_count++], month.p, (unsigned)version);
    }
    return ST_OK;
}

enum status manifest_read(struct warehouse *warehouse, struct err *err)
{
    char path[WAREHOUSE_PATH_MAX];
    char *bytes = NULL;
    size_t n = 0;
    yyjson_doc *doc = NULL;
    manifest_path(warehouse, path);
    enum status status =
        disk_read_file(warehouse->disk, path, WAREHOUSE_MANIFEST_MAX, &bytes, &n, err);
    if (status == ST_NOT_FOUND)
        return ST_OK;
    if (status != ST_OK)
        return status;
    if (json_parse(NULL, (struct str){bytes, n}, &doc, NULL) != ST_OK)
        status = err_set(err, ST_CORRUPT, "could not open the warehouse: its manifest is no JSON");
    else
        status = manifest_load(warehouse, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    free(bytes);
    return status;
}

enum status manifest_write(struct warehouse *warehouse, struct err *err)
{
    char path[WAREHOUSE_PATH_MAX];
    struct buf json;
    buf_init(&json, WAREHOUSE_MANIFEST_MAX);
    buf_char(&json, '{');
    json_put_member_int(&json, "version", MANIFEST_VERSION);
    json_put_name(&json, "files");
    buf_char(&json, '[');
    for (size_t i = 0; i < warehouse->files_count; i++) {
        json_put_comma(&json);
        buf_char(&json, '{');
        json_put_member_str(&json, "month", str_of(warehouse->files[i].month));
        json_put_member_uint(&json, "version", warehouse->files[i].version);
        json_put_member_str(&json, "name", str_of(warehouse->files[i].name));
        buf_char(&json, '}');
    }
    buf_text(&json, "]}\n");
    CHECK(!json.overflow);
    manifest_path(warehouse, path);
    struct err reason;
    enum status status = disk_write_file(warehouse->disk, path, buf_view(&json), &reason);
    buf_done(&json);
    if (status == ST_BUSY)
        return err_set(err, status, "could not write the warehouse's manifest: the disk is full");
    if (status != ST_OK) /* the name may have changed or not: what follows would be a guess */
        fatal("could not write the warehouse's manifest: %s", reason.message);
    return ST_OK;
}

static bool named(const struct warehouse *warehouse, const char *name)
{
    if (strcmp(name, "manifest.json") == 0)
        return true;
    for (size_t i = 0; i < warehouse->files_count; i++) {
        const char *ours = warehouse->files[i].name;
        size_t n = strlen(ours);
        /* the file and what the engine keeps beside it: "….duckdb.wal" */
        if (strncmp(name, ours, n) == 0 && (name[n] == '\0' || name[n] == '.'))
            return true;
    }
    return false;
}

/* Whole folders are not ours to walk: the spill folder is flat, everything else stays. */
static enum status folder_clean(struct warehouse *warehouse, const char *folder, bool all,
                                struct err *err)
{
    char path[WAREHOUSE_PATH_MAX];
    struct stat st;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return errno == ENOENT
                   ? ST_OK
                   : err_set(err, ST_IO, "could not list %s: %s", folder, strerror(errno));
    enum status status = ST_OK;
    for (struct dirent *entry; status == ST_OK && (entry = readdir(dir)) != NULL;) {
        int n = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        bool ours = all || strstr(entry->d_name, ".duckdb") != NULL ||
                    strcmp(entry->d_name, "manifest.json.new") == 0;
        if (n < 0 || (size_t)n >= sizeof path || !ours || (!all && named(warehouse, entry->d_name)))
            continue;
        if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
            status = disk_remove(warehouse->disk, path, err);
    }
    closedir(dir);
    return status;
}

enum status leftovers_delete(struct warehouse *warehouse, struct err *err)
{
    char spill[WAREHOUSE_PATH_MAX];
    int n = snprintf(spill, sizeof spill, "%s/spill", warehouse->folder);
    CHECK(n > 0 && (size_t)n < sizeof spill);
    enum status status = folder_clean(warehouse, spill, true, err);
    if (status == ST_OK)
        status = folder_clean(warehouse, warehouse->folder, false, err);
    return status == ST_OK ? disk_sync_folder(warehouse->disk, warehouse->folder, err) : status;
}

enum status file_delete(struct warehouse *warehouse, const struct file *file, struct err *err)
{
    static const char *const suffixes[] = {".wal", ".wal.checkpoint", ".wal.recovery", ""};
    char path[WAREHOUSE_PATH_MAX];
    enum status status = ST_OK;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0] && status == ST_OK; i++) {
        file_path(warehouse, file, suffixes[i], path);
        status = disk_remove(warehouse->disk, path, err);
    }
    return status == ST_OK ? disk_sync_folder(warehouse->disk, warehouse->folder, err) : status;
}
