#include "report/fingerprint_page.h"

#include <cmath>
#include <sstream>

#include "base/text.h"
#include "eval/png.h"
#include "report/chart.h"
#include "report/html.h"
#include "report/plane_picture.h"
#include "report/report_assets.h"

namespace ivory::experiment {
namespace {

using data::Fingerprint;
using html::escape;
using html::number;

constexpr size_t most_rows = 500;      // of the table of volumes
constexpr size_t most_labels = 30;     // of the chart of label volumes
constexpr size_t most_dots = 101;      // of a label in it: percentiles beyond
constexpr size_t most_listed = 50;     // patients or contents in several splits, duplicates
constexpr int64_t longest_side = 240;  // pixels of a plane

std::string count(size_t n, const char* what) {
  return number(static_cast<double>(n)) + " " + what + (n == 1 ? "" : "s");
}

// A number that its table sorts by.
std::string cell(double value) {
  std::ostringstream out;
  out.precision(17);
  out << "<td data-value=\"" << value << "\">" << number(value) << "</td>";
  return out.str();
}

void begin_section(std::ostream& out, const std::string& title) {
  const std::string id = html::anchor(title);
  out << "<section aria-labelledby=\"" << id << "\">\n<h2 id=\"" << id << "\">" << escape(title) << "</h2>\n";
}

void begin_table(std::ostream& out, const char* style, const std::vector<std::string>& heads) {
  out << "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" << escape(heads.front())
      << "\"><table class=\"" << style << "\"><thead><tr>";
  for (const auto& head : heads) out << "<th scope=\"col\">" << escape(head) << "</th>";
  out << "</tr></thead><tbody>\n";
}

void end_table(std::ostream& out) {
  out << "</tbody></table></div>\n";
}

// At most `most_listed` of them, those in excess as a number.
template <class Item, class Text>
void write_remarks(std::ostream& out, const std::vector<Item>& items, bool warning, const Text& text) {
  if (items.empty()) return;
  out << "<ul class=\"remarks\">\n";
  for (size_t i = 0; i < std::min(items.size(), most_listed); ++i) {
    out << (warning ? "<li class=\"warning\"><strong>Warning:</strong> " : "<li>") << escape(text(items[i]))
        << "</li>\n";
  }
  if (items.size() > most_listed) out << "<li>and " << items.size() - most_listed << " more</li>\n";
  out << "</ul>\n";
}

void write_splits(std::ostream& out, const Fingerprint& fingerprint) {
  if (fingerprint.splits.empty()) return;
  begin_section(out, "Splits");
  for (const auto& found : fingerprint.splits) {
    out << "<h3>" << escape(found.origin == "folders" ? "As the folders of the files say" : found.origin)
        << "</h3>\n<p>";
    for (size_t i = 0; i < found.splits.size(); ++i)
      out << (i > 0 ? ", " : "") << escape(found.splits[i].name) << ": "
          << count(found.splits[i].volumes.size(), "volume");
    out << ". " << count(found.patients.size(), "patient") << " in more than one.</p>\n";
    write_remarks(out, found.patients, !found.allow_shared_patients, data::shared_patient_text);
    write_remarks(out, found.content, true, data::shared_content_text);
  }
  out << "</section>\n";
}

void write_duplicates(std::ostream& out, const Fingerprint& fingerprint) {
  if (fingerprint.duplicates.empty()) return;
  begin_section(out, "Duplicates");
  write_remarks(out, fingerprint.duplicates, true, [&](const data::Duplicate& duplicate) {
    const auto name = [&](int32_t volume) {
      const auto& info = fingerprint.volumes[static_cast<size_t>(volume)].info;
      return info.name + " (patient " + data::patient_of(info) + ")";
    };
    return base::joined(duplicate.volumes, ", ", name) +
           (duplicate.same_labels ? " have the same pixels" : " have the same pixels, with different labels");
  });
  out << "</section>\n";
}

// Shares of the voxels per unit of intensity, in percent. A bin that holds most of them, as the air around a head does,
// is left out and told of.
Series shares(const std::string& name, const data::Histogram& histogram, uint64_t voxels, std::string& left_out) {
  constexpr double most = 20;
  Series series{.name = name, .x = {}, .y = {}};
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    const double low = histogram.low + histogram.width * static_cast<double>(i);
    const double share = 100.0 * static_cast<double>(histogram.counts[i]) / static_cast<double>(voxels);
    const bool high = share > most && histogram.counts.size() > 1;
    series.x.push_back(low + histogram.width / 2);
    series.y.push_back(high ? std::nan("") : share / histogram.width);
    if (high) left_out += ", without the " + number(share) + " % from " + number(low) + " on (" + name + ")";
  }
  return series;
}

void write_intensities(std::ostream& out, const data::ModalityFinding& found) {
  std::vector<std::string> heads = {"Intensities", "min"};
  for (const double percent : data::percents) heads.push_back(number(percent) + " %");
  heads.insert(heads.end(), {"max", "mean", "deviation"});
  begin_table(out, "results dense", heads);
  for (const auto& [name, values] :
       {std::pair("all voxels", found.all), std::pair("labelled voxels", found.labelled)}) {
    if (values.voxels == 0) continue;
    out << "<tr><th scope=\"row\">" << name << "</th>" << cell(values.minimum);
    for (const double value : values.percentiles) out << cell(value);
    out << cell(values.maximum) << cell(values.mean) << cell(values.deviation) << "</tr>\n";
  }
  end_table(out);
  std::string left_out;
  LineChart chart{.x_label = "intensity", .y_label = "% of the voxels per unit", .from_zero = true, .course = false};
  chart.series.push_back(shares("all voxels", found.all_histogram, found.all.voxels, left_out));
  if (found.labelled.voxels > 0)
    chart.series.push_back(shares("labelled voxels", found.labelled_histogram, found.labelled.voxels, left_out));
  chart.title = "Histogram" + left_out;
  out << "<div class=\"charts\">\n" << to_html(chart) << "</div>\n";
}

void write_modality(std::ostream& out, const data::ModalityFinding& found) {
  begin_section(out, "Modality " + found.modality);
  const std::array<std::pair<const char*, std::string>, 5> facts = {
      {{"volumes", number(static_cast<double>(found.volumes))},
       {"slices in all", number(static_cast<double>(found.slices))},
       {"stored as", base::joined(found.dtypes)},
       {"slices × rows × columns", text_of(found.shape)},
       {"spacing, mm", text_of(found.spacing)}}};
  out << "<dl class=\"facts\">";
  for (const auto& [name, value] : facts) out << "<div><dt>" << name << "</dt><dd>" << escape(value) << "</dd></div>";
  out << "</dl>\n";
  write_intensities(out, found);
  out << "</section>\n";
}

DotChart chart_of(const std::vector<data::LabelFinding>& labels) {
  DotChart chart{.title = "Volume of each label in each scan", .x_label = "ml", .mean = true};
  for (size_t i = 0; i < std::min(labels.size(), most_labels); ++i) {
    std::vector<double> sorted = labels[i].mm3;
    std::ranges::sort(sorted);
    DotChart::Row row{.name = "label " + std::to_string(labels[i].id), .values = {}};
    const size_t dots = std::min(sorted.size(), most_dots);
    for (size_t k = 0; k < dots; ++k)
      row.values.push_back(sorted[dots > 1 ? k * (sorted.size() - 1) / (dots - 1) : 0] / 1000);
    chart.rows.push_back(std::move(row));
  }
  return chart;
}

void write_labels(std::ostream& out, const Fingerprint& fingerprint) {
  if (fingerprint.labels.empty()) return;
  begin_section(out, "Labels");
  begin_table(out, "results sortable", {"Label", "volumes", "voxels", "min mm³", "median mm³", "max mm³"});
  for (size_t i = 0; i < fingerprint.labels.size(); ++i) {
    const auto& label = fingerprint.labels[i];
    const auto spread = data::spread_of(label.mm3);
    out << "<tr><th scope=\"row\"><svg class=\"key\" aria-hidden=\"true\"><rect width=\"26\" height=\"10\" fill=\""
        << label_colour(i) << "\"/></svg>" << label.id << "</th>" << cell(static_cast<double>(label.mm3.size()))
        << cell(static_cast<double>(label.voxels)) << cell(spread.minimum) << cell(spread.median)
        << cell(spread.maximum) << "</tr>\n";
  }
  end_table(out);
  out << "<div class=\"charts\">\n" << to_html(chart_of(fingerprint.labels)) << "</div>\n</section>\n";
}

void write_pictures(std::ostream& out, const Fingerprint& fingerprint) {
  if (fingerprint.views.empty()) return;
  begin_section(out, "Middle slices");
  out << "<p>Axial, coronal and sagittal, in millimetres alike; the patient's left is on the right, superior is up, "
         "and "
         "anterior is up in axial and left in sagittal slices. Images of one slice are as stored.</p>\n"
      << "<div class=\"pictures\" style=\"--tile: 26rem\">\n";
  std::vector<int32_t> ids;
  for (const auto& label : fingerprint.labels) ids.push_back(label.id);
  for (const auto& view : fingerprint.views) {
    const std::string& name = fingerprint.volumes[static_cast<size_t>(view.volume)].info.name;
    out << "<figure>"
        << html::picture_of(eval::encode_png(draw_planes(view, ids, longest_side)), "Middle slices of " + name)
        << "<figcaption>" << escape(name) << "</figcaption></figure>\n";
  }
  out << "</div>\n</section>\n";
}

void write_volumes(std::ostream& out, const Fingerprint& fingerprint) {
  begin_section(out, "Volumes");
  const size_t rows = std::min(fingerprint.volumes.size(), most_rows);
  if (rows < fingerprint.volumes.size())
    out << "<p>The first " << rows << " of " << fingerprint.volumes.size() << "; fingerprint.json has all.</p>\n";
  begin_table(out, "results sortable dense",
              {"Volume", "patient", "modality", "slices", "rows", "columns", "mm by slice", "by row", "by column",
               "0.5 %", "50 %", "99.5 %", "labels"});
  for (size_t i = 0; i < rows; ++i) {
    const auto& [info, hash, intensities, labels] = fingerprint.volumes[i];
    out << "<tr><th scope=\"row\">" << escape(info.name) << "</th><td>" << escape(data::patient_of(info)) << "</td><td>"
        << escape(info.modality) << "</td>";
    for (const int64_t extent : {info.slices, info.rows, info.columns}) out << cell(static_cast<double>(extent));
    for (const double mm : info.spacing) out << cell(mm);
    const auto& percentiles = intensities.percentiles;
    for (const double value : {percentiles.front(), percentiles[percentiles.size() / 2], percentiles.back()})
      out << cell(value);
    out << cell(static_cast<double>(labels.size())) << "</tr>\n";
  }
  end_table(out);
  out << "</section>\n";
}

}  // namespace

