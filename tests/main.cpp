// One main for every test executable: one thread for torch, so that results do not depend on the machine's cores.
#include <gmock/gmock.h>
#include <ivory/torch.h>

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  at::set_num_threads(1);
  return RUN_ALL_TESTS();
}
