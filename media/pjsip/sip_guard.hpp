// The gate in front of PJSIP: looks at every request before a transaction or a call is made of it.
//
// Runs inside PJSIP's transport callback on the SIP thread and never waits. What it lets through, PJSIP
// handles; what it refuses costs no dialog, no call slot and no socket; what it drops gets no answer at all.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace framebus {

enum class GuardCount : std::size_t {
  passed,
  dropped_scanner,
  dropped_stranger,
  refused_stranger,
  refused_register,
  refused_method,
  refused_busy,
  options,
  refused_body,
  refused_keying,
  merged,
  count_
};

struct GuardRules {
  std::vector<std::string> networks;   // CIDR of every known peer
  std::vector<std::string> scanners;   // parts of User-Agent values, lower case
  bool drop_strangers = false;         // else 403
  int retry_after = 5;                 // seconds, in every 503
};

class SipGuard {
 public:
  // Throws std::invalid_argument for a network that is none.
  explicit SipGuard(GuardRules rules);
  ~SipGuard();
  SipGuard(const SipGuard&) = delete;
  SipGuard& operator=(const SipGuard&) = delete;

  // Registers with PJSIP. After pjsua_init(), on the SIP thread. Throws std::runtime_error.
  void install();

  // How full we are, for OPTIONS and for the limit; from any thread.
  void set_load(int active, int limit) noexcept {
    active_.store(active, std::memory_order_relaxed);
    limit_.store(limit, std::memory_order_relaxed);
  }

  // From now on OPTIONS is answered as an INVITE would be: 503, so that nobody sends more calls here.
  void set_draining() noexcept { draining_.store(true, std::memory_order_relaxed); }

  std::vector<std::pair<std::string, std::uint64_t>> counts() const;

 private:
  struct Network {
    int family = 0;
    std::array<std::uint8_t, 16> bytes{};
    int bits = 0;
  };
  friend struct GuardHook;

  bool knows(const std::string& source) const noexcept;
  bool is_scanner(std::string agent) const;
  void count(GuardCount what) noexcept { counts_[static_cast<std::size_t>(what)].fetch_add(1, std::memory_order_relaxed); }

  const GuardRules rules_;
  std::vector<Network> networks_;
  bool is_full() const noexcept {
    return active_.load(std::memory_order_relaxed) >= limit_.load(std::memory_order_relaxed);
  }
  std::atomic<int> active_{0}, limit_{1};
  std::atomic<bool> draining_{false};
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(GuardCount::count_)> counts_{};
};

}  // namespace framebus
