#include "core/engine/train_samples.h"

#include "core/work/child.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char PROMPTS_FILE[] = "prompts.jsonl";
enum { LONGEST_FILE = 1 << 24, MOST_STOPS = 16 };

/* --- taking the prompts --- */

static void put_user(ts_jw *w, const char *text) {
    ts_jw_key(w, "messages");
    ts_jw_arr(w);
    ts_jw_obj(w);
    ts_jw_kstr(w, "role", "user");
    ts_jw_kstr(w, "content", text);
    ts_jw_end_obj(w);
    ts_jw_end_arr(w);
}

/* All turns but an answer at the end. */
static void put_messages(ts_jw *w, const ts_json *messages) {
    ts_buf one = TS_BUF_INIT;
    ts_jw_key(w, "messages");
    ts_jw_arr(w);
    for (const ts_json *m = ts_json_child(messages); m; m = ts_json_next(m)) {
        if (!ts_json_next(m) && strcmp(ts_json_str(ts_json_get(m, "role"), ""), "assistant") == 0) break;
        ts_buf_reset(&one);
        ts_json_print(m, &one);
        ts_jw_raw(w, ts_buf_str(&one), one.len);
    }
    ts_jw_end_arr(w);
    ts_buf_release(&one);
}

static ts_status put_row(ts_jw *w, const ts_json *row, ts_err *err) {
    static const char *const users[] = {"instruction", "prompt"};
    const char *input = ts_json_str(ts_json_get(row, "input"), "");
    if (ts_json_is_array(ts_json_get(row, "messages"))) {
        put_messages(w, ts_json_get(row, "messages"));
        return TS_OK;
    }
    for (size_t i = 0; i < TS_COUNT(users); i++) {
        const char *text = ts_json_str(ts_json_get(row, users[i]), NULL);
        if (!text) continue;
        char *both = *input ? ts_printf("%s\n%s", text, input) : ts_strdup(text);
        put_user(w, both);
        free(both);
        return TS_OK;
    }
    const char *key = ts_json_is_string(ts_json_get(row, "text")) ? "text" : "ids";
    if (!ts_json_get(row, key))
        return ts_fail(err, TS_FORMAT, "the row has no \"messages\", \"instruction\", \"prompt\", \"text\" or \"ids\"");
    ts_buf one = TS_BUF_INIT;
    ts_json_print(ts_json_get(row, key), &one);
    ts_jw_key(w, key);
    ts_jw_raw(w, ts_buf_str(&one), one.len);
    ts_buf_release(&one);
    return TS_OK;
}

static ts_status put_line(const char *line, size_t n, ts_buf *out, ts_err *err) {
    ts_jw w = ts_jw_to(out);
    ts_status status = TS_OK;
    ts_jw_obj(&w);
    if (line[0] == '{') {
        ts_json *row = ts_json_parse(line, n, err);
        status = row ? put_row(&w, row, err) : TS_FORMAT;
        ts_json_free(row);
    } else {
        char *text = ts_strndup(line, n);
        put_user(&w, text);
        free(text);
    }
    ts_jw_end_obj(&w);
    ts_buf_putc(out, '\n');
    return status;
}

ts_status ts_train_prompts_take(const char *run_dir, const char *file, ts_err *err) {
    ts_buf text = TS_BUF_INIT, out = TS_BUF_INIT;
    int64_t number = 0;
    size_t prompts = 0;
    char *path = ts_path_join(run_dir, PROMPTS_FILE), *rest = NULL;
    ts_status status = TS_OK;
    TS_GOTO(ts_file_read(file, LONGEST_FILE, &text, err));
    for (char *at = text.len ? text.data : NULL; at && at < text.data + text.len; at = rest) {
        size_t left = text.len - (size_t)(at - text.data);
        char *end = memchr(at, '\n', left);
        size_t n = end ? (size_t)(end - at) : left;
        rest = at + n + 1;
        number++;
        while (n && (at[n - 1] == '\r' || at[n - 1] == ' ' || at[n - 1] == '\t'))
            n--;
        if (n == 0) continue;
        if (++prompts > TS_TRAIN_PROMPTS)
            TS_GOTO(ts_fail(err, TS_INVALID, "%s holds more than %d prompts; a few show what changes", file,
                            TS_TRAIN_PROMPTS));
        status = put_line(at, n, &out, err);
        if (status != TS_OK) {
            ts_wrap(err, status, "%s line %lld", file, (long long)number);
            goto out;
        }
    }
    if (prompts == 0) TS_GOTO(ts_fail(err, TS_INVALID, "%s holds no prompts", file));
    TS_GOTO(ts_file_write(path, out.data, out.len, err));
out:
    ts_buf_release(&text);
    ts_buf_release(&out);
    free(path);
    return status;
}

/* --- answering them --- */

