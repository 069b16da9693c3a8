/* Costs as JSON and as tables for a terminal. */
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/text/cells.h"
#include "eval/cost.h"

#include <math.h>
#include <string.h>

/* ---- JSON ---- */

static void kword(ts_jw *w, const char *key, const char *value) {
    ts_jw_kstr(w, key, *value ? value : NULL);
}

static void write_row(const ts_cost_row *r, ts_jw *w) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "provider", r->provider);
    ts_jw_kstr(w, "method", r->method);
    ts_jw_kstr(w, "model", r->model);
    ts_jw_knum(w, "params", r->params);
    ts_jw_knum(w, "least_examples", r->least ? (double)r->least : NAN);
    ts_jw_kint(w, "good_examples", r->good);
    ts_jw_kstr(w, "hardware", r->hardware);
    ts_jw_knum(w, "memory_bytes", r->memory_bytes);
    ts_jw_kbool(w, "fits", r->fits);
    ts_jw_knum(w, "seconds", r->seconds);
    ts_jw_knum(w, "dollars", r->dollars);
    ts_jw_knum(w, "dollars_per_hour", r->per_hour);
    kword(w, "source", r->source);
    kword(w, "date", r->date);
    kword(w, "note", r->note);
    ts_jw_end_obj(w);
}

static void write_pair(const ts_break_even *b, ts_jw *w) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "tuned_provider", b->tuned->provider);
    ts_jw_kstr(w, "tuned", b->tuned->model);
    ts_jw_kstr(w, "large_provider", b->large->provider);
    ts_jw_kstr(w, "large", b->large->model);
    ts_jw_knum(w, "tuned_dollars_a_day", b->tuned_day);
    ts_jw_knum(w, "large_dollars_a_day", b->large_day);
    ts_jw_knum(w, "training_dollars", b->training);
    ts_jw_knum(w, "days", b->days); /* null: unknown or never; "never" tells */
    ts_jw_kbool(w, "never", isinf(b->days));
    ts_jw_knum(w, "requests_a_day", b->requests);
    ts_jw_end_obj(w);
}

void ts_cost_write_json(const ts_cost *c, const ts_prices *p, ts_jw *w) {
    const ts_demand *d = &c->demand;
    ts_jw_kstr(w, "prices", p->path);
    ts_jw_knum(w, "trained_tokens", c->tokens);
    ts_jw_key(w, "providers");
    ts_jw_arr(w);
    for (size_t i = 0; i < c->n_rows; i++)
        write_row(&c->rows[i], w);
    ts_jw_end_arr(w);
    ts_jw_key(w, "demand");
    ts_jw_obj(w);
    ts_jw_knum(w, "requests", d->requests);
    ts_jw_knum(w, "prompt_tokens", d->prompt_tokens);
    ts_jw_knum(w, "answer_tokens", d->answer_tokens);
    ts_jw_knum(w, "shots", d->shots);
    ts_jw_knum(w, "example_tokens", d->example_tokens);
    ts_jw_end_obj(w);
    ts_jw_key(w, "break_even");
    ts_jw_arr(w);
    for (size_t i = 0; i < c->n_pairs; i++)
        write_pair(&c->pairs[i], w);
    ts_jw_end_arr(w);
}

/* ---- text; all that is from the price list goes through ts_cells ---- */

static void put_cell(ts_buf *out, const char *s, size_t width) {
    ts_cells cells;
    ts_glyph g;
    size_t used = 0;
    ts_cells_init(&cells, s, strlen(s));
    while (ts_cells_next(&cells, &g) && used + g.width <= width) {
        ts_buf_add(out, g.text, g.len);
        used += g.width;
    }
    for (; used < width + 1; used++)
        ts_buf_putc(out, ' ');
}

static void end_line(ts_buf *out) {
    while (out->len && out->data[out->len - 1] == ' ')
        out->data[--out->len] = 0;
    ts_buf_putc(out, '\n');
}

/* "$0.0004", "$12.30"; "unknown". */
static void money(double v, ts_buf *out) {
    ts_buf_reset(out);
    if (!isfinite(v))
        ts_buf_puts(out, "unknown");
    else if (v == 0 || v >= 1)
        ts_buf_printf(out, "$%.2f", v);
    else
        ts_buf_printf(out, "$%.2g", v);
}

static void put_memory(const ts_cost_row *r, ts_buf *line, ts_buf *cell) {
    ts_buf_reset(cell);
    if (isfinite(r->memory_bytes))
        ts_buf_printf(cell, "%.2f GB%s", r->memory_bytes / 1e9, r->fits ? "" : " !");
    else
        ts_buf_puts(cell, "-");
    put_cell(line, ts_buf_str(cell), 10);
}

