#include "dataset/import.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/utf8.h"
#include "dataset/db.h"
#include "dataset/formats.h"
#include "dataset/splitter.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLE_ROWS = 50, KEPT_TEXT = 256 * 1024 };

/* ---- rows that are there already: an open-addressed set of text hashes ---- */

struct known {
    uint64_t *slots; /* 0: free */
    size_t n, cap;   /* cap is a power of two, at most half full */
};

static bool known_find(const struct known *k, uint64_t hash, size_t *slot) {
    hash += hash == 0;
    size_t i = (size_t)hash & (k->cap - 1);
    while (k->slots[i] && k->slots[i] != hash)
        i = (i + 1) & (k->cap - 1);
    *slot = i;
    return k->slots[i] == hash;
}

static void known_add(struct known *k, uint64_t hash) {
    size_t slot;
    if (known_find(k, hash, &slot)) return;
    k->slots[slot] = hash + (hash == 0);
    if (++k->n * 2 <= k->cap) return;
    struct known larger = {ts_calloc(k->cap * 2, sizeof *k->slots), 0, k->cap * 2};
    for (size_t i = 0; i < k->cap; i++)
        if (k->slots[i] && !known_find(&larger, k->slots[i], &slot)) {
            larger.slots[slot] = k->slots[i];
            larger.n++;
        }
    free(k->slots);
    *k = larger;
}

static ts_status known_load(struct known *k, ts_store *st, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT hash FROM example WHERE batch NOT IN " TS_HIDDEN, err);
    if (!s) return err ? err->code : TS_IO;
    k->cap = 1024;
    k->slots = ts_calloc(k->cap, sizeof *k->slots);
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        known_add(k, (uint64_t)sqlite3_column_int64(s, 0));
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "look for known rows", err);
}

/* ---- one file ---- */

struct importing {
    ts_act *act;
    ts_store *st;
    const ts_import_options *options;
    ts_progress *progress;
    struct known known;
    int64_t total_bytes, done_bytes;
    int64_t next_id;                     /* the counter is brought up to it once, at the end */
    ts_new_row waiting[TS_ROWS_AT_ONCE]; /* read, and not yet written: texts are those of their batch of rows */
    size_t n_waiting;
    /* of the file being read */
    ts_import_file *file;
    ts_mapping mapping;
    ts_split_options split;
    const ts_format *format;
    bool any; /* rows of other formats are read as what they are */
    int64_t batch;
    ts_parts parts;
    ts_buf first_keys;       /* of its first object, for the sentence when nothing fits */
    const char *first_fault; /* why its first damaged row is none; NULL: none is damaged */
    int64_t fault_line;
};

static void note_keys(ts_buf *out, ts_jview row) {
    ts_jview at = {0}, key, value;
    size_t n = 0;
    while (!out->len && ts_jview_kind(row) == '{' && n++ < 8 && ts_jview_next(row, &at, &key, &value)) {
        ts_buf names = TS_BUF_INIT;
        do {
            if (names.len) ts_buf_puts(&names, ", ");
            ts_jview_string(key, &names);
        } while (n++ < 8 && ts_jview_next(row, &at, &key, &value));
        ts_buf_add(out, names.data, TS_MIN(names.len, (size_t)120));
        ts_buf_release(&names);
    }
}

static void note_fault(struct importing *im, const char *code, int64_t line) {
    if (im->first_fault) return;
    im->first_fault = ts_reason_sentence(code);
    im->fault_line = line;
}

static const struct {
    const char *name;
    ts_file_kind kind;
} kinds[] = {{"json", TS_FILE_JSON}, {"csv", TS_FILE_CSV}, {"tsv", TS_FILE_TSV}, {"text", TS_FILE_TEXT}};

