/* NF4, the 4-bit type of QLoRA, as bitsandbytes defines it (functional.py, csrc/cpu_ops.cpp): made in memory from a
 * model of 16 or 32 bits, in no file.
 *
 * The weights of a matrix, row by row, in blocks of 64: a = max |w|, a weight's code the number of midpoints between
 * neighbours of ts_nf4_values that are below w / a. Double quantisation: the a of all blocks less their mean, in blocks
 * of 256, are rounded in turn to n * v with n = max |a - mean| and v the nearest of 256 values (ts_nf4_nested), the
 * lower of two equally near. bitsandbytes finds v through a table and takes the neighbour once in some hundreds.
 *
 * We keep the rounded a as f32 (4.5 bits a weight where 4.127 would do): a row stays a row of bytes that every kernel
 * reads alone, and the values are the same. */
#ifndef TS_MODEL_NF4_H
#define TS_MODEL_NF4_H

#include "core/model/model.h"
#include "core/work/progress.h"

/* n weights, whole blocks of 64, to TS_NF4 blocks at dst. Finite weights only. */
void ts_nf4_encode(const float *src, void *dst, size_t n);
/* Double quantisation of the a of a matrix's blocks, in place. codes: NULL, or room for a byte a block (tests). */
void ts_nf4_nest(void *blocks, size_t n, unsigned char *codes);
/* The 256 values of a rounded a, rising. */
void ts_nf4_nested(float out[256]);

/* Replaces the matrices of m's linears (not embedding and head) by their NF4 form, on all cores, and gives the memory
 * of the old ones back. Matrices that are stored in blocks already stay as they are. For a model that nobody else uses
 * yet. TS_UNSUPPORTED where a row is no whole number of blocks, TS_INVALID where a weight is not finite. */
TS_MUST_USE ts_status ts_model_to_nf4(ts_model *m, ts_progress *progress, ts_err *err);
/* Bytes that m's weights take then. */
size_t ts_nf4_model_bytes(const ts_model *m);

#endif
