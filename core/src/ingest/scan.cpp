#include "ingest/scan.h"

#include <fmt/format.h>
#include <ivory/error.h>
#include <unistd.h>

#include "ingest/format.h"
#include "ingest/pictures.h"

namespace ivory::ingest {

Scan read_scan(const std::filesystem::path& path, std::optional<int64_t> channel) {
  if (!std::filesystem::exists(path)) throw missing_data(path.string(), ": no such file or folder");
  if (std::filesystem::is_directory(path)) return read_dicom_series(path);
  const auto format = format_of(path);
  IVORY_CHECK(format, path.string(), ": is of no format that is read (NIfTI, MetaImage, NRRD, DICOM, PNG, JPEG, TIFF)");
  IVORY_CHECK(std::filesystem::file_size(path) > 0, path.string(), ": is an empty file");
  if (*format == Format::nifti) return read_nifti(path, channel);
  IVORY_CHECK(channel.value_or(0) == 0, path.string(), ": channels are read from NIfTI files alone, channel ", *channel,
              " was asked for");
  switch (*format) {
    case Format::png:
      return read_png(path);
    case Format::jpeg:
      return read_jpeg(path);
    case Format::tiff:
      return read_tiff(path);
    default:
      return read_with_itk(path);
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
