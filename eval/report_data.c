/* A report for machines: JSON, and tables of comma-separated values. */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "eval/compare.h"
#include "eval/report_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

static void kfact(ts_jw *w, const char *key, const char *value) {
    ts_jw_kstr(w, key, value && *value ? value : NULL);
}

static void write_curves(const ts_follow *f, ts_jw *w) {
    ts_jw_key(w, "points");
    ts_jw_arr(w);
    for (size_t i = 0; i < f->n_points; i++) {
        const ts_point *p = &f->points[i];
        ts_jw_obj(w);
        ts_jw_kint(w, "step", p->step);
        ts_jw_knum(w, "loss", p->loss);
        ts_jw_knum(w, "lr", p->lr);
        ts_jw_knum(w, "grad_norm", p->grad_norm);
        ts_jw_knum(w, "tokens", p->tokens);
        ts_jw_knum(w, "seconds", p->seconds);
        ts_jw_end_obj(w);
    }
    ts_jw_end_arr(w);
    ts_jw_key(w, "evals");
    ts_jw_arr(w);
    for (size_t i = 0; i < f->n_evals; i++) {
        ts_jw_obj(w);
        ts_jw_kint(w, "step", f->evals[i].step);
        ts_jw_knum(w, "valid_loss", f->evals[i].loss);
        ts_jw_end_obj(w);
    }
    ts_jw_end_arr(w);
}

static void write_samples(const ts_follow *f, ts_jw *w) {
    ts_jw_key(w, "samples");
    ts_jw_arr(w);
    for (size_t i = 0; i < f->n_samples; i++) {
        const ts_run_sample *s = &f->samples[i];
        ts_jw_obj(w);
        ts_jw_kint(w, "step", s->step);
        ts_jw_kstr(w, "prompt", s->prompt < f->n_prompts ? f->prompts[s->prompt] : NULL);
        ts_jw_kstr(w, "text", s->text);
        ts_jw_end_obj(w);
    }
    ts_jw_end_arr(w);
}

static void write_run(const ts_run_info *run, ts_jw *w) {
    ts_buf settings = TS_BUF_INIT;
    const ts_follow *f = &run->follow;
    ts_jw_obj(w);
    ts_jw_kint(w, "run", run->id);
    ts_jw_kstr(w, "name", run->name);
    if (!run->readable) {
        ts_jw_kstr(w, "problem", run->problem);
        ts_jw_end_obj(w);
        return;
    }
    ts_jw_kstr(w, "state", ts_run_state_names[f->state]);
    kfact(w, "reason", f->reason);
    kfact(w, "note", run->note);
    ts_jw_kint(w, "step", f->step);
    ts_jw_kint(w, "steps", f->steps);
    ts_jw_knum(w, "train_loss", f->train_loss);
    ts_jw_knum(w, "valid_loss", f->valid_loss);
    ts_jw_knum(w, "best_valid_loss", f->best_valid_loss);
    ts_jw_knum(w, "general_loss", f->general_loss);
    ts_jw_knum(w, "general_before", f->general_before);
    ts_jw_knum(w, "best_step", f->best_step >= 0 ? (double)f->best_step : NAN);
    ts_jw_knum(w, "seconds", f->seconds);
    ts_jw_knum(w, "trainable_params", f->trainable_params ? (double)f->trainable_params : NAN);
    ts_jw_knum(w, "peak_rss_bytes", f->peak_rss ? (double)f->peak_rss : NAN);
    ts_jw_key(w, "settings");
    ts_run_settings_write(&run->settings, &settings);
    ts_jw_raw(w, settings.data, settings.len);
    write_curves(f, w);
    write_samples(f, w);
    ts_jw_end_obj(w);
    ts_buf_release(&settings);
}

static void write_interval(ts_jw *w, const char *key, ts_interval i) {
    ts_jw_key(w, key);
    ts_jw_arr(w);
    ts_jw_num(w, i.low);
    ts_jw_num(w, i.high);
    ts_jw_end_arr(w);
}

static void write_metrics(const ts_report *r, ts_jw *w) {
    ts_jw_key(w, "metrics");
    ts_jw_obj(w);
    for (size_t i = 0; i < r->n_sides; i++) {
        ts_jw_key(w, r->sides[i]);
        ts_jw_obj(w);
        ts_jw_kint(w, "answers", (int64_t)r->answered[i]);
        for (int id = 0; id < TS_METRIC_COUNT; id++)
            ts_jw_knum(w, ts_metrics[id].name, r->metrics[i].m[id].value);
        ts_jw_key(w, "intervals");
        ts_jw_obj(w);
        for (int id = 0; id < TS_METRIC_COUNT; id++)
            write_interval(w, ts_metrics[id].name, r->metrics[i].m[id].interval);
        ts_jw_end_obj(w);
        if (r->robust[i].by != TS_METRIC_COUNT) {
            ts_jw_key(w, "robust");
            ts_robust_write(&r->robust[i], w);
        }
        ts_jw_key(w, "votes");
        ts_side_votes_write(&r->votes[i], w);
        ts_jw_end_obj(w);
    }
    ts_jw_end_obj(w);
}

