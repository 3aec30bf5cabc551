/* What is riftd? One daemon that keeps the queue, starts workers and serves HTTP.
 *
 * From the top: settings -> state directory and its lock -> database -> slots
 * and data sets -> the workers that a riftd before us left running -> HTTP ->
 * the loop. A second riftd on the same state directory is refused. On SIGTERM
 * everything is put away but the workers: they go on, and the next riftd finds
 * them again. */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define ADDRESS_FILE "riftd.address"

/* ---- what api/ asks of us, from its own threads ---- */

static void on_bell(void *user)
{
    loop_bell(user);
}

static void on_tidy(void *user)
{
    janitor_ring(user);
}

static json_t *on_devices(void *user)
{
    return devices_json(user);
}

static json_t *on_datasets(void *user)
{
    return datasets_json(user);
}

static int on_place(void *user, const char *path, struct fault *why)
{
    return data_place_check(user, path, why);
}

static void on_metrics(void *user, FILE *out)
{
    metrics_write(user, out);
}

static void on_failed(void *user, const char *request_id, const char *message)
{
    (void)user;
    log_request(LEVEL_ERROR, request_id, "%s", message);
}

static int64_t on_now_ms(void *user)
{
    (void)user;
    return clock_ms();
}

static void on_condition(void *user, struct api_condition *ret)
{
    const struct daemon *daemon = user;
    const struct settings *settings = daemon->settings;

    *ret = (struct api_condition){ .owner_running_max = (int)settings->owner_running_max,
                                   .owner_queued_max = (int)settings->owner_queued_max,
                                   .owner_bytes_max = settings->owner_bytes_max,
                                   .time_limit_max_ms = settings->time_limit_max_s * 1000 };
    struct space space = { 0 };
    ret->no_space = space_short(daemon, &space);
    ret->free_bytes = space.free_bytes;
    ret->floor_bytes = space.floor_bytes;
    ret->total_bytes = space.total_bytes;
}

/* ---- the start, in order ---- */

enum { FILES_WANTED = 4096, ARENAS = 2, BIG_BYTES = 32 << 10 };

/* Files for two thousand connections, where we may; and not a heap for each of
 * the threads, which keep what they once used. */
static void process_prepare(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_WANTED) {
        files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_MMAP_THRESHOLD, BIG_BYTES); /* said, it stays: long answers go back to the system */
}

