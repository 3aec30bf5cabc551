/* Can any bytes be given as an array of NumPy's? */
#include "tests/fuzz/fuzz.h"

#include "gpu/data/npy_read.h"

#include <errno.h>

void fuzz_one(const uint8_t *data, size_t size)
{
    char path[512];
    struct npy npy = { 0 };
    struct fault why = { 0 };

    scratch_file("x.npy", data, size, path);
    if (npy_open(path, &npy, &why) < 0) {
        PROMISE(*why.message);
    } else {
        int64_t row = npy_row_bytes(&npy);
        PROMISE(npy.rank >= 1 && npy.rank <= NPY_RANK_MOST && row >= 0);
        int64_t rows = npy.shape[0] < 8 ? npy.shape[0] : 8;
        PROMISE((uint64_t)(row * npy.shape[0]) <= size); /* the file must be as long as its header says */
        void *block = malloc((size_t)(row * rows) + 1);
        PROMISE(block);
        PROMISE(npy_rows_read(&npy, npy.shape[0] - rows, rows, block, &why) == 0);
        free(block);
    }
    npy_close(&npy);
}
