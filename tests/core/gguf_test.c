#include "core/model/gguf.h"

#include "core/base/file.h"
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

/* A GGUF file piece by piece. */
static void u32(ts_buf *b, uint32_t v) {
    ts_buf_add(b, &v, sizeof v);
}

static void u64(ts_buf *b, uint64_t v) {
    ts_buf_add(b, &v, sizeof v);
}

static void str(ts_buf *b, const char *s) {
    u64(b, strlen(s));
    ts_buf_puts(b, s);
}

static void header(ts_buf *b, uint32_t version, uint64_t tensors, uint64_t keys) {
    ts_buf_puts(b, "GGUF");
    u32(b, version);
    u64(b, tensors);
    u64(b, keys);
}

static void key(ts_buf *b, const char *name, uint32_t type, const void *value, size_t n) {
    str(b, name);
    u32(b, type);
    ts_buf_add(b, value, n);
}

static void key_str(ts_buf *b, const char *name, const char *value) {
    str(b, name);
    u32(b, 8);
    str(b, value);
}

static void info(ts_buf *b, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type, uint64_t offset) {
    str(b, name);
    u32(b, n_dims);
    ts_buf_add(b, dims, n_dims * sizeof *dims);
    u32(b, type);
    u64(b, offset);
}

static void pad(ts_buf *b, size_t to) {
    while (b->len % to)
        ts_buf_putc(b, 0);
}

static const char *write_file(ts_buf *b) {
    static char path[128];
    snprintf(path, sizeof path, "%s/a.gguf", ts_test_dir());
    assert_ok(ts_file_write(path, b->data, b->len, &err));
    ts_buf_release(b);
    return path;
}

static void expect(ts_buf *b, ts_status status, const char *words) {
    ts_gguf *g;
    err.text[0] = 0;
    assert_int_equal(ts_gguf_open(&g, write_file(b), &err), status);
    assert_null(g);
    if (!strstr(err.text, words)) fail_msg("\"%s\" is not in: %s", words, err.text);
}

/* Two keys and two tensors, of which the second is q8_0. */
static void sample(ts_buf *b) {
    uint32_t blocks = 7;
    float values[6] = {1, 2, 3, 4, 5, 6};
    unsigned char q8[34] = {0x00, 0x3c, 1, 2, 3};
    header(b, 3, 2, 2);
    key_str(b, "general.architecture", "llama");
    key(b, "llama.block_count", 4, &blocks, sizeof blocks);
    info(b, "norm", 2, (uint64_t[]){3, 2}, 0, 0);
    info(b, "w", 1, (uint64_t[]){32}, 8, 32);
    pad(b, 32);
    ts_buf_add(b, values, sizeof values);
    pad(b, 32);
    ts_buf_add(b, q8, sizeof q8);
}

static void reads_keys_and_tensors(void **state) {
    (void)state;
    ts_buf b = TS_BUF_INIT;
    sample(&b);
    ts_gguf *g;
    assert_ok(ts_gguf_open(&g, write_file(&b), &err));
    int64_t blocks;
    const char *arch;
    size_t n;
    assert_true(ts_gguf_int(g, "llama.block_count", &blocks));
    assert_int_equal(blocks, 7);
    assert_true(ts_gguf_str(g, "general.architecture", &arch, &n));
    assert_int_equal(n, 5);
    assert_memory_equal(arch, "llama", 5);
    assert_false(ts_gguf_int(g, "general.architecture", &blocks));
    assert_false(ts_gguf_str(g, "missing", &arch, &n));
    assert_int_equal(ts_gguf_tensors(g), 2);
    const ts_tensor *t = ts_gguf_find(g, "norm");
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 2); /* outermost first */
    assert_int_equal(t->dims[1], 3);
    float row[32];
    ts_dequantize(t->type, t->data, row, 6);
    assert_true(row[5] == 6);
    t = ts_gguf_find(g, "w");
    assert_int_equal(t->type, TS_Q8_0);
    assert_int_equal(t->bytes, 34);
    ts_dequantize(t->type, t->data, row, 32);
    assert_true(row[0] == 1 && row[2] == 3 && row[3] == 0);
    assert_null(ts_gguf_find(g, "x"));
    ts_gguf_close(g);
}

