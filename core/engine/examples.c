#include "core/engine/examples.h"

#include "core/base/file.h"
#include "core/model/chat_templates.h"
#include "core/model/model.h"
#include "core/work/child.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ts_encoder_init(ts_encoder *e, const char *model, size_t vocab) {
    *e = (ts_encoder){.model = ts_strdup(model), .vocab = vocab};
}

void ts_encoder_release(ts_encoder *e) {
    ts_chat_free(e->chat);
    ts_tokenizer_free(e->tokenizer);
    free(e->model);
    free(e->template);
    *e = (ts_encoder){0};
}

ts_status ts_encoder_template(ts_encoder *e, const char *spec, ts_err *err) {
    ts_buf source = TS_BUF_INIT;
    bool any = spec && *spec;
    if (any) TS_TRY(ts_chat_template_read(spec, &source, err));
    ts_chat_free(e->chat);
    e->chat = NULL;
    free(e->template);
    e->template = any ? ts_strdup(ts_buf_str(&source)) : NULL;
    ts_buf_release(&source);
    return TS_OK;
}

bool ts_encoder_overrides(ts_encoder *e) {
    ts_err ignored;
    return e->template && ts_encoder_tokenizer(e, &ignored) == TS_OK && ts_tokenizer_template(e->tokenizer);
}

ts_status ts_encoder_tokenizer(ts_encoder *e, ts_err *err) {
    return e->tokenizer ? TS_OK : ts_tokenizer_open(&e->tokenizer, e->model, err);
}

ts_status ts_encoder_chat(ts_encoder *e, ts_err *err) {
    TS_TRY(ts_encoder_tokenizer(e, err));
    return e->chat ? TS_OK : ts_chat_open(&e->chat, e->tokenizer, e->template, err);
}

static ts_status read_ids(const ts_encoder *e, const ts_json *list, const char *key, int64_t least, ts_ids *out,
                          ts_err *err) {
    if (!ts_json_is_array(list)) return ts_fail(err, TS_FORMAT, "\"%s\" is no list of token ids", key);
    for (const ts_json *v = ts_json_child(list); v; v = ts_json_next(v)) {
        int64_t id;
        if (!ts_json_int(v, least, (int64_t)e->vocab - 1, &id))
            return ts_fail(err, TS_FORMAT,
                           "\"%s\" holds something that is no token id of this model (whole numbers below %zu) at "
                           "place %zu",
                           key, e->vocab, out->n);
        TS_PUSH(out->items, out->n, out->cap, (int32_t)id);
    }
    return TS_OK;
}

static void count_supervised(ts_example *x) {
    x->supervised = 0;
    for (size_t i = 1; i < x->labels.n; i++)
        x->supervised += x->labels.items[i] != TS_NO_LABEL;
}

static ts_status read_id_row(ts_encoder *e, const ts_json *row, ts_example *out, ts_err *err) {
    TS_TRY(read_ids(e, ts_json_get(row, "ids"), "ids", 0, &out->ids, err));
    TS_TRY(read_ids(e, ts_json_get(row, "labels"), "labels", TS_NO_LABEL, &out->labels, err));
    if (out->ids.n != out->labels.n)
        return ts_fail(err, TS_FORMAT, "\"ids\" has %zu entries and \"labels\" %zu; they must be as many", out->ids.n,
                       out->labels.n);
    for (size_t i = 0; i < out->labels.n; i++)
        if (out->labels.items[i] < 0 && out->labels.items[i] != TS_NO_LABEL)
            return ts_fail(err, TS_FORMAT, "\"labels\" holds %d at place %zu; only -100 is negative",
                           out->labels.items[i], i);
    if (out->ids.n == 0) return ts_fail(err, TS_FORMAT, "\"ids\" is empty");
    count_supervised(out);
    return TS_OK;
}

/* Takes the labels away before the last stretch that has some. */
static void keep_last_turn(ts_example *x) {
    size_t i = x->labels.n;
    while (i && x->labels.items[i - 1] == TS_NO_LABEL)
        i--;
    while (i && x->labels.items[i - 1] != TS_NO_LABEL)
        i--;
    while (i)
        x->labels.items[--i] = TS_NO_LABEL;
    count_supervised(x);
}

