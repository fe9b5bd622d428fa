// Pooling, layouts of images and weights, and the updates of parameters.

// (n, area, c) + the same → their mean over the area, (n, c).
template <class T> __device__ inline void pool(const T *x, const T *add, int area, int c, u32 n, float *out) {
    const u32 at = blockIdx.x * BLOCK + threadIdx.x;
    if (at >= n * c) return;
    const u64 first = (u64)(at / c) * area * c + at % c;
    float sum = 0.0f;
    for (int p = 0; p < area; p++) sum += widen(x[first + (u64)p * c]) + widen(add[first + (u64)p * c]);
    out[at] = sum / area;
}

// The gradient of `pool`: (n, c) → (n, area, c).
template <class T> __device__ inline void unpool(const float *grad, int area, int c, u32 n, T *out) {
    const u64 at = (u64)blockIdx.x * BLOCK + threadIdx.x;
    if (at >= (u64)n * area * c) return;
    out[at] = Narrow<T>::of(grad[at / ((u64)area * c) * c + at % c] / area);
}

// Pixels of c floats → pixels of `memory` values, the rest zero.
template <class T> __device__ inline void images(const float *x, u32 pixels, int c, int memory, T *out) {
    const u64 at = (u64)blockIdx.x * BLOCK + threadIdx.x;
    if (at >= (u64)pixels * memory) return;
    const int k = at % memory;
    out[at] = Narrow<T>::of(k < c ? x[at / memory * c + k] : 0.0f);
}

// One convolution's weight: (taps, cin, cout) in the flat parameters at `flat`, (cout, taps, memory) in the
// packed ones at `packed`, memory ≥ cin. Its tiles of 32 × 32 are numbered from `tile`.
struct Weight {
    int flat, packed, cin, memory, cout, taps, tile;
};

// Where a block's tile of weights is: row `in`, column `out` of tap `tap`.
struct Corner {
    Weight w;
    int tap, in, out;
    __device__ inline Corner(const Weight *weights, int count) {
        int low = 0, high = count;
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (weights[middle].tile <= (int)blockIdx.x) low = middle; else high = middle;
        }
        w = weights[low];
        const int tile = blockIdx.x - w.tile, wide = (w.cout + 31) / 32, high_ = (w.memory + 31) / 32;
        out = tile % wide * 32;
        in = tile / wide % high_ * 32;
        tap = tile / wide / high_;
    }
    __device__ inline u64 flat(int i, int o) const { return w.flat + ((u64)tap * w.cin + i) * w.cout + o; }
    __device__ inline u64 packed(int i, int o) const { return w.packed + ((u64)o * w.taps + tap) * w.memory + i; }
};

// All weights, flat → packed, through a tile so that reads and writes are both of neighbours.
template <class T> __device__ inline void pack(const float *flat, const Weight *weights, int count, T *packed) {
    __shared__ float tile[32][33];
    const Corner at(weights, count);
    for (int y = threadIdx.y; y < 32; y += 8) {
        const int i = at.in + y, o = at.out + threadIdx.x;
        tile[y][threadIdx.x] = i < at.w.cin && o < at.w.cout ? flat[at.flat(i, o)] : 0.0f;
    }
    __syncthreads();
    for (int y = threadIdx.y; y < 32; y += 8) {
        const int i = at.in + threadIdx.x, o = at.out + y;
        if (i < at.w.memory && o < at.w.cout) packed[at.packed(i, o)] = Narrow<T>::of(tile[threadIdx.x][y]);
    }
}

// The gradients of all weights, packed → flat.
template <class T> __device__ inline void unpack(const T *packed, const Weight *weights, int count, float *flat) {
    __shared__ float tile[32][33];
    const Corner at(weights, count);
    for (int y = threadIdx.y; y < 32; y += 8) {
        const int i = at.in + threadIdx.x, o = at.out + y;
        if (i < at.w.memory && o < at.w.cout) tile[threadIdx.x][y] = widen(packed[at.packed(i, o)]);
    }
    __syncthreads();
    for (int y = threadIdx.y; y < 32; y += 8) {
        const int i = at.in + y, o = at.out + threadIdx.x;
        if (i < at.w.cin && o < at.w.cout) flat[at.flat(i, o)] = tile[y][threadIdx.x];
    }
}

// v ← momentum·v + (g + decay·w); w ← w − rate·v.
extern "C" __global__ void __launch_bounds__(BLOCK)
    sgd(float *w, float *v, const float *g, u64 n, float momentum, float decay, float rate) {
    for (u64 i = (u64)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (u64)gridDim.x * BLOCK) {
        v[i] = momentum * v[i] + (g[i] + decay * w[i]);
        w[i] -= rate * v[i];
    }
}

// key ← decay·key + rest·query.
extern "C" __global__ void __launch_bounds__(BLOCK)
    average(float *key, const float *query, u64 n, float decay, float rest) {
    for (u64 i = (u64)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (u64)gridDim.x * BLOCK) {
        key[i] = decay * key[i] + rest * query[i];
    }
}

#define SINGLE(T, NAME)                                                                                         \
    KERNEL pool_##NAME(const T *x, const T *add, int area, int c, u32 n, float *out) {                          \
        pool<T>(x, add, area, c, n, out);                                                                       \
    }                                                                                                           \
    KERNEL unpool_##NAME(const float *grad, int area, int c, u32 n, T *out) {                                   \
        unpool<T>(grad, area, c, n, out);                                                                       \
    }                                                                                                           \
    KERNEL images_##NAME(const float *x, u32 pixels, int c, int memory, T *out) {                               \
        images<T>(x, pixels, c, memory, out);                                                                   \
    }                                                                                                           \
    KERNEL pack_##NAME(const float *flat, const Weight *weights, int count, T *packed) {                        \
        pack<T>(flat, weights, count, packed);                                                                  \
    }                                                                                                           \
    KERNEL unpack_##NAME(const T *packed, const Weight *weights, int count, float *flat) {                      \
        unpack<T>(packed, weights, count, flat);                                                                \
    }

SINGLE(float, f32)
SINGLE(bf16, bf16)
