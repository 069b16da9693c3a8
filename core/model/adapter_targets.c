/* Which projections an adapter is for, as PEFT says it: names match a module whose path is the name or ends with "."
 * and the name; a regular expression must match the whole path. */
#include "core/model/adapter_private.h"
#include "core/text/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = (1 << TS_PROJS) - 1 };

void ts_module_path(size_t layer, ts_proj p, char out[TS_MODULE_PATH]) {
    snprintf(out, TS_MODULE_PATH, "model.layers.%zu.%s.%s", layer, ts_proj_parents[p], ts_proj_names[p]);
}

/* Adds the projections that a test holds for. In some layers only: refused. *count: modules found. */
static ts_status collect(const ts_model *m, bool (*matches)(const char *path, void *with), void *with, const char *text,
                         unsigned *targets, size_t *count, ts_err *err) {
    *count = 0;
    for (ts_proj p = 0; p < TS_PROJS; p++) {
        size_t layers = 0;
        for (size_t l = 0; l < m->config.layers; l++) {
            char path[TS_MODULE_PATH];
            ts_module_path(l, p, path);
            layers += matches(path, with);
        }
        if (layers > 0 && layers < m->config.layers)
            return ts_fail(err, TS_UNSUPPORTED,
                           "the target modules %s name %s in %zu of %zu layers; adapting only some layers is not done "
                           "yet: name it for all",
                           text, ts_proj_names[p], layers, m->config.layers);
        if (layers) *targets |= 1u << p;
        *count += layers;
    }
    return TS_OK;
}

static bool name_matches(const char *path, void *with) {
    const char *name = with;
    size_t n = strlen(path), k = strlen(name);
    return n >= k && strcmp(path + n - k, name) == 0 && (n == k || path[n - k - 1] == '.');
}

static ts_status add_name(const char *name, const ts_model *m, unsigned *targets, ts_err *err) {
    size_t count;
    char copy[128];
    snprintf(copy, sizeof copy, "%s", name);
    TS_TRY(collect(m, name_matches, copy, name, targets, &count, err));
    if (count) return TS_OK;
    if (strcmp(name, "embed_tokens") == 0 || strcmp(name, "lm_head") == 0)
        return ts_fail(err, TS_UNSUPPORTED, "an adapter on %s is not done yet; take projections of the layers", name);
    return ts_fail(
        err, TS_INVALID,
        "the model has no module %s; it has q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj", name);
}

typedef struct regex_test {
    ts_matcher *matcher;
    bool gave_up;
} regex_test;

static bool regex_matches(const char *path, void *with) {
    regex_test *t = with;
    size_t start, end, n = strlen(path);
    bool gave_up = false, found = ts_matcher_find(t->matcher, path, n, 0, &start, &end, &gave_up);
    t->gave_up = t->gave_up || gave_up;
    return found && start == 0 && end == n;
}

static ts_status add_regex(const char *text, const ts_model *m, unsigned *targets, ts_err *err) {
    ts_regex *re = NULL;
    char *whole = ts_printf("\\A(?:%s)\\z", text);
    ts_status status = ts_regex_new(&re, whole, strlen(whole), 0, err);
    free(whole);
    if (status != TS_OK) return ts_wrap(err, status, "the target modules %s", text);
    regex_test test = {.matcher = ts_matcher_new(re)};
    size_t count;
    status = collect(m, regex_matches, &test, text, targets, &count, err);
    if (status == TS_OK && test.gave_up)
        status =
            ts_fail(err, TS_LIMIT, "the target modules %s take too many steps to match; simplify the expression", text);
    else if (status == TS_OK && count == 0)
        status = ts_fail(err, TS_INVALID,
                         "the target modules %s match nothing; the whole path must match, for example "
                         "model.layers.0.self_attn.q_proj",
                         text);
    ts_matcher_free(test.matcher);
    ts_regex_free(re);
    return status;
}

/* Names and commas only: a list; anything else is an expression. */
static bool is_list(const char *text) {
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_., ") == strlen(text);
}

ts_status ts_targets_parse(const char *text, const ts_model *m, unsigned *targets, ts_err *err) {
    unsigned found = 0;
    ts_status status = TS_OK;
    if (strcmp(text, "all-linear") == 0) {
        *targets = ALL;
        return TS_OK;
    }
    if (!is_list(text)) {
        TS_TRY(add_regex(text, m, &found, err));
        *targets = found;
        return TS_OK;
    }
    char *copy = ts_strdup(text), *rest = copy, *name;
    while (status == TS_OK && (name = strsep(&rest, ", ")))
        if (*name) status = add_name(name, m, &found, err);
    free(copy);
    TS_TRY(status);
    if (!found)
        return ts_fail(err, TS_INVALID, "no target modules are named; for example all-linear, or q_proj,v_proj");
    *targets = found;
    return TS_OK;
}

ts_status ts_targets_from_json(const ts_json *v, const ts_model *m, unsigned *targets, ts_err *err) {
    *targets = 0;
    if (!v || ts_json_is_null(v)) {
        *targets = 1u << TS_Q | 1u << TS_V;
        return TS_OK;
    }
    if (ts_json_is_string(v)) {
        const char *text = ts_json_str(v, "");
        if (strcmp(text, "all-linear") != 0) return add_regex(text, m, targets, err);
        *targets = ALL;
        return TS_OK;
    }
    if (!ts_json_is_array(v) || ts_json_count(v) == 0)
        return ts_fail(err, TS_FORMAT, "target_modules is neither a list of names nor a text");
    for (const ts_json *name = ts_json_child(v); name; name = ts_json_next(name)) {
        if (!ts_json_is_string(name)) return ts_fail(err, TS_FORMAT, "target_modules holds something that is no name");
        TS_TRY(add_name(ts_json_str(name, ""), m, targets, err));
    }
    return TS_OK;
}
