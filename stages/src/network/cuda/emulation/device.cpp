// A CUDA device made of this computer's processor, for tests on machines without a GPU: those functions of the
// driver, cuDNN and their like that the network calls, with the network's kernels compiled for the CPU and
// convolutions as plain sums. Built by g++ into one library that stands in for all of CUDA's.
//
// Fresh memory is all NaN, and writing past an allocation's end ends the program.

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

// ---- A block's threads: fibers that run in turn, each up to the next barrier.

struct Dim {
    unsigned x, y, z;
};
static Dim threadIdx, blockIdx, gridDim;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(64 * 1024);
    bool done;
};
static std::vector<Fiber *> fibers;
static ucontext_t scheduler;
static Fiber *current;
static void (*kernel)(void **);
static void **arguments;

static void __syncthreads() { swapcontext(&current->context, &scheduler); }

static void fiber() {
    kernel(arguments);
    current->done = true;
}

static void run_block(Dim block) {
    const unsigned threads = block.x * block.y;
    while (fibers.size() < threads) fibers.push_back(new Fiber);
    for (unsigned t = 0; t < threads; t++) {
        Fiber &f = *fibers[t];
        f.done = false;
        getcontext(&f.context);
        f.context.uc_stack = {f.stack.data(), 0, f.stack.size()};
        f.context.uc_link = &scheduler;
        makecontext(&f.context, fiber, 0);
    }
    for (bool any = true; any;) {
        any = false;
        for (unsigned t = 0; t < threads; t++) {
            if (fibers[t]->done) continue;
            current = fibers[t];
            threadIdx = {t % block.x, t / block.x, 0};
            swapcontext(&scheduler, &current->context);
            any = true;
        }
    }
}

// ---- The kernels.

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(n)

