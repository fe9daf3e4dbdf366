#include "ingest/text_header.h"

#include <ivory/error.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace ivory::ingest {
namespace {

constexpr size_t most_bytes = 16 << 20;  // of a header with all its lines

// The next line without its end, of LF or CR LF; false at the end of the file.
bool next_line(std::istream& in, std::string& line, const std::string& name, size_t& read) {
  line.clear();
  for (int c = in.get(); c != EOF; c = in.get()) {
    if (c == '\n') {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      return true;
    }
    line += static_cast<char>(c);
    IVORY_CHECK(++read <= most_bytes, name, ": is damaged, its header is longer than 16 MB");
  }
  return !line.empty();
}

// "Data File" and "datafile" are one field.
std::string key_of(std::string name) {
  std::erase(name, ' ');
  return lower(name);
}

template <class Number>
std::optional<Number> parsed(const std::string& text) {
  const char *begin = text.data() + (text.starts_with('+') ? 1 : 0), *end = text.data() + text.size();
  Number number = 0;
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

}  // namespace

TextHeader::TextHeader(const std::filesystem::path& file, const Syntax& syntax) : name_(file.string()) {
  std::ifstream in(file, std::ios::binary);
  IVORY_CHECK(in, name_, ": cannot be opened");
  std::string line;
  size_t read = 0;
  bool lists = false;
  while (next_line(in, line, name_, read)) {
    if (trimmed(line).empty() && syntax.last.empty()) break;
    const size_t other = syntax.key_value.empty() ? std::string::npos : line.find(syntax.key_value);
    size_t at = line.find(syntax.separator), width = syntax.separator.size();
    if (at == std::string::npos && other == std::string::npos)
      at = line.find(syntax.separator[0]), width = 1;  // no blank
    if (line.starts_with('#') || at == std::string::npos || other < at) continue;
    const std::string written = trimmed(line.substr(0, at)), value = trimmed(line.substr(at + width));
    const std::string key = key_of(written);
    const auto [known, fresh] = fields_.emplace(key, Field{written, value});
    IVORY_CHECK(fresh || known->second.value == value, name_, ": is damaged, its header says '", written, "' twice: '",
                known->second.value, "' and '", value, "'");
    lists = key == syntax.list && (value == "LIST" || value.starts_with("LIST "));
    if (lists || key == syntax.last) break;
  }
  end_ = in.eof() ? static_cast<int64_t>(std::filesystem::file_size(file)) : static_cast<int64_t>(in.tellg());
  while (lists && next_line(in, line, name_, read)) {
    if (!trimmed(line).empty()) list_.push_back(trimmed(line));
  }
}

const TextHeader::Field* TextHeader::find(std::initializer_list<const char*> names) const {
  for (const char* name : names) {
    if (const auto found = fields_.find(name); found != fields_.end()) return &found->second;
  }
  return nullptr;
}

std::string TextHeader::get(std::initializer_list<const char*> names) const {
  const Field* field = find(names);
  return field ? field->value : "";
}

template <class Number>
std::vector<Number> TextHeader::all_of(std::initializer_list<const char*> names, const char* expected) const {
  std::vector<Number> all;
  const Field* field = find(names);
  for (const auto& word : words_of(field ? field->value : "")) {
    const auto number = parsed<Number>(word);
    IVORY_CHECK(number, name_, ": the header's '", field->written, "' says '", word, "', expected ", expected);
    all.push_back(*number);
  }
  return all;
}

std::vector<int64_t> TextHeader::integers(std::initializer_list<const char*> names) const {
  return all_of<int64_t>(names, "whole numbers");
}

std::vector<double> TextHeader::numbers(std::initializer_list<const char*> names) const {
  return all_of<double>(names, "numbers");
}

std::string trimmed(const std::string& text) {
  constexpr const char* blank = " \t\r\n\v\f";
  const auto first = text.find_first_not_of(blank);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::optional<int64_t> integer_of(const std::string& text) {
  return parsed<int64_t>(text);
}

std::optional<double> number_of(const std::string& text) {
  return parsed<double>(text);
}

}  // namespace ivory::ingest
