/* init, config, list, show, set, add, edit */
#include "tui/cli_data.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/utf8.h"
#include "core/engine/run.h"
#include "core/model/chat_templates.h"
#include "dataset/formats.h"
#include "dataset/query.h"
#include "dataset/rowjson.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- shared ---- */

ts_store *ts_cmd_store(const ts_cmd *cmd) {
    ts_store *st;
    ts_err err;
    if (ts_store_open(&st, cmd->args[0], "cli", &err) == TS_OK) return st;
    ts_cmd_fail(cmd, &err);
    return NULL;
}

ts_view *ts_cmd_view(const ts_cmd *cmd, ts_store *st, const char *where, const char *sort, int *code) {
    ts_view *v;
    ts_err err;
    ts_status status = ts_view_new(&v, st, where, sort, NULL, NULL, &err);
    if (status == TS_OK) return v;
    *code = status == TS_INVALID ? ts_cmd_usage(cmd, "%s", err.text) : ts_cmd_fail(cmd, &err);
    return NULL;
}

int ts_cmd_done(const ts_cmd *cmd, const ts_done *done, const char *if_nothing) {
    ts_buf line = TS_BUF_INIT;
    if (cmd->json) {
        ts_jw w = ts_jw_to(&line);
        ts_jw_obj(&w);
        ts_jw_kint(&w, "step", done->step);
        ts_jw_kint(&w, "rows", done->rows);
        ts_jw_kstr(&w, "text", done->step ? done->text : if_nothing);
        ts_jw_end_obj(&w);
    } else {
        ts_buf_puts(&line, done->step ? done->text : if_nothing);
    }
    ts_cmd_print_line(&line);
    ts_buf_release(&line);
    return TS_EXIT_OK;
}

bool ts_cmd_number(const ts_cmd *cmd, const char *text, const char *what, int64_t *out) {
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (end != text && !*end && !errno && *out > 0) return true;
    ts_cmd_usage(cmd, "%s is a number above 0, not \"%s\"", what, text);
    return false;
}

void ts_cmd_safe(ts_buf *out, const char *s, size_t n, bool lines, size_t most) {
    size_t shown = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = ts_utf8_decode(s + i, n - i, &cp);
        if (most && shown++ >= most - 1 && i + len < n) {
            ts_buf_puts(out, "\xe2\x80\xa6");
            return;
        }
        i += len;
        bool keep = cp >= 0x20 && cp != 0x7f && !(cp >= 0x80 && cp < 0xa0) && !(cp >= 0x202a && cp <= 0x202e) &&
                    !(cp >= 0x2066 && cp <= 0x2069);
        if (keep || (cp == '\n' && lines))
            ts_utf8_put(out, cp);
        else if (cp == '\n' || cp == '\t' || cp == '\r')
            ts_buf_putc(out, ' ');
        else
            ts_buf_printf(out, "<%x>", cp);
    }
}

/* ---- init ---- */

struct init_opts {
    const char *model;
};

static int run_init(const ts_cmd *cmd, const void *opts) {
    const struct init_opts *o = opts;
    ts_err err;
    if (ts_store_init(cmd->args[0], &err) != TS_OK) return ts_cmd_fail(cmd, &err);
    if (o->model) {
        ts_store *st = ts_cmd_store(cmd);
        if (!st) return TS_EXIT_FAILED;
        ts_status status = ts_setting_set(st, "model", o->model, &err);
        ts_store_close(st);
        if (status != TS_OK) return ts_cmd_fail(cmd, &err);
    }
    ts_buf word = TS_BUF_INIT;
    ts_buf_shell_word(&word, cmd->args[0]);
    ts_cmd_note(cmd, "made the workspace %s; next: tunesmith import %s FILE", cmd->args[0], word.data);
    ts_buf_release(&word);
    return TS_EXIT_OK;
}

