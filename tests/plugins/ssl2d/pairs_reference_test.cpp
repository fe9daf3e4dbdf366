// Five training steps beside tests/reference/ssl2d.py.
#include "plugins/ssl2d/training.h"

namespace {

using namespace ivory::test;

TEST(PairsReference, SimClr) {
  Training training("simclr", {{"head_width", int64_t{10}}, {"embedding_width", int64_t{4}}});
  expect_training(training, "simclr", {12, 12});
}

TEST(PairsReference, MoCoV2) {
  Training training("moco-v2", {{"head_width", int64_t{10}},
                                {"embedding_width", int64_t{4}},
                                {"queue_length", int64_t{16}},
                                {"norm_group", int64_t{4}},
                                {"momentum", 0.9}});
  const auto store = training.objective->named_buffers()["queue.store"];
  const auto rows = fill({16, 4}, 77);
  store.copy_((rows / rows.norm(2, 1, true)).unsqueeze(0));
  expect_training(training, "moco_v2", {12, 12}, {{"key_model", ""}, {"key_head", "head."}});
  expect_all({{"store", store}}, golden("ssl2d_moco_v2")["queue"]);
}

TEST(PairsReference, BarlowTwins) {
  Training training("barlow-twins", {{"head_width", int64_t{10}}, {"embedding_width", int64_t{5}}});
  expect_training(training, "barlow_twins", {12, 12});
}

TEST(PairsReference, MoCoV3) {
  Training training("moco-v3", {{"head_width", int64_t{10}}, {"embedding_width", int64_t{5}}, {"momentum", 0.9}});
  expect_training(training, "moco_v3", {12, 12}, {{"momentum_model", ""}, {"momentum_projector", "projector."}});
}

TEST(PairsReference, Dino) {
  Training training("dino", {{"outputs", int64_t{12}},
                             {"head_width", int64_t{10}},
                             {"bottleneck", int64_t{5}},
                             {"momentum", 0.9},
                             {"teacher_temperature", 0.07},
                             {"temperature_epochs", int64_t{2}}});
  expect_training(training, "dino", {12, 12, 8, 8}, {{"teacher", ""}, {"teacher_head", "head."}});
  expect_all({{"center", training.objective->named_buffers()["loss.center"]}}, golden("ssl2d_dino")["centre"]);
}

}  // namespace
