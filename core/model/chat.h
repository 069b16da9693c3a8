/* Conversations to tokens through the model's chat template (Jinja, core/model/jinja.h), knowing for every output byte
 * which message it came from.
 *
 * Training labels: a token is supervised if its first byte lies in an assistant message's content, plus the end-of-turn
 * token behind it (always), plus a token that begins with white space of the template and goes on with the content's
 * first word: Llama 2 writes "[/INST] Yes" and has one token for " Yes", which generation has to produce because the
 * prompt ends before the space; left out, no answer's first word would be learnt. (transformers' assistant mask takes
 * the token that holds the first character of the answer too.) `{% generation %}` blocks, where a template has them,
 * replace that rule. Labels are aligned with ids (not shifted); -100 = not supervised. No marker is searched for in the
 * text. A message may have a "weight" (OpenAI's 0 or 1, or any number from 0 on): with 0 it is not supervised, with
 * another its tokens count so much in the loss, sum of w nll / sum of w. */
#ifndef TS_MODEL_CHAT_H
#define TS_MODEL_CHAT_H

#include "core/base/json.h"
#include "core/model/tokenizer.h"

enum { TS_NO_LABEL = -100 };

typedef struct ts_chat ts_chat;

/* Parses the template of `t` (or `source` if not NULL; core/model/chat_templates.h has some). `t` is borrowed and must
 * live longer. A model without a template: TS_NOT_FOUND with the choices. */
TS_MUST_USE ts_status ts_chat_open(ts_chat **out, const ts_tokenizer *t, const char *source, ts_err *err);
void ts_chat_free(ts_chat *c);

typedef struct ts_chat_span {
    size_t start, end; /* bytes of the rendered text */
    int message;       /* index; the bytes are this message's content (or lie in a generation block of it) */
} ts_chat_span;
typedef struct ts_rendered {
    ts_buf text;
    ts_chat_span *spans; /* ascending, disjoint */
    size_t n_spans, cap_spans;
    bool generation; /* the template has generation blocks, and the spans are those */
} ts_rendered;
void ts_rendered_release(ts_rendered *r);

/* messages: a JSON array of {"role","content",...}; vars: an object whose members become template variables (NULL:
 * none); tools likewise inside vars. The template's raise_exception comes back as TS_INVALID with its words. */
TS_MUST_USE ts_status ts_chat_render(const ts_chat *c, const ts_json *messages, bool add_generation_prompt,
                                     const ts_json *vars, ts_rendered *out, ts_err *err);

/* One training or evaluation example. ids and labels have equal length; released with ts_example_release. */
typedef struct ts_example {
    ts_ids ids, labels;
    float *weights;    /* of each label in the loss; NULL: 1 */
    size_t supervised; /* labels that count after the shift */
} ts_example;
TS_MUST_USE ts_status ts_chat_example(const ts_chat *c, const ts_json *messages, const ts_json *vars, ts_example *out,
                                      ts_err *err);
/* Appends the example as the model sees it, for people: "+ " before what is learnt, ". " before the rest, a line for
 * each line of its text (whose end shows as \n) and for each change between the two. Not safe for a terminal. */
void ts_example_preview(const ts_tokenizer *t, const ts_example *e, ts_buf *out);
/* ids of the rendering with the generation prompt: what generation starts from. */
TS_MUST_USE ts_status ts_chat_prompt(const ts_chat *c, const ts_json *messages, const ts_json *vars, ts_ids *ids,
                                     ts_err *err);
void ts_example_release(ts_example *e);
/* Appends `source` for other programs: the variables that only we give a template (chat_templates.h) are set in front
 * of it to what they are for `t`. */
void ts_chat_template_portable(const ts_tokenizer *t, const char *source, ts_buf *out);
/* Token that ends an assistant turn in this template (-1 if none was found); belongs to the stop set. */
int32_t ts_chat_end_of_turn(const ts_chat *c);

#endif
