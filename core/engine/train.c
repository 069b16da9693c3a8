/* The training loop. What a step does follows from the settings, the seed and the step's number alone, and what state
 * there is (parameters, moments, best-so-far) is in the checkpoint: so a resumed run does what the first would have. */
#include "core/engine/train_private.h"

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/rand.h"
#include "core/engine/kernels.h"
#include "core/engine/penalty.h"
#include "core/engine/replay.h"
#include "core/model/nf4.h"
#include "core/work/pool.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* For so long a step waits for answers that are being generated: a run that is asked much still gets on. */
static const double PATIENCE_SECONDS = 30;

int64_t ts_peak_rss(void) {
    struct rusage use;
    return getrusage(RUSAGE_SELF, &use) == 0 ? (int64_t)use.ru_maxrss * 1024 : 0;
}

void ts_train_say(const ts_trainer *t, const char *fmt, ...) {
    char text[400];
    va_list ap;
    if (!t->options || !t->options->on_line) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    t->options->on_line(t->options->ctx, text);
}

ts_status ts_train_warn(ts_trainer *t, ts_err *err, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ts_jw w = ts_events_begin(&t->line, "warning", t->at.step);
    ts_jw_kstr(&w, "text", text);
    ts_train_say(t, "warning: %s", text);
    return ts_events_add(&t->events, &w, err);
}

/* --- getting ready --- */

static ts_status check_hash(const char *what, const char *path, const char *want, const char *got, ts_err *err) {
    if (!want || strcmp(want, got) == 0) return TS_OK;
    return ts_fail(err, TS_CORRUPT,
                   "%s %s is not the one this run was made with (content %.8s, expected %.8s); put the old one back or "
                   "start a new run",
                   what, path, got, want);
}

static ts_status check_data(const ts_trainer *t, const char *name, const char *want, ts_err *err) {
    char hash[33];
    char *path = ts_path_join(t->dir, name);
    ts_status status = ts_hash_file(path, hash, err);
    if (status == TS_OK) status = check_hash("the data", path, want, hash, err);
    free(path);
    return status;
}

/* The template that was chosen when the run was made. */
static ts_status take_template(ts_trainer *t, ts_err *err) {
    if (!t->s.template || !*t->s.template) return TS_OK;
    char *path = ts_path_join(t->dir, "chat_template.jinja");
    ts_status status = ts_encoder_template(&t->encoder, path, err);
    free(path);
    if (status == TS_OK && ts_encoder_overrides(&t->encoder))
        ts_train_say(t, "the chat template %s takes the place of the model's own", t->s.template);
    return status;
}

static ts_status open_model(ts_trainer *t, ts_err *err) {
    char hash[33];
    const char *path = t->options && t->options->model ? t->options->model : t->s.model;
    ts_progress_what(t->progress, "loading the model");
    TS_TRY(ts_model_open(&t->model, path, err));
    TS_TRY(ts_model_hash(t->model, hash, err));
    TS_TRY(check_hash("the model", path, t->s.model_hash, hash, err));
    ts_encoder_init(&t->encoder, t->model->path, t->model->config.vocab);
    if (t->method->four_bits) {
        ts_progress_what(t->progress, "rounding the base to 4 bits");
        TS_TRY(ts_model_to_nf4(t->model, t->progress, err));
    }
    TS_TRY(take_template(t, err));
    ts_net_options o = {.micro_tokens = (size_t)t->s.micro_tokens, .recompute = t->s.gradient_checkpointing};
    return ts_net_new(&t->net, t->model, &o, err);
}

static ts_status read_split(ts_trainer *t, const char *name, ts_examples *out, ts_err *err) {
    char *path = ts_path_join(t->dir, name);
    ts_progress_what(t->progress, "reading the examples");
    ts_status status = ts_examples_read(out, path, &t->encoder, (size_t)t->s.max_length, t->progress, err);
    if (status == TS_OK && out->n == 0)
        status = ts_fail(err, TS_INVALID,
                         "nothing to learn: none of the %lld rows of %s has a supervised token (an assistant answer "
                         "within the first %lld tokens)",
                         (long long)out->rows, path, (long long)t->s.max_length);
    free(path);
    return status;
}

