/* labels: slow */
/* IFD on the real model against transformers: shared/golden/smollm2-135m/README.md. Every third of its 60 rows, so that
 * all three sources are in it; TUNESMITH_ALL_ROWS=1 takes all. */
#include "core/base/file.h"
#include "core/engine/ifd.h"
#include "tests/golden_support.h"

enum { ROWS_MAX = 60, FILES_MAX = 1 << 26 };

/* Record `n` of a file that is a JSON array or one object a line. */
static ts_json *record_of(const char *file, int64_t n) {
    char path[200];
    ts_buf text = TS_BUF_INIT;
    snprintf(path, sizeof path, "data/%s", file);
    assert_ok(ts_file_read(ts_test_shared(path), FILES_MAX, &text, &err));
    ts_json *all = text.data[0] == '[' ? ts_json_parse(text.data, text.len, &err) : NULL, *out = NULL;
    if (all) {
        const ts_json *v = ts_json_child(all);
        ts_buf one = TS_BUF_INIT;
        while (n-- > 0)
            v = ts_json_next(v);
        ts_json_print(v, &one);
        out = ts_json_parse(one.data, one.len, &err);
        ts_buf_release(&one);
        ts_json_free(all);
    } else {
        const char *line = text.data;
        while (n-- > 0)
            line = strchr(line, '\n') + 1;
        out = ts_json_parse(line, strcspn(line, "\n"), &err);
    }
    assert_non_null(out);
    ts_buf_release(&text);
    return out;
}

static const char *member(const ts_json *v, const char *a, const char *b) {
    return ts_json_str(ts_json_get(v, a), ts_json_str(ts_json_get(v, b), ""));
}

/* The row of the engine for a golden row. */
static ts_json *row_of(const ts_json *golden) {
    ts_buf text = TS_BUF_INIT, line = TS_BUF_INIT;
    ts_json *record = record_of(member(golden, "file", ""), (int64_t)ts_json_num(ts_json_get(golden, "record"), 0));
    const ts_json *first = ts_json_child(ts_json_get(record, "instances")), *from = first ? first : record;
    ts_buf_puts(&text, member(record, "instruction", "question"));
    if (*member(from, "input", "")) ts_buf_printf(&text, "\n%s", member(from, "input", ""));
    ts_jw w = ts_jw_to(&line);
    ts_buf_puts(&line, "{\"messages\":[{\"role\":\"user\",\"content\":");
    ts_jw_str(&w, ts_buf_str(&text));
    ts_buf_puts(&line, "},{\"role\":\"assistant\",\"content\":");
    w = ts_jw_to(&line);
    ts_jw_str(&w, member(from, "output", "answer"));
    ts_buf_puts(&line, "}]}");
    ts_json *row = ts_json_parse(line.data, line.len, &err);
    assert_non_null(row);
    ts_json_free(record);
    ts_buf_release(&text);
    ts_buf_release(&line);
    return row;
}

static void check(const ts_json *golden, const ts_ifd *x) {
    static const char *const names[] = {"given", "alone", "ifd_loss", "ifd_ppl"};
    assert_int_equal(x->n, 1);
    const ts_ifd_turn *t = &x->turns[0];
    assert_int_equal(t->n, (size_t)ts_json_num(ts_json_get(golden, "n"), 0));
    const double ours[] = {t->given, t->alone, t->given / t->alone, exp((t->given - t->alone) / (double)t->n)};
    for (size_t i = 0; i < TS_COUNT(names); i++) {
        double is = ts_json_num(ts_json_get(golden, names[i]), NAN);
        assert_near(ours[i], is, i < 2 ? 1e-4 * is + 1e-3 : 1e-3, names[i]);
    }
}

static void losses_with_and_without_the_prompt(void **state) {
    (void)state;
    ts_model *m = NULL;
    ts_net *net = NULL;
    ts_encoder e;
    ts_example rows[ROWS_MAX];
    ts_ifd out[ROWS_MAX];
    const ts_json *which[ROWS_MAX];
    size_t n = 0, at = 0, step = getenv("TUNESMITH_ALL_ROWS") ? 1 : 3;
    ts_json *golden = golden_json("golden/smollm2-135m/ifd.json");
    assert_ok(ts_model_open(&m, ts_test_smollm2(), &err));
    assert_ok(ts_net_new(&net, m, NULL, &err));
    ts_encoder_init(&e, m->path, m->config.vocab);
    for (const ts_json *g = ts_json_child(golden); g; g = ts_json_next(g)) {
        if (at++ % step) continue;
        ts_json *row = row_of(g);
        assert_ok(ts_encoder_row(&e, row, &rows[n], &err));
        which[n++] = g;
        ts_json_free(row);
    }
    assert_ok(ts_ifd_rows(net, &e, NULL, rows, n, true, out, NULL, &err));
    for (size_t i = 0; i < n; i++) {
        check(which[i], &out[i]);
        ts_example_release(&rows[i]);
    }
    ts_ifd_release(out, n);
    ts_encoder_release(&e);
    ts_net_free(net);
    ts_model_close(m);
    ts_json_free(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(losses_with_and_without_the_prompt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
