/* How do many images become one picture that a program can cut apart again?
 *
 *      gap                                cell    an image, magnified or shrunk by a whole number
 *     +---+------+---+------+---+         at      column c, row r: x = gap + c * (cell + gap), y likewise
 *     |   | cell |   | cell |   |
 *
 * There are no letters on it: whoever shows the picture writes beside each cell
 * what a file with the same layout says about it. */
#ifndef RIFT_GPU_DATA_SHEET_H
#define RIFT_GPU_DATA_SHEET_H

#include <stddef.h>
#include <stdint.h>

struct sheet {
    int rows, columns;
    int channels, side;          /* of the images, which are square */
    int magnified, shrunk, cell; /* cell = side * magnified / shrunk; one of the two is 1 */
    int h, w;                    /* of the picture */
    uint8_t *pixel;              /* [h,w,channels] */
};

enum { SHEET_GAP = 2 };

/* Empty, and white. 0 or -ENOMEM. */
int sheet_open(int rows, int columns, int channels, int side, struct sheet *ret);
void sheet_done(struct sheet *sheet);
/* An image [C,side,side] of as many channels. */
void sheet_put(struct sheet *sheet, int row, int column, const uint8_t *image);
/* As PNG, malloc'd. 0 or -ENOMEM. */
int sheet_encode(const struct sheet *sheet, uint8_t **ret, size_t *ret_size);

#endif
