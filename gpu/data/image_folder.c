/* How is a tree of image files read?
 *
 *   PATH/train/CLASS/a.jpg      classes: the folders of train/, sorted by byte
 *   PATH/test/CLASS/b.png       (or PATH/val, or test_path): classes among those of train/
 *
 * Files are taken in the order of class and name, so an example's id does not
 * depend on the file system. */
#include "gpu/data/image_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Labels are places in `classes`, the sorted folders of train/. */
static int files_list(const char *side, const struct names *classes, struct file_set *set, struct fault *why)
{
    struct names there = { 0 };
    int r = folders_list(side, &there, why);

    if (r == 0 && there.count == 0)
        r = fault_set(why, -EINVAL, "%s: holds no class folders", side);
    for (int i = 0; r == 0 && i < there.count; i++) {
        int label = names_find(classes, there.name[i]);

        if (label < 0)
            r = fault_set(why, -EINVAL, "%s: class `%s` is not among the %d classes of the training images", side,
                          there.name[i], classes->count);
        else
            r = image_files_add(set, path_join(side, there.name[i]), label, why);
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
    return path_join(request->path, folder_there(request->path, "test")  ? "test"
                                    : folder_there(request->path, "val") ? "val"
                                                                         : "test");
}

static int open_image_folder(const struct data_request *request, struct file_set *set, struct fault *why)
{
    struct names classes = { 0 };
    char *train = path_join(request->path, "train");
    int r = image_files_open(set, why);

    set->name = side_find(request);
    if (r == 0)
        r = train && set->name ? folders_list(train, &classes, why)
                               : fault_set(why, -ENOMEM, "%s: out of memory", request->path);
    if (r == 0)
        r = files_list(set->name, &classes, set, why);
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

const struct reader reader_image_folder = { "image-folder", open_image_folder, image_files_load, image_files_close };
