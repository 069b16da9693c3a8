/* What a run came to, from its events. */
#include "core/engine/train.h"

#include <math.h>

/* Rates and the training loss come from the events themselves: of all starts of this run, not only this one. */
ts_status ts_train_result_read(const char *run_dir, ts_train_result *r, ts_err *err) {
    ts_follow f;
    bool changed;
    double tokens = 0, supervised = 0, seconds = 0;
    ts_follow_init(&f, run_dir);
    ts_status status = ts_follow_poll(&f, &changed, err);
    for (size_t i = 0; i < f.n_points; i++) {
        tokens += f.points[i].tokens;
        supervised += f.points[i].supervised;
        seconds += f.points[i].seconds;
    }
    r->state = f.ended ? f.end_state : f.state;
    r->steps = f.step;
    r->train_loss = f.train_loss;
    r->valid_loss = f.valid_loss;
    r->best_step = f.best_step;
    r->best_valid_loss = f.best_valid_loss;
    r->seconds = f.seconds;
    r->tokens_per_second = seconds > 0 ? tokens / seconds : NAN;
    r->supervised_tokens_per_second = seconds > 0 ? supervised / seconds : NAN;
    r->peak_rss_bytes = f.peak_rss;
    ts_follow_release(&f);
    return status;
}

static void put_num_or_null(ts_jw *w, const char *key, double v, bool there) {
    ts_jw_knum(w, key, there ? v : NAN);
}

void ts_train_result_write(const ts_train_result *r, int64_t run, const char *dir, const char *precision, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    put_num_or_null(&w, "run", (double)run, run > 0);
    ts_jw_kstr(&w, "dir", dir);
    ts_jw_kstr(&w, "state", ts_run_state_names[r->state]);
    ts_jw_kint(&w, "steps", r->steps);
    ts_jw_knum(&w, "train_loss", r->train_loss);
    ts_jw_knum(&w, "valid_loss", r->valid_loss);
    put_num_or_null(&w, "best_step", (double)r->best_step, r->best_step >= 0);
    ts_jw_knum(&w, "best_valid_loss", r->best_valid_loss);
    ts_jw_knum(&w, "seconds", r->seconds);
    ts_jw_knum(&w, "tokens_per_second", r->tokens_per_second);
    ts_jw_knum(&w, "supervised_tokens_per_second", r->supervised_tokens_per_second);
    put_num_or_null(&w, "peak_rss_bytes", (double)r->peak_rss_bytes, r->peak_rss_bytes > 0);
    ts_jw_kstr(&w, "precision", precision);
    ts_jw_end_obj(&w);
}
