#include "tui/cli_cost.h"

#include <stdlib.h>

int ts_cost_opts_check(const ts_cmd *cmd, const ts_cost_opts *o) {
    const double values[] = {o->requests, o->prompt_tokens, o->answer_tokens, o->shots};
    static const char *const names[] = {"requests", "prompt-tokens", "answer-tokens", "shots"};
    for (size_t i = 0; i < TS_COUNT(values); i++)
        if (!(values[i] >= 0 && values[i] <= 1e12))
            return ts_cmd_usage(cmd, "--%s is a number from 0 to 1e12", names[i]);
    if (!o->providers && (o->prices || o->large)) return ts_cmd_usage(cmd, "--prices and --large go with --providers");
    return 0;
}

ts_status ts_cost_opts_prices(const ts_cost_opts *o, const char *ws, ts_prices *out, ts_err *err) {
    char *path = NULL;
    if (!o->providers) return TS_OK;
    ts_status status = ts_prices_find(o->prices, ws, &path, err);
    if (status == TS_OK) status = ts_prices_read(out, path, err);
    free(path);
    return status;
}

ts_demand ts_cost_opts_demand(const ts_cost_opts *o) {
    return (ts_demand){.requests = o->requests,
                       .prompt_tokens = o->prompt_tokens,
                       .answer_tokens = o->answer_tokens,
                       .shots = o->shots};
}
