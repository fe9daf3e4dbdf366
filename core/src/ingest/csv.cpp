#include "ingest/csv.h"

#include <ivory/error.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "base/file_kind.h"
#include "base/text.h"

namespace ivory::ingest {
namespace {

// Fields of the next record, which a quoted field may carry over several lines; false at the end.
bool next_record(const std::string& text, size_t& at, int64_t& line, std::vector<std::string>& fields) {
  fields.clear();
  if (at >= text.size()) return false;
  std::string field;
  bool quoted = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\n') ++line;
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        field += text[++at];
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      fields.push_back(base::trimmed(field));
      field.clear();
    } else if (c == '\n') {
      ++at;
      break;
    } else if (c != '\r') {
      field += c;
    }
  }
  fields.push_back(base::trimmed(field));
  return true;
}

thread_local OpenedTables* opened = nullptr;

}  // namespace

OpenedTables::OpenedTables() {
  opened = this;
}

OpenedTables::~OpenedTables() {
  opened = nullptr;
}

void OpenedTables::add(const std::filesystem::path& file) {
  if (opened && std::ranges::find(opened->files, file) == opened->files.end()) opened->files.push_back(file);
}

Csv::Csv(const std::filesystem::path& file) : file_(file.string()) {
  OpenedTables::add(file);
  std::ifstream in(file, std::ios::binary);
  if (!in) throw missing_data(file_, ": cannot be read");
  const std::string mistaken = base::mistaken_file(file);
  IVORY_CHECK(mistaken.empty(), file_, ": is ", mistaken);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  size_t at = 0;
  int64_t line = 1, first = 1;
  std::vector<std::string> fields;
  IVORY_CHECK(next_record(text, at, line, header_), file_, ": is empty, expected a table with a header");
  for (first = line; next_record(text, at, line, fields); first = line) {
    if (fields.size() > 1 || !fields[0].empty()) rows_.push_back({first, fields});
  }
}

bool Csv::has(const std::string& column) const {
  return std::ranges::find(header_, column) != header_.end();
}

const std::string& Csv::text(size_t row, const std::string& column) const {
  const auto found = std::ranges::find(header_, column);
  if (found == header_.end()) {
    throw bad_request(file_, ": has no column '", column, "', its header is: ", base::joined(header_));
  }
  const auto at = static_cast<size_t>(found - header_.begin());
  const Row& here = rows_.at(row);
  IVORY_CHECK(at < here.fields.size(), file_, ":", here.line, ": has ", here.fields.size(), " fields, column '", column,
              "' is the ", at + 1, "th");
  return here.fields[at];
}

template <class Number>
Number Csv::parsed(size_t row, const std::string& column, const char* kind) const {
  const std::string& field = text(row, column);
  Number value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  IVORY_CHECK(error == std::errc() && end == field.data() + field.size(), file_, ":", rows_[row].line, ": column '",
              column, "' must be ", kind, ", got '", field, "'");
  return value;
}

double Csv::number(size_t row, const std::string& column) const {
  return parsed<double>(row, column, "a number");
}

int64_t Csv::integer(size_t row, const std::string& column) const {
  return parsed<int64_t>(row, column, "a whole number");
}

}  // namespace ivory::ingest
