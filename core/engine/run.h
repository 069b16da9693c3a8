/* A training run as a folder, complete in itself:
 *
 *   run.json                   every setting after defaults, hashes of model and data, version, kernel, precision
 *   train.jsonl valid.jsonl    the examples: {"messages":[..]} or {"ids":[..],"labels":[..]} a line
 *   init/                      adapter to start from, if one was given
 *   general.jsonl              rows that show what is forgotten, if there are any
 *   ewc.jsonl                  rows of an earlier task, or general ones, that Fisher values are made from, if any
 *   prompts.jsonl              prompts that are answered now and then, if there are any
 *   chat_template.jinja        the chat template, if one was chosen instead of the model's
 *   events.jsonl               append-only, one JSON object a line (run_events.h)
 *   checkpoints/NNNNNN/        states for exact resume; checkpoints/CURRENT names the good one
 *   best/ adapter/             PEFT folders: best on validation, and last
 *   best/ model/               instead, of full fine-tuning: Hugging Face folders of the whole model, in the type that
 *                              its weights are kept in (f32 or bf16)
 *   log.txt                    what the training process printed
 *   lock                       held by the training process: host, boot id, pid
 *   queue                      its place while it waits its turn (ts_run_place)
 *
 * run.json is written last when a run is created, so a folder without it is no run. Everything here works without the
 * model; train.h does the training. Any thread, one at a time per folder. */
#ifndef TS_ENGINE_RUN_H
#define TS_ENGINE_RUN_H

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/work/progress.h"

typedef struct ts_run_settings {
    /* what to train on */
    char *model;      /* path as opened, absolute for local files */
    char *model_hash; /* ts_model_hash; 32 digits */
    char *train_hash, *valid_hash;
    int64_t train_rows, valid_rows;
    char *where; /* for people: which rows of the workspace; NULL */
    double valid_fraction;
    char *method;              /* a name of ts_methods */
    char *preset;              /* a name of ts_presets, or "none" */
    char *train_modules;       /* full: which of the model's modules; NULL: all */
    char *layers_to_transform; /* "20-29": only these layers; NULL: all */
    char *weights;             /* full: what they are kept in, "f32" or "bf16" */
    /* LoRA, under PEFT's names */
    int64_t r;
    double lora_alpha, lora_dropout;
    char *target_modules;
    char *modules_to_save;              /* "norm,lm_head": trained whole beside LoRA; NULL: none */
    char *rank_pattern, *alpha_pattern; /* "k_proj=8,.*down_proj=4"; NULL: none */
    bool use_rslora, use_dora;
    char *init_adapter; /* where init/ came from; NULL: a fresh one */
    char *template;     /* where chat_template.jinja came from: a name or a file; NULL or "": the model's own */
    /* the course, under TRL's names */
    double epochs;
    int64_t max_steps; /* 0: by epochs */
    int64_t batch_size, grad_accum;
    double learning_rate;
    char *schedule;
    double warmup_ratio;
    int64_t warmup_steps; /* -1: by ratio */
    double weight_decay, max_grad_norm;
    double neftune_noise_alpha; /* 0: none */
    double loraplus_lr_ratio;   /* LoRA+: B and magnitudes learn so many times as fast as A; 1: not */
    int64_t max_length;
    int64_t seed;
    bool no_shuffle;           /* the file's order in every epoch */
    int64_t eval_every;        /* steps; 0: four times an epoch */
    int64_t patience;          /* evaluations without improvement before the run ends; 0: never */
    int64_t checkpoint_every;  /* steps; 0: by time alone */
    double checkpoint_seconds; /* and at the latest after this many seconds; 0: by steps alone */
    char *sample_prompts;      /* where prompts.jsonl came from; NULL: none are answered */
    int64_t sample_every;      /* steps; 0: as often as validation */
    int64_t sample_tokens;
    /* against forgetting */
    char *general;      /* where general.jsonl came from: its loss is measured with the validation; NULL: none */
    char *general_hash; /* of general.jsonl */
    int64_t general_rows;
    char *replay; /* where the general rows in train.jsonl came from; NULL: there are none */
    double replay_fraction;
    int64_t replay_rows; /* how many there are */
    double kl_weight;    /* of KL to the base on those rows (net.h, ts_held); 0: none */
    double l2_delta;     /* penalty.h; 0: none */
    double ewc_lambda;   /* the same */
    char *ewc_form;      /* "adapter" (penalty.h) or "base" (fisher.h) */
    char *ewc_data;      /* where ewc.jsonl came from; NULL: there is none */
    char *ewc_hash;      /* of ewc.jsonl */
    int64_t ewc_rows;
    /* how it is calculated: part of "the same bits" */
    char *precision; /* "f32" */
    int64_t micro_tokens, threads;
    bool gradient_checkpointing;
    bool deterministic; /* the kernel "exact" (kernels.h): a run made anywhere can be made again anywhere */
    char *kernel;       /* OpenBLAS's core type at the first start; "" before */
    char *version;      /* of the program that made the run */
    int64_t created_ms;
} ts_run_settings;

