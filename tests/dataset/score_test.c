/* Rule scores: each rule on what it should find and what it should leave alone, and the planted flaws of samples/. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "core/base/utf8.h"
#include "dataset/import.h"
#include "dataset/language.h"
#include "dataset/score_rules.h"
#include "dataset/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

static ts_text text(const char *s) {
    return (ts_text){s, strlen(s)};
}

static void english_scorer(ts_scorer *s, ts_score_set *set) {
    assert_ok(ts_score_set_init(set, &err));
    set->language = ts_language_find("en");
    set->rows = 100;
    set->log_words = 4;
    set->log_words_deviation = 0.5;
    ts_scorer_init(s, set);
}

static float value_of(const char *rule, const char *prompt, const char *answer) {
    ts_score_set set;
    ts_scorer s;
    float values[TS_MAX_RULES];
    english_scorer(&s, &set);
    ts_score_text t = {text(prompt), text(answer), text(prompt), text("")};
    double overall = ts_score_row(&s, &t, values);
    assert_true(overall >= 0 && overall <= 1);
    ts_scorer_release(&s);
    ts_score_set_release(&set);
    return values[ts_rule_find(rule, strlen(rule))];
}

static const struct {
    const char *rule, *prompt, *answer;
    bool found;
} rule_cases[] = {
    {"empty", "Why?", " \n", true},
    {"empty", "Why?", "0", false},
    {"placeholder", "Why?", "N/A", true},
    {"placeholder", "Why?", "TODO: write this", true},
    {"placeholder", "Why?", "Lorem ipsum dolor sit amet", true},
    {"placeholder", "Chemical sign of sodium?", "Na", false},
    {"placeholder", "Are there any?", "None of them left the house that day.", false},
    {"refusal", "Fix it", "I'm sorry, but I cannot help with that.", true},
    {"refusal", "Fix it", "As an AI language model, I have no hands.", true},
    {"refusal", "Write a mail", "I am sorry for the delay of your order.", false},
    {"echo", "How do I clean the lens?", "How do I clean the lens? Wipe it.", true},
    {"echo", "How do I clean the lens?", "Wipe the lens with a cloth.", false},
    {"truncated", "How?", "First open the box, then take the cable out. Put one end into the wall and the", true},
    {"truncated", "How?", "1. Open the box.\n2. Take the cable out.\n3. Put it in and", true},
    {"truncated", "Code", "```\nint x;", true},
    {"truncated", "Name three fruits", "Apple\nPear\nPlum", false},
    {"truncated", "What is the capital?", "Paris", false},
    {"repetition", "Tell me",
     "it is good and it is good and it is good and it is good and it is good and it is good and it is good and it "
     "is good",
     true},
    {"language", "How do I open it?",
     "Nehmen Sie den Deckel ab und ziehen Sie die Schraube mit der Hand an, bis sie sitzt.", true},
    {"language", "Translate to German: take off the lid",
     "Nehmen Sie den Deckel ab und ziehen Sie die Schraube mit der Hand an.", false},
    {"language", "How?", "Take the lid off and turn the screw by hand until it is tight.", false},
    {"email", "Who?", "Write to jane.doe+x@mail.example.org today.", true},
    {"email", "Who?", "The price is 5@3 dollars", false},
    {"phone", "Who?", "Call +44 20 7946 0958 now.", true},
    {"phone", "Who?", "Call (212) 555-0142 now.", true},
    {"phone", "When?", "In 2020-2021 we sold 1,000,000 of them, 3.14159265 times more.", false},
    {"url", "Where?", "See https://example.org/a?b=c for more.", true},
    {"html", "Explain it", "This is <b>bold</b> and&nbsp;so on.", true},
    {"html", "Write HTML for a bold word", "<b>word</b>", false},
    {"nonascii", "Who?",
     "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xd0\xba\xd0\xb0\xd0\xba \xd0\xb4\xd0\xb5\xd0\xbb\xd0\xb0 "
     "\xd1\x82\xd0\xb5\xd0\xb1\xd1\x8f \xd0\xb7\xd0\xbe\xd0\xb2\xd1\x83\xd1\x82",
     true},
    {"mismatch", "Why does my camera blur photos at night?",
     "The ringing stops when you shorten the answering time of the mailbox in the telephone options.", true},
    {"mismatch", "Why does my camera blur photos at night?",
     "Too little light makes the shutter stay open long, so the camera moves while the picture is taken.", false},
    {"unclosed", "Code", "```c\nint x;\n```\nand then\n```\nint y;", true},
    {"unclosed", "Code", "int main(void) { return f(1, 2;", true},
    {"unclosed", "Say hi", "Hello :( and also a) this, 1) that, the interval [0, 1) and the sign '(' alone.", false},
    {"secret", "Deploy", "Use AKIAIOSFODNN7EXAMPLE as the key.", true},
    {"secret", "Deploy", "export TOKEN=ghp_abcdefghijklmnopqrstuvwxyz0123456789", true},
    {"secret", "Deploy", "-----BEGIN RSA PRIVATE KEY-----\nMIIE", true},
    {"secret", "Log in", "password = \"hunter2hunter2\"", true},
    {"secret", "Log in", "Choose a password that is easy to remember and at least 12 letters long.", false},
    {"secret", "Sort", "task-oriented and risk-based-thinking-about-everything-else is fine", false},
    {"profanity", "Say it", "What the fuck is this?", true},
    {"profanity", "Where?", "Scunthorpe, Shitake street, a shuttle and Dick Cockburn.", false},
    {"variety", "Tell me",
     "The cat sees the dog and the dog sees the cat. The cat likes the dog and the dog likes the cat. The cat "
     "hears the dog and the dog hears the cat. The cat meets the dog and the dog meets the cat. The cat and the "
     "dog see the cat and the dog.",
     true},
    {"variety", "Tell me", "The cat sees the dog and the dog sees the cat.", false},
    {"readability", "Explain",
     "Interdepartmental organizational responsibilities notwithstanding, comprehensive characterizations of "
     "multidimensional epistemological considerations necessitate extraordinarily sophisticated methodological "
     "presuppositions concerning internationalization, institutionalization, conceptualization, "
     "operationalization, professionalization, compartmentalization, intercommunication and "
     "representativeness among contemporary administrative bureaucracies throughout industrialized societies.",
     true},
    {"readability", "Explain",
     "Take the lid off. Turn the screw by hand until it is tight. Then close the lid again and press the button "
     "for two seconds. The light goes on when the lamp is ready to be used.",
     false},
};

static void rules_find_and_leave_alone(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(rule_cases); i++) {
        float v = value_of(rule_cases[i].rule, rule_cases[i].prompt, rule_cases[i].answer);
        if ((v > 0) != rule_cases[i].found)
            fail_msg("case %zu: %s is %g on: %s", i, rule_cases[i].rule, (double)v, rule_cases[i].answer);
    }
}

static const char *const pattern_pieces[] = {
    "As an AI language model, I cannot",
    "I'm sorry, but I can\xe2\x80\x99t help",
    "i am unable to comply",
    "I don't have personal opinions",
    "as a large language model I lack",
    "I will not answer",
    "lorem ipsum",
    "<insert name>",
    "[todo: x]",
    "{{ name }}",
    "TODO:",
    "no input",
    "NoInput",
    "N/A",
    "a.b@c.org",
    "5@3",
    "+44 20 7946 0958",
    "+1-2",
    "(212) 555-0142",
    "212.555.0142",
    "123-4567",
    "\xd9\xa1\xd9\xa2\xd9\xa3-\xd9\xa1\xd9\xa2\xd9\xa3-\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4",
    "call 030 12345",
    "Fax: 0221/1234567",
    "tel",
    "http\xc5\xbf://x.y",
    "https://e.org",
    "www.e.org",
    "<b>",
    "</p>",
    "&nbsp;",
    "&#12;",
    "-----BEGIN PRIVATE \xe2\x84\xaa"
    "EY-----",
    "-----BEGIN EC PRIVATE KEY-----",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "sk-proj-abcdefghijklmnopqrst",
    "xoxb-1234567890",
    "hf_abc",
    "password: hunter2hunter2",
    "api_\xe2\x84\xaa"
    "ey = a1b2c3d4e5",
    "passwd is abc12345",
    "pwd=12345abcd",
    "```",
    "int x;",
    "def f(a):",
    "SELECT a FROM b;",
    "translate to French",
    "the Engli\xc5\xbfh word",
    "write a poem",
    "a table",
    "html",
    "\n",
    "\n\n",
    ". ",
    "! "};

/* Pieces that the patterns of the rules are made of, in any order and case, among words and characters that fold to
 * ASCII letters. */
