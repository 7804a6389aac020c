// What the caller says: decoded audio cut into exact 20 ms frames, from the clock thread to poll().
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "spsc_ring.hpp"

namespace framebus {

constexpr int kFramesPerSecond = 50;
constexpr int kMaxRate = 16000;
constexpr int kMaxFrameSamples = kMaxRate / kFramesPerSecond;

enum FrameFlag : std::uint32_t {
  kLost = 1,  // concealed: the packet was lost or came too late
  kDtx = 2,   // nothing was sent to us: silence suppression, hold, or not yet any packet
};

// One row of FRAME_DTYPE; the layout is shared with NumPy.
struct FrameMeta {
  std::int32_t leg;
  std::int32_t samples;
  std::int64_t pts;
  std::int64_t arrived_ns;
  std::uint32_t flags;
  std::uint32_t reserved;
};

struct Frame {
  FrameMeta meta;
  std::int16_t pcm[kMaxFrameSamples];
};

class RxRing {
 public:
  explicit RxRing(double seconds)
      : frames_(std::max<std::size_t>(4, static_cast<std::size_t>(seconds * kFramesPerSecond))) {}

  // Clock thread. Takes any number of samples (10, 20, 30 ms packets); returns the number of whole
  // frames that found no room. A frame's stamp is that of the packet its first sample came in.
  unsigned put(const std::int16_t* pcm, unsigned samples, int rate, std::int64_t arrived_ns,
               std::uint32_t flags) noexcept {
    const unsigned frame_samples = static_cast<unsigned>(rate / kFramesPerSecond);
    if (rate != rate_) {  // a new codec: what was begun at the old rate cannot be finished
      rate_ = rate;
      filled_ = 0;
    }
    unsigned dropped = 0;
    while (samples > 0) {
      if (filled_ == 0) {
        frame_ = frames_.claim();
        head_ = {0, static_cast<std::int32_t>(frame_samples), pts_, arrived_ns, 0, 0};
      }
      const unsigned take = std::min(samples, frame_samples - filled_);
      if (frame_) std::memcpy(frame_->pcm + filled_, pcm, take * sizeof *pcm);
      head_.flags |= flags;
      filled_ += take;
      pcm += take;
      samples -= take;
      pts_ += take;
      if (filled_ < frame_samples) break;
      filled_ = 0;
      if (frame_) {
        frame_->meta = head_;
        frames_.publish();
      } else {
        ++dropped;
      }
    }
    return dropped;
  }

  // Reader.
  const Frame* front() noexcept { return frames_.front(); }
  void pop() noexcept { frames_.pop(); }
  bool empty() const noexcept { return frames_.size() == 0; }

 private:
  SpscRing<Frame> frames_;
  // Only the clock thread touches these.
  Frame* frame_ = nullptr;
  FrameMeta head_{};
  unsigned filled_ = 0;
  int rate_ = 0;
  std::int64_t pts_ = 0;
};

}  // namespace framebus
