/* What is there to ask for, and how does the process fare?
 *
 * Ids and cursors are read through the API's own pages, CPU and memory from
 * /proc. */
#include "bench/load/load.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAGE = 200 };

int port_connect(uint16_t port, bool blocking)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0), on = 1;

    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* One GET, waited for; its body as JSON. */
static json_t *get(uint16_t port, const char *path)
{
    char request[512], *text = NULL;
    size_t size = 0;
    int fd = port_connect(port, true);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r+");

    if (!file)
        return NULL;
    int length = snprintf(request, sizeof(request),
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n", path, (unsigned)port);
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) == length) {
        FILE *whole = open_memstream(&text, &size);
        for (int c; whole && (c = getc(file)) != EOF;)
            putc(c, whole);
        if (whole)
            fclose(whole);
    }
    fclose(file);
    const char *body = text ? strstr(text, "\r\n\r\n") : NULL;
    json_t *json = body ? json_loads(body + 4, 0, NULL) : NULL;
    free(text);
    return json;
}

/* Ids of a page into a list that has room for `room`. Returns how many there are now. */
static int ids_take(const json_t *page, char (*ids)[ID_SIZE], int count, int room)
{
    json_t *job;
    size_t i;

    json_array_foreach(json_object_get(page, "jobs"), i, job)
    {
        if (count < room)
            snprintf(ids[count++], ID_SIZE, "%s", json_string_value(json_object_get(job, "id")));
    }
    return count;
}

/* Walk all pages once. */
static int pages_walk(struct target *target)
{
    enum { PAGES = 500 };
    char path[256] = "/v1/jobs?limit=200";

    target->ids = calloc(PAGES * PAGE, sizeof(*target->ids));
    target->cursors = calloc(PAGES, sizeof(*target->cursors));
    if (!target->ids || !target->cursors)
        return -ENOMEM;
    for (int page = 0; page < PAGES; page++) {
        json_auto_t *json = get(target->port, path);
        if (!json)
            return -EIO;
        target->id_count = ids_take(json, target->ids, target->id_count, PAGES * PAGE);
        const char *next = json_string_value(json_object_get(json, "next"));
        if (!next)
            return 0;
        snprintf(target->cursors[target->cursor_count++], CURSOR_TEXT, "%s", next);
        snprintf(path, sizeof(path), "/v1/jobs?limit=200&cursor=%s", next);
    }
    return 0;
}

int target_open(struct target *target)
{
    int r = pages_walk(target);

    if (r < 0)
        return r;
    json_auto_t *big = get(target->port, "/v1/jobs?label=load-big"), *small = NULL;
    small = get(target->port, "/v1/jobs?label=load-small&limit=200");
    target->small = calloc(PAGE, sizeof(*target->small));
    if (!big || !small || !target->small)
        return -EIO;
    ids_take(big, &target->big, 0, 1);
    target->small_count = ids_take(small, target->small, 0, PAGE);
    return *target->big && target->small_count && target->id_count && target->cursor_count ? 0 : -ENOENT;
}

void target_done(struct target *target)
{
    free(target->ids);
    free(target->cursors);
    free(target->small);
}

static int files_count(pid_t pid)
{
    char path[64];
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += *entry->d_name != '.';
    if (dir)
        closedir(dir);
    return count;
}

int usage_read(pid_t pid, struct usage *ret)
{
    char path[64], line[1024];
    long user = 0, kernel = 0;
    struct usage usage = { .files = files_count(pid) };

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return -errno;
    while (fgets(line, sizeof(line), file)) {
        sscanf(line, "VmHWM: %ld", &usage.rss_peak_kib);
        sscanf(line, "VmRSS: %ld", &usage.rss_kib);
        sscanf(line, "Threads: %d", &usage.threads);
    }
    fclose(file);
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (!file)
        return -errno;
    const char *after = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
    if (after)
        sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &kernel);
    fclose(file);
    usage.cpu_ticks = user + kernel;
    *ret = usage;
    return after ? 0 : -EIO;
}

double load_average(void)
{
    double load = 0;

    return getloadavg(&load, 1) == 1 ? load : -1;
}
