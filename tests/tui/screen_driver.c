#include "tests/tui/screen_driver.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "dataset/import.h"
#include "eval/runs.h"
#include "tests/support.h"
#include "tests/tiny_model.h"
#include "tui/browse.h"
#include "tui/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fails a test with the place in the script. */
static void must(bool ok, const char *where, const char *what) {
    if (!ok) fail_msg("%s: %s", where, what);
}

/* ---- made-up runs ---- */

static void add_line(ts_buf *out, ts_jw *w) {
    ts_jw_end_obj(w);
    ts_buf_putc(out, '\n');
}

static ts_jw begin_event(ts_buf *out, const char *name, int step) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "event", name);
    ts_jw_kint(&w, "step", step);
    ts_jw_kint(&w, "time", INT64_C(1763892000000) + step * INT64_C(1400)); /* 2025-11-23T10:00:00Z */
    return w;
}

static double made_up_loss(int id, int step) {
    double noise = sin(step * 12.9898 + id * 78.233) * 0.08 + sin(step * 4.1) * 0.05;
    return 1.15 + 0.1 * id + 1.9 * exp(-step / 28.0) + noise;
}

static void write_events(ts_buf *out, int id, int steps, int of, const char *state) {
    ts_jw w = begin_event(out, "start", 0);
    ts_jw_kint(&w, "steps", of);
    ts_jw_knum(&w, "epochs", 3);
    ts_jw_kint(&w, "examples", 270);
    ts_jw_kint(&w, "trainable_params", 4884480);
    ts_jw_kint(&w, "all_params", 139400064);
    ts_jw_kstr(&w, "kernel", "Zen");
    ts_jw_kint(&w, "threads", 2);
    add_line(out, &w);
    for (int i = 1; i <= steps; i++) {
        w = begin_event(out, "step", i);
        ts_jw_knum(&w, "loss", made_up_loss(id, i));
        ts_jw_knum(&w, "lr", 2e-4 * (1 - (double)i / of));
        ts_jw_knum(&w, "grad_norm", 0.8 + 0.5 * exp(-i / 10.0) + 0.2 * sin(i));
        ts_jw_kint(&w, "tokens", 880 + i % 7 * 30);
        ts_jw_kint(&w, "supervised_tokens", 430);
        ts_jw_knum(&w, "seconds", 1.4);
        ts_jw_kint(&w, "peak_rss_bytes", 1090000000);
        add_line(out, &w);
        if (i % 16 != 0) continue;
        for (int k = 0; k < 2 && strcmp(state, "running") == 0; k++) {
            w = begin_event(out, "sample", i);
            ts_jw_kint(&w, "index", k);
            ts_jw_kstr(&w, "prompt", k ? "Name a colour" : "How do I print?");
            ts_jw_kstr(&w, "text",
                       k        ? "Blue."
                       : i < 20 ? "You can print by\033[31m"
                                : "Open the menu.\n1. Choose Print.");
            add_line(out, &w);
        }
        w = begin_event(out, "eval", i);
        ts_jw_knum(&w, "valid_loss", 1.32 + 0.1 * id + 1.7 * exp(-i / 28.0));
        ts_jw_kbool(&w, "best", true);
        add_line(out, &w);
    }
    if (strcmp(state, "done") != 0 && strcmp(state, "stopped") != 0) return;
    w = begin_event(out, "end", steps);
    ts_jw_kstr(&w, "state", state);
    add_line(out, &w);
}

/* "waiting" and "held" runs stand in the queue by their numbers; "running": somebody, this test, has its lock. */
static void give_state(const char *dir, int id, const char *state) {
    static ts_lock lock = TS_LOCK_INIT;
    ts_err err;
    bool held = strcmp(state, "held") == 0;
    char *path = ts_path_join(dir, "lock");
    if (held || strcmp(state, "waiting") == 0) assert_ok(ts_run_place_write(dir, (ts_run_place){id, held}, &err));
    if (strcmp(state, "running") == 0) {
        ts_lock_release(&lock);
        assert_ok(ts_lock_take(&lock, path, "host boot 1", &err));
    }
    free(path);
}

