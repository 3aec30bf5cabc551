/* Where else does what a worker says go (private to gpu/worker)? */
#ifndef RIFT_GPU_WORKER_LOG_H
#define RIFT_GPU_WORKER_LOG_H

/* From here on what is written to `stderr` goes to DIR/log.txt too; where that
 * can't be, to stderr alone. To be called before the worker shuts itself in. */
void log_begin(const char *dir);

#endif
