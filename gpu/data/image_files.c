/* How are many small image files listed and read?
 *
 * Files are decoded when they are chosen, by all threads; when several are bad,
 * the first in order is the one reported, however the threads ran. */
#include "gpu/data/image_files.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { IMAGE_FILE_LIMIT_BYTES = 64 << 20, FILES_AT_ONCE = 32 /* what a thread takes */ };

/* ---- names ---------------------------------------------------------------------- */

void names_done(struct names *names)
{
    for (int i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
    *names = (struct names){ 0 };
}

int names_add(struct names *names, char *name)
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

int names_find(const struct names *names, const char *name)
{
    char **found = names->count ? bsearch(&name, names->name, names->count, sizeof(*names->name), by_bytes) : NULL;

    return found ? (int)(found - names->name) : -ENOENT;
}

/* ---- listing -------------------------------------------------------------------- */

bool folder_there(const char *parent, const char *name)
{
    struct stat st;
    char *path = path_join(parent, name);
    bool ret = path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);

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

int folders_list(const char *path, struct names *ret, struct fault *why)
{
    return list(path, folder_there, ret, why);
}

int images_list(const char *path, struct names *ret, struct fault *why)
{
    return list(path, wants_image, ret, why);
}

/* ---- collecting ------------------------------------------------------------------ */

int image_files_open(struct file_set *set, struct fault *why)
{
    set->own = calloc(1, sizeof(struct image_files));
    return set->own ? 0 : fault_set(why, -ENOMEM, "no memory for a list of files");
}

int image_files_enter(struct file_set *set, char *path, struct fault *why)
{
    struct image_files *own = set->own;

    return names_add(&own->folders, path) < 0 ? fault_set(why, -ENOMEM, "%s: out of memory", set->name) : 0;
}

int image_files_add_one(struct file_set *set, char *name, int label, struct fault *why)
{
    struct image_files *own = set->own;

    if (name && own->count == own->capacity && own->capacity <= INT_MAX / 2) {
        int capacity = own->capacity ? 2 * own->capacity : 256;
        struct image_file *file = realloc(own->file, capacity * sizeof(*file));
        int64_t *labels = realloc(set->label, capacity * sizeof(*labels));

        own->file = file ? file : own->file;
        set->label = labels ? labels : set->label;
        own->capacity = file && labels ? capacity : own->capacity;
    }
    if (!name || own->count == own->capacity) {
        free(name);
        return fault_set(why, -ENOMEM, "%s: no memory for the names of %d files", set->name, own->count + 1);
    }
    own->file[own->count] = (struct image_file){ own->folders.count - 1, name };
    set->label[own->count++] = label;
    return 0;
}

int image_files_add(struct file_set *set, char *path, int label, struct fault *why)
{
    struct names files = { 0 };
    int r = image_files_enter(set, path, why);

    if (r == 0)
        r = images_list(path, &files, why);
    if (r == 0 && files.count == 0)
        r = fault_set(why, -EINVAL, "%s: holds no images (.jpg, .jpeg or .png)", path);
    for (int i = 0; r == 0 && i < files.count; i++) {
        r = image_files_add_one(set, files.name[i], label, why);
        files.name[i] = NULL;
    }
    names_done(&files);
    return r;
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

static char *file_path(const struct image_files *own, int which)
{
    return path_join(own->folders.name[own->file[which].folder], own->file[which].name);
}

/* What the first image is like; the others are compared with it when they are read. */
static int first_shape(struct file_set *set, struct fault *why)
{
    struct picture picture = { 0 };
    char *path = file_path(set->own, 0);
    int r = path ? picture_read(path, NULL, &picture, why) : fault_set(why, -ENOMEM, "%s: out of memory", set->name);

    free(path);
    set->c = 3;
    set->h = picture.h;
    set->w = picture.w;
    return r;
}

int image_files_end(const struct data_request *request, struct file_set *set, struct fault *why)
{
    set->count = ((struct image_files *)set->own)->count;
    return request->input ? 0 : first_shape(set, why);
}

void image_files_close(struct file_set *set)
{
    struct image_files *own = set->own;

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

int image_files_load(const struct file_set *set, const int input[3], const int32_t *id, int count, uint8_t *pixels,
                     struct fault *why)
{
    const struct image_files *own = set->own;
    size_t image = (size_t)input[0] * input[1] * input[2];
    int first_bad = count, code = 0;

#pragma omp parallel if (count > FILES_AT_ONCE)
    {
        uint8_t *scratch = malloc((size_t)2 * 3 * input[1] * input[2]);

#pragma omp for schedule(dynamic, FILES_AT_ONCE)
        for (int i = 0; i < count; i++) {
            struct fault words = { 0 };
            int bad;

#pragma omp atomic read
            bad = first_bad;
            if (i > bad) /* files before the first bad one are still looked at: one of them may be worse */
                continue;
            char *path = file_path(own, id[i]);
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
