#pragma once
// Pieces of HTML text.

#include <filesystem>
#include <string>
#include <string_view>

namespace ivory::experiment::html {

// Safe in text and in quoted attributes.
std::string escape(std::string_view text);
// "<p>…</p>" for every paragraph; paragraphs are separated by an empty line.
std::string paragraphs(std::string_view text);
std::string base64(std::string_view bytes);
// "7.21", "0.000312", "12,400": four significant digits, thousands set off.
std::string number(double value);
// Width over height of a PNG file; 1 when it cannot be read.
double aspect_ratio(const std::filesystem::path& png);
// "data:image/png;base64,…"; empty when the file cannot be read.
std::string data_url(const std::filesystem::path& png);
// <img> with the PNG inside, its size and an alternative text; a sentence in its place when it cannot be read.
std::string picture(const std::filesystem::path& png, const std::string& alternative);
std::string picture_of(std::string_view png_bytes, const std::string& alternative);
// "stage-slices": for the id of a section.
std::string anchor(std::string_view title);

}  // namespace ivory::experiment::html
