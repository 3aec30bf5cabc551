/* Can any bytes be given as a JPEG file? */
#include "tests/fuzz/picture.h"

void fuzz_one(const uint8_t *data, size_t size)
{
    picture_see(image_jpeg_decode, data, size);
}
