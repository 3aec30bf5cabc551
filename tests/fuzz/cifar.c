/* Can any bytes be given as CIFAR's binary files? The first byte chooses between
 * the two formats; a record is 3 KB, so one is enough to be accepted. */
#include "tests/fuzz/images.h"

void fuzz_one(const uint8_t *data, size_t size)
{
    static const int input[3] = { 3, 32, 32 };
    bool hundred = size && data[0] & 1;
    struct dataset_spec spec = { .format = hundred ? DATASET_CIFAR100 : DATASET_CIFAR10,
                                 .path = scratch_dir(),
                                 .split = SPLIT_TEST };
    char path[512];

    if (!size)
        return;
    scratch_file(hundred ? "test.bin" : "test_batch.bin", data + 1, size - 1, path);
    dataset_see(&spec, input, hundred ? 100 : 10);
}
