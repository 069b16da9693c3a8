/* Which modules an adapter is for, by PEFT's rules (tuners/tuners_utils.py): a name of a list matches a module whose
 * path is the name or ends with "." and the name; a text must match the whole path as a regular expression. */
#include "core/model/adapter_private.h"
#include "core/text/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pattern is tried on every module of every layer; more of them than this are no adapter's settings. */
enum { MAX_PATTERNS = 4096 };

static bool ends_with_name(const char *path, const char *name) {
    size_t n = strlen(path), k = strlen(name);
    return n >= k && strcmp(path + n - k, name) == 0 && (n == k || path[n - k - 1] == '.');
}

bool ts_save_matches(const ts_json *save, const char *path) {
    size_t n = strlen(path);
    for (const ts_json *v = ts_json_child(save); v; v = ts_json_next(v)) {
        const char *name = ts_json_str(v, "");
        size_t k = strlen(name);
        if (k && k <= n && strcmp(path + n - k, name) == 0) return true;
    }
    return false;
}

/* ---- compiled patterns ---- */

typedef struct pattern {
    const char *text;
    ts_regex *regex;
    ts_matcher *matcher;
    double value;
    bool gave_up;
} pattern;

static void pattern_release(pattern *p) {
    ts_matcher_free(p->matcher);
    ts_regex_free(p->regex);
}

static ts_status pattern_new(pattern *p, const char *format_start, const char *text, const char *what, ts_err *err) {
    char *whole = ts_printf("%s%s)\\z", format_start, text);
    *p = (pattern){.text = text};
    ts_status status = ts_regex_new(&p->regex, whole, strlen(whole), 0, err);
    free(whole);
    if (status != TS_OK) return ts_wrap(err, status, "the %s %s", what, text);
    p->matcher = ts_matcher_new(p->regex);
    return TS_OK;
}

static bool pattern_matches(pattern *p, const char *path) {
    size_t start, end, n = strlen(path);
    bool gave_up = false, found = ts_matcher_find(p->matcher, path, n, 0, &start, &end, &gave_up);
    p->gave_up = p->gave_up || gave_up;
    return found && start == 0 && end == n;
}

typedef struct patterns {
    pattern *items;
    size_t n;
} patterns;

static void patterns_release(patterns *p) {
    for (size_t i = 0; i < p->n; i++)
        pattern_release(&p->items[i]);
    free(p->items);
}

/* {"pattern": number}: re.match(rf"(.*\.)?({pattern})$", path). */
static ts_status patterns_new(patterns *p, const ts_json *object, const char *what, ts_err *err) {
    size_t count = ts_json_is_object(object) ? ts_json_count(object) : 0;
    *p = (patterns){0};
    if (object && !ts_json_is_object(object)) return ts_fail(err, TS_FORMAT, "%s is no object", what);
    if (count > MAX_PATTERNS)
        return ts_fail(err, TS_LIMIT, "%s has %zu entries; at most %d are taken", what, count, MAX_PATTERNS);
    p->items = ts_calloc(count + 1, sizeof *p->items);
    for (const ts_json *v = ts_json_child(object); v; v = ts_json_next(v)) {
        if (!ts_json_is_number(v)) return ts_fail(err, TS_FORMAT, "%s: \"%s\" has no number", what, ts_json_key(v));
        TS_TRY(pattern_new(&p->items[p->n], "\\A(?:.*\\.)?(?:", ts_json_key(v), what, err));
        p->items[p->n++].value = ts_json_num(v, 0);
    }
    return TS_OK;
}

static double patterns_value(patterns *p, const char *path, double otherwise) {
    for (size_t i = 0; i < p->n; i++)
        if (pattern_matches(&p->items[i], path)) return p->items[i].value;
    return otherwise;
}

/* ---- names or an expression ---- */

typedef struct matching {
    const ts_json *list; /* names */
    pattern whole;       /* or an expression */
    bool all_linear;
} matching;

static ts_status matching_new(matching *m, const ts_json *v, const char *what, ts_err *err) {
    *m = (matching){0};
    if (!v || ts_json_is_null(v)) return TS_OK;
    if (ts_json_is_string(v)) {
        m->all_linear = strcmp(ts_json_str(v, ""), "all-linear") == 0;
        return m->all_linear ? TS_OK : pattern_new(&m->whole, "\\A(?:", ts_json_str(v, ""), what, err);
    }
    if (!ts_json_is_array(v)) return ts_fail(err, TS_FORMAT, "%s is neither a list of names nor a text", what);
    if (ts_json_count(v) > MAX_PATTERNS * 16)
        return ts_fail(err, TS_LIMIT, "%s has %zu names; at most %d are taken", what, ts_json_count(v),
                       MAX_PATTERNS * 16);
    for (const ts_json *name = ts_json_child(v); name; name = ts_json_next(name))
        if (!ts_json_is_string(name)) return ts_fail(err, TS_FORMAT, "%s holds something that is no name", what);
    m->list = v;
    return TS_OK;
}