static const ts_opt init_opts[] = {
    {"model", TS_OPT_TEXT, offsetof(struct init_opts, model), "MODEL", "the model to tune, kept as setting `model`"},
};
const ts_verb ts_verb_init = {
    "init",   "WS", "make a workspace", NULL, 1, 1, init_opts, TS_COUNT(init_opts), sizeof(struct init_opts), NULL,
    run_init, false};

/* ---- config ---- */

static const struct setting {
    const char *name, *help;
} settings[] = {
    {"model", "the model to tune; its tokenizer counts tokens"},
    {"template", "chat template instead of the model's: alpaca, chatml, llama2, plain or a file"},
    {"check", "file with one PCRE2 pattern per line that every answer must match"},
    {"rules", "file with scores of your own, one a line: name field points pattern"},
    {"language", "main language of the answers, if the majority should not decide (en, de, fr, ...)"},
    {"sides", "what compare shows, separated by blanks"},
    {"columns", "what Browse shows of a row beside its instruction: score tokens rating chars tags origin .., rules"},
    {"target", "how many accepted examples are wanted"},
};

static const char config_more[] =
    "Settings:\n"
    "  model      the model to tune; its tokenizer counts tokens\n"
    "  template   chat template instead of the model's (base models have none): alpaca, chatml, llama2, plain or a "
    "file\n"
    "  check      file with one PCRE2 pattern per line that every answer must match\n"
    "  rules      file with scores of your own, one a line: name, prompt|answer|both, points (1 to 100 per cent of "
    "the\n"
    "             score), PCRE2 pattern; in queries they are fields: my_NAME>0\n"
    "  language   main language of the answers, if the majority should not decide (en, de, fr, ...)\n"
    "  sides      what compare shows, separated by blanks\n"
    "  columns    what Browse shows of a row beside its instruction: score tokens rating chars tags origin input "
    "output\n"
    "             system and rules, separated by blanks\n"
    "  target     how many accepted examples are wanted; the workbench's summary shows how far it is\n"
    "  filter.X   a query by name: @X stands for it in --where and in Browse's filter\n"
    "  train.X    default of train's option --X, for example train.epochs\n"
    "Without KEY all that are set are printed; with KEY \"\" the setting is taken away.";

static bool known_filter(ts_store *st, const char *name, const char *value, ts_err *err) {
    ts_query *q = NULL;
    size_t n = ts_filter_name_length(name);
    if (!n || name[n]) {
        ts_fail(err, TS_INVALID, "a filter's name is letters, digits, _ and -, not \"%.40s\"", name);
        return false;
    }
    bool fine = ts_query_parse_in(&q, st, value, NULL, err) == TS_OK;
    ts_query_free(q);
    return fine;
}

static bool known_setting(ts_store *st, const char *key, const char *value, ts_err *err) {
    if (strncmp(key, "filter.", 7) == 0) return known_filter(st, key + 7, value, err);
    if (strcmp(key, "target") == 0 && (strspn(value, "0123456789") != strlen(value) || strlen(value) > 12)) {
        ts_fail(err, TS_INVALID, "how many accepted examples are wanted is a whole number, not \"%.40s\"", value);
        return false;
    }
    for (size_t i = 0; i < TS_COUNT(settings); i++)
        if (strcmp(settings[i].name, key) == 0) return true;
    if (strncmp(key, "train.", 6) == 0) {
        ts_run_settings s;
        ts_run_settings_init(&s);
        ts_status status = *value ? ts_run_settings_set(&s, key + 6, value, err) : TS_OK;
        ts_run_settings_release(&s);
        return status == TS_OK;
    }
    ts_fail(err, TS_INVALID, "there is no setting \"%.40s\"", key);
    return false;
}

static void print_setting(void *ctx, const char *key, const char *value) {
    ts_buf line = TS_BUF_INIT;
    ts_jw *w = ctx;
    if (w) {
        ts_jw_kstr(w, key, value);
    } else {
        ts_buf_printf(&line, "%s = ", key);
        ts_cmd_safe(&line, value, strlen(value), false, 0);
        ts_cmd_print_line(&line);
    }
    ts_buf_release(&line);
}

