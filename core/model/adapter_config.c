/* adapter_config.json: what PEFT says of an adapter, read and written. Written with its keys sorted and an indent of
 * two, as PEFT itself writes it. */
#include "core/model/adapter_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

/* Absent, null, false, "", [], {}: a setting that is not used. */
static bool unset(const ts_json *v) {
    if (!v || ts_json_is_null(v)) return true;
    if (ts_json_is_bool(v)) return !ts_json_is_true(v);
    if (ts_json_is_string(v)) return ts_json_str(v, "")[0] == 0;
    return (ts_json_is_array(v) || ts_json_is_object(v)) && ts_json_count(v) == 0;
}

static ts_status refuse(const char *dir, const char *key, ts_err *err) {
    return ts_fail(err, TS_UNSUPPORTED, "the adapter %s uses %s, which is not done yet; train one without it", dir,
                   key);
}

/* Settings under which the formulas of adapter.h would be wrong. */
static ts_status refuse_extras(const ts_json *c, const char *dir, ts_err *err) {
    static const char *const keys[] = {
        "fan_in_fan_out",
        "lora_bias",
        "trainable_token_indices",
        "target_parameters",
        "alora_invocation_tokens",
        "use_qalora",
        "layer_replication",
        "use_bdlora",
        "kasa_config",
        "monteclora_config",
        "arrow_config",
        "velora_config",
    };
    static const char *const plain_init[] = {"gaussian", "orthogonal", "eva"};
    for (size_t i = 0; i < TS_COUNT(keys); i++)
        if (!unset(ts_json_get(c, keys[i]))) return refuse(dir, keys[i], err);
    const char *bias = ts_json_str(ts_json_get(c, "bias"), "none"),
               *init = ts_json_str(ts_json_get(c, "init_lora_weights"), NULL);
    if (strcmp(bias, "none") != 0) return refuse(dir, "trained biases (bias)", err);
    bool plain = init == NULL; /* true or false: nothing but the numbers in the file counts */
    for (size_t i = 0; i < TS_COUNT(plain_init); i++)
        plain = plain || strcmp(init, plain_init[i]) == 0;
    if (!plain)
        return ts_fail(
            err, TS_UNSUPPORTED,
            "the adapter %s began with init_lora_weights %s, which changes the base model; save it as plain LoRA first",
            dir, init);
    return TS_OK;
}

static char *text_of(const ts_json *v) {
    ts_buf out = TS_BUF_INIT;
    if (unset(v)) return NULL;
    ts_json_print(v, &out);
    return ts_buf_take(&out);
}

ts_status ts_settings_read(ts_adapter_settings *s, const ts_json *c, const char *dir, ts_err *err) {
    const char *type = ts_json_str(ts_json_get(c, "peft_type"), NULL);
    *s = (ts_adapter_settings){0};
    if (!type) return ts_fail(err, TS_FORMAT, "%s/adapter_config.json has no peft_type; it is no PEFT adapter", dir);
    if (strcmp(type, "LORA") != 0)
        return ts_fail(err, TS_UNSUPPORTED, "the adapter %s is of the type %s; only LORA is read", dir, type);
    TS_TRY(refuse_extras(c, dir, err));
    int64_t r = 8; /* PEFT's defaults */
    const ts_json *rank = ts_json_get(c, "r"), *targets = ts_json_get(c, "target_modules");
    if (rank && !ts_json_int(rank, 1, 1 << 20, &r))
        return ts_fail(err, TS_FORMAT, "%s/adapter_config.json: r is not a whole number from 1 on", dir);
    s->r = (size_t)r;
    s->alpha = ts_json_num(ts_json_get(c, "lora_alpha"), 8);
    s->dropout = ts_json_num(ts_json_get(c, "lora_dropout"), 0);
    s->rslora = ts_json_is_true(ts_json_get(c, "use_rslora"));
    s->dora = ts_json_is_true(ts_json_get(c, "use_dora"));
    s->targets = text_of(targets);
    s->exclude = text_of(ts_json_get(c, "exclude_modules"));
    s->layers = text_of(ts_json_get(c, "layers_to_transform")); /* layer 0 is a number, so it is not taken for unset */
    s->layers_pattern = text_of(ts_json_get(c, "layers_pattern"));
    s->rank_pattern = text_of(ts_json_get(c, "rank_pattern"));
    s->alpha_pattern = text_of(ts_json_get(c, "alpha_pattern"));
    s->save = text_of(ts_json_get(c, "modules_to_save"));
    s->base_model = ts_strdup(ts_json_str(ts_json_get(c, "base_model_name_or_path"), ""));
    return TS_OK;
}

