#include "core/model/model_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const char *const ts_proj_names[TS_PROJS] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                             "gate_proj", "up_proj", "down_proj"};
const char *const ts_proj_parents[TS_PROJS] = {"self_attn", "self_attn", "self_attn", "self_attn", "mlp", "mlp", "mlp"};
static const char *const gguf_projs[TS_PROJS] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                 "ffn_gate", "ffn_up", "ffn_down"};

const char *ts_proj_name(const ts_config *c, ts_proj p) {
    if (!c->fused) return ts_proj_names[p];
    return p == TS_Q ? "qkv_proj" : p == TS_GATE ? "gate_up_proj" : p == TS_O || p == TS_DOWN ? ts_proj_names[p] : NULL;
}

const char *ts_gguf_proj_name(const ts_config *c, ts_proj p) {
    if (!ts_proj_name(c, p)) return NULL;
    return c->fused && p == TS_Q ? "attn_qkv" : c->fused && p == TS_GATE ? "ffn_up" : gguf_projs[p];
}

static const char *const hf_norms[2][TS_NORMS] = {
    {"input_layernorm", "post_attention_layernorm", NULL, NULL, "self_attn.q_norm", "self_attn.k_norm"},
    {"input_layernorm", "pre_feedforward_layernorm", "post_attention_layernorm", "post_feedforward_layernorm",
     "self_attn.q_norm", "self_attn.k_norm"}};
static const char *const gguf_norms[TS_NORMS] = {"attn_norm",     "ffn_norm",    "post_attention_norm",
                                                 "post_ffw_norm", "attn_q_norm", "attn_k_norm"};

const char *ts_norm_name(const ts_family *f, bool gguf, ts_norm n) {
    if (n >= TS_Q_NORM ? !f->qk_norms : n >= TS_ATTN_POST_NORM && !f->post_norms) return NULL;
    return gguf ? gguf_norms[n] : hf_norms[f->post_norms][n];
}

const float **ts_norm_of(ts_layer *l, ts_norm n) {
    const float **norms[TS_NORMS] = {&l->attn_norm,     &l->ffn_norm, &l->attn_post_norm,
                                     &l->ffn_post_norm, &l->q_norm,   &l->k_norm};
    return norms[n];
}

const char *ts_proj_tensor(const ts_config *c, bool gguf, ts_proj p, char out[TS_PROJ_TENSOR]) {
    if (gguf)
        snprintf(out, TS_PROJ_TENSOR, "%s", ts_gguf_proj_name(c, p));
    else
        snprintf(out, TS_PROJ_TENSOR, "%s.%s", ts_proj_parents[p], ts_proj_name(c, p));
    return out;
}

static bool is_tensor(const char *rest, const char *name, bool bias) {
    size_t n = strlen(name);
    return strncmp(rest, name, n) == 0 &&
           (strcmp(rest + n, ".weight") == 0 || (bias && strcmp(rest + n, ".bias") == 0));
}

bool ts_known_tensor(const ts_source *src, const ts_config *c, const char *rest) {
    char name[TS_PROJ_TENSOR];
    for (ts_norm n = 0; n < TS_NORMS; n++) {
        const char *norm = ts_norm_name(src->family, src->gguf, n);
        if (norm && is_tensor(rest, norm, false)) return true;
    }
    for (ts_proj p = 0; p < TS_PROJS; p++)
        if (ts_proj_name(c, p) && is_tensor(rest, ts_proj_tensor(c, src->gguf, p, name), true)) return true;
    return strstr(rest, src->gguf ? "attn_rot_embd" : "rotary_emb.inv_freq") != NULL;
}

/* The state of one build. Names of what is missing are collected, so that one message tells all. */
typedef struct builder {
    ts_model *m;
    const ts_source *src;
    ts_buf missing;
    size_t n_missing;
    char name[160]; /* of the tensor at hand */
    ts_err *err;
} builder;

static void name_layer(builder *b, size_t layer, const char *name, const char *kind) {
    snprintf(b->name, sizeof b->name, b->src->gguf ? "%s%zu.%s.%s" : "%slayers.%zu.%s.%s",
             b->src->gguf ? "blk." : b->src->prefix, layer, name, kind);
}

static void name_global(builder *b, const char *gguf, const char *prefix, const char *hf) {
    if (b->src->gguf)
        snprintf(b->name, sizeof b->name, "%s", gguf);
    else
        snprintf(b->name, sizeof b->name, "%s%s", prefix, hf);
}

static void miss(builder *b) {
    enum { SHOWN = 3 };
    if (b->n_missing < SHOWN) ts_buf_printf(&b->missing, "%s%s", b->n_missing ? ", " : "", b->name);
    b->n_missing++;
}

