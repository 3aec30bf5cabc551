/* Do the inputs that once broke something, and those that reach far, still pass?
 *
 *     replay_TARGET FILE|DIR...
 *
 * Each file is given to the target once, copied into a block of exactly its
 * size, so that a sanitizer sees the first byte read past its end. An input of some
 * KB after which the program has used a GB is a failure, too. No libFuzzer: this is what ordinary test runs do, with
 * any compiler. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEAK_MOST_KB = 1 << 20 };
static int count;
static char current[PATH_MAX];

/* Which input it was is worth more than a core. */
static void tell(int signal)
{
    static const char words[] = "replay: crashed on ";
    ssize_t wrote = write(2, words, sizeof(words) - 1);

    wrote += write(2, current, strlen(current));
    wrote += write(2, "\n", 1);
    (void)wrote;
    _exit(128 + signal);
}

/* The most memory that has been in use so far: too much is told once, with the input after which it was. */
static int peak_check(const char *path)
{
    static bool told;
    struct rusage usage;

    if (told || getrusage(RUSAGE_SELF, &usage) < 0 || usage.ru_maxrss <= PEAK_MOST_KB)
        return 0;
    told = true;
    fprintf(stderr, "replay: %s: took %ld MB\n", path, usage.ru_maxrss >> 10);
    return 1;
}

static int file_replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat st;

    if (!file || fstat(fileno(file), &st) < 0) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        return 1;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    bool whole = data && fread(data, 1, size, file) == size;
    fclose(file);
    if (whole) {
        snprintf(current, sizeof(current), "%s", path);
        fuzz_one(data, size);
        count++;
    }
    free(data);
    return peak_check(path) + !whole;
}

static int replay(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int failed = 0;

    if (!dir)
        return file_replay(path);
    while ((entry = readdir(dir))) {
        char name[PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        failed += replay(name);
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    signal(SIGABRT, tell);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++)
        failed += replay(argv[i]);
    printf("replay: %d inputs\n", count);
    if (!count)
        fprintf(stderr, "replay: there was nothing to replay\n");
    return failed || !count;
}
