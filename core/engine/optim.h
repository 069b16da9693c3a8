/* AdamW, gradient clipping and learning-rate schedules (torch's order and Hugging Face's formulas, see the .c). Plain
 * functions on flat arrays; results do not depend on the number of threads. */
#ifndef TS_ENGINE_OPTIM_H
#define TS_ENGINE_OPTIM_H

#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ts_adamw {
    double lr, beta1, beta2, eps, weight_decay;
} ts_adamw;
#define TS_ADAMW_DEFAULTS                                                                                              \
    { 0, 0.9, 0.999, 1e-8, 0 }

/* One update of n parameters; t counts from 1. g is used as it is (scale and clip before). */
void ts_adamw_step(const ts_adamw *o, size_t t, float *p, const float *g, float *m, float *v, size_t n);
/* The same of parameters that are kept in bf16: calculated in f32 and rounded stochastically (tensor.h), so that
 * changes below half a step of bf16, which rounding to nearest would drop, count in the mean. Element i takes the i %
 * 4-th 16 bits of ts_rand_mix(key, i / 4): the result follows from key alone, whatever the threads. */
void ts_adamw_step_bf16(const ts_adamw *o, size_t t, uint16_t *p, const float *g, float *m, float *v, size_t n,
                        uint64_t key);
/* Euclidean norm, summed in double. */
double ts_grad_norm(const float *g, size_t n);
/* Factor of clip_grad_norm_: 1 or max / (norm + 1e-6). */
double ts_clip_factor(double norm, double max_norm);

/* WSD (warm-up, stable, decay): constant, and over the last fifth of the steps 1 - sqrt of the share done. */
typedef enum ts_schedule { TS_COSINE, TS_LINEAR, TS_CONSTANT, TS_WSD } ts_schedule;
extern const char *const ts_schedule_names[];
TS_MUST_USE ts_status ts_schedule_parse(const char *name, ts_schedule *out, ts_err *err);
/* Factor of the learning rate for optimiser step k (from 0) of `steps`, with `warmup` steps. */
double ts_schedule_factor(ts_schedule s, size_t k, size_t steps, size_t warmup);

#endif
