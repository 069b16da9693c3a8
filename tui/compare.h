/* The state of the Compare screen, shared by screen_compare.c (jobs, commands), compare_list.c (which prompts are shown
 * in which order, and which side stands where), compare_prompts.c (which prompts are asked), compare_save.c (answers
 * into the data), compare_sides.c (choosing sides) and draw_compare.c. The answers are made by a job on the models
 * queue; what it has so far reaches the screen as notes in a locked inbox, taken ten times a second. */
#ifndef TS_TUI_COMPARE_H
#define TS_TUI_COMPARE_H

#include "core/base/file.h"
#include "dataset/answers.h"
#include "eval/compare.h"
#include "tui/app.h"

#include <pthread.h>

enum { SIDES_MAX = 6 };

struct shown_answer {
    ts_buf text;    /* failed: why there is none */
    ts_buf context; /* what the side was shown beside the prompt: examples, passages */
    char stop[12];
    int64_t tokens;
    double reference_loss, repetition; /* NAN: not known */
    bool complete, failed, checked, passed;
    double values[TS_METRIC_COUNT]; /* NAN: not measured */
};

struct shown_prompt {
    char *text, *reference;
    char *messages;        /* all that is asked, as a JSON array; NULL: made up by a test */
    char *choices;         /* of multiple choice, as a JSON array; NULL: none */
    size_t right;          /* which of them is the reference */
    size_t leak;           /* words in a row that it shares with a row that was trained on; 0: none known */
    int64_t leak_row;      /* that row */
    int64_t example, kept; /* kept: what a vote is about; 0: it cannot be voted on */
    char vote[512];        /* the side that is best for the person, TS_VOTE_TIE or TS_VOTE_NONE; "" */
    char note[256];        /* to the vote; its beginning */
    struct shown_answer answers[SIDES_MAX];
};

/* What the worker has to say: the prompts, an answer as far as it goes, a whole answer. */
struct note {
    struct note *next;
    enum { NOTE_PROMPTS, NOTE_TEXT, NOTE_ANSWER } kind;
    size_t prompt, side;
    char *text;
    struct shown_answer answer;
    struct shown_prompt *prompts;
    size_t n_prompts;
};

struct inbox {
    pthread_mutex_t lock; /* guards first and last */
    struct note *first, *last;
};

/* What the words of an answer are held against. */
enum compare_words { WORDS_FIRST, WORDS_REFERENCE, WORDS_PLAIN };

struct compare {
    ts_screen screen;
    char *sides[SIDES_MAX];
    size_t n_sides;
    struct choices *choices; /* of the menu of sides, compare_sides.c; NULL: it was not opened yet */
    struct shown_prompt *prompts;
    size_t n_prompts;
    size_t *order, n_order; /* the prompts as listed: places in `prompts` */
    ts_list list;           /* of them */
    size_t scroll, first_column;
    enum compare_words words;
    bool zoom, on_list, running;
    bool different; /* only prompts whose answers differ */
    bool blind;     /* sides shuffled and unnamed until there is a vote */
    uint64_t blind_seed;
    int metric;                 /* that the list is ordered by; -1: as asked */
    size_t metric_side, saving; /* saving: the side whose answer goes into the data */
    bool reversed;
    double temperature;
    char *own;     /* a prompt of the person's own; NULL: those of `from` */
    char *from;    /* a file of prompts, maybe a saved set's; NULL: the held-out ones */
    ts_names sets; /* of the menu of prompts */
    char last_set[48];
    int64_t seed;
    unsigned number; /* of the job whose notes count */
    struct inbox inbox;
    ts_compare_metrics metrics[SIDES_MAX];
    bool measured;
    char problem[600];
    double seconds;
};

/* ---- compare_list.c ---- */

/* The prompt under the cursor; NULL: none is listed. */
struct shown_prompt *compare_here(const struct compare *k);
/* Lists the prompts anew; the cursor stays on its prompt if that is still listed. */
void compare_relist(struct compare *k);
/* Whether the sides of this prompt may be named. */
bool compare_named(const struct compare *k, const struct shown_prompt *p);
/* The side that stands in a column, and the column of a side. */
size_t compare_side_at(const struct compare *k, const struct shown_prompt *p, size_t column);
size_t compare_column_of(const struct compare *k, const struct shown_prompt *p, size_t side);
void compare_ask_order(struct compare *k);
/* A page of all measures: of this prompt, and of all with intervals. */
void compare_measures(struct compare *k);

/* ---- compare_sides.c ---- */

/* A menu of the runs: the one chosen becomes a side, or is one no longer. */
void compare_pick_side(struct compare *k);
void compare_forget_choices(struct compare *k);

/* ---- screen_compare.c ---- */

/* Makes answers of these sides, unless some are on their way. */
void compare_set_sides(struct compare *k, const char *text);
/* Appends a side to such a text, in quotes where it needs them. */
void compare_put_side(ts_buf *text, const char *side);

/* Makes answers to what is to be asked now, and drops a prompt of the person's own. */
void compare_ask_anew(struct compare *k);

/* ---- compare_prompts.c ---- */

/* A menu: the held-out rows, the saved sets, a file; arg: the name of a set, or a file. */
void compare_ask_prompts(struct compare *k, const char *arg);
/* Puts the prompt under the cursor, or all that are listed, into a saved set; arg: its name. */
void compare_keep_prompts(struct compare *k, const char *arg, bool all);

/* ---- compare_save.c ---- */

/* Asks which answer (arg: the column's number), and whether as a new row or in the place of its row's answer. */
void compare_save(struct compare *k, const char *arg);
void compare_ask_note(struct compare *k, const char *arg);

void compare_draw(ts_screen *s, ts_canvas *c, ts_rect body);
void compare_status(ts_screen *s, char *left, char *right);

#endif
