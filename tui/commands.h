/* The one table of commands. A key, a line of the palette, a line of help, a hint in the bottom row and a row of the
 * key table in README are all the same entry here; there is no other list of keys. Adding a command is adding a row and
 * a case in the screen that carries it out. */
#ifndef TS_TUI_COMMANDS_H
#define TS_TUI_COMMANDS_H

#include "core/base/buf.h"

#include <stdint.h>

/* Where a command can be given. */
enum ts_place {
    TS_IN_BROWSE = 1,
    TS_IN_RECORD = 2, /* one example, its fields */
    TS_IN_TYPING = 4, /* a field of the example is being typed in */
    TS_IN_RUNS = 8,
    TS_IN_COMPARE = 16,
    TS_IN_FORM = 32,
    TS_IN_DUPS = 64,
    TS_IN_SCORES = 128,
    TS_IN_LISTS = TS_IN_BROWSE | TS_IN_RECORD | TS_IN_DUPS | TS_IN_SCORES | TS_IN_RUNS | TS_IN_COMPARE,
    TS_KEYLESS = 16, /* places << TS_KEYLESS: there its keys mean something else; palette and help still have it */
    TS_IN_ROWS = TS_IN_BROWSE | TS_IN_RECORD | TS_IN_DUPS | TS_IN_SCORES, /* where a row can be decided on */
};

typedef enum ts_group {
    TS_G_DECIDE,
    TS_G_EDIT,
    TS_G_FIND,
    TS_G_MARK,
    TS_G_RUN,
    TS_G_VIEW,
    TS_G_MOVE,
    TS_G_APP,
    TS_GROUPS
} ts_group;
extern const char *const ts_group_names[TS_GROUPS];

#define TS_BY_DIGIT (TS_IN_LISTS | (unsigned)TS_IN_COMPARE << TS_KEYLESS) /* digits vote on Compare */

/* id, name, places, keys (blanks between; 1..9 is each of these), group, rank of its hint (0: no hint; 1 is shown
 * first), short word for the hint, line of help */
