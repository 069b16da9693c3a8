/* train, plan: a run from a workspace, from files, or an existing run folder. The options come from TS_RUN_OPTIONS. */
#include "core/base/clock.h"
#include "core/model/adapter.h"
#include "core/work/child.h"
#include "core/work/turns.h"
#include "eval/plan_check.h"
#include "eval/runs_queue.h"
#include "tui/cli.h"
#include "tui/cli_cost.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DECLARE_TEXT(member) const char *member;
#define DECLARE_INT(member) const char *member;
#define DECLARE_NUM(member) const char *member;
#define DECLARE_BOOL(member) bool member;
#define DECLARE(option, member, kind, value, help, otherwise, least, most) DECLARE_##kind(member)

struct train_opts {
    const char *model, *run, *data, *valid_data, *out, *name;
    bool detach, now;
    bool time;         /* plan */
    ts_cost_opts cost; /* plan */
    TS_RUN_OPTIONS(DECLARE)
};

#define DEFAULT_TEXT(member, otherwise) .member = otherwise,
#define DEFAULT_INT(member, otherwise) .member = otherwise,
#define DEFAULT_NUM(member, otherwise) .member = otherwise,
#define DEFAULT_BOOL(member, otherwise) .member = false,
#define DEFAULT(option, member, kind, value, help, otherwise, least, most) DEFAULT_##kind(member, otherwise)
static const struct train_opts defaults = {TS_RUN_OPTIONS(DEFAULT).cost = TS_COST_OPTS_DEFAULTS};

