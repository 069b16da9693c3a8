/* An endpoint on this machine with every fault a real one has (tests/chat_server.h): what is asked, what comes of it,
 * what is said about it, and that the key is in none of it. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "eval/endpoint_many.h"
#include "eval/http.h"
#include "eval/pace.h"
#include "tests/chat_server.h"
#include "tests/support.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static ts_err err;
static chat_server *server;
static ts_http *http;
static const char key[] = "sk-Zz81secretQ";
static const char messages[] =
    "[{\"role\":\"system\",\"content\":\"Be brief\"},{\"role\":\"user\",\"content\":\"abcdef\"}]";

static int begin(void **state) {
    (void)state;
    server = chat_server_new();
    http = ts_http_new();
    setenv("TS_TEST_KEY", key, 1);
    return 0;
}

static int end(void **state) {
    (void)state;
    ts_http_free(http);
    chat_server_free(server);
    return 0;
}

struct heard {
    int times;
    char last[64];
};

static void on_text(void *ctx, const char *text) {
    struct heard *h = ctx;
    h->times++;
    snprintf(h->last, sizeof h->last, "%s", text);
}

static ts_status ask(const char *path, const char *more, ts_endpoint_answer *out, struct heard *heard) {
    ts_endpoint e;
    char *spec = ts_printf("url=http://127.0.0.1:%d/%s,model=gpt-x,pause=0%s", chat_server_port(server), path, more);
    assert_ok(ts_endpoint_read(&e, spec, &err));
    free(spec);
    ts_endpoint_ask a = {.messages = messages, .max_new_tokens = 33, .sampling = TS_SAMPLING_GREEDY};
    a.sampling.seed = 7;
    if (heard) {
        a.on_text = on_text;
        a.ctx = heard;
    }
    ts_status status = ts_endpoint_chat(&e, http, &a, out, NULL, &err);
    ts_endpoint_release(&e);
    return status;
}

static void the_request_and_the_stream(void **state) {
    (void)state;
    ts_endpoint_answer a;
    struct heard heard = {0};
    assert_ok(ask("v1", ",key-env=TS_TEST_KEY,price-in=2,price-out=10", &a, &heard));
    assert_string_equal(ts_buf_str(&a.text), "fedcba");
    assert_string_equal(a.stop, "eos");
    assert_int_equal(a.tokens, 500);
    assert_near(a.cost, (1000 * 2 + 500 * 10) / 1e6, 1e-12, "cost");
    assert_int_equal(heard.times, 2);
    assert_string_equal(heard.last, "fedcba");
    assert_non_null(strstr(chat_server_headers(server), "Authorization: Bearer sk-Zz81secretQ\r\n"));
    assert_non_null(strstr(chat_server_headers(server), "POST /v1/chat/completions HTTP/1.1\r\n"));
    ts_json *v = ts_json_parse(chat_server_body(server), strlen(chat_server_body(server)), &err);
    assert_non_null(v);
    assert_string_equal(ts_json_str(ts_json_get(v, "model"), ""), "gpt-x");
    assert_int_equal(ts_json_num(ts_json_get(v, "max_tokens"), 0), 33);
    assert_int_equal(ts_json_num(ts_json_get(v, "seed"), 0), 7);
    assert_int_equal(ts_json_num(ts_json_get(v, "temperature"), 9), 0);
    assert_true(ts_json_is_true(ts_json_get(v, "stream")));
    assert_int_equal(ts_json_count(ts_json_get(v, "messages")), 2);
    ts_json_free(v);
    ts_endpoint_answer_release(&a);
    assert_ok(ask("whole/v1", "", &a, NULL));
    assert_string_equal(ts_buf_str(&a.text), "fedcba");
    assert_string_equal(a.stop, "length");
    assert_true(isnan(a.cost)); /* no prices */
    assert_null(strstr(chat_server_headers(server), "Authorization"));
    ts_endpoint_answer_release(&a);
}

