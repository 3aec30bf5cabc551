/* How is cuDNN asked?
 *
 * Through its backend API, which is nothing but descriptors with attributes:
 * create, set, finalise. A graph of operations goes in, a list of engines comes
 * out, an engine becomes a plan, a plan runs with pointers.
 *
 * Surprising: dimensions are always given as N,C,H,W (weights as K,C,R,S); that
 * memory is NHWC shows in the strides alone. With a card, graph and plan are
 * tied to the handle, as everybody does it; without one, properties of the
 * device take the handle's place. */
#include "gpu/backend/cuda/dnn.h"

#include <stdio.h>
#include <string.h>

typedef cudnnBackendDescriptor_t descriptor;

/* ---- descriptors ------------------------------------------------------------------------ */

static bool fine(struct dnn_graph *g, cudnnStatus_t status, const char *what)
{
    char words[180] = "";

    if (g->status != CUDNN_STATUS_SUCCESS)
        return false;
    if (status == CUDNN_STATUS_SUCCESS)
        return true;
    cudnnGetLastErrorString(words, sizeof(words));
    g->status = status;
    snprintf(g->message, sizeof(g->message), "%s: %s%s%.160s", what, cudnnGetErrorString(status), *words ? ": " : "",
             words);
    return false;
}

/* A new descriptor that the graph owns; NULL after an error. */
static descriptor make(struct dnn_graph *g, cudnnBackendDescriptorType_t type, const char *what)
{
    descriptor d = NULL;

    if (g->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    if (g->count == DNN_DESCRIPTORS) {
        fine(g, CUDNN_STATUS_BAD_PARAM, "a graph with too many descriptors");
        return NULL;
    }
    if (!fine(g, cudnnBackendCreateDescriptor(type, &d), what))
        return NULL;
    g->all[g->count++] = d;
    return d;
}

static void set(struct dnn_graph *g, descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t count, const void *values)
{
    if (g->status == CUDNN_STATUS_SUCCESS)
        fine(g, cudnnBackendSetAttribute(d, name, type, count, values), "setting an attribute");
}

static void set_descriptor(struct dnn_graph *g, descriptor d, cudnnBackendAttributeName_t name, descriptor value)
{
    set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finish(struct dnn_graph *g, descriptor d, const char *what)
{
    if (g->status == CUDNN_STATUS_SUCCESS)
        fine(g, cudnnBackendFinalize(d), what);
}

void dnn_start(struct dnn_graph *g, struct dnn_target target)
{
    *g = (struct dnn_graph){ .target = target, .virtual_uid = 1000, .status = CUDNN_STATUS_SUCCESS };
}

void dnn_done(struct dnn_graph *g)
{
    for (int i = g->count - 1; i >= 0; i--)
        cudnnBackendDestroyDescriptor(g->all[i]);
    *g = (struct dnn_graph){ 0 };
}

descriptor dnn_properties(const char *json, size_t size, char *message, size_t message_size)
{
    descriptor d = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d);

    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)size,
                                          json);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(d);
    if (status == CUDNN_STATUS_SUCCESS)
        return d;
    cudnnGetLastErrorString(message, message_size);
    if (d)
        cudnnBackendDestroyDescriptor(d);
    return NULL;
}

/* ---- tensors and operations ----------------------------------------------------------------- */

enum { ALIGNMENT = 16 };

descriptor dnn_tensor(struct dnn_graph *g, int64_t uid, cudnnDataType_t type, const int64_t dims[4])
{
    descriptor d = make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor");
    int64_t c = dims[1], h = dims[2], w = dims[3];
    int64_t strides[4] = { c * h * w, 1, c * w, c }, alignment = ALIGNMENT;
    int64_t id = uid ? uid : g->virtual_uid++;
    bool is_virtual = uid == 0;

    set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finish(g, d, "a tensor");
    return d;
}

static void operation_add(struct dnn_graph *g, descriptor d, const char *what)
{
    finish(g, d, what);
    if (g->status != CUDNN_STATUS_SUCCESS)
        return;
    if (g->operation_count == DNN_OPERATIONS)
        fine(g, CUDNN_STATUS_BAD_PARAM, "a graph with too many operations");
    else
        g->operations[g->operation_count++] = d;
}