static ts_status open_data(ts_trainer *t, ts_err *err) {
    TS_TRY(check_data(t, "train.jsonl", t->s.train_hash, err));
    TS_TRY(read_split(t, "train.jsonl", &t->train, err));
    if (t->s.kl_weight > 0) t->replayed = ts_replay_examples(&t->train, t->s.replay_rows);
    if (t->s.valid_hash) {
        TS_TRY(check_data(t, "valid.jsonl", t->s.valid_hash, err));
        TS_TRY(read_split(t, "valid.jsonl", &t->valid, err));
    }
    if (t->s.ewc_hash) {
        TS_TRY(check_data(t, "ewc.jsonl", t->s.ewc_hash, err));
        TS_TRY(read_split(t, "ewc.jsonl", &t->ewc, err));
    }
    if (!t->s.general_hash) return TS_OK;
    TS_TRY(check_data(t, "general.jsonl", t->s.general_hash, err));
    return read_split(t, "general.jsonl", &t->general, err);
}

static ts_status open_adapter(ts_trainer *t, ts_err *err) {
    if (t->s.init_adapter) {
        char *dir = ts_path_join(t->dir, "init");
        ts_status status = ts_adapter_load(&t->adapter, dir, t->model, err);
        free(dir);
        TS_TRY(status);
        TS_TRY(ts_adapter_hold(t->adapter, err));
    } else {
        TS_TRY(ts_run_fresh(&t->s, t->model, ts_rand_mix((uint64_t)t->s.seed, TS_STREAM_INIT), &t->adapter, err));
    }
    TS_TRY(ts_adapter_trainable(t->adapter, err));
    TS_TRY(ts_adapter_zero_like(&t->grad, t->adapter, err));
    TS_TRY(ts_adapter_zero_like(&t->m, t->adapter, err));
    TS_TRY(ts_adapter_zero_like(&t->v, t->adapter, err));
    if (ts_run_ewc_base(&t->s)) {
        TS_TRY(ts_fisher_new(&t->base_fisher, t->adapter, err));
    } else if (t->ewc.n) {
        TS_TRY(ts_adapter_zero_like(&t->start, t->adapter, err));
        TS_TRY(ts_adapter_zero_like(&t->fisher, t->adapter, err));
        memcpy(t->start->block, t->adapter->block, t->adapter->n_params * sizeof(float));
    }
    t->at = (ts_checkpoint){.evaluated = -1,
                            .sampled = -1,
                            .best_step = -1,
                            .best_valid_loss = NAN,
                            .valid_loss = NAN,
                            .params = t->adapter->halves ? (void *)t->adapter->halves : t->adapter->block,
                            .halves = t->adapter->halves != NULL,
                            .m = t->m->block,
                            .v = t->v->block,
                            .n = t->adapter->n_params};
    return TS_OK;
}

/* Parameters of the model that are not trained: what is trained whole is one of them. */
static size_t frozen_params(const ts_trainer *t) {
    return t->model->params - (t->method->whole ? t->adapter->n_params : 0);
}

static void plan_steps(ts_trainer *t) {
    size_t n = t->train.n;
    t->batch = (size_t)(t->s.batch_size * t->s.grad_accum);
    t->steps_per_epoch = (int64_t)((n + t->batch - 1) / t->batch);
    t->steps = ts_train_steps(&t->s, (int64_t)n);
    t->warmup = t->s.warmup_steps >= 0 ? t->s.warmup_steps : (int64_t)ceil(t->s.warmup_ratio * (double)t->steps);
    t->eval_every = t->s.eval_every ? t->s.eval_every : TS_MAX(1, t->steps_per_epoch / 4);
    t->sample_every = t->s.sample_every ? t->s.sample_every : t->eval_every;
    t->order = ts_calloc(n, sizeof *t->order);
    t->epoch_of_order = -1;
    if (t->replayed) t->held = ts_calloc(TS_MIN(t->batch, n), sizeof *t->held);
    t->seqs =
        ts_calloc(TS_MAX(TS_MIN(t->batch, n), TS_MAX(TS_MAX(t->valid.n, t->general.n), t->ewc.n)), sizeof *t->seqs);
}

