/* One example, all its fields, to read and to edit: opened from Browse, drawn in its place. Typed text is kept in the
 * fields until it is saved; saving is one act that fails when somebody else changed the texts meanwhile. */
#ifndef TS_TUI_RECORD_H
#define TS_TUI_RECORD_H

#include "tui/app.h"

typedef struct ts_record ts_record;

/* The row as it is now; NULL (and a message) when it cannot be read. */
ts_record *ts_record_open(ts_app *app, int64_t id);
/* Empty fields for a new example. */
ts_record *ts_record_new_row(ts_app *app);
ts_record *ts_record_new_talk(ts_app *app); /* the same, a user's and an assistant's turn */
void ts_record_free(ts_record *r);

int64_t ts_record_id(const ts_record *r); /* 0: not saved yet */
bool ts_record_unsaved(const ts_record *r);
bool ts_record_typing(const ts_record *r);
/* The data set changed: takes over what others wrote, unless something is unsaved here. */
void ts_record_changed(ts_record *r);
void ts_record_draw(ts_record *r, ts_canvas *c, ts_rect body);
void ts_record_status(ts_record *r, char *left, char *right);
bool ts_record_command(ts_record *r, ts_command_id id);
bool ts_record_input(ts_record *r, const ts_input *in);
void ts_record_begin(ts_record *r);   /* begins to type in the field chosen */
void ts_record_outside(ts_record *r); /* all fields in $EDITOR */

#endif
