#include "core/model/gguf_write.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "tests/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static ts_err err;

static char *path_of(const char *name) {
    return ts_path_join(ts_test_dir(), name);
}

/* The bytes of a small file, counted by hand from the format's description. */
static void every_byte_is_where_the_format_wants_it(void **state) {
    (void)state;
    char *path = path_of("bytes.gguf");
    ts_gguf_writer *w = ts_gguf_writer_new();
    ts_gguf_put_u32(w, "n", 7);
    ts_gguf_put_str(w, "s", "ab", 2);
    ts_gguf_add_tensor(w, "t", TS_F32, (size_t[]){2, 3}, 2);
    assert_int_equal(ts_gguf_data_bytes(w), 24);
    assert_ok(ts_gguf_write_begin(w, path, &err));
    assert_ok(ts_gguf_write_data(w, (float[]){1, 2, 3, 4, 5, 6}, 24, &err));
    assert_ok(ts_gguf_write_commit(w, &err));
    ts_gguf_writer_free(w);
    static const unsigned char head[] = {
        'G', 'G', 'U', 'F', 3, 0, 0, 0,                                                    /* version */
        1,   0,   0,   0,   0, 0, 0, 0, 2,   0, 0, 0, 0, 0, 0, 0,                          /* tensors, keys */
        1,   0,   0,   0,   0, 0, 0, 0, 'n', 4, 0, 0, 0, 7, 0, 0, 0,                       /* u32 n = 7 */
        1,   0,   0,   0,   0, 0, 0, 0, 's', 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', /* string s */
        1,   0,   0,   0,   0, 0, 0, 0, 't', 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,           /* 2 dims: 3 inner */
        2,   0,   0,   0,   0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,              /* 2; f32; offset 0 */
    };
    ts_buf file = TS_BUF_INIT;
    assert_ok(ts_file_read(path, 1 << 20, &file, &err));
    assert_int_equal(sizeof head, 105);
    assert_int_equal(file.len, 128 + 32); /* padded to 32 before and behind the data */
    assert_memory_equal(file.data, head, sizeof head);
    for (size_t i = sizeof head; i < 128; i++)
        assert_int_equal(file.data[i], 0);
    assert_memory_equal(file.data + 128, ((float[]){1, 2, 3, 4, 5, 6}), 24);
    ts_buf_release(&file);
    free(path);
}

static void put_everything(ts_gguf_writer *w) {
    ts_gguf_put_int(w, "u8", TS_GGUF_U8, 255);
    ts_gguf_put_int(w, "i8", TS_GGUF_I8, -128);
    ts_gguf_put_int(w, "u16", TS_GGUF_U16, 65535);
    ts_gguf_put_int(w, "i16", TS_GGUF_I16, -32768);
    ts_gguf_put_int(w, "u32", TS_GGUF_U32, UINT32_MAX);
    ts_gguf_put_int(w, "i32", TS_GGUF_I32, INT32_MIN);
    ts_gguf_put_int(w, "u64", TS_GGUF_U64, INT64_MAX);
    ts_gguf_put_int(w, "i64", TS_GGUF_I64, INT64_MIN);
    ts_gguf_put_num(w, "f32", TS_GGUF_F32, 1e-5);
    ts_gguf_put_num(w, "f64", TS_GGUF_F64, 0.1);
    ts_gguf_put_bool(w, "yes", true);
    ts_gguf_put_str(w, "text", "h\xc3\xa9\0llo", 7);
    ts_gguf_put_strs(w, "words", (const char *[]){"", "a", "long enough"}, NULL, 3);
    ts_gguf_put_strs(w, "cut", (const char *[]){"abc", "abc"}, (size_t[]){1, 2}, 2);
    ts_gguf_put_array(w, "ints", TS_GGUF_I32, (int32_t[]){-1, 70000}, 2);
    ts_gguf_put_array(w, "reals", TS_GGUF_F32, (float[]){1.5f, -1000}, 2);
    ts_gguf_put_array(w, "flags", TS_GGUF_BOOL, (unsigned char[]){1, 0}, 2);
    ts_gguf_put_array(w, "none", TS_GGUF_U64, NULL, 0);
}