/* The options of `train`, once for all: defaults, limits, run.json, the command line and the form are made from this
 * table. X(option, member, kind, value, help, default, least, most); for text least and most mean nothing. */
#define TS_RUN_OPTIONS(X)                                                                                              \
    X("method", method, TEXT, "NAME", "lora; qlora: over a base rounded to 4 bits (NF4); full: all weights", "lora",   \
      0, 0)                                                                                                            \
    X("preset", preset, TEXT, "NAME",                                                                                  \
      "settings for a purpose: style, hundreds, thousands (plan tells why); other options win", "none", 0, 0)          \
    X("train-modules", train_modules, TEXT, "WHAT",                                                                    \
      "full: only these: names (embed_tokens,norm), all-linear or a regular expression", NULL, 0, 0)                   \
    X("layers-to-transform", layers_to_transform, TEXT, "LAYERS", "only in these layers: 20-29 or 0,3,5", NULL, 0, 0)  \
    X("weights", weights, TEXT, "TYPE",                                                                                \
      "full: keep them in f32, or in bf16 (2 bytes each, every update rounded stochastically)", "f32", 0, 0)           \
    X("r", r, INT, "N", "rank of the adapter", "16", 1, 4096)                                                          \
    X("lora-alpha", lora_alpha, NUM, "X", "the adapter is multiplied by alpha / r", "32", 1e-6, 1e6)                   \
    X("lora-dropout", lora_dropout, NUM, "P", "dropout before the adapter", "0", 0, 0.95)                              \
    X("target-modules", target_modules, TEXT, "WHAT", "all-linear, names (q_proj,v_proj) or a regular expression",     \
      "all-linear", 0, 0)                                                                                              \
    X("use-rslora", use_rslora, BOOL, NULL, "scale by alpha / sqrt(r)", "no", 0, 0)                                    \
    X("use-dora", use_dora, BOOL, NULL, "DoRA: train the length of every row of the weights too", "no", 0, 0)          \
    X("modules-to-save", modules_to_save, TEXT, "NAMES", "train these whole beside LoRA: norm, embed_tokens, lm_head", \
      NULL, 0, 0)                                                                                                      \
    X("rank-pattern", rank_pattern, TEXT, "P=N,..", "another rank for modules whose path ends in P", NULL, 0, 0)       \
    X("alpha-pattern", alpha_pattern, TEXT, "P=X,..", "another alpha for such modules", NULL, 0, 0)                    \
    X("init-adapter", init_adapter, TEXT, "DIR", "go on from this PEFT adapter", NULL, 0, 0)                           \
    X("template", template, TEXT, "NAME|FILE", "chat template instead of the model's: alpaca, chatml, llama2, plain",  \
      NULL, 0, 0)                                                                                                      \
    X("epochs", epochs, NUM, "X", "how often every example is seen", "3", 1e-6, 1e6)                                   \
    X("max-steps", max_steps, INT, "N", "stop after N steps; 0: by epochs", "0", 0, 1000000000)                        \
    X("batch-size", batch_size, INT, "N", "examples a step", "8", 1, 1000000)                                          \
    X("grad-accum", grad_accum, INT, "N", "batches a step", "1", 1, 1000000)                                           \
    X("learning-rate", learning_rate, NUM, "X", "highest learning rate", "2e-4", 0, 100)                               \
    X("schedule", schedule, TEXT, "NAME", "cosine, linear, constant or wsd", "cosine", 0, 0)                           \
    X("warmup-ratio", warmup_ratio, NUM, "SHARE", "share of the steps in which the rate rises", "0.03", 0, 1)          \
    X("warmup-steps", warmup_steps, INT, "N", "steps in which the rate rises; -1: by ratio", "-1", -1, 1000000000)     \
    X("weight-decay", weight_decay, NUM, "X", "AdamW's weight decay", "0", 0, 100)                                     \
    X("neftune-noise-alpha", neftune_noise_alpha, NUM, "X",                                                            \
      "noise on the embeddings while training; 0: none (5 is usual)", "0", 0, 1e4)                                     \
    X("loraplus-lr-ratio", loraplus_lr_ratio, NUM, "X", "LoRA+: B learns X times as fast as A; 1: not (16 is usual)",  \
      "1", 1, 1e4)                                                                                                     \
    X("max-grad-norm", max_grad_norm, NUM, "X", "gradients are clipped to this norm; 0: not", "1", 0, 1e9)             \
    X("max-length", max_length, INT, "N", "longer examples are cut at the end", "1024", 2, 1000000)                    \
    X("seed", seed, INT, "N", "order of examples, first values, dropout", "42", 0, 9007199254740991)                   \
    X("no-shuffle", no_shuffle, BOOL, NULL, "keep the order of the file", "no", 0, 0)                                  \
    X("valid", valid_fraction, NUM, "SHARE", "share of the rows held out for validation", "0.1", 0, 0.9)               \
    X("where", where, TEXT, "QUERY", "rows to train on (status=accepted)", NULL, 0, 0)                                 \
    X("eval-every", eval_every, INT, "N", "steps between validations; 0: four an epoch", "0", 0, 1000000000)           \
    X("patience", patience, INT, "N", "validations without gain before the run ends; 0: never", "0", 0, 1000000000)    \
    X("checkpoint-every", checkpoint_every, INT, "N", "steps between checkpoints; 0: by time", "0", 0, 1000000000)     \
    X("checkpoint-seconds", checkpoint_seconds, NUM, "X", "and at the latest after so long; 0: never", "60", 0, 1e9)   \
    X("sample-prompts", sample_prompts, TEXT, "FILE", "prompts to answer while it trains, one a line", NULL, 0, 0)     \
    X("sample-every", sample_every, INT, "N", "steps between the answers; 0: as validation", "0", 0, 1000000000)       \
    X("sample-tokens", sample_tokens, INT, "N", "tokens such an answer may have", "64", 1, 100000)                     \
    X("general", general, TEXT, "FILE", "general rows whose loss is measured before, during and after", NULL, 0, 0)    \
    X("replay", replay, TEXT, "FILE", "general rows to mix among those that are trained on", NULL, 0, 0)               \
    X("replay-fraction", replay_fraction, NUM, "SHARE", "with --replay: their share of all rows", "0.1", 0, 0.9)       \
    X("kl-weight", kl_weight, NUM, "X",                                                                                \
      "with --replay: penalty X times how far the model goes from its base on those rows (KL)", "0", 0, 1e6)           \
    X("l2-delta", l2_delta, NUM, "X", "penalty X times the squares of the change that LoRA makes to the weights", "0", \
      0, 1e6)                                                                                                          \
    X("ewc-lambda", ewc_lambda, NUM, "X", "EWC holds what the rows of --ewc-data need, so strongly; 0: not", "0", 0,   \
      1e9)                                                                                                             \
    X("ewc-form", ewc_form, TEXT, "NAME", "of --ewc-lambda: adapter (what --init-adapter has learned) or base",        \
      "adapter", 0, 0)                                                                                                 \
    X("ewc-data", ewc_data, TEXT, "FILE", "with --ewc-lambda: rows of the earlier task, or general rows", NULL, 0, 0)  \
    X("precision", precision, TEXT, "NAME", "f32, or auto (f32 until bf16 is there)", "auto", 0, 0)                    \
    X("gradient-checkpointing", gradient_checkpointing, BOOL, NULL,                                                    \
      "calculate layers twice instead of keeping them: less memory, the same bits", "no", 0, 0)                        \
    X("micro-tokens", micro_tokens, INT, "N", "tokens calculated at once: memory against speed", "512", 16, 1000000)   \
    X("threads", threads, INT, "N", "processor threads; 0: all", "0", 0, 1024)                                         \
    X("deterministic", deterministic, BOOL, NULL,                                                                      \
      "the same bits on any processor with AVX2, with any threads and compiler; slower", "no", 0, 0)

