/* Does a worker that is shut in still get everything it needs?
 *
 * One legitimate thing a row: each must go through. */
#include "tests/sandbox/world.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int told(long r)
{
    return r < 0 ? errno : 0;
}

static const char *own(const char *name)
{
    static char path[600];

    snprintf(path, sizeof(path), "%s/%s", world.mine, name);
    return path;
}

static int opened(const char *path, int flags)
{
    char byte;
    int fd = open(path, flags | O_CLOEXEC, 0666);

    if (fd < 0)
        return errno;
    int error = flags & (O_WRONLY | O_DIRECTORY) ? 0 : told(read(fd, &byte, 1));
    close(fd);
    return error;
}

static int read_spec_paths(int prepared)
{
    char path[600];

    (void)prepared;
    snprintf(path, sizeof(path), "%s/images", world.data);
    int error = opened(path, O_RDONLY);
    if (!error)
        error = opened(world.data, O_RDONLY | O_DIRECTORY);
    return error ? error : opened(own("../other/artifacts/last.safetensors"), O_RDONLY);
}

static int read_system(int prepared)
{
    static const char *const files[] = { "/proc/self/statm", "/proc/self/maps", "/proc/meminfo",
                                         "/proc/cpuinfo",    "/dev/urandom",    "/sys/devices/system/cpu/online" };
    int error = opened("/dev/null", O_WRONLY);

    (void)prepared;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !error; i++) {
        error = opened(files[i], O_RDONLY);
        if (error)
            fprintf(stderr, "%s\n", files[i]);
    }
    return error;
}

static int files_of_its_own(int prepared)
{
    char path[600];
    struct fault why = { 0 };
    int r = file_replace(world.mine, "file", "text", 4, &why);

    (void)prepared;
    if (r >= 0)
        r = jobdir_create(own("steps"), world.spec.json, &why);
    if (r >= 0)
        r = jobdir_create(own("steps/0-train"), world.spec.json, &why);
    if (r >= 0 && file_replace(own("steps/0-train/artifacts"), "best.safetensors", "text", 4, &why) < 0)
        r = -EIO;
    if (r < 0)
        fprintf(stderr, "%s\n", why.message);
    int fd = open(own("file"), O_RDWR | O_TRUNC | O_CLOEXEC);
    if (r < 0 || fd < 0 || ftruncate(fd, 8) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return r < 0 ? -r : errno;
    strcpy(path, own("file"));
    return rename(path, own("renamed")) < 0 || unlink(own("renamed")) < 0 ? errno : opened(own(""), O_DIRECTORY);
}

static int journal(int prepared)
{
    struct journal *opened_journal;
    int r = journal_open(own(JOBDIR_JOURNAL), &opened_journal, NULL);

    (void)prepared;
    if (r >= 0)
        r = journal_append(opened_journal, 1, "started", NULL);
    if (r >= 0)
        r = journal_sync(opened_journal);
    return -r;
}

static void *thread_main(void *answer)
{
    *(int *)answer = opened(own("../other/secret"), O_RDONLY);
    return NULL;
}

/* Threads come, and are shut in as well. */
static int threads(int prepared)
{
    pthread_t thread;
    int answer = 0, error = pthread_create(&thread, NULL, thread_main, &answer);

    (void)prepared;
    if (!error)
        error = pthread_join(thread, NULL);
    return error ? error : answer == EACCES ? 0 : 254;
}

static void *thread_sleep(void *unused)
{
    pause();
    return unused;
}

/* Another thread's name is a file of /proc. */
static int thread_name(int prepared)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, thread_sleep, NULL);

    (void)prepared;
    return error ? error : pthread_setname_np(thread, "driver");
}

/* oneDNN writes code while it runs. */
static int code_of_its_own(int prepared)
{
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)prepared;
    return page == MAP_FAILED ? errno : told(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int libraries(int prepared)
{
    (void)prepared;
    return dlopen("libresolv.so.2", RTLD_NOW) ? 0 : ENOENT;
}

static volatile sig_atomic_t heard;

static void hear(int number)
{
    (void)number;
    heard = 1;
}

static int own_signals(int prepared)
{
    (void)prepared;
    signal(SIGUSR1, hear);
    return raise(SIGUSR1) != 0 || !heard;
}

/* A card's driver makes one for others of its kind. */
static int unix_sockets(int prepared)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int length = snprintf(address.sun_path + 1, 60, "rift-test-inside-%d", (int)getpid());

    (void)prepared;
    return fd < 0 ? errno
                  : told(bind(fd, (struct sockaddr *)&address,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)));
}

/* riftd looks among the worker's open files for its journal (daemon/process.c). */
static int findable(int prepared)
{
    (void)prepared;
    return prctl(PR_GET_DUMPABLE) == 1 ? 0 : 254;
}

static int limits(int prepared)
{
    struct rlimit core, files;

    (void)prepared;
    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_NOFILE, &files);
    mode_t mask = umask(0);
    return core.rlim_max <= 1 && files.rlim_max <= 4096 && mask == 077 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
               ? 0
               : 254;
}

static const struct {
    const char *sentence;
    int (*work)(int prepared);
    enum world_walls walls;
} rows[] = {
    { "what the spec names can be read", read_spec_paths },
    { "what the processor is and has can be read", read_system },
    { "files and folders of its own can be made, replaced, locked, renamed and removed", files_of_its_own },
    { "the journal can be written", journal },
    { "threads can be made and are shut in too", threads },
    { "a card's driver can name its threads", thread_name, ON_CARD },
    { "code that was just written can be run", code_of_its_own },
    { "the system's libraries can be loaded", libraries },
    { "a worker can send itself a signal", own_signals },
    { "a unix socket can be made and named", unix_sockets },
    { "riftd still finds a worker by its open files", findable },
    { "no core is written, files are bounded, what it makes is its own user's, no privileges come", limits },
};

int main(int argc, char **argv)
{
    struct landlock landlock;

    if (landlock_open(INT_MAX, &landlock) < 0)
        check_skip("NOTHING OF THE SANDBOX WAS TRIED: this kernel has no Landlock, or it is switched off (lsm=)");
    landlock_close(&landlock);
    world_open();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (argc > 1 && !strstr(rows[i].sentence, argv[1]))
            continue;
        int error = world_try(rows[i].walls, NULL, rows[i].work);
        if (error)
            CHECK_FAIL("%s: %s (%d)", rows[i].sentence, error > 0 ? strerror(error) : "the process died", error);
        printf("%s  %s\n", error ? "FAILED" : "ok    ", rows[i].sentence);
    }
    world_close();
    printf("%d failed\n", check_failures);
    return check_failures != 0;
}
