/* What do all data sets of JPEG and PNG files share?
 *
 * A file set whose `own` is a list of files, each in one of a few folders. A
 * layout (image_folder.c, tiny_imagenet.c, corruption_folder.c) says which
 * files with which labels; listing, decoding and releasing are here.
 *
 * Surprising: the ending only says that a file is meant as an image (as in
 * torchvision); which decoder reads it is decided by its first bytes, because
 * JPEGs called .png are common.
 *
 * Private to gpu/data/. */
#ifndef RIFT_GPU_DATA_IMAGE_FILES_H
#define RIFT_GPU_DATA_IMAGE_FILES_H

#include "gpu/data/reader.h"

struct names {
    char **name; /* sorted by byte when listed */
    int count, capacity;
};
void names_done(struct names *names);
/* Takes the string over, also on failure; NULL is out of memory. */
int names_add(struct names *names, char *name);
/* Place of `name` in sorted names, or -ENOENT. */
int names_find(const struct names *names, const char *name);

/* Folders / images of a directory that are not hidden, sorted by byte. */
int folders_list(const char *path, struct names *ret, struct fault *why);
int images_list(const char *path, struct names *ret, struct fault *why);
bool folder_there(const char *parent, const char *name);

/* `set->own` of a file set of image files; valid as zeros. */
struct image_files {
    struct names folders; /* paths, in the order they were added */
    struct image_file {
        int folder;
        char *name;
    } * file;
    int count, capacity;
};
int image_files_open(struct file_set *set, struct fault *why);
/* Append all images of a folder, of which there must be some (path is taken over). */
int image_files_add(struct file_set *set, char *path, int label, struct fault *why);
/* Append one file of the folder added last by image_files_enter (name is taken over). */
int image_files_enter(struct file_set *set, char *path, struct fault *why);
int image_files_add_one(struct file_set *set, char *name, int label, struct fault *why);
/* All files are there: count them, and where no input was given see what the first is like. */
int image_files_end(const struct data_request *request, struct file_set *set, struct fault *why);

/* Members of a struct reader. */
int image_files_load(const struct file_set *set, const int input[3], const int32_t *id, int count, uint8_t *pixels,
                     struct fault *why);
void image_files_close(struct file_set *set);

#endif
