/* The one heavy slot of a machine: whoever trains and whoever answers share the cores by turns.
 *
 * Both sides are processes of one user that know nothing of each other. They meet at two open-file-description locks on
 * one small file (/tmp/tunesmith-UID.turns; TUNESMITH_TURNS names another): answers first, a training step in between.
 *
 *   answers   raise their hand (a shared lock on the first byte), wait until no step is being trained, calculate, lower
 * it training  before every step and validation waits while a hand is raised; a shared lock on the second byte says
 * that it is in a step
 *
 * So a step ends, the answers go, the training goes on. A process that dies leaves no lock behind; waiting is bounded,
 * so that a process that is stopped (^Z) delays the other and no more; where the file cannot be made nobody waits.
 * Several answerers calculate beside each other, and so do several trainings. One thread at a time per ts_turns. */
#ifndef TS_WORK_TURNS_H
#define TS_WORK_TURNS_H

#include "core/work/progress.h"

/* What progress->what says while somebody waits (compare by address or text). */
extern const char ts_turns_wait_for_answers[], ts_turns_wait_for_step[];

typedef struct ts_turns {
    int fd; /* -1: no turns are taken */
} ts_turns;
#define TS_TURNS_NONE                                                                                                  \
    { -1 }

void ts_turns_open(ts_turns *t);
void ts_turns_close(ts_turns *t); /* also ends a turn */

/* Raises the hand and waits for the end of a step, at most `patience` seconds. False when cancelled meanwhile (the hand
 * is lowered again). */
bool ts_turns_begin_answers(ts_turns *t, double patience, ts_progress *progress);
void ts_turns_end_answers(ts_turns *t);

/* Waits while a hand is raised, at most `patience` seconds, and says that a step begins. False when cancelled. */
bool ts_turns_begin_step(ts_turns *t, double patience, ts_progress *progress);
void ts_turns_end_step(ts_turns *t);

/* Whether somebody's hand is raised now: for screens. A few system calls; not for the UI thread. */
bool ts_turns_answers_wanted(void);

#endif
