#include "broker/resolver.h"

#include <string>
#include <utility>

namespace cipe::broker {

Resolver::Resolver(EventLoop& loop, LibraryResolver::Lookup lookup)
    : loop_(loop), library_(loop, std::move(lookup)) {}

Resolver::~Resolver() {
  for (const auto& [number, timer] : later_) loop_.Cancel(timer);
}

void Resolver::Later(Done done, Resolved answer) {
  const uint64_t number = next_++;
  later_[number] = loop_.After(Duration::zero(),
                               [this, number, done = std::move(done), answer = std::move(answer)] {
                                 later_.erase(number);
                                 done(answer);
                               });
}

void Resolver::Resolve(const config::EndpointSpec& spec, Done done) {
  if (const auto number = ParseNumericEndpoint(spec); number.ok()) {
    return Later(std::move(done), DnsAnswer{{*number}, std::chrono::hours(24)});
  }
  if (waiting_.size() >= kMostWaiting) {
    return Later(std::move(done),
                 absl::ResourceExhaustedError("too many names are waiting to be resolved"));
  }
  waiting_.push_back({spec, std::move(done), nullptr});
  StartNext();
}

void Resolver::StartNext() {
  while (!waiting_.empty() && running_.size() < kAtOnce) {
    const uint64_t number = next_++;
    Question& question = running_[number] = std::move(waiting_.front());
    waiting_.pop_front();
    question.query = std::make_unique<DnsQuery>(
        loop_, question.spec,
        [this, number](Resolved answer) { OnDns(number, std::move(answer)); });
  }
}

void Resolver::OnDns(uint64_t number, Resolved answer) {
  auto node = running_.extract(number);  // the query goes when this returns
  Question& question = node.mapped();
  StartNext();
  if (answer.ok()) return question.done(std::move(answer));
  // Servers that are silent for DNS are silent for the C library too, which waits even longer.
  if (absl::IsDeadlineExceeded(answer.status())) {
    return question.done(absl::UnavailableError(answer.status().message()));
  }
  AskLibrary(question.spec, std::move(question.done));
}

void Resolver::AskLibrary(const config::EndpointSpec& spec, Done done) {
  library_.Resolve(spec, [done = std::move(done)](Found found) {
    if (!found.ok()) return done(found.status());
    if (found->size() > DnsQuery::kMostAddresses) found->resize(DnsQuery::kMostAddresses);
    done(DnsAnswer{*std::move(found), kLibraryTtl});
  });
}

}  // namespace cipe::broker