static void put_pieces(ts_rand *r, ts_buf *out) {
    for (uint64_t k = 1 + ts_rand_below(r, 12); k > 0; k--) {
        const char *p = pattern_pieces[ts_rand_below(r, TS_COUNT(pattern_pieces))];
        bool other = ts_rand_below(r, 3) == 0;
        for (; *p; p++)
            ts_buf_putc(out, other && *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p);
        if (ts_rand_below(r, 4)) ts_buf_printf(out, " w%d ", (int)ts_rand_below(r, 9));
    }
}

/* Of a row, with and without asking first whether a pattern can occur at all. */
static void same_values(ts_scorer *s, ts_text prompt, ts_text answer) {
    float fast[TS_MAX_RULES], slow[TS_MAX_RULES];
    ts_score_text t = {prompt, answer, prompt, {prompt.s, 0}};
    s->unfiltered = false;
    double with = ts_score_row(s, &t, fast);
    s->unfiltered = true;
    double without = ts_score_row(s, &t, slow);
    for (size_t i = 0; i < ts_rule_count(); i++)
        if (fast[i] != slow[i])
            fail_msg("%s is %g or %g on: %.*s | %.*s", ts_rules[i].name, (double)fast[i], (double)slow[i],
                     (int)prompt.n, prompt.s, (int)answer.n, answer.s);
    assert_true(with == without);
}

