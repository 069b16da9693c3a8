/* What llama.cpp makes of a GGUF file: for each line of stdin one line of stdout.
 *   T HEX      token ids of the text (bytes in hexadecimal), special tokens recognised, nothing added
 *   N ID ID .. the NLL of every id but the first
 * usage: llamacpp_nll LIBRARIES MODEL.gguf [ADAPTER.gguf]     Built by llamacpp.sh. */
#include "ggml-backend.h"
#include "llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 4096 };

static void quiet(enum ggml_log_level level, const char *s, void *ctx) {
    (void)ctx;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(s, stderr);
}

static int tokens_of(const struct llama_vocab *v, const char *hex) {
    static char text[1 << 20];
    static llama_token ids[MAX_TOKENS];
    int n = 0;
    unsigned byte;
    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        text[n++] = (char)byte;
    n = llama_tokenize(v, text, n, ids, MAX_TOKENS, false, true);
    for (int i = 0; i < n; i++)
        printf("%s%d", i ? " " : "", ids[i]);
    printf("\n");
    return n < 0;
}

static int nll_of(struct llama_context *c, int vocab, char *line) {
    static llama_token ids[MAX_TOKENS];
    int n = 0;
    for (char *s = strtok(line, " \n"); s && n < MAX_TOKENS; s = strtok(NULL, " \n"))
        ids[n++] = atoi(s);
    llama_memory_clear(llama_get_memory(c), true);
    struct llama_batch b = llama_batch_init(n, 0, 1);
    for (int i = 0; i < n; i++) {
        b.token[i] = ids[i];
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    b.n_tokens = n;
    if (llama_decode(c, b) != 0) return 1;
    for (int i = 0; i + 1 < n; i++) {
        const float *x = llama_get_logits_ith(c, i);
        double most = x[0], sum = 0;
        for (int k = 1; k < vocab; k++)
            if (x[k] > most) most = x[k];
        for (int k = 0; k < vocab; k++)
            sum += exp(x[k] - most);
        printf("%s%.6f", i ? " " : "", most + log(sum) - x[ids[i + 1]]);
    }
    printf("\n");
    llama_batch_free(b);
    return 0;
}

int main(int argc, char **argv) {
    static char line[1 << 21];
    if (argc < 3) return 2;
    llama_log_set(quiet, NULL);
    ggml_backend_load_all_from_path(argv[1]);
    llama_backend_init();
    struct llama_model *m = llama_model_load_from_file(argv[2], llama_model_default_params());
    if (!m) return 1;
    struct llama_context_params cp = llama_context_default_params();
    cp.n_ctx = MAX_TOKENS;
    cp.n_batch = cp.n_ubatch = 2048;
    cp.n_threads = cp.n_threads_batch = 2;
    cp.type_k = cp.type_v = GGML_TYPE_F32;
    cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context *c = llama_init_from_model(m, cp);
    if (!c) return 1;
    struct llama_adapter_lora *a = argc > 3 ? llama_adapter_lora_init(m, argv[3]) : NULL;
    if (argc > 3 && !a) return 1;
#ifdef OLD_ADAPTERS
    if (a && llama_set_adapter_lora(c, a, 1) != 0) return 1;
#else
    float scale = 1;
    if (a && llama_set_adapters_lora(c, &a, 1, &scale) != 0) return 1;
#endif
    const struct llama_vocab *v = llama_model_get_vocab(m);
    while (fgets(line, sizeof line, stdin)) {
        int bad = line[0] == 'T' ? tokens_of(v, line + 2) : nll_of(c, llama_vocab_n_tokens(v), line + 2);
        if (bad) return 1;
    }
    return 0;
}
