/* A golden case on a device: its model, its data, and how tensors are compared. */
#ifndef RIFT_TESTS_GOLDEN_BENCH_H
#define RIFT_TESTS_GOLDEN_BENCH_H

#include "golden.h"

#include "gpu/rift/attack.h"
#include "gpu/rift/training.h"

/* What is compared, and how close it has to be. */
struct subject {
    const char *device;
    enum precision precision;
    double logits, losses, gradients, gradients_16, statistics;
};

static inline struct subject exact(const char *device)
{
    return (struct subject){ device, PRECISION_FLOAT32, LOGITS, LOGITS, GRADIENTS, GRADIENTS_16, GRADIENTS };
}
static inline struct subject half(void)
{
    return (struct subject){ check_device(),          PRECISION_BF16, BF16_LOGITS,    BF16_LOSSES,
                             BF16_GRADIENTS, BF16_GRADIENTS, BF16_STATISTICS };
}

/* The case's model and data on a device. */
struct bench {
    struct subject subject;
    struct golden golden;
    struct run run;
    struct images images;
    struct batch batch;
    bool *all;
    char what[64]; /* for messages */
};

static inline void bench_open_as(struct bench *b, int number, struct subject subject)
{
    struct spec_errors errors;
    const struct examples *examples;

    *b = (struct bench){ .subject = subject, .golden = golden_open(number) };
    snprintf(b->what, sizeof(b->what), "%s on %s in %s", golden_cases[number], subject.device,
             job_precisions[subject.precision]);
    json_t *model = json_deep_copy(json_object_get(b->golden.expected, "model"));
    json_object_set_new(model, "weights", json_string("model.safetensors"));
    json_t *spec =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:O, s:{s:s, s:s}, s:{s:b, s:s, s:s}}", "kind", "evaluate", "device",
                  subject.device, "precision", job_precisions[subject.precision], "protocol", "paper", "threads", 2,
                  "batch_size", json_object_get(b->golden.expected, "batch"), "dataset", "format", "tensors", "path",
                  "data.safetensors", "attack", "random_start", false, "epsilon", "8/255", "step_size", "2/255");
    json_object_set_new(spec, "model", model);
    b->run = (struct run){ .dir = b->golden.dir };
    CHECK_INT(spec_from_json(spec, &b->run.spec, &errors), 0);
    json_decref(spec);
    CHECK_INT(run_open(&b->run), 0);
    CHECK_INT(run_weights(&b->run, &b->run.spec.model.weights, "weights"), 0);
    CHECK_INT(run_dataset(&b->run, split_wants(SPLIT_TEST)), 0);
    CHECK_INT(run_examples(&b->run, SPLIT_TEST, &examples), 0);
    CHECK_INT(images_open(&b->run, examples, &b->images), 0);
    CHECK_INT(batch_open(&b->run, examples->count, true, &b->batch), 0);
    CHECK_INT(batch_load(&b->batch, &b->images, NULL, 0, examples->count, NULL), 0);
    b->all = calloc((size_t)b->run.model->tensor_count, sizeof(bool));
    for (int t = 0; t < b->run.model->tensor_count; t++)
        b->all[t] = b->run.model->tensors[t].parameter;
}

static inline void bench_open(struct bench *b, int number, const char *device)
{
    bench_open_as(b, number, exact(device));
}

static inline void bench_close(struct bench *b)
{
    batch_done(&b->batch);
    images_done(&b->images);
    run_close(&b->run);
    golden_close(&b->golden);
    free(b->all);
}

/* Device floats beside the golden tensor of that name. */
static inline void check_tensor(struct bench *b, const char *name, const float *device, int64_t count, double tolerance)
{
    float *is = malloc((size_t)count * sizeof(float)), *want = golden_floats(b->golden.values, name, count);

    CHECK_INT(b->run.ops->read(b->run.dev, is, device, (size_t)count * sizeof(float)), 0);
    check_close(b->what, name, is, want, count, tolerance);
    free(is);
    free(want);
}

/* Every parameter's gradient beside PREFIX.NAME. */
static inline void check_gradients(struct bench *b, const char *prefix, const float *gradient, double tolerance)
{
    const struct model *model = b->run.model;

    for (int t = 0; t < model->tensor_count; t++) {
        char name[96];

        snprintf(name, sizeof(name), "%s.%s", prefix, model->tensors[t].name);
        if (model->tensors[t].parameter)
            check_tensor(b, name, gradient + model->tensors[t].offset, model->tensors[t].count, tolerance);
    }
}

/* theta + v, v of the golden file. */
static inline void perturb(struct bench *b)
{
    const struct model *model = b->run.model;

    for (int t = 0; t < model->tensor_count; t++) {
        char name[96];
        int64_t count = model->tensors[t].count;

        snprintf(name, sizeof(name), "awp.perturbation.%s", model->tensors[t].name);
        if (!model->tensors[t].parameter || !safetensors_find(b->golden.values, name))
            continue;
        float *v = golden_floats(b->golden.values, name, count), *theta = malloc((size_t)count * sizeof(float));
        CHECK_INT(b->run.ops->read(b->run.dev, theta, weights_at(b->run.weights, t), (size_t)count * sizeof(float)), 0);
        for (int64_t i = 0; i < count; i++)
            theta[i] += v[i];
        CHECK_INT(b->run.ops->write(b->run.dev, weights_at(b->run.weights, t), theta, (size_t)count * sizeof(float)),
                  0);
        weights_touch(b->run.weights, t);
        free(theta);
        free(v);
    }
}

#endif
