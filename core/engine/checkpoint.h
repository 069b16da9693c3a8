/* Checkpoints of a run: checkpoints/NNNNNN/ (the step) with state.json, adapter.f32 (of weights that are kept in bf16
 * adapter.bf16), m.f32 and v.f32 (the parameters and AdamW's moments, little-endian, in the order of ts_adapter.block).
 * A checkpoint is written as a folder of another name, synced and renamed; then the file checkpoints/CURRENT is
 * replaced, which makes it the good one; older ones are removed after that. Whatever happens in between, CURRENT names
 * a whole checkpoint. */
#ifndef TS_ENGINE_CHECKPOINT_H
#define TS_ENGINE_CHECKPOINT_H

#include "core/base/file.h"

typedef struct ts_checkpoint {
    int64_t step;      /* finished steps: the place in the data follows from it, the seed and the batch size */
    int64_t updates;   /* of those that changed the parameters: AdamW's t */
    int64_t evaluated; /* the last step after which validation ran; -1: none */
    int64_t sampled;   /* the last step after which the sample prompts were answered; -1: none */
    int64_t best_step; /* -1: none */
    double best_valid_loss, valid_loss;
    int64_t bad_evals; /* evaluations since the best one */
    int64_t events_bytes;
    double seconds;
    void *params; /* floats, or bf16 numbers */
    bool halves;  /* they are bf16 */
    float *m, *v;
    size_t n; /* of each */
} ts_checkpoint;

/* Does nothing when CURRENT names this step already. */
TS_MUST_USE ts_status ts_checkpoint_write(const char *run_dir, const ts_checkpoint *c, ts_err *err);
/* Fills *c, whose arrays of c->n numbers are the caller's. TS_NOT_FOUND: there is none yet. TS_CORRUPT: the files are
 * not what state.json says, or one is gone. */
TS_MUST_USE ts_status ts_checkpoint_read(const char *run_dir, ts_checkpoint *c, ts_err *err);

#endif
