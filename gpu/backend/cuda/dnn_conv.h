/* A convolution as a graph for cuDNN: what tensors there are and how they are numbered. */
#ifndef RIFT_GPU_BACKEND_CUDA_DNN_CONV_H
#define RIFT_GPU_BACKEND_CUDA_DNN_CONV_H

#include "gpu/backend/cuda/dnn.h"

/* Numbers of tensors in a variant pack. */
enum { UID_X = 1, UID_W, UID_Y, UID_BIAS, UID_RESIDUAL };

/* Channels are padded ones. */
struct dnn_conv {
    bool bf16;
    int n, c, h, w;
    int out_c, out_h, out_w;
    int kernel, stride, pad;
};

/* What follows a forward convolution in the same kernel. */
struct dnn_tail {
    bool residual, bias, relu;
};

/* Write the graph down (after dnn_start); tail NULL: nothing follows. */
void dnn_conv_graph(struct dnn_graph *g, const struct dnn_conv *conv, enum dnn_direction direction,
                    const struct dnn_tail *tail);

#endif