template <class To, class From> static To bits(From from) {
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static float __uint_as_float(unsigned v) { return bits<float>(v); }
static unsigned __float_as_uint(float v) { return bits<unsigned>(v); }

#define BLOCK 256
#define EPSILON 1e-5
#include "../common.cu"
#include "../norm.cu"
#include "../average_pool.cu"
#include "../packing.cu"
#include "../sgd.cu"
#include "../moving_average.cu"

template <class... A> struct Call {
    template <size_t... I> static void with(void (*f)(A...), void **args, std::index_sequence<I...>) {
        f(*static_cast<A *>(args[I])...);
    }
};
template <auto F> struct Entry;
template <class... A, void (*F)(A...)> struct Entry<F> {
    static void run(void **args) { Call<A...>::with(F, args, std::index_sequence_for<A...>()); }
};

static const std::map<std::string, void (*)(void **)> kernels = {
#define ONE(name) {#name, Entry<name>::run},
#define TWO(name) ONE(name##_f32) ONE(name##_bf16)
#define FOUR(name) ONE(name##_f32_4) ONE(name##_f32_1) ONE(name##_bf16_8) ONE(name##_bf16_1)
    FOUR(moments) FOUR(norm_relu) FOUR(norm_sums) FOUR(norm_gradient)
    TWO(average_pool) TWO(average_pool_gradient) TWO(images) TWO(pack) TWO(unpack)
    ONE(norm_coefficients) ONE(running_coefficients) ONE(norm_slopes) ONE(sgd) ONE(moving_average)
};

// ---- The driver.

#define API extern "C" __attribute__((visibility("default"))) int
typedef uint64_t At;

static const size_t GUARD = 64;
static std::mutex lock;
static std::map<At, size_t> sizes;

static int allocate(At *at, size_t bytes) {
    if (bytes > (size_t)1 << 34) return 2;  // CUDA_ERROR_OUT_OF_MEMORY
    std::lock_guard<std::mutex> held(lock);
    char *memory = (char *)aligned_alloc(256, (bytes + GUARD + 255) / 256 * 256);
    memset(memory, 0xff, bytes);
    memset(memory + bytes, 0x5a, GUARD);
    *at = (At)memory;
    sizes[*at] = bytes;
    return 0;
}

static int release(At at) {
    std::lock_guard<std::mutex> held(lock);
    const auto found = sizes.find(at);
    if (found == sizes.end()) return 1;
    for (size_t i = 0; i < GUARD; i++) {
        if (((char *)at)[found->second + i] != 0x5a) {
            fprintf(stderr, "written past the end of %zu bytes\n", found->second);
            abort();
        }
    }
    memset((char *)at, 0xff, found->second);
    free((void *)at);
    sizes.erase(found);
    return 0;
}

API cuInit(unsigned) { return 0; }
API cuDeviceGet(int *device, int) { return *device = 0; }
API cuDeviceGetCount(int *count) { return *count = 1, 0; }
API cuDeviceGetAttribute(int *value, int attribute, int) {
    // Compute capability 9.0, memory pools.
    return *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 115, 0;
}
API cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = (size_t)8 << 30, 0; }
API cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = (void *)1, 0; }
API cuMemPoolSetAttribute(void *, int, void *) { return 0; }
API cuDevicePrimaryCtxRetain(void **context, int) { return *context = (void *)1, 0; }
API cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API cuCtxGetCurrent(void **context) { return *context = (void *)1, 0; }
API cuGetErrorString(int, const char **text) { return *text = "an emulated error", 0; }
API cuStreamCreate(void **stream, unsigned) { return *stream = (void *)4, 0; }
API cuMemAllocAsync(At *at, size_t bytes, void *) { return allocate(at, bytes); }
API cuMemFreeAsync(At at, void *) { return release(at); }
API cuMemAlloc_v2(At *at, size_t bytes) { return allocate(at, bytes); }
API cuMemFree_v2(At at) { return release(at); }
API cuMemsetD8Async(At at, unsigned char value, size_t n, void *) { return memset((void *)at, value, n), 0; }
API cuMemcpyHtoDAsync_v2(At to, const void *from, size_t n, void *) { return memcpy((void *)to, from, n), 0; }
API cuMemcpyDtoHAsync_v2(void *to, At from, size_t n, void *) { return memcpy(to, (void *)from, n), 0; }
API cuMemcpyDtoDAsync_v2(At to, At from, size_t n, void *) { return memcpy((void *)to, (void *)from, n), 0; }
API cuModuleLoadData(void **module, const void *) { return *module = (void *)1, 0; }
API cuModuleGetFunction(void **function, void *, const char *name) {
    const auto found = kernels.find(name);
    if (found == kernels.end()) return 500;
    return *function = (void *)found->second, 0;
}
API cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned, unsigned bx, unsigned by, unsigned, unsigned,
                   void *, void **args, void **) {
    std::lock_guard<std::mutex> held(lock);
    if (gy > 65535 || bx * by > 1024) return 1;
    kernel = (void (*)(void **))function;
    arguments = args;
    gridDim = {gx, gy, 1};
    for (unsigned y = 0; y < gy; y++) {
        for (unsigned x = 0; x < gx; x++) {
            blockIdx = {x, y, 0};
            run_block({bx, by, 1});
        }
    }
    return 0;
}

// ---- cuDNN.

struct Descriptor {
    int type, dims[4], pad, stride;
};
struct Answer {
    int algorithm, status;
    float time;
    size_t memory;
    int deterministic, math, reserved[3];
};
static const int WORKSPACE = 100;

static int create(void **to) { return *to = new Descriptor(), 0; }
static int destroy(void *of) { return delete (Descriptor *)of, 0; }
static int describe(void *to, int type, int a, int b, int c, int d) {
    return *(Descriptor *)to = {type, {a, b, c, d}, 0, 0}, 0;
}
API cudnnCreateTensorDescriptor(void **to) { return create(to); }
API cudnnCreateFilterDescriptor(void **to) { return create(to); }
API cudnnCreateConvolutionDescriptor(void **to) { return create(to); }
API cudnnDestroyTensorDescriptor(void *of) { return destroy(of); }
API cudnnDestroyFilterDescriptor(void *of) { return destroy(of); }
API cudnnDestroyConvolutionDescriptor(void *of) { return destroy(of); }
API cudnnSetTensor4dDescriptor(void *to, int format, int type, int n, int c, int h, int w) {
    return format == 1 ? describe(to, type, n, c, h, w) : 3000;
}
API cudnnSetFilter4dDescriptor(void *to, int type, int format, int k, int c, int h, int w) {
    return format == 1 ? describe(to, type, k, c, h, w) : 3000;
}
API cudnnSetConvolution2dDescriptor(void *to, int pad, int, int stride, int, int dh, int dw, int mode, int type) {
    if (dh != 1 || dw != 1 || mode != 1 || type != 0) return 3000;
    return *(Descriptor *)to = {0, {}, pad, stride}, 0;
}
// First a fast one that must not be taken, then one that may.
static int answer(int *found, Answer *answers) {
    answers[0] = {0, 0, 1.0f, 0, 0, 0, {}};
    answers[1] = {1, 0, 2.0f, WORKSPACE, 1, 0, {}};
    return *found = 2, 0;
}
#define ANSWERS(name) \
    API name(void *, void *, void *, void *, void *, int, int *found, Answer *answers) { return answer(found, answers); }
