#include "report/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <sstream>

#include "report/html.h"
#include "report/report_assets.h"
#include "report/report_table.h"

namespace ivory::experiment {
namespace {

using html::escape;

void write_results(std::ostream& out, const Table& table) {
  out << "<section aria-labelledby=\"results\">\n<h2 id=\"results\">Results</h2>\n";
  write_table(out, table, "results", "From");
  write_repetitions(out, table);
  out << "</section>\n";
}

// What follows the first ": " in every caption, if it is the same in all: said once, over the pictures.
std::string common_ending(const std::vector<ReportPicture>& pictures) {
  if (pictures.size() < 2) return "";
  const auto ending = [](const std::string& caption) {
    const size_t colon = caption.find(": ");
    return colon == std::string::npos ? "" : caption.substr(colon);
  };
  const std::string shared = ending(pictures.front().caption);
  for (const auto& picture : pictures) {
    if (ending(picture.caption) != shared) return "";
  }
  return shared;
}

void write_pictures(std::ostream& out, const PictureGroup& group) {
  if (group.pictures.empty()) return;
  const std::string shared = common_ending(group.pictures);
  out << "<h3>" << escape(group.title) << "</h3>\n" << html::paragraphs(group.text);
  if (!shared.empty()) out << "<p class=\"shared\">Each picture" << escape(shared) << ".</p>\n";
  // Wide pictures (image | truth | prediction) stand three in a row, single slices six.
  const double aspect = html::aspect_ratio(group.pictures.front().file);
  if (group.strips) {
    out << "<div class=\"strips\">\n";
  } else {
    out << "<div class=\"pictures\" style=\"--tile: " << std::clamp(std::round(6 * aspect), 8.0, 18.0) << "rem\">\n";
  }
  for (const auto& picture : group.pictures) {
    const std::string& alternative = picture.alternative.empty() ? picture.caption : picture.alternative;
    const std::string caption = picture.caption.substr(0, picture.caption.size() - shared.size());
    out << "<figure>" << html::picture(picture.file, alternative) << "<figcaption>" << escape(caption)
        << "</figcaption></figure>\n";
  }
  out << "</div>\n";
}

template <class Chart>
void write_charts(std::ostream& out, const std::vector<Chart>& charts, const char* style) {
  if (charts.empty()) return;
  out << "<div class=\"" << style << "\">\n";
  for (const auto& chart : charts) out << to_html(chart);
  out << "</div>\n";
}

void write_links(std::ostream& out, const std::vector<Link>& links) {
  if (links.empty()) return;
  out << "<ul class=\"links\">\n";
  for (const auto& link : links) {
    out << "<li><a href=\"" << escape(link.target) << "\">" << escape(link.text) << "</a> <span class=\"course\">"
        << escape(link.remark) << "</span></li>\n";
  }
  out << "</ul>\n";
}

void write_section(std::ostream& out, const ReportSection& section, const std::string& id) {
  out << "<section aria-labelledby=\"" << id << "\">\n<h2 id=\"" << id << "\">" << escape(section.title) << "</h2>\n";
  if (!section.facts.empty()) {
    out << "<dl class=\"facts\">";
    for (const auto& [name, value] : section.facts) {
      out << "<div><dt>" << escape(name) << "</dt><dd>" << escape(value) << "</dd></div>";
    }
    out << "</dl>\n";
  }
  if (!section.remarks.empty()) {
    out << "<ul class=\"remarks\">\n";
    for (const auto& remark : section.remarks) {
      out << (remark.warning ? "<li class=\"warning\"><strong>Warning:</strong> " : "<li>") << escape(remark.text)
          << "</li>\n";
    }
    out << "</ul>\n";
  }
  write_charts(out, section.curves, "charts");
  write_charts(out, section.diagnostics, "charts small");
  write_charts(out, section.dots, "charts");
  write_charts(out, section.parallels, "charts");
  write_charts(out, section.heat_maps, "charts");
  write_charts(out, section.scatters, "charts");
  if (section.table) write_table(out, *section.table, id, "Score");
  for (const auto& group : section.pictures) write_pictures(out, group);
  write_links(out, section.links);
  out << "</section>\n";
}

void write_plan(std::ostream& out, const PlanChart& plan) {
  if (plan.parts.empty()) return;
  out << "<section aria-labelledby=\"plan\">\n<h2 id=\"plan\">Plan</h2>\n" << to_html(plan) << "</section>\n";
}

void write_provenance(std::ostream& out, const Report& report) {
  out << "<section aria-labelledby=\"provenance\">\n<h2 id=\"provenance\">Provenance</h2>\n"
      << "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"provenance\">"
      << "<table class=\"provenance\"><tbody>\n";
  for (const auto& [name, value] : report.provenance) {
    out << "<tr><th scope=\"row\">" << escape(name) << "</th><td>" << escape(value) << "</td></tr>\n";
  }
  out << "</tbody></table></div>\n<details><summary>The experiment as it was run (TOML)</summary>\n"
      << "<pre tabindex=\"0\"><code>" << escape(report.toml) << "</code></pre></details>\n</section>\n";
}

// Ids of the sections: distinct, and none that the page uses itself.
std::vector<std::string> section_ids(const std::vector<ReportSection>& sections) {
  std::set<std::string> taken = {"", "results", "plan", "provenance", "sorted", "content", "live"};
  std::vector<std::string> ids;
  for (const auto& section : sections) {
    std::string id = html::anchor(section.title);
    for (int n = 2; !taken.insert(id).second; ++n) id = html::anchor(section.title) + "-" + std::to_string(n);
    ids.push_back(id);
  }
  return ids;
}

void write_contents(std::ostream& out, const Report& report, const std::vector<std::string>& ids) {
  out << "<nav aria-label=\"Contents\"><ul><li><a href=\"#results\">Results</a></li>";
  if (!report.plan.parts.empty()) out << "<li><a href=\"#plan\">Plan</a></li>";
  for (size_t i = 0; i < ids.size(); ++i) {
    out << "<li><a href=\"#" << ids[i] << "\">" << escape(report.sections[i].title) << "</a></li>";
  }
  out << "<li><a href=\"#provenance\">Provenance</a></li></ul></nav>\n";
}

void write_header(std::ostream& out, const Report& report, const std::vector<std::string>& ids, bool live) {
  out << "<a class=\"skip\" href=\"#content\">Skip to the results</a>\n<header>\n<h1>" << escape(report.title)
      << "</h1>\n";
  if (!report.subtitle.empty()) out << "<p class=\"subtitle\">" << escape(report.subtitle) << "</p>\n";
  if (!report.progress.empty()) out << "<p class=\"progress\">" << escape(report.progress) << "</p>\n";
  out << html::paragraphs(report.note);
  if (!report.caveat.empty()) {
    out << "<aside class=\"caveat\" aria-label=\"Caveat\">" << html::paragraphs(report.caveat) << "</aside>\n";
  }
  write_contents(out, report, ids);
  out << "</header>\n";
  if (live) {
    out << "<p class=\"live\"><button type=\"button\" id=\"live\" aria-pressed=\"false\">Pause updates</button> "
        << "<span role=\"status\"></span></p>\n";
  }
}

}  // namespace

std::string to_html(const Report& report, const std::optional<Live>& live) {
  std::ostringstream out;
  out.precision(17);
  const auto ids = section_ids(report.sections);
  out << page_head(report.title, live.has_value());
  write_header(out, report, ids, live.has_value());
  out << "<main id=\"content\" tabindex=\"-1\">\n";
  write_results(out, report.table);
  write_plan(out, report.plan);
  for (size_t i = 0; i < ids.size(); ++i) write_section(out, report.sections[i], ids[i]);
  write_provenance(out, report);
  out << "</main>\n<p id=\"sorted\" class=\"unseen\" role=\"status\"></p>\n<footer>Written by Ivory. "
      << (report.table.source.empty() ? "No number here was typed in: each"
                                      : "But for the paper's figures no number here was typed in: each")
      << " was measured by the run that this page describes.</footer>\n<script>" << (live ? live_script(live->tag) : "")
      << report_script << "</script>\n</body>\n</html>\n";
  return out.str();
}

}  // namespace ivory::experiment
