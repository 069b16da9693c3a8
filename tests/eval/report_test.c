/* Reports: what they hold, that numbers agree in all forms, and that nothing in data gets through as markup. The page
 * in a real browser: tests/interop/report_browser.py. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/utf8.h"
#include "dataset/answers.h"
#include "eval/report.h"
#include "tests/support.h"
#include "tests/tui/screen_driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RLO "\xe2\x80\xae" /* right-to-left override */
#define HOSTILE                                                                                                        \
    "</div><script>alert(1)</script> & \"q\" \x1b"                                                                     \
    "[31m" RLO "turned \xc2\x9b"                                                                                       \
    "31m"

static ts_err err;

static void keep(ts_store *st, int64_t prompt, const char *side, const char *text, const char *detail) {
    ts_kept_answer a = {side, {text, strlen(text)}, {detail, strlen(detail)}};
    assert_ok(ts_answer_keep(st, prompt, &a, &err));
}

static int64_t ask(ts_store *st, const char *prompt, const char *reference) {
    ts_buf messages = TS_BUF_INIT;
    int64_t id;
    ts_jw w = ts_jw_to(&messages);
    ts_jw_arr(&w);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "role", "user");
    ts_jw_kstr(&w, "content", prompt);
    ts_jw_end_obj(&w);
    ts_jw_end_arr(&w);
    ts_text ref = {reference, reference ? strlen(reference) : 0};
    assert_ok(ts_prompt_keep(st, (ts_text){messages.data, messages.len}, ref, &id, &err));
    ts_buf_release(&messages);
    return id;
}

/* Two sides, three prompts, one of them hostile, two votes, two runs. */
static const char *workspace(void) {
    static const char *ws;
    ts_store *st;
    ts_draft draft = {.instruction = {HOSTILE, strlen(HOSTILE)}, .output = {"fine", 4}};
    int64_t id;
    if (ws) return ws;
    ws = ts_test_path("ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    assert_ok(ts_row_add(st, &draft, &id, NULL, &err));
    assert_ok(ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err));
    assert_ok(ts_rows_tag(st, &id, 1, "<b>", true, NULL, &err));
    id = ask(st, "Where is the switch of the lamp?", "It is on the left of the door.");
    keep(st, id, "base", "It is on the right of the door.",
         "{\"stop\":\"eos\",\"tokens\":8,\"passed\":false,\"failed_line\":2,\"reference_nll\":16,\"reference_tokens\":"
         "8}");
    keep(st, id, "run:10", "It is on the left of the door.",
         "{\"stop\":\"eos\",\"context\":\"passage "
         "<b>\",\"tokens\":8,\"passed\":true,\"reference_nll\":4,\"reference_tokens\":8}");
    assert_ok(ts_vote_set(st, id, "run:10", true, "note <i>" RLO, NULL, &err));
    id = ask(st, HOSTILE, NULL);
    keep(st, id, "base", HOSTILE, "{\"stop\":\"length\",\"tokens\":3}");
    keep(st, id, "run:10", "=1+1 ``` ````", "broken");
    id = ask(st, "Only the base was asked", NULL);
    keep(st, id, "base", "so it answers", "{}");
    assert_ok(ts_vote_set(st, id, TS_VOTE_NONE, false, NULL, NULL, &err));
    ask(st, "Nobody answered", NULL);
    ts_store_close(st);
    ts_drive_add_run(ws, 10, 40, 100, "stopped", "a note with <script>");
    ts_drive_add_run(ws, 11, 20, 100, "running", ""); /* with answers while it trains */
    return ws;
}

static void make(ts_report *r, const ts_report_options *o) {
    assert_ok(ts_report_make(r, o, NULL, &err));
}

static void gathers(void **state) {
    ts_report r;
    (void)state;
    make(&r, &(ts_report_options){.ws = workspace()});
    assert_int_equal(r.n_sides, 2);
    assert_string_equal(r.sides[0], "base");
    assert_int_equal(r.n_prompts, 3); /* that which nobody answered is not there */
    assert_int_equal(r.answered[0], 3);
    assert_int_equal(r.answered[1], 2);
    assert_near(r.metrics[0].m[TS_M_REFERENCE_NLL].value, 2, 1e-12, "16 of 8 tokens");
    assert_near(r.metrics[1].m[TS_M_EXACT].value, 1, 1e-12, "the reference itself");
    assert_near(r.metrics[0].m[TS_M_EXACT].value, 0, 1e-12, "left is not right");
    assert_int_equal(r.metrics[1].m[TS_M_PASS_RATE].n, 1);
    assert_true(r.prompts[0].differ && r.prompts[0].blind);
    assert_string_equal(r.answers[1].context, "passage <b>");
    assert_int_equal(r.votes[1].wins, 1);
    assert_int_equal(r.votes[0].losses, 1);
    assert_int_equal(r.votes[0].none, 1);
    assert_int_equal(r.runs.n, 2);
    ts_report_release(&r);
}

