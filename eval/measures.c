#include "eval/measures.h"

#include "core/base/utf8.h"
#include "dataset/language.h"
#include "dataset/score_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ts_measurer {
    ts_score_set rules; /* for the rule that knows refusals */
    ts_scorer scorer;
    ts_words words;
    size_t refusal;
    const ts_json *schema;
};

/* ---- numbers from counts ---- */

static double share(const double *sums) {
    return sums[1] > 0 ? sums[0] / sums[1] : NAN;
}

static double perplexity(const double *sums) {
    return exp(share(sums));
}

static double bleu(const double *sums) {
    return sums[9] > 0 ? ts_bleu(sums) : NAN;
}

static double chrf(const double *sums) {
    return sums[1] > 0 ? ts_chrf(sums) : NAN;
}

#define MEAN .k = 2, .finish = share
#define REFERENCE "with the reference answer"
const ts_metric ts_metrics[TS_METRIC_COUNT] = {
    [TS_M_PASS_RATE] = {"pass_rate", "check passed", "matches all lines of the check file, ended, repeats nothing", 1,
                        true, MEAN},
    [TS_M_REFERENCE_NLL] = {"reference_nll", "reference loss", "mean loss a token of the reference answers", -1, false,
                            MEAN},
    [TS_M_PERPLEXITY] = {"perplexity", "perplexity", "of the reference answers", -1, false, .k = 2,
                         .finish = perplexity},
    [TS_M_ACC] = {"acc", "choice right", "the likeliest choice is the right one (multiple choice)", 1, true, MEAN},
    [TS_M_ACC_NORM] = {"acc_norm", "right a byte", "the same, log-probability divided by the bytes of the choice", 1,
                       true, MEAN},
    [TS_M_EXACT] = {"exact_match", "exact match", "same words as the reference, SQuAD's normal form", 1, true, MEAN},
    [TS_M_F1] = {"f1", "token F1", "words shared " REFERENCE ", SQuAD's normal form", 1, false, MEAN},
    [TS_M_ROUGE_1] = {"rouge_1", "ROUGE-1", "words shared " REFERENCE, 1, false, MEAN},
    [TS_M_ROUGE_2] = {"rouge_2", "ROUGE-2", "word pairs shared " REFERENCE, 1, false, MEAN},
    [TS_M_ROUGE_L] = {"rouge_l", "ROUGE-L", "longest common word sequence " REFERENCE, 1, false, MEAN},
    [TS_M_CHRF] = {"chrf", "chrF", "character n-grams shared " REFERENCE ", 0 to 100", 1, false, .k = TS_CHRF_COUNTS,
                   .finish = chrf},
    [TS_M_BLEU] = {"bleu", "BLEU", "of all answers together, 0 to 100", 1, false, .k = TS_BLEU_COUNTS, .finish = bleu},
    [TS_M_JSON] = {"json_valid", "valid JSON", "where the reference is JSON, or a schema is given", 1, true, MEAN},
    [TS_M_SCHEMA] = {"schema_valid", "fits schema", "valid JSON that fits the schema", 1, true, MEAN},
    [TS_M_LANGUAGE] = {"language", "right language", "the reference's, else the prompt's", 1, true, MEAN},
    [TS_M_REFUSAL] = {"refusal", "refusals", "answers that decline", 0, true, MEAN},
    [TS_M_TOKENS] = {"tokens", "tokens", "made for an answer", 0, false, MEAN},
    [TS_M_REPETITION] = {"repetition", "repeats", "share of four words in a row that came before", -1, false, MEAN},
    [TS_M_DISTINCT_1] = {"distinct_1", "distinct words", "share of different words in an answer", 0, false, MEAN},
    [TS_M_DISTINCT_2] = {"distinct_2", "distinct pairs", "share of different word pairs in an answer", 0, false, MEAN},
    [TS_M_ENDED] = {"ended", "ended", "answers that stopped by themselves", 1, true, MEAN},
    [TS_M_COST] = {"cost", "cost", "of an answer of an endpoint, in the currency of its prices", -1, false, MEAN},
};

