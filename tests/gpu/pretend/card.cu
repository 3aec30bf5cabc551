/* The machinery of the pretended card: threads that take turns, and the part of
 * CUDA's library that the backend calls. One card, "a pretended card", with
 * RIFT_PRETEND_PROCESSORS (default 2) and RIFT_PRETEND_BYTES (default 2 GiB) of
 * memory. RIFT_PRETEND_FAULT_AT_MEMORY=N: it breaks before memory is taken for
 * the N-th time. */
#include "card.h"

#include <cudnn_graph.h>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <ucontext.h>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

/* ---- threads that take turns ------------------------------------------------------------- */

namespace
{
constexpr size_t STACK = 64 << 10;
constexpr int THREADS_MOST = 1024, WARP = 32;

/* Threads that wait for each other. */
struct meeting {
    int alive, arrived;
    unsigned generation;
};

struct turns {
    std::vector<ucontext_t> contexts;
    std::vector<std::vector<char>> stacks;
    std::vector<bool> ended;
    std::vector<meeting> warps;
    uint64_t given[THREADS_MOST];
    meeting block;
    ucontext_t scheduler;
    int current, count;
    bool waits, progress; /* somebody has waited; somebody has gone on */
    const std::function<void()> *thread;
} t;

void place_thread(int i)
{
    t.current = i;
    threadIdx.x = (unsigned)i % blockDim.x;
    threadIdx.y = (unsigned)i / blockDim.x % blockDim.y;
    threadIdx.z = (unsigned)i / blockDim.x / blockDim.y;
}

void leave(meeting &m)
{
    m.alive--;
    if (m.alive && m.arrived == m.alive) {
        m.arrived = 0;
        m.generation++;
    }
}

void thread_main()
{
    (*t.thread)();
    t.ended[(size_t)t.current] = true;
    leave(t.block);
    leave(t.warps[(size_t)t.current / WARP]);
    t.progress = true;
    swapcontext(&t.contexts[(size_t)t.current], &t.scheduler);
}

void wait_in(meeting &m)
{
    unsigned generation = m.generation;

    t.waits = true;
    if (++m.arrived == m.alive) {
        m.arrived = 0;
        m.generation++;
        t.progress = true;
        return;
    }
    int me = t.current;
    while (m.generation == generation)
        swapcontext(&t.contexts[(size_t)me], &t.scheduler);
    t.progress = true;
}

void start_thread(int i)
{
    if (t.stacks.size() <= (size_t)i)
        t.stacks.resize((size_t)i + 1, std::vector<char>(STACK));
    getcontext(&t.contexts[(size_t)i]);
    t.contexts[(size_t)i].uc_stack.ss_sp = t.stacks[(size_t)i].data();
    t.contexts[(size_t)i].uc_stack.ss_size = STACK;
    t.contexts[(size_t)i].uc_link = nullptr;
    makecontext(&t.contexts[(size_t)i], thread_main, 0);
}

void resume_thread(int i)
{
    place_thread(i);
    swapcontext(&t.scheduler, &t.contexts[(size_t)i]);
}

/* One block. The first thread tells whether threads wait at all; if not the rest need no stacks. */
void run_block()
{
    t.count = (int)(blockDim.x * blockDim.y * blockDim.z);
    t.block = { t.count, 0, 0 };
    t.warps.assign((size_t)(t.count + WARP - 1) / WARP, { 0, 0, 0 });
    for (int i = 0; i < t.count; i++)
        t.warps[(size_t)i / WARP].alive++;
    t.ended.assign((size_t)t.count, false);
    t.contexts.resize((size_t)t.count);
    t.waits = false;
    start_thread(0);
    resume_thread(0);
    for (int i = 1; i < t.count && !t.waits; i++) {
        place_thread(i);
        (*t.thread)();
        if (t.waits) {
            std::fprintf(stderr, "pretended card: thread %d waits where thread 0 did not\n", i);
            std::abort();
        }
    }
    if (!t.waits)
        return;
    for (int i = 1; i < t.count; i++)
        start_thread(i);
    for (int left = 1; left;) {
        left = 0;
        t.progress = false;
        for (int i = 0; i < t.count; i++)
            if (!t.ended[(size_t)i]) {
                resume_thread(i);
                left = 1;
            }
        if (left && !t.progress) {
            std::fprintf(stderr, "pretended card: threads of a block wait for each other for ever\n");
            std::abort();
        }
    }
}

/* ---- faults, and what is remembered ------------------------------------------------------------ */

cudaError_t fault = cudaSuccess, last = cudaSuccess; /* the first stays for good */
bool capturing;
} // namespace

struct CUgraph_st {
    std::vector<std::function<void()>> steps;
};
struct CUgraphExec_st {
    std::vector<std::function<void()>> steps;
};
static CUgraph_st *captured;

/* A host array that the card has still to read: as late as it may. */
static std::function<void()> unread;

static void read_host()
{
    std::function<void()> copy = std::move(unread);

    unread = nullptr;
    if (copy && fault == cudaSuccess)
        copy();
}

void pretend_do(std::function<void()> what)
{
    if (fault != cudaSuccess)
        return;
    if (capturing) {
        captured->steps.push_back(what);
        return;
    }
    read_host();
    what();
}

void pretend_kernel(std::function<void()> what)
{
    if (fault != cudaSuccess)
        last = fault;
    pretend_do(what);
}

void pretend_grid(dim3 grid, dim3 block, const std::function<void()> &thread)
{
    if (fault != cudaSuccess)
        return;
    gridDim = grid;
    blockDim = block;
    t.thread = &thread;
    for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++)
                run_block();
}

void pretend_block_barrier()
{
    wait_in(t.block);
}

