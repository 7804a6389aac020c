// A patch's one direction: another leg's voice on its way to this one, within PJMEDIA's clock.
//
// One producer (the port that hears the other leg), one consumer (the port that speaks to this one). Both beat on
// one clock, so what lies in between is one packet at most; different packet times need one more.
#pragma once

#include <speex/speex_resampler.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "rx_ring.hpp"
#include "wire.hpp"

namespace framebus {

// Between the two rates that legs have; made once, so that the clock never allocates.
class RateChange {
 public:
  RateChange(unsigned from, unsigned to) : state_(speex_resampler_init(1, from, to, kQuality, nullptr), &destroy) {
    if (!state_) throw std::bad_alloc();
  }

  void restart() noexcept { speex_resampler_reset_mem(state_.get()); }

  unsigned run(const std::int16_t* in, unsigned samples, std::int16_t* out, unsigned room) noexcept {
    spx_uint32_t taken = samples, made = room;
    speex_resampler_process_int(state_.get(), 0, in, &taken, out, &made);
    return made;
  }

 private:
  static constexpr int kQuality = 4;  // 3 ms of delay, stop band below -60 dB
  static void destroy(SpeexResamplerState* state) { speex_resampler_destroy(state); }
  std::unique_ptr<SpeexResamplerState, void (*)(SpeexResamplerState*)> state_;
};

class Through {
 public:
  Counter samples{0}, gaps{0}, dropped{0};

  // --- API thread, while nobody puts -----------------------------------------------------------

  void open() {
    if (!up_) up_ = std::make_unique<RateChange>(kMaxRate / 2, kMaxRate);
    if (!down_) down_ = std::make_unique<RateChange>(kMaxRate, kMaxRate / 2);
    if (!ring_) ring_ = std::make_unique<std::int16_t[]>(kRoom);
    up_->restart();
    down_->restart();
    flush();
    open_.store(true, std::memory_order_release);
  }

  void close() noexcept { open_.store(false, std::memory_order_release); }

  // What waits is of another rate now.
  void flush() noexcept { from_.store(write_.load(std::memory_order_acquire), std::memory_order_release); }

  // --- producer --------------------------------------------------------------------------------

  void put(const std::int16_t* pcm, unsigned count_in, int from, int to) noexcept {
    if (to == 0) return;  // the leg has no stream yet
    const auto made = static_cast<unsigned>(static_cast<std::uint64_t>(count_in) * static_cast<unsigned>(to) /
                                            static_cast<unsigned>(from));
    chunk_.store(made, std::memory_order_relaxed);
    if (from == to) {
      push(pcm, count_in);
      return;
    }
    std::int16_t piece[2 * kMaxFrameSamples];
    for (unsigned at = 0; at < count_in; at += kMaxFrameSamples) {
      const unsigned size = std::min<unsigned>(kMaxFrameSamples, count_in - at);
      push(piece, (from < to ? *up_ : *down_).run(pcm + at, size, piece, 2 * kMaxFrameSamples));
    }
  }

  // Samples that wait.
  std::size_t ahead() const noexcept {
    return write_.load(std::memory_order_relaxed) - read_.load(std::memory_order_acquire);
  }

  // --- consumer --------------------------------------------------------------------------------

  bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }

  // Fills `out`, or leaves it alone: false when nothing is to be heard.
  bool take(std::int16_t* out, unsigned wanted) noexcept {
    auto read = read_.load(std::memory_order_relaxed);
    const auto written = write_.load(std::memory_order_acquire);
    const auto from = std::min(from_.load(std::memory_order_acquire), written);
    if (read < from) {
      read = from;
      primed_ = false;
    }
    const unsigned packet = std::max(wanted, chunk_.load(std::memory_order_relaxed));
    std::size_t ahead = written - read;
    if (ahead > 3 * packet) {  // held for a while, or a clock that jumped: nobody shall hear the past
      count(dropped, ahead - packet);
      read = written - packet;
      ahead = packet;
    }
    const bool enough = ahead >= (primed_ ? wanted : packet);
    if (!enough && primed_) count(gaps);
    primed_ = enough;
    if (enough) {
      for (unsigned i = 0; i < wanted; ++i) out[i] = ring_[(read + i) % kRoom];
      read += wanted;
      count(samples, wanted);
    }
    read_.store(read, std::memory_order_release);
    return enough;
  }

 private:
  static constexpr std::size_t kRoom = 8192;  // half a second at 16 kHz; packets of 120 ms fit four times

  void push(const std::int16_t* pcm, unsigned size) noexcept {
    const auto write = write_.load(std::memory_order_relaxed);
    if (write - read_.load(std::memory_order_acquire) + size > kRoom) {
      count(dropped, size);
      return;
    }
    for (unsigned i = 0; i < size; ++i) ring_[(write + i) % kRoom] = pcm[i];
    write_.store(write + size, std::memory_order_release);
  }

  std::unique_ptr<RateChange> up_, down_;
  std::unique_ptr<std::int16_t[]> ring_;
  std::atomic<bool> open_{false};
  std::atomic<unsigned> chunk_{0};
  bool primed_ = false;  // the consumer's
  std::atomic<std::size_t> from_{0};  // what lies before is not to be heard
  alignas(64) std::atomic<std::size_t> write_{0};
  alignas(64) std::atomic<std::size_t> read_{0};
};

}  // namespace framebus