static void put_cost(const ts_cost_row *r, ts_buf *cell) {
    money(r->dollars, cell);
    if (!isfinite(r->dollars) && isfinite(r->per_hour)) {
        ts_buf_reset(cell);
        ts_buf_printf(cell, "$%.2f an hour", r->per_hour);
    }
}

static void put_row(const ts_cost_row *r, ts_buf *out) {
    ts_buf cell = TS_BUF_INIT;
    char time[64] = "unknown";
    if (isfinite(r->seconds)) ts_format_duration(r->seconds, time);
    put_cell(out, r->provider, 12);
    put_cell(out, r->method, 7);
    put_cell(out, r->model, 24);
    if (isfinite(r->params))
        ts_buf_printf(&cell, r->params >= 1e9 ? "%.1fB" : "%.0fM", r->params / (r->params >= 1e9 ? 1e9 : 1e6));
    put_cell(out, isfinite(r->params) ? cell.data : "-", 6);
    ts_buf_reset(&cell);
    if (r->least) ts_buf_printf(&cell, "%lld; ", (long long)r->least);
    ts_buf_printf(&cell, "%lld+", (long long)r->good);
    put_cell(out, cell.data, 9);
    put_cell(out, r->hardware, 27);
    put_memory(r, out, &cell);
    put_cell(out, time, 8);
    put_cost(r, &cell);
    put_cell(out, cell.data, 14);
    put_cell(out, r->date, 10);
    end_line(out);
    ts_buf_release(&cell);
}

static void put_notes(const ts_cost *c, ts_buf *out) {
    for (size_t i = 0; i < c->n_rows; i++) {
        const ts_cost_row *r = &c->rows[i];
        bool told = i > 0 && strcmp(r[-1].note, r->note) == 0 && strcmp(r[-1].provider, r->provider) == 0;
        if (!*r->note || told) continue;
        ts_buf_puts(out, "  ");
        put_cell(out, r->provider, 12);
        put_cell(out, r->method, 7);
        put_cell(out, r->note, 300);
        end_line(out);
    }
}

static void put_pair(const ts_break_even *b, ts_buf *out) {
    ts_buf cell = TS_BUF_INIT, name = TS_BUF_INIT;
    ts_buf_printf(&name, "%s %s", b->tuned->provider, b->tuned->model);
    put_cell(out, name.data, 36);
    money(b->tuned_day, &cell);
    put_cell(out, cell.data, 9);
    ts_buf_reset(&name);
    ts_buf_printf(&name, "%s %s", b->large->provider, b->large->model);
    put_cell(out, name.data, 24);
    money(b->large_day, &cell);
    put_cell(out, cell.data, 9);
    money(b->training, &cell);
    put_cell(out, cell.data, 9);
    ts_buf_reset(&cell);
    if (isnan(b->days))
        ts_buf_puts(&cell, "unknown");
    else if (isinf(b->days))
        ts_buf_puts(&cell, "never");
    else if (b->days < 1)
        ts_buf_puts(&cell, "within a day");
    else
        ts_buf_printf(&cell, "%.0f days", ceil(b->days));
    put_cell(out, cell.data, 13);
    ts_buf_reset(&cell);
    if (isfinite(b->requests))
        ts_buf_printf(&cell, "%.0f", ceil(b->requests));
    else
        ts_buf_puts(&cell, isinf(b->requests) ? "never" : "unknown");
    put_cell(out, cell.data, 9);
    end_line(out);
    ts_buf_release(&cell);
    ts_buf_release(&name);
}

void ts_cost_write_text(const ts_cost *c, const ts_prices *p, ts_buf *out) {
    const ts_demand *d = &c->demand;
    ts_buf_printf(out, "\n%-12s %-7s %-24s %-6s %-9s %-27s %-10s %-8s %-14s %s\n", "where", "method", "model", "size",
                  "examples", "hardware", "memory", "time", "cost", "price of");
    for (size_t i = 0; i < c->n_rows; i++)
        put_row(&c->rows[i], out);
    ts_buf_printf(out,
                  "%.0f trained tokens, counted with the base model's tokenizer; a provider's own counts some per cent "
                  "more or less.\nexamples: least that is taken; from how many on it usually helps. memory: as this "
                  "program needs it; ! more than there is.\n",
                  c->tokens);
    put_notes(c, out);
    ts_buf_printf(out,
                  "\n%.0f requests a day of %.0f tokens, answers of %.0f; %.0f examples of %.0f tokens in the large "
                  "model's prompt\n%-36s %-9s %-24s %-9s %-9s %-13s %s\n",
                  d->requests, d->prompt_tokens, d->answer_tokens, d->shots, d->example_tokens, "tuned", "a day",
                  "large", "a day", "training", "paid after", "pays from (requests a day)");
    for (size_t i = 0; i < c->n_pairs; i++)
        put_pair(&c->pairs[i], out);
    ts_buf_puts(out, "prices from ");
    put_cell(out, p->path, 300);
    end_line(out);
}
