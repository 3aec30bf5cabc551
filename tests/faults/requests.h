/* What do the fault tests ask? One row a route (and the ways through it that
 * differ), each with what must be there before and what it answers. */
#ifndef RIFT_TESTS_FAULTS_REQUESTS_H
#define RIFT_TESTS_FAULTS_REQUESTS_H

#include "db/db.h"

#include <stdbool.h>

struct request_case {
    const char *sentence;
    const char *method, *target; /* %s: the id that prepare gave */
    const char *headers;         /* %s: another name each time, for keys */
    const char *body;
    /* Make what it changes; NULL: it changes nothing, or may be done again and again. */
    void (*prepare)(struct db *db, char ret_id[DB_ID_SIZE]);
    int status;    /* when nothing fails */
    int again;     /* the same once more, when it was done already; 0: the same status */
    bool changing; /* it stores something */
    bool varying;  /* the answer is another each time */
};

/* Let faults happen at the n-th place of every request, n = 1, 2, ..., until it
 * goes through; `arm` starts one. Checks the answer, the same request
 * afterwards, and the database.  `status`: what a failing
 * request answers (or 503); 0: 500. Returns how much was wrong. */
struct fault_plan {
    const char *name;
    void (*arm)(long n);
    int sparse; /* 0: every n; else each next one is 1/sparse further off than the one before */
    bool cold;  /* start the API anew each time: nothing is prepared or cached */
    int status;
};
int requests_fail(const struct fault_plan *plan);

/* Is the database whole, and does every job have what belongs to it? Through a connection of its own. */
bool database_whole(const char *path, const char *when);

#endif
