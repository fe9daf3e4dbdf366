#pragma once
// What a plugin exports: an ABI tag, read from the file before any code of the plugin runs, and one function that
// registers descriptors. One plugin is one .cpp:
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

inline constexpr uint32_t abi_magic = 0x59525649;  // "IVRY"
inline constexpr uint32_t plugin_api_version = 3;  // raised with every incompatible change below core/include/ivory

// Plain data in .rodata, found through .dynsym as `ivory_abi_tag`.
struct AbiTag {
  uint32_t magic;
  uint32_t api_version;
  uint32_t cxx11_abi;   // _GLIBCXX_USE_CXX11_ABI
  char torch[20];       // "2.11.0"
  char compiler[32];    // "gcc 12"
  char build_type[32];  // "release" or "debug": whether NDEBUG is set
};

}  // namespace ivory

#if defined(__clang__)
#define IVORY_COMPILER "clang " IVORY_TEXT(__clang_major__)
#else
#define IVORY_COMPILER "gcc " IVORY_TEXT(__GNUC__)
#endif
#define IVORY_TEXT(x) IVORY_TEXT_(x)
#define IVORY_TEXT_(x) #x
#ifdef NDEBUG
#define IVORY_ASSERTIONS "release"
#else
#define IVORY_ASSERTIONS "debug"
#endif
#define IVORY_ABI_TAG                                                                                       \
  {                                                                                                         \
    ::ivory::abi_magic, ::ivory::plugin_api_version, _GLIBCXX_USE_CXX11_ABI, TORCH_VERSION, IVORY_COMPILER, \
        IVORY_ASSERTIONS                                                                                    \
  }

#define IVORY_PLUGIN(registrar)                                                                                \
  extern "C" __attribute__((visibility("default"), used)) const ::ivory::AbiTag ivory_abi_tag = IVORY_ABI_TAG; \
  extern "C" __attribute__((visibility("default"))) void ivory_register(::ivory::Registrar& registrar)