static void same_values_of_file(ts_scorer *s, const char *path) {
    ts_store *st;
    ts_import_file f;
    ts_view *v;
    ts_row row;
    ts_arena arena = TS_ARENA_INIT;
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));
    assert_ok(ts_view_new(&v, st, NULL, NULL, NULL, NULL, &err));
    for (size_t i = 0; i < ts_view_count(v); i++) {
        ts_arena_reset(&arena);
        assert_ok(ts_row_read(st, ts_view_id(v, i), &row, &arena, &err));
        same_values(s, row.instruction, row.output);
        same_values(s, row.output, row.input);
    }
    ts_arena_release(&arena);
    ts_view_free(v);
    ts_store_close(st);
    free(ws);
}

static void asking_first_changes_nothing(void **state) {
    (void)state;
    ts_score_set set;
    ts_scorer s;
    ts_rand r;
    ts_buf prompt = TS_BUF_INIT, answer = TS_BUF_INIT;
    english_scorer(&s, &set);
    ts_rand_seed(&r, 5);
    for (int i = 0; i < 4000; i++) {
        ts_buf_reset(&prompt);
        ts_buf_reset(&answer);
        put_pieces(&r, &prompt);
        put_pieces(&r, &answer);
        same_values(&s, (ts_text){prompt.data, prompt.len}, (ts_text){answer.data, answer.len});
    }
    same_values_of_file(&s, ts_test_source("samples/helpdesk.jsonl"));
    ts_buf_release(&prompt);
    ts_buf_release(&answer);
    ts_scorer_release(&s);
    ts_score_set_release(&set);
}

