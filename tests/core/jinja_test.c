#include "core/base/file.h"
#include "core/model/jinja.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

static ts_json *parse(const char *text) {
    ts_err err;
    ts_json *v = ts_json_parse(text, strlen(text), &err);
    if (!v) fail_msg("%s: %s", text, err.text);
    return v;
}

/* Renders with the members of `context` as variables, `messages` traced. */
static ts_status render(const char *source, const ts_json *context, ts_jinja_output *out, ts_err *err) {
    ts_jinja_var vars[16];
    size_t n = 0;
    ts_jinja *t;
    for (const ts_json *v = ts_json_child(context); v; v = ts_json_next(v)) {
        const char *name = ts_json_key(v);
        vars[n++] = (ts_jinja_var){.name = name, .json = v, .tracked = strcmp(name, "messages") == 0};
    }
    ts_status status = ts_jinja_parse(&t, source, strlen(source), err);
    if (status != TS_OK) return status;
    status = ts_jinja_render(t, vars, n, out, err);
    ts_jinja_free(t);
    return status;
}

/* ---- tests/data/jinja.cases ---- */

typedef struct jinja_case {
    char *name;
    ts_buf source, with, gives, fails;
    bool must_fail;
} jinja_case;

static void release_case(jinja_case *c) {
    free(c->name);
    ts_buf_release(&c->source);
    ts_buf_release(&c->with);
    ts_buf_release(&c->gives);
    ts_buf_release(&c->fails);
    *c = (jinja_case){0};
}

static void drop_newline(ts_buf *b) {
    if (b->len && b->data[b->len - 1] == '\n') b->data[--b->len] = 0;
}

/* `^words$`: exactly these words; otherwise a part. */
static bool error_matches(const char *have, const char *want) {
    size_t n = strlen(want);
    if (want[0] != '^') return strstr(have, want) != NULL;
    return strlen(have) == n - 2 && strncmp(have, want + 1, n - 2) == 0;
}

static void check(jinja_case *c) {
    ts_jinja_output out = {0};
    ts_err err;
    drop_newline(&c->source);
    drop_newline(&c->gives);
    drop_newline(&c->fails);
    ts_json *context = c->with.len ? parse(c->with.data) : NULL;
    ts_status status = render(ts_buf_str(&c->source), context, &out, &err);
    if (c->must_fail && status == TS_OK) fail_msg("%s: gave %s", c->name, ts_buf_str(&out.text));
    if (c->must_fail && !error_matches(err.text, ts_buf_str(&c->fails))) fail_msg("%s: %s", c->name, err.text);
    if (!c->must_fail && status != TS_OK) fail_msg("%s: %s", c->name, err.text);
    if (!c->must_fail && strcmp(ts_buf_str(&out.text), ts_buf_str(&c->gives)) != 0)
        fail_msg("%s: gave\n%s\nnot\n%s", c->name, ts_buf_str(&out.text), ts_buf_str(&c->gives));
    ts_jinja_output_release(&out);
    ts_json_free(context);
    release_case(c);
}

static void cases_of_the_file(void **state) {
    ts_buf text = TS_BUF_INIT, *part = NULL;
    jinja_case c = {0};
    ts_err err;
    size_t count = 0;
    (void)state;
    assert_ok(ts_file_read(ts_test_source("tests/data/jinja.cases"), 1 << 20, &text, &err));
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        if (strncmp(line, "=== ", 4) == 0) {
            if (c.name) check(&c);
            count++;
            c.name = ts_strndup(line + 4, (size_t)(end - line) - 4);
            part = &c.source;
        } else if (strncmp(line, "--- ", 4) == 0) {
            c.must_fail = c.must_fail || strncmp(line + 4, "fails", 5) == 0;
            part = line[4] == 'w' ? &c.with : line[4] == 'g' ? &c.gives : &c.fails;
        } else if (part) {
            ts_buf_add(part, line, (size_t)(end - line) + 1);
        }
    }
    check(&c);
    assert_true(count > 100);
    ts_buf_release(&text);
}

/* ---- what no text file can hold ---- */

static void carriage_returns(void **state) {
    ts_jinja_output out = {0};
    ts_err err;
    (void)state;
    assert_ok(render("a\r\n{% if true %}\r\nb\r{% endif %}\n", NULL, &out, &err));
    assert_string_equal(ts_buf_str(&out.text), "a\nb\n");
    ts_jinja_output_release(&out);
}

static void deep_nesting_is_refused(void **state) {
    ts_buf source = TS_BUF_INIT;
    ts_jinja_output out = {0};
    ts_err err;
    (void)state;
    ts_buf_puts(&source, "{{ ");
    for (int i = 0; i < 100000; i++)
        ts_buf_putc(&source, '(');
    ts_buf_puts(&source, "1");
    for (int i = 0; i < 100000; i++)
        ts_buf_putc(&source, ')');
    ts_buf_puts(&source, " }}");
    assert_int_equal(render(source.data, NULL, &out, &err), TS_LIMIT);
    ts_buf_reset(&source);
    for (int i = 0; i < 5000; i++)
        ts_buf_puts(&source, "{% if true %}");
    assert_int_equal(render(source.data, NULL, &out, &err), TS_LIMIT);
    ts_buf_release(&source);
}

