#include "eval/sides.h"

#include "core/base/file.h"
#include "core/model/model.h"
#include "eval/runs.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SYSTEM = 1 << 20 };

void ts_side_release(ts_side_spec *s) {
    free(s->adapter);
    free(s->model);
    free(s->system);
    free(s->from);
    ts_endpoint_release(&s->endpoint);
    *s = (ts_side_spec){0};
}

/* What stands behind `name`: in a side's text; NULL: it is another side. "" where nothing does. */
static const char *behind(const char *text, const char *name) {
    size_t n = strlen(name);
    if (strncmp(text, name, n) != 0) return NULL;
    return text[n] == ':' ? text + n + 1 : text[n] == 0 ? text + n : NULL;
}

static ts_status read_few_shot(ts_side_spec *s, const char *ws, const char *rest, ts_err *err) {
    char *end;
    s->kind = TS_BY_EXAMPLES;
    s->k = TS_FEW_SHOT;
    if (!ws) return ts_fail(err, TS_INVALID, "few-shot takes its examples from a workspace");
    while (*rest == '#') {
        long id = strtol(rest + 1, &end, 10);
        if (end == rest + 1 || id <= 0 || (*end && *end != ',') || s->n_ids == TS_FEW_SHOT_MAX) break;
        s->ids[s->n_ids++] = id;
        rest = end + (*end == ',');
    }
    if (!*rest) return TS_OK;
    long k = s->n_ids ? 0 : strtol(rest, &end, 10);
    if (s->n_ids || *end || k < 1 || k > TS_FEW_SHOT_MAX)
        return ts_fail(err, TS_INVALID,
                       "few-shot is followed by a number of examples from 1 to %d, or by their numbers "
                       "(few-shot:#12,#40), not by \"%.40s\"",
                       TS_FEW_SHOT_MAX, rest);
    s->k = (size_t)k;
    return TS_OK;
}

static ts_status read_retrieval(ts_side_spec *s, const char *ws, const char *rest, ts_err *err) {
    s->kind = TS_BY_PASSAGES;
    s->k = TS_PASSAGES;
    bool examples = strcmp(rest, "examples") == 0 && !ts_is_dir(rest);
    if (examples && !ws) return ts_fail(err, TS_INVALID, "retrieval:examples takes them from a workspace");
    if (!examples && !ts_is_dir(rest))
        return ts_fail(err, TS_NOT_FOUND,
                       "retrieval:DIR needs a folder of text files, or the word examples; \"%.200s\" is none", rest);
    if (!examples) s->from = ts_strdup(rest);
    return TS_OK;
}

static ts_status read_system(ts_side_spec *s, const char *rest, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    s->kind = TS_BY_SYSTEM;
    if (!*rest) return ts_fail(err, TS_INVALID, "system: is followed by the system prompt, or by a file that holds it");
    if (!ts_is_file(rest)) {
        s->system = ts_strdup(rest);
        return TS_OK;
    }
    TS_TRY(ts_file_read(rest, MAX_SYSTEM, &text, err));
    while (text.len && strchr(" \t\r\n", text.data[text.len - 1]))
        text.data[--text.len] = 0;
    s->system = ts_buf_take(&text);
    return s->system && *s->system ? TS_OK : ts_fail(err, TS_INVALID, "%s holds no system prompt", rest);
}

/* Opened once now, so that a model that is gone is told of before anything is generated. */
static ts_status read_model(ts_side_spec *s, const char *rest, ts_err *err) {
    ts_model *m = NULL;
    s->kind = TS_BY_OTHER_MODEL;
    TS_TRY(ts_model_open(&m, rest, err));
    ts_model_close(m);
    s->model = ts_strdup(rest);
    return TS_OK;
}

ts_status ts_side_read(ts_side_spec *s, const char *ws, const char *text, ts_err *err) {
    const char *rest;
    *s = (ts_side_spec){0};
    if (strcmp(text, "base") == 0) return TS_OK;
    if ((rest = behind(text, "few-shot"))) return read_few_shot(s, ws, rest, err);
    if ((rest = behind(text, "retrieval"))) return read_retrieval(s, ws, rest, err);
    if ((rest = behind(text, "system"))) return read_system(s, rest, err);
    if ((rest = behind(text, "model"))) return read_model(s, rest, err);
    if (strncmp(text, "url=", 4) == 0) {
        s->kind = TS_BY_ENDPOINT;
        return ts_endpoint_read(&s->endpoint, text, err);
    }
    return ts_runs_adapter(ws, text, &s->adapter, err);
}

size_t ts_sides_split(const char *line, char ***out) {
    char **words = NULL;
    size_t n = 0, cap = 0;
    ts_buf word = TS_BUF_INIT;
    bool quoted = false, any = false, pairs = false;
    for (const char *p = line;; p++) {
        bool ends = *p == 0 || (!quoted && (*p == ' ' || (*p == ',' && !pairs)));
        if (ends && any) {
            TS_PUSH(words, n, cap, ts_strdup(ts_buf_str(&word)));
            ts_buf_reset(&word);
            any = pairs = false;
        }
        if (*p == 0) break;
        if (ends) continue;
        any = true;
        if (*p == '"') {
            quoted = !quoted;
            continue;
        }
        pairs |= *p == '=' || *p == '#'; /* url=..,model=..  few-shot:#1,#2 */
        ts_buf_putc(&word, *p);
    }
    ts_buf_release(&word);
    *out = words;
    return n;
}
