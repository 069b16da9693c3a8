/* How an example is shown: signs, numbers, and the page with everything about it. UI thread. */
#ifndef TS_TUI_ROW_H
#define TS_TUI_ROW_H

#include "dataset/store.h"
#include "tui/doc.h"

/* ". + x ?" for new, accepted, rejected, later. */
char ts_row_sign(ts_row_status s);
ts_role ts_row_role(ts_row_status s);
/* "51,977" into out of at least 32 bytes. */
const char *ts_thousands(int64_t n, char *out);

/* One turn or field of an example, borrowed from the row or the arena. */
typedef struct ts_row_part {
    const char *name; /* "instruction", "user", ... */
    ts_field field;   /* what an edit of it is; TS_FIELDS: part of the messages array, number `turn` */
    size_t turn;
    ts_text text;
} ts_row_part;
enum { TS_PARTS_MAX = 64 };
/* The parts of a row in reading order, at most TS_PARTS_MAX; later turns are left out and *more is set. */
size_t ts_row_parts(const ts_row *row, ts_row_part *out, bool *more, ts_arena *arena);

/* A messages array as text to read: "user: ..", an empty line between turns. In the arena. */
ts_text ts_row_talk(const char *messages, size_t n, ts_arena *arena);

/* "#1,204  accepted  rated 4  score 0.91  84 tokens  3 marked" */
void ts_row_title(const ts_row *row, char *out, size_t n);
/* The page of the detail pane. rules may be NULL. */
void ts_row_page(ts_doc *d, const ts_row *row, const ts_rule_value *rules, size_t n_rules);

#endif
