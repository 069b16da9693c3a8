/* What is said of runs, measures, answers and votes, the same in every form of a report. */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "eval/compare.h"
#include "eval/report_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void ts_report_time(int64_t ms, ts_buf *out) {
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char text[40] = "?";
    if (gmtime_r(&t, &tm)) strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &tm);
    ts_buf_puts(out, text);
}

struct facts {
    ts_buf value;
    ts_fact_fn *fn;
    void *ctx;
};

static void tell(struct facts *f, const char *name) {
    if (f->value.len) f->fn(f->ctx, name, f->value.data);
    ts_buf_reset(&f->value);
}

static void tell_loss(struct facts *f, const ts_follow *w) {
    if (isfinite(w->train_loss)) ts_buf_printf(&f->value, "%.4f over the last epoch", w->train_loss);
    tell(f, "training loss");
    if (isfinite(w->valid_loss)) ts_buf_printf(&f->value, "%.4f", w->valid_loss);
    if (isfinite(w->best_valid_loss) && w->best_step >= 0)
        ts_buf_printf(&f->value, "; best %.4f at step %lld", w->best_valid_loss, (long long)w->best_step);
    tell(f, "held-out loss");
    if (isfinite(w->general_before) && isfinite(w->general_loss))
        ts_buf_printf(&f->value, "%.4f before, %.4f after (%+.4f)", w->general_before, w->general_loss,
                      w->general_loss - w->general_before);
    tell(f, "loss on general rows");
}

static void tell_cost(struct facts *f, const ts_follow *w) {
    char time[64];
    ts_format_duration(w->seconds, time);
    if (w->seconds > 0) ts_buf_puts(&f->value, time);
    if (isfinite(w->tokens_per_second) && w->tokens_per_second > 0)
        ts_buf_printf(&f->value, " at %.0f tokens a second", w->tokens_per_second);
    tell(f, "time");
    if (w->peak_rss) ts_buf_printf(&f->value, "%.2f GB at most", (double)w->peak_rss / 1e9);
    tell(f, "memory");
    if (w->trainable_params)
        ts_buf_printf(&f->value, "%lld of %lld (%.2f%%)", (long long)w->trainable_params, (long long)w->all_params,
                      100 * (double)w->trainable_params / (double)TS_MAX(w->all_params, 1));
    tell(f, "trained parameters");
    if (*w->host) ts_buf_puts(&f->value, w->host);
    if (*w->kernel) ts_buf_printf(&f->value, "%s%s kernels, %d threads", *w->host ? ", " : "", w->kernel, w->threads);
    tell(f, "machine");
}

void ts_report_run_facts(const ts_run_info *run, ts_fact_fn *fn, void *ctx) {
    struct facts f = {TS_BUF_INIT, fn, ctx};
    const ts_run_settings *s = &run->settings;
    const ts_follow *w = &run->follow;
    ts_buf_puts(&f.value, ts_run_state_names[w->state]);
    if (*w->reason) ts_buf_printf(&f.value, ": %s", w->reason);
    ts_buf_printf(&f.value, ", step %lld of %lld", (long long)w->step, (long long)w->steps);
    tell(&f, "state");
    ts_buf_puts(&f.value, run->note);
    tell(&f, "note");
    ts_buf_printf(&f.value, "%s", run->model_name);
    if (s->model_hash) ts_buf_printf(&f.value, " (content hash %s)", s->model_hash);
    tell(&f, "base model");
    ts_buf_printf(&f.value, "%lld examples", (long long)s->train_rows);
    if (s->valid_rows) ts_buf_printf(&f.value, ", %lld held out", (long long)s->valid_rows);
    ts_buf_printf(&f.value, "; rows that answer: %s", s->where && *s->where ? s->where : "status=accepted");
    if (w->tokens_per_epoch)
        ts_buf_printf(&f.value, "; %lld tokens an epoch, %lld of them learnt", (long long)w->tokens_per_epoch,
                      (long long)w->supervised_per_epoch);
    tell(&f, "data");
    ts_buf_puts(&f.value, s->method);
    if (strcmp(s->method, "full") != 0)
        ts_buf_printf(&f.value, ", r %lld, alpha %g, %s", (long long)s->r, s->lora_alpha, s->target_modules);
    ts_buf_printf(&f.value, ", learning rate %g %s, batch %lldx%lld, %g epochs, seed %lld", s->learning_rate,
                  s->schedule, (long long)s->batch_size, (long long)s->grad_accum, s->epochs, (long long)s->seed);
    tell(&f, "method");
    tell_loss(&f, w);
    tell_cost(&f, w);
    ts_report_time(s->created_ms, &f.value);
    if (s->version) ts_buf_printf(&f.value, " with tunesmith %s", s->version);
    tell(&f, "made");
    ts_buf_release(&f.value);
}

