/* A driver that isn't one: a libcuda.so.1 that says yes to what cuDNN asks while
 * it makes plans for a card that is only described.
 *
 * Nothing can run with it: cuInit answers CUDA_ERROR_STUB_LIBRARY, so whoever asks for
 * devices is told that there are none. Kernels that cuDNN compiles at run time
 * are "loaded" and described by numbers that let the planning go on. Which
 * functions are needed was found by watching what is looked up; another version
 * of cuDNN may want more, and then its plans fail and the test says so. */
#include <stddef.h>

enum { SUCCESS = 0, STUB_LIBRARY = 34, NOT_FOUND = 500 };
static int thing; /* contexts, modules and kernels all point here */

/* Functions that only have to succeed, whatever their arguments. */
#define SUCCEEDS(name) \
    int name(void);    \
    int name(void)     \
    {                  \
        return SUCCESS; \
    }
SUCCEEDS(cuCtxPopCurrent)
SUCCEEDS(cuCtxPushCurrent)
SUCCEEDS(cuDevicePrimaryCtxRelease)
SUCCEEDS(cuDevicePrimaryCtxReset)
SUCCEEDS(cuFuncSetAttribute)
SUCCEEDS(cuKernelSetAttribute)
SUCCEEDS(cuLibraryUnload)
SUCCEEDS(cuLinkAddData)
SUCCEEDS(cuLinkAddData_v2)
SUCCEEDS(cuLinkAddFile_v2)
SUCCEEDS(cuLinkComplete)
SUCCEEDS(cuLinkCreate)
SUCCEEDS(cuLinkCreate_v2)
SUCCEEDS(cuLinkDestroy)
SUCCEEDS(cuMemcpyDtoH_v2)
SUCCEEDS(cuModuleUnload)
SUCCEEDS(cuStreamSynchronize)
SUCCEEDS(cuTensorMapEncodeTiled)
SUCCEEDS(cuLaunchKernel)
SUCCEEDS(cuLaunchKernelEx)
SUCCEEDS(cuLaunchCooperativeKernel)

/* Functions whose first argument takes something that will do. */
#define GIVES_THING(name)   \
    int name(void **ret);   \
    int name(void **ret)    \
    {                       \
        *ret = &thing;      \
        return SUCCESS;     \
    }
GIVES_THING(cuCtxGetCurrent)
GIVES_THING(cuDevicePrimaryCtxRetain)
GIVES_THING(cuLibraryLoadData)
GIVES_THING(cuLibraryLoadFromFile)
GIVES_THING(cuLibraryGetKernel)
GIVES_THING(cuModuleGetFunction)
GIVES_THING(cuModuleLoadData)
GIVES_THING(cuModuleLoadDataEx)
GIVES_THING(cuModuleLoadFatBinary)

/* Or a number. */
#define GIVES_NUMBER(name, type, number) \
    int name(type *ret);                 \
    int name(type *ret)                  \
    {                                    \
        *ret = (number);                 \
        return SUCCESS;                  \
    }
GIVES_NUMBER(cuDriverGetVersion, int, 13000)
GIVES_NUMBER(cuDeviceGetCount, int, 1)
GIVES_NUMBER(cuDeviceGet, int, 0)
GIVES_NUMBER(cuCtxGetDevice, int, 0)
GIVES_NUMBER(cuCtxGetLimit, size_t, 1 << 20)
GIVES_NUMBER(cuOccupancyMaxActiveBlocksPerMultiprocessor, int, 1)
GIVES_NUMBER(cuOccupancyMaxActiveClusters, int, 66)
GIVES_NUMBER(cuOccupancyMaxPotentialClusterSize, int, 8)

int cuInit(unsigned flags);
int cuInit(unsigned flags)
{
    (void)flags;
    return STUB_LIBRARY;
}

int cuGetExportTable(void **ret, void *id);
int cuGetExportTable(void **ret, void *id)
{
    (void)id;
    *ret = NULL;
    return STUB_LIBRARY;
}

/* Numbers of CUdevice_attribute that are asked for; all others are 1. */
int cuDeviceGetAttribute(int *ret, int attribute, int device);
int cuDeviceGetAttribute(int *ret, int attribute, int device)
{
    static const struct {
        int attribute, value;
    } rows[] = {
        { 8, 49152 },      /* shared memory a block */
        { 16, 132 },       /* multiprocessors */
        { 38, 52428800 },  /* L2 */
        { 39, 2048 },      /* threads a multiprocessor */
        { 75, 9 },         /* compute capability */
        { 76, 0 },         { 81, 233472 }, /* shared memory a multiprocessor */
        { 82, 65536 },     /* registers a multiprocessor */
        { 97, 232448 },    /* shared memory a block may opt into */
        { 106, 32 },       /* blocks a multiprocessor */
    };

    (void)device;
    *ret = 1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].attribute == attribute)
            *ret = rows[i].value;
    return SUCCESS;
}

int cuGetErrorName(int error, const char **ret);
int cuGetErrorName(int error, const char **ret)
{
    (void)error;
    *ret = "NO_DRIVER";
    return SUCCESS;
}

int cuGetErrorString(int error, const char **ret);
int cuGetErrorString(int error, const char **ret)
{
    return cuGetErrorName(error, ret);
}

enum { MAX_THREADS_PER_BLOCK = 0, REGISTERS = 4 };

int cuFuncGetAttribute(int *ret, int attribute, void *function);
int cuFuncGetAttribute(int *ret, int attribute, void *function)
{
    (void)function;
    *ret = attribute == MAX_THREADS_PER_BLOCK ? 1024 : 0;
    return SUCCESS;
}

int cuKernelGetAttribute(int *ret, int attribute, void *kernel, int device);
int cuKernelGetAttribute(int *ret, int attribute, void *kernel, int device)
{
    (void)kernel;
    (void)device;
    *ret = attribute == MAX_THREADS_PER_BLOCK ? 1024 : attribute == REGISTERS ? 128 : 0;
    return SUCCESS;
}

int cuModuleGetGlobal_v2(void **ret, size_t *ret_bytes, void *module, const char *name);
int cuModuleGetGlobal_v2(void **ret, size_t *ret_bytes, void *module, const char *name)
{
    (void)module;
    (void)name;
    if (ret)
        *ret = &thing;
    if (ret_bytes)
        *ret_bytes = sizeof(thing);
    return SUCCESS;
}

int cuStreamGetCtx(void *stream, void **ret);
int cuStreamGetCtx(void *stream, void **ret)
{
    (void)stream;
    *ret = &thing;
    return SUCCESS;
}

int cuGetProcAddress_v2(const char *name, void **ret, int version, unsigned long long flags, void *status);
int cuGetProcAddress_v2(const char *name, void **ret, int version, unsigned long long flags, void *status)
{
    (void)name;
    (void)version;
    (void)flags;
    (void)status;
    *ret = NULL;
    return NOT_FOUND;
}

int cuGetProcAddress(const char *name, void **ret, int version, unsigned long long flags);
int cuGetProcAddress(const char *name, void **ret, int version, unsigned long long flags)
{
    return cuGetProcAddress_v2(name, ret, version, flags, NULL);
}
