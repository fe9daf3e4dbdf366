#pragma once
// A small HTTP server for pages that a program makes: on this machine alone (127.0.0.1), and for reading only.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace ivory::experiment {

struct ServedPage {
  std::string type = "text/html; charset=utf-8";
  std::string body = {};
};

// The page of a path such as "/report.html"; empty where there is none. Called in the thread of serve_pages, one call
// at a time. What it throws the visitor reads as the reason of an error 500.
using PageOf = std::function<std::optional<ServedPage>(const std::string& path)>;

// Answers GET and HEAD until SIGINT or SIGTERM, then returns. Port 0: one that is free. `listening` is told the port.
// Only requests that name 127.0.0.1 or localhost as their host are answered: no other site's name can be made to lead
// here. Throws bad_request where the port is in use.
void serve_pages(uint16_t port, const PageOf& page_of, const std::function<void(uint16_t)>& listening);

}  // namespace ivory::experiment
