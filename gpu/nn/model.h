/* What is a model?
 *
 * Pure description, no device, no numbers: a list of operations on numbered
 * values, and a table of named tensors. Names and order are those of the
 * published PyTorch models, so that weights move either way.
 *
 *   values   0 is the normalised image; every operation makes one new value
 *   ops      in an order that can be run as it stands
 *   tensors  state-dict order; parameters and buffers live in one flat vector,
 *            parameters first, so that SGD and interpolation are one call; dead
 *            tensors, which a published model has and never uses, come last
 *   modules  what MRC walks: the convolutions and the linear layer, in
 *            named_parameters order (the paper, section 3: a module is one layer) */
#ifndef RIFT_GPU_NN_MODEL_H
#define RIFT_GPU_NN_MODEL_H

#include "gpu/backend/backend.h"
#include "job/job.h"

enum op_type { OP_CONV, OP_BN, OP_RELU, OP_ADD, OP_POOL, OP_LINEAR };

struct op {
    enum op_type type;
    int in[2];               /* values; in[1] is -1 but for OP_ADD */
    int out;                 /* value */
    int tensor[4];           /* CONV: weight; LINEAR: weight, bias; BN: gamma, beta, running mean, running var */
    int kernel, stride, pad; /* CONV; POOL: kernel is the window */
};

enum tensor_role { TENSOR_WEIGHT, TENSOR_BIAS, TENSOR_BN_GAMMA, TENSOR_BN_BETA, TENSOR_BN_MEAN, TENSOR_BN_VAR };

/* How weights begin. */
enum initialisation {
    INIT_UNIFORM, /* PyTorch's default: all weights and biases U(-1/sqrt(fan_in), 1/sqrt(fan_in)) */
    INIT_FAN_OUT  /* convolutions N(0, 2/(k*k*O)), the linear layer's bias 0, its weight as above */
};

struct tensor_info {
    char name[64]; /* "layer2.1.conv2.weight" */
    enum tensor_role role;
    bool parameter; /* false: a buffer, no gradient; or dead */
    bool dead;      /* kept in files and never used: no gradient, no step, no walk from one end to another */
    int rank;
    int shape[4]; /* OIHW, or [K,F], or [C] */
    int64_t count;
    int64_t offset; /* floats into the flat vector */
};

struct module_info {
    char name[64]; /* "layer2.1.conv2" */
    int weight;    /* tensor */
    int op;        /* the one that uses the weight: a run that starts there has the module still ahead */
};

struct model {
    const char *arch;
    enum initialisation initialisation;
    int num_classes;
    int input[3];
    double mean[4], std[4];
    struct op *ops;
    int op_count;
    struct shape *values; /* n is 1; the pool's is [C,H/k,W/k], read flat by the linear layer */
    int value_count;
    struct tensor_info *tensors;
    int tensor_count;
    struct module_info *modules;
    int module_count;
    int64_t parameter_count; /* floats: the first part of the flat vector */
    int64_t total_count;     /* parameters, buffers and dead tensors */
};

/* Build the description. -EINVAL names the field: unknown arch, or an input
 * size that the architecture can't take. */
int model_open(const struct model_spec *spec, struct model **ret, struct fault *why);
void model_close(struct model *model);
static inline void model_closep(struct model **m)
{
    model_close(*m);
}
#define model_auto __attribute__((cleanup(model_closep))) struct model

/* Number of the module / tensor of that name, or -ENOENT. */
int model_module(const struct model *model, const char *name);
int model_tensor(const struct model *model, const char *name);

/* The values made before op `at` (0 is always made) that op `at` or a later
 * one reads: what has to be kept to start there. Returns how many (<= 4). */
int model_frontier(const struct model *model, int at, int ret_values[4]);

#endif
