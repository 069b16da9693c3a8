#include "core/model/safetensors.h"

#include "core/base/file.h"
#include "tests/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

/* Writes a header and `data` bytes of zeros behind it. */
static const char *craft(const char *header, size_t data) {
    static char path[128];
    snprintf(path, sizeof path, "%s/x.safetensors", ts_test_dir());
    ts_buf b = TS_BUF_INIT;
    uint64_t n = strlen(header);
    ts_buf_add(&b, &n, 8);
    ts_buf_puts(&b, header);
    for (size_t i = 0; i < data; i++)
        ts_buf_putc(&b, 0);
    assert_ok(ts_file_write(path, b.data, b.len, &err));
    ts_buf_release(&b);
    return path;
}

static void refused(const char *path, ts_status status, const char *words) {
    ts_safetensors *s;
    err.text[0] = 0;
    assert_int_equal(ts_safetensors_open(&s, path, &err), status);
    assert_null(s);
    if (!strstr(err.text, words)) fail_msg("\"%s\" is not in: %s", words, err.text);
}

static void accepted(const char *path, size_t count) {
    ts_safetensors *s;
    assert_ok(ts_safetensors_open(&s, path, &err));
    assert_int_equal(ts_safetensors_count(s), count);
    ts_safetensors_close(s);
}

/* The bytes that the library itself (safetensors 0.8.0) writes for these five tensors: larger types first, BF16 before
 * F16, then by name; the header padded to eight. */
static void written_as_the_library_writes(void **state) {
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"d.x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"e\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[4,4]},"
        "\"z\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[4,20]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[20,24]},"
        "\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[24,26]}}   ";
    float z[4] = {1, 2, 3, 4}, d = -1;
    uint16_t b[2] = {0x3f80, 0xc000}, a = 0x3800;
    const ts_tensor tensors[] = {
        {.name = "b", .type = TS_BF16, .n_dims = 1, .dims = {2}, .data = b, .bytes = 4},
        {.name = "a", .type = TS_F16, .n_dims = 1, .dims = {1}, .data = &a, .bytes = 2},
        {.name = "z", .type = TS_F32, .n_dims = 2, .dims = {2, 2}, .data = z, .bytes = 16},
        {.name = "d.x", .type = TS_F32, .n_dims = 1, .dims = {1}, .data = &d, .bytes = 4},
        {.name = "e", .type = TS_F32, .n_dims = 2, .dims = {0, 3}, .data = z, .bytes = 0},
    };
    char *path = ts_path_join(ts_test_dir(), "x.safetensors");
    ts_buf file = TS_BUF_INIT;
    assert_ok(ts_safetensors_write(path, tensors, TS_COUNT(tensors), &err));
    assert_ok(ts_file_read(path, 1 << 20, &file, &err));
    uint64_t n;
    memcpy(&n, file.data, 8);
    assert_int_equal(n, 0x138);
    assert_int_equal(file.len, 346);
    assert_memory_equal(file.data + 8, header, 0x138);
    static const unsigned char data[26] = {0, 0,    0x80, 0xbf, 0, 0,    0x80, 0x3f, 0,    0, 0,    0x40, 0,
                                           0, 0x40, 0x40, 0,    0, 0x80, 0x40, 0x80, 0x3f, 0, 0xc0, 0,    0x38};
    assert_memory_equal(file.data + 8 + n, data, sizeof data);
    ts_safetensors *s;
    assert_ok(ts_safetensors_open(&s, path, &err));
    assert_int_equal(ts_safetensors_count(s), 5);
    const ts_tensor *t = ts_safetensors_find(s, "z");
    assert_int_equal(t->dims[1], 2);
    assert_memory_equal(t->data, z, sizeof z);
    assert_null(ts_safetensors_find(s, "zz"));
    ts_safetensors_close(s);
    ts_buf_release(&file);
    free(path);
}

