#pragma once
// Ivory's own optional libraries (CUDA, ingest): brought into the process when they are first needed, never unloaded.

#include <filesystem>
#include <string>

namespace ivory::plugin {

// The folder of the core library; what belongs to it lies in its subfolder ivory/.
std::filesystem::path library_folder();

// Address of an extern "C" symbol of a library that lies beside the core library. Throws run_failed with the loader's
// reason and the path tried.
void* find_symbol(const std::string& library, const std::string& symbol);

template <class Function>
Function* load_symbol(const std::string& library, const std::string& symbol) {
  return reinterpret_cast<Function*>(find_symbol(library, symbol));
}

}  // namespace ivory::plugin
