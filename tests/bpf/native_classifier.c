#include "tests/bpf/native_classifier.h"

#include <string.h>

#include "bpf/classify.h"

static struct native_world* current;

static const struct cipe_carrier* cipe_find_carrier(void) { return current->carrier; }

static const struct cipe_listener* cipe_find_listener(const struct cipe_listener_key* key) {
  for (size_t i = 0; i < current->listener_count; i++) {
    if (memcmp(key, &current->listener_keys[i], sizeof(*key)) == 0) return &current->listeners[i];
  }
  return NULL;
}

static const struct cipe_session* cipe_find_session(__u32 session) {
  for (size_t i = 0; i < current->session_count; i++) {
    if (current->session_indices[i] == session) return &current->sessions[i];
  }
  return NULL;
}

static int cipe_take_control_token(const struct cipe_source_key* source) {
  size_t i = 0;

  if (current->control_rate == 0) return 1;
  const __u64 cost = 1000000000ull / current->control_rate;
  while (i < current->source_count &&
         memcmp(source, &current->source_keys[i], sizeof(*source)) != 0)
    i++;
  if (i == NATIVE_SOURCES) return 1;
  if (i == current->source_count) {
    current->source_count++;
    current->source_keys[i] = *source;
    current->buckets[i].refilled_ns = current->now_ns;
    current->buckets[i].credit_ns = cost * current->control_burst;
  }
  return cipe_bucket_take(&current->buckets[i], current->now_ns, cost, current->control_burst);
}

struct native_result native_classify(struct native_world* world, const void* frame, size_t size) {
  struct cipe_view view;
  struct native_result result = {CIPE_VERDICT_PASS, 0, 0, 0};

  memset(&view, 0, sizeof(view));
  current = world;
  if (!cipe_parse(frame, (const char*)frame + size, &view)) return result;
  const struct cipe_decision decision = cipe_classify(&view);
  result.verdict = (int)decision.verdict;
  result.reason = decision.reason;
  result.peer = decision.peer;
  result.has_peer = (int)decision.has_peer;
  return result;
}

int native_bucket_take(struct cipe_source_bucket* bucket, cipe_u64 now_ns, cipe_u64 cost_ns,
                       cipe_u64 burst) {
  return cipe_bucket_take(bucket, now_ns, cost_ns, burst);
}
