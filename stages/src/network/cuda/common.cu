// What the kernels share: types, and loads of several values at once.
//
// Tensors are channels-last: `rows` pixels of `c` channels. They are stored as T (float or bf16) and computed
// in float. V channels are read at once where V divides c. All files are compiled as one, by NVRTC and
// without headers, so that machines need the libraries alone.
//
// BLOCK (threads of a block) and EPSILON (of every norm) are defined by kernels.rs.

typedef unsigned int u32;
typedef unsigned long long u64;

struct bf16 {
    unsigned short bits;
};

__device__ inline float widen(float v) { return v; }
__device__ inline float widen(bf16 v) { return __uint_as_float((u32)v.bits << 16); }

template <class T> struct Narrow;
template <> struct Narrow<float> {
    static __device__ inline float of(float v) { return v; }
};
template <> struct Narrow<bf16> {
    // Round to nearest, ties to even.
    static __device__ inline bf16 of(float v) {
        bf16 r;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(v));
#else
        const u32 u = __float_as_uint(v);
        const u32 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
        r.bits = (unsigned short)((u & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
#endif
        return r;
    }
};

template <class T, int V> struct alignas(sizeof(T) * V) Pack {
    T v[V];
};

template <class T, int V> __device__ inline Pack<T, V> load(const T *from, u64 pack) {
    return reinterpret_cast<const Pack<T, V> *>(from)[pack];
}
template <class T, int V> __device__ inline void store(T *to, u64 pack, const Pack<T, V> &value) {
    reinterpret_cast<Pack<T, V> *>(to)[pack] = value;
}

#define KERNEL extern "C" __global__ void __launch_bounds__(BLOCK)
