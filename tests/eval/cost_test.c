/* Price lists, good and hostile, and what is calculated from them; by hand. */
#include "core/base/file.h"
#include "eval/cost.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

#define SOURCE ",\"source\":\"a page\",\"date\":\"2026-01-31\"}"
#define OFFER(rest) "{\"provider\":\"P\",\"methods\":[\"lora\"],\"unit\":\"hour\"" rest "}"
#define LIST(training, serving) "{\"format\":1,\"training\":[" training "],\"serving\":[" serving "]}"

static const struct {
    const char *text, *says;
} broken[] = {
    {"", "it is empty"},
    {"{\"format\":1", "not valid JSON"},
    {"[]", "is no price list"},
    {"{\"format\":2,\"training\":[],\"serving\":[]}", "is no price list"},
    {"{\"format\":1,\"serving\":[]}", "\"training\" must be a list"},
    {LIST("7", ""), "training 1, \"\" is no object"},
    {LIST("{\"methods\":[\"lora\"],\"unit\":\"hour\"}", ""), "training 1, \"provider\" is missing"},
    {LIST(OFFER("") ","
                    "{\"unit\":7}",
          ""),
     "training 2"},
    {LIST("{\"provider\":\"P\",\"methods\":[\"magic\"],\"unit\":\"hour\"}", ""), "\"methods\" knows only"},
    {LIST("{\"provider\":\"P\",\"methods\":[],\"unit\":\"hour\"}", ""), "1 to 8 of"},
    {LIST("{\"provider\":\"P\",\"methods\":[\"lora\"],\"unit\":\"day\"}", ""), "\"million tokens\" or \"hour\""},
    {LIST(OFFER(",\"price\":3"), ""), "\"price\" must be an object"},
    {LIST(OFFER(",\"price\":{\"value\":3}"), ""), "without \"source\""},
    {LIST(OFFER(",\"price\":{\"value\":3,\"source\":\"x\"}"), ""), "needs a \"date\""},
    {LIST(OFFER(",\"price\":{\"value\":3,\"source\":\"x\",\"date\":\"soon\"}"), ""), "needs a \"date\""},
    {LIST(OFFER(",\"price\":{\"value\":-1" SOURCE), ""), "neither null"},
    {LIST(OFFER(",\"price\":{\"value\":1e300" SOURCE), ""), "neither null"},
    {LIST(OFFER(",\"price\":{\"value\":\"3\"" SOURCE), ""), "neither null"},
    {LIST(OFFER(",\"price\":{}"), ""), "neither null"},
    {LIST(OFFER(",\"memory_gb\":0"), ""), "must be a number above 0"},
    {LIST(OFFER(",\"note\":\"\\u001b[31m\""), ""), "has control characters"},
    {LIST("", "{\"provider\":\"P\",\"model\":\"M\",\"kind\":\"huge\"}"), "serving 1, \"kind\""},
    {LIST("", "{\"provider\":\"P\",\"kind\":\"large\"}"), "serving 1, \"model\" is missing"},
    {"{\"format\":1,\"training\":[],\"serving\":[],\"x\":\"\xff\"}", "UTF-8"},
};

static void broken_lists(void **state) {
    (void)state;
    for (size_t i = 0; i < TS_COUNT(broken); i++) {
        ts_prices p;
        ts_err e = {0};
        if (ts_prices_parse(&p, broken[i].text, strlen(broken[i].text), "list", &e) == TS_OK)
            fail_msg("taken: %s", broken[i].text);
        if (!strstr(e.text, broken[i].says) || !strstr(e.text, "list"))
            fail_msg("%s: says \"%s\", not \"%s\"", broken[i].text, e.text, broken[i].says);
    }
}

