/* Can any bytes be given as weights? What is accepted lies wholly inside the
 * file, without holes or doubles, and comes back the same when written again. */
#include "tests/fuzz/fuzz.h"

#include "job/job.h"

#include <string.h>

static uint64_t tensor_see(const struct safetensor *tensor)
{
    const uint8_t *bytes = tensor->data;
    uint64_t elements = 1, sum = 0;

    PROMISE(tensor->rank >= 0 && tensor->rank <= 8);
    for (int i = 0; i < tensor->rank; i++) {
        PROMISE(tensor->shape[i] >= 0);
        elements *= (uint64_t)tensor->shape[i];
    }
    PROMISE(elements * dtype_size(tensor->dtype) == tensor->size);
    for (size_t i = 0; i < tensor->size; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static void again(const struct safetensors *file, int count)
{
    struct safetensor *list = calloc((size_t)count + 1, sizeof(*list));
    struct safetensors *second = NULL;
    struct fault why = { 0 };
    char path[512], sha[65];
    int64_t size = 0;

    PROMISE(list);
    for (int i = 0; i < count; i++)
        list[i] = *safetensors_at(file, i);
    PROMISE(safetensors_write(scratch_dir(), "again.safetensors", list, count, NULL, sha, &size, &why) == 0);
    scratch_path("again.safetensors", path);
    PROMISE(safetensors_open(path, &second, &why) == 0);
    PROMISE(safetensors_count(second) == count);
    for (int i = 0; i < count; i++) {
        const struct safetensor *other = safetensors_find(second, list[i].name);
        PROMISE(other && other->size == list[i].size && other->dtype == list[i].dtype);
        PROMISE(tensor_see(other) == tensor_see(&list[i]));
    }
    safetensors_close(second);
    free(list);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    char path[512];
    struct safetensors *file = NULL;
    struct fault why = { 0 };

    scratch_file("weights.safetensors", data, size, path);
    int r = safetensors_open(path, &file, &why);
    if (r < 0) {
        PROMISE(!file && *why.message);
        return;
    }
    int count = safetensors_count(file);
    PROMISE(count >= 0);
    for (int i = 0; i < count; i++) {
        tensor_see(safetensors_at(file, i));
        PROMISE(safetensors_find(file, safetensors_at(file, i)->name) == safetensors_at(file, i));
    }
    safetensors_metadata(file, "state");
    safetensors_find(file, "");
    again(file, count);
    safetensors_close(file);
}
