#pragma once
// A page in a real browser, with a real mouse and keyboard: Chromium by its DevTools protocol.
#include <gtest/gtest.h>

#include <boost/beast/websocket.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "report/browser.h"
#include "report/http.h"
#include "run/child.h"

namespace ivory::test {

class LivePage {
 public:
  explicit LivePage(const std::string& url) {
    const auto profile = browser_folder() / "live-profile";
    std::filesystem::remove_all(profile);
    browser_ = std::make_unique<experiment::Child>(
        std::vector<std::string>{"/usr/bin/timeout", "100", std::string("/usr/bin/") + browser, "--headless=new",
                                 "--no-sandbox", "--disable-gpu", "--window-size=1100,900",
                                 "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                                 "--remote-debugging-port=0", "--user-data-dir=" + profile.string(), "about:blank"},
        std::map<std::string, std::string>{}, browser_folder() / "live.txt");
    const auto port = static_cast<uint16_t>(std::stoi(awaited_line(profile / "DevToolsActivePort")));
    const std::string target = target_of(port);
    socket_.next_layer().connect({boost::asio::ip::address_v4::loopback(), port});
    socket_.handshake("127.0.0.1:" + std::to_string(port), target);
    for (const char* domain : {"Runtime", "Log", "Page"}) call(std::string(domain) + ".enable");
    call("Page.navigate", {{"url", url}});
    EXPECT_TRUE(becomes_true("document.readyState === 'complete' && location.href !== 'about:blank'"));
  }
  ~LivePage() {
    browser_->signal(SIGTERM);
    while (!browser_->poll()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

  nlohmann::json evaluate(const std::string& expression) {
    const auto answer = call("Runtime.evaluate", {{"expression", expression}, {"returnByValue", true}});
    EXPECT_FALSE(answer.contains("exceptionDetails")) << answer;
    return answer["result"].value("value", nlohmann::json());
  }
  // Within 30 s.
  bool becomes_true(const std::string& expression) {
    for (int i = 0; i < 300; ++i) {
      if (evaluate(expression) == true) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }
  void click(const std::string& selector) {
    const auto at = evaluate("(() => { const one = document.querySelector('" + selector +
                             "'); one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect(); "
                             "return [box.x + box.width / 2, box.y + box.height / 2]; })()");
    for (const char* type : {"mousePressed", "mouseReleased"}) {
      call("Input.dispatchMouseEvent",
           {{"type", type}, {"x", at[0]}, {"y", at[1]}, {"button", "left"}, {"clickCount", 1}});
    }
  }
  // "Enter", "Tab"
  void press(const std::string& key) {
    const int code = key == "Enter" ? 13 : 9;
    nlohmann::json down = {{"type", "keyDown"}, {"key", key}, {"code", key}, {"windowsVirtualKeyCode", code}};
    if (key == "Enter") down["text"] = "\r";
    call("Input.dispatchKeyEvent", down);
    down["type"] = "keyUp";
    down.erase("text");
    call("Input.dispatchKeyEvent", down);
  }
  const std::string& console() const { return console_; }  // what the page or its errors wrote

 private:
  static std::string awaited_line(const std::filesystem::path& file) {
    for (int i = 0; i < 300; ++i) {
      std::ifstream in(file);
      if (std::string line; std::getline(in, line)) return line;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    throw std::runtime_error("the browser has not started: " + read_file(browser_folder() / "live.txt"));
  }
  static std::string target_of(uint16_t port) {
    const auto pages = nlohmann::json::parse(request(port, "/json/list").body);
    for (const auto& page : pages) {
      if (page["type"] != "page") continue;
      const std::string url = page["webSocketDebuggerUrl"];
      return url.substr(url.find("/devtools"));
    }
    throw std::runtime_error("the browser has no page");
  }
  nlohmann::json call(const std::string& method, const nlohmann::json& parameters = nlohmann::json::object()) {
    const int id = ++calls_;
    socket_.write(boost::asio::buffer(nlohmann::json{{"id", id}, {"method", method}, {"params", parameters}}.dump()));
    for (;;) {
      boost::beast::flat_buffer buffer;
      socket_.read(buffer);
      const auto message = nlohmann::json::parse(boost::beast::buffers_to_string(buffer.data()));
      const std::string event = message.value("method", "");
      if (event == "Runtime.consoleAPICalled" || event == "Runtime.exceptionThrown" || event == "Log.entryAdded") {
        console_ += message.dump() + "\n";
      }
      if (message.value("id", 0) != id) continue;
      EXPECT_FALSE(message.contains("error")) << method << ": " << message;
      return message.value("result", nlohmann::json::object());
    }
  }

  std::unique_ptr<experiment::Child> browser_;
  boost::asio::io_context context_;
  boost::beast::websocket::stream<boost::asio::ip::tcp::socket> socket_{context_};
  int calls_ = 0;
  std::string console_;
};

}  // namespace ivory::test
