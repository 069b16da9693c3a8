/* OpenAI's rules for chat fine-tuning files, by the names their own check gives them. Theirs (the cookbook's) knows no
 * tools; the names of today's interface are let through: the roles tool and developer, tool_calls and tool_call_id,
 * typed text parts, and an empty content beside a call. Any thread. */
#ifndef TS_DATASET_OPENAI_H
#define TS_DATASET_OPENAI_H

#include "dataset/store.h"

typedef struct ts_openai_rule {
    const char *name, *sentence;
    bool error; /* false: a remark */
} ts_openai_rule;
typedef enum ts_openai_rule_id {
    TS_OPENAI_DATA_TYPE,
    TS_OPENAI_NO_LIST,
    TS_OPENAI_MISSING_KEY,
    TS_OPENAI_UNKNOWN_KEY,
    TS_OPENAI_UNKNOWN_ROLE,
    TS_OPENAI_NO_CONTENT,
    TS_OPENAI_NO_ASSISTANT,
    TS_OPENAI_TOO_LONG,
    TS_OPENAI_NO_SYSTEM,
    TS_OPENAI_NO_USER,
    TS_OPENAI_RULES,
} ts_openai_rule_id;
extern const ts_openai_rule ts_openai_rules[TS_OPENAI_RULES];

enum { TS_OPENAI_LEAST_EXAMPLES = 10, TS_OPENAI_TOKENS = 16385 };

/* Of one example's messages: found[rule] is how many of its messages (or 0, 1 for rules of the whole) break the rule;
 * first[rule] the number of the first such message, from 1. TOO_LONG is the caller's. */
typedef struct ts_openai_findings {
    int found[TS_OPENAI_RULES], first[TS_OPENAI_RULES];
} ts_openai_findings;
/* messages: checked JSON text of a list. */
void ts_openai_look(const char *messages, size_t n, ts_openai_findings *out);

typedef struct ts_openai_row {
    int64_t id, tokens;
    ts_openai_findings is;
} ts_openai_row;

typedef struct ts_openai_report {
    int64_t rows, rows_with_errors;
    int64_t rows_by_rule[TS_OPENAI_RULES];
    int64_t tokens, longest; /* of all rows, each cut at the limit as OpenAI does; of the longest one */
    int64_t estimated;       /* rows whose tokens were not counted: a quarter of their bytes stands for them */
    int epochs;              /* that OpenAI would choose for so many examples */
} ts_openai_report;

/* Looks at the rows that answer `where` (NULL: all). fn is called for each row that breaks a rule, in order of ids.
 * A job. */
TS_MUST_USE ts_status ts_openai_check(ts_store *st, const char *where, int64_t token_limit,
                                      void (*fn)(void *ctx, const ts_openai_row *row), void *ctx, ts_progress *progress,
                                      ts_openai_report *out, ts_err *err);

#endif