#define TS_COMMANDS(X)                                                                                                 \
    X(ACCEPT, "accept", TS_IN_ROWS, "a", TS_G_DECIDE, 1, "accept", "accept, go to the next row")                       \
    X(REJECT, "reject", TS_IN_ROWS, "x", TS_G_DECIDE, 2, "reject", "reject, go to the next row")                       \
    X(LATER, "later", TS_IN_ROWS, "f", TS_G_DECIDE, 3, "later", "put off for later")                                   \
    X(RENEW, "renew", TS_IN_ROWS, "", TS_G_DECIDE, 0, "", "take the decision back: new again")                         \
    X(KEEP, "keep", TS_IN_DUPS, "Enter", TS_G_DECIDE, 1, "keep this", "keep this one, reject the rest of its group")   \
    X(KEEPER, "keeper", TS_IN_DUPS, "b", TS_G_DECIDE, 4, "best", "this one is the best: the one to keep")              \
    X(APART, "not-duplicate", TS_IN_DUPS, "A", TS_G_DECIDE, 3, "no duplicate",                                         \
      "no duplicate of the others, for good; or one")                                                                  \
    X(RESOLVE, "resolve", TS_IN_DUPS, "K", TS_G_DECIDE, 5, "resolve", "reject all but the best everywhere (asks)")     \
    X(VOTE, "vote", TS_IN_COMPARE, "1..9", TS_G_DECIDE, 1, "best", "this side is the best; go on")                     \
    X(VOTE_NONE, "vote-none", TS_IN_COMPARE, "0", TS_G_DECIDE, 3, "all bad", "all sides are bad; go on")               \
    X(VOTE_TIE, "vote-tie", TS_IN_COMPARE, "=", TS_G_DECIDE, 2, "tie", "the sides are equally good; go on")            \
    X(VOTE_CLEAR, "vote-clear", TS_IN_COMPARE, "", TS_G_DECIDE, 0, "", "take your vote on this prompt away")           \
    X(DISMISS, "dismiss", TS_IN_BROWSE | TS_IN_RECORD | TS_IN_SCORES, "d", TS_G_DECIDE, 9, "dismiss",                  \
      "a finding of the rules is wrong here")                                                                          \
    X(SELECT, "select", TS_IN_BROWSE, "s", TS_G_DECIDE, 0, "select", "choose the best rows that are not alike")        \
    X(RATE, "rate", TS_IN_BROWSE | TS_IN_RECORD, "r", TS_G_DECIDE, 0, "rate", "rate: then 1 to 5, 0 for none")         \
    X(TAG, "tag", TS_IN_BROWSE | TS_IN_RECORD, "#", TS_G_DECIDE, 0, "tag", "add a tag, -tag takes one away")           \
    X(UNDO, "undo", TS_IN_LISTS, "u BkSp", TS_G_DECIDE, 7, "undo", "undo the latest change, whoever made it")          \
    X(REDO, "redo", TS_IN_LISTS, "^R", TS_G_DECIDE, 0, "redo", "do again what was undone")                             \
    X(EDIT, "edit", TS_IN_BROWSE | TS_IN_RECORD, "e", TS_G_EDIT, 5, "edit", "edit here")                               \
    X(EDIT_OUTSIDE, "edit-outside", TS_IN_BROWSE | TS_IN_RECORD | TS_IN_COMPARE, "E", TS_G_EDIT, 0, "",                \
      "edit in $EDITOR; on Compare: the prompt")                                                                       \
    X(NEW_ROW, "new-row", TS_IN_BROWSE, "+", TS_G_EDIT, 0, "new row", "write a new example")                           \
    X(NEW_TALK, "new-talk", TS_IN_BROWSE, "", TS_G_EDIT, 0, "", "write a new example of several turns")                \
    X(COPY_ROW, "copy-row", TS_IN_BROWSE | TS_IN_RECORD, "Y", TS_G_EDIT, 0, "", "a copy of this row, to change")       \
    X(TURN_ADD, "add-turn", TS_IN_RECORD, "+", TS_G_EDIT, 7, "add turn", "a new turn below; or a system prompt")       \
    X(TURN_DROP, "drop-turn", TS_IN_RECORD, "D", TS_G_EDIT, 8, "drop turn", "take this turn out (saved by ^S)")        \
    X(TURN_ROLE, "turn-role", TS_IN_RECORD, "t", TS_G_EDIT, 0, "role", "another speaker: user, assistant, system")     \
    X(IMPORT, "import", TS_IN_BROWSE, "I", TS_G_EDIT, 0, "import", "import a file: JSON, CSV or text")                 \
    X(REJECTS, "rejects", TS_IN_BROWSE, "", TS_G_EDIT, 0, "", "rows that imports refused, to put right")               \
    X(SAVE_ANSWER, "save-answer", TS_IN_COMPARE, "s", TS_G_EDIT, 7, "save",                                            \
      "an answer into the data, new or corrected")                                                                     \
    X(PURGE, "purge", TS_IN_BROWSE, "", TS_G_EDIT, 0, "", "take rows out for good, history too (asks)")                \
    X(WRITE, "write", TS_IN_BROWSE, "w", TS_G_EDIT, 0, "write", "write the rows shown or marked to a file")            \
    X(COPY, "copy", TS_IN_LISTS, "y", TS_G_EDIT, 0, "copy", "copy to the clipboard (OSC 52)")                          \
    X(FIND, "find", TS_IN_BROWSE, "/", TS_G_FIND, 6, "find", "find as you type; re: for a pattern")                    \
    X(FIND_NEXT, "find-next", TS_IN_BROWSE, "n", TS_G_FIND, 0, "", "next hit")                                         \
    X(FIND_PREV, "find-prev", TS_IN_BROWSE, "N", TS_G_FIND, 0, "", "previous hit")                                     \
    X(FILTER, "filter", TS_IN_BROWSE, "& \\", TS_G_FIND, 6, "filter", "show only rows that fit: status=new tag:x")     \
    X(ORDER, "order", TS_IN_BROWSE | TS_IN_COMPARE, "o", TS_G_FIND, 8, "order", "order by a field or a measure")       \
    X(ORDER_REVERSE, "order-reverse", TS_IN_BROWSE | TS_IN_COMPARE, "O", TS_G_FIND, 0, "", "turn the order around")    \
    X(SNAPSHOT, "snapshot", TS_IN_BROWSE, "", TS_G_FIND, 0, "", "freeze the rows shown under a name")                  \
    X(SNAPSHOTS, "snapshots", TS_IN_BROWSE, "", TS_G_FIND, 0, "", "the snapshots: as a filter, or two compared")       \
    X(MARK, "mark", TS_IN_BROWSE, "Space", TS_G_MARK, 4, "mark", "mark, go down")                                      \
    X(MARK_RANGE, "mark-range", TS_IN_BROWSE, "v", TS_G_MARK, 0, "range", "begin or end a range of marks")             \
    X(MARK_ALL, "mark-all", TS_IN_BROWSE, "*", TS_G_MARK, 0, "all", "mark all rows shown, or none")                    \
    X(TRAIN, "train", TS_IN_BROWSE | TS_IN_RUNS, "T", TS_G_RUN, 9, "train", "train on rows: a form with all settings") \
    X(TRAIN_SAME, "train-again", TS_IN_RUNS, "t", TS_G_RUN, 4, "again", "the form with this run's settings")           \
    X(RESUME, "resume", TS_IN_RUNS, "r", TS_G_RUN, 0, "resume", "go on with a stopped run")                            \
    X(CANCEL, "cancel", TS_IN_LISTS, "c", TS_G_RUN, 0, "cancel", "stop the run or its wait, answers or search")        \
    X(COMPARE_RUN, "compare-run", TS_IN_RUNS, "C", TS_G_RUN, 3, "compare", "this run and marked ones beside base")     \
    X(COMBINE, "combine", TS_IN_RUNS, "+", TS_G_RUN, 8, "add up", "this run and marked ones as one adapter")           \
    X(MERGE, "merge", TS_IN_RUNS, "M", TS_G_RUN, 9, "merge", "this adapter into its model: a form")                    \
    X(NOTE, "note", TS_IN_RUNS | TS_IN_COMPARE, "#", TS_G_RUN, 0, "note", "a remark on this run, or on your vote")     \
    X(TAG_RUN, "tag-run", TS_IN_RUNS, "m", TS_G_RUN, 0, "tag", "a name for it: run:NAME; -NAME ends that")             \
    X(HOLD_RUN, "hold-run", TS_IN_RUNS, "h", TS_G_RUN, 0, "hold", "pass this waiting run over, or no longer")          \
    X(RUN_EARLIER, "run-earlier", TS_IN_RUNS, "K", TS_G_RUN, 0, "earlier", "one place earlier in the queue")           \
    X(RUN_LATER, "run-later", TS_IN_RUNS, "J", TS_G_RUN, 0, "later", "one place later in the queue")                   \
    X(RENAME_RUN, "rename-run", TS_IN_RUNS, "e", TS_G_RUN, 0, "name", "give this run another name")                    \
    X(DIFF_RUNS, "diff-runs", TS_IN_RUNS, "d", TS_G_VIEW, 0, "differ", "this run beside those drawn with Space")       \
    X(DELETE_RUN, "delete-run", TS_IN_RUNS, "D", TS_G_RUN, 0, "delete", "delete this run for good (asks)")             \
    X(REPORT, "report", TS_IN_LISTS, "W", TS_G_RUN, 0, "", "write a report to read or pass on")                        \
    X(ADVISE, "advise", TS_IN_LISTS, "", TS_G_RUN, 0, "", "prompting, retrieval or fine-tuning? a form")               \
    X(NEXT, "next", TS_IN_COMPARE | TS_IN_RECORD | TS_IN_DUPS | TS_IN_RUNS, "]", TS_G_MOVE, 1, "next",                 \
      "next prompt, row or group")                                                                                     \
    X(PREV, "prev", TS_IN_COMPARE | TS_IN_RECORD | TS_IN_DUPS | TS_IN_RUNS, "[", TS_G_MOVE, 2, "prev",                 \
      "previous prompt, row or group")                                                                                 \
    X(LIKENESS, "likeness", TS_IN_DUPS, "t", TS_G_VIEW, 6, "likeness", "search again: how alike, which texts")         \
    X(WORDS, "words", TS_IN_COMPARE | TS_IN_DUPS, "d", TS_G_VIEW, 4, "words",                                          \
      "mark words that differ; from the reference")                                                                    \
    X(DIFFERENT, "only-different", TS_IN_COMPARE, "f", TS_G_VIEW, 0, "differ",                                         \
      "only prompts whose answers differ, or all")                                                                     \
    X(BLIND, "blind", TS_IN_COMPARE, "b", TS_G_VIEW, 8, "blind", "hide and shuffle the sides until you vote")          \
    X(MEASURES, "measures", TS_IN_COMPARE, "m", TS_G_VIEW, 9, "measures", "all measures, of this prompt and of all")   \
    X(SIDES_LEFT, "sides-left", TS_IN_COMPARE, "Left h", TS_G_VIEW, 0, "", "the sides further left")                   \
    X(SIDES_RIGHT, "sides-right", TS_IN_COMPARE, "Right l", TS_G_VIEW, 0, "", "the sides further right")               \
    X(TEMPERATURE, "temperature", TS_IN_COMPARE, "", TS_G_RUN, 0, "", "0: the likeliest words; 0.7: R draws others")   \
    X(SIDES, "sides", TS_IN_COMPARE, "p", TS_G_RUN, 5, "sides", "choose the sides: base run:3 run:4/best")             \
    X(PICK_SIDE, "pick-side", TS_IN_COMPARE, "a", TS_G_RUN, 0, "runs", "add a run as a side from a list, or drop one") \
    X(OWN_PROMPT, "own-prompt", TS_IN_COMPARE, "e", TS_G_RUN, 6, "own prompt", "ask something of your own")            \
    X(PROMPTS, "prompts", TS_IN_COMPARE, "P", TS_G_RUN, 0, "prompts", "which: held out, a saved set, a file")          \
    X(KEEP_PROMPT, "keep-prompt", TS_IN_COMPARE, "K", TS_G_RUN, 0, "keep", "put this prompt into a saved set")         \
    X(KEEP_PROMPTS, "keep-prompts", TS_IN_COMPARE, "", TS_G_RUN, 0, "", "all prompts listed into a saved set")         \
    X(OVERLAY, "overlay", TS_IN_RUNS, "Space", TS_G_VIEW, 5, "mark", "mark this run: drawn beside, for C + d")         \
    X(CUT_LESS, "cut-less", TS_IN_SCORES, "Left h", TS_G_VIEW, 3, "cut", "move the cut to a lower value")              \
    X(CUT_MORE, "cut-more", TS_IN_SCORES, "Right l", TS_G_VIEW, 3, "cut", "move the cut to a higher value")            \
    X(SUMMARY, "summary", TS_IN_BROWSE, "S", TS_G_VIEW, 0, "numbers", "the data set in numbers; N: so many wanted")    \
    X(LOG_SCALE, "log-scale", TS_IN_RUNS | TS_IN_SCORES, "L", TS_G_VIEW, 6, "log y", "logarithmic axis, or not")       \
    X(SMOOTH, "smooth", TS_IN_RUNS, "S", TS_G_VIEW, 7, "smooth", "smoothing 0, 0.6, 0.9")                              \
    X(FOLLOW, "follow", TS_IN_RUNS, "f", TS_G_VIEW, 0, "follow", "log keeps to the newest line, or not")               \
    X(COLUMNS, "columns", TS_IN_BROWSE, "C", TS_G_VIEW, 0, "columns", "choose the columns; kept in the workspace")     \
    X(ZOOM, "zoom", TS_IN_LISTS, "z", TS_G_VIEW, 0, "zoom", "give the pane the whole screen, or not")                  \
    X(RELOAD, "reload", TS_IN_LISTS, "R", TS_G_VIEW, 0, "reload", "again: read, search or answer anew")                \
    X(PANE_NEXT, "pane-next", TS_IN_LISTS, "Tab", TS_G_VIEW, 0, "pane", "next pane")                                   \
    X(PANE_PREV, "pane-prev", TS_IN_LISTS, "S-Tab", TS_G_VIEW, 0, "", "previous pane")                                 \
    X(DOWN, "row-down", TS_IN_LISTS, "j Down ^N", TS_G_MOVE, 0, "", "down")                                            \
    X(UP, "row-up", TS_IN_LISTS, "k Up ^P", TS_G_MOVE, 0, "", "up")                                                    \
    X(FIRST, "row-first", TS_IN_LISTS, "g Home", TS_G_MOVE, 0, "", "first")                                            \
    X(LAST, "row-last", TS_IN_LISTS, "G End", TS_G_MOVE, 0, "", "last")                                                \
    X(PAGE_DOWN, "page-down", TS_IN_LISTS, "PgDn ^F", TS_G_MOVE, 0, "", "a page down")                                 \
    X(PAGE_UP, "page-up", TS_IN_LISTS, "PgUp ^B", TS_G_MOVE, 0, "", "a page up")                                       \
    X(HALF_DOWN, "half-down", TS_IN_LISTS, "^D", TS_G_MOVE, 0, "", "half a page down")                                 \
    X(HALF_UP, "half-up", TS_IN_LISTS, "^U", TS_G_MOVE, 0, "", "half a page up")                                       \
    X(GO_TO, "go-to", TS_IN_BROWSE, "", TS_G_MOVE, 0, "", "go to the row with a number; also :123")                    \
    X(OPEN, "open", TS_IN_LISTS & ~TS_IN_DUPS, "Enter", TS_G_VIEW, 2, "open", "open, or begin to edit")                \
    X(SAVE, "save", TS_IN_RECORD | TS_IN_TYPING, "^S", TS_G_EDIT, 1, "save", "save the changes to this row")           \
    X(TYPE_NEXT, "field-next", TS_IN_TYPING, "Tab", TS_G_EDIT, 2, "next field", "next field")                          \
    X(TYPE_PREV, "field-prev", TS_IN_TYPING, "S-Tab", TS_G_EDIT, 0, "", "previous field")                              \
    X(TYPE_OUTSIDE, "edit-in-editor", TS_IN_TYPING, "^O", TS_G_EDIT, 3, "$EDITOR", "go on in $EDITOR")                 \
    X(TYPE_UNDO, "undo-typing", TS_IN_TYPING, "^_", TS_G_EDIT, 4, "undo", "undo typing in this field")                 \
    X(TYPE_REDO, "redo-typing", TS_IN_TYPING, "M-r", TS_G_EDIT, 5, "redo", "redo typing in this field")                \
    X(TYPE_END, "stop-typing", TS_IN_TYPING, "Esc", TS_G_EDIT, 6, "done", "leave the field, keep its text")            \
    X(SCREEN_BROWSE, "screen-browse", TS_BY_DIGIT, "1", TS_G_APP, 0, "", "the examples")                               \
    X(SCREEN_DUPS, "screen-dups", TS_BY_DIGIT, "2", TS_G_APP, 0, "", "near duplicates, by groups")                     \
    X(SCREEN_SCORES, "screen-scores", TS_BY_DIGIT, "3", TS_G_APP, 0, "", "scores and what the rules find")             \
    X(SCREEN_RUNS, "screen-runs", TS_BY_DIGIT, "4", TS_G_APP, 0, "", "the training runs")                              \
    X(SCREEN_COMPARE, "screen-compare", TS_BY_DIGIT, "5", TS_G_APP, 0, "", "answers beside each other")                \
    X(SCREEN_NEXT, "screen-next", TS_IN_LISTS, ">", TS_G_APP, 0, "", "the next screen")                                \
    X(SCREEN_PREV, "screen-prev", TS_IN_LISTS, "<", TS_G_APP, 0, "", "the screen before")                              \
    X(GO_DUPS, "go-duplicates", TS_IN_BROWSE, "=", TS_G_VIEW, 0, "", "the duplicates of this row")                     \
    X(SCORE, "score", TS_IN_BROWSE, "", TS_G_VIEW, 0, "", "score all rows by the rules (again)")                       \
    X(SCORE_MODEL, "score-model", TS_IN_SCORES, "m", TS_G_VIEW, 9, "model",                                            \
      "by the model: loss, IFD, what a run learnt")                                                                    \
    X(HISTORY, "history", TS_IN_BROWSE | TS_IN_RECORD, "i", TS_G_VIEW, 0, "",                                          \
      "what was done to this row; put it back")                                                                        \
    X(LEARNT, "learnt", TS_IN_BROWSE | TS_IN_RECORD, "m", TS_G_VIEW, 0, "",                                            \
      "this row as the model sees it: + is learnt")                                                                    \
    X(PALETTE, "palette", TS_IN_LISTS, ":", TS_G_APP, 99, "commands", "every command by its name")                     \
    X(HELP, "help", TS_IN_LISTS, "? F1", TS_G_APP, 98, "help", "the keys of this screen; type to search")              \
    X(JOBS, "jobs", TS_IN_LISTS, "", TS_G_APP, 0, "", "what goes on in the background")                                \
    X(MESSAGES, "messages", TS_IN_LISTS, "", TS_G_APP, 0, "", "the latest messages")                                   \
    X(MOUSE, "mouse", TS_IN_LISTS, "", TS_G_APP, 0, "", "take mouse clicks and the wheel, or not")                     \
    X(BACK_OUT, "back-out", TS_IN_LISTS, "Esc", TS_G_APP, 0, "", "one step back: marks, hits, filter")                 \
    X(BACK, "back", TS_IN_LISTS, "q", TS_G_APP, 0, "back", "back; on a top screen: quit")                              \
    X(QUIT, "quit", TS_IN_LISTS, "Q", TS_G_APP, 0, "quit", "quit; a training run goes on")                             \
    X(INTERRUPT, "interrupt", TS_IN_LISTS | TS_IN_TYPING, "^C", TS_G_APP, 0, "", "stop what goes on; twice: quit")     \
    X(SUSPEND, "suspend", TS_IN_LISTS | TS_IN_TYPING, "^Z", TS_G_APP, 0, "", "back to the shell; fg returns")          \
    X(REPAINT, "repaint", TS_IN_LISTS | TS_IN_TYPING, "^L", TS_G_APP, 0, "", "draw everything again")