static int show_settings(const ts_cmd *cmd, ts_store *st) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    ts_jw_obj(&w);
    ts_setting_each(st, print_setting, cmd->json ? &w : NULL);
    ts_jw_end_obj(&w);
    if (cmd->json) ts_cmd_print_line(&out);
    ts_buf_release(&out);
    return TS_EXIT_OK;
}

static int show_setting(const ts_cmd *cmd, ts_store *st) {
    ts_buf value = TS_BUF_INIT;
    ts_err err;
    if (!known_setting(st, cmd->args[1], "", &err)) return ts_cmd_usage(cmd, "%s", err.text);
    bool found = ts_setting_get(st, cmd->args[1], &value);
    if (found)
        ts_cmd_print_line(&value);
    else
        ts_cmd_note(cmd, "%s is not set", cmd->args[1]);
    ts_buf_release(&value);
    return found ? TS_EXIT_OK : TS_EXIT_FAILED;
}

/* What a conversation looks like in the template, for people. */
static ts_status show_template(const ts_cmd *cmd, ts_store *st, const char *template, ts_err *err) {
    ts_buf model = TS_BUF_INIT, text = TS_BUF_INIT;
    ts_status status = TS_OK;
    if (ts_setting_get(st, "model", &model)) {
        status = ts_cmd_chat_example(ts_buf_str(&model), template, &text, err);
        if (status == TS_OK) ts_cmd_note(cmd, "a conversation in this template:\n%s", ts_buf_str(&text));
    } else {
        status = ts_chat_template_read(template, &text, err);
    }
    ts_buf_release(&model);
    ts_buf_release(&text);
    return status;
}

/* A template is shown before it is taken, which also finds out whether it works; a file is kept by its whole path. */
static int set_setting(const ts_cmd *cmd, ts_store *st) {
    const char *key = cmd->args[1], *value = cmd->args[2];
    char *absolute = NULL;
    ts_err err;
    ts_status status = TS_OK;
    if (strcmp(key, "template") == 0 && *value) {
        status = show_template(cmd, st, value, &err);
        bool named = false;
        for (size_t i = 0; i < ts_n_chat_templates; i++)
            named = named || strcmp(value, ts_chat_templates[i].name) == 0;
        if (!named) value = absolute = ts_path_absolute(value);
    }
    if (status == TS_OK) status = ts_setting_set(st, key, *value ? value : NULL, &err);
    free(absolute);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static int run_config(const ts_cmd *cmd, const void *opts) {
    ts_err err;
    (void)opts;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    int code = TS_EXIT_OK;
    if (cmd->n_args == 1)
        code = show_settings(cmd, st);
    else if (cmd->n_args == 2)
        code = show_setting(cmd, st);
    else if (!known_setting(st, cmd->args[1], cmd->args[2], &err))
        code = ts_cmd_usage(cmd, "%s", err.text);
    else
        code = set_setting(cmd, st);
    ts_store_close(st);
    return code;
}

const ts_verb ts_verb_config = {"config",
                                "WS [KEY [VALUE]]",
                                "show or change the workspace's settings",
                                config_more,
                                1,
                                3,
                                NULL,
                                0,
                                0,
                                NULL,
                                run_config,
                                false};

/* ---- list ---- */

struct list_opts {
    const char *where, *sort, *fields;
    int64_t limit;
};

/* One column of the table; unknown names were refused before. */
static void put_field(ts_buf *out, const ts_row *r, const char *name, size_t n, size_t most) {
    const struct {
        const char *name;
        ts_text text;
    } texts[] = {{"instruction", r->instruction},
                 {"input", r->input},
                 {"output", r->output},
                 {"answer", r->output},
                 {"prompt", r->instruction},
                 {"system", r->system},
                 {"tags", {r->tags, strlen(r->tags)}},
                 {"origin", {r->origin, strlen(r->origin)}}};
    for (size_t i = 0; i < TS_COUNT(texts); i++)
        if (strlen(texts[i].name) == n && memcmp(texts[i].name, name, n) == 0) {
            ts_cmd_safe(out, texts[i].text.s ? texts[i].text.s : "", texts[i].text.n, false, most);
            return;
        }
    if (strncmp(name, "id", n) == 0)
        ts_buf_printf(out, "%6lld", (long long)r->id);
    else if (strncmp(name, "status", n) == 0)
        ts_buf_printf(out, "%-8s", ts_row_status_name(r->status));
    else if (strncmp(name, "rating", n) == 0)
        ts_buf_printf(out, "%d", r->rating);
    else if (strncmp(name, "dup", n) == 0)
        ts_buf_printf(out, "%lld", (long long)r->dup);
    else if (strncmp(name, "tokens", n) == 0)
        ts_buf_printf(out, r->tokens < 0 ? "    -" : "%5lld", (long long)r->tokens);
    else
        ts_buf_printf(out, r->score != r->score ? "   -" : "%4.2f", r->score);
}

static bool known_column(const char *name, size_t n) {
    static const char *const names[] = {"id",     "status", "rating", "tags",     "origin", "instruction",
                                        "input",  "output", "answer", "prompt",   "system", "dup",
                                        "tokens", "score",  "scores", "messages", "extra"};
    for (size_t i = 0; i < TS_COUNT(names); i++)
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0) return true;
    return false;
}

