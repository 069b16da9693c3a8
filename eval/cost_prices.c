/* The price list: reading and checking. */
#include "core/base/file.h"
#include "core/base/utf8.h"
#include "eval/cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 20, MAX_ENTRIES = 500, MAX_TEXT = 300 };

/* Where in the list something is wrong: "prices.json: training 3, price". */
struct place {
    const char *file, *list;
    size_t number;
};

static ts_status wrong(const struct place *at, const char *member, const char *problem, ts_err *err) {
    return ts_fail(err, TS_FORMAT, "%s: %s %zu, \"%s\" %s", at->file, at->list, at->number, member, problem);
}

static ts_status read_text(const struct place *at, const ts_json *o, const char *member, const char **out,
                           ts_err *err) {
    const ts_json *v = ts_json_get(o, member);
    *out = ts_json_str(v, "");
    if (v && !ts_json_is_string(v) && !ts_json_is_null(v)) return wrong(at, member, "must be a text", err);
    size_t n = strlen(*out);
    if (n > MAX_TEXT) return wrong(at, member, "is longer than 300 bytes", err);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)(*out)[i] < 0x20 || (*out)[i] == 0x7f)
            return wrong(at, member, "has control characters", err);
    return TS_OK;
}

static bool is_date(const char *s) {
    static const char form[] = "dddd-dd-dd";
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i]) return false;
    return s[sizeof form - 1] == 0;
}

/* A missing figure is an unknown one. */
static ts_status read_figure(const struct place *at, const ts_json *o, const char *member, ts_figure *out,
                             ts_err *err) {
    const ts_json *f = ts_json_get(o, member), *v = ts_json_get(f, "value");
    *out = (ts_figure){NAN, "", ""};
    if (!f) return TS_OK;
    if (!ts_json_is_object(f)) return wrong(at, member, "must be an object of value, source and date", err);
    if (ts_json_is_null(v)) return TS_OK;
    double value = ts_json_num(v, NAN);
    if (!ts_json_is_number(v) || !(value >= 0 && value <= 1e12))
        return wrong(at, member, "has a value that is neither null (unknown) nor a number from 0 to 1e12", err);
    TS_TRY(read_text(at, f, "source", &out->source, err));
    TS_TRY(read_text(at, f, "date", &out->date, err));
    if (!*out->source) return wrong(at, member, "has a value without \"source\"; say where it is from", err);
    if (!is_date(out->date)) return wrong(at, member, "needs a \"date\" like 2026-11-25 when it was read", err);
    out->value = value;
    return TS_OK;
}

static ts_status read_number(const struct place *at, const ts_json *o, const char *member, double otherwise,
                             double *out, ts_err *err) {
    const ts_json *v = ts_json_get(o, member);
    *out = ts_json_num(v, otherwise);
    if (v && (!ts_json_is_number(v) || !(*out > 0 && *out <= 1e9)))
        return wrong(at, member, "must be a number above 0", err);
    return TS_OK;
}

static ts_status read_methods(const struct place *at, const ts_json *o, ts_offer *out, ts_err *err) {
    static const char *const known[] = {"lora", "qlora", "full", "managed"};
    const ts_json *list = ts_json_get(o, "methods");
    if (!ts_json_is_array(list) || ts_json_count(list) == 0 || ts_json_count(list) > TS_COUNT(out->methods))
        return wrong(at, "methods", "must list 1 to 8 of lora, qlora, full, managed", err);
    for (const ts_json *m = ts_json_child(list); m; m = ts_json_next(m)) {
        size_t k = 0;
        while (k < TS_COUNT(known) && strcmp(ts_json_str(m, ""), known[k]) != 0)
            k++;
        if (k == TS_COUNT(known)) return wrong(at, "methods", "knows only lora, qlora, full and managed", err);
        out->methods[out->n_methods++] = known[k];
    }
    return TS_OK;
}

static ts_status read_offer(const struct place *at, const ts_json *o, ts_offer *out, ts_err *err) {
    const char *unit;
    double billions;
    if (!ts_json_is_object(o)) return wrong(at, "", "is no object", err);
    TS_TRY(read_text(at, o, "provider", &out->provider, err));
    TS_TRY(read_text(at, o, "model", &out->model, err));
    TS_TRY(read_text(at, o, "hardware", &out->hardware, err));
    TS_TRY(read_text(at, o, "note", &out->note, err));
    TS_TRY(read_text(at, o, "unit", &unit, err));
    TS_TRY(read_methods(at, o, out, err));
    TS_TRY(read_number(at, o, "max_billions", INFINITY, &billions, err));
    TS_TRY(read_number(at, o, "memory_gb", NAN, &out->memory_gb, err));
    TS_TRY(read_figure(at, o, "price", &out->price, err));
    TS_TRY(read_figure(at, o, "tokens_per_second", &out->tokens_per_second, err));
    TS_TRY(read_figure(at, o, "least_examples", &out->least_examples, err));
    out->params = billions * 1e9;
    out->by_hour = strcmp(unit, "hour") == 0;
    if (!*out->provider) return wrong(at, "provider", "is missing", err);
    if (!out->by_hour && strcmp(unit, "million tokens") != 0)
        return wrong(at, "unit", "must be \"million tokens\" or \"hour\"", err);
    return TS_OK;
}

