/* ts_store: one workspace, opened. A workspace is a folder with tunesmith.db (SQLite in WAL mode), runs/ and exports/.
 *
 * Threads: a ts_store belongs to one thread at a time; open the same folder again for another thread (about 1 ms).
 * Readers never wait. Every act that changes examples is one transaction that carries its step of history
 * (dataset/history.h); writers queue for at most the store's patience and then fail with TS_BUSY. No lock is held
 * between calls.
 *
 * Failures are sentences for people: not a workspace, made by a newer version, read-only, disk full, locked. */
#ifndef TS_DATASET_STORE_H
#define TS_DATASET_STORE_H

#include "core/base/buf.h"
#include "core/work/progress.h"

typedef struct ts_store ts_store;

/* Text from data: n bytes of UTF-8 without NUL bytes, and a NUL behind them. s = NULL: there is none (not the same
 * as an empty one). */
typedef struct ts_text {
    const char *s;
    size_t n;
} ts_text;

typedef enum ts_row_status { TS_NEW, TS_ACCEPTED, TS_REJECTED, TS_LATER, TS_ROW_STATUSES } ts_row_status;
const char *ts_row_status_name(ts_row_status s);                       /* "new", "accepted", "rejected", "later" */
bool ts_row_status_of(const char *name, size_t n, ts_row_status *out); /* false: no such status */

/* How the example was written. In the shape `messages` the fields instruction (all user turns, an empty line between),
 * output (all assistant turns) and system are made from the messages, so that lists, search, duplicates and scores
 * need not care. */
typedef enum ts_shape { TS_ALPACA, TS_MESSAGES } ts_shape;

typedef struct ts_row {
    int64_t id;
    bool gone;        /* there is no such row (any more, or its import was undone); all else is empty */
    int64_t revision; /* the step that last changed the texts; hand it to ts_row_edit */
    ts_shape shape;
    ts_row_status status;
    int rating;         /* 0 none, 1 to 5 */
    const char *tags;   /* sorted, one blank between; "" for none */
    const char *origin; /* "file.json:12", or "typed" */
    ts_text instruction, input, output, system;
    ts_text messages; /* shape messages: the JSON array as it came, without white space between */
    ts_text extra;    /* members of the row we do not know, as JSON text without the braces: "a":1,"b":2 */
    int64_t tokens;   /* -1 not counted */
    double score;     /* 0 worst to 1 best; NaN before scoring */
    int64_t dup;      /* number of its duplicate group, 0 none */
} ts_row;

/* Makes the folder (parents too) and an empty workspace in it. TS_INVALID when it is one already. */
TS_MUST_USE ts_status ts_store_init(const char *folder, ts_err *err);
/* who: "ui", "cli", ...: named in the history. An older version's database is copied to tunesmith.db.vN.bak and
 * migrated; a folder that cannot be written opens for reading only; one where locks do not work is refused. */
TS_MUST_USE ts_status ts_store_open(ts_store **out, const char *folder, const char *who, ts_err *err);
void ts_store_close(ts_store *st); /* NULL is fine */

const char *ts_store_folder(const ts_store *st);
bool ts_store_read_only(const ts_store *st);
/* How long a write waits for another program's write. 5,000 unless told otherwise; a screen uses less. */
void ts_store_patience(ts_store *st, int milliseconds);
/* While set, long reads and acts of this store look at progress->cancel and then end with TS_CANCELLED. */
void ts_store_watch(ts_store *st, const ts_progress *progress);
/* A number that grows with every change of the workspace, by whomever. Cheap: one row by key. -1 when unreadable. */
int64_t ts_store_version(ts_store *st);

/* ---- reading ---- */

/* The rows `ids[0..n)`, in that order. Texts live in `arena` until it is reset. A row that is not there gives .gone. */
TS_MUST_USE ts_status ts_rows_read(ts_store *st, const int64_t *ids, size_t n, ts_row *out, ts_arena *arena,
                                   ts_err *err);
/* One row; TS_NOT_FOUND with a sentence when it is not there. */
TS_MUST_USE ts_status ts_row_read(ts_store *st, int64_t id, ts_row *out, ts_arena *arena, ts_err *err);

typedef struct ts_rule_value {
    const char *rule;
    double value; /* above 0; 0 is fine and not stored */
    bool dismissed;
} ts_rule_value;
/* The rule scores of a row that are not 0, worst first, in `arena`. */
TS_MUST_USE ts_status ts_row_scores(ts_store *st, int64_t id, ts_rule_value **out, size_t *n, ts_arena *arena,
                                    ts_err *err);

