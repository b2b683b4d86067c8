// udp_load: measures how many UDP datagrams a second get through. Two programs in one:
//   udp_load sink --bind ADDRESS --port P --run N --seconds LIMIT
//   udp_load send --to ADDRESS --port P --run N --size OCTETS --rate PPS --seconds S
// Each prints one JSON object on its last line. Exit codes: 0 ran, 1 failed, 2 wrong usage.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "tools/load/sender.h"
#include "tools/load/sink.h"

namespace cipe::load {
namespace {

int RunSend(const std::string& to, uint16_t port, SendOptions options) {
  options.to = ParseAddress(to, port);
  const SendResult result = Send(options);
  std::printf("{\"sent\": %llu, \"refused\": %llu, \"seconds\": %.6f}\n",
              static_cast<unsigned long long>(result.sent),
              static_cast<unsigned long long>(result.refused), result.seconds);
  return 0;
}

int RunSink(const std::string& bind, uint16_t port, SinkOptions options) {
  options.bind = ParseAddress(bind, port);
  const SinkResult result = Receive(options);
  std::printf(
      "{\"received\": %llu, \"lost\": %llu, \"reordered\": %llu, \"duplicated\": %llu, "
      "\"foreign\": %llu, \"total\": %llu}\n",
      static_cast<unsigned long long>(result.received),
      static_cast<unsigned long long>(result.lost),
      static_cast<unsigned long long>(result.reordered),
      static_cast<unsigned long long>(result.duplicated),
      static_cast<unsigned long long>(result.foreign),
      static_cast<unsigned long long>(result.total));
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Paced UDP sender and counting sink");
  app.require_subcommand(1);
  std::string address;
  uint16_t port = 0;
  SendOptions send;
  SinkOptions sink;
  auto* send_command = app.add_subcommand("send", "send numbered datagrams at a steady rate");
  send_command->add_option("--to", address)->required();
  send_command->add_option("--port", port)->required();
  send_command->add_option("--run", send.run);
  send_command->add_option("--size", send.size)->check(CLI::Range(kMinSize, kMaxSize));
  send_command->add_option("--rate", send.rate)->check(CLI::Range(1.0, 1e8));
  send_command->add_option("--seconds", send.seconds)->check(CLI::Range(0.01, 600.0));
  auto* sink_command = app.add_subcommand("sink", "count numbered datagrams");
  sink_command->add_option("--bind", address)->required();
  sink_command->add_option("--port", port)->required();
  sink_command->add_option("--run", sink.run);
  sink_command->add_option("--seconds", sink.seconds)->check(CLI::Range(0.01, 3600.0));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return send_command->parsed() ? RunSend(address, port, send) : RunSink(address, port, sink);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "udp_load: %s %s port %u: %s\n",
                 send_command->parsed() ? "send to" : "sink at", address.c_str(), port,
                 error.what());
    return 1;
  }
}

}  // namespace
}  // namespace cipe::load

int main(int argc, char** argv) { return cipe::load::Main(argc, argv); }
