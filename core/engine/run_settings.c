/* The settings of a run: one table (TS_RUN_OPTIONS and the facts below) drives defaults, limits, run.json and the
 * command line. */
#include "core/engine/run.h"

#include "core/engine/optim.h"
#include "core/model/adapter.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, INT, NUM, BOOL };

struct field {
    const char *option; /* NULL: a fact, not an option */
    const char *key;
    enum kind kind;
    size_t at;
    const char *otherwise;
    double least, most;
};

#define OPTION(option, member, kind, value, help, otherwise, least, most)                                              \
    {option, #member, kind, offsetof(ts_run_settings, member), otherwise, least, most},
#define FACT(member, kind, otherwise)                                                                                  \
    { NULL, #member, kind, offsetof(ts_run_settings, member), otherwise, 0, 0 }

static const struct field fields[] = {
    FACT(model, TEXT, NULL),
    FACT(model_hash, TEXT, NULL),
    FACT(train_hash, TEXT, NULL),
    FACT(valid_hash, TEXT, NULL),
    FACT(general_hash, TEXT, NULL),
    FACT(general_rows, INT, "0"),
    FACT(ewc_hash, TEXT, NULL),
    FACT(ewc_rows, INT, "0"),
    FACT(replay_rows, INT, "0"),
    FACT(train_rows, INT, "0"),
    FACT(valid_rows, INT, "0"),
    TS_RUN_OPTIONS(OPTION) /* */
    FACT(kernel, TEXT, ""),
    FACT(version, TEXT, TS_VERSION),
    FACT(created_ms, INT, "0"),
};

static char **text_at(const ts_run_settings *s, const struct field *f) {
    return (char **)(void *)((char *)(uintptr_t)s + f->at);
}
static int64_t *int_at(const ts_run_settings *s, const struct field *f) {
    return (int64_t *)(void *)((char *)(uintptr_t)s + f->at);
}
static double *num_at(const ts_run_settings *s, const struct field *f) {
    return (double *)(void *)((char *)(uintptr_t)s + f->at);
}
static bool *bool_at(const ts_run_settings *s, const struct field *f) {
    return (bool *)((char *)(uintptr_t)s + f->at);
}

void ts_run_set(char **member, const char *value) {
    char *copy = value ? ts_strdup(value) : NULL;
    free(*member);
    *member = copy;
}

static bool parse_int(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && errno == 0;
}

static bool parse_num(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && isfinite(*out);
}

/* false: the text is not of the field's kind. */
static bool set_field(ts_run_settings *s, const struct field *f, const char *value) {
    bool yes = value && (strcmp(value, "yes") == 0 || strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
    switch (f->kind) {
    case TEXT:
        ts_run_set(text_at(s, f), value);
        return true;
    case INT:
        return value && parse_int(value, int_at(s, f));
    case NUM:
        return value && parse_num(value, num_at(s, f));
    case BOOL:
        *bool_at(s, f) = yes;
        return value && (yes || strcmp(value, "no") == 0 || strcmp(value, "false") == 0 || strcmp(value, "0") == 0);
    }
    return false;
}

void ts_run_settings_init(ts_run_settings *s) {
    *s = (ts_run_settings){0};
    for (size_t i = 0; i < TS_COUNT(fields); i++)
        ts_assert(set_field(s, &fields[i], fields[i].otherwise));
}

void ts_run_settings_release(ts_run_settings *s) {
    for (size_t i = 0; i < TS_COUNT(fields); i++)
        if (fields[i].kind == TEXT) free(*text_at(s, &fields[i]));
    *s = (ts_run_settings){0};
}

static ts_status check_field(const ts_run_settings *s, const struct field *f, ts_err *err) {
    double v = f->kind == INT ? (double)*int_at(s, f) : f->kind == NUM ? *num_at(s, f) : 0;
    if (!f->option || f->kind == TEXT || f->kind == BOOL) return TS_OK;
    if (v >= f->least && v <= f->most) return TS_OK;
    return ts_fail(err, TS_INVALID, "--%s is %.10g; it must be from %.10g to %.10g", f->option, v, f->least, f->most);
}

static ts_status check_preset(const ts_run_settings *s, ts_err *err) {
    if (!s->preset || strcmp(s->preset, "none") == 0 || ts_preset_named(s->preset)) return TS_OK;
    return ts_fail(err, TS_INVALID, "--preset \"%.40s\" is not known; it must be style, hundreds, thousands or none",
                   s->preset);
}

static ts_status apply_preset(ts_run_settings *s, ts_err *err) {
    const char *options[8][2];
    const ts_preset *p = ts_preset_named(s->preset);
    size_t n = p ? ts_preset_options(p, s, options) : 0;
    for (size_t i = 0; i < n; i++)
        TS_TRY(ts_run_settings_set(s, options[i][0], options[i][1], err));
    return check_preset(s, err);
}

ts_status ts_run_settings_set(ts_run_settings *s, const char *option, const char *value, ts_err *err) {
    static const char *const wants[] = {"text", "a whole number", "a number", "yes or no"};
    for (size_t i = 0; i < TS_COUNT(fields); i++) {
        const struct field *f = &fields[i];
        if (!f->option || strcmp(f->option, option) != 0) continue;
        if (!set_field(s, f, value))
            return ts_fail(err, TS_INVALID, "--%s takes %s, not \"%.60s\"", option, wants[f->kind], value ? value : "");
        return strcmp(option, "preset") == 0 ? apply_preset(s, err) : check_field(s, f, err);
    }
    return ts_fail(err, TS_NOT_FOUND, "there is no training option --%s", option);
}

static ts_status check_precision(ts_run_settings *s, ts_err *err) {
    if (!s->precision || strcmp(s->precision, "auto") == 0) ts_run_set(&s->precision, "f32");
    if (strcmp(s->precision, "f32") == 0) return TS_OK;
    if (strcmp(s->precision, "bf16") == 0)
        return ts_fail(err, TS_UNSUPPORTED,
                       "--precision bf16 is not available in this version; leave it out or use f32 (weights can be "
                       "kept in bf16: --method full --weights bf16)");
    return ts_fail(err, TS_INVALID, "--precision is \"%.40s\"; it must be f32 or auto", s->precision);
}

/* What goes with an adapter only, or with the weights themselves only. */
static ts_status check_method(const ts_run_settings *s, ts_err *err) {
    const ts_method_facts *method = ts_run_method(s);
    if (!method)
        return ts_fail(err, TS_INVALID, "--method \"%.40s\" is not known; it must be lora, qlora or full",
                       s->method ? s->method : "");
    const struct {
        const char *option;
        bool given, of_whole;
    } others[] = {
        {"use-dora", s->use_dora, false},
        {"use-rslora", s->use_rslora, false},
        {"lora-dropout", s->lora_dropout > 0, false},
        {"loraplus-lr-ratio", s->loraplus_lr_ratio != 1, false},
        {"rank-pattern", s->rank_pattern && *s->rank_pattern, false},
        {"alpha-pattern", s->alpha_pattern && *s->alpha_pattern, false},
        {"modules-to-save", s->modules_to_save && *s->modules_to_save, false},
        {"init-adapter", s->init_adapter && *s->init_adapter, false},
        {"train-modules", s->train_modules && *s->train_modules, true},
        {"weights bf16", ts_run_weights_bf16(s), true},
    };
    for (size_t i = 0; i < TS_COUNT(others); i++)
        if (others[i].given && others[i].of_whole != method->whole)
            return ts_fail(err, TS_INVALID, "--%s goes with --method %s, not with %s", others[i].option,
                           method->whole ? "lora and qlora" : "full", method->name);
    if (!ts_run_weights_bf16(s) && strcmp(s->weights ? s->weights : "", "f32") != 0)
        return ts_fail(err, TS_INVALID, "--weights is \"%.40s\"; it must be f32 or bf16", s->weights ? s->weights : "");
    return TS_OK;
}

bool ts_run_ewc_base(const ts_run_settings *s) {
    return s->ewc_lambda > 0 && s->ewc_form && strcmp(s->ewc_form, "base") == 0;
}

static ts_status check_ewc(const ts_run_settings *s, ts_err *err) {
    bool data = s->ewc_data && *s->ewc_data, adapter = s->init_adapter && *s->init_adapter;
    bool base = s->ewc_form && strcmp(s->ewc_form, "base") == 0;
    if (s->ewc_form && !base && strcmp(s->ewc_form, "adapter") != 0)
        return ts_fail(err, TS_INVALID, "--ewc-form \"%.40s\" is not known; it must be adapter or base", s->ewc_form);
    if ((data || base) && !(s->ewc_lambda > 0))
        return ts_fail(err, TS_INVALID, "--ewc-%s is of no use without --ewc-lambda (1 is a first try)",
                       data ? "data" : "form");
    if (!(s->ewc_lambda > 0)) return TS_OK;
    if (base && !data)
        return ts_fail(err, TS_INVALID,
                       "--ewc-form base holds what the model knows; say with --ewc-data a file with general rows that "
                       "show it");
    if (base && (s->use_dora || ts_run_method(s)->whole))
        return ts_fail(err, TS_INVALID,
                       "--ewc-form base holds the change that plain LoRA makes to the weights; it does not go with %s",
                       s->use_dora ? "--use-dora" : "--method full");
    if (!base && !(data && adapter))
        return ts_fail(err, TS_INVALID,
                       "--ewc-lambda holds what an adapter has learned; say which with --init-adapter, and with "
                       "--ewc-data a file with rows of that task; or hold the model itself: --ewc-form base");
    return TS_OK;
}

static ts_status check_penalties(const ts_run_settings *s, ts_err *err) {
    bool replay = s->replay && *s->replay && s->replay_fraction > 0;
    if (s->l2_delta > 0 && (s->use_dora || ts_run_method(s)->whole))
        return ts_fail(err, TS_INVALID, "--l2-delta holds plain LoRA near its base; it does not go with %s",
                       s->use_dora ? "--use-dora" : "--method full");
    if (s->kl_weight > 0 && !replay)
        return ts_fail(err, TS_INVALID,
                       "--kl-weight holds the model near its base on rows that are replayed; say which with --replay "
                       "FILE (and --replay-fraction above 0)");
    return check_ewc(s, err);
}

ts_status ts_run_settings_check(ts_run_settings *s, ts_err *err) {
    ts_schedule schedule;
    for (size_t i = 0; i < TS_COUNT(fields); i++)
        TS_TRY(check_field(s, &fields[i], err));
    TS_TRY(ts_schedule_parse(s->schedule ? s->schedule : "", &schedule, err));
    TS_TRY(check_method(s, err));
    TS_TRY(check_preset(s, err));
    char *pattern = NULL;
    ts_status status = ts_pattern_parse(&pattern, s->rank_pattern, err);
    free(pattern);
    if (status != TS_OK) return ts_wrap(err, status, "--rank-pattern");
    status = ts_pattern_parse(&pattern, s->alpha_pattern, err);
    free(pattern);
    if (status != TS_OK) return ts_wrap(err, status, "--alpha-pattern");
    if (!s->model || !*s->model)
        return ts_fail(err, TS_INVALID,
                       "no model is named; say --model with a GGUF file, a Hugging Face folder or a "
                       "name in the models folder");
    TS_TRY(check_penalties(s, err));
    return check_precision(s, err);
}

static void write_value(ts_jw *w, const ts_run_settings *s, const struct field *f) {
    switch (f->kind) {
    case TEXT:
        ts_jw_str(w, *text_at(s, f));
        break;
    case INT:
        ts_jw_int(w, *int_at(s, f));
        break;
    case NUM:
        ts_jw_num(w, *num_at(s, f));
        break;
    case BOOL:
        ts_jw_bool(w, *bool_at(s, f));
        break;
    }
}

void ts_run_settings_write(const ts_run_settings *s, ts_buf *out) {
    ts_buf_puts(out, "{\n  \"format\": 1");
    for (size_t i = 0; i < TS_COUNT(fields); i++) {
        ts_buf_printf(out, ",\n  \"%s\": ", fields[i].key);
        ts_jw w = ts_jw_to(out);
        write_value(&w, s, &fields[i]);
    }
    ts_buf_puts(out, "\n}\n");
}

/* false: the member has a wrong type. */
static bool read_value(ts_run_settings *s, const struct field *f, const ts_json *v) {
    switch (f->kind) {
    case TEXT:
        if (!ts_json_is_string(v) && !ts_json_is_null(v)) return false;
        ts_run_set(text_at(s, f), ts_json_str(v, NULL));
        return true;
    case INT:
        return ts_json_int(v, -9007199254740992, 9007199254740992, int_at(s, f));
    case NUM:
        *num_at(s, f) = ts_json_num(v, 0);
        return ts_json_is_number(v);
    case BOOL:
        *bool_at(s, f) = ts_json_is_true(v);
        return ts_json_is_bool(v);
    }
    return false;
}

ts_status ts_run_settings_read(const char *run_dir, ts_run_settings *s, ts_err *err) {
    ts_run_settings_init(s);
    char *path = ts_path_join(run_dir, "run.json");
    ts_json *root = NULL;
    ts_status status = TS_OK;
    if (ts_is_dir(run_dir) && !ts_file_exists(path))
        TS_GOTO(ts_fail(err, TS_NOT_FOUND, "%s is no run folder: it holds no run.json", run_dir));
    root = ts_json_read(path, 1 << 20, err);
    if (!root) TS_GOTO(err ? err->code : TS_FORMAT);
    if (!ts_json_is_object(root)) TS_GOTO(ts_fail(err, TS_FORMAT, "%s is no JSON object", path));
    for (size_t i = 0; i < TS_COUNT(fields); i++) {
        const ts_json *v = ts_json_get(root, fields[i].key);
        if (v && !read_value(s, &fields[i], v))
            TS_GOTO(ts_fail(err, TS_FORMAT, "%s: \"%s\" has a value of the wrong kind", path, fields[i].key));
    }
out:
    if (status != TS_OK) ts_run_settings_release(s);
    ts_json_free(root);
    free(path);
    return status;
}

static void put_option(const ts_run_settings *s, const struct field *f, ts_buf *out) {
    ts_buf value = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&value);
    if (f->kind == TEXT)
        ts_buf_puts(&value, *text_at(s, f) ? *text_at(s, f) : "");
    else
        write_value(&w, s, f);
    ts_buf_printf(out, " --%s", f->option);
    if (f->kind != BOOL) {
        ts_buf_putc(out, ' ');
        ts_buf_shell_word(out, ts_buf_str(&value));
    }
    ts_buf_release(&value);
}

static bool same_value(const ts_run_settings *a, const ts_run_settings *b, const struct field *f) {
    const char *x, *y;
    switch (f->kind) {
    case TEXT:
        x = *text_at(a, f), y = *text_at(b, f);
        return strcmp(x ? x : "", y ? y : "") == 0;
    case INT:
        return *int_at(a, f) == *int_at(b, f);
    case NUM:
        return *num_at(a, f) == *num_at(b, f);
    case BOOL:
        return *bool_at(a, f) == *bool_at(b, f);
    }
    return true;
}

void ts_run_settings_command(const ts_run_settings *s, ts_buf *out) {
    ts_run_settings defaults;
    ts_run_settings_init(&defaults);
    if (s->model) {
        ts_buf_puts(out, " --model ");
        ts_buf_shell_word(out, s->model);
    }
    for (size_t i = 0; i < TS_COUNT(fields); i++)
        if (fields[i].option && !same_value(s, &defaults, &fields[i])) put_option(s, &fields[i], out);
    ts_run_settings_release(&defaults);
}