static void check_everything(const ts_gguf *g) {
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"u8", 255},         {"i8", -128},       {"u16", 65535},     {"i16", -32768},
                {"u32", UINT32_MAX}, {"i32", INT32_MIN}, {"u64", INT64_MAX}, {"i64", INT64_MIN}};
    int64_t v;
    double d;
    bool yes;
    const char *s;
    size_t n;
    ts_gguf_array a;
    assert_int_equal(ts_gguf_keys(g), 18);
    assert_int_equal(ts_gguf_version(g), 3);
    for (size_t i = 0; i < TS_COUNT(ints); i++) {
        assert_true(ts_gguf_int(g, ints[i].key, &v) && v == ints[i].value);
        assert_string_equal(ts_gguf_key(g, i), ints[i].key); /* in the order given */
    }
    assert_true(ts_gguf_num(g, "f32", &d) && d == (double)1e-5f);
    assert_true(ts_gguf_num(g, "f64", &d) && d == 0.1);
    assert_true(ts_gguf_bool(g, "yes", &yes) && yes);
    assert_true(ts_gguf_str(g, "text", &s, &n) && n == 7 && memcmp(s, "h\xc3\xa9\0llo", 7) == 0);
    assert_true(ts_gguf_array_get(g, "words", &a) && a.n == 3);
    assert_true(ts_gguf_next_str(&a, &s, &n) && n == 0);
    assert_true(ts_gguf_next_str(&a, &s, &n) && n == 1);
    assert_true(ts_gguf_next_str(&a, &s, &n) && n == 11 && memcmp(s, "long enough", 11) == 0);
    assert_true(ts_gguf_array_get(g, "cut", &a) && ts_gguf_next_str(&a, &s, &n) && n == 1);
    assert_true(ts_gguf_array_get(g, "ints", &a) && a.n == 2 && ts_gguf_array_int(&a, 1) == 70000);
    assert_true(ts_gguf_array_get(g, "reals", &a) && a.n == 2 && ts_gguf_array_num(&a, 1) == -1000);
    assert_true(ts_gguf_array_get(g, "flags", &a) && a.n == 2 && a.kind == 'b' && ts_gguf_array_int(&a, 0) == 1);
    assert_true(ts_gguf_array_get(g, "none", &a) && a.n == 0);
}

/* Tensors of every type, whose data comes in awkward pieces, at two alignments. */
static void what_is_written_is_read_back(void **state) {
    (void)state;
    ts_rand r;
    ts_rand_seed(&r, 3);
    for (uint32_t alignment = 32; alignment <= 256; alignment *= 8) {
        char *path = path_of("all.gguf"), name[16];
        ts_gguf_writer *w = ts_gguf_writer_new();
        put_everything(w);
        if (alignment != 32) ts_gguf_put_u32(w, "general.alignment", alignment);
        for (ts_dtype t = 0; t < TS_FILE_DTYPES; t++) {
            snprintf(name, sizeof name, "t.%d", (int)t);
            ts_gguf_add_tensor(w, name, t, (size_t[]){3, 1, 512}, 3);
        }
        size_t n = ts_gguf_data_bytes(w), piece;
        unsigned char *data = malloc(n), *at = data;
        for (size_t i = 0; i < n; i++)
            data[i] = (unsigned char)ts_rand_u64(&r);
        assert_ok(ts_gguf_write_begin(w, path, &err));
        for (size_t i = 0; i < n; i += piece) {
            piece = 1 + (size_t)ts_rand_below(&r, 3000);
            piece = TS_MIN(piece, n - i);
            assert_ok(ts_gguf_write_data(w, data + i, piece, &err));
        }
        assert_ok(ts_gguf_write_commit(w, &err));
        ts_gguf_writer_free(w);
        ts_gguf *g;
        assert_ok(ts_gguf_open(&g, path, &err));
        if (alignment == 32) check_everything(g);
        assert_int_equal(ts_gguf_tensors(g), TS_FILE_DTYPES);
        for (ts_dtype t = 0; t < TS_FILE_DTYPES; t++) {
            const ts_tensor *x = ts_gguf_tensor(g, t);
            assert_int_equal(x->type, t);
            assert_true(x->n_dims == 3 && x->dims[0] == 3 && x->dims[1] == 1 && x->dims[2] == 512);
            assert_int_equal((uintptr_t)x->data % alignment, 0); /* files are mapped at whole pages */
            assert_memory_equal(x->data, at, x->bytes);
            at += x->bytes;
        }
        assert_ptr_equal(at, data + n);
        ts_gguf_close(g);
        free(data);
        free(path);
    }
}

