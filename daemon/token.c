/* How does the first token come to be?
 *
 *     riftd token create --state DIR [--name NAME] [--owner OWNER] [--role ROLE]
 *
 * By root or riftd's user, without riftd running, straight into the database: where riftd refuses to
 * start for want of a token, no HTTP is there to ask for one. It takes the state
 * directory's lock, so it never writes beside a riftd; while one runs, `riftctl
 * admin token create` does the same. */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct wish {
    const char *state, *name, *owner, *role;
};

static int usage(void)
{
    fprintf(stderr, "usage: riftd token create --state DIR [--name NAME] [--owner OWNER] [--role read|submit|admin]\n"
                    "Makes a token while riftd isn't running, and prints it: it is kept nowhere else.\n"
                    "Without more words it is an admin's, called first.\n");
    return 2;
}

static bool wish_read(int argc, char **argv, struct wish *ret)
{
    static const struct option options[] = {
        { "state", required_argument, NULL, 's' }, { "name", required_argument, NULL, 'n' },
        { "owner", required_argument, NULL, 'o' }, { "role", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },        { 0 },
    };
    struct wish wish = { .state = getenv("STATE_DIRECTORY"), .name = "first", .role = "admin" };
    int key;

    while ((key = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char **place = key == 's'   ? &wish.state
                             : key == 'n' ? &wish.name
                             : key == 'o' ? &wish.owner
                             : key == 'r' ? &wish.role
                                          : NULL;
        if (!place)
            return false;
        *place = optarg;
    }
    if (!wish.owner)
        wish.owner = wish.name;
    *ret = wish;
    return wish.state && *wish.state && optind + 1 == argc && !strcmp(argv[optind], "create");
}

static int make(const struct wish *wish, struct db *db)
{
    char text[API_TOKEN_SIZE];
    int r = api_token_make(db, wish->name, wish->owner, wish->role, clock_ms(), text);

    if (r == -EINVAL)
        return complain("a token can't have the name \"%s\" and the role \"%s\"", wish->name, wish->role);
    if (r < 0)
        return complain("%s", db_errmsg(db));
    puts(text);
    explicit_bzero(text, sizeof(text));
    return fflush(stdout) ? complain("%s", strerror(errno)) : 0;
}

int token_main(int argc, char **argv)
{
    struct wish wish;
    struct db *db;
    char path[PATH_MAX + 32], message[256];

    if (!wish_read(argc, argv, &wish))
        return usage();
    if (strlen(wish.state) > PATH_MAX - 1)
        return complain("%.80s...: %s", wish.state, strerror(ENAMETOOLONG));
    if (mkdir(wish.state, 0700) < 0 && errno != EEXIST)
        return complain("%s: %s", wish.state, strerror(errno));
    int dir = open(wish.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = dir >= 0 ? state_user_become(dir) : 0;
    if (dir >= 0)
        close(dir);
    if (r < 0)
        return complain("%s belongs to another user: do this as root, or as that user", wish.state);
    snprintf(path, sizeof(path), "%s/riftd.lock", wish.state);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return complain("%s: %s", path, strerror(errno));
    if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        close(lock);
        return complain("riftd is running on %s; ask it: riftctl admin token create", wish.state);
    }
    snprintf(path, sizeof(path), "%s/riftd.db", wish.state);
    int code = db_open(path, &db, message) < 0 ? complain("%s", message) : make(&wish, db);
    db_close(db);
    close(lock);
    return code;
}
