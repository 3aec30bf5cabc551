/* Do the operations agree with the oracle on a real card? Skipped, loudly, where there is none.
 *
 * The test itself is tests/ops with the card in the CPU's place; more than that
 * is in tests/gpu/run. */
#include "gpu/backend/cuda_module.h"
#include "tests/check.h"

/* An operation that was added to the seam and not to the module would be found in the middle of a job.
 * The table is a name and functions; there is one of each. */
static void whole_table(const struct cuda_module *module)
{
    void *entries[sizeof(struct backend) / sizeof(void *)];

    memcpy(entries, module->backend, sizeof(entries));
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        if (!entries[i])
            CHECK_FAIL("entry %zu of struct backend is missing in " CUDA_MODULE_FILE, i);
}

int main(void)
{
    struct device *dev;
    struct fault why = { 0 };
    const struct cuda_module *module = cuda_module(&why);

    if (module)
        whole_table(module);
    if (check_failures)
        return 1;
    if (device_open("cuda", PRECISION_FLOAT32, 1, &dev, &why) < 0)
        check_skip(why.message);
    device_close(dev);
    setenv("RIFT_TEST_DEVICE", "cuda", 1);
    execl(RIFT_TEST_OPS, RIFT_TEST_OPS, (char *)NULL);
    perror(RIFT_TEST_OPS);
    return 1;
}
