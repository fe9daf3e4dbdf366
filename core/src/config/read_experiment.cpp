#include "config/keys.h"
#include "config/read_fields.h"

namespace ivory::config {
namespace {

// A library beside the file that names it becomes an absolute path; any other is left to the search path.
std::string library_path(const std::string& text, const Place& place) {
  const std::string beside = absolute_path(text, place);
  return std::filesystem::exists(beside) ? beside : text;
}

void read_plugins(Section& document, Experiment& experiment, Scope& scope) {
  if (!document.read("plugins", experiment.plugins)) return;
  const Member& member = *document.take("plugins");
  for (size_t i = 0; i < experiment.plugins.size(); ++i) {
    const Place& place = (*member.node.list())[i].place;
    std::string& library = experiment.plugins[i];
    library = library_path(library, place);
    if (!scope.loaded.insert(library).second) continue;
    try {
      scope.catalogue.load(library, place.folder());
    } catch (const Error& error) {
      scope.diagnostics.add(place, error.what());
    }
  }
}

}  // namespace

void read_experiment(Section& document, Experiment& experiment, Scope& scope) {
  experiment.name = experiment.file.stem().string();
  Place name_place = document.place();
  if (auto section = document.section("experiment")) {
    name_place = section->place("name");
    Reader(*section).read(experiment);
  }
  if (experiment.name == "store") {
    document.diagnostics().add(name_place,
                               "an experiment named 'store' would share its folder with the store of all "
                               "results: give it another experiment.name");
  }
  if (experiment.smoke && !experiment.name.ends_with("-smoke")) experiment.name += "-smoke";
  read_plugins(document, experiment, scope);
}

}  // namespace ivory::config
