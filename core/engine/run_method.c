/* What the settings of a run train. */
#include "core/engine/run.h"
#include "core/model/adapter.h"

#include <string.h>

const ts_method_facts ts_methods[TS_METHODS] = {
    {"lora", "an adapter of low rank; the model stays as it is", false, false, "adapter"},
    {"qlora", "the same over a base rounded to 4 bits (NF4): less memory", true, false, "adapter"},
    {"full", "the weights themselves: a new model, 16 bytes of memory a weight, kept in bf16 14", false, true, "model"},
};

const ts_method_facts *ts_run_method(const ts_run_settings *s) {
    for (size_t i = 0; s->method && i < TS_METHODS; i++)
        if (strcmp(ts_methods[i].name, s->method) == 0) return &ts_methods[i];
    return NULL;
}

bool ts_run_weights_bf16(const ts_run_settings *s) {
    return s->weights && strcmp(s->weights, "bf16") == 0;
}

/* Ranks and rates: Hu et al. 2021 (small ranks suffice for a narrow task), Dettmers et al. 2023 (2e-4 for small models,
 * dropout helps on little data), Schulman 2025 (adapters bear about ten times the rate of the weights; a rank that is
 * too small for the data slows down). */
const ts_preset ts_presets[TS_PRESETS] = {
    {"style", "few examples, a style or a form of answer",
     "few examples are soon learnt by heart: a small rank and dropout leave little room for it; small batches and more "
     "epochs make enough steps, and validation stops them",
     "8", "16", "0.1", "2e-4", "1e-5", "5", "4", "3"},
    {"hundreds", "a few hundred examples",
     "room for more than one habit, dropout still on because every example is seen three times", "16", "32", "0.05",
     "2e-4", "2e-5", "3", "8", "4"},
    {"thousands", "many examples, also knowledge",
     "much to learn needs rank, and hardly anything is seen often enough to be learnt by heart: no dropout, fewer "
     "epochs, "
     "batches large enough for calm steps",
     "32", "64", "0", "2e-4", "2e-5", "2", "16", "0"},
};

const ts_preset *ts_preset_named(const char *name) {
    for (size_t i = 0; name && i < TS_PRESETS; i++)
        if (strcmp(ts_presets[i].name, name) == 0) return &ts_presets[i];
    return NULL;
}

size_t ts_preset_options(const ts_preset *p, const ts_run_settings *s, const char *options[8][2]) {
    const ts_method_facts *method = ts_run_method(s);
    bool whole = method && method->whole;
    const struct {
        const char *option, *value;
        bool of_adapters;
    } all[] = {
        {"r", p->rank, true},
        {"lora-alpha", p->alpha, true},
        {"lora-dropout", p->dropout, true},
        {"learning-rate", whole ? p->full_rate : p->rate, false},
        {"epochs", p->epochs, false},
        {"batch-size", p->batch, false},
        {"patience", p->patience, false},
    };
    size_t n = 0;
    for (size_t i = 0; i < TS_COUNT(all); i++) {
        if (whole && all[i].of_adapters) continue;
        options[n][0] = all[i].option;
        options[n++][1] = all[i].value;
    }
    return n;
}

/* "norm,lm_head" as JSON. */
static char *names_json(const char *text) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    ts_jw_arr(&w);
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ", ");
        if (n) ts_jw_strn(&w, p, n);
        p += n + (p[n] != 0);
    }
    ts_jw_end_arr(&w);
    return ts_buf_take(&out);
}

/* What the adapter is to be for m; released by the caller, empty after a failure. */
static ts_status shape_of(const ts_run_settings *s, const ts_model *m, ts_adapter_settings *out, ts_err *err) {
    *out = (ts_adapter_settings){.r = (size_t)s->r,
                                 .alpha = s->lora_alpha,
                                 .dropout = s->lora_dropout,
                                 .rslora = s->use_rslora,
                                 .dora = s->use_dora};
    out->base_model = ts_strdup(m->path);
    ts_status status = ts_targets_set(out, s->target_modules, m, err);
    if (status == TS_OK) status = ts_layers_set(out, s->layers_to_transform, m, err);
    if (status == TS_OK) status = ts_pattern_parse(&out->rank_pattern, s->rank_pattern, err);
    if (status == TS_OK) status = ts_pattern_parse(&out->alpha_pattern, s->alpha_pattern, err);
    if (s->modules_to_save && *s->modules_to_save) out->save = names_json(s->modules_to_save);
    if (status != TS_OK) ts_adapter_settings_release(out);
    return status;
}

ts_status ts_run_params(const ts_run_settings *s, const ts_model *m, size_t *out, size_t *ranks, ts_err *err) {
    ts_adapter_settings shape;
    if (ranks) *ranks = 0;
    if (ts_run_method(s)->whole) return ts_whole_params(out, m, s->train_modules, s->layers_to_transform, err);
    TS_TRY(shape_of(s, m, &shape, err));
    ts_status status = ts_lora_params(out, ranks, m, &shape, err);
    ts_adapter_settings_release(&shape);
    return status;
}

ts_status ts_run_weights(const ts_run_settings *s, const ts_model *m, size_t *out, size_t *cols, ts_err *err) {
    ts_adapter_settings shape;
    *out = *cols = 0;
    if (ts_run_method(s)->whole) return TS_OK;
    TS_TRY(shape_of(s, m, &shape, err));
    ts_status status = ts_lora_weights(out, cols, m, &shape, err);
    ts_adapter_settings_release(&shape);
    return status;
}

ts_status ts_run_fresh(const ts_run_settings *s, const ts_model *m, uint64_t seed, ts_adapter **out, ts_err *err) {
    ts_adapter_settings shape;
    *out = NULL;
    if (ts_run_method(s)->whole) {
        ts_dtype type = ts_run_weights_bf16(s) ? TS_BF16 : TS_F32;
        return ts_adapter_whole(out, m, s->train_modules, s->layers_to_transform, type, err);
    }
    TS_TRY(shape_of(s, m, &shape, err));
    ts_status status = ts_adapter_make(out, m, &shape, seed, err);
    ts_adapter_settings_release(&shape);
    return status;
}
