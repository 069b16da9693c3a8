/* Text to token ids and back, exactly as Hugging Face's tokenizers would. Read from a tokenizer.json (with
 * tokenizer_config.json beside it) or from the keys of a GGUF file. Immutable after opening: any number of threads may
 * use one. */
#ifndef TS_MODEL_TOKENIZER_H
#define TS_MODEL_TOKENIZER_H

#include "core/base/buf.h"

typedef struct ts_tokenizer ts_tokenizer;

typedef struct ts_ids {
    int32_t *items;
    size_t n, cap;
} ts_ids;
void ts_ids_release(ts_ids *ids);

/* `spec` as for ts_model_open; only the tokenizer's part of the files is read (so a folder without weights serves). */
TS_MUST_USE ts_status ts_tokenizer_open(ts_tokenizer **out, const char *spec, ts_err *err);
void ts_tokenizer_free(ts_tokenizer *t);

/* Appends the ids of text. `special`: also what the post-processor adds (BOS and the like); special tokens written
 * inside the text are recognised either way. Invalid UTF-8 is read as U+FFFD. `starts`, if not NULL, receives for each
 * id the byte offset in `text` where the token begins. */
void ts_tokenizer_encode(const ts_tokenizer *t, const char *text, size_t n, bool special, ts_ids *ids, ts_ids *starts);
/* Appends the text of ids, invalid UTF-8 as U+FFFD; ids out of range are skipped. */
void ts_tokenizer_decode(const ts_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, ts_buf *out);

/* Streaming decode: bytes that cannot change any more are appended to out, the rest waits for the next id (or the end:
 * id < 0). */
typedef struct ts_decoder {
    const ts_tokenizer *t;
    bool skip_special;
    bool any;        /* private, zero at the start: a token came by */
    size_t stripped; /* private: spaces taken from the start of the text */
    ts_buf pending;  /* private */
} ts_decoder;
void ts_decoder_push(ts_decoder *d, int32_t id, ts_buf *out);
void ts_decoder_release(ts_decoder *d);

size_t ts_tokenizer_size(const ts_tokenizer *t); /* largest id + 1 */
bool ts_tokenizer_is_special(const ts_tokenizer *t, int32_t id);
int32_t ts_tokenizer_id(const ts_tokenizer *t, const char *token); /* -1: there is none of that name */
/* The token's own name ("Ġthe", "<|im_end|>"), borrowed. "" when out of range. */
const char *ts_tokenizer_token(const ts_tokenizer *t, int32_t id);
int32_t ts_tokenizer_bos(const ts_tokenizer *t); /* -1: none */
int32_t ts_tokenizer_eos(const ts_tokenizer *t);
/* The chat template's Jinja source, NULL when the model has none. */
const char *ts_tokenizer_template(const ts_tokenizer *t);
const char *ts_tokenizer_kind(const ts_tokenizer *t); /* for people: "byte-level BPE, 49152 tokens" */

#endif
