/* Rows of JSON to token ids and labels: what training, nll and the engine process read.
 *
 * A row is {"messages":[..]} (through the model's chat template, assistant turns supervised) or
 * {"ids":[..],"labels":[..]} (taken as they are; label -100 = not supervised). With "last_turn": true only the last
 * stretch of supervised tokens stays so: the answer, not the turns before it; with "no_end": true its end-of-turn token
 * is not supervised: what is scored is the text alone. The tokenizer and the template are opened at the first row that
 * needs them, so rows of ids work with a model that has neither. */
#ifndef TS_ENGINE_EXAMPLES_H
#define TS_ENGINE_EXAMPLES_H

#include "core/model/chat.h"
#include "core/work/progress.h"

struct ts_model;
typedef struct ts_encoder {
    char *model;    /* spec or path */
    size_t vocab;   /* ids must be below */
    char *template; /* Jinja source that takes the place of the model's; NULL: the model's */
    ts_tokenizer *tokenizer;
    ts_chat *chat;
} ts_encoder;

void ts_encoder_init(ts_encoder *e, const char *model, size_t vocab);
void ts_encoder_release(ts_encoder *e);
/* The template to use from now on: a name or file as for ts_chat_template_read; NULL or "": the model's. */
TS_MUST_USE ts_status ts_encoder_template(ts_encoder *e, const char *spec, ts_err *err);
/* The model has a template of its own that this one replaces (opens the tokenizer). */
bool ts_encoder_overrides(ts_encoder *e);
TS_MUST_USE ts_status ts_encoder_tokenizer(ts_encoder *e, ts_err *err); /* e->tokenizer is there afterwards */
TS_MUST_USE ts_status ts_encoder_chat(ts_encoder *e, ts_err *err);      /* e->chat too */
/* One row; out is released with ts_example_release. */
TS_MUST_USE ts_status ts_encoder_row(ts_encoder *e, const ts_json *row, ts_example *out, ts_err *err);
/* Where generation ends: the config's stop tokens and the template's end of turn; how many. */
size_t ts_encoder_stops(ts_encoder *e, const struct ts_model *m, int32_t out[16]);
/* What generation starts from: {"messages":[..]}, {"text":".."} or {"ids":[..]}. */
TS_MUST_USE ts_status ts_encoder_prompt(ts_encoder *e, const ts_json *row, ts_ids *out, ts_err *err);
/* The same for {"messages":[..],"shots":N}, whose first N pairs of turns behind the leading system turns are examples
 * that may be left out: the first *left_out of them are, as few as make the prompt at most `most` tokens long; all,
 * when it is longer even then. */
TS_MUST_USE ts_status ts_encoder_prompt_within(ts_encoder *e, const ts_json *row, size_t most, ts_ids *out,
                                               size_t *left_out, ts_err *err);
/* The turns, as JSON, without the first `pairs` pairs behind the leading system turns. */
void ts_messages_drop(const ts_json *messages, size_t pairs, ts_buf *out);
/* Cuts at max_length; true when something was cut. `supervised` is counted anew. */
bool ts_example_truncate(ts_example *x, size_t max_length);

enum { TS_LINES_NAMED = 8 };

typedef struct ts_examples {
    ts_example *items;
    int64_t *lines; /* of the file, from 1 */
    size_t n, cap, cap_lines;
    int64_t rows; /* of the file: n + unsupervised */
    int64_t tokens, supervised, truncated, unsupervised;
    int64_t longest;                                                             /* before the cut */
    int64_t first_unsupervised, first_truncated;                                 /* line numbers; 0: none */
    int64_t unsupervised_lines[TS_LINES_NAMED], truncated_lines[TS_LINES_NAMED]; /* the first ones */
} ts_examples;

/* Reads a JSONL file. Rows without a supervised token (after the cut) are left out and counted. A row that cannot be
 * read is an error with its line. */
TS_MUST_USE ts_status ts_examples_read(ts_examples *out, const char *path, ts_encoder *e, size_t max_length,
                                       ts_progress *progress, ts_err *err);
void ts_examples_release(ts_examples *x);

#endif