static bool in_list(const ts_json *list, const char *path, bool *exact) {
    for (const ts_json *v = ts_json_child(list); v; v = ts_json_next(v))
        if (ends_with_name(path, ts_json_str(v, ""))) {
            *exact = strcmp(path, ts_json_str(v, "")) == 0;
            return true;
        }
    return false;
}

static bool matching_has(matching *m, const char *path, bool linear, bool *exact) {
    *exact = false;
    if (m->all_linear) return linear;
    if (m->list) return in_list(m->list, path, exact);
    return m->whole.matcher && pattern_matches(&m->whole, path);
}

/* ---- layers ---- */

static bool layer_listed(const ts_json *layers, size_t layer) {
    if (ts_json_is_number(layers)) return ts_json_num(layers, -1) == (double)layer;
    for (const ts_json *v = ts_json_child(layers); v; v = ts_json_next(v))
        if (ts_json_num(v, -1) == (double)layer) return true;
    return false;
}

/* The models here call their list of layers "layers"; a pattern of another name finds no layer. */
static bool names_layers(const ts_json *names) {
    if (!names || ts_json_is_null(names)) return true;
    if (ts_json_is_string(names)) return !*ts_json_str(names, "") || !strcmp(ts_json_str(names, ""), "layers");
    for (const ts_json *v = ts_json_child(names); v; v = ts_json_next(v))
        if (strcmp(ts_json_str(v, ""), "layers") == 0) return true;
    return ts_json_count(names) == 0;
}

/* ---- all together ---- */

typedef struct selector {
    ts_json *targets_json, *exclude_json, *layers, *layers_pattern, *ranks_json, *alphas_json, *save;
    matching targets, exclude;
    patterns ranks, alphas;
} selector;

static ts_status parse(ts_json **out, const char *text, const char *what, ts_err *err) {
    *out = NULL;
    if (!text) return TS_OK;
    ts_err local;
    ts_err *e = err ? err : &local;
    *out = ts_json_parse(text, strlen(text), e);
    return *out ? TS_OK : ts_wrap(e, e->code, "%s", what);
}

static void selector_release(selector *x) {
    pattern_release(&x->targets.whole);
    pattern_release(&x->exclude.whole);
    patterns_release(&x->ranks);
    patterns_release(&x->alphas);
    ts_json *all[] = {x->targets_json, x->exclude_json, x->layers, x->layers_pattern,
                      x->ranks_json,   x->alphas_json,  x->save};
    for (size_t i = 0; i < TS_COUNT(all); i++)
        ts_json_free(all[i]);
}

static ts_status selector_new(selector *x, const ts_adapter_settings *s, ts_err *err) {
    *x = (selector){0};
    TS_TRY(parse(&x->targets_json, s->targets, "target_modules", err));
    TS_TRY(parse(&x->exclude_json, s->exclude, "exclude_modules", err));
    TS_TRY(parse(&x->layers, s->layers, "layers_to_transform", err));
    TS_TRY(parse(&x->layers_pattern, s->layers_pattern, "layers_pattern", err));
    TS_TRY(parse(&x->ranks_json, s->rank_pattern, "rank_pattern", err));
    TS_TRY(parse(&x->alphas_json, s->alpha_pattern, "alpha_pattern", err));
    TS_TRY(parse(&x->save, s->save, "modules_to_save", err));
    TS_TRY(matching_new(&x->targets, x->targets_json, "target_modules", err));
    TS_TRY(matching_new(&x->exclude, x->exclude_json, "exclude_modules", err));
    TS_TRY(patterns_new(&x->ranks, x->ranks_json, "rank_pattern", err));
    TS_TRY(patterns_new(&x->alphas, x->alphas_json, "alpha_pattern", err));
    if (x->layers && ts_json_is_string(x->targets_json) && !x->targets.all_linear)
        return ts_fail(
            err, TS_INVALID,
            "layers_to_transform goes with a list of target_modules only; put the layers into the expression");
    return TS_OK;
}

