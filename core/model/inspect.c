#include "core/base/file.h"
#include "core/base/utf8.h"
#include "core/model/chat.h"
#include "core/model/inspect_private.h"
#include "core/model/locate.h"
#include "core/model/model_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ts_count_type(ts_type_counts *c, const char *type, const ts_tensor *t) {
    ts_type_count *item = NULL;
    size_t weights = 1;
    if (t->type != TS_DTYPES) type = ts_dtype_name(t->type); /* one spelling, whatever kind of file */
    for (size_t i = 0; i < c->n && !item; i++)
        if (strcmp(c->items[i].name, type) == 0) item = &c->items[i];
    if (!item) {
        TS_PUSH(c->items, c->n, c->cap, (ts_type_count){.name = type});
        item = &c->items[c->n - 1];
    }
    for (int d = 0; d < t->n_dims; d++)
        weights *= t->dims[d];
    item->tensors++;
    item->weights += weights;
    item->bytes += t->bytes;
}

void ts_put_label(ts_buf *out, const char *label) {
    ts_buf_printf(out, "  %-14s", label);
}

void ts_put_size(ts_buf *out, size_t v) {
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%zu", v);
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) ts_buf_putc(out, ',');
        ts_buf_putc(out, digits[i]);
    }
}

void ts_put_bytes(ts_buf *out, size_t v) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double x = (double)v;
    size_t u = 0;
    for (; x >= 1000 && u + 1 < TS_COUNT(units); u++)
        x /= 1000;
    ts_buf_printf(out, u ? "%.1f %s" : "%.0f %s", x, units[u]);
}

void ts_put_clean(ts_buf *out, const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = ts_utf8_sequence(s + i, n - i);
        if (len) ts_utf8_decode(s + i, n - i, &cp);
        if (!len || cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
            ts_buf_putc(out, '?');
        else
            ts_buf_add(out, s + i, len);
        i += len ? len : 1;
    }
}

void ts_put_types(ts_buf *out, const ts_type_counts *c) {
    for (size_t i = 0; i < c->n; i++) {
        ts_put_label(out, i ? "" : "tensors");
        ts_buf_printf(out, "%zu %s, ", c->items[i].tensors, c->items[i].name);
        ts_put_bytes(out, c->items[i].bytes);
        ts_buf_putc(out, '\n');
    }
}

void ts_put_types_json(ts_jw *w, const ts_type_counts *c) {
    ts_jw_key(w, "types");
    ts_jw_arr(w);
    for (size_t i = 0; i < c->n; i++) {
        ts_jw_obj(w);
        ts_jw_kstr(w, "type", c->items[i].name);
        ts_jw_kint(w, "tensors", (int64_t)c->items[i].tensors);
        ts_jw_kint(w, "weights", (int64_t)c->items[i].weights);
        ts_jw_kint(w, "bytes", (int64_t)c->items[i].bytes);
        ts_jw_end_obj(w);
    }
    ts_jw_end_arr(w);
}

/* What the files say about the tokenizer, without building it. Texts are borrowed from the GGUF file or `config`. */
typedef struct tokenizer_facts {
    const char *model, *pre; /* not NUL-terminated */
    size_t model_n, pre_n;
    size_t tokens, merges; /* 0: not said */
    bool chat_template;
    ts_json *config; /* tokenizer_config.json */
    /* built from what they say */
    ts_tokenizer *built; /* NULL: it cannot be, for the reason */
    ts_chat *chat;       /* NULL: no template, or one that cannot be used */
    bool marks_answers;  /* the template has generation blocks */
    ts_err reason, chat_reason;
} tokenizer_facts;

typedef struct facts {
    const char *path;
    ts_model *m;         /* NULL when it cannot be used */
    ts_gguf *gguf;       /* opened here when m is NULL */
    const ts_gguf *keys; /* whichever GGUF file there is, or NULL */
    ts_err reason;
    size_t bytes;
    ts_type_counts types;
    tokenizer_facts tokenizer;
    ts_json *config; /* of a folder that cannot be used */
    ts_memory_row memory[TS_MEMORY_ROWS];
    size_t n_memory;
} facts;