uint64_t pretend_exchange(uint64_t mine, int from_lane)
{
    int warp = t.current / WARP;

    t.given[t.current] = mine;
    wait_in(t.warps[(size_t)warp]);
    uint64_t ret = t.given[warp * WARP + from_lane];
    wait_in(t.warps[(size_t)warp]);
    return ret;
}

void pretend_fault()
{
    fault = cudaErrorLaunchFailure;
}

bool pretend_broken()
{
    return fault != cudaSuccess;
}

/* ---- CUDA's library -------------------------------------------------------------------------------- */

static cudaError_t say(cudaError_t r)
{
    if (fault != cudaSuccess)
        r = fault;
    if (r != cudaSuccess)
        last = r;
    return r;
}

/* What must not happen while a stream is captured. */
static cudaError_t outside()
{
    return say(capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

static std::map<void *, size_t> taken;
static size_t taken_bytes;

static size_t said(const char *name, size_t otherwise)
{
    const char *text = std::getenv(name);

    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

static size_t card_bytes()
{
    return said("RIFT_PRETEND_BYTES", (size_t)2 << 30);
}

extern "C" {
cudaError_t cudaMalloc(void **ret, size_t bytes)
{
    static size_t count;

    if (++count == said("RIFT_PRETEND_FAULT_AT_MEMORY", 0))
        pretend_fault();
    if (outside() != cudaSuccess)
        return last;
    if (bytes > card_bytes() - taken_bytes)
        return say(cudaErrorMemoryAllocation);
    *ret = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(*ret, 0xff, bytes); /* not zero: nobody may count on it */
    taken[*ret] = bytes;
    taken_bytes += bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    if (!memory)
        return say(cudaSuccess);
    read_host();
    auto found = taken.find(memory);
    if (found == taken.end())
        return say(cudaErrorInvalidValue);
    taken_bytes -= found->second;
    taken.erase(found);
    std::free(memory);
    return say(cudaSuccess);
}

cudaError_t cudaMallocHost(void **ret, size_t bytes)
{
    *ret = std::malloc(bytes);
    return outside();
}

cudaError_t cudaFreeHost(void *memory)
{
    read_host();
    std::free(memory);
    return say(cudaSuccess);
}

cudaError_t cudaMemGetInfo(size_t *ret_free, size_t *ret_total)
{
    *ret_total = card_bytes();
    *ret_free = card_bytes() - taken_bytes;
    return say(cudaSuccess);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t)
{
    if (kind != cudaMemcpyDeviceToDevice && outside() != cudaSuccess)
        return last;
    if (kind == cudaMemcpyHostToDevice) {
        read_host();
        unread = [=] { std::memmove(to, from, bytes); };
    } else {
        pretend_do([=] { std::memmove(to, from, bytes); });
    }
    return say(cudaSuccess);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t)
{
    pretend_do([=] { std::memset(to, value, bytes); });
    return say(cudaSuccess);
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t r = last; /* of what a call has said; a fault is said again and again */

    last = r == fault ? fault : cudaSuccess;
    return r;
}

const char *cudaGetErrorString(cudaError_t r)
{
    return r == cudaErrorLaunchFailure ? "unspecified launch failure" : r == cudaSuccess ? "no error" : "an error";
}

const char *cudaGetErrorName(cudaError_t r)
{
    return r == cudaErrorLaunchFailure      ? "cudaErrorLaunchFailure"
           : r == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
                                            : "cudaError";
}

cudaError_t cudaGetDeviceCount(int *ret)
{
    *ret = 1;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *ret)
{
    *ret = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *ret, int)
{
    std::memset(ret, 0, sizeof(*ret));
    std::strcpy(ret->name, "a pretended card");
    ret->major = 9;
    ret->multiProcessorCount = (int)said("RIFT_PRETEND_PROCESSORS", 2);
    ret->totalGlobalMem = card_bytes();
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *, int, int)
{
    return cudaErrorNotSupported;
}

cudaError_t cudaSetDevice(int)
{
    return say(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *ret, unsigned)
{
    *ret = (cudaStream_t)&fault;
    return say(cudaSuccess);
}

cudaError_t cudaStreamDestroy(cudaStream_t)
{
    return say(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    read_host();
    return outside();
}

cudaError_t cudaStreamQuery(cudaStream_t)
{
    return outside();
}

cudaError_t cudaEventCreate(cudaEvent_t *ret)
{
    *ret = (cudaEvent_t)&fault;
    return say(cudaSuccess);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ret, unsigned)
{
    return cudaEventCreate(ret);
}

cudaError_t cudaEventDestroy(cudaEvent_t)
{
    return say(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t)
{
    return outside();
}

cudaError_t cudaEventSynchronize(cudaEvent_t)
{
    read_host();
    return outside();
}

cudaError_t cudaEventElapsedTime(float *ret, cudaEvent_t, cudaEvent_t)
{
    *ret = 1;
    return say(cudaSuccess);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, enum cudaStreamCaptureMode)
{
    capturing = true;
    captured = new CUgraph_st;
    return say(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *ret)
{
    capturing = false;
    *ret = captured;
    return say(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *ret, cudaGraph_t graph, unsigned long long)
{
    *ret = new CUgraphExec_st{ graph->steps };
    return say(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return say(cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t)
{
    for (auto &step : graph->steps)
        pretend_do(step);
    return say(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    delete graph;
    return say(cudaSuccess);
}

/* ---- as much of cuDNN as opening a card needs ---- */

cudnnStatus_t cudnnCreate(cudnnHandle_t *ret)
{
    *ret = (cudnnHandle_t)&fault;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t)
{
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t)
{
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t)
{
    return "a pretended error";
}

void cudnnGetLastErrorString(char *message, size_t size)
{
    if (size)
        message[0] = '\0';
}
}