static void what_the_library_takes_is_taken(void **state) {
    (void)state;
    accepted(craft("{}", 0), 0);
    accepted(craft("{}   ", 0), 0);
    accepted(craft("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4), 1);
    accepted(craft("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0), 1);
    /* any order in the header; an empty tensor between others */
    accepted(craft("{\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[4,6]},"
                   "\"e\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[4,4]},"
                   "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                   6),
             3);
}

static void types_we_do_not_read_are_listed(void **state) {
    (void)state;
    ts_safetensors *s;
    assert_ok(
        ts_safetensors_open(&s, craft("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3), &err));
    assert_int_equal(ts_safetensors_at(s, 0)->type, TS_DTYPES);
    assert_string_equal(ts_safetensors_type_name(s, 0), "U8");
    ts_safetensors_close(s);
    refused(craft("{\"a\":{\"dtype\":\"Q9\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3), TS_UNSUPPORTED,
            "unknown type Q9");
}

static void broken_frames_are_named(void **state) {
    (void)state;
    char *path = ts_path_join(ts_test_dir(), "x");
    assert_ok(ts_file_write(path, "1234567", 7, &err));
    refused(path, TS_FORMAT, "only 7 bytes");
    assert_ok(ts_file_write(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, &err));
    refused(path, TS_FORMAT, "its header would have");
    assert_ok(ts_file_write(path, "\x10\0\0\0\0\0\0\0{}", 10, &err));
    refused(path, TS_FORMAT, "cut short");
    assert_ok(ts_file_write(path, "\0\0\0\0\0\0\0\0", 8, &err));
    refused(path, TS_FORMAT, "no JSON object");
    refused(craft("[]", 0), TS_FORMAT, "no JSON object");
    refused(craft(" {}", 0), TS_FORMAT, "no JSON object");
    refused(craft("{\"a\"", 0), TS_FORMAT, "header is damaged");
    refused(craft("{\"\xff\":1}", 0), TS_FORMAT, "UTF-8");
    refused(craft("{\"a\":1}", 0), TS_FORMAT, "no dtype");
    refused(craft("{\"__metadata__\":{\"format\":1}}", 0), TS_FORMAT, "metadata");
    refused(ts_test_dir(), TS_INVALID, "is a folder");
    free(path);
}

static void broken_tensors_are_named(void **state) {
    (void)state;
    const struct {
        const char *header;
        size_t data;
        const char *words;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "does not begin where"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[2,6]}}",
         6, "does not begin where"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[8,12]}}",
         12, "does not begin where"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "belong to nothing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "cut short"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "need 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0.5],\"data_offsets\":[0,2]}}", 2, "whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4503599627370496,4503599627370496],\"data_offsets\":[0,4]}}", 4,
         "overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[4,8]}}",
         8, "is there twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no shape"},
    };
    for (size_t i = 0; i < TS_COUNT(cases); i++)
        refused(craft(cases[i].header, cases[i].data), TS_FORMAT, cases[i].words);
}

static void a_file_that_cannot_be_written_leaves_nothing(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    char *path = ts_path_join(dir, "no/such/folder/x.safetensors");
    assert_int_not_equal(ts_safetensors_write(path, NULL, 0, &err), TS_OK);
    assert_non_null(strstr(err.text, "no/such/folder"));
    free(path);
}

/* Re-writing what the library wrote gives its bytes. */
static void rewritten_oracle_is_equal(void **state) {
    (void)state;
    const char *from = ts_test_shared("golden/smollm2-135m/adapters/qv-r8/adapter_model.safetensors");
    char *to = ts_path_join(ts_test_dir(), "x.safetensors");
    ts_safetensors *s;
    assert_ok(ts_safetensors_open(&s, from, &err));
    size_t n = ts_safetensors_count(s);
    ts_tensor *list = ts_malloc(n * sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = *ts_safetensors_at(s, n - 1 - i);
    assert_ok(ts_safetensors_write(to, list, n, &err));
    ts_buf a = TS_BUF_INIT, b = TS_BUF_INIT;
    assert_ok(ts_file_read(from, 1 << 28, &a, &err));
    assert_ok(ts_file_read(to, 1 << 28, &b, &err));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ts_buf_release(&a);
    ts_buf_release(&b);
    free(list);
    free(to);
    ts_safetensors_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_as_the_library_writes),
        cmocka_unit_test(what_the_library_takes_is_taken),
        cmocka_unit_test(types_we_do_not_read_are_listed),
        cmocka_unit_test(broken_frames_are_named),
        cmocka_unit_test(broken_tensors_are_named),
        cmocka_unit_test(a_file_that_cannot_be_written_leaves_nothing),
        cmocka_unit_test(rewritten_oracle_is_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
