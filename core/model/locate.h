/* From what a person types after --model to files: a Hugging Face folder, a GGUF file, a folder that holds exactly one
 * GGUF file, a NAME found as ${TUNESMITH_MODELS:-~/.cache/tunesmith/models}/NAME, or "sample": the small model that
 * comes with the program (share/tunesmith/model beside the installed program, samples/model above a built one). */
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
/* The folder of the model "sample"; NULL: the program stands alone. The caller frees. */
char *ts_sample_model(void);

#endif