static void large_lists(void **state) {
    ts_buf text = TS_BUF_INIT;
    ts_prices p;
    (void)state;
    ts_buf_puts(&text, "{\"format\":1,\"training\":[" OFFER(""));
    for (int i = 0; i < 500; i++)
        ts_buf_puts(&text, "," OFFER(""));
    ts_buf_puts(&text, "],\"serving\":[]}");
    assert_int_equal(ts_prices_parse(&p, text.data, text.len, "list", &err), TS_LIMIT);
    ts_buf_reset(&text);
    ts_buf_puts(&text, "{\"format\":1,\"training\":[{\"provider\":\"");
    for (int i = 0; i < 301; i++)
        ts_buf_putc(&text, 'x');
    ts_buf_puts(&text, "\",\"methods\":[\"lora\"],\"unit\":\"hour\"}],\"serving\":[]}");
    assert_int_equal(ts_prices_parse(&p, text.data, text.len, "list", &err), TS_FORMAT);
    assert_non_null(strstr(err.text, "300 bytes"));
    ts_buf_release(&text);
}

static const char list[] =
    "{\"format\":1,\"training\":["
    "{\"provider\":\"API\",\"model\":\"nano\",\"methods\":[\"managed\"],\"unit\":\"million tokens\","
    "\"price\":{\"value\":2" SOURCE ",\"least_examples\":{\"value\":10" SOURCE "},"
    "{\"provider\":\"GPU\",\"hardware\":\"card\",\"memory_gb\":2,\"methods\":[\"lora\",\"full\"],"
    "\"unit\":\"hour\",\"price\":{\"value\":3.6" SOURCE ",\"tokens_per_second\":{\"value\":1000" SOURCE "},"
    "{\"provider\":\"Small\",\"model\":\"tiny\",\"methods\":[\"lora\"],\"max_billions\":0.1,"
    "\"unit\":\"million tokens\",\"price\":{\"value\":1" SOURCE "},"
    "{\"provider\":\"Dark\",\"hardware\":\"x\",\"methods\":[\"lora\"],\"unit\":\"hour\"}],"
    "\"serving\":["
    "{\"provider\":\"API\",\"model\":\"nano\",\"kind\":\"tuned\",\"input\":{\"value\":1" SOURCE
    ",\"output\":{\"value\":2" SOURCE "},"
    "{\"provider\":\"GPU\",\"model\":\"own\",\"kind\":\"tuned\",\"hour\":{\"value\":0.1" SOURCE "},"
    "{\"provider\":\"Big\",\"model\":\"Great\",\"kind\":\"large\",\"input\":{\"value\":10" SOURCE
    ",\"output\":{\"value\":20" SOURCE "},"
    "{\"provider\":\"Big\",\"model\":\"Secret\",\"kind\":\"large\"}]}";

/* 100 rows of 50 tokens, 20 of them learnt, two epochs, a model of 1e9 parameters. */
static void make(ts_cost *c, ts_prices *p, ts_demand *d, const char *large) {
    ts_run_settings s;
    ts_train_plan plan = {
        .examples = 100, .tokens = 5000, .supervised_tokens = 2000, .trainable_params = 1000, .all_params = 1000001000};
    static const double gigabytes[TS_COST_METHODS] = {1, 1, 3};
    static const char *const methods[TS_COST_METHODS] = {"lora", "qlora", "full"};
    *c = (ts_cost){0};
    for (int i = 0; i < TS_COST_METHODS; i++)
        c->local[i] = (ts_local_cost){methods[i], gigabytes[i] * 1e9, false, NAN, ""};
    ts_run_settings_init(&s);
    ts_run_set(&s.model, "/models/one");
    s.epochs = 2;
    assert_ok(ts_prices_parse(p, list, sizeof list - 1, "list", &err));
    ts_cost_make(c, p, &s, &plan, d, large);
    ts_run_settings_release(&s);
}

static const ts_cost_row *row_of(const ts_cost *c, const char *provider, const char *method) {
    for (size_t i = 0; i < c->n_rows; i++)
        if (strcmp(c->rows[i].provider, provider) == 0 && strcmp(c->rows[i].method, method) == 0) return &c->rows[i];
    return NULL;
}

