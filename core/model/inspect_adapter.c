/* An adapter's numbers without its model. The norm of the change needs no product of full size:
 * |B A|^2 = trace((B^T B)(A A^T)), two r x r matrices. */
#include "core/base/file.h"
#include "core/base/utf8.h"
#include "core/model/inspect_private.h"
#include "core/model/safetensors.h"
#include "core/text/match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 16 << 20, MAX_RANK = 4096, NO_LAYER = -1 };

typedef struct module {
    char path[120]; /* "model.layers.0.self_attn.q_proj" */
    long layer;     /* NO_LAYER outside the layers */
    size_t r;
    double scale, a, b, change;
} module;

typedef struct inspection {
    const char *dir;
    ts_json *config;
    ts_safetensors *file;
    module *modules;
    size_t n, cap, weights;
    size_t trainable;   /* as PEFT counts: without base_layer.weight */
    const char **saved; /* paths of modules saved whole */
    size_t n_saved, cap_saved;
    ts_arena arena;
    ts_type_counts types;
} inspection;

static const char *after(const char *s, const char *prefix) {
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

static long layer_of(const char *path) {
    const char *at = strstr(path, "layers.");
    char *end;
    if (!at || at[7] < '0' || at[7] > '9') return NO_LAYER;
    long layer = strtol(at + 7, &end, 10);
    return *end == '.' ? layer : NO_LAYER;
}

/* out[i][j] = sum over k of x[i][k] x[j][k] for the rows of x [r, n], or of its columns when `columns` (x is [n, r]).
 */
static void gram(const float *x, size_t r, size_t n, bool columns, double *out) {
    for (size_t i = 0; i < r; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t k = 0; k < n; k++)
                sum +=
                    columns ? (double)x[k * r + i] * (double)x[k * r + j] : (double)x[i * n + k] * (double)x[j * n + k];
            out[i * r + j] = out[j * r + i] = sum;
        }
}

static void norms(module *m, const float *a, const float *b, size_t in, size_t out) {
    size_t r = m->r;
    double *aa = ts_calloc(r * r, sizeof *aa), *bb = ts_calloc(r * r, sizeof *bb), trace = 0;
    gram(a, r, in, false, aa);
    gram(b, r, out, true, bb);
    for (size_t i = 0; i < r; i++) {
        m->a += aa[i * r + i];
        m->b += bb[i * r + i];
        for (size_t j = 0; j < r; j++)
            trace += aa[i * r + j] * bb[j * r + i];
    }
    m->a = sqrt(m->a);
    m->b = sqrt(m->b);
    m->change = m->scale * sqrt(fmax(trace, 0)); /* rounding may leave a tiny negative trace */
    free(aa);
    free(bb);
}

/* Does `pattern` of an alpha_pattern speak of this module? PEFT: (.*\.)?(PATTERN)$ from the start of the path. */
static bool pattern_matches(const char *pattern, const char *path) {
    ts_regex *re;
    size_t start, end;
    char *whole = ts_printf("\\A(?:.*\\.)?(?:%s)\\z", pattern);
    bool found = false;
    if (ts_utf8_check(path, strlen(path)) == strlen(path) &&
        ts_regex_new(&re, whole, strlen(whole), 0, NULL) == TS_OK) {
        ts_matcher *m = ts_matcher_new(re);
        found = ts_matcher_find(m, path, strlen(path), 0, &start, &end, NULL);
        ts_matcher_free(m);
        ts_regex_free(re);
    }
    free(whole);
    return found;
}

static size_t rank_of(const inspection *x) {
    int64_t r = 8; /* PEFT's default */
    ts_json_int(ts_json_get(x->config, "r"), 1, MAX_RANK, &r);
    return (size_t)r;
}

/* alpha of a module (NULL: the general one). */
static double alpha_of(const inspection *x, const char *path) {
    double alpha = ts_json_num(ts_json_get(x->config, "lora_alpha"), 8);
    const ts_json *patterns = path ? ts_json_get(x->config, "alpha_pattern") : NULL;
    for (const ts_json *v = ts_json_is_object(patterns) ? ts_json_child(patterns) : NULL; v; v = ts_json_next(v))
        if (pattern_matches(ts_json_key(v), path)) return ts_json_num(v, alpha);
    return alpha;
}

