/* A card's module in which there is nothing but what a driver does to the process it is loaded into.
 *
 * When it is asked for cards it starts a thread and names it, as NVIDIA's driver
 * does since 570, and says in its answer what came of that, how much data it may
 * have and whether it can open RIFT_TEST_LIBRARY. There is no card. */
#include "gpu/backend/cuda_module.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_barrier_t named;

static void *thread_main(void *unused)
{
    pthread_barrier_wait(&named);
    return unused;
}

/* The name of another thread is a file of /proc. 0 or errno. */
static int thread_name(void)
{
    pthread_t thread;

    pthread_barrier_init(&named, NULL, 2);
    int error = pthread_create(&thread, NULL, thread_main, NULL);
    if (error)
        return error;
    error = pthread_setname_np(thread, "driver");
    pthread_barrier_wait(&named);
    pthread_join(thread, NULL);
    return error;
}

static int count(struct fault *why)
{
    const char *library = getenv("RIFT_TEST_LIBRARY");
    struct rlimit data = { 0 };
    int error = thread_name();

    getrlimit(RLIMIT_DATA, &data);
    int fd = library ? open(library, O_RDONLY | O_CLOEXEC) : -1, refused = errno;
    if (fd >= 0)
        close(fd);
    return fault_set(why, -ENODEV, "a thread's name: %s; data: %lld; a library: %s",
                     error ? strerror(error) : "written", (long long)data.rlim_cur,
                     fd >= 0   ? "opened"
                     : library ? strerror(refused)
                               : "none");
}

extern const struct cuda_module rift_cuda_module;
const struct cuda_module rift_cuda_module = { sizeof(struct backend), NULL, count, NULL };