/* How it is calculated is written down at the first start and kept. A different kernel only changes the last bits. */
static ts_status settle_machine(ts_trainer *t, ts_err *err) {
    ts_pool_set_threads((int)t->s.threads);
    if (t->s.kernel && *t->s.kernel) {
        if (strcmp(t->s.kernel, ts_net_kernel()) != 0)
            return ts_train_warn(
                t, err, "this machine calculates with the kernel %s, the run began with %s: the last bits differ",
                ts_net_kernel(), t->s.kernel);
        return TS_OK;
    }
    ts_buf text = TS_BUF_INIT;
    char *path = ts_path_join(t->dir, "run.json");
    t->s.threads = ts_pool_threads();
    ts_run_set(&t->s.kernel, ts_net_kernel());
    ts_run_settings_write(&t->s, &text);
    ts_status status = ts_file_write(path, text.data, text.len, err);
    ts_buf_release(&text);
    free(path);
    return status;
}

static ts_status report_start(ts_trainer *t, ts_err *err) {
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    ts_jw w = ts_events_begin(&t->line, "start", t->at.step);
    ts_jw_kint(&w, "steps", t->steps);
    ts_jw_knum(&w, "epochs", (double)t->steps / (double)t->steps_per_epoch);
    ts_jw_kint(&w, "examples", (int64_t)t->train.n);
    ts_jw_kint(&w, "valid_examples", (int64_t)t->valid.n);
    ts_jw_kint(&w, "tokens", t->train.tokens);
    ts_jw_kint(&w, "supervised_tokens", t->train.supervised);
    ts_jw_kint(&w, "truncated", t->train.truncated);
    ts_jw_kint(&w, "unsupervised", t->train.unsupervised);
    ts_jw_kint(&w, "trainable_params", (int64_t)t->adapter->n_params);
    ts_jw_kint(&w, "all_params", (int64_t)(t->adapter->n_params + frozen_params(t)));
    ts_jw_kint(&w, "pid", (int64_t)getpid());
    ts_jw_kstr(&w, "host", host);
    ts_jw_kstr(&w, "kernel", ts_net_kernel());
    ts_jw_kint(&w, "threads", t->s.threads);
    if (t->method->whole) ts_jw_kstr(&w, "weights", t->s.weights);
    ts_jw_kbool(&w, "resumed", t->resumed);
    return ts_events_add(&t->events, &w, err);
}

static ts_status report_data(ts_trainer *t, ts_err *err) {
    const ts_examples *x = &t->train;
    if (t->replayed && !memchr(t->replayed, true, x->n * sizeof *t->replayed))
        TS_TRY(ts_train_warn(t, err,
                             "no replayed row is left to learn from, so --kl-weight holds nothing; raise "
                             "--replay-fraction or --max-length"));
    if (t->adapter->halves && frozen_params(t))
        TS_TRY(
            ts_train_warn(t, err,
                          "weights that are not trained are written in bf16 too; where the base has more bits, best/ "
                          "and model/ differ a little from what was validated"));
    if (x->truncated)
        TS_TRY(
            ts_train_warn(t, err,
                          "%lld of %lld examples are longer than %lld tokens and are cut at the end (the first is line "
                          "%lld, the longest has %lld)",
                          (long long)x->truncated, (long long)x->rows, (long long)t->s.max_length,
                          (long long)x->first_truncated, (long long)x->longest));
    if (x->unsupervised)
        TS_TRY(ts_train_warn(t, err,
                             "%lld of %lld examples have no supervised token and are left out (the first is line %lld)",
                             (long long)x->unsupervised, (long long)x->rows, (long long)x->first_unsupervised));
    return TS_OK;
}