/* Are alphas or ranks of modules not all the general ones? Then the general scale is not the whole truth. */
static bool has_patterns(const inspection *x) {
    return ts_json_count(ts_json_get(x->config, "rank_pattern")) ||
           ts_json_count(ts_json_get(x->config, "alpha_pattern"));
}

static double scale_of(const inspection *x, size_t r, const char *path) {
    bool rslora = ts_json_is_true(ts_json_get(x->config, "use_rslora"));
    return alpha_of(x, path) / (rslora ? sqrt((double)r) : (double)r);
}

static bool readable_matrix(const ts_tensor *t) {
    return t && t->type != TS_DTYPES && t->n_dims == 2 && t->bytes > 0;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n > k && strcmp(s + n - k, end) == 0;
}

/* A module that is there whole, in place of the model's. */
static void add_saved(inspection *x, const char *name) {
    const char *path = after(name, "base_model.model.");
    if (!path || !ends_with(path, ".weight") || strstr(path, ".lora_") || ends_with(path, ".base_layer.weight")) return;
    const char *copy = ts_arena_strndup(&x->arena, path, strlen(path) - strlen(".weight"));
    TS_PUSH(x->saved, x->n_saved, x->cap_saved, copy);
}

/* The pair that begins with tensor A of the file, if it is one; an embedding's names are others. */
static void add_module(inspection *x, const ts_tensor *a) {
    static const char linear[] = ".lora_A.weight", embedding[] = ".lora_embedding_A";
    bool embed = ends_with(a->name, embedding);
    const char *path = after(a->name, "base_model.model.");
    if (!path || !(embed || ends_with(a->name, linear))) return;
    size_t n = strlen(a->name), end = embed ? sizeof embedding : sizeof linear;
    char *other = ts_strdup(a->name);
    other[n - (embed ? 1 : strlen("A.weight"))] = 'B';
    const ts_tensor *b = ts_safetensors_find(x->file, other);
    free(other);
    if (!readable_matrix(a) || !readable_matrix(b) || a->dims[0] != b->dims[1] || a->dims[0] > MAX_RANK) return;
    size_t in = a->dims[1], out = b->dims[0];
    module m = {.r = a->dims[0], .layer = layer_of(path)};
    snprintf(m.path, sizeof m.path, "%.*s", (int)(strlen(path) - (end - 1)), path);
    m.scale = scale_of(x, m.r, m.path);
    float *fa = ts_malloc(m.r * in * sizeof *fa), *fb = ts_malloc(m.r * out * sizeof *fb);
    ts_dequantize(a->type, a->data, fa, m.r * in);
    ts_dequantize(b->type, b->data, fb, m.r * out);
    norms(&m, fa, fb, in, out);
    free(fa);
    free(fb);
    TS_PUSH(x->modules, x->n, x->cap, m);
}

static int by_layer(const void *a, const void *b) {
    const module *x = a, *y = b;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return strcmp(x->path, y->path);
}

static ts_status gather(inspection *x, ts_err *err) {
    char *config = ts_path_join(x->dir, "adapter_config.json"),
         *tensors = ts_path_join(x->dir, "adapter_model.safetensors");
    ts_err local;
    ts_status status = TS_OK;
    if (!err) err = &local;
    x->config = ts_json_read(config, MAX_CONFIG, err);
    if (!x->config) status = err->code;
    if (status == TS_OK) status = ts_safetensors_open(&x->file, tensors, err);
    for (size_t i = 0; status == TS_OK && i < ts_safetensors_count(x->file); i++) {
        const ts_tensor *t = ts_safetensors_at(x->file, i);
        ts_count_type(&x->types, ts_safetensors_type_name(x->file, i), t);
        add_module(x, t);
        add_saved(x, t->name);
        size_t weights = t->bytes && t->type != TS_DTYPES ? t->bytes / ts_row_bytes(t->type, 1) : 0;
        if (!ends_with(t->name, ".base_layer.weight")) x->trainable += weights;
    }
    for (size_t i = 0; i < x->types.n; i++)
        x->weights += x->types.items[i].weights;
    if (x->n) qsort(x->modules, x->n, sizeof *x->modules, by_layer);
    free(config);
    free(tensors);
    return status;
}

