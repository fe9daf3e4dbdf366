#include "data/manifest.h"

#include <ivory/error.h>

#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "data/codec.h"

namespace ivory::data {
namespace {

using base::JsonEvent;
using nlohmann::json;

json to_json(const std::vector<MarkedBox>& boxes) {
  json list = json::array();
  for (const auto& [slice, label, c] : boxes) list.push_back({slice, label, c[0], c[1], c[2], c[3]});
  return list;
}

std::vector<MarkedBox> boxes_from(const json& list) {
  std::vector<MarkedBox> boxes;
  for (const json& item : list) {
    IVORY_CHECK(item.is_array() && item.size() == 6, "a box of ", item.size(), " numbers, expected 6");
    boxes.push_back({item[0].get<int64_t>(),
                     item[1].get<int64_t>(),
                     {item[2].get<double>(), item[3].get<double>(), item[4].get<double>(), item[5].get<double>()}});
  }
  return boxes;
}

json to_json(const VolumeInfo& info) {
  json value = {{"name", info.name},
                {"patient", info.patient},
                {"modality", info.modality},
                {"source_file", info.source_file},
                {"source_hash", info.source_hash},
                {"orientation", info.orientation},
                {"spacing", info.spacing},
                {"origin", info.origin},
                {"direction", info.direction},
                {"window", info.window},
                {"dtype", info.dtype},
                {"shape", {info.slices, info.rows, info.columns}},
                {"has_labels", info.has_labels},
                {"content_hash", info.content_hash},
                {"notes", info.notes}};
  if (info.boxes) value["boxes"] = to_json(*info.boxes);
  return value;
}

VolumeInfo info_from(const json& value) {
  VolumeInfo info;
  value.at("name").get_to(info.name);
  value.at("patient").get_to(info.patient);
  value.at("modality").get_to(info.modality);
  value.at("source_file").get_to(info.source_file);
  value.at("source_hash").get_to(info.source_hash);
  value.at("orientation").get_to(info.orientation);
  value.at("spacing").get_to(info.spacing);
  value.at("origin").get_to(info.origin);
  value.at("direction").get_to(info.direction);
  value.at("window").get_to(info.window);
  value.at("dtype").get_to(info.dtype);
  const auto shape = value.at("shape").get<std::array<int64_t, 3>>();
  info.slices = shape[0], info.rows = shape[1], info.columns = shape[2];
  value.at("has_labels").get_to(info.has_labels);
  value.at("content_hash").get_to(info.content_hash);
  value.at("notes").get_to(info.notes);
  if (value.contains("boxes")) info.boxes = boxes_from(value.at("boxes"));
  return info;
}

// Checksums are texts: JSON readers of other languages round integers over 2^53.
json to_json(const IndexPlace& place) {
  return {{"address", place.address}, {"xxh3_64", base::to_hexadecimal(place.checksum)}};
}

IndexPlace index_from(const json& value) {
  return {value.at("address").get<uint64_t>(), std::stoull(value.at("xxh3_64").get<std::string>(), nullptr, 16)};
}

json to_json(const StoredVolume& volume) {
  json value = {{"info", to_json(volume.info)},
                {"shard", volume.shard},
                {"shard_bytes", volume.shard_bytes},
                {"filter", to_text(volume.filter)},
                {"image_index", to_json(volume.image_index)}};
  if (volume.info.has_labels) {
    value["labels_index"] = to_json(volume.labels_index);
    value["label_dtype"] = volume.label_type == PixelType::uint8 ? "uint8" : "uint16";
  }
  return value;
}

void check(const StoredVolume& volume) {
  const VolumeInfo& info = volume.info;
  constexpr int64_t longest = 1 << 20;
  const auto sane = [](int64_t extent) { return extent > 0 && extent <= longest; };
  IVORY_CHECK(sane(info.slices) && sane(info.rows) && sane(info.columns) && info.rows * info.columns <= 1 << 28,
              "volume ", info.name, " has the shape ", info.slices, " x ", info.rows, " x ", info.columns);
  IVORY_CHECK(std::isfinite(info.window[0]) && std::isfinite(info.window[1]) && info.window[0] < info.window[1],
              "volume ", info.name, " has the window ", info.window[0], " to ", info.window[1]);
  IVORY_CHECK(!volume.shard.empty() && volume.shard.find('/') == std::string::npos, "volume ", info.name,
              " names the shard \"", volume.shard, "\"");
  pixel_type(info.dtype);
  check_boxes(info);
}

StoredVolume volume_from(const json& value) {
  StoredVolume volume;
  volume.info = info_from(value.at("info"));
  value.at("shard").get_to(volume.shard);
  value.at("shard_bytes").get_to(volume.shard_bytes);
  volume.filter = filter_named(value.at("filter"));
  volume.image_index = index_from(value.at("image_index"));
  if (volume.info.has_labels) {
    volume.labels_index = index_from(value.at("labels_index"));
    volume.label_type = pixel_type(value.at("label_dtype"));
  }
  check(volume);
  return volume;
}

// What is read volume by volume, so that a cache of a million of them takes no JSON tree of all.
struct Document {
  json top;             // without `cache.volumes`' items
  std::string volumes;  // their canonical texts, joined by commas
  Manifest manifest;
  std::exception_ptr fault;  // of the first wrong volume: told where all else is right
};

// A volume is an item of the only list at this depth: the document, its cache, their list.
constexpr int volume_depth = 3;

Document read_document(const std::string& text) {
  Document read;
  int depth_of_lists = 0;
  const auto each = [&](int depth, JsonEvent event, json& value) {
    IVORY_CHECK(depth <= base::max_json_depth, "nested deeper than ", base::max_json_depth, " levels");
    if (depth == volume_depth - 1 && event == JsonEvent::array_start) ++depth_of_lists;
    if (depth == volume_depth - 1 && event == JsonEvent::array_end) --depth_of_lists;
    if (depth != volume_depth || event != JsonEvent::object_end || depth_of_lists == 0) return true;
    if (!read.volumes.empty()) read.volumes += ',';
    read.volumes += base::dump(value);
    try {
      if (!read.fault) read.manifest.volumes.push_back(volume_from(value));
    } catch (const std::exception&) {
      read.fault = std::current_exception();
    }
    return false;
  };
  read.top = base::visit_json(text, each);
  return read;
}

// As compact JSON with sorted keys: the volumes come last.
std::string canonical_cache(const std::string& identity, const std::string& content_hash, const std::string& volumes) {
  std::string text = base::dump({{"content_hash", content_hash}, {"identity", identity}});
  text.pop_back();
  return text + ",\"volumes\":[" + volumes + "]}";
}

Manifest manifest_from(Document read) {
  const std::string format = read.top.at("format");
  IVORY_CHECK(format == format_name, "format \"", format, "\", expected \"", format_name, "\"");
  const int64_t version = read.top.at("version");
  IVORY_CHECK(version == format_version, "version ", version, " of the format, expected ", format_version,
              version > format_version ? ": it was written by a newer Ivory" : "");
  const json& cache = read.top.at("cache");
  Manifest manifest = std::move(read.manifest);
  cache.at("identity").get_to(manifest.identity);
  cache.at("content_hash").get_to(manifest.content_hash);
  const std::string checksum = read.top.at("xxh3_128");
  const std::string actual = base::hash128(canonical_cache(manifest.identity, manifest.content_hash, read.volumes));
  IVORY_CHECK(checksum == actual, "checksum ", actual, ", expected ", checksum, ": the file was damaged or edited");
  if (read.fault) std::rethrow_exception(read.fault);
  return manifest;
}

}  // namespace

std::string to_text(const Manifest& manifest) {
  std::string volumes;
  for (const StoredVolume& volume : manifest.volumes)
    volumes += (volumes.empty() ? "" : ",") + base::dump(to_json(volume));
  const std::string cache = canonical_cache(manifest.identity, manifest.content_hash, volumes);
  return "{\"cache\":" + cache + ",\"format\":\"" + format_name + "\",\"version\":" + std::to_string(format_version) +
         ",\"xxh3_128\":\"" + base::hash128(cache) + "\"}\n";
}

Manifest parse_manifest(const std::string& text, const std::string& where) {
  try {
    return manifest_from(read_document(text));
  } catch (const Error& error) {
    throw Error(error.code(), where + ": " + error.what());
  } catch (const std::exception& error) {
    throw bad_request(where, ": not a slice cache's manifest: ", error.what());
  }
}

std::string content_hash_of(const std::vector<StoredVolume>& volumes) {
  json parts = json::array();
  for (const StoredVolume& volume : volumes) {
    const VolumeInfo& info = volume.info;
    parts.push_back({info.name, info.patient, info.modality, info.spacing, info.window, info.dtype, info.slices,
                     info.rows, info.columns, info.has_labels, info.content_hash});
    if (info.boxes) parts.back().push_back(to_json(*info.boxes));
  }
  return base::hash128(base::dump(parts));
}

Manifest read_manifest(const std::filesystem::path& folder) {
  const auto path = folder / "manifest.json";
  if (!std::filesystem::exists(path))
    throw missing_data(folder.string(), ": there is no finished slice cache (no manifest.json)");
  return parse_manifest(base::read_text(path), path.string());
}

}  // namespace ivory::data
