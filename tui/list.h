/* A list that knows only how many rows there are: the cursor, what is in view, and the commands that move it. Whoever
 * draws reads the rows list->top to list->top + height and nothing else. */
#ifndef TS_TUI_LIST_H
#define TS_TUI_LIST_H

#include "tui/commands.h"

typedef struct ts_list {
    size_t count, cursor, top;
    int height; /* rows in view at the last ts_list_fit */
} ts_list;

/* Sets count and height and brings the cursor into both. Call before drawing. */
void ts_list_fit(ts_list *l, size_t count, int height);
/* DOWN, UP, FIRST, LAST, PAGE_.., HALF_..: moves and returns true; false for other commands. */
bool ts_list_command(ts_list *l, ts_command_id id);
void ts_list_move(ts_list *l, int64_t by);
void ts_list_scroll(ts_list *l, int64_t by); /* the wheel: the view moves, the cursor stays in it */

#endif
