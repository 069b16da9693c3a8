/* The engine process and its client, on a tiny model. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/engine/net.h"
#include "core/work/child.h"
#include "eval/engine_client.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ts_err err;
static const char *here;
static char *model;

static int fresh(void **state) {
    (void)state;
    const char *binary = getenv("TS_BINARY");
    here = ts_test_dir();
    free(model);
    model = ts_path_join(here, "tiny");
    if (binary) setenv("TUNESMITH_BINARY", binary, 1);
    return 0;
}

struct seen {
    int loaded, tokens, answers, nlls, done, errors;
    ts_status status;
    char text[600], streamed[4000], answer[2][4000], stop[2][12];
    int32_t ids[2][64];
    size_t n_ids[2];
    double nll[4];
    int64_t counted[4], cancel_at; /* cancel_at: the request to cancel at the first token */
    size_t per_token;
    ts_engine *engine;
};

static void on_event(void *ctx, const ts_engine_event *e) {
    struct seen *s = ctx;
    size_t i = 0;
    switch (e->kind) {
    case TS_ENGINE_LOADED:
        s->loaded++;
        break;
    case TS_ENGINE_TOKEN:
        s->tokens++;
        if (e->side == 0) strncat(s->streamed, e->text, sizeof s->streamed - strlen(s->streamed) - 1);
        if (s->cancel_at) ts_engine_cancel(s->engine, s->cancel_at);
        break;
    case TS_ENGINE_ANSWER:
        s->answers++;
        snprintf(s->answer[e->side], sizeof s->answer[0], "%s", e->text);
        snprintf(s->stop[e->side], sizeof s->stop[0], "%s", e->stop);
        for (const ts_json *v = ts_json_child(e->ids); v && i < 64; v = ts_json_next(v))
            s->ids[e->side][i++] = (int32_t)ts_json_num(v, -1);
        s->n_ids[e->side] = i;
        break;
    case TS_ENGINE_NLL:
        s->nlls++;
        s->nll[e->prompt * 2 + e->side] = e->nll;
        s->counted[e->prompt * 2 + e->side] = e->tokens;
        s->per_token = ts_json_count(e->nlls);
        break;
    case TS_ENGINE_IFD:
    case TS_ENGINE_REFUSED:
    case TS_ENGINE_EMBEDDING:
        break;
    case TS_ENGINE_DONE:
        s->done++;
        break;
    case TS_ENGINE_ERROR:
        s->errors++;
        s->status = e->status;
        snprintf(s->text, sizeof s->text, "%s", e->text);
        break;
    case TS_ENGINE_PROGRESS:
        break;
    }
}

/* An adapter that changes answers, saved in a folder (the caller's string). */
static char *make_adapter(void) {
    ts_model *m = NULL;
    ts_adapter *a = NULL;
    char *dir = ts_path_join(here, "adapter");
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_adapter_new(&a, m, 4, 8, 0, false, 1U << TS_V | 1U << TS_DOWN, 3, &err));
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] += 0.3f * (float)((i * 2654435761U >> 7) % 101) / 101 - 0.15f;
    assert_ok(ts_adapter_save(a, dir, &err));
    ts_adapter_free(a);
    ts_model_close(m);
    return dir;
}

static const char *const two_rows = "[{\"ids\":[1,10,20,30,2],\"labels\":[-100,-100,20,30,2]},"
                                    "{\"ids\":[1,10,50],\"labels\":[-100,10,50]}]";

/* What the process answers is what the functions give in this one. */
static void equals_the_functions(void **state) {
    (void)state;
    ts_model *m = NULL;
    ts_net *net = NULL;
    ts_adapter *a = NULL;
    static const int32_t ids[] = {1, 10, 20, 30, 2}, labels[] = {-100, -100, 20, 30, 2}, prompt[] = {1, 10, 20};
    ts_test_program();
    ts_tiny_hf(model, NULL);
    char *dir = make_adapter();
    const char *sides[] = {NULL, dir};
    struct seen s = {0};
    ts_engine *e = ts_engine_new(NULL, on_event, &s);
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = model;
    ask.sides = sides;
    ask.n_sides = 2;
    ask.items = two_rows;
    ask.per_token = true;
    assert_ok(ts_engine_wait(e, ts_engine_nll(e, &ask, &err), NULL, &err));
    assert_int_equal(s.nlls, 4);
    assert_int_equal(s.per_token, 2); /* of the last row */
    ask.items = "[{\"ids\":[1,10,20]}]";
    ask.max_new_tokens = 24;
    ask.stream = true;
    assert_ok(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err));
    assert_int_equal(s.answers, 2);
    assert_true(strncmp(s.answer[0], s.streamed, strlen(s.streamed)) == 0);
    ts_engine_free(e);

    ts_seq seq = {ids, labels, 5, NULL};
    double nll[2];
    size_t count;
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_net_new(&net, m, NULL, &err));
    assert_ok(ts_adapter_load(&a, dir, m, &err));
    assert_ok(ts_net_nll(net, NULL, &seq, 1, &nll[0], &count, NULL, NULL, &err));
    assert_ok(ts_net_nll(net, a, &seq, 1, &nll[1], &count, NULL, NULL, &err));
    assert_near(s.nll[0], nll[0], 1e-4, "base");
    assert_near(s.nll[1], nll[1], 1e-4, "tuned");
    assert_true(fabs(nll[0] - nll[1]) > 0.01);
    assert_int_equal(s.counted[0], 3);
    ts_gen_item items[] = {{.prompt = prompt, .n_prompt = 3}, {.prompt = prompt, .n_prompt = 3, .adapter = a}};
    static const int32_t stop = 2;
    ts_gen_options o = {.max_new_tokens = 24, .sampling = TS_SAMPLING_GREEDY, .stop_ids = &stop, .n_stop_ids = 1};
    assert_ok(ts_net_generate(net, items, 2, &o, NULL, &err));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(s.n_ids[i], items[i].out.n);
        for (size_t k = 0; k < items[i].out.n; k++)
            assert_int_equal(s.ids[i][k], items[i].out.items[k]);
    }
    ts_gen_release(items, 2);
    ts_adapter_free(a);
    ts_net_free(net);
    ts_model_close(m);
    free(dir);
}