void ts_report_run_settings(const ts_run_info *run, ts_fact_fn *fn, void *ctx) {
    struct facts f = {TS_BUF_INIT, fn, ctx};
    ts_buf text = TS_BUF_INIT;
    ts_run_settings_write(&run->settings, &text);
    ts_json *root = ts_json_parse(ts_buf_str(&text), text.len, NULL);
    for (const ts_json *m = ts_json_child(root); m; m = ts_json_next(m)) {
        if (ts_json_is_null(m)) continue;
        if (ts_json_is_string(m))
            ts_buf_puts(&f.value, ts_json_str(m, ""));
        else
            ts_json_print(m, &f.value);
        tell(&f, ts_json_key(m));
    }
    ts_json_free(root);
    ts_buf_release(&text);
    ts_buf_release(&f.value);
}

void ts_report_command(const ts_run_info *run, ts_buf *out) {
    ts_buf_puts(out, "tunesmith train WORKSPACE");
    ts_run_settings_command(&run->settings, out);
}

void ts_report_measure(ts_metric_id id, const ts_measure *m, ts_buf *out) {
    ts_metric_print(id, m->value, out);
    if (!isfinite(m->value) || !isfinite(m->interval.low) || !isfinite(m->interval.high)) return;
    ts_buf_puts(out, " [");
    ts_metric_print(id, m->interval.low, out);
    ts_buf_puts(out, ", ");
    ts_metric_print(id, m->interval.high, out);
    ts_buf_putc(out, ']');
}

bool ts_report_measured(const ts_report *r, int id) {
    for (size_t i = 0; i < r->n_sides; i++)
        if (isfinite(r->metrics[i].m[id].value)) return true;
    return false;
}

bool ts_report_voted(const ts_report *r) {
    for (size_t i = 0; i < r->n_sides; i++)
        if (r->votes[i].wins + r->votes[i].losses + r->votes[i].ties + r->votes[i].none) return true;
    return false;
}

bool ts_report_even(const ts_report *r) {
    for (size_t p = 0; p < r->n_prompts; p++)
        for (size_t i = 0; i < r->n_sides; i++)
            if (!r->answers[p * r->n_sides + i].text) return false;
    return true;
}

size_t ts_report_best(const ts_report *r, int id) {
    size_t best = r->n_sides;
    double most = -INFINITY;
    for (size_t i = 0; i < r->n_sides && ts_metrics[id].better; i++) {
        double v = r->metrics[i].m[id].value * ts_metrics[id].better;
        if (!isfinite(v)) continue;
        if (v > most)
            best = i;
        else if (!(v < most))
            best = r->n_sides;
        most = fmax(most, v);
    }
    return r->n_sides > 1 ? best : r->n_sides;
}

void ts_report_answer_facts(const ts_answer *a, ts_buf *out) {
    size_t from = out->len;
    if (a->tokens >= 0) ts_buf_printf(out, "%lld tokens", (long long)a->tokens);
    if (*a->stop)
        ts_buf_printf(out, "%s%s", out->len > from ? ", " : "",
                      strcmp(a->stop, "length") == 0 ? "cut at the limit" : "ended by itself");
    if (a->repetition > 0) ts_buf_printf(out, "%srepeats %.2f", out->len > from ? ", " : "", a->repetition);
    if (a->checked) ts_buf_printf(out, "%scheck %s", out->len > from ? ", " : "", a->passed ? "passed" : "failed");
    if (a->checked && a->failed_line) ts_buf_printf(out, " (line %zu)", a->failed_line);
    if (a->chose) ts_buf_printf(out, "%schoice %s", out->len > from ? ", " : "", a->right ? "right" : "wrong");
    if (isfinite(a->reference_nll) && a->reference_tokens > 0)
        ts_buf_printf(out, "%sloss on the reference %.3f", out->len > from ? ", " : "",
                      a->reference_nll / (double)a->reference_tokens);
}

void ts_report_votes(const ts_side_votes *v, ts_buf *out) {
    ts_buf_puts(out, "won ");
    ts_side_votes_print(v, out);
    ts_buf_printf(out, " decided votes; ties %lld, all bad %lld, blind %lld; sign test p = %.3g", (long long)v->ties,
                  (long long)v->none, (long long)v->blind, ts_sign_test(v->wins, v->losses));
}