static void read_gguf_tokenizer(const ts_gguf *g, tokenizer_facts *t) {
    ts_gguf_array a;
    const char *s;
    size_t n;
    ts_gguf_str(g, "tokenizer.ggml.model", &t->model, &t->model_n);
    ts_gguf_str(g, "tokenizer.ggml.pre", &t->pre, &t->pre_n);
    if (ts_gguf_array_get(g, "tokenizer.ggml.tokens", &a)) t->tokens = a.n;
    if (ts_gguf_array_get(g, "tokenizer.ggml.merges", &a)) t->merges = a.n;
    t->chat_template = ts_gguf_str(g, "tokenizer.chat_template", &s, &n);
}

static void read_hf_tokenizer(const char *dir, tokenizer_facts *t) {
    enum { MAX_CONFIG = 64 << 20 };
    char *config = ts_path_join(dir, "tokenizer_config.json"), *jinja = ts_path_join(dir, "chat_template.jinja");
    if (ts_is_file(config)) t->config = ts_json_read(config, MAX_CONFIG, NULL); /* a broken one shows when it is used */
    t->model = ts_json_str(ts_json_get(t->config, "tokenizer_class"), NULL);
    t->model_n = t->model ? strlen(t->model) : 0;
    t->chat_template = ts_is_file(jinja) || ts_json_get(t->config, "chat_template");
    free(config);
    free(jinja);
}

/* What generation and training will do with them. */
static void build_tokenizer(const char *path, tokenizer_facts *t) {
    static const char talk[] = "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]";
    ts_rendered r = {0};
    if (ts_tokenizer_open(&t->built, path, &t->reason) != TS_OK) return;
    if (ts_chat_open(&t->chat, t->built, NULL, &t->chat_reason) != TS_OK) return;
    ts_json *messages = ts_json_parse(talk, sizeof talk - 1, NULL);
    ts_err ignored;
    if (ts_chat_render(t->chat, messages, false, NULL, &r, &ignored) == TS_OK) t->marks_answers = r.generation;
    ts_rendered_release(&r);
    ts_json_free(messages);
}

static void count_gguf(facts *f) {
    f->bytes = ts_gguf_bytes(f->keys);
    for (size_t i = 0; i < ts_gguf_tensors(f->keys); i++)
        ts_count_type(&f->types, ts_gguf_type_name(f->keys, i), ts_gguf_tensor(f->keys, i));
    read_gguf_tokenizer(f->keys, &f->tokenizer);
}

static void count_shards(facts *f) {
    const struct ts_model_store *s = f->m->store;
    f->bytes = f->m->file_bytes;
    for (size_t i = 0; i < s->n_shards; i++)
        for (size_t k = 0; k < ts_safetensors_count(s->shards[i]); k++)
            ts_count_type(&f->types, ts_safetensors_type_name(s->shards[i], k), ts_safetensors_at(s->shards[i], k));
    read_hf_tokenizer(f->path, &f->tokenizer);
}

/* config.json of a folder, an object; NULL: there is none that can be read. */
static ts_json *read_config(const char *dir) {
    char *path = ts_path_join(dir, "config.json");
    ts_json *config = ts_is_file(path) ? ts_json_read(path, (size_t)16 << 20, NULL) : NULL;
    free(path);
    if (ts_json_is_object(config)) return config;
    ts_json_free(config);
    return NULL;
}

static const char *config_architecture(const ts_json *config) {
    const ts_json *list = ts_json_get(config, "architectures");
    return ts_json_str(ts_json_child(list), ts_json_str(ts_json_get(config, "model_type"), NULL));
}

static ts_status gather(facts *f, const ts_model_place *place, ts_memory_fn *memory, ts_err *err) {
    f->path = place->path;
    ts_status status = ts_model_open(&f->m, place->path, &f->reason);
    if (status != TS_OK && place->kind == TS_MODEL_HF) f->config = read_config(place->path);
    if (status != TS_OK && ((place->kind == TS_MODEL_HF && !f->config) || status == TS_NO_MEMORY)) {
        if (err) *err = f->reason;
        return status;
    }
    if (status != TS_OK && place->kind != TS_MODEL_HF)
        TS_TRY(ts_gguf_open(&f->gguf, place->path, err)); /* damaged: this says so again */
    f->keys = f->m ? f->m->store->gguf : f->gguf;
    if (f->keys)
        count_gguf(f);
    else if (f->m)
        count_shards(f);
    else
        read_hf_tokenizer(f->path, &f->tokenizer);
    build_tokenizer(f->path, &f->tokenizer);
    if (f->m && memory) f->n_memory = memory(f->m, f->memory);
    return TS_OK;
}

