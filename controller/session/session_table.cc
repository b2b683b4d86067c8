#include "session/session_table.h"

namespace cipe::session {

SessionTable::~SessionTable() {
  for (auto& bucket : buckets_) {
    for (Session* s = bucket.load(); s != nullptr;) {
      Session* next = s->next_in_bucket.load();
      delete s;
      s = next;
    }
  }
}

Session* SessionTable::Insert(std::unique_ptr<Session> session) {
  Session* s = session.release();
  std::atomic<Session*>& bucket = buckets_[s->base() % kBuckets];
  s->next_in_bucket.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
  bucket.store(s, std::memory_order_release);
  ++size_;
  return s;
}

std::unique_ptr<Session> SessionTable::Remove(Session* session) {
  std::atomic<Session*>* link = &buckets_[session->base() % kBuckets];
  while (Session* s = link->load(std::memory_order_relaxed)) {
    if (s == session) {
      // The removed session keeps its own link: a reader standing on it still finds its way.
      link->store(s->next_in_bucket.load(std::memory_order_relaxed), std::memory_order_release);
      --size_;
      return std::unique_ptr<Session>(s);
    }
    link = &s->next_in_bucket;
  }
  return nullptr;
}

}  // namespace cipe::session