static int state_open(struct daemon *daemon, struct fault *why)
{
    char state[PATH_MAX], path[PATH_MAX + 32];
    int r = directory_make(daemon->settings->state, 0700, why);

    if (r < 0)
        return r;
    if (!realpath(daemon->settings->state, state) || strlen(state) > PATH_MAX - 64)
        return fault_set(why, -ENAMETOOLONG, "%s: cannot be used", daemon->settings->state);
    snprintf(path, sizeof(path), "%s/riftd.lock", state);
    daemon->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (daemon->lock_fd < 0)
        return fault_set(why, -errno, "%s: %s", path, strerror(errno));
    if (flock(daemon->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return fault_set(why, -EBUSY, "another riftd is running on %s", state);
    snprintf(daemon->jobs_dir, sizeof(daemon->jobs_dir), "%.*s/jobs", PATH_MAX - 8, state);
    snprintf(daemon->models_dir, sizeof(daemon->models_dir), "%.*s/models", PATH_MAX - 8, state);
    snprintf(daemon->trash_dir, sizeof(daemon->trash_dir), "%.*s/trash", PATH_MAX - 8, state);
    r = directory_make(daemon->jobs_dir, 0700, why);
    if (r >= 0)
        r = directory_make(daemon->models_dir, 0700, why);
    snprintf(daemon->backups_dir, sizeof(daemon->backups_dir), "%.*s/backups", PATH_MAX - 9, state);
    if (r >= 0)
        r = directory_make(daemon->backups_dir, 0700, why);
    return r < 0 ? r : directory_make(daemon->trash_dir, 0700, why);
}

static int database_open(struct daemon *daemon, struct fault *why)
{
    char path[PATH_MAX + 32], message[256];

    snprintf(path, sizeof(path), "%s/riftd.db", daemon->settings->state);
    int r = db_open(path, &daemon->db, message);
    if (r < 0)
        return fault_set(why, r, "%s", message);
    r = boot_id_read(daemon->boot_id);
    if (r < 0)
        return fault_set(why, r, "cannot start: %s", strerror(-r));
    db_steady_set(daemon->db, daemon->boot_id, monotonic_ms);
    r = policy_apply(daemon, daemon->settings);
    return r < 0 ? fault_set(why, r, "%s", db_errmsg(daemon->db)) : 0;
}

/* --worker, or the rift-worker beside us. */
static int worker_find(struct daemon *daemon, struct fault *why)
{
    char beside[PATH_MAX + 16] = "";
    const char *path = daemon->settings->worker;

    if (!path) {
        ssize_t length = readlink("/proc/self/exe", beside, PATH_MAX - 1);
        char *slash = length > 0 ? strrchr(beside, '/') : NULL;
        if (slash)
            strcpy(slash + 1, "rift-worker");
        path = beside;
    }
    /* Who has a launcher need not be able to start one, and may be forbidden to. */
    if (!realpath(path, daemon->worker_path) ||
        access(daemon->worker_path, daemon->settings->launcher ? F_OK : X_OK) < 0)
        return fault_set(why, -errno, "%s: %s; --worker says where rift-worker is", path, strerror(errno));
    return 0;
}

static int http_open(struct daemon *daemon, struct fault *why)
{
    const struct settings *settings = daemon->settings;
    char address[64], health_address[64], message[256];
    struct api_config config = {
        .address = address,
        .socket_path = settings->socket,
        .health_address = settings->health_listen ? health_address : NULL,
        .tcp_fd = daemon->tcp_fd,
        .local_fd = daemon->local_fd,
        .health_fd = daemon->health_fd,
        .jobs_dir = daemon->jobs_dir,
        .models_dir = daemon->models_dir,
        .backups_dir = daemon->backups_dir,
        .trash_dir = daemon->trash_dir,
        .web_dir = settings->web,
        .openapi_path = settings->openapi,
        .tls_cert = settings->tls_cert,
        .tls_key = settings->tls_key,
        .db = daemon->db,
        .user = daemon,
        .bell = on_bell,
        .devices = on_devices,
        .datasets = on_datasets,
        .place_check = on_place,
        .metrics = on_metrics,
        .now_ms = on_now_ms,
        .failed = on_failed,
        .tidy = on_tidy,
        .condition = on_condition,
    };
    settings_address(settings, address, &config.port);
    if (settings->health_listen)
        listen_parse(settings->health_listen, health_address, &config.health_port); /* checked when it was read */
    daemon->rules = rules_make(settings, NULL);
    if (!daemon->rules)
        return fault_set(why, -ENOMEM, "out of memory");
    config.rules = rules_lend(daemon->rules);
    int r = api_start(&config, &daemon->api, message);
    return r < 0 ? fault_set(why, r, "%s", message) : 0;
}

/* Files that are served may come later, by an update; who misspelt the path wants to know. */
static void served_check(const struct settings *settings)
{
    char path[PATH_MAX];

    if (settings->web && snprintf(path, sizeof(path), "%s/index.html", settings->web) < (int)sizeof(path) &&
        access(path, R_OK) < 0)
        log_warning("there is no dashboard: %s: %m (setting web)", path);
    if (settings->openapi && access(settings->openapi, R_OK) < 0)
        log_warning("the API's description can't be served: %s: %m (setting openapi)", settings->openapi);
}

/* Tell whoever waits for us where we are. */
static int announce(struct daemon *daemon, struct fault *why)
{
    const char *address = api_address(daemon->api);
    bool six = strchr(address, ':');
    char url[128], line[130];

    snprintf(url, sizeof(url), "http%s://%s%s%s:%u", daemon->settings->tls_cert ? "s" : "", six ? "[" : "", address,
             six ? "]" : "", (unsigned)api_port(daemon->api));
    snprintf(line, sizeof(line), "%s\n", url);
    int r = file_replace(daemon->settings->state, ADDRESS_FILE, line, strlen(line), why);
    if (r < 0)
        return r;
    if (api_is_open(daemon->api) > 0)
        log_warning("no token has been made yet: whoever can reach %s may do everything", url);
    else if (db_token_admin(daemon->db, clock_ms()) == 0)
        log_info("there is no administrator's token: root makes one over the unix socket (riftctl --server unix:PATH "
                 "admin token create NAME --role admin)");
    else if (api_is_overheard(daemon->api))
        log_warning("tokens and results cross the network in the clear on %s", url);
    served_check(daemon->settings);
    printf("listening on %s\n", url);
    fflush(stdout);
    sd_notifyf(0, "READY=1\nSTATUS=Listening on %s", url);
    return 0;
}

static int start(struct daemon *daemon, struct fault *why)
{
    json_t *datasets;
    process_prepare();
    int r = sockets_take(daemon, why);

    if (r >= 0)
        r = state_open(daemon, why);
    if (r >= 0)
        r = database_open(daemon, why);
    if (r >= 0)
        r = worker_find(daemon, why);
    if (r >= 0)
        r = slots_open(daemon, why);
    if (r >= 0 && (r = datasets_make(daemon->settings, &datasets, why)) >= 0)
        datasets_set(daemon, datasets);
    if (r >= 0 && (r = loop_open(daemon)) < 0)
        fault_set(why, r, "cannot start: %s", strerror(-r));
    janitor_open(daemon);
    if (r >= 0)
        r = http_open(daemon, why);
    if (r >= 0)
        r = webhooks_start(daemon, why);
    if (r >= 0 && (r = attach_all(daemon)) < 0)
        fault_set(why, r, "running jobs cannot be read: %s", db_errmsg(daemon->db));
    if (r >= 0 && (r = watchdog_open(daemon)) < 0)
        fault_set(why, r, "no timer for the watchdog: %s", strerror(-r));
    if (r >= 0)
        r = janitor_start(daemon, why);
    return r < 0 ? r : announce(daemon, why);
}

static void stop(struct daemon *daemon)
{
    char path[PATH_MAX + 32];

    sd_notify(0, "STOPPING=1");
    janitor_stop(daemon);
    api_stop(daemon->api);
    webhooks_stop(daemon);
    while (daemon->workers)
        worker_remove(daemon, daemon->workers); /* forgets them, nothing more */
    loop_close(daemon);
    db_close(daemon->db);
    json_decref(daemon->device_infos);
    json_decref(daemon->datasets);
    if (daemon->lock_fd >= 0) {
        snprintf(path, sizeof(path), "%s/" ADDRESS_FILE, daemon->settings->state);
        if (daemon->api)
            unlink(path);
        close(daemon->lock_fd);
    }
    rules_free(daemon->rules);
    settings_close(daemon);
}

int main(int argc, char **argv)
{
    static struct daemon daemon = { .lock_fd = -1,
                                    .epoll_fd = -1,
                                    .signals.fd = -1,
                                    .bell.fd = -1,
                                    .watchdog.fd = -1,
                                    .datasets_lock = PTHREAD_MUTEX_INITIALIZER,
                                    .devices_lock = PTHREAD_MUTEX_INITIALIZER };
    struct fault why = { 0 };
    int exit_code = 0;

    if (argc > 1 && !strcmp(argv[1], "token"))
        return token_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "restore"))
        return restore_main(argc - 1, argv + 1);
    log_open();
    int r = settings_open(&daemon, argc, argv, &exit_code);
    if (r <= 0)
        return exit_code;
    r = start(&daemon, &why);
    if (r >= 0 && (r = loop_run(&daemon)) < 0)
        fault_set(&why, r, "the loop broke: %s", strerror(-r));
    stop(&daemon);
    if (r < 0)
        log_error("%s", why.message);
    return r < 0;
}
