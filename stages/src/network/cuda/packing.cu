// Images and weights into the layout and type that convolutions take, and the gradients of weights back.

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

#define KERNELS(T, NAME)                                                                                        \
    KERNEL images_##NAME(const float *x, u32 pixels, int c, int memory, T *out) {                               \
        images<T>(x, pixels, c, memory, out);                                                                   \
    }                                                                                                           \
    KERNEL pack_##NAME(const float *flat, const Weight *weights, int count, T *packed) {                        \
        pack<T>(flat, weights, count, packed);                                                                  \
    }                                                                                                           \
    KERNEL unpack_##NAME(const T *packed, const Weight *weights, int count, float *flat) {                      \
        unpack<T>(packed, weights, count, flat);                                                                \
    }

KERNELS(float, f32)
KERNELS(bf16, bf16)
#undef KERNELS