/* From the checkpoint if there is one, from the beginning if not. */
static ts_status find_place(ts_trainer *t, ts_err *err) {
    ts_err none;
    char *events = ts_path_join(t->dir, "events.jsonl");
    bool before = ts_file_size(events) > 0;
    free(events);
    ts_status status = ts_checkpoint_read(t->dir, &t->at, &none);
    t->resumed = status == TS_OK;
    if (status != TS_OK && status != TS_NOT_FOUND) {
        if (err) *err = none;
        return status;
    }
    if (t->resumed) ts_adapter_refresh(t->adapter);
    TS_TRY(ts_events_open(&t->events, t->dir, t->at.events_bytes, err));
    t->events.room = &t->room;
    TS_TRY(settle_machine(t, err));
    TS_TRY(report_start(t, err));
    if (t->options && t->options->on_start) {
        char line[160];
        ts_trainable_line(t->adapter->n_params, frozen_params(t), line, sizeof line);
        t->options->on_start(t->options->ctx, line);
    }
    if (t->adapter->halves)
        ts_train_say(t, "weights are kept in bf16; every update is rounded stochastically, AdamW's state is f32");
    if (!t->resumed) TS_TRY(report_data(t, err));
    if (before && !t->resumed) ts_train_say(t, "there was no checkpoint yet: the run starts from the beginning");
    if (t->resumed) ts_train_say(t, "resumed at step %lld of %lld", (long long)t->at.step, (long long)t->steps);
    return TS_OK;
}

/* Of the adapter that the run began with. */
static ts_status make_own_fisher(ts_trainer *t, ts_err *err) {
    size_t bytes = t->adapter->n_params * sizeof(float);
    float *now = ts_calloc(t->adapter->n_params, sizeof *now);
    memcpy(now, t->adapter->block, bytes);
    memcpy(t->adapter->block, t->start->block, bytes);
    ts_adapter_refresh(t->adapter);
    ts_status status = ts_penalty_fisher(t->net, t->adapter, t->seqs, t->ewc.n, t->fisher, t->grad, t->progress, err);
    memcpy(t->adapter->block, now, bytes);
    ts_adapter_refresh(t->adapter);
    free(now);
    return status;
}

/* EWC's Fisher values are those of what the run began with, also when it is resumed: made again each time with the
 * run's threads, they have the same bits. */
static ts_status make_fisher(ts_trainer *t, ts_err *err) {
    if (t->ewc.n == 0) return TS_OK;
    for (size_t i = 0; i < t->ewc.n; i++)
        t->seqs[i] = ts_train_seq(&t->ewc.items[i]);
    ts_progress_what(t->progress, "weighing what is to be kept");
    if (t->base_fisher) return ts_fisher_measure(t->base_fisher, t->net, t->seqs, t->ewc.n, t->progress, err);
    return make_own_fisher(t, err);
}

/* --- validation --- */

/* Of rows that are not trained on; NAN: there are none. */
static ts_status loss_of(ts_trainer *t, const ts_examples *x, double *loss, ts_err *err) {
    double sum = 0, weight = 0;
    size_t n = x->n;
    double *nll = ts_calloc(n, sizeof *nll);
    size_t *count = ts_calloc(n, sizeof *count);
    for (size_t i = 0; i < n; i++)
        t->seqs[i] = ts_train_seq(&x->items[i]);
    ts_status status = ts_net_nll(t->net, t->adapter, t->seqs, n, nll, count, NULL, t->progress, err);
    for (size_t i = 0; i < n; i++) {
        sum += nll[i];
        weight += ts_seq_weight(&t->seqs[i]);
    }
    *loss = n ? sum / (weight > 0 ? weight : 1) : NAN;
    free(nll);
    free(count);
    return status;
}

