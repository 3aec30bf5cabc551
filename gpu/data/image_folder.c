/* How is a tree of image files read?
 *
 *   PATH/train/CLASS/a.jpg      classes: the folders of train/, sorted by byte
 *   PATH/test/CLASS/b.png       (or PATH/val, or test_path): classes among those of train/
 *
 * Files are taken in the order of class and name, so an example's id does not
 * depend on the file system. Only chosen files are decoded, by all threads;
 * when several are bad, the first in that order is the one reported, however
 * the threads ran.
 *
 * Surprising: the ending only says that a file is meant as an image (as in
 * torchvision); which decoder reads it is decided by its first bytes, because
 * JPEGs called .png are common. */
#include "gpu/data/reader.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { IMAGE_FILE_LIMIT_BYTES = 64 << 20, FILES_AT_ONCE = 32 /* what a thread takes */ };

struct names {
    char **name; /* sorted */
    int count, capacity;
};

struct folder_file {
    int folder; /* index of its class folder's path */
    char *name;
};

struct folder {
    struct names folders; /* paths of the class folders */
    struct folder_file *file;
    int count;
};

static void names_done(struct names *names)
{
    for (int i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
}

/* Takes the string over, also on failure; NULL is out of memory. */
static int names_add(struct names *names, char *name)
{
    if (names->count == names->capacity) {
        int capacity = names->capacity ? 2 * names->capacity : 64;
        char **grown = capacity > 0 ? realloc(names->name, capacity * sizeof(*grown)) : NULL;

        if (!grown) {
            free(name);
            return -ENOMEM;
        }
        names->name = grown;
        names->capacity = capacity;
    }
    if (!name)
        return -ENOMEM;
    names->name[names->count++] = name;
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- listing -------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool wants_folder(const char *parent, const char *name)
{
    char *path = path_join(parent, name);
    bool ret = path && is_folder(path);

    free(path);
    return ret;
}

static bool wants_image(const char *parent, const char *name)
{
    static const char *const endings[] = { ".jpg", ".jpeg", ".png" };
    const char *dot = strrchr(name, '.');

    (void)parent;
    for (size_t i = 0; dot && i < sizeof(endings) / sizeof(endings[0]); i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

/* The entries of a directory that are wanted and not hidden, sorted by byte. */
static int list(const char *path, bool (*wants)(const char *, const char *), struct names *ret, struct fault *why)
{
    DIR *directory = opendir(path);
    struct names names = { 0 };
    int r = 0;

    if (!directory)
        return fault_set(why, -errno, "%s: %s", path, strerror(errno));
    errno = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(directory)); errno = 0)
        if (entry->d_name[0] != '.' && wants(path, entry->d_name))
            r = names_add(&names, strdup(entry->d_name));
    if (r == 0)
        r = -errno;
    closedir(directory);
    if (r < 0) {
        names_done(&names);
        return fault_set(why, r, "%s: %s", path, strerror(-r));
    }
    if (names.count > 0)
        qsort(names.name, names.count, sizeof(*names.name), by_bytes);
    *ret = names;
    return 0;
}

/* Append the images of one class folder (path is taken over). */
static int class_add(char *path, int label, struct file_set *set, struct fault *why)
{
    struct folder *own = set->own;
    struct names files = { 0 };

    if (names_add(&own->folders, path) < 0)
        return fault_set(why, -ENOMEM, "%s: out of memory", set->name);
    int r = list(path, wants_image, &files, why);

    if (r < 0)
        return r;
    size_t count = (size_t)own->count + files.count;
    struct folder_file *file = realloc(own->file, (count + 1) * sizeof(*file));
    int64_t *labels = realloc(set->label, (count + 1) * sizeof(*labels));

    own->file = file ? file : own->file;
    set->label = labels ? labels : set->label;
    if (files.count == 0)
        r = fault_set(why, -EINVAL, "%s: holds no images (.jpg, .jpeg or .png)", path);
    else if (count > INT_MAX)
        r = fault_set(why, -EFBIG, "%s: more images than can be counted", set->name);
    else if (!file || !labels)
        r = fault_set(why, -ENOMEM, "%s: no memory for the names of %zu files", set->name, count);
    for (int i = 0; r == 0 && i < files.count; i++) {
        file[own->count] = (struct folder_file){ own->folders.count - 1, files.name[i] };
        files.name[i] = NULL;
        labels[own->count++] = label;
    }
    names_done(&files);
    return r;
}

/* Labels are places in `classes`, the sorted folders of train/. */
static int files_list(const char *side, const struct names *classes, struct file_set *set, struct fault *why)
{
    struct names there = { 0 };
    int r = list(side, wants_folder, &there, why);

    if (r == 0 && there.count == 0)
        r = fault_set(why, -EINVAL, "%s: holds no class folders", side);
    for (int i = 0; r == 0 && i < there.count; i++) {
        char **class = bsearch(&there.name[i], classes->name, classes->count, sizeof(*classes->name), by_bytes);

        if (!class)
            r = fault_set(why, -EINVAL, "%s: class `%s` is not among the %d classes of the training images", side,
                          there.name[i], classes->count);
        else
            r = class_add(path_join(side, *class), (int)(class - classes->name), set, why);
    }
    names_done(&there);
    return r;
}

/* PATH/train, PATH/test, PATH/val or test_path. */
static char *side_find(const struct data_request *request)
{
    if (!request->test)
        return path_join(request->path, "train");
    if (request->test_path)
        return strdup(request->test_path);
    return path_join(request->path, wants_folder(request->path, "test")  ? "test"
                                    : wants_folder(request->path, "val") ? "val"
                                                                         : "test");
}

/* ---- decoding -------------------------------------------------------------------- */

static const struct {
    const char *magic;
    size_t length;
    int (*decode)(const char *, const uint8_t *, size_t, const int[3], struct picture *, struct fault *);
} decoders[] = {
    { "\xff\xd8\xff", 3, image_jpeg_decode },
    { "\x89PNG\r\n\x1a\n", 8, image_png_decode },
};

/* One file to a picture by whoever knows its first bytes. */
static int picture_read(const char *path, const int input[3], struct picture *picture, struct fault *why)
{
    char *data;
    size_t size;
    int r = file_read(path, IMAGE_FILE_LIMIT_BYTES, &data, &size, why);

    if (r < 0)
        return r;
    r = 1;
    for (size_t i = 0; i < sizeof(decoders) / sizeof(decoders[0]); i++)
        if (size >= decoders[i].length && memcmp(data, decoders[i].magic, decoders[i].length) == 0)
            r = decoders[i].decode(path, (const uint8_t *)data, size, input, picture, why);
    free(data);
    return r <= 0 ? r : fault_set(why, -EBADMSG, "%s: neither a JPEG nor a PNG (%zu bytes)", path, size);
}

/* ---- opening ---------------------------------------------------------------------- */

/* What the first image is like; the others are compared with it when they are read. */
static int first_shape(struct file_set *set, struct fault *why)
{
    const struct folder *own = set->own;
    struct picture picture = { 0 };
    char *path = path_join(own->folders.name[own->file[0].folder], own->file[0].name);
    int r = path ? picture_read(path, NULL, &picture, why) : fault_set(why, -ENOMEM, "%s: out of memory", set->name);

    free(path);
    set->c = 3;
    set->h = picture.h;
    set->w = picture.w;
    return r;
}

static int open_image_folder(const struct data_request *request, struct file_set *set, struct fault *why)
{
    struct names classes = { 0 };
    char *train = path_join(request->path, "train");

    set->own = calloc(1, sizeof(struct folder));
    set->name = side_find(request);
    int r = train && set->own && set->name ? list(train, wants_folder, &classes, why)
                                           : fault_set(why, -ENOMEM, "%s: out of memory", request->path);

    if (r == 0)
        r = files_list(set->name, &classes, set, why);
    if (r == 0) {
        set->count = ((struct folder *)set->own)->count;
        set->classes = classes.count;
        set->class_name = classes.name;
        classes = (struct names){ 0 };
        if (!request->input)
            r = first_shape(set, why);
    }
    names_done(&classes);
    free(train);
    return r;
}

static void close_image_folder(struct file_set *set)
{
    struct folder *own = set->own;

    if (!own)
        return;
    for (int i = 0; i < own->count; i++)
        free(own->file[i].name);
    free(own->file);
    names_done(&own->folders);
    free(own);
}

/* ---- loading ---------------------------------------------------------------------- */

/* One file to one image of the model's shape. `scratch` holds two pictures. */
static int image_load(const char *path, const int input[3], uint8_t *scratch, uint8_t *ret, struct fault *why)
{
    size_t plane = (size_t)input[1] * input[2];
    struct picture picture = { .pixel = scratch };
    uint8_t *planar = scratch + 3 * plane;
    int r = picture_read(path, input, &picture, why);

    if (r < 0)
        return r;
    plane = (size_t)picture.h * picture.w;
    for (size_t i = 0; i < plane; i++)
        for (int c = 0; c < picture.c; c++)
            planar[c * plane + i] = picture.pixel[i * picture.c + c];
    fit(planar, picture.c, picture.h, picture.w, 1, input, ret);
    return 0;
}

static int load_image_folder(const struct file_set *set, const int input[3], const int32_t *id, int count,
                             uint8_t *pixels, struct fault *why)
{
    const struct folder *own = set->own;
    size_t image = (size_t)input[0] * input[1] * input[2];
    int first_bad = count, code = 0;

#pragma omp parallel if (count > FILES_AT_ONCE)
    {
        uint8_t *scratch = malloc((size_t)2 * 3 * input[1] * input[2]);

#pragma omp for schedule(dynamic, FILES_AT_ONCE)
        for (int i = 0; i < count; i++) {
            const struct folder_file *file = &own->file[id[i]];
            struct fault words = { 0 };
            int bad;

#pragma omp atomic read
            bad = first_bad;
            if (i > bad) /* files before the first bad one are still looked at: one of them may be worse */
                continue;
            char *path = path_join(own->folders.name[file->folder], file->name);
            int r = path && scratch ? image_load(path, input, scratch, pixels + i * image, &words)
                                    : fault_set(&words, -ENOMEM, "%s: out of memory", set->name);

            free(path);
            if (r == 0)
                continue;
#pragma omp critical
            if (i < first_bad) {
#pragma omp atomic write
                first_bad = i;
                code = fault_set(why, r, "%s", words.message);
            }
        }
        free(scratch);
    }
    return code;
}

const struct reader reader_image_folder = { "image-folder", open_image_folder, load_image_folder, close_image_folder };
