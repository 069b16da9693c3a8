/* new-model: a small model from nothing, with a tokenizer trained on texts. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/new_model.h"
#include "tui/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct new_opts {
    ts_texts text;
    int64_t vocab, hidden, layers, heads, kv_heads, ffn, context, seed;
    const char *type;
};
enum { TEXT_MAX = 1 << 30 };

/* Every text of a JSON value except who speaks. */
static ts_status add_values(ts_bpe_trainer *t, const ts_json *v, ts_err *err) {
    const char *key = ts_json_key(v), *text = ts_json_str(v, NULL);
    if (text && !(key && (strcmp(key, "role") == 0 || strcmp(key, "from") == 0)))
        TS_TRY(ts_bpe_trainer_add(t, text, strlen(text), err));
    for (const ts_json *child = ts_json_child(v); child; child = ts_json_next(child))
        TS_TRY(add_values(t, child, err));
    return TS_OK;
}

static ts_status add_lines(ts_bpe_trainer *t, const char *path, const ts_buf *text, ts_err *err) {
    const char *at = ts_buf_str(text), *end = at + text->len;
    for (size_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        if (n > strspn(at, " \t\r")) {
            ts_json *v = ts_json_parse(at, n, err);
            if (!v) return ts_wrap(err, TS_FORMAT, "%s, line %zu", path, line);
            ts_status status = add_values(t, v, err);
            ts_json_free(v);
            if (status != TS_OK) return status;
        }
        at += n + 1;
    }
    return TS_OK;
}

static ts_status add_file(ts_bpe_trainer *t, const char *path, ts_err *err) {
    size_t n = strlen(path);
    ts_buf text = TS_BUF_INIT;
    ts_status status = ts_file_read(path, TEXT_MAX, &text, err);
    if (status == TS_OK)
        status = n > 6 && strcmp(path + n - 6, ".jsonl") == 0 ? add_lines(t, path, &text, err)
                                                              : ts_bpe_trainer_add(t, ts_buf_str(&text), text.len, err);
    ts_buf_release(&text);
    return status;
}

/* --text and what stands behind DIR (--text *.txt gives both). */
static ts_status add_files(const ts_cmd *cmd, const struct new_opts *o, ts_bpe_trainer *t, ts_err *err) {
    for (size_t i = 0; i < o->text.n; i++)
        TS_TRY(add_file(t, o->text.items[i], err));
    for (size_t i = 1; i < cmd->n_args; i++)
        TS_TRY(add_file(t, cmd->args[i], err));
    return TS_OK;
}

static void report(const ts_cmd *cmd, const struct new_opts *o, const ts_new_model *n, const ts_bpe_trainer *t) {
    size_t vocab = ts_bpe_trainer_size(t), params = ts_new_model_params(n, vocab);
    if (vocab < (size_t)o->vocab)
        ts_cmd_note(cmd, "the text has no more pairs that occur twice: %zu tokens instead of %lld", vocab,
                    (long long)o->vocab);
    if (!cmd->json) {
        printf("%s: llama, %zu layers of %zu, %zu parameters as %s, %zu tokens from %zu different words\n", n->out,
               n->layers, n->hidden, params, n->type->name, vocab, ts_bpe_trainer_words(t));
        return;
    }
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "model", n->out);
    ts_jw_kint(&w, "params", (int64_t)params);
    ts_jw_kstr(&w, "type", n->type->name);
    ts_jw_kint(&w, "vocab", (int64_t)vocab);
    ts_jw_kint(&w, "words", (int64_t)ts_bpe_trainer_words(t));
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

/* 8/3 of the hidden size, as llama has it, in whole blocks of 32. */
static size_t usual_ffn(size_t hidden) {
    return (hidden * 8 / 3 + 31) / 32 * 32;
}

static int run_new_model(const ts_cmd *cmd, const void *opts) {
    const struct new_opts *o = opts;
    const ts_file_type *type = ts_file_type_named(o->type);
    char list[TS_FILE_TYPE_LIST];
    if (o->text.n + cmd->n_args < 2) return ts_cmd_usage(cmd, "--text is missing: what the tokenizer learns from");
    if (!type)
        return ts_cmd_usage(cmd, "--type is \"%s\"; it must be one of %s", o->type, ts_file_type_names(true, list));
    ts_new_model n = {.out = cmd->args[0],
                      .hidden = (size_t)o->hidden,
                      .layers = (size_t)o->layers,
                      .heads = (size_t)o->heads,
                      .kv_heads = (size_t)(o->kv_heads ? o->kv_heads : o->heads),
                      .ffn = o->ffn ? (size_t)o->ffn : usual_ffn((size_t)o->hidden),
                      .context = (size_t)o->context,
                      .seed = (uint64_t)o->seed,
                      .type = type};
    ts_err err;
    if (ts_new_model_check(&n, &err) != TS_OK) return ts_cmd_usage(cmd, "%s", err.text);
    ts_bpe_trainer *t = ts_bpe_trainer_new(ts_new_specials, TS_NEW_SPECIALS);
    ts_progress progress = {0};
    ts_meter *meter = ts_meter_start(cmd, &progress, "tokenizer", "tokens");
    ts_status status = add_files(cmd, o, t, &err);
    if (status == TS_OK) status = ts_bpe_trainer_run(t, (size_t)TS_MAX(o->vocab, 0), &progress, &err);
    ts_meter_stop(meter);
    if (status == TS_OK) status = ts_new_model_write(&n, t, &err);
    if (status == TS_OK) report(cmd, o, &n, t);
    ts_bpe_trainer_free(t);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

#define AT(member) offsetof(struct new_opts, member)
static const ts_opt new_table[] = {
    {"text", TS_OPT_LIST, AT(text), "FILE", "text (or JSONL: its strings) that the tokenizer learns from"},
    {"vocab", TS_OPT_INT, AT(vocab), "N", "tokens of the vocabulary"},
    {"hidden", TS_OPT_INT, AT(hidden), "N", "width"},
    {"layers", TS_OPT_INT, AT(layers), "N", "layers"},
    {"heads", TS_OPT_INT, AT(heads), "N", "attention heads"},
    {"kv-heads", TS_OPT_INT, AT(kv_heads), "N", "heads of keys and values (0: as many as --heads)"},
    {"intermediate", TS_OPT_INT, AT(ffn), "N", "width of the MLP (0: 8/3 of --hidden, in steps of 32)"},
    {"context", TS_OPT_INT, AT(context), "N", "longest text in tokens"},
    {"seed", TS_OPT_INT, AT(seed), "N", "of the random weights"},
    {"type", TS_OPT_TEXT, AT(type), "TYPE", "of the weights: f32, f16, bf16"},
};
static const struct new_opts new_defaults = {
    .vocab = 2048, .hidden = 128, .layers = 4, .heads = 4, .context = 1024, .seed = 42, .type = "f32"};

const ts_verb ts_verb_new_model = {
    .name = "new-model",
    .args = "DIR --text FILE [FILE...]",
    .help = "a new small model with random weights and a tokenizer of its own, to be trained from nothing",
    .more =
        "Writes a Hugging Face folder: llama architecture, embedding and head in one, byte-level BPE, ChatML "
        "template.\n"
        "The same texts and settings give the same bytes. Then: tunesmith train --method full --model DIR --data FILE",
    .min_args = 1,
    .max_args = -1,
    .opts = new_table,
    .n_opts = TS_COUNT(new_table),
    .size = sizeof(struct new_opts),
    .defaults = &new_defaults,
    .run = run_new_model,
};
