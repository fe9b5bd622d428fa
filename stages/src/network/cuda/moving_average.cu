// A step of an exponential moving average.

// key ← decay·key + rest·query.
KERNEL moving_average(float *key, const float *query, u64 n, float decay, float rest) {
    for (u64 i = (u64)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (u64)gridDim.x * BLOCK) {
        key[i] = decay * key[i] + rest * query[i];
    }
}
