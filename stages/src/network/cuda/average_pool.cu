// The average pool over the pixels of an image, and its gradient.

// (n, area, c) + the same → their mean over the area, (n, c).
template <class T>
__device__ inline void average_pool(const T *x, const T *add, int area, int c, u32 n, float *out) {
    const u32 at = blockIdx.x * BLOCK + threadIdx.x;
    if (at >= n * c) return;
    const u64 first = (u64)(at / c) * area * c + at % c;
    float sum = 0.0f;
    for (int p = 0; p < area; p++) sum += widen(x[first + (u64)p * c]) + widen(add[first + (u64)p * c]);
    out[at] = sum / area;
}

// The gradient of `average_pool`: (n, c) → (n, area, c).
template <class T> __device__ inline void average_pool_gradient(const float *grad, int area, int c, u32 n, T *out) {
    const u64 at = (u64)blockIdx.x * BLOCK + threadIdx.x;
    if (at >= (u64)n * area * c) return;
    out[at] = Narrow<T>::of(grad[at / ((u64)area * c) * c + at % c] / area);
}

#define KERNELS(T, NAME)                                                                                        \
    KERNEL average_pool_##NAME(const T *x, const T *add, int area, int c, u32 n, float *out) {                  \
        average_pool<T>(x, add, area, c, n, out);                                                               \
    }                                                                                                           \
    KERNEL average_pool_gradient_##NAME(const float *grad, int area, int c, u32 n, T *out) {                    \
        average_pool_gradient<T>(grad, area, c, n, out);                                                        \
    }

KERNELS(float, f32)
KERNELS(bf16, bf16)
#undef KERNELS
