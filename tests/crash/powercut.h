/* powercut.h - what a disk keeps when its power fails: a model of files and names below one folder.
 *
 * powercut.c feeds it every call that changes something; all functions here are called with its
 * one lock held. What the model promises, and what it does not, is in powercut_model.c. */
#ifndef TESTS_CRASH_POWERCUT_H
#define TESTS_CRASH_POWERCUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct node;   /* a file */
struct folder; /* a directory with names that may be lost */

struct model_options {
    const char *data; /* whole path; what lies elsewhere is not modelled */
    uint64_t seed;
    bool drop_folder_syncs; /* a lying disk: to show that the test would see a missing one */
    bool file_sync_names;   /* as ext4 does: the sync of a file keeps all names so far */
};

void model_init(const struct model_options *options);

/* The file behind an open descriptor: NULL if it is none, or was never opened for writing. */
struct node *model_node(int fd);
/* The same, and known from now on if it lies below the folder. */
struct node *model_learn(int fd, bool created);
/* Is the file or folder behind `fd` below the modelled folder, and does its path hold `part`? */
bool model_path_has(int fd, const char *part);

/* Called before the change. */
void model_write(struct node *node, off_t offset, size_t n);
void model_truncate(struct node *node, off_t size);
/* Called after it. */
void model_mapped(struct node *node);
void model_sync(struct node *node);
void model_sync_folder(int fd);
void model_sync_all(void);

/* The folder of a path and the name in it; NULL when it is not below the modelled folder. */
struct folder *model_folder(int at, const char *path, char ret_name[256]);
int model_folder_fd(const struct folder *folder);
/* Name changes, after they were done. `stash` is the number of the name's old file, 0 if none. */
uint64_t model_stash(const struct folder *folder, const char *name);
void model_made(struct folder *folder, const char *name);
void model_gone(struct folder *folder, const char *name, uint64_t stash);
void model_moved(struct folder *from, const char *name, struct folder *to, const char *name_to,
                 uint64_t stash);
void model_folder_made(struct folder *folder, const char *name);
void model_folder_gone(struct folder *folder, const char *name);

/* Make the folder what a disk might hold now, and say in one line what became of it. */
void model_cut(char *report, size_t size);

__attribute__((format(printf, 1, 2), noreturn)) void model_broken(const char *format, ...);

#endif
