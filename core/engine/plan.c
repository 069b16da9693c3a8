/* What a run would be, before it is started. */
#include "core/base/rand.h"
#include "core/engine/examples.h"
#include "core/engine/net.h"
#include "core/engine/replay.h"
#include "core/engine/train.h"
#include "core/model/nf4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int64_t ts_train_steps(const ts_run_settings *s, int64_t examples) {
    int64_t batch = s->batch_size * s->grad_accum;
    return s->max_steps ? s->max_steps : (int64_t)ceil(s->epochs * (double)((examples + batch - 1) / batch));
}

void ts_train_order(const ts_run_settings *s, int64_t epoch, size_t *order, size_t n) {
    enum { STREAM_ORDER = 1 };
    ts_rand r;
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    if (s->no_shuffle) return;
    ts_rand_seed(&r, ts_rand_mix(ts_rand_mix((uint64_t)s->seed, STREAM_ORDER), (uint64_t)epoch));
    ts_rand_permutation(&r, order, n);
}

/* Tokens of the largest micro-batch of an epoch: a batch of more than micro_tokens is cut into parts of about one size.
 */
static size_t largest_part(const ts_run_settings *s, const ts_examples *x) {
    size_t batch = (size_t)(s->batch_size * s->grad_accum), limit = (size_t)s->micro_tokens, largest = 0;
    size_t *order = ts_calloc(x->n + 1, sizeof *order);
    ts_train_order(s, 0, order, x->n);
    for (size_t first = 0; first < x->n; first += batch) {
        size_t tokens = 0, longest = 0;
        for (size_t i = first; i < TS_MIN(first + batch, x->n); i++) {
            tokens += x->items[order[i]].ids.n;
            longest = TS_MAX(longest, x->items[order[i]].ids.n);
        }
        size_t parts = (tokens + limit - 1) / limit;
        size_t part = parts > 1 ? TS_MIN(tokens / parts + longest / 2, limit) : tokens;
        largest = TS_MAX(largest, TS_MAX(part, longest));
    }
    free(order);
    return largest;
}

/* The rows as the run will have them, in a temporary file whose name the caller frees. */
static ts_status mix(const ts_run_settings *s, const char *train_file, char **out, int64_t *added, ts_err *err) {
    const char *tmp = getenv("TMPDIR");
    *out = ts_printf("%s/tunesmith-mixed-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemp(*out);
    if (fd < 0) return ts_fail_errno(err, "cannot make a file for counting in %s", tmp && *tmp ? tmp : "/tmp");
    close(fd);
    return ts_replay_mix(s, train_file, *out, added, err);
}

ts_status ts_train_plan_make(const ts_run_settings *s, const char *train_file, ts_progress *progress,
                             ts_train_plan *out, ts_err *err) {
    ts_model *m = NULL;
    ts_examples x = {0};
    ts_encoder e = {0};
    size_t trainable = 0;
    char *mixed = NULL;
    ts_status status = TS_OK;
    const ts_method_facts *method = ts_run_method(s);
    *out = (ts_train_plan){.seconds = NAN};
    if (!method) return ts_fail(err, TS_INVALID, "--method \"%.40s\" is not known", s->method ? s->method : "");
    TS_GOTO(ts_model_open(&m, s->model, err));
    TS_GOTO(ts_run_params(s, m, &trainable, err));
    ts_encoder_init(&e, m->path, m->config.vocab);
    TS_GOTO(ts_encoder_template(&e, s->template, err));
    if (ts_replay_wanted(s)) TS_GOTO(mix(s, train_file, &mixed, &out->replayed, err));
    TS_GOTO(ts_examples_read(&x, mixed ? mixed : train_file, &e, (size_t)s->max_length, progress, err));
    out->examples = (int64_t)x.n;
    out->tokens = x.tokens;
    out->supervised_tokens = x.supervised;
    out->truncated = x.truncated;
    out->unsupervised = x.unsupervised;
    out->longest = x.longest;
    out->context = (int64_t)m->config.context;
    memcpy(out->truncated_lines, x.truncated_lines, sizeof x.truncated_lines);
    memcpy(out->unsupervised_lines, x.unsupervised_lines, sizeof x.unsupervised_lines);
    out->steps = ts_train_steps(s, (int64_t)x.n);
    if (x.n == 0) out->steps = 0;
    out->trainable_params = (int64_t)trainable;
    out->all_params = (int64_t)m->params + (method->whole ? 0 : out->trainable_params);
    /* engine's formula: stored weights + 16 bytes a trained parameter + activations + the examples, and a tenth */
    out->memory_bytes = (int64_t)(1.1 * ((double)(method->four_bits ? ts_nf4_model_bytes(m) : m->file_bytes) +
                                         16 * (double)out->trainable_params +
                                         (double)ts_net_train_bytes(m, largest_part(s, &x)) + 8 * (double)x.tokens));
out:
    if (mixed) unlink(mixed);
    free(mixed);
    ts_examples_release(&x);
    ts_encoder_release(&e);
    ts_model_close(m);
    return status;
}
