#include "core/model/new_model.h"

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/rand.h"
#include "core/model/export_private.h"
#include "core/model/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const ts_new_specials[TS_NEW_SPECIALS] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
enum { BOS = 0, EOS = 2, MAX_SIDE = 1 << 17, MAX_LAYERS = 1024, TENSORS_A_LAYER = 9 };
#define DEVIATION 0.02

static const char chat_template[] =
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

ts_status ts_new_model_check(const ts_new_model *n, ts_err *err) {
    const struct {
        const char *name;
        size_t value, most;
    } sizes[] = {{"hidden", n->hidden, MAX_SIDE},    {"layers", n->layers, MAX_LAYERS},
                 {"heads", n->heads, MAX_SIDE},      {"kv-heads", n->kv_heads, MAX_SIDE},
                 {"intermediate", n->ffn, MAX_SIDE}, {"context", n->context, (size_t)1 << 24}};
    for (size_t i = 0; i < TS_COUNT(sizes); i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].most)
            return ts_fail(err, TS_INVALID, "--%s is %zu; it must be from 1 to %zu", sizes[i].name, sizes[i].value,
                           sizes[i].most);
    if (n->hidden % n->heads != 0 || n->hidden / n->heads % 2 != 0 || n->hidden / n->heads > TS_MAX_HEAD_DIM)
        return ts_fail(err, TS_INVALID,
                       "%zu heads do not part a hidden size of %zu into even pieces of at most %d; take for example "
                       "--hidden %zu",
                       n->heads, n->hidden, TS_MAX_HEAD_DIM, n->heads * 32);
    if (n->heads % n->kv_heads != 0)
        return ts_fail(err, TS_INVALID, "--heads %zu is no multiple of --kv-heads %zu", n->heads, n->kv_heads);
    if (ts_file_type_in_blocks(n->type))
        return ts_fail(err, TS_INVALID, "a new model cannot be trained as %s; take f32, f16 or bf16", n->type->name);
    return TS_OK;
}

/* Tensor i of a layer; 0 rows: a norm. */
static void layer_tensor(const ts_new_model *n, size_t i, const char **name, size_t *rows, size_t *cols) {
    const size_t kv = n->hidden / n->heads * n->kv_heads;
    const struct {
        const char *name;
        size_t rows, cols;
    } all[TENSORS_A_LAYER] = {{"input_layernorm", 0, n->hidden},          {"self_attn.q_proj", n->hidden, n->hidden},
                              {"self_attn.k_proj", kv, n->hidden},        {"self_attn.v_proj", kv, n->hidden},
                              {"self_attn.o_proj", n->hidden, n->hidden}, {"post_attention_layernorm", 0, n->hidden},
                              {"mlp.gate_proj", n->ffn, n->hidden},       {"mlp.up_proj", n->ffn, n->hidden},
                              {"mlp.down_proj", n->hidden, n->ffn}};
    *name = all[i].name;
    *rows = all[i].rows;
    *cols = all[i].cols;
}

size_t ts_new_model_params(const ts_new_model *n, size_t vocab) {
    size_t sum = 0, rows, cols;
    const char *name;
    for (size_t i = 0; i < TENSORS_A_LAYER; i++) {
        layer_tensor(n, i, &name, &rows, &cols);
        sum += TS_MAX(rows, (size_t)1) * cols;
    }
    return sum * n->layers + n->hidden + n->hidden * vocab;
}

static void add_tensor(const ts_new_model *n, ts_tensor **list, size_t *count, size_t *cap, const char *name,
                       size_t rows, size_t cols) {
    ts_tensor t = {.name = name, .type = n->type->type, .n_dims = rows ? 2 : 1, .dims = {rows ? rows : cols, cols}};
    t.bytes = TS_MAX(rows, (size_t)1) * ts_row_bytes(t.type, cols);
    TS_PUSH(*list, *count, *cap, t);
}

/* The caller frees; names lie in `arena`. */
static ts_tensor *list_tensors(const ts_new_model *n, size_t vocab, size_t *count, ts_arena *arena) {
    ts_tensor *list = NULL;
    size_t cap = 0, rows, cols;
    const char *name;
    *count = 0;
    add_tensor(n, &list, count, &cap, "model.embed_tokens.weight", vocab, n->hidden);
    for (size_t layer = 0; layer < n->layers; layer++)
        for (size_t i = 0; i < TENSORS_A_LAYER; i++) {
            layer_tensor(n, i, &name, &rows, &cols);
            add_tensor(n, &list, count, &cap, ts_arena_printf(arena, "model.layers.%zu.%s.weight", layer, name), rows,
                       cols);
        }
    add_tensor(n, &list, count, &cap, "model.norm.weight", 0, n->hidden);
    return list;
}

struct filling {
    const ts_new_model *n;
    const ts_tensor *list;
};