static void put_targets(const inspection *x, ts_buf *out) {
    const ts_json *targets = ts_json_get(x->config, "target_modules");
    const char *comma = "";
    ts_put_label(out, "targets");
    if (ts_json_is_string(targets)) ts_put_clean(out, ts_json_str(targets, ""), strlen(ts_json_str(targets, "")));
    for (const ts_json *v = ts_json_is_array(targets) ? ts_json_child(targets) : NULL; v; v = ts_json_next(v)) {
        ts_buf_puts(out, comma);
        ts_put_clean(out, ts_json_str(v, "?"), strlen(ts_json_str(v, "?")));
        comma = ", ";
    }
    ts_buf_putc(out, '\n');
}

/* Where patterns give modules ranks and alphas of their own: each kind of them with how many it has. */
static void put_shapes(const inspection *x, ts_buf *out) {
    bool *done = ts_calloc(x->n + 1, sizeof *done);
    for (size_t i = 0; i < x->n; i++) {
        const module *m = &x->modules[i];
        const char *dot = strrchr(m->path, '.'), *name = dot ? dot + 1 : m->path;
        size_t count = 0;
        for (size_t k = i; k < x->n && !done[i]; k++) {
            const char *other = strrchr(x->modules[k].path, '.');
            if (x->modules[k].r != m->r || x->modules[k].scale != m->scale || done[k]) continue;
            if (strcmp(other ? other + 1 : x->modules[k].path, name) != 0) continue;
            if (k != i) done[k] = true;
            count++;
        }
        if (done[i]) continue;
        ts_put_label(out, "");
        ts_buf_printf(out, "%zu x ", count);
        ts_put_clean(out, name, strlen(name));
        ts_buf_printf(out, ": rank %zu, scale %g\n", m->r, m->scale);
    }
    free(done);
}

/* A few names; the rest as a number. */
static void put_saved(const inspection *x, ts_buf *out) {
    enum { SHOWN = 3 };
    if (!x->n_saved) return;
    ts_put_label(out, "saved whole");
    ts_buf_printf(out, "%zu: ", x->n_saved);
    for (size_t i = 0; i < TS_MIN(x->n_saved, (size_t)SHOWN); i++) {
        if (i) ts_buf_puts(out, ", ");
        ts_put_clean(out, x->saved[i], strlen(x->saved[i]));
    }
    ts_buf_puts(out, x->n_saved > SHOWN ? ", ...\n" : "\n");
}

/* One line a layer: the norms of all its modules together, and the module that changes most. */
static void put_layers(const inspection *x, ts_buf *out) {
    if (x->n) ts_buf_puts(out, "  layer          |A|       |B|    |s B A|  most in\n");
    for (size_t i = 0; i < x->n;) {
        double a = 0, b = 0, change = 0;
        size_t most = i, first = i;
        for (; i < x->n && x->modules[i].layer == x->modules[first].layer; i++) {
            const module *m = &x->modules[i];
            a += m->a * m->a;
            b += m->b * m->b;
            change += m->change * m->change;
            if (m->change > x->modules[most].change) most = i;
        }
        const char *path = x->modules[most].path, *dot = strrchr(path, '.');
        if (x->modules[first].layer == NO_LAYER)
            ts_buf_puts(out, "  other  ");
        else
            ts_buf_printf(out, "  %5ld  ", x->modules[first].layer);
        ts_buf_printf(out, "%10.4g%10.4g%10.4g  ", sqrt(a), sqrt(b), sqrt(change));
        ts_put_clean(out, dot ? dot + 1 : path, strlen(dot ? dot + 1 : path));
        ts_buf_printf(out, " %.4g\n", x->modules[most].change);
    }
}

