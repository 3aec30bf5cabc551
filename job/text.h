/* Text from outside, made fit to be shown (private to job/). */
#ifndef RIFT_JOB_TEXT_H
#define RIFT_JOB_TEXT_H

/* Replace in place what isn't UTF-8 or would steer a terminal (control bytes)
 * by '?', so that the text can stand in JSON, in a log and on a screen. A
 * character cut in half at the end is dropped. */
void text_clean(char *text);

#endif