static void write_answer(const ts_answer *a, ts_jw *w) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "text", a->text);
    kfact(w, "context", a->context);
    kfact(w, "stop", a->stop);
    ts_jw_key(w, "passed");
    if (a->checked)
        ts_jw_bool(w, a->passed);
    else
        ts_jw_null(w);
    ts_jw_key(w, "metrics");
    ts_jw_obj(w);
    for (int id = 0; id < TS_METRIC_COUNT; id++)
        ts_jw_knum(w, ts_metrics[id].name, a->values[id]);
    ts_jw_end_obj(w);
    ts_jw_end_obj(w);
}

static void write_rows(const ts_report *r, ts_jw *w) {
    ts_jw_key(w, "rows");
    ts_jw_arr(w);
    for (size_t p = 0; p < r->n_prompts; p++) {
        const ts_report_prompt *asked = &r->prompts[p];
        ts_jw_obj(w);
        ts_jw_kint(w, "id", asked->id);
        ts_jw_kstr(w, "prompt", asked->text);
        ts_jw_kstr(w, "reference", asked->reference);
        kfact(w, "vote", asked->vote);
        ts_jw_kbool(w, "blind", asked->blind);
        kfact(w, "note", asked->note);
        ts_jw_key(w, "answers");
        ts_jw_obj(w);
        for (size_t i = 0; i < r->n_sides; i++) {
            const ts_answer *a = &r->answers[p * r->n_sides + i];
            if (!a->text) continue;
            ts_jw_key(w, r->sides[i]);
            write_answer(a, w);
        }
        ts_jw_end_obj(w);
        ts_jw_end_obj(w);
    }
    ts_jw_end_arr(w);
}

void ts_report_json(const ts_report *r, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    char made[32];
    ts_wall_iso(r->made_ms, made);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "workspace", r->name);
    ts_jw_kstr(&w, "made", made);
    ts_jw_kstr(&w, "version", TS_VERSION);
    ts_jw_key(&w, "sides");
    ts_jw_arr(&w);
    for (size_t i = 0; i < r->n_sides; i++)
        ts_jw_str(&w, r->sides[i]);
    ts_jw_end_arr(&w);
    write_metrics(r, &w);
    ts_jw_key(&w, "runs");
    ts_jw_arr(&w);
    for (size_t i = 0; i < r->runs.n; i++)
        write_run(&r->runs.items[i], &w);
    ts_jw_end_arr(&w);
    write_rows(r, &w);
    ts_jw_key(&w, "data_card");
    ts_jw_strn(&w, ts_buf_str(&r->card), r->card.len);
    ts_jw_end_obj(&w);
}

/* ---- tables ---- */

/* A line of cells: a comma goes in front of all but the first. */
struct line {
    ts_buf *out;
    bool begun;
};

static void cell(struct line *l, const char *s) {
    bool formula = s && *s && strchr("=+-@\t\r", *s);
    if (l->begun) ts_buf_putc(l->out, ',');
    l->begun = true;
    if (!s) return;
    ts_buf_putc(l->out, '"');
    if (formula) ts_buf_putc(l->out, '\'');
    for (; *s; s++) {
        if (*s == '"') ts_buf_putc(l->out, '"');
        ts_buf_putc(l->out, *s);
    }
    ts_buf_putc(l->out, '"');
}

/* An empty cell where nothing was measured. */
static void number(struct line *l, double v) {
    ts_jw w = ts_jw_to(l->out);
    if (l->begun) ts_buf_putc(l->out, ',');
    l->begun = true;
    if (isfinite(v)) ts_jw_num(&w, v);
}

static void end(struct line *l) {
    ts_buf_puts(l->out, "\r\n"); /* RFC 4180 */
    l->begun = false;
}

