/* Text as columns of a terminal: how wide it is, where it may be cut, and what may be drawn at all.
 *
 * Text from data is hostile: it can hold escape sequences, bidirectional overrides, invisible characters and bytes
 * that are no UTF-8. Everything that reaches a screen goes through this reader, which makes a drawn copy:
 *   - bytes that are no UTF-8 and control characters become visible escapes (\xff, ^[, <U+202E>);
 *   - zero-width joiners, variation selectors and byte order marks are left out of the copy, because terminals do not
 *     agree on their width (measured: a family joined by them is 6 columns for wcwidth and 2 for tmux);
 *   - a character without a known width becomes one U+FFFD.
 * The stored text is never changed. Widths equal glibc's wcwidth for every character both know (a test compares).
 * Any thread. */
#ifndef TS_TEXT_CELLS_H
#define TS_TEXT_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One piece to draw: a character with its marks, or the text of one escape. */
typedef struct ts_glyph {
    char text[20]; /* valid UTF-8 and a NUL; marks that do not fit are left out */
    uint8_t len;
    uint8_t width;  /* columns, at least 1 */
    bool escaped;   /* drawn in place of something that must not reach the terminal */
    bool cut_here;  /* a user-perceived character begins here: text may be cut in front of it */
    size_t at, end; /* the bytes of the source it stands for */
} ts_glyph;

typedef struct ts_cells {
    const char *s;
    size_t n, at;
    int32_t before, state; /* for the rules of grapheme clusters */
} ts_cells;

/* Starts reading s[0..n); s may hold anything. A newline, tab or carriage return is one plain space here; wrap.h
 * handles them as layout. */
void ts_cells_init(ts_cells *c, const char *s, size_t n);
/* The next piece; false at the end. */
bool ts_cells_next(ts_cells *c, ts_glyph *g);

/* Columns of the whole text. */
size_t ts_cells_width(const char *s, size_t n);
/* Bytes of the longest start of s that fits into `columns` and ends between user-perceived characters; *width
 * (may be NULL) gets its columns. Reads no further than it needs. */
size_t ts_cells_fit(const char *s, size_t n, size_t columns, size_t *width);
/* Start of the user-perceived character in front of / behind the one at byte `at` (for cursors). */
size_t ts_cells_prev(const char *s, size_t n, size_t at);
size_t ts_cells_after(const char *s, size_t n, size_t at);

#endif
