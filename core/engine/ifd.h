/* How well a model knows an answer with its prompt and without: the two losses that IFD is made of (Li et al. 2024).
 *
 * Of every assistant turn of a conversation: the sum of NLL of its n tokens after all that stands before them, and of
 * the same n tokens after nothing but the template's beginning of an answer (<|im_start|>assistant and a line end).
 * Where a template writes none (Llama 2), the token that begins a text stands there; a model that has none does not
 * score the first token, in both sums. The token that ends the turn counts in neither. */
#ifndef TS_ENGINE_IFD_H
#define TS_ENGINE_IFD_H

#include "core/engine/examples.h"
#include "core/engine/net.h"

typedef struct ts_ifd_turn {
    double given, alone; /* sums of NLL; alone is NAN when it was not asked for */
    size_t n;            /* tokens */
} ts_ifd_turn;

typedef struct ts_ifd {
    ts_ifd_turn *turns; /* with n > 0 */
    size_t n;
} ts_ifd;

/* out[i] for each of n rows (ts_encoder_row); released with ts_ifd_release also after an error. alone false: only the
 * losses with the prompt are calculated. */
TS_MUST_USE ts_status ts_ifd_rows(ts_net *net, ts_encoder *e, const ts_adapter *adapter, const ts_example *rows,
                                  size_t n, bool alone, ts_ifd *out, ts_progress *progress, ts_err *err);
void ts_ifd_release(ts_ifd *x, size_t n);

#endif
