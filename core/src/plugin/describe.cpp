#include "plugin/describe.h"

#include <cmath>

#include "base/text.h"

namespace ivory::plugin {
namespace {

using Row = std::vector<std::string>;

// Columns on the terminal: bytes that continue a UTF-8 character take none.
size_t columns(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// Left-aligned columns, two spaces apart, each line indented; the last column is not padded.
std::vector<std::string> aligned(const std::vector<Row>& rows, size_t indent) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::vector<std::string> lines;
  for (const auto& row : rows) {
    std::string line(indent, ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - columns(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string number(const Option& option, double value) {
  const bool integer =
      std::holds_alternative<int64_t>(option.fallback) || std::holds_alternative<std::vector<int64_t>>(option.fallback);
  return integer ? to_text(static_cast<int64_t>(value)) : to_text(value);
}

// "1 … 64", "≥ 1", "\"slice\" | \"embedding\"", or nothing.
std::string allowed(const Option& option) {
  std::string text;
  for (const auto& choice : option.choices) text += (text.empty() ? "" : " | ") + to_text(choice);
  const bool low = std::isfinite(option.minimum), high = std::isfinite(option.maximum);
  if (low && high) return number(option, option.minimum) + " … " + number(option, option.maximum);
  if (low) return "≥ " + number(option, option.minimum);
  if (high) return "≤ " + number(option, option.maximum);
  return text;
}

std::string with_source(const Option& option) {
  return option.help + (option.source.empty() ? "" : " (" + option.source + ")");
}

std::string role_text(const Role& role) {
  return role.help + (role.required ? "" : " (may be left out)");
}

std::string describe_text(Kind kind, const PluginInfo& descriptor, const std::string& library) {
  std::string text = descriptor.name + ": " + name_of(kind) + "\n  " + descriptor.summary + "\n";
  if (!descriptor.source.empty()) text += "  Source: " + descriptor.source + "\n";
  if (!library.empty()) text += "  Library: " + library + "\n";
  for (const auto& role : descriptor.roles) text += "  " + role.name + ": " + role_text(role) + "\n";
  if (descriptor.options.empty()) return text + "  No options.\n";
  std::vector<Row> rows = {{"Option", "Type", "Default", "Allowed", "Unit"}};
  for (const auto& option : descriptor.options) {
    rows.push_back({option.name, type_name(option.fallback), to_text(option.fallback), allowed(option), option.unit});
  }
  const auto lines = aligned(rows, 2);
  text += "\n" + lines[0] + "\n";
  for (size_t i = 0; i < descriptor.options.size(); ++i) {
    text += lines[i + 1] + "\n      " + with_source(descriptor.options[i]) + "\n";
  }
  return text;
}

std::string cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\|");
  return text;
}

std::string code(const std::string& text) {
  return text.empty() ? "" : "`" + cell(text) + "`";
}

std::string describe_markdown(Kind kind, const PluginInfo& descriptor) {
  std::string text = "## " + descriptor.name + " (" + name_of(kind) + ")\n\n" + descriptor.summary + "\n";
  if (!descriptor.source.empty()) text += "\nSource: " + descriptor.source + "\n";
  for (const auto& role : descriptor.roles) text += "\n- `" + role.name + "`: " + cell(role_text(role)) + "\n";
  if (descriptor.options.empty()) return text + "\nNo options.\n";
  text += "\n| Option | Type | Default | Allowed | Unit | Meaning | Source |\n|---|---|---|---|---|---|---|\n";
  for (const auto& option : descriptor.options) {
    text += "| " + code(option.name) + " | " + type_name(option.fallback) + " | " + code(to_text(option.fallback)) +
            " | " + cell(allowed(option)) + " | " + cell(option.unit) + " | " + cell(option.help) + " | " +
            cell(option.source) + " |\n";
  }
  return text;
}

}  // namespace

std::string list_plugins(const Catalogue& catalogue) {
  std::vector<Row> rows = {{"Kind", "Name", "Summary", "Library"}};
  for (const Kind kind : kinds) {
    for (const auto& [name, info] : catalogue.all(kind)) {
      rows.push_back({name_of(kind), name, info.summary, catalogue.origin(kind, name)});
    }
  }
  std::string text;
  for (const auto& line : aligned(rows, 0)) text += line + "\n";
  return text;
}

std::string describe_plugins(const Catalogue& catalogue, const std::string& name, Format format) {
  std::string text;
  std::vector<std::string> names;
  for (const Kind kind : kinds) {
    for (const auto& [each, info] : catalogue.all(kind)) {
      names.push_back(each);
      if (!name.empty() && each != name) continue;
      text += text.empty() ? "" : "\n";
      text += format == Format::markdown ? describe_markdown(kind, info)
                                         : describe_text(kind, info, catalogue.origin(kind, each));
    }
  }
  if (!text.empty()) return text;
  IVORY_CHECK(!names.empty(), "no plugin was found in ", catalogue.folders_searched());
  const std::string close = nearest(name, names);
  throw bad_request("unknown plugin '", name, "'", close.empty() ? "; " : "; did you mean '" + close + "'? ",
                    "Known: ", base::joined(names), "; folders searched: ", catalogue.folders_searched());
}

}  // namespace ivory::plugin