void ts_drive_add_run(const char *ws, int id, int steps, int of, const char *state, const char *note) {
    ts_err err;
    ts_run_settings s;
    ts_buf text = TS_BUF_INIT;
    char *dir = ts_printf("%s/runs/%04d-lora", ws, id), *path;
    assert_ok(ts_mkdirs(dir, &err));
    ts_run_settings_init(&s);
    ts_run_set(&s.model, "/models/smollm2-135m-instruct");
    ts_run_set(&s.where, "status=accepted");
    ts_run_set(&s.version, "0");
    s.train_rows = 270;
    s.valid_rows = 30;
    s.created_ms = INT64_C(1763892000000) + id * INT64_C(3600000);
    ts_run_settings_write(&s, &text);
    path = ts_path_join(dir, "run.json");
    assert_ok(ts_file_write(path, text.data, text.len, &err));
    free(path);
    ts_buf_reset(&text);
    write_events(&text, id, steps, of, state);
    path = ts_path_join(dir, "events.jsonl");
    assert_ok(ts_file_write(path, text.data, text.len, &err));
    free(path);
    assert_ok(ts_runs_note(dir, note, &err));
    give_state(dir, id, state);
    ts_run_settings_release(&s);
    ts_buf_release(&text);
    free(dir);
}

/* ---- made-up answers ---- */

static char *messages_of(const char *prompt) {
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    ts_jw_arr(&w);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "role", "user");
    ts_jw_kstr(&w, "content", prompt);
    ts_jw_end_obj(&w);
    ts_jw_end_arr(&w);
    return ts_buf_take(&out);
}

static void make_up(struct shown_answer *a, int side, size_t prompt, const char *text) {
    *a = (struct shown_answer){.tokens = side ? 62 : 58,
                               .repetition = side ? 0 : 0.31,
                               .reference_loss = side ? 1.087 : 2.613,
                               .complete = true,
                               .checked = true,
                               .passed = side == 1};
    for (int m = 0; m < TS_METRIC_COUNT; m++)
        a->values[m] = NAN;
    a->values[TS_M_REPETITION] = a->repetition;
    a->values[TS_M_TOKENS] = (double)(side ? 62 - 9 * prompt : 58 + prompt);
    snprintf(a->stop, sizeof a->stop, "eos");
    ts_buf_puts(&a->text, text);
}

void ts_drive_add_answers(ts_app *app) {
    static const struct {
        const char *prompt, *reference, *base, *tuned;
    } rows[] = {
        {"How do I turn on two-step sign-in?",
         "Two-step sign-in asks for a code besides the password.\n1. Open the account's security page.\n2. Choose "
         "two-step sign-in.\n3. Follow the steps on the phone.\nStill stuck? Reply to this message and a person will "
         "help.",
         "To turn on two-step sign-in, you can open the security settings of your account. You can then choose the "
         "option "
         "for two-step sign-in. You can then follow the instructions. You can then follow the instructions on the "
         "screen.",
         "Two-step sign-in asks for a second proof besides the password.\n1. Open the security settings of your "
         "account.\n"
         "2. Choose the option for two-step sign-in.\n3. Follow the instructions on the screen.\nStill stuck? Reply to "
         "this message and a person will help."},
        {"Why is my printer printing blank pages?", NULL, "Your printer may be out of ink.",
         "The ink or toner is empty."},
        {"The screen of my tablet stays dark.", NULL, "Try charging it.", "The battery may be empty."},
    };
    struct compare *k = (struct compare *)app->screens[TS_SCREEN_COMPARE];
    ts_store *st;
    ts_err err;
    assert_ok(ts_store_open(&st, app->folder, "test", &err));
    for (size_t i = 0; i < k->n_sides; i++)
        free(k->sides[i]);
    k->sides[0] = ts_strdup("base");
    k->sides[1] = ts_strdup("run:2");
    k->n_sides = 2;
    k->n_prompts = TS_COUNT(rows);
    k->prompts = ts_calloc(k->n_prompts, sizeof *k->prompts);
    for (size_t i = 0; i < k->n_prompts; i++) {
        struct shown_prompt *p = &k->prompts[i];
        const char *texts[] = {rows[i].base, rows[i].tuned};
        p->text = ts_strdup(rows[i].prompt);
        p->reference = rows[i].reference ? ts_strdup(rows[i].reference) : NULL;
        p->messages = messages_of(p->text);
        p->example = 41 + (int64_t)i;
        assert_ok(ts_prompt_keep(st, (ts_text){p->text, strlen(p->text)}, (ts_text){NULL, 0}, &p->kept, &err));
        for (int side = 0; side < 2; side++)
            make_up(&p->answers[side], side, i, texts[side]);
    }
    k->metrics[0].m[TS_M_PASS_RATE].value = 0;
    k->metrics[0].m[TS_M_REFERENCE_NLL].value = 2.61;
    k->metrics[1].m[TS_M_PASS_RATE].value = 0.92;
    k->metrics[1].m[TS_M_REFERENCE_NLL].value = 1.09;
    k->measured = true;
    compare_relist(k);
    ts_store_close(st);
}

