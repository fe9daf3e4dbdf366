#include "data/shard.h"

#include <hdf5.h>
#include <ivory/error.h>

#include <cstdlib>
#include <mutex>
#include <vector>

#include "base/hash.h"
#include "data/codec.h"

namespace ivory::data {
namespace {

constexpr size_t growth = size_t{1} << 20;  // of the image in memory

// HDF5 may be built without thread safety.
std::mutex& library_lock() {
  static std::mutex mutex;
  return mutex;
}

template <class Result>
Result checked(Result result, const char* what) {
  if (result < 0) throw run_failed("the HDF5 library could not ", what);
  return result;
}

// Owns an HDF5 identifier.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t), const char* what) : id_(checked(id, what)), close_(close) {}
  ~Handle() { close_(id_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

hid_t memory_file() {
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "create a property list");
  checked(H5Pset_fapl_core(access, growth, false), "set up a file in memory");
  static int64_t count = 0;  // under the library's lock: files that are open have to differ in their names
  return H5Fcreate(("shard " + std::to_string(count++)).c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
}

void write_attribute(hid_t object, const char* name, const std::string& text) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "create a type");
  checked(H5Tset_size(type, H5T_VARIABLE), "set up a text type");
  checked(H5Tset_cset(type, H5T_CSET_UTF8), "set up a text type");
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose, "create a data space");
  const Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                         "create an attribute");
  const char* value = text.c_str();
  checked(H5Awrite(attribute, type, &value), "write an attribute");
}

void write_attribute(hid_t object, const char* name, int64_t number) {
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose, "create a data space");
  const Handle attribute(H5Acreate2(object, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                         "create an attribute");
  checked(H5Awrite(attribute, H5T_NATIVE_INT64, &number), "write an attribute");
}

void write_attribute(hid_t object, const char* name, std::span<const double> numbers) {
  const hsize_t count = numbers.size();
  const Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose, "create a data space");
  const Handle attribute(H5Acreate2(object, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                         "create an attribute");
  checked(H5Awrite(attribute, H5T_NATIVE_DOUBLE, numbers.data()), "write an attribute");
}

// Of a data set without the times of writing that HDF5 keeps by default: the same volumes are the same bytes.
hid_t dataset_properties() {
  const hid_t properties = checked(H5Pcreate(H5P_DATASET_CREATE), "create a property list");
  checked(H5Pset_obj_track_times(properties, false), "leave out the times");
  return properties;
}

void write_boxes(hid_t object, const std::vector<MarkedBox>& boxes) {
  const std::array<hsize_t, 2> shape = {boxes.size(), 6};
  std::vector<double> numbers;
  for (const auto& [slice, label, corners] : boxes) {
    numbers.push_back(static_cast<double>(slice));
    numbers.push_back(static_cast<double>(label));
    numbers.insert(numbers.end(), corners.begin(), corners.end());
  }
  const Handle space(H5Screate_simple(2, shape.data(), nullptr), H5Sclose, "create a data space");
  const Handle properties(dataset_properties(), H5Pclose, "create a property list");
  const Handle dataset(H5Dcreate2(object, "boxes", H5T_IEEE_F64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT),
                       H5Dclose, "create a data set");
  if (!numbers.empty())
    checked(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data()), "write boxes");
}

void write_attributes(hid_t group, const VolumeInfo& info) {
  write_attribute(group, "name", info.name);
  write_attribute(group, "patient", info.patient);
  write_attribute(group, "modality", info.modality);
  write_attribute(group, "source_file", info.source_file);
  write_attribute(group, "source_hash", info.source_hash);
  write_attribute(group, "orientation", info.orientation);
  write_attribute(group, "spacing", info.spacing);
  write_attribute(group, "origin", info.origin);
  write_attribute(group, "direction", info.direction);
  write_attribute(group, "window", info.window);
  write_attribute(group, "content_hash", info.content_hash);
  write_attribute(group, "notes", info.notes);
}

hid_t stored_type(PixelType type) {
  switch (type) {
    case PixelType::uint8:
      return H5T_STD_U8LE;
    case PixelType::int16:
      return H5T_STD_I16LE;
    case PixelType::uint16:
      return H5T_STD_U16LE;
    case PixelType::float32:
      return H5T_IEEE_F32LE;
  }
  return H5I_INVALID_HID;
}

// HDF5 itself does not know Bitshuffle; an optional filter may be declared all the same, and the chunks come encoded.
void declare_filter(hid_t properties, PixelType type) {
  constexpr H5Z_filter_t bitshuffle_filter = 32008;       // its registered id
  constexpr unsigned major = 0, minor = 4, with_lz4 = 2;  // of the filter's own version; what follows the bits
  const auto width = static_cast<unsigned>(bytes_of(type));
  const std::array<unsigned, 5> settings = {major, minor, width, static_cast<unsigned>(bitshuffle_block(width)),
                                            with_lz4};
  checked(H5Pset_filter(properties, bitshuffle_filter, H5Z_FLAG_OPTIONAL, settings.size(), settings.data()),
          "declare the Bitshuffle filter");
}

using LibraryLock = std::unique_lock<std::mutex>;

