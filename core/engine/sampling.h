/* How the next token is chosen from a row of logits: the settings, their one table, and the choice itself.
 *
 * hf is the order of transformers (generation/utils.py, 5.23): repetition penalty, no repeated n-grams, temperature,
 * top_k, top_p, min_p, typical_p, draw. llamacpp is llama.cpp's: penalties over the last `penalty_window` tokens,
 * top_k, typical_p, top_p, min_p, temperature, draw; so its cuts see the untempered distribution, and top_k keeps
 * exactly k where hf keeps all that are equal to the k-th. transformers has no presence and frequency penalty: in the
 * order hf they stand behind the repetition penalty and count the answer's tokens only, as OpenAI's interface does;
 * llamacpp counts the prompt's too. Temperature 0 takes the likeliest token after the penalties, whatever the cuts say.
 * Any thread. */
#ifndef TS_ENGINE_SAMPLING_H
#define TS_ENGINE_SAMPLING_H

#include "core/base/json.h"

#include <math.h>

typedef enum ts_sampling_order { TS_ORDER_HF, TS_ORDER_LLAMACPP, TS_ORDERS } ts_sampling_order;
extern const char *const ts_sampling_orders[TS_ORDERS]; /* "hf", "llamacpp" */

/* Members are called what the engine's requests call them. Zero is "off" for all but top_p. */
typedef struct ts_sampling {
    double temperature; /* 0: greedy */
    int64_t top_k;
    double top_p, min_p, typical_p; /* off: 1 (or above), 0, 1 */
    double repetition_penalty;      /* off: 1 */
    int64_t no_repeat_ngram_size;
    double presence_penalty, frequency_penalty;
    int64_t penalty_window; /* tokens that the three penalties look back at; 0: all */
    int64_t seed;
    ts_sampling_order order;
} ts_sampling;

/* ROW(member, option of the command line, INT or NUM, default in the order hf, in llamacpp, least, most, what help
 * calls the value, help). llama.cpp's defaults: common/common.h. */
#define TS_SAMPLING_TABLE(ROW)                                                                                         \
    ROW(temperature, "temperature", NUM, 0, 0.8, 0, 1000, "T", "0: the likeliest token")                               \
    ROW(top_k, "top-k", INT, 0, 40, 0, 1e9, "K", "only the K likeliest tokens; 0: all")                                \
    ROW(top_p, "top-p", NUM, 1, 0.95, 0, 1, "P", "only the likeliest that together reach P; 1: all")                   \
    ROW(min_p, "min-p", NUM, 0, 0.05, 0, 1, "P", "only those with P times the best one's probability; 0: all")         \
    ROW(typical_p, "typical-p", NUM, 1, 1, 1e-6, 1, "P", "only the most typical that together reach P; 1: all")        \
    ROW(repetition_penalty, "repetition-penalty", NUM, 1, 1, 1e-3, 1000, "R", "on tokens that occurred; 1: off")       \
    ROW(no_repeat_ngram_size, "no-repeat-ngram-size", INT, 0, 0, 0, 1e6, "N",                                          \
        "no N tokens in a row twice, prompt included; 0: off")                                                         \
    ROW(presence_penalty, "presence-penalty", NUM, 0, 0, -100, 100, "X", "taken off the logit of what occurred")       \
    ROW(frequency_penalty, "frequency-penalty", NUM, 0, 0, -100, 100, "X", "the same, once for each time")             \
    ROW(penalty_window, "penalty-window", INT, 0, 64, 0, 1e9, "N", "penalties look N tokens back; 0: all the way")     \
    ROW(seed, "seed", INT, 42, 42, 0, 9007199254740991, "N", "of the random numbers, the same for every side")

/* "Not said": ts_sampling_settle puts the order's default there. */
#define TS_UNSET_INT INT64_MIN
#define TS_UNSET_NUM ((double)NAN)
#define TS_SAMPLING_UNSET_ROW(member, option, kind, ...) .member = TS_UNSET_##kind,
/* clang-format off */
#define TS_SAMPLING_UNSET { TS_SAMPLING_TABLE(TS_SAMPLING_UNSET_ROW) .order = TS_ORDER_HF }
#define TS_SAMPLING_GREEDY { .top_p = 1, .typical_p = 1, .repetition_penalty = 1, .seed = 42 }
/* clang-format on */

/* False for an unknown name. */
bool ts_sampling_order_find(const char *name, ts_sampling_order *out);
/* Fills what was not said; a value out of its range is TS_INVALID and named. */
TS_MUST_USE ts_status ts_sampling_settle(ts_sampling *s, ts_err *err);
/* Members of an object that is open: every setting and "order". */
void ts_sampling_write(const ts_sampling *s, ts_jw *w);
/* From such members; what is not there has the order's default. Checks ranges. */
TS_MUST_USE ts_status ts_sampling_read(const ts_json *object, ts_sampling *out, ts_err *err);

/* Tokens so far: the prompt's, then the answer's. */
typedef struct ts_past {
    const int32_t *ids;
    size_t n, prompt; /* all, and how many of them are the prompt's */
} ts_past;

/* The probabilities the next token is drawn from: probs and logits [vocab]; probs sums to 1. */
void ts_sampling_probs(const ts_sampling *s, const float *logits, size_t vocab, const ts_past *past, float *probs);
/* The next token; its random number comes from (seed, stream, position). margin, if not NULL: best minus second of the
 * raw logits. */
int32_t ts_sampling_next(const ts_sampling *s, const float *logits, size_t vocab, const ts_past *past, uint64_t stream,
                         size_t position, float *margin);

#endif