/* ---- writing ---- */

static void put_str(ts_buf *out, const char *s) {
    ts_jw w = ts_jw_to(out);
    ts_jw_str(&w, s);
}

/* A number as Python's json prints it: whole ones with ".0" when they are floats there. */
static void put_num(ts_buf *out, double v, bool whole_as_int) {
    ts_jw w = ts_jw_to(out);
    size_t start = out->len;
    ts_jw_num(&w, v);
    if (!whole_as_int && !strpbrk(out->data + start, ".eE")) ts_buf_puts(out, ".0");
}

/* Lists and objects of plain values, one value a line. */
static void put_value(ts_buf *out, const ts_json *v) {
    bool object = ts_json_is_object(v);
    if (!object && !ts_json_is_array(v)) {
        ts_json_print(v, out);
        return;
    }
    const char *comma = "";
    ts_buf_putc(out, object ? '{' : '[');
    for (const ts_json *x = ts_json_child(v); x; x = ts_json_next(x)) {
        ts_buf_printf(out, "%s\n    ", comma);
        if (object) {
            put_str(out, ts_json_key(x));
            ts_buf_puts(out, ": ");
        }
        ts_json_print(x, out);
        comma = ",";
    }
    if (ts_json_child(v)) ts_buf_puts(out, "\n  ");
    ts_buf_putc(out, object ? '}' : ']');
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A list of names, sorted: PEFT writes its sets in no order at all. */
static void put_names(ts_buf *out, const ts_json *v) {
    const char **names = ts_calloc(ts_json_count(v) + 1, sizeof *names), *comma = "";
    size_t n = 0;
    for (const ts_json *x = ts_json_child(v); x; x = ts_json_next(x))
        names[n++] = ts_json_str(x, "");
    qsort(names, n, sizeof *names, by_text);
    ts_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        ts_buf_printf(out, "%s\n    ", comma);
        put_str(out, names[i]);
        comma = ",";
    }
    ts_buf_puts(out, n ? "\n  ]" : "]");
    free(names);
}

static void put_text(ts_buf *out, const char *key, const char *text, const char *none, bool names) {
    ts_json *v = text ? ts_json_parse(text, strlen(text), NULL) : NULL;
    ts_buf_printf(out, "%s\n  \"%s\": ", out->len > 1 ? "," : "", key);
    if (!v)
        ts_buf_puts(out, none);
    else if (names && ts_json_is_array(v))
        put_names(out, v);
    else
        put_value(out, v);
    ts_json_free(v);
}

void ts_settings_write(const ts_adapter_settings *s, ts_buf *out) {
    ts_buf_puts(out, "{");
    put_text(out, "alpha_pattern", s->alpha_pattern, "{}", false);
    ts_buf_puts(out, ",\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": ");
    put_str(out, s->base_model ? s->base_model : "");
    ts_buf_puts(out, ",\n  \"bias\": \"none\"");
    put_text(out, "exclude_modules", s->exclude, "null", true);
    ts_buf_puts(out, ",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n  \"init_lora_weights\": true");
    put_text(out, "layers_pattern", s->layers_pattern, "null", false);
    put_text(out, "layers_to_transform", s->layers, "null", false);
    ts_buf_puts(out, ",\n  \"lora_alpha\": ");
    put_num(out, s->alpha, true);
    ts_buf_puts(out, ",\n  \"lora_dropout\": ");
    put_num(out, s->dropout, false);
    put_text(out, "modules_to_save", s->save, "null", false);
    ts_buf_printf(out, ",\n  \"peft_type\": \"LORA\",\n  \"peft_version\": \"0.17.0\",\n  \"r\": %zu", s->r);
    put_text(out, "rank_pattern", s->rank_pattern, "{}", false);
    ts_buf_puts(out, ",\n  \"revision\": null");
    put_text(out, "target_modules", s->targets, "null", true);
    ts_buf_printf(out, ",\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": %s,\n  \"use_rslora\": %s\n}",
                  s->dora ? "true" : "false", s->rslora ? "true" : "false");
}