/* Every member at its default; strings are the struct's own. */
void ts_run_settings_init(ts_run_settings *s);
void ts_run_settings_release(ts_run_settings *s);
/* EWC's form b: the base's weights are held (fisher.h). */
bool ts_run_ewc_base(const ts_run_settings *s);
/* Replaces a string member: ts_run_set(&s->model, "x"). */
void ts_run_set(char **member, const char *value);
/* Values out of range, unknown names: TS_INVALID names the option ("--batch-size"), the value, and what is possible.
 * precision "auto" becomes "f32". */
TS_MUST_USE ts_status ts_run_settings_check(ts_run_settings *s, ts_err *err);
/* Sets one option from text as typed ("batch-size", "8"); flags take "yes" and "no". TS_NOT_FOUND: no such option. */
TS_MUST_USE ts_status ts_run_settings_set(ts_run_settings *s, const char *option, const char *value, ts_err *err);
void ts_run_settings_write(const ts_run_settings *s, ts_buf *out); /* run.json's text, one member a line */
/* Members that are missing keep their defaults (a run of an older version); s is initialised here. */
TS_MUST_USE ts_status ts_run_settings_read(const char *run_dir, ts_run_settings *s, ts_err *err);
/* The `tunesmith train` options that differ from the defaults, as a person would type them: the form's "equal
 * command line". Appended to out. */
