/* Can any bytes lie in folders of images? One input is two files of one class:
 * the first is what dataset_shape looks at, and which decoder reads a file is
 * decided by its first bytes. */
#include "tests/fuzz/images.h"

#include <string.h>
#include <sys/stat.h>

void fuzz_one(const uint8_t *data, size_t size)
{
    static const int input[3] = { 3, 32, 32 };
    struct halves halves = halves_cut(data, size);
    struct dataset_spec spec = { .format = DATASET_IMAGE_FOLDER, .path = scratch_dir(), .split = SPLIT_TEST };
    char path[512];

    scratch_path("test", path);
    mkdir(path, 0700);
    scratch_path("test/class", path);
    mkdir(path, 0700);
    scratch_file("test/class/a.png", halves.first, halves.first_size, path);
    scratch_file("test/class/b.jpg", halves.second, halves.second_size, path);
    dataset_see(&spec, input, 10);
}
