#include "report/page_server.h"

#include <ivory/error.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <csignal>
#include <memory>
#include <utility>

namespace ivory::experiment {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

using Request = http::request<http::empty_body>;
using Response = http::response<http::string_body>;

constexpr auto patience = std::chrono::seconds(30);  // with a visitor who sends or reads nothing

bool is_this_machine(std::string_view host) {
  host = host.substr(0, host.rfind(':') == std::string_view::npos ? host.size() : host.rfind(':'));
  return host == "127.0.0.1" || host == "localhost";
}

Response plain(const Request& request, http::status status, const std::string& text) {
  Response response(status, request.version());
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  response.body() = text + "\n";
  return response;
}

Response answer(const Request& request, const PageOf& page_of) {
  const auto host = request[http::field::host];
  if (!is_this_machine({host.data(), host.size()})) {
    return plain(request, http::status::misdirected_request, "This server answers to 127.0.0.1 only.");
  }
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    Response refused = plain(request, http::status::method_not_allowed, "The report can only be read.");
    refused.set(http::field::allow, "GET, HEAD");
    return refused;
  }
  std::string path(request.target());
  path.resize(std::min(path.find('?'), path.size()));
  try {
    auto page = page_of(path);
    if (!page) return plain(request, http::status::not_found, "There is no such page.");
    Response response(http::status::ok, request.version());
    response.set(http::field::content_type, page->type);
    response.body() = std::move(page->body);
    return response;
  } catch (const std::exception& error) {
    return plain(request, http::status::internal_server_error, error.what());
  }
}

// A connection: reads requests and answers them until the visitor leaves. Keeps itself alive by its callbacks.
class Visit : public std::enable_shared_from_this<Visit> {
 public:
  Visit(tcp::socket socket, const PageOf& page_of) : stream_(std::move(socket)), page_of_(page_of) {}

  void read() {
    request_ = {};
    stream_.expires_after(patience);
    http::async_read(stream_, buffer_, request_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (!error) self->write();
    });
  }

 private:
  void write() {
    response_ = answer(request_, page_of_);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    response_.keep_alive(request_.keep_alive());
    response_.prepare_payload();
    if (request_.method() == http::verb::head) response_.body().clear();
    stream_.expires_after(patience);
    http::async_write(stream_, response_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error) return;
      if (self->response_.keep_alive()) return self->read();
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, error);
    });
  }

  beast::tcp_stream stream_;
  const PageOf& page_of_;
  beast::flat_buffer buffer_;
  Request request_;
  Response response_;
};

void welcome(tcp::acceptor& acceptor, const PageOf& page_of) {
  acceptor.async_accept([&](beast::error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) std::make_shared<Visit>(std::move(socket), page_of)->read();
    welcome(acceptor, page_of);
  });
}

tcp::acceptor bound(asio::io_context& context, uint16_t port) {
  const tcp::endpoint here(asio::ip::address_v4::loopback(), port);
  tcp::acceptor acceptor(context);
  beast::error_code error;
  acceptor.open(here.protocol());
  acceptor.set_option(asio::socket_base::reuse_address(true));
  acceptor.bind(here, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  IVORY_CHECK(
      !error, "cannot serve on port ", port, " of 127.0.0.1: ",
      error == asio::error::address_in_use ? "another program has it; choose one with --port" : error.message());
  return acceptor;
}

}  // namespace

void serve_pages(uint16_t port, const PageOf& page_of, const std::function<void(uint16_t)>& listening) {
  asio::io_context context(1);
  tcp::acceptor acceptor = bound(context, port);
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](beast::error_code, int) { context.stop(); });
  welcome(acceptor, page_of);
  listening(acceptor.local_endpoint().port());
  context.run();
}

}  // namespace ivory::experiment
