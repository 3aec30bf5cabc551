/* Where do the published data sets come from?
 *
 *   download -> DIR/ARCHIVE.part (resumed) -> size and checksum -> unpack -> DIR/FOLDER
 *
 * Nothing is unpacked that isn't the very file that was published. Sizes and
 * MD5s are those that the publishers name (cs.toronto.edu, Zenodo) or, for
 * Tiny-ImageNet, which has none, those on which everybody who keeps it agrees.
 * MD5 doesn't stop a forger; what --sha256 or --md5 says is compared instead. */
#include "cli/cli.h"
#include "cli/download.h"
#include "cli/md5.h"
#include "cli/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MB ((int64_t)1000000)

static const struct published {
    const char *name, *url, *archive;
    int64_t size; /* of the archive, bytes */
    const char *md5;
    const char *folder; /* all there is in it */
    int64_t unpacked_most;
    const char *format; /* a data set's; NULL: corrupted copies of one */
} published[] = {
    { "cifar10", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "cifar-10-binary.tar.gz", 170052171,
      "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin", 200 * MB, "cifar10" },
    { "cifar100", "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "cifar-100-binary.tar.gz", 168513733,
      "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary", 200 * MB, "cifar100" },
    { "cifar10-c", "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar?download=1", "CIFAR-10-C.tar", 2918471680,
      "56bf5dcef84df0e2308c6dcbcbbd8499", "CIFAR-10-C", 3000 * MB, NULL },
    { "cifar100-c", "https://zenodo.org/records/3555552/files/CIFAR-100-C.tar?download=1", "CIFAR-100-C.tar",
      2918473216, "11f0ed0f1191edbf9fa23466ae6021d3", "CIFAR-100-C", 3000 * MB, NULL },
    { "tiny-imagenet", "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "tiny-imagenet-200.zip", 248100043,
      "90528d7ca1a48142e341f4ef8d21d0de", "tiny-imagenet-200", 1000 * MB, "tiny-imagenet" },
};
enum { PUBLISHED = sizeof(published) / sizeof(published[0]) };

static const struct published *published_find(const char *name)
{
    for (int i = 0; i < PUBLISHED; i++)
        if (strcmp(published[i].name, name) == 0)
            return &published[i];
    return NULL;
}

const char *dataset_published(size_t i)
{
    return i < PUBLISHED ? published[i].name : NULL;
}

/* What to do with it now. */
static void stanza_print(struct cli *cli, const struct published *set, const char *path)
{
    if (cli->json) {
        json_auto_t *json = json_pack("{s:s, s:s?, s:s}", "name", set->name, "format", set->format, "path", path);

        print_json(json);
    } else if (set->format) {
        printf("%s\nriftd --dataset %s=%s:%s\n", path, set->name, set->format, path);
    } else {
        printf("%s\n\"evaluate\": { \"corruptions\": { \"path\": \"%s\" } }\n", path, path);
    }
}

/* Is it the published file? A wrong one is removed: no more bytes would make it right. */
static int archive_check(const struct cli *cli, const struct published *set, int fd, const char *part)
{
    const char *sha256 = cli_value(cli, "sha256", NULL), *must = sha256 ? sha256 : cli_value(cli, "md5", set->md5);
    char is[65];
    struct fault why = { 0 };
    int64_t size;
    int r = sha256 ? sha256_file(part, is, &size, &why) : md5_file(fd, is);

    if (r < 0)
        return cli_error(CLI_FAILED, "%s: %s", part, strerror(-r));
    if (strcasecmp(is, must) == 0)
        return CLI_OK;
    unlink(part);
    return cli_error(CLI_FAILED, "dataset fetch: the %s of %s is %s, must be %s; what came was removed",
                     sha256 ? "SHA-256" : "MD5", set->archive, is, must);
}

static int archive_bring(const struct cli *cli, const struct published *set, const char *part)
{
    const char *url = cli_value(cli, "url", set->url);
    /* A file of one's own hash may have a size of its own. */
    int64_t size = cli_given(cli, "sha256") || cli_given(cli, "md5") ? 0 : set->size;
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    struct fault why = { 0 };
    struct stat st;

    if (fd < 0)
        return cli_error(CLI_FAILED, "%s: %m", part);
    int r = download_to(fd, url, size, &why);

    if (r == -EFBIG)
        unlink(part);
    if (r < 0)
        r = cli_error(r == -ECONNRESET ? CLI_UNREACHABLE : CLI_FAILED, "dataset fetch: %s", why.message);
    else if (size && fstat(fd, &st) == 0 && st.st_size != size)
        r = cli_error(CLI_FAILED, "dataset fetch: %s: %lld bytes came, it has %lld; again goes on from there",
                      set->archive, (long long)st.st_size, (long long)size);
    else
        r = archive_check(cli, set, fd, part);
    close(fd);
    return r;
}

static int fetch_to(struct cli *cli, const struct published *set, const char *to, const char *part)
{
    struct fault why = { 0 };
    int r = archive_bring(cli, set, part);

    if (r != CLI_OK)
        return r;
    r = unpack(part, to, set->folder, set->unpacked_most, &why);
    if (r < 0)
        return cli_error(CLI_FAILED, "dataset fetch: %s", why.message);
    unlink(part); /* it takes as much room as the data */
    return CLI_OK;
}

static int unknown_name(const char *name)
{
    char names[200] = "", words[200] = "", near[64];

    for (int i = 0; i < PUBLISHED; i++) {
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? ", " : "", published[i].name);
        snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s", i ? "|" : "", published[i].name);
    }
    bool meant = word_nearest(words, name, near, sizeof(near));

    return cli_error(CLI_USAGE, "dataset fetch: there is no \"%s\"%s%s%s There are %s", name,
                     meant ? "; did you mean \"" : ".", meant ? near : "", meant ? "\"?" : "", names);
}

/* The place to put it, made if it isn't there, as a path from the root. */
static int place_find(const char *given, char ret[PATH_MAX])
{
    char *inside = NULL;
    int r = asprintf(&inside, "%s/", given) < 0 ? -ENOMEM : make_parents(inside);

    if (r == 0 && !realpath(given, ret))
        r = -errno;
    free(inside);
    return r < 0 ? cli_error(CLI_FAILED, "dataset fetch: %s: %s", given, strerror(-r)) : CLI_OK;
}

int command_dataset_fetch(struct cli *cli)
{
    const struct published *set = published_find(cli->arguments[0]);
    char to[PATH_MAX];
    char *part = NULL, *path = NULL;

    if (!set)
        return unknown_name(cli->arguments[0]);
    int r = place_find(cli_value(cli, "to", "."), to);
    if (r != CLI_OK)
        return r;
    if (asprintf(&part, "%s/%s.part", to, set->archive) < 0 || asprintf(&path, "%s/%s", to, set->folder) < 0)
        return cli_error(CLI_FAILED, "out of memory");
    if (access(path, F_OK) != 0)
        r = fetch_to(cli, set, to, part);
    else
        fprintf(stderr, "riftctl: %s is there already\n", path);
    if (r == CLI_OK)
        stanza_print(cli, set, path);
    free(part);
    free(path);
    return r;
}
