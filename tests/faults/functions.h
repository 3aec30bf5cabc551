/* How is each function of db/db.h called when something is to fail under it? */
#ifndef RIFT_TESTS_FAULTS_FUNCTIONS_H
#define RIFT_TESTS_FAULTS_FUNCTIONS_H

#include "db/db.h"

/* The state that each call starts from: "run" runs, "wait" is queued, "end" was
 * cancelled, "p" is a rift job whose step is "p0"; one of everything else. */
void fill(struct db *db);
int f_insert(struct db *db); /* a job "new" */
int f_list(struct db *db);   /* of all jobs */
int insert(struct db *db, const char *id, const char *kind, const char *parent, int step, const char *key);
/* End the test when r is negative. */
void must(int r, const char *what);

/* A new function is a new row. */
struct function {
    const char *name;
    int (*call)(struct db *db);
    int result, again; /* again: what a second success answers */
    bool changes;
};
extern const struct function functions[];
extern const int function_count;

#endif
