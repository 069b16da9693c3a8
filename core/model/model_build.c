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

/* The state of one build. Names of what is missing are collected, so that one message tells all. */
typedef struct builder {
    ts_model *m;
    const ts_source *src;
    ts_buf missing;
    size_t n_missing;
    char name[160]; /* of the tensor at hand */
    ts_err *err;
} builder;

static void name_proj(builder *b, size_t layer, ts_proj p, const char *kind) {
    if (b->src->gguf)
        snprintf(b->name, sizeof b->name, "blk.%zu.%s.%s", layer, gguf_projs[p], kind);
    else
        snprintf(b->name, sizeof b->name, "model.layers.%zu.%s.%s.%s", layer, ts_proj_parents[p], ts_proj_names[p],
                 kind);
}

static void name_norm(builder *b, size_t layer, bool ffn) {
    if (b->src->gguf)
        snprintf(b->name, sizeof b->name, "blk.%zu.%s_norm.weight", layer, ffn ? "ffn" : "attn");
    else
        snprintf(b->name, sizeof b->name, "model.layers.%zu.%s_layernorm.weight", layer,
                 ffn ? "post_attention" : "input");
}

static void name_global(builder *b, const char *gguf, const char *hf) {
    snprintf(b->name, sizeof b->name, "%s", b->src->gguf ? gguf : hf);
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
    *t = ts_store_find(b->m->store, b->name, &type);
    if (!*t) return TS_OK;
    if ((*t)->type == TS_DTYPES)
        return ts_fail(b->err, TS_UNSUPPORTED,
                       "%s: tensor %s has the type %s; f32, f16, bf16, q8_0, q4_0 and q4_1 are read: convert the model "
                       "to one of these",
                       b->m->path, b->name, type);
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
    ts_layer *l = &b->m->layer[layer];
    size_t rows, cols;
    ts_proj_size(&b->m->config, p, &rows, &cols);
    name_proj(b, layer, p, "weight");
    TS_TRY(need_matrix(b, rows, cols, &l->proj[p]));
    name_proj(b, layer, p, "bias");
    if (!b->src->bias[p] && !b->src->gguf) return TS_OK; /* as in Hugging Face: the settings decide */
    return find_vector(b, rows, b->src->bias[p], &l->bias[p]);
}

static ts_status build_layer(builder *b, size_t layer) {
    ts_layer *l = &b->m->layer[layer];
    size_t hidden = b->m->config.hidden;
    name_norm(b, layer, false);
    TS_TRY(find_vector(b, hidden, true, &l->attn_norm));
    for (ts_proj p = 0; p < TS_PROJS; p++)
        TS_TRY(build_proj(b, layer, p));
    name_norm(b, layer, true);
    return find_vector(b, hidden, true, &l->ffn_norm);
}

/* Embedding, head and final norm. GGUF files of tied models have no output.weight; Hugging Face's flag decides there.
 */
static ts_status build_ends(builder *b) {
    ts_model *m = b->m;
    ts_config *c = &m->config;
    name_global(b, "token_embd.weight", "model.embed_tokens.weight");
    TS_TRY(need_matrix(b, c->vocab, c->hidden, &m->embed));
    name_global(b, "output_norm.weight", "model.norm.weight");
    TS_TRY(find_vector(b, c->hidden, true, &m->final_norm));
    name_global(b, "output.weight", "lm_head.weight");
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

static ts_status build_rope(builder *b) {
    size_t n = b->m->config.head_dim / 2;
    float *freq = ts_arena_alloc(&b->m->store->arena, n * sizeof *freq);
    const ts_tensor *t = NULL;
    ts_rope_frequencies(&b->src->rope, b->m->config.head_dim, freq);
    name_global(b, "rope_freqs.weight", "");
    if (b->src->gguf) TS_TRY(find(b, 0, n, &t));
    for (size_t i = 0; t && i < n; i++) {
        float divisor;
        if (t->type != TS_F32) return ts_fail(b->err, TS_FORMAT, "%s: rope_freqs.weight is not f32", b->m->path);
        memcpy(&divisor, (const unsigned char *)t->data + i * sizeof divisor, sizeof divisor);
        if (!(divisor > 0))
            return ts_fail(b->err, TS_FORMAT, "%s: rope_freqs.weight holds a value that is not positive", b->m->path);
        freq[i] /= divisor;
    }
    b->m->rope_freq = freq;
    b->m->rope_factor = 1;
    return TS_OK;
}

static ts_status check_config(const ts_model *m, const ts_rope *rope, ts_err *err) {
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
        {"head dimension", c->head_dim, MAX_SIZE},
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
    if (!(rope->theta > 0) || !isfinite(rope->theta) || !(rope->factor > 0) || !isfinite(rope->factor))
        return ts_fail(err, TS_FORMAT, "%s: rope theta %g with factor %g is impossible", m->path, rope->theta,
                       rope->factor);
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
    TS_GOTO(check_config(m, &src->rope, err));
    m->config.rope_theta = src->rope.theta;
    m->layer = ts_calloc(m->config.layers, sizeof *m->layer);
    TS_GOTO(build_ends(&b));
    for (size_t i = 0; i < m->config.layers; i++)
        TS_GOTO(build_layer(&b, i));
    TS_GOTO(report_missing(&b));
    TS_GOTO(build_rope(&b));
    if (src->permute) TS_GOTO(unpermute_all(m, err));
out:
    ts_buf_release(&b.missing);
    return status;
}

void ts_proj_size(const ts_config *c, ts_proj p, size_t *rows, size_t *cols) {
    size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const size_t out[TS_PROJS] = {q, kv, kv, c->hidden, c->ffn, c->ffn, c->hidden};
    *rows = out[p];
    *cols = p == TS_O ? q : p == TS_DOWN ? c->ffn : c->hidden;
}

/* Formulas of transformers' modeling_rope_utils.py, in double until the last step. llama3 divides slow rotations (long
 * wavelengths) by the factor, keeps fast ones, and blends between. */
void ts_rope_frequencies(const ts_rope *r, size_t head_dim, float *out) {
    for (size_t i = 0; i < head_dim / 2; i++) {
        double f = pow(r->theta, -2.0 * (double)i / (double)head_dim);
        if (r->type == TS_ROPE_LINEAR) {
            f /= r->factor;
        } else if (r->type == TS_ROPE_LLAMA3) {
            double wavelength = 2 * 3.14159265358979323846 / f;
            double t = (r->original / wavelength - r->low_freq) / (r->high_freq - r->low_freq);
            if (wavelength > r->original / r->low_freq)
                f /= r->factor;
            else if (wavelength >= r->original / r->high_freq)
                f = (1 - t) * f / r->factor + t * f;
        }
        out[i] = (float)f;
    }
}