/* What the three directions call their parts. */
static const struct direction {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
    const char *name;
} directions[] = {
    [DNN_FORWARD] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                      "a convolution" },
    [DNN_BACKWARD_DATA] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, "a convolution's gradient by its input" },
    [DNN_BACKWARD_WEIGHTS] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                               "a convolution's gradient by its weights" },
};

static descriptor convolution_settings(struct dnn_graph *g, int pad, int stride)
{
    descriptor d = make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "a convolution's settings");
    int64_t rank = 2, pads[2] = { pad, pad }, strides[2] = { stride, stride }, dilations[2] = { 1, 1 };
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnDataType_t sums = CUDNN_DATA_FLOAT;

    set(g, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &rank);
    set(g, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(g, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    set(g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    set(g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
    set(g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    finish(g, d, "a convolution's settings");
    return d;
}

void dnn_convolution(struct dnn_graph *g, enum dnn_direction direction, descriptor x, descriptor w, descriptor y,
                     int pad, int stride)
{
    const struct direction *names = &directions[direction];
    descriptor settings = convolution_settings(g, pad, stride), d = make(g, names->type, names->name);
    float alpha = 1, beta = 0;

    set_descriptor(g, d, names->x, x);
    set_descriptor(g, d, names->w, w);
    set_descriptor(g, d, names->y, y);
    set_descriptor(g, d, names->convolution, settings);
    set(g, d, names->alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    set(g, d, names->beta, CUDNN_TYPE_FLOAT, 1, &beta);
    operation_add(g, d, names->name);
}

void dnn_pointwise(struct dnn_graph *g, cudnnPointwiseMode_t mode, descriptor x, descriptor b, descriptor y)
{
    descriptor settings = make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "a pointwise operation's settings");
    descriptor d = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "a pointwise operation");
    cudnnDataType_t arithmetic = CUDNN_DATA_FLOAT;

    set(g, settings, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(g, settings, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &arithmetic);
    finish(g, settings, "a pointwise operation's settings");
    set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, settings);
    set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b)
        set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_descriptor(g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    operation_add(g, d, "a pointwise operation");
}

/* ---- engines ------------------------------------------------------------------------------------ */

static void graph_finish(struct dnn_graph *g)
{
    if (g->graph || g->status != CUDNN_STATUS_SUCCESS)
        return;
    descriptor d = make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "a graph");
    set(g, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->operation_count, g->operations);
    if (g->target.handle)
        set(g, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->target.handle);
    finish(g, d, "a graph");
    g->graph = d;
}

/* The engine of a configuration; the caller destroys it. */
static descriptor engine_of(descriptor config)
{
    descriptor engine = NULL;
    int64_t count = 0;

    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != CUDNN_STATUS_SUCCESS)
        return NULL;
    if (cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                 &engine) == CUDNN_STATUS_SUCCESS)
        return engine;
    cudnnBackendDestroyDescriptor(engine);
    return NULL;
}

static bool fits(descriptor engine, const struct dnn_wish *wish)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;

    if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) != CUDNN_STATUS_SUCCESS)
        return false;
    for (int64_t i = 0; i < count; i++) {
        if (notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
            return false;
        if (wish->deterministic && notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)
            return false;
        if (wish->full_float && notes[i] != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC &&
            notes[i] != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP)
            return false;
    }
    return true;
}

static bool compiled_at_run_time(descriptor engine)
{
    cudnnBackendBehaviorNote_t notes[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t count = 0;

    cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                             CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &count, notes);
    for (int64_t i = 0; i < count; i++)
        if (notes[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
            return true;
    return false;
}

enum { KNOBS_MOST = 24 };

/* " k0=3 k1=2": the settings of an engine. */
static void knobs_name(descriptor config, char *ret, size_t size)
{
    descriptor knobs[KNOBS_MOST] = { 0 };
    int64_t count = 0;
    size_t length = 0;

    for (int i = 0; i < KNOBS_MOST; i++)
        if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[i]) != CUDNN_STATUS_SUCCESS)
            knobs[i] = NULL;
    cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, KNOBS_MOST,
                             &count, knobs);
    for (int64_t i = 0; i < count && i < KNOBS_MOST && length < size; i++) {
        cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
        int64_t value = 0, one = 0;

        cudnnBackendGetAttribute(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one, &type);
        cudnnBackendGetAttribute(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &one, &value);
        length += (size_t)snprintf(ret + length, size - length, " k%d=%lld", (int)type, (long long)value);
    }
    for (int i = 0; i < KNOBS_MOST; i++)
        if (knobs[i])
            cudnnBackendDestroyDescriptor(knobs[i]);
}

