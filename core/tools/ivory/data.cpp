// ivory data: the layouts of data sets that are known, and what each expects.
#include <ivory/error.h>
#include <ivory/options.h>

#include <iomanip>
#include <iostream>
#include <sstream>

#include "commands.h"
#include "config/layouts.h"

namespace ivory::tools {
namespace {

constexpr const char* usage =
    "usage: ivory data list               list the layouts of data sets\n"
    "       ivory data describe LAYOUT    where to get it, its terms, the folder it expects, its labels and split\n";

int list() {
  for (const auto& layout : config::known_layouts())
    std::cout << std::left << std::setw(22) << layout.name << layout.summary << "\n";
  std::cout
      << "\nA data set is declared as [data.NAME] with layout = \"LAYOUT\" and path = \"FOLDER\"; ivory data describe "
         "LAYOUT tells more.\n";
  return 0;
}

// Lines of a text, each indented, after a heading; nothing of an empty one.
void paragraph(const char* heading, const std::string& text) {
  if (text.empty()) return;
  std::cout << "\n" << heading << "\n";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) std::cout << "  " << line << "\n";
}

std::string counts_text(const config::LayoutInfo& layout) {
  std::string text;
  if (layout.expected_volumes > 0) text = std::to_string(layout.expected_volumes) + " volumes or images";
  if (layout.expected_labels > 0)
    text += (text.empty() ? "" : ", ") + std::to_string(layout.expected_labels) + " with labels";
  return text;
}

std::string labels_text(const config::LayoutInfo& layout) {
  std::string text;
  for (const auto& label : layout.labels) text += std::to_string(label.id) + "  " + label.name + "\n";
  return text;
}

int describe(const std::string& name) {
  const config::LayoutInfo* layout = config::find_layout(name);
  if (!layout) {
    const std::string close = nearest(name, config::layout_names());
    throw bad_request("ivory data describe: unknown layout '", name, "'",
                      close.empty() ? "; ivory data list names all" : "; did you mean '" + close + "'?");
  }
  std::cout << layout->name << ": " << layout->summary << "\n";
  paragraph("Folder", layout->folder);
  paragraph("Where to get it", layout->source);
  paragraph("Terms", layout->terms);
  paragraph("As published", counts_text(*layout));
  paragraph("Label ids", labels_text(*layout));
  paragraph("The paper's split", layout->split);
  return 0;
}

}  // namespace

int run_data(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    std::cout << usage;
    return static_cast<int>(arguments.empty() ? ExitCode::bad_request : ExitCode::done);
  }
  if (arguments[0] == "list") return list();
  IVORY_CHECK(arguments[0] == "describe", "ivory data: unknown command '", arguments[0], "'\n", usage);
  IVORY_CHECK(arguments.size() > 1, "ivory data describe: an argument is missing\n", usage);
  return describe(arguments[1]);
}

}  // namespace ivory::tools
