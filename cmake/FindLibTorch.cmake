# LibTorch from the PyPI wheel as imported targets of our own: torch's CMake files demand a CUDA toolkit even for the CPU.
#   LibTorch::cpu   libtorch_cpu, libc10      LibTorch::cuda   the same with libtorch_cuda, libc10_cuda
file(GLOB libtorch_candidates ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
find_path(LIBTORCH_ROOT NAMES lib/libtorch_cpu.so HINTS ${LIBTORCH_ROOT} $ENV{LIBTORCH_ROOT} ${libtorch_candidates}
          NO_DEFAULT_PATH)

if(LIBTORCH_ROOT)
  file(STRINGS ${LIBTORCH_ROOT}/version.py libtorch_version REGEX "^__version__")
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" LIBTORCH_VERSION "${libtorch_version}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LIBTORCH_ROOT VERSION_VAR LIBTORCH_VERSION
  REASON_FAILURE_MESSAGE "no torch wheel: run scripts/test, or set -DLIBTORCH_ROOT=<site-packages>/torch")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION ${LIBTORCH_ROOT}/lib/libc10.so)
  add_library(LibTorch::gomp SHARED IMPORTED)  # the OpenMP runtime of the wheel's operators
  set_target_properties(LibTorch::gomp PROPERTIES IMPORTED_LOCATION ${LIBTORCH_ROOT}/lib/libgomp.so.1)
  add_library(LibTorch::cpu SHARED IMPORTED)
  set_target_properties(LibTorch::cpu PROPERTIES
    IMPORTED_LOCATION ${LIBTORCH_ROOT}/lib/libtorch_cpu.so
    INTERFACE_INCLUDE_DIRECTORIES "${LIBTORCH_ROOT}/include;${LIBTORCH_ROOT}/include/torch/csrc/api/include"
    INTERFACE_COMPILE_DEFINITIONS "USE_DISTRIBUTED;USE_C10D_GLOO"
    INTERFACE_LINK_OPTIONS "LINKER:--allow-shlib-undefined"
    INTERFACE_LINK_LIBRARIES LibTorch::c10)
  if(EXISTS ${LIBTORCH_ROOT}/lib/libtorch_cuda.so)
    add_library(LibTorch::cuda SHARED IMPORTED)
    set_target_properties(LibTorch::cuda PROPERTIES
      IMPORTED_LOCATION ${LIBTORCH_ROOT}/lib/libtorch_cuda.so
      INTERFACE_COMPILE_DEFINITIONS "USE_C10D_NCCL"
      INTERFACE_LINK_LIBRARIES "LibTorch::cpu;${LIBTORCH_ROOT}/lib/libc10_cuda.so")
  endif()
endif()