static bool selected(selector *x, ts_module module, const char *path) {
    bool exact, linear = module.kind == TS_MODULE_PROJ;
    if (matching_has(&x->exclude, path, linear, &exact) || ts_save_matches(x->save, path)) return false;
    if (!matching_has(&x->targets, path, linear, &exact)) return false;
    if (!x->layers || exact || (ts_json_is_array(x->layers) && ts_json_count(x->layers) == 0)) return true;
    return linear && names_layers(x->layers_pattern) && layer_listed(x->layers, module.layer);
}

/* A rank pattern may hold any number; what is no rank is refused here, with the pattern's module named. */
static ts_status shape_of(selector *x, const ts_adapter_settings *s, const char *path, ts_shape *out, ts_err *err) {
    double r = patterns_value(&x->ranks, path, (double)s->r);
    if (!(r >= 1 && r <= 1 << 20) || r != (double)(size_t)r)
        return ts_fail(err, TS_INVALID, "rank_pattern gives %s a rank of %g, which is no whole number from 1 on", path,
                       r);
    *out = (ts_shape){(size_t)r, patterns_value(&x->alphas, path, s->alpha)};
    return TS_OK;
}

/* The names of the projections, one behind the other; the caller frees. */
static char *all_linear(const ts_model *m, const char *between) {
    ts_buf out = TS_BUF_INIT;
    for (ts_proj p = 0; p < TS_PROJS; p++) {
        const char *name = ts_proj_name(&m->config, p);
        if (name) ts_buf_printf(&out, "%s%s", out.len ? between : "", name);
    }
    return ts_buf_take(&out);
}

static ts_status check_names(const selector *x, const ts_model *m, ts_err *err) {
    for (const ts_json *v = ts_json_child(x->targets.list); v; v = ts_json_next(v)) {
        bool found = false;
        for (size_t i = 0; !found && i < ts_module_count(m); i++) {
            char path[TS_MODULE_PATH];
            ts_module_path(m, ts_module_at(m, i), path);
            found = ends_with_name(path, ts_json_str(v, ""));
        }
        if (found) continue;
        char *all = all_linear(m, ", ");
        ts_status status = ts_fail(err, TS_INVALID, "the model has no module %s; it has %s, embed_tokens and lm_head",
                                   ts_json_str(v, ""), all);
        free(all);
        return status;
    }
    return TS_OK;
}

static ts_status check_found(const selector *x, const ts_adapter_settings *s, size_t found, ts_err *err) {
    bool gave_up = x->targets.whole.gave_up || x->exclude.whole.gave_up;
    for (size_t i = 0; i < x->ranks.n; i++)
        gave_up = gave_up || x->ranks.items[i].gave_up;
    for (size_t i = 0; i < x->alphas.n; i++)
        gave_up = gave_up || x->alphas.items[i].gave_up;
    if (gave_up)
        return ts_fail(err, TS_LIMIT, "the target modules %s take too many steps to match; simplify the expression",
                       s->targets ? s->targets : "");
    if (found == 0)
        return ts_fail(err, TS_INVALID,
                       "the target modules %s match nothing; the whole path must match, for example "
                       "model.layers.0.self_attn.q_proj",
                       s->targets ? s->targets : "");
    return TS_OK;
}

ts_status ts_adapter_select(ts_shape **shapes, const ts_adapter_settings *s, const ts_model *m, bool strict,
                            ts_err *err) {
    selector x;
    size_t n = ts_module_count(m), found = 0;
    *shapes = ts_calloc(n, sizeof **shapes);
    ts_status status = selector_new(&x, s, err);
    if (status != TS_OK) goto out;
    if (strict) TS_GOTO(check_names(&x, m, err));
    for (size_t i = 0; i < n; i++) {
        ts_module module = ts_module_at(m, i);
        char path[TS_MODULE_PATH];
        ts_module_path(m, module, path);
        if (!path[0] || !selected(&x, module, path)) continue;
        found++;
        TS_GOTO(shape_of(&x, s, path, &(*shapes)[i], err));
    }
    TS_GOTO(check_found(&x, s, found, err));
out:
    selector_release(&x);
    if (status != TS_OK) {
        free(*shapes);
        *shapes = NULL;
    }
    return status;
}

/* ---- as typed ---- */

/* Names and commas only: a list; anything else is an expression. */
static bool is_list(const char *text) {
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_., ") == strlen(text);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A list of names as JSON, sorted, each once. */
static char *names_json(const char *text) {
    char *copy = ts_strdup(text), *rest = copy, *name, **list = NULL;
    size_t n = 0, cap = 0;
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    while ((name = strsep(&rest, ", ")))
        if (*name) TS_PUSH(list, n, cap, name);
    if (n) qsort(list, n, sizeof *list, by_text);
    ts_jw_arr(&w);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(list[i], list[i - 1]) != 0) ts_jw_str(&w, list[i]);
    ts_jw_end_arr(&w);
    free(list);
    free(copy);
    return ts_buf_take(&out);
}

