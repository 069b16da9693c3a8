/* The options that say how answers are made, shared by the verbs that make some: rows of their tables, from the one
 * table of core/engine/sampling.h. */
#ifndef TS_TUI_CLI_SAMPLING_H
#define TS_TUI_CLI_SAMPLING_H

#include "core/engine/sampling.h"
#include "tui/cli.h"

#include <string.h>

/* A member of the verb's option struct. */
typedef struct ts_answer_opts {
    int64_t max_new_tokens;
    ts_texts stop;
    const char *preset, *kv_cache;
    ts_sampling sampling; /* what was not said is unset */
} ts_answer_opts;

#define TS_ANSWER_OPTS_DEFAULTS                                                                                        \
    { .max_new_tokens = 256, .preset = "hf", .kv_cache = "f32", .sampling = TS_SAMPLING_UNSET }

/* Rows for a verb's table of options, in a file whose option struct has a ts_answer_opts called `answer` and whose
 * AT(member) is the offset in it. */
/* clang-format off */
#define TS_SAMPLING_OPT(name, option, kind, hf, llamacpp, least, most, value, help)                                    \
    {option, TS_OPT_##kind, AT(answer.sampling.name), value, help " (" #hf "; llamacpp " #llamacpp ")"},
#define TS_ANSWER_OPTS                                                                                                 \
    {"max-new-tokens", TS_OPT_INT, AT(answer.max_new_tokens), "N", "longest answer"},                                  \
    {"stop", TS_OPT_LIST, AT(answer.stop), "TEXT", "ends an answer and is not in it; may be repeated"},                \
    {"kv-cache", TS_OPT_TEXT, AT(answer.kv_cache), "NAME", "keys and values as f32 or f16 (half the memory)"},         \
    {"preset", TS_OPT_TEXT, AT(answer.preset), "NAME", "order and defaults of the following: hf or llamacpp"},         \
    TS_SAMPLING_TABLE(TS_SAMPLING_OPT)
/* clang-format on */

static inline bool ts_answer_opts_f16(const ts_answer_opts *o) {
    return strcmp(o->kv_cache, "f16") == 0;
}
/* Fills what was not said from the preset. 0, or the exit code 2 with a sentence on stderr. */
int ts_answer_opts_settle(const ts_cmd *cmd, const ts_answer_opts *o, ts_sampling *out);

#endif
