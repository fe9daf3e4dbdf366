#include "base/file_kind.h"

#include <algorithm>
#include <fstream>

namespace ivory::base {
namespace {

constexpr size_t enough = 512;

// Without a byte order mark and blanks, in small letters.
std::string plain(std::string text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  text.erase(0, std::min(text.size(), text.find_first_not_of(" \t\r\n")));
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// '{' or '[' and what JSON can have behind it.
bool is_json(const std::string& text) {
  if (text.empty() || (text[0] != '{' && text[0] != '[')) return false;
  const size_t next = text.find_first_not_of(" \t\r\n", 1);
  return next != std::string::npos &&
         std::string_view("\"{}[]-0123456789tfn").find(text[next]) != std::string_view::npos &&
         std::ranges::none_of(text, [](char c) { return c >= 0 && c < ' ' && c != '\t' && c != '\r' && c != '\n'; });
}

}  // namespace

std::string mistaken_text(std::string_view whole) {
  const std::string text = plain(std::string(whole.substr(0, enough)));
  const auto begins = [&](std::string_view with) { return text.starts_with(with); };
  if (begins("version https://git-lfs") || begins("version http://git-media"))
    return "a pointer of Git LFS, not the file itself (git lfs pull fetches it)";
  if (begins("/annex/objects/") || begins("../.git/annex/objects/"))
    return "a pointer of git-annex, not the file itself (git annex get fetches it)";
  if (begins("<!doctype html") || begins("<html") || begins("<head"))
    return "a web page (HTML): was a login or an error downloaded?";
  if (begins("<?xml") || begins("<error>")) return "an XML document: was an error message downloaded?";
  if (is_json(text)) return "a JSON document";
  if (begins("%pdf-")) return "a PDF document";
  if (begins("rar!\x1a") || begins("7z\xbc\xaf")) return "an archive; unpack it first";
  return "";
}

std::string mistaken_file(const std::filesystem::path& file) {
  std::string text(enough, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return mistaken_text(text);
}

}  // namespace ivory::base
