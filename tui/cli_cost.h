/* The options of `plan --providers`. */
#ifndef TS_TUI_CLI_COST_H
#define TS_TUI_CLI_COST_H

#include "eval/cost.h"
#include "tui/cli.h"

typedef struct ts_cost_opts {
    bool providers;
    const char *prices, *large;
    double requests, prompt_tokens, answer_tokens, shots;
} ts_cost_opts;
#define TS_COST_OPTS_DEFAULTS                                                                                          \
    { .requests = 1000, .shots = 5 }

/* Rows of an option table; base: where the options lie in the verb's struct. */
#define TS_COST_OPTS(base)                                                                                             \
    {"providers", TS_OPT_FLAG, (base) + offsetof(ts_cost_opts, providers), NULL,                                       \
     "costs here and at providers, and from when on tuning pays"},                                                     \
        {"prices", TS_OPT_TEXT, (base) + offsetof(ts_cost_opts, prices), "FILE",                                       \
         "price list (WS/providers.json, else the installed one)"},                                                    \
        {"large", TS_OPT_TEXT, (base) + offsetof(ts_cost_opts, large), "NAME",                                         \
         "compare with large models whose name has this (all)"},                                                       \
        {"requests", TS_OPT_NUM, (base) + offsetof(ts_cost_opts, requests), "N", "requests a day"},                    \
        {"prompt-tokens", TS_OPT_NUM, (base) + offsetof(ts_cost_opts, prompt_tokens), "N",                             \
         "tokens of a request (the rows' mean)"},                                                                      \
        {"answer-tokens", TS_OPT_NUM, (base) + offsetof(ts_cost_opts, answer_tokens), "N",                             \
         "tokens of an answer (the rows' mean)"},                                                                      \
        {"shots", TS_OPT_NUM, (base) + offsetof(ts_cost_opts, shots), "N", "examples in the large model's prompt"},

/* 0, or the exit code after usage was printed. */
int ts_cost_opts_check(const ts_cmd *cmd, const ts_cost_opts *o);
/* Reads the price list when --providers asks for it. */
TS_MUST_USE ts_status ts_cost_opts_prices(const ts_cost_opts *o, const char *ws, ts_prices *out, ts_err *err);
ts_demand ts_cost_opts_demand(const ts_cost_opts *o);

#endif
