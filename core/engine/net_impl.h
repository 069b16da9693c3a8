/* What the files of the engine share. Private: other folders include net.h.
 *
 * Names: h hidden, f ffn, hd = heads * head_dim, kd = kv_heads * head_dim, qkv = hd + 2 kd. All activations are
 * row-major with one row per token. */
#ifndef TS_ENGINE_NET_IMPL_H
#define TS_ENGINE_NET_IMPL_H

#include "core/engine/gemm.h"
#include "core/engine/net.h"

/* A stretch of tokens that attends to itself and, before that, to the whole of another stretch (its parent: a beginning
 * that several sequences share is calculated once). Rows [first, first + n) of the batch; positions count from before.
 */
typedef struct ts_run {
    size_t first, n, before; /* before: the parent's length, 0 without one */
    int parent;              /* index of a run with no parent of its own; -1: none */
    size_t token;            /* number of the first token in the caller's whole batch: keys of dropout */
    size_t length;           /* tokens of the whole sequence: some rotary positions depend on it */
    const int32_t *ids;
    const ts_adapter *adapter; /* of the run, where a pass has several */
} ts_run;

/* Rows [first, end) that share an adapter (NULL: base). */
typedef struct ts_stretch {
    size_t first, end;
    const ts_adapter *adapter;
} ts_stretch;

/* A row whose next token is supervised. */
typedef struct ts_target {
    size_t row;
    int32_t label;
    size_t seq, at; /* which sequence, which of its labels */
    float weight;
    size_t held; /* 1 + the row of net->base that it is held to; 0: it is not */
} ts_target;

typedef struct ts_batch {
    size_t rows;
    ts_run *runs;
    size_t n_runs, cap_runs;
    ts_target *targets; /* ascending rows, each row once */
    size_t n_targets, cap_targets;
    ts_stretch *spans; /* of all rows, in order; made by ts_forward */
    size_t n_spans, cap_spans;
} ts_batch;
void ts_batch_reset(ts_batch *b);
void ts_batch_release(ts_batch *b);
/* Appends a run and returns its index; no parent: parent -1. Its length is what it and its parent have. */
int ts_batch_run(ts_batch *b, const int32_t *ids, size_t n, int parent);

/* What the backward pass needs of a layer. Without keeping, all layers share one; with recomputing they do so too but
 * for their inputs. */
typedef struct ts_acts {
    float *x;   /* [h] input */
    float *qkv; /* after rope */
    float *raw; /* [hd + kd] q and k before their norms, if the model has any */
    float *o;   /* [hd] attention's output */
    float *lse; /* [heads][2] the softmax's largest score and 1 / its sum: their logarithm in one number loses digits */
    float *mid; /* [h] after attention's residual */
    float *gu;  /* [2 f] gate and up */
    float *attn_out, *mlp_out; /* [h] before the norms behind attention and MLP, if the model has any */
    float *u;                  /* [ranks] inputs times A^T, all projections side by side */
} ts_acts;

typedef struct ts_net_bufs {
    size_t rows, ranks;      /* for as many it is laid out */
    bool keep;               /* for a backward pass */
    size_t floats, capacity; /* of block: used, there */
    float *block;
    ts_acts *layer;            /* [layers]; layer[layers].x is the last output */
    float *norm;               /* [h] a norm's output */
    float *act;                /* [f] */
    float *wide, *dres, *dqkv; /* backward: [f], [h], [qkv] */
    float *dhid, *du;          /* [max(h, hd)], [ranks] */
    float *dropped;            /* [max(h, hd, f)] */
    float *dpost;              /* [h] if there are norms behind attention and MLP */
} ts_net_bufs;

