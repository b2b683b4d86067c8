// Two links with their exchange machines over an in-memory wire with a simulated clock.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "classic/block.h"
#include "classic/exchange.h"
#include "classic/link.h"
#include "tests/unit/classic/test_util.h"

namespace cipe::classic {

class TwoEnds {
 public:
  struct End {
    std::unique_ptr<Link> link;
    std::unique_ptr<Exchange> exchange;
    std::unique_ptr<CountingRng> rng;
    std::map<int, int> drops;
    std::vector<std::string> log;
    std::string ended;
    std::deque<std::vector<uint8_t>> waiting;  // payloads
    size_t most_waiting = 0;
    uint32_t next_number = 0;
    std::vector<uint32_t> numbers;  // data received, in order
    std::vector<Kind> sent;         // blocks
    int static_data = 0;            // data sent under the static key
  };
  struct Flight {
    Instant arrives;
    int to;
    std::vector<uint8_t> packet;
    std::optional<Kind> kind;  // of a block
  };

  explicit TwoEnds(const Timing& timing = {}, const Policy& policy = {})
      : timing_(timing), policy_(policy) {
    for (int i = 0; i < 2; ++i) Restart(i);
  }

  // As after a crash: nothing is remembered but the static key.
  void Restart(int i) {
    ends[i] = End{};
    Link::Setup setup;
    setup.static_key = StaticKey();
    setup.policy = policy_;
    ends[i].link = *Link::Create(setup);
    ends[i].rng = std::make_unique<CountingRng>(seed_ += 1000);
    ends[i].exchange = std::make_unique<Exchange>(timing_, policy_, *ends[i].rng);
  }

  void Start(int i) { Apply(i, ends[i].exchange->Start(now)); }

  void Apply(int i, Step step) {
    End& end = ends[i];
    if (step.drop != 0) ++end.drops[step.drop];
    if (!step.log.empty()) end.log.push_back(step.log);
    if (!step.end.empty()) end.ended = step.end;
    if (step.drop_send_key) end.link->DropSendKey();
    if (step.retire_receive_key) end.link->RetireReceiveKey(now);
    if (step.receive_key.has_value()) {
      ASSERT_TRUE(end.link->InstallReceiveKey(*step.receive_key, now, step.lifetime).ok());
    }
    if (step.send_key.has_value()) {
      ASSERT_TRUE(end.link->InstallSendKey(*step.send_key, now, step.lifetime).ok());
    }
    for (const Step::Outgoing& out : step.send) SendBlock(i, out.block, out.under);
    while (!end.waiting.empty() && end.link->MaySend()) {
      auto payload = std::move(end.waiting.front());
      end.waiting.pop_front();
      SendNow(i, payload);
    }
  }

  void SendBlock(int i, const Block& block, Under under) {
    End& end = ends[i];
    std::vector<uint8_t> octets(kMostBlock);
    octets.resize(WriteBlock(block, WallTime{wall_offset + ToNanos(now)}, *end.rng, octets.data()));
    std::vector<uint8_t> packet(SealedSize(octets.size()));
    Assemble(PacketType::kNewKey, octets, *end.rng, packet.data());
    LinkReport report;
    end.link->SealBlock({packet.data(), static_cast<uint32_t>(packet.size())}, under, now, &report);
    end.sent.push_back(block.kind);
    Launch(i, std::move(packet), block.kind);
    Report(i, report);
  }

  // Numbered data; waits while the link has no key for it.
  void SendData(int i) {
    End& end = ends[i];
    std::vector<uint8_t> payload(40, 0x45);
    StoreBe32(payload.data() + 4, end.next_number++);
    if (end.link->MaySend()) return SendNow(i, payload);
    end.waiting.push_back(std::move(payload));
    end.most_waiting = std::max(end.most_waiting, end.waiting.size());
  }

  // Moves time on by `d` in steps of 1 ms.
  void Run(Duration d) {
    for (const Instant until = now + d; now < until; now += std::chrono::milliseconds(1)) {
      if (on_step) on_step();
      for (size_t left = wire.size(); left > 0; --left) {
        Flight flight = std::move(wire.front());
        wire.pop_front();
        if (flight.arrives <= now) {
          Arrive(flight.to, std::move(flight.packet));
        } else {
          wire.push_back(std::move(flight));
        }
      }
      for (int i = 0; i < 2; ++i) {
        const auto next = ends[i].exchange->NextTick();
        if (next.has_value() && now >= *next) Apply(i, ends[i].exchange->Tick(now));
      }
    }
  }

  void Arrive(int i, std::vector<uint8_t> packet) {
    End& end = ends[i];
    OpenJob job{packet.data(), static_cast<uint32_t>(packet.size())};
    LinkReport report;
    end.link->Open(absl::MakeSpan(&job, 1), now, &report);
    if (job.drop != 0) {
      ++end.drops[job.drop];
    } else if (job.packet.type == PacketType::kData) {
      end.numbers.push_back(LoadBe32(job.packet.payload + 4));
    } else {
      Block block;
      const int drop = ReadBlock(absl::MakeConstSpan(job.packet.payload, job.packet.size), &block);
      if (drop != 0) ++end.drops[drop];
      // The peer is known from here on, as with peer 0.0.0.0:0.
      if (drop == 0 && start_on_block) Start(i);
      if (drop == 0) {
        Apply(i,
              end.exchange->OnBlock(block, job.under, now, WallTime{wall_offset + ToNanos(now)}));
      }
    }
    Report(i, report);
  }

  void Report(int i, const LinkReport& report) {
    if (!report.any()) return;
    Exchange& exchange = *ends[i].exchange;
    const LinkReport due = ends[i].link->Due(now);
    if (report.send_limit && due.send_limit) Apply(i, exchange.OnSendLimit(now));
    if (report.receive_limit && due.receive_limit) Apply(i, exchange.OnReceiveLimit(now));
    if (report.no_key && due.no_key) Apply(i, exchange.OnNoReceiveKey(now));
  }

  bool Up() const {
    for (const End& end : ends) {
      if (!end.link->has_send_key() || !end.link->has_receive_key()) return false;
    }
    return true;
  }

  End ends[2];
  Instant now = FromNanos(1'000'000'000);
  int64_t wall_offset = 1'700'000'000'000'000'000;
  Duration delay = std::chrono::milliseconds(5);
  std::deque<Flight> wire;
  bool start_on_block = false;
  // True: the wire swallows it.
  std::function<bool(const Flight&)> lose;
  std::function<void()> on_step;
  std::vector<Flight> captured;  // everything that was sent, lost or not

 private:
  void SendNow(int i, const std::vector<uint8_t>& payload) {
    End& end = ends[i];
    std::vector<uint8_t> packet(SealedSize(payload.size()));
    Assemble(PacketType::kData, payload, *end.rng, packet.data());
    const CbcPacket cbc{packet.data(), static_cast<uint32_t>(packet.size())};
    LinkReport report;
    ASSERT_TRUE(end.link->SealData(absl::MakeConstSpan(&cbc, 1), now, &report));
    if (!HasKeyFlag(packet.data())) ++end.static_data;
    Launch(i, std::move(packet), std::nullopt);
    Report(i, report);
  }
  void Launch(int i, std::vector<uint8_t> packet, std::optional<Kind> kind) {
    Flight flight{now + delay, 1 - i, std::move(packet), kind};
    captured.push_back(flight);
    if (lose && lose(flight)) return;
    wire.push_back(std::move(flight));
  }

  Timing timing_;
  Policy policy_;
  uint64_t seed_ = 0;
};

}  // namespace cipe::classic
