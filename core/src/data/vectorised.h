#pragma once
// Compiled twice, for AVX2 and for any x86-64, and chosen at load time; both give the same bits (no fused
// multiply-add). Sanitizers cannot instrument the choice, so their builds have one version.

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define IVORY_VECTORISED __attribute__((target_clones("avx2", "default")))
#else
#define IVORY_VECTORISED
#endif