static void a_list_that_holds_itself_many_times_over(void **state) {
    ts_jinja_output out = {0};
    ts_err err;
    (void)state;
    assert_int_equal(render("{% set ns = namespace(x=[]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor "
                            "%}{{ ns.x }}",
                            NULL, &out, &err),
                     TS_LIMIT);
    assert_int_equal(render("{% set ns = namespace(x=[], y=[1]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% "
                            "set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}{{ ns.x < ns.y }}",
                            NULL, &out, &err),
                     TS_LIMIT);
}

static void strftime_gives_the_year(void **state) {
    ts_jinja_output out = {0};
    ts_err err;
    (void)state;
    assert_ok(render("{{ strftime_now('%Y') }}", NULL, &out, &err));
    assert_int_equal(out.text.len, 4);
    assert_true(strtol(out.text.data, NULL, 10) > 2025);
    ts_jinja_output_release(&out);
}

/* ---- where output comes from ---- */

/* The runs of a rendering as text: "[0:hello][1:world]". */
static char *trace(const char *source, const char *context_text) {
    ts_jinja_output out = {0};
    ts_buf b = TS_BUF_INIT;
    ts_err err;
    ts_json *context = parse(context_text);
    assert_ok(render(source, context, &out, &err));
    for (size_t i = 0; i < out.n_runs; i++) {
        const ts_jinja_run *r = &out.runs[i];
        assert_true(r->start < r->end && r->end <= out.text.len);
        assert_true(i == 0 || r->start >= out.runs[i - 1].end);
        ts_buf_printf(&b, "[%d%s:%.*s]", r->source, r->generation ? "g" : "", (int)(r->end - r->start),
                      out.text.data + r->start);
    }
    ts_jinja_output_release(&out);
    ts_json_free(context);
    ts_buf_puts(&b, "");
    return ts_buf_take(&b);
}

#define TWO                                                                                                            \
    "{\"messages\":[{\"role\":\"user\",\"content\":\" one \"},{\"role\":\"assistant\",\"content\":\"two\\nlines\"}]}"

static void traces(void **state) {
    static const struct {
        const char *source, *want;
    } cases[] = {
        {"{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}", "[0: one ][1:two\nlines]"},
        {"{{ '<' + messages[0]['content'] + '>' }}", "[0: one ]"},
        {"{{ messages[0].content | trim }}{{ messages[0].content.strip() }}", "[0:oneone]"},
        {"{{ messages[1].content[1:5] }}", "[1:wo\nl]"},
        {"{{ messages[1].content[::-1] }}", "[1:senil\nowt]"},
        {"{% set x = 'a' ~ messages[1].content %}{% set y %}({{ x }}){% endset %}{{ y }}", "[1:two\nlines]"},
        {"{% macro m(t) %}<{{ t }}>{% endmacro %}{{ m(messages[1].content) }}", "[1:two\nlines]"},
        {"{{ messages[1].content.split('\\n') | join('+') }}", "[1:two][1:lines]"},
        {"{{ messages[1].content.replace('\\n', ' ') }}", "[1:two][1:lines]"},
        {"{{ messages[1].content | upper }}", "[1:TWO\nLINES]"},
        {"{{ messages[1].content | indent }}", "[1:two\n][1:lines]"},
        {"{{ messages[1].content | tojson }}", "[1:two\\nlines]"},
        {"{{ messages[1].content | length }}{{ messages[1].role }}", ""},
        {"{{ '%s!' % messages[0].content }}{{ '{}?'.format(messages[1].content) }}", "[0: one ][1:two\nlines]"},
        {"{{ [messages[0].content] }}", ""},
        {"{{ messages | map(attribute='content') | join }}", "[0: one ][1:two\nlines]"},
        {"{% for c in messages[0].content %}{{ c }}.{% endfor %}", "[0: ][0:o][0:n][0:e][0: ]"},
        {"{% generation %}{{ messages[1].content }}<end>{% endgeneration %}|{{ messages[0].content }}",
         "[1g:two\nlines][-1g:<end>][0: one ]"},
        {"{% set x %}{% generation %}a{% endgeneration %}b{% endset %}{{ x }}", "[-1g:a]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *have = trace(cases[i].source, TWO);
        if (strcmp(have, cases[i].want) != 0)
            fail_msg("%s: the trace is %s, should be %s", cases[i].source, have, cases[i].want);
        free(have);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_of_the_file),       cmocka_unit_test(carriage_returns),
        cmocka_unit_test(deep_nesting_is_refused), cmocka_unit_test(a_list_that_holds_itself_many_times_over),
        cmocka_unit_test(strftime_gives_the_year), cmocka_unit_test(traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
