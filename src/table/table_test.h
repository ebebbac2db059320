/* table_test.h - for the tests of this folder: a temporary folder and files in it. */
#ifndef TABLE_TABLE_TEST_H
#define TABLE_TABLE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"

static char folder[128];

/* `tmp` is $TMPDIR, NULL when there is none. */
static inline void folder_place(const char *tmp)
{
    snprintf(folder, sizeof folder, "%s/table_test_XXXXXX", tmp == NULL ? "/tmp" : tmp);
}

static inline int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static inline char *file_path(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline const char *file_put(const char *name, struct str bytes)
{
    const char *path = file_path(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.p, 1, bytes.n, file), bytes.n);
    fclose(file);
    return path;
}

static inline int folder_remove(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        unlink(file_path(entry->d_name));
    closedir(dir);
    return rmdir(folder);
}
#endif
