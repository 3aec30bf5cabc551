/* How do all corruptions look beside each other?
 *
 *                     image 1                    image 2
 *                   0  1  2  3  4  5           0  1  ...      0: the image itself
 *   gaussian_noise  #  #  #  #  #  #           #  #
 *   shot_noise      #  #  ...
 *
 * Images are magnified by whole numbers, so that pixels stay pixels. The letters
 * are our own, 5x7 dots; names of corruptions have nothing but a-z and _. */
#include "gpu/data/corrupt/corrupt.h"
#include "gpu/data/image_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    GLYPH_WIDTH = 5,
    GLYPH_HEIGHT = 7,
    LETTER = GLYPH_WIDTH + 1,
    TEXT_SCALE = 2,
    NAME_LETTERS = 17,
    CELL_LEAST = 56, /* an image is shown at least that wide */
    GAP = 3,
    IMAGE_GAP = 10,
    MARGIN = 6,
    PAPER = 255,
    INK = 30,
    RGB = 3
};

/* Seven rows of five dots a letter; the leftmost dot is 16. */
static const struct {
    char letter;
    uint8_t row[GLYPH_HEIGHT];
} glyphs[] = {
    { 'a', { 0, 0, 14, 1, 15, 17, 15 } },    { 'b', { 16, 16, 30, 17, 17, 17, 30 } },
    { 'c', { 0, 0, 14, 16, 16, 17, 14 } },   { 'd', { 1, 1, 15, 17, 17, 17, 15 } },
    { 'e', { 0, 0, 14, 17, 31, 16, 14 } },   { 'f', { 6, 9, 8, 28, 8, 8, 8 } },
    { 'g', { 0, 15, 17, 17, 15, 1, 14 } },   { 'h', { 16, 16, 22, 25, 17, 17, 17 } },
    { 'i', { 4, 0, 12, 4, 4, 4, 14 } },      { 'j', { 2, 0, 6, 2, 2, 18, 12 } },
    { 'k', { 16, 16, 18, 20, 24, 20, 18 } }, { 'l', { 12, 4, 4, 4, 4, 4, 14 } },
    { 'm', { 0, 0, 26, 21, 21, 17, 17 } },   { 'n', { 0, 0, 22, 25, 17, 17, 17 } },
    { 'o', { 0, 0, 14, 17, 17, 17, 14 } },   { 'p', { 0, 0, 30, 17, 30, 16, 16 } },
    { 'q', { 0, 0, 13, 19, 15, 1, 1 } },     { 'r', { 0, 0, 22, 25, 16, 16, 16 } },
    { 's', { 0, 0, 14, 16, 14, 1, 30 } },    { 't', { 8, 8, 28, 8, 8, 9, 6 } },
    { 'u', { 0, 0, 17, 17, 17, 19, 13 } },   { 'v', { 0, 0, 17, 17, 17, 10, 4 } },
    { 'w', { 0, 0, 17, 17, 21, 21, 10 } },   { 'x', { 0, 0, 17, 10, 4, 10, 17 } },
    { 'y', { 0, 0, 17, 17, 15, 1, 14 } },    { 'z', { 0, 0, 31, 2, 4, 8, 31 } },
    { '0', { 14, 17, 19, 21, 25, 17, 14 } }, { '1', { 4, 12, 4, 4, 4, 4, 14 } },
    { '2', { 14, 17, 1, 2, 4, 8, 31 } },     { '3', { 31, 2, 4, 2, 1, 17, 14 } },
    { '4', { 2, 6, 10, 18, 31, 2, 2 } },     { '5', { 31, 16, 30, 1, 1, 17, 14 } },
};

struct page {
    uint8_t *pixel; /* [h,w,3] */
    int h, w;
};

static void dot(struct page *page, int y, int x, const uint8_t colour[RGB])
{
    if (y >= 0 && y < page->h && x >= 0 && x < page->w)
        memcpy(page->pixel + ((size_t)y * page->w + x) * RGB, colour, RGB);
}

/* One dot of a drawing, magnified. */
static void block(struct page *page, int y, int x, int scale, const uint8_t colour[RGB])
{
    for (int i = 0; i < scale * scale; i++)
        dot(page, y + i / scale, x + i % scale, colour);
}