// Writes [slices, rows, columns] slice by slice; returns each chunk's place. Takes and leaves `lock` held.
std::vector<ChunkPlace> write_slices(hid_t group, const char* name, const VolumeInfo& info, PixelType type,
                                     std::span<const uint8_t> values, LibraryLock& lock) {
  const auto slices = static_cast<hsize_t>(info.slices);
  const std::array<hsize_t, 3> shape = {slices, static_cast<hsize_t>(info.rows), static_cast<hsize_t>(info.columns)};
  const std::array<hsize_t, 3> chunk = {1, shape[1], shape[2]};
  const Handle space(H5Screate_simple(3, shape.data(), nullptr), H5Sclose, "create a data space");
  const Handle properties(dataset_properties(), H5Pclose, "create a property list");
  checked(H5Pset_chunk(properties, 3, chunk.data()), "set the chunk's shape");
  declare_filter(properties, type);
  const Handle dataset(H5Dcreate2(group, name, stored_type(type), space, H5P_DEFAULT, properties, H5P_DEFAULT),
                       H5Dclose, "create a data set");
  BitshuffleEncoder encoder;
  std::vector<ChunkPlace> places(slices);
  const size_t width = bytes_of(type), slice_bytes = shape[1] * shape[2] * width;
  for (hsize_t slice = 0; slice < slices; ++slice) {
    lock.unlock();  // other threads write their shards while this one compresses
    const auto bytes = encoder.encode(values.subspan(slice * slice_bytes, slice_bytes), width);
    lock.lock();
    const std::array<hsize_t, 3> offset = {slice, 0, 0};
    checked(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, offset.data(), bytes.size(), bytes.data()), "write a chunk");
    places[slice] = {0, bytes.size(), base::hash64(bytes)};
  }
  for (hsize_t i = 0; i < slices; ++i) {
    std::array<hsize_t, 3> offset{};
    unsigned mask = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    checked(H5Dget_chunk_info(dataset, space, i, offset.data(), &mask, &address, &bytes), "locate a chunk");
    places[offset[0]].address = address;
  }
  return places;
}

IndexPlace write_index(hid_t group, const char* name, const std::vector<ChunkPlace>& places) {
  const std::array<hsize_t, 2> shape = {places.size(), 3};
  const Handle space(H5Screate_simple(2, shape.data(), nullptr), H5Sclose, "create a data space");
  const Handle properties(dataset_properties(), H5Pclose, "create a property list");
  const Handle dataset(H5Dcreate2(group, name, H5T_STD_U64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose,
                       "create a data set");
  checked(H5Dwrite(dataset, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, places.data()), "write an index");
  return {H5Dget_offset(dataset),
          base::hash64({reinterpret_cast<const uint8_t*>(places.data()), places.size() * sizeof(ChunkPlace)})};
}

// Errors become exceptions; without this HDF5 prints them.
void silence() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

}  // namespace

struct ShardBuilder::State {
  Handle file{memory_file(), H5Fclose, "create a file in memory"};
  Handle volumes{H5Gcreate2(file, "volumes", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, "create a group"};
};

ShardBuilder::ShardBuilder(const std::string& identity) {
  const std::lock_guard lock(library_lock());
  silence();
  state_ = std::make_unique<State>();
  write_attribute(state_->file, "format", std::string(format_name));
  write_attribute(state_->file, "version", format_version);
  write_attribute(state_->file, "identity", identity);
  write_attribute(state_->file, "filter", to_text(Filter::bitshuffle));
}

ShardBuilder::~ShardBuilder() {
  const std::lock_guard lock(library_lock());
  state_.reset();
}

void ShardBuilder::add(const std::string& group_name, StoredVolume& volume, std::span<const uint8_t> pixels,
                       std::span<const uint8_t> labels) {
  LibraryLock lock(library_lock());
  const Handle group(H5Gcreate2(state_->volumes, group_name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose,
                     "create a volume's group");
  write_attributes(group, volume.info);
  if (volume.info.boxes) write_boxes(group, *volume.info.boxes);
  const PixelType type = pixel_type(volume.info.dtype);
  const auto places = write_slices(group, "image", volume.info, type, pixels, lock);
  volume.image_index = write_index(group, "image_index", places);
  if (!labels.empty()) {
    const auto label_places = write_slices(group, "labels", volume.info, volume.label_type, labels, lock);
    volume.labels_index = write_index(group, "labels_index", label_places);
  }
}

std::span<const uint8_t> ShardBuilder::image() {
  const std::lock_guard lock(library_lock());
  write_attribute(state_->file, "complete", int64_t{1});
  checked(H5Fflush(state_->file, H5F_SCOPE_LOCAL), "flush a file in memory");
  void** memory = nullptr;
  // Without the room that the driver took ahead.
  const auto bytes =
      static_cast<size_t>(checked(H5Fget_file_image(state_->file, nullptr, 0), "measure a file in memory"));
  checked(H5Fget_vfd_handle(state_->file, H5P_DEFAULT, reinterpret_cast<void**>(&memory)), "reach a file in memory");
  return {static_cast<const uint8_t*>(*memory), bytes};
}

}  // namespace ivory::data
