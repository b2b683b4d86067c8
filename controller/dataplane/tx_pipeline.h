// The transmit road of one worker: packets of a tunnel netdev in, runs of sealed frames out.
//
//   vnet_hdr + up to 64 KB -> segments -> allowed IPs -> session, counter -> seal straight into the
//   run buffer -> one send per run of equal sizes to one peer
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "dataplane/classic_tx.h"
#include "dataplane/event.h"
#include "dataplane/inside_answers.h"
#include "dataplane/oversize.h"
#include "dataplane/run_sink.h"
#include "dataplane/tunnel_path.h"
#include "packet/segmenter.h"
#include "session/session.h"

namespace cipe::dataplane {

class TxPipeline {
 public:
  explicit TxPipeline(EventQueue& events);

  // One read of the tunnel netdev. `packet` has packet::Segmenter's headroom before it and is
  // overwritten. What fills a run is sent at once, the rest by Flush.
  void Process(TunnelPath& tunnel, RunSink& sink, const packet::VnetHeader& header, uint8_t* packet,
               size_t size, Instant now);
  // Sends what is gathered. Call when the netdev has no more to read, and before `sink` changes.
  void Flush(Instant now);

  // Packets that waited for a session which now exists are sent; too old ones dropped.
  void FlushStaged(TunnelPath& tunnel, RunSink& sink, Instant now);
  void DropStaged(const TunnelPath& tunnel);
  void DropStaged(const absl::flat_hash_set<const session::PeerPath*>& peers);
  // Protocol 3: see ClassicTx.
  bool ShouldPause(const TunnelPath& tunnel, Instant now) const {
    return classic_.ShouldPause(tunnel, now);
  }

 private:
  struct Staged {
    TunnelPath* tunnel;
    session::PeerPath* peer;
    Instant since;
    std::vector<uint8_t> packet;
  };

  void Segment(TunnelPath& tunnel, RunSink& sink, uint8_t* data, uint32_t size, Instant now);
  void Fit(session::Session& session, RunSink& sink, const uint8_t* data, uint32_t size,
           TunnelPath& tunnel, Instant now);
  void TooBig(session::Session& session, RunSink& sink, const uint8_t* data, uint32_t size,
              TunnelPath& tunnel, Instant now);
  void SealInto(session::Session& session, RunSink& sink, const uint8_t* data, uint32_t size,
                bool may_fragment, TunnelPath& tunnel, Instant now);
  void Stage(TunnelPath& tunnel, session::PeerPath& peer, RunSink& sink, const uint8_t* data,
             uint32_t size, Instant now);
  void Expire(TunnelPath& tunnel, RunSink& sink, const Staged& s, Instant now);
  void WantHandshake(session::PeerPath& peer, uint32_t exhausted);

  EventQueue& events_;
  packet::Segmenter segmenter_;
  std::unique_ptr<uint8_t[]> run_;
  // The run being gathered; empty when run_count_ is 0.
  size_t run_size_ = 0, run_each_ = 0, run_count_ = 0, run_max_ = 0;
  bool run_closed_ = false;  // a shorter datagram ended it
  packet::OuterFields run_fields_;
  uint64_t run_inner_bytes_ = 0;
  session::Session* run_session_ = nullptr;
  TunnelPath* run_tunnel_ = nullptr;
  RunSink* run_sink_ = nullptr;
  session::Path run_path_;
  std::deque<Staged> staged_;
  size_t staged_bytes_ = 0;
  ClassicTx classic_;
  Oversize oversize_;
  InsideAnswers answers_;
  Event event_;
};

}  // namespace cipe::dataplane
