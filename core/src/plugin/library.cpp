#include "plugin/library.h"

#include <ivory/error.h>

#include <boost/dll/runtime_symbol_info.hpp>
#include <boost/dll/shared_library.hpp>
#include <deque>

namespace ivory::plugin {

std::filesystem::path library_folder() {
  namespace fs = std::filesystem;
  return fs::weakly_canonical(fs::absolute(boost::dll::this_line_location().string())).parent_path();
}

void* find_symbol(const std::string& library, const std::string& symbol) {
  // Handles are kept for ever: code and static data of these libraries stay in use until the process ends.
  static auto* const loaded = new std::deque<boost::dll::shared_library>;
  const auto path = library_folder() / library;
  try {
    using boost::dll::load_mode::type;
    loaded->emplace_back(path.string(), type::rtld_now | type::rtld_global);
    return reinterpret_cast<void*>(&loaded->back().get<void()>(symbol));
  } catch (const std::exception& error) {
    throw run_failed("cannot use ", path.string(), ": ", error.what());
  }
}

}  // namespace ivory::plugin
