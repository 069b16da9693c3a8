/* What tuning costs, here and elsewhere, and when it pays: from a plan and a dated price list.
 *
 * The price list is a JSON file that people edit (samples/providers.json explains itself). Every figure in it is
 * {"value","source","date"}; a value of null is unknown, and what needs it comes out as unknown (NAN): nothing is
 * guessed. The file is hostile: at most 1 MB and 500 entries, texts of at most 300 bytes, values finite and not
 * negative, a value only with source and date; the error names the entry ("training 3, price"). Any thread. */
#ifndef TS_EVAL_COST_H
#define TS_EVAL_COST_H

#include "core/base/json.h"
#include "eval/runs.h"

typedef struct ts_figure {
    double value;              /* NAN: unknown */
    const char *source, *date; /* "" for an unknown one */
} ts_figure;

/* Somewhere a model can be tuned. */
typedef struct ts_offer {
    const char *provider, *model, *hardware, *note; /* "": not said; model "": the person's own */
    const char *methods[8];
    size_t n_methods;
    bool by_hour;     /* price: an hour of the hardware; else a million trained tokens */
    double params;    /* the largest model it takes; INFINITY: not said */
    double memory_gb; /* of the hardware; NAN: not said */
    ts_figure price, tokens_per_second, least_examples;
} ts_offer;

/* Somewhere a model answers: by tokens (input, output: a million each) or by an hour of hardware that is always on. */
typedef struct ts_serving {
    const char *provider, *model, *note;
    bool tuned; /* a small one that was tuned; else a large one that is prompted */
    bool by_hour;
    ts_figure input, output, hour;
} ts_serving;

typedef struct ts_prices {
    ts_json *root; /* the texts above are its */
    char *path;
    ts_offer *offers;
    size_t n_offers;
    ts_serving *servings;
    size_t n_servings;
} ts_prices;

/* The list to use: `path`, else WS/providers.json, else the installed one (share/tunesmith beside the program's folder,
 * or samples/ of the tree it was built in). ws may be NULL. TS_NOT_FOUND names the places. */
TS_MUST_USE ts_status ts_prices_find(const char *path, const char *ws, char **found, ts_err *err);
TS_MUST_USE ts_status ts_prices_read(ts_prices *out, const char *path, ts_err *err);
TS_MUST_USE ts_status ts_prices_parse(ts_prices *out, const char *text, size_t n, const char *name, ts_err *err);
void ts_prices_release(ts_prices *p);

/* What a method takes on this machine. */
typedef struct ts_local_cost {
    const char *method;
    double memory_bytes; /* NAN: not known; `why` says why */
    bool estimate;       /* by ts_net_memory, not by the plan of these rows */
    double seconds;      /* NAN: nothing like it was trained here yet */
    char why[512];
} ts_local_cost;
enum { TS_COST_METHODS = 3 };

/* One way to tune these rows. */
typedef struct ts_cost_row {
    const char *provider, *method, *model, *hardware, *note;
    const char *source, *date; /* of the price; "" when it is unknown */
    double params;             /* of the model; NAN: not published */
    int64_t least, good;       /* examples: fewest that are taken, and from where on it usually helps; 0: not known */
    double memory_bytes;       /* needed; NAN */
    bool fits;                 /* in the hardware's memory, as far as that is known */
    double seconds, dollars;   /* NAN: unknown */
    double per_hour;           /* price of an hour where only that is known; NAN */
} ts_cost_row;

/* What the requests are like, for the break-even. Zeros: from the plan. */
typedef struct ts_demand {
    double requests;                     /* a day */
    double prompt_tokens, answer_tokens; /* of a request */
    double shots;                        /* examples in the large model's prompt */
    double example_tokens;               /* each */
} ts_demand;

/* A tuned model that answers, beside a large one that is prompted. */
typedef struct ts_break_even {
    const ts_serving *tuned, *large;
    double tuned_day, large_day; /* dollars */
    double training;             /* dollars; NAN: unknown */
    double days;                 /* until training is paid; INFINITY: never; NAN: unknown */
    double requests;             /* a day from which the tuned one is cheaper at all; INFINITY: never */
} ts_break_even;

typedef struct ts_cost {
    double tokens; /* trained: rows x epochs */
    char *model;   /* the base's name */
    ts_local_cost local[TS_COST_METHODS];
    ts_cost_row *rows;
    size_t n_rows, cap_rows;
    ts_demand demand;
    ts_break_even *pairs;
    size_t n_pairs, cap_pairs;
} ts_cost;

/* What each method takes here, from rows in `train_file`; s is as it was afterwards. */
void ts_cost_local(ts_cost *c, const char *ws, ts_run_settings *s, const char *train_file, ts_progress *progress);
/* Rows and pairs from the plan of `s`, which borrow from `p`; call ts_cost_local first. demand may be NULL. `large`:
 * part of the name of the large model to compare with; NULL: all of the list. */
void ts_cost_make(ts_cost *c, const ts_prices *p, const ts_run_settings *s, const ts_train_plan *plan,
                  const ts_demand *demand, const char *large);
void ts_cost_release(ts_cost *c);
/* Members "trained_tokens", "providers", "demand", "break_even" of an open object. */
void ts_cost_write_json(const ts_cost *c, const ts_prices *p, ts_jw *w);
void ts_cost_write_text(const ts_cost *c, const ts_prices *p, ts_buf *out);

#endif