void ts_run_settings_command(const ts_run_settings *s, ts_buf *out);

/* Makes run_dir (must be new or empty), copies train and valid (NULL: none), the adapter (s->init_adapter) and the chat
 * template (s->template) into it, hashes the model (s->model) and the data, writes run.json. Hashes, rows and version
 * of *s are filled in. On failure what was made is removed again. */
TS_MUST_USE ts_status ts_run_create(const char *run_dir, ts_run_settings *s, const char *train_file,
                                    const char *valid_file, ts_progress *progress, ts_err *err);

/* How a run trains. */
typedef struct ts_method_facts {
    const char *name, *help;
    bool four_bits;   /* the base's linears are rounded to 4 bits while it trains */
    bool whole;       /* weights of the model itself are trained: the result is a model, not an adapter */
    const char *last; /* folder of the last result: "adapter" or "model" */
} ts_method_facts;
enum { TS_METHODS = 3 };
extern const ts_method_facts ts_methods[TS_METHODS];
/* NULL: settings.method names none. */
const ts_method_facts *ts_run_method(const ts_run_settings *s);

/* Are they kept in bf16 (full fine-tuning)? */
bool ts_run_weights_bf16(const ts_run_settings *s);

/* Settings that fit together, by how much there is to learn from. */
typedef struct ts_preset {
    const char *name, *purpose, *why;
    const char *rank, *alpha, *dropout; /* of adapters */
    const char *rate, *full_rate;       /* learning rate of adapters, and of the weights themselves */
    const char *epochs, *batch, *patience;
} ts_preset;
enum { TS_PRESETS = 3 };
extern const ts_preset ts_presets[TS_PRESETS];
const ts_preset *ts_preset_named(const char *name); /* NULL: there is none */
/* Every option that it sets for this method, as ts_run_settings_set takes them; how many (at most 8). Setting the
 * option "preset" sets these too, so it comes after the method and before what is to win over it. */
size_t ts_preset_options(const ts_preset *p, const ts_run_settings *s, const char *options[8][2]);

struct ts_model;
struct ts_adapter;
/* How many of m's weights an adapter of these settings changes, and the longest row of them; 0 without an adapter. */
TS_MUST_USE ts_status ts_run_weights(const ts_run_settings *s, const struct ts_model *m, size_t *out, size_t *cols,
                                     ts_err *err);
/* How many parameters these settings train on m, without memory for them, and the largest sum of the ranks of a layer
 * (NULL: not asked). TS_INVALID: what they name is not in m. */
TS_MUST_USE ts_status ts_run_params(const ts_run_settings *s, const struct ts_model *m, size_t *out, size_t *ranks,
                                    ts_err *err);
/* What a run starts from (not from an init_adapter): a fresh adapter, or the model's weights. */
TS_MUST_USE ts_status ts_run_fresh(const ts_run_settings *s, const struct ts_model *m, uint64_t seed,
                                   struct ts_adapter **out, ts_err *err);

/* The chat template that an adapter was trained with: the path of the chat_template.jinja in its folder or, for a run's
 * (RUN/best, RUN/adapter, RUN/model), in the run's. A whole model's own template is the model's, not the adapter's.
 * NULL: none was chosen. The caller frees. */
char *ts_adapter_template(const char *adapter_dir);

/* "host boot-id pid": what the lock file says. */
void ts_run_lock_words(char *out, size_t n);

typedef enum ts_run_state {
    TS_RUN_NEW,     /* made, never started (or starting) */
    TS_RUN_RUNNING, /* the lock is held */
    TS_RUN_DONE,
    TS_RUN_STOPPED, /* on request; can be resumed */
    TS_RUN_FAILED,  /* ended with a sentence (ts_follow.reason) */
    TS_RUN_CRASHED, /* nobody holds the lock and there is no end event: killed, power cut; can be resumed */
    TS_RUN_WAITING, /* in the queue of its workspace: trains when it is its turn */
    TS_RUN_HELD,    /* in the queue, and passed over until it is released */
} ts_run_state;
extern const char *const ts_run_state_names[]; /* "new", "running", ... */