/* The adapter at step 0 is no candidate for the best: it is the base model. */
static ts_status evaluate(ts_trainer *t, ts_err *err) {
    double begun = ts_now(), loss, general;
    TS_TRY(loss_of(t, &t->valid, &loss, err));
    TS_TRY(loss_of(t, &t->general, &general, err));
    bool best = t->valid.n && t->at.step > 0 && isfinite(loss) && !(loss >= t->at.best_valid_loss);
    if (best) {
        TS_TRY(ts_train_save(t, "best", err));
        t->at.best_valid_loss = loss;
        t->at.best_step = t->at.step;
    }
    t->at.bad_evals = best || t->at.step == 0 || !t->valid.n ? 0 : t->at.bad_evals + 1;
    t->at.evaluated = t->at.step;
    t->at.valid_loss = loss;
    double seconds = ts_now() - begun;
    t->at.seconds += seconds;
    ts_jw w = ts_events_begin(&t->line, "eval", t->at.step);
    if (t->valid.n) ts_jw_knum(&w, "valid_loss", loss);
    if (t->general.n) ts_jw_knum(&w, "general_loss", general);
    ts_jw_kbool(&w, "best", best);
    ts_jw_knum(&w, "seconds", seconds);
    if (t->valid.n)
        ts_train_say(t, "step %lld/%lld  validation loss %.4f%s", (long long)t->at.step, (long long)t->steps, loss,
                     best ? ", the best so far" : "");
    if (t->general.n)
        ts_train_say(t, "step %lld/%lld  general loss %.4f", (long long)t->at.step, (long long)t->steps, general);
    return ts_events_add(&t->events, &w, err);
}

static bool evaluation_due(const ts_trainer *t) {
    if (t->valid.n + t->general.n == 0 || t->at.evaluated == t->at.step) return false;
    return t->at.step % t->eval_every == 0 || t->at.step == t->steps;
}

static bool sampling_due(const ts_trainer *t) {
    if (!t->samples || t->at.sampled == t->at.step) return false;
    return t->at.step % t->sample_every == 0 || t->at.step == t->steps;
}

static ts_status take_samples(ts_trainer *t, ts_err *err) {
    TS_TRY(ts_train_samples_make(t->samples, t->net, t->adapter, &t->events, t->at.step, &t->line, t->progress, err));
    t->at.sampled = t->at.step;
    return TS_OK;
}

static bool checkpoint_due(const ts_trainer *t) {
    bool by_steps = t->s.checkpoint_every && t->at.step % t->s.checkpoint_every == 0;
    bool by_time = t->s.checkpoint_seconds > 0 && ts_now() - t->last_checkpoint >= t->s.checkpoint_seconds;
    return t->at.step < t->steps && (by_steps || by_time);
}

static bool out_of_patience(const ts_trainer *t) {
    return t->s.patience && t->at.bad_evals >= t->s.patience;
}

/* What needs the cores, when it is this run's turn. */
static ts_status in_turn(ts_trainer *t, ts_status (*work)(ts_trainer *, ts_err *), ts_err *err) {
    if (!ts_turns_begin_step(&t->turns, PATIENCE_SECONDS, t->progress)) return ts_fail(err, TS_CANCELLED, "stopped");
    ts_status status = work(t, err);
    ts_turns_end_step(&t->turns);
    return status;
}

static ts_status loop(ts_trainer *t, ts_err *err) {
    t->last_checkpoint = ts_now();
    ts_progress_what(t->progress, "training");
    for (;;) {
        if (ts_cancelled(t->progress)) return ts_fail(err, TS_CANCELLED, "stopped");
        if (evaluation_due(t)) TS_TRY(in_turn(t, evaluate, err));
        if (sampling_due(t)) TS_TRY(in_turn(t, take_samples, err));
        if (t->at.step >= t->steps || out_of_patience(t)) return TS_OK;
        TS_TRY(in_turn(t, ts_train_step, err));
        ts_progress_set(t->progress, t->at.step, t->steps);
        if (checkpoint_due(t)) {
            if (evaluation_due(t)) TS_TRY(in_turn(t, evaluate, err));
            if (sampling_due(t)) TS_TRY(in_turn(t, take_samples, err));
            TS_TRY(ts_train_checkpoint(t, err));
        }
    }
}

/* --- the end --- */

/* The same while this process trains, which knows how it ended. */
static ts_status sum_up(const char *dir, ts_train_result *r, ts_err *err) {
    ts_run_state state = r->state;
    ts_status status = ts_train_result_read(dir, r, err);
    r->state = state;
    r->peak_rss_bytes = TS_MAX(r->peak_rss_bytes, ts_peak_rss());
    return status;
}

