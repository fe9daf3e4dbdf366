#pragma once
// Requests to a server on this machine.
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <string>

namespace ivory::test {

struct HttpAnswer {
  unsigned status = 0;
  std::string body = {};
  std::string type = {};
};

inline HttpAnswer request(uint16_t port, const std::string& target, const std::string& method = "GET",
                          const std::string& host = "127.0.0.1") {
  namespace http = boost::beast::http;
  boost::asio::io_context context;
  boost::asio::ip::tcp::socket socket(context);
  socket.connect({boost::asio::ip::address_v4::loopback(), port});
  http::request<http::empty_body> message(http::string_to_verb(method), target, 11);
  message.set(http::field::host, host);
  message.set(http::field::connection, "close");
  http::write(socket, message);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.skip(method == "HEAD");
  parser.body_limit(std::numeric_limits<uint64_t>::max());
  http::read(socket, buffer, parser);
  const auto& answer = parser.get();
  return {answer.result_int(), answer.body(), std::string(answer[http::field::content_type])};
}

}  // namespace ivory::test
