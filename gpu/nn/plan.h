/* How is a model run?
 *
 * A plan is a model lowered for one batch size, one mode and one set of wanted
 * gradients: convolutions prepared, batch norm folded (eval) or fused with
 * ReLU and residual (train), every buffer's place in one workspace decided
 * from lifetimes before the first run. Running allocates nothing.
 *
 *   eval    y = relu?( conv(x, w') + b' + residual? ), BN folded into w', b';
 *           where BN comes before the convolution, y = relu( scale*x + shift )
 *   train   y = conv(x, w);  z = relu?( bn(y) + residual? ) on batch statistics
 *
 * A plan may cover only ops [first, last): then it reads the frontier of
 * `first` (model_frontier), bound by plan_bind, and stops with the frontier of
 * `last` in its buffers. That is how MRC, fine-tuning with frozen statistics and
 * interpolation skip the frozen prefix. */
#ifndef RIFT_GPU_NN_PLAN_H
#define RIFT_GPU_NN_PLAN_H

#include "gpu/nn/weights.h"

enum plan_mode { PLAN_EVAL, PLAN_TRAIN };

struct plan_spec {
    int batch;
    enum plan_mode mode;
    int first, last;    /* ops; last 0: to the end */
    bool want_input;    /* gradient of the pixels; needs first == 0 */
    const bool *wanted; /* [tensor_count], gradients of these parameters; NULL: none */
    int space;          /* which of a cache's workspaces, < PLAN_SPACES: a run in one leaves the others' values alone */
};

/* Two, for losses that look at two images at once. */
enum { PLAN_SPACES = 2 };

/* Memory that the plans of one job share: activations live only within one
 * run, so the largest plan decides. Plans grow it when they open. */
struct workspace {
    struct device *dev;
    void *memory;
    size_t bytes;
};
int workspace_reserve(struct workspace *ws, size_t bytes, struct fault *why);
void workspace_done(struct workspace *ws);

struct plan;

/* Lower and prepare. ws and weights must outlive the plan. -ENOMEM with the
 * number of bytes wanted. */
int plan_open(struct workspace *ws, struct weights *weights, const struct plan_spec *spec, struct plan **ret,
              struct fault *why);
void plan_close(struct plan *plan);
const struct plan_spec *plan_spec(const struct plan *plan);
size_t plan_workspace_bytes(const struct plan *plan);
size_t plan_packed_bytes(const struct plan *plan);

/* Bytes of one example of a value: an activation's row, or plain floats for the
 * pixels (value 0) and for what pooling and the linear layer make. Rows of a
 * batch follow each other, so a cache of N examples is N times this. */
size_t plan_row_bytes(const struct weights *weights, int value);

/* Where a run reads its input: value 0 is pixels, plain [N,C,H,W] in [0,1]
 * (the plan normalises); other values are activations of the frontier. */
void plan_bind(struct plan *plan, int value, const void *memory);

/* Forward. momentum: of the running statistics in train mode (0.1 as in
 * PyTorch; 0 leaves them alone); unused in eval mode. Packs weights that
 * changed. */
int plan_forward(struct plan *plan, float momentum);

/* Cross-entropy of the logits of the last forward against labels (device,
 * int32[N]); leaves the gradient of scale * (sum of the losses) where
 * plan_backward wants it. scale is 1/N for a mean. */
int plan_cross_entropy(struct plan *plan, const int32_t *labels, float scale);
/* The same of the backend's margin_loss; targets (device, int32[N]) may be NULL. */
int plan_margin_loss(struct plan *plan, enum margin margin, const int32_t *labels, const int32_t *targets, float scale);
/* Do run(user), steps of this plan among other operations that make the same
 * changes in the same places whenever `key` is the same; the plan adds its own
 * addresses and what is bound to it. A device may repeat from memory what it
 * did (backend.h, `repeat`), so run must not read. momentum: that of its
 * forward passes. plan_key works more of what matters into a key; start with PLAN_KEY. */
int plan_repeat(struct plan *plan, uint64_t key, float momentum, int (*run)(void *user), void *user);
#define PLAN_KEY 0xcbf29ce484222325u
uint64_t plan_key(uint64_t key, const void *bytes, size_t size);

/* plan_forward, plan_cross_entropy and plan_backward in one, which a device may repeat from memory. */
int plan_gradient(struct plan *plan, float momentum, const int32_t *labels, float scale, float *gradient,
                  float *input_gradient);

/* Per-example losses and hits of that (host arrays [N], NULL: not wanted). */
int plan_loss_read(struct plan *plan, float *loss, int32_t *correct);

/* Backward from the logits' gradient: gradients of the wanted parameters into
 * the flat vector `gradient` (device, model layout; unwanted ones untouched),
 * of the pixels into `input_gradient` (device, plain). */
int plan_backward(struct plan *plan, float *gradient, float *input_gradient);

float *plan_loss(const struct plan *plan);            /* device, [N]: what plan_loss_read reads */
float *plan_logits(const struct plan *plan);          /* device, plain [N,K] */
float *plan_logits_gradient(const struct plan *plan); /* device, plain [N,K] */
/* A value of the frontier of `last`, valid until any plan of the workspace runs. */
const void *plan_value(const struct plan *plan, int value);

/* Plans by spec, opened when first asked for: the full batch and the rest of
 * an epoch, train and eval. `wanted` arrays are compared by content. */
struct plan_cache;
int plan_cache_open(struct weights *weights, struct plan_cache **ret);
void plan_cache_close(struct plan_cache *cache);
int plan_cache_get(struct plan_cache *cache, const struct plan_spec *spec, struct plan **ret, struct fault *why);
/* Forget every plan (their memory goes; the workspace stays). */
void plan_cache_clear(struct plan_cache *cache);
size_t plan_cache_bytes(const struct plan_cache *cache);

#endif
