/* How does a card repeat what it has done before?
 *
 * As a graph: the operations that a function makes are captured from the stream
 * instead of running, and from then on one launch repeats them all, without the
 * host's time between them.
 *
 *   first call    run directly: loads kernels, and finds mistakes where they are
 *   second        capture, instantiate, launch
 *   from then on  launch
 *
 * A call with another key starts from the beginning. RIFT_CUDA_GRAPHS=0: always
 * directly, to see what recording is worth, or whether it is to blame. */
#include "gpu/backend/cuda/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct recording {
    uint64_t key;
    cudaGraphExec_t graph; /* NULL: run directly so far */
};

static bool recording_wanted(void)
{
    const char *said = getenv("RIFT_CUDA_GRAPHS");

    return !said || strcmp(said, "0") != 0;
}

/* Capture what `run` does. */
static int record(struct cuda_device *d, struct recording *rec, int (*run)(void *user), void *user)
{
    cudaGraph_t captured = NULL;
    int r = cuda_result(d, cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal), "starting to record");

    if (r < 0)
        return r;
    d->recording = true;
    r = run(user);
    d->recording = false;
    /* capturing must be ended whatever has happened; the first error is the one that counts */
    cudaError_t ended = cudaStreamEndCapture(d->stream, &captured);
    if (r == 0)
        r = cuda_result(d, ended, "recording");
    else
        cudaGetLastError();
    if (r < 0)
        r = cuda_beneath(d, r, "recording"); /* what failed before it could be asked about */
    if (r == 0)
        r = cuda_result(d, cudaGraphInstantiate(&rec->graph, captured, 0), "instantiating a recording");
    if (captured)
        cudaGraphDestroy(captured);
    return r;
}

int cuda_repeat(struct device *dev, struct recording **recording, uint64_t key, int (*run)(void *user), void *user)
{
    struct cuda_device *d = cuda(dev);
    struct recording *rec = *recording;
    int r = 0;

    if (!recording_wanted() || d->recording)
        return run(user);
    if (rec && rec->key != key) {
        cuda_recording_free(dev, rec);
        *recording = rec = NULL;
    }
    if (!rec) {
        *recording = rec = calloc(1, sizeof(*rec));
        if (!rec)
            return -ENOMEM;
        rec->key = key;
        return run(user);
    }
    if (!rec->graph)
        r = record(d, rec, run, user);
    return r < 0 ? r : cuda_result(d, cudaGraphLaunch(rec->graph, d->stream), "repeating a recording");
}

void cuda_recording_free(struct device *dev, struct recording *recording)
{
    if (!recording)
        return;
    cudaStreamSynchronize(cuda(dev)->stream);
    if (recording->graph)
        cudaGraphExecDestroy(recording->graph);
    free(recording);
}