/* How many layers have a window, and the largest. */
static size_t window_layers(const ts_model *m, size_t *window) {
    size_t n = 0;
    *window = 0;
    for (size_t i = 0; i < m->config.layers; i++) {
        n += m->layer[i].window > 0;
        *window = TS_MAX(*window, m->layer[i].window);
    }
    return n;
}

static size_t layers_without_rope(const ts_model *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->config.layers; i++)
        n += m->layer[i].rope < 0;
    return n;
}

/* GGUF files of the llama3 scaling hold its divisors only. */
static const char *rope_type(const ts_rope *r) {
    return r->divisor ? "llama3" : ts_rope_names[r->type];
}

static void put_if_any(ts_jw *w, const char *key, double v) {
    ts_jw_key(w, key);
    if (v > 0)
        ts_jw_num(w, v);
    else
        ts_jw_null(w);
}

/* What only some families have: null where there is none. */
static void put_attention_json(ts_jw *w, const ts_model *m) {
    size_t window, windowed = window_layers(m, &window);
    ts_jw_kstr(w, "rope_type", rope_type(&m->rope[0]));
    ts_jw_knum(w, "rope_factor", m->rope[0].factor);
    ts_jw_kint(w, "rotary", (int64_t)m->rope[0].rotary);
    ts_jw_kint(w, "layers_without_rope", (int64_t)layers_without_rope(m));
    put_if_any(w, "window", (double)window);
    ts_jw_kint(w, "window_layers", (int64_t)windowed);
    put_if_any(w, "attention_cap", (double)m->config.attn_cap);
    put_if_any(w, "logit_cap", (double)m->config.logit_cap);
}

static void put_sizes_json(ts_jw *w, const ts_model *m) {
    const ts_config *c = &m->config;
    const struct {
        const char *key;
        size_t value;
    } sizes[] = {
        {"parameters", m->params}, {"hidden", c->hidden}, {"ffn", c->ffn},
        {"layers", c->layers},     {"heads", c->heads},   {"kv_heads", c->kv_heads},
        {"head_dim", c->head_dim}, {"vocab", c->vocab},   {"context", c->context},
    };
    ts_jw_kstr(w, "name", c->name);
    ts_jw_kstr(w, "architecture", c->architecture);
    ts_jw_kstr(w, "family", c->family);
    for (size_t i = 0; i < TS_COUNT(sizes); i++)
        ts_jw_kint(w, sizes[i].key, (int64_t)sizes[i].value);
    ts_jw_knum(w, "rope_theta", c->rope_theta);
    put_attention_json(w, m);
    ts_jw_kbool(w, "tied", c->tied);
    ts_jw_key(w, "stop_tokens");
    ts_jw_arr(w);
    for (size_t i = 0; i < c->n_eos; i++)
        ts_jw_int(w, c->eos[i]);
    ts_jw_end_arr(w);
}

static void put_tokenizer_json(ts_jw *w, const tokenizer_facts *t) {
    ts_jw_key(w, "tokenizer");
    ts_jw_obj(w);
    if (t->model) {
        ts_jw_key(w, "model");
        ts_jw_strn(w, t->model, t->model_n);
    }
    if (t->pre) {
        ts_jw_key(w, "pre");
        ts_jw_strn(w, t->pre, t->pre_n);
    }
    if (t->tokens) ts_jw_kint(w, "tokens", (int64_t)t->tokens);
    if (t->merges) ts_jw_kint(w, "merges", (int64_t)t->merges);
    ts_jw_kbool(w, "chat_template", t->chat_template);
    ts_jw_kbool(w, "usable", t->built != NULL);
    if (t->built)
        ts_jw_kstr(w, "kind", ts_tokenizer_kind(t->built));
    else
        ts_jw_kstr(w, "reason", t->reason.text);
    ts_jw_kbool(w, "template_usable", t->chat != NULL);
    if (t->built && t->chat_template && !t->chat) ts_jw_kstr(w, "template_reason", t->chat_reason.text);
    ts_jw_kbool(w, "marks_answers", t->marks_answers);
    ts_jw_knum(w, "end_of_turn", t->chat && ts_chat_end_of_turn(t->chat) >= 0 ? ts_chat_end_of_turn(t->chat) : NAN);
    ts_jw_end_obj(w);
}

