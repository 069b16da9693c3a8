/* Answers to chosen prompts while a run trains: how the model changes is read, not only measured.
 *
 * RUN/prompts.jsonl holds the prompts, a row a line as ts_encoder_prompt takes them; ts_train_prompts_take makes it
 * when the run is made. Answers are greedy, from the weights as they are at that step, so the same step gives the same
 * answers. They use the net's scratch memory and no random numbers: training goes on to the same bits as without them.
 */
#ifndef TS_ENGINE_TRAIN_SAMPLES_H
#define TS_ENGINE_TRAIN_SAMPLES_H

#include "core/engine/examples.h"
#include "core/engine/net.h"
#include "core/engine/run_events.h"

enum { TS_TRAIN_PROMPTS = 32 /* at most */ };

/* Writes RUN/prompts.jsonl from a file with a prompt a line: plain text, or a JSON row with "messages" (a last answer
 * is left away), "instruction" and "input", "prompt", "text" or "ids". TS_INVALID: none, or too many. */
TS_MUST_USE ts_status ts_train_prompts_take(const char *run_dir, const char *file, ts_err *err);

typedef struct ts_train_samples ts_train_samples;
/* *out is NULL where the run has no prompts. max_new: tokens an answer may have. e and m are borrowed. */
TS_MUST_USE ts_status ts_train_samples_open(ts_train_samples **out, const char *run_dir, ts_encoder *e,
                                            const ts_model *m, size_t max_new, ts_err *err);
void ts_train_samples_free(ts_train_samples *s); /* NULL is fine */
/* Answers all prompts and appends an event "sample" for each; `line` is scratch. */
TS_MUST_USE ts_status ts_train_samples_make(ts_train_samples *s, ts_net *net, const ts_adapter *adapter,
                                            ts_events *events, int64_t step, ts_buf *line, ts_progress *progress,
                                            ts_err *err);

#endif
