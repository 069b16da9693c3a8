/* The state of the Compare screen, shared by screen_compare.c (jobs, commands) and draw_compare.c. The answers are made
 * by a job on the models queue; what it has so far reaches the screen as notes in a locked inbox, taken ten times a
 * second. */
#ifndef TS_TUI_COMPARE_H
#define TS_TUI_COMPARE_H

#include "dataset/answers.h"
#include "eval/compare.h"
#include "tui/app.h"

#include <pthread.h>

enum { SIDES_MAX = 6 };

struct shown_answer {
    ts_buf text;
    char stop[12];
    int64_t tokens;
    double reference_loss, repetition; /* NAN: not known */
    bool complete, checked, passed;
};

struct shown_prompt {
    char *text, *reference;
    int64_t example, kept; /* kept: what a vote is about; 0: it cannot be voted on */
    char vote[64];         /* the side that is best for the person, TS_VOTE_TIE or TS_VOTE_NONE; "" */
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

struct compare {
    ts_screen screen;
    char *sides[SIDES_MAX];
    size_t n_sides;
    struct shown_prompt *prompts;
    size_t n_prompts;
    ts_list list;
    size_t scroll;
    bool words, zoom, on_list, running;
    char *own; /* a prompt of the person's own; NULL: the held-out ones */
    int64_t seed;
    unsigned number; /* of the job whose notes count */
    struct inbox inbox;
    ts_compare_metrics metrics[SIDES_MAX];
    bool measured;
    char problem[600];
    double seconds;
};

void compare_draw(ts_screen *s, ts_canvas *c, ts_rect body);
void compare_status(ts_screen *s, char *left, char *right);

#endif
