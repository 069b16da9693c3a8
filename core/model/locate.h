/* From what a person types after --model to files: a Hugging Face folder, a GGUF file, a folder that holds exactly one
 * GGUF file, or a NAME found as ${TUNESMITH_MODELS:-~/.cache/tunesmith/models}/NAME. */
#ifndef TS_MODEL_LOCATE_H
#define TS_MODEL_LOCATE_H

#include "core/base/file.h"

typedef enum ts_model_kind { TS_MODEL_GGUF, TS_MODEL_HF } ts_model_kind;
typedef struct ts_model_place {
    ts_model_kind kind;
    char *path; /* the GGUF file, or the folder */
} ts_model_place;

/* TS_NOT_FOUND says which places were looked at and what to put there. */
TS_MUST_USE ts_status ts_model_locate(const char *spec, ts_model_place *out, ts_err *err);
void ts_model_place_release(ts_model_place *p);
/* ${TUNESMITH_MODELS:-~/.cache/tunesmith/models}; the caller frees. */
char *ts_models_dir(void);

#endif
