/* How is Tiny-ImageNet read, as it is published?
 *
 *   PATH/train/WNID/images/x.JPEG     classes: the folders of train/, sorted by byte
 *   PATH/val/images/x.JPEG            the test images; their classes stand in
 *   PATH/val/val_annotations.txt      FILE <tab> WNID <tab> box, a line a file
 *
 * The images that everybody tests on are those of val/: test/ has no labels.
 * wnids.txt lists the classes in another order and isn't looked at. Many people
 * have sorted val/ into val/WNID/[images/]: that is read as well, and gives the
 * same examples in the same order, by class and name. What is half sorted is
 * refused, because the files that are missing from one half would simply not
 * count. */
#include "gpu/data/image_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IMAGES      "images"
#define ANNOTATIONS "val_annotations.txt"

enum { ANNOTATIONS_LIMIT_BYTES = 64 << 20 };

/* SIDE/WNID/images of every class, or SIDE/WNID where there is no such folder. */
static int classes_add(const char *side, const struct names *there, const struct names *classes, struct file_set *set,
                       struct fault *why)
{
    int r = 0;

    for (int i = 0; r == 0 && i < there->count; i++) {
        int label = names_find(classes, there->name[i]);
        char *folder = path_join(side, there->name[i]);

        if (label < 0) {
            r = fault_set(why, -EINVAL, "%s: class `%s` is not among the %d classes of train/", side, there->name[i],
                          classes->count);
        } else if (folder && folder_there(folder, IMAGES)) {
            r = image_files_add(set, path_join(folder, IMAGES), label, why);
        } else {
            r = image_files_add(set, folder, label, why);
            folder = NULL;
        }
        free(folder);
    }
    return r;
}

/* ---- val/ with its list ------------------------------------------------------------ */

struct annotation {
    const char *file; /* inside the text */
    int label;
};

static int by_file(const void *a, const void *b)
{
    return strcmp(((const struct annotation *)a)->file, ((const struct annotation *)b)->file);
}

static int by_label(const void *a, const void *b)
{
    const struct annotation *one = a, *other = b;

    return one->label != other->label ? (one->label < other->label ? -1 : 1) : by_file(a, b);
}

/* One line, cut into its words in place. */
static int line_read(const char *path, char *line, int number, const struct names *classes, struct annotation *ret,
                     struct fault *why)
{
    char *tab = strchr(line, '\t'), *wnid = tab ? tab + 1 : NULL;

    if (!tab || tab == line || *line == '.' || memchr(line, '/', (size_t)(tab - line)))
        return fault_set(why, -EBADMSG, "%s: line %d is not a file name, a tab and a class", path, number);
    *tab = 0;
    wnid[strcspn(wnid, "\t")] = 0;
    *ret = (struct annotation){ line, names_find(classes, wnid) };
    return ret->label >= 0 ? 0
                           : fault_set(why, -EINVAL, "%s: line %d: class `%.40s` is not among the %d classes of train/",
                                       path, number, wnid, classes->count);
}

/* All lines of the text. *ret: malloc'd. Returns how many. */
static int lines_read(const char *path, char *text, const struct names *classes, struct annotation **ret,
                      struct fault *why)
{
    int lines = 1, count = 0, number = 0, r = 0;

    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    struct annotation *rows = malloc((size_t)lines * sizeof(*rows));

    if (!rows)
        return fault_set(why, -ENOMEM, "%s: no memory for %d lines", path, lines);
    for (char *at = text, *next; at && r == 0; at = next) {
        size_t length = strcspn(at, "\r\n");

        next = strchr(at, '\n');
        next = next ? next + 1 : NULL;
        at[length] = 0;
        number++;
        if (length > 0)
            r = line_read(path, at, number, classes, &rows[count++], why);
    }
    if (r == 0 && count == 0)
        r = fault_set(why, -EBADMSG, "%s: names no image", path);
    if (r < 0) {
        free(rows);
        return r;
    }
    *ret = rows;
    return count;
}

/* Every file has one line and every line its file. */
static int annotations_check(const char *path, const char *images, struct annotation *rows, int count,
                             struct fault *why)
{
    struct names files = { 0 };
    int r = images_list(images, &files, why);