static ts_status read_serving(const struct place *at, const ts_json *o, ts_serving *out, ts_err *err) {
    const char *kind;
    if (!ts_json_is_object(o)) return wrong(at, "", "is no object", err);
    TS_TRY(read_text(at, o, "provider", &out->provider, err));
    TS_TRY(read_text(at, o, "model", &out->model, err));
    TS_TRY(read_text(at, o, "note", &out->note, err));
    TS_TRY(read_text(at, o, "kind", &kind, err));
    TS_TRY(read_figure(at, o, "input", &out->input, err));
    TS_TRY(read_figure(at, o, "output", &out->output, err));
    TS_TRY(read_figure(at, o, "hour", &out->hour, err));
    out->tuned = strcmp(kind, "tuned") == 0;
    out->by_hour = ts_json_get(o, "hour") != NULL;
    if (!*out->provider || !*out->model) return wrong(at, *out->provider ? "model" : "provider", "is missing", err);
    if (!out->tuned && strcmp(kind, "large") != 0) return wrong(at, "kind", "must be \"large\" or \"tuned\"", err);
    return TS_OK;
}

static ts_status count_entries(const char *name, const ts_json *root, const char *list, size_t *n, ts_err *err) {
    const ts_json *v = ts_json_get(root, list);
    *n = ts_json_count(v);
    if (!ts_json_is_array(v)) return ts_fail(err, TS_FORMAT, "%s: \"%s\" must be a list", name, list);
    if (*n > MAX_ENTRIES)
        return ts_fail(err, TS_LIMIT, "%s: \"%s\" has %zu entries; %d at most", name, list, *n, MAX_ENTRIES);
    return TS_OK;
}

static ts_status read_lists(ts_prices *out, const char *name, ts_err *err) {
    struct place at = {name, "training", 0};
    size_t n;
    TS_TRY(count_entries(name, out->root, "training", &n, err));
    out->offers = ts_calloc(n + 1, sizeof *out->offers);
    for (const ts_json *v = ts_json_child(ts_json_get(out->root, "training")); v; v = ts_json_next(v)) {
        at.number++;
        TS_TRY(read_offer(&at, v, &out->offers[out->n_offers], err));
        out->n_offers++;
    }
    TS_TRY(count_entries(name, out->root, "serving", &n, err));
    out->servings = ts_calloc(n + 1, sizeof *out->servings);
    at = (struct place){name, "serving", 0};
    for (const ts_json *v = ts_json_child(ts_json_get(out->root, "serving")); v; v = ts_json_next(v)) {
        at.number++;
        TS_TRY(read_serving(&at, v, &out->servings[out->n_servings], err));
        out->n_servings++;
    }
    return TS_OK;
}

ts_status ts_prices_parse(ts_prices *out, const char *text, size_t n, const char *name, ts_err *err) {
    int64_t format;
    *out = (ts_prices){.path = ts_strdup(name)};
    ts_status status = TS_OK;
    if (ts_utf8_check(text, n) < n)
        TS_GOTO(ts_fail(err, TS_FORMAT, "%s is not valid UTF-8 at byte %zu", name, ts_utf8_check(text, n)));
    out->root = ts_json_parse(text, n, err);
    if (!out->root) TS_GOTO(ts_wrap(err, TS_FORMAT, "%s", name));
    if (!ts_json_int(ts_json_get(out->root, "format"), 1, 1, &format))
        TS_GOTO(ts_fail(err, TS_FORMAT,
                        "%s is no price list: it must be an object with \"format\": 1, \"training\" and \"serving\"; "
                        "samples/providers.json is one",
                        name));
    status = read_lists(out, name, err);
out:
    if (status != TS_OK) ts_prices_release(out);
    return status;
}

ts_status ts_prices_read(ts_prices *out, const char *path, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    *out = (ts_prices){0};
    ts_status status = ts_file_read(path, MAX_FILE, &text, err);
    if (status == TS_OK) status = ts_prices_parse(out, ts_buf_str(&text), text.len, path, err);
    ts_buf_release(&text);
    return status;
}

void ts_prices_release(ts_prices *p) {
    ts_json_free(p->root);
    free(p->path);
    free(p->offers);
    free(p->servings);
    *p = (ts_prices){0};
}

/* The folder of the running program; the caller frees. */
static char *program_folder(void) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return ts_strdup(".");
    path[n] = 0;
    return ts_path_dir(path);
}

ts_status ts_prices_find(const char *path, const char *ws, char **found, ts_err *err) {
    static const char *const beside[] = {"../share/tunesmith/providers.json", "../../samples/providers.json",
                                         "../../../samples/providers.json"};
    char *folder = program_folder();
    *found = path ? ts_strdup(path) : ws ? ts_path_join(ws, "providers.json") : NULL;
    for (size_t i = 0; !path && i < TS_COUNT(beside) && !(*found && ts_is_file(*found)); i++) {
        free(*found);
        *found = ts_path_join(folder, beside[i]);
    }
    free(folder);
    if (ts_is_file(*found)) {
        if (path) return TS_OK;
        char *plain = ts_path_absolute(*found);
        free(*found);
        *found = plain;
        return TS_OK;
    }
    free(*found);
    *found = NULL;
    return ts_fail(
        err, TS_NOT_FOUND,
        "there is no price list%s%s; samples/providers.json of the source tree is one: name it with --prices",
        path ? ": " : " installed beside the program", path ? path : "");
}