static void put_text(const inspection *x, ts_buf *out) {
    const ts_json *c = x->config;
    const char *type = ts_json_str(ts_json_get(c, "peft_type"), "unnamed type"),
               *base = ts_json_str(ts_json_get(c, "base_model_name_or_path"), "not named");
    size_t r = rank_of(x);
    ts_put_clean(out, x->dir, strlen(x->dir));
    ts_buf_putc(out, '\n');
    ts_put_label(out, "kind");
    ts_buf_puts(out, "PEFT adapter, ");
    ts_put_clean(out, type, strlen(type));
    ts_buf_puts(out, ts_json_is_true(ts_json_get(c, "use_dora")) ? " with DoRA, " : ", ");
    ts_put_bytes(out, ts_safetensors_bytes(x->file));
    ts_buf_putc(out, '\n');
    ts_put_label(out, "base model");
    ts_put_clean(out, base, strlen(base));
    ts_buf_putc(out, '\n');
    ts_put_label(out, "rank");
    ts_buf_printf(out, "%zu, alpha %g, scale %g%s, dropout %g\n", r, alpha_of(x, NULL), scale_of(x, r, NULL),
                  ts_json_is_true(ts_json_get(c, "use_rslora")) ? " (rsLoRA)" : "",
                  ts_json_num(ts_json_get(c, "lora_dropout"), 0));
    if (has_patterns(x)) put_shapes(x, out);
    put_targets(x, out);
    put_saved(x, out);
    ts_put_label(out, "parameters");
    ts_put_size(out, x->weights);
    if (x->trainable != x->weights) ts_buf_printf(out, ", %zu of them trained", x->trainable);
    ts_buf_putc(out, '\n');
    ts_put_types(out, &x->types);
    put_layers(x, out);
}

static void put_json(const inspection *x, ts_buf *out) {
    const ts_json *c = x->config;
    ts_buf targets = TS_BUF_INIT;
    size_t r = rank_of(x);
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "kind", "adapter");
    ts_jw_kstr(&w, "path", x->dir);
    ts_jw_kstr(&w, "peft_type", ts_json_str(ts_json_get(c, "peft_type"), NULL));
    ts_jw_kstr(&w, "base_model", ts_json_str(ts_json_get(c, "base_model_name_or_path"), NULL));
    ts_jw_kint(&w, "r", (int64_t)r);
    ts_jw_knum(&w, "alpha", alpha_of(x, NULL));
    ts_jw_knum(&w, "scale", scale_of(x, r, NULL));
    ts_jw_knum(&w, "dropout", ts_json_num(ts_json_get(c, "lora_dropout"), 0));
    ts_jw_kbool(&w, "rslora", ts_json_is_true(ts_json_get(c, "use_rslora")));
    ts_jw_kbool(&w, "dora", ts_json_is_true(ts_json_get(c, "use_dora")));
    ts_jw_key(&w, "target_modules");
    if (ts_json_get(c, "target_modules")) ts_json_print(ts_json_get(c, "target_modules"), &targets);
    ts_jw_raw(&w, targets.len ? targets.data : "null", targets.len ? targets.len : 4);
    ts_jw_kint(&w, "parameters", (int64_t)x->weights);
    ts_jw_kint(&w, "trainable_params", (int64_t)x->trainable);
    ts_jw_key(&w, "saved_modules");
    ts_jw_arr(&w);
    for (size_t i = 0; i < x->n_saved; i++)
        ts_jw_str(&w, x->saved[i]);
    ts_jw_end_arr(&w);
    ts_jw_kint(&w, "bytes", (int64_t)ts_safetensors_bytes(x->file));
    ts_put_types_json(&w, &x->types);
    ts_jw_key(&w, "modules");
    ts_jw_arr(&w);
    for (size_t i = 0; i < x->n; i++) {
        const module *m = &x->modules[i];
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "module", m->path);
        ts_jw_key(&w, "layer");
        if (m->layer == NO_LAYER)
            ts_jw_null(&w);
        else
            ts_jw_int(&w, m->layer);
        ts_jw_kint(&w, "r", (int64_t)m->r);
        ts_jw_knum(&w, "scale", m->scale);
        ts_jw_knum(&w, "norm_a", m->a);
        ts_jw_knum(&w, "norm_b", m->b);
        ts_jw_knum(&w, "norm_change", m->change);
        ts_jw_end_obj(&w);
    }
    ts_jw_end_arr(&w);
    ts_jw_end_obj(&w);
    ts_buf_putc(out, '\n');
    ts_buf_release(&targets);
}

ts_status ts_inspect_adapter(const char *dir, bool json, ts_buf *out, ts_err *err) {
    inspection x = {.dir = dir};
    ts_status status = gather(&x, err);
    if (status == TS_OK) (json ? put_json : put_text)(&x, out);
    ts_json_free(x.config);
    ts_safetensors_close(x.file);
    free(x.modules);
    free(x.saved);
    ts_arena_release(&x.arena);
    free(x.types.items);
    return status;
}
