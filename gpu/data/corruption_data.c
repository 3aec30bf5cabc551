/* How are corrupted copies found and read?
 *
 * Two layouts behind one face: which of them it is, is seen by the first
 * corruption that is wanted. Either way a copy ends as examples, fitted to the
 * model's input like those of the data set, and the limit leaves the same
 * places as it leaves of the test set. */
#include "gpu/data/corruption_data.h"

#include "gpu/data/image_files.h"
#include "gpu/data/npy_read.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONTENT_LIMIT_BYTES = 1 << 20 };

struct corruption_data {
    struct corruption_request request;
    json_t *content; /* of corruptions.json, or NULL */
    bool arrays;
    int count[CORRUPTION_COUNT][SEVERITY_COUNT]; /* after the limit, by place in the request */
    int foreign;                                 /* classes */
    const char *foreign_in;
    /* arrays: */
    int images;                /* N, of one severity */
    int block[SEVERITY_COUNT]; /* of the severity, by place in the request */
    int64_t *labels;           /* [blocks * N] */
};

static const char *name_of(const struct corruption_data *data, int which)
{
    return corruption_infos[data->request.which[which]].name;
}

/* PATH/NAME + ending; malloc'd. */
static char *copy_path(const struct corruption_data *data, int which, const char *ending)
{
    char *path;

    return asprintf(&path, "%s/%s%s", data->request.path, name_of(data, which), ending) < 0 ? NULL : path;
}

static int limited(const struct corruption_data *data, int count)
{
    int limit = data->request.test_limit;

    return limit > 0 && limit < count ? limit : count;
}

/* Hand the chosen images of a file set over, as the data set's own are. */
static int set_load(const struct corruption_data *data, const struct reader *reader, const struct file_set *set,
                    struct examples *ret, struct fault *why)
{
    int32_t *id;
    int count, r = test_choose(set->count, data->request.test_limit, &id, &count, why);

    if (r < 0)
        return r;
    r = examples_load(reader, set, data->request.input, id, count, ret, why);
    free(id);
    return r;
}

/* ---- arrays --------------------------------------------------------------------------- */

/* What corruptions.json says: NULL where there is none, null where it isn't JSON. */
static int content_read(struct corruption_data *data, struct fault *why)
{
    char *path = path_join(data->request.path, CORRUPTION_CONTENT), *text = NULL;
    size_t size;
    int r = path ? 0 : fault_set(why, -ENOMEM, "out of memory");

    if (path && access(path, F_OK) == 0)
        r = file_read(path, CONTENT_LIMIT_BYTES, &text, &size, why);
    if (r == 0 && text) {
        data->content = json_loadb(text, size, 0, NULL);
        data->content = data->content ? data->content : json_null();
    }
    free(text);
    free(path);
    return r;
}

/* Which severities the blocks of every array hold: what corruptions.json says, else 1 to 5. Returns how many. */
static int blocks_read(const struct corruption_data *data, int ret_severity[SEVERITY_COUNT], struct fault *why)
{
    const json_t *list = json_object_get(data->content, "severities");
    int count = data->content ? (int)json_array_size(list) : SEVERITY_COUNT;

    if (count < 1 || count > SEVERITY_COUNT)
        return fault_set(why, -EBADMSG, "%s/%s: has no list of severities", data->request.path, CORRUPTION_CONTENT);
    for (int i = 0; i < count; i++) {
        ret_severity[i] = data->content ? (int)json_integer_value(json_array_get(list, (size_t)i)) : i + 1;
        if (ret_severity[i] < 1 || ret_severity[i] > SEVERITY_COUNT)
            return fault_set(why, -EBADMSG, "%s/%s: has a severity that isn't one of 1 to %d", data->request.path,
                             CORRUPTION_CONTENT, SEVERITY_COUNT);
    }
    return count;
}

