/* Private to core/model/quantize*.c: the encoders of one block of 256 weights, true when all fits. */
#ifndef TS_MODEL_QUANTIZE_K_H
#define TS_MODEL_QUANTIZE_K_H

#include "core/model/tensor.h"

bool ts_to_q4_k(const float *x, unsigned char *to); /* 144 bytes */
bool ts_to_q5_k(const float *x, unsigned char *to); /* 176 */
bool ts_to_q6_k(const float *x, unsigned char *to); /* 210 */

/* f as f16 at any address; false when it became infinite or is no number. */
bool ts_put_half(unsigned char *to, float f);

#endif
