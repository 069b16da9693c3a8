/* Writes a model in another form, with an adapter merged into it or not: a Hugging Face folder or a GGUF file.
 *
 * Every value goes the way stored type -> f32 -> (adapter: ts_adapter_apply's W + s B A, in f32) -> one rounding, to
 * nearest even, to the output type. A matrix that no adapter changes and whose type stays is copied byte by byte. Rows
 * are done on all cores, a slice at a time, so memory does not follow the model. A value that is not finite stops the
 * act (PEFT's safe_merge). Where the adapter changes the embedding of a model whose head is the embedding, the output
 * gets a head of its own, so that it computes what the model with the active adapter computes.
 *
 * The result appears under its name when it is complete: files in a folder of a temporary name beside `out`, fsynced,
 * then renamed; after a failure or a cancellation nothing stays. */
#ifndef TS_MODEL_EXPORT_H
#define TS_MODEL_EXPORT_H

#include "core/model/adapter.h"
#include "core/model/quantize.h"
#include "core/work/progress.h"

/* The type taken when none is asked for: the model's own where it is 32 or 16 bits wide; f16 for a quantised one (its
 * dequantised values have at most 11 + 4 bits; bf16 would drop more of them). */
const ts_file_type *ts_file_type_default(const ts_model *m);
/* Are the model's matrices stored in blocks? */
bool ts_model_quantised(const ts_model *m);

typedef struct ts_export {
    const ts_model *model;
    const ts_adapter *adapter; /* merged into it; NULL: none */
    const char *out;           /* the folder or file: must not be there, an empty folder may */
    const ts_file_type *type;  /* of the matrices (quantize.h says which gets what); vectors of GGUF files are f32 */
    uint64_t max_shard;        /* folder: largest weights file in bytes, 0: 5 GB as transformers has it */
    /* the Jinja source that takes the place of the model's chat template (chat_template.jinja, which goes before the
     * one in tokenizer_config.json, or tokenizer.chat_template); NULL: the model's own */
    const char *chat_template;
    ts_progress *progress; /* in bytes read; NULL: nobody watches */
} ts_export;

typedef struct ts_export_report {
    size_t tensors, files;
    uint64_t bytes;     /* of all files written */
    size_t fell_back;   /* matrices that took another type because their rows are no whole blocks */
    char fallback[160]; /* the first of them: "blk.0.ffn_down.weight is q8_0" */
    size_t
        window_unread; /* GGUF: the model's sliding window, where llama.cpp knows none for the architecture; else 0 */
    bool untied;
    /* of the adapted matrices, against their values without the adapter */
    size_t merged;
    double max_change; /* largest |dW| */
    double rms_change, rms_weight;
    double same_bf16; /* share of their weights whose bf16 value did not change */
} ts_export_report;

/* A folder that transformers loads: config.json, model.safetensors (or parts with an index), generation_config.json and
 * the tokenizer's files: copied from a folder, written from a GGUF file's keys. */
TS_MUST_USE ts_status ts_export_folder(const ts_export *x, ts_export_report *report, ts_err *err);
/* A file that llama.cpp loads. */
TS_MUST_USE ts_status ts_export_gguf(const ts_export *x, ts_export_report *report, ts_err *err);

#endif
