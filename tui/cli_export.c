#include "tui/cli_export.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/engine/net.h"
#include "core/model/chat.h"
#include "core/model/chat_templates.h"
#include "core/model/tokenizer.h"
#include "eval/runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- how far apart ---- */

/* Of each, MAX_TOKENS tokens count. Plain sentences, digits, code, other scripts: what a wrong tokenizer or a wrong
 * order of rows shows itself on. */
static const char *const texts[] = {
    "The capital of France is Paris, and the river that runs through it is called the Seine.",
    "Q: What is 17 * 24?\nA: 17 * 24 = 408, because 17 * 20 = 340 and 17 * 4 = 68.",
    "def add(a, b):\n    return a + b  # the sum of 2 numbers\n",
    "Z\u00fcrich, \u6771\u4eac, \u041c\u043e\u0441\u043a\u0432\u0430: cities; \u00bd of them I haven't seen \U0001F642",
};
enum { MAX_TOKENS = 64 };

struct side {
    ts_net *net;
    ts_tokenizer *tokenizer;
    const ts_adapter *adapter;
    size_t vocab;
    ts_ids ids;
    float *logits;
};

static void release_side(struct side *s) {
    ts_net_free(s->net);
    ts_tokenizer_free(s->tokenizer);
    ts_ids_release(&s->ids);
    free(s->logits);
}

static ts_status open_side(struct side *s, const ts_model *m, const ts_adapter *a, ts_err *err) {
    s->vocab = m->config.vocab;
    s->adapter = a;
    ts_status status = ts_tokenizer_open(&s->tokenizer, m->path, err);
    if (status != TS_OK && status != TS_NOT_FOUND) return status; /* a folder may have none */
    s->logits = ts_try_alloc(MAX_TOKENS * s->vocab, sizeof *s->logits);
    if (!s->logits) return ts_fail(err, TS_NO_MEMORY, "no memory to compare the models");
    return ts_net_new(&s->net, m, NULL, err);
}

static double nll_of(const float *logits, size_t vocab, int32_t id) {
    double most = (double)logits[0], sum = 0;
    for (size_t i = 1; i < vocab; i++)
        most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] - most);
    return most + log(sum) - (double)logits[id];
}

