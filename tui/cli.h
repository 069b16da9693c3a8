/* The command line: one table of verbs, one table of options per verb. Help, parsing and error texts come from the
 * tables.
 *
 * Adding a verb: a file tui/cli_x.c with a `const ts_verb ts_verb_x = {...}`, and its row in tui/verbs.c. A verb prints
 * results on stdout, everything else on stderr, and returns an exit code: 0 fine, 1 failed, 2 usage, 3 finished but
 * found problems, 130 interrupted. */
#ifndef TS_TUI_CLI_H
#define TS_TUI_CLI_H

#include "core/base/buf.h"
#include "core/work/progress.h"

enum ts_exit { TS_EXIT_OK = 0, TS_EXIT_FAILED = 1, TS_EXIT_USAGE = 2, TS_EXIT_PROBLEMS = 3, TS_EXIT_INTERRUPTED = 130 };

/* What an option's value is stored as in the verb's option struct. */
typedef enum ts_opt_kind {
    TS_OPT_FLAG, /* bool */
    TS_OPT_TEXT, /* const char *; NULL unless in the defaults */
    TS_OPT_INT,  /* int64_t */
    TS_OPT_NUM,  /* double */
    TS_OPT_LIST, /* ts_texts: may be given several times */
} ts_opt_kind;

typedef struct ts_texts {
    const char **items;
    size_t n, cap;
} ts_texts;

typedef struct ts_opt {
    const char *name; /* without the dashes */
    ts_opt_kind kind;
    size_t at;         /* offsetof(struct of the verb, member) */
    const char *value; /* what help calls the value: "N", "FILE"; NULL for flags */
    const char *help;  /* one line; the default is added from the defaults */
} ts_opt;

typedef struct ts_cmd {
    const struct ts_verb *verb;
    const char **args; /* what is not an option, in order */
    size_t n_args;
    bool json, quiet;    /* every verb takes --json and --quiet */
    bool progress_lines; /* --progress-lines, too */
} ts_cmd;

typedef struct ts_verb {
    const char *name;
    const char *args;       /* "WS FILE..." as help shows it */
    const char *help;       /* one line */
    const char *more;       /* further lines for --help, or NULL */
    int min_args, max_args; /* max -1: any number */
    const ts_opt *opts;
    size_t n_opts;
    size_t size;          /* sizeof the option struct */
    const void *defaults; /* its default values, NULL for all zero */
    int (*run)(const ts_cmd *cmd, const void *opts);
    bool hidden; /* not in the list of verbs (engine) */
} ts_verb;

/* The table (tui/verbs.c), in the order help shows; ends with NULL. */
extern const ts_verb *const ts_verbs[];
const ts_verb *ts_verb_find(const char *name);

/* Parses argv[0..argc) (what stands behind the verb's name) and runs the verb. Returns the exit code. */
int ts_verb_run(const ts_verb *verb, int argc, char **argv);

/* "tunesmith VERB: sentence" on stderr. Exit code for the error: 130 when cancelled, else 1. */
int ts_cmd_fail(const ts_cmd *cmd, const ts_err *err);
/* The same for wrong usage, with a hint to --help; returns 2. */
int ts_cmd_usage(const ts_cmd *cmd, const char *fmt, ...) TS_PRINTF(2, 3);
/* A remark on stderr, dropped with --quiet. */
void ts_cmd_note(const ts_cmd *cmd, const char *fmt, ...) TS_PRINTF(2, 3);
/* Appends "\n" and writes the buffer to stdout, then empties it. */
void ts_cmd_print_line(ts_buf *line);

/* A progress meter on stderr for one long act: a bar ten times a second when it is a terminal (nothing before 300 ms),
 * a plain line every ten seconds when it is not, nothing with --quiet; with --progress-lines five lines a second of
 * {"progress":"writing","done":3,"total":10}. Ctrl-C sets progress->cancel; a second one
 * within the act ends the program with 130. `unit` is what is counted ("rows", "tokens"), with rate and time left. */
typedef struct ts_meter ts_meter;
ts_meter *ts_meter_start(const ts_cmd *cmd, ts_progress *progress, const char *what, const char *unit);
void ts_meter_stop(ts_meter *m); /* clears the line; NULL is fine */
/* A text that the meter shows behind the bar from now on ("loss 1.84"); may be called from the working thread. */
void ts_meter_say(ts_meter *m, const char *fmt, ...) TS_PRINTF(2, 3);

#endif
