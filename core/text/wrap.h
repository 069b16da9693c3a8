/* Breaking text into lines of a given width, one line at a time, so that only what is drawn is read. Any thread. */
#ifndef TS_TEXT_WRAP_H
#define TS_TEXT_WRAP_H

#include "core/base/mem.h"

/* s[from..to) is drawn on the line, without the spaces or the newline that ended it. */
typedef struct ts_line {
    size_t from, to;
    bool hard; /* ended by a newline or the end of the text */
} ts_line;

/* The line that begins at byte `at` (<= n) when `columns` (>= 2) are there. Returns where the next one begins. Lines
 * end at a newline (also \r\n), else behind a space or beside a wide character, else within a word between
 * user-perceived characters. A tab counts as one column. A text that ends in a newline has an empty last line;
 * the end is reached when the returned offset is n and the line is hard and does not end in a newline. */
size_t ts_wrap_next(const char *s, size_t n, size_t at, size_t columns, ts_line *line);

typedef struct ts_wrapped {
    ts_line *items;
    size_t n, cap;
} ts_wrapped;
/* All lines of s, but at most `max`, appended to out; an empty text gives one empty line. False when it stopped at max.
 */
bool ts_wrap_all(const char *s, size_t n, size_t columns, size_t max, ts_wrapped *out);
void ts_wrapped_release(ts_wrapped *lines);

#endif