static void put_json(const facts *f, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "kind", f->keys ? "gguf" : "huggingface");
    ts_jw_kstr(&w, "path", f->path);
    ts_jw_kbool(&w, "usable", f->m != NULL);
    if (f->m)
        put_sizes_json(&w, f->m);
    else
        ts_jw_kstr(&w, "reason", f->reason.text);
    if (f->config) ts_jw_kstr(&w, "architecture", config_architecture(f->config));
    if (f->n_memory) {
        ts_jw_key(&w, "memory");
        ts_jw_obj(&w);
        for (size_t i = 0; i < f->n_memory; i++)
            ts_jw_kint(&w, f->memory[i].key, (int64_t)f->memory[i].bytes);
        ts_jw_end_obj(&w);
    }
    ts_jw_knum(&w, "bytes", f->keys || f->m ? (double)f->bytes : NAN);
    ts_put_types_json(&w, &f->types);
    put_tokenizer_json(&w, &f->tokenizer);
    ts_jw_end_obj(&w);
    ts_buf_putc(out, '\n');
}

/* A label, pairs of number and words, the end of the line. */
static void put_counted(ts_buf *out, size_t v, const char *words) {
    ts_put_size(out, v);
    ts_buf_puts(out, words);
}

static void put_attention(ts_buf *out, const ts_model *m) {
    const ts_config *c = &m->config;
    const ts_rope *r = &m->rope[0];
    size_t window, windowed = window_layers(m, &window), nope = layers_without_rope(m);
    ts_put_label(out, "positions");
    ts_buf_printf(out, "rope theta %g", r->theta);
    if (m->rope[1].freq && windowed) ts_buf_printf(out, ", %g in layers with a window", m->rope[1].theta);
    if (strcmp(rope_type(r), "default") != 0) ts_buf_printf(out, ", scaled by %s", rope_type(r));
    if (r->type != TS_ROPE_PLAIN) ts_buf_printf(out, ", factor %g", r->factor);
    if (r->rotary != c->head_dim) ts_buf_printf(out, ", on %zu of a head's %zu numbers", r->rotary, c->head_dim);
    if (nope) ts_buf_printf(out, ", not in %zu of %zu layers", nope, c->layers);
    ts_buf_putc(out, '\n');
    if (windowed) {
        ts_put_label(out, "window");
        put_counted(out, window, " tokens");
        ts_buf_printf(out, " in %zu of %zu layers\n", windowed, c->layers);
    }
    if (c->attn_cap > 0 || c->logit_cap > 0) {
        ts_put_label(out, "caps");
        ts_buf_printf(out, "scores %g, logits %g (0: none)\n", (double)c->attn_cap, (double)c->logit_cap);
    }
}

static void put_sizes(ts_buf *out, const ts_model *m) {
    const ts_config *c = &m->config;
    ts_put_label(out, "architecture");
    ts_put_clean(out, c->architecture, strlen(c->architecture));
    ts_buf_printf(out, strcmp(c->architecture, c->family) == 0 ? "\n" : " (%s)\n", c->family);
    ts_put_label(out, "parameters");
    put_counted(out, m->params, "\n");
    ts_put_label(out, "layers");
    put_counted(out, c->layers, ", hidden ");
    put_counted(out, c->hidden, ", feed-forward ");
    put_counted(out, c->ffn, "\n");
    ts_put_label(out, "heads");
    put_counted(out, c->heads, " of ");
    put_counted(out, c->head_dim, ", key-value heads ");
    put_counted(out, c->kv_heads, "\n");
    ts_put_label(out, "vocabulary");
    put_counted(out, c->vocab, c->tied ? ", the head is the embedding\n" : ", a head of its own\n");
    ts_put_label(out, "context");
    put_counted(out, c->context, " tokens\n");
    put_attention(out, m);
    ts_put_label(out, "stop tokens");
    for (size_t i = 0; i < c->n_eos; i++)
        ts_buf_printf(out, "%s%d", i ? ", " : "", c->eos[i]);
    ts_buf_puts(out, c->n_eos ? "\n" : "none named\n");
}

