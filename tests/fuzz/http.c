/* Can any bytes come in through a socket? The real API on a unix socket (which
 * asks for no Host of ours), one connection an input, the whole answer read. What
 * comes back must be HTTP and no failure of our own.
 *
 * A first byte of 1..255 cuts the input in two writes at that place. */
#include "tests/fuzz/service.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FIRST_BYTE_MS = 50, /* so long an answer may take to begin */
    SILENCE_MS = 5,     /* an answer on a unix socket comes in one go: after this it has ended */
    ANSWER_MAX = 1 << 18,
};

static struct api_config config;
static struct api *api;
static char socket_path[512], answer[ANSWER_MAX + 1];
static int changes;

static void start(void)
{
    char message[256];

    service_open(&config);
    scratch_path("riftd.sock", socket_path);
    config.socket_path = socket_path;
    config.heartbeat_ms = 60000;
    int r = api_start(&config, &api, message);
    if (r < 0)
        fprintf(stderr, "%s\n", message);
    PROMISE(r >= 0);
}

static void restart(void)
{
    api_stop(api);
    service_close(&config);
    start();
    changes = 0;
}

static int dial(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    PROMISE(fd >= 0 && strlen(socket_path) < sizeof(address.sun_path));
    strcpy(address.sun_path, socket_path);
    PROMISE(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

static void send_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* it hung up on us, as it may */
        data += n;
        size -= (size_t)n;
    }
}

/* All that comes, until the end or silence (an event stream). */
static size_t receive(int fd)
{
    size_t used = 0;

    while (used < ANSWER_MAX) {
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        if (poll(&poll_fd, 1, used ? SILENCE_MS : FIRST_BYTE_MS) <= 0)
            break;
        ssize_t n = recv(fd, answer + used, ANSWER_MAX - used, 0);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    answer[used] = 0;
    return used;
}

void fuzz_one(const uint8_t *data, size_t size)
{
    if (!api)
        start();
    if (size < 2)
        return;
    size_t cut = data[0];
    data++;
    size--;
    if (cut > size)
        cut = size;
    int fd = dial();
    send_all(fd, data, cut);
    send_all(fd, data + cut, size - cut);
    shutdown(fd, SHUT_WR);
    size_t got = receive(fd);
    close(fd);
    if (!got)
        return;
    PROMISE(!strncmp(answer, "HTTP/1.", 7));
    PROMISE(strncmp(answer + 8, " 500", 4));
    if ((!strncmp(answer + 8, " 2", 2) && strncmp(answer + 8, " 200", 4)) && ++changes == 50)
        restart();
}
