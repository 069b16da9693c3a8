/* The runs of a workspace: WS/runs/NNNN-name/, each a run folder of core/engine/run.h. The folders are the truth: a run
 * copied in from another machine appears, one deleted by hand is gone. A remark is the file note.txt in the folder.
 * Any thread; not the UI's (listing reads every run's events). */
#ifndef TS_EVAL_RUNS_H
#define TS_EVAL_RUNS_H

#include "core/engine/run.h"
#include "core/engine/train.h"

typedef struct ts_run_info {
    int64_t id;
    char *name; /* "0003-lora" */
    char *dir;
    char *note;       /* "" */
    char *tags;       /* "good v2", "" */
    char *model_name; /* last part of the model's path */
    bool readable;    /* run.json could be read; else `problem` says why and the rest is empty */
    char problem[512];
    ts_run_settings settings;
    ts_follow follow; /* as far as it is: state, losses, points */
} ts_run_info;

typedef struct ts_runs {
    ts_run_info *items; /* newest first */
    size_t n, cap;
} ts_runs;

TS_MUST_USE ts_status ts_runs_list(const char *ws, ts_runs *out, ts_err *err);
void ts_runs_release(ts_runs *runs);

/* The folder of "3", "run:3", "0003", "0003-lora", a tag or a path to a run folder; the caller frees. TS_NOT_FOUND
 * lists what there is. ws may be NULL for paths. */
TS_MUST_USE ts_status ts_runs_find(const char *ws, const char *which, char **dir, ts_err *err);
/* The adapter folder of an ADAPTER argument: a PEFT folder, or "run:3" (or with a tag in place of the number),
 * "run:3/best" (best if there is one, else last), "run:3/last"; "run:3" is the last adapter. The caller frees. */
TS_MUST_USE ts_status ts_runs_adapter(const char *ws, const char *which, char **dir, ts_err *err);

/* The run folder an adapter folder lies in; NULL: none. The caller frees. */
char *ts_runs_of_adapter(const char *adapter);

/* A new numbered run from files as ts_run_create takes them; *id and *dir (the caller frees) say which. `name` NULL:
 * the method. */
TS_MUST_USE ts_status ts_runs_create(const char *ws, const char *name, ts_run_settings *s, const char *train_file,
                                     const char *valid_file, int64_t *id, char **dir, ts_progress *progress,
                                     ts_err *err);
/* The examples a query selects, written as run data: train and valid files (JSONL, {"messages":[..]}) with
 * `s->valid_fraction` of the rows held out by (seed, id), or the split that the rows have. Counts go to n_train,
 * n_valid. See ts_runs_create. s->where NULL: status=accepted. preview: for counting; the split is not noted in the
 * workspace, as it is for a run. */
TS_MUST_USE ts_status ts_runs_export(const char *ws, const ts_run_settings *s, bool preview, const char *train_file,
                                     const char *valid_file, int64_t *n_train, int64_t *n_valid, ts_progress *progress,
                                     ts_err *err);
/* How many tokens a second the newest run of the workspace trained that fits s: same model file, method, targets and
 * machine, 10 steps or more; its validations are counted in. NAN: there is none yet. */
double ts_runs_rate(const char *ws, const ts_run_settings *s);
/* The plan's seconds at that rate. */
void ts_runs_plan_time(const char *ws, const ts_run_settings *s, ts_train_plan *plan);
/* The same rows as one file, without a split and without writing to the workspace: for plans. where NULL:
 * status=accepted. */
TS_MUST_USE ts_status ts_runs_export_all(const char *ws, const char *where, const char *file, ts_progress *progress,
                                         ts_err *err);
/* The same, with the row of each line of the file in *ids (n of them; the caller frees). */
TS_MUST_USE ts_status ts_runs_export_ids(const char *ws, const char *where, const char *file, int64_t **ids, size_t *n,
                                         ts_progress *progress, ts_err *err);
/* The chat template to ask a model with: `chosen` (--template; "": the model's own); else what the first adapter was
 * trained with (a run that chose none: the model's own); else the setting `template` of the workspace (NULL: no
 * workspace); else *out is NULL, the model's own. dirs: adapter folders, NULL entries are the base. The caller frees.
 */
TS_MUST_USE ts_status ts_runs_template(const char *ws, const char *chosen, const char *const *dirs, size_t n,
                                       char **out, ts_err *err);
/* s->model and s->template, where they are not set: the workspace's settings of that name. */
TS_MUST_USE ts_status ts_runs_model(const char *ws, ts_run_settings *s, ts_err *err);
/* Both: what the train form and `train WS` do. */
TS_MUST_USE ts_status ts_runs_create_from(const char *ws, const char *name, ts_run_settings *s, int64_t *id, char **dir,
                                          ts_progress *progress, ts_err *err);

/* Starts or resumes training in a detached child (`tunesmith train --run DIR`); returns when the child has the run's
 * lock or has ended (then its sentence is the error). */
TS_MUST_USE ts_status ts_runs_start(const char *dir, ts_err *err);
TS_MUST_USE ts_status ts_runs_note(const char *dir, const char *note, ts_err *err);
/* A tag is a name of one run: who gets it takes it from who had it. "-good" takes the tag good away. TS_INVALID: it
 * could be taken for a number or is the name of a run's folder. */
TS_MUST_USE ts_status ts_runs_tag(const char *ws, const char *dir, const char *tag, ts_err *err);
char *ts_run_tags(const char *dir); /* with a space between, "" for none; the caller frees */
bool ts_run_has_tag(const char *dir, const char *tag);
TS_MUST_USE ts_status ts_runs_rename(const char *ws, int64_t id, const char *name, ts_err *err); /* keeps the number */
TS_MUST_USE ts_status ts_runs_delete(const char *dir, ts_err *err); /* TS_BUSY while it is trained */

#endif
