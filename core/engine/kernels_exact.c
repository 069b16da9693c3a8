/* The kernels of AVX2 again, with every operation rounded as it is written (-ffp-contract=off): what is fused is what
 * vf_fma says, not what a compiler chooses. So gcc and clang, Intel's processors and AMD's give the same bits. */
#include "core/engine/kernels.h"

#if defined(__AVX2__)
#define KERNELS ts_kernels_exact
#define KERNELS_NAME "exact"
#include "core/engine/kernels_body.h"
#else
const ts_kernels *ts_kernels_exact(void) {
    return NULL;
}
#endif