static void errors_are_sentences_and_it_goes_on(void **state) {
    (void)state;
    static const struct {
        const char *items, *word;
    } bad[] = {{"[]", "no \"prompts\""},
               {"[{\"ids\":[]}]", "empty"},
               {"[{\"ids\":[1,9999999]}]", "token id"},
               {"[{\"x\":1}]", "prompt 1"}};
    ts_test_program();
    ts_tiny_hf(model, NULL);
    struct seen s = {0};
    ts_engine *e = ts_engine_new(NULL, on_event, &s);
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = "/nowhere/model";
    ask.items = "[{\"ids\":[1]}]";
    assert_int_not_equal(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err), TS_OK);
    assert_non_null(strstr(err.text, "/nowhere/model"));
    ask.model = model;
    for (size_t i = 0; i < TS_COUNT(bad); i++) {
        ask.items = bad[i].items;
        assert_int_not_equal(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err), TS_OK);
        if (!strstr(err.text, bad[i].word)) fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i].word);
    }
    const char *wrong[] = {here};
    ask.items = "[{\"ids\":[1]}]";
    ask.sides = wrong;
    ask.n_sides = 1;
    assert_int_not_equal(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err), TS_OK);
    ask.n_sides = 0;
    ask.sampling.top_p = 1.5;
    assert_int_equal(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "top_p must be from 0 to 1, not 1.5"));
    ask.sampling.top_p = 1;
    ask.max_new_tokens = 3;
    assert_ok(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err));
    assert_int_equal(s.answers, 1);
    assert_false(ts_engine_busy(e));
    ts_engine_free(e);
}

static void cancel_stops_a_long_answer(void **state) {
    (void)state;
    ts_test_program();
    ts_tiny_hf(model, NULL);
    struct seen s = {0};
    ts_engine *e = ts_engine_new(NULL, on_event, &s);
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = model;
    ask.items = "[{\"ids\":[1,10]},{\"ids\":[1,11]},{\"ids\":[1,12]},{\"ids\":[1,13]}]";
    ask.max_new_tokens = 100000;
    ask.sampling.temperature = 5;
    ask.stream = true;
    s.engine = e;
    s.cancel_at = ts_engine_generate(e, &ask, &err);
    ts_status status = ts_engine_wait(e, s.cancel_at, NULL, &err);
    if (status != TS_OK) { /* OK: all stopped by themselves before */
        assert_int_equal(status, TS_CANCELLED);
        assert_in_range(s.answers, 1, 4); /* what there was came */
        assert_true(s.n_ids[0] > 0);
    }
    s.cancel_at = 0;
    ask.max_new_tokens = 2;
    assert_ok(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err));
    ts_engine_free(e);
}

/* The answer without a stop text, then with one taken from its middle: cut before it, and streamed the same. */
static void a_stop_text_ends_the_answer(void **state) {
    (void)state;
    ts_test_program();
    ts_tiny_hf(model, NULL);
    struct seen whole = {0}, cut = {0};
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = model;
    ask.items = "[{\"ids\":[1,10,20]}]";
    ask.max_new_tokens = 40;
    ask.stream = true;
    ts_engine *e = ts_engine_new(NULL, on_event, &whole);
    assert_ok(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err));
    assert_string_equal(whole.streamed, whole.answer[0]);
    ts_engine_free(e);
    size_t n = strlen(whole.answer[0]), at = n / 2;
    while (at < n && (whole.answer[0][at] & 0xc0) == 0x80) /* not within a character */
        at++;
    assert_true(n > 12);
    char stop[4] = {0};
    size_t len = 1;
    while (at + len < n && ((whole.answer[0][at + len] & 0xc0) == 0x80))
        len++;
    if (len < 3 && !(whole.answer[0][at + len] & 0x80)) len++;
    memcpy(stop, whole.answer[0] + at, len);
    const char *stops[] = {"never said by anyone", stop};
    ask.stops = stops;
    ask.n_stops = 2;
    e = ts_engine_new(NULL, on_event, &cut);
    assert_ok(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err));
    ts_engine_free(e);
    assert_string_equal(cut.stop[0], "stop");
    size_t first = (size_t)(strstr(whole.answer[0], stop) - whole.answer[0]);
    assert_int_equal(strlen(cut.answer[0]), first);
    assert_memory_equal(cut.answer[0], whole.answer[0], first);
    assert_string_equal(cut.streamed, cut.answer[0]);
    assert_true(cut.n_ids[0] <= whole.n_ids[0]);
}

