/* A chat template of any bytes: refused, an error, or a rendering whose runs lie in it. Behind a NUL byte come the
 * messages as JSON; without one a conversation of our own. */
#include "core/model/jinja.h"
#include "tests/fuzz/memory_limit.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    LIMIT_MEMORY(size);
    static const char context[] =
        "[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\",\"content\":\" caf\\u00e9 "
        "\"},{\"role\":\"assistant\",\"content\":\"<think>\\nhm\\n</think>\\n\\nYes.\"}]";
    static const char tools[] = "[{\"name\":\"f\",\"parameters\":{\"x\":[1,2.5,null,true]}}]";
    ts_jinja *t;
    ts_err err;
    const char *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - (const char *)data) : size;
    if (size > 4096 || ts_jinja_parse(&t, (const char *)data, n, &err) != TS_OK) return 0;
    ts_json *messages = nul ? ts_json_parse(nul + 1, size - n - 1, &err) : NULL;
    if (!messages) messages = ts_json_parse(context, strlen(context), &err);
    ts_json *more = ts_json_parse(tools, strlen(tools), &err);
    ts_jinja_var vars[] = {{.name = "messages", .json = messages, .tracked = true},
                           {.name = "tools", .json = more},
                           {.name = "bos_token", .text = "<s>"},
                           {.name = "add_generation_prompt", .truth = true}};
    ts_jinja_output out = {0};
    if (ts_jinja_render(t, vars, TS_COUNT(vars), &out, &err) == TS_OK)
        for (size_t i = 0; i < out.n_runs; i++) {
            ts_assert(out.runs[i].start < out.runs[i].end && out.runs[i].end <= out.text.len);
            ts_assert(i == 0 || out.runs[i].start >= out.runs[i - 1].end);
        }
    ts_jinja_output_release(&out);
    ts_json_free(messages);
    ts_json_free(more);
    ts_jinja_free(t);
    return 0;
}
