/* Shared by core/model/export*.c. */
#ifndef TS_MODEL_EXPORT_PRIVATE_H
#define TS_MODEL_EXPORT_PRIVATE_H

#include "core/model/export.h"
#include "core/model/gguf_write.h"
#include "core/model/model_private.h"
#include "core/model/tokenizer_impl.h"

/* A tensor of the output. Vectors come from the open model as f32. */
typedef enum ts_role { TS_ROLE_EMBED, TS_ROLE_HEAD, TS_ROLE_PROJ, TS_ROLE_VECTOR } ts_role;
typedef struct ts_part {
    char hf[96], gguf[80]; /* "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight" */
    ts_role role;
    size_t layer;
    ts_proj proj;      /* of TS_ROLE_PROJ */
    size_t rows, cols; /* a vector: rows 1 */
    ts_weight weight;  /* of a matrix */
    const float *vector;
    bool from_one; /* a norm's factors; the folder keeps what is added to 1 */
    bool rotary;   /* rows of q or k, or their bias: GGUF's llama keeps them in another order */
    ts_dtype type; /* of the output */
} ts_part;
typedef struct ts_parts {
    ts_part *items;
    size_t n, cap;
    bool tied; /* of the output */
} ts_parts;
/* All tensors in the order of the forward pass, each with the type that `type` means for a folder; free items. */
void ts_export_parts(const ts_export *x, ts_parts *out);
size_t ts_part_bytes(const ts_part *p);

/* One act at work. */
typedef struct ts_exporting {
    const ts_export *x;
    ts_export_report *report;
    ts_parts parts;
    char *temp; /* folder or file of the temporary name */
    int64_t done, total;
    double change2, weight2; /* sums of squares over merged weights */
    double merged_weights, same_weights;
} ts_exporting;
/* Where the encoded bytes of a part go, in order. */
typedef ts_status ts_part_sink(void *ctx, const void *data, size_t n, ts_err *err);
/* Encodes one part as a folder or a GGUF file keeps it. */
TS_MUST_USE ts_status ts_export_part(ts_exporting *e, const ts_part *p, bool gguf, ts_part_sink *sink, void *ctx,
                                     ts_err *err);
void ts_export_finish_report(ts_exporting *e);

/* What a GGUF file calls the model's architecture. */
const char *ts_export_architecture(const ts_model *m);
/* Chooses the type of every part of a GGUF file. */
void ts_export_gguf_types(ts_exporting *e);

/* Checks that nothing is in the way at `out`. */
TS_MUST_USE ts_status ts_export_check_out(const char *out, bool folder, ts_err *err);

/* The name beside `out` under which a folder is filled (the caller frees), and giving the finished one its name; an
 * empty folder of that name gives way. */
char *ts_export_temp(const char *out);
TS_MUST_USE ts_status ts_export_name(const char *temp, const char *out, ts_err *err);

/* export_config.c: config.json and generation_config.json into the folder. */
TS_MUST_USE ts_status ts_export_config(const ts_exporting *e, const char *dir, ts_err *err);
/* export_tokenizer.c: tokenizer.json, tokenizer_config.json (and what a folder has beside them) into the folder. */
TS_MUST_USE ts_status ts_export_tokenizer(const ts_export *x, const char *dir, ts_err *err);

/* export_gguf_tokenizer.c: the keys tokenizer.* of the model's tokenizer, read from a folder. */
TS_MUST_USE ts_status ts_export_gguf_tokenizer(const ts_export *x, ts_gguf_writer *w, ts_err *err);

#endif
