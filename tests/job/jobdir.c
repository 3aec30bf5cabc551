/* Do files change whole or not at all, and are messages fit to be passed on? */
#include "job/job.h"
#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char *at(const char *dir, const char *name)
{
    static char path[4][600];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
    return path[turn];
}

static int entries(const char *dir)
{
    DIR *open = opendir(dir);
    int count = -2; /* . and .. */

    while (open && readdir(open))
        count++;
    if (open)
        closedir(open);
    return count;
}

static void replace_and_read(void)
{
    char *dir = check_tmpdir(), *data = NULL;
    struct fault why = { 0 };
    size_t size = 0;

    CHECK_INT(file_replace(dir, "a.txt", "first", 5, &why), 0);
    CHECK_INT(file_replace(dir, "a.txt", "the second", 10, &why), 0);
    CHECK_INT(file_read(at(dir, "a.txt"), 10, &data, &size, &why), 0);
    CHECK_STRING(data, "the second");
    CHECK_INT(size, 10);
    free(data);
    CHECK_INT(file_replace(dir, "empty", NULL, 0, &why), 0);
    CHECK_INT(file_read(at(dir, "empty"), 0, &data, &size, &why), 0);
    CHECK_STRING(data, "");
    CHECK_INT(size, 0);
    free(data);
    CHECK_INT(entries(dir), 2);
    check_rmdir(dir);
}

static void read_limits(void)
{
    char *dir = check_tmpdir(), *data = NULL;
    struct fault why = { 0 };
    size_t size = 7;

    CHECK_INT(file_replace(dir, "a", "0123456789", 10, &why), 0);
    CHECK_INT(file_read(at(dir, "a"), 9, &data, &size, &why), -EFBIG);
    CHECK_HOLDS(why.message, "/a: is larger than 9 bytes");
    CHECK(data == NULL && size == 7);
    CHECK_INT(file_read(at(dir, "b"), 9, &data, &size, &why), -ENOENT);
    CHECK_HOLDS(why.message, "/b: cannot be read");
    CHECK_INT(file_read(dir, 100000, &data, &size, &why), -EISDIR);
    CHECK(data == NULL && size == 7);
    check_rmdir(dir);
}

/* A pipe tells no size, so reading has to grow. */
static void read_pipe(void)
{
    struct fault why = { 0 };
    char *data = NULL, path[40], *bytes = malloc(60000);
    size_t size = 0;
    int ends[2];

    for (int i = 0; i < 60000; i++)
        bytes[i] = (char)('a' + i % 26);
    for (int limit = 59999; limit <= 60000; limit++) {
        CHECK_INT(pipe(ends), 0);
        CHECK_INT(write(ends[1], bytes, 60000), 60000);
        close(ends[1]);
        snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
        CHECK_INT(file_read(path, (size_t)limit, &data, &size, &why), limit < 60000 ? -EFBIG : 0);
        close(ends[0]);
    }
    CHECK_INT(size, 60000);
    CHECK(data && memcmp(data, bytes, 60000) == 0);
    free(data);
    free(bytes);
}

static void bad_names(void)
{
    char *dir = check_tmpdir(), long_name[300];
    struct fault why = { 0 };

    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    CHECK_INT(file_replace(dir, "", "x", 1, &why), -EINVAL);
    CHECK_INT(file_replace(dir, "a/b", "x", 1, &why), -EINVAL);
    CHECK_INT(file_replace(dir, "..", "x", 1, &why), -EINVAL);
    CHECK_INT(file_replace(dir, long_name, "x", 1, &why), -ENAMETOOLONG);
    CHECK_INT(file_replace(at(dir, "absent"), "a", "x", 1, &why), -ENOENT);
    CHECK_HOLDS(why.message, "/absent: the directory cannot be opened");
    CHECK_INT(entries(dir), 0);
    check_rmdir(dir);
}

