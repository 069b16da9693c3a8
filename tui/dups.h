/* The Duplicates screen (screen_dups.c). */
#ifndef TS_TUI_DUPS_H
#define TS_TUI_DUPS_H

#include "tui/app.h"

/* Shows it with a group under the cursor, if the groups have been read. */
void ts_dups_screen_show(ts_app *app, int64_t group);

#endif
