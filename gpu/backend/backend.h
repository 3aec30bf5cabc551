/* THE SEAM: what can a device do?
 *
 * A backend is one table of coarse, fused operations. Each is documented by
 * its formula; ref.c is those formulas in plain C and is the oracle that the
 * others are compared with (tests/ops). Everything above speaks only of this
 * header.
 *
 * A device is opened for one number format (enum precision). It decides how
 * activations and packed weights are kept and multiplied; plain memory, sums,
 * statistics, losses and gradients of parameters are float32 in each.
 *
 * Three kinds of device memory, all allocated by device_alloc:
 *   plain        float32 (or what the comment says) in the order of the shape
 *                comment, NCHW for images, OIHW for weights
 *   activation   a [N,C,H,W] tensor in a number format and physical layout that
 *                belong to the backend; N is always outermost, so that row n (one
 *                example) is contiguous and activation_bytes(1,C,H,W) long
 *   packed       convolution weights in the layouts one prepared convolution
 *                wants
 * Pointers to device memory are never dereferenced above the seam: write and
 * read move data.
 *
 * Operations run in the order they are called and may run asynchronously;
 * read() and the functions that return a number wait. Preparing (conv_open)
 * may allocate and compile; running never allocates.
 *
 * Errors: 0 or negative errno; -ENODEV after the device has failed for good
 * (device_errmsg says why). Shapes and pointers are promises between our own
 * functions and asserted. */
#ifndef RIFT_GPU_BACKEND_BACKEND_H
#define RIFT_GPU_BACKEND_BACKEND_H

#include "job/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shape {
    int n, c, h, w;
};

static inline int64_t shape_count(struct shape s)
{
    return (int64_t)s.n * s.c * s.h * s.w;
}

/* A convolution without bias of its own: y[N,O,OH,OW] = x[N,I,H,W] * w[O,I,K,K]. */
struct conv_geometry {
    struct shape in;
    int out_c, kernel, stride, pad;
};

static inline struct shape conv_out(const struct conv_geometry *g)
{
    return (struct shape){ g->in.n, g->out_c, (g->in.h + 2 * g->pad - g->kernel) / g->stride + 1,
                           (g->in.w + 2 * g->pad - g->kernel) / g->stride + 1 };
}

/* What a prepared convolution will be asked to do; primitives are created for
 * just that. */
struct conv_request {
    struct conv_geometry geometry;
    bool image_in;      /* x (and dx) is plain NCHW, not an activation: the stem */
    bool bias;          /* forward adds bias[O] */
    bool residual;      /* forward adds an activation of the output's shape */
    bool relu;          /* forward ends in max(0, .) */
    bool backward_data; /* conv_backward_data will be called */
    bool backward_weights;
};

struct device;
struct conv;
struct recording;

/* How one example of a batch is cut out of the stored images. */
struct crop {
    int32_t index; /* which stored image */
    int8_t dx, dy; /* shift of the window, -pad..pad */
    uint8_t flip;  /* mirror left-right after cropping */
};

/* Counter of a Philox stream; see philox.h. */
struct random_key {
    uint64_t seed;
    uint32_t purpose;
    uint32_t epoch;
};

/* Of mart_loss, as published: they keep logarithms finite. */
#define MART_MARGIN 1.0001
#define MART_WEIGHT 1.0000001
#define MART_TINY   1e-12

/* What the difference of two logits is divided by in margin_loss. */
enum margin { MARGIN_PLAIN, MARGIN_DLR, MARGIN_DLR_TARGETED };

struct backend {
    const char *name;

    /* -- device and memory -- */
    /* Can a device compute in that format? 0; -ENOTSUP with words that say what it lacks. */
    int (*precision_check)(const char *id, enum precision precision, struct fault *why);
    int (*device_open)(const char *id, enum precision precision, int threads, struct device **ret, struct fault *why);
    void (*device_close)(struct device *dev);
    /* {"name","type","precision","threads"|..., "memory_bytes"} for `started` events; new reference. */
    json_t *(*describe)(struct device *dev);
    void *(*alloc)(struct device *dev, size_t bytes); /* zeroed, 64-byte aligned; NULL: out of memory, or lost */
    void (*free)(struct device *dev, void *memory);
    int (*write)(struct device *dev, void *to, const void *host, size_t bytes);
    int (*read)(struct device *dev, void *host, const void *from, size_t bytes);
    int (*copy)(struct device *dev, void *to, const void *from, size_t bytes);

