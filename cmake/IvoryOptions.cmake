# Flags for our own targets only; imported headers are SYSTEM and stay quiet.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(IVORY_CCACHE ccache)
if(IVORY_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${IVORY_CCACHE})
endif()
find_program(IVORY_MOLD mold)

# ivory_precompile(TARGET HEADER…): the target's precompiled header, for itself and for REUSE_FROM. Clang gets the file by
# one option whose path ccache makes relative, so that another checkout or build folder finds the same objects. The
# precompiled header itself is each checkout's own: it names its headers by their absolute paths. Beside it lies a short
# text that stands for its contents in ccache's hash (CCACHE_PCH_EXTSUM).
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  set(CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -include-pch <PCH_FILE>)
endif()
function(ivory_precompile target)
  target_precompile_headers(${target} PRIVATE ${ARGN})
  get_property(folder TARGET ${target} PROPERTY BINARY_DIR)
  set(contents ${ARGN})
  foreach(header IN LISTS ARGN)
    if(IS_ABSOLUTE ${header})
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
      file(SHA256 ${header} hash)
      list(TRANSFORM contents REPLACE "^${header}$" ${hash})
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/CMakeFiles/${target}.dir/cmake_pch.hxx.pch.sum
    CONTENT "${contents} torch ${LIBTORCH_VERSION} ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\n")
endfunction()

set(IVORY_SANITIZE "" CACHE STRING "Sanitizers for every target, e.g. address,undefined or thread")

add_library(ivory_flags INTERFACE)
target_compile_options(ivory_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers -Werror)
# The same numbers whatever instructions a machine has: no fused multiply-add unless it is written.
target_compile_options(ivory_flags INTERFACE -ffp-contract=off -fno-math-errno)
# A precompiled header is usable through ccache, and in another checkout, only without its time.
target_compile_options(ivory_flags INTERFACE $<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>)
target_link_options(ivory_flags INTERFACE -Wl,--as-needed)
if(NOT IVORY_SANITIZE)  # clang links a sanitizer's runtime into programs only
  target_link_options(ivory_flags INTERFACE $<$<NOT:$<BOOL:$<TARGET_PROPERTY:IVORY_UNDEFINED>>>:-Wl,-z,defs>)
endif()
if(IVORY_MOLD AND NOT IVORY_SANITIZE)
  target_link_options(ivory_flags INTERFACE -fuse-ld=mold)
endif()
if(IVORY_SANITIZE)
  # vptr needs the type information of LibTorch's classes, which the wheel hides.
  add_compile_options(-fsanitize=${IVORY_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer -g1 -Wno-pass-failed)
  add_link_options(-fsanitize=${IVORY_SANITIZE})
endif()

# Every edge of our own code tells libFuzzer that it was taken; tests/fuzz links the fuzzer itself (docs/fuzzing.md).
option(IVORY_FUZZ "Build the fuzz targets with libFuzzer" OFF)
if(IVORY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# LibTorch ships headers of another fmt than the one that Debian's spdlog was built with; Debian's come first.
find_path(IVORY_FMT_INCLUDE fmt/format.h PATHS /usr/include NO_DEFAULT_PATH REQUIRED)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/fmt)
file(CREATE_LINK ${IVORY_FMT_INCLUDE}/fmt ${PROJECT_BINARY_DIR}/fmt/fmt SYMBOLIC)
target_include_directories(ivory_flags INTERFACE ${PROJECT_BINARY_DIR}/fmt)

# The CUDA part is one shared library that is loaded when a CUDA device is asked for.
find_program(IVORY_NVCC nvcc HINTS /usr/local/cuda/bin ENV CUDA_PATH PATH_SUFFIXES bin)
if(IVORY_NVCC)
  set(ivory_cuda_default ON)
else()
  set(ivory_cuda_default OFF)
endif()
option(IVORY_CUDA "Build the CUDA library (needs nvcc)" ${ivory_cuda_default})
if(IVORY_CUDA)
  execute_process(COMMAND ${IVORY_NVCC} --version OUTPUT_VARIABLE nvcc_text)
  string(REGEX MATCH "release ([0-9.]+)" IGNORED "${nvcc_text}")
  set(IVORY_CUDA_VERSION ${CMAKE_MATCH_1})
  message(STATUS "Ivory: CPU and CUDA ${IVORY_CUDA_VERSION} (${IVORY_NVCC})")
else()
  set(IVORY_CUDA_VERSION "none (CPU-only build)")
  message(STATUS "Ivory: CPU only (no nvcc, or IVORY_CUDA=OFF)")
endif()