/* The place of a run in its workspace's queue (eval/runs_queue.h): the file `queue` in its folder, "3" or "3 held".
 * Lower ones go first. It lies in the run's own folder, so it survives whatever ends, and moves with the run; training
 * takes it away once it has the lock. */
typedef struct ts_run_place {
    int64_t place; /* from 1; 0: the run does not wait */
    bool held;
} ts_run_place;
ts_run_place ts_run_place_read(const char *run_dir);
TS_MUST_USE ts_status ts_run_place_write(const char *run_dir, ts_run_place p, ts_err *err); /* place 0: out of it */

/* Asks the training process to write a checkpoint and end: SIGTERM to the pid in the lock, queued with a value, which
 * tells it from a SIGTERM of anybody else (ts_run_stop_asked). TS_NOT_FOUND when nobody trains this run,
 * TS_UNSUPPORTED when it runs on another host. */
TS_MUST_USE ts_status ts_run_stop(const char *run_dir, ts_err *err);
/* In a handler of SIGTERM: it came from ts_run_stop. The machine that shuts down sends one too, and then nothing new is
 * to be started. */
bool ts_run_stop_asked(int si_code);
/* The pid that trains this run on this host; 0 when nobody does. */
int ts_run_pid(const char *run_dir);

/* What holds a run against forgetting, in the order and under the names of its events. */
enum { TS_PENALTY_KL, TS_PENALTY_L2, TS_PENALTY_EWC, TS_PENALTIES };
extern const char *const ts_penalty_names[TS_PENALTIES]; /* "kl", "l2", "ewc" */

/* Following a run: everything its events say, read as they are appended. A run that is resumed behind the reader's
 * back cuts events.jsonl; the reader notices and starts over. */
typedef struct ts_point {
    int64_t step;
    double loss, lr, grad_norm, tokens, supervised, seconds;
} ts_point;
typedef struct ts_eval_point {
    int64_t step;
    double loss;
    bool best;
} ts_eval_point;

typedef struct ts_run_sample {
    int64_t step;
    size_t prompt; /* index into ts_follow.prompts */
    char *text;
} ts_run_sample;

typedef struct ts_follow {
    char *dir;
    ts_run_state state;
    char reason[256]; /* of the end: why it stopped or failed; "" */
    ts_run_place place;
    char paused[256]; /* why a run that goes on waits: the disk is full; "" */
    ts_point *points;
    size_t n_points, cap_points;
    ts_eval_point *evals;
    size_t n_evals, cap_evals;
    char **prompts; /* what was asked */
    size_t n_prompts, cap_prompts;
    ts_run_sample *samples; /* what was answered, oldest first, at most 1,000 */
    size_t n_samples, cap_samples;
    ts_eval_point *generals; /* loss on general rows; best is false */
    size_t n_generals, cap_generals;
    /* the start event */
    int64_t steps, examples, tokens_per_epoch, supervised_per_epoch, truncated, unsupervised;
    int64_t trainable_params, all_params;
    double epochs;
    char kernel[32], host[64]; /* "": not known */
    int threads;
    /* where it is */
    int64_t step;
    double seconds;                                  /* trained so far, all starts together */
    double eta;                                      /* seconds; NAN: not known */
    double tokens_per_second, supervised_per_second; /* over the last 20 steps */
    double train_loss;                               /* token-weighted over the last epoch's worth of steps; NAN */
    double valid_loss, best_valid_loss;              /* NAN: none */
    double general_loss, general_before;             /* now and before the first step; NAN: not measured */
    double penalties[TS_PENALTIES];                  /* what each added to the loss of the last step; NAN: not used */
    int64_t best_step;                               /* -1 */
    int64_t peak_rss;                                /* bytes; 0: not known yet */
    /* the latest lines for people ("09:58:12 step 230 loss 1.842 ..."), oldest first, at most 200 */
    char **log;
    size_t n_log, cap_log;
    /* private */
    int64_t offset;
    uint64_t inode;
    bool ended;
    ts_run_state end_state;
} ts_follow;

void ts_follow_init(ts_follow *f, const char *run_dir);
/* Reads what was appended since the last call (a few file-system calls when nothing was). *changed: something to draw.
 * Cheap enough for a worker ten times a second; not for the UI thread. */
TS_MUST_USE ts_status ts_follow_poll(ts_follow *f, bool *changed, ts_err *err);
void ts_follow_release(ts_follow *f);

#endif
