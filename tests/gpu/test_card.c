/* Do the operations agree with the oracle on a real card? Skipped, loudly, where there is none.
 *
 * The test itself is tests/ops with the card in the CPU's place; more than that
 * is in tests/gpu/run. */
#include "gpu/backend/backend.h"
#include "tests/check.h"

int main(void)
{
    struct device *dev;
    struct fault why = { 0 };

    if (device_open("cuda", PRECISION_FLOAT32, 1, &dev, &why) < 0)
        check_skip(why.message);
    device_close(dev);
    setenv("RIFT_TEST_DEVICE", "cuda", 1);
    execl(RIFT_TEST_OPS, RIFT_TEST_OPS, (char *)NULL);
    perror(RIFT_TEST_OPS);
    return 1;
}