static void candidate_add(struct dnn_candidates *all, descriptor config, const struct dnn_wish *wish)
{
    struct dnn_candidate *one = &all->list[all->count];
    descriptor engine = engine_of(config);
    int64_t index = -1, count = 0;

    if (!engine)
        return;
    if (fits(engine, wish)) {
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &index);
        *one = (struct dnn_candidate){ .config = config, .compiled_at_run_time = compiled_at_run_time(engine) };
        int length = snprintf(one->name, sizeof(one->name), "e%lld", (long long)index);
        knobs_name(config, one->name + length, sizeof(one->name) - (size_t)length);
        int same = 0;
        while (same < all->count && strcmp(all->list[same].name, one->name) != 0)
            same++;
        all->count += same == all->count;
    }
    cudnnBackendDestroyDescriptor(engine);
}

/* What one kind of cuDNN's guesses lists. */
static void candidates_by(struct dnn_graph *g, cudnnBackendHeurMode_t mode, const struct dnn_wish *wish,
                          struct dnn_candidates *all)
{
    descriptor guess = make(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "a choice of engines");
    int64_t count = 0, most = DNN_CANDIDATES - all->count;

    set_descriptor(g, guess, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g->graph);
    set(g, guess, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (g->target.properties)
        set_descriptor(g, guess, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, g->target.properties);
    if (g->status != CUDNN_STATUS_SUCCESS)
        return;
    if (cudnnBackendFinalize(guess) != CUDNN_STATUS_SUCCESS)
        return; /* it knows of none */
    cudnnBackendGetAttribute(guess, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL);
    count = count < most ? count : most;
    descriptor *configs = &all->owned[all->owned_count];
    for (int64_t i = 0; i < count; i++)
        if (!fine(g, cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]), "an engine"))
            return;
        else
            all->owned_count++;
    if (count &&
        !fine(g,
              cudnnBackendGetAttribute(guess, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count,
                                       &count, configs),
              "a choice of engines"))
        return;
    for (int64_t i = 0; i < count; i++)
        candidate_add(all, configs[i], wish);
}

void dnn_candidates(struct dnn_graph *g, const struct dnn_wish *wish, struct dnn_candidates *ret)
{
    memset(ret, 0, sizeof(*ret));
    graph_finish(g);
    candidates_by(g, CUDNN_HEUR_MODE_A, wish, ret);
    if (ret->count < DNN_CANDIDATES)
        candidates_by(g, CUDNN_HEUR_MODE_FALLBACK, wish, ret);
}

void dnn_candidates_done(struct dnn_candidates *c)
{
    for (int i = 0; i < c->owned_count; i++)
        cudnnBackendDestroyDescriptor(c->owned[i]);
    c->count = c->owned_count = 0;
}

/* ---- plans ------------------------------------------------------------------------------------------ */

descriptor dnn_plan(struct dnn_graph *g, const struct dnn_candidate *candidate, const struct dnn_wish *wish,
                    size_t *ret_workspace_bytes)
{
    descriptor plan = NULL;
    int64_t bytes = 0, count = 0;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan);

    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                          1, &candidate->config);
    if (status == CUDNN_STATUS_SUCCESS)
        status = g->target.handle
                     ? cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                                                &g->target.handle)
                     : cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                                CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->target.properties);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(plan);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
                                          &bytes);
    if (status == CUDNN_STATUS_SUCCESS && bytes >= 0 && (size_t)bytes <= wish->workspace_bytes_max) {
        *ret_workspace_bytes = (size_t)bytes;
        return plan;
    }
    if (plan)
        cudnnBackendDestroyDescriptor(plan);
    return NULL;
}

cudnnStatus_t dnn_execute(cudnnHandle_t handle, descriptor plan, int count, int64_t *uids, void **pointers,
                          void *workspace)
{
    descriptor pack = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);

    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count,
                                          pointers);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(pack);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendExecute(handle, plan, pack);
    if (pack)
        cudnnBackendDestroyDescriptor(pack);
    return status;
}
