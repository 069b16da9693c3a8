/* Small changes to a question that leave what it asks as it is: whether a model answers as well to a careless hand is
 * measured with them (eval/robust.h). The idea, and that the worst of the changes counts: HELM (Liang et al.
 * 2022, 4.3).
 *
 * The same text, change and seed give the same result on every machine. Never touched: fenced and `inline` code,
 * indentation, line ends, and words that hold a digit, an address (:// @ www.), a slash, an underscore or bytes that
 * are no UTF-8. Letters without case (Chinese, Arabic, ..) stay as they are. A text may have nothing that a change
 * could change; it then comes back as it was. Any thread. */
#ifndef TS_EVAL_PERTURB_H
#define TS_EVAL_PERTURB_H

#include "core/base/buf.h"

enum { TS_P_TYPOS, TS_P_LOWER, TS_P_UPPER, TS_P_SPACES, TS_P_PUNCTUATION, TS_P_COUNT };

typedef struct ts_perturbation {
    const char *name, *help;
} ts_perturbation;
extern const ts_perturbation ts_perturbations[TS_P_COUNT];

/* Appends the changed text; false when it is the same as before. */
bool ts_perturb(int which, const char *text, size_t n, uint64_t seed, ts_buf *out);

#endif
