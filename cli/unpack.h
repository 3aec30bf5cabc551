/* How is an archive from somewhere in the world unpacked without harm? */
#ifndef RIFT_CLI_UNPACK_H
#define RIFT_CLI_UNPACK_H

#include "job/job.h"

/* Unpack a .tar, .tar.gz or .zip whose only folder is `top` as TO/top, which
 * appears when all of it is there. Plain files and directories below `top`
 * only: an archive with anything else (links, devices, absolute names, ..) or
 * with more than `most` bytes is refused. 0 or negative errno with words. */
int unpack(const char *archive, const char *to, const char *top, int64_t most, struct fault *why);

#endif