static void asking_first_changes_nothing_on_real_rows(void **state) {
    (void)state;
    static const char *const files[] = {"data/llama-factory/alpaca_en_demo.json",
                                        "data/llama-factory/glaive_toolcall_en_demo.json",
                                        "data/gpteacher/toolformer-dedupe-only-dataset.json"};
    ts_score_set set;
    ts_scorer s;
    ts_test_shared(files[0]); /* skips before anything is held */
    english_scorer(&s, &set);
    for (size_t i = 0; i < TS_COUNT(files); i++)
        same_values_of_file(&s, ts_test_shared(files[i]));
    ts_scorer_release(&s);
    ts_score_set_release(&set);
}

static ts_store *samples(void) {
    ts_store *st;
    ts_import_file f;
    const char *path = ts_test_source("samples/helpdesk.jsonl");
    char *ws = ts_path_join(ts_test_dir(), "ws");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    assert_ok(ts_setting_set(st, "check", ts_test_source("samples/style.check"), &err));
    assert_ok(ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err));

    free(ws);
    return st;
}

/* The detector that FLAWS.md names for each line, "" for a clean one. */
static size_t read_flaws(char (*detector)[32], size_t n) {
    ts_buf text_of = TS_BUF_INIT;
    size_t flaws = 0;
    memset(detector, 0, n * sizeof *detector);
    assert_ok(ts_file_read(ts_test_source("samples/FLAWS.md"), 1 << 20, &text_of, &err));
    for (char *line = text_of.data; line && *line;) {
        char *end = strchr(line, '\n');
        unsigned number;
        char name[32];
        if (end) *end = 0;
        if (sscanf(line, "| %u | %*[^|] | %31[^|]", &number, name) == 2 && number <= n) {
            char *first = strchr(name, '`'), *last = strrchr(name, '`');
            if (last) *last = 0;
            snprintf(detector[number - 1], 32, "%s", first ? first + 1 : "a person");
            flaws++;
        }
        line = end ? end + 1 : NULL;
    }
    ts_buf_release(&text_of);
    return flaws;
}