/* What happens to each kind of trouble, and how often it is asked. */
static const struct {
    const char *path, *more;
    ts_status status;
    int tries;
    const char *said;
} faults[] = {
    {"busy", ",tries=4", TS_OK, 3, ""},
    {"once", ",tries=2", TS_OK, 2, ""},
    {"r500", ",tries=3", TS_IO, 3, "after 3 tries: 127.0.0.1:PORT answers 500: Rate limit reached"},
    {"cut", ",tries=2", TS_IO, 2, "after 2 tries: 127.0.0.1:PORT broke the answer off"},
    {"html", "", TS_FORMAT, 1, "127.0.0.1:PORT answers 200 with a web page, not with JSON; is the address right?"},
    {"garbage", "", TS_FORMAT, 1, "127.0.0.1:PORT answers with what is no chat completion: ?"},
    {"xerror", "", TS_IO, 1, "127.0.0.1:PORT reports an error: the model fell over"},
    {"endless", "", TS_LIMIT, 1, "127.0.0.1:PORT answers with more than 16 MB"},
    {"slow", ",timeout=0.3,tries=2", TS_IO, 2, "after 2 tries: 127.0.0.1:PORT does not answer in time"},
    {"key", ",key-env=TS_TEST_KEY", TS_INVALID, 1,
     "127.0.0.1:PORT refuses the key (401): Incorrect API key provided: (key). Also (key)."},
};

/* What row i is expected to say, with the server's port; the caller frees. */
static char *expected(size_t i) {
    const char *said = faults[i].said, *at = strstr(said, "PORT");
    return at ? ts_printf("%.*s%d%s", (int)(at - said), said, chat_server_port(server), at + 4) : ts_strdup(said);
}

/* Nothing secret and nothing that a terminal would obey. */
static void check_sentence(size_t i, const char *text) {
    char *said = expected(i);
    if (strncmp(text, said, strlen(said)) != 0) fail_msg("%s: %s", faults[i].path, text);
    assert_null(strstr(text, "secret"));
    for (const char *p = text; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
    free(said);
}

static void every_fault(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(faults); i++) {
        ts_endpoint_answer a;
        int before = chat_server_requests(server);
        ts_status status = ask(faults[i].path, faults[i].more, &a, NULL);
        if (status != faults[i].status)
            fail_msg("%s: status %d: %s", faults[i].path, (int)status, status == TS_OK ? "fine" : err.text);
        assert_int_equal(a.tries, faults[i].tries);
        assert_int_equal(chat_server_requests(server) - before, faults[i].tries);
        if (status == TS_OK)
            assert_string_equal(ts_buf_str(&a.text), "fedcba");
        else
            check_sentence(i, err.text);
        ts_endpoint_answer_release(&a);
    }
}

/* ---- many questions ---- */

enum { QUESTIONS = 7, GIVEN_UP = 3 };

struct many {
    char asked[QUESTIONS][80], answered[QUESTIONS][8], heard[QUESTIONS][8];
    int ends[QUESTIONS], failed;
    double cost;
    size_t fault; /* whose sentence is expected */
};

static void fill(void *ctx, size_t i, ts_endpoint_ask *out) {
    struct many *m = ctx;
    snprintf(m->asked[i], sizeof m->asked[i], "[{\"role\":\"user\",\"content\":\"abc%zu\"}]", i);
    *out = (ts_endpoint_ask){.messages = m->asked[i], .max_new_tokens = 9, .sampling = TS_SAMPLING_GREEDY};
}

static void hear(void *ctx, size_t i, const char *text) {
    struct many *m = ctx;
    snprintf(m->heard[i], sizeof m->heard[i], "%s", text);
}

static void end_of(void *ctx, size_t i, ts_endpoint_answer *a, const char *why) {
    struct many *m = ctx;
    m->ends[i]++;
    if (why) {
        m->failed++;
        check_sentence(m->fault, why);
        return;
    }
    snprintf(m->answered[i], sizeof m->answered[i], "%s", ts_buf_str(&a->text));
    m->cost += a->cost;
}

static ts_status ask_many(chat_server *s, const char *path, const char *more, struct many *m, ts_progress *progress) {
    ts_endpoint e;
    const ts_questions q = {QUESTIONS, fill, hear, end_of, m};
    char *spec = ts_printf("url=http://127.0.0.1:%d/%s,model=m,pause=0%s", chat_server_port(s), path, more);
    assert_ok(ts_endpoint_read(&e, spec, &err));
    ts_status status = ts_endpoint_chat_many(&e, &q, progress, &err);
    ts_endpoint_release(&e);
    free(spec);
    return status;
}

