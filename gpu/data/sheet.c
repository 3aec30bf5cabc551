/* Images side by side: where each goes, and how large.
 *
 * Small images are magnified until a cell has CELL_LEAST pixels, so that pixels
 * stay pixels; large ones are shrunk, by averaging squares, until it has no more
 * than CELL_MOST: a sheet is for looking, and a hundred photographs in full size
 * would be half a gigabyte. */
#include "gpu/data/sheet.h"

#include "gpu/data/image_write.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_LEAST = 56, CELL_MOST = 128, PAPER = 255 };

int sheet_open(int rows, int columns, int channels, int side, struct sheet *ret)
{
    struct sheet sheet = { .rows = rows, .columns = columns, .channels = channels, .side = side };

    sheet.magnified = side < CELL_LEAST ? (CELL_LEAST + side - 1) / side : 1;
    sheet.shrunk = (side + CELL_MOST - 1) / CELL_MOST;
    sheet.cell = side * sheet.magnified / sheet.shrunk;
    sheet.h = SHEET_GAP + rows * (sheet.cell + SHEET_GAP);
    sheet.w = SHEET_GAP + columns * (sheet.cell + SHEET_GAP);
    size_t size = (size_t)sheet.h * sheet.w * channels;

    sheet.pixel = malloc(size);
    if (!sheet.pixel)
        return -ENOMEM;
    memset(sheet.pixel, PAPER, size);
    *ret = sheet;
    return 0;
}

void sheet_done(struct sheet *sheet)
{
    free(sheet->pixel);
    *sheet = (struct sheet){ 0 };
}

/* The mean of a square of one channel, or the one pixel that it is. */
static uint8_t square_mean(const uint8_t *plane, int side, int y, int x, int square)
{
    unsigned sum = 0;

    for (int i = 0; i < square * square; i++)
        sum += plane[(size_t)(y + i / square) * side + x + i % square];
    return (uint8_t)((sum + (unsigned)(square * square) / 2) / (unsigned)(square * square));
}

void sheet_put(struct sheet *sheet, int row, int column, const uint8_t *image)
{
    int top = SHEET_GAP + row * (sheet->cell + SHEET_GAP), left = SHEET_GAP + column * (sheet->cell + SHEET_GAP);
    size_t plane = (size_t)sheet->side * sheet->side;

    assert(row >= 0 && row < sheet->rows && column >= 0 && column < sheet->columns);
    for (int y = 0; y < sheet->cell; y++)
        for (int x = 0; x < sheet->cell; x++) {
            uint8_t *to = sheet->pixel + ((size_t)(top + y) * sheet->w + left + x) * sheet->channels;

            for (int c = 0; c < sheet->channels; c++)
                to[c] = square_mean(image + c * plane, sheet->side, y / sheet->magnified * sheet->shrunk,
                                    x / sheet->magnified * sheet->shrunk, sheet->shrunk);
        }
}

int sheet_encode(const struct sheet *sheet, uint8_t **ret, size_t *ret_size)
{
    return png_encode(sheet->pixel, sheet->channels, sheet->h, sheet->w, ret, ret_size);
}
