// What came in from the network for one media transport: counters, and when each packet arrived.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "source_lock.hpp"

namespace framebus {

using Counter = std::atomic<std::uint64_t>;

inline void count(Counter& counter, std::uint64_t n = 1) noexcept {
  counter.fetch_add(n, std::memory_order_relaxed);
}

// RTP timestamp -> arrival, for the last packets. Written by the transport's thread, read by the
// clock thread; one atomic word per packet, so neither ever sees half an entry.
class ArrivalTable {
 public:
  void note(std::uint32_t rtp_ts, std::int64_t now_ns) noexcept {
    const auto at = next_.load(std::memory_order_relaxed);
    const auto us = static_cast<std::uint32_t>(now_ns / 1000);
    entries_[at % kEntries].store((std::uint64_t{rtp_ts} << 32) | us, std::memory_order_relaxed);
    next_.store(at + 1, std::memory_order_release);
  }

  // The arrival of the packet with this timestamp, or `now_ns` if it is not known any more. Only
  // the low 32 bits of the microseconds are kept; the rest follows from the present.
  std::int64_t find(std::uint32_t rtp_ts, std::int64_t now_ns) const noexcept {
    const auto next = next_.load(std::memory_order_acquire);
    for (std::size_t back = 1; back <= kEntries && back <= next; ++back) {
      const auto entry = entries_[(next - back) % kEntries].load(std::memory_order_relaxed);
      if (static_cast<std::uint32_t>(entry >> 32) != rtp_ts) continue;
      const auto age_us = static_cast<std::uint32_t>(now_ns / 1000) - static_cast<std::uint32_t>(entry);
      return now_ns - std::int64_t{age_us} * 1000;
    }
    return now_ns;
  }

 private:
  static constexpr std::size_t kEntries = 128;
  std::array<std::atomic<std::uint64_t>, kEntries> entries_{};
  std::atomic<std::size_t> next_{0};
};

constexpr std::size_t kWireCounts = 8;  // what is told of a transport: see wire_counts()

struct Wire {
  static constexpr int kUnknown = -1;
  static constexpr int kComfortNoise = 13;  // RFC 3551

  Counter rx_packets{0}, rx_garbage{0}, rx_wrong_pt{0}, rx_comfort_noise{0}, rx_ssrc_changes{0};
  Counter late{0}, tx_packets{0}, rx_foreign{0};
  SourceLock source;
  ArrivalTable arrivals;
  std::atomic<int> audio_pt{kUnknown}, event_pt{kUnknown};
  std::atomic<std::int64_t> played_ts{-1};     // RTP timestamp last handed to the decoder
  std::atomic<std::int64_t> ssrc{-1};
  std::atomic<bool> silent{false};             // the last packet was comfort noise
  Counter buffered{0};                         // packets that the jitter buffer was given
  std::atomic<std::int64_t> disorder_ns{0};    // when one came last that did not follow the one before it

  enum class Verdict { audio, key, other, garbage };

  // Looks at one packet as it came from the socket. No allocation, no lock.
  Verdict receive(const std::uint8_t* packet, std::size_t size, std::int64_t now_ns) noexcept {
    constexpr std::size_t kHeader = 12;
    if (size < kHeader || packet[0] >> 6 != 2) {
      count(rx_garbage);
      return Verdict::garbage;
    }
    const int pt = packet[1] & 0x7f;
    if (pt >= 64 && pt <= 95) return Verdict::other;  // RTCP multiplexed, RFC 5761
    count(rx_packets);
    if (const std::int64_t seen = word(packet + 8); ssrc.exchange(seen, std::memory_order_relaxed) != seen)
      count(rx_ssrc_changes);
    const int audio = audio_pt.load(std::memory_order_relaxed);
    if (pt == event_pt.load(std::memory_order_relaxed)) return Verdict::key;
    if (pt == kComfortNoise) {
      count(rx_comfort_noise);
      silent.store(true, std::memory_order_relaxed);
      return Verdict::other;
    }
    if (pt != audio) {
      if (audio != kUnknown) count(rx_wrong_pt);
      return Verdict::other;
    }
    const auto ts = word(packet + 4);
    arrivals.note(ts, now_ns);
    silent.store(false, std::memory_order_relaxed);
    follow(static_cast<std::uint16_t>(packet[2] << 8 | packet[3]), now_ns);
    const auto played = played_ts.load(std::memory_order_relaxed);
    if (played >= 0 && static_cast<std::int32_t>(ts - static_cast<std::uint32_t>(played)) <= 0) count(late);
    return Verdict::audio;
  }

 private:
  static std::uint32_t word(const std::uint8_t* p) noexcept {
    return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
  }

  // Only the transport's thread touches these.
  void follow(std::uint16_t sequence, std::int64_t now_ns) noexcept {
    if (any_ && static_cast<std::uint16_t>(sequence - last_) != 1) disorder_ns.store(now_ns, std::memory_order_relaxed);
    last_ = sequence;
    any_ = true;
  }
  std::uint16_t last_ = 0;
  bool any_ = false;
};

}  // namespace framebus