static void finds_the_planted_flaws(void **state) {
    (void)state;
    enum { ROWS = 305 };
    static char detector[ROWS][32];
    ts_store *st = samples();
    ts_score_report report;
    ts_arena arena = TS_ARENA_INIT;
    size_t planted = 0, missed = 0, clean = 0, alarms = 0;
    assert_true(read_flaws(detector, ROWS) > 40);
    assert_ok(ts_score_all(st, NULL, &report, &err));
    assert_int_equal(report.rows, ROWS);
    assert_string_equal(report.language, "en");
    for (int64_t id = 1; id <= ROWS; id++) {
        ts_rule_value *v;
        size_t n;
        bool found = false;
        const char *name = detector[id - 1];
        assert_ok(ts_row_scores(st, id, &v, &n, &arena, &err));
        for (size_t i = 0; i < n; i++)
            found |= strcmp(v[i].rule, name) == 0;
        bool by_rule = ts_rule_find(name, strlen(name)) < ts_rule_count();
        planted += by_rule;
        missed += by_rule && !found;
        if (by_rule && !found) print_message("missed: line %lld, %s\n", (long long)id, name);
        clean += !*name;
        alarms += !*name && n > 0;
        if (!*name && n > 0) print_message("false alarm: line %lld, %s\n", (long long)id, v[0].rule);
    }
    print_message("planted %zu, missed %zu; clean %zu, false alarms %zu\n", planted, missed, clean, alarms);
    assert_true(planted >= 30);
    assert_int_equal(missed, 0);
    assert_true(alarms * 50 <= clean);
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void dismissed_findings_do_not_count(void **state) {
    (void)state;
    ts_store *st = samples();
    ts_score_report report;
    ts_arena arena = TS_ARENA_INIT;
    ts_row before, after;
    ts_view *v;
    assert_ok(ts_score_all(st, NULL, &report, &err));
    assert_ok(ts_view_new(&v, st, "refusal>0", "score", NULL, NULL, &err));
    size_t n = ts_view_count(v);
    int64_t id = ts_view_id(v, 0);
    ts_view_free(v);
    assert_ok(ts_row_read(st, id, &before, &arena, &err));
    assert_ok(ts_row_dismiss(st, id, "refusal", true, NULL, &err));
    assert_ok(ts_row_read(st, id, &after, &arena, &err));
    assert_true(after.score > before.score);
    assert_ok(ts_score_all(st, NULL, &report, &err)); /* stays so */
    assert_int_equal(report.hits[ts_rule_find("refusal", 7)], n - 1);
    ts_row again;
    assert_ok(ts_row_read(st, id, &again, &arena, &err));
    assert_near(again.score, after.score, 1e-3, "score");
    assert_ok(ts_undo(st, 0, NULL, &err));
    assert_ok(ts_row_read(st, id, &again, &arena, &err));
    assert_near(again.score, before.score, 1e-3, "score");
    assert_int_equal(ts_row_dismiss(st, id, "nonsense", true, NULL, &err), TS_INVALID);
    ts_edit e = {TS_OUTPUT, {"Changed text.", 13}};
    assert_ok(ts_row_edit(st, id, -1, &e, 1, NULL, &err)); /* what was found in the old text is forgotten */
    assert_ok(ts_row_read(st, id, &again, &arena, &err));
    assert_true(again.score != again.score);
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void bad_check_files_are_named(void **state) {
    (void)state;
    ts_store *st = samples();
    ts_score_report report;
    const char *path = ts_test_path("check");
    assert_ok(ts_file_write(path, "# fine\nabc\n(open\n", 17, &err));
    assert_ok(ts_setting_set(st, "check", path, &err));
    assert_int_equal(ts_score_all(st, NULL, &report, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "line 3"));
    ts_store_close(st);
}

static void own_rules_are_scores(void **state) {
    (void)state;
    static const char rules[] = "# mine\nlid answer 40 (?i)\\blid\\b\n\nkeyword both 10 router\n";
    ts_store *st = samples();
    ts_score_report r;
    ts_view *v;
    const char *path = ts_test_path("rules");
    assert_ok(ts_file_write(path, rules, sizeof rules - 1, &err));
    assert_ok(ts_setting_set(st, "rules", path, &err));
    assert_ok(ts_score_all(st, NULL, &r, &err));
    assert_int_equal(r.n_own, 2);
    assert_string_equal(r.own[1], "my_keyword");
    int64_t hits = r.hits[ts_rule_count() + 1], all = 0, bins = 0;
    assert_true(hits > 0);
    assert_int_equal(r.bins[ts_rule_count() + 1][1], hits); /* 10 points are .1 */
    for (int i = 0; i < TS_SCORE_BINS; i++)
        all += r.overall.bins[i];
    for (int i = 0; i < TS_SCORE_BINS; i++)
        bins += r.bins[ts_rule_find("refusal", 7)][i];
    assert_int_equal(all, r.rows);
    assert_int_equal(bins, r.hits[ts_rule_find("refusal", 7)]);
    assert_true(r.overall.p5 <= r.overall.p50 && r.overall.p50 <= r.overall.p95);
    assert_ok(ts_view_new(&v, st, "my_keyword>0", "my_keyword", NULL, NULL, &err));
    assert_int_equal(ts_view_count(v), hits);
    int64_t id = ts_view_id(v, 0);
    ts_view_free(v);
    assert_ok(ts_row_dismiss(st, id, "my_keyword", true, NULL, &err));
    assert_ok(ts_score_all(st, NULL, &r, &err));
    assert_int_equal(r.hits[ts_rule_count() + 1], hits - 1);
    ts_store_close(st);
}

static void bad_rule_files_are_named(void **state) {
    (void)state;
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"a answer 5 x\na answer 5 y\n", "line 2"},
        {"a answer 500 x\n", "points are 1 to 100"},
        {"a title 5 x\n", "prompt, answer or both"},
        {"a-b answer 5 x\n", "letters, digits and _"},
        {"a answer 5\n", "name field points pattern"},
        {"a answer 5 (\n", "line 1"},
        {"abcdefghijklmnopqrstuvwxyzabcdefghijkl answer 5 x\n", "too long"},
    };
    ts_store *st = samples();
    ts_score_report r;
    const char *path = ts_test_path("rules");
    assert_ok(ts_setting_set(st, "rules", path, &err));
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        assert_ok(ts_file_write(path, cases[i].file, strlen(cases[i].file), &err));
        assert_int_equal(ts_score_all(st, NULL, &r, &err), TS_INVALID);
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
    }
    ts_store_close(st);
}

