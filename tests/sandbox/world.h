/* Where does a worker try to get out of?
 *
 *   STATE/riftd.db  riftd.socket (somebody listens)
 *         jobs/mine/    spec.json artifacts/ way-out -> ../other   the worker's own
 *              other/   secret artifacts/last.safetensors          the spec names only the latter
 *   DATA/images         the spec names DATA          BESIDE/images   and not this
 *
 * and, outside of files: a process, a TCP port, an abstract socket. An attempt
 * runs in a child of its own, because there is no way back. */
#ifndef RIFT_TESTS_SANDBOX_WORLD_H
#define RIFT_TESTS_SANDBOX_WORLD_H

#include "gpu/worker/sandbox.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct {
    char *root;
    char mine[256], other[256], data[256], beside[256], db[256], secret[256], weights[256];
    struct spec_text {
        json_t *json;
    } spec, card_spec;
    pid_t victim;
    struct sockaddr_un unix_address, abstract_address;
    socklen_t unix_size, abstract_size;
    struct sockaddr_in tcp_address;
    int abi;
} world;

static inline void world_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, "secret\n", 7) != 7)
        CHECK_FAIL("%s: %s", path, strerror(errno));
    close(fd);
}

static inline const char *world_path(char *ret, const char *name)
{
    snprintf(ret, 256, "%s/%s", world.root, name);
    return ret;
}

static inline void world_folders(void)
{
    static const char *const names[] = { "state",
                                         "state/jobs",
                                         "state/jobs/mine",
                                         "state/jobs/mine/artifacts",
                                         "state/jobs/other",
                                         "state/jobs/other/artifacts",
                                         "data",
                                         "beside" };
    char path[300];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        mkdir(world_path(path, names[i]), 0700);
    world_path(world.mine, "state/jobs/mine");
    world_path(world.other, "state/jobs/other");
    world_path(world.data, "data");
    world_path(world.beside, "beside/images");
    world_file(world.beside);
    world_file(world_path(path, "data/images"));
    world_file(world_path(world.db, "state/riftd.db"));
    world_file(world_path(world.secret, "state/jobs/other/secret"));
    world_file(world_path(world.weights, "state/jobs/other/artifacts/last.safetensors"));
    world_file(world_path(path, "state/jobs/mine/own"));
    if (symlink("../other", world_path(path, "state/jobs/mine/way-out")) < 0)
        CHECK_FAIL("symlink: %s", strerror(errno));
}

/* A spec as the worker gets it from riftd: one path absolute, one seen from the job's directory. */
static inline json_t *world_spec(const char *device)
{
    struct job_spec spec = { 0 };
    struct spec_errors errors;
    char *text = NULL;

    if (asprintf(&text,
                 "{\"kind\":\"evaluate\",\"device\":\"%s\",\"model\":{\"arch\":\"resnet18\",\"weights\":"
                 "\"../other/artifacts/last.safetensors\"},\"dataset\":{\"format\":\"tensors\",\"path\":\"%s\"}}",
                 device, world.data) < 0)
        exit(1);
    if (spec_parse(text, strlen(text), &spec, &errors) < 0)
        CHECK_FAIL("the spec is wrong: %s: %s", errors.list[0].pointer, errors.list[0].message);
    json_t *json = json_incref(spec.json);
    spec_done(&spec);
    free(text);
    return json;
}

static inline int world_listen(int family, struct sockaddr *address, socklen_t size)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, address, size) < 0 || listen(fd, 8) < 0)
        CHECK_FAIL("nobody listens: %s", strerror(errno));
    return fd;
}

static inline void world_sockets(void)
{
    socklen_t size = sizeof(world.tcp_address);
    char name[300];

    world.unix_address.sun_family = world.abstract_address.sun_family = AF_UNIX;
    snprintf(world.unix_address.sun_path, sizeof(world.unix_address.sun_path), "%.100s", world_path(name, "s"));
    world.unix_size = sizeof(world.unix_address);
    int length = snprintf(world.abstract_address.sun_path + 1, 90, "rift-test-%d", (int)getpid());
    world.abstract_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    world.tcp_address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    world_listen(AF_UNIX, (struct sockaddr *)&world.unix_address, world.unix_size);
    world_listen(AF_UNIX, (struct sockaddr *)&world.abstract_address, world.abstract_size);
    int tcp = world_listen(AF_INET, (struct sockaddr *)&world.tcp_address, size);
    getsockname(tcp, (struct sockaddr *)&world.tcp_address, &size);
}

static inline void world_open(void)
{
    world.root = check_tmpdir();
    world_folders();
    world.spec.json = world_spec("cpu");
    world.card_spec.json = world_spec("cuda");
    setenv("RIFT_CUDA_MODULE", RIFT_TEST_DRIVER, 1);
    world_sockets();
    world.victim = fork();
    if (world.victim == 0)
        for (;;)
            pause();
}

static inline void world_close(void)
{
    kill(world.victim, SIGKILL);
    waitpid(world.victim, NULL, 0);
    json_decref(world.spec.json);
    json_decref(world.card_spec.json);
    check_rmdir(world.root);
}

enum world_walls { BOTH, ON_CARD, LANDLOCK_ALONE, AS_DEBIAN_12 };
enum { ABI_OF_DEBIAN_12 = 2 };

/* Landlock as the sandbox of `mine` would set it up, of no later ABI. */
static inline int world_landlock(int newest)
{
    struct landlock landlock;
    int r = landlock_open(newest, &landlock);

    if (r >= 0)
        r = landlock_allow(&landlock, world.mine, LANDLOCK_OWN);
    if (r >= 0)
        r = landlock_allow(&landlock, world.data, LANDLOCK_READ);
    if (r >= 0)
        r = landlock_allow(&landlock, world.weights, LANDLOCK_READ);
    return r < 0 ? r : landlock_hold(&landlock);
}

static inline int world_shut(enum world_walls walls, struct fault *why)
{
    struct sandbox held;
    int r;

    if (walls == BOTH || walls == ON_CARD)
        return sandbox_enter(SANDBOX_REQUIRE, world.mine, (walls == ON_CARD ? &world.card_spec : &world.spec)->json,
                             &held, why);
    r = world_landlock(walls == AS_DEBIAN_12 ? ABI_OF_DEBIAN_12 : INT_MAX);
    return r < 0 || walls == LANDLOCK_ALONE ? r : seccomp_hold();
}

/* What `attempt` came to, shut in: 0 or its errno; -1: died, -2: wasn't shut in. prepare: before. */
static inline int world_try(enum world_walls walls, int (*prepare)(void), int (*attempt)(int prepared))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct fault why = { 0 };
        int prepared = prepare ? prepare() : 0;
        int r = world_shut(walls, &why);

        if (r < 0) {
            fprintf(stderr, "not shut in: %s\n", why.code ? why.message : strerror(-r));
            _exit(255);
        }
        _exit(attempt(prepared));
    }
    waitpid(pid, &status, 0);
    return !WIFEXITED(status) ? -1 : WEXITSTATUS(status) == 255 ? -2 : WEXITSTATUS(status);
}

#endif