/* Where each severity that is wanted lies in an array. Returns the number of blocks. */
static int blocks_find(struct corruption_data *data, struct fault *why)
{
    int there[SEVERITY_COUNT], blocks = blocks_read(data, there, why);

    for (int s = 0; s < data->request.severity_count && blocks > 0; s++) {
        data->block[s] = -1;
        for (int b = 0; b < blocks; b++)
            if (there[b] == data->request.severities[s])
                data->block[s] = b;
        if (data->block[s] < 0)
            return fault_set(why, -EINVAL, "%s: severity %d isn't there (%s)", data->request.path,
                             data->request.severities[s], CORRUPTION_CONTENT);
    }
    return blocks;
}

static int64_t label_at(const void *rows, enum dtype dtype, int64_t i)
{
    int32_t narrow;
    int64_t wide;

    if (dtype == DTYPE_U8)
        return ((const uint8_t *)rows)[i];
    if (dtype == DTYPE_I32) {
        memcpy(&narrow, (const char *)rows + i * (int64_t)sizeof(narrow), sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, (const char *)rows + i * (int64_t)sizeof(wide), sizeof(wide));
    return wide;
}

/* All labels, below the model's classes. */
static int labels_take(struct corruption_data *data, const struct npy *npy, struct fault *why)
{
    int64_t count = npy->shape[0];
    void *rows = malloc((size_t)(count * npy_row_bytes(npy)));
    int r;

    data->labels = malloc((size_t)count * sizeof(*data->labels));
    r = rows && data->labels ? npy_rows_read(npy, 0, count, rows, why)
                             : fault_set(why, -ENOMEM, "%s: no memory for labels", npy->path);
    for (int64_t i = 0; i < count && r == 0; i++) {
        int64_t label = data->labels[i] = label_at(rows, npy->dtype, i);

        if (label < 0 || label >= data->request.num_classes)
            r = fault_set(why, -EINVAL, "%s: label %lld of row %lld; the model has %d classes", npy->path,
                          (long long)label, (long long)i, data->request.num_classes);
    }
    free(rows);
    return r;
}

static int labels_open(struct corruption_data *data, struct fault *why)
{
    struct npy npy = { 0 };
    int blocks = blocks_find(data, why);
    char *path = path_join(data->request.path, CORRUPTION_LABELS);
    int r = blocks < 0 ? blocks : path ? npy_open(path, &npy, why) : fault_set(why, -ENOMEM, "out of memory");

    if (r == 0 && npy.rank != 1)
        r = fault_set(why, -EINVAL, "%s: %d dimensions, expected a list", path, npy.rank);
    if (r == 0 && (npy.shape[0] % blocks != 0 || npy.shape[0] > INT_MAX))
        r = fault_set(why, -EINVAL, "%s: %lld labels are not as many for each of %d severities", path,
                      (long long)npy.shape[0], blocks);
    if (r == 0) {
        data->images = (int)(npy.shape[0] / blocks);
        r = labels_take(data, &npy, why);
    }
    npy_close(&npy);
    free(path);
    return r < 0 ? r : blocks;
}

/* The shape of an array's images; one of three dimensions is gray. */
static void image_shape(const struct npy *npy, int ret[3])
{
    ret[0] = npy->rank == 4 ? (int)npy->shape[3] : 1;
    ret[1] = (int)npy->shape[1];
    ret[2] = (int)npy->shape[2];
}

static int array_open(const struct corruption_data *data, int which, struct npy *ret, struct fault *why)
{
    char *path = copy_path(data, which, ".npy");
    int r = path ? npy_open(path, ret, why) : fault_set(why, -ENOMEM, "out of memory");

    free(path);
    return r;
}

static int array_check(const struct corruption_data *data, int which, int blocks, struct fault *why)
{
    struct npy npy = { 0 };
    int r = array_open(data, which, &npy, why);

    if (r == 0 && (npy.dtype != DTYPE_U8 || npy.rank < 3))
        r = fault_set(why, -EINVAL, "%s: must be |u1 of shape [N,H,W,C] or [N,H,W]", npy.path);
    if (r == 0 && npy.shape[0] != (int64_t)blocks * data->images)
        r = fault_set(why, -EINVAL, "%s: %lld images, but %s has %lld labels", npy.path, (long long)npy.shape[0],
                      CORRUPTION_LABELS, (long long)blocks * data->images);
    if (r == 0)
        r = fit_check(npy.path, npy.rank == 4 ? npy.shape[3] : 1, npy.shape[1], npy.shape[2], data->request.input, why);
    npy_close(&npy);
    return r;
}

static int arrays_open(struct corruption_data *data, struct fault *why)
{
    int blocks = labels_open(data, why), r = blocks < 0 ? blocks : 0;

    for (int which = 0; which < data->request.which_count && r == 0; which++) {
        r = array_check(data, which, blocks, why);
        for (int s = 0; s < data->request.severity_count; s++)
            data->count[which][s] = limited(data, data->images);
    }
    return r;
}

/* [N,H,W,C] -> [N,C,H,W] */
static void channels_first(const uint8_t *from, int n, const int shape[3], uint8_t *to)
{
    size_t plane = (size_t)shape[1] * shape[2], image = plane * shape[0];

#pragma omp parallel for if (n > 1000)
    for (int i = 0; i < n; i++)
        for (size_t p = 0; p < plane; p++)
            for (int c = 0; c < shape[0]; c++)
                to[i * image + c * plane + p] = from[i * image + p * shape[0] + c];
}

static int array_load(const struct corruption_data *data, int which, int severity, struct examples *ret,
                      struct fault *why)
{
    static const struct reader plain = { .name = "npy" };
    struct npy npy = { 0 };
    int shape[3], n = data->images;
    int64_t first = (int64_t)data->block[severity] * n;
    int r = array_open(data, which, &npy, why);

    if (r < 0)
        return r;
    size_t bytes = (size_t)npy_row_bytes(&npy) * (size_t)n;
    uint8_t *rows = malloc(bytes), *pixels = malloc(bytes);

    image_shape(&npy, shape);
    r = !rows || !pixels           ? fault_set(why, -ENOMEM, "%s: no memory for %d images", npy.path, n)
        : npy.shape[0] < first + n ? fault_set(why, -EIO, "%s: has changed while it was used", npy.path)
                                   : npy_rows_read(&npy, first, n, rows, why);
    if (r == 0)
        r = fit_check(npy.path, shape[0], shape[1], shape[2], data->request.input, why);
    if (r == 0) {
        struct file_set set = { .name = npy.path,
                                .count = n,
                                .label = data->labels + first,
                                .c = shape[0],
                                .h = shape[1],
                                .w = shape[2],
                                .data = pixels,
                                .stride = bytes / (size_t)n };

        channels_first(rows, n, shape, pixels);
        r = set_load(data, &plain, &set, ret, why);
    }
    free(rows);
    free(pixels);
    npy_close(&npy);
    return r;
}

/* ---- folders ---------------------------------------------------------------------------- */

/* The label of a class folder: its place among the data set's names, or, where classes are plain numbers, the
 * number. -ENOENT: not one of them. */
static int class_find(const struct corruption_data *data, const char *name)
{
    const struct dataset *dataset = data->request.dataset;
    char *end;

    if (dataset->class_name) {
        struct names classes = { .name = dataset->class_name, .count = dataset->num_classes };

        return names_find(&classes, name);
    }
    long number = *name >= '0' && *name <= '9' ? strtol(name, &end, 10) : -1;

    return number >= 0 && *end == 0 && number < data->request.num_classes ? (int)number : -ENOENT;
}

/* Files of PATH/NAME/SEVERITY; *ret_foreign: class folders that were left out. */
static int folder_open(const struct corruption_data *data, int which, int severity, struct file_set *ret,
                       int *ret_foreign, struct fault *why)
{
    struct names there = { 0 };
    char ending[16];
    int foreign = 0, r;

    snprintf(ending, sizeof(ending), "/%d", data->request.severities[severity]);
    *ret = (struct file_set){ .name = copy_path(data, which, ending) };
    r = ret->name ? image_files_open(ret, why) : fault_set(why, -ENOMEM, "out of memory");
    if (r == 0)
        r = folders_list(ret->name, &there, why);
    for (int i = 0; i < there.count && r == 0; i++) {
        int label = class_find(data, there.name[i]);

        foreign += label < 0;
        if (label >= 0)
            r = image_files_add(ret, path_join(ret->name, there.name[i]), label, why);
    }
    if (r == 0)
        ret->count = ((struct image_files *)ret->own)->count;
    if (r == 0 && ret->count == 0)
        r = fault_set(why, -EINVAL, "%s: none of its %d folders is one of the data set's %d classes%s%.40s%s",
                      ret->name, there.count,
                      data->request.dataset->class_name ? data->request.dataset->num_classes
                                                        : data->request.num_classes,
                      there.count ? " (" : "", there.count ? there.name[0] : "", there.count ? ", ...)" : "");
    names_done(&there);
    *ret_foreign = foreign;
    return r;
}

static void folder_close(struct file_set *set)
{
    image_files_close(set);
    free(set->name);
    free(set->label);
}

static int folders_open(struct corruption_data *data, struct fault *why)
{
    int r = 0;

    for (int which = 0; which < data->request.which_count && r == 0; which++)
        for (int s = 0; s < data->request.severity_count && r == 0; s++) {
            struct file_set set;
            int foreign;

            r = folder_open(data, which, s, &set, &foreign, why);
            data->count[which][s] = limited(data, set.count);
            if (r == 0 && foreign > data->foreign) {
                data->foreign = foreign;
                data->foreign_in = name_of(data, which);
            }
            folder_close(&set);
        }
    return r;
}

static int folder_load(const struct corruption_data *data, int which, int severity, struct examples *ret,
                       struct fault *why)
{
    static const struct reader files = { .name = "files", .load = image_files_load };
    struct file_set set;
    int foreign, r = folder_open(data, which, severity, &set, &foreign, why);

    if (r == 0)
        r = set_load(data, &files, &set, ret, why);
    folder_close(&set);
    return r;
}

/* ---- both --------------------------------------------------------------------------------- */

static int layout_find(struct corruption_data *data, struct fault *why)
{
    const char *path = data->request.path, *name = name_of(data, 0);
    char *array = copy_path(data, 0, ".npy");
    int r = array ? 0 : fault_set(why, -ENOMEM, "out of memory");

    data->arrays = array && access(array, F_OK) == 0;
    if (r == 0 && !data->arrays && !folder_there(path, name))
        r = fault_set(why, -ENOENT, "%s: holds neither %s.npy (as CIFAR-10-C) nor %s/ (as Tiny-ImageNet-C)", path, name,
                      name);
    free(array);
    return r;
}

int corruption_data_open(const struct corruption_request *request, struct corruption_data **ret, struct fault *why)
{
    struct corruption_data *data = calloc(1, sizeof(*data));
    int r = data ? 0 : fault_set(why, -ENOMEM, "out of memory");

    if (r < 0)
        return r;
    data->request = *request;
    r = layout_find(data, why);
    if (r == 0)
        r = content_read(data, why);
    if (r == 0)
        r = data->arrays ? arrays_open(data, why) : folders_open(data, why);
    if (r < 0)
        corruption_data_close(data);
    else
        *ret = data;
    return r;
}

void corruption_data_close(struct corruption_data *data)
{
    if (!data)
        return;
    json_decref(data->content);
    free(data->labels);
    free(data);
}

int corruption_data_count(const struct corruption_data *data, int which, int severity)
{
    return data->count[which][severity];
}

int corruption_data_foreign(const struct corruption_data *data, const char **ret_corruption)
{
    *ret_corruption = data->foreign_in;
    return data->foreign;
}

const char *corruption_data_frost(const struct corruption_data *data)
{
    const char *note = json_string_value(json_object_get(data->content, "frost"));

    for (int which = 0; which < data->request.which_count; which++)
        if (strcmp(name_of(data, which), "frost") == 0)
            return note;
    return NULL;
}

int corruption_data_load(const struct corruption_data *data, int which, int severity, struct examples *ret,
                         struct fault *why)
{
    int r = data->arrays ? array_load(data, which, severity, ret, why) : folder_load(data, which, severity, ret, why);

    if (r == 0 && ret->count != data->count[which][severity]) {
        examples_done(ret);
        r = fault_set(why, -EIO, "%s: its %s has changed while it was used", data->request.path, name_of(data, which));
    }
    return r;
}