    /* -- activations -- */
    size_t (*activation_bytes)(struct device *dev, struct shape s);
    int (*activation_write)(struct device *dev, struct shape s, void *to, const float *host_nchw);
    int (*activation_read)(struct device *dev, struct shape s, float *host_nchw, const void *from);
    /* Do run(user), which makes the same operations on the same addresses with the same numbers whenever `key` is
     * the same. A device may remember them in *recording (NULL at first) and at a later call repeat what it
     * remembers instead of calling run. So run doesn't read, takes no host arrays, and what it changes on the host
     * its caller doesn't need. */
    int (*repeat)(struct device *dev, struct recording **recording, uint64_t key, int (*run)(void *user), void *user);
    void (*recording_free)(struct device *dev, struct recording *recording); /* NULL: nothing to do */

    /* to row i = from row index[i] (host array), i < n; rows of row_bytes. */
    int (*gather_rows)(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *index, int n);

    /* -- convolution -- */
    int (*conv_open)(struct device *dev, const struct conv_request *request, struct conv **ret, struct fault *why);
    void (*conv_close)(struct conv *conv);
    size_t (*conv_packed_bytes)(const struct conv *conv);
    size_t (*conv_scratch_bytes)(const struct conv *conv); /* largest scratch of its operations */
    /* packed = layouts of scale[o] * w[o,i,k,k], and of bias; scale [O] plain or NULL (ones), bias [O] plain or
     * NULL (zeros). */
    int (*conv_pack)(struct conv *conv, const float *w, const float *scale, const float *bias, void *packed,
                     void *scratch);
    /* y = relu?( x * w + bias? + residual? ); bias plain [O], the one that was packed; y overlaps nothing.
     * Its ReLU may turn a NaN into 0; bn_forward's doesn't. */
    int (*conv_forward)(struct conv *conv, const void *x, const void *packed, const float *bias, const void *residual,
                        void *y, void *scratch);
    /* dx = transposed convolution of dy with the packed weights (overwrites). */
    int (*conv_backward_data)(struct conv *conv, const void *dy, const void *packed, void *dx, void *scratch);
    /* dw[O,I,K,K] plain = sum_n x (*) dy (overwrites). */
    int (*conv_backward_weights)(struct conv *conv, const void *x, const void *dy, float *dw, void *scratch);

    /* -- batch normalisation, elementwise; gamma..invstd plain [C] -- */
    /* Batch statistics over n = N*H*W: mean, biased var; invstd = 1/sqrt(var+eps);
     * z = relu?( gamma*(y-mean)*invstd + beta + residual? ).
     * running <- (1-momentum)*running + momentum*{mean, var*n/(n-1)}; momentum 0: untouched.
     * mean, invstd are kept for the backward pass. z may be y only if no backward pass follows. */
    int (*bn_forward)(struct device *dev, struct shape s, const void *y, const float *gamma, const float *beta,
                      const void *residual, bool relu, void *z, float *mean, float *invstd, float *running_mean,
                      float *running_var, float momentum, float eps);
    /* With g = (da + db?) * (z > 0)?   (db, z may be NULL),  xhat = (y-mean)*invstd:
     * dbeta = sum g;  dgamma = sum g*xhat;
     * dy = gamma*invstd*( g - dbeta/n - xhat*dgamma/n );  dresidual = g (NULL: not wanted).
     * dy may be da; dresidual may be db. dgamma, dbeta are always written. */
    int (*bn_backward)(struct device *dev, struct shape s, const void *da, const void *db, const void *z, const void *y,
                       const float *gamma, const float *mean, const float *invstd, void *dy, void *dresidual,
                       float *dgamma, float *dbeta);
    /* Folding of frozen statistics: scale = gamma/sqrt(var+eps); bias = beta - mean*scale. */
    int (*bn_fold)(struct device *dev, int c, const float *gamma, const float *beta, const float *mean,
                   const float *var, float eps, float *scale, float *bias);
    /* Gradients through a folded convolution, from those of the folded weights
     * dwf [O,I,K,K] (in place) and folded bias dbf [O]:
     *   dgamma[o] = invstd*( <w[o], dwf[o]> - mean[o]*dbf[o] ),  dbeta[o] = dbf[o],
     *   dw = scale[o]*dwf.  dgamma, dbeta may be NULL (then dbf may be NULL too). */
    int (*bn_unfold)(struct device *dev, int o, int per_o, const float *w, const float *gamma, const float *mean,
                     const float *var, float eps, float *dw, const float *dbf, float *dgamma, float *dbeta);
    /* Frozen statistics with no convolution before them to fold into; scale and shift as bn_fold makes them:
     * z = relu?( scale[c]*y + shift[c] ); z may be y. */
    int (*affine_forward)(struct device *dev, struct shape s, const void *y, const float *scale, const float *shift,
                          bool relu, void *z);
    /* With g = (da + db?) * (z > 0)?   (db, z may be NULL):
     * dy = scale*g;  dbeta = sum g;  dgamma = sum g*(y-mean)/sqrt(var+eps).
     * dy may be da, or NULL: not wanted. dgamma and dbeta may both be NULL, then y, mean and var may be too. */
    int (*affine_backward)(struct device *dev, struct shape s, const void *da, const void *db, const void *z,
                           const void *y, const float *scale, const float *mean, const float *var, float eps, void *dy,
                           float *dgamma, float *dbeta);
    /* g = (a + b?) * (y > 0)?; g may be a. */
    int (*relu_backward)(struct device *dev, struct shape s, const void *a, const void *b, const void *y, void *g);
    /* sum[c] = sum over n,h,w of g, plain. */
    int (*channel_sum)(struct device *dev, struct shape s, const void *g, float *sum);

