#include "plugin/registry.h"

#include <algorithm>
#include <boost/dll/shared_library.hpp>
#include <cstdlib>
#include <sstream>

#include "base/text.h"
#include "plugin/library.h"

namespace ivory::plugin {
namespace {

namespace fs = std::filesystem;

// Handles are kept for ever: autograd and std::functions point into the libraries' code until the process ends.
boost::dll::shared_library& open_for_ever(const fs::path& file) {
  static auto& handles = *new std::vector<std::unique_ptr<boost::dll::shared_library>>();
  const auto mode = boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local;
  try {
    handles.push_back(std::make_unique<boost::dll::shared_library>(file.string(), mode));
  } catch (const std::exception& error) {  // its text holds dlerror's
    throw bad_request("plugin '", file.string(), "' cannot be loaded: ", error.what());
  }
  return *handles.back();
}

bool is_library(const fs::path& file) {
  const std::string name = file.filename().string();
  return name.starts_with("lib") && file.extension() == ".so";
}

}  // namespace

template <class Interface>
void Registry::insert_with_code(Descriptor<Interface> descriptor) {
  IVORY_CHECK(descriptor.create, name_of(kind_of<Interface>()), " '", descriptor.name, "' has no create function");
  const std::string name = descriptor.name;
  insert(kind_of<Interface>(), descriptor.info(), loading_);
  std::get<std::map<std::string, Descriptor<Interface>>>(descriptors_).emplace(name, std::move(descriptor));
}
template void Registry::insert_with_code(Descriptor<Backbone>);
template void Registry::insert_with_code(Descriptor<Model>);
template void Registry::insert_with_code(Descriptor<Objective>);
template void Registry::insert_with_code(Descriptor<Task>);

void Registry::discover() {
  searched_ = default_search_path();
  for (const auto& folder : searched_) {
    if (!fs::is_directory(folder)) continue;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (is_library(entry.path())) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) load_file(file);
  }
}

void Registry::load(const fs::path& library, const fs::path& base) {
  std::vector<fs::path> candidates = {fs::absolute(base / library)};
  if (library.is_relative()) {
    for (const auto& folder : default_search_path()) candidates.push_back(folder / library);
  }
  std::vector<std::string> tried;
  for (const auto& candidate : candidates) {
    if (fs::exists(candidate)) return load_file(candidate);
    tried.push_back(candidate.lexically_normal().string());
  }
  throw bad_request("plugin library '", library.string(), "' does not exist; tried: ", base::joined(tried));
}

void Registry::load_file(const fs::path& file) {
  const fs::path path = fs::canonical(file);
  if (loaded_.contains(path.string())) return;
  check_abi(read_abi_tag(path), path);
  auto& library = open_for_ever(path);
  IVORY_CHECK(library.has("ivory_register"), "plugin '", path.string(), "' exports no 'ivory_register'");
  loading_ = path.string();
  std::string failure;
  try {
    library.get<void(Registrar&)>("ivory_register")(*this);
  } catch (const c10::Error& error) {
    failure = error.what_without_backtrace();
  } catch (const std::exception& error) {
    failure = error.what();
  } catch (...) {
    failure = "an exception that is not a std::exception";
  }
  loading_.clear();
  if (failure.empty()) {
    loaded_.insert(path.string());
    return;
  }
  forget_library(path.string());
  throw bad_request("plugin '", path.string(), "' failed to register: ", failure);
}

void Registry::forget_library(const std::string& library) {
  forget(library);
  const auto clean = [this]<class Interface>(std::map<std::string, Descriptor<Interface>>& table) {
    std::erase_if(table, [this](const auto& item) { return !knows(kind_of<Interface>(), item.first); });
  };
  std::apply([&](auto&... tables) { (clean(tables), ...); }, descriptors_);
}

std::vector<fs::path> default_search_path() {
  std::vector<fs::path> folders = {library_folder() / "ivory" / "plugins"};
  const char* variable = std::getenv("IVORY_PLUGIN_PATH");
  std::istringstream stream(variable ? variable : "");
  for (std::string folder; std::getline(stream, folder, ':');) {
    if (!folder.empty()) folders.push_back(fs::absolute(folder).lexically_normal());
  }
  return folders;
}

}  // namespace ivory::plugin
