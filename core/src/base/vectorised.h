#pragma once
// A function that is compiled several times, for the instruction sets named and for any x86-64 ("default"), and chosen
// at load time. Sanitizers cannot instrument the choice, so their builds have one version.

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IVORY_ONE_VERSION
#endif
#endif

// Functions with versions go into a hidden namespace: they are chosen while a library is being relocated, when only
// addresses within it can be had.
#define IVORY_HIDDEN __attribute__((visibility("hidden")))

#if defined(__x86_64__) && !defined(IVORY_ONE_VERSION)
#define IVORY_CLONES(...) __attribute__((target_clones(__VA_ARGS__)))
#else
#define IVORY_CLONES(...)
#endif

// AVX2 without fused multiply-add: the same bits as on any x86-64.
#define IVORY_VECTORISED IVORY_CLONES("avx2", "default")

// A function of a few numbers that kernels on the CPU and on CUDA devices have in common.
#ifdef __CUDACC__
#define IVORY_BOTH __host__ __device__ __forceinline__
#else
#define IVORY_BOTH inline __attribute__((always_inline))
#endif