/* The disk is full in the middle of the new file. */
static void failed_write(void)
{
    char *dir = check_tmpdir(), *data = NULL, *large = calloc(1, 100000);
    struct rlimit before, small;
    struct fault why = { 0 };

    CHECK_INT(file_replace(dir, "a", "the old one", 11, &why), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 4096;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
    CHECK_INT(file_replace(dir, "a", large, 100000, &why), -EFBIG);
    CHECK_HOLDS(why.message, "/a: cannot be written");
    struct safetensor tensor = {
        .name = "x", .dtype = DTYPE_U8, .rank = 1, .shape = { 100000 }, .data = large, .size = 100000
    };
    CHECK_INT(safetensors_write(dir, "a", &tensor, 1, NULL, NULL, NULL, &why), -EFBIG);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_INT(file_read(at(dir, "a"), 100, &data, NULL, &why), 0);
    CHECK_STRING(data, "the old one");
    CHECK_INT(entries(dir), 1);
    free(data);
    free(large);
    check_rmdir(dir);
}

/* A target that can't be replaced (a directory) leaves nothing behind. */
static void failed_rename(void)
{
    char *dir = check_tmpdir();
    struct fault why = { 0 };

    CHECK_INT(mkdir(at(dir, "a"), 0700), 0);
    CHECK_INT(file_replace(dir, "a", "x", 1, &why), -EISDIR);
    CHECK_HOLDS(why.message, "/a: cannot be put in place");
    CHECK_INT(entries(dir), 1);
    check_rmdir(dir);
}

static void create_twice(void)
{
    char *dir = check_tmpdir(), *text = NULL;
    json_auto_t *spec = json_pack("{s:s, s:f}", "kind", "train", "lr", 0.1), *other = json_pack("{s:s}", "kind", "mrc");
    struct fault why = { 0 };
    struct stat st;

    CHECK_INT(jobdir_create(at(dir, "job"), spec, &why), 0);
    CHECK_INT(jobdir_create(at(dir, "job"), spec, &why), 0);
    CHECK(stat(at(dir, "job/" JOBDIR_CHECKPOINT), &st) == 0 && S_ISDIR(st.st_mode));
    CHECK(stat(at(dir, "job/" JOBDIR_ARTIFACTS), &st) == 0 && S_ISDIR(st.st_mode));
    CHECK_INT(file_read(at(dir, "job/" JOBDIR_SPEC), 1000, &text, NULL, &why), 0);
    json_auto_t *read = json_loads(text, 0, NULL);
    CHECK(json_equal(read, spec));
    CHECK_INT(entries(at(dir, "job")), 3);
    free(text);

    CHECK_INT(jobdir_create(at(dir, "job"), other, &why), 0);
    CHECK_INT(jobdir_create(at(dir, "absent/job"), spec, &why), -ENOENT);
    CHECK_HOLDS(why.message, "/absent/job: the directory cannot be created");
    CHECK_INT(file_replace(dir, "plain", "x", 1, &why), 0);
    CHECK_INT(jobdir_create(at(dir, "plain"), spec, &why), -ENOTDIR);
    check_rmdir(dir);
}

static void artifact_names(void)
{
    char segment[102], deep[600];

    memset(segment, 's', 101);
    segment[101] = 0;
    CHECK(artifact_name_valid("best.safetensors"));
    CHECK(artifact_name_valid("a/b/c/d/e/f/g/h"));
    CHECK(artifact_name_valid(segment + 1));
    CHECK(!artifact_name_valid(segment));
    static const char *const bad[] = { "",      "/",     "a/",       "/a",   "a//b",
                                       ".a",    "a/.b",  "..",       "../a", "a b",
                                       "a\\",   "a%2Fb", "\xC3\xA9", "a\nb", "a/b/c/d/e/f/g/h/i",
                                       "a/../b" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (artifact_name_valid(bad[i]))
            CHECK_FAIL("\"%s\" is a valid name", bad[i]);
    snprintf(deep, sizeof(deep), "%.100s/%.100s/%.100s/%.100s/%.100s/%.7s", segment, segment, segment, segment, segment,
             segment);
    CHECK_INT(strlen(deep), 512);
    CHECK(artifact_name_valid(deep));
    strcat(deep, "s");
    CHECK(!artifact_name_valid(deep));
}

/* Whatever a message quotes, JSON takes it and no terminal obeys it. */
static void clean_messages(void)
{
    static const struct {
        const char *quoted, *shown;
    } texts[] = {
        { "h\xC3\xA9llo \xE2\x82\xAC \xF0\x9F\x99\x82", "h\xC3\xA9llo \xE2\x82\xAC \xF0\x9F\x99\x82" },
        { "\x1B[31mred\n", "?[31mred?" },
        { "\x7F\xC2\x9B", "???" },
        { "\xFF\xFE", "??" },
        { "\xC0\xAF", "??" },           /* overlong '/' */
        { "\xED\xA0\x80", "???" },      /* surrogate */
        { "\xF4\x90\x80\x80", "????" }, /* above U+10FFFF */
        { "a\xE2\x82", "a" },           /* cut in half at the end */
        { "\xE2\x28\xA1", "?(?" },
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct fault why = { 0 };
        CHECK_INT(fault_set(&why, -EINVAL, "%s", texts[i].quoted), -EINVAL);
        CHECK_STRING(why.message, texts[i].shown);
        json_auto_t *json = json_string(why.message);
        CHECK(json != NULL);
    }
    /* A message longer than its buffer ends between two characters. */
    char long_text[601];
    for (int i = 0; i < 600; i += 3)
        memcpy(long_text + i, "\xE2\x82\xAC", 3);
    long_text[600] = 0;
    for (int shift = 0; shift < 3; shift++) {
        struct fault why = { 0 };
        fault_set(&why, -EINVAL, "%.*s%s", shift, "ab", long_text);
        json_auto_t *json = json_string(why.message);
        CHECK(json != NULL);
        CHECK(strlen(why.message) > 500);
        CHECK(!strchr(why.message, '?'));
    }
    CHECK_INT(fault_set(NULL, -EIO, "nobody listens"), -EIO);
}

static void leftovers_go(void)
{
    static const char *const theirs[] = { "best.safetensors", ".hidden", "a.tmp-5", ".a.tmp-", ".a.tmp-5x", ".tmp-5" };
    static const char *const dead[] = { ".best.safetensors.tmp-4711", ".a.tmp-5.tmp-6" };
    char *dir = check_tmpdir(), *link = at(dir, ".link.tmp-8");
    int kept = (int)(sizeof(theirs) / sizeof(theirs[0]));
    struct fault why = { 0 };

    for (int i = 0; i < kept; i++)
        CHECK_INT(file_replace(dir, theirs[i], "x", 1, &why), 0);
    for (size_t i = 0; i < sizeof(dead) / sizeof(dead[0]); i++)
        CHECK_INT(file_replace(dir, dead[i], "x", 1, &why), 0);
    CHECK_INT(symlink(theirs[0], link), 0); /* goes, and what it points to stays */
    CHECK_INT(mkdir(at(dir, ".folder.tmp-9"), 0700), 0);
    file_leftovers_remove(dir);
    CHECK_INT(entries(dir), kept + 1);
    for (int i = 0; i < kept; i++)
        CHECK_INT(access(at(dir, theirs[i]), F_OK), 0);
    file_leftovers_remove(at(dir, "nowhere"));
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "a replaced file holds the new bytes and nothing else is left", replace_and_read },
    { "reading stops at the limit and names the file", read_limits },
    { "a pipe is read to its end", read_pipe },
    { "a name that isn't a plain file name is refused", bad_names },
    { "when the disk is full the old file stays whole", failed_write },
    { "when the new file can't take its place nothing is left behind", failed_rename },
    { "what a killed process has left of a file goes, and nothing else", leftovers_go },
    { "creating a job directory twice is harmless", create_twice },
    { "artifact names follow the grammar", artifact_names },
    { "messages are valid UTF-8 without control bytes", clean_messages },
};
CHECK_MAIN(cases)
