#pragma once
// The text headers of MetaImage and NRRD: names and values, nothing understood yet.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ivory::ingest {

class TextHeader {
 public:
  struct Syntax {
    std::string separator;  // between a field's name and its value
    std::string last;       // the field that ends the header; empty: an empty line does
    std::string list;       // the field whose value LIST announces file names, one a line, to the file's end
    std::string key_value;  // separates names that mean nothing to the format from their values; may be empty
  };
  // Throws bad_request on a header that is no text, has no end, or says a field twice with different values.
  TextHeader(const std::filesystem::path& file, const Syntax& syntax);

  const std::string& name() const { return name_; }  // of the file; begins sentences
  int64_t end() const { return end_; }               // first byte behind the header
  const std::vector<std::string>& list() const { return list_; }

  // The value of a field, by any of its names (lower case, no spaces); empty where there is none.
  std::string get(std::initializer_list<const char*> names) const;
  // The numbers of a field. Throws bad_request where its value holds anything else.
  std::vector<int64_t> integers(std::initializer_list<const char*> names) const;
  std::vector<double> numbers(std::initializer_list<const char*> names) const;

 private:
  struct Field {
    std::string written, value;
  };
  const Field* find(std::initializer_list<const char*> names) const;
  template <class Number>
  std::vector<Number> all_of(std::initializer_list<const char*> names, const char* expected) const;

  std::string name_;
  std::map<std::string, Field> fields_;
  std::vector<std::string> list_;
  int64_t end_ = 0;
};

std::string trimmed(const std::string& text);
std::string lower(std::string text);
std::vector<std::string> words_of(const std::string& text);
// The whole text as a number; nothing where it is anything else.
std::optional<int64_t> integer_of(const std::string& text);
std::optional<double> number_of(const std::string& text);

}  // namespace ivory::ingest