/* Does the expression match a module that is no matrix: a layer, its attention, a norm? PEFT would refuse it. */
static ts_status matches_more(const char *expression, const ts_model *m, bool *more, ts_err *err) {
    static const char *const parts[] = {"",     ".self_attn",  ".self_attn.q_norm", ".self_attn.k_norm",
                                        ".mlp", ".mlp.act_fn", ".input_layernorm",  ".post_attention_layernorm"};
    static const char *const others[] = {"", ".layers", ".norm", ".rotary_emb"};
    pattern p;
    char path[TS_MODULE_PATH];
    TS_TRY(pattern_new(&p, "\\A(?:", expression, "target_modules", err));
    *more = false;
    for (size_t i = 0; i < TS_COUNT(others); i++) {
        snprintf(path, sizeof path, "%s%s", m->config.modules, others[i]);
        *more = *more || pattern_matches(&p, path);
    }
    for (size_t l = 0; l < m->config.layers && !*more; l++)
        for (size_t i = 0; i < TS_COUNT(parts); i++) {
            snprintf(path, sizeof path, "%s.layers.%zu%s", m->config.modules, l, parts[i]);
            *more = *more || pattern_matches(&p, path);
        }
    pattern_release(&p);
    return TS_OK;
}

/* The paths of the modules that were chosen, as a list. */
static char *paths_json(const ts_shape *shapes, const ts_model *m) {
    ts_buf names = TS_BUF_INIT;
    char path[TS_MODULE_PATH];
    for (size_t i = 0; i < ts_module_count(m); i++) {
        if (!shapes[i].r) continue;
        ts_module_path(m, ts_module_at(m, i), path);
        ts_buf_printf(&names, "%s,", path);
    }
    char *json = names_json(ts_buf_str(&names));
    ts_buf_release(&names);
    return json;
}

/* What was typed as JSON: a list of names, or the expression. */
static char *typed_json(const char *text, const ts_model *m, bool *expression) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    *expression = false;
    if (strcmp(text, "all-linear") == 0) {
        char *all = all_linear(m, ","), *json = names_json(all);
        free(all);
        return json;
    }
    if (is_list(text)) return names_json(text);
    *expression = true;
    ts_jw_str(&w, text);
    return ts_buf_take(&out);
}

ts_status ts_targets_set(ts_adapter_settings *s, const char *text, const ts_model *m, ts_err *err) {
    ts_shape *shapes = NULL;
    ts_adapter_settings test = {.r = 1, .alpha = 1};
    bool expression = false, more = false;
    if (strspn(text, ", ") == strlen(text))
        return ts_fail(err, TS_INVALID,
                       "the adapter has no target modules; name some, for example all-linear, or q_proj,v_proj");
    test.targets = typed_json(text, m, &expression);
    ts_status status = ts_adapter_select(&shapes, &test, m, true, err);
    if (status == TS_OK && expression) status = matches_more(text, m, &more, err);
    if (status == TS_OK) {
        free(s->targets);
        s->targets = more ? paths_json(shapes, m) : ts_strdup(test.targets);
    }
    free(shapes);
    free(test.targets);
    return status;
}

/* The comma that ends an entry: not one inside brackets of any kind. */
static const char *entry_end(const char *p) {
    int depth = 0;
    for (; *p && (depth > 0 || *p != ','); p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (strchr("([{", *p))
            depth++;
        else if (strchr(")]}", *p) && depth > 0)
            depth--;
    }
    return p;
}

ts_status ts_pattern_parse(char **out, const char *text, ts_err *err) {
    ts_buf json = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&json);
    *out = NULL;
    if (!text || !*text) return TS_OK;
    ts_jw_obj(&w);
    for (const char *p = text; *p;) {
        const char *end = entry_end(p), *equals = end;
        while (equals > p && *equals != '=')
            equals--;
        char *rest = NULL;
        double value = equals > p ? strtod(equals + 1, &rest) : 0;
        if (!rest || rest != end || rest == equals + 1 || !(value > 0 && value < 1e9)) {
            ts_buf_release(&json);
            return ts_fail(err, TS_INVALID, "\"%.*s\" is no pattern; write module=number, for example k_proj=8",
                           (int)(end - p), p);
        }
        char *key = ts_strndup(p, (size_t)(equals - p));
        ts_jw_knum(&w, key, value);
        free(key);
        p = *end ? end + 1 : end;
    }
    ts_jw_end_obj(&w);
    *out = ts_buf_take(&json);
    return TS_OK;
}

