/* Scores by a model: from turns by hand, and the job on a tiny model: nothing twice, one row anew after an edit, what a
 * run learnt, as fields of queries. */
#include "core/model/adapter.h"
#include "dataset/view.h"
#include "eval/lmscores.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include "core/base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;
static char *ws, *model, *adapter;

static void turns_by_hand(void **state) {
    (void)state;
    ts_lm_score s;
    const ts_lm_turn turns[] = {{20, 40, 10}, {30, 20, 20}, {9, 3, 9}}; /* the third is too short for IFD */
    ts_lm_score_of(turns, 3, &s);
    assert_int_equal(s.tokens, 39);
    assert_near(s.loss, 59.0 / 39, 1e-12, "weighted by tokens");
    assert_near(s.loss_max, 2, 1e-12, "the first turn");
    assert_near(s.perplexity, exp(59.0 / 39), 1e-12, "perplexity");
    assert_near(s.ifd_loss, 50.0 / 60, 1e-12, "ifd_loss");
    assert_near(s.ifd_loss_max, 1.5, 1e-12, "the second turn");
    assert_near(s.ifd_ppl, exp(-10.0 / 30), 1e-12, "ifd_ppl");
    assert_near(s.ifd_ppl_max, exp(0.5), 1e-12, "the second turn");
    ts_lm_score_of(&turns[2], 1, &s);
    assert_true(isnan(s.ifd_loss) && isnan(s.ifd_ppl_max) && s.loss == 1);
    ts_lm_score_of(turns, 0, &s);
    assert_true(isnan(s.loss) && isnan(s.perplexity_max));
    ts_lm_score_of(&(ts_lm_turn){NAN, NAN, 12}, 1, &s);
    assert_true(isnan(s.loss)); /* a model that gives no number */
}

static const char *const drafts[][2] = {
    {"Name a colour", "The colour of the sky is blue"},
    {"Name a colour", "The colour of the sky is blue"}, /* the same texts */
    {"How are you", "Very well, and how are you today?"},
    {"Nothing to say", ""},
    {"A long one", NULL}, /* 2,000 letters */
};
static const char talk[] =
    "[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Hello, what can I do?\"},"
    "{\"role\":\"user\",\"content\":\"Sing\"},{\"role\":\"assistant\",\"content\":\"La la la la la la la\"}]";

static ts_text text_of(const char *s) {
    return (ts_text){s, strlen(s)};
}

static void make_workspace(ts_store **st) {
    char letters[2001];
    memset(letters, 'x', 2000);
    letters[2000] = 0;
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(st, ws, "test", &err));
    for (size_t i = 0; i < TS_COUNT(drafts); i++) {
        ts_draft d = {.instruction = text_of(drafts[i][0]), .output = text_of(drafts[i][1] ? drafts[i][1] : letters)};
        assert_ok(ts_row_add(*st, &d, NULL, NULL, &err));
    }
    assert_ok(ts_row_add(*st, &(ts_draft){.messages = text_of(talk)}, NULL, NULL, &err));
}

static void save_adapter(void) {
    ts_model *m = NULL;
    ts_adapter *a = NULL;
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_adapter_new(&a, m, 4, 8, 0, false, 1U << TS_V | 1U << TS_DOWN, 3, &err));
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] += 0.3f * (float)((i * 2654435761U >> 7) % 101) / 101 - 0.15f;
    assert_ok(ts_adapter_save(a, adapter, &err));
    ts_adapter_free(a);
    ts_model_close(m);
}

static double value(ts_store *st, int64_t id, const char *field) {
    double all[TS_LM_FIELDS];
    ts_lm_values(st, id, all);
    return all[ts_lm_field_find(field, strlen(field)) - ts_lm_fields];
}

static size_t count(ts_store *st, const char *where) {
    ts_view *v = NULL;
    assert_ok(ts_view_new(&v, st, where, "-ifd_loss", NULL, NULL, &err));
    size_t n = ts_view_count(v);
    ts_view_free(v);
    return n;
}