struct ts_net {
    const ts_model *m;
    size_t micro_tokens;
    bool recompute;
    size_t h, f, hd, kd, qkv;
    ts_scratch scratch;
    bool qk_norms, post_norms;
    float *rope[2]; /* [rope_len][rotary]: cosines, then sines; of each of the model's ropes */
    size_t rope_len[2];
    ts_net_bufs bufs;
    float *dora; /* backward through DoRA: [rows][widest group's outputs] */
    size_t dora_floats;
    float *norm_scale; /* gradient of a norm: one number a vector */
    size_t norm_scale_floats;
    float *head_u; /* LoRA on the head: inputs times A^T */
    size_t head_u_floats;
    float *kv; /* attention: packed keys and values, gradients of keys and values */
    size_t kv_floats;
    float *logits, *hidden, *dhidden; /* [TS_LOGIT_ROWS][logits_ld], [supervised rows][h] twice */
    size_t logits_ld, hidden_rows, dhidden_rows;
    float *base, *base_logits; /* KL to the base: [positions of the call][h], [TS_LOGIT_ROWS at most][logits_ld] */
    size_t base_floats, base_logits_floats;
    ts_batch batch;
};

enum { TS_LOGIT_ROWS = 256 };

/* Projections that share an input, their outputs side by side. */
typedef struct ts_group {
    ts_proj first;
    size_t count;
} ts_group;
extern const ts_group ts_groups[4]; /* qkv, o, gate and up, down */
enum { TS_GROUP_QKV, TS_GROUP_O, TS_GROUP_GU, TS_GROUP_DOWN };

/* One pass through the layers. */
typedef struct ts_pass {
    ts_net *net;
    ts_batch *batch;
    const ts_adapter *adapter; /* NULL: base */
    bool each;                 /* every run has its own instead */
    ts_adapter *grad;
    ts_dropout dropout;
    ts_held *held;            /* NULL: nothing is held to the base */
    struct ts_fisher *fisher; /* NULL: squared gradients are not wanted */
    size_t ranks;             /* row length of u */
    /* Called after the keys and values of a layer are there (generation keeps them). */
    void (*on_kv)(void *ctx, size_t layer,
                  const float *qkv); /* then the last layer ends here: nobody wants its output */
    void *ctx;
    ts_progress *progress;
} ts_pass;

/* linear.c: the one place that multiplies with weights. */
size_t ts_ranks(const ts_adapter *a); /* largest sum of the ranks of a layer */
void ts_group_forward(const ts_pass *p, size_t layer, int group, const float *x, float *y, float *u, const float *add);
/* dy [rows, outputs of the group] -> gradients of A and B; dx too unless NULL. */
void ts_group_backward(const ts_pass *p, size_t layer, int group, const float *dy, const float *x, const float *u,
                       float *dx);
/* Logits of rows x [rows, h] with the adapter's head. */
TS_MUST_USE ts_status ts_head_forward(const ts_pass *p, const ts_adapter *a, const float *x, size_t rows, float *logits,
                                      size_t ld, ts_err *err);
size_t ts_group_in(const ts_net *n, int group);
size_t ts_group_out(const ts_net *n, int group);

/* Column of a projection in a row of u. */
size_t ts_rank_column(const ts_adapter *a, size_t layer, size_t proj);

/* attention.c: o and lse from qkv; dqkv (before rope's inverse) from dout. */
/* Floats for both, of a pass over b, and of the workers' memory for a sequence of `keys` tokens. */
size_t ts_attention_floats(ts_net *n, const ts_batch *b, bool backward);
size_t ts_attention_scratch(ts_net *n, size_t keys);
/* Memory for both, of a pass over b. */
TS_MUST_USE ts_status ts_attention_need(ts_net *n, const ts_batch *b, bool backward, ts_err *err);
/* window: as in ts_layer; tiles of keys that no query of a block sees are not calculated. */
void ts_attention_forward(ts_net *n, const ts_batch *b, size_t window, const float *qkv, float *o, float *lse);
void ts_attention_backward(ts_net *n, const ts_batch *b, size_t window, const float *qkv, const float *o,
                           const float *lse, const float *dout, float *dqkv);