static void reads_every_kind_of_value(void **state) {
    (void)state;
    ts_buf b = TS_BUF_INIT;
    header(&b, 2, 0, 13);
    key(&b, "u8", 0, (uint8_t[]){200}, 1);
    key(&b, "i8", 1, (int8_t[]){-3}, 1);
    key(&b, "u16", 2, (uint16_t[]){60000}, 2);
    key(&b, "i16", 3, (int16_t[]){-30000}, 2);
    key(&b, "i32", 5, (int32_t[]){-5}, 4);
    key(&b, "f32", 6, (float[]){.5f}, 4);
    key(&b, "bool", 7, (uint8_t[]){1}, 1);
    key(&b, "big", 10, (uint64_t[]){UINT64_MAX}, 8);
    key(&b, "i64", 11, (int64_t[]){-9000000000}, 8);
    key(&b, "f64", 12, (double[]){.25}, 8);
    str(&b, "strings");
    u32(&b, 9), u32(&b, 8), u64(&b, 3), str(&b, "a"), str(&b, ""), str(&b, "bcd");
    str(&b, "ints");
    u32(&b, 9), u32(&b, 5), u64(&b, 2), ts_buf_add(&b, (int32_t[]){-1, 70000}, 8);
    str(&b, "floats");
    u32(&b, 9), u32(&b, 6), u64(&b, 2), ts_buf_add(&b, (float[]){1.5f, -2}, 8);
    ts_gguf *g;
    assert_ok(ts_gguf_open(&g, write_file(&b), &err));
    int64_t i;
    double d;
    bool yes = false;
    assert_true(ts_gguf_int(g, "u8", &i) && i == 200);
    assert_true(ts_gguf_int(g, "i8", &i) && i == -3);
    assert_true(ts_gguf_int(g, "u16", &i) && i == 60000);
    assert_true(ts_gguf_int(g, "i16", &i) && i == -30000);
    assert_true(ts_gguf_int(g, "i32", &i) && i == -5);
    assert_true(ts_gguf_int(g, "i64", &i) && i == -9000000000);
    assert_false(ts_gguf_int(g, "big", &i)); /* does not fit */
    assert_false(ts_gguf_int(g, "f32", &i));
    assert_true(ts_gguf_num(g, "f32", &d) && d == .5);
    assert_true(ts_gguf_num(g, "f64", &d) && d == .25);
    assert_true(ts_gguf_num(g, "i8", &d) && d == -3);
    assert_true(ts_gguf_bool(g, "bool", &yes) && yes);
    ts_gguf_array a;
    const char *s;
    size_t n;
    assert_true(ts_gguf_array_get(g, "strings", &a) && a.kind == 's' && a.n == 3);
    assert_true(ts_gguf_next_str(&a, &s, &n) && n == 1 && *s == 'a');
    assert_true(ts_gguf_next_str(&a, &s, &n) && n == 0);
    assert_true(ts_gguf_next_str(&a, &s, &n) && n == 3 && memcmp(s, "bcd", 3) == 0);
    assert_false(ts_gguf_next_str(&a, &s, &n));
    assert_true(ts_gguf_array_get(g, "ints", &a) && a.kind == 'i');
    assert_int_equal(ts_gguf_array_int(&a, 0), -1);
    assert_int_equal(ts_gguf_array_int(&a, 1), 70000);
    assert_true(ts_gguf_array_get(g, "floats", &a) && a.kind == 'f');
    assert_true(ts_gguf_array_num(&a, 1) == -2);
    assert_false(ts_gguf_array_get(g, "u8", &a));
    ts_gguf_close(g);
}

/* Wherever a good file is cut, opening says so and nothing else happens. */
static void every_cut_is_refused(void **state) {
    (void)state;
    ts_buf whole = TS_BUF_INIT;
    sample(&whole);
    for (size_t n = 0; n < whole.len; n++) {
        ts_buf part = TS_BUF_INIT;
        ts_buf_add(&part, whole.data, n);
        expect(&part, TS_FORMAT, n < 4 ? "not a GGUF file" : "cut short");
    }
    ts_buf_release(&whole);
}

static void bad_headers_are_named(void **state) {
    (void)state;
    ts_buf b = TS_BUF_INIT;
    ts_buf_puts(&b, "PK\3\4 some zip file, long enough to be read");
    expect(&b, TS_FORMAT, "not a GGUF file");
    header(&b, 1, 0, 0);
    expect(&b, TS_UNSUPPORTED, "version 1");
    header(&b, 3u << 24, 0, 0);
    expect(&b, TS_UNSUPPORTED, "big-endian");
    header(&b, 3, UINT64_MAX, 0);
    expect(&b, TS_FORMAT, "tensors");
    header(&b, 3, 0, 1ull << 60);
    expect(&b, TS_FORMAT, "keys");
}