static void check_answers(const struct many *m, bool streamed) {
    for (size_t i = 0; i < QUESTIONS; i++) {
        char backwards[8];
        snprintf(backwards, sizeof backwards, "%zucba", i);
        assert_int_equal(m->ends[i], 1);
        assert_string_equal(m->answered[i], backwards);
        if (streamed) assert_string_equal(m->heard[i], backwards);
    }
    assert_int_equal(m->failed, 0);
}

static const struct {
    const char *path, *more;
    int least, most; /* requests that were on their way at once */
} at_once[] = {
    {"meet3", ",jobs=3", 3, 3}, /* the server answers nobody before it has three of them */
    {"meet3", "", 3, 4},
    {"v1", ",jobs=1", 1, 1},
    {"few2", ",tries=20", 1, 4}, /* it has none of more than two */
};

static void several_at_a_time(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(at_once); i++) {
        struct many m = {0};
        chat_server *s = chat_server_new();
        char *more = ts_printf("%s,price-in=2,price-out=10", at_once[i].more);
        assert_ok(ask_many(s, at_once[i].path, more, &m, NULL));
        check_answers(&m, true);
        assert_near(m.cost, QUESTIONS * (1000 * 2 + 500 * 10) / 1e6, 1e-12, "cost of all");
        assert_in_range(chat_server_most(s), at_once[i].least, at_once[i].most);
        chat_server_free(s);
        free(more);
    }
}

/* The same sentences; and nobody is asked on who failed three times in a row. */
static void every_fault_of_many(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(faults); i++) {
        struct many m = {.fault = i};
        int before = chat_server_requests(server);
        assert_ok(ask_many(server, faults[i].path, faults[i].more, &m, NULL));
        if (faults[i].status == TS_OK) {
            check_answers(&m, true);
            continue;
        }
        assert_int_equal(m.failed, QUESTIONS);
        for (size_t k = 0; k < QUESTIONS; k++)
            assert_int_equal(m.ends[k], 1);
        assert_int_equal(chat_server_requests(server) - before, GIVEN_UP * faults[i].tries);
    }
}

struct stopper {
    chat_server *server;
    ts_progress *progress;
};

/* As soon as three requests hang. */
static void *stop_when_three_hang(void *ctx) {
    const struct stopper *s = ctx;
    const struct timespec moment = {0, 1000000};
    while (chat_server_most(s->server) < 3)
        nanosleep(&moment, NULL);
    ts_cancel(s->progress);
    return NULL;
}

static void a_stop_ends_all(void **state) {
    (void)state;
    struct many m = {0};
    ts_progress progress = {0};
    struct stopper stopper = {chat_server_new(), &progress};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_when_three_hang, &stopper), 0);
    assert_int_equal(ask_many(stopper.server, "meet9", "", &m, &progress), TS_CANCELLED);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < QUESTIONS; i++)
        assert_int_equal(m.ends[i], 0);
    chat_server_free(stopper.server);
}

static void the_pace(void **state) {
    (void)state;
    ts_progress progress = {0};
    ts_pace *p = ts_pace_new(4);
    for (int i = 0; i < 4; i++)
        assert_true(ts_pace_enter(p, &progress));
    ts_pace_leave(p, TS_PACE_BUSY, 0);
    assert_int_equal(ts_pace_limit(p), 2);
    ts_pace_leave(p, TS_PACE_BUSY, 0);
    assert_int_equal(ts_pace_limit(p), 1);
    ts_pace_leave(p, TS_PACE_BUSY, 0);
    assert_int_equal(ts_pace_limit(p), 1);
    ts_pace_leave(p, TS_PACE_FAILED, 0); /* no reason for more */
    assert_int_equal(ts_pace_limit(p), 1);
    assert_true(ts_pace_enter(p, &progress));
    ts_pace_leave(p, TS_PACE_ANSWERED, 0);
    assert_true(ts_pace_enter(p, &progress));
    assert_true(ts_pace_enter(p, &progress));
    ts_pace_leave(p, TS_PACE_ANSWERED, 0);
    ts_pace_leave(p, TS_PACE_ANSWERED, 0);
    assert_int_equal(ts_pace_limit(p), 4);
    assert_true(ts_pace_enter(p, &progress));
    ts_pace_leave(p, TS_PACE_BUSY, 3600); /* nobody goes for an hour, whoever asks */
    ts_cancel(&progress);
    assert_false(ts_pace_enter(p, &progress));
    ts_pace_free(p);
}

