#include "core/engine/kernels.h"

#define KERNELS ts_kernels_plain
#define KERNELS_NAME "plain"
#include "core/engine/kernels_body.h"
