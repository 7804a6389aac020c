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
  // Whether an address means the same everywhere: not one of a private network, a carrier's NAT, a link or a
  // host (RFC 6890), which say that the packets will come from another.
  static bool is_global(const std::uint8_t* address, std::size_t size) noexcept {
    if (size == 16) return (address[0] & 0xe0) == 0x20;  // 2000::/3
    if (size != 4) return false;
    const int a = address[0], b = address[1];
    return a != 0 && a != 10 && a != 127 && !(a == 100 && b >= 64 && b < 128) && !(a == 169 && b == 254) &&
           !(a == 172 && b >= 16 && b < 32) && !(a == 192 && b == 168) && a < 224;
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
  static constexpr std::int64_t kPatienceNs = 2'000'000'000;  // that other hosts wait for one that needs no NAT

  // SDP names this address. One that is new frees the lock: signalling may move a call's audio. `open` says that
  // the address can be reached as it stands: then its packets have no reason to come from another host, and those
  // of others are not believed until it has been silent for a while.
  void expect(Source named, bool open = false) noexcept {
    open_.store(open, std::memory_order_relaxed);
    expected_.store(named.word, std::memory_order_release);
  }

  // Whether a packet from here belongs to the call.
  bool admits(Source from, std::int64_t now_ns) noexcept {
    const Source named{expected_.load(std::memory_order_acquire)};
    if (!(named == seen_)) {
      seen_ = named;
      packets_ = 0;
      began_ns_ = now_ns;
    }
    if (from == named) return take(from, now_ns, kFirm);
    if (packets_ && from == locked_) return take(from, now_ns, packets_ < kFirm ? packets_ + 1 : kFirm);
    if (packets_ && !gives_way(from, now_ns)) return false;
    if (open_.load(std::memory_order_relaxed) && !from.same_host(named)) {
      const bool patient = now_ns - began_ns_ < kPatienceNs;
      if (patient || (packets_ && locked_.same_host(named))) return false;
    }
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
  std::atomic<bool> open_{false};
  Source seen_, locked_;
  unsigned packets_ = 0;  // of the locked source; 0: nobody has it
  std::int64_t last_ns_ = 0;
  std::int64_t began_ns_ = 0;  // the first packet after the SDP, whosever it was
};

}  // namespace framebus
