/* How like two texts are, by the measures that people publish. Pure functions of texts; any thread. Bytes that are no
 * UTF-8 count as U+FFFD. All go from 0 to 1, 1 is best, except that BLEU and chrF go to 100 as everywhere.
 *
 * Texts are looked at up to TS_METRIC_UNITS words (characters for chrF), so that no answer takes for ever.
 *
 * Sums: BLEU and chrF of a set are not the mean of those of its answers; they are calculated from summed counts. So
 * both come in two steps: counts of one pair, and the score of (summed) counts. */
#ifndef TS_EVAL_METRICS_H
#define TS_EVAL_METRICS_H

#include "core/base/json.h"
#include "dataset/store.h"

enum { TS_METRIC_UNITS = 10000, TS_BLEU_COUNTS = 10, TS_CHRF_COUNTS = 18 };

/* SQuAD (Rajpurkar et al. 2016): lower case, without ASCII punctuation, without the words a, an, the. The first is 1
 * when both texts then have the same words in the same order; the second is the F1 of the words they share. Two empty
 * texts are the same. */
double ts_exact_match(ts_text answer, ts_text reference);
double ts_token_f1(ts_text answer, ts_text reference);

/* ROUGE (Lin 2004) as rouge-score 0.1.2 without stemmer: lower case, words are runs of a-z0-9; F1 of the words (n = 1)
 * or word pairs (n = 2) they share, or of the longest common subsequence. */
double ts_rouge_n(ts_text answer, ts_text reference, size_t n);
double ts_rouge_l(ts_text answer, ts_text reference);

/* BLEU (Papineni et al. 2002) as sacrebleu 2: 13a tokens, orders 1 to 4, exponential smoothing, effective order.
 * Counts: shared and all n-grams of the answer by order (4 + 4), words of the answer, of the reference. */
void ts_bleu_counts(ts_text answer, ts_text reference, double out[TS_BLEU_COUNTS]);
double ts_bleu(const double counts[TS_BLEU_COUNTS]);

/* chrF (Popovic 2015) as sacrebleu 2: orders 1 to 6, no words, beta 2, white space taken out. Counts by order: n-grams
 * of the answer, of the reference, shared. */
void ts_chrf_counts(ts_text answer, ts_text reference, double out[TS_CHRF_COUNTS]);
double ts_chrf(const double counts[TS_CHRF_COUNTS]);

/* Share of different n-grams among the n-grams of words (distinct-n, Li et al. 2016); NAN: there is none. */
double ts_distinct(ts_text t, size_t n);

/* The text, without blanks around it and without a fence ```json .. ``` around that, is one JSON value. */
bool ts_json_valid(ts_text t);
/* Whether a value fits a schema of the keywords type, enum, const, required, properties, additionalProperties (false or
 * a schema), items, minItems, maxItems, minimum, maximum, minLength, maxLength; other keywords ask for nothing. */
bool ts_json_fits(const ts_json *schema, const ts_json *value);
/* Both: valid, and fits. */
bool ts_json_valid_for(ts_text t, const ts_json *schema);

#endif
