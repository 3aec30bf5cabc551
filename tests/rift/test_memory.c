/* Is all memory taken before the loop, and as much as was planned?
 *
 * Whole jobs in this program's children, whose malloc is ours: it counts. What
 * the job says it needs (`started`.memory_bytes) is compared with what device
 * memory it really takes, and from the second step on nothing may be taken that
 * isn't given back, nor anything large at all. Small things come and go: a line
 * of the journal, the argument list of a library's call. */
#include "tests/rift/lab.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>

#ifndef RIFT_SANITIZED /* sanitizers bring a malloc of their own */

enum { SMALL_BYTES = 32 << 10, STEPS_WATCHED = 10, DEVICE_MOST = 1024, OWN_PART = 1000 };

/* ---- a malloc that counts -------------------------------------------------------- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static _Atomic long long live_bytes; /* of all that was taken and not given back */
static struct {
    void *memory;
    size_t bytes;
} device[DEVICE_MOST];         /* what the device has taken and not given back; one thread takes and gives */
static _Atomic size_t largest; /* request since it was set to 0 */

static void *counted(void *memory, size_t asked)
{
    size_t before = atomic_load(&largest);

    if (memory)
        atomic_fetch_add(&live_bytes, (long long)malloc_usable_size(memory));
    while (asked > before && !atomic_compare_exchange_weak(&largest, &before, asked))
        ;
    return memory;
}

void *malloc(size_t size)
{
    return counted(__libc_malloc(size), size);
}

void *calloc(size_t count, size_t size)
{
    return counted(__libc_calloc(count, size), count * size);
}

void *realloc(void *memory, size_t size)
{
    size_t had = memory ? malloc_usable_size(memory) : 0;
    void *moved = __libc_realloc(memory, size);

    if (moved || size == 0)
        atomic_fetch_sub(&live_bytes, (long long)had);
    return counted(moved, size);
}

void free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&live_bytes, (long long)malloc_usable_size(memory));
    for (int i = 0; memory && i < DEVICE_MOST; i++)
        if (device[i].memory == memory)
            device[i].memory = NULL;
    __libc_free(memory);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size), size);
}

/* The device's memory comes from here; so does what its library takes for itself, which is told apart by whose code
 * is calling. */
int posix_memalign(void **ret, size_t alignment, size_t size)
{
    Dl_info caller, own;
    void *memory = counted(__libc_memalign(alignment, size), size);

    if (!memory)
        return ENOMEM;
    if (dladdr(__builtin_return_address(0), &caller) && dladdr((void *)(uintptr_t)malloc, &own) &&
        caller.dli_fbase == own.dli_fbase) {
        int place = 0;
        while (place < DEVICE_MOST - 1 && device[place].memory)
            place++;
        device[place].memory = memory;
        device[place].bytes = size;
    }
    *ret = memory;
    return 0;
}

static long long device_bytes(void)
{
    long long sum = 0;

    for (int i = 0; i < DEVICE_MOST; i++)
        sum += device[i].memory ? (long long)device[i].bytes : 0;
    return sum;
}

/* ---- a job that is watched ---------------------------------------------------------- */

struct watched {
    long steps;
    long long planned, device, live_least, live_most;
};

/* Steps are told apart by their `batch_loss`. */
static void step_watch(const json_t *event, void *user)
{
    struct watched *w = user;

    if (strcmp(lab_word(event, "type"), "started") == 0)
        w->planned = json_integer_value(json_object_get(event, "memory_bytes"));
    if (strcmp(lab_word(event, "name"), "batch_loss") != 0 || w->steps >= STEPS_WATCHED)
        return;
    if (++w->steps == 2) { /* the first step is done, and what it has opened for good */
        atomic_store(&largest, 0);
        w->live_least = w->live_most = atomic_load(&live_bytes);
    }
    long long live = atomic_load(&live_bytes);
    w->live_least = live < w->live_least ? live : w->live_least;
    w->live_most = live > w->live_most ? live : w->live_most;
    w->device = device_bytes();
    if (w->steps == STEPS_WATCHED)
        printf("%lld %lld %lld %zu\n", w->planned, w->device, w->live_most - w->live_least, atomic_load(&largest));
}

static void watched_child(int argc, char **argv)
{
    struct watched w = { 0 };

    if (argc != 3 || strcmp(argv[1], "--watched") != 0)
        return;
    exit(engine_run(argv[2], &lab_stop, step_watch, &w));
}

static void job_check(const char *name, const char *spec)
{
    char *dir = lab_job(name, spec), command[8192];
    long long planned = 0, taken = 0, growth = -1;
    size_t most = 0;

    snprintf(command, sizeof(command), "'%s' --watched '%s'", program_invocation_name, dir);
    FILE *child = popen(command, "re");
    int found = child ? fscanf(child, "%lld %lld %lld %zu", &planned, &taken, &growth, &most) : 0;
    if (child)
        CHECK_INT(pclose(child), 0);
    CHECK_INT(found, 4);
    printf("        %s: planned %lld bytes, taken %lld; later steps: %lld more, largest request %zu\n", name, planned,
           taken, growth, most);
    /* The device keeps partial sums of reductions for itself, and nothing else. */
    CHECK(taken >= planned && taken - planned <= planned / OWN_PART);
    CHECK_INT(growth, 0);
    CHECK(most <= SMALL_BYTES);
    free(dir);
}

#define TRAINING(precision)                                                                                            \
    "{'kind':'train','precision':'" precision "','batch_size':4,'threads':2,'model':{'arch':'resnet18','width':16,"    \
    "'num_classes':4},'train':{'method':'pgd-at','epochs':3,'evaluate_every':0}}"

static void training_float32(void)
{
    job_check("float32", TRAINING("float32"));
}

static void training_bf16(void)
{
    json_t *devices = engine_devices(), *cpu = json_array_get(devices, 0),
           *precisions = json_object_get(cpu, "precisions");
    bool here = json_array_size(precisions) > 1;

    json_decref(devices);
    if (here)
        job_check("bf16", TRAINING("bf16"));
    else
        fprintf(stderr, "skipped: this processor doesn't compute in bf16\n");
}

static const struct check_case cases[] = {
    { "adversarial training takes what it planned, before its second step", training_float32 },
    { "the same in bf16", training_bf16 },
};

int main(int argc, char **argv)
{
    watched_child(argc, argv);
    lab_child(argc, argv);
    return check_main(cases, (int)(sizeof(cases) / sizeof(cases[0])), argc, argv);
}

#else

static void skipped(void)
{
    check_skip("sanitizers bring a malloc of their own");
}

static const struct check_case cases[] = { { "memory is planned", skipped } };
CHECK_MAIN(cases)

#endif