static void bad_keys_are_named(void **state) {
    (void)state;
    ts_buf b = TS_BUF_INIT;
    header(&b, 3, 0, 1);
    u64(&b, UINT64_MAX - 3);
    ts_buf_puts(&b, "some bytes behind it");
    expect(&b, TS_FORMAT, "the name of key 1");
    header(&b, 3, 0, 1);
    key(&b, "k", 13, "12345678", 8);
    expect(&b, TS_FORMAT, "unknown type 13");
    header(&b, 3, 0, 1);
    str(&b, "text");
    u32(&b, 8), u64(&b, UINT64_MAX), ts_buf_puts(&b, "abc");
    expect(&b, TS_FORMAT, "text");
    header(&b, 3, 0, 1);
    str(&b, "list");
    u32(&b, 9), u32(&b, 11), u64(&b, 1ull << 61), u64(&b, 0); /* 2^61 * 8 overflows */
    expect(&b, TS_FORMAT, "list is said to hold");
    header(&b, 3, 0, 1);
    str(&b, "nest");
    u32(&b, 9), u32(&b, 9), u64(&b, 1), u64(&b, 0);
    expect(&b, TS_FORMAT, "array of type 9");
    header(&b, 3, 0, 2);
    key_str(&b, "same", "a"), key_str(&b, "same", "b");
    expect(&b, TS_FORMAT, "same is there twice");
    header(&b, 3, 0, 1);
    key(&b, "general.alignment", 4, (uint32_t[]){12}, 4);
    expect(&b, TS_FORMAT, "general.alignment is 12");
}

static void bad_tensors_are_named(void **state) {
    (void)state;
    ts_buf b = TS_BUF_INIT;
    header(&b, 3, 1, 0), info(&b, "t", 5, (uint64_t[]){1, 1, 1, 1, 1}, 0, 0);
    expect(&b, TS_FORMAT, "5 dimensions");
    header(&b, 3, 1, 0), info(&b, "t", 2, (uint64_t[]){1ull << 40, 1ull << 40}, 0, 0);
    expect(&b, TS_FORMAT, "impossible dimension");
    header(&b, 3, 1, 0), info(&b, "t", 2, (uint64_t[]){1ull << 31, 1ull << 32}, 0, 0);
    expect(&b, TS_FORMAT, "overflows");
    header(&b, 3, 1, 0), info(&b, "t", 1, (uint64_t[]){0}, 0, 0);
    expect(&b, TS_FORMAT, "impossible dimension");
    header(&b, 3, 1, 0), info(&b, "t", 1, (uint64_t[]){33}, 8, 0), pad(&b, 128);
    expect(&b, TS_FORMAT, "no multiple of 32");
    header(&b, 3, 1, 0), info(&b, "t", 1, (uint64_t[]){4}, 0, 16), pad(&b, 256);
    expect(&b, TS_FORMAT, "alignment");
    header(&b, 3, 1, 0), info(&b, "t", 1, (uint64_t[]){4}, 0, UINT64_MAX - 31), pad(&b, 256);
    expect(&b, TS_FORMAT, "cut short");
    header(&b, 3, 2, 0), info(&b, "t", 1, (uint64_t[]){4}, 0, 0), info(&b, "t", 1, (uint64_t[]){4}, 0, 0);
    pad(&b, 256);
    expect(&b, TS_FORMAT, "t is there twice");
}

static void types_we_do_not_read_are_listed_by_name(void **state) {
    (void)state;
    ts_buf b = TS_BUF_INIT;
    header(&b, 3, 2, 0);
    info(&b, "a", 1, (uint64_t[]){256}, 15, 0);
    info(&b, "b", 1, (uint64_t[]){256}, 77, 320);
    pad(&b, 32);
    for (int i = 0; i < 400; i++)
        ts_buf_putc(&b, 0);
    ts_gguf *g;
    assert_ok(ts_gguf_open(&g, write_file(&b), &err));
    assert_int_equal(ts_gguf_tensor(g, 0)->type, TS_DTYPES);
    assert_int_equal(ts_gguf_tensor(g, 0)->bytes, 292);
    assert_string_equal(ts_gguf_type_name(g, 0), "q8_k");
    assert_string_equal(ts_gguf_type_name(g, 1), "type 77");
    ts_gguf_close(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keys_and_tensors),
        cmocka_unit_test(reads_every_kind_of_value),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(bad_headers_are_named),
        cmocka_unit_test(bad_keys_are_named),
        cmocka_unit_test(bad_tensors_are_named),
        cmocka_unit_test(types_we_do_not_read_are_listed_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
