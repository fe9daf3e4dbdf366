#pragma once
// Tables of comma-separated values, as data sets bring them.

#include <filesystem>
#include <string>
#include <vector>

namespace ivory::ingest {

// Quoted fields, any end of line, a byte order mark, spaces around fields. Rows may have fewer or more fields than the
// header (NIH's header has unquoted commas in a name).
class Csv {
 public:
  explicit Csv(const std::filesystem::path& file);

  size_t rows() const { return rows_.size(); }
  bool has(const std::string& column) const;
  // Throws bad_request with file and line when there is no such column, the row is too short, or the field no number.
  const std::string& text(size_t row, const std::string& column) const;
  double number(size_t row, const std::string& column) const;
  int64_t integer(size_t row, const std::string& column) const;

 private:
  struct Row {
    int64_t line;
    std::vector<std::string> fields;
  };
  template <class Number>
  Number parsed(size_t row, const std::string& column, const char* kind) const;

  std::string file_;
  std::vector<std::string> header_;
  std::vector<Row> rows_;
};

// Tables and descriptions of data sets that the calling thread opens while one of these lives.
class OpenedTables {
 public:
  OpenedTables();
  ~OpenedTables();
  OpenedTables(const OpenedTables&) = delete;
  OpenedTables& operator=(const OpenedTables&) = delete;
  static void add(const std::filesystem::path& file);

  std::vector<std::filesystem::path> files;
};

}  // namespace ivory::ingest
