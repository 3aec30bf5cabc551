/* How do people bring examples of their own?
 *
 * A safetensors file with x [N,C,H,W], U8 in 0..255 or F32 in 0..1, and y [N],
 * I64. It serves for training and, unless test_path names another, for testing
 * as well. Float pixels are checked when they are chosen (dataset.c). */
#include "gpu/data/reader.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int shapes_check(const char *path, const struct safetensor *x, const struct safetensor *y, const int input[3],
                        struct fault *why)
{
    if (!x || !y)
        return fault_set(why, -EINVAL, "%s: has no tensor `%s`; x (images) and y (labels) are needed", path,
                         x ? "y" : "x");
    if (x->rank != 4 || (x->dtype != DTYPE_U8 && x->dtype != DTYPE_F32))
        return fault_set(why, -EINVAL, "%s: x must be U8 or F32 of shape [N,C,H,W]", path);
    if (y->rank != 1 || y->dtype != DTYPE_I64)
        return fault_set(why, -EINVAL, "%s: y must be I64 of shape [N]", path);
    if (x->shape[0] != y->shape[0])
        return fault_set(why, -EINVAL, "%s: %lld images in x, but %lld labels in y", path, (long long)x->shape[0],
                         (long long)y->shape[0]);
    if (x->shape[0] < 1 || x->shape[0] > INT_MAX)
        return fault_set(why, -EINVAL, "%s: x holds %lld images", path, (long long)x->shape[0]);
    return fit_check(path, x->shape[1], x->shape[2], x->shape[3], input, why);
}

static int open_tensors(const struct data_request *request, struct file_set *set, struct fault *why)
{
    const char *path = request->test && request->test_path ? request->test_path : request->path;
    struct safetensors *file;
    int r = safetensors_open(path, &file, why);

    if (r < 0)
        return r;
    set->own = file;
    const struct safetensor *x = safetensors_find(file, "x"), *y = safetensors_find(file, "y");

    r = shapes_check(path, x, y, request->input, why);
    if (r < 0)
        return r;
    set->count = (int)x->shape[0];
    set->name = strdup(path);
    set->label = malloc(set->count * sizeof(*set->label));
    if (!set->name || !set->label)
        return fault_set(why, -ENOMEM, "%s: no memory for %d labels", path, set->count);
    memcpy(set->label, y->data, set->count * sizeof(*set->label));
    set->c = (int)x->shape[1];
    set->h = (int)x->shape[2];
    set->w = (int)x->shape[3];
    set->real = x->dtype == DTYPE_F32;
    set->data = x->data;
    set->stride = (size_t)set->c * set->h * set->w * dtype_size(x->dtype);
    return 0;
}

static void close_tensors(struct file_set *set)
{
    safetensors_close(set->own);
}

const struct reader reader_tensors = { "tensors", open_tensors, NULL, close_tensors };
