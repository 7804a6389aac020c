// Whose packets are the call's audio: the peer's, and nobody else's who found the port.
//
// Symmetric RTP has to believe addresses that SDP did not name (NAT), and that is what a hijacker lives on: PJMEDIA
// follows whoever sends ten packets in a row, even in the middle of a call while the peer says nothing.
#pragma once

#include <atomic>
#include <cstdint>

namespace framebus {

// An address in one word: the host (an IPv4 address whole, an IPv6 address folded) above the port.
struct Source {
  std::uint64_t word = 0;

  static Source of(const std::uint8_t* address, std::size_t size, std::uint16_t port) noexcept {
    std::uint64_t host = 0;
    if (size == 4) {
      for (std::size_t i = 0; i < size; ++i) host = host << 8 | address[i];
    } else {
      host = 0xcbf29ce484222325;  // FNV-1a; the port below must survive, so 48 bits of it are kept
      for (std::size_t i = 0; i < size; ++i) host = (host ^ address[i]) * 0x100000001b3;
    }
    return {host << 16 | port};
  }
  bool operator==(const Source& other) const noexcept { return word == other.word; }
  bool same_host(const Source& other) const noexcept { return word >> 16 == other.word >> 16; }
};

// `expect()` is for the thread that agreed on the SDP, `admits()` for the one that reads the socket.
class SourceLock {
 public:
  static constexpr std::int64_t kSilenceNs = 5'000'000'000;  // then the same host may come from a new port
  static constexpr std::int64_t kPauseNs = 100'000'000;      // then a source that is not firm yet gives way
  static constexpr unsigned kFirm = 10;                      // packets of a source that SDP did not name

  // SDP names this address. One that is new frees the lock: signalling may move a call's audio.
  void expect(Source named) noexcept { expected_.store(named.word, std::memory_order_release); }

  // Whether a packet from here belongs to the call.
  bool admits(Source from, std::int64_t now_ns) noexcept {
    const Source named{expected_.load(std::memory_order_acquire)};
    if (!(named == seen_)) {
      seen_ = named;
      packets_ = 0;
    }
    if (from == named) return take(from, now_ns, kFirm);
    if (packets_ && from == locked_) return take(from, now_ns, packets_ < kFirm ? packets_ + 1 : kFirm);
    if (packets_ && !gives_way(from, now_ns)) return false;
    return take(from, now_ns, 1);
  }

 private:
  bool gives_way(Source from, std::int64_t now_ns) const noexcept {
    const auto quiet = now_ns - last_ns_;
    if (packets_ < kFirm) return quiet >= kPauseNs;
    return quiet >= kSilenceNs && from.same_host(locked_);
  }

  bool take(Source from, std::int64_t now_ns, unsigned packets) noexcept {
    locked_ = from;
    packets_ = packets;
    last_ns_ = now_ns;
    return true;
  }

  std::atomic<std::uint64_t> expected_{0};
  Source seen_, locked_;
  unsigned packets_ = 0;  // of the locked source; 0: nobody has it
  std::int64_t last_ns_ = 0;
};

}  // namespace framebus
