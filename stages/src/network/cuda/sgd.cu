// A step of gradient descent with momentum and weight decay.

// v ← momentum·v + (g + decay·w); w ← w − rate·v.
KERNEL sgd(float *w, float *v, const float *g, u64 n, float momentum, float decay, float rate) {
    for (u64 i = (u64)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (u64)gridDim.x * BLOCK) {
        v[i] = momentum * v[i] + (g[i] + decay * w[i]);
        w[i] -= rate * v[i];
    }
}
