/* The verbs that need a model, as a person or a script calls them: results, JSON, exit codes, sentences. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/adapter.h"
#include "core/work/child.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ts_err err;
static const char *here, *binary;
static ts_buf output; /* stdout and stderr of the last call */

/* A folder with a tiny model "m", a file of four rows "rows.jsonl" and one of a conversation "chat.jsonl". */
static int fresh(void **state) {
    (void)state;
    binary = getenv("TS_BINARY");
    here = ts_test_dir();
    char *model = ts_path_join(here, "m");
    ts_tiny_hf(model, NULL);
    free(model);
    return 0;
}

static void file(const char *name, const char *text) {
    char *path = ts_path_join(here, name);
    assert_ok(ts_file_write(path, text, strlen(text), &err));
    free(path);
}

static const char *const rows = "{\"ids\":[1,10,20,30,2],\"labels\":[-100,-100,20,30,2]}\n"
                                "{\"ids\":[1,11,21,31,2],\"labels\":[-100,-100,21,31,2]}\n\n"
                                "{\"ids\":[1,12,22,2],\"labels\":[-100,-100,22,2]}\n"
                                "{\"ids\":[1,13,23,2],\"labels\":[-100,-100,23,2]}\n";
static const char *const chat = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\","
                                "\"content\":\"hello\"}]}\n";