static size_t best_of(const float *logits, size_t vocab) {
    size_t best = 0;
    for (size_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* A NaN anywhere becomes an infinite difference. */
static void compare_rows(const struct side *a, const struct side *b, ts_distance *d) {
    for (size_t p = 0; p < a->ids.n; p++) {
        const float *x = a->logits + p * a->vocab, *y = b->logits + p * b->vocab;
        for (size_t i = 0; i < a->vocab; i++) {
            double apart = fabs((double)x[i] - (double)y[i]);
            if (!(apart <= d->max_logit)) d->max_logit = isnan(apart) ? INFINITY : apart;
        }
        d->agree += best_of(x, a->vocab) == best_of(y, b->vocab);
        if (p + 1 == a->ids.n) continue;
        d->nll_a += nll_of(x, a->vocab, a->ids.items[p + 1]);
        d->nll_b += nll_of(y, b->vocab, a->ids.items[p + 1]);
        d->tokens++;
    }
}

/* Without a tokenizer the bytes stand for some ids. */
static void encode(struct side *s, const char *text) {
    s->ids.n = 0;
    for (size_t i = 0; !s->tokenizer && text[i] && i < MAX_TOKENS; i++)
        TS_PUSH(s->ids.items, s->ids.n, s->ids.cap, (int32_t)((unsigned char)text[i] * 7919u % s->vocab));
    if (s->tokenizer) ts_tokenizer_encode(s->tokenizer, text, strlen(text), true, &s->ids, NULL);
    s->ids.n = TS_MIN(s->ids.n, (size_t)MAX_TOKENS);
}

static bool same_ids(const struct side *a, const struct side *b) {
    return a->ids.n == b->ids.n &&
           (a->ids.n == 0 || memcmp(a->ids.items, b->ids.items, a->ids.n * sizeof *a->ids.items) == 0);
}

static ts_status compare_text(struct side *a, struct side *b, const char *text, ts_distance *d, ts_err *err) {
    encode(a, text);
    encode(b, text);
    d->same_ids = d->same_ids && same_ids(a, b);
    for (size_t i = 0; i < a->ids.n; i++)
        if (a->ids.items[i] < 0 || (size_t)a->ids.items[i] >= a->vocab) return TS_OK; /* not for this model */
    if (a->ids.n < 2) return TS_OK;
    TS_TRY(ts_net_logits(a->net, a->adapter, a->ids.items, a->ids.n, a->logits, err));
    TS_TRY(ts_net_logits(b->net, b->adapter, a->ids.items, a->ids.n, b->logits, err));
    compare_rows(a, b, d);
    d->prompts++;
    return TS_OK;
}

ts_status ts_model_distance(const ts_model *a, const ts_adapter *a_adapter, const ts_model *b, ts_distance *d,
                            ts_progress *progress, ts_err *err) {
    struct side x = {0}, y = {0};
    ts_status status;
    size_t positions;
    *d = (ts_distance){.same_ids = true};
    if (a->config.vocab != b->config.vocab)
        return ts_fail(err, TS_CORRUPT, "the vocabulary has %zu entries, not %zu", b->config.vocab, a->config.vocab);
    TS_GOTO(open_side(&x, a, a_adapter, err));
    TS_GOTO(open_side(&y, b, NULL, err));
    for (size_t i = 0; i < TS_COUNT(texts); i++) {
        ts_progress_set(progress, (int64_t)i, (int64_t)TS_COUNT(texts));
        if (ts_cancelled(progress)) TS_GOTO(ts_fail(err, TS_CANCELLED, "stopped"));
        TS_GOTO(compare_text(&x, &y, texts[i], d, err));
    }
    positions = d->tokens + d->prompts;
    if (d->tokens) {
        d->nll_a /= (double)d->tokens;
        d->nll_b /= (double)d->tokens;
        d->agree /= (double)positions;
    }
out:
    release_side(&x);
    release_side(&y);
    return status;
}

/* ---- the act ---- */

struct act {
    const ts_cmd *cmd;
    const struct export_opts *o;
    ts_export x;
    ts_export_report report;
    ts_distance distance;
    bool gguf;
    ts_progress progress;
    double began;
    ts_buf template;
};

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* What a type may move the mean NLL of a token by; more means that something else is computed. Measured on
 * SmolLM2-135M and random models of 64 wide: f32 1e-6, f16 1e-4, bf16 5e-3, q8_0 5e-3, 4 bits 0.3. */
static double allowed(ts_dtype t) {
    return t == TS_F32 ? 1e-3 : t == TS_F16 ? 1e-2 : t == TS_BF16 || t == TS_Q8_0 ? 0.1 : 2;
}

/* The texts are shorter than most windows. */
static ts_status same_windows(const ts_model *a, const ts_model *b, ts_err *err) {
    for (size_t i = 0; i < a->config.layers && i < b->config.layers; i++)
        if (a->layer[i].window != b->layer[i].window)
            return ts_fail(err, TS_CORRUPT, "layer %zu has a window of %zu tokens, the source's of %zu (0: none)", i,
                           b->layer[i].window, a->layer[i].window);
    return TS_OK;
}

static ts_status check_written(struct act *a, ts_err *err) {
    ts_model *m = NULL;
    ts_progress_what(&a->progress, "checking");
    TS_TRY(ts_model_open(&m, a->o->out, err));
    ts_status status = same_windows(a->x.model, m, err);
    if (status == TS_OK) status = ts_model_distance(a->x.model, a->x.adapter, m, &a->distance, &a->progress, err);
    ts_model_close(m);
    TS_TRY(status);
    const ts_distance *d = &a->distance;
    if (!d->same_ids) return ts_fail(err, TS_CORRUPT, "its tokenizer gives other ids than the source's");
    if (!isfinite(d->max_logit) || !(fabs(d->nll_a - d->nll_b) <= allowed(a->x.type->type)))
        return ts_fail(err, TS_CORRUPT,
                       "on the same text its loss is %.4f a token, the source's %.4f (logits differ by up to %.3g)",
                       d->nll_b, d->nll_a, d->max_logit);
    return TS_OK;
}

static ts_status write_and_check(struct act *a, ts_err *err) {
    ts_meter *meter = ts_meter_start(a->cmd, &a->progress, "writing", "bytes");
    ts_status status = a->gguf ? ts_export_gguf(&a->x, &a->report, err) : ts_export_folder(&a->x, &a->report, err);
    if (status == TS_OK && !a->o->no_verify) {
        status = check_written(a, err);
        if (status != TS_OK) {
            if (status != TS_CANCELLED)
                ts_wrap(err, status, "what was written was removed again, because checking it failed");
            if (ts_remove_tree(a->o->out, NULL) != TS_OK) ts_wrap(err, status, "%s could not be removed", a->o->out);
        }
    }
    ts_meter_stop(meter);
    return status;
}

static void put_check(ts_jw *w, const struct act *a) {
    const ts_distance *d = &a->distance;
    ts_jw_key(w, "check");
    if (a->o->no_verify) {
        ts_jw_null(w);
        return;
    }
    ts_jw_obj(w);
    ts_jw_kint(w, "prompts", (int64_t)d->prompts);
    ts_jw_kint(w, "tokens", (int64_t)d->tokens);
    ts_jw_knum(w, "max_logit_difference", d->max_logit);
    ts_jw_knum(w, "nll_source", d->nll_a);
    ts_jw_knum(w, "nll_written", d->nll_b);
    ts_jw_knum(w, "same_best_token", d->agree);
    ts_jw_end_obj(w);
}

static void print_json(const struct act *a) {
    const ts_export_report *r = &a->report;
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "out", a->o->out);
    ts_jw_kstr(&w, "format", a->gguf ? "gguf" : "hf");
    ts_jw_kstr(&w, "type", a->x.type->name);
    ts_jw_kint(&w, "tensors", (int64_t)r->tensors);
    ts_jw_kint(&w, "files", (int64_t)r->files);
    ts_jw_kint(&w, "bytes", (int64_t)r->bytes);
    ts_jw_kint(&w, "other_type", (int64_t)r->fell_back);
    ts_jw_kint(&w, "window_unread", (int64_t)r->window_unread);
    ts_jw_kbool(&w, "untied", r->untied);
    ts_jw_kint(&w, "merged", (int64_t)r->merged);
    ts_jw_knum(&w, "max_change", r->merged ? r->max_change : NAN);
    ts_jw_knum(&w, "rms_change", r->merged ? r->rms_change : NAN);
    ts_jw_knum(&w, "rms_weight", r->merged ? r->rms_weight : NAN);
    ts_jw_knum(&w, "same_bf16", r->merged ? r->same_bf16 : NAN);
    put_check(&w, a);
    ts_jw_knum(&w, "seconds", ts_now() - a->began);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

static void print_people(const struct act *a) {
    const ts_export_report *r = &a->report;
    const ts_distance *d = &a->distance;
    printf("%s: %zu tensors as %s, %.1f MB%s\n", a->o->out, r->tensors, a->x.type->name, (double)r->bytes / 1e6,
           r->files > 1 ? " in parts" : "");
    if (r->fell_back)
        printf("%zu matri%s took another type, because the rows are no whole blocks (%s)\n", r->fell_back,
               r->fell_back == 1 ? "x" : "ces", r->fallback);
    if (a->x.adapter && a->x.adapter->whole)
        printf("the adapter is a whole model: it is written in place of the base\n");
    else if (a->x.adapter)
        printf("merged into %zu matrices: largest change %.3g, RMS %.3g of %.3g (%.2f %%); %.1f %% of the weights keep "
               "their bf16 value\n",
               r->merged, r->max_change, r->rms_change, r->rms_weight,
               r->rms_weight > 0 ? 100 * r->rms_change / r->rms_weight : 0, 100 * r->same_bf16);
    if (r->untied)
        printf(
            "the head became a matrix of its own: the adapter changes the embedding, and the active adapter does not "
            "change the head\n");
    if (r->window_unread)
        printf("llama.cpp knows no sliding window for this architecture: beyond %zu tokens it will compute something "
               "else than this model\n",
               r->window_unread);
    if (a->o->no_verify) return;
    printf("checked on %zu texts (%zu tokens): loss %.4f, the source%s %.4f; logits differ by at most %.2g; the best "
           "token "
           "is the same at %.1f %% of the places\n",
           d->prompts, d->tokens, d->nll_b, a->x.adapter ? " with the adapter" : "", d->nll_a, d->max_logit,
           100 * d->agree);
}

/* A quantised base is said loudly: what is merged are its rounded values. */
static void warn_base(const struct act *a) {
    const ts_model *m = a->x.model;
    if (!ts_model_quantised(m)) return;
    const char *type = ts_dtype_name(m->layer[0].proj[TS_Q].type);
    if (a->x.adapter)
        ts_cmd_note(a->cmd,
                    "the base is %s: its values are dequantised; merge into the 16-bit original for the best quality",
                    type);
    else if (a->x.type->type != TS_F32)
        ts_cmd_note(a->cmd, "the source is %s: its values are dequantised, then written as %s", type, a->x.type->name);
}

static int choose_type(struct act *a) {
    char list[TS_FILE_TYPE_LIST];
    a->x.type = a->o->type ? ts_file_type_named(a->o->type) : ts_file_type_default(a->x.model);
    ts_file_type_names(!a->gguf, list);
    if (!a->x.type) return ts_cmd_usage(a->cmd, "--type is \"%s\"; it must be one of %s", a->o->type, list);
    if (!a->gguf && ts_file_type_in_blocks(a->x.type))
        return ts_cmd_usage(a->cmd, "a Hugging Face folder cannot hold %s; take one of %s, or end --out with .gguf",
                            a->x.type->name, list);
    return 0;
}

/* The template that is not the model's own, into a->template; `dir` is the adapter's, or NULL. */
static ts_status choose_template(struct act *a, const char *dir, ts_err *err) {
    char *spec = NULL;
    ts_buf source = TS_BUF_INIT;
    ts_tokenizer *t = NULL;
    ts_chat *chat = NULL;
    ts_status status;
    TS_TRY(ts_runs_template(NULL, a->o->template, &dir, 1, &spec, err));
    if (!spec) return TS_OK;
    TS_GOTO(ts_chat_template_read(spec, &source, err));
    TS_GOTO(ts_tokenizer_open(&t, a->x.model->path, err));
    ts_chat_template_portable(t, ts_buf_str(&source), &a->template);
    TS_GOTO(ts_chat_open(&chat, t, ts_buf_str(&a->template), err));
    a->x.chat_template = ts_buf_str(&a->template);
    ts_cmd_note(a->cmd, "the chat template %s takes the place of the model's own", spec);
out:
    if (status != TS_OK) ts_wrap(err, status, "--template %s", spec);
    ts_chat_free(chat);
    ts_tokenizer_free(t);
    ts_buf_release(&source);
    free(spec);
    return status;
}

int ts_cmd_export(const ts_cmd *cmd, const struct export_opts *o) {
    struct act a = {.cmd = cmd, .o = o, .gguf = ends_with(o->out, ".gguf"), .began = ts_now()};
    ts_model *m = NULL;
    ts_adapter *adapter = NULL;
    char *dir = NULL;
    ts_err err;
    int code = 0;
    ts_status status;
    if (!(o->max_shard_gb > 0)) return ts_cmd_usage(cmd, "--max-shard-size must be above 0");
    TS_GOTO(ts_model_open(&m, o->model, &err));
    a.x = (ts_export){.model = m, .out = o->out, .progress = &a.progress};
    a.x.max_shard = (uint64_t)(o->max_shard_gb * 1e9);
    code = choose_type(&a);
    if (code) goto out;
    if (o->adapter) {
        TS_GOTO(ts_runs_adapter(o->ws ? o->ws : ".", o->adapter, &dir, &err));
        TS_GOTO(ts_adapter_load(&adapter, dir, m, &err));
        a.x.adapter = adapter;
    }
    TS_GOTO(choose_template(&a, dir, &err));
    warn_base(&a);
    if (!o->type && ts_model_quantised(m)) ts_cmd_note(cmd, "writing %s; --type chooses another", a.x.type->name);
    TS_GOTO(write_and_check(&a, &err));
    if (cmd->json)
        print_json(&a);
    else
        print_people(&a);
out:
    ts_adapter_free(adapter);
    ts_model_close(m);
    free(dir);
    ts_buf_release(&a.template);
    return code ? code : status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}
