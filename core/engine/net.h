/* The maths on one model: forward, loss, backward, generation. Nothing here reads files, prints or knows about runs.
 *
 * A net holds a model (borrowed), scratch memory and the thread pool's settings. No padding exists: the sequences of a
 * batch are laid end to end, all matrix products run over the sum of their tokens, attention is per sequence. Batches
 * are cut into micro-batches of about equal size and at most `micro_tokens` tokens (a longer sequence is a micro-batch
 * of its own), so memory does not follow the batch. Tokens behind the last supervised one are not calculated, and a
 * beginning that all sequences of a micro-batch share (a system prompt) once. Output logits exist only for supervised
 * positions, a chunk at a time. One thread drives a net; it uses the pool inside. Same seed, threads, kernel and
 * micro-batch split give the same bits. */
#ifndef TS_ENGINE_NET_H
#define TS_ENGINE_NET_H

#include "core/engine/sampling.h"
#include "core/model/adapter.h"
#include "core/model/chat.h"
#include "core/model/inspect.h"
#include "core/work/progress.h"

typedef struct ts_net ts_net;

typedef struct ts_net_options {
    size_t micro_tokens; /* 0: 1024 */
    bool recompute; /* the backward pass keeps the layers' inputs alone and calculates the rest of a layer again when
                       it comes to it: the same bits, less memory, more time */
} ts_net_options;
TS_MUST_USE ts_status ts_net_new(ts_net **out, const ts_model *m, const ts_net_options *options, ts_err *err);
void ts_net_free(ts_net *n);
/* Tokens of prompt and answer together; 0: not known. */
size_t ts_net_context(const ts_net *n);
/* The vector kernels in use: "avx512", "avx2" or "plain" (TUNESMITH_KERNEL chooses another). */
const char *ts_net_kernel(void);

/* A sequence: n ids and n labels (aligned, not shifted; TS_NO_LABEL = not supervised; labels[0] never counts).
 * Borrowed. */
typedef struct ts_seq {
    const int32_t *ids, *labels;
    size_t n;
    const float *weights; /* [n] of each label's NLL in sums and gradients, from 0 on; NULL: 1 */
} ts_seq;
/* Sum of the weights of what is supervised: what a mean divides by. */
double ts_seq_weight(const ts_seq *s);

/* Sum of natural-log NLL over the supervised tokens of each sequence into nll[i] and their number into count[i]; with
 * `per_token` not NULL also each single NLL, at the position of its label (0 where unsupervised), laid end to end as
 * the sequences are. adapter NULL: the base. */
TS_MUST_USE ts_status ts_net_nll(ts_net *n, const ts_adapter *adapter, const ts_seq *seqs, size_t n_seqs, double *nll,
                                 size_t *count, float *per_token, ts_progress *progress, ts_err *err);
/* The same where every sequence has an adapter of its own (adapters [n_seqs], NULL: the base). Sequences with the same
 * adapter stand together; a micro-batch reads and converts the base weights once, whatever adapters are in it. The same
 * bits as each alone. */
TS_MUST_USE ts_status ts_net_nll_each(ts_net *n, const ts_adapter *const *adapters, const ts_seq *seqs, size_t n_seqs,
                                      double *nll, size_t *count, float *per_token, ts_progress *progress, ts_err *err);
/* Logits of every position of one sequence into out [n, vocab]: tests, sampling checks. */
TS_MUST_USE ts_status ts_net_logits(ts_net *n, const ts_adapter *adapter, const int32_t *ids, size_t len, float *out,
                                    ts_err *err);

/* Adds the gradient of the SUM of NLL over the supervised tokens of seqs to `grad` (same shape as adapter; see
 * ts_adapter_trainable; an embedding's row of the padding token learns from its use in the head alone, as in torch;
 * DoRA's norms are constants, ts_adapter_refresh after every change is the caller's). *nll and *count get the sum and
 * the number of tokens. The caller divides by the count of the whole optimiser step. dropout > 0 draws its masks from
 * (seed, step, layer, projection, token), so a resumed run draws the same. */
typedef struct ts_dropout {
    double p;
    uint64_t seed;
    double neftune; /* NEFTune's alpha: each number that enters the first layer gets alpha / sqrt(tokens of the sequence
                       x hidden size) times a uniform number of (-1, 1), drawn from (seed, token); 0: none */
} ts_dropout;
TS_MUST_USE ts_status ts_net_backward(ts_net *n, const ts_adapter *adapter, const ts_seq *seqs, size_t n_seqs,
                                      ts_dropout dropout, ts_adapter *grad, double *nll, size_t *count,
                                      ts_progress *progress, ts_err *err);

