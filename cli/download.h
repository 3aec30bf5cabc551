/* How does a big file come from somewhere in the world? Like http.c by libcurl,
 * but from any address, through redirections, into a file. */
#ifndef RIFT_CLI_DOWNLOAD_H
#define RIFT_CLI_DOWNLOAD_H

#include "job/job.h"

/* Bring what is missing of URL into fd, which holds the first bytes of it
 * already or none; a connection that breaks is taken up again as long as each
 * one brings something. size: what it must come to, 0: not known. 0 or negative
 * errno with words; what has come stays in the file. */
int download_to(int fd, const char *url, int64_t size, struct fault *why);

#endif
