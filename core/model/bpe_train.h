/* Training a byte-level BPE tokenizer: the vocabulary of a model that is made from nothing (new_model.h).
 *
 * Texts are cut into words as the tokenizer itself will cut them (one digit a word, then GPT-2's pattern), equal words
 * are counted once, and every word starts as its bytes. Then, again and again, the two neighbours that occur together
 * most often become one token; of equally frequent pairs the one of the smaller left id, then the smaller right id.
 * That is the rule of Hugging Face's BpeTrainer, so both give the same file from the same words. A pair that was merged
 * once is not merged again, should it come back (two ways to spell one token can bring it back).
 *
 * Ids: the special tokens in their order, the 256 bytes in the order of the characters that stand for them
 * (tokenizer_impl.h), then the merges. Nothing depends on the machine, on threads or on the order of the texts. */
#ifndef TS_MODEL_BPE_TRAIN_H
#define TS_MODEL_BPE_TRAIN_H

#include "core/base/buf.h"
#include "core/work/progress.h"

typedef struct ts_bpe_trainer ts_bpe_trainer;

/* The special tokens are copied. One thread. */
ts_bpe_trainer *ts_bpe_trainer_new(const char *const *specials, size_t n_specials);
void ts_bpe_trainer_free(ts_bpe_trainer *t);
/* Counts the words of a text (invalid UTF-8 is read as U+FFFD). TS_LIMIT: more than 4 GB of different words. */
TS_MUST_USE ts_status ts_bpe_trainer_add(ts_bpe_trainer *t, const char *text, size_t n, ts_err *err);
/* Merges until the vocabulary has `size` tokens or no pair occurs twice. Once. TS_INVALID: size is less than the
 * special tokens and the bytes. Counts are kept up to date and the best pair comes from a heap: time goes with the
 * number of changes, not with merges times words. Progress in merges. */
TS_MUST_USE ts_status ts_bpe_trainer_run(ts_bpe_trainer *t, size_t size, ts_progress *progress, ts_err *err);
/* The same by counting everything anew for every merge: the definition, for tests. */
TS_MUST_USE ts_status ts_bpe_trainer_run_plain(ts_bpe_trainer *t, size_t size, ts_err *err);

size_t ts_bpe_trainer_size(const ts_bpe_trainer *t);  /* tokens so far */
size_t ts_bpe_trainer_words(const ts_bpe_trainer *t); /* different words counted */
/* tokenizer.json, appended. */
void ts_bpe_trainer_write(const ts_bpe_trainer *t, ts_buf *json);

#endif
