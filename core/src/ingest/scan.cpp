#include "ingest/scan.h"

#include <fmt/format.h>
#include <ivory/error.h>
#include <unistd.h>

#include "base/file_kind.h"
#include "ingest/format.h"
#include "ingest/pictures.h"

namespace ivory::ingest {

Scan read_scan(const std::filesystem::path& path, Use use, std::optional<int64_t> channel) {
  if (std::filesystem::is_symlink(path) && !std::filesystem::exists(path)) {
    throw missing_data(path.string(), ": is a link to ", std::filesystem::read_symlink(path).string(),
                       ", which is not there (git-annex and DataLad: get the file first)");
  }
  if (!std::filesystem::exists(path)) throw missing_data(path.string(), ": no such file or folder");
  if (std::filesystem::is_directory(path)) return read_dicom_series(path, use);
  const std::string mistaken = base::mistaken_file(path);
  IVORY_CHECK(mistaken.empty(), path.string(), ": is ", mistaken);
  const auto format = format_of(path);
  IVORY_CHECK(format, path.string(), ": is of no format that is read (NIfTI, MetaImage, NRRD, DICOM, PNG, JPEG, TIFF)");
  IVORY_CHECK(std::filesystem::file_size(path) > 0, path.string(), ": is an empty file");
  if (*format == Format::nifti) return read_nifti(path, channel);
  IVORY_CHECK(channel.value_or(0) == 0, path.string(), ": channels are read from NIfTI files alone, channel ", *channel,
              " was asked for");
  switch (*format) {
    case Format::png:
      return read_png(path, use);
    case Format::jpeg:
      return read_jpeg(path, use);
    case Format::tiff:
      return read_tiff(path, use);
    case Format::meta:
      return read_meta_image(path);
    case Format::nrrd:
      return read_nrrd(path);
    default:
      return read_dicom(path, use);
  }
}

void check_announced_size(double bytes, const Scan& scan, const std::filesystem::path& file,
                          std::optional<double> stored) {
  double on_disk = 0;
  for (const auto& part : scan.files) on_disk += static_cast<double>(std::filesystem::file_size(part));
  constexpr double densest = 1100;  // deflate reaches 1032 : 1
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  IVORY_CHECK(stored.value_or(bytes) <= densest * on_disk + (1 << 20), file.string(),
              fmt::format(": the header announces {:.3g} MB of voxels, which a file of {:.3g} MB cannot hold",
                          stored.value_or(bytes) / 1e6, on_disk / 1e6));
  IVORY_CHECK(bytes <= memory / 2, file.string(),
              fmt::format(": needs {:.1f} GB, over half of this machine's memory", bytes / 1e9));
}

}  // namespace ivory::ingest