    /* -- head; x an activation, everything else plain -- */
    /* f[N, C*(H/k)*(W/k)] = average over k x k windows, flattened in C,H,W order. */
    int (*pool_forward)(struct device *dev, struct shape s, int k, const void *x, float *f);
    int (*pool_backward)(struct device *dev, struct shape s, int k, const float *df, void *dx);
    /* z[N,K] = f[N,F] w[K,F]^T + b[K] */
    int (*linear_forward)(struct device *dev, int n, int f_count, int k, const float *f, const float *w, const float *b,
                          float *z);
    int (*linear_backward_data)(struct device *dev, int n, int f_count, int k, const float *dz, const float *w,
                                float *df);
    /* dw[K,F] = dz^T f, db[K] = column sums (NULL: not wanted). */
    int (*linear_backward_weights)(struct device *dev, int n, int f_count, int k, const float *dz, const float *f,
                                   float *dw, float *db);
    /* loss[n] = log sum exp z - z_y;  correct[n] = (first argmax == y);  dz = (softmax - onehot)*scale.
     * labels int32[N] and correct int32[N] on the device; dz may be NULL. */
    int (*cross_entropy)(struct device *dev, int n, int k, const float *z, const int32_t *labels, float scale,
                         float *loss, int32_t *correct, float *dz);

    /* -- losses of two sets of logits z = f(x), z_adv = f(x'), plain [N,K]; p = softmax z, q = softmax z_adv --
     * loss[n] is unscaled; dz and dz_adv are scale times its gradients (overwritten). dz NULL: not wanted, the
     * formulas then hold p fixed. K >= 2. Finite logits of any size give finite numbers; NaN stays NaN. */
    /* loss = -log p_y (0 without labels) + beta*KL,  KL = sum_k p_k (log p_k - log q_k);
     * dz_k = p_k - [k==y] (0 without labels) + beta*p_k*(log p_k - log q_k - KL);  dz_adv_k = beta*(q_k - p_k). */
    int (*kl_loss)(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                   float beta, float scale, float *loss, float *dz, float *dz_adv);
    /* With j the largest of q but for y (the first of equals), the MART_ constants below and
     *   KL = sum_k p_k (log p_k - log(q_k + TINY)),  w = WEIGHT - p_y:
     * loss = -log q_y - log(MARGIN - q_j + TINY) + beta*KL*w.
     *   dz_k = p_k*(a_k - sum_m p_m a_m),  a_k = beta*(w*(log p_k - log(q_k + TINY)) - [k==y]*KL);
     *   dz_adv_k = q_k - [k==y] + q_k*(b_k - sum_m q_m b_m),
     *   b_k = [k==j]/(MARGIN - q_j + TINY) - beta*w*p_k/(q_k + TINY). */
    int (*mart_loss)(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                     float beta, float scale, float *loss, float *dz, float *dz_adv);
    /* A = |p - onehot(y)|^2 (0 without labels),  B = |q - p|^2 (0 when z_adv is NULL; dz_adv is NULL too then):
     *   clip_clean   loss = relu(A + lambda*B - c)     otherwise   loss = A + lambda*relu(B - c)
     * and with g = dA/dp + lambda*dB/dp, h = lambda*dB/dq (a term that relu stops is 0; relu'(0) = 0)
     *   dz_k = p_k*(g_k - sum_m p_m g_m),  dz_adv_k = q_k*(h_k - sum_m q_m h_m). */
    int (*lse_loss)(struct device *dev, int n, int k, const float *z, const float *z_adv, const int32_t *labels,
                    float lambda, float c, bool clip_clean, float scale, float *loss, float *dz, float *dz_adv);

