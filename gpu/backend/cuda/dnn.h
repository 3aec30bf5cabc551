/* A small graph of operations for cuDNN, and the plan that computes it.
 *
 *   dnn_start -> dnn_tensor ... dnn_convolution, dnn_pointwise ... -> dnn_candidates -> dnn_plan
 *
 * Errors are sticky: after the first one everything is a no-op, and
 * graph->status and graph->message say what it was; so a graph is written down
 * without a check a line and asked at the end.
 *
 * Built for a device that is there (a handle) or for one that is only described
 * (properties as JSON): a machine without a card can try whether every graph
 * that we ask for has a plan. */
#ifndef RIFT_GPU_BACKEND_CUDA_DNN_H
#define RIFT_GPU_BACKEND_CUDA_DNN_H

#include <cudnn_graph.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DNN_DESCRIPTORS = 48, DNN_OPERATIONS = 8, DNN_CANDIDATES = 128 };

/* For whom plans are made: one of the two. */
struct dnn_target {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t properties; /* of a device that isn't here; see dnn_properties */
};

struct dnn_graph {
    struct dnn_target target;
    cudnnBackendDescriptor_t all[DNN_DESCRIPTORS]; /* owned; they live as long as the plan */
    int count;
    cudnnBackendDescriptor_t operations[DNN_OPERATIONS];
    int operation_count;
    cudnnBackendDescriptor_t graph;
    int64_t virtual_uid;
    cudnnStatus_t status;
    char message[256];
};

/* Which of cuDNN's engines will do. */
struct dnn_wish {
    bool full_float;    /* no tensor cores, no narrower inputs, no transforms: float32 as written */
    bool deterministic; /* the same bits each time */
    size_t workspace_bytes_max;
};

/* One engine with its settings. */
struct dnn_candidate {
    cudnnBackendDescriptor_t config; /* owned by the graph's candidates */
    bool compiled_at_run_time;
    char name[96]; /* "e41 k0=3 k1=2": the same for the same choice */
};

struct dnn_candidates {
    struct dnn_candidate list[DNN_CANDIDATES];
    int count;
    cudnnBackendDescriptor_t owned[2 * DNN_CANDIDATES];
    int owned_count;
};

void dnn_start(struct dnn_graph *g, struct dnn_target target);
void dnn_done(struct dnn_graph *g);
/* Descriptor of a device from its properties; NULL: they lack something, message says what. */
cudnnBackendDescriptor_t dnn_properties(const char *json, size_t size, char *message, size_t message_size);

/* NHWC tensor of those dimensions, N,C,H,W. uid 0: virtual, an intermediate of the graph. */
cudnnBackendDescriptor_t dnn_tensor(struct dnn_graph *g, int64_t uid, cudnnDataType_t type, const int64_t dims[4]);

enum dnn_direction { DNN_FORWARD, DNN_BACKWARD_DATA, DNN_BACKWARD_WEIGHTS };
/* x, w, y are (x,w,y), (dx,w,dy) or (x,dw,dy); sums in float. */
void dnn_convolution(struct dnn_graph *g, enum dnn_direction direction, cudnnBackendDescriptor_t x,
                     cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y, int pad, int stride);
/* y = x mode b; b NULL: one operand. */
void dnn_pointwise(struct dnn_graph *g, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
                   cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y);

/* Engines for the graph that fit the wish, in cuDNN's order of preference, none twice. */
void dnn_candidates(struct dnn_graph *g, const struct dnn_wish *wish, struct dnn_candidates *ret);
void dnn_candidates_done(struct dnn_candidates *c);
/* A plan by that engine: NULL when it can't, or needs more workspace than is wished for. */
cudnnBackendDescriptor_t dnn_plan(struct dnn_graph *g, const struct dnn_candidate *candidate,
                                  const struct dnn_wish *wish, size_t *ret_workspace_bytes);

/* Run a plan with these pointers; in the stream of the handle. */
cudnnStatus_t dnn_execute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, int count, int64_t *uids,
                          void **pointers, void *workspace);

#endif