    qsort(rows, (size_t)count, sizeof(*rows), by_file);
    for (int i = 1; r == 0 && i < count; i++)
        if (strcmp(rows[i - 1].file, rows[i].file) == 0)
            r = fault_set(why, -EBADMSG, "%s: names `%.80s` twice", path, rows[i].file);
    for (int i = 0; r == 0 && i < count; i++)
        if (names_find(&files, rows[i].file) < 0)
            r = fault_set(why, -EINVAL,
                          "%s/%.80s: is not there, but %s names it: copied half, or moved into class folders half",
                          images, rows[i].file, ANNOTATIONS);
    for (int i = 0; r == 0 && i < files.count; i++) {
        struct annotation file = { .file = files.name[i] };

        if (!bsearch(&file, rows, (size_t)count, sizeof(*rows), by_file))
            r = fault_set(why, -EINVAL, "%s/%.80s: has no line in %s", images, files.name[i], path);
    }
    names_done(&files);
    return r;
}

static int annotated_add(const char *side, const struct names *classes, struct file_set *set, struct fault *why)
{
    char *path = path_join(side, ANNOTATIONS), *images = path_join(side, IMAGES), *text = NULL;
    struct annotation *rows = NULL;
    size_t size;
    int count = 0;
    int r = path && images ? file_read(path, ANNOTATIONS_LIMIT_BYTES, &text, &size, why)
                           : fault_set(why, -ENOMEM, "%s: out of memory", side);

    if (r == 0 && strlen(text) != size)
        r = fault_set(why, -EBADMSG, "%s: isn't text", path);
    if (r == 0)
        r = count = lines_read(path, text, classes, &rows, why);
    if (r >= 0)
        r = annotations_check(path, images, rows, count, why);
    if (r >= 0) {
        qsort(rows, (size_t)count, sizeof(*rows), by_label);
        r = image_files_enter(set, images, why);
        images = NULL;
    }
    for (int i = 0; r == 0 && i < count; i++)
        r = image_files_add_one(set, strdup(rows[i].file), rows[i].label, why);
    free(rows);
    free(text);
    free(path);
    free(images);
    return r;
}

/* ---- opening ------------------------------------------------------------------------- */

/* The test side: with its list, or sorted into class folders; not both. */
static int val_add(const char *side, const struct names *classes, struct file_set *set, struct fault *why)
{
    bool listed = folder_there(side, IMAGES);
    struct names there = { 0 }, wnids = { 0 };
    int r = folders_list(side, &there, why);

    for (int i = 0; r == 0 && i < there.count; i++)
        if (!listed || strcmp(there.name[i], IMAGES) != 0)
            r = names_add(&wnids, strdup(there.name[i])) < 0 ? fault_set(why, -ENOMEM, "%s: out of memory", side) : 0;
    if (r == 0 && listed && wnids.count > 0)
        r = fault_set(why, -EINVAL,
                      "%s: holds both " IMAGES "/ and class folders (%.40s): moved into class folders half", side,
                      wnids.name[0]);
    else if (r == 0 && listed)
        r = annotated_add(side, classes, set, why);
    else if (r == 0 && wnids.count < classes->count)
        r = fault_set(why, -EINVAL,
                      "%s: holds neither " IMAGES "/ with " ANNOTATIONS " nor a folder for each of the %d classes of "
                      "train/ (%d are there)",
                      side, classes->count, wnids.count);
    else if (r == 0)
        r = classes_add(side, &wnids, classes, set, why);
    names_done(&there);
    names_done(&wnids);
    return r;
}

static int open_tiny_imagenet(const struct data_request *request, struct file_set *set, struct fault *why)
{
    struct names classes = { 0 };
    char *train = path_join(request->path, "train");
    int r = image_files_open(set, why);

    set->name = !request->test       ? path_join(request->path, "train")
                : request->test_path ? strdup(request->test_path)
                                     : path_join(request->path, "val");
    if (r == 0)
        r = train && set->name ? folders_list(train, &classes, why)
                               : fault_set(why, -ENOMEM, "%s: out of memory", request->path);
    if (r == 0 && classes.count == 0)
        r = fault_set(why, -EINVAL, "%s: holds no class folders", train);
    if (r == 0)
        r = request->test ? val_add(set->name, &classes, set, why) : classes_add(train, &classes, &classes, set, why);
    if (r == 0) {
        set->classes = classes.count;
        set->class_name = classes.name;
        classes = (struct names){ 0 };
        r = image_files_end(request, set, why);
    }
    names_done(&classes);
    free(train);
    return r;
}

const struct reader reader_tiny_imagenet = { "tiny-imagenet", open_tiny_imagenet, image_files_load, image_files_close };