/* ---- layers, and whole modules ---- */

static ts_status bad_layers(const char *text, const ts_model *m, ts_err *err) {
    return ts_fail(err, TS_INVALID,
                   "\"%.60s\" is no list of layers; the model has layers 0 to %zu: write 20-%zu or 0,3,5-7", text,
                   m->config.layers - 1, TS_MAX(m->config.layers - 1, (size_t)20));
}

static ts_status layers_json(char **out, const char *text, const ts_model *m, ts_err *err) {
    size_t n = m->config.layers;
    ts_buf json = TS_BUF_INIT;
    *out = NULL;
    if (!text || !*text) return TS_OK;
    bool *on = ts_calloc(n, sizeof *on), any = false, fine = true;
    for (const char *p = text; *p && fine;) {
        char *end;
        unsigned long first = strtoul(p, &end, 10), last = first;
        fine = end != p && *p >= '0' && *p <= '9';
        if (fine && *end == '-') {
            fine = end[1] >= '0' && end[1] <= '9';
            if (fine) last = strtoul(end + 1, &end, 10);
        }
        fine = fine && first <= last && last < n && (!*end || (*end == ',' && end[1]));
        for (size_t i = first; fine && i <= last; i++)
            on[i] = any = true;
        p = *end ? end + 1 : end;
    }
    ts_jw w = ts_jw_to(&json);
    ts_jw_arr(&w);
    for (size_t i = 0; fine && i < n; i++)
        if (on[i]) ts_jw_int(&w, (int64_t)i);
    ts_jw_end_arr(&w);
    free(on);
    if (fine && any) {
        *out = ts_buf_take(&json);
        return TS_OK;
    }
    ts_buf_release(&json);
    return bad_layers(text, m, err);
}

ts_status ts_layers_set(ts_adapter_settings *s, const char *text, const ts_model *m, ts_err *err) {
    free(s->layers);
    return layers_json(&s->layers, text, m, err);
}

/* Every name of the list ends a path. */
static ts_status check_part_names(const ts_json *list, const ts_model *m, ts_err *err) {
    ts_part_of part;
    for (const ts_json *v = ts_json_child(list); v; v = ts_json_next(v)) {
        bool found = false;
        for (size_t i = 0; !found && ts_part_at(m, i, &part); i++)
            found = *part.path && ends_with_name(part.path, ts_json_str(v, ""));
        if (!found)
            return ts_fail(err, TS_INVALID,
                           "the model has no module %s; modules are called q_proj, input_layernorm, norm, embed_tokens "
                           "and so on (tunesmith inspect MODEL lists the tensors)",
                           ts_json_str(v, ""));
    }
    return TS_OK;
}

ts_status ts_parts_select(bool *chosen, const ts_model *m, const char *modules, const char *layers, ts_err *err) {
    bool all = !modules || !*modules || strcmp(modules, "all") == 0, expression, exact;
    char *typed = all ? NULL : typed_json(modules, m, &expression), *listed = NULL;
    ts_json *names = NULL, *only = NULL;
    matching match = {0};
    ts_part_of part;
    size_t n = 0;
    ts_status status = TS_OK;
    TS_GOTO(parse(&names, typed, "the modules to train", err));
    TS_GOTO(matching_new(&match, names, "the modules to train", err));
    TS_GOTO(layers_json(&listed, layers, m, err));
    TS_GOTO(parse(&only, listed, "the layers to train", err));
    if (match.list) TS_GOTO(check_part_names(match.list, m, err));
    for (size_t i = 0; ts_part_at(m, i, &part); i++) {
        chosen[i] = *part.path && (all || matching_has(&match, part.path, part.proj, &exact)) &&
                    (!only || (part.layer != SIZE_MAX && layer_listed(only, part.layer)));
        n += chosen[i];
    }
    if (match.whole.gave_up)
        TS_GOTO(ts_fail(err, TS_LIMIT, "the modules to train %s take too many steps to match; simplify the expression",
                        modules));
    if (n == 0)
        TS_GOTO(ts_fail(err, TS_INVALID, "nothing would be trained: no module is called %s%s%s", all ? "so" : modules,
                        only ? " in the layers " : "", only ? layers : ""));
out:
    pattern_release(&match.whole);
    ts_json_free(names);
    ts_json_free(only);
    free(typed);
    free(listed);
    return status;
}