static void answers_table(const ts_report *r, ts_buf *out) {
    struct line l = {out, false};
    ts_buf_puts(out, "id,prompt,reference,vote,blind,note,side,answer,stop,passed");
    for (int id = 0; id < TS_METRIC_COUNT; id++)
        ts_buf_printf(out, ",%s", ts_metrics[id].name);
    end(&l);
    for (size_t k = 0; k < r->n_prompts * r->n_sides; k++) {
        const ts_report_prompt *p = &r->prompts[k / r->n_sides];
        const ts_answer *a = &r->answers[k];
        if (!a->text) continue;
        number(&l, (double)p->id);
        cell(&l, p->text);
        cell(&l, p->reference);
        cell(&l, p->vote);
        number(&l, *p->vote ? p->blind : NAN);
        cell(&l, p->note);
        cell(&l, r->sides[k % r->n_sides]);
        cell(&l, a->text);
        cell(&l, a->stop);
        number(&l, a->checked ? a->passed : NAN);
        for (int id = 0; id < TS_METRIC_COUNT; id++)
            number(&l, a->values[id]);
        end(&l);
    }
}

static void metrics_table(const ts_report *r, ts_buf *out) {
    struct line l = {out, false};
    ts_buf_puts(out, "side,metric,value,low,high,answers\r\n");
    for (size_t i = 0; i < r->n_sides; i++)
        for (int id = 0; id < TS_METRIC_COUNT; id++) {
            const ts_measure *m = &r->metrics[i].m[id];
            cell(&l, r->sides[i]);
            cell(&l, ts_metrics[id].name);
            number(&l, m->value);
            number(&l, m->interval.low);
            number(&l, m->interval.high);
            number(&l, (double)m->n);
            end(&l);
        }
}

static void votes_table(const ts_report *r, ts_buf *out) {
    struct line l = {out, false};
    ts_buf_puts(out, "side,wins,losses,ties,none,blind,win_rate,low,high,sign_test\r\n");
    for (size_t i = 0; i < r->n_sides; i++) {
        const ts_side_votes *v = &r->votes[i];
        double decided = (double)(v->wins + v->losses);
        ts_interval w = ts_wilson((double)v->wins, decided);
        cell(&l, v->side);
        number(&l, (double)v->wins);
        number(&l, (double)v->losses);
        number(&l, (double)v->ties);
        number(&l, (double)v->none);
        number(&l, (double)v->blind);
        number(&l, decided > 0 ? (double)v->wins / decided : NAN);
        number(&l, w.low);
        number(&l, w.high);
        number(&l, decided > 0 ? ts_sign_test(v->wins, v->losses) : NAN);
        end(&l);
    }
}

static void curve_line(struct line *l, int64_t run, const char *kind, const ts_point *p) {
    number(l, (double)run);
    cell(l, kind);
    number(l, (double)p->step);
    number(l, p->loss);
    number(l, p->lr);
    number(l, p->grad_norm);
    number(l, p->tokens);
    number(l, p->seconds);
    end(l);
}

static void curves_table(const ts_report *r, ts_buf *out) {
    struct line l = {out, false};
    ts_buf_puts(out, "run,kind,step,loss,lr,grad_norm,tokens,seconds\r\n");
    for (size_t i = 0; i < r->runs.n; i++) {
        const ts_run_info *run = &r->runs.items[i];
        for (size_t k = 0; k < run->follow.n_points; k++)
            curve_line(&l, run->id, "train", &run->follow.points[k]);
        for (size_t k = 0; k < run->follow.n_evals; k++) {
            const ts_eval_point *e = &run->follow.evals[k];
            curve_line(&l, run->id, "valid", &(ts_point){e->step, e->loss, NAN, NAN, NAN, NAN, NAN});
        }
    }
}

struct setting {
    struct line line;
    int64_t run;
};

static void setting_line(void *ctx, const char *name, const char *value) {
    struct setting *s = ctx;
    number(&s->line, (double)s->run);
    cell(&s->line, name);
    cell(&s->line, value);
    end(&s->line);
}

static void settings_table(const ts_report *r, ts_buf *out) {
    ts_buf_puts(out, "run,setting,value\r\n");
    for (size_t i = 0; i < r->runs.n; i++) {
        struct setting s = {{out, false}, r->runs.items[i].id};
        if (r->runs.items[i].readable) ts_report_run_settings(&r->runs.items[i], setting_line, &s);
    }
}

static const struct {
    const char *name;
    void (*write)(const ts_report *r, ts_buf *out);
} tables[] = {{"answers", answers_table},
              {"metrics", metrics_table},
              {"votes", votes_table},
              {"curves", curves_table},
              {"settings", settings_table}};

ts_status ts_report_csv(const ts_report *r, const char *table, ts_buf *out, ts_err *err) {
    for (size_t i = 0; i < TS_COUNT(tables); i++)
        if (strcmp(tables[i].name, table) == 0) {
            tables[i].write(r, out);
            return TS_OK;
        }
    return ts_fail(err, TS_INVALID,
                   "a report has no table \"%.40s\"; it has answers, metrics, votes, curves and settings", table);
}
