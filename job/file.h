/* A file that is written aside and then put in place (private to job/). */
#ifndef RIFT_JOB_FILE_H
#define RIFT_JOB_FILE_H

#include "job/job.h"

/*   aside_open --> aside_write ... --> aside_commit   the new file is there, whole
 *                                 \--> aside_discard  as if nothing had happened
 *
 * One of the two ends is always called once aside_open has succeeded; a failed
 * aside_commit has discarded. */
struct aside {
    int dir;        /* descriptor of the directory */
    int fd;         /* the file being written */
    char path[512]; /* for messages: DIR/NAME, maybe shortened */
    char name[256];
    char temp[256]; /* ".NAME.tmp-PID", in the same directory */
    int64_t size;
    struct sha256 sha;
};

int aside_open(const char *dir, const char *name, struct aside *ret, struct fault *why);
int aside_write(struct aside *aside, const void *data, size_t size, struct fault *why);
int aside_commit(struct aside *aside, struct fault *why);
void aside_discard(struct aside *aside);

#endif