/* Letters we have no drawing of, such as _, are gaps. */
static void write_text(struct page *page, int y, int x, const char *text)
{
    static const uint8_t ink[RGB] = { INK, INK, INK };

    for (; *text; text++, x += LETTER * TEXT_SCALE)
        for (size_t g = 0; g < sizeof(glyphs) / sizeof(glyphs[0]); g++)
            for (int i = 0; glyphs[g].letter == *text && i < GLYPH_HEIGHT * GLYPH_WIDTH; i++)
                if (glyphs[g].row[i / GLYPH_WIDTH] & 1 << (GLYPH_WIDTH - 1 - i % GLYPH_WIDTH))
                    block(page, y + i / GLYPH_WIDTH * TEXT_SCALE, x + i % GLYPH_WIDTH * TEXT_SCALE, TEXT_SCALE, ink);
}

/* An image [C,side,side] with its upper left corner at (y, x). */
static void place(struct page *page, int y, int x, int scale, int side, int channels, const uint8_t *image)
{
    int plane = side * side;

    for (int i = 0; i < plane; i++) {
        uint8_t colour[RGB];

        for (int c = 0; c < RGB; c++)
            colour[c] = image[(channels == 1 ? 0 : c * plane) + i];
        block(page, y + i / side * scale, x + i % side * scale, scale, colour);
    }
}

/* Where things are. */
struct grid {
    int scale, cell, left, top, columns;
};

static int column_x(const struct grid *grid, int image, int column)
{
    return grid->left + image * (grid->columns * (grid->cell + GAP) + IMAGE_GAP) + column * (grid->cell + GAP);
}

static int row_y(const struct grid *grid, int row)
{
    return grid->top + row * (grid->cell + GAP);
}

/* One image in one corruption, from the left to the right. */
static int row_draw(const struct contact_sheet *sheet, const struct grid *grid, const struct examples *images,
                    int image, int row, struct studio *studio, uint8_t *scratch, struct page *page)
{
    int side = images->h, r = 0;
    const uint8_t *from = images->u8 + (size_t)image * images->c * side * side;

    place(page, row_y(grid, row), column_x(grid, image, 0), grid->scale, side, images->c, from);
    for (int s = 0; s < sheet->severity_count && r == 0; s++) {
        const struct corruption corruption = { sheet->which[row], sheet->severities[s], sheet->parameters,
                                               sheet->seed };

        r = corrupt_image(studio, &corruption, (uint64_t)images->id[image], images->c, from, scratch);
        if (r == 0)
            place(page, row_y(grid, row), column_x(grid, image, 1 + s), grid->scale, side, images->c, scratch);
    }
    return r;
}

static void labels_draw(const struct contact_sheet *sheet, const struct grid *grid, int count, struct page *page)
{
    for (int row = 0; row < sheet->which_count; row++)
        write_text(page, row_y(grid, row) + (grid->cell - GLYPH_HEIGHT * TEXT_SCALE) / 2, MARGIN,
                   corruption_infos[sheet->which[row]].name);
    for (int image = 0; image < count; image++)
        for (int column = 0; column < grid->columns; column++) {
            char digit[2] = { (char)('0' + (column ? sheet->severities[column - 1] : 0)), 0 };

            write_text(page, MARGIN, column_x(grid, image, column) + (grid->cell - GLYPH_WIDTH * TEXT_SCALE) / 2,
                       digit);
        }
}

int contact_sheet_draw(const struct contact_sheet *sheet, const struct examples *images, uint8_t **ret,
                       size_t *ret_size)
{
    int count = sheet->images < images->count ? sheet->images : images->count, side = images->h;
    int scale = (CELL_LEAST + side - 1) / side;
    struct grid grid = { .scale = scale,
                         .cell = scale * side,
                         .left = MARGIN + NAME_LETTERS * LETTER * TEXT_SCALE + GAP,
                         .top = MARGIN + GLYPH_HEIGHT * TEXT_SCALE + GAP,
                         .columns = 1 + sheet->severity_count };
    struct page page = { .h = row_y(&grid, sheet->which_count) + MARGIN,
                         .w = column_x(&grid, count, 0) - IMAGE_GAP + MARGIN };
    size_t size = (size_t)page.h * page.w * RGB;
    struct studio *studio = NULL;
    uint8_t *scratch = malloc((size_t)RGB * side * side);

    page.pixel = malloc(size);
    int r = page.pixel && scratch ? studio_open(side, &studio) : -ENOMEM;
    if (r == 0) {
        memset(page.pixel, PAPER, size);
        labels_draw(sheet, &grid, count, &page);
    }
    for (int i = 0; i < count * sheet->which_count && r == 0; i++)
        r = row_draw(sheet, &grid, images, i / sheet->which_count, i % sheet->which_count, studio, scratch, &page);
    if (r == 0)
        r = png_encode(page.pixel, RGB, page.h, page.w, ret, ret_size);
    studio_close(studio);
    free(scratch);
    free(page.pixel);
    return r;
}
