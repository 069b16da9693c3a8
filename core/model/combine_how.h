/* The ways to add adapters up (adapter_combine.h), for who only offers the choice. */
#ifndef TS_MODEL_COMBINE_HOW_H
#define TS_MODEL_COMBINE_HOW_H

typedef enum ts_combine_how { TS_COMBINE_CAT, TS_COMBINE_LINEAR, TS_COMBINE_SVD, TS_COMBINE_HOWS } ts_combine_how;
extern const char *const ts_combine_names[TS_COMBINE_HOWS + 1]; /* ends with NULL */

#endif
