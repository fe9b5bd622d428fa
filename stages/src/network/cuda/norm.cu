// Batch norm with ReLU, and its gradient.
//
// What is summed over pixels is summed by a fixed tree (a thread's rows, a block's threads, then the blocks in
// double), so that equal input gives equal bytes.

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
struct Coefficients {
    const float *mean, *rstd, *scale, *shift;
    __device__ inline Coefficients(const float *state, int stride)
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
    norm_coefficients(const float *parts, int chunks, int chunk, int rows, int c, const float *weight,
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
    running_coefficients(const float *theta, const int *places, const float *mean, const float *variance, float *state,
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
__device__ inline void norm_relu(const T *x, const T *add, int c, u32 packs, const float *state, int stride,
                                T *out) {
    const u32 at = blockIdx.x * BLOCK + threadIdx.x;
    if (at >= packs) return;
    const int first = at % (c / V) * V;
    const Coefficients s(state, stride);
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
    const Coefficients s(state, stride);
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
        const Coefficients s(state, stride);
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
    const Coefficients s(state, stride);
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

#define KERNELS(T, V, NAME)                                                                                     \
    KERNEL moments_##NAME(T *x, const T *add, int rows, int c, int chunk, float *parts) {                       \
        moments<T, V>(x, add, rows, c, chunk, parts);                                                           \
    }                                                                                                           \
    KERNEL norm_relu_##NAME(const T *x, const T *add, int c, u32 packs, const float *state, int stride, T *out) { \
        norm_relu<T, V>(x, add, c, packs, state, stride, out);                                                  \
    }                                                                                                           \
    KERNEL norm_sums_##NAME(const T *da, const T *add, const T *x, int rows, int c, int chunk,                  \
                            const float *state, int stride, float *parts) {                                     \
        norm_sums<T, V>(da, add, x, rows, c, chunk, state, stride, parts);                                      \
    }                                                                                                           \
    KERNEL norm_gradient_##NAME(const T *da, const T *add, const T *x, int c, u32 packs, const float *state,    \
                                int stride, const float *slopes, T *out) {                                      \
        norm_gradient<T, V>(da, add, x, c, packs, state, stride, slopes, out);                                  \
    }

KERNELS(float, 4, f32_4)
KERNELS(float, 1, f32_1)
KERNELS(bf16, 8, bf16_8)
KERNELS(bf16, 1, bf16_1)
#undef KERNELS