ANSWERS(cudnnGetConvolutionForwardAlgorithm_v7)
ANSWERS(cudnnGetConvolutionBackwardDataAlgorithm_v7)
ANSWERS(cudnnGetConvolutionBackwardFilterAlgorithm_v7)

// Calls work(x's place, w's place, y's place) for every product of the convolution.
template <class Work> static void products(const Descriptor &x, const Descriptor &w, const Descriptor &conv,
                                           const Descriptor &y, Work work) {
    const int cin = x.dims[1], size = x.dims[2], cout = y.dims[1], out = y.dims[2], kernel = w.dims[2];
    for (int i = 0; i < y.dims[0]; i++)
        for (int p = 0; p < out * out; p++)
            for (int tap = 0; tap < kernel * kernel; tap++) {
                const int iy = p / out * conv.stride + tap / kernel - conv.pad;
                const int ix = p % out * conv.stride + tap % kernel - conv.pad;
                if (iy < 0 || ix < 0 || iy >= size || ix >= size) continue;
                for (int o = 0; o < cout; o++)
                    for (int c = 0; c < cin; c++)
                        work(((i * size + iy) * size + ix) * cin + c, (o * kernel * kernel + tap) * cin + c,
                             (i * out * out + p) * cout + o);
            }
}

static size_t count(const Descriptor &of) {
    return (size_t)of.dims[0] * of.dims[1] * of.dims[2] * of.dims[3];
}
static std::vector<float> read(const Descriptor &of, const void *from) {
    std::vector<float> values(count(of));
    for (size_t i = 0; i < values.size(); i++)
        values[i] = of.type == 0 ? ((const float *)from)[i] : widen(((const bf16 *)from)[i]);
    return values;
}
static int write(const Descriptor &of, const std::vector<double> &values, void *to) {
    for (size_t i = 0; i < values.size(); i++) {
        if (of.type == 0) ((float *)to)[i] = (float)values[i];
        else ((bf16 *)to)[i] = Narrow<bf16>::of((float)values[i]);
    }
    return 0;
}
static bool usable(int algorithm, void *room, size_t bytes, const void *alpha, const void *beta) {
    if (algorithm != 1 || !room || bytes != WORKSPACE) return false;
    memset(room, 0xff, bytes);
    return *(const float *)alpha == 1.0f && *(const float *)beta == 0.0f;
}
typedef const Descriptor *Of;

API cudnnConvolutionForward(void *, const void *alpha, Of xd, const void *x, Of wd, const void *w, Of conv,
                            int algorithm, void *room, size_t bytes, const void *beta, Of yd, void *y) {
    if (!usable(algorithm, room, bytes, alpha, beta)) return 3000;
    const auto a = read(*xd, x), b = read(*wd, w);
    std::vector<double> sums(count(*yd));
    products(*xd, *wd, *conv, *yd, [&](int i, int j, int k) { sums[k] += (double)a[i] * b[j]; });
    return write(*yd, sums, y);
}
API cudnnConvolutionBackwardData(void *, const void *alpha, Of wd, const void *w, Of yd, const void *y, Of conv,
                                 int algorithm, void *room, size_t bytes, const void *beta, Of xd, void *x) {
    if (!usable(algorithm, room, bytes, alpha, beta)) return 3000;
    const auto a = read(*yd, y), b = read(*wd, w);
    std::vector<double> sums(count(*xd));
    products(*xd, *wd, *conv, *yd, [&](int i, int j, int k) { sums[i] += (double)a[k] * b[j]; });
    return write(*xd, sums, x);
}
API cudnnConvolutionBackwardFilter(void *, const void *alpha, Of xd, const void *x, Of yd, const void *y, Of conv,
                                   int algorithm, void *room, size_t bytes, const void *beta, Of wd, void *w) {
    if (!usable(algorithm, room, bytes, alpha, beta)) return 3000;
    const auto a = read(*xd, x), b = read(*yd, y);
    std::vector<double> sums(count(*wd));
    products(*xd, *wd, *conv, *yd, [&](int i, int j, int k) { sums[j] += (double)a[i] * b[k]; });
    return write(*wd, sums, w);
}