std::string text_of(const data::Spread& spread) {
  if (spread.minimum == spread.maximum) return number(spread.minimum);
  return number(spread.minimum) + " … " + number(spread.maximum) + " (median " + number(spread.median) + ")";
}

std::string text_of(const std::array<data::Spread, 3>& axes) {
  return text_of(axes[0]) + " × " + text_of(axes[1]) + " × " + text_of(axes[2]);
}

std::string fingerprint_page(const Fingerprint& fingerprint, const std::string& name) {
  std::set<std::string> patients;
  for (const auto& volume : fingerprint.volumes) patients.insert(data::patient_of(volume.info));
  const std::string title = "Fingerprint of " + name;
  std::ostringstream out;
  out << page_head(title) << "<header>\n<h1>" << escape(title) << "</h1>\n<p class=\"subtitle\">"
      << count(fingerprint.volumes.size(), "volume") << " of " << count(patients.size(), "patient") << ", "
      << count(static_cast<size_t>(fingerprint.slices), "slice") << " · content " << escape(fingerprint.content_hash)
      << "</p>\n</header>\n<main>\n";
  write_splits(out, fingerprint);
  write_duplicates(out, fingerprint);
  write_pictures(out, fingerprint);
  for (const auto& modality : fingerprint.modalities) write_modality(out, modality);
  write_labels(out, fingerprint);
  write_volumes(out, fingerprint);
  out << "<p id=\"sorted\" class=\"unseen\" role=\"status\"></p>\n</main>\n<footer>Written by Ivory from the slices of "
         "the cache.</footer>\n<script>"
      << report_script << "</script>\n</body>\n</html>\n";
  return out.str();
}

}  // namespace ivory::experiment