/* The last supervised token stops being so, when it is the end of the turn. */
static void drop_end(ts_example *x, int32_t end_of_turn) {
    size_t i = x->labels.n;
    while (i && x->labels.items[i - 1] == TS_NO_LABEL)
        i--;
    if (i && x->labels.items[i - 1] == end_of_turn) x->labels.items[i - 1] = TS_NO_LABEL;
    count_supervised(x);
}

ts_status ts_encoder_row(ts_encoder *e, const ts_json *row, ts_example *out, ts_err *err) {
    *out = (ts_example){0};
    const ts_json *messages = ts_json_get(row, "messages");
    ts_status status;
    if (messages) {
        TS_TRY(ts_encoder_chat(e, err));
        status = ts_chat_example(e->chat, messages, NULL, out, err);
    } else if (ts_json_get(row, "ids")) {
        status = read_id_row(e, row, out, err);
    } else {
        status = ts_fail(err, TS_FORMAT, "the row has neither \"messages\" nor \"ids\"");
    }
    if (status != TS_OK) {
        ts_example_release(out);
        return status;
    }
    if (ts_json_is_true(ts_json_get(row, "last_turn"))) keep_last_turn(out);
    if (messages && ts_json_is_true(ts_json_get(row, "no_end"))) drop_end(out, ts_chat_end_of_turn(e->chat));
    return TS_OK;
}

ts_status ts_encoder_prompt(ts_encoder *e, const ts_json *row, ts_ids *out, ts_err *err) {
    const ts_json *text = ts_json_get(row, "text"), *messages = ts_json_get(row, "messages");
    if (messages) {
        TS_TRY(ts_encoder_chat(e, err));
        TS_TRY(ts_chat_prompt(e->chat, messages, NULL, out, err));
    } else if (ts_json_is_string(text)) {
        const char *words = ts_json_str(text, "");
        TS_TRY(ts_encoder_tokenizer(e, err));
        ts_tokenizer_encode(e->tokenizer, words, strlen(words), true, out, NULL);
    } else if (ts_json_get(row, "ids")) {
        TS_TRY(read_ids(e, ts_json_get(row, "ids"), "ids", 0, out, err));
    } else {
        return ts_fail(err, TS_FORMAT, "the prompt has neither \"messages\" nor \"text\" nor \"ids\"");
    }
    return out->n ? TS_OK : ts_fail(err, TS_INVALID, "the prompt is empty: there is no token to start from");
}

void ts_messages_drop(const ts_json *messages, size_t pairs, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    size_t skip = 2 * pairs;
    bool leading = true;
    ts_jw_arr(&w);
    for (const ts_json *m = ts_json_child(messages); m; m = ts_json_next(m)) {
        leading = leading && strcmp(ts_json_str(ts_json_get(m, "role"), ""), "system") == 0;
        if (!leading && skip) {
            skip--;
            continue;
        }
        ts_buf turn = TS_BUF_INIT;
        ts_json_print(m, &turn);
        ts_jw_raw(&w, ts_buf_str(&turn), turn.len);
        ts_buf_release(&turn);
    }
    ts_jw_end_arr(&w);
}

static ts_status prompt_without(ts_encoder *e, const ts_json *row, size_t pairs, ts_ids *out, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_messages_drop(ts_json_get(row, "messages"), pairs, &text);
    ts_json *left = ts_json_parse(ts_buf_str(&text), text.len, err);
    ts_ids_release(out);
    *out = (ts_ids){0};
    ts_status status = left ? ts_chat_prompt(e->chat, left, NULL, out, err) : TS_FORMAT;
    ts_json_free(left);
    ts_buf_release(&text);
    return status;
}

ts_status ts_encoder_prompt_within(ts_encoder *e, const ts_json *row, size_t most, ts_ids *out, size_t *left_out,
                                   ts_err *err) {
    const ts_json *messages = ts_json_get(row, "messages");
    int64_t shots = 0;
    *left_out = 0;
    TS_TRY(ts_encoder_prompt(e, row, out, err));
    ts_json_int(ts_json_get(row, "shots"), 0, (int64_t)(ts_json_count(messages) / 2), &shots);
    if (out->n <= most || !shots) return TS_OK;
    size_t low = 1, high = (size_t)shots; /* fewer turns are fewer tokens */
    while (low < high) {
        size_t middle = (low + high) / 2;
        TS_TRY(prompt_without(e, row, middle, out, err));
        if (out->n <= most)
            high = middle;
        else
            low = middle + 1;
    }
    *left_out = low;
    return prompt_without(e, row, low, out, err);
}