/* ---- steps ---- */

static void import(ts_drive *d, const char *file, const char *where) {
    ts_err err;
    ts_store *st;
    ts_import_file result;
    ts_import_options o = {0};
    char *path = ts_path_join(getenv("TS_SOURCE_DIR") ? getenv("TS_SOURCE_DIR") : ".", file);
    const char *paths[] = {path};
    must(!d->app, where, "import comes before the first key");
    assert_ok(ts_store_open(&st, d->ws, "test", &err));
    assert_ok(ts_import(st, paths, 1, &o, NULL, &result, NULL, &err));
    ts_store_close(st);
    free(path);
}

static void set(ts_drive *d, const char *words, const char *where) {
    ts_err err;
    ts_store *st;
    char key[32];
    int used = 0;
    must(!d->app && sscanf(words, "%31s %n", key, &used) == 1, where, "setting KEY VALUE comes before the first key");
    assert_ok(ts_store_open(&st, d->ws, "test", &err));
    bool file = strcmp(key, "model") == 0;
    assert_ok(ts_setting_set(st, key, file ? ts_test_source(words + used) : words + used, &err));
    ts_store_close(st);
}

static void add_adapter(const ts_drive *d, const char *words, const char *where) {
    int id = atoi(words);
    must(!d->app && id > 0, where, "adapter ID comes before the first key");
    char *dir = ts_printf("%s/runs/%04d-lora/adapter", d->ws, id);
    ts_tiny_adapter(ts_test_source("samples/model"), dir, 4, (uint64_t)id);
    free(dir);
}

/* The children of this script are the program itself, until the script ends. */
static void engine(const ts_drive *d, const char *where) {
    const char *binary = getenv("TS_BINARY");
    must(!d->app && binary, where, "engine comes before the first key, and TS_BINARY names the program");
    setenv("TUNESMITH_BINARY", binary, 1);
}

void ts_drive_open(ts_drive *d) {
    ts_err err;
    if (d->app) return;
    d->term = ts_term_fake(d->w, d->h, d->mono, d->ascii);
    assert_ok(ts_app_new(&d->app, d->ws, d->term, &err));
    if (!ts_app_settle(d->app, 20)) fail_msg("the workbench does not come to rest");
}

static void settle(ts_drive *d, const char *where) {
    must(ts_app_settle(d->app, 20), where, "the workbench does not come to rest");
}

static void press(ts_drive *d, const char *names, const char *where) {
    while (*names) {
        size_t n = strcspn(names, " ");
        uint32_t key = ts_key_of(names, n);
        if (n && key == TS_KEY_NONE) fail_msg("%s: no such key: %.*s", where, (int)n, names);
        if (n) ts_term_fake_key(d->term, key);
        if (n) settle(d, where);
        names += n + (names[n] == ' ');
    }
}

static void type(ts_drive *d, const char *text, const char *where) {
    for (; *text; text++)
        ts_term_fake_key(d->term, (unsigned char)*text);
    settle(d, where);
}

static void resize(ts_drive *d, const char *size, const char *where) {
    must(sscanf(size, "%dx%d", &d->w, &d->h) == 2, where, "a size is WIDTHxHEIGHT");
    if (!d->app) return;
    ts_term_fake_resize(d->term, d->w, d->h);
    settle(d, where);
}

static void add_run(ts_drive *d, const char *words, const char *where) {
    int id, steps, of, used = 0;
    char state[16];
    must(sscanf(words, "%d %d %d %15s %n", &id, &steps, &of, state, &used) == 4, where, "run ID STEPS OF STATE NOTE");
    ts_drive_add_run(d->ws, id, steps, of, state, words + used);
}

/* \n and \xHH, so that scripts stay plain ASCII. */
static char *unescape(const char *s, size_t *n) {
    ts_buf b = TS_BUF_INIT;
    unsigned value;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] == 'n') {
            ts_buf_putc(&b, '\n');
            s++;
        } else if (s[0] == '\\' && s[1] == 'x' && sscanf(s + 2, "%2x", &value) == 1) {
            ts_buf_putc(&b, (char)value);
            s += 3;
        } else {
            ts_buf_putc(&b, *s);
        }
    }
    *n = b.len;
    return ts_buf_take(&b);
}

static void paste(ts_drive *d, const char *text, const char *where) {
    size_t n;
    char *bytes = unescape(text, &n);
    ts_term_fake_paste(d->term, bytes, n);
    free(bytes);
    settle(d, where);
}

