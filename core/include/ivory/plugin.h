#pragma once
// What a plugin exports: a symbol whose name says what it was built with, read from the file before any of its code
// runs, and one function that registers descriptors. One plugin is one .cpp:
//
//   IVORY_PLUGIN(registrar) {
//     registrar.add(ivory::Descriptor<ivory::Objective>{.name = "byol", …, .create = make_byol});
//   }

#include <ivory/backbone.h>
#include <ivory/descriptor.h>
#include <ivory/model.h>
#include <ivory/objective.h>
#include <ivory/task.h>

namespace ivory {

class Registrar {
 public:
  virtual ~Registrar() = default;
  virtual void add(Descriptor<Backbone> descriptor) = 0;
  virtual void add(Descriptor<Model> descriptor) = 0;
  virtual void add(Descriptor<Objective> descriptor) = 0;
  virtual void add(Descriptor<Task> descriptor) = 0;
};

}  // namespace ivory

#define IVORY_PLUGIN_API 2  // raised with every incompatible change below core/include/ivory
#if defined(__clang__)
#define IVORY_COMPILER clang
#define IVORY_COMPILER_MAJOR __clang_major__
#else
#define IVORY_COMPILER gcc
#define IVORY_COMPILER_MAJOR __GNUC__
#endif
#ifdef NDEBUG
#define IVORY_BUILD release
#else
#define IVORY_BUILD debug
#endif
// What a plugin must have in common with its host, as one name: ivory_abi_2_torch_2_11_0_clang_19_cxx11_1_release.
#define IVORY_ABI_TAG                                                                                             \
  IVORY_ABI_NAME(IVORY_PLUGIN_API, TORCH_VERSION_MAJOR, TORCH_VERSION_MINOR, TORCH_VERSION_PATCH, IVORY_COMPILER, \
                 IVORY_COMPILER_MAJOR, _GLIBCXX_USE_CXX11_ABI, IVORY_BUILD)
#define IVORY_ABI_NAME(...) IVORY_ABI_NAME_OF(__VA_ARGS__)
#define IVORY_ABI_NAME_OF(api, major, minor, patch, compiler, version, cxx11, build) \
  ivory_abi_##api##_torch_##major##_##minor##_##patch##_##compiler##_##version##_cxx11_##cxx11##_##build

#define IVORY_PLUGIN(registrar)                                                         \
  extern "C" __attribute__((visibility("default"), used)) const char IVORY_ABI_TAG = 0; \
  extern "C" __attribute__((visibility("default"))) void ivory_register(::ivory::Registrar& registrar)