// ---- What only needs to be there.

static int make(void **to) { return *to = (void *)1, 0; }
API cudnnCreate(void **to) { return make(to); }
API cublasCreate_v2(void **to) { return make(to); }
API curandCreateGenerator(void **to, int) { return make(to); }
API nvrtcCreateProgram(void **to, const char *, const char *, int, const void *, const void *) { return make(to); }
API nvrtcGetPTXSize(void *, size_t *size) { return *size = 1, 0; }
API nvrtcGetProgramLogSize(void *, size_t *size) { return *size = 1, 0; }
#define NOTHING(name) API name() { return 0; }
NOTHING(cuCtxDestroy_v2) NOTHING(cuCtxSetCurrent) NOTHING(cuCtxSynchronize) NOTHING(cuEventCreate)
NOTHING(cuEventDestroy_v2) NOTHING(cuEventRecord) NOTHING(cuMemcpyPeerAsync) NOTHING(cuModuleLoad)
NOTHING(cuModuleUnload) NOTHING(cuStreamDestroy_v2) NOTHING(cuStreamIsCapturing) NOTHING(cuStreamSynchronize)
NOTHING(cuStreamWaitEvent) NOTHING(__cudaGetKernel) NOTHING(__cudaLaunchKernel_ptsz)
NOTHING(__cudaPopCallConfiguration) NOTHING(__cudaPushCallConfiguration) NOTHING(__cudaRegisterFatBinary)
NOTHING(__cudaRegisterFatBinaryEnd) NOTHING(__cudaRegisterFunction) NOTHING(__cudaRegisterVar)
NOTHING(__cudaUnregisterFatBinary) NOTHING(cudaDeviceGetAttribute) NOTHING(cudaFree) NOTHING(cudaFreeAsync_ptsz)
NOTHING(cudaFuncGetAttributes) NOTHING(cudaFuncSetAttribute) NOTHING(cudaGetDevice) NOTHING(cudaGetDeviceCount)
NOTHING(cudaGetErrorName) NOTHING(cudaGetErrorString) NOTHING(cudaGetLastError) NOTHING(cudaMalloc)
NOTHING(cudaMallocAsync_ptsz) NOTHING(cudaMemsetAsync_ptsz)
NOTHING(cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags) NOTHING(cudaPeekAtLastError)
NOTHING(cudaSetDevice) NOTHING(cudaStreamSynchronize_ptsz) NOTHING(cublasDestroy_v2)
NOTHING(cublasDgemmStridedBatched) NOTHING(cublasGemmStridedBatchedEx) NOTHING(cublasSetStream_v2)
NOTHING(cudnnDestroy) NOTHING(cudnnGetConvolutionForwardWorkspaceSize) NOTHING(cudnnGetVersion)
NOTHING(cudnnSetConvolutionMathType) NOTHING(cudnnSetStream) NOTHING(cudnnSetTensor4dDescriptorEx)
NOTHING(curandDestroyGenerator) NOTHING(curandGenerateNormal) NOTHING(curandGenerateNormalDouble)
NOTHING(curandGenerateUniform) NOTHING(curandGenerateUniformDouble) NOTHING(curandSetPseudoRandomGeneratorSeed) NOTHING(curandSetStream)
NOTHING(nvrtcCompileProgram) NOTHING(nvrtcDestroyProgram) NOTHING(nvrtcGetPTX) NOTHING(nvrtcGetProgramLog)
