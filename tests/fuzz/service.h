/* What do the targets that ask the API share? A database in which there is one
 * of everything (ids are fixed, so that inputs can name them), files beside it,
 * and a way back to that state after an input has changed it. */
#ifndef RIFT_TESTS_FUZZ_SERVICE_H
#define RIFT_TESTS_FUZZ_SERVICE_H

#include "api/api.h"
#include "tests/fuzz/fuzz.h"

/* An evaluation that has succeeded; the rift job and its first step are R and 0;
 * the queued job waits for a device. */
#define JOB_DONE   "00000000-0000-7000-8000-00000000000d"
#define JOB_QUEUED "00000000-0000-7000-8000-00000000000a"
#define JOB_FAILED "00000000-0000-7000-8000-00000000000f"
#define JOB_PARENT "00000000-0000-7000-8000-000000000000"
#define JOB_STEP   "00000000-0000-7000-8000-000000000001"

/* Make it, or put it back as it was. Fills everything but the address. */
void service_open(struct api_config *ret);
void service_close(struct api_config *config);

#endif