typedef enum ts_command_id {
#define TS_COMMAND_ID(id, ...) TS_DO_##id,
    TS_COMMANDS(TS_COMMAND_ID)
#undef TS_COMMAND_ID
        TS_COMMAND_COUNT
} ts_command_id;

typedef struct ts_command {
    const char *name;
    unsigned places;
    const char *keys;
    ts_group group;
    int rank;
    const char *hint, *help;
} ts_command;
extern const ts_command ts_commands[TS_COMMAND_COUNT];

/* The keys of a command in a place; "" when it has none there. */
const char *ts_command_keys(ts_command_id id, unsigned place);
/* The command a key means in a place; TS_COMMAND_COUNT: none. */
ts_command_id ts_command_for_key(unsigned place, uint32_t key);
ts_command_id ts_command_named(const char *name, size_t n);
/* The name of its first key in a place into out (16 bytes or more); "" when it has none. */
void ts_command_key(ts_command_id id, unsigned place, char *out);
/* Whether a name in a command's keys is a span ("1..9"): the key typed says which, and becomes the command's arg. */
bool ts_key_is_span(const char *name, size_t n);
/* The row of hints for a place: the best ranked that fit into `width` columns, "key word  key word ..". Help and
 * palette always stand at the end. `usable` says which are possible now; NULL: all. */
typedef bool ts_command_usable(void *ctx, ts_command_id id);
size_t ts_command_hints(unsigned place, size_t width, ts_command_usable *usable, void *ctx, ts_command_id *out,
                        size_t max);
/* The key table as Markdown: README's, and `tunesmith keys`. */
void ts_command_table(ts_buf *out);

#endif