struct ts_train_samples {
    size_t n, max_new;
    ts_encoder *encoder;
    ts_ids ids[TS_TRAIN_PROMPTS];
    char *shown[TS_TRAIN_PROMPTS]; /* what the person asked, for the event */
    int32_t stops[MOST_STOPS];
    size_t n_stops;
};

/* The last turn, or the text; ids as they are printed. */
static char *shown_prompt(const ts_json *row) {
    const ts_json *messages = ts_json_get(row, "messages"), *last = NULL;
    ts_buf out = TS_BUF_INIT;
    for (const ts_json *m = ts_json_child(messages); m; m = ts_json_next(m))
        last = m;
    const char *text = ts_json_str(ts_json_get(last ? last : row, last ? "content" : "text"), NULL);
    if (text)
        ts_buf_puts(&out, text);
    else
        ts_json_print(row, &out);
    return ts_buf_take(&out);
}

static ts_status read_prompt(ts_train_samples *s, const char *line, size_t n, ts_err *err) {
    ts_json *row = ts_json_parse(line, n, err);
    if (!row) return TS_FORMAT;
    ts_status status = s->n < TS_TRAIN_PROMPTS ? ts_encoder_prompt(s->encoder, row, &s->ids[s->n], err)
                                               : ts_fail(err, TS_LIMIT, "there are too many prompts");
    if (status == TS_OK) s->shown[s->n++] = shown_prompt(row);
    ts_json_free(row);
    return status;
}

static ts_status read_prompts(ts_train_samples *s, const char *path, ts_err *err) {
    ts_lines l = {0};
    const char *line;
    size_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ts_fail_errno(err, "cannot open %s", path);
    ts_status status = TS_OK;
    while (status == TS_OK && !l.eof) {
        status = ts_lines_fill(&l, fd, err);
        while (status == TS_OK && ts_lines_next(&l, &line, &n))
            status = read_prompt(s, line, n, err);
    }
    close(fd);
    ts_lines_release(&l);
    return status == TS_OK ? TS_OK : ts_wrap(err, status, "%s, prompt %zu", path, s->n + 1);
}

ts_status ts_train_samples_open(ts_train_samples **out, const char *run_dir, ts_encoder *e, const ts_model *m,
                                size_t max_new, ts_err *err) {
    char *path = ts_path_join(run_dir, PROMPTS_FILE);
    *out = NULL;
    if (!ts_is_file(path)) {
        free(path);
        return TS_OK;
    }
    ts_train_samples *s = ts_calloc(1, sizeof *s);
    s->encoder = e;
    s->max_new = max_new;
    ts_status status = read_prompts(s, path, err);
    s->n_stops = ts_encoder_stops(e, m, s->stops);
    free(path);
    if (status == TS_OK)
        *out = s;
    else
        ts_train_samples_free(s);
    return status;
}

void ts_train_samples_free(ts_train_samples *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) {
        ts_ids_release(&s->ids[i]);
        free(s->shown[i]);
    }
    free(s);
}

static ts_status tell(const ts_train_samples *s, size_t i, const ts_gen_item *item, ts_events *events, int64_t step,
                      ts_buf *line, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    if (s->encoder->tokenizer) ts_tokenizer_decode(s->encoder->tokenizer, item->out.items, item->out.n, true, &text);
    ts_jw w = ts_events_begin(line, "sample", step);
    ts_jw_kint(&w, "index", (int64_t)i);
    ts_jw_kstr(&w, "prompt", s->shown[i]);
    ts_jw_key(&w, "text");
    ts_jw_strn(&w, ts_buf_str(&text), text.len);
    ts_jw_key(&w, "ids");
    ts_jw_arr(&w);
    for (size_t k = 0; k < item->out.n; k++)
        ts_jw_int(&w, item->out.items[k]);
    ts_jw_end_arr(&w);
    ts_jw_kstr(&w, "stop", item->stop == TS_STOP_EOS ? "eos" : "length");
    ts_buf_release(&text);
    return ts_events_add(events, &w, err);
}

ts_status ts_train_samples_make(ts_train_samples *s, ts_net *net, const ts_adapter *adapter, ts_events *events,
                                int64_t step, ts_buf *line, ts_progress *progress, ts_err *err) {
    ts_gen_options o = {
        .max_new_tokens = s->max_new, .sampling = TS_SAMPLING_GREEDY, .stop_ids = s->stops, .n_stop_ids = s->n_stops};
    ts_gen_item *items = ts_calloc(s->n, sizeof *items);
    for (size_t i = 0; i < s->n; i++)
        items[i] = (ts_gen_item){.prompt = s->ids[i].items, .n_prompt = s->ids[i].n, .adapter = adapter};
    ts_status status = ts_net_generate(net, items, s->n, &o, progress, err);
    for (size_t i = 0; i < s->n && status == TS_OK; i++)
        status = tell(s, i, &items[i], events, step, line, err);
    ts_gen_release(items, s->n);
    free(items);
    return status;
}
