/* Built with -m flags of its own (CMakeLists.txt); empty elsewhere. */
#include "core/engine/kernels.h"

#if defined(__AVX512F__)
#define KERNELS ts_kernels_avx512
#define KERNELS_NAME "avx512"
#include "core/engine/kernels_body.h"
#else
const ts_kernels *ts_kernels_avx512(void) {
    return NULL;
}
#endif
