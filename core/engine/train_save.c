/* What a run writes beside its events: checkpoints, and what was trained. */
#include "core/engine/train_private.h"

#include "core/base/clock.h"
#include "core/model/export.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

ts_status ts_train_checkpoint(ts_trainer *t, ts_err *err) {
    TS_TRY(ts_events_sync(&t->events, err));
    t->at.events_bytes = t->events.size;
    ts_status status;
    do
        status = ts_checkpoint_write(t->dir, &t->at, err);
    while (ts_room_wait(&t->room, status, err));
    TS_TRY(status);
    t->last_checkpoint = ts_now();
    double waited = ts_room_waited(&t->room);
    if (waited > 0)
        TS_TRY(ts_train_warn(t, err, "the disk was full: the run waited %.0f seconds for room", ceil(waited)));
    ts_jw w = ts_events_begin(&t->line, "checkpoint", t->at.step);
    return ts_events_add(&t->events, &w, err);
}

static ts_status check_finite(const ts_adapter *a, ts_err *err) {
    for (size_t i = 0; i < a->n_params; i++)
        if (!isfinite(a->halves ? ts_bf16_to_f32(a->halves[i]) : a->block[i]))
            return ts_fail(err, TS_CORRUPT, "a trained value is not finite; nothing is saved");
    return TS_OK;
}

/* A Hugging Face folder of the model with what was trained, in the type that its weights are kept in. */
static ts_status write_model(const ts_trainer *t, const char *dir, ts_err *err) {
    ts_export_report report;
    ts_export x = {.model = t->model, .adapter = t->adapter, .out = dir, .type = ts_file_type_named(t->s.weights)};
    x.chat_template = t->encoder.template;
    return ts_export_folder(&x, &report, err);
}

static ts_status save(ts_trainer *t, const char *name, ts_err *err) {
    char *final = ts_path_join(t->dir, name), *temp = ts_printf("%s.tmp", final);
    ts_status status = TS_OK;
    TS_GOTO(check_finite(t->adapter, err));
    TS_GOTO(ts_remove_tree(temp, err));
    TS_GOTO(t->method->whole ? write_model(t, temp, err) : ts_adapter_save(t->adapter, temp, err));
    if (ts_file_exists(final)) {
        if (renameat2(AT_FDCWD, temp, AT_FDCWD, final, RENAME_EXCHANGE) != 0) {
            TS_GOTO(ts_remove_tree(final, err)); /* a file system that cannot exchange */
            if (rename(temp, final) != 0) TS_GOTO(ts_fail_errno(err, "cannot give %s its name", final));
        }
        TS_GOTO(ts_remove_tree(temp, err));
    } else if (rename(temp, final) != 0) {
        TS_GOTO(ts_fail_errno(err, "cannot give %s its name", final));
    }
    TS_GOTO(ts_dir_sync(t->dir, err));
out:
    if (status != TS_OK && ts_file_exists(temp)) {
        ts_err ignored;
        ts_status removed = ts_remove_tree(temp, &ignored);
        (void)removed;
    }
    free(final);
    free(temp);
    return status;
}

ts_status ts_train_save(ts_trainer *t, const char *name, ts_err *err) {
    ts_status status;
    do
        status = save(t, name, err);
    while (ts_room_wait(&t->room, status, err));
    return status;
}