static void some_sides(void **state) {
    static const char *const tuned[] = {"run:10"}, *const nobody[] = {"run:7"};
    ts_report r;
    (void)state;
    make(&r, &(ts_report_options){.ws = workspace(), .sides = tuned, .n_sides = 1});
    assert_int_equal(r.n_prompts, 2);
    ts_report_release(&r);
    assert_int_equal(
        ts_report_make(&r, &(ts_report_options){.ws = workspace(), .sides = nobody, .n_sides = 1}, NULL, &err),
        TS_NOT_FOUND);
    assert_non_null(strstr(err.text, "base, run:10"));
    ts_report_release(&r);
    make(&r, &(ts_report_options){.ws = workspace(), .limit = 2});
    assert_int_equal(r.prompts[0].id, 3); /* the latest two, of which one was never answered */
    ts_report_release(&r);
}

/* Nothing that a terminal or a browser would act on. */
static void assert_plain(const ts_buf *out) {
    for (size_t i = 0; i < out->len;) {
        uint32_t cp;
        assert_true(ts_utf8_sequence(out->data + i, out->len - i) > 0);
        i += ts_utf8_decode(out->data + i, out->len - i, &cp);
        assert_true(cp == '\n' || cp == '\t' || (cp >= 0x20 && cp != 0x7f && !(cp >= 0x80 && cp < 0xa0)));
        assert_false(cp >= 0x202a && cp <= 0x202e);
    }
}

static size_t count(const char *s, const char *what) {
    size_t n = 0;
    while ((s = strstr(s, what))) {
        s++;
        n++;
    }
    return n;
}

