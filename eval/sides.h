/* The sides of a comparison, as people write them:
 *
 *   base                       the model as it is
 *   run:3, run:3/best, DIR     an adapter on it
 *   few-shot, few-shot:K       the model with the K (4) accepted examples whose prompts are nearest to the question by
 *                              TF-IDF (dataset/tfidf.h), as turns before it, the nearest last. The furthest ones are
 *                              left out where prompt, examples and max_new_tokens are more than the context
 *   few-shot:#12,#40           with these examples
 *   retrieval:DIR              the model with the passages of the text files in DIR (and the folders in it) that BM25
 *                              (dataset/bm25.h) ranks highest for the question, put before it
 *   retrieval:examples         the same with the accepted examples as passages
 *   system:TEXT, system:FILE   the model with this system prompt, in place of the prompt's own
 *   model:NAME                 another model
 *   url=..,model=..            an endpoint (eval/endpoint.h)
 *
 * An example that is asked itself, or asks the same as the question, is neither shown nor retrieved: its answer would
 * be the reference. Held-out examples (split=valid) are not either. */
#ifndef TS_EVAL_SIDES_H
#define TS_EVAL_SIDES_H

#include "core/work/progress.h"
#include "eval/endpoint.h"

typedef enum ts_side_kind {
    TS_BY_MODEL,
    TS_BY_EXAMPLES,
    TS_BY_PASSAGES,
    TS_BY_SYSTEM,
    TS_BY_OTHER_MODEL,
    TS_BY_ENDPOINT
} ts_side_kind;

enum { TS_FEW_SHOT = 4, TS_FEW_SHOT_MAX = 64, TS_PASSAGES = 3, TS_PASSAGE_WORDS = 120 };

typedef struct ts_side_spec {
    ts_side_kind kind;
    char *adapter; /* folder of a run or adapter; NULL: none */
    char *model;   /* another model */
    char *system;
    char *from; /* folder of the texts; NULL: the examples */
    size_t k;
    int64_t ids[TS_FEW_SHOT_MAX]; /* few-shot with these; n_ids 0: the nearest */
    size_t n_ids;
    ts_endpoint endpoint;
} ts_side_spec;

/* Reads a side and sees that what it names is there. ws NULL: no workspace. Released also after an error. */
TS_MUST_USE ts_status ts_side_read(ts_side_spec *s, const char *ws, const char *text, ts_err *err);
void ts_side_release(ts_side_spec *s);
/* The sides in a line: words parted by blanks, and by commas where no = comes before them in the word; "quoted" ones
 * may hold both. The list and its words are the caller's. */
size_t ts_sides_split(const char *line, char ***out);

struct ts_compare;
struct ts_prompt;
/* The prompt's turns with `question` as the last user turn's content; the caller's. */
char *ts_side_question(const struct ts_prompt *p, const char *question);
struct ts_answer;
/* What an answer was asked without its furthest `shots` examples, which did not fit: in its messages and context. */
void ts_side_leave_out(struct ts_answer *a, size_t shots);
/* What each side that changes the prompt is asked: sets messages and context of its answers. A worker's: reads the
 * examples and the folder. */
TS_MUST_USE ts_status ts_sides_fill(struct ts_compare *c, const char *ws, ts_progress *progress, ts_err *err);

#endif
