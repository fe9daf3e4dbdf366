#pragma once
// The precompiled header of everything that uses tensors. Clang leaves the virtual functions of its class templates to
// the files that use it: each would compile torch::nn::Cloneable<…>::clone() and the like again, which took three
// seconds a file. A local class has its virtual functions instantiated at once, hence here. The list is what
// -ftime-trace shows for an empty file.

#include <ivory/torch.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ivory::precompiled {

template <class Class>
void instantiate() {
  struct Local : Class {
    ~Local() override {}  // its definition needs the table of virtual functions
  };
}

template <class... Class>
void instantiate_all() {
  (instantiate<Class>(), ...);
}

inline void instantiate_torch() {
  using namespace torch::nn;
  instantiate_all<Cloneable<SequentialImpl>, SequentialImpl, ModuleListImpl, LinearImpl, BilinearImpl, UnflattenImpl,
                  SoftmaxImpl, SoftminImpl, LogSoftmaxImpl, ThresholdImpl, MultiheadAttentionImpl, Conv1dImpl,
                  Conv2dImpl, Conv3dImpl, ConvTranspose1dImpl, ConvTranspose2dImpl, ConvTranspose3dImpl,
                  ConvNdImpl<1, ConvTranspose1dImpl>, ConvNdImpl<2, ConvTranspose2dImpl>,
                  ConvNdImpl<3, ConvTranspose3dImpl>, LayerNormImpl, LocalResponseNormImpl, CrossMapLRN2dImpl,
                  GroupNormImpl, FractionalMaxPool2dImpl, FractionalMaxPool3dImpl>();
  using namespace torch::optim;
  instantiate_all<OptimizerCloneableParamState<AdamParamState>, OptimizerCloneableOptions<AdamOptions>,
                  OptimizerCloneableParamState<AdamWParamState>, OptimizerCloneableOptions<AdamWOptions>,
                  OptimizerCloneableParamState<SGDParamState>, OptimizerCloneableOptions<SGDOptions>>();
  using c10::SingleElementType, c10::TypeKind;
  instantiate_all<
      SingleElementType<TypeKind::ListType, c10::ListType>, SingleElementType<TypeKind::FutureType, c10::FutureType>,
      SingleElementType<TypeKind::AwaitType, c10::AwaitType>, SingleElementType<TypeKind::RRefType, c10::RRefType>>();
  using torch::jit::AttributeKind, torch::jit::ScalarAttributeValue, torch::jit::VectorAttributeValue;
  instantiate_all<
      ScalarAttributeValue<double, AttributeKind::f>, ScalarAttributeValue<c10::complex<double>, AttributeKind::c>,
      VectorAttributeValue<double, AttributeKind::fs>, VectorAttributeValue<c10::complex<double>, AttributeKind::cs>,
      VectorAttributeValue<c10::TypePtr, AttributeKind::tys>>();
}

}  // namespace ivory::precompiled
