/* The random acts of random_acts_test.c, 10,000 of them.
 * labels: slow */
#define TS_ACTS 10000
#include "tests/dataset/random_acts_test.c"