/* forward.c */
/* NEFTune on a row of h numbers of a sequence of `length` tokens. */
void ts_neftune(const ts_dropout *d, uint64_t token, size_t length, float *x, size_t h);
TS_MUST_USE ts_status ts_forward(ts_pass *p, ts_err *err);
/* One layer, from bufs.layer[layer].x to that of the next. */
void ts_layer_forward(const ts_pass *p, size_t layer);
TS_MUST_USE ts_status ts_bufs_need(ts_net *n, size_t rows, size_t ranks, bool keep, ts_err *err);
/* How many floats that is. */
size_t ts_bufs_floats(const ts_net *n, size_t rows, size_t ranks, bool keep);
void ts_bufs_release(ts_net_bufs *b);
TS_MUST_USE ts_status ts_rope_need(ts_net *n, size_t positions, ts_err *err);
/* Turns `heads` heads of x, at `place` of a sequence of `length` tokens, as the layer does; back: the inverse. */
void ts_rope_heads(const ts_net *n, const ts_layer *w, float *x, size_t heads, size_t place, size_t length, bool back);
/* Whether a sequence of that length is turned by other frequencies than a short one. */
bool ts_rope_stretched(const ts_model *m, size_t length);
/* Whether one more token changes how all of a sequence of that length are turned. */
bool ts_rope_changes(const ts_model *m, size_t length);
/* The norms of `heads` heads, x into y (which may be x); nothing where the layer has none (w NULL). */
void ts_norm_heads(const ts_net *n, const float *w, const float *x, size_t heads, float *y);
void ts_norm_rows(ts_net *n, const float *x, const float *w, size_t rows, float *y);
/* The adapter of a row of the batch. */
const ts_adapter *ts_row_adapter(const ts_batch *b, size_t row);
/* y = x + norm(a); y may be a, not x */
void ts_post_norm_rows(ts_net *n, const float *a, const float *w, const float *x, size_t rows, float *y);
void ts_gated_rows(ts_net *n, const float *gu, size_t rows, float *act);

/* loss.c: the NLL of every target of the pass's batch into nll[target]; with dx the gradient of their sum with respect
 * to the last layer's output (rows without a target are zero). */
TS_MUST_USE ts_status ts_loss(ts_pass *p, float *nll, float *dx, ts_err *err);
/* The rows of net->base that the batch's targets name, from a pass of the base. */
void ts_base_hidden(ts_pass *p);

/* backward.c */
/* grad[k] += sum of the n numbers of column k of dy [rows, ld]. */
void ts_column_sums(const float *dy, size_t ld, size_t rows, size_t n, float *grad);
/* Vectors that one norm was applied to: vector i is head i % heads of row i / heads of x (of the row that target i
 * names, if there are targets) and of dy. */
typedef struct ts_norm_rows_of {
    const float *x, *dy;
    size_t ldx, ldy, count, heads, n; /* n: numbers of a vector */
    const ts_target *targets;
} ts_norm_rows_of;
/* grad[k] += sum over the vectors of dy_k x_k / |x| (|x| the root of the mean square); nothing when grad is NULL. */
TS_MUST_USE ts_status ts_norm_gradient(ts_net *n, const ts_norm_rows_of *of, float *grad, ts_err *err);
TS_MUST_USE ts_status ts_backward(ts_pass *p, ts_err *err); /* bufs.dres holds the gradient of the last output */

/* net.c */
/* A backward pass that gives the gradient of every sequence by itself, by the base's weights, to fisher; grad, of the
 * adapter's shape, gets something that nobody needs. */
TS_MUST_USE ts_status ts_net_squares(ts_net *n, const ts_adapter *adapter, const ts_seq *seqs, size_t n_seqs,
                                     struct ts_fisher *fisher, ts_adapter *grad, ts_progress *progress, ts_err *err);
TS_MUST_USE ts_status ts_need_floats(float **p, size_t *have, size_t floats, const char *what, ts_err *err);

/* fisher.c: adds the squares of the gradients dy'x, each sequence's own, to F of a projection; from columns of dy that
 * are its outputs. After a micro-batch ts_fisher_next. */
void ts_fisher_add(const ts_pass *p, size_t layer, size_t proj, const float *dy, size_t ldy, const float *x);
void ts_fisher_next(struct ts_fisher *f);

#endif