#define KIND_TEXT TS_OPT_TEXT
#define KIND_INT TS_OPT_TEXT
#define KIND_NUM TS_OPT_TEXT
#define KIND_BOOL TS_OPT_FLAG
#define ROW(option, member, kind, value, help, otherwise, least, most)                                                 \
    {option, KIND_##kind, offsetof(struct train_opts, member), value, help},

/* --- options to settings --- */

static ts_status set_text(ts_run_settings *s, const char *option, const char *value, ts_err *err) {
    return value ? ts_run_settings_set(s, option, value, err) : TS_OK;
}
static ts_status set_flag(ts_run_settings *s, const char *option, bool value, ts_err *err) {
    return value ? ts_run_settings_set(s, option, "yes", err) : TS_OK;
}
/* What was not typed stays what it is: a preset may have set it. */
#define SET_TEXT(option, member) (o->member == defaults.member ? TS_OK : set_text(s, option, o->member, err))
#define SET_INT(option, member) SET_TEXT(option, member)
#define SET_NUM(option, member) SET_TEXT(option, member)
#define SET_BOOL(option, member) set_flag(s, option, o->member, err)
#define SET(option, member, kind, value, help, otherwise, least, most)                                                 \
    if (status == TS_OK) status = SET_##kind(option, member);

static ts_status settings_of(const struct train_opts *o, ts_run_settings *s, ts_err *err) {
    ts_status status = TS_OK;
    ts_run_settings_init(s);
    TS_RUN_OPTIONS(SET)
    if (o->model) ts_run_set(&s->model, o->model);
    return status;
}

/* The name of an option that was given although the run has its settings already; NULL: none. */
#define GIVEN(option, member, kind, value, help, otherwise, least, most)                                               \
    if (o->member != defaults.member) return option;
static const char *given(const struct train_opts *o) {
    TS_RUN_OPTIONS(GIVEN)
    return o->out ? "out" : o->data ? "data" : o->valid_data ? "valid-data" : o->name ? "name" : NULL;
}

/* --- training in this process --- */

static _Atomic(ts_progress *) terminated;

static atomic_bool stop_was_asked; /* by ts_run_stop */

static void on_terminate(int sig, siginfo_t *info, void *ctx) {
    (void)sig;
    (void)ctx;
    if (ts_run_stop_asked(info->si_code)) atomic_store(&stop_was_asked, true);
    ts_cancel(atomic_load(&terminated));
}

struct report {
    const ts_cmd *cmd;
    ts_meter *meter;
    bool terminal;
};

static void on_line(void *ctx, const char *line) {
    struct report *r = ctx;
    if (r->cmd->quiet) return;
    if (r->terminal && strncmp(line, "step ", 5) == 0)
        ts_meter_say(r->meter, "%s", line);
    else
        fprintf(stderr, "%s%s\n", r->terminal ? "\r\033[K" : "", line);
}

static void on_start(void *ctx, const char *trainable_line) {
    struct report *r = ctx;
    if (!r->cmd->json && !r->cmd->quiet) {
        printf("%s%s\n", r->terminal ? "\r\033[K" : "", trainable_line);
        fflush(stdout);
    }
}

static void put_loss(ts_buf *out, const char *what, double v) {
    if (isfinite(v)) ts_buf_printf(out, ", %s %.4f", what, v);
}

/* "adapter" or "model". */
static const char *result_name(const char *dir) {
    ts_run_settings s;
    ts_err ignored;
    const ts_method_facts *method = NULL;
    if (ts_run_settings_read(dir, &s, &ignored) == TS_OK) {
        method = ts_run_method(&s);
        ts_run_settings_release(&s);
    }
    return method ? method->last : ts_methods[0].last;
}

/* What a person wants to know at the end. */
static void print_result(const ts_train_result *r, const char *dir) {
    char time[32];
    ts_buf line = TS_BUF_INIT;
    ts_format_duration(r->seconds, time);
    ts_buf_printf(&line, "%s after %lld steps", ts_run_state_names[r->state], (long long)r->steps);
    put_loss(&line, "train loss", r->train_loss);
    put_loss(&line, "validation", r->valid_loss);
    put_loss(&line, "best", r->best_valid_loss);
    if (r->best_step >= 0) ts_buf_printf(&line, " at step %lld", (long long)r->best_step);
    ts_buf_printf(&line, ", %s", time);
    if (isfinite(r->tokens_per_second)) ts_buf_printf(&line, ", %.0f tok/s", r->tokens_per_second);
    if (r->peak_rss_bytes) ts_buf_printf(&line, ", %.2f GB", (double)r->peak_rss_bytes / 1e9);
    const char *last = result_name(dir);
    if (r->best_step >= 0)
        ts_buf_printf(&line, "\n%s: %s/best (and the last one in %s)", last, dir, last);
    else
        ts_buf_printf(&line, "\n%s: %s/%s", last, dir, last);
    if (r->state == TS_RUN_STOPPED) {
        ts_buf_puts(&line, "\nto go on: tunesmith train --run ");
        ts_buf_shell_word(&line, dir);
    }
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

static int finish(const ts_cmd *cmd, const ts_train_result *r, int64_t run, const char *dir) {
    ts_run_settings s;
    ts_err err;
    if (cmd->json) {
        ts_buf line = TS_BUF_INIT;
        bool known = ts_run_settings_read(dir, &s, &err) == TS_OK;
        ts_train_result_write(r, run, dir, known ? s.precision : NULL, &line);
        ts_cmd_print_line(&line);
        ts_buf_release(&line);
        if (known) ts_run_settings_release(&s);
    } else if (!cmd->quiet) {
        print_result(r, dir);
    }
    return r->state == TS_RUN_STOPPED ? TS_EXIT_INTERRUPTED : TS_EXIT_OK;
}

/* The run is over: the next of its workspace begins. Not after a Ctrl-C or the SIGTERM of a machine that shuts down. */
static void start_next(const ts_cmd *cmd, const char *dir, bool stopped) {
    enum { PATIENCE = 40 };
    ts_err err;
    char *ws = stopped && !atomic_load(&stop_was_asked) ? NULL : ts_runs_workspace(dir), *next = NULL;
    if (ws && ts_runs_next(ws, PATIENCE, &next, &err) != TS_OK)
        ts_cmd_note(cmd, "the next run of the queue could not be started: %s", err.text);
    if (next) ts_cmd_note(cmd, "%s begins: it was the next of the queue", next);
    free(next);
    free(ws);
}

static int train_here(const ts_cmd *cmd, const char *dir, const char *model) {
    ts_progress progress = {0};
    ts_train_result result;
    ts_err err;
    struct report report = {cmd, NULL, isatty(STDERR_FILENO)};
    ts_train_options o = {.model = model, .on_line = on_line, .on_start = on_start, .ctx = &report};
    struct sigaction act = {.sa_sigaction = on_terminate, .sa_flags = SA_RESTART | SA_SIGINFO};
    atomic_store(&terminated, &progress);
    ts_map_guard();
    ts_cmd silent = *cmd;
    silent.quiet |= !report.terminal; /* a log gets a line for every step instead */
    report.meter = ts_meter_start(&silent, &progress, "training", "steps");
    sigaction(SIGTERM, &act, NULL); /* behind the meter's own handler, which does not see who asks */
    sigaction(SIGHUP, &act, NULL);
    ts_status status = ts_train_run(dir, &o, &progress, &result, &err);
    ts_meter_stop(report.meter);
    signal(SIGTERM, SIG_DFL);
    int code = status == TS_OK ? finish(cmd, &result, 0, dir) : ts_cmd_fail(cmd, &err);
    if (status != TS_BUSY) start_next(cmd, dir, status == TS_OK && result.state == TS_RUN_STOPPED);
    return code;
}

/* Before the folder is made: what cannot be trained on leaves none behind, and is named as the person named it. */
static ts_status check_data(ts_run_settings *s, const char *file, ts_progress *progress, ts_err *err) {
    ts_train_plan plan;
    TS_TRY(ts_run_settings_check(s, err));
    TS_TRY(ts_train_plan_make(s, file, progress, &plan, err));
    if (plan.examples > 0) return TS_OK;
    if (plan.unsupervised == 0) return ts_fail(err, TS_INVALID, "%s holds no rows to train on", file);
    return ts_fail(err, TS_INVALID,
                   "nothing to learn: no row of %s has a supervised token (an assistant answer within the first %lld "
                   "tokens)",
                   file, (long long)s->max_length);
}

static int train_files(const ts_cmd *cmd, const struct train_opts *o, ts_run_settings *s) {
    ts_err err;
    ts_progress progress = {0};
    if (!o->out) return ts_cmd_usage(cmd, "--data needs --out with the folder to make the run in");
    if (!o->model) return ts_cmd_usage(cmd, "--data needs --model");
    ts_meter *meter = ts_meter_start(cmd, &progress, "reading the data", "bytes");
    ts_status status = check_data(s, o->data, &progress, &err);
    if (status == TS_OK && o->valid_data) status = check_data(s, o->valid_data, &progress, &err);
    if (status == TS_OK) status = ts_run_create(o->out, s, o->data, o->valid_data, &progress, &err);
    ts_meter_stop(meter);
    return status == TS_OK ? train_here(cmd, o->out, NULL) : ts_cmd_fail(cmd, &err);
}

/* --- training in a detached child, followed --- */

static void show(const ts_cmd *cmd, ts_meter *meter, const ts_follow *f, size_t *shown, ts_progress *p) {
    char line[160];
    if (!cmd->json && !cmd->quiet && *shown == 0 && f->trainable_params) {
        ts_trainable_line((size_t)f->trainable_params, (size_t)(f->all_params - f->trainable_params), line,
                          sizeof line);
        printf("%s%s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", line);
        fflush(stdout);
        *shown = 1;
    }
    ts_progress_set(p, f->step, f->steps);
    if (f->n_points)
        ts_meter_say(meter, "loss %.3f%s%.0f tok/s", f->points[f->n_points - 1].loss, "  ", f->tokens_per_second);
}

static bool waits(const ts_follow *f) {
    return f->state == TS_RUN_WAITING || f->state == TS_RUN_HELD;
}

/* Asks the run to end, or takes it out of the queue. */
static void stop_run(const char *ws, const ts_follow *f, ts_meter *meter) {
    ts_err ignored;
    ts_status stopped = waits(f) ? ts_runs_leave(ws, f->dir, &ignored) : ts_run_stop(f->dir, &ignored);
    (void)stopped;
    if (!waits(f)) ts_meter_say(meter, "stopping: a checkpoint is being written");
}

/* While a run waits its follower too sees that the queue goes on: whoever trained before may have been killed. */
static void look_at_queue(const char *ws, const ts_follow *f, double *next_look) {
    ts_err ignored;
    char *started = NULL;
    if (!waits(f) || ts_now() < *next_look) return;
    *next_look = ts_now() + 1;
    ts_status status = ts_runs_next(ws, 0, &started, &ignored);
    (void)status;
    free(started);
}

static const char *what_now(const ts_follow *f) {
    return f->state == TS_RUN_WAITING  ? "waits its turn"
           : f->state == TS_RUN_HELD   ? "held in the queue"
           : *f->paused                ? "paused: the disk is full"
           : ts_turns_answers_wanted() ? ts_turns_wait_for_answers
                                       : "training";
}

static ts_status follow(const ts_cmd *cmd, const char *dir, ts_err *err) {
    ts_follow f;
    ts_progress progress = {0};
    bool changed, asked = false;
    size_t shown = 0;
    ts_status status;
    ts_follow_init(&f, dir);
    double next_look = 0;
    ts_progress_what(&progress, "training");
    ts_meter *meter = ts_meter_start(cmd, &progress, "training", "steps");
    signal(SIGTERM, SIG_DFL); /* ends the follower alone; the run goes on. ts_meter_stop puts things back */
    do {
        nanosleep(&(struct timespec){0, 100 * 1000000L}, NULL);
        status = ts_follow_poll(&f, &changed, err);
        if (changed) show(cmd, meter, &f, &shown, &progress);
        ts_progress_what(&progress, what_now(&f));
        look_at_queue(cmd->args[0], &f, &next_look);
        if (ts_cancelled(&progress) && !asked) {
            stop_run(cmd->args[0], &f, meter);
            asked = true;
        }
    } while (status == TS_OK && (f.state == TS_RUN_RUNNING || waits(&f)));
    ts_meter_stop(meter);
    if (status == TS_OK && f.state == TS_RUN_FAILED) status = ts_fail(err, TS_INVALID, "%s", f.reason);
    if (status == TS_OK && f.state == TS_RUN_CRASHED)
        status = ts_fail(err, TS_IO,
                         "the training process was killed at step %lld (out of memory?); tunesmith train --run %s goes "
                         "on from the last checkpoint",
                         (long long)f.step, dir);
    ts_follow_release(&f);
    return status;
}

/* number: its place in the queue; 0: it trains. */
static void tell_run(const ts_cmd *cmd, int64_t id, const char *dir, const ts_run_settings *s, bool detach,
                     size_t number) {
    if (cmd->quiet || (cmd->json && !detach)) return;
    if (cmd->json) {
        ts_buf line = TS_BUF_INIT;
        ts_jw w = ts_jw_to(&line);
        ts_jw_obj(&w);
        ts_jw_kint(&w, "run", id);
        ts_jw_kstr(&w, "dir", dir);
        ts_jw_kstr(&w, "state", ts_run_state_names[number ? TS_RUN_WAITING : TS_RUN_RUNNING]);
        ts_jw_knum(&w, "queue", number ? (double)number : NAN);
        ts_jw_end_obj(&w);
        ts_cmd_print_line(&line);
        ts_buf_release(&line);
        return;
    }
    printf("run %lld: %lld examples, %lld held out, in %s\n", (long long)id, (long long)s->train_rows,
           (long long)s->valid_rows, dir);
    if (number) printf("another run trains: this one waits as number %zu of the queue\n", number);
    fflush(stdout);
}

static int left_the_queue(const ts_cmd *cmd, int64_t id) {
    ts_cmd_note(cmd, "run %lld waits no longer; tunesmith runs %s --resume %lld trains it", (long long)id, cmd->args[0],
                (long long)id);
    return TS_EXIT_INTERRUPTED;
}

static int train_workspace(const ts_cmd *cmd, const struct train_opts *o, ts_run_settings *s) {
    ts_err err;
    ts_progress progress = {0};
    ts_train_result result = {.state = TS_RUN_NEW};
    int64_t id = 0;
    size_t number = 0;
    char *dir = NULL;
    int code;
    ts_meter *meter = ts_meter_start(cmd, &progress, "making the run", "rows");
    ts_status status = ts_runs_create_from(cmd->args[0], o->name, s, &id, &dir, &progress, &err);
    ts_meter_stop(meter);
    if (status == TS_OK) status = o->now ? ts_runs_start(dir, &err) : ts_runs_begin(cmd->args[0], dir, &number, &err);
    if (status == TS_OK) tell_run(cmd, id, dir, s, o->detach, number);
    if (status == TS_OK && !o->detach) {
        status = follow(cmd, dir, &err);
        if (status == TS_OK) status = ts_train_result_read(dir, &result, &err);
    }
    if (status != TS_OK)
        code = ts_cmd_fail(cmd, &err);
    else if (!o->detach && result.state == TS_RUN_NEW)
        code = left_the_queue(cmd, id);
    else
        code = o->detach ? TS_EXIT_OK : finish(cmd, &result, id, dir);
    free(dir);
    return code;
}

static int run_train(const ts_cmd *cmd, const void *opts) {
    const struct train_opts *o = opts;
    ts_run_settings s;
    ts_err err;
    int ways = (o->run != NULL) + (o->data != NULL) + (cmd->n_args > 0), code;
    if (ways != 1)
        return ts_cmd_usage(cmd, "say one of: a workspace, --data FILE with --out, or --run with a run folder");
    if (o->run) {
        const char *extra = given(o);
        if (extra) return ts_cmd_usage(cmd, "--%s cannot be changed for a run that exists: it has its settings", extra);
        ts_child_restart_clean();
        return train_here(cmd, o->run, o->model);
    }
    if (o->data && (o->name || o->detach || o->now))
        return ts_cmd_usage(cmd, "--%s goes with a workspace, not with --data",
                            o->name     ? "name"
                            : o->detach ? "detach"
                                        : "now");
    if (settings_of(o, &s, &err) != TS_OK) {
        code = ts_cmd_usage(cmd, "%s", err.text);
    } else if (o->data) {
        ts_child_restart_clean();
        code = train_files(cmd, o, &s);
    } else {
        code = train_workspace(cmd, o, &s);
    }
    ts_run_settings_release(&s);
    return code;
}

static const ts_opt train_table[] = {
    {"model", TS_OPT_TEXT, offsetof(struct train_opts, model), "MODEL",
     "base model: folder, GGUF file or name (the workspace's)"},
    {"data", TS_OPT_TEXT, offsetof(struct train_opts, data), "FILE", "JSONL to train on, instead of a workspace"},
    {"valid-data", TS_OPT_TEXT, offsetof(struct train_opts, valid_data), "FILE", "with --data: JSONL held out"},
    {"out", TS_OPT_TEXT, offsetof(struct train_opts, out), "DIR", "with --data: the run folder to make"},
    {"run", TS_OPT_TEXT, offsetof(struct train_opts, run), "DIR", "go on with this run folder"},
    {"name", TS_OPT_TEXT, offsetof(struct train_opts, name), "NAME", "what stands behind the run's number"},
    {"detach", TS_OPT_FLAG, offsetof(struct train_opts, detach), NULL, "leave it training or waiting and return"},
    {"now", TS_OPT_FLAG, offsetof(struct train_opts, now), NULL, "begin beside a run that trains, not after it"},
    TS_RUN_OPTIONS(ROW) /* */
};

const ts_verb ts_verb_train = {
    .name = "train",
    .args = "[WS]",
    .help = "train a LoRA adapter: on a workspace's accepted rows, on a file, or go on with a run",
    .more =
        "From a workspace the training runs in a process of its own, which goes on when the terminal closes; Ctrl-C "
        "stops it\nwith a checkpoint. While another run of the workspace trains it waits its turn (tunesmith runs WS "
        "--queue). Lines of --data are {\"messages\":[..]} or {\"ids\":[..],\"labels\":[..]}.",
    .min_args = 0,
    .max_args = 1,
    .opts = train_table,
    .n_opts = TS_COUNT(train_table),
    .size = sizeof(struct train_opts),
    .defaults = &defaults,
    .run = run_train,
};

/* --- plan --- */

static void put_warnings(ts_jw *w, const ts_names *warnings, ts_buf *text) {
    ts_jw_key(w, "warnings");
    ts_jw_arr(w);
    for (size_t i = 0; i < warnings->n; i++) {
        ts_jw_str(w, warnings->items[i]);
        ts_buf_printf(text, "warning    %s\n", warnings->items[i]);
    }
    ts_jw_end_arr(w);
}

/* cost: NULL without --providers. */
static void print_plan(const ts_cmd *cmd, const ts_train_plan *p, const ts_run_settings *s, const ts_names *warnings,
                       const ts_cost *cost, const ts_prices *prices) {
    ts_buf json = TS_BUF_INIT, text = TS_BUF_INIT;
    char line[160], time[64];
    ts_trainable_line((size_t)p->trainable_params, (size_t)(p->all_params - p->trainable_params), line, sizeof line);
    const ts_preset *preset = ts_preset_named(s->preset);
    if (preset) ts_buf_printf(&text, "preset     %s: %s (%s)\n", preset->name, preset->purpose, preset->why);
    ts_buf_printf(&text,
                  "examples   %lld\ntokens     %lld, %lld supervised, the longest example %lld\nsteps      %lld\n",
                  (long long)p->examples, (long long)p->tokens, (long long)p->supervised_tokens, (long long)p->longest,
                  (long long)p->steps);
    if (isfinite(p->seconds))
        ts_format_duration(p->seconds, time);
    else
        snprintf(time, sizeof time, "not known before the first run here (--time tries a step)");
    ts_buf_printf(&text,
                  "memory     about %.2f GB\ndisk       at most %.2f GB in the run's folder\ntime       %s\n%s\n",
                  (double)p->memory_bytes / 1e9, (double)p->disk_bytes / 1e9, time, line);
    ts_jw w = ts_jw_to(&json);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "examples", p->examples);
    ts_jw_kint(&w, "tokens", p->tokens);
    ts_jw_kint(&w, "supervised_tokens", p->supervised_tokens);
    ts_jw_kint(&w, "truncated", p->truncated);
    ts_jw_kint(&w, "unsupervised", p->unsupervised);
    ts_jw_kint(&w, "steps", p->steps);
    ts_jw_kint(&w, "trainable_params", p->trainable_params);
    ts_jw_kint(&w, "all_params", p->all_params);
    ts_jw_kint(&w, "memory_bytes", p->memory_bytes);
    ts_jw_kint(&w, "disk_bytes", p->disk_bytes);
    ts_jw_knum(&w, "seconds", p->seconds);
    put_warnings(&w, warnings, &text);
    if (cost) {
        ts_cost_write_json(cost, prices, &w);
        ts_cost_write_text(cost, prices, &text);
    }
    ts_jw_end_obj(&w);
    if (cmd->json)
        ts_cmd_print_line(&json);
    else
        fputs(text.data, stdout);
    ts_buf_release(&json);
    ts_buf_release(&text);
}

static ts_status plan(const ts_cmd *cmd, const struct train_opts *o, ts_run_settings *s, ts_progress *progress,
                      ts_train_plan *out, ts_names *warnings, ts_cost *cost, ts_err *err) {
    ts_err ignored;
    ts_plan_data data = {.train = o->data, .valid = o->valid_data};
    int64_t *ids = NULL;
    if (o->data) {
        TS_TRY(ts_train_plan_make(s, o->data, progress, out, err));
        if (o->time) TS_TRY(ts_train_plan_time(s, o->data, 0, progress, out, err));
        TS_TRY(ts_plan_check(s, out, &data, warnings, err));
        if (o->cost.providers) ts_cost_local(cost, NULL, s, o->data, progress);
        return TS_OK;
    }
    const char *base = getenv("TMPDIR");
    char *temp = ts_printf("%s/tunesmith-plan-%ld", base && *base ? base : "/tmp", (long)getpid());
    char *train = ts_path_join(temp, "train.jsonl");
    ts_status status = ts_runs_model(cmd->args[0], s, err);
    if (status == TS_OK) status = ts_run_settings_check(s, err);
    if (status == TS_OK) status = ts_mkdirs(temp, err);
    if (status == TS_OK) status = ts_runs_export_ids(cmd->args[0], s->where, train, &ids, &data.n_ids, progress, err);
    if (status == TS_OK) status = ts_train_plan_make(s, train, progress, out, err);
    if (status == TS_OK && s->valid_fraction > 0 &&
        out->examples > 0) { /* the run will hold about this share of the rows out */
        int64_t held = (int64_t)((double)out->examples * s->valid_fraction + 0.5);
        out->steps = ts_train_steps(s, TS_MAX(out->examples - held, 1));
    }
    data.train = train;
    data.ids = ids;
    if (status == TS_OK) status = ts_plan_check(s, out, &data, warnings, err);
    if (status == TS_OK && o->time)
        status = ts_train_plan_time(s, train, s->valid_fraction, progress, out, err);
    else if (status == TS_OK)
        ts_runs_plan_time(cmd->args[0], s, out);
    if (status == TS_OK && o->cost.providers) ts_cost_local(cost, cmd->args[0], s, train, progress);
    ts_status removed = ts_remove_tree(temp, &ignored);
    (void)removed;
    free(ids);
    free(temp);
    free(train);
    return status;
}

/* After a plan that was made. */
static int show_plan(const ts_cmd *cmd, const struct train_opts *o, const ts_run_settings *s, const ts_train_plan *p,
                     const ts_names *warnings, ts_cost *cost, const ts_prices *prices) {
    ts_demand demand = ts_cost_opts_demand(&o->cost);
    if (o->cost.providers) ts_cost_make(cost, prices, s, p, &demand, o->cost.large);
    print_plan(cmd, p, s, warnings, o->cost.providers ? cost : NULL, prices);
    if (p->examples > 0) return TS_EXIT_OK;
    ts_cmd_note(cmd,
                "nothing to learn: no row has a supervised token (an assistant answer within the first %lld tokens)",
                (long long)s->max_length);
    return TS_EXIT_PROBLEMS;
}

static int run_plan(const ts_cmd *cmd, const void *opts) {
    const struct train_opts *o = opts;
    ts_run_settings s;
    ts_train_plan p;
    ts_cost cost = {0};
    ts_prices prices = {0};
    ts_names warnings = {0};
    ts_progress progress = {0};
    ts_err err;
    int code = ts_cost_opts_check(cmd, &o->cost);
    if (code) return code;
    if ((o->data != NULL) == (cmd->n_args > 0)) return ts_cmd_usage(cmd, "say one of: a workspace, or --data FILE");
    if (settings_of(o, &s, &err) != TS_OK) {
        code = ts_cmd_usage(cmd, "%s", err.text);
    } else if (o->data && !o->model) {
        code = ts_cmd_usage(cmd, "--data needs --model");
    } else {
        ts_status status = ts_cost_opts_prices(&o->cost, o->data ? NULL : cmd->args[0], &prices, &err);
        ts_meter *meter = ts_meter_start(cmd, &progress, "counting tokens", "bytes");
        if (status == TS_OK) status = plan(cmd, o, &s, &progress, &p, &warnings, &cost, &err);
        ts_meter_stop(meter);
        code = status == TS_OK ? show_plan(cmd, o, &s, &p, &warnings, &cost, &prices) : ts_cmd_fail(cmd, &err);
    }
    ts_cost_release(&cost);
    ts_prices_release(&prices);
    ts_names_release(&warnings);
    ts_run_settings_release(&s);
    return code;
}

static const ts_opt plan_table[] = {
    {"time", TS_OPT_FLAG, offsetof(struct train_opts, time), NULL, "try a step and tell how long the run would take"},
    {"model", TS_OPT_TEXT, offsetof(struct train_opts, model), "MODEL",
     "base model: folder, GGUF file or name (the workspace's)"},
    {"data", TS_OPT_TEXT, offsetof(struct train_opts, data), "FILE", "JSONL to train on, instead of a workspace"},
    {"valid-data", TS_OPT_TEXT, offsetof(struct train_opts, valid_data), "FILE", "with --data: JSONL held out"},
    TS_COST_OPTS(offsetof(struct train_opts, cost)) TS_RUN_OPTIONS(ROW) /* */
};

const ts_verb ts_verb_plan = {
    .name = "plan",
    .args = "[WS]",
    .help = "what a training run would take: tokens, steps, parameters, memory, and its cost elsewhere",
    .more =
        "Nothing is written. --providers lists every method here and at providers with its price, and from when on a "
        "tuned\nmodel costs less than a large one with examples in its prompt. The prices are dated; what is not "
        "known is said to be.",
    .min_args = 0,
    .max_args = 1,
    .opts = plan_table,
    .n_opts = TS_COUNT(plan_table),
    .size = sizeof(struct train_opts),
    .defaults = &defaults,
    .run = run_plan,
};
