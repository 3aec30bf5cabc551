/* Are order, crops and flips pure functions that look random? */
#include "tests/data/files.h"

#include "gpu/backend/philox.h"

enum { COUNT = 1000 };

static void order_of(int64_t seed, uint32_t purpose, uint32_t epoch, int32_t order[COUNT])
{
    epoch_order(seed, purpose, epoch, true, COUNT, order);
}

static void an_order_is_a_permutation(void)
{
    static const int counts[] = { 0, 1, 2, 3, 17, COUNT };
    int32_t order[COUNT];

    for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
        int seen[COUNT] = { 0 };

        epoch_order(5, RANDOM_SHUFFLE, 3, true, counts[k], order);
        for (int i = 0; i < counts[k]; i++) {
            CHECK(order[i] >= 0 && order[i] < counts[k]);
            seen[order[i]]++;
        }
        for (int i = 0; i < counts[k]; i++)
            CHECK_INT(seen[i], 1);
        epoch_order(5, RANDOM_SHUFFLE, 3, false, counts[k], order);
        for (int i = 0; i < counts[k]; i++)
            CHECK_INT(order[i], i);
    }
}

static void orders_depend_on_everything(void)
{
    int32_t first[COUNT], again[COUNT], other[COUNT];
    static const struct {
        int64_t seed;
        uint32_t purpose, epoch;
    } rows[] = { { 1, RANDOM_SHUFFLE, 8 },
                 { 2, RANDOM_SHUFFLE, 7 },
                 { 1, RANDOM_MRC, 7 },
                 { 1 + ((int64_t)1 << 32), RANDOM_SHUFFLE, 7 } };

    order_of(1, RANDOM_SHUFFLE, 7, first);
    order_of(1, RANDOM_SHUFFLE, 7, again);
    CHECK_INT(memcmp(first, again, sizeof(first)), 0);
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        int same = 0;

        order_of(rows[k].seed, rows[k].purpose, rows[k].epoch, other);
        for (int i = 0; i < COUNT; i++)
            same += first[i] == other[i];
        CHECK(same < 12); /* 1 expected in a random permutation */
    }
}

/* All 24 orders of four, over many epochs, equally often. */
static void orders_are_even(void)
{
    int seen[256] = { 0 }, kinds = 0;
    double chi = 0;

    for (uint32_t epoch = 0; epoch < 24000; epoch++) {
        int32_t order[4];

        epoch_order(11, RANDOM_SHUFFLE, epoch, true, 4, order);
        seen[order[0] << 6 | order[1] << 4 | order[2] << 2 | order[3]]++;
    }
    for (int i = 0; i < 256; i++)
        if (seen[i]) {
            kinds++;
            chi += (seen[i] - 1000.0) * (seen[i] - 1000.0) / 1000.0;
        }
    CHECK_INT(kinds, 24);
    CHECK(chi < 49.7); /* chi-square, 23 degrees of freedom, p = 0.001 */
}

static void crops_are_even_and_in_range(void)
{
    static const int pads[] = { 4, 8 };
    static const double bounds[] = { 26.1, 39.3 }; /* p = 0.001 at 8 and 16 degrees of freedom */

    for (int k = 0; k < 2; k++) {
        int pad = pads[k], kinds = 2 * pad + 1, flips = 0, total = 1000 * kinds;
        int dx[17] = { 0 }, dy[17] = { 0 };
        double chi_x = 0, chi_y = 0, product = 0;

        for (int i = 0; i < total; i++) {
            struct crop crop = augment_crop(AUGMENT_STANDARD, 42, (uint32_t)i / 1000, i % 1000, i % 1000 + 5, pad);

            CHECK(crop.dx >= -pad && crop.dx <= pad && crop.dy >= -pad && crop.dy <= pad && crop.flip <= 1);
            CHECK_INT(crop.index, i % 1000 + 5);
            dx[crop.dx + pad]++;
            dy[crop.dy + pad]++;
            flips += crop.flip;
            product += crop.dx * crop.dy;
        }
        for (int i = 0; i < kinds; i++) {
            chi_x += (dx[i] - 1000.0) * (dx[i] - 1000.0) / 1000.0;
            chi_y += (dy[i] - 1000.0) * (dy[i] - 1000.0) / 1000.0;
        }
        CHECK(chi_x < bounds[k]);
        CHECK(chi_y < bounds[k]);
        CHECK(fabs(flips - total / 2.0) < 3.3 * sqrt(total / 4.0));
        /* dx and dy are independent: variance of a product is that of one, squared */
        double variance = pad * (pad + 1) / 3.0;

        CHECK(fabs(product / total) < 3.3 * variance / sqrt(total));
    }
}

static void crops_are_pure(void)
{
    struct crop none = augment_crop(AUGMENT_NONE, 1, 2, 3, 4, 4);
    int differ[4] = { 0 };

    CHECK_INT(none.index, 4);
    CHECK(none.dx == 0 && none.dy == 0 && none.flip == 0);
    for (int id = 0; id < 100; id++) {
        struct crop a = augment_crop(AUGMENT_STANDARD, 1, 2, id, 4, 8);
        struct crop others[4] = {
            augment_crop(AUGMENT_STANDARD, 1, 2, id, 9, 8), /* another place in memory: the same cut */
            augment_crop(AUGMENT_STANDARD, 2, 2, id, 4, 8),
            augment_crop(AUGMENT_STANDARD, 1, 3, id, 4, 8),
            augment_crop(AUGMENT_STANDARD, 1, 2, id + 1, 4, 8),
        };

        for (int k = 0; k < 4; k++)
            differ[k] += a.dx != others[k].dx || a.dy != others[k].dy || a.flip != others[k].flip;
    }
    CHECK_INT(differ[0], 0);
    for (int k = 1; k < 4; k++)
        CHECK(differ[k] > 95);
}

/* Bytes / 255 cut as floats are the bytes as the plain reference cuts them. */
static void floats_are_cut_as_bytes_are(void)
{
    enum { N = 60, C = 3, H = 12, W = 10, PAD = 5, IMAGE = C * H * W };
    static uint8_t bytes[N * IMAGE];
    static float floats[N * IMAGE], is[N * IMAGE], want[N * IMAGE];
    struct crop crops[N];

    for (int i = 0; i < N * IMAGE; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
        floats[i] = (float)bytes[i] / 255.0f;
    }
    for (int padding = PADDING_REFLECT; padding <= PADDING_ZERO; padding++) {
        for (int i = 0; i < N; i++)
            crops[i] = augment_crop(AUGMENT_STANDARD, 9, 4, i, (i * 7) % N, PAD);
        augment_cut(N, C, H, W, floats, crops, (enum padding)padding, is);
        CHECK_INT(backend_ref.load_batch(NULL, N, C, H, W, bytes, crops, (enum padding)padding, want), 0);
        CHECK_INT(memcmp(is, want, sizeof(is)), 0);
    }
}

static const struct check_case cases[] = {
    { "an order is a permutation, and the identity without shuffling", an_order_is_a_permutation },
    { "an order depends on seed, purpose and epoch and on nothing else", orders_depend_on_everything },
    { "all orders of four examples are equally frequent", orders_are_even },
    { "shifts are even, in range and independent, half the images are flipped", crops_are_even_and_in_range },
    { "a crop depends on seed, epoch and example and on nothing else", crops_are_pure },
    { "floats are cut as bytes are", floats_are_cut_as_bytes_are },
};

CHECK_MAIN(cases)