ts_metric_id ts_metric_find(const char *name) {
    int i = 0;
    while (i < TS_METRIC_COUNT && strcmp(ts_metrics[i].name, name) != 0)
        i++;
    return (ts_metric_id)i;
}

void ts_metric_print(ts_metric_id id, double value, ts_buf *out) {
    if (!isfinite(value))
        ts_buf_putc(out, '-');
    else if (ts_metrics[id].percent)
        ts_buf_printf(out, "%.0f%%", 100 * value);
    else
        ts_buf_printf(out, id == TS_M_COST ? "%.3g" : fabs(value) >= 10 ? "%.1f" : "%.3f", value);
}

/* ---- tools ---- */

ts_status ts_measurer_new(ts_measurer **out, const ts_json *schema, ts_err *err) {
    ts_measurer *m = ts_calloc(1, sizeof *m);
    ts_status status = ts_score_set_init(&m->rules, err);
    *out = NULL;
    if (status != TS_OK) {
        ts_score_set_release(&m->rules);
        free(m);
        return status;
    }
    ts_scorer_init(&m->scorer, &m->rules);
    m->refusal = ts_rule_find("refusal", 7);
    m->schema = schema;
    *out = m;
    return TS_OK;
}

void ts_measurer_free(ts_measurer *m) {
    if (!m) return;
    ts_scorer_release(&m->scorer);
    ts_score_set_release(&m->rules);
    ts_words_release(&m->words);
    free(m);
}

static bool refuses(ts_measurer *m, ts_text answer) {
    float values[TS_MAX_RULES];
    ts_text none = {"", 0};
    ts_score_row(&m->scorer, &(ts_score_text){.prompt = none, .answer = answer, .instruction = none, .input = none},
                 values);
    return values[m->refusal] > 0;
}

/* ---- counts of one answer ---- */

struct counts {
    double c[TS_METRIC_COUNT][TS_BOOTSTRAP_COUNTS];
};

static void put(struct counts *out, ts_metric_id id, double value, double of) {
    out->c[id][0] = value;
    out->c[id][1] = of;
}

static void put_mean(struct counts *out, ts_metric_id id, double value) {
    if (isfinite(value)) put(out, id, value, 1);
}

static ts_text text_of(const char *s) {
    return (ts_text){s ? s : "", s ? strlen(s) : 0};
}

static void count_reference(ts_text answer, ts_text reference, struct counts *out) {
    put_mean(out, TS_M_EXACT, ts_exact_match(answer, reference));
    put_mean(out, TS_M_F1, ts_token_f1(answer, reference));
    put_mean(out, TS_M_ROUGE_1, ts_rouge_n(answer, reference, 1));
    put_mean(out, TS_M_ROUGE_2, ts_rouge_n(answer, reference, 2));
    put_mean(out, TS_M_ROUGE_L, ts_rouge_l(answer, reference));
    ts_chrf_counts(answer, reference, out->c[TS_M_CHRF]);
    ts_bleu_counts(answer, reference, out->c[TS_M_BLEU]);
}

/* Single words and numbers are JSON too; nobody means them. */
static bool wants_json(ts_text reference) {
    return reference.n && strchr("{[`", reference.s[strspn(reference.s, " \t\r\n")]) && ts_json_valid(reference);
}

static int language_of(ts_measurer *m, ts_text t) {
    return ts_language_of(t.s, t.n, &m->words);
}