    /* -- pixels, plain [N,C,H,W] -- */
    /* x[i] = window of images[crop[i].index] / 255. images uint8 [M,C,H,W] on the device, crops on the host.
     * A window reaching over the edge reads the mirror image without the edge pixel, or 0. */
    int (*load_batch)(struct device *dev, int n, int c, int h, int w, const uint8_t *images, const struct crop *crops,
                      enum padding padding, float *x);
    /* out = (x - mean[c]) / std[c]; mean, std host arrays. */
    int (*normalize)(struct device *dev, struct shape s, const float *x, const double *mean, const double *std,
                     float *out);
    /* gx = gn / std[c]; gx may be gn. */
    int (*normalize_backward)(struct device *dev, struct shape s, const float *gn, const double *std, float *gx);
    /* x_adv = clamp(x + u, 0, 1), u uniform in [-epsilon, epsilon): element e of example i takes word e%4 of
     * philox(key, block e/4, id[i]); id host array [N]. */
    int (*pgd_start)(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                     const int64_t *id, float *x_adv);
    /* x_adv = x + sigma*g, not clamped; g normal: philox_normal(philox(key, block e/4, id[i]), e%4), rounded to
     * float before the product. */
    int (*normal_start)(struct device *dev, struct shape s, const float *x, float sigma, struct random_key key,
                        const int64_t *id, float *x_adv);
    /* x_adv <- clamp( x + clamp(x_adv + step*sign(g) - x, -epsilon, epsilon), 0, 1 ); sign(0) = 0. */
    int (*pgd_step)(struct device *dev, struct shape s, const float *x, const float *g, float step, float epsilon,
                    float *x_adv);

    /* -- attacks that keep more than one iterate, one row an example --
     * Rows are plain [N,C,H,W] and P(u) = clamp(x + clamp(u - x, -epsilon, epsilon), 0, 1). Arrays called "host" are
     * read before the call returns. */
    /* loss[n] = -(z_y - z_t)/D with t = targets[n] (int32[N] on the device), or the largest class beside y where
     * targets is NULL; z_(r) is the r-th largest logit, equal ones rank by their class.
     *   PLAIN          D = 1
     *   DLR            D = z_(1) - z_(3) + 1e-12
     *   DLR_TARGETED   D = z_(1) - (z_(3) + z_(4))/2 + 1e-12
     * dz = scale * gradient of loss[n] by z, through D too (NULL: not wanted); labels and correct as in
     * cross_entropy. */
    int (*margin_loss)(struct device *dev, enum margin margin, int n, int k, const float *z, const int32_t *labels,
                       const int32_t *targets, float scale, float *loss, int32_t *correct, float *dz);
    /* row to_row[i] of `to` = row from_row[i] of `from`, i < n; both host. `to` may be `from` when no row is both
     * read and written. */
    int (*copy_rows)(struct device *dev, void *to, const void *from, size_t row_bytes, const int32_t *to_row,
                     const int32_t *from_row, int n);
    /* distance[n] (host) = max over the row of |a - b|; b NULL: of |a|. */
    int (*row_distance)(struct device *dev, struct shape s, const float *a, const float *b, float *distance);
    /* x_adv = clamp(x + epsilon*t/max|t|, 0, 1), t uniform in [-1, 1) from the words of pgd_start; max over the row. */
    int (*apgd_start)(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                      const int64_t *id, float *x_adv);
    /* z = P(now + step[n]*sign(g));  old <- P(now + a*(z - now) + (1-a)*(now - old));  step host.
     * So `old` holds the next iterate, and `now` is what `old` will be. */
    int (*apgd_step)(struct device *dev, struct shape s, const float *x, const float *g, const float *now,
                     const float *step, float a, float epsilon, float *old);
    /* One step of FAB to the hyperplane where f is 0 to first order, f[n] (host) and g its gradient at x1:
     *   d(u, c): s = 1 if c >= 0, else -1; room_e = u_e where s*g_e > 0, 1 - u_e where s*g_e < 0;
     *            d_e = -sign(s*g_e)*min(lambda, room_e), lambda >= 0 with sum_e |g_e|*min(lambda, room_e) = |c|,
     *            or without bound when all the room is not enough
     *   d1 = d(x1, f);  d0 = d(x, f + <g, x - x1>);  a_j = max(max_e |d_j,e|, 1e-8);  b = min(a_1/(a_1 + a_0), most)
     *   x1 <- clamp((1-b)*(x1 + eta*d1) + b*(x + eta*d0), 0, 1) */
    int (*fab_step)(struct device *dev, struct shape s, const float *x, const float *g, const float *f, float eta,
                    float most, float *x1);
    /* x1 <- x + beta*(x1 - x) in the rows listed (host, count of them). */
    int (*fab_back)(struct device *dev, struct shape s, const float *x, float beta, const int32_t *rows, int count,
                    float *x1);
    /* x_adv = clamp(x + epsilon*s, 0, 1) with one sign for each channel and column: with e = c*W + column, 1 where
     * bit e%32 of word e/32%4 of philox(key, block 2^31 + e/128, id[n]) is set, else -1. */
    int (*square_start)(struct device *dev, struct shape s, const float *x, float epsilon, struct random_key key,
                        const int64_t *id, float *x_adv);
    /* x_adv = best, and P(best + 2*epsilon*s_c) inside a window of side x side pixels. Words of philox(key, block
     * query, id[n]): the window's first row is word 0 * (H - side) >> 32, its first column word 1 * (W - side) >> 32;
     * s_c is 1 where bit c of word 2 is set, else -1. */
    int (*square_step)(struct device *dev, struct shape s, const float *x, const float *best, float epsilon,
                       struct random_key key, const int64_t *id, uint32_t query, int side, float *x_adv);

