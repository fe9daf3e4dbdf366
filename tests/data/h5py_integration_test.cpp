// The public HDF5 tools open a shard: docs/slice_cache_format.md, with h5py and hdf5plugin of the project's
// environment.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"
#include "support/paths.h"

namespace ivory::data {
namespace {

using namespace testing;

constexpr const char* script = R"(
import json, sys
import h5py
import hdf5plugin  # registers LZ4, Zstd and Bitshuffle
out = {}
with h5py.File(sys.argv[1], "r") as shard:
    group, = shard["volumes"].values()
    out["file"] = {k: v if isinstance(v, str) else int(v) for k, v in shard.attrs.items()}
    out["group"] = group.name
    out["volume"] = {k: v if isinstance(v, str) else v.tolist() for k, v in group.attrs.items()}
    for name in ("image", "labels"):
        data = group[name]
        out[name] = dict(dtype=str(data.dtype), shape=data.shape, chunks=data.chunks, values=data[:].ravel().tolist(),
                         filters=[data.id.get_create_plist().get_filter(i)[0]
                                  for i in range(data.id.get_create_plist().get_nfilters())])
        index = group[name + "_index"][:]
        info = [data.id.get_chunk_info(i) for i in range(data.id.get_num_chunks())]
        place = {c.chunk_offset[0]: [c.byte_offset, c.size] for c in info}
        out[name]["index_is_right"] = [place[i] for i in range(len(index))] == index[:, :2].tolist()
        out[name]["times"] = [h5py.h5g.get_objinfo(group.id, n.encode()).mtime for n in (name, name + "_index")]
json.dump(out, open(sys.argv[2], "w"))
)";

class H5py : public ::testing::Test {
 protected:
  // What Python reads of the only volume's shard.
  nlohmann::json read(const std::filesystem::path& shard) const {
    const auto program = folder_.path() / "read.py", result = folder_.path() / "result.json";
    std::ofstream(program) << script;
    const std::string command =
        test::source_dir() + "/.venv/bin/python " + program.string() + " " + shard.string() + " " + result.string();
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return nlohmann::json::parse(std::ifstream(result));
  }

  template <class T>
  static std::vector<T> values(const torch::Tensor& tensor) {
    const torch::Tensor wide = tensor.to(torch::kFloat64).contiguous().flatten();
    std::vector<T> all(static_cast<size_t>(wide.numel()));
    std::transform(wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel(), all.begin(),
                   [](double value) { return static_cast<T>(value); });
    return all;
  }

  TemporaryFolder folder_;
};

TEST_F(H5py, ReadsPixelsLabelsAndAttributes) {
  if (!std::filesystem::exists(test::source_dir() + "/.venv/bin/python"))
    GTEST_SKIP() << "the project's Python environment (.venv) is not set up: scripts/test makes it";
  VolumeData volume = make_volume("case 7", {4, 33, 21});
  write_cache(folder_.path() / "cache", {volume}, "an identity");
  std::filesystem::path shard;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "cache"))
    if (entry.path().extension() == ".h5") shard = entry.path();
  const auto got = read(shard);

  EXPECT_EQ(got["file"]["format"], "ivory-slice-cache");
  EXPECT_EQ(got["file"]["version"], 1);
  EXPECT_EQ(got["file"]["identity"], "an identity");
  EXPECT_EQ(got["file"]["complete"], 1);
  EXPECT_EQ(got["group"], "/volumes/" + shard.stem().string());
  const auto& info = volume.info;
  EXPECT_EQ(got["volume"]["name"], "case 7");
  EXPECT_EQ(got["volume"]["patient"], info.patient);
  EXPECT_EQ(got["volume"]["modality"], "ct");
  EXPECT_EQ(got["volume"]["source_file"], info.source_file);
  EXPECT_EQ(got["volume"]["source_hash"], info.source_hash);
  EXPECT_EQ(got["volume"]["orientation"], info.orientation);
  EXPECT_EQ(got["volume"]["spacing"], info.spacing);
  EXPECT_EQ(got["volume"]["origin"], info.origin);
  EXPECT_EQ(got["volume"]["direction"], info.direction);
  EXPECT_EQ(got["volume"]["window"], info.window);
  EXPECT_EQ(got["volume"]["notes"], info.notes);
  EXPECT_EQ(got["volume"]["content_hash"], SliceCache(folder_.path() / "cache").volumes()[0].content_hash);

  const std::vector<int64_t> shape = {4, 33, 21}, chunks = {1, 33, 21};
  for (const char* name : {"image", "labels"}) {
    EXPECT_EQ(got[name]["shape"], shape);
    EXPECT_EQ(got[name]["chunks"], chunks);
    EXPECT_EQ(got[name]["times"], std::vector<int64_t>({0, 0})) << "the same volumes are the same bytes";
    EXPECT_TRUE(got[name]["index_is_right"]);
  }
  EXPECT_EQ(got["image"]["dtype"], "int16");
  EXPECT_EQ(got["labels"]["dtype"], "uint8");
  EXPECT_EQ(got["image"]["values"], values<int64_t>(volume.pixels));
  EXPECT_EQ(got["labels"]["values"], values<int64_t>(volume.labels));
  EXPECT_EQ(got["image"]["filters"], std::vector<int>{32008});
}

}  // namespace
}  // namespace ivory::data