static void count_text(ts_measurer *m, const ts_asked *asked, ts_text answer, struct counts *out) {
    int wanted = language_of(m, text_of(asked->reference ? asked->reference : asked->prompt));
    int is = language_of(m, answer);
    if (asked->reference) count_reference(answer, text_of(asked->reference), out);
    if (m->schema || wants_json(text_of(asked->reference))) put(out, TS_M_JSON, ts_json_valid(answer), 1);
    if (m->schema) put(out, TS_M_SCHEMA, ts_json_valid_for(answer, m->schema), 1);
    if (wanted >= 0 && is >= 0) put(out, TS_M_LANGUAGE, wanted == is, 1);
    put(out, TS_M_REFUSAL, refuses(m, answer), 1);
    put_mean(out, TS_M_DISTINCT_1, ts_distinct(answer, 1));
    put_mean(out, TS_M_DISTINCT_2, ts_distinct(answer, 2));
}

static void count_answer(ts_measurer *m, const ts_asked *asked, const ts_answer *a, struct counts *out) {
    ts_buf valid = TS_BUF_INIT;
    *out = (struct counts){0};
    if (a->chose) put(out, TS_M_ACC, a->right, 1), put(out, TS_M_ACC_NORM, a->right_norm, 1);
    if (!a->text) return;
    ts_utf8_repair(&valid, a->text, strlen(a->text));
    count_text(m, asked, (ts_text){ts_buf_str(&valid), valid.len}, out);
    ts_buf_release(&valid);
    if (a->checked) put(out, TS_M_PASS_RATE, a->passed, 1);
    if (isfinite(a->reference_nll) && a->reference_tokens > 0) {
        put(out, TS_M_REFERENCE_NLL, a->reference_nll, (double)a->reference_tokens);
        put(out, TS_M_PERPLEXITY, a->reference_nll, (double)a->reference_tokens);
    }
    if (a->tokens >= 0) put(out, TS_M_TOKENS, (double)a->tokens, 1);
    if (a->cost > 0) put(out, TS_M_COST, a->cost, 1);
    put(out, TS_M_REPETITION, a->repetition, 1);
    put(out, TS_M_ENDED, strcmp(a->stop, "length") != 0, 1);
}

void ts_measure_answer(ts_measurer *m, const ts_asked *asked, ts_answer *a) {
    struct counts *c = ts_calloc(1, sizeof *c);
    count_answer(m, asked, a, c);
    for (int i = 0; i < TS_METRIC_COUNT; i++)
        a->values[i] = ts_metrics[i].finish(c->c[i]);
    free(c);
}

/* ---- a side ---- */

static void measure(const struct counts *rows, size_t n, ts_metric_id id, uint64_t seed, ts_measure *out) {
    const ts_metric *metric = &ts_metrics[id];
    double *counts = ts_calloc(n * metric->k + 1, sizeof *counts), sums[TS_BOOTSTRAP_COUNTS] = {0};
    *out = (ts_measure){.value = NAN, .interval = {NAN, NAN}};
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < metric->k; k++) {
            counts[i * metric->k + k] = rows[i].c[id][k];
            sums[k] += rows[i].c[id][k];
        }
        out->n += isfinite(metric->finish(rows[i].c[id])) != 0;
    }
    out->value = metric->finish(sums);
    if (isfinite(out->value))
        out->interval =
            metric->percent ? ts_wilson(sums[0], sums[1]) : ts_bootstrap(counts, metric->k, n, metric->finish, seed);
    free(counts);
}

void ts_measure_side(ts_measurer *m, const ts_asked *asked, const ts_answer *answers, size_t n, size_t stride,
                     size_t samples, uint64_t seed, ts_compare_metrics *out) {
    struct counts *rows = ts_calloc(n + 1, sizeof *rows), *one = ts_calloc(1, sizeof *one);
    for (size_t i = 0; i < n; i++) {
        count_answer(m, &asked[i], &answers[i * stride], one);
        for (size_t k = 0; k < sizeof one->c / sizeof one->c[0][0]; k++)
            (&rows[i / samples].c[0][0])[k] += (&one->c[0][0])[k];
    }
    free(one);
    n = (n + samples - 1) / samples;
    for (int id = 0; id < TS_METRIC_COUNT; id++)
        measure(rows, n, (ts_metric_id)id, seed, &out->m[id]);
    free(rows);
}