static void expect(ts_drive *d, const char *text, bool there, const char *where) {
    char *frame = ts_drive_text(d);
    if ((strstr(frame, text) != NULL) != there)
        fail_msg("%s: \"%s\" is %s on the screen:\n%s", where, text, there ? "not" : "wrongly", frame);
    free(frame);
}

char *ts_drive_text(ts_drive *d) {
    ts_buf b = TS_BUF_INIT;
    ts_canvas_text(ts_term_fake_frame(d->term), &b);
    return ts_buf_take(&b);
}

/* Compares with a golden file beside the scripts, or writes it when TS_UPDATE_FRAMES is set. */
static void save(ts_drive *d, const char *name, bool attrs, const char *where) {
    ts_err err;
    ts_buf frame = TS_BUF_INIT, golden = TS_BUF_INIT;
    char *relative = ts_printf("tests/screens/%s.%s", name, attrs ? "attrs" : "frame");
    const char *path = ts_test_source(relative);
    if (attrs)
        ts_canvas_attrs(ts_term_fake_frame(d->term), d->mono, &frame);
    else
        ts_canvas_text(ts_term_fake_frame(d->term), &frame);
    if (getenv("TS_UPDATE_FRAMES")) {
        assert_ok(ts_file_write(path, frame.data, frame.len, &err));
    } else {
        assert_ok(ts_file_read(path, 1 << 20, &golden, &err));
        if (golden.len != frame.len || memcmp(golden.data, frame.data, frame.len) != 0)
            fail_msg("%s: the frame differs from %s (TS_UPDATE_FRAMES=1 rewrites it)\nis:\n%s\nshould be:\n%s", where,
                     path, frame.data, golden.data);
    }
    ts_buf_release(&frame);
    ts_buf_release(&golden);
    free(relative);
}

static const char *after(const char *line, const char *word) {
    size_t n = strlen(word);
    return strncmp(line, word, n) == 0 && (line[n] == ' ' || !line[n]) ? line + n + (line[n] == ' ') : NULL;
}

/* Steps before the workbench is opened. */
static bool prepare(ts_drive *d, const char *line, const char *where) {
    const char *arg;
    if ((arg = after(line, "import")))
        import(d, arg, where);
    else if ((arg = after(line, "setting")))
        set(d, arg, where);
    else if ((arg = after(line, "run")))
        add_run(d, arg, where);
    else if ((arg = after(line, "adapter")))
        add_adapter(d, arg, where);
    else if (after(line, "engine"))
        engine(d, where);
    else if (after(line, "mono"))
        d->mono = true;
    else if (after(line, "ascii"))
        d->ascii = true;
    else if ((arg = after(line, "resize")))
        resize(d, arg, where);
    else
        return false;
    return true;
}

void ts_drive_step(ts_drive *d, const char *line, const char *where) {
    const char *arg;
    ts_err err;
    int x, y;
    if (!*line || *line == '#') return;
    if (!d->ws) {
        d->ws = ts_path_join(ts_test_dir(), "demo");
        if (!d->w) d->w = 80, d->h = 24;
        assert_ok(ts_store_init(d->ws, &err));
    }
    if (prepare(d, line, where)) return;
    ts_drive_open(d);
    if ((arg = after(line, "keys")))
        press(d, arg, where);
    else if ((arg = after(line, "type")))
        type(d, arg, where);
    else if ((arg = after(line, "path")))
        type(d, ts_test_source(arg), where);
    else if ((arg = after(line, "paste")))
        paste(d, arg, where);
    else if (after(line, "answers"))
        ts_drive_add_answers(d->app), settle(d, where);
    else if (after(line, "wait"))
        settle(d, where);
    else if ((arg = after(line, "click")) && sscanf(arg, "%d %d", &x, &y) == 2)
        ts_term_fake_click(d->term, x, y, false), settle(d, where);
    else if ((arg = after(line, "expect-not")))
        expect(d, arg, false, where);
    else if ((arg = after(line, "expect")))
        expect(d, arg, true, where);
    else if ((arg = after(line, "save")))
        save(d, arg, false, where);
    else if ((arg = after(line, "attrs")))
        save(d, arg, true, where);
    else
        fail_msg("%s: unknown step: %s", where, line);
}

void ts_drive_end(ts_drive *d) {
    ts_app_free(d->app);
    free(d->ws);
    setenv("TUNESMITH_BINARY", "/bin/false", 1); /* a child must not be this test again */
    *d = (ts_drive){0};
}
