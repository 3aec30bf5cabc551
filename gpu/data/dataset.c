/* How do files become the examples a job sees?
 *
 *   reader->open   count, labels          (one file set: train, or test)
 *   choose         validation, limit      (from the count alone; same for every seed)
 *   reader->load   the chosen pixels, fitted to the model's input
 *
 * Surprising: the subsets are drawn with key 0 and not with the job's seed. A
 * train job and the interpolation that judges its weights are different jobs,
 * often with different seeds; were the held-out part drawn anew in each, one
 * would judge by what the other has trained on. For the same reason it is drawn
 * from the whole file set and before any limit:
 *
 *   all -> validation part -> as much of it as goes with the limit
 *       -> the rest        -> the limited training set */
#include "gpu/data/reader.h"

#include "gpu/backend/philox.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

/* In the order of enum dataset_format. */
static const struct reader *const readers[] = {
    [DATASET_CIFAR10] = &reader_cifar10,
    [DATASET_CIFAR100] = &reader_cifar100,
    [DATASET_IDX] = &reader_idx,
    [DATASET_IMAGE_FOLDER] = &reader_image_folder,
    [DATASET_TINY_IMAGENET] = &reader_tiny_imagenet,
    [DATASET_TENSORS] = &reader_tensors,
};

/* What is drawn under RANDOM_SPLIT; part of the meaning of a limit, never renumber. */
enum { DRAW_TRAIN_LIMIT, DRAW_VALIDATION, DRAW_TEST_LIMIT, DRAW_VALIDATION_LIMIT };

/* ---- choosing ------------------------------------------------------------------ */

/* Split from[0..count-1], ascending, into `keep` evenly random ones and the
 * rest, both ascending. `rest` may be NULL. */
static int draw(uint32_t what, const int32_t *from, int count, int keep, int32_t *ret_kept, int32_t *ret_rest,
                struct fault *why)
{
    int32_t *order = malloc(count * sizeof(*order));
    uint8_t *kept = calloc(count, 1);
    int r = order && kept ? 0 : fault_set(why, -ENOMEM, "no memory to choose among %d examples", count);

    if (r == 0) {
        epoch_order(0, RANDOM_SPLIT, what, true, count, order);
        for (int i = 0; i < keep; i++)
            kept[order[i]] = 1;
        for (int i = 0, k = 0, o = 0; i < count; i++) {
            if (kept[i])
                ret_kept[k++] = from[i];
            else if (ret_rest)
                ret_rest[o++] = from[i];
        }
    }
    free(order);
    free(kept);
    return r;
}

/* Which examples of a file set are training (or test) examples, and which are
 * held out. */
struct choice {
    int32_t *id, *held_out;
    int count, held_out_count;
};

static void choice_done(struct choice *choice)
{
    free(choice->id);
    free(choice->held_out);
}

static int limited(int total, int limit)
{
    return limit > 0 && limit < total ? limit : total;
}

/* Room for `total` ids each, and all of them in *ret_all. */
static int choice_open(int total, struct choice *ret, int32_t **ret_all, struct fault *why)
{
    size_t bytes = (size_t)total * sizeof(int32_t);

    *ret = (struct choice){ .id = malloc(bytes), .held_out = malloc(bytes) };
    *ret_all = malloc(bytes);
    if (!ret->id || !ret->held_out || !*ret_all)
        return fault_set(why, -ENOMEM, "no memory to choose among %d examples", total);
    for (int i = 0; i < total; i++)
        (*ret_all)[i] = i;
    return 0;
}

/* A limited set of which nothing is held out. */
static int choose(uint32_t what, int total, int limit, struct choice *ret, struct fault *why)
{
    int32_t *all;
    int r = choice_open(total, ret, &all, why);

    ret->count = limited(total, limit);
    if (r == 0)
        r = draw(what, all, total, ret->count, ret->id, NULL, why);
    free(all);
    return r;
}

static int part_of(double part, int count)
{
    long wanted = lrint(part * count);

    return wanted < 1 ? 1 : (int)wanted;
}

/* A limited set of which `part` is held out. Whatever the limit, what one job
 * holds out no job of the same part trains on. */
static int choose_apart(const char *name, int total, int limit, double part, struct choice *ret, struct fault *why)
{
    int count = limited(total, limit), held_out = part_of(part, count), pool = part_of(part, total);
    int32_t *all, *apart = malloc((size_t)total * sizeof(*apart)), *rest = malloc((size_t)total * sizeof(*rest));
    int r = choice_open(total, ret, &all, why);

    if (r == 0 && (!apart || !rest))
        r = fault_set(why, -ENOMEM, "no memory to choose among %d examples", total);
    if (r == 0 && held_out >= count)
        r = fault_set(why, -EINVAL, "%s: holding out %d of %d training examples for validation leaves none to train on",
                      name, held_out, count);
    ret->count = count - held_out;
    ret->held_out_count = held_out;
    if (r == 0)
        r = draw(DRAW_VALIDATION, all, total, pool, apart, rest, why);
    if (r == 0)
        r = draw(DRAW_VALIDATION_LIMIT, apart, pool, held_out, ret->held_out, NULL, why);
    if (r == 0)
        r = draw(DRAW_TRAIN_LIMIT, rest, total - pool, ret->count, ret->id, NULL, why);
    free(all);
    free(apart);
    free(rest);
    return r;
}

/* ---- the whole data set -------------------------------------------------------- */