static ts_status fill_tensor(void *ctx, size_t i, ts_out *f, ts_err *err) {
    const struct filling *fill = ctx;
    const ts_tensor *t = &fill->list[i];
    size_t cols = t->dims[t->n_dims - 1], rows = t->n_dims == 1 ? 1 : t->dims[0];
    float *row = ts_malloc(cols * sizeof *row);
    char *bytes = ts_malloc(ts_row_bytes(t->type, cols));
    bool residual = strstr(t->name, "o_proj") || strstr(t->name, "down_proj"), fits = true;
    double deviation = residual ? DEVIATION / sqrt(2 * (double)fill->n->layers) : DEVIATION;
    ts_rand r;
    ts_rand_seed(&r, ts_rand_mix(fill->n->seed, ts_hash64(t->name, strlen(t->name), 0)));
    for (size_t k = 0; k < rows; k++) {
        for (size_t c = 0; c < cols; c++)
            row[c] = t->n_dims == 1 ? 1 : (float)(ts_rand_normal(&r) * deviation);
        fits = fits && ts_quantize(t->type, row, bytes, cols);
        ts_out_add(f, bytes, ts_row_bytes(t->type, cols));
    }
    free(row);
    free(bytes);
    ts_assert(fits);
    (void)err; /* a disk that is full is said at the end, by the file's name */
    return TS_OK;
}

static ts_status write_weights(const ts_new_model *n, size_t vocab, const char *dir, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    size_t count;
    ts_tensor *list = list_tensors(n, vocab, &count, &arena);
    struct filling fill = {n, list};
    char *path = ts_path_join(dir, "model.safetensors");
    ts_status status = ts_safetensors_write_with(path, list, count, fill_tensor, &fill, err);
    free(path);
    free(list);
    ts_arena_release(&arena);
    return status;
}

static void put_config(const ts_new_model *n, size_t vocab, ts_buf *out) {
    static const char *const names[] = {[TS_F32] = "float32", [TS_F16] = "float16", [TS_BF16] = "bfloat16"};
    ts_buf_printf(out,
                  "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"attention_bias\": false,\n"
                  "  \"attention_dropout\": 0.0,\n  \"bos_token_id\": %d,\n  \"eos_token_id\": %d,\n"
                  "  \"head_dim\": %zu,\n  \"hidden_act\": \"silu\",\n  \"hidden_size\": %zu,\n",
                  BOS, EOS, n->hidden / n->heads, n->hidden);
    ts_buf_printf(out,
                  "  \"initializer_range\": %g,\n  \"intermediate_size\": %zu,\n"
                  "  \"max_position_embeddings\": %zu,\n  \"mlp_bias\": false,\n  \"model_type\": \"llama\",\n",
                  DEVIATION, n->ffn, n->context);
    ts_buf_printf(out,
                  "  \"num_attention_heads\": %zu,\n  \"num_hidden_layers\": %zu,\n"
                  "  \"num_key_value_heads\": %zu,\n  \"pad_token_id\": %d,\n  \"rms_norm_eps\": 1e-05,\n",
                  n->heads, n->layers, n->kv_heads, BOS);
    ts_buf_printf(out,
                  "  \"rope_scaling\": null,\n  \"rope_theta\": 10000.0,\n  \"tie_word_embeddings\": true,\n"
                  "  \"torch_dtype\": \"%s\",\n  \"use_cache\": true,\n  \"vocab_size\": %zu\n}\n",
                  names[n->type->type], vocab);
}

static void put_tokenizer_config(const ts_new_model *n, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "bos_token", ts_new_specials[BOS]);
    ts_jw_kstr(&w, "chat_template", chat_template);
    ts_jw_kbool(&w, "clean_up_tokenization_spaces", false);
    ts_jw_kstr(&w, "eos_token", ts_new_specials[EOS]);
    ts_jw_kint(&w, "model_max_length", (int64_t)n->context);
    ts_jw_kstr(&w, "pad_token", ts_new_specials[BOS]);
    ts_jw_kstr(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    ts_jw_end_obj(&w);
    ts_buf_putc(out, '\n');
}

static ts_status write_text(const char *dir, const char *name, ts_buf *text, ts_err *err) {
    char *path = ts_path_join(dir, name);
    ts_status status = ts_file_write(path, text->data, text->len, err);
    free(path);
    ts_buf_reset(text);
    return status;
}

static ts_status write_all(const ts_new_model *n, const ts_bpe_trainer *t, const char *dir, ts_err *err) {
    size_t vocab = ts_bpe_trainer_size(t);
    ts_buf text = TS_BUF_INIT;
    ts_status status;
    put_config(n, vocab, &text);
    TS_GOTO(write_text(dir, "config.json", &text, err));
    ts_buf_printf(&text, "{\n  \"bos_token_id\": %d,\n  \"eos_token_id\": %d,\n  \"pad_token_id\": %d\n}\n", BOS, EOS,
                  BOS);
    TS_GOTO(write_text(dir, "generation_config.json", &text, err));
    put_tokenizer_config(n, &text);
    TS_GOTO(write_text(dir, "tokenizer_config.json", &text, err));
    ts_bpe_trainer_write(t, &text);
    TS_GOTO(write_text(dir, "tokenizer.json", &text, err));
    TS_GOTO(write_weights(n, vocab, dir, err));
    status = ts_dir_sync(dir, err);
out:
    ts_buf_release(&text);
    return status;
}

ts_status ts_new_model_write(const ts_new_model *n, const ts_bpe_trainer *t, ts_err *err) {
    TS_TRY(ts_new_model_check(n, err));
    TS_TRY(ts_export_check_out(n->out, true, err));
    char *temp = ts_export_temp(n->out);
    ts_status status = ts_mkdirs(temp, err);
    if (status == TS_OK) status = write_all(n, t, temp, err);
    if (status == TS_OK) status = ts_export_name(temp, n->out, err);
    if (status != TS_OK && ts_remove_tree(temp, NULL) != TS_OK && err)
        ts_wrap(err, status, "(%s could not be removed)", temp);
    free(temp);
    return status;
}
