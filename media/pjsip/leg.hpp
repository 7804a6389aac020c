// One party's audio inside the bus: its receive ring, its playout queue, its figures.
#pragma once

#include <cmath>
#include <memory>
#include <thread>

#include "event_ring.hpp"
#include "playout_queue.hpp"
#include "rx_ring.hpp"
#include "through.hpp"
#include "wire.hpp"

namespace framebus {

// Volume of the playout: a straight ramp from where it is to where it should be.
class Ducker {
 public:
  // API thread.
  void set(double gain, int ramp_ms) noexcept {
    const auto target = static_cast<std::uint32_t>(std::lround(std::clamp(gain, 0.0, 1.0) * kUnity));
    order_.store((std::uint64_t{target} << 32) | static_cast<std::uint32_t>(std::max(ramp_ms, 0)),
                 std::memory_order_relaxed);
  }

  // Clock thread.
  void apply(std::int16_t* pcm, unsigned samples, int rate) noexcept {
    const auto order = order_.load(std::memory_order_relaxed);
    const auto target = static_cast<double>(order >> 32) / kUnity;
    if (order != seen_) {
      seen_ = order;
      const double ramp = static_cast<double>(static_cast<std::uint32_t>(order)) * rate / 1000;
      step_ = std::abs(target - gain_) / std::max(ramp, 1.0);
    }
    if (gain_ == 1.0 && target == 1.0) return;
    for (unsigned i = 0; i < samples; ++i) {
      gain_ = gain_ < target ? std::min(target, gain_ + step_) : std::max(target, gain_ - step_);
      pcm[i] = static_cast<std::int16_t>(std::lround(pcm[i] * gain_));
    }
  }

 private:
  static constexpr std::uint32_t kUnity = 1u << 30;
  std::atomic<std::uint64_t> order_{std::uint64_t{kUnity} << 32};
  std::uint64_t seen_ = std::uint64_t{kUnity} << 32;
  double gain_ = 1.0;
  double step_ = 0.0;
};

// The stream's jitter buffer, copied by the clock thread now and then so that no Python thread
// ever has to call into PJMEDIA.
struct JitterFigures {
  Counter frames{0}, prefetch{0}, delay_ms{0}, delay_max_ms{0}, burst{0}, lost{0}, discarded{0}, empty{0};
};

class Leg {
 public:
  Leg(std::int32_t handle, double rx_seconds, double playout_seconds)
      : handle(handle),
        rx(rx_seconds),
        playout(static_cast<std::uint64_t>(playout_seconds * kMaxRate)) {}

  const std::int32_t handle;
  RxRing rx;
  PlayoutQueue playout;
  Ducker ducker;

  Counter frames{0}, lost{0}, dtx{0}, dropped{0}, underrun{0}, played_samples{0};
  JitterFigures jitter;
  std::atomic<int> rate{0};
  // The port that may act for this leg; a replaced or closed one finds another here and keeps quiet.
  std::atomic<const void*> port{nullptr};

  // The other leg's voice, while the two are patched.
  Through through;

  // Guarded by the bus: the leg patched to this one, the transport now in use, and the sums of those used before.
  std::shared_ptr<Leg> patched;
  std::shared_ptr<Wire> wire;
  std::array<std::uint64_t, kWireCounts> past_wire{};

  // --- API: under the bus's mutex -------------------------------------------------------------

  // What this leg hears is handed to `to` from now on.
  void hand_to(std::shared_ptr<Leg> to) {
    to->through.open();
    other_.store(to.get(), std::memory_order_seq_cst);
    patched = std::move(to);
  }

  // Returns when the clock cannot touch the other leg any more: it holds on to it for one packet at most.
  void hand_to_nobody() noexcept {
    if (!patched) return;
    other_.store(nullptr, std::memory_order_seq_cst);
    while (handing_.load(std::memory_order_seq_cst)) std::this_thread::yield();
    patched->through.close();
    patched.reset();
  }

  // --- clock thread ---------------------------------------------------------------------------

  // Somebody hears this leg through a patch.
  bool handed_on() const noexcept { return other_.load(std::memory_order_relaxed) != nullptr; }

  void hear(const std::int16_t* pcm, unsigned samples, int sample_rate, std::int64_t arrived_ns,
            std::uint32_t flags) noexcept {
    const auto overflow = rx.put(pcm, samples, sample_rate, arrived_ns, flags);
    count(frames);
    if (flags & kLost) count(lost);
    if (flags & kDtx) count(dtx);
    if (overflow) count(dropped, overflow);
    handing_.store(true, std::memory_order_seq_cst);
    if (Leg* to = other_.load(std::memory_order_seq_cst)) to->through.put(pcm, samples, sample_rate, to->rate);
    handing_.store(false, std::memory_order_release);
  }

  // Fills `out` with the reply's next samples, and behind them the other leg's voice, or silence. Returns how
  // many are the reply's.
  unsigned speak(std::int16_t* out, unsigned samples, int sample_rate) noexcept {
    const bool patched_in = through.is_open() && through.take(out, samples);
    if (!patched_in) std::memset(out, 0, samples * sizeof *out);
    const unsigned got = playout.play(out, samples);
    ducker.apply(out, got, sample_rate);
    if (got) count(played_samples, got);
    return got;
  }

  // After the packet has left: says what it meant. Returns whether anything was said.
  bool report(EventRing& events, std::int64_t sent_ns) noexcept {
    bool said = false;
    const auto say = [&](EventKind kind, std::int64_t reply, std::int64_t value) {
      events.push({handle, kind, reply, value, sent_ns});
      said = true;
    };
    playout.settle(
        [&](Cue cue, std::int64_t reply, std::int64_t value) {
          if (cue == Cue::begin) say(EventKind::started, reply, 0);
          if (cue == Cue::mark) say(EventKind::mark, reply, value);
          if (cue == Cue::finish) say(EventKind::drained, reply, value);
        },
        [&](std::int64_t reply, std::int64_t value) {
          count(underrun);
          say(EventKind::underrun, reply, value);
        });
    return said;
  }

 private:
  std::atomic<Leg*> other_{nullptr};   // whom the clock hands our frames to
  std::atomic<bool> handing_{false};   // it is at it
};

}  // namespace framebus