/* ASCII texts go a faster way: their words are those of the same text with another character behind it. */
static void words_of_ascii_are_the_same(void **state) {
    (void)state;
    static const char letters[] = "aabcSsSxyzAZ019_ .,\n-the THE @[`{/:^\x7f";
    ts_look fast = {0}, slow = {0};
    ts_words w = {0};
    ts_rand r;
    ts_buf t = TS_BUF_INIT;
    size_t words = 0;
    ts_rand_seed(&r, 7);
    for (int round = 0; round < 3000; round++) {
        ts_buf_reset(&t);
        for (uint64_t n = ts_rand_below(&r, 200); n > 0; n--)
            ts_buf_putc(&t, letters[ts_rand_below(&r, sizeof letters - 1)]);
        ts_text plain = {ts_buf_str(&t), t.len};
        ts_look_for_words(&fast, plain, &w);
        words += fast.n;
        assert_true(fast.ascii);
        char *longer = ts_printf("%s \u00e9", ts_buf_str(&t));
        ts_look_for_words(&slow, text(longer), &w);
        assert_false(slow.ascii);
        assert_int_equal(fast.n + 1, slow.n);
        for (size_t i = 0; i < fast.n; i++) {
            const ts_word *a = &fast.words[i], *b = &slow.words[i];
            assert_true(a->hash == b->hash && a->stem == b->stem && a->lists == b->lists);
            assert_true(a->start == b->start && a->end == b->end && a->letters == b->letters);
        }
        free(longer);
    }
    assert_true(words > 10000);
    ts_look_release(&fast);
    ts_look_release(&slow);
    ts_words_release(&w);
    ts_buf_release(&t);
}

/* Where the look says that a text has no digits of other scripts, PCRE2 finds none. */
static void digits_of_all_scripts_are_seen(void **state) {
    (void)state;
    ts_regex *digit;
    ts_words w = {0};
    ts_look l = {0};
    ts_buf one = TS_BUF_INIT;
    size_t start, end, found = 0;
    assert_ok(ts_regex_new(&digit, "\\d", 2, 0, &err));
    ts_matcher *m = ts_matcher_new(digit);
    for (uint32_t c = 0x80; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000) continue;
        ts_buf_reset(&one);
        ts_utf8_put(&one, c);
        if (!ts_matcher_find(m, one.data, one.len, 0, &start, &end, NULL)) continue;
        ts_look_at(&l, (ts_text){one.data, one.len}, &w);
        found++;
        if (!l.other_digits) fail_msg("U+%04X is a digit", (unsigned)c);
    }
    assert_true(found > 500);
    ts_look_at(&l, text("caf\u00e9 \u201cquoted\u201d \u2013 \u4e2d\u6587"), &w);
    assert_false(l.other_digits);
    ts_matcher_free(m);
    ts_regex_free(digit);
    ts_look_release(&l);
    ts_words_release(&w);
    ts_buf_release(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_find_and_leave_alone),   cmocka_unit_test(words_of_ascii_are_the_same),
        cmocka_unit_test(asking_first_changes_nothing), cmocka_unit_test(asking_first_changes_nothing_on_real_rows),
        cmocka_unit_test(finds_the_planted_flaws),      cmocka_unit_test(dismissed_findings_do_not_count),
        cmocka_unit_test(bad_check_files_are_named),    cmocka_unit_test(own_rules_are_scores),
        cmocka_unit_test(bad_rule_files_are_named),     cmocka_unit_test(digits_of_all_scripts_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
