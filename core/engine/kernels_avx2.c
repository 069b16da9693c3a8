/* Built with -m flags of its own (CMakeLists.txt); empty elsewhere. */
#include "core/engine/kernels.h"

#if defined(__AVX2__)
#define KERNELS ts_kernels_avx2
#define KERNELS_NAME "avx2"
#include "core/engine/kernels_body.h"
#else
const ts_kernels *ts_kernels_avx2(void) {
    return NULL;
}
#endif