static void put_row(ts_buf *out, const ts_row *r, const char *fields) {
    const char *p = fields ? fields : "id,status,score,tokens,instruction";
    for (;;) {
        size_t n = strcspn(p, ",");
        put_field(out, r, p, n, fields ? 0 : 60);
        if (!p[n]) break;
        ts_buf_puts(out, fields ? "\t" : "  ");
        p += n + 1;
    }
}

static ts_status print_rows(const ts_cmd *cmd, ts_store *st, const ts_view *v, size_t n, const char *fields,
                            ts_err *err) {
    enum { PIECE = 128 };
    ts_row rows[PIECE];
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_status status = TS_OK;
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, n - i);
        ts_arena_reset(&arena);
        status = ts_rows_read(st, ts_view_ids(v) + i, m, rows, &arena, err);
        for (size_t j = 0; j < m && status == TS_OK; j++) {
            if (rows[j].gone) continue;
            ts_jw w = ts_jw_to(&line);
            if (cmd->json)
                status = ts_row_json(st, &rows[j], fields, &w, err);
            else
                put_row(&line, &rows[j], fields);
            if (status == TS_OK) ts_cmd_print_line(&line);
        }
    }
    ts_buf_release(&line);
    ts_arena_release(&arena);
    return status;
}

static int run_list(const ts_cmd *cmd, const void *opts) {
    const struct list_opts *o = opts;
    ts_err err;
    for (const char *p = o->fields; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (!known_column(p, strcspn(p, ",")))
            return ts_cmd_usage(cmd, "there is no field \"%.*s\"", (int)strcspn(p, ","), p);
    if (o->limit < 0) return ts_cmd_usage(cmd, "--limit is a number of rows (0: all), not %lld", (long long)o->limit);
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    int code = TS_EXIT_OK;
    ts_view *v = ts_cmd_view(cmd, st, o->where, o->sort, &code);
    size_t n = ts_view_count(v);
    if (o->limit > 0 && (uint64_t)o->limit < n) n = (size_t)o->limit;
    if (v && print_rows(cmd, st, v, n, o->fields, &err) != TS_OK) code = ts_cmd_fail(cmd, &err);
    if (v && !cmd->json && n < ts_view_count(v)) ts_cmd_note(cmd, "%zu of %zu rows", n, ts_view_count(v));
    ts_view_free(v);
    ts_store_close(st);
    return code;
}

static const ts_opt list_opts[] = {
    {"where", TS_OPT_TEXT, offsetof(struct list_opts, where), "QUERY",
     "which rows: words, status=accepted, score<0.4, tag:x"},
    {"sort", TS_OPT_TEXT, offsetof(struct list_opts, sort), "FIELD", "order; -FIELD for falling"},
    {"limit", TS_OPT_INT, offsetof(struct list_opts, limit), "N", "at most so many rows"},
    {"fields", TS_OPT_TEXT, offsetof(struct list_opts, fields), "A,B", "only these fields, separated by tabs"},
};
const ts_verb ts_verb_list = {
    "list",   "WS", "list examples", NULL, 1, 1, list_opts, TS_COUNT(list_opts), sizeof(struct list_opts), NULL,
    run_list, false};

/* ---- show ---- */

static void put_long_text(ts_buf *out, const char *name, ts_text t) {
    if (!t.s) return;
    ts_buf text = TS_BUF_INIT;
    ts_cmd_safe(&text, t.s, t.n, true, 0);
    ts_buf_printf(out, "%s\n", name);
    const char *p = ts_buf_str(&text);
    if (!*p) ts_buf_puts(out, "  (empty)\n");
    while (*p) {
        size_t n = strcspn(p, "\n");
        ts_buf_printf(out, "  %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
    ts_buf_release(&text);
}

static ts_status put_scores(ts_store *st, const ts_row *r, ts_buf *out, ts_arena *arena, ts_err *err) {
    ts_rule_value *values;
    size_t n;
    TS_TRY(ts_row_scores(st, r->id, &values, &n, arena, err));
    if (r->score != r->score)
        ts_buf_puts(out, "scores\n  (not scored)\n");
    else
        ts_buf_printf(out, "scores\n  score %.2f\n", r->score);
    for (size_t i = 0; i < n; i++)
        ts_buf_printf(out, "  %s %.2f%s\n", values[i].rule, values[i].value, values[i].dismissed ? " (dismissed)" : "");
    return TS_OK;
}

static ts_status put_shown(ts_store *st, const ts_row *r, ts_buf *out, ts_arena *arena, ts_err *err) {
    ts_buf_printf(out, "#%lld  %s  ", (long long)r->id, ts_row_status_name(r->status));
    if (r->rating) ts_buf_printf(out, "rating %d  ", r->rating);
    if (*r->tags) {
        ts_buf_puts(out, "tags ");
        ts_cmd_safe(out, r->tags, strlen(r->tags), false, 0);
        ts_buf_puts(out, "  ");
    }
    if (r->tokens >= 0) ts_buf_printf(out, "%lld tokens  ", (long long)r->tokens);
    if (r->dup) ts_buf_printf(out, "duplicate group %lld  ", (long long)r->dup);
    ts_cmd_safe(out, r->origin, strlen(r->origin), false, 0);
    ts_buf_putc(out, '\n');
    if (r->shape == TS_MESSAGES) {
        put_long_text(out, "messages", r->messages);
    } else {
        put_long_text(out, "system", r->system);
        put_long_text(out, "instruction", r->instruction);
        put_long_text(out, "input", r->input);
        put_long_text(out, "output", r->output);
    }
    put_long_text(out, "other members", r->extra);
    TS_TRY(put_scores(st, r, out, arena, err));
    out->len--; /* print_line ends the last line */
    return TS_OK;
}

static int run_show(const ts_cmd *cmd, const void *opts) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf out = TS_BUF_INIT;
    ts_err err;
    ts_row row;
    int64_t id;
    (void)opts;
    if (!ts_cmd_number(cmd, cmd->args[1], "ID", &id)) return TS_EXIT_USAGE;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_jw w = ts_jw_to(&out);
    ts_status status = ts_row_read(st, id, &row, &arena, &err);
    if (status == TS_OK)
        status = cmd->json ? ts_row_json(st, &row, NULL, &w, &err) : put_shown(st, &row, &out, &arena, &err);
    if (status == TS_OK) ts_cmd_print_line(&out);
    ts_buf_release(&out);
    ts_arena_release(&arena);
    ts_store_close(st);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

const ts_verb ts_verb_show = {"show",   "WS ID", "show one example in full", NULL, 2, 2, NULL, 0, 0, NULL,
                              run_show, false};

/* ---- set ---- */

struct set_opts {
    const char *where, *status, *tag, *untag;
    int64_t rating;
};

static ts_status set_rows(const struct set_opts *o, ts_store *st, const ts_view *v, ts_done *done, ts_err *err) {
    const int64_t *ids = ts_view_ids(v);
    size_t n = ts_view_count(v);
    ts_row_status status;
    if (o->tag) return ts_rows_tag(st, ids, n, o->tag, true, done, err);
    if (o->untag) return ts_rows_tag(st, ids, n, o->untag, false, done, err);
    if (o->rating >= 0) return ts_rows_set_rating(st, ids, n, (int)TS_MIN(o->rating, 9), done, err);
    if (!ts_row_status_of(o->status, strlen(o->status), &status))
        return ts_fail(err, TS_INVALID, "there is no status \"%.40s\"; there are new, accepted, rejected, later",
                       o->status);
    return ts_rows_set_status(st, ids, n, status, done, err);
}

static int run_set(const ts_cmd *cmd, const void *opts) {
    const struct set_opts *o = opts;
    ts_err err;
    ts_done done;
    if (!o->where) return ts_cmd_usage(cmd, "--where says which rows (--where \"\" means all)");
    if ((o->status != NULL) + (o->tag != NULL) + (o->untag != NULL) + (o->rating >= 0) != 1)
        return ts_cmd_usage(cmd, "one of --status, --tag, --untag, --rating is needed");
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    int code = TS_EXIT_OK;
    ts_view *v = ts_cmd_view(cmd, st, o->where, NULL, &code);
    if (v) {
        ts_status status = set_rows(o, st, v, &done, &err);
        code = status == TS_OK        ? ts_cmd_done(cmd, &done, "nothing to change")
               : status == TS_INVALID ? ts_cmd_usage(cmd, "%s", err.text)
                                      : ts_cmd_fail(cmd, &err);
    }
    ts_view_free(v);
    ts_store_close(st);
    return code;
}

static const struct set_opts set_defaults = {.rating = -1};
static const ts_opt set_opts[] = {
    {"where", TS_OPT_TEXT, offsetof(struct set_opts, where), "QUERY", "which rows"},
    {"status", TS_OPT_TEXT, offsetof(struct set_opts, status), "S", "new, accepted, rejected or later"},
    {"tag", TS_OPT_TEXT, offsetof(struct set_opts, tag), "T", "put a tag on them"},
    {"untag", TS_OPT_TEXT, offsetof(struct set_opts, untag), "T", "take a tag away"},
    {"rating", TS_OPT_INT, offsetof(struct set_opts, rating), "N", "1 to 5, 0 for none"},
};
const ts_verb ts_verb_set = {"set",
                             "WS",
                             "set status, tag or rating of many examples",
                             NULL,
                             1,
                             1,
                             set_opts,
                             TS_COUNT(set_opts),
                             sizeof(struct set_opts),
                             &set_defaults,
                             run_set,
                             false};

/* ---- add ---- */

struct add_opts {
    const char *file;
};

static ts_status read_all(const char *path, ts_buf *out, ts_err *err) {
    if (path && strcmp(path, "-") != 0) return ts_file_read(path, (size_t)64 << 20, out, err);
    for (;;) {
        ts_buf_reserve(out, 65536);
        ssize_t n = read(STDIN_FILENO, out->data + out->len, 65536);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ts_fail_errno(err, "cannot read standard input");
        out->len += (size_t)n;
        out->data[out->len] = 0;
        if (n == 0) return TS_OK;
        if (out->len > (size_t)64 << 20) return ts_fail(err, TS_LIMIT, "a row of more than 64 MB is not taken");
    }
}

static ts_status parse_one(const ts_buf *text, ts_parts *parts, ts_err *err) {
    size_t at;
    ts_json_fault fault = ts_json_check(ts_buf_str(text), text->len, &at);
    if (fault != TS_JSON_FINE)
        return ts_fail(err, TS_FORMAT, "%s, at byte %zu; nothing was added",
                       ts_reason_sentence(ts_reason_of_fault(fault)), at + 1);
    ts_jview row = ts_jview_of(text->data, text->len);
    for (const ts_format *f = ts_formats; f->name; f++) {
        if (!ts_format_fits(f, row)) continue;
        const char *code = f->read(f, row, parts);
        if (!code) return TS_OK;
        return ts_fail(err, TS_FORMAT, "%s; nothing was added", ts_reason_sentence(code));
    }
    return ts_fail(err, TS_FORMAT,
                   "the row is none we know: {\"instruction\",\"output\"} or {\"messages\"} is needed; "
                   "nothing was added");
}

static int run_add(const ts_cmd *cmd, const void *opts) {
    const struct add_opts *o = opts;
    ts_buf text = TS_BUF_INIT;
    ts_parts parts = {0};
    ts_err err;
    ts_done done;
    int64_t id;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_parts_reset(&parts);
    ts_status status;
    TS_GOTO(read_all(o->file, &text, &err));
    TS_GOTO(parse_one(&text, &parts, &err));
    ts_draft draft = ts_parts_draft(&parts);
    TS_GOTO(ts_row_add(st, &draft, &id, &done, &err));
    ts_buf_reset(&text);
    if (cmd->json)
        ts_buf_printf(&text, "{\"id\":%lld}", (long long)id);
    else
        ts_buf_puts(&text, done.text);
    ts_cmd_print_line(&text);
out:
    ts_buf_release(&text);
    ts_parts_release(&parts);
    ts_store_close(st);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static const ts_opt add_opts[] = {
    {"file", TS_OPT_TEXT, offsetof(struct add_opts, file), "JSON",
     "file with one JSON object; standard input without it"},
};
const ts_verb ts_verb_add = {
    "add",   "WS", "add one example", NULL, 1, 1, add_opts, TS_COUNT(add_opts), sizeof(struct add_opts), NULL,
    run_add, false};

/* ---- edit ---- */

struct edit_opts {
    const char *field, *text;
};

static int run_edit(const ts_cmd *cmd, const void *opts) {
    const struct edit_opts *o = opts;
    ts_err err;
    ts_done done;
    ts_edit e;
    int64_t id;
    if (!ts_cmd_number(cmd, cmd->args[1], "ID", &id)) return TS_EXIT_USAGE;
    if (!o->field || !o->text) return ts_cmd_usage(cmd, "--field and --text are needed");
    if (!ts_field_of(o->field, strlen(o->field), &e.field))
        return ts_cmd_usage(
            cmd, "there is no field \"%s\"; there are instruction, input, output, system, messages, tags", o->field);
    e.text = (ts_text){o->text, strlen(o->text)};
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    int code = ts_row_edit(st, id, -1, &e, 1, &done, &err) == TS_OK ? ts_cmd_done(cmd, &done, "nothing to change")
                                                                    : ts_cmd_fail(cmd, &err);
    ts_store_close(st);
    return code;
}

static const ts_opt edit_opts[] = {
    {"field", TS_OPT_TEXT, offsetof(struct edit_opts, field), "F",
     "instruction, input, output, system, messages or tags"},
    {"text", TS_OPT_TEXT, offsetof(struct edit_opts, text), "T", "its new text"},
};
const ts_verb ts_verb_edit = {"edit",
                              "WS ID",
                              "change a field of one example",
                              NULL,
                              2,
                              2,
                              edit_opts,
                              TS_COUNT(edit_opts),
                              sizeof(struct edit_opts),
                              NULL,
                              run_edit,
                              false};
