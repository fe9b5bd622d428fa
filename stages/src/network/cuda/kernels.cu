// The element-wise and reducing kernels of the trunk: batch norm with ReLU and its gradient, pooling, layouts
// of weights and images, SGD and moving averages. The convolutions between them are cuDNN's.
//
// Tensors are channels-last: `rows` pixels of `c` channels. They are stored as T (float or bf16) and computed
// in float; what is summed over pixels is summed by a fixed tree (a thread's rows, a block's threads, then the
// blocks in double), so that equal input gives equal bytes. V channels are read at once where V divides c.
//
// No headers: NVRTC compiles this on machines that have the libraries alone.

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

// How a block's threads share its tile of channels: `groups` packs side by side, `lanes` rows at a time.
struct Tile {
    int first, groups, lanes, group, lane;
    __device__ inline Tile(int packs) {
        first = blockIdx.y * BLOCK;
        groups = packs - first < BLOCK ? packs - first : BLOCK;
        lanes = BLOCK / groups;
        group = threadIdx.x % groups;
        lane = threadIdx.x / groups;
    }
};

// Coefficients of a norm: four arrays, `stride` apart.
struct State {
    const float *mean, *rstd, *scale, *shift;
    __device__ inline State(const float *state, int stride)
        : mean(state), rstd(state + stride), scale(state + 2 * stride), shift(state + 3 * stride) {}
};

// x += add where there is one; mean and sum of squared deviations of each channel over this block's rows.
// parts: (chunks, 2, c).
template <class T, int V>
__device__ inline void moments(T *x, const T *add, int rows, int c, int chunk, float *parts) {
    __shared__ float means[BLOCK * V], squares[BLOCK * V];
    __shared__ int counts[BLOCK];
    const int packs = c / V;
    const Tile t(packs);
    const int from = blockIdx.x * chunk, to = from + chunk < rows ? from + chunk : rows;
    float shift[V], sum[V], square[V];
    int n = 0;
    for (int i = 0; i < V; i++) shift[i] = sum[i] = square[i] = 0.0f;
    if (t.lane < t.lanes) {
        // Deviations from the first value, lest the squares of a large mean hide a small variance.
        if (from + t.lane < to) {
            const u64 at = (u64)(from + t.lane) * packs + t.first + t.group;
            const Pack<T, V> v = load<T, V>(x, at);
            for (int i = 0; i < V; i++) shift[i] = widen(v.v[i]);
        }
#pragma unroll 4
        for (int row = from + t.lane; row < to; row += t.lanes, n++) {
            const u64 at = (u64)row * packs + t.first + t.group;
            Pack<T, V> v = load<T, V>(x, at);
            if (add) {
                const Pack<T, V> a = load<T, V>(add, at);
                for (int i = 0; i < V; i++) v.v[i] = Narrow<T>::of(widen(v.v[i]) + widen(a.v[i]));
                store<T, V>(x, at, v);
            }
            for (int i = 0; i < V; i++) {
                const float d = widen(v.v[i]) - shift[i];
                sum[i] += d;
                square[i] = fmaf(d, d, square[i]);
            }
        }
    }
    const float inverse = n ? 1.0f / n : 0.0f;
    for (int i = 0; i < V; i++) {
        means[threadIdx.x * V + i] = shift[i] + sum[i] * inverse;
        squares[threadIdx.x * V + i] = fmaxf(square[i] - sum[i] * sum[i] * inverse, 0.0f);
    }
    counts[threadIdx.x] = n;
    __syncthreads();
    for (int j = threadIdx.x; j < t.groups * V; j += BLOCK) {
        float mean = 0.0f, m2 = 0.0f;
        for (int lane = 0; lane < t.lanes; lane++) {
            mean += counts[lane * t.groups + j / V] * means[lane * t.groups * V + j];
        }
        mean /= to - from;
        for (int lane = 0; lane < t.lanes; lane++) {
            const float d = means[lane * t.groups * V + j] - mean;
            m2 += squares[lane * t.groups * V + j] + counts[lane * t.groups + j / V] * d * d;
        }
        parts[(u64)blockIdx.x * 2 * c + t.first * V + j] = mean;
        parts[((u64)blockIdx.x * 2 + 1) * c + t.first * V + j] = m2;
    }
}