static void keys_are_copied_replaced_and_dropped(void **state) {
    (void)state;
    char *path = path_of("first.gguf"), *second = path_of("second.gguf");
    ts_gguf *g;
    ts_gguf_writer *w = ts_gguf_writer_new();
    put_everything(w);
    assert_ok(ts_gguf_write_begin(w, path, &err));
    assert_ok(ts_gguf_write_commit(w, &err));
    ts_gguf_writer_free(w);
    assert_ok(ts_gguf_open(&g, path, &err));
    w = ts_gguf_writer_new();
    ts_gguf_put_str(w, "u8", "before", 6);
    for (size_t i = 0; i < ts_gguf_keys(g); i++)
        ts_gguf_put_copy(w, g, i);
    ts_gguf_put_u32(w, "extra", 1);
    assert_true(ts_gguf_drop_key(w, "extra"));
    assert_false(ts_gguf_drop_key(w, "extra"));
    assert_ok(ts_gguf_write_begin(w, second, &err));
    assert_ok(ts_gguf_write_commit(w, &err));
    ts_gguf_writer_free(w);
    ts_gguf_close(g);
    ts_buf a = TS_BUF_INIT, b = TS_BUF_INIT;
    assert_ok(ts_file_read(path, 1 << 20, &a, &err));
    assert_ok(ts_file_read(second, 1 << 20, &b, &err));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ts_buf_release(&a);
    ts_buf_release(&b);
    free(path);
    free(second);
}

static void refused(ts_gguf_writer *w, const char *words) {
    char *path = path_of("refused.gguf");
    err.text[0] = 0;
    assert_int_equal(ts_gguf_write_begin(w, path, &err), TS_INVALID);
    if (!strstr(err.text, words)) fail_msg("\"%s\" is not in: %s", words, err.text);
    assert_false(ts_file_exists(path));
    ts_gguf_writer_free(w);
    free(path);
}

static void what_cannot_be_written_is_named(void **state) {
    (void)state;
    char name[65];
    memset(name, 'x', 64);
    name[64] = 0;
    ts_gguf_writer *w = ts_gguf_writer_new();
    ts_gguf_put_int(w, "count", TS_GGUF_U8, 256);
    refused(w, "key count");
    w = ts_gguf_writer_new();
    ts_gguf_put_u32(w, "general.alignment", 24);
    refused(w, "general.alignment");
    w = ts_gguf_writer_new();
    ts_gguf_put_str(w, "general.alignment", "", 0);
    refused(w, "general.alignment");
    w = ts_gguf_writer_new();
    ts_gguf_add_tensor(w, name, TS_F32, (size_t[]){1}, 1);
    refused(w, "63 bytes");
    w = ts_gguf_writer_new();
    ts_gguf_add_tensor(w, "odd", TS_Q8_0, (size_t[]){4, 33}, 2);
    refused(w, "tensor odd");
    w = ts_gguf_writer_new();
    ts_gguf_add_tensor(w, "huge", TS_F32, (size_t[]){SIZE_MAX / 2, 4}, 2);
    refused(w, "tensor huge");
    w = ts_gguf_writer_new();
    for (int i = 0; i < 2; i++)
        ts_gguf_add_tensor(w, i ? "same" : "same", TS_F32, (size_t[]){1}, 1);
    refused(w, "another tensor has that name");
}

static size_t files_in(const char *dir) {
    ts_names names = {0};
    assert_ok(ts_dir_list(dir, &names, &err));
    size_t n = names.n;
    ts_names_release(&names);
    return n;
}

/* Stopped in the middle, or the disk full (a limit on file sizes says the same): the old file stays, nothing else. */
static void a_file_that_is_not_finished_leaves_the_old_one(void **state) {
    (void)state;
    char *dir = path_of("old"), *path = ts_path_join(dir, "m.gguf");
    static char data[1 << 20];
    assert_ok(ts_mkdirs(dir, &err));
    assert_ok(ts_file_write(path, "old", 3, &err));
    for (int full = 0; full < 2; full++) {
        struct rlimit limit, was;
        ts_gguf_writer *w = ts_gguf_writer_new();
        ts_gguf_add_tensor(w, "t", TS_F32, (size_t[]){sizeof data / 4}, 1);
        getrlimit(RLIMIT_FSIZE, &was);
        limit = (struct rlimit){1 << 16, was.rlim_max};
        if (full) setrlimit(RLIMIT_FSIZE, &limit);
        assert_ok(ts_gguf_write_begin(w, path, &err));
        ts_status status = ts_gguf_write_data(w, data, sizeof data, &err);
        assert_int_equal(status, full ? TS_NO_ROOM : TS_OK);
        setrlimit(RLIMIT_FSIZE, &was);
        if (full) assert_int_equal(ts_gguf_write_commit(w, &err), TS_NO_ROOM);
        ts_gguf_writer_free(w);
        assert_int_equal(ts_file_size(path), 3);
        assert_int_equal(files_in(dir), 1);
    }
    free(path);
    free(dir);
}

int main(void) {
    signal(SIGXFSZ, SIG_IGN); /* as the program does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_where_the_format_wants_it),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(keys_are_copied_replaced_and_dropped),
        cmocka_unit_test(what_cannot_be_written_is_named),
        cmocka_unit_test(a_file_that_is_not_finished_leaves_the_old_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
