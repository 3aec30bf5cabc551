/* Is it judged right where a job may read? */
#include "job/job.h"
#include "tests/check.h"

#include <errno.h>
#include <sys/stat.h>

static char *root;

static const char *under(const char *name)
{
    static char paths[4][600];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
    return path;
}

/* ROOT/data/cifar  ROOT/database  ROOT/state/jobs/a  and links among them */
static void world_open(void)
{
    static const char *const folders[] = { "data", "data/cifar", "database", "state", "state/jobs", "state/jobs/a" };
    char *base = check_tmpdir();

    root = realpath(base, NULL);
    free(base);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        CHECK_INT(mkdir(under(folders[i]), 0700), 0);
    CHECK_INT(symlink("../state/jobs", under("data/to-state")), 0);
    CHECK_INT(symlink("../database", under("data/to-database")), 0);
    CHECK_INT(symlink("data", under("to-data")), 0);
    CHECK_INT(symlink("nowhere/else", under("data/dangling")), 0);
    CHECK_INT(symlink("state", under("to-state")), 0);
    CHECK_INT(symlink("round", under("data/round")), 0);
}

static const struct {
    const char *path;
    bool anywhere, in_data; /* without roots; with ROOT/data */
} rows[] = {
    { "data/cifar", true, true },
    { "data", true, true },
    { "data/", true, true },
    { "data/comes/later", true, true },
    { "to-data/cifar", true, true },
    { "database", true, false },
    { "data/../database", true, false },
    { "data/to-database", true, false },
    { "data/to-database/later", true, false },
    { "elsewhere", true, false },
    { "data/../later", true, false },
    { "state", false, false },
    { "state/", false, false },
    { "state/riftd.db", false, false },
    { "state/jobs/a/artifacts/last.safetensors", false, false },
    { "data/to-state/a", false, false },
    { "data/cifar/../../state/jobs", false, false },
    { "", false, false }, /* holds the state directory */
    { "data/later/../../state", false, false },
    { "data/later/../cifar", false, false }, /* nobody knows where that will be */
    { "data/round", false, false },
    { "statement", true, false },
};

static void rows_check(const char *state, bool with_root)
{
    const char *const roots[] = { under("to-data/") };
    char first[600];

    snprintf(first, sizeof(first), "%s", roots[0]);
    const char *const kept[] = { first };
    struct data_places places = { with_root ? kept : NULL, with_root, state };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fault why = { 0 };
        int r = place_check(&places, under(rows[i].path), &why),
            expected = with_root ? rows[i].in_data : rows[i].anywhere;

        if (r != (expected ? 0 : -EACCES))
            CHECK_FAIL("\"%s\" is %d: %s", rows[i].path, r, why.message);
    }
}

static void anywhere_but_state(void)
{
    char state[600];

    snprintf(state, sizeof(state), "%s", under("state"));
    rows_check(state, false);
    snprintf(state, sizeof(state), "%s", under("to-state/"));
    rows_check(state, false);
}

static void below_roots(void)
{
    char state[600];

    snprintf(state, sizeof(state), "%s", under("state"));
    rows_check(state, true);
}

static void nobody_asks(void)
{
    struct data_places none = { 0 };

    CHECK_INT(place_check(&none, under("state/riftd.db"), NULL), 0);
    CHECK_INT(place_check(&none, "relative", NULL), -EACCES);
    CHECK_INT(place_check(&none, "/", NULL), 0);
}

static void turned_link(void)
{
    char state[600], link[600];

    snprintf(state, sizeof(state), "%s", under("state"));
    snprintf(link, sizeof(link), "%s", under("data/turning"));
    struct data_places places = { .state_dir = state };
    CHECK_INT(symlink("cifar", link), 0);
    CHECK_INT(place_check(&places, link, NULL), 0);
    CHECK_INT(unlink(link), 0);
    CHECK_INT(symlink("../state", link), 0);
    CHECK_INT(place_check(&places, link, NULL), -EACCES);
}

static const struct check_case cases[] = {
    { "without roots all places but riftd's state will do", anywhere_but_state },
    { "with roots only what ends below one of them will do", below_roots },
    { "a link that was turned is judged anew", turned_link },
    { "nothing is refused where nothing is kept, but paths are absolute", nobody_asks },
};

int main(int argc, char **argv)
{
    world_open();
    int r = check_main(cases, (int)(sizeof(cases) / sizeof(cases[0])), argc, argv);
    check_rmdir(root);
    return r;
}