static void check_scores(ts_store *st) {
    assert_true(value(st, 1, "loss") > 0 && value(st, 1, "loss") == value(st, 2, "loss"));
    assert_near(value(st, 3, "perplexity"), exp(value(st, 3, "loss")), 1e-9, "perplexity");
    for (int64_t id = 1; id <= 6; id++)
        if (!isnan(value(st, id, "ifd_loss")))
            assert_int_equal(value(st, id, "ifd_loss") < 1, value(st, id, "ifd_ppl") < 1);
    assert_true(value(st, 6, "loss_max") > value(st, 6, "loss")); /* two turns */
    assert_true(isnan(value(st, 4, "loss")) && isnan(value(st, 5, "loss")));
    assert_true(isnan(value(st, 1, "learning")));
    assert_int_equal(count(st, "loss>0"), 4);
    assert_int_equal(count(st, "ifd_loss>0 and ifd_ppl_max>0"), 4);
    assert_int_equal(count(st, "noise>=0"), 0);
}

static void a_run(ts_store *st, ts_lm_options o) {
    ts_lm_report r;
    double highest = 0;
    o.run = adapter;
    assert_ok(ts_lm_scores(&o, NULL, &r, &err));
    assert_int_equal(r.scored, 0);
    assert_int_equal(r.scored_run, 5);
    for (int64_t id = 1; id <= 6; id++) {
        if (id == 4 || id == 5) continue;
        assert_near(value(st, id, "learning"), value(st, id, "loss") - value(st, id, "loss_after"), 1e-9, "learning");
        assert_true(value(st, id, "learning") != 0);
        if (value(st, id, "loss_after") > highest) highest = value(st, id, "loss_after");
    }
    for (int64_t id = 1; id <= 6; id++) /* the highest loss has noise 1 and only that */
        if (id != 4 && id != 5) assert_int_equal(value(st, id, "noise") == 1, value(st, id, "loss_after") == highest);
}

static void the_job(void **state) {
    (void)state;
    ts_store *st;
    ts_lm_report r;
    ts_progress stop = {0};
    ts_test_program();
    ts_tiny_hf(model, NULL);
    save_adapter();
    make_workspace(&st);
    ts_lm_options o = {.ws = ws, .model = model, .max_length = 500};
    assert_ok(ts_lm_scores(&o, NULL, &r, &err));
    assert_int_equal(r.rows, 6);
    assert_int_equal(r.scored, 5);
    assert_int_equal(r.known, 1); /* the same texts as another row */
    assert_int_equal(r.left_out, 2);
    assert_int_equal(r.first_left_out, 4);
    check_scores(st);
    assert_ok(ts_lm_scores(&o, NULL, &r, &err));
    assert_int_equal(r.scored, 0);
    a_run(st, o);
    /* a changed row alone is scored anew; until then it has no scores */
    assert_ok(
        ts_row_edit(st, 3, -1, &(ts_edit){TS_OUTPUT, text_of("Well enough, I should say, thank you")}, 1, NULL, &err));
    assert_true(isnan(value(st, 3, "loss")));
    ts_cancel(&stop);
    assert_int_equal(ts_lm_scores(&o, &stop, &r, &err), TS_CANCELLED);
    assert_ok(ts_lm_scores(&o, NULL, &r, &err));
    assert_int_equal(r.scored, 1);
    assert_true(value(st, 3, "loss") > 0);
    o.model = "/no/such/model";
    assert_int_equal(ts_lm_scores(&o, NULL, &r, &err), TS_NOT_FOUND);
    ts_store_close(st);
}

static int fresh(void **state) {
    const char *binary = getenv("TS_BINARY"), *here = ts_test_dir();
    (void)state;
    ws = ts_path_join(here, "ws");
    model = ts_path_join(here, "tiny");
    adapter = ts_path_join(here, "adapter");
    if (binary) setenv("TUNESMITH_BINARY", binary, 1);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(turns_by_hand), cmocka_unit_test_setup(the_job, fresh)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
