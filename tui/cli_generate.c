/* generate: answers of a model, with and without adapters, to one prompt or a file of them. */
#include "core/base/file.h"
#include "eval/runs.h"
#include "tui/cli_data.h"
#include "tui/cli_engine.h"
#include "tui/cli_sampling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct generate_opts {
    const char *model, *template, *prompt, *messages, *system, *precision, *ws;
    ts_texts adapter;
    bool raw;
    ts_answer_opts answer;
};

/* What the callback needs to print answers in order as they come. */
struct printing {
    const ts_cmd *cmd;
    const ts_sides *sides;
    const int64_t *lines; /* of the file, per prompt */
    size_t n_prompts;
    bool streaming;
};

static void print_json(const struct printing *p, const ts_engine_event *e) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "line", p->lines[e->prompt]);
    ts_jw_kstr(&w, "adapter", p->sides->dirs[e->side] ? p->sides->names[e->side] : NULL);
    ts_jw_kstr(&w, "text", e->text);
    ts_put_tree(&w, "ids", e->ids);
    ts_jw_kstr(&w, "stop", e->stop);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

/* A model may write anything; what it writes to a terminal must not steer it. A file or pipe gets the exact text. */
static void print_text(const char *text) {
    ts_buf safe = TS_BUF_INIT;
    if (isatty(STDOUT_FILENO)) ts_cmd_safe(&safe, text, strlen(text), true, 0);
    fputs(isatty(STDOUT_FILENO) ? ts_buf_str(&safe) : text, stdout);
    ts_buf_release(&safe);
}

static void on_event(void *ctx, const ts_engine_event *e) {
    struct printing *p = ctx;
    if (e->kind == TS_ENGINE_TOKEN && p->streaming) {
        print_text(e->text);
        fflush(stdout);
    }
    if (e->kind != TS_ENGINE_ANSWER || e->prompt >= p->n_prompts || e->side >= p->sides->n) return;
    if (p->cmd->json) {
        print_json(p, e);
    } else if (p->streaming) {
        printf("\n");
    } else {
        if (p->n_prompts > 1 || p->sides->n > 1)
            printf("--- %lld %s (%s)\n", (long long)p->lines[e->prompt], p->sides->names[e->side], e->stop);
        print_text(e->text);
        printf("\n");
    }
}

/* The single prompt of --prompt as the engine's items. */
static void one_prompt(const struct generate_opts *o, const char *prompt, ts_buf *items) {
    ts_jw w = ts_jw_to(items);
    ts_jw_arr(&w);
    ts_jw_obj(&w);
    if (o->raw) {
        ts_jw_kstr(&w, "text", prompt);
    } else {
        ts_jw_key(&w, "messages");
        ts_jw_arr(&w);
        for (int i = o->system ? 0 : 1; i < 2; i++) {
            ts_jw_obj(&w);
            ts_jw_kstr(&w, "role", i == 0 ? "system" : "user");
            ts_jw_kstr(&w, "content", i == 0 ? o->system : prompt);
            ts_jw_end_obj(&w);
        }
        ts_jw_end_arr(&w);
    }
    ts_jw_end_obj(&w);
    ts_jw_end_arr(&w);
}

/* "-" is stdin. */
static ts_status read_text(const char *path, ts_buf *out, ts_err *err) {
    return ts_file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, (size_t)1 << 28, out, err);
}

static ts_status given_prompt(const struct generate_opts *o, ts_buf *items, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    bool standard = strcmp(o->prompt, "-") == 0;
    ts_status status = standard ? read_text("-", &text, err) : TS_OK;
    if (status == TS_OK && memchr(ts_buf_str(&text), 0, text.len))
        status = ts_fail(err, TS_FORMAT, "the prompt on stdin holds a NUL byte; give text");
    if (status == TS_OK) one_prompt(o, standard ? ts_buf_str(&text) : o->prompt, items);
    ts_buf_release(&text);
    return status;
}

/* A line of the file: {"messages":[..]}, {"text":..}, {"ids":[..]} or a bare array of messages. */
static ts_status add_line(const char *path, const char *text, size_t n, int64_t number, ts_buf *items, ts_err *err) {
    ts_json *row = ts_json_parse(text, n, err);
    if (!row) return ts_wrap(err, TS_FORMAT, "%s line %lld", path, (long long)number);
    bool array = ts_json_is_array(row), fine = array || ts_json_is_object(row);
    ts_json_free(row);
    if (!fine) return ts_fail(err, TS_FORMAT, "%s line %lld is no prompt object", path, (long long)number);
    ts_buf_puts(items, items->len > 1 ? "," : "");
    ts_buf_puts(items, array ? "{\"messages\":" : "");
    ts_buf_add(items, text, n);
    ts_buf_puts(items, array ? "}" : "");
    return TS_OK;
}

