/* MD5 (RFC 1321), because that is what people have published of old data sets:
 * good against broken downloads, not against those who forge. */
#ifndef RIFT_CLI_MD5_H
#define RIFT_CLI_MD5_H

#include "job/job.h"

/* Of the bytes of an open file from its beginning. 0 or negative errno. */
int md5_file(int fd, char ret_hex[33]);

#endif