bool ts_import_format_known(const char *name) {
    if (strcmp(name, "auto") == 0 || ts_format_find(name)) return true;
    for (size_t i = 0; i < TS_COUNT(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0) return true;
    return false;
}

/* The format that was asked for; NULL when it is to be found out. */
static const ts_format *named_format(const struct importing *im) {
    return im->options->format ? ts_format_find(im->options->format) : NULL;
}

static bool is_wanted(const struct importing *im, const ts_format *f) {
    const ts_format *named = named_format(im);
    return !named || strcmp(f->name, named->name) == 0;
}

/* What the options say before any file is opened. */
static ts_status choose_how(struct importing *im, ts_err *err) {
    const char *format = im->options->format ? im->options->format : "auto";
    if (!ts_import_format_known(format)) return ts_fail(err, TS_INVALID, "there is no import format \"%.40s\"", format);
    for (size_t i = 0; i < TS_COUNT(kinds); i++)
        if (strcmp(kinds[i].name, format) == 0) im->split.kind = kinds[i].kind;
    if (!im->options->n_map) return TS_OK;
    TS_TRY(ts_mapping_make(&im->mapping, im->options->map, im->options->n_map, err));
    im->split.no_header = im->mapping.by_number;
    return TS_OK;
}

/* The format that most of the first rows have. NULL when none fits any. */
static ts_status detect(struct importing *im, const char *path, ts_err *err) {
    ts_splitter *sp = NULL;
    size_t best = 0, votes[32] = {0};
    ts_piece piece;
    bool more = true;
    ts_status status;
    TS_TRY(ts_splitter_open(&sp, path, &im->split, err));
    ts_buf_reset(&im->first_keys);
    im->first_fault = NULL;
    for (int i = 0; i < SAMPLE_ROWS; i++) {
        size_t at;
        TS_GOTO(ts_splitter_next(sp, &piece, &more, err));
        if (!more) break;
        const char *code = piece.too_large ? "too_large" : piece.fault;
        if (!code) code = ts_reason_of_fault(ts_json_check(piece.text, piece.n, &at));
        if (code) {
            note_fault(im, code, piece.line);
            continue;
        }
        ts_jview row = ts_jview_of(piece.text, piece.n);
        note_keys(&im->first_keys, row);
        for (size_t f = 0; ts_formats[f].name; f++)
            votes[f] += is_wanted(im, &ts_formats[f]) && ts_format_fits(&ts_formats[f], row);
    }
    im->format = named_format(im); /* when none of its rows fits, they are refused with the reason */
    im->any = !im->format;
    for (size_t f = 0; ts_formats[f].name; f++)
        if (votes[f] > best) {
            best = votes[f];
            im->format = &ts_formats[f];
        }
    status = TS_OK;
out:
    ts_splitter_close(sp);
    return status;
}

static ts_status nothing_fits(const struct importing *im, const char *path, ts_err *err) {
    ts_buf list = TS_BUF_INIT;
    ts_format_list(&list);
    ts_status status;
    if (im->first_keys.len)
        status = ts_fail(err, TS_FORMAT,
                         "%s has no row we can read: its first object has %s. Known are %s; --map output=COLUMN and so "
                         "on reads other names. Nothing was imported",
                         path, im->first_keys.data, list.data);
    else if (im->first_fault)
        status = ts_fail(err, TS_FORMAT, "%s has no row we can read: at line %lld, %s. Nothing was imported", path,
                         (long long)im->fault_line, im->first_fault);
    else
        status =
            ts_fail(err, TS_FORMAT, "%s has no row we can read: none is a JSON object. Nothing was imported", path);
    ts_buf_release(&list);
    return status;
}

static void count_reason(ts_import_file *f, const char *code) {
    for (size_t i = 0; ts_reasons[i].code; i++)
        f->reasons[i] += strcmp(ts_reasons[i].code, code) == 0;
    f->rejected++;
}

static ts_status reject(struct importing *im, const ts_piece *piece, const char *code, const char *detail,
                        ts_err *err) {
    count_reason(im->file, code);
    if (strcmp(code, "known") == 0) return TS_OK; /* not lost: it is there */
    sqlite3_stmt *s =
        ts_db_stmt(im->st, "INSERT INTO reject(batch,line,code,detail,text,cut) VALUES(?1,?2,?3,?4,?5,?6)", err);
    if (s) {
        size_t n = TS_MIN(piece->n_raw, (size_t)KEPT_TEXT);
        sqlite3_bind_int64(s, 1, im->batch);
        sqlite3_bind_int64(s, 2, piece->line);
        sqlite3_bind_text(s, 3, code, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 4, detail, -1, SQLITE_STATIC);
        sqlite3_bind_blob64(s, 5, piece->raw, n, SQLITE_STATIC);
        sqlite3_bind_int(s, 6, piece->too_large || n < piece->n_raw);
    }
    return ts_db_step(im->st, s, "keep a rejected row", err);
}

static const char *not_utf8(ts_parts *parts, const ts_piece *piece) {
    size_t at = ts_utf8_check(piece->raw, piece->n_raw);
    if (at < piece->n_raw)
        snprintf(parts->words, sizeof parts->words, "byte 0x%02x, %zu bytes into the row",
                 (unsigned char)piece->raw[at], at);
    parts->detail = parts->words;
    return "bad_utf8";
}

/* A row that is not what the file's other rows are: perhaps it is of another format. */
static const char *read_as_other(const struct importing *im, ts_jview row, ts_parts *parts, const char *code) {
    if (!im->any || ts_format_fits(im->format, row)) return code;
    for (const ts_format *f = ts_formats; f->name; f++) {
        if (f == im->format || !ts_format_fits(f, row)) continue;
        ts_parts_reset(parts);
        return f->read(f, row, parts);
    }
    return code;
}

/* NULL when the row was read into parts, else the code of the refusal. */
static const char *read_row(const struct importing *im, const ts_piece *piece, ts_parts *parts) {
    size_t at;
    ts_parts_reset(parts);
    if (piece->too_large) return "too_large";
    ts_json_fault fault = ts_json_check(piece->text, piece->n, &at);
    if (fault == TS_JSON_UTF8) return not_utf8(parts, piece);
    parts->detail = piece->detail;
    if (piece->fault) return piece->fault;
    if (fault != TS_JSON_FINE) return ts_reason_of_fault(fault);
    ts_jview row = ts_jview_of(piece->text, piece->n);
    if (ts_jview_kind(row) != '{') return "data_type";
    const char *code = im->format->read(im->format, row, parts);
    return code ? read_as_other(im, row, parts, code) : NULL;
}

/* ---- reading ahead: one thread reads and checks rows while the caller's writes those before them ---- */

/* A row that was read, with all it needs after its piece is gone. */
struct read_row {
    ts_parts parts;
    ts_piece piece; /* text is gone; raw is `raw` */
    ts_buf raw;     /* of a refused row, its first bytes */
    const char *code;
    int64_t hash;
};

enum { BATCH_ROWS = 256, BATCH_BYTES = 1 << 20, BATCHES = 3, LARGE_PARTS = 1 << 18 };

struct batch {
    struct read_row rows[BATCH_ROWS];
    size_t n;
    int64_t offset; /* of the file, behind the last row */
    bool last;
    ts_status status; /* what ended the reading; the rows before it count */
    ts_err err;
};

struct ahead {
    const struct importing *im;
    ts_splitter *sp;
    struct batch *batches; /* a ring of BATCHES */
    pthread_t thread;
    bool threaded; /* false: batches are read when they are asked for */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t made, used; /* batches so far; the lock guards these and stop */
    bool stop;
};

/* Buffers grow for one large row; they are not kept, or in time every row of every batch would have one. */
static void let_go(struct read_row *r) {
    const ts_parts *p = &r->parts;
    size_t cap = p->instruction.cap + p->input.cap + p->output.cap + p->system.cap + p->messages.cap + p->extra.cap;
    if (cap > LARGE_PARTS) ts_parts_release(&r->parts);
    if (r->raw.cap > LARGE_PARTS) ts_buf_release(&r->raw);
}

static void keep_refused(struct read_row *r, const ts_piece *piece) {
    ts_parts *p = &r->parts;
    ts_buf_reset(&r->raw);
    ts_buf_add(&r->raw, piece->raw, TS_MIN(piece->n_raw, (size_t)KEPT_TEXT));
    r->piece.raw = r->raw.data;
    if (p->detail == p->words) return;
    snprintf(p->words, sizeof p->words, "%s", p->detail ? p->detail : "");
    p->detail = p->words;
}

static void fill_batch(struct ahead *a, struct batch *b) {
    size_t bytes = 0;
    bool more = true;
    b->status = TS_OK;
    b->last = false;
    for (b->n = 0; b->n < BATCH_ROWS && bytes < BATCH_BYTES;) {
        struct read_row *r = &b->rows[b->n];
        b->status = ts_splitter_next(a->sp, &r->piece, &more, &b->err);
        b->last = b->status != TS_OK || !more;
        if (b->last) break;
        ts_piece piece = r->piece;
        bytes += piece.n_raw;
        r->code = read_row(a->im, &piece, &r->parts);
        ts_draft d = ts_parts_draft(&r->parts);
        r->hash = r->code ? 0 : ts_texts_hash(&d);
        if (r->code) keep_refused(r, &piece);
        b->n++;
    }
    b->offset = ts_splitter_offset(a->sp);
}

static void *read_ahead(void *arg) {
    struct ahead *a = arg;
    for (bool last = false; !last;) {
        pthread_mutex_lock(&a->lock);
        while (a->made - a->used == BATCHES && !a->stop)
            pthread_cond_wait(&a->changed, &a->lock);
        bool stop = a->stop;
        pthread_mutex_unlock(&a->lock);
        if (stop) break;
        struct batch *b = &a->batches[a->made % BATCHES]; /* made changes in this thread alone */
        fill_batch(a, b);
        last = b->last;
        pthread_mutex_lock(&a->lock);
        a->made++;
        pthread_cond_signal(&a->changed);
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

static void begin_ahead(struct ahead *a, const struct importing *im, ts_splitter *sp) {
    *a = (struct ahead){.im = im, .sp = sp, .batches = ts_calloc(BATCHES, sizeof *a->batches)};
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    a->threaded = pthread_create(&a->thread, NULL, read_ahead, a) == 0;
}

/* The next batch; give_back it before the one behind it. */
static struct batch *next_batch(struct ahead *a) {
    struct batch *b = &a->batches[a->used % BATCHES];
    if (!a->threaded) {
        fill_batch(a, b);
        return b;
    }
    pthread_mutex_lock(&a->lock);
    while (a->made == a->used)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
    return b;
}

static void give_back(struct ahead *a, struct batch *b) {
    for (size_t i = 0; i < b->n; i++)
        let_go(&b->rows[i]);
    pthread_mutex_lock(&a->lock);
    a->used++;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void end_ahead(struct ahead *a) {
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (a->threaded) pthread_join(a->thread, NULL);
    for (size_t i = 0; i < BATCHES; i++)
        for (size_t k = 0; k < BATCH_ROWS; k++) {
            ts_parts_release(&a->batches[i].rows[k].parts);
            ts_buf_release(&a->batches[i].rows[k].raw);
        }
    free(a->batches);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
}

/* One by one; together they are written as soon as there are TS_ROWS_AT_ONCE. */
static ts_status write_waiting(struct importing *im, ts_err *err) {
    for (size_t i = 0; i < im->n_waiting; i++) {
        const ts_new_row *w = &im->waiting[i];
        TS_TRY(ts_row_insert(im->st, w->id, w->batch, w->line, 0, w->hash, &w->d, err));
    }
    im->n_waiting = 0;
    return TS_OK;
}

static ts_status import_row(struct importing *im, const struct read_row *r, ts_err *err) {
    im->file->read++;
    if (r->code) return reject(im, &r->piece, r->code, r->parts.detail, err);
    ts_draft d = ts_parts_draft(&r->parts);
    size_t slot;
    bool known = known_find(&im->known, (uint64_t)r->hash, &slot);
    im->file->known += known;
    if (known && im->options->skip_known) return reject(im, &r->piece, "known", "", err);
    im->waiting[im->n_waiting++] = (ts_new_row){im->next_id++, im->batch, r->piece.line, r->hash, d};
    im->file->imported++;
    im->act->rows++;
    if (im->n_waiting < TS_ROWS_AT_ONCE) return TS_OK;
    im->n_waiting = 0;
    return ts_rows_insert(im->st, im->waiting, err);
}

static ts_status write_batch(struct importing *im, const char *path, ts_err *err) {
    char *whole = ts_path_absolute(path);
    sqlite3_stmt *s = ts_db_stmt(im->st, "INSERT INTO batch VALUES(?1,?2,?3,?4,?5,?6,?7,?8,0)", err);
    if (s) {
        sqlite3_bind_int64(s, 1, im->batch);
        sqlite3_bind_int64(s, 2, im->act->step);
        sqlite3_bind_text(s, 3, whole, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 4, im->format->name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 5, im->file->read);
        sqlite3_bind_int64(s, 6, im->file->imported);
        sqlite3_bind_int64(s, 7, im->file->rejected);
        sqlite3_bind_int64(s, 8, ts_wall_ms());
    }
    ts_status status = ts_db_step(im->st, s, "note the import", err);
    free(whole);
    return status;
}

/* The rows of a batch, up to where the import is stopped. */
static ts_status import_batch(struct importing *im, const struct batch *b, ts_err *err) {
    for (size_t i = 0; i < b->n && !im->file->stopped; i++) {
        TS_TRY(import_row(im, &b->rows[i], err));
        if (!ts_cancelled(im->progress)) continue;
        im->file->stopped = im->options->keep_read && im->act->rows > 0;
        if (!im->file->stopped) return ts_fail(err, TS_CANCELLED, "the import was stopped; nothing was kept");
    }
    TS_TRY(write_waiting(im, err)); /* the batch's texts go away */
    if (im->file->stopped) return TS_OK;
    if (b->status != TS_OK && err) *err = b->err;
    return b->status;
}

/* The page of the counters was changed when the act began and will be at its end. Were it written out in between, as
 * the cache makes room, SQLite would check every page of the log once more when it commits (walRewriteChecksums): a
 * third more reading and writing. A statement that stands on the page keeps it. */
static sqlite3_stmt *hold_counters(ts_store *st) {
    sqlite3_stmt *s = ts_db_stmt(st, "SELECT value FROM counter WHERE name='example'", NULL);
    if (s) sqlite3_step(s);
    return s;
}

static ts_status import_pieces(struct importing *im, ts_splitter *sp, ts_err *err) {
    struct ahead ahead;
    ts_status status = TS_OK;
    sqlite3_stmt *pin = hold_counters(im->st);
    begin_ahead(&ahead, im, sp);
    for (bool last = false; !last && status == TS_OK && !im->file->stopped;) {
        struct batch *b = next_batch(&ahead);
        status = import_batch(im, b, err);
        ts_progress_set(im->progress, im->done_bytes + b->offset, im->total_bytes);
        last = b->last;
        give_back(&ahead, b);
    }
    end_ahead(&ahead);
    if (pin) sqlite3_reset(pin);
    return status;
}

static ts_status import_file(struct importing *im, ts_import_file *file, ts_err *err) {
    ts_splitter *sp = NULL;
    const char *path = file->path;
    ts_status status;
    im->file = file;
    im->any = false;
    if (im->options->n_map) {
        im->format = &im->mapping.format;
    } else {
        TS_TRY(detect(im, path, err));
    }
    if (!im->format) return nothing_fits(im, path, err);
    file->format = im->format->name;
    TS_TRY(ts_db_next(im->st, "batch", 1, &im->batch, err));
    TS_GOTO(ts_splitter_open(&sp, path, &im->split, err));
    TS_GOTO(import_pieces(im, sp, err));
    im->done_bytes += ts_splitter_offset(sp);
    if (!file->imported && !file->known && !file->stopped) {
        const char *code = NULL;
        for (size_t i = 0; ts_reasons[i].code && !code; i++)
            if (file->reasons[i]) code = ts_reasons[i].sentence;
        status = ts_fail(err, TS_FORMAT, "%s has no row we can read as %s: %s%s. Nothing was imported", path,
                         im->format->name, file->read == 1 ? "" : "for example, ", code ? code : "it has no rows");
        goto out;
    }
    status = write_batch(im, path, err);
out:
    ts_splitter_close(sp);
    return status;
}

/* ---- the act ---- */

ts_status ts_batches_clear_dropped(ts_store *st, ts_err *err) {
    if (!ts_db_int(st, "SELECT EXISTS(SELECT 1 FROM batch WHERE state=2)", 0)) return TS_OK;
    return ts_db_run(
        st,
        "DELETE FROM body WHERE id IN (SELECT id FROM example WHERE batch IN (SELECT id FROM batch WHERE state=2));"
        "DELETE FROM metric WHERE id IN (SELECT id FROM example WHERE batch IN (SELECT id FROM batch WHERE state=2));"
        "DELETE FROM score WHERE id IN (SELECT id FROM example WHERE batch IN (SELECT id FROM batch WHERE state=2));"
        "DELETE FROM dup WHERE id IN (SELECT id FROM example WHERE batch IN (SELECT id FROM batch WHERE state=2));"
        "DELETE FROM example WHERE batch IN (SELECT id FROM batch WHERE state=2);"
        "DELETE FROM reject WHERE batch IN (SELECT id FROM batch WHERE state=2);"
        "DELETE FROM batch WHERE state=2",
        "clear what was undone", err);
}

/* All names first, so that a mistyped one costs nothing. */
static ts_status look_at_files(struct importing *im, const char *const *paths, size_t n, ts_err *err) {
    for (size_t i = 0; i < n; i++) {
        ts_splitter *sp = NULL;
        TS_TRY(ts_splitter_open(&sp, paths[i], &im->split, err));
        ts_splitter_close(sp);
        im->total_bytes += TS_MAX(ts_file_size(paths[i]), 0);
    }
    return TS_OK;
}

static ts_status commit(struct importing *im, size_t n, ts_import_file *results, ts_done *done, ts_err *err) {
    char words[48];
    ts_rows_words(im->act->rows, words);
    if (!im->act->rows) { /* all known: nothing to undo, nothing to note */
        ts_act_abandon(im->act);
        if (done) *done = (ts_done){0};
        return TS_OK;
    }
    if (n == 1)
        return ts_act_commit(im->act, done, err, "imported %s from %.100s", words, ts_path_base(results[0].path));
    return ts_act_commit(im->act, done, err, "imported %s from %zu files", words, n);
}

ts_status ts_import(ts_store *st, const char *const *paths, size_t n, const ts_import_options *options,
                    ts_progress *progress, ts_import_file *results, ts_done *done, ts_err *err) {
    static const ts_import_options defaults;
    ts_act act = {0};
    struct importing im = {.act = &act, .st = st, .options = options ? options : &defaults, .progress = progress};
    ts_status status;
    for (size_t i = 0; i < n; i++)
        results[i] = (ts_import_file){.path = paths[i]};
    TS_GOTO(choose_how(&im, err));
    ts_progress_what(progress, "importing");
    TS_GOTO(look_at_files(&im, paths, n, err));
    TS_GOTO(ts_act_begin(&act, st, TS_KIND_IMPORT, "import", err));
    TS_GOTO(ts_batches_clear_dropped(st, err));
    TS_GOTO(known_load(&im.known, st, err));
    int64_t first = im.next_id = ts_db_int(st, "SELECT value+1 FROM counter WHERE name='example'", 1);
    for (size_t i = 0; i < n && (i == 0 || !results[i - 1].stopped); i++)
        TS_GOTO(import_file(&im, &results[i], err));
    if (im.next_id > first) TS_GOTO(ts_db_next(st, "example", im.next_id - first, &first, err));
    status = commit(&im, n, results, done, err);
out:
    if (status != TS_OK) ts_act_abandon(&act);
    free(im.known.slots);
    ts_mapping_release(&im.mapping);
    ts_parts_release(&im.parts);
    ts_buf_release(&im.first_keys);
    return status;
}

/* ---- repairs ---- */

/* The reject that a line of repairs is for. */
static ts_status find_reject(ts_store *st, int64_t id, bool *there, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT 1 FROM reject r JOIN batch t ON t.id=r.batch WHERE r.id=?1 AND t.state=0"
                                 " AND NOT " TS_REPAIRED,
                                 err);
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, id);
    *there = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_reset(s);
    return TS_OK;
}

static ts_status mark_repaired(struct importing *im, int64_t id, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(im->st, "UPDATE reject SET repaired=?2 WHERE id=?1", err);
    if (s) sqlite3_bind_int64(s, 1, id);
    if (s) sqlite3_bind_int64(s, 2, im->batch);
    return ts_db_step(im->st, s, "clear a rejected row", err);
}

/* The repaired row's JSON into `row`; its reject's number. */
static ts_status read_repair(struct importing *im, const ts_piece *piece, ts_buf *row, int64_t *id, ts_err *err) {
    size_t at;
    bool there = false;
    const char *path = im->file->path;
    ts_jview line = {0};
    if (!piece->too_large && !piece->fault && ts_json_check(piece->text, piece->n, &at) == TS_JSON_FINE)
        line = ts_jview_of(piece->text, piece->n);
    ts_jview number = ts_jview_get(line, "id"), value = ts_jview_get(line, "row"), text = ts_jview_get(line, "text");
    char digits[24] = "";
    size_t len = number.p ? TS_MIN((size_t)(number.end - number.p), sizeof digits - 1) : 0;
    if (len) memcpy(digits, number.p, len);
    *id = strtoll(digits, NULL, 10);
    if (*id <= 0 || (!value.p && ts_jview_kind(text) != '"'))
        return ts_fail(err, TS_FORMAT,
                       "%s, line %lld: a repair is {\"id\":N,\"row\":{..}} or {\"id\":N,\"text\":\"{..}\"}, as "
                       "`rejects --json` prints them; nothing was changed",
                       path, (long long)piece->line);
    TS_TRY(find_reject(im->st, *id, &there, err));
    if (!there)
        return ts_fail(err, TS_NOT_FOUND,
                       "%s, line %lld: there is no rejected row %lld (or it was repaired already); "
                       "nothing was changed",
                       path, (long long)piece->line, (long long)*id);
    ts_buf_reset(row);
    if (value.p)
        ts_buf_add(row, value.p, (size_t)(value.end - value.p));
    else
        ts_jview_string(text, row);
    return TS_OK;
}

static ts_status repair_row(struct importing *im, const ts_piece *piece, ts_buf *row, ts_err *err) {
    int64_t id;
    TS_TRY(read_repair(im, piece, row, &id, err));
    ts_piece good = {.text = ts_buf_str(row),
                     .n = row->len,
                     .raw = ts_buf_str(row),
                     .n_raw = row->len,
                     .line = piece->line,
                     .detail = ""};
    im->format = ts_formats;
    const char *code = read_row(im, &good, &im->parts);
    im->file->read++;
    if (code) {
        count_reason(im->file, code);
        return TS_OK;
    }
    ts_draft d = ts_parts_draft(&im->parts);
    TS_TRY(ts_row_insert(im->st, im->next_id++, im->batch, piece->line, 0, ts_texts_hash(&d), &d, err));
    im->file->imported++;
    im->act->rows++;
    return mark_repaired(im, id, err);
}

static ts_status repair_rows(struct importing *im, ts_splitter *sp, ts_err *err) {
    ts_buf row = TS_BUF_INIT;
    ts_status status = TS_OK;
    bool more = true;
    while (status == TS_OK) {
        ts_piece piece;
        status = ts_splitter_next(sp, &piece, &more, err);
        if (status != TS_OK || !more) break;
        status = repair_row(im, &piece, &row, err);
        ts_progress_set(im->progress, ts_splitter_offset(sp), im->total_bytes);
        if (status == TS_OK && ts_cancelled(im->progress))
            status = ts_fail(err, TS_CANCELLED, "stopped; nothing was changed");
    }
    ts_buf_release(&row);
    return status;
}

ts_status ts_rejects_repair(ts_store *st, const char *path, ts_progress *progress, ts_import_file *result,
                            ts_done *done, ts_err *err) {
    static const ts_format repairs = {.name = "repairs"};
    static const ts_import_options automatic;
    ts_act act = {0};
    struct importing im = {.act = &act,
                           .st = st,
                           .options = &automatic,
                           .progress = progress,
                           .file = result,
                           .any = true,
                           .total_bytes = TS_MAX(ts_file_size(path), (int64_t)0)};
    ts_splitter *sp = NULL;
    ts_status status;
    *result = (ts_import_file){.path = path, .format = repairs.name};
    im.split.kind = TS_FILE_JSON;
    TS_GOTO(ts_splitter_open(&sp, path, &im.split, err));
    TS_GOTO(ts_act_begin(&act, st, TS_KIND_IMPORT, "import repaired rows", err));
    TS_GOTO(ts_batches_clear_dropped(st, err));
    TS_GOTO(ts_db_next(st, "batch", 1, &im.batch, err));
    int64_t first = im.next_id = ts_db_int(st, "SELECT value+1 FROM counter WHERE name='example'", 1);
    TS_GOTO(repair_rows(&im, sp, err));
    if (im.next_id > first) TS_GOTO(ts_db_next(st, "example", im.next_id - first, &first, err));
    im.format = &repairs;
    /* what is still no good stays with the import it came from */
    if (act.rows) TS_GOTO(write_batch(&im, path, err));
    char words[48];
    ts_rows_words(act.rows, words);
    status = ts_act_commit(&act, done, err, "repaired %s from %.100s", words, ts_path_base(path));
out:
    if (status != TS_OK) ts_act_abandon(&act);
    ts_splitter_close(sp);
    ts_parts_release(&im.parts);
    return status;
}

/* ---- the rejects ---- */

ts_status ts_rejects_read(ts_store *st, int64_t after, size_t limit, ts_reject **out, size_t *n, ts_arena *arena,
                          ts_err *err) {
    sqlite3_stmt *s =
        ts_db_stmt(st,
                   "SELECT r.id,r.line,t.path,r.code,r.detail,r.text,r.cut FROM reject r JOIN batch t ON"
                   " t.id=r.batch WHERE r.id>?1 AND t.state=0 AND NOT " TS_REPAIRED " ORDER BY r.id LIMIT ?2",
                   err);
    ts_reject *list = NULL;
    size_t cap = 0;
    if (!s) return err ? err->code : TS_IO;
    *n = 0;
    sqlite3_bind_int64(s, 1, after);
    sqlite3_bind_int64(s, 2, limit ? (int64_t)limit : -1);
    while (sqlite3_step(s) == SQLITE_ROW) {
        ts_reject r = {
            .id = sqlite3_column_int64(s, 0), .line = sqlite3_column_int64(s, 1), .cut = sqlite3_column_int(s, 6)};
        r.file = ts_path_base(ts_db_copy(s, 2, arena));
        r.code = ts_db_copy(s, 3, arena);
        r.detail = ts_db_copy(s, 4, arena);
        size_t len = (size_t)sqlite3_column_bytes(s, 5);
        const void *blob = sqlite3_column_blob(s, 5);
        r.text = (ts_text){ts_arena_strndup(arena, blob ? blob : "", len), len};
        TS_PUSH(list, *n, cap, r);
    }
    sqlite3_reset(s);
    *out = ts_arena_alloc(arena, TS_MAX(*n, 1) * sizeof **out);
    if (*n) memcpy(*out, list, *n * sizeof **out);
    free(list);
    return TS_OK;
}

ts_status ts_rejects_ids(ts_store *st, int64_t **ids, size_t *n, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(
        st,
        "SELECT r.id FROM reject r JOIN batch t ON t.id=r.batch WHERE t.state=0 AND NOT " TS_REPAIRED " ORDER BY r.id",
        err);
    size_t cap = 0;
    int rc;
    *ids = NULL;
    *n = 0;
    if (!s) return err ? err->code : TS_IO;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        TS_PUSH(*ids, *n, cap, sqlite3_column_int64(s, 0));
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? TS_OK : ts_db_fail(st, "read the rejected rows", err);
}
