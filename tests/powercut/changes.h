/* The log of changes, and what belongs into it (changes.c); what is called is in shim.c. */
#ifndef RIFT_TESTS_POWERCUT_CHANGES_H
#define RIFT_TESTS_POWERCUT_CHANGES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Names are disk.py's too. */
enum record_type {
    RECORD_CREATE = 1, /* parent, name, ino, mode */
    RECORD_WRITE,      /* ino, offset, data */
    RECORD_TRUNCATE,   /* ino, offset: the new size */
    RECORD_SYNC_BEGIN, /* ino, token */
    RECORD_SYNC_END,   /* token */
    RECORD_RENAME,     /* parent, name, parent2, name2 */
    RECORD_LINK,       /* ino, parent, name */
    RECORD_REMOVE,     /* parent, name */
    RECORD_SYNC_ALL,   /* everything */
};

struct record {
    uint32_t type, mode;
    uint64_t ino, parent, parent2, token;
    int64_t offset;
    uint64_t size; /* of the data */
    uint32_t name_size, name2_size;
};

/* Ours alone: a preloaded library stands before everybody else's. */
#pragma GCC visibility push(hidden)

/* Whether there is a directory to watch. */
bool watching(void);
/* Longest sleep in a sync. */
long sync_longest_us(void);

/* From before a change until it is logged. lock_give keeps errno. */
void lock_take(void);
void lock_give(void);
void record_put(struct record record, const char *name, const char *name2, const void *data);
/* End the process: it did what can't be logged. */
void die(const char *what) __attribute__((noreturn));

/* A descriptor of a file or directory that is watched; its stat. */
bool watched(int fd, struct stat *ret);
/* The same with its path. */
bool below_root(int fd, char ret[PATH_MAX]);

/* A name in a directory that is watched. */
struct place {
    int fd; /* of the directory, O_PATH */
    uint64_t parent;
    char name[NAME_MAX + 1];
};
bool place_find(int at, const char *path, struct place *ret);
void place_done(struct place *place);

#pragma GCC visibility pop

#endif