size_t ts_encoder_stops(ts_encoder *e, const ts_model *m, int32_t out[16]) {
    ts_err none;
    size_t n = TS_MIN(m->config.n_eos, (size_t)8);
    memcpy(out, m->config.eos, n * sizeof *out);
    if (ts_encoder_tokenizer(e, &none) != TS_OK) return n;
    int32_t more[] = {ts_tokenizer_eos(e->tokenizer), -1};
    if (ts_encoder_chat(e, &none) == TS_OK) more[1] = ts_chat_end_of_turn(e->chat);
    for (size_t i = 0; i < TS_COUNT(more); i++) {
        bool known = more[i] < 0;
        for (size_t j = 0; j < n; j++)
            known |= out[j] == more[i];
        if (!known) out[n++] = more[i];
    }
    return n;
}

bool ts_example_truncate(ts_example *x, size_t max_length) {
    if (x->ids.n <= max_length) return false;
    x->ids.n = x->labels.n = max_length;
    count_supervised(x);
    return true;
}

/* Takes the example over, or drops it when nothing in it would be learned. */
static void keep(ts_examples *all, ts_example *x, size_t max_length, int64_t line) {
    all->rows++;
    all->longest = TS_MAX(all->longest, (int64_t)x->ids.n);
    if (ts_example_truncate(x, max_length)) {
        if (all->truncated < TS_LINES_NAMED) all->truncated_lines[all->truncated] = line;
        all->truncated++;
        if (!all->first_truncated) all->first_truncated = line;
    }
    if (x->supervised == 0) {
        if (all->unsupervised < TS_LINES_NAMED) all->unsupervised_lines[all->unsupervised] = line;
        all->unsupervised++;
        if (!all->first_unsupervised) all->first_unsupervised = line;
        ts_example_release(x);
        return;
    }
    all->tokens += (int64_t)x->ids.n;
    all->supervised += (int64_t)x->supervised;
    TS_GROW(all->lines, all->cap_lines, all->n + 1);
    all->lines[all->n] = line;
    TS_PUSH(all->items, all->n, all->cap, *x);
}

static ts_status read_line(ts_examples *all, ts_encoder *e, size_t max_length, const char *text, size_t n, int64_t line,
                           ts_err *err) {
    ts_example x = {0};
    ts_json *row = ts_json_parse(text, n, err);
    if (!row) return err ? err->code : TS_FORMAT;
    ts_status status = ts_encoder_row(e, row, &x, err);
    ts_json_free(row);
    if (status == TS_OK) keep(all, &x, max_length, line);
    return status;
}

ts_status ts_examples_read(ts_examples *out, const char *path, ts_encoder *e, size_t max_length, ts_progress *progress,
                           ts_err *err) {
    ts_lines l = {0};
    ts_status status = TS_OK;
    const char *line;
    size_t n;
    int64_t number = 0, done = 0, size = ts_file_size(path);
    *out = (ts_examples){0};
    if (ts_is_dir(path)) return ts_fail(err, TS_INVALID, "%s is a folder; a JSONL file is needed here", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ts_fail_errno(err, "cannot open %s", path);
    while (!l.eof) {
        status = ts_lines_fill(&l, fd, err);
        if (status != TS_OK) {
            ts_wrap(err, status, "%s line %lld", path, (long long)number + 1);
            goto out;
        }
        if (l.eof && l.buf.len > l.next) ts_buf_putc(&l.buf, '\n'); /* a last line without its newline */
        while (ts_lines_next(&l, &line, &n)) {
            number++;
            done += (int64_t)n + 1;
            if (strspn(line, " \t\r") >= n) continue;
            status = read_line(out, e, max_length, line, n, number, err);
            if (status != TS_OK) {
                ts_wrap(err, status, "%s line %lld", path, (long long)number);
                goto out;
            }
            ts_progress_set(progress, done, size);
            if (ts_cancelled(progress)) TS_GOTO(ts_fail(err, TS_CANCELLED, "stopped while reading %s", path));
        }
    }
out:
    close(fd);
    ts_lines_release(&l);
    if (status != TS_OK) ts_examples_release(out);
    return status;
}

void ts_examples_release(ts_examples *x) {
    for (size_t i = 0; i < x->n; i++)
        ts_example_release(&x->items[i]);
    free(x->items);
    free(x->lines);
    *x = (ts_examples){0};
}
