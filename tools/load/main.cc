// udp_load: measures how many UDP datagrams a second get through, and how long one takes there and
// back. Four programs in one:
//   udp_load sink --bind ADDRESS --port P --run N --seconds LIMIT
//   udp_load send --to ADDRESS --port P --run N --size OCTETS[,OCTETS]... --rate PPS --seconds S
//   udp_load echo --bind ADDRESS --port P --seconds LIMIT
//   udp_load ping --to ADDRESS --port P --interval-us N --seconds S
// Each prints one JSON object on its last line. Exit codes: 0 ran, 1 failed, 2 wrong usage.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "tools/load/pinger.h"
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

int RunEcho(const std::string& bind, uint16_t port, EchoOptions options) {
  options.bind = ParseAddress(bind, port);
  std::printf("{\"answered\": %llu}\n", static_cast<unsigned long long>(Echo(options)));
  return 0;
}

int RunPing(const std::string& to, uint16_t port, PingOptions options) {
  options.to = ParseAddress(to, port);
  const PingResult result = Ping(options);
  std::printf("{\"sent\": %llu, \"refused\": %llu, \"round_trips_us\": [",
              static_cast<unsigned long long>(result.sent),
              static_cast<unsigned long long>(result.refused));
  const char* separator = "";
  for (const int64_t nanoseconds : result.round_trips_ns) {
    std::printf("%s%.3f", separator, static_cast<double>(nanoseconds) / 1e3);
    separator = ", ";
  }
  std::printf("]}\n");
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Paced UDP sender and counting sink; pinger and echo");
  app.require_subcommand(1);
  std::string address;
  uint16_t port = 0;
  SendOptions send;
  SinkOptions sink;
  PingOptions ping;
  EchoOptions echo;
  auto* send_command = app.add_subcommand("send", "send numbered datagrams at a steady rate");
  send_command->add_option("--to", address)->required();
  send_command->add_option("--port", port)->required();
  send_command->add_option("--run", send.run);
  send_command->add_option("--size", send.sizes)
      ->delimiter(',')
      ->check(CLI::Range(kMinSize, kMaxSize));
  send_command->add_option("--rate", send.rate)->check(CLI::Range(1.0, 1e8));
  send_command->add_option("--seconds", send.seconds)->check(CLI::Range(0.01, 600.0));
  auto* sink_command = app.add_subcommand("sink", "count numbered datagrams");
  sink_command->add_option("--bind", address)->required();
  sink_command->add_option("--port", port)->required();
  sink_command->add_option("--run", sink.run);
  sink_command->add_option("--seconds", sink.seconds)->check(CLI::Range(0.01, 3600.0));
  auto* echo_command = app.add_subcommand("echo", "send every datagram back");
  echo_command->add_option("--bind", address)->required();
  echo_command->add_option("--port", port)->required();
  echo_command->add_option("--seconds", echo.seconds)->check(CLI::Range(0.01, 3600.0));
  auto* ping_command = app.add_subcommand("ping", "time datagrams to an echo and back");
  ping_command->add_option("--to", address)->required();
  ping_command->add_option("--port", port)->required();
  ping_command->add_option("--interval-us", ping.interval_us)->check(CLI::Range(50, 1'000'000));
  ping_command->add_option("--seconds", ping.seconds)->check(CLI::Range(0.01, 600.0));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    if (send_command->parsed()) return RunSend(address, port, send);
    if (echo_command->parsed()) return RunEcho(address, port, echo);
    if (ping_command->parsed()) return RunPing(address, port, ping);
    return RunSink(address, port, sink);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "udp_load: %s %s port %u: %s\n",
                 app.get_subcommands().front()->get_name().c_str(), address.c_str(), port,
                 error.what());
    return 1;
  }
}

}  // namespace
}  // namespace cipe::load

int main(int argc, char** argv) { return cipe::load::Main(argc, argv); }
