/* Can any bytes be given as MNIST-style files, plain or gzipped? One input is
 * both files, cut in two. */
#include "tests/fuzz/images.h"

void fuzz_one(const uint8_t *data, size_t size)
{
    static const int input[3] = { 1, 32, 32 };
    struct halves halves = halves_cut(data, size);
    struct dataset_spec spec = { .format = DATASET_IDX, .path = scratch_dir(), .split = SPLIT_TEST };
    char path[512];

    scratch_file("t10k-images-idx3-ubyte", halves.first, halves.first_size, path);
    scratch_file("t10k-labels-idx1-ubyte", halves.second, halves.second_size, path);
    dataset_see(&spec, input, 10);
}