static void training(void **state) {
    ts_cost c;
    ts_prices p;
    (void)state;
    make(&c, &p, NULL, NULL);
    assert_near(c.tokens, 10000, 0, "rows x epochs");
    const ts_cost_row *r = row_of(&c, "API", "managed");
    assert_near(r->dollars, 0.02, 1e-12, "2 dollars a million");
    assert_int_equal(r->least, 10);
    assert_true(isnan(r->params) && isnan(r->seconds));
    assert_string_equal(r->date, "2026-01-31");
    r = row_of(&c, "GPU", "lora");
    assert_near(r->seconds, 10, 1e-12, "1,000 tokens a second");
    assert_near(r->dollars, 0.01, 1e-12, "a tenth of a cent a second");
    assert_true(r->fits);
    assert_false(row_of(&c, "GPU", "full")->fits); /* 3 GB on a card of 2 */
    assert_null(row_of(&c, "Small", "lora"));      /* only for smaller models */
    r = row_of(&c, "Dark", "lora");
    assert_true(isnan(r->dollars) && isnan(r->per_hour)); /* unknown stays unknown */
    assert_near(row_of(&c, "this machine", "lora")->dollars, 0, 0, "here");
    ts_cost_release(&c);
    ts_prices_release(&p);
}

static void breaking_even(void **state) {
    ts_cost c;
    ts_prices p;
    ts_demand d = {.requests = 100, .shots = 2};
    (void)state;
    make(&c, &p, &d, NULL);
    assert_int_equal(c.n_pairs, 4);
    assert_near(c.demand.prompt_tokens, 30, 1e-12, "of the rows");
    assert_near(c.demand.answer_tokens, 20, 1e-12, "of the rows");
    const ts_break_even *b = &c.pairs[0];
    assert_near(b->large_day, 100 * (130 * 10 + 20 * 20) / 1e6, 1e-12, "two examples more in the prompt");
    assert_near(b->tuned_day, 100 * (30 * 1 + 20 * 2) / 1e6, 1e-12, "the prompt alone");
    assert_near(b->days, 0.02 / (0.17 - 0.007), 1e-9, "training over what is saved a day");
    assert_near(b->requests, 0, 0, "from the first request");
    assert_true(isnan(c.pairs[1].days)); /* the large one's price is unknown */
    assert_near(c.pairs[2].tuned_day, 2.4, 1e-12, "always on");
    assert_true(isinf(c.pairs[2].days));
    assert_near(c.pairs[2].requests, 2.4 / 0.0017, 1e-9, "so many pay the card");
    ts_cost_release(&c);
    ts_prices_release(&p);
    d.requests = 10000;
    make(&c, &p, &d, "great");
    assert_int_equal(c.n_pairs, 2);
    assert_near(c.pairs[1].days, 0, 0, "trained here, for nothing");
    ts_cost_release(&c);
    ts_prices_release(&p);
}

static void forms(void **state) {
    ts_cost c;
    ts_prices p;
    ts_buf out = TS_BUF_INIT;
    (void)state;
    make(&c, &p, NULL, NULL);
    ts_jw w = ts_jw_to(&out);
    ts_jw_obj(&w);
    ts_cost_write_json(&c, &p, &w);
    ts_jw_end_obj(&w);
    ts_json *root = ts_json_parse(out.data, out.len, &err);
    assert_non_null(root);
    assert_int_equal(ts_json_count(ts_json_get(root, "providers")), c.n_rows);
    assert_int_equal(ts_json_count(ts_json_get(root, "break_even")), 4);
    ts_json_free(root);
    ts_buf_reset(&out);
    ts_cost_write_text(&c, &p, &out);
    assert_non_null(strstr(out.data, "unknown"));
    assert_non_null(strstr(out.data, "3.00 GB !"));
    ts_buf_release(&out);
    ts_cost_release(&c);
    ts_prices_release(&p);
}

/* The list that is installed: every price that has a value says since when. */
static void ours(void **state) {
    ts_prices p;
    size_t known = 0;
    (void)state;
    assert_ok(ts_prices_read(&p, ts_test_source("samples/providers.json"), &err));
    for (size_t i = 0; i < p.n_offers; i++)
        known += isfinite(p.offers[i].price.value) && strlen(p.offers[i].price.date) == 10;
    assert_true(known >= 10 && known < p.n_offers);
    assert_true(p.n_servings >= 4);
    ts_prices_release(&p);
    assert_int_equal(ts_prices_read(&p, ts_test_source("samples"), &err), TS_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_lists),  cmocka_unit_test(large_lists), cmocka_unit_test(training),
        cmocka_unit_test(breaking_even), cmocka_unit_test(forms),       cmocka_unit_test(ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
