/* Replay against forgetting (engine research 2.13): general rows mixed among the rows that are trained on. */
#ifndef TS_ENGINE_REPLAY_H
#define TS_ENGINE_REPLAY_H

#include "core/engine/examples.h"
#include "core/engine/run.h"

/* Writes `out`: the lines of train_file and, spread evenly among them, so many of s->replay (chosen by s->seed) that
 * they are s->replay_fraction of all; where the file has fewer, all of them. *added: how many. */
TS_MUST_USE ts_status ts_replay_mix(const ts_run_settings *s, const char *train_file, const char *out, int64_t *added,
                                    ts_err *err);
/* Which lines of such a file are general ones: replayed [train + added]. */
void ts_replay_places(size_t train, size_t added, bool *replayed);
/* Which examples read from such a file are: [x->n], the caller frees. A number that the file cannot have: none. */
bool *ts_replay_examples(const ts_examples *x, int64_t added);
/* The settings ask for it. */
bool ts_replay_wanted(const ts_run_settings *s);

#endif