static ts_status file_prompts(const char *path, ts_buf *items, int64_t **lines, size_t *n_lines, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    size_t cap = 0;
    int64_t number = 0;
    ts_status read = read_text(path, &text, err);
    if (read != TS_OK) {
        ts_buf_release(&text);
        return read;
    }
    ts_status status = TS_OK;
    ts_buf_putc(items, '[');
    for (size_t at = 0; at < text.len && status == TS_OK;) {
        char *end = memchr(text.data + at, '\n', text.len - at);
        size_t n = end ? (size_t)(end - text.data) - at : text.len - at;
        number++;
        text.data[at + n] = 0;
        if (strspn(text.data + at, " \t\r") < n) {
            status = add_line(path, text.data + at, n, number, items, err);
            TS_PUSH(*lines, *n_lines, cap, number);
        }
        at += n + 1;
    }
    ts_buf_putc(items, ']');
    ts_buf_release(&text);
    if (status == TS_OK && *n_lines == 0)
        status = ts_fail(err, TS_INVALID, "%s holds no prompts", strcmp(path, "-") == 0 ? "stdin" : path);
    return status;
}

static ts_status ask(const ts_cmd *cmd, const struct generate_opts *o, const ts_sampling *sampling,
                     const ts_sides *sides, const char *items, struct printing *p, ts_err *err) {
    ts_progress progress = {0};
    char *template = NULL;
    TS_TRY(ts_runs_template(o->ws, o->template, (const char *const *)sides->dirs, sides->n, &template, err));
    ts_ask a = {.model = o->model,
                .template = template,
                .sides = (const char *const *)sides->dirs,
                .n_sides = sides->n,
                .items = items,
                .max_new_tokens = o->answer.max_new_tokens,
                .sampling = *sampling,
                .stops = o->answer.stop.items,
                .n_stops = o->answer.stop.n,
                .f16_cache = ts_answer_opts_f16(&o->answer),
                .stream = p->streaming};
    ts_engine *e = ts_engine_new(NULL, on_event, p);
    ts_cmd silent = *cmd;
    silent.quiet |= p->streaming && isatty(STDOUT_FILENO); /* the text itself shows that it goes on */
    ts_meter *meter = ts_meter_start(&silent, &progress, "generating", "tokens");
    int64_t id = ts_engine_generate(e, &a, err);
    ts_status status = id ? ts_engine_wait(e, id, &progress, err) : err->code;
    ts_meter_stop(meter);
    ts_engine_free(e);
    free(template);
    return status;
}

static int run_generate(const ts_cmd *cmd, const void *opts) {
    const struct generate_opts *o = opts;
    ts_err err;
    ts_sides sides;
    ts_buf items = TS_BUF_INIT;
    int64_t one = 1, *lines = NULL;
    size_t n_lines = 0;
    if (!o->model) return ts_cmd_usage(cmd, "--model is missing");
    if (!o->prompt == !o->messages) return ts_cmd_usage(cmd, "say one of --prompt TEXT and --messages FILE");
    ts_sampling sampling;
    int code = ts_check_precision(cmd, o->precision);
    if (!code) code = ts_answer_opts_settle(cmd, &o->answer, &sampling);
    if (code) return code;
    ts_status status = ts_sides_find(&sides, o->ws, &o->adapter, &err);
    if (status == TS_OK && o->messages) status = file_prompts(o->messages, &items, &lines, &n_lines, &err);
    if (status == TS_OK && !o->messages) status = given_prompt(o, &items, &err);
    struct printing p = {cmd, &sides, lines ? lines : &one, lines ? n_lines : 1, false};
    p.streaming = !cmd->json && p.n_prompts == 1 && sides.n == 1;
    if (status == TS_OK) status = ask(cmd, o, &sampling, &sides, items.data, &p, &err);
    ts_sides_release(&sides);
    ts_buf_release(&items);
    free(lines);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

#define AT(member) offsetof(struct generate_opts, member)
static const ts_opt generate_table[] = {
    {"model", TS_OPT_TEXT, AT(model), "MODEL", "folder, GGUF file or name"},
    {"adapter", TS_OPT_LIST, AT(adapter), "A", "PEFT folder, run:3, run:3/best, or base; may be repeated"},
    {"template", TS_OPT_TEXT, AT(template), "NAME|FILE",
     "chat template instead of the model's: alpaca, chatml, llama2, plain"},
    {"prompt", TS_OPT_TEXT, AT(prompt), "TEXT", "a user turn; -: what comes on stdin"},
    {"system", TS_OPT_TEXT, AT(system), "TEXT", "a system turn before it"},
    {"raw", TS_OPT_FLAG, AT(raw), NULL, "the prompt is plain text, without the chat template"},
    {"messages", TS_OPT_TEXT, AT(messages), "FILE",
     "JSONL of {\"messages\":[..]}, {\"text\":..} or {\"ids\":[..]}; -: stdin"},
    TS_ANSWER_OPTS{"precision", TS_OPT_TEXT, AT(precision), "NAME", "f32 or auto"},
    {"workspace", TS_OPT_TEXT, AT(ws), "WS", "where run:N is looked up (this folder)"},
};
static const struct generate_opts generate_defaults = {.answer = TS_ANSWER_OPTS_DEFAULTS, .precision = "auto"};

const ts_verb ts_verb_generate = {
    .name = "generate",
    .args = "",
    .help = "answers of a model, with and without adapters",
    .opts = generate_table,
    .n_opts = TS_COUNT(generate_table),
    .size = sizeof(struct generate_opts),
    .defaults = &generate_defaults,
    .run = run_generate,
};
