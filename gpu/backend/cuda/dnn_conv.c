/* Which graphs do we ask cuDNN for?
 *
 *   forward          y  = relu?( conv(x, w) + residual? + bias? )
 *   backward data    dx = transposed conv(dy, w)
 *   backward weights dw = conv(x, dy)
 *
 * Surprising: the order matters (residual, then bias, then ReLU) and so does
 * the bias having the format of the data: this very chain has kernels compiled
 * ahead; any other is compiled when the plan is made and is slower on sm_90.
 * Between the operations everything is float. dw is in the format of the data:
 * no engine writes float gradients of bf16 convolutions directly. */
#include "gpu/backend/cuda/dnn_conv.h"

static void forward_tail(struct dnn_graph *g, const struct dnn_tail *tail, cudnnDataType_t type, const int64_t dims[4],
                         cudnnBackendDescriptor_t made, cudnnBackendDescriptor_t y)
{
    const struct {
        bool on;
        int64_t uid;
        cudnnPointwiseMode_t mode;
    } steps[] = { { tail->residual, UID_RESIDUAL, CUDNN_POINTWISE_ADD },
                  { tail->bias, UID_BIAS, CUDNN_POINTWISE_ADD },
                  { tail->relu, 0, CUDNN_POINTWISE_RELU_FWD } };
    const int64_t channels[4] = { 1, dims[1], 1, 1 };
    int left = tail->residual + tail->bias + tail->relu;

    for (int i = 0; i < 3; i++) {
        if (!steps[i].on)
            continue;
        cudnnBackendDescriptor_t other = NULL;
        if (steps[i].uid)
            other = dnn_tensor(g, steps[i].uid, type, steps[i].uid == UID_BIAS ? channels : dims);
        left--;
        cudnnBackendDescriptor_t next = left ? dnn_tensor(g, 0, CUDNN_DATA_FLOAT, dims) : y;
        dnn_pointwise(g, steps[i].mode, made, other, next);
        made = next;
    }
}

void dnn_conv_graph(struct dnn_graph *g, const struct dnn_conv *conv, enum dnn_direction direction,
                    const struct dnn_tail *tail)
{
    cudnnDataType_t type = conv->bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const int64_t in[4] = { conv->n, conv->c, conv->h, conv->w };
    const int64_t out[4] = { conv->n, conv->out_c, conv->out_h, conv->out_w };
    const int64_t weights[4] = { conv->out_c, conv->c, conv->kernel, conv->kernel };
    bool more = tail && (tail->residual || tail->bias || tail->relu);
    cudnnBackendDescriptor_t x = dnn_tensor(g, UID_X, type, in), w = dnn_tensor(g, UID_W, type, weights);
    cudnnBackendDescriptor_t y = dnn_tensor(g, UID_Y, type, out);
    cudnnBackendDescriptor_t made = more ? dnn_tensor(g, 0, CUDNN_DATA_FLOAT, out) : y;

    dnn_convolution(g, direction, x, w, made, conv->pad, conv->stride);
    if (more)
        forward_tail(g, tail, type, out, made, y);
}
