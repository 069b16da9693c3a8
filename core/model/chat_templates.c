#include "core/model/chat_templates.h"

#include "core/base/file.h"

#include <stdio.h>
#include <string.h>

enum { TEMPLATE_MAX = 4 << 20 };

/* The formats are those that tuned models of their kind expect; contents are trimmed, so that no white space of an
 * example melts into a token of the frame. */
const ts_chat_template ts_chat_templates[] = {
    {"alpaca", "### Instruction: and ### Response: in front of the turns, a system message first",
     "{{- text_begin }}"
     "{%- for message in messages %}"
     "{%- if message.role == 'system' %}{{- message.content | trim ~ '\\n\\n' }}"
     "{%- elif message.role == 'user' %}{{- '### Instruction:\\n' ~ message.content | trim ~ '\\n\\n' }}"
     "{%- elif message.role == 'assistant' %}"
     "{{- '### Response:\\n' }}"
     "{%- generation %}{{- message.content | trim ~ eos_token }}{%- endgeneration %}{{- '\\n\\n' }}"
     "{%- else %}{{- raise_exception('The template alpaca has no place for the role ' ~ message.role) }}"
     "{%- endif %}"
     "{%- endfor %}"
     "{%- if add_generation_prompt %}{{- '### Response:\\n' }}{%- endif %}"},
    {"chatml", "<|im_start|>ROLE, the text, <|im_end|> (or the model's end token)",
     "{{- text_begin }}"
     "{%- for message in messages %}"
     "{{- '<|im_start|>' ~ message.role ~ '\\n' }}"
     "{%- if message.role == 'assistant' %}"
     "{%- generation %}{{- message.content | trim ~ turn_end }}{%- endgeneration %}"
     "{%- else %}{{- message.content | trim ~ turn_end }}{%- endif %}{{- '\\n' }}"
     "{%- endfor %}"
     "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"},
    {"llama2", "[INST] and [/INST] around what the user says, <<SYS>> around a system message",
     "{%- set state = namespace(system='') %}"
     "{%- for message in messages %}"
     "{%- if message.role == 'system' %}{%- set state.system = message.content | trim %}"
     "{%- elif message.role == 'user' %}"
     "{{- text_begin ~ '[INST] ' }}"
     "{%- if state.system %}{{- '<<SYS>>\\n' ~ state.system ~ '\\n<</SYS>>\\n\\n' }}"
     "{%- set state.system = '' %}{%- endif %}"
     "{{- message.content | trim ~ ' [/INST]' }}"
     "{%- elif message.role == 'assistant' %}"
     "{%- generation %}{{- ' ' ~ message.content | trim ~ ' ' ~ eos_token }}{%- endgeneration %}"
     "{%- else %}{{- raise_exception('The template llama2 has no place for the role ' ~ message.role) }}"
     "{%- endif %}"
     "{%- endfor %}"},
    {"plain", "nothing but the texts, a line break behind each; the end token behind answers",
     "{{- text_begin }}"
     "{%- for message in messages %}"
     "{%- if message.role == 'assistant' %}"
     "{%- generation %}{{- message.content | trim ~ eos_token }}{%- endgeneration %}"
     "{%- else %}{{- message.content | trim }}{%- endif %}{{- '\\n' }}"
     "{%- endfor %}"},
};
const size_t ts_n_chat_templates = TS_COUNT(ts_chat_templates);

void ts_chat_template_names(char out[TS_TEMPLATE_NAMES]) {
    size_t n = 0;
    for (size_t i = 0; i < ts_n_chat_templates && n < TS_TEMPLATE_NAMES; i++) {
        const char *between = i == 0 ? "" : i + 1 == ts_n_chat_templates ? " or " : ", ";
        n += (size_t)snprintf(out + n, TS_TEMPLATE_NAMES - n, "%s%s", between, ts_chat_templates[i].name);
    }
}

ts_status ts_chat_template_read(const char *spec, ts_buf *out, ts_err *err) {
    for (size_t i = 0; i < ts_n_chat_templates; i++) {
        if (strcmp(spec, ts_chat_templates[i].name) != 0) continue;
        ts_buf_puts(out, ts_chat_templates[i].source);
        return TS_OK;
    }
    if (!ts_is_file(spec)) {
        char names[TS_TEMPLATE_NAMES];
        ts_chat_template_names(names);
        return ts_fail(err, TS_NOT_FOUND, "there is no chat template \"%.200s\"; take %s, or a file with Jinja", spec,
                       names);
    }
    return ts_file_read(spec, TEMPLATE_MAX, out, err);
}
