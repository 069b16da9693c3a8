/* nll, tokenize, render, inspect, engine: what a model says about text, and what it is. */
#include "core/base/file.h"
#include "core/engine/net.h"
#include "core/engine/serve.h"
#include "core/model/chat.h"
#include "core/model/chat_templates.h"
#include "core/model/inspect.h"
#include "core/work/child.h"
#include "eval/runs.h"
#include "tui/cli_data.h"
#include "tui/cli_engine.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- lines of a file or of stdin --- */

typedef ts_status line_fn(void *ctx, const char *text, size_t n, int64_t number, ts_err *err);

/* Calls fn for every line that is not blank. path "-" or NULL: stdin. */
static ts_status each_line(const char *path, line_fn *fn, void *ctx, ts_err *err) {
    bool standard = !path || strcmp(path, "-") == 0;
    ts_lines l = {0};
    ts_status status = TS_OK;
    const char *line;
    size_t n;
    int64_t number = 0;
    if (!standard && ts_is_dir(path)) return ts_fail(err, TS_INVALID, "%s is a folder; a file is needed here", path);
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ts_fail_errno(err, "cannot open %s", path);
    while (status == TS_OK && !l.eof) {
        status = ts_lines_fill(&l, fd, err);
        if (status != TS_OK) ts_wrap(err, status, "%s line %lld", standard ? "stdin" : path, (long long)number + 1);
        if (l.eof && l.buf.len > l.next) ts_buf_putc(&l.buf, '\n');
        while (status == TS_OK && ts_lines_next(&l, &line, &n)) {
            number++;
            if (strspn(line, " \t\r") < n) status = fn(ctx, line, n, number, err);
        }
    }
    if (!standard) close(fd);
    ts_lines_release(&l);
    return status;
}

/* --- nll --- */

enum { ROWS_AT_ONCE = 64 };

struct nll_opts {
    const char *model, *template, *precision, *ws;
    ts_texts adapter;
    bool per_token;
};

struct scoring {
    const ts_cmd *cmd;
    const struct nll_opts *o;
    const ts_sides *sides;
    const char *path;
    ts_engine *engine;
    ts_progress *progress;
    char *template;
    ts_buf rows, numbers;
    int64_t lines[ROWS_AT_ONCE];
    size_t n;
    int64_t all_rows;
    double *nll; /* per side, over all rows */
    int64_t *tokens;
};

static void print_nll(void *ctx, const ts_engine_event *e) {
    struct scoring *s = ctx;
    if (e->kind != TS_ENGINE_NLL || e->prompt >= s->n || e->side >= s->sides->n) return;
    s->nll[e->side] += e->nll;
    s->tokens[e->side] += e->tokens;
    if (!s->cmd->json && !s->o->per_token) return;
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "line", s->lines[e->prompt]);
    if (s->sides->n > 1) ts_jw_kstr(&w, "adapter", s->sides->dirs[e->side] ? s->sides->names[e->side] : NULL);
    ts_jw_knum(&w, "nll", e->nll);
    ts_jw_kint(&w, "tokens", e->tokens);
    if (e->nlls) ts_put_tree(&w, "nlls", e->nlls);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

