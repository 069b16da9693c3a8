/* A verb of the command line as work of a job: this program as a child, with the very words that a person would type,
 * so that what a form shows is what runs, and a model that takes all memory takes the child only. */
#ifndef TS_TUI_VERB_JOB_H
#define TS_TUI_VERB_JOB_H

#include "core/base/buf.h"
#include "core/work/progress.h"

/* The words behind "tunesmith". */
typedef struct ts_call {
    char **items;
    size_t n, cap;
} ts_call;
void ts_call_add(ts_call *w, char *word); /* which becomes its own */
void ts_call_release(ts_call *w);
/* "tunesmith merge --model m": the line to type, quoted where it needs it. Appended. */
void ts_call_command(const ts_call *w, ts_buf *out);

/* Runs it to its end; a worker's. `result` gets the line of JSON it printed, `said` its remarks, one a line. Where it
 * fails its sentence is the error. A stop ends it as Ctrl-C would, with what that cleans up; one that does not hear
 * within a minute (between two looks it may write gigabytes to the disk) is ended the hard way. */
TS_MUST_USE ts_status ts_call_run(const ts_call *w, ts_progress *progress, ts_buf *result, ts_buf *said, ts_err *err);

#endif