static ts_status wrong_shape(builder *b, const ts_tensor *t, size_t rows, size_t cols) {
    char found[96] = "a single number", needed[48];
    int n = 0;
    for (int d = 0; d < t->n_dims; d++)
        n += snprintf(found + n, sizeof found - (size_t)n, "%s%zu", d ? " x " : "", t->dims[d]);
    if (rows)
        snprintf(needed, sizeof needed, "%zu x %zu", rows, cols);
    else
        snprintf(needed, sizeof needed, "%zu", cols);
    return ts_fail(b->err, TS_FORMAT, "%s: tensor %s has the shape %s, but the model's settings need %s", b->m->path,
                   b->name, found, needed);
}

/* Finds b->name and checks that its type is one we read and its shape [rows, cols] (rows 0: [cols]). *t is NULL when
 * there is none of that name. */
static ts_status find(builder *b, size_t rows, size_t cols, const ts_tensor **t) {
    const char *type = NULL;
    char list[200];
    *t = ts_store_find(b->m->store, b->name, &type);
    if (!*t) return TS_OK;
    if ((*t)->type == TS_DTYPES)
        return ts_fail(b->err, TS_UNSUPPORTED,
                       "%s: tensor %s has the type %s; %s are read: convert the model to one of these", b->m->path,
                       b->name, type, ts_dtype_list(list, sizeof list));
    bool fits = rows ? (*t)->n_dims == 2 && (*t)->dims[0] == rows && (*t)->dims[1] == cols
                     : (*t)->n_dims == 1 && (*t)->dims[0] == cols;
    return fits ? TS_OK : wrong_shape(b, *t, rows, cols);
}

static ts_status find_matrix(builder *b, size_t rows, size_t cols, ts_weight *w) {
    const ts_tensor *t;
    TS_TRY(find(b, rows, cols, &t));
    if (t) *w = (ts_weight){t->type, rows, cols, t->bytes / rows, t->data};
    return TS_OK;
}

static ts_status need_matrix(builder *b, size_t rows, size_t cols, ts_weight *w) {
    TS_TRY(find_matrix(b, rows, cols, w));
    if (!w->data) miss(b);
    b->m->params += rows * cols;
    return TS_OK;
}

/* A vector as f32 in the model's arena; stays NULL when there is none and `needed` is false. */
static ts_status find_vector(builder *b, size_t n, bool needed, const float **out) {
    const ts_tensor *t;
    TS_TRY(find(b, 0, n, &t));
    if (!t) {
        if (needed) miss(b);
        return TS_OK;
    }
    float *v = ts_arena_alloc(&b->m->store->arena, n * sizeof *v);
    ts_dequantize(t->type, t->data, v, n);
    b->m->params += n;
    *out = v;
    return TS_OK;
}

/* Row h*d + half*(d/2) + j of Hugging Face's order is row h*d + 2j + half of the interleaved one. */
static size_t interleaved_row(size_t row, size_t d) {
    size_t in_head = row % d, half = in_head / (d / 2), j = in_head % (d / 2);
    return row - in_head + 2 * j + half;
}

static unsigned char *unpermute_matrix(const ts_config *c, ts_weight *w, unsigned char *to) {
    for (size_t r = 0; r < w->rows; r++)
        memcpy(to + r * w->row_bytes, (const unsigned char *)w->data + interleaved_row(r, c->head_dim) * w->row_bytes,
               w->row_bytes);
    w->data = to;
    return to + w->rows * w->row_bytes;
}

static void unpermute_vector(ts_model *m, size_t n, const float **v) {
    float *copy = ts_arena_alloc(&m->store->arena, n * sizeof *copy);
    for (size_t r = 0; r < n; r++)
        copy[r] = (*v)[interleaved_row(r, m->config.head_dim)];
    *v = copy;
}

/* Brings q and k of all layers into Hugging Face's row order, in one block. (Huge pages for it made opening SmolLM2 3
 * ms instead of 6, but 20 and more where the system had none at hand.) */
static ts_status unpermute_all(ts_model *m, ts_err *err) {
    struct ts_model_store *s = m->store;
    size_t bytes = 0;
    for (size_t l = 0; l < m->config.layers; l++)
        for (ts_proj p = TS_Q; p <= TS_K; p++)
            bytes += m->layer[l].proj[p].rows * m->layer[l].proj[p].row_bytes; /* at most the file's size */
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return ts_fail(err, TS_NO_MEMORY, "%s: no memory for the copies of q and k (%zu bytes)", m->path, bytes);
    s->block = block;
    s->block_bytes = bytes;
    unsigned char *to = block;
    for (size_t l = 0; l < m->config.layers; l++)
        for (ts_proj p = TS_Q; p <= TS_K; p++) {
            ts_layer *layer = &m->layer[l];
            to = unpermute_matrix(&m->config, &layer->proj[p], to);
            if (layer->bias[p]) unpermute_vector(m, layer->proj[p].rows, &layer->bias[p]);
        }
    return TS_OK;
}

