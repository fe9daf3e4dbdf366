// Included before every file of this library: Debian's ITK headers know the compiler that built them, GCC, and refuse
// any other. Clang takes GCC 12's branches.
#pragma once
#pragma push_macro("__clang__")
#pragma push_macro("__GNUC__")
#undef __clang__
#undef __GNUC__
#define __GNUC__ 12
#include <itk_compiler_detection.h>
#pragma pop_macro("__GNUC__")
#pragma pop_macro("__clang__")
