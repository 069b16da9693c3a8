#include "core/engine/run_events.h"

#include "core/base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The first `keep` bytes become a new file under the same name. */
static ts_status cut(const char *path, int64_t keep, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_status status = TS_OK;
    if (keep > 0) TS_GOTO(ts_file_read(path, (size_t)1 << 34, &text, err));
    if ((int64_t)text.len < keep)
        TS_GOTO(ts_fail(err, TS_CORRUPT, "%s is shorter (%zu bytes) than the checkpoint says (%lld): it was changed",
                        path, text.len, (long long)keep));
    TS_GOTO(ts_file_write(path, text.data ? text.data : "", (size_t)keep, err));
out:
    ts_buf_release(&text);
    return status;
}

ts_status ts_events_open(ts_events *e, const char *run_dir, int64_t keep, ts_err *err) {
    *e = (ts_events){.fd = -1, .path = ts_path_join(run_dir, "events.jsonl")};
    ts_status status = TS_OK;
    if (ts_file_size(e->path) != keep) TS_GOTO(cut(e->path, keep, err));
    e->fd = open(e->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (e->fd < 0) TS_GOTO(ts_fail_errno(err, "cannot write %s", e->path));
    e->size = keep;
out:
    if (status != TS_OK) ts_events_close(e);
    return status;
}

void ts_events_close(ts_events *e) {
    if (e->fd >= 0) close(e->fd);
    free(e->path);
    *e = (ts_events)TS_EVENTS_INIT;
}

ts_jw ts_events_begin(ts_buf *line, const char *event, int64_t step) {
    ts_buf_reset(line);
    ts_jw w = ts_jw_to(line);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "event", event);
    ts_jw_kint(&w, "step", step);
    ts_jw_kint(&w, "time", ts_wall_ms());
    return w;
}

static ts_status append(ts_events *e, const ts_buf *line, ts_err *err) {
    ts_status status = ts_file_append(e->fd, e->path, line->data, line->len, err);
    if (status != TS_OK) {
        int ignored = ftruncate(e->fd, e->size);
        (void)ignored;
        return status;
    }
    e->size += (int64_t)line->len;
    return TS_OK;
}

ts_status ts_events_add(ts_events *e, ts_jw *w, ts_err *err) {
    ts_err own;
    ts_status status;
    if (!err) err = &own;
    ts_jw_end_obj(w);
    ts_buf_putc(w->out, '\n');
    do
        status = append(e, w->out, err);
    while (e->room && ts_room_wait(e->room, status, err));
    return status;
}

ts_status ts_events_sync(ts_events *e, ts_err *err) {
    return fsync(e->fd) == 0 ? TS_OK : ts_fail_errno(err, "cannot write %s", e->path);
}
