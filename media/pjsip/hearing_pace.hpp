// When the next packet of a leg is taken out of its jitter buffer: plain arithmetic, in beats.
//
// Nobody plays out what a leg hears; a voice detector and a recogniser listen, and they want it soon, not evenly.
// So a packet is taken at the first beat after it came. Only what does not come is waited for, a little longer than
// one packet: then its successor tells whether it was lost, and a late one costs no made-up sound.
#pragma once

#include <algorithm>

namespace framebus {

constexpr unsigned kBeatsPerSecond = 200;
constexpr unsigned kBeatMs = 1000 / kBeatsPerSecond;

class HearingPace {
 public:
  // How much longer than a packet's time the next one is waited for.
  static constexpr unsigned kPatienceMs = 25;
  // How much more than one second per second may be taken: what came late in one burst, but not a sender's flood.
  static constexpr unsigned kMostAheadUs = 500'000;
  // 2 % more than goes by: no two clocks agree, and a burst must be forgotten in time.
  static constexpr unsigned kEarnedUs = kBeatMs * 1020;

  // One beat has gone by: is a packet to be taken now? `ready`: one lies there, and none before it is
  // still expected. `patient`: one that is late may be waited for.
  bool due(unsigned packet_ms, bool ready, bool patient) noexcept {
    since_ms_ += kBeatMs;
    ahead_us_ = std::min(ahead_us_ + kEarnedUs, kMostAheadUs);
    const bool late = since_ms_ >= packet_ms + (patient && flows_ && !ready ? kPatienceMs : 0);
    const bool early = ready && ahead_us_ >= packet_ms * 1000;
    if (!late && !early) return false;
    since_ms_ = 0;
    ahead_us_ -= std::min(ahead_us_, packet_ms * 1000);
    return true;
  }

  // Whether the jitter buffer held anything: where it did not, the next one is not waited for any longer.
  void found(bool anything) noexcept { flows_ = anything; }

 private:
  unsigned since_ms_ = 1000;  // the first beat brings a frame, before anything is said
  unsigned ahead_us_ = kMostAheadUs;
  bool flows_ = false;
};

}  // namespace framebus
