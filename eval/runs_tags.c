/* Tags: names that people give to runs ("run:good"), one a line in tags.txt of the run's folder. */
#include "eval/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_MAX = 40, TAGS_MAX = 1 << 14 };

static bool tag_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
}

/* Not a number, which would mean a run; nothing that a path or a command line takes for something else. */
static ts_status check_tag(const char *tag, ts_err *err) {
    size_t n = strlen(tag);
    bool good = n >= 1 && n <= TAG_MAX && tag[0] != '-' && tag[0] != '.' && !(tag[0] >= '0' && tag[0] <= '9');
    for (size_t i = 0; i < n; i++)
        good = good && tag_byte(tag[i]);
    if (good) return TS_OK;
    return ts_fail(err, TS_INVALID,
                   "\"%.60s\" is no tag: a letter first, then letters, digits, '_', '.' and '-', %d at most", tag,
                   TAG_MAX);
}

char *ts_run_tags(const char *dir) {
    ts_buf text = TS_BUF_INIT, out = TS_BUF_INIT;
    char *path = ts_path_join(dir, "tags.txt"), *save = NULL;
    if (!ts_is_file(path) || ts_file_read(path, TAGS_MAX, &text, NULL) != TS_OK) ts_buf_reset(&text);
    ts_buf_putc(&text, 0);
    for (char *tag = strtok_r(text.data, "\n", &save); tag; tag = strtok_r(NULL, "\n", &save))
        if (check_tag(tag, NULL) == TS_OK) ts_buf_printf(&out, "%s%s", out.len ? " " : "", tag);
    free(path);
    ts_buf_release(&text);
    return ts_buf_take(&out);
}

/* Is it one of the words of `tags`? */
static bool has_tag(const char *tags, const char *tag) {
    size_t n = strlen(tag);
    for (const char *at = tags; (at = strstr(at, tag)); at += n)
        if ((at == tags || at[-1] == ' ') && (at[n] == 0 || at[n] == ' ')) return true;
    return false;
}

bool ts_run_has_tag(const char *dir, const char *tag) {
    char *tags = ts_run_tags(dir);
    bool has = *tag && has_tag(tags, tag);
    free(tags);
    return has;
}

/* Writes the tags of a run without `tag`, or with it at the end. */
static ts_status write_tags(const char *dir, const char *tag, bool with, ts_err *err) {
    char *tags = ts_run_tags(dir), *path = ts_path_join(dir, "tags.txt"), *save = NULL;
    ts_buf out = TS_BUF_INIT;
    for (char *have = strtok_r(tags, " ", &save); have; have = strtok_r(NULL, " ", &save))
        if (strcmp(have, tag) != 0) ts_buf_printf(&out, "%s\n", have);
    if (with) ts_buf_printf(&out, "%s\n", tag);
    ts_status status = out.len > TAGS_MAX ? ts_fail(err, TS_LIMIT, "%s has too many tags; take some away", dir)
                                          : ts_file_write(path, ts_buf_str(&out), out.len, err);
    ts_buf_release(&out);
    free(tags);
    free(path);
    return status;
}

ts_status ts_runs_tag(const char *ws, const char *dir, const char *tag, ts_err *err) {
    bool off = *tag == '-';
    char *holder = NULL;
    if (off) tag++;
    TS_TRY(check_tag(tag, err));
    if (off && !ts_run_has_tag(dir, tag)) return ts_fail(err, TS_NOT_FOUND, "%s has no tag %s", ts_path_base(dir), tag);
    if (!off && ts_runs_find(ws, tag, &holder, NULL) == TS_OK && !ts_run_has_tag(holder, tag)) {
        ts_status status = ts_fail(err, TS_INVALID, "%s is the name of a run already; choose another tag", tag);
        free(holder);
        return status;
    }
    ts_status status = write_tags(dir, tag, !off, err);
    if (status == TS_OK && holder && strcmp(ts_path_base(holder), ts_path_base(dir)) != 0)
        status = write_tags(holder, tag, false, err); /* the new one is written first: the tag never names nothing */
    free(holder);
    return status;
}