static ts_status report_end(ts_trainer *t, const ts_train_result *r, const char *reason, ts_err *err) {
    ts_jw w = ts_events_begin(&t->line, "end", t->at.step);
    ts_jw_kstr(&w, "state", ts_run_state_names[r->state]);
    ts_jw_kstr(&w, "reason", reason);
    ts_jw_knum(&w, "train_loss", r->train_loss);
    ts_jw_knum(&w, "valid_loss", r->valid_loss);
    ts_jw_knum(&w, "best_step", r->best_step >= 0 ? (double)r->best_step : NAN);
    ts_jw_knum(&w, "best_valid_loss", r->best_valid_loss);
    ts_jw_knum(&w, "seconds", r->seconds);
    ts_jw_knum(&w, "tokens_per_second", r->tokens_per_second);
    ts_jw_knum(&w, "supervised_tokens_per_second", r->supervised_tokens_per_second);
    ts_jw_knum(&w, "peak_rss_bytes", r->peak_rss_bytes > 0 ? (double)r->peak_rss_bytes : NAN);
    TS_TRY(ts_events_add(&t->events, &w, err));
    return ts_events_sync(&t->events, err);
}

/* Those of a whole model are three times its size, and a run that is done is not gone on with. */
static void drop_checkpoints(const ts_trainer *t) {
    ts_err ignored;
    char *dir = ts_path_join(t->dir, "checkpoints");
    if (ts_remove_tree(dir, &ignored) != TS_OK) ts_train_say(t, "%s could not be removed", dir);
    free(dir);
}

/* `status` is how the loop ended, with its sentence in *err. The result is that of the whole. */
static ts_status finish(ts_trainer *t, ts_status status, ts_train_result *r, ts_err *err) {
    ts_err second;
    char reason[sizeof err->text] = "";
    if (status == TS_CANCELLED) {
        r->state = TS_RUN_STOPPED;
        snprintf(reason, sizeof reason, "stopped on request at step %lld of %lld", (long long)t->at.step,
                 (long long)t->steps);
        status = TS_OK;
    } else if (status != TS_OK) {
        r->state = TS_RUN_FAILED;
        snprintf(reason, sizeof reason, "%s", err->text);
    } else {
        r->state = TS_RUN_DONE;
        if (t->at.step < t->steps)
            snprintf(reason, sizeof reason, "no gain in %lld validations", (long long)t->at.bad_evals);
    }
    ts_status saved = r->state == TS_RUN_DONE ? TS_OK : ts_train_checkpoint(t, &second);
    if (saved == TS_OK) saved = ts_train_save(t, t->method->last, &second);
    if (saved == TS_OK && r->state == TS_RUN_DONE && t->method->whole) drop_checkpoints(t);
    ts_err ignored;
    if (sum_up(t->dir, r, &ignored) != TS_OK) r->steps = t->at.step;
    if (status == TS_OK && saved != TS_OK) {
        r->state = TS_RUN_FAILED;
        snprintf(reason, sizeof reason, "%s", second.text);
        status = saved;
        *err = second;
    }
    saved = report_end(t, r, reason, &second);
    if (status == TS_OK && saved != TS_OK) *err = second;
    return status == TS_OK ? saved : status;
}

static void release(ts_trainer *t) {
    ts_events_close(&t->events);
    ts_net_free(t->net);
    ts_adapter_free(t->adapter);
    ts_adapter_free(t->grad);
    ts_adapter_free(t->m);
    ts_adapter_free(t->v);
    ts_adapter_free(t->start);
    ts_adapter_free(t->fisher);
    ts_fisher_free(t->base_fisher);
    free(t->replayed);
    free(t->held);
    ts_examples_release(&t->train);
    ts_examples_release(&t->valid);
    ts_examples_release(&t->general);
    ts_examples_release(&t->ewc);
    ts_train_samples_free(t->samples);
    ts_encoder_release(&t->encoder);
    ts_model_close(t->model);
    ts_run_settings_release(&t->s);
    ts_buf_release(&t->line);
    free(t->order);
    free(t->seqs);
    ts_turns_close(&t->turns);
    ts_lock_release(&t->lock);
}

