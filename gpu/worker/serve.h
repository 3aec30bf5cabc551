/* What does `rift-worker serve` need of the program around it? See serve.c. */
#ifndef RIFT_GPU_WORKER_SERVE_H
#define RIFT_GPU_WORKER_SERVE_H

#include <jansson.h>

/* Answer the one request on stdin, a connected unix socket. jobs_dir is where
 * job directories lie; devices says what `PROGRAM devices` would print, a new
 * reference or NULL. After a request to run a job this process becomes
 * `PROGRAM run DIR` and the function doesn't return; else an exit code. */
int serve(const char *jobs_dir, json_t *(*devices)(void));

#endif