static ts_status build_proj(builder *b, size_t layer, ts_proj p) {
    const ts_config *c = &b->m->config;
    ts_layer *l = &b->m->layer[layer];
    size_t rows, cols;
    char name[TS_PROJ_TENSOR];
    if (!ts_proj_name(c, p)) return TS_OK;
    ts_proj_size(c, p, &rows, &cols);
    name_layer(b, layer, ts_proj_tensor(c, b->src->gguf, p, name), "weight");
    TS_TRY(need_matrix(b, rows, cols, &l->proj[p]));
    name_layer(b, layer, name, "bias");
    if (!b->src->bias[p] && !b->src->gguf) return TS_OK; /* as in Hugging Face: the settings decide */
    return find_vector(b, rows, b->src->bias[p], &l->bias[p]);
}

/* A norm's factors as they are used. */
static ts_status find_norm(builder *b, size_t n, const float **out) {
    TS_TRY(find_vector(b, n, true, out));
    float *w = (float *)(uintptr_t)*out; /* in our arena */
    for (size_t i = 0; w && b->src->family->norms_from_one && !b->src->gguf && i < n; i++)
        w[i] += 1;
    return TS_OK;
}

static ts_status build_layer(builder *b, size_t layer) {
    ts_layer *l = &b->m->layer[layer];
    const ts_config *c = &b->m->config;
    for (ts_norm n = 0; n < TS_NORMS; n++) {
        const char *name = ts_norm_name(b->src->family, b->src->gguf, n);
        if (!name) continue;
        name_layer(b, layer, name, "weight");
        TS_TRY(find_norm(b, n >= TS_Q_NORM ? c->head_dim : c->hidden, ts_norm_of(l, n)));
    }
    for (ts_proj p = 0; p < TS_PROJS; p++)
        TS_TRY(build_proj(b, layer, p));
    return TS_OK;
}

/* Embedding, head and final norm. GGUF files of tied models have no output.weight; Hugging Face's flag decides there.
 */
static ts_status build_ends(builder *b) {
    ts_model *m = b->m;
    ts_config *c = &m->config;
    const char *prefix = b->src->prefix;
    name_global(b, "token_embd.weight", prefix, "embed_tokens.weight");
    TS_TRY(need_matrix(b, c->vocab, c->hidden, &m->embed));
    name_global(b, "output_norm.weight", prefix, "norm.weight");
    TS_TRY(find_norm(b, c->hidden, &m->final_norm));
    bool inside = !b->src->gguf && strncmp(prefix, "language_model.", 15) == 0;
    name_global(b, "output.weight", inside ? "language_model." : "", "lm_head.weight");
    if (b->src->gguf) {
        TS_TRY(find_matrix(b, c->vocab, c->hidden, &m->head));
        c->tied = m->head.data == NULL;
        if (!c->tied) m->params += c->vocab * c->hidden;
    } else if (!c->tied) {
        TS_TRY(need_matrix(b, c->vocab, c->hidden, &m->head));
    }
    if (c->tied) m->head = m->embed;
    return TS_OK;
}