/* Runs `tunesmith WORDS` in the folder through the shell; its exit code. */
static int call(const char *words) {
    char *line = ts_printf("cd '%s' && exec < /dev/null && exec '%s' %s 2>&1", here, binary, words), piece[4096];
    FILE *p = popen(line, "r");
    size_t n;
    assert_non_null(p);
    ts_buf_reset(&output);
    while ((n = fread(piece, 1, sizeof piece, p)) > 0)
        ts_buf_add(&output, piece, n);
    int status = pclose(p);
    free(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *words, int code, const char *said) {
    int got = call(words);
    if (got != code) fail_msg("tunesmith %s: exit %d, not %d: %s", words, got, code, ts_buf_str(&output));
    if (said && !strstr(ts_buf_str(&output), said))
        fail_msg("tunesmith %s: \"%s\" does not say \"%s\"", words, ts_buf_str(&output), said);
}

/* The last line of the output as JSON; the caller frees. */
static ts_json *last_json(void) {
    char *text = output.data;
    size_t n = output.len;
    while (n && text[n - 1] == '\n')
        n--;
    text[n] = 0;
    const char *line = strrchr(text, '\n');
    ts_json *v = ts_json_parse(line ? line + 1 : text, strlen(line ? line + 1 : text), &err);
    if (!v) fail_msg("not JSON: %s", text);
    return v;
}

static void usage(void **state) {
    (void)state;
    static const struct {
        const char *words;
        int code;
        const char *said;
    } cases[] = {
        {"train", 2, "--data"},
        {"train --data rows.jsonl --model m", 2, "--out"},
        {"train --data rows.jsonl --out r", 2, "--model"},
        {"train --data rows.jsonl --out r --run r", 2, "one of"},
        {"train --data rows.jsonl --model m --out r --batch-size many", 2, "whole number"},
        {"train --data rows.jsonl --model m --out r --batch-size 0", 2, "--batch-size"},
        {"train --data rows.jsonl --model m --out r --speed 9", 2, "--speed"},
        {"train --run r --epochs 9", 2, "--epochs"},
        {"train --data rows.jsonl --model m --out r --precision bf16", 1, "bf16"},
        {"train --data rows.jsonl --model m --out r --schedule wavy", 1, "wavy"},
        {"train --data rows.jsonl --model m --out r --target-modules nothing_proj", 1, "nothing_proj"},
        {"train --data rows.jsonl --model nowhere --out r", 1, "nowhere"},
        {"train --data missing.jsonl --model m --out r", 1, "missing.jsonl"},
        {"train --data m --model m --out r", 1, "folder"},
        {"train --data /dev/null --model m --out r", 1, "/dev/null"},
        {"train --data masked.jsonl --model m --out r", 1, "nothing to learn: no row of masked.jsonl"},
        {"train --data cut.jsonl --model m --out r", 1, "cut.jsonl line 1"},
        {"train --data rows.jsonl --valid-data masked.jsonl --model m --out r", 1, "no row of masked.jsonl"},
        {"train --run m", 1, "no run folder"},
        {"train nowhere", 1, "nowhere"},
        {"generate --prompt x", 2, "--model"},
        {"generate --model m", 2, "--prompt"},
        {"generate --model m --prompt x --precision bf16", 2, "bf16"},
        {"generate --model m --prompt x --top-p 1.5", 2, "top_p must be from 0 to 1, not 1.5"},
        {"generate --model m --prompt x --top-k 1e3", 2, "whole number"},
        {"generate --model m --prompt x --preset mlx", 2, "hf or llamacpp"},
        {"generate --model m --prompt x --stop ''", 2, "not empty"},
        {"generate --model m --prompt x --kv-cache q8", 2, "f32 or f16"},
        {"generate --model m --prompt x --kv-cache f16 --max-new-tokens 2", 0, NULL},
        {"generate --model m --prompt x --preset llamacpp --max-new-tokens 2", 0, NULL},
        {"generate --model m --prompt x --adapter run:1", 1, "run"},
        {"generate --model m --prompt x --adapter .", 1, "no adapter"},
        {"nll --model m", 2, "missing"},
        {"nll --model m missing", 1, "missing"},
        {"nll --model m /dev/null", 1, "no rows"},
        {"tokenize", 2, "--model"},
        {"render --model m missing", 1, "missing"},
        {"inspect missing", 1, "missing"},
        {"runs nowhere", 1, "nowhere"},
        {"compare . --side base --prompts missing --model m", 1, "missing"},
        {"compare . --side run:3 --model m", 1, "run"},
        {"compare . --side base --model m --prompts chat.jsonl --check missing", 1, "missing"},
    };
    ts_test_program();
    file("rows.jsonl", rows);
    file("chat.jsonl", chat);
    file("masked.jsonl", "{\"ids\":[1,2,3],\"labels\":[-100,-100,-100]}\n");
    file("cut.jsonl", "{\"messages\":[{\"role\":\"user\",\"con");
    for (size_t i = 0; i < TS_COUNT(cases); i++)
        expect(cases[i].words, cases[i].code, cases[i].said);
    char *left = ts_path_join(here, "r");
    assert_false(ts_file_exists(left)); /* nothing half-made */
    free(left);
}

static void train_on_a_file(void **state) {
    (void)state;
    static const char *const numbers[] = {"steps",          "train_loss",        "seconds",
                                          "peak_rss_bytes", "tokens_per_second", "supervised_tokens_per_second"};
    ts_test_program();
    file("rows.jsonl", rows);
    file("valid.jsonl", chat);
    expect("train --data rows.jsonl --valid-data valid.jsonl --model m --out 'run 1' --r 4 --epochs 2 --batch-size 2 "
           "--json --quiet",
           0, NULL);
    ts_json *r = last_json();
    for (size_t i = 0; i < TS_COUNT(numbers); i++)
        assert_true(ts_json_is_number(ts_json_get(r, numbers[i])));
    assert_true(ts_json_is_null(ts_json_get(r, "run")));
    assert_true(ts_json_is_number(ts_json_get(r, "best_valid_loss")));
    assert_string_equal(ts_json_str(ts_json_get(r, "precision"), ""), "f32");
    assert_near(ts_json_num(ts_json_get(r, "steps"), 0), 4, 0, "two batches, two epochs");
    ts_json_free(r);
    expect("train --data rows.jsonl --model m --out 'run 1'", 1, "not empty");
    expect("train --run 'run 1'", 0, "finished");
    expect("train --data rows.jsonl --model m --out plain --r 4 --epochs 1", 0, "trainable params: ");
    assert_non_null(strstr(output.data, "adapter: "));
    expect("inspect 'run 1/best'", 0, NULL);
    expect("generate --model m --adapter 'run 1' --prompt hi --max-new-tokens 3 --json", 0, "\"stop\"");
    expect("nll --model m --adapter base --adapter 'run 1/best' rows.jsonl --json", 0, "\"adapter\":null");
}

/* A model that brings no chat template: what can be chosen is said, and the choice stays with the run. */
static void base_model(void **state) {
    (void)state;
    ts_test_program();
    file("chat.jsonl", chat);
    file("m/tokenizer_config.json", "{\"eos_token\":\"<|endoftext|>\"}");
    file("own.jinja", "{% for m in messages %}[{{ m.content }}]{{ eos_token }}{% endfor %}");
    expect("train --data chat.jsonl --model m --out r", 1, "alpaca, chatml, llama2 or plain, or a file with Jinja");
    expect("nll --model m chat.jsonl", 1, "alpaca, chatml");
    expect("train --data chat.jsonl --model m --out r1 --template alpaka", 1, "alpaka");
    expect("train --data chat.jsonl --model m --out r2 --template alpaca --epochs 1 --r 2 --quiet", 0, NULL);
    expect("train --data chat.jsonl --model m --out r3 --template own.jinja --epochs 1 --r 2 --quiet", 0, NULL);
    expect("train --run r2", 0, "finished");
    char *kept = ts_path_join(here, "r2/chat_template.jinja");
    assert_true(ts_file_exists(kept));
    free(kept);
    expect("nll --model m --template alpaca chat.jsonl --json --quiet", 0, "\"tokens\":");
    expect("nll --model m --adapter r2 chat.jsonl --json --quiet", 0, "\"tokens\":"); /* the run's */
    expect("nll --model m --adapter r2 --template '' chat.jsonl --json --quiet", 1, "alpaca, chatml");
    expect("generate --model m --adapter r3 --prompt hi --max-new-tokens 2", 0, NULL);
    expect("render --model m --template plain chat.jsonl", 0, "\"hi\\nhello<|endoftext|>\\n\"");
    expect("render --model m --template plain", 0, "And of Spain?");
    expect("init w --model m", 0, NULL);
    expect("config w template alpaca", 0, "### Instruction:");
    expect("config w template alpaka", 1, "alpaca, chatml");
    expect("config w template", 0, "alpaca");
    expect("compare w --side base --prompts chat.jsonl --max-new-tokens 2 --json", 0, "\"rows\"");
}

/* Chosen although the model has one: it is said. */
static void template_instead_of_the_models(void **state) {
    (void)state;
    ts_test_program();
    file("chat.jsonl", chat);
    expect("generate --model m --template plain --prompt hi --max-new-tokens 1", 0,
           "takes the place of the model's own");
    expect("train --data chat.jsonl --model m --out r --template plain --epochs 1 --r 2", 0,
           "takes the place of the model's own");
}

static void adapter_of_another_model(void **state) {
    (void)state;
    ts_tiny larger = {.hidden = 96, .heads = 6, .kv_heads = 2, .seed = 5};
    ts_test_program();
    file("rows.jsonl", rows);
    char *other = ts_path_join(here, "other");
    ts_tiny_hf(other, &larger);
    free(other);
    expect("train --data rows.jsonl --model other --out r --r 4 --epochs 1 --quiet", 0, NULL);
    expect("generate --model m --adapter r --prompt hi", 1, "q_proj");
    expect("train --data rows.jsonl --model m --out r2 --init-adapter r/adapter", 1, "q_proj");
}

static void json_of_nll_and_generate(void **state) {
    (void)state;
    ts_test_program();
    file("rows.jsonl", rows);
    file("chat.jsonl", chat);
    expect("nll --model m rows.jsonl --json --per-token --quiet", 0, NULL);
    ts_json *v = last_json();
    assert_near(ts_json_num(ts_json_get(v, "line"), 0), 5, 0, "the line of the file, blank ones counted");
    assert_near(ts_json_num(ts_json_get(v, "tokens"), 0), 2, 0, "supervised tokens");
    assert_int_equal(ts_json_count(ts_json_get(v, "nlls")), 2);
    ts_json_free(v);
    expect("nll --model m rows.jsonl --quiet", 0, "4 rows, 10 tokens");
    file("bad.jsonl", "{\"ids\":[1,2],\"labels\":[-100,2]}\n{\"ids\":[1,2],\"labels\":[-100]}\n");
    expect("nll --model m bad.jsonl", 1, "line 2");
    expect("generate --model m --messages chat.jsonl --max-new-tokens 4 --json --quiet", 0, NULL);
    v = last_json();
    assert_true(ts_json_is_null(ts_json_get(v, "adapter")));
    assert_true(ts_json_is_array(ts_json_get(v, "ids")));
    assert_true(ts_json_is_string(ts_json_get(v, "text")));
    ts_json_free(v);
    expect("generate --model m --prompt hi --raw --max-new-tokens 2", 0, NULL);
    expect("generate --model m --messages - --max-new-tokens 2 --json --quiet < chat.jsonl", 0, "\"line\":1");
    expect("generate --model m --prompt - --raw --max-new-tokens 2 --json --quiet < chat.jsonl", 0, "\"ids\"");
}

static void text_verbs(void **state) {
    (void)state;
    ts_test_program();
    file("chat.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"add_generation_prompt\":true}\n");
    expect("render --model m chat.jsonl", 0, "\"<|im_start|>user\\nhi<|im_end|>\\n<|im_start|>assistant\\n\"");
    file("bad.jsonl", "{\"messages\":\"hi\"}\n");
    expect("render --model m bad.jsonl", 1, "line 1");
    expect("inspect m --json", 0, "{");
    expect("doctor --json", 0, NULL);
    ts_json *v = last_json();
    static const char *const keys[] = {"features",         "blas_kernel", "threads",
                                       "memory_available", "libraries",   "warnings"};
    for (size_t i = 0; i < TS_COUNT(keys); i++)
        assert_non_null(ts_json_get(v, keys[i]));
    ts_json_free(v);
}

/* SIGTERM ends a training with a checkpoint and 130; --run goes on and ends as if nothing had been. */
static void stopped_and_resumed(void **state) {
    (void)state;
    ts_test_program();
    file("rows.jsonl", rows);
    char *dir = ts_path_join(here, "r"), *events = ts_path_join(dir, "events.jsonl"),
         *data = ts_path_join(here, "rows.jsonl"), *model = ts_path_join(here, "m");
    const char *args[] = {"train", "--data", data, "--model", model, "--out", dir, "--epochs", "2000", "--quiet", NULL};
    ts_child c;
    int how = 0;
    ts_child_options o = {.program = binary, .args = args};
    assert_ok(ts_child_start(&c, &o, &err));
    for (double until = ts_now() + 30; ts_now() < until && ts_file_size(events) < 2000;)
        usleep(2000);
    kill(c.pid, SIGTERM);
    assert_true(ts_child_wait(&c, 30, &how));
    assert_int_equal(WEXITSTATUS(how), 130);
    ts_buf text = TS_BUF_INIT;
    assert_ok(ts_file_read(events, 1 << 26, &text, &err));
    assert_non_null(strstr(text.data, "\"state\":\"stopped\""));
    ts_buf_release(&text);
    free(dir);
    free(events);
    free(data);
    free(model);
}

static void workspace_runs(void **state) {
    (void)state;
    ts_test_program();
    file("data.jsonl", "{\"instruction\":\"one\",\"output\":\"1\"}\n{\"instruction\":\"two\",\"output\":\"2\"}\n"
                       "{\"instruction\":\"three\",\"output\":\"3\"}\n{\"instruction\":\"four\",\"output\":\"4\"}\n");
    expect("init ws --model m", 0, NULL);
    expect("import ws data.jsonl", 0, NULL);
    expect("train ws", 1, "status=accepted");
    expect("plan ws --where 'status=new' --r 4 --json", 0, "\"examples\":4");
    expect("plan ws --where 'status=new' --r 4 --learning-rate 0.5", 0,
           "--learning-rate 0.5 is higher than is usual for lora (1e-05 to 0.002)");
    expect("plan ws --where 'status=new' --r 4", 0, "4 examples to learn from: the model will repeat them");
    file("twice.jsonl",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
         "{\"ids\":[1,2,3],\"labels\":[-100,-100,-100]}\n"
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n");
    file("held.jsonl",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"c\"}]}\n");
    static const char *const said[] = {"1 example is there a second time: line 3",
                                       "1 of 1 held-out examples have a prompt",
                                       "1 example without a supervised token, left out: line 2",
                                       "2 examples longer than 4 tokens, cut at the end: lines 1, 3"};
    for (size_t i = 0; i < TS_COUNT(said); i++)
        expect(i < 3 ? "plan --data twice.jsonl --valid-data held.jsonl --model m --json"
                     : "plan --data twice.jsonl --model m --max-length 4",
               i < 3 ? 0 : 3, said[i]);
    expect("train ws --where status=new --r 4 --epochs 1 --valid 0 --json --quiet", 0, "\"run\":1");
    expect("runs ws --json", 0, "\"state\":\"done\"");
    expect("runs ws --note 1 'a remark'", 0, NULL);
    expect("runs ws", 0, "a remark");
    expect("runs ws --stop 1", 1, "nobody");
    expect("generate --model m --workspace ws --adapter run:1 --prompt one --max-new-tokens 2 --json", 0, "run:1");
    expect("compare ws --side base --side run:1 --prompts data.jsonl --max-new-tokens 4 --json --quiet", 0,
           "\"metrics\"");
    expect("runs ws --delete 1", 0, NULL);
    expect("runs ws --delete 1", 1, "none yet");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(usage, fresh),
        cmocka_unit_test_setup(train_on_a_file, fresh),
        cmocka_unit_test_setup(adapter_of_another_model, fresh),
        cmocka_unit_test_setup(base_model, fresh),
        cmocka_unit_test_setup(template_instead_of_the_models, fresh),
        cmocka_unit_test_setup(json_of_nll_and_generate, fresh),
        cmocka_unit_test_setup(text_verbs, fresh),
        cmocka_unit_test_setup(stopped_and_resumed, fresh),
        cmocka_unit_test_setup(workspace_runs, fresh),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ts_buf_release(&output);
    return failed;
}
