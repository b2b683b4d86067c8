/* bpf/parse.h and bpf/classify.h as the host's compiler sees them, over plain tables. */
#ifndef CIPE_TESTS_BPF_NATIVE_CLASSIFIER_H
#define CIPE_TESTS_BPF_NATIVE_CLASSIFIER_H

#include <stddef.h>

#include "cipe/abi/maps.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NATIVE_SOURCES 64

struct native_world {
  const struct cipe_carrier* carrier;
  const struct cipe_listener_key* listener_keys;
  const struct cipe_listener* listeners;
  size_t listener_count;
  const cipe_u32* session_indices;
  const struct cipe_session* sessions;
  size_t session_count;
  cipe_u32 control_rate; /* 0: no limit */
  cipe_u32 control_burst;
  cipe_u64 now_ns;
  struct cipe_source_key source_keys[NATIVE_SOURCES];
  struct cipe_source_bucket buckets[NATIVE_SOURCES];
  size_t source_count;
};

struct native_result {
  int verdict; /* 0 pass, 1 drop, 2 steer */
  cipe_u32 reason;
  cipe_u32 peer;
  int has_peer;
};

struct native_result native_classify(struct native_world* world, const void* frame, size_t size);
int native_bucket_take(struct cipe_source_bucket* bucket, cipe_u64 now_ns, cipe_u64 cost_ns,
                       cipe_u64 burst);

#ifdef __cplusplus
}
#endif
#endif
