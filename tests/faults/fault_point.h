/* How does a test let something fail once?
 *
 *     fault_arm(n);             // the n-th call from now on fails, others go through
 *     ... the request ...
 *     fired = fault_disarm();   // false: there were fewer than n calls, all is tried
 *
 * What a call is, the sources decide: heap.c lets allocations of our code, of
 * jansson and of SQLite fail; disk.c lets SQLite's calls to its file system fail.
 * A thread that has said fault_spare() is never hit: the test's own. */
#ifndef RIFT_TESTS_FAULT_POINT_H
#define RIFT_TESTS_FAULT_POINT_H

#include <stdbool.h>

void fault_arm(long n);
/* From the n-th call on all fail, until fault_disarm. */
void fault_arm_lasting(long n);
bool fault_disarm(void);
bool fault_armed(void);
void fault_spare(void);
/* Asked at every call: shall this one fail? */
bool fault_hits(void);

/* heap.c: before anything else in main, since SQLite takes its allocator once. */
void heap_faults_open(void);

/* disk.c: what the next armed fault does. */
struct disk_fault {
    const char *name; /* "FULL", "IOERR of a read" */
    int code;         /* SQLite's */
    unsigned calls;   /* bit mask of DISK_x: which calls count */
};
enum {
    DISK_OPEN = 1,
    DISK_READ = 2,
    DISK_WRITE = 4,
    DISK_SYNC = 8,
    DISK_TRUNCATE = 16,
    DISK_LOCK = 32,
    DISK_MAP = 64,
    DISK_SIZE = 128,
    DISK_DELETE = 256,
};
extern const struct disk_fault disk_faults[];
extern const int disk_fault_count;
/* Register the file system that fails as SQLite's default. */
void disk_faults_open(void);
void disk_fault_choose(const struct disk_fault *fault);

#endif