/* A failure before the first step is written into the events too: a detached run has no other voice. */
static void report_failed_start(ts_trainer *t, const ts_err *err) {
    ts_err ignored;
    ts_train_result r = {TS_RUN_FAILED, 0, NAN, NAN, NAN, -1, 0, NAN, NAN, 0};
    char *path = ts_path_join(t->dir, "events.jsonl");
    int64_t size = TS_MAX(0, ts_file_size(path));
    free(path);
    if (t->events.fd < 0 && ts_events_open(&t->events, t->dir, size, &ignored) != TS_OK) return;
    ts_status status = report_end(t, &r, err->text, &ignored);
    (void)status;
}

/* Before anything is calculated. */
static ts_status choose_kernels(const ts_trainer *t, ts_err *err) {
    if (!t->s.deterministic) return TS_OK;
    const ts_kernels *exact = ts_kernels_named("exact");
    if (!exact)
        return ts_fail(err, TS_UNSUPPORTED,
                       "the run is --deterministic, which needs a processor with AVX2 and FMA; this one has none");
    ts_kernels_use(exact);
    return TS_OK;
}

static ts_status prepare(ts_trainer *t, ts_err *err) {
    TS_TRY(ts_run_settings_read(t->dir, &t->s, err));
    TS_TRY(ts_run_settings_check(&t->s, err));
    TS_TRY(choose_kernels(t, err));
    TS_TRY(ts_schedule_parse(t->s.schedule, &t->schedule, err));
    t->method = ts_run_method(&t->s);
    TS_TRY(open_model(t, err));
    TS_TRY(open_data(t, err));
    TS_TRY(ts_train_samples_open(&t->samples, t->dir, &t->encoder, t->model, (size_t)t->s.sample_tokens, err));
    TS_TRY(open_adapter(t, err));
    plan_steps(t);
    TS_TRY(find_place(t, err));
    return make_fisher(t, err);
}

/* A finished run is not trained again: its result is told once more. */
static bool already_done(const char *dir, ts_train_result *r) {
    ts_err ignored;
    ts_train_result found;
    bool done = ts_train_result_read(dir, &found, &ignored) == TS_OK && found.state == TS_RUN_DONE;
    if (done) *r = found;
    return done;
}

ts_status ts_train_run(const char *run_dir, const ts_train_options *o, ts_progress *progress, ts_train_result *result,
                       ts_err *err) {
    ts_err own;
    char words[192];
    ts_trainer t = {.dir = run_dir, .options = o, .progress = progress, .lock = TS_LOCK_INIT, .events = TS_EVENTS_INIT};
    t.room = (ts_room){.lock = &t.lock, .progress = progress};
    ts_turns_open(&t.turns);
    if (!err) err = &own;
    *result = (ts_train_result){TS_RUN_FAILED, 0, NAN, NAN, NAN, -1, 0, NAN, NAN, 0};
    char *run_json = ts_path_join(run_dir, "run.json"), *lock = ts_path_join(run_dir, "lock");
    ts_status status = TS_OK;
    if (!ts_file_exists(run_json))
        TS_GOTO(ts_fail(err, TS_NOT_FOUND, "%s is no run folder: it holds no run.json", run_dir));
    ts_run_lock_words(words, sizeof words);
    TS_GOTO(ts_lock_take(&t.lock, lock, words, err));
    TS_GOTO(ts_run_place_write(run_dir, (ts_run_place){0}, err)); /* its turn has come */
    if (already_done(run_dir, result)) {
        if (o && o->on_line) o->on_line(o->ctx, "this run is finished; nothing is left to train");
        goto out;
    }
    status = prepare(&t, err);
    if (status == TS_CANCELLED)
        result->state = TS_RUN_STOPPED;
    else if (status != TS_OK)
        report_failed_start(&t, err);
    else
        status = finish(&t, loop(&t, err), result, err);
out:
    release(&t);
    free(run_json);
    free(lock);
    return status;
}