static void put_template(ts_buf *out, const tokenizer_facts *t) {
    ts_put_label(out, "template");
    int32_t end = t->chat ? ts_chat_end_of_turn(t->chat) : -1;
    const char *name = end >= 0 ? ts_tokenizer_token(t->built, end) : "";
    if (!t->chat) {
        ts_buf_puts(out, "unusable: ");
        ts_put_clean(out, t->chat_reason.text, strlen(t->chat_reason.text));
    } else {
        ts_buf_puts(out, t->marks_answers ? "marks what the assistant says, " : "");
        ts_buf_printf(out, end >= 0 ? "a turn ends with %d " : "no token ends a turn", end);
        ts_put_clean(out, name, strlen(name));
    }
    ts_buf_putc(out, '\n');
}

static void put_tokenizer(ts_buf *out, const tokenizer_facts *t) {
    ts_put_label(out, "tokenizer");
    if (t->model)
        ts_put_clean(out, t->model, t->model_n);
    else
        ts_buf_puts(out, "no kind named");
    if (t->pre) {
        ts_buf_puts(out, ", pre-split ");
        ts_put_clean(out, t->pre, t->pre_n);
    }
    if (t->built && !t->tokens) ts_buf_printf(out, ", %s", ts_tokenizer_kind(t->built));
    if (t->tokens) {
        ts_buf_puts(out, ", ");
        put_counted(out, t->tokens, " tokens");
    }
    if (t->merges) {
        ts_buf_puts(out, ", ");
        put_counted(out, t->merges, " merges");
    }
    ts_buf_puts(out, t->chat_template ? ", chat template\n" : ", no chat template\n");
    if (!t->built) {
        ts_put_label(out, "");
        ts_buf_puts(out, "unusable: ");
        ts_put_clean(out, t->reason.text, strlen(t->reason.text));
        ts_buf_putc(out, '\n');
    } else if (t->chat_template) {
        put_template(out, t);
    }
}

static void put_memory(const facts *f, ts_buf *out) {
    for (size_t i = 0; i < f->n_memory; i++) {
        ts_put_label(out, i ? "" : "memory");
        ts_put_bytes(out, f->memory[i].bytes);
        ts_buf_printf(out, " %s\n", f->memory[i].words);
    }
}

static void put_text(const facts *f, ts_buf *out) {
    const char *name = f->m ? f->m->config.name : ts_path_base(f->path);
    ts_put_clean(out, name, strlen(name));
    ts_buf_putc(out, '\n');
    ts_put_label(out, "path");
    ts_put_clean(out, f->path, strlen(f->path));
    ts_buf_putc(out, '\n');
    ts_put_label(out, "kind");
    if (f->keys)
        ts_buf_printf(out, "GGUF file, version %d, ", ts_gguf_version(f->keys));
    else
        ts_buf_puts(out, f->m ? "Hugging Face folder, " : "Hugging Face folder");
    if (f->keys || f->m) ts_put_bytes(out, f->bytes);
    ts_buf_putc(out, '\n');
    if (f->m) {
        put_sizes(out, f->m);
    } else {
        const char *architecture = config_architecture(f->config);
        if (architecture) {
            ts_put_label(out, "architecture");
            ts_put_clean(out, architecture, strlen(architecture));
            ts_buf_putc(out, '\n');
        }
        ts_put_label(out, "unusable");
        ts_put_clean(out, f->reason.text, strlen(f->reason.text));
        ts_buf_putc(out, '\n');
    }
    ts_put_types(out, &f->types);
    put_tokenizer(out, &f->tokenizer);
    put_memory(f, out);
}

ts_status ts_model_inspect(const char *spec, ts_memory_fn *memory, bool json, ts_buf *out, ts_err *err) {
    ts_model_place place = {0};
    facts f = {0};
    char *config = ts_path_join(spec, "adapter_config.json");
    bool adapter = ts_is_file(config);
    free(config);
    if (adapter) return ts_inspect_adapter(spec, json, out, err);
    ts_status status = ts_model_locate(spec, &place, err);
    if (status == TS_OK) status = gather(&f, &place, memory, err);
    if (status == TS_OK) (json ? put_json : put_text)(&f, out);
    ts_model_close(f.m);
    ts_gguf_close(f.gguf);
    ts_json_free(f.tokenizer.config);
    ts_chat_free(f.tokenizer.chat);
    ts_tokenizer_free(f.tokenizer.built);
    ts_json_free(f.config);
    free(f.types.items);
    ts_model_place_release(&place);
    return status;
}