static void class_names_free(char **names, int count)
{
    for (int i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}

static void file_set_close(const struct reader *reader, struct file_set *set)
{
    if (reader->close)
        reader->close(set);
    free(set->name);
    free(set->label);
    class_names_free(set->class_name, set->classes);
}

/* Every label below num_classes, and the number of classes there are. */
static int labels_check(const struct file_set *set, int num_classes, int *ret_classes, struct fault *why)
{
    int64_t largest = 0;

    if (set->classes > num_classes)
        return fault_set(why, -EINVAL, "%s: %d classes, but the model has %d (model.num_classes)", set->name,
                         set->classes, num_classes);
    for (int i = 0; i < set->count; i++) {
        if (set->label[i] < 0 || set->label[i] >= num_classes)
            return fault_set(why, -EINVAL, "%s: example %d has label %lld, but the model has %d classes (0..%d)",
                             set->name, i, (long long)set->label[i], num_classes, num_classes - 1);
        largest = set->label[i] > largest ? set->label[i] : largest;
    }
    *ret_classes = set->classes ? set->classes : (int)largest + 1;
    return 0;
}

static int file_set_open(const struct reader *reader, const struct data_request *request, int num_classes,
                         struct file_set *ret, int *ret_classes, struct fault *why)
{
    *ret = (struct file_set){ 0 };
    int r = reader->open(request, ret, why);

    if (r == 0)
        r = labels_check(ret, num_classes, ret_classes, why);
    if (r < 0)
        file_set_close(reader, ret);
    return r;
}

/* The examples of one split, with or without pixels. */
static int split_load(const struct reader *reader, const struct file_set *set, const int input[3],
                      struct dataset_wants wants, const int32_t *id, int count, struct examples *ret, struct fault *why)
{
    return wants.labels_only ? examples_label(set, input, id, count, ret, why)
                             : examples_load(reader, set, input, id, count, ret, why);
}

/* Training files: train and validation. */
static int train_load(const struct reader *reader, const struct file_set *set, const struct dataset_spec *spec,
                      bool holds_out, const int input[3], struct dataset_wants wants, struct dataset *ret,
                      struct fault *why)
{
    struct choice choice;
    int r = holds_out ? choose_apart(set->name, set->count, spec->train_limit, spec->validation, &choice, why)
                      : choose(DRAW_TRAIN_LIMIT, set->count, spec->train_limit, &choice, why);

    if (r == 0 && wants.train)
        r = split_load(reader, set, input, wants, choice.id, choice.count, &ret->train, why);
    if (r == 0 && wants.validation && holds_out)
        r = split_load(reader, set, input, wants, choice.held_out, choice.held_out_count, &ret->validation, why);
    choice_done(&choice);
    return r;
}

int test_choose(int total, int limit, int32_t **ret_id, int *ret_count, struct fault *why)
{
    struct choice choice;
    int r = choose(DRAW_TEST_LIMIT, total, limit, &choice, why);

    if (r == 0) {
        *ret_id = choice.id;
        *ret_count = choice.count;
        choice.id = NULL;
    }
    choice_done(&choice);
    return r;
}

static int test_load(const struct reader *reader, const struct file_set *set, const struct dataset_spec *spec,
                     const int input[3], struct dataset_wants wants, struct dataset *ret, struct fault *why)
{
    struct choice choice;
    int r = choose(DRAW_TEST_LIMIT, set->count, spec->test_limit, &choice, why);

    if (r == 0)
        r = split_load(reader, set, input, wants, choice.id, choice.count, &ret->test, why);
    choice_done(&choice);
    return r;
}

int dataset_open(const struct dataset_spec *spec, enum protocol protocol, const int input[3], int num_classes,
                 struct dataset_wants wants, struct dataset *ret, struct fault *why)
{
    const struct reader *reader = readers[spec->format];
    bool holds_out = protocol == PROTOCOL_VALIDATION;
    struct dataset loaded = { 0 };
    int r = 0;

    if (!spec->path)
        return fault_set(why, -EINVAL, "dataset.path is not given");
    for (int test = 0; test < 2 && r == 0; test++) {
        struct data_request request = { spec->path, spec->test_path, test, input };
        struct file_set set;
        int classes = 0;

        if (test ? !wants.test : !wants.train && !(wants.validation && holds_out))
            continue;
        r = file_set_open(reader, &request, num_classes, &set, &classes, why);
        if (r < 0)
            break;
        if (loaded.class_name && classes != loaded.num_classes) /* the names are those of the first look */
            r = fault_set(why, -EIO, "%s: its classes have changed while they were read", set.name);
        else
            loaded.num_classes = classes > loaded.num_classes ? classes : loaded.num_classes;
        if (!loaded.class_name) {
            loaded.class_name = set.class_name;
            set.class_name = NULL;
        }
        if (r == 0)
            r = test ? test_load(reader, &set, spec, input, wants, &loaded, why)
                     : train_load(reader, &set, spec, holds_out, input, wants, &loaded, why);
        file_set_close(reader, &set);
    }
    if (r < 0) {
        dataset_done(&loaded);
        return r;
    }
    *ret = loaded;
    return 0;
}

void dataset_done(struct dataset *dataset)
{
    if (!dataset)
        return;
    examples_done(&dataset->train);
    examples_done(&dataset->validation);
    examples_done(&dataset->test);
    class_names_free(dataset->class_name, dataset->num_classes);
    *dataset = (struct dataset){ 0 };
}

int dataset_shape(const struct dataset_spec *spec, bool test, int *ret_count, int ret_shape[3], struct fault *why)
{
    struct data_request request = { .path = spec->path, .test_path = spec->test_path, .test = test };
    struct file_set set;
    int classes;

    if (!spec->path)
        return fault_set(why, -EINVAL, "dataset.path is not given");
    int r = file_set_open(readers[spec->format], &request, INT_MAX, &set, &classes, why);

    if (r < 0)
        return r;
    *ret_count = set.count;
    ret_shape[0] = set.c;
    ret_shape[1] = set.h;
    ret_shape[2] = set.w;
    file_set_close(readers[spec->format], &set);
    return 0;
}
