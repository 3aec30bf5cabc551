/* Frozen batch norm that no convolution can take in: an affine map a channel.
 *
 * Sums in double; g = (da + db) * mask is worked out anew for each use, so
 * that dy may be da. */
#include "gpu/backend/ref.h"

#include <math.h>

int ref_affine_forward(struct device *dev, struct shape s, const void *y, const float *scale, const float *shift,
                       bool relu, void *z)
{
    const float *in = y;
    float *out = z;

    (void)dev;
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int64_t at = ref_at(s, n, c, 0, 0), end = at + s.h * s.w; at < end; at++) {
                double v = (double)scale[c] * in[at] + shift[c];

                out[at] = relu && v <= 0 ? 0.0f : (float)v;
            }
    return 0;
}

int ref_affine_backward(struct device *dev, struct shape s, const void *da, const void *db, const void *z,
                        const void *y, const float *scale, const float *mean, const float *var, float eps, void *dy,
                        float *dgamma, float *dbeta)
{
    const float *a = da, *b = db, *made = z, *in = y;
    float *out = dy;

    (void)dev;
    for (int c = 0; c < s.c; c++) {
        double sum = 0, dot = 0;

        for (int n = 0; n < s.n; n++)
            for (int64_t at = ref_at(s, n, c, 0, 0), end = at + s.h * s.w; at < end; at++) {
                double g = made && !(made[at] > 0) ? 0 : (double)a[at] + (b ? b[at] : 0.0f);

                sum += g;
                if (dgamma)
                    dot += g * ((double)in[at] - mean[c]);
                if (out)
                    out[at] = (float)(scale[c] * g);
            }
        if (dgamma) {
            dgamma[c] = (float)(dot / sqrt((double)var[c] + eps));
            dbeta[c] = (float)sum;
        }
    }
    return 0;
}