/* A vector of n positive f32 numbers; NULL: there is none of that name. */
static ts_status find_factors(builder *b, const char *name, size_t n, const float **out) {
    const ts_tensor *t = NULL;
    name_global(b, name, "", "");
    if (b->src->gguf) TS_TRY(find(b, 0, n, &t));
    if (!t) return TS_OK;
    if (t->type != TS_F32) return ts_fail(b->err, TS_FORMAT, "%s: %s is not f32", b->m->path, name);
    float *v = ts_arena_alloc(&b->m->store->arena, n * sizeof *v);
    memcpy(v, t->data, n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        if (!(v[i] > 0))
            return ts_fail(b->err, TS_FORMAT, "%s: %s holds a value that is not positive", b->m->path, name);
    *out = v;
    return TS_OK;
}

/* The tensors of a GGUF file say what no key does: rope_freqs is llama3's scaling, the other two are longrope's. */
static ts_status build_rope(builder *b) {
    ts_rope *r = b->m->rope;
    size_t n = r->rotary / 2;
    TS_TRY(find_factors(b, "rope_freqs.weight", n, &r->divisor));
    TS_TRY(find_factors(b, "rope_factors_long.weight", n, &r->long_factor));
    TS_TRY(find_factors(b, "rope_factors_short.weight", n, &r->short_factor));
    if (b->src->gguf && r->long_factor && r->short_factor) {
        r->type = TS_ROPE_LONGROPE;
        if (r->factor == 1) r->factor = (double)b->m->config.context / r->original;
    }
    TS_TRY(ts_rope_finish(b->m, r, b->err));
    if (r[1].theta == 0) return TS_OK;
    if (r[1].rotary == 0) r[1].rotary = r->rotary;
    return ts_rope_finish(b->m, &r[1], b->err);
}

static ts_status check_config(const ts_model *m, ts_err *err) {
    enum { MAX_SIZE = 1 << 24, MAX_LAYERS = 1 << 14 };
    const ts_config *c = &m->config;
    const struct {
        const char *name;
        size_t value, max;
    } sizes[] = {
        {"hidden size", c->hidden, MAX_SIZE},
        {"feed-forward size", c->ffn, MAX_SIZE},
        {"number of layers", c->layers, MAX_LAYERS},
        {"number of heads", c->heads, MAX_SIZE},
        {"number of key-value heads", c->kv_heads, MAX_SIZE},
        {"head dimension", c->head_dim, TS_MAX_HEAD_DIM},
        {"vocabulary size", c->vocab, MAX_SIZE},
    };
    for (size_t i = 0; i < TS_COUNT(sizes); i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].max)
            return ts_fail(err, TS_FORMAT, "%s: the %s is %zu, which is impossible", m->path, sizes[i].name,
                           sizes[i].value);
    if (c->heads % c->kv_heads != 0)
        return ts_fail(err, TS_FORMAT, "%s: %zu heads cannot share %zu key-value heads evenly", m->path, c->heads,
                       c->kv_heads);
    if (c->head_dim % 2 != 0)
        return ts_fail(err, TS_FORMAT, "%s: the head dimension %zu is odd; rotary positions need pairs", m->path,
                       c->head_dim);
    if (!(c->rms_eps > 0) || !isfinite(c->rms_eps))
        return ts_fail(err, TS_FORMAT, "%s: the norms' epsilon is %g, which is impossible", m->path,
                       (double)c->rms_eps);
    return TS_OK;
}

ts_status ts_model_layers(ts_model *m, ts_err *err) {
    TS_TRY(check_config(m, err));
    m->config.attn_scale = (float)(1 / sqrt((double)m->config.head_dim));
    m->config.embed_scale = 1;
    m->layer = ts_calloc(m->config.layers, sizeof *m->layer);
    return TS_OK;
}

static ts_status report_missing(builder *b) {
    if (b->n_missing == 0) return TS_OK;
    return ts_fail(b->err, TS_FORMAT,
                   "%s: %zu tensor%s of the model %s missing: %s%s; the file is incomplete or of another kind of model",
                   b->m->path, b->n_missing, b->n_missing == 1 ? "" : "s", b->n_missing == 1 ? "is" : "are",
                   ts_buf_str(&b->missing), b->n_missing > 3 ? ", ..." : "");
}

ts_status ts_model_build(ts_model *m, const ts_source *src, ts_err *err) {
    builder b = {.m = m, .src = src, .err = err};
    ts_status status;
    m->config.act = src->family->gelu ? TS_ACT_GELU : TS_ACT_SILU;
    m->config.rope_theta = m->rope[0].theta;
    TS_GOTO(build_rope(&b));
    TS_GOTO(build_ends(&b));
    for (size_t i = 0; i < m->config.layers; i++)
        TS_GOTO(build_layer(&b, i));
    TS_GOTO(report_missing(&b));
    /* transformers has the scale in the type that the model is loaded in (Gemma3TextScaledWordEmbedding), so that in
     * bf16 sqrt(3072) is 55.5; we calculate in f32, whatever the type in the file */
    if (src->family->scaled_embedding) m->config.embed_scale = (float)sqrt((double)m->config.hidden);
    if (src->gguf && src->family->gguf_interleaved) TS_GOTO(unpermute_all(m, err));
out:
    ts_buf_release(&b.missing);
    return status;
}

void ts_proj_size(const ts_config *c, ts_proj p, size_t *rows, size_t *cols) {
    size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const size_t out[TS_PROJS] = {q, kv, kv, c->hidden, c->ffn, c->ffn, c->hidden};
    *rows = out[p];
    *cols = p == TS_O ? q : p == TS_DOWN ? c->ffn : c->hidden;
    if (c->fused && p != TS_O && p != TS_DOWN) *rows = p == TS_Q ? q + 2 * kv : p == TS_GATE ? 2 * c->ffn : 0;
}
