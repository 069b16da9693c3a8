/* What compare asked, what each side answered, and how people judged: kept in the workspace, so that answers need not
 * be generated again and votes add up over runs. A newer answer or vote replaces the older one. Votes are steps of the
 * history (undo takes them back); prompts and answers are not. */
#ifndef TS_DATASET_ANSWERS_H
#define TS_DATASET_ANSWERS_H

#include "dataset/store.h"

/* The number of a prompt (a JSON array of messages), made when it is new. reference: the wanted answer or s = NULL; a
 * given one replaces what is there. */
TS_MUST_USE ts_status ts_prompt_keep(ts_store *st, ts_text messages, ts_text reference, int64_t *id, ts_err *err);

typedef struct ts_kept_answer {
    const char *side; /* "base", "run:3", ... */
    ts_text text;
    ts_text detail; /* JSON object by whoever generated it (settings, stop, ids), or s = NULL */
} ts_kept_answer;
/* The number of a prompt that is kept; 0: it is not. */
int64_t ts_prompt_find(ts_store *st, ts_text messages);
/* Keeps a side's answer to a prompt; the same text again changes nothing. */
TS_MUST_USE ts_status ts_answer_keep(ts_store *st, int64_t prompt, const ts_kept_answer *answer, ts_err *err);
/* The answers to a prompt, by side, in `arena`. */
TS_MUST_USE ts_status ts_answers_read(ts_store *st, int64_t prompt, ts_kept_answer **out, size_t *n, ts_arena *arena,
                                      ts_err *err);

#define TS_VOTE_TIE "tie"
#define TS_VOTE_NONE "none" /* all bad */
/* A vote on a prompt's answers: the side that is better, a tie, or none. NULL takes the vote away. blind: the sides
 * were shuffled and unnamed. TS_NOT_FOUND: there is no such prompt. done (may be NULL): step 0 when it was so already.
 */
TS_MUST_USE ts_status ts_vote_set(ts_store *st, int64_t prompt, const char *side, bool blind, const char *note,
                                  ts_done *done, ts_err *err);
/* Appends the side voted for; false when there is no vote. */
bool ts_vote_get(ts_store *st, int64_t prompt, ts_buf *side);
/* A remark on the vote on a prompt, in place of the one before; "" takes it away. One step of the history.
 * TS_NOT_FOUND: nobody voted on it. */
TS_MUST_USE ts_status ts_vote_note(ts_store *st, int64_t prompt, const char *note, ts_done *done, ts_err *err);
/* Appends it; false when there is no vote. */
bool ts_vote_note_get(ts_store *st, int64_t prompt, ts_buf *note);
/* The first row that asks `prompt` (instruction, and input behind a line end) and answers `answer`: where a held-out
 * prompt with its reference came from. Reads all rows. TS_NOT_FOUND: there is none. */
TS_MUST_USE ts_status ts_row_find_pair(ts_store *st, ts_text prompt, ts_text answer, int64_t *id, ts_err *err);
/* Calls fn for every prompt that is kept, oldest first; vote: "" for none. */
TS_MUST_USE ts_status ts_prompts_each(ts_store *st,
                                      void (*fn)(void *ctx, int64_t id, ts_text messages, const char *vote), void *ctx,
                                      ts_err *err);
typedef struct ts_kept_prompt {
    int64_t id;
    ts_text messages, reference; /* reference.s NULL: none */
    const char *vote, *note;     /* "": none */
    bool blind;                  /* of the vote */
} ts_kept_prompt;
/* The same with all that is known of a prompt; borrowed until the call returns. */
TS_MUST_USE ts_status ts_kept_prompts_each(ts_store *st, void (*fn)(void *ctx, const ts_kept_prompt *p), void *ctx,
                                           ts_err *err);
/* The sides that have answers, by name, in `arena`. */
TS_MUST_USE ts_status ts_answer_sides(ts_store *st, const char ***out, size_t *n, ts_arena *arena, ts_err *err);
/* What a person is shown of a prompt: its last user turn, as far as it is text; in place of what is in `out`. */
void ts_prompt_text(ts_text messages, ts_buf *out);

/* How a side stands in the votes on prompts that it had answered when the vote was given. */
typedef struct ts_side_votes {
    const char *side;
    int64_t wins, losses; /* losses: another side was better */
    int64_t ties, none;   /* none: all were bad */
    int64_t blind;        /* of all these, votes that were blind */
} ts_side_votes;
/* The sides that answered prompts with votes, most wins first; in `arena`. */
TS_MUST_USE ts_status ts_votes_by_side(ts_store *st, ts_side_votes **out, size_t *n, ts_arena *arena, ts_err *err);

#endif
