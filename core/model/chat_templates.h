/* Chat templates of our own, for models that bring none (base models), and the choice among them: what `--template`
 * and the setting `template` take is a name of the table or a file with Jinja.
 *
 * Our templates know two variables more than transformers gives (chat.c sets them for every template):
 *   text_begin   the BOS token where the tokenizer puts it in front of a text, else nothing
 *   turn_end     <|im_end|> where that is one token of the vocabulary, else the model's EOS token
 * so the end of an answer is a token that the model can learn and that stops generation. What the model has to write
 * itself, white space around the answer included, stands in {% generation %} blocks, so that all of it is learnt. */
#ifndef TS_MODEL_CHAT_TEMPLATES_H
#define TS_MODEL_CHAT_TEMPLATES_H

#include "core/base/buf.h"

typedef struct ts_chat_template {
    const char *name, *help; /* help: what it looks like, one line */
    const char *source;
} ts_chat_template;
extern const ts_chat_template ts_chat_templates[];
extern const size_t ts_n_chat_templates;

/* The names for a sentence: "alpaca, chatml, llama2 or plain", NUL-terminated. */
enum { TS_TEMPLATE_NAMES = 120 };
void ts_chat_template_names(char out[TS_TEMPLATE_NAMES]);

/* The Jinja source of `spec` (a name of the table, else a file), appended to out. TS_NOT_FOUND lists the names. */
TS_MUST_USE ts_status ts_chat_template_read(const char *spec, ts_buf *out, ts_err *err);

#endif
