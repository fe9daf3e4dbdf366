#pragma once
// What happens to the nodes before they are read: `extends`, `--set`, points of a sweep, `${ENV}`.

#include <functional>
#include <string>
#include <vector>

#include "config/diagnostics.h"

namespace ivory::config {

// Takes `extends` out of the document and puts what the base says and this document does not into it.
// `read` gives the base's document. Tables are merged key by key, stages and tasks by their name; other lists, and
// tables of a plugin, optimiser or schedule with another `name`, replace the base's.
void extend(Node& document, const std::function<Node(const std::filesystem::path&)>& read, Diagnostics& diagnostics);

// Puts what `base` says and `table` does not into `table`: key by key, but tables of a plugin with another `name`
// replace the base's.
void inherit(Node& table, const Node& base);

// Sets "stage.joint.epochs": elements of lists of tables are addressed by their name, those without by their number
// from 0; `*` stands for every element of a list or table there. A path whose `*` finds nothing is a mistake, unless it
// is `if_there`.
enum class Reach { must_match, if_there };
void assign(Node& document, const std::string& path, const Node& value, const Place& place, bool swept,
            Diagnostics& diagnostics, Reach reach = Reach::must_match);

// The key that a later setting of `key` takes away ("epochs" and "steps" exclude each other; "trials" is an older name
// of "repetitions"), or "".
std::string rival_of(const std::string& key);

// "stage.joint.epochs=3" each.
void apply_overrides(Node& document, const std::vector<std::string>& overrides, Diagnostics& diagnostics);

// Replaces ${NAME} and ${NAME:-fallback} in every text; `$${` stands for `${`. An unset variable without fallback is a
// mistake, except below [data.*] when the data are generated.
void expand_environment(Node& document, Diagnostics& diagnostics);

}  // namespace ivory::config