static ts_status score_rows(struct scoring *s, ts_err *err) {
    ts_buf_putc(&s->rows, ']');
    ts_buf_putc(&s->numbers, ']');
    ts_ask a = {.model = s->o->model,
                .template = s->template,
                .sides = (const char *const *)s->sides->dirs,
                .n_sides = s->sides->n,
                .items = s->rows.data,
                .numbers = s->numbers.data,
                .per_token = s->o->per_token};
    int64_t id = s->n ? ts_engine_nll(s->engine, &a, err) : 0;
    ts_status status = s->n == 0 ? TS_OK : id ? ts_engine_wait(s->engine, id, NULL, err) : err->code;
    if (status == TS_OK && ts_cancelled(s->progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    s->all_rows += (int64_t)s->n;
    ts_progress_set(s->progress, s->all_rows, 0);
    ts_buf_reset(&s->rows);
    ts_buf_reset(&s->numbers);
    s->n = 0;
    /* the engine says "line N" of a row; what it says of the model or an adapter has nothing to do with this file */
    bool of_file = status != TS_OK && status != TS_CANCELLED && strncmp(err->text, "line ", 5) == 0;
    return of_file ? ts_wrap(err, status, "%s", s->path) : status;
}

static ts_status add_row(void *ctx, const char *text, size_t n, int64_t number, ts_err *err) {
    struct scoring *s = ctx;
    ts_json *row = ts_json_parse(text, n, err);
    if (!row) return ts_wrap(err, TS_FORMAT, "%s line %lld", s->path, (long long)number);
    ts_json_free(row);
    ts_buf_putc(&s->rows, s->n ? ',' : '[');
    ts_buf_add(&s->rows, text, n);
    ts_buf_printf(&s->numbers, "%c%lld", s->n ? ',' : '[', (long long)number);
    s->lines[s->n++] = number;
    return s->n == ROWS_AT_ONCE ? score_rows(s, err) : TS_OK;
}

/* The mean of each side, for people. */
static void print_means(const struct scoring *s) {
    for (size_t i = 0; i < s->sides->n; i++) {
        double mean = s->nll[i] / (double)s->tokens[i];
        printf("%s%s%lld rows, %lld tokens, ", s->sides->n > 1 ? s->sides->names[i] : "", s->sides->n > 1 ? ": " : "",
               (long long)s->all_rows, (long long)s->tokens[i]);
        if (s->tokens[i])
            printf("loss %.4f a token, perplexity %.3f\n", mean, exp(mean));
        else
            printf("no loss: no token is supervised\n");
    }
}

static int run_nll(const ts_cmd *cmd, const void *opts) {
    const struct nll_opts *o = opts;
    ts_err err;
    ts_sides sides;
    ts_progress progress = {0};
    if (!o->model) return ts_cmd_usage(cmd, "--model is missing");
    int code = ts_check_precision(cmd, o->precision);
    if (code) return code;
    ts_status status = ts_sides_find(&sides, o->ws, &o->adapter, &err);
    if (status != TS_OK) return ts_cmd_fail(cmd, &err);
    struct scoring s = {.cmd = cmd, .o = o, .sides = &sides, .path = cmd->args[0], .progress = &progress};
    status = ts_runs_template(o->ws, o->template, (const char *const *)sides.dirs, sides.n, &s.template, &err);
    s.nll = ts_calloc(sides.n, sizeof *s.nll);
    s.tokens = ts_calloc(sides.n, sizeof *s.tokens);
    s.engine = ts_engine_new(NULL, print_nll, &s);
    ts_meter *meter = ts_meter_start(cmd, &progress, "scoring", "rows");
    if (status == TS_OK) status = each_line(cmd->args[0], add_row, &s, &err);
    if (status == TS_OK && s.n) status = score_rows(&s, &err);
    ts_meter_stop(meter);
    if (status == TS_OK && s.all_rows == 0) status = ts_fail(&err, TS_INVALID, "%s holds no rows", cmd->args[0]);
    if (status == TS_OK && !cmd->json) print_means(&s);
    free(s.nll);
    free(s.tokens);
    free(s.template);
    ts_engine_free(s.engine);
    ts_sides_release(&sides);
    ts_buf_release(&s.rows);
    ts_buf_release(&s.numbers);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

#define NLL(member) offsetof(struct nll_opts, member)
static const ts_opt nll_table[] = {
    {"model", TS_OPT_TEXT, NLL(model), "MODEL", "folder, GGUF file or name"},
    {"template", TS_OPT_TEXT, NLL(template), "NAME|FILE",
     "chat template instead of the model's: alpaca, chatml, llama2, plain"},
    {"adapter", TS_OPT_LIST, NLL(adapter), "A", "PEFT folder, run:3, run:3/best, or base; may be repeated"},
    {"per-token", TS_OPT_FLAG, NLL(per_token), NULL, "also the NLL of every supervised token"},
    {"precision", TS_OPT_TEXT, NLL(precision), "NAME", "f32 or auto"},
    {"workspace", TS_OPT_TEXT, NLL(ws), "WS", "where run:N is looked up (this folder)"},
};
static const struct nll_opts nll_defaults = {.precision = "f32"};

const ts_verb ts_verb_nll = {
    .name = "nll",
    .args = "FILE",
    .help = "how likely a model finds the answers of a JSONL file: sum of NLL and tokens a line",
    .more =
        "Lines are {\"messages\":[..]} or {\"ids\":[..],\"labels\":[..]}; label -100 is not supervised. FILE may be -.",
    .min_args = 1,
    .max_args = 1,
    .opts = nll_table,
    .n_opts = TS_COUNT(nll_table),
    .size = sizeof(struct nll_opts),
    .defaults = &nll_defaults,
    .run = run_nll,
};

/* --- tokenize --- */

struct text_opts {
    const char *model, *template;
    bool special, decode, mask;
};

struct texts {
    ts_tokenizer *tokenizer;
    ts_chat *chat;
    bool special;
};

static ts_status tokenize_line(void *ctx, const char *text, size_t n, int64_t number, ts_err *err) {
    const struct texts *t = ctx;
    ts_ids ids = {0};
    ts_buf line = TS_BUF_INIT;
    ts_json *v = ts_json_parse(text, n, err);
    if (v && !ts_json_is_string(v)) ts_fail(err, TS_FORMAT, "a JSON string is needed");
    if (!ts_json_is_string(v)) {
        ts_json_free(v);
        return ts_wrap(err, TS_FORMAT, "line %lld", (long long)number);
    }
    const char *words = ts_json_str(v, "");
    ts_tokenizer_encode(t->tokenizer, words, strlen(words), t->special, &ids, NULL);
    ts_jw w = ts_jw_to(&line);
    ts_jw_arr(&w);
    for (size_t i = 0; i < ids.n; i++)
        ts_jw_int(&w, ids.items[i]);
    ts_jw_end_arr(&w);
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
    ts_ids_release(&ids);
    ts_json_free(v);
    return TS_OK;
}

/* The other way: an array of ids, printed as a JSON string. */
static ts_status detokenize_line(void *ctx, const char *text, size_t n, int64_t number, ts_err *err) {
    const struct texts *t = ctx;
    ts_ids ids = {0};
    ts_buf line = TS_BUF_INIT, words = TS_BUF_INIT;
    ts_json *v = ts_json_parse(text, n, err);
    ts_status status = v ? TS_OK : ts_wrap(err, TS_FORMAT, "line %lld", (long long)number);
    int64_t id = -1;
    if (v && !ts_json_is_array(v))
        status = ts_fail(err, TS_FORMAT, "line %lld: a JSON array of token ids is needed", (long long)number);
    for (const ts_json *c = ts_json_child(v); c && status == TS_OK; c = ts_json_next(c)) {
        if (ts_json_int(c, 0, INT32_MAX, &id))
            TS_PUSH(ids.items, ids.n, ids.cap, (int32_t)id);
        else
            status = ts_fail(err, TS_FORMAT, "line %lld: a token id is a whole number from 0", (long long)number);
    }
    if (status == TS_OK) {
        ts_tokenizer_decode(t->tokenizer, ids.items, ids.n, !t->special, &words);
        ts_jw w = ts_jw_to(&line);
        ts_jw_strn(&w, ts_buf_str(&words), words.len);
        ts_cmd_print_line(&line);
    }
    ts_buf_release(&words);
    ts_buf_release(&line);
    ts_ids_release(&ids);
    ts_json_free(v);
    return status;
}

static int run_tokenize(const ts_cmd *cmd, const void *opts) {
    const struct text_opts *o = opts;
    struct texts t = {.special = o->special};
    ts_err err;
    if (!o->model) return ts_cmd_usage(cmd, "--model is missing");
    ts_status status = ts_tokenizer_open(&t.tokenizer, o->model, &err);
    if (status == TS_OK) status = each_line(NULL, o->decode ? detokenize_line : tokenize_line, &t, &err);
    ts_tokenizer_free(t.tokenizer);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static const ts_opt tokenize_table[] = {
    {"model", TS_OPT_TEXT, offsetof(struct text_opts, model), "MODEL", "folder, GGUF file or name"},
    {"special", TS_OPT_FLAG, offsetof(struct text_opts, special), NULL,
     "also what the tokenizer adds (BOS); with --decode, special tokens are printed too"},
    {"decode", TS_OPT_FLAG, offsetof(struct text_opts, decode), NULL, "the other way: arrays of ids to JSON strings"},
};

const ts_verb ts_verb_tokenize = {
    .name = "tokenize",
    .args = "",
    .help = "JSON strings on stdin, a line each, to JSON arrays of token ids",
    .opts = tokenize_table,
    .n_opts = TS_COUNT(tokenize_table),
    .size = sizeof(struct text_opts),
    .run = run_tokenize,
};

/* --- render --- */

/* The members of a row that are template variables: all but the conversation itself. */
static ts_json *variables(const ts_json *row) {
    ts_buf text = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&text);
    ts_jw_obj(&w);
    for (const ts_json *m = ts_json_child(row); m; m = ts_json_next(m)) {
        const char *key = ts_json_key(m);
        if (strcmp(key, "messages") == 0 || strcmp(key, "add_generation_prompt") == 0) continue;
        ts_buf value = TS_BUF_INIT;
        ts_json_print(m, &value);
        ts_jw_key(&w, key);
        ts_jw_raw(&w, ts_buf_str(&value), value.len);
        ts_buf_release(&value);
    }
    ts_jw_end_obj(&w);
    ts_json *vars = ts_json_parse(text.data, text.len, NULL);
    ts_buf_release(&text);
    return vars;
}

static void print_rendered(ts_status status, const ts_rendered *r, const ts_err *err) {
    ts_buf line = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&line);
    if (status == TS_OK) {
        ts_jw_strn(&w, ts_buf_str(&r->text), r->text.len);
    } else {
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "error", err->text);
        ts_jw_end_obj(&w);
    }
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
}

/* What is learnt of a conversation, and how many of its tokens. */
static ts_status mask_line(void *ctx, const char *text, size_t n, int64_t number, ts_err *err) {
    const struct texts *t = ctx;
    ts_example x = {0};
    ts_buf out = TS_BUF_INIT, safe = TS_BUF_INIT;
    ts_json *row = ts_json_parse(text, n, err);
    if (!row) return ts_wrap(err, TS_FORMAT, "line %lld", (long long)number);
    ts_json *vars = variables(row);
    ts_status status = TS_FORMAT;
    if (ts_json_is_array(ts_json_get(row, "messages")))
        status = ts_chat_example(t->chat, ts_json_get(row, "messages"), vars, &x, err);
    else
        ts_fail(err, TS_FORMAT, "there is no list of \"messages\"");
    if (status == TS_OK) {
        ts_example_preview(t->tokenizer, &x, &out);
        ts_cmd_safe(&safe, ts_buf_str(&out), out.len, true, 0);
        printf("line %lld: %zu tokens, %zu of them learnt (+)\n%s", (long long)number, x.ids.n, x.supervised,
               ts_buf_str(&safe));
    } else {
        ts_wrap(err, status, "line %lld", (long long)number);
    }
    ts_example_release(&x);
    ts_buf_release(&out);
    ts_buf_release(&safe);
    ts_json_free(vars);
    ts_json_free(row);
    return status;
}

static ts_status render_line(void *ctx, const char *text, size_t n, int64_t number, ts_err *err) {
    const struct texts *t = ctx;
    ts_rendered out = {0};
    ts_json *row = ts_json_parse(text, n, err);
    const ts_json *messages = ts_json_get(row, "messages");
    if (row && !ts_json_is_array(messages)) ts_fail(err, TS_FORMAT, "there is no list of \"messages\"");
    if (!ts_json_is_array(messages)) {
        ts_json_free(row);
        return ts_wrap(err, TS_FORMAT, "line %lld", (long long)number);
    }
    ts_json *vars = variables(row);
    ts_err why = {0};
    ts_status status =
        ts_chat_render(t->chat, messages, ts_json_is_true(ts_json_get(row, "add_generation_prompt")), vars, &out, &why);
    print_rendered(status, &out, &why);
    ts_rendered_release(&out);
    ts_json_free(vars);
    ts_json_free(row);
    return TS_OK;
}

/* The model's tokenizer and the chat template, the model's own for NULL. */
static ts_status open_chat(struct texts *t, const char *model, const char *template, ts_err *err) {
    ts_buf source = TS_BUF_INIT;
    ts_status status = template ? ts_chat_template_read(template, &source, err) : TS_OK;
    if (status == TS_OK) status = ts_tokenizer_open(&t->tokenizer, model, err);
    if (status == TS_OK) status = ts_chat_open(&t->chat, t->tokenizer, template ? ts_buf_str(&source) : NULL, err);
    ts_buf_release(&source);
    return status;
}

/* Some templates have no place for a system message, so it is tried with one and without. */
static const char *const examples[] = {
    "[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"What is the capital of "
    "France?\"},"
    "{\"role\":\"assistant\",\"content\":\"Paris.\"},{\"role\":\"user\",\"content\":\"And of Spain?\"}]",
    "[{\"role\":\"user\",\"content\":\"What is the capital of France?\"},"
    "{\"role\":\"assistant\",\"content\":\"Paris.\"},{\"role\":\"user\",\"content\":\"And of Spain?\"}]",
};

ts_status ts_cmd_chat_example(const char *model, const char *template, ts_buf *out, ts_err *err) {
    struct texts t = {0};
    ts_rendered r = {0};
    ts_status status = open_chat(&t, model, template, err);
    bool tried = false;
    for (size_t i = 0; t.chat && i < TS_COUNT(examples) && (!tried || status != TS_OK); i++, tried = true) {
        ts_json *messages = ts_json_parse(examples[i], strlen(examples[i]), err);
        status = ts_chat_render(t.chat, messages, true, NULL, &r, err);
        ts_json_free(messages);
    }
    if (status == TS_OK) ts_cmd_safe(out, ts_buf_str(&r.text), r.text.len, true, 0);
    ts_rendered_release(&r);
    ts_chat_free(t.chat);
    ts_tokenizer_free(t.tokenizer);
    return status;
}

static int show_example(const ts_cmd *cmd, const struct text_opts *o) {
    ts_buf text = TS_BUF_INIT;
    ts_err err;
    ts_status status = ts_cmd_chat_example(o->model, o->template, &text, &err);
    if (status == TS_OK) ts_cmd_print_line(&text);
    ts_buf_release(&text);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static int run_render(const ts_cmd *cmd, const void *opts) {
    const struct text_opts *o = opts;
    struct texts t = {0};
    ts_err err;
    if (!o->model) return ts_cmd_usage(cmd, "--model is missing");
    if (cmd->n_args == 0) return show_example(cmd, o);
    ts_status status = open_chat(&t, o->model, o->template, &err);
    if (status == TS_OK && o->template && ts_tokenizer_template(t.tokenizer))
        ts_cmd_note(cmd, "the chat template %s takes the place of the model's own", o->template);
    if (status == TS_OK) status = each_line(cmd->args[0], o->mask ? mask_line : render_line, &t, &err);
    ts_chat_free(t.chat);
    ts_tokenizer_free(t.tokenizer);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static const ts_opt render_table[] = {
    {"model", TS_OPT_TEXT, offsetof(struct text_opts, model), "MODEL", "folder, GGUF file or name"},
    {"template", TS_OPT_TEXT, offsetof(struct text_opts, template), "NAME|FILE",
     "chat template instead of the model's: alpaca, chatml, llama2, plain"},
    {"mask", TS_OPT_FLAG, offsetof(struct text_opts, mask), NULL, "for people: what training learns of each (+)"},
};

const ts_verb ts_verb_render = {
    .name = "render",
    .args = "[FILE]",
    .help = "conversations through the model's chat template, a JSON string a line",
    .more =
        "Lines are {\"messages\":[..],\"add_generation_prompt\":bool}; other members are template variables. FILE may "
        "be -;\nwithout FILE an example is shown.",
    .min_args = 0,
    .max_args = 1,
    .opts = render_table,
    .n_opts = TS_COUNT(render_table),
    .size = sizeof(struct text_opts),
    .run = run_render,
};

/* --- inspect --- */

struct no_opts {
    char unused;
};

static int run_inspect(const ts_cmd *cmd, const void *opts) {
    ts_buf out = TS_BUF_INIT;
    ts_err err;
    (void)opts;
    ts_status status = ts_model_inspect(cmd->args[0], ts_net_memory, cmd->json, &out, &err);
    if (status == TS_OK) fputs(ts_buf_str(&out), stdout);
    if (status == TS_OK && out.len && out.data[out.len - 1] != '\n') printf("\n");
    ts_buf_release(&out);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

const ts_verb ts_verb_inspect = {
    .name = "inspect",
    .args = "MODEL|ADAPTER",
    .help = "what a model or an adapter is: sizes, types, tokenizer, memory, norms",
    .min_args = 1,
    .max_args = 1,
    .size = sizeof(struct no_opts),
    .run = run_inspect,
};

/* --- engine --- */

static int run_engine(const ts_cmd *cmd, const void *opts) {
    ts_err err;
    (void)opts;
    ts_child_restart_clean();
    ts_map_guard();
    signal(SIGINT, SIG_IGN); /* Ctrl-C is for the program in front, which then asks for a stop */
    ts_status status = ts_serve(STDIN_FILENO, STDOUT_FILENO, &err);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

const ts_verb ts_verb_engine = {
    .name = "engine",
    .args = "",
    .help = "hold a model and answer requests: JSON lines on stdin and stdout (core/engine/serve.h)",
    .size = sizeof(struct no_opts),
    .run = run_engine,
    .hidden = true,
};