typedef struct ts_counts {
    int64_t rows, by_status[TS_ROW_STATUSES], scored, tokens_counted, tokens, in_groups, groups, rejects;
} ts_counts;
TS_MUST_USE ts_status ts_store_counts(ts_store *st, ts_counts *out, ts_err *err);

/* ---- acts; each is one step of history ---- */

/* What an act did, as a sentence without a full stop: "rejected 12 rows", "undid: rejected 12 rows". */
typedef struct ts_done {
    int64_t step; /* 0: there was nothing to do, and no step was made */
    int64_t rows; /* rows that changed */
    char text[200];
} ts_done;

/* ids need not be sorted; rows that have the value already do not count. `done` may be NULL. */
TS_MUST_USE ts_status ts_rows_set_status(ts_store *st, const int64_t *ids, size_t n, ts_row_status status,
                                         ts_done *done, ts_err *err);
TS_MUST_USE ts_status ts_rows_set_rating(ts_store *st, const int64_t *ids, size_t n, int rating, ts_done *done,
                                         ts_err *err);
/* on = false takes the tag away. A tag is 1 to 64 bytes without white space, commas and quotes. */
TS_MUST_USE ts_status ts_rows_tag(ts_store *st, const int64_t *ids, size_t n, const char *tag, bool on, ts_done *done,
                                  ts_err *err);

typedef enum ts_field { TS_INSTRUCTION, TS_INPUT, TS_OUTPUT, TS_SYSTEM, TS_MESSAGES_JSON, TS_TAGS, TS_FIELDS } ts_field;
const char *ts_field_name(ts_field f);
bool ts_field_of(const char *name, size_t n, ts_field *out);

typedef struct ts_edit {
    ts_field field;
    ts_text text; /* s = NULL takes a system prompt away */
} ts_edit;
/* Changes fields of one row in one step. `revision` is that of the row that was shown (-1: do not care).
 * TS_BUSY names the other change when the texts have changed since. Rows of shape messages take
 * TS_MESSAGES_JSON, or TS_OUTPUT, TS_INSTRUCTION and TS_SYSTEM where just one turn of that role exists; the message's
 * other members stay. Scores and token counts of the row are forgotten. */
TS_MUST_USE ts_status ts_row_edit(ts_store *st, int64_t id, int64_t revision, const ts_edit *edits, size_t n,
                                  ts_done *done, ts_err *err);

/* A row to add. messages.s not NULL: shape messages, and instruction, input, output and system are ignored. */
typedef struct ts_draft {
    ts_text instruction, input, output, system, messages, extra;
} ts_draft;
TS_MUST_USE ts_status ts_row_add(ts_store *st, const ts_draft *draft, int64_t *id, ts_done *done, ts_err *err);

/* A rule's finding on a row was wrong (or was not): it counts as 0 from now on. */
TS_MUST_USE ts_status ts_row_dismiss(ts_store *st, int64_t id, const char *rule, bool on, ts_done *done, ts_err *err);

/* Takes back the latest step. `expected`: the step the caller believes to be the latest (0: whichever it is); when
 * another came since, TS_BUSY names who did what. TS_NOT_FOUND when there is nothing to undo. */
TS_MUST_USE ts_status ts_undo(ts_store *st, int64_t expected, ts_done *done, ts_err *err);
/* Does again the step that was undone last. A new act ends the chance. */
TS_MUST_USE ts_status ts_redo(ts_store *st, ts_done *done, ts_err *err);

/* ---- what is not part of the history ---- */

/* Settings by name (dataset/config.h knows the names). Value appended to `out`; false when it is not set. */
bool ts_setting_get(ts_store *st, const char *key, ts_buf *out);
TS_MUST_USE ts_status ts_setting_set(ts_store *st, const char *key, const char *value, ts_err *err); /* NULL unsets */
void ts_setting_each(ts_store *st, void (*fn)(void *ctx, const char *key, const char *value), void *ctx);

/* Hash of all that the history covers: texts, marks, dismissals of the rows that are there, rows held apart, and votes.
 * For tests and reports. */
TS_MUST_USE ts_status ts_store_hash(ts_store *st, char out[33], ts_err *err);
/* SQLite's own check of the file; TS_CORRUPT with its first finding. */
TS_MUST_USE ts_status ts_store_check(ts_store *st, ts_err *err);

#endif
