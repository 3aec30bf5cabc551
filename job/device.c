/* Which device takes which job, and what are number formats called?
 *
 *   a job asks for   auto   cpu    ref    cuda          cuda:1
 *   and runs on      any    cpu    cpu    any of cuda   cuda:1
 *
 * The queue's own query (db_job_claim) says the same in SQL; a test in tests/db
 * holds the two together. */
#include "job/job.h"

#include <string.h>

const char *const job_precisions[] = { "float32", "bf16", "tf32" };

bool job_device_serves(const char *device, const char *wanted)
{
    size_t family = strcspn(device, ":");

    if (strcmp(wanted, "auto") == 0 || strcmp(wanted, device) == 0)
        return true;
    if (strcmp(wanted, "ref") == 0)
        wanted = "cpu";
    return strlen(wanted) == family && strncmp(wanted, device, family) == 0;
}
