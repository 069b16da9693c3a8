/* `tunesmith engine`: a process that holds one model and does what needs it, spoken to in JSON lines.
 *
 * Requests, one object a line; `id` is chosen by the asker and comes back in every answer:
 *   {"op":"load","id":1,"model":"NAME or path","template":"NAME or path"}     template: instead of the model's own
 *   {"op":"generate","id":2,"prompts":[P..],"sides":[null,"ADAPTER DIR"..],"max_new_tokens":128,
 *        "order":"hf","temperature":0,..
 * (sampling.h),"stop":["TEXT"..],"kv_cache":"f32|f16","first_stream":0,"stream":true,"refuse_long":false} prompt i
 * draws from random stream first_stream + i, on every side the same P: {"messages":[..]} (template, generation prompt),
 * {"text":".."} (plain text) or {"ids":[..]}. With {"messages":[..],"shots":N} the first N pairs of turns behind the
 * system's are examples: as many of the first ones as do not fit the context with max_new_tokens are left out
 *   {"op":"nll","id":3,"rows":[R..],"sides":[..],"per_token":false,"numbers":[7,8..],"refuse_long":false}
 *        R: {"messages":[..]} (assistant turns are supervised) or {"ids":[..],"labels":[..]}; numbers: what the
 *        rows are called in errors (lines of a file)
 *   {"op":"ifd","id":4,"rows":[{"messages":[..]}..],"sides":[one],"alone":true,"max_length":1024}
 *        losses of the answers with and, if asked for, without what stands before them (ifd.h)
 *   {"op":"embed","id":5,"rows":[{"text":".."}..]}      the mean of the base's last hidden states (embed.h)
 *   {"op":"cancel","id":2}      {"op":"quit"}
 * Answers:
 *   {"id","event":"progress","what","done","total"}
 *   {"id":1,"event":"loaded","name","path","params","kernel"}
 *   {"id":2,"event":"token","prompt":0,"side":1,"text":".."}           new text of one answer (with "stream")
 *   {"id":2,"event":"answer","prompt":0,"side":1,"text","ids":[..],"stop":"eos|stop|length|cancelled","left_out":0}
 *        stop: one of the stop texts came; text ends before it, ids are all that were made. A cancelled request
 *        sends what there is, then its error. left_out: shots that did not fit
 *   {"id":2,"event":"refused","prompt":0,"side":1,"text"}     with "refuse_long": why this one gets no answer; of nll
 *        "row":0 in place of the prompt: why this one, longer than the context, is not scored
 *   {"id":3,"event":"nll","row":0,"side":1,"nll":12.5,"tokens":30,"nlls":[..]}
 *   {"id":4,"event":"ifd","row":0,"turns":[[given,alone,n]..]}        sums of NLL over n tokens; alone null: not asked
 *        for. {"row","text"}: the row was left out, and why; longer than max_length, or refused by the template
 *   {"id":5,"event":"embedding","row":0,"values":[..]}
 *   {"id","event":"done","seconds"}      or {"id","event":"error","code":"..","text":".."}
 * Requests are worked off in order; cancel overtakes. Adapters are kept while they do not change on disk. All sides of
 * a generate request are one batch. Generating and scoring take turns with trainings (core/work/turns.h). The process
 * ends when stdin does, whatever it is doing. */
#ifndef TS_ENGINE_SERVE_H
#define TS_ENGINE_SERVE_H

#include "core/base/err.h"

/* The words for status codes in "code": both ends use the same list. Unknown words are TS_IO. */
const char *ts_serve_code(ts_status status);
ts_status ts_serve_status(const char *code);

/* Serves until quit or the end of `in`. */
TS_MUST_USE ts_status ts_serve(int in, int out, ts_err *err);

#endif
