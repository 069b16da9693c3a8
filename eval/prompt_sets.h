/* Saved sets of prompts: WS/prompts/NAME.jsonl, one {"messages":[..]} a line, a last assistant turn being the
 * reference. People may write such files themselves, in any form that compare reads (ts_compare_options.prompts). Any
 * thread; a set is written anew and renamed, the last writer wins. */
#ifndef TS_EVAL_PROMPT_SETS_H
#define TS_EVAL_PROMPT_SETS_H

#include "core/base/file.h"

/* The names of a workspace's sets, sorted; ts_names_release. None: no error. */
TS_MUST_USE ts_status ts_prompt_sets_list(const char *ws, ts_names *out, ts_err *err);
/* The file of a set; the caller frees. NULL: there is none of this name. */
char *ts_prompt_set_file(const char *ws, const char *name);

typedef struct ts_prompt_line {
    const char *messages;  /* JSON array */
    const char *reference; /* NULL: none */
    const char *choices;   /* JSON array of texts, on one line; NULL: none. The reference is the right one of them */
    size_t right;
} ts_prompt_line;
/* Adds prompts to a set, which is made if it is not there; those that stand in it already are not added again. A
 * file that is no JSON lines, but an array or plain text, is left as it is: TS_INVALID. A name has letters, digits,
 * '_',
 * '.' and '-'. *added: how many were new. */
TS_MUST_USE ts_status ts_prompt_set_add(const char *ws, const char *name, const ts_prompt_line *prompts, size_t n,
                                        size_t *added, ts_err *err);

#endif
