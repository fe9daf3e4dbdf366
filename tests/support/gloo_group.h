#pragma once
// Several processes of a data-parallel stage: threads of one test that have joined one Gloo group over TCP.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "train/process_group.h"

namespace ivory::test {

inline int64_t free_port() {
  const int socket_of = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(socket_of, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(socket_of, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket_of);
  return ntohs(address.sin_port);
}

// body(group) in each of `size` members; waits for all of them.
inline void in_group(int64_t size, const std::function<void(const Collective&)>& body) {
  // c10d's record of calls is one per process and not made for several groups in it: threads corrupt it.
  ::setenv("TORCH_FR_BUFFER_SIZE", "0", 1);
  const int64_t port = free_port();
  std::vector<std::thread> members;
  for (int64_t rank = 0; rank < size; ++rank) {
    members.emplace_back([=] {
      const auto group = train::join({.rank = rank, .world_size = size, .port = port});
      body(*group);
      group->barrier();  // rank 0 serves the store: nobody leaves before all are done
    });
  }
  for (auto& member : members) member.join();
}

}  // namespace ivory::test