/* Killed from outside: a sentence, and the next request starts another one. */
static void death_is_a_sentence(void **state) {
    (void)state;
    ts_test_program();
    ts_tiny_hf(model, NULL);
    struct seen s = {0};
    ts_engine *e = ts_engine_new(NULL, on_event, &s);
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = model;
    ask.items = "[{\"ids\":[1,10]}]";
    ask.max_new_tokens = 4;
    assert_ok(ts_engine_wait(e, ts_engine_load(e, model, NULL, &err), NULL, &err));
    assert_int_equal(s.loaded, 1);
    assert_true(ts_engine_pid(e) > 0);
    kill(ts_engine_pid(e), SIGSTOP); /* so that it cannot answer before it dies */
    int64_t request = ts_engine_generate(e, &ask, &err);
    kill(ts_engine_pid(e), SIGKILL);
    assert_int_equal(ts_engine_wait(e, request, NULL, &err), TS_IO);
    assert_non_null(strstr(err.text, "signal 9"));
    assert_int_equal(s.errors, 1);
    assert_ok(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err));
    assert_int_equal(s.answers, 1);
    ts_engine_free(e);
}

/* Another program cuts the model's file while the engine holds it: the sentence names the file. */
static void a_model_cut_short_in_use_is_named(void **state) {
    (void)state;
    ts_test_program();
    char *file = ts_path_join(here, "cut.gguf"), *log = ts_path_join(here, "engine.log");
    ts_tiny_gguf(file, NULL);
    struct seen s = {0};
    ts_engine *e = ts_engine_new(log, on_event, &s);
    ts_ask ask = TS_ASK_DEFAULTS;
    ask.model = file;
    ask.items = "[{\"ids\":[1,10]}]";
    ask.max_new_tokens = 4;
    assert_ok(ts_engine_wait(e, ts_engine_load(e, file, NULL, &err), NULL, &err));
    assert_int_equal(truncate(file, 4096), 0);
    assert_int_equal(ts_engine_wait(e, ts_engine_generate(e, &ask, &err), NULL, &err), TS_IO);
    if (!strstr(err.text, "cut.gguf became shorter")) fail_msg("%s", err.text);
    assert_null(strstr(err.text, "memory"));
    ts_engine_free(e);
    free(file);
    free(log);
}

/* Straight to the process: lines that are no requests, and the end of stdin. */
static void hostile_lines_and_closed_pipe(void **state) {
    (void)state;
    static const char *const args[] = {"engine", NULL};
    static const char lines[] = "nonsense\n[1,2]\n{\"op\":\"dance\",\"id\":3}\n{\"op\":\"generate\"}\n"
                                "{\"op\":\"generate\",\"id\":4,\"prompts\":[{\"ids\":[1]}]}\n";
    ts_child c;
    ts_lines l = {0};
    const char *line;
    size_t n, errors = 0;
    int how;
    ts_test_program();
    ts_child_options o = {.args = args, .pipes = true};
    assert_ok(ts_child_start(&c, &o, &err));
    assert_int_equal(write(c.in, lines, sizeof lines - 1), sizeof lines - 1);
    for (double until = ts_now() + 20; ts_now() < until && errors < 5; usleep(2000)) {
        assert_ok(ts_lines_fill(&l, c.out, &err));
        while (ts_lines_next(&l, &line, &n))
            errors += strstr(line, "\"event\":\"error\"") != NULL;
    }
    assert_int_equal(errors, 5);
    close(c.in);
    c.in = -1;
    assert_true(ts_child_wait(&c, 10, &how));
    ts_child_end(&c, 1);
    ts_lines_release(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(equals_the_functions, fresh),
        cmocka_unit_test_setup(errors_are_sentences_and_it_goes_on, fresh),
        cmocka_unit_test_setup(cancel_stops_a_long_answer, fresh),
        cmocka_unit_test_setup(a_stop_text_ends_the_answer, fresh),
        cmocka_unit_test_setup(death_is_a_sentence, fresh),
        cmocka_unit_test_setup(a_model_cut_short_in_use_is_named, fresh),
        cmocka_unit_test_setup(hostile_lines_and_closed_pipe, fresh),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(model);
    return failed;
}