// The sum over threadIdx.y of each threadIdx.x, given to all.
__device__ inline double sum_lanes(double value) {
    __shared__ double sums[32][33];
    __syncthreads();
    sums[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    for (int half = 16; half > 0; half /= 2) {
        if (threadIdx.y < half) sums[threadIdx.y][threadIdx.x] += sums[threadIdx.y + half][threadIdx.x];
        __syncthreads();
    }
    return sums[0][threadIdx.x];
}

// From the parts of `moments` to a norm's coefficients, and to the batch's mean and unbiased variance.
extern "C" __global__ void __launch_bounds__(1024)
    norm_state(const float *parts, int chunks, int chunk, int rows, int c, const float *weight,
               const float *bias, float *state, int stride, float *means, float *variances) {
    const int k = blockIdx.x * 32 + threadIdx.x;
    double sum = 0.0;
    for (int p = threadIdx.y; k < c && p < chunks; p += 32) {
        const int n = rows - p * chunk < chunk ? rows - p * chunk : chunk;
        sum += (double)n * parts[(u64)p * 2 * c + k];
    }
    const double mean = sum_lanes(sum) / rows;
    double m2 = 0.0;
    for (int p = threadIdx.y; k < c && p < chunks; p += 32) {
        const int n = rows - p * chunk < chunk ? rows - p * chunk : chunk;
        const double d = parts[(u64)p * 2 * c + k] - mean;
        m2 += parts[((u64)p * 2 + 1) * c + k] + n * d * d;
    }
    m2 = sum_lanes(m2);
    if (threadIdx.y == 0 && k < c) {
        const double rstd = 1.0 / sqrt(m2 / rows + EPSILON);
        const double scale = weight[k] * rstd;
        state[k] = (float)mean;
        state[stride + k] = (float)rstd;
        state[2 * stride + k] = (float)scale;
        state[3 * stride + k] = (float)(bias[k] - mean * scale);
        means[k] = (float)mean;
        variances[k] = (float)(m2 / (rows > 1 ? rows - 1 : 1));
    }
}

// Coefficients of all norms from the running statistics; places: where each channel's weight and bias are.
extern "C" __global__ void __launch_bounds__(BLOCK)
    running_state(const float *theta, const int *places, const float *mean, const float *variance, float *state,
                  int n) {
    const int k = blockIdx.x * BLOCK + threadIdx.x;
    if (k >= n) return;
    const float rstd = 1.0f / sqrtf(variance[k] + (float)EPSILON);
    const float scale = theta[places[k]] * rstd;
    state[k] = mean[k];
    state[n + k] = rstd;
    state[2 * n + k] = scale;
    state[3 * n + k] = theta[places[n + k]] - mean[k] * scale;
}

// out = relu(norm(x + add)).
template <class T, int V>
__device__ inline void activate(const T *x, const T *add, int c, u32 packs, const float *state, int stride,
                                T *out) {
    const u32 at = blockIdx.x * BLOCK + threadIdx.x;
    if (at >= packs) return;
    const int first = at % (c / V) * V;
    const State s(state, stride);
    Pack<T, V> v = load<T, V>(x, at), a;
    if (add) a = load<T, V>(add, at);
    for (int i = 0; i < V; i++) {
        const float value = add ? widen(v.v[i]) + widen(a.v[i]) : widen(v.v[i]);
        v.v[i] = Narrow<T>::of(fmaxf(fmaf(value, s.scale[first + i], s.shift[first + i]), 0.0f));
    }
    store<T, V>(out, at, v);
}

// Sums over this block's rows of dz and dz·(x − mean)/sd, where dz is the gradient da + add of relu(norm(x))
// through the ReLU. parts: (chunks, 2, c).
template <class T, int V>
__device__ inline void norm_sums(const T *da, const T *add, const T *x, int rows, int c, int chunk,
                                 const float *state, int stride, float *parts) {
    __shared__ float sums[BLOCK * V], dots[BLOCK * V];
    const int packs = c / V;
    const Tile t(packs);
    const int from = blockIdx.x * chunk, to = from + chunk < rows ? from + chunk : rows;
    const int first = (t.first + t.group) * V;
    const State s(state, stride);
    float sum[V], dot[V], scale[V], shift[V], mean[V];
    for (int i = 0; i < V; i++) {
        sum[i] = dot[i] = 0.0f;
        scale[i] = s.scale[first + i];
        shift[i] = s.shift[first + i];
        mean[i] = s.mean[first + i];
    }
    if (t.lane < t.lanes) {
#pragma unroll 2
        for (int row = from + t.lane; row < to; row += t.lanes) {
            const u64 at = (u64)row * packs + t.first + t.group;
            const Pack<T, V> d = load<T, V>(da, at), v = load<T, V>(x, at);
            Pack<T, V> a;
            if (add) a = load<T, V>(add, at);
            for (int i = 0; i < V; i++) {
                const float value = widen(v.v[i]);
                float dz = add ? widen(d.v[i]) + widen(a.v[i]) : widen(d.v[i]);
                dz = fmaf(value, scale[i], shift[i]) > 0.0f ? dz : 0.0f;
                sum[i] += dz;
                dot[i] = fmaf(dz, value - mean[i], dot[i]);
            }
        }
    }
    for (int i = 0; i < V; i++) {
        sums[threadIdx.x * V + i] = sum[i];
        dots[threadIdx.x * V + i] = dot[i];
    }
    __syncthreads();
    for (int j = threadIdx.x; j < t.groups * V; j += BLOCK) {
        float sum = 0.0f, dot = 0.0f;
        for (int lane = 0; lane < t.lanes; lane++) {
            sum += sums[lane * t.groups * V + j];
            dot += dots[lane * t.groups * V + j];
        }
        parts[(u64)blockIdx.x * 2 * c + t.first * V + j] = sum;
        parts[((u64)blockIdx.x * 2 + 1) * c + t.first * V + j] = dot * s.rstd[t.first * V + j];
    }
}

// From the parts of `norm_sums` to the gradients of weight and bias, and to the b and c (`slopes`, two arrays
// of c values) of dx = scale·dz + b·(x − mean) + c.
extern "C" __global__ void __launch_bounds__(1024)
    norm_slopes(const float *parts, int chunks, int rows, int c, const float *state, int stride, float *dweight,
                float *dbias, float *slopes) {
    const int k = blockIdx.x * 32 + threadIdx.x;
    double sum = 0.0, dot = 0.0;
    for (int p = threadIdx.y; k < c && p < chunks; p += 32) {
        sum += parts[(u64)p * 2 * c + k];
        dot += parts[((u64)p * 2 + 1) * c + k];
    }
    sum = sum_lanes(sum);
    dot = sum_lanes(dot);
    if (threadIdx.y == 0 && k < c) {
        const State s(state, stride);
        const double scale = s.scale[k], rstd = s.rstd[k];
        dweight[k] = (float)dot;
        dbias[k] = (float)sum;
        slopes[k] = (float)(-scale * rstd * dot / rows);
        slopes[c + k] = (float)(-scale * sum / rows);
    }
}

// The gradient of x, given that of relu(norm(x)), da + add; out may be da.
template <class T, int V>
__device__ inline void norm_gradient(const T *da, const T *add, const T *x, int c, u32 packs, const float *state,
                                     int stride, const float *slopes, T *out) {
    const u32 at = blockIdx.x * BLOCK + threadIdx.x;
    if (at >= packs) return;
    const int first = at % (c / V) * V;
    const State s(state, stride);
    Pack<T, V> d = load<T, V>(da, at), a;
    const Pack<T, V> v = load<T, V>(x, at);
    if (add) a = load<T, V>(add, at);
    for (int i = 0; i < V; i++) {
        const int k = first + i;
        const float value = widen(v.v[i]), scale = s.scale[k];
        float dz = add ? widen(d.v[i]) + widen(a.v[i]) : widen(d.v[i]);
        dz = fmaf(value, scale, s.shift[k]) > 0.0f ? dz : 0.0f;
        d.v[i] = Narrow<T>::of(fmaf(scale, dz, fmaf(slopes[k], value - s.mean[k], slopes[c + k])));
    }
    store<T, V>(out, at, d);
}

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

#define KERNEL extern "C" __global__ void __launch_bounds__(BLOCK)

#define PACKED(T, V, NAME)                                                                                      \
    KERNEL moments_##NAME(T *x, const T *add, int rows, int c, int chunk, float *parts) {                       \
        moments<T, V>(x, add, rows, c, chunk, parts);                                                           \
    }                                                                                                           \
    KERNEL activate_##NAME(const T *x, const T *add, int c, u32 packs, const float *state, int stride, T *out) { \
        activate<T, V>(x, add, c, packs, state, stride, out);                                                   \
    }                                                                                                           \
    KERNEL norm_sums_##NAME(const T *da, const T *add, const T *x, int rows, int c, int chunk,                  \
                            const float *state, int stride, float *parts) {                                     \
        norm_sums<T, V>(da, add, x, rows, c, chunk, state, stride, parts);                                      \
    }                                                                                                           \
    KERNEL norm_gradient_##NAME(const T *da, const T *add, const T *x, int c, u32 packs, const float *state,    \
                                int stride, const float *slopes, T *out) {                                      \
        norm_gradient<T, V>(da, add, x, c, packs, state, stride, slopes, out);                                  \
    }

PACKED(float, 4, f32_4)
PACKED(float, 1, f32_1)
PACKED(bf16, 8, bf16_8)
PACKED(bf16, 1, bf16_1)

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