    /* -- parameters, plain vectors of count floats -- */
    /* g' = g + wd*theta; v = momentum*v + g' ; theta -= lr*v   (PyTorch SGD; v = 0 before the first step). */
    int (*sgd_step)(struct device *dev, int64_t count, float *theta, const float *g, float *v, float lr, float momentum,
                    float wd);
    /* y += a*x */
    int (*axpy)(struct device *dev, int64_t count, float a, const float *x, float *y);
    /* out = (1-alpha)*a + alpha*b, exact copies of a at 0 and of b at 1; out may be a or b. */
    int (*interpolate)(struct device *dev, int64_t count, const float *a, const float *b, float alpha, float *out);
    /* theta = center + (theta - center)*factor */
    int (*project)(struct device *dev, int64_t count, const float *center, float factor, float *theta);
    /* ||a - b?||_2 accumulated in double (b NULL: ||a||_2); NaN or inf if any element is. */
    int (*norm)(struct device *dev, int64_t count, const float *a, const float *b, double *ret);
};

/* A device is opened through its backend; `ops` is its first member in every
 * backend's own struct. */
struct device {
    const struct backend *ops;
    enum precision precision;
    /* The same operations give the same bits again. True after device_open; who can do without sets it to false
     * before the first conv_open. */
    bool deterministic;
    bool lost;         /* a fault that it doesn't survive: nothing works any more, alloc neither */
    char message[256]; /* why the last operation failed */
};

extern const struct backend backend_ref;
extern const struct backend backend_onednn;

/* Every backend of this build, NULL-terminated, in order of preference for
 * device "auto". `ref` is never chosen by "auto". */
extern const struct backend *const backends[];

/* Open "auto", "cpu", "ref", ... to compute in that format, with so many threads
 * (0, or more than there are processors for: all allowed ones; describe says how
 * many it became). -ENODEV with words when there is no such device here, -ENOTSUP
 * with words when it can't compute so. */
int device_open(const char *name, enum precision precision, int threads, struct device **ret, struct fault *why);
void device_close(struct device *dev);
const char *device_errmsg(const struct device *dev);
/* For `memory_bytes` of devices that compute in the memory of this process: what the machine has,
 * or what the process may have where that is less (RLIMIT_DATA). */
size_t device_host_bytes(void);
/* May such a device take `bytes` more? Some of what the process may have is left to libraries:
 * oneDNN 2.6 is killed by an allocation of its own that fails. */
bool device_host_fits(size_t bytes);
/* Every file and folder that the device of that name needs while it works, beside
 * the system's libraries: called before a process shuts itself in. Loads a card's
 * module when the name may mean a card. Stops and returns when `see` returns negative. */
typedef int device_file_see(const char *path, bool write, void *user);
int device_files(const char *device, device_file_see *see, void *user);
/* Not surely the processor: "cuda:0", and "auto" where there is a module for cards. */
bool device_may_be_card(const char *device);
/* Usable devices: [{"id":"cpu","name":...,"precisions":["float32",...],...}], new reference. */
json_t *device_list(void);

#endif