static void nobody_there(void **state) {
    (void)state;
    ts_endpoint e;
    ts_endpoint_answer a;
    chat_server *gone = chat_server_new();
    char *spec = ts_printf("url=http://127.0.0.1:%d/v1,model=m,tries=2,pause=0", chat_server_port(gone));
    chat_server_free(gone);
    assert_ok(ts_endpoint_read(&e, spec, &err));
    ts_endpoint_ask q = {.messages = messages, .max_new_tokens = 5, .sampling = TS_SAMPLING_GREEDY};
    assert_int_equal(ts_endpoint_chat(&e, http, &q, &a, NULL, &err), TS_IO);
    assert_non_null(strstr(err.text, "cannot be reached"));
    ts_endpoint_answer_release(&a);
    ts_endpoint_release(&e);
    free(spec);
}

static void a_stop_is_quick(void **state) {
    (void)state;
    ts_endpoint e;
    ts_endpoint_answer a;
    ts_progress stop = {0};
    char *spec = ts_printf("url=http://127.0.0.1:%d/slow,model=m", chat_server_port(server));
    ts_cancel(&stop);
    assert_ok(ts_endpoint_read(&e, spec, &err));
    ts_endpoint_ask q = {.messages = messages, .max_new_tokens = 5, .sampling = TS_SAMPLING_GREEDY};
    assert_int_equal(ts_endpoint_chat(&e, http, &q, &a, &stop, &err), TS_CANCELLED);
    ts_endpoint_answer_release(&a);
    ts_endpoint_release(&e);
    free(spec);
}

static const struct {
    const char *spec, *said;
} wrong[] = {
    {"url=http://x.org", "needs model="},
    {"model=m", "needs url="},
    {"url=ftp://x.org,model=m", "needs url="},
    {"url=https://me:sk-1@x.org,model=m", "no name or password"},
    {"url=https://x.org/v1?key=sk-1,model=m", "holds no ?"},
    {"url=https://x.org,model=m,key=sk-1", "not given on the command line"},
    {"url=http://x.org,model=m,key-env=HOME", "unencrypted"},
    {"url=https://x.org,model=m,key-env=A,key-file=B", "not both"},
    {"url=https://x.org,model=m,timeout=never", "a number from"},
    {"url=https://x.org,model=m,jobs=0", "jobs is a number from 1 to 32"},
    {"url=https://x.org,model=m,colour=red", "has no \"colour\""},
    {"url=https://x.org,model", "is no such part"},
};

static void what_is_wrong_is_said(void **state) {
    (void)state;
    ts_endpoint e;
    ts_endpoint_answer a;
    for (size_t i = 0; i < TS_COUNT(wrong); i++) {
        assert_int_equal(ts_endpoint_read(&e, wrong[i].spec, &err), TS_INVALID);
        if (!strstr(err.text, wrong[i].said)) fail_msg("%s: %s", wrong[i].spec, err.text);
        assert_null(strstr(err.text, "sk-1"));
        ts_endpoint_release(&e);
    }
    assert_int_equal(ask("v1", ",key-env=TS_NO_SUCH_KEY", &a, NULL), TS_INVALID);
    assert_non_null(strstr(err.text, "TS_NO_SUCH_KEY"));
    ts_endpoint_answer_release(&a);
    const char *file = ts_test_path("key");
    assert_ok(ts_file_write(file, "sk-Zz81secretQ\n", 15, &err));
    char *more = ts_printf(",key-file=%s", file);
    assert_ok(ask("v1", more, &a, NULL));
    assert_non_null(strstr(chat_server_headers(server), "Bearer sk-Zz81secretQ\r\n"));
    ts_endpoint_answer_release(&a);
    free(more);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_and_the_stream),
        cmocka_unit_test(every_fault),
        cmocka_unit_test(several_at_a_time),
        cmocka_unit_test(every_fault_of_many),
        cmocka_unit_test(a_stop_ends_all),
        cmocka_unit_test(the_pace),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(a_stop_is_quick),
        cmocka_unit_test(what_is_wrong_is_said),
    };
#ifndef TS_HAVE_CURL
    print_message("skipped: built without libcurl\n");
    return 0;
#endif
    return cmocka_run_group_tests(tests, begin, end);
}