static void page(void **state) {
    ts_report r;
    ts_buf out = TS_BUF_INIT;
    (void)state;
    make(&r, &(ts_report_options){.ws = workspace()});
    ts_report_html(&r, &out);
    assert_plain(&out);
    assert_null(strstr(out.data, "<script"));
    assert_null(strstr(out.data, "<i>"));
    assert_null(strstr(out.data, "<b>"));
    assert_null(strstr(out.data, "http:"));
    assert_null(strstr(out.data, "https:"));
    assert_non_null(
        strstr(out.data, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;q&quot; ^[[31m&lt;U+202E&gt;turned"));
    assert_non_null(strstr(out.data, "the <mark>left</mark> of")); /* what the other side has not */
    assert_non_null(strstr(out.data, "the <mark>right</mark> of"));
    assert_non_null(strstr(out.data, "class=\"train\" d=\"M"));
    assert_int_equal(count(out.data, "<circle"), 3); /* held out at steps 16, 32 and 16 */
    assert_int_equal(count(out.data, "<section"), count(out.data, "</section>"));
    assert_int_equal(count(out.data, "<div"), count(out.data, "</div>"));
    assert_non_null(strstr(out.data, "did not answer the same prompts"));
    assert_non_null(strstr(out.data, "was not asked"));
    assert_non_null(strstr(out.data, "passage &lt;b&gt;"));
    assert_non_null(strstr(out.data, "You can print by^[[31m")); /* answered while it trained */
    ts_buf_release(&out);
    ts_report_release(&r);
}

static void markdown(void **state) {
    ts_report r;
    ts_buf out = TS_BUF_INIT;
    (void)state;
    make(&r, &(ts_report_options){.ws = workspace()});
    ts_report_markdown(&r, &out);
    assert_plain(&out);
    assert_non_null(strstr(out.data, "the {+left+} of"));
    assert_non_null(strstr(out.data, "\n`````text\n=1+1 ``` ````\n`````\n")); /* a fence that the text cannot close */
    assert_non_null(strstr(out.data, "a note with \\<script\\>"));
    assert_non_null(strstr(out.data, "You can print by^[[31m"));
    assert_non_null(strstr(out.data, "| reference loss (lower is better) | 2.000 [2.000, 2.000] | **0.500 ["));
    ts_buf_release(&out);
    ts_report_release(&r);
}

static void json(void **state) {
    ts_report r;
    ts_buf out = TS_BUF_INIT;
    (void)state;
    make(&r, &(ts_report_options){.ws = workspace()});
    ts_report_json(&r, &out);
    ts_json *root = ts_json_parse(out.data, out.len, &err);
    assert_non_null(root);
    const ts_json *metrics = ts_json_get(ts_json_get(root, "metrics"), "base");
    assert_near(ts_json_num(ts_json_get(metrics, "reference_nll"), NAN), 2, 1e-12, "loss");
    const ts_json *run = ts_json_child(ts_json_get(root, "runs"));
    assert_int_equal(ts_json_count(ts_json_get(run, "points")), 20);
    assert_true(ts_json_count(ts_json_get(run, "samples")) > 0);
    assert_int_equal(ts_json_num(ts_json_get(ts_json_get(run, "settings"), "r"), 0), 16);
    const ts_json *row = ts_json_next(ts_json_child(ts_json_get(root, "rows")));
    assert_string_equal(ts_json_str(ts_json_get(row, "prompt"), ""), HOSTILE); /* as it is */
    ts_json_free(root);
    ts_buf_release(&out);
    ts_report_release(&r);
}

static void tables(void **state) {
    ts_report r;
    ts_buf out = TS_BUF_INIT;
    (void)state;
    make(&r, &(ts_report_options){.ws = workspace()});
    assert_ok(ts_report_csv(&r, "answers", &out, &err));
    assert_int_equal(count(out.data, "\r\n"), 6); /* a head and five answers */
    assert_non_null(strstr(out.data, "\"'=1+1 ``` ````\""));
    assert_non_null(strstr(out.data, "& \"\"q\"\" "));
    ts_buf_reset(&out);
    assert_ok(ts_report_csv(&r, "curves", &out, &err));
    assert_int_equal(count(out.data, ",\"train\","), 60);
    assert_int_equal(count(out.data, ",\"valid\","), 3);
    ts_buf_reset(&out);
    assert_ok(ts_report_csv(&r, "metrics", &out, &err));
    assert_non_null(strstr(out.data, "\"run:10\",\"reference_nll\",0.5,"));
    assert_int_equal(ts_report_csv(&r, "nothing", &out, &err), TS_INVALID);
    ts_buf_release(&out);
    ts_report_release(&r);
}

static void files(void **state) {
    ts_report_options o = {.ws = ts_test_path("empty")};
    ts_buf out = TS_BUF_INIT;
    char *path;
    (void)state;
    assert_ok(ts_store_init(o.ws, &err));
    path = ts_path_join(o.ws, "nowhere/a.HTML");
    assert_int_equal(ts_report_write(&o, path, NULL, &err), TS_NOT_FOUND); /* no such folder */
    char *folder = ts_path_dir(path);
    assert_ok(ts_mkdirs(folder, &err));
    free(folder);
    assert_ok(ts_report_write(&o, path, NULL, &err));
    assert_ok(ts_file_read(path, 1 << 20, &out, &err));
    assert_non_null(strstr(out.data, "Nothing was trained"));
    assert_non_null(strstr(out.data, "Nothing was compared"));
    assert_int_equal(ts_report_write(&o, "a.pdf", NULL, &err), TS_INVALID);
    assert_int_equal(ts_report_write(&o, ".html", NULL, &err), TS_INVALID);
    free(path);
    ts_buf_release(&out);
}

static void markdown_of_cards(void **state) {
    static const char card[] =
        "Text with \\<b\\> and \\|\n\n## Head\n\n- one\n- two \\*\n\n| a | b \\| c |\n| --- | ---: |\n"
        "| 1 |  |\n";
    ts_buf out = TS_BUF_INIT;
    (void)state;
    ts_report_markdown_html(card, strlen(card), &out);
    assert_string_equal(out.data,
                        "<p>Text with &lt;b&gt; and |\n</p>\n<h3>Head</h3>\n<ul>\n<li>one</li>\n<li>two *</li>\n"
                        "</ul>\n<div class=\"wide\"><table>\n<tr><th>a</th><th>b | c</th></tr>\n"
                        "<tr><td>1</td><td></td></tr>\n</table></div>\n");
    ts_buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers), cmocka_unit_test(some_sides),
        cmocka_unit_test(page),    cmocka_unit_test(markdown),
        cmocka_unit_test(json),    cmocka_unit_test(tables),
        cmocka_unit_test(files),   cmocka_unit_test(markdown_of_cards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
