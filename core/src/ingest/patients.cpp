#include "ingest/patients.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <map>

#include "ingest/csv.h"

namespace ivory::ingest {

void name_patients(const config::DataSpec& spec, Sources& sources, std::vector<std::string>& warnings) {
  if (!std::filesystem::exists(spec.patients)) throw_missing(spec, spec.patients);
  const Csv table(spec.patients);
  std::map<std::string, std::string> patients;
  for (size_t row = 0; row < table.rows(); ++row) {
    const std::string &volume = table.text(row, "volume"), &patient = table.text(row, "patient");
    const auto [known, fresh] = patients.emplace(volume, patient);
    IVORY_CHECK(fresh || known->second == patient, spec.patients, ": volume '", volume, "' belongs to patient '",
                known->second, "' and to patient '", patient, "'");
  }
  std::vector<std::string> without;
  for (auto& source : sources) {
    const auto found = patients.find(source.name);
    if (found == patients.end() || found->second.empty()) {
      without.push_back(source.name);
    } else {
      source.patient = found->second;
    }
  }
  if (without.empty()) return;
  IVORY_CHECK(without.size() < sources.size(), "data set '", spec.name, "': ", spec.patients, " names none of its ",
              sources.size(), " volumes, such as '", without.front(), "'; column 'volume' has '",
              table.rows() > 0 ? table.text(0, "volume") : "", "' first");
  warnings.push_back(fmt::format("data set '{}': {} names no patient for {} of {} volumes, such as '{}'", spec.name,
                                 spec.patients, without.size(), sources.size(), without.front()));
}

}  // namespace ivory::ingest
