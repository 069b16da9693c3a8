/* Where a run stands in the queue: the file `queue` of its folder (run.h). */
#include "core/engine/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ts_run_place ts_run_place_read(const char *run_dir) {
    enum { LONGEST = 40 };
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    ts_run_place p = {0};
    char *path = ts_path_join(run_dir, "queue"), *end = NULL;
    if (ts_is_file(path) && ts_file_read(path, LONGEST, &text, &ignored) == TS_OK) {
        p.place = strtoll(ts_buf_str(&text), &end, 10);
        p.held = strcmp(end, " held\n") == 0;
        if (p.place < 1 || (!p.held && strcmp(end, "\n") != 0)) p = (ts_run_place){0}; /* nothing we wrote */
    }
    ts_buf_release(&text);
    free(path);
    return p;
}

ts_status ts_run_place_write(const char *run_dir, ts_run_place p, ts_err *err) {
    char line[48];
    char *path = ts_path_join(run_dir, "queue");
    snprintf(line, sizeof line, "%lld%s\n", (long long)p.place, p.held ? " held" : "");
    ts_status status = p.place < 1 ? ts_remove_tree(path, err) : ts_file_write(path, line, strlen(line), err);
    free(path);
    return status;
}