/* KL to the base (engine research 2.13, form c): holds what the model says on some of the sequences of a backward pass.
 * At each of their supervised positions i
 *   KL_i = KL(p || q) = sum over the whole vocabulary of p (ln p - ln q)
 * p: the softmax of the logits with the adapter off (of full fine-tuning: of the weights that it began with), without
 * dropout and noise, a constant; q: of those with the adapter. Towards the base's p, not from it: q is pulled up
 * wherever the base would go, so that nothing it can say becomes unlikely. The gradient by the logits is q - p. The sum
 * that is minimised becomes that of NLL_i w_i + weight KL_i w_i (w: the labels' weights), and the caller divides both
 * by the same count (2.11: one of the whole step, never a mean of means). Costs a forward pass over those sequences
 * before the others, and memory for their hidden states; their logits stand in blocks, like all logits. */
typedef struct ts_held {
    const bool *of; /* [n_seqs]: which sequences */
    double weight;
    double sum; /* comes out: KL_i w_i added up */
} ts_held;
/* ts_net_backward with it; nll does not contain it. held NULL: the same as without. */
TS_MUST_USE ts_status ts_net_backward_held(ts_net *n, const ts_adapter *adapter, const ts_seq *seqs, size_t n_seqs,
                                           ts_dropout dropout, ts_held *held, ts_adapter *grad, double *nll,
                                           size_t *count, ts_progress *progress, ts_err *err);

/* Generation. Every item has a prompt and an adapter (NULL: base); all items advance together and read the base weights
 * once a step; an item's answer has the same bits alone and beside any others. TS_CANCELLED and other failures leave
 * what was generated so far in the items (stop is TS_STOP_CANCELLED there). */
typedef enum ts_stop { TS_STOP_EOS, TS_STOP_LENGTH, TS_STOP_CANCELLED, TS_STOP_TEXT } ts_stop;

typedef struct ts_gen_item {
    const int32_t *prompt;
    size_t n_prompt;
    const ts_adapter *adapter;
    uint64_t
        stream; /* random numbers are drawn from (seed, stream, position): same stream = same draws on every side */
    /* results, owned by the item; released with ts_gen_release */
    ts_ids out; /* the stop token is not in it */
    ts_stop stop;
    float *margins; /* best minus second raw logit per step if asked for: out.n of them, one more after TS_STOP_EOS */
} ts_gen_item;

typedef struct ts_gen_options {
    size_t max_new_tokens; /* an answer also ends (TS_STOP_LENGTH) where the model's context does */
    ts_sampling sampling;
    bool f16_cache; /* keys and values are kept rounded to f16: half the memory */
    const int32_t *stop_ids;
    size_t n_stop_ids;
    bool margins;
    /* Called for each new token from the driving thread, in item order; may be NULL. True ends the item with
     * TS_STOP_TEXT; the token stays in it. */
    bool (*on_token)(void *ctx, size_t item, int32_t id);
    void *ctx;
} ts_gen_options;
TS_MUST_USE ts_status ts_net_generate(ts_net *n, ts_gen_item *items, size_t n_items, const ts_gen_options *o,
                                      ts_progress *progress, ts_err *err);
void ts_gen_release(ts_gen_item *items, size_t n);

/* What the largest micro-batches of some calls take: rows, supervised rows, floats of attention, and their longest
 * sequence. Grows with every call, beginning with zeros. The caller sets held: the most positions of a call at which KL
 * to the base is taken. */
typedef struct ts_net_load {
    size_t rows, targets, attention, longest, held;
} ts_net_load;
/* Cuts the sequences of a ts_net_backward (drawn: with dropout or noise) into micro-batches, and calculates nothing. */
void ts_net_measure(ts_net *n, const ts_seq *seqs, size_t n_seqs, bool drawn, ts_net_load *most);
/* Bytes that training then takes beside weights, adapter and optimiser: activations, logits, scratch. ranks: the
 * largest sum of the ranks of a layer. */
size_t ts_net_train_bytes(const ts_net *n, const ts_net_load *most, size_t ranks, bool dora);
/* What loading, generating and each way of training take, for `inspect`; returns the number of rows. */
size_t ts_net_memory(const ts_model *m, ts_memory_row rows[TS_MEMORY_ROWS]);

#endif
